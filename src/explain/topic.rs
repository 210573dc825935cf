//! What an item or a line is about: which facts belong to it.

use std::collections::BTreeSet;

use super::glob::Glob;
use crate::abi::{Abi, Syscall};
use crate::diff::words;
use crate::fact::{
    Access, Capability, Endpoint, Fact, FileFact, GapKind, IdentityFact, MountOperation, NamespaceKind, NetworkFact,
    Operation,
};
use crate::infer::caps::{idle_question, sufficient};
use crate::policy::apparmor::{Permissions, names};
use crate::policy::seccomp::Test;
use crate::record::Record;

/// What an item or a line is about.
#[derive(Clone, Debug, PartialEq)]
pub enum Topic {
    /// A capability.
    Capability(Capability),
    /// A system call, of one ABI or of any.
    Syscall(Syscall, Option<Abi>),
    /// An argument of system calls with a value for which the test holds.
    Argument(BTreeSet<Syscall>, u8, Test),
    /// An ABI.
    Abi(Abi),
    /// Files.
    Files(Files),
    /// Sockets of a family and a type, or of any.
    Sockets(Option<&'static str>, Option<&'static str>),
    /// A port.
    Port(u16),
    /// An address, as it is written.
    Address(String),
    /// Signals; without any, all.
    Signals(BTreeSet<&'static str>),
    /// Tracing of other tasks.
    Ptrace,
    /// Message queues of these names, or of any.
    Queues(Option<Glob>),
    /// Changes of the mount table, of one kind and below some mount points, or any.
    Mounts(Option<MountOperation>, Option<Glob>),
    /// A namespace.
    Namespace(NamespaceKind),
    /// A user id.
    User(u32),
    /// A group id.
    Group(u32),
    /// A resource limit, by its name.
    Limit(String),
    /// What was not seen.
    Gap(GapKind),
    /// A call that is allowed as one of a set, though nobody made it, or refused in a way of its own: why.
    Member(Syscall, String),
}

/// Files, and what is done with them.
#[derive(Clone, Debug, PartialEq)]
pub struct Files {
    pub(super) paths: Glob,
    /// Letters of an AppArmor rule; none means anything.
    pub(super) letters: String,
    /// Whether the rule is for their owner alone.
    pub(super) owner: bool,
}

impl Topic {
    /// Anything that is done with these paths.
    pub(super) fn paths(paths: Glob) -> Self {
        Self::Files(Files { paths, letters: String::new(), owner: false })
    }

    /// What is asked of a line about it: of a member of a set the call.
    pub(super) fn itself(&self) -> Self {
        match self {
            Self::Member(call, _) => Self::Syscall(call.clone(), None),
            other => other.clone(),
        }
    }

    /// The word for its kind; before a colon it says what an item is.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Capability(_) => "capability",
            Self::Syscall(..) | Self::Member(..) => "syscall",
            Self::Argument(..) => "argument",
            Self::Abi(_) => "abi",
            Self::Files(_) => "file",
            Self::Sockets(..) => "network",
            Self::Port(_) => "port",
            Self::Address(_) => "address",
            Self::Signals(_) => "signal",
            Self::Ptrace => "ptrace",
            Self::Queues(_) => "queue",
            Self::Mounts(..) => "mount",
            Self::Namespace(_) => "namespace",
            Self::User(_) => "user",
            Self::Group(_) => "group",
            Self::Limit(_) => "limit",
            Self::Gap(_) => "gap",
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Capability(capability) => capability.name().to_owned(),
            Self::Syscall(call, None) | Self::Member(call, _) => call.to_string(),
            Self::Syscall(call, Some(abi)) => format!("{call} ({abi})"),
            Self::Argument(calls, index, test) => {
                let calls = calls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let (op, value, two) = test.parts();
                let value = two.map_or_else(|| format!("{value:#x}"), |two| format!("{value:#x} {two:#x}"));
                format!("{index} of {calls}: {op} {value}")
            }
            Self::Abi(abi) => abi.name().to_owned(),
            Self::Files(files) => files.paths.text().to_owned(),
            Self::Sockets(family, kind) => match (family, kind) {
                (None, None) => "any".to_owned(),
                (Some(one), None) | (None, Some(one)) => (*one).to_owned(),
                (Some(family), Some(kind)) => format!("{family} {kind}"),
            },
            Self::Port(port) => port.to_string(),
            Self::Address(address) => address.clone(),
            Self::Signals(signals) if signals.is_empty() => "any".to_owned(),
            Self::Signals(signals) => signals.iter().copied().collect::<Vec<_>>().join(" "),
            Self::Ptrace => "any".to_owned(),
            Self::Queues(target) | Self::Mounts(_, target) => target.as_ref().map_or("any", Glob::text).to_owned(),
            Self::Namespace(kind) => format!("{kind:?}").to_ascii_lowercase(),
            Self::User(id) | Self::Group(id) => id.to_string(),
            Self::Limit(name) => name.clone(),
            Self::Gap(kind) => kind.name().to_owned(),
        }
    }

    /// Whether a fact belongs to it.
    pub(super) fn holds(&self, fact: &Fact) -> bool {
        match (self, fact) {
            (Self::Capability(capability), Fact::Check(check)) => {
                sufficient(check).contains(capability) || idle_question(check) == Some(*capability)
            }
            (Self::Syscall(call, abi), Fact::Syscall(of, made) | Fact::Arguments(of, made, _)) => {
                call == made && abi.is_none_or(|abi| abi == *of)
            }
            (Self::Argument(calls, index, test), Fact::Arguments(_, call, values)) => {
                let mut values = values.0.iter().filter(|(at, _)| at == index);
                calls.contains(call) && values.any(|(_, value)| test.low().holds(*value))
            }
            (Self::Abi(abi), Fact::Syscall(of, _)) => abi == of,
            (Self::Files(files), fact) => files.hold(fact),
            (Self::Sockets(family, kind), Fact::Network(fact)) => {
                family.is_none_or(|word| names::family(fact.family) == Some(word))
                    && kind.is_none_or(|word| names::socket_type(fact.kind) == Some(word))
            }
            (Self::Port(port), Fact::Network(fact)) => {
                let has = |end: &Endpoint| matches!(end, Endpoint::Inet(_, of) if of == port);
                has(&fact.local) || has(&fact.remote)
            }
            (Self::Port(port), Fact::Check(check)) => {
                matches!(&check.operation, Operation::BindPort { port: of, .. } if of == port)
            }
            (Self::Address(address), Fact::Network(fact)) => words::network(fact).1 == *address,
            (Self::Signals(signals), Fact::Signal(fact)) => {
                signals.is_empty() || names::signal(fact.signal).is_some_and(|word| signals.contains(word))
            }
            (Self::Ptrace, Fact::Trace(_)) => true,
            (Self::Queues(name), Fact::Queue(fact)) => name.as_ref().is_none_or(|name| name.has(&fact.name)),
            (Self::Mounts(operation, target), Fact::Mount(fact)) => {
                operation.is_none_or(|operation| operation == fact.operation)
                    && target.as_ref().is_none_or(|target| target.has(&fact.target))
            }
            (Self::Namespace(kind), Fact::Namespace(fact)) => *kind == fact.kind,
            (Self::User(id), Fact::Identity(IdentityFact::User(real, effective, saved)))
            | (Self::Group(id), Fact::Identity(IdentityFact::Group(real, effective, saved))) => {
                [real, effective, saved].contains(&id)
            }
            (Self::User(id), Fact::End(fact)) => *id == fact.user,
            (Self::Group(id), Fact::End(fact)) => *id == fact.group,
            (Self::Limit(name), Fact::Limit(fact)) => words::limit(fact).0 == *name,
            _ => false,
        }
    }

    /// Whether it stands for several paths.
    pub(super) fn is_pattern(&self) -> bool {
        match self {
            Self::Files(files) => files.paths.is_pattern(),
            Self::Queues(Some(target)) | Self::Mounts(_, Some(target)) => target.is_pattern(),
            _ => false,
        }
    }

    /// Whether a line about this one is there because of these facts of `asked`. What each line would say of each fact
    /// of another kind (an ABI, a capability that would do as well) is left out.
    pub(super) fn leads_from(&self, asked: &Self, facts: &[&Fact]) -> bool {
        match (self, asked) {
            (Self::Abi(_) | Self::Capability(_) | Self::User(_) | Self::Group(_) | Self::Gap(_), _)
            | (_, Self::Abi(_)) => false,
            (Self::Syscall(call, _), Self::Syscall(of, None)) if call == of => true,
            (Self::Files(files), Self::Files(of)) if of.letters.is_empty() => facts.iter().any(|fact| files.hold(fact)),
            // Of a rule itself only those for the same paths and any of its letters.
            (Self::Files(files), Self::Files(of)) => {
                files.paths == of.paths && files.letters.chars().any(|letter| of.letters.contains(letter))
            }
            _ => facts.iter().any(|fact| self.holds(fact)),
        }
    }

    /// What is to be said of it without anybody having done anything.
    pub(super) fn notes(&self, record: &Record) -> Vec<String> {
        match self {
            Self::Gap(kind) => {
                let gaps = record.gaps.iter().filter(|gap| gap.kind == *kind);
                gaps.map(|gap| format!("not seen: {}", gap.detail)).collect()
            }
            Self::User(id) if record.runs.values().any(|run| run.uid == *id) => {
                vec!["the workload was started as this user".to_owned()]
            }
            Self::Group(id) if record.runs.values().any(|run| run.gid == *id || run.groups.contains(id)) => {
                vec!["the workload was started in this group".to_owned()]
            }
            _ => Vec::new(),
        }
    }

    /// The set that `topic` is of, if this is a line of one.
    pub(super) fn set_note(&self, topic: &Self) -> Option<String> {
        match (self, topic) {
            (Self::Member(call, note), Self::Syscall(of, None)) if call == of => Some(note.clone()),
            _ => None,
        }
    }
}

impl Files {
    fn hold(&self, fact: &Fact) -> bool {
        let asks = |letters: &[char]| self.letters.is_empty() || self.letters.contains(letters);
        match fact {
            Fact::File(fact) => self.paths.has_file(fact) && self.asks_for(fact.access),
            Fact::Execution(fact) => asks(&['x']) && (self.paths.has(&fact.file) || self.paths.has(&fact.program)),
            Fact::Network(NetworkFact { local, remote, .. }) => {
                let at = |end: &Endpoint| matches!(end, Endpoint::Path(path) if self.paths.has(path));
                asks(&['w']) && (at(local) || at(remote))
            }
            Fact::Mount(fact) => self.letters.is_empty() && self.paths.has(&fact.target),
            _ => false,
        }
    }

    /// Whether any of the letters is for what was done. The old name of a hard link has those of the new one as well.
    fn asks_for(&self, access: Access) -> bool {
        let asked = Permissions::for_access(access);
        let letters = Permissions::LETTERS.iter().filter(|(one, _)| asked.contains(*one));
        self.letters.is_empty()
            || access.contains(Access::LINK_TARGET)
            || letters.flat_map(|(_, letters)| letters.chars()).any(|letter| self.letters.contains(letter))
    }
}

/// A file's path, with a slash at its end when it is a directory.
pub(super) fn file_name(fact: &FileFact) -> String {
    let slash = if fact.directory && fact.path.as_bytes() != b"/" { "/" } else { "" };
    format!("{}{slash}", fact.path)
}
