//! What one release needs that another did not: two records, or two policies of one kind, compared.
//!
//! Each side is a set of [`Item`]s with parts ([`Side`]); an item that only one side has was added or removed, one with
//! more or fewer parts was widened or narrowed. Swapping the sides mirrors every change. `moves` takes out what only
//! changed its name; [`risk`] grades the rest; [`show`] writes it. Policies are compared by what they let through, which
//! takes both at once (`seccomp`, `apparmor`): what one covers by a wider rule is no difference. Pure: opens no files,
//! asks no clock.

pub mod accept;
mod apparmor;
mod compare;
mod grade;
mod moves;
pub mod report;
mod seccomp;
pub mod show;
mod side;
pub(crate) mod words;

use std::borrow::Cow;

pub use compare::{Change, Direction, compare};
pub use grade::grade;
pub use report::{Report, Witness, witnesses};
pub use side::Side;

pub use crate::infer::risk::{self, Level};

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A capability that is kept.
    Capability,
    /// A system call; its parts are ABIs and argument values.
    Syscall,
    /// A program that is executed.
    Program,
    /// A family (of rules: with the type) of sockets.
    Family,
    /// A use of sockets; its parts are addresses.
    Network,
    /// A file or pattern; its parts are what is done.
    File,
    /// A change of the mount table.
    Mount,
    /// A namespace created or joined.
    Namespace,
    /// Ids changed to.
    Identity,
    /// Tracing of other tasks.
    Ptrace,
    /// A message queue; its parts are what is done.
    Queue,
    /// A signal; its parts are the receivers.
    Signal,
    /// A resource limit.
    Limit,
    /// What was not seen.
    Gap,
    /// How a call fails that is refused anyway.
    Refusal,
    /// What a policy says as a whole: what happens to everything that it does not name, for which ABIs it is.
    Policy,
}

impl Kind {
    /// Every kind, in the order of the lists.
    pub const ALL: [Self; 16] = [
        Self::Capability,
        Self::Syscall,
        Self::Program,
        Self::Family,
        Self::Network,
        Self::File,
        Self::Mount,
        Self::Namespace,
        Self::Identity,
        Self::Ptrace,
        Self::Queue,
        Self::Signal,
        Self::Limit,
        Self::Gap,
        Self::Refusal,
        Self::Policy,
    ];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capability => "capability",
            Self::Syscall => "syscall",
            Self::Program => "program",
            Self::Family => "family",
            Self::Network => "network",
            Self::File => "file",
            Self::Mount => "mount",
            Self::Namespace => "namespace",
            Self::Identity => "identity",
            Self::Ptrace => "ptrace",
            Self::Queue => "queue",
            Self::Signal => "signal",
            Self::Limit => "limit",
            Self::Gap => "gap",
            Self::Refusal => "refusal",
            Self::Policy => "policy",
        }
    }

    /// The word for several ones.
    #[must_use]
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Capability => "capabilities",
            Self::Syscall => "syscalls",
            Self::Program => "programs",
            Self::Family => "families",
            Self::Network => "network uses",
            Self::File => "files",
            Self::Mount => "mounts",
            Self::Namespace => "namespaces",
            Self::Identity => "identities",
            Self::Ptrace => "ptrace uses",
            Self::Queue => "message queues",
            Self::Signal => "signals",
            Self::Limit => "limits",
            Self::Gap => "gaps",
            Self::Refusal => "refusals",
            Self::Policy => "policy settings",
        }
    }

    /// Whether the parts of an item, rather than the item, may be named after files.
    #[must_use]
    pub const fn has_names_in_parts(self) -> bool {
        matches!(self, Self::Network | Self::Signal | Self::Ptrace)
    }
}

/// One thing that a side has.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Item {
    /// Of which kind.
    pub kind: Kind,
    /// Its name; names of the workload in their reversible text form ([`crate::path::to_text`]).
    pub name: String,
}

/// A part of an item: an access to a file, an ABI, an address. An item without parts has the empty one.
pub type Part = Cow<'static, str>;

/// How much must have changed to be a finding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Threshold {
    /// Changes at or above this level; without level and kinds, any.
    pub level: Option<Level>,
    /// Changes of these kinds, whatever their level.
    pub kinds: Vec<Kind>,
}

impl Threshold {
    /// Whether a change of this kind and level is a finding.
    #[must_use]
    pub fn reached(&self, kind: Kind, level: Level) -> bool {
        let any = self.level.is_none() && self.kinds.is_empty();
        any || self.level.is_some_and(|least| level >= least) || self.kinds.contains(&kind)
    }
}

/// Whether two paths are the same, or differ in a version or another name that changes by itself.
#[must_use]
pub fn same_but_moved(one: &str, other: &str) -> bool {
    one == other || moves::shape(one).is_some_and(|shape| Some(shape) == moves::shape(other))
}
