//! What `apparmor.hbs` sees.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::ProfileName;
use super::context::{Header, header, shown};
use super::escape::{Escaped, Lines, Tail};
use crate::fact::MountOperation;
use crate::infer::{FileNeed, Needs, Pattern};
use crate::policy::apparmor::{AppArmor, FileRule, MountRule, Peer, Permissions, SignalRule, TraceRule};

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
pub(super) fn view(needs: Needs<'_>, name: &ProfileName) -> serde_json::Result<Value> {
    let policy = AppArmor::new(&needs);
    let attachment = policy.attachment.clone().map(Pattern::Literal);
    let mut view = serde_json::to_value(AppArmorView {
        origin: header(&needs, &policy, Escaped::line, &[]),
        name: Escaped::word(name.as_str()),
        attachment: attachment.map(|path| Escaped::pattern(&path, Tail::File)),
    })?;
    let evidence = evidence(&needs);
    drop(needs);
    let filled = sections(&policy, &evidence).into_iter().filter(|section| !section.rules.is_empty());
    let sections = filled.map(|Section { title, rules }| {
        let rules = rules.into_iter().map(Value::from).collect();
        Value::Object([("title".to_owned(), title.into()), ("rules".to_owned(), rules)].into_iter().collect())
    });
    if let Some(fields) = view.as_object_mut() {
        fields.insert("sections".to_owned(), sections.collect());
    }
    Ok(view)
}

/// Of each file rule, why it is there. Empty unless it was asked for.
type Evidence = BTreeMap<(Pattern, bool), String>;

/// How many paths behind one pattern are written out.
const LITERALS: usize = 3;

fn evidence(needs: &Needs<'_>) -> Evidence {
    let asked = needs.files.iter().filter(|_| needs.options.comments);
    asked.map(|need| ((need.pattern.clone(), need.directory), why(need, needs))).collect()
}

/// `stands for 4 paths: /tmp/a1 …; beyond them 6 free characters; used by /bin/a`
fn why(need: &FileNeed<'_>, needs: &Needs<'_>) -> String {
    let used = format!("used {}", shown(&need.because));
    let Some(literals) = needs.literals.get(&need.pattern) else {
        return used;
    };
    let listed = literals.iter().take(LITERALS).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let more = if literals.len() > LITERALS { ", …" } else { "" };
    let beyond = match need.pattern.leeway() {
        leeway if leeway.is_empty() => "nothing".to_owned(),
        leeway => leeway,
    };
    let paths = if literals.len() == 1 { "path" } else { "paths" };
    format!("stands for {} {paths}: {listed}{more}; beyond: {beyond}; {used}", literals.len())
}

fn sections(policy: &AppArmor, evidence: &Evidence) -> Vec<Section> {
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
    sections.extend(files(&policy.files, evidence));
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
fn files(rules: &[FileRule], evidence: &Evidence) -> Vec<Section> {
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
            if let Some(evidence) = evidence.get(&(rule.pattern.clone(), rule.directory)) {
                lines.fixed(INDENT).fixed("# ").comment(evidence).end();
            }
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
