//! What templates see: views that hold [`Escaped`] text, numbers, booleans and lists of them.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::ProfileName;
use super::escape::{Escaped, Lines};
use crate::fact::Gap;
use crate::infer::caps::Reason;
use crate::infer::{CapabilityNeed, Needs};
use crate::policy::Policy;
use crate::policy::caps::{Caps, granted};
use crate::policy::seccomp::Seccomp;

/// How many reasons of one capability are written out.
const REASONS: usize = 12;

/// Where a profile comes from.
#[derive(Serialize)]
pub(super) struct Header {
    generator: Escaped,
    program: Escaped,
    runs: usize,
    /// Empty without runs.
    first: Escaped,
    last: Escaped,
    kernels: Vec<Escaped>,
    gaps: Vec<Escaped>,
    notes: Vec<Escaped>,
}

/// How a text of the header is made safe: [`Escaped::line`] or [`Escaped::for_json`].
pub(super) type Made = fn(&str) -> Escaped;

pub(super) fn header(needs: &Needs<'_>, policy: &dyn Policy, made: Made, notes: &[&str]) -> Header {
    let origin = &needs.origin;
    let date = |ms: Option<u64>| made(&ms.map(date).unwrap_or_default());
    let gap = |gap: &Gap| made(&format!("{}: {}", gap.kind.name(), gap.detail));
    Header {
        generator: made(concat!("learn ", env!("CARGO_PKG_VERSION"))),
        program: made(&origin.program.map_or_else(|| "unknown".to_owned(), ToString::to_string)),
        runs: origin.runs,
        first: date(origin.span_ms.map(|(first, _)| first)),
        last: date(origin.span_ms.map(|(_, last)| last)),
        kernels: origin.kernels.iter().map(|(kernel, machine)| made(&format!("{kernel} {machine}"))).collect(),
        gaps: origin.gaps.union(policy.gaps()).map(gap).collect(),
        notes: notes.iter().map(|note| made(note)).collect(),
    }
}

/// A Unix time in milliseconds as RFC 3339, or as a number when it lies outside of the years that this can write.
fn date(ms: u64) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    let written = time.is_some_and(|time| write!(text, "{}", humantime::format_rfc3339_seconds(time)).is_ok());
    if written { text } else { format!("{ms} ms after 1970") }
}

/// What `seccomp.json.hbs` sees.
#[derive(Serialize)]
pub(super) struct SeccompView {
    origin: Header,
    default_action: Escaped,
    default_errno: Option<u32>,
    architectures: Vec<Escaped>,
    rules: Vec<SeccompRule>,
}

#[derive(Serialize)]
struct SeccompRule {
    names: Vec<Escaped>,
    action: Escaped,
}

impl SeccompView {
    pub(super) fn new(needs: &Needs<'_>, _: &ProfileName) -> Self {
        const SHARED: &str = "several architectures: the format allows each call for all of them";
        let policy = Seccomp::new(needs);
        let notes = if policy.architectures.len() > 1 { &[SHARED][..] } else { &[] };
        let rules = policy.syscalls.iter().map(|rule| SeccompRule {
            names: rule.names.iter().map(|call| Escaped::for_json(&call.to_string())).collect(),
            action: Escaped::fixed(rule.action.name()),
        });
        Self {
            origin: header(needs, &policy, Escaped::for_json, notes),
            default_action: Escaped::fixed(policy.default_action.name()),
            default_errno: policy.default_errno_ret,
            architectures: policy.architectures.iter().map(|known| Escaped::fixed(known.0.oci_name())).collect(),
            rules: rules.collect(),
        }
    }
}

/// What `caps.txt.hbs` sees.
#[derive(Serialize)]
pub(super) struct CapsView {
    origin: Header,
    kept: Vec<CapabilityView>,
    denied: Vec<CapabilityView>,
    options: Escaped,
}

#[derive(Serialize)]
struct CapabilityView {
    name: Escaped,
    standing: Escaped,
    reasons: Vec<Escaped>,
    /// How many reasons more there are.
    more: usize,
}

impl CapsView {
    pub(super) fn new(needs: &Needs<'_>, _: &ProfileName) -> Self {
        let policy = Caps::new(needs);
        let mut options = Lines::default();
        options.fixed("--cap-drop=ALL");
        for capability in &policy.kept {
            options.fixed(" --cap-add=").fixed(capability.name().strip_prefix("CAP_").unwrap_or_default());
        }
        Self {
            origin: header(needs, &policy, Escaped::line, &[]),
            kept: granted(&needs.capabilities).map(capability).collect(),
            denied: needs.capabilities.iter().filter(|need| !need.standing.granted()).map(capability).collect(),
            options: options.finish().pop().unwrap_or_else(|| Escaped::fixed("")),
        }
    }
}

fn capability(need: &CapabilityNeed<'_>) -> CapabilityView {
    CapabilityView {
        name: Escaped::fixed(need.capability.name()),
        standing: Escaped::fixed(need.standing.name()),
        reasons: need.reasons.iter().take(REASONS).map(reason).collect(),
        more: need.reasons.len().saturating_sub(REASONS),
    }
}

fn reason(reason: &Reason<'_>) -> Escaped {
    let who = reason.because.iter().map(|cause| cause.subject.to_string()).collect::<Vec<_>>().join(", ");
    Escaped::line(&format!("{}: {}, by {who}", reason.standing.name(), reason.check.describe()))
}
