//! What templates see: views that hold [`Escaped`] text, numbers, booleans and lists of them.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use serde_json::Value;

use super::ProfileName;
use super::escape::{Escaped, Lines, Tail};
use crate::fact::{Gap, MountOperation};
use crate::infer::{Needs, Pattern};
use crate::policy::Policy;
use crate::policy::apparmor::{AppArmor, FileRule, MountRule, Peer, Permissions, SignalRule, TraceRule};

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

/// What `apparmor.hbs` sees, but for its sections.
#[derive(Serialize)]
struct AppArmorView {
    origin: Header,
    name: Escaped,
    attachment: Option<Escaped>,
}

/// Rules of one kind: blocks of lines, each line indented and ended.
struct Section {
    title: Escaped,
    rules: Vec<Escaped>,
}

/// What `apparmor.hbs` sees. Rules are moved into it, since there may be a million.
pub(super) fn apparmor(needs: Needs<'_>, name: &ProfileName) -> serde_json::Result<Value> {
    let policy = AppArmor::new(&needs);
    let attachment = policy.attachment.clone().map(Pattern::Literal);
    let mut view = serde_json::to_value(AppArmorView {
        origin: header(&needs, &policy, Escaped::line, &[]),
        name: Escaped::word(name.as_str()),
        attachment: attachment.map(|path| Escaped::pattern(&path, Tail::File)),
    })?;
    drop(needs);
    let filled = sections(&policy).into_iter().filter(|section| !section.rules.is_empty());
    let sections = filled.map(|Section { title, rules }| {
        let rules = rules.into_iter().map(Value::from).collect();
        Value::Object([("title".to_owned(), title.into()), ("rules".to_owned(), rules)].into_iter().collect())
    });
    if let Some(fields) = view.as_object_mut() {
        fields.insert("sections".to_owned(), sections.collect());
    }
    Ok(view)
}

fn sections(policy: &AppArmor) -> Vec<Section> {
    let mut sections = vec![
        section("Capabilities", &policy.capabilities, |to, capability| {
            let word = capability.name().strip_prefix("CAP_").unwrap_or_default().to_ascii_lowercase();
            to.fixed("capability ").word(&word);
        }),
        section("Network: family and type of sockets", &policy.network, |to, (family, kind)| {
            to.fixed("network ").fixed(family).fixed(" ").fixed(kind);
        }),
        section(
            "Signals; those received from unconfined processes let init and administrators stop it",
            &policy.signals,
            signal,
        ),
        section("Tracing", policy.traces.iter().copied(), trace),
        section("Mounts", &policy.mounts, mount),
    ];
    sections.extend(files(&policy.files));
    sections
}

const INDENT: &str = "  ";

fn section<T>(title: &'static str, rules: impl IntoIterator<Item = T>, write: impl Fn(&mut Lines, T)) -> Section {
    let mut lines = Lines::default();
    for rule in rules {
        lines.fixed(INDENT);
        write(&mut lines, rule);
        lines.fixed(",").end();
    }
    Section { title: Escaped::fixed(title), rules: lines.finish() }
}

fn peer(to: &mut Lines, peer: Peer) {
    to.fixed(match peer {
        Peer::Own => " peer=@{profile_name}",
        Peer::Unconfined => " peer=unconfined",
        Peer::Anybody => "",
    });
}

fn signal(to: &mut Lines, rule: &SignalRule) {
    to.fixed(match (rule.send, rule.receive) {
        (true, true) => "signal (send, receive)",
        (true, false) => "signal (send)",
        (false, _) => "signal (receive)",
    });
    if !rule.signals.is_empty() {
        to.fixed(" set=(").words(rule.signals.iter().copied()).fixed(")");
    }
    peer(to, rule.peer);
}

fn trace(to: &mut Lines, rule: TraceRule) {
    // Between processes under the same profile both ends are asked.
    to.fixed(match (rule.read_only, rule.peer) {
        (true, Peer::Own) => "ptrace (read, readby)",
        (true, _) => "ptrace (read)",
        (false, Peer::Own) => "ptrace (trace, tracedby)",
        (false, _) => "ptrace (trace)",
    });
    peer(to, rule.peer);
}

fn mount(to: &mut Lines, rule: &MountRule) {
    to.fixed(match rule.operation {
        MountOperation::Mount => "mount",
        MountOperation::Remount => "remount",
        MountOperation::Umount => "umount",
        MountOperation::PivotRoot => "pivot_root",
    });
    if let Some(filesystem) = &rule.filesystem {
        to.fixed(" fstype=").quoted(filesystem.as_bytes(), Tail::File);
    }
    if !rule.options.is_empty() {
        to.fixed(" options=(").words(rule.options.iter().copied()).fixed(")");
    }
    if let Some(source) = &rule.source {
        let tail = if source.starts_with(b"/") { Tail::Either } else { Tail::File };
        to.fixed(" ").quoted(source, tail);
    }
    let arrow = rule.operation == MountOperation::Mount;
    to.fixed(if arrow { " -> " } else { " " }).pattern(&Pattern::Literal(rule.target.clone()), Tail::Either);
}

/// File rules under one heading each, by the most telling of what they allow.
fn files(rules: &[FileRule]) -> Vec<Section> {
    const CHANGES: Permissions =
        Permissions::WRITE.union(Permissions::APPEND).union(Permissions::LINK).union(Permissions::LOCK);
    const HEADINGS: [(&str, Permissions); 4] = [
        ("Programs, executed under this same profile", Permissions::EXECUTE),
        ("Libraries and other code, mapped executable", Permissions::MAP),
        ("Files written, created, removed or locked", CHANGES),
        ("Files and directories read", Permissions::all()),
    ];
    let mut sections = HEADINGS.map(|(title, kinds)| (title, kinds, Lines::default()));
    for rule in rules {
        let all = rule.anybody | rule.owner;
        if let Some((_, _, lines)) = sections.iter_mut().find(|(_, kinds, _)| all.intersects(*kinds)) {
            file(lines, rule, "", rule.anybody);
            file(lines, rule, "owner ", rule.owner);
        }
    }
    let section = |(title, _, lines): (_, _, Lines)| Section { title: Escaped::fixed(title), rules: lines.finish() };
    sections.map(section).into()
}

fn file(to: &mut Lines, rule: &FileRule, qualifier: &'static str, permissions: Permissions) {
    if permissions.is_empty() {
        return;
    }
    let tail = if rule.directory { Tail::Directory } else { Tail::File };
    to.fixed(INDENT).fixed(qualifier).pattern(&rule.pattern, tail).fixed(" ");
    for (one, letter) in Permissions::LETTERS {
        to.fixed(if permissions.contains(one) { letter } else { "" });
    }
    to.fixed(",").end();
}
