//! What a name may mean: a path, a system call, a capability and so on, each kind by its own words.

use std::net::SocketAddr;

use super::glob::Glob;
use super::topic::Topic;
use crate::abi::{Abi, Syscall, is_call};
use crate::diff::words;
use crate::fact::{Capability, Fact, GapKind, LimitFact, NamespaceKind};
use crate::path::{AbsPath, from_text};
use crate::policy::apparmor::names;
use crate::policy::seccomp::Architecture;
use crate::record::Record;

/// Everything that `item` may mean. `KIND:NAME` says which kind it is.
pub(super) fn topics(item: &str, record: &Record) -> Vec<Topic> {
    let (kind, name) = match item.split_once(':') {
        Some((kind, name)) if KINDS.contains(&kind) => (Some(kind), name),
        _ => (None, item),
    };
    let mut topics = of_path(name, record);
    if topics.is_empty() {
        topics.extend(capability(name).map(Topic::Capability));
        topics.extend(call(name));
        topics.extend(signal(name).map(|word| Topic::Signals([word].into())));
        topics.extend(sockets(name));
        topics.extend(of_word(name, record));
        topics.extend(of_number(name));
    }
    topics.extend(explicit(kind.unwrap_or_default(), name));
    topics.retain(|topic| kind.is_none_or(|kind| kind == topic.kind()));
    let mut once = Vec::new();
    for topic in topics {
        if !once.contains(&topic) {
            once.push(topic);
        }
    }
    once
}

/// The kinds that can stand before a colon.
pub(super) const KINDS: [&str; 16] = [
    "abi",
    "address",
    "capability",
    "file",
    "gap",
    "group",
    "limit",
    "mount",
    "namespace",
    "network",
    "port",
    "ptrace",
    "queue",
    "signal",
    "syscall",
    "user",
];

/// What only its kind tells.
fn explicit(kind: &str, name: &str) -> Option<Topic> {
    match kind {
        "address" => Some(Topic::Address(name.to_owned())),
        "mount" => Some(Topic::Mounts(None, Some(Glob::parse(name)?))),
        "ptrace" => Some(Topic::Ptrace),
        "queue" => Some(Topic::Queues(Some(Glob::parse(name)?))),
        "network" if name == "any" => Some(Topic::Sockets(None, None)),
        "signal" if name == "any" => Some(Topic::Signals([].into())),
        _ => None,
    }
}

/// A path in its reversible text, or a pattern as AppArmor has them. A path that was seen is never a pattern.
fn of_path(name: &str, record: &Record) -> Vec<Topic> {
    let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
    let trimmed = if name.len() > 1 { name.trim_end_matches('/') } else { name };
    let given = AbsPath::new(trimmed.as_bytes()).ok().filter(|path| seen(record, path));
    let escaped = || from_text(trimmed).and_then(|bytes| AbsPath::new(&bytes).ok());
    match given.or_else(escaped) {
        Some(path) if seen(record, &path) => vec![Topic::paths(Glob::of(&path))],
        _ => Glob::parse(name).map(Topic::paths).into_iter().collect(),
    }
}

fn seen(record: &Record, path: &AbsPath) -> bool {
    let topic = Topic::paths(Glob::of(path));
    let known = |subject: &crate::record::Subject| subject.files.contains_key(path);
    record.subjects.values().any(known) || record.sightings().any(|(_, one)| topic.holds(&one.fact))
}

/// `CAP_CHOWN`, `chown`.
pub(super) fn capability(name: &str) -> Option<Capability> {
    let upper = name.to_ascii_uppercase();
    let full = if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") };
    Capability::named(&full)
}

/// `openat`, `openat(2)`, `openat (x86_64)`, `x86_64 openat`, `SCMP_ARCH_X86_64`.
fn call(name: &str) -> Option<Topic> {
    if let Some(abi) = abi(name) {
        return Some(Topic::Abi(abi));
    }
    let plain = name.strip_suffix("(2)").unwrap_or(name);
    let (call, of) = match plain.split_once(' ') {
        Some((first, second)) => match abi(first) {
            Some(abi) => (second, Some(abi)),
            None => (first, Some(abi(second.trim_matches(['(', ')']))?)),
        },
        None => (plain, None),
    };
    is_call(call).then(|| Topic::Syscall(Syscall::Named(call.into()), of))
}

/// An ABI by its own name or by libseccomp's.
pub(super) fn abi(name: &str) -> Option<Abi> {
    let own = Abi::ALL.into_iter().find(|abi| abi.name() == name);
    own.or(match Architecture::named(name) {
        Some(Architecture::Known(abi)) => Some(abi),
        _ => None,
    })
}

/// `term`, `SIGTERM`.
pub(super) fn signal(name: &str) -> Option<&'static str> {
    let lower = name.to_ascii_lowercase();
    let word = lower.strip_prefix("sig").filter(|word| !word.is_empty()).unwrap_or(&lower);
    (0..=64).filter_map(names::signal).find(|known| *known == word)
}

/// `inet`, `stream`, `inet stream`.
pub(super) fn sockets(name: &str) -> Option<Topic> {
    let mut words = name.split_whitespace().filter(|word| *word != "network").peekable();
    words.peek()?;
    let (mut family, mut kind) = (None, None);
    for word in words {
        match ((0..64).filter_map(names::family).find(|known| *known == word), kind_of(word)) {
            (Some(known), _) if family.is_none() => family = Some(known),
            (_, Some(known)) if kind.is_none() => kind = Some(known),
            _ => return None,
        }
    }
    Some(Topic::Sockets(family, kind))
}

/// The type of a socket.
pub(super) fn kind_of(word: &str) -> Option<&'static str> {
    (0..16).filter_map(names::socket_type).find(|known| *known == word)
}

/// Words of smaller kinds, and programs by their file's name.
fn of_word(name: &str, record: &Record) -> Vec<Topic> {
    let mut topics = Vec::new();
    let lower = name.to_ascii_lowercase();
    let kinds = NamespaceKind::FLAGS.map(|(kind, _)| kind).into_iter();
    let namespace = |kind: &NamespaceKind| {
        let known = format!("{kind:?}").to_ascii_lowercase();
        known == lower
            || matches!((lower.as_str(), kind), ("net", NamespaceKind::Network) | ("mnt", NamespaceKind::Mount))
    };
    topics.extend(kinds.filter(namespace).map(Topic::Namespace));
    topics.extend(limit(name));
    topics.extend(GapKind::named(name).map(Topic::Gap));
    if name.parse::<SocketAddr>().is_ok() || name.starts_with('@') {
        topics.push(Topic::Address(name.to_owned()));
    }
    if let Some(port) = lower.strip_prefix(':').or_else(|| lower.strip_prefix("port ")) {
        topics.extend(port.parse().ok().map(Topic::Port));
    }
    topics.extend(lower.strip_prefix("user ").and_then(|id| id.parse().ok()).map(Topic::User));
    topics.extend(lower.strip_prefix("group ").and_then(|id| id.parse().ok()).map(Topic::Group));
    if !name.is_empty() && !name.contains('/') {
        topics.extend(programs(record, name).into_iter().map(|path| Topic::paths(Glob::of(&path))));
    }
    topics
}

/// `nofile`, `RLIMIT_NOFILE`.
pub(super) fn limit(name: &str) -> Option<Topic> {
    let lower = name.to_ascii_lowercase();
    let word = lower.strip_prefix("rlimit_").unwrap_or(&lower);
    let names = (0..16).map(|resource| words::limit(&LimitFact { resource, hard: 0 }).0);
    names.into_iter().find(|known| known == word).map(Topic::Limit)
}

/// The kind of a gap with its detail, as every profile has them: `kind: detail`.
pub(super) fn gap(text: &str) -> Option<GapKind> {
    text.split(':').next().and_then(GapKind::named)
}

/// A number may be a port, an id or a call.
fn of_number(name: &str) -> Vec<Topic> {
    let Ok(number) = name.parse::<u32>() else {
        return Vec::new();
    };
    let port = u16::try_from(number).ok().filter(|port| *port != 0).map(Topic::Port);
    let calls = Abi::ALL.into_iter().map(|abi| Topic::Syscall(abi.syscall(number), Some(abi)));
    port.into_iter().chain([Topic::User(number), Topic::Group(number)]).chain(calls).collect()
}

/// Programs whose file has this name.
fn programs(record: &Record, name: &str) -> Vec<AbsPath> {
    let executed = record.sightings().filter_map(|(_, one)| match one.fact {
        Fact::Execution(fact) => Some(fact.file),
        _ => None,
    });
    let mut programs: Vec<_> = record.subjects.keys().cloned().chain(executed).collect();
    programs.retain(|path| path.file_name() == name.as_bytes());
    programs.sort();
    programs.dedup();
    programs
}
