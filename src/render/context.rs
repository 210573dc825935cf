//! What templates see: views that hold [`Escaped`] text, numbers, booleans and lists of them.

use std::collections::BTreeSet;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::escape::Escaped;
use crate::fact::Gap;
use crate::infer::{Cause, Needs};
use crate::policy::Policy;

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

/// How many executables are named in one line.
const NAMED: usize = 3;

/// Who showed a need, when and how often, in one line: `by /bin/a, /bin/b and 2 more, from … to …, in 3 runs`.
pub(super) fn shown(because: &[Cause<'_>]) -> String {
    let executables: BTreeSet<_> = because.iter().map(|cause| cause.subject).collect();
    let named = executables.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = executables.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let first = because.iter().map(|cause| cause.seen.first_ms).min().map(date).unwrap_or_default();
    let last = because.iter().map(|cause| cause.seen.last_ms).max().map(date).unwrap_or_default();
    let when = if first == last { first } else { format!("{first} to {last}") };
    let runs: BTreeSet<_> = because.iter().flat_map(|cause| cause.seen.runs.iter()).collect();
    format!("by {named}{more}, {when}, in {} {}", runs.len(), if runs.len() == 1 { "run" } else { "runs" })
}

/// A Unix time in milliseconds as RFC 3339, or as a number when it lies outside of the years that this can write.
#[must_use]
pub fn date(ms: u64) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(ms));
    let written = time.is_some_and(|time| write!(text, "{}", humantime::format_rfc3339_seconds(time)).is_ok());
    if written { text } else { format!("{ms} ms after 1970") }
}
