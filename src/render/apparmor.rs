//! What `apparmor.hbs` sees.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::ProfileName;
use super::context::{Header, header, shown};
use super::escape::{Escaped, Lines, Tail};
use crate::fact::{Capability, MountOperation};
use crate::infer::{Because, FileNeed, Needs, Pattern};
use crate::path::AbsPath;
use crate::policy::apparmor::{
    AppArmor, Exec, FileRule, Included, MountRule, Options, Peer, Permissions, PolicyAbi, SignalRule, TraceRule,
    Transition, names as words,
};

/// What `apparmor.hbs` sees, but for the rules, which are moved into it, since there may be a million.
#[derive(Serialize)]
struct AppArmorView {
    origin: Header,
    abi: Escaped,
    /// Whether nothing is included.
    alone: bool,
}

/// The names that a profile and its rules are written with.
struct Names<'p> {
    /// That of the main profile.
    main: &'p ProfileName,
    exec: Exec,
    abi: PolicyAbi,
    /// Whether it is the main one that is written.
    of_main: bool,
}

/// What rules stand behind: more of it within a nested profile.
type Indent = &'static str;
const INDENT: Indent = "  ";
const NESTED: Indent = "    ";

/// Rules of one kind: blocks of lines, each line indented and ended.
struct Section {
    title: Escaped,
    rules: Vec<Escaped>,
}

/// What `apparmor.hbs` sees.
pub(super) fn view(needs: &Needs<'_>, name: &ProfileName, options: &Options) -> serde_json::Result<Value> {
    let policy = AppArmor::new(needs, options);
    let names = Names { main: name, exec: policy.exec, abi: options.abi, of_main: true };
    let mut view = serde_json::to_value(AppArmorView {
        origin: header(needs, &policy, Escaped::line, &[]),
        abi: Escaped::fixed(options.abi.name()),
        alone: policy.includes.is_empty() && policy.programs.iter().all(|(_, program)| program.includes.is_empty()),
    })?;
    let nested = policy.exec == Exec::Child;
    let main = profile(&names, &policy, Escaped::word(name.as_str()), INDENT, &evidence(needs, None));
    let names = Names { of_main: false, ..names };
    let others = policy.programs.iter().map(|(short, program)| {
        let (name, indent) =
            if nested { (Escaped::word(short), NESTED) } else { (Escaped::word(&names.program(short)), INDENT) };
        profile(&names, program, name, indent, &evidence(needs, program.program.as_ref()))
    });
    let others: Value = others.collect();
    if let Some(fields) = view.as_object_mut() {
        fields.insert("profile".to_owned(), main);
        fields.insert(if nested { "children" } else { "separate" }.to_owned(), others);
        fields.insert(if nested { "separate" } else { "children" }.to_owned(), Value::Array(Vec::new()));
    }
    Ok(view)
}

fn profile(names: &Names<'_>, policy: &AppArmor, name: Escaped, indent: Indent, evidence: &Evidence) -> Value {
    let filled = sections(names, policy, indent, evidence).into_iter().filter(|section| !section.rules.is_empty());
    let sections = filled.map(|Section { title, rules }| {
        let rules: Value = rules.into_iter().map(Value::from).collect();
        object([("title", title.into()), ("indent", indent.into()), ("rules", rules)])
    });
    let program = policy.program.clone().map(Pattern::Literal);
    let program = program.map_or(Value::Null, |path| Escaped::pattern(&path, Tail::File).into());
    let flags = policy.container.then(|| Escaped::fixed("attach_disconnected,mediate_deleted").into());
    let flags = flags.unwrap_or(Value::Null);
    object([("name", name.into()), ("program", program), ("flags", flags), ("sections", sections.collect())])
}

fn object(fields: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

impl Names<'_> {
    /// The full name of the profile for a program of the workload.
    fn program(&self, short: &str) -> String {
        let between = if self.exec == Exec::Child { "//" } else { "." };
        format!("{}{between}{short}", self.main)
    }
}

/// Of each rule, why it is there. Empty unless it was asked for.
#[derive(Default)]
struct Evidence {
    files: BTreeMap<(Pattern, bool), String>,
    capabilities: BTreeMap<Capability, String>,
    network: BTreeMap<(&'static str, &'static str), String>,
    /// By the signal's word.
    signals: BTreeMap<&'static str, String>,
    /// By the mount point.
    mounts: BTreeMap<AbsPath, String>,
    queues: BTreeMap<AbsPath, String>,
}

/// How many paths behind one pattern are written out.
const LITERALS: usize = 3;

/// The evidence for the rules of the profile of `program`.
fn evidence(needs: &Needs<'_>, program: Option<&AbsPath>) -> Evidence {
    let shares = needs.shares.iter().filter(|share| match program {
        Some(program) => share.programs.contains(program),
        None => share.started,
    });
    let needs = shares.map(|share| &share.needs).next().unwrap_or(needs);
    if !needs.options.comments {
        return Evidence::default();
    }
    let files = needs.files.iter().map(|need| ((need.pattern.clone(), need.directory), why(need, needs)));
    let capabilities = needs.capabilities.iter().map(|need| (need.capability, shown(&need.because())));
    let network = needs
        .network
        .iter()
        .filter_map(|(fact, because)| Some(((words::family(fact.family)?, words::socket_type(fact.kind)?), because)));
    let signals = needs.signals.iter().filter_map(|(fact, because)| Some((words::signal(fact.signal)?, because)));
    let mounts = needs.mounts.iter().map(|(fact, because)| (fact.target.clone(), because));
    Evidence {
        files: files.collect(),
        capabilities: capabilities.collect(),
        network: gathered(network),
        signals: gathered(signals),
        mounts: gathered(mounts),
        queues: gathered(needs.queues.iter().map(|(fact, because)| (fact.name.clone(), because))),
    }
}

/// Who showed any of the needs for one rule.
fn gathered<'n, 'r: 'n, K: Ord>(needs: impl Iterator<Item = (K, &'n Because<'r>)>) -> BTreeMap<K, String> {
    let mut all = BTreeMap::<K, Because<'_>>::new();
    for (key, because) in needs {
        all.entry(key).or_default().extend_from_slice(because);
    }
    all.into_iter().map(|(key, because)| (key, shown(&because))).collect()
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

fn sections(names: &Names<'_>, policy: &AppArmor, indent: Indent, evidence: &Evidence) -> Vec<Section> {
    let unix = |family: &str| names.abi >= PolicyAbi::V4 && family == "unix";
    let mut sections = vec![
        abstractions(policy, indent),
        section("Denied, whatever else allows it", indent, &policy.denies, |to, deny| {
            to.fixed("deny ").fixed(deny.pattern).fixed(" ").fixed(deny.letters);
        }),
        told(
            "Capabilities",
            indent,
            policy.capabilities.difference(&policy.idle).copied(),
            |one| evidence.capabilities.get(one),
            capability,
        ),
        told(
            "Capabilities that the kernel asks for and does the same without: only its log would tell",
            indent,
            policy.capabilities.intersection(&policy.idle).copied(),
            |one| evidence.capabilities.get(one),
            capability,
        ),
        told(
            "Network: family and type of sockets",
            indent,
            &policy.network,
            |one| evidence.network.get(*one),
            |to, (family, kind)| {
                if unix(family) {
                    to.fixed("unix type=").fixed(kind);
                } else {
                    to.fixed("network ").fixed(family).fixed(" ").fixed(kind);
                }
            },
        ),
        section("User namespaces", indent, policy.user_namespaces.filter(|allowed| *allowed), |to, _| {
            to.fixed("userns");
        }),
        told(
            "Signals; those received from unconfined processes let init and administrators stop it",
            indent,
            &policy.signals,
            |rule| rule.signals.iter().find_map(|word| evidence.signals.get(word)),
            |to, rule| signal(names, to, rule),
        ),
        section("Tracing", indent, &policy.traces, |to, rule| trace(names, to, rule)),
        told(
            "Message queues",
            indent,
            policy.queues.iter().flatten(),
            |(name, _)| evidence.queues.get(*name),
            |to, (name, accesses)| {
                to.fixed("mqueue (").words(accesses.iter().map(|access| access.name())).fixed(") type=posix ");
                to.pattern(&Pattern::Literal(name.clone()), Tail::File);
            },
        ),
        told("Mounts", indent, &policy.mounts, |rule| evidence.mounts.get(&rule.target), mount),
    ];
    sections.extend(files(names, &policy.files, indent, evidence));
    sections
}

/// What each stands for, and how much it allows beyond.
fn abstractions(policy: &AppArmor, indent: Indent) -> Section {
    let mut lines = Lines::default();
    for Included { name, covers, rules, excess, .. } in &policy.includes {
        let mut broadest: Vec<_> = excess.iter().filter(|rule| !rule.starts_with("signal")).collect();
        broadest.sort_by_key(|rule| std::cmp::Reverse((rule.matches("**").count(), rule.matches('*').count())));
        let such = broadest.iter().take(EXAMPLES).map(|rule| rule.as_str()).collect::<Vec<_>>().join("; ");
        let beyond = match excess.len() {
            0 => "allows nothing that was not observed but by its patterns".to_owned(),
            count => format!("{count} of its {rules} rules were not needed, such as {such}"),
        };
        lines.fixed(indent).fixed("# covers ").comment(&format!("{covers} rules; {beyond}")).end();
        lines.fixed(indent).fixed("include <abstractions/").word(name).fixed(">").end();
    }
    Section { title: Escaped::fixed("Abstractions"), rules: lines.finish() }
}

/// How many rules are shown as examples.
const EXAMPLES: usize = 3;

fn section<T>(
    title: &'static str,
    indent: Indent,
    rules: impl IntoIterator<Item = T>,
    write: impl Fn(&mut Lines, T),
) -> Section {
    told(title, indent, rules, |_| None, write)
}

/// The same, with why each rule is there where that is known.
fn told<'e, T>(
    title: &'static str,
    indent: Indent,
    rules: impl IntoIterator<Item = T>,
    why: impl Fn(&T) -> Option<&'e String>,
    write: impl Fn(&mut Lines, T),
) -> Section {
    let mut lines = Lines::default();
    for rule in rules {
        if let Some(why) = why(&rule) {
            lines.fixed(indent).fixed("# ").comment(why).end();
        }
        lines.fixed(indent);
        write(&mut lines, rule);
        lines.fixed(",").end();
    }
    Section { title: Escaped::fixed(title), rules: lines.finish() }
}

fn capability(to: &mut Lines, capability: Capability) {
    let word = capability.name().strip_prefix("CAP_").unwrap_or_default().to_ascii_lowercase();
    to.fixed("capability ").word(&word);
}

fn peer(names: &Names<'_>, to: &mut Lines, peer: &Peer) {
    match peer {
        Peer::Own => to.fixed(" peer=@{profile_name}"),
        Peer::Unconfined => to.fixed(" peer=unconfined"),
        Peer::Anybody => to,
        Peer::Engine => to.fixed(" peer={runc,crun}"),
        Peer::Main => to.fixed(" peer=").word(names.main.as_str()),
        Peer::Program(short) => to.fixed(" peer=").profile(&names.program(short)),
        Peer::Workload => {
            let others = if names.exec == Exec::Child { "{,//*}" } else { "{,.*}" };
            to.fixed(" peer=").word(names.main.as_str()).fixed(others)
        }
    };
}

fn signal(names: &Names<'_>, to: &mut Lines, rule: &SignalRule) {
    to.fixed(match (rule.send, rule.receive) {
        (true, true) => "signal (send, receive)",
        (true, false) => "signal (send)",
        (false, _) => "signal (receive)",
    });
    if !rule.signals.is_empty() {
        to.fixed(" set=(").words(rule.signals.iter().copied()).fixed(")");
    }
    peer(names, to, &rule.peer);
}

fn trace(names: &Names<'_>, to: &mut Lines, rule: &TraceRule) {
    to.fixed(match (rule.read_only, rule.active, rule.passive) {
        (true, true, true) => "ptrace (read, readby)",
        (true, true, false) => "ptrace (read)",
        (true, false, _) => "ptrace (readby)",
        (false, true, true) => "ptrace (trace, tracedby)",
        (false, true, false) => "ptrace (trace)",
        (false, false, _) => "ptrace (tracedby)",
    });
    peer(names, to, &rule.peer);
}

fn mount(to: &mut Lines, rule: &MountRule) {
    to.fixed(match rule.operation {
        MountOperation::Mount => "mount",
        MountOperation::Remount => "remount",
        MountOperation::Umount => "umount",
        MountOperation::PivotRoot => "pivot_root",
    });
    if let Some(filesystem) = &rule.filesystem {
        to.fixed(" fstype=").quoted(filesystem, Tail::File);
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
fn files(names: &Names<'_>, rules: &[FileRule], indent: Indent, evidence: &Evidence) -> Vec<Section> {
    const CHANGES: Permissions =
        Permissions::WRITE.union(Permissions::APPEND).union(Permissions::LINK).union(Permissions::LOCK);
    let programs = match names.exec {
        Exec::Inherit => "Programs, executed under this same profile",
        Exec::Child => "Programs, each executed under its own part of this profile",
        Exec::Separate => "Programs, each executed under a profile of its own",
    };
    let headings = [
        (programs, Permissions::EXECUTE),
        ("Libraries and other code, mapped executable", Permissions::MAP),
        ("Files written, created, removed or locked", CHANGES),
        ("Files and directories read", Permissions::all()),
    ];
    let mut sections = headings.map(|(title, kinds)| (title, kinds, Lines::default()));
    for rule in rules {
        let all = rule.anybody | rule.owner;
        if let Some((_, _, lines)) = sections.iter_mut().find(|(_, kinds, _)| all.intersects(*kinds)) {
            if let Some(evidence) = evidence.files.get(&(rule.pattern.clone(), rule.directory)) {
                lines.fixed(indent).fixed("# ").comment(evidence).end();
            }
            for (qualifier, permissions) in [("", rule.anybody), ("owner ", rule.owner)] {
                if !permissions.is_empty() {
                    lines.fixed(indent).fixed(qualifier);
                    file(names, lines, rule, permissions);
                }
            }
        }
    }
    let section = |(title, _, lines): (_, _, Lines)| Section { title: Escaped::fixed(title), rules: lines.finish() };
    sections.map(section).into()
}

fn file(names: &Names<'_>, to: &mut Lines, rule: &FileRule, permissions: Permissions) {
    let tail = if rule.directory { Tail::Directory } else { Tail::File };
    to.pattern(&rule.pattern, tail).fixed(" ");
    for (one, letter) in Permissions::LETTERS {
        if permissions.contains(one) {
            match (&rule.transition, one) {
                (_, one) if one != Permissions::EXECUTE => to.fixed(letter),
                (Transition::Inherit, _) => to.fixed("ix"),
                (Transition::Main, _) => to.fixed("px -> ").word(names.main.as_str()),
                (Transition::Program(short), _) if names.of_main && names.exec == Exec::Child => {
                    to.fixed("cx -> ").word(short)
                }
                (Transition::Program(short), _) => to.fixed("px -> ").profile(&names.program(short)),
            };
        }
    }
    to.fixed(",").end();
}
