//! What decode says: one observed need of the workload, without task, address or time.
//!
//! Equal behaviour gives equal facts. Everything here is plain data with kernel-given values; judgement (is this
//! capability needed, is this path volatile) belongs to `infer`.

/// An enum whose values have names, by which records and messages call them.
macro_rules! named {
    ($(#[$about:meta])* $kind:ident { $($(#[$meaning:meta])* $value:ident $name:literal)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $kind { $($(#[$meaning])* #[serde(rename = $name)] $value),* }

        impl $kind {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];

            /// The name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $name),* }
            }

            /// The one with this name.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$value),)*
                    _ => None,
                }
            }
        }
    };
}

mod capability;
mod file;
mod gap;
mod network;

use serde::{Deserialize, Serialize};

use crate::abi::{Abi, Syscall};
use crate::path::AbsPath;

pub use capability::{Capability, CapabilitySet, Check, Operation};
pub use file::{Access, ExecutionFact, FileFact};
pub use gap::{Gap, GapKind};
pub use network::{Endpoint, NetworkFact, NetworkOperation};

/// One observed need. The outcome stands beside it (see [`crate::record::Record::absorb`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fact {
    /// A system call was entered.
    Syscall(Abi, Syscall),
    /// The scalar arguments with which a call was entered, where they decide what the call means.
    Arguments(Abi, Syscall, Arguments),
    /// A file was used.
    File(FileFact),
    /// A socket was used.
    Network(NetworkFact),
    /// A program was executed.
    Execution(ExecutionFact),
    /// A call was made whose outcome may hang on a capability.
    Check(Check),
    /// A signal was sent.
    Signal(SignalFact),
    /// A namespace was created or joined.
    Namespace(NamespaceFact),
    /// The mount table was changed.
    Mount(MountFact),
    /// Ids were changed to others.
    Identity(IdentityFact),
    /// A process ended.
    End(EndFact),
    /// A resource limit was changed.
    Limit(LimitFact),
    /// Another task was traced.
    Trace(TraceFact),
    /// A POSIX message queue was used.
    Queue(QueueFact),
}

impl Fact {
    /// The ABI of a call.
    #[must_use]
    pub const fn abi(&self) -> Option<Abi> {
        match self {
            Self::Syscall(abi, _) | Self::Arguments(abi, ..) => Some(*abi),
            _ => None,
        }
    }
}

/// Significant scalar arguments of a call, by index, masked to the width that the kernel looks at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arguments(pub Vec<(u8, u64)>);

/// A sent signal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SignalFact {
    /// Signal number; 0 is a test for existence.
    pub signal: i32,
    /// To whom.
    pub to: SignalTarget,
}

/// The receiver of a signal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignalTarget {
    /// A task of the sender's own process.
    Itself,
    /// A process of the workload that runs this program.
    Program(AbsPath),
    /// A process group, or every process.
    Group,
    /// A process outside the workload.
    Outside,
}

/// A namespace created or joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NamespaceFact {
    /// Which kind.
    pub kind: NamespaceKind,
    /// `setns(2)` rather than `unshare(2)` or `clone(2)`.
    pub joined: bool,
}

/// Kinds of namespaces (`namespaces(7)`), named as in the OCI runtime-spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of namespaces(7)")]
pub enum NamespaceKind {
    Cgroup,
    Ipc,
    Mount,
    Network,
    Pid,
    Time,
    User,
    Uts,
}

impl NamespaceKind {
    /// Each kind with its `CLONE_NEW*` flag.
    pub const FLAGS: [(Self, u64); 8] = [
        (Self::Cgroup, 0x0200_0000),
        (Self::Ipc, 0x0800_0000),
        (Self::Mount, 0x0002_0000),
        (Self::Network, 0x4000_0000),
        (Self::Pid, 0x2000_0000),
        (Self::Time, 0x0000_0080),
        (Self::User, 0x1000_0000),
        (Self::Uts, 0x0400_0000),
    ];
}

/// A change of the mount table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MountFact {
    /// What was done.
    pub operation: MountOperation,
    /// Source, as given (a device, a directory or a plain word), in [`crate::path::to_text`] form; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The mount point, resolved; for `pivot_root(2)` the new root.
    pub target: AbsPath,
    /// File system type; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub filesystem: String,
    /// `MS_*` flags of `mount(2)`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub flags: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

/// What was done to the mount table, in AppArmor's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountOperation {
    /// A new mount, a bind mount or a move.
    Mount,
    /// `MS_REMOUNT`.
    Remount,
    /// `umount2(2)`.
    Umount,
    /// `pivot_root(2)`.
    PivotRoot,
}

/// A change of ids that had an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IdentityFact {
    /// Real, effective and saved user id afterwards.
    User(u32, u32, u32),
    /// Real, effective and saved group id afterwards.
    Group(u32, u32, u32),
}

/// Who a process was when it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndFact {
    /// Effective user id.
    pub user: u32,
    /// Effective group id.
    pub group: u32,
}

/// A changed resource limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LimitFact {
    /// `RLIMIT_*`.
    pub resource: u32,
    /// The new hard limit; `u64::MAX` is no limit.
    pub hard: u64,
}

/// Tracing or reading another task: `ptrace(2)`, `process_vm_readv(2)` and the like.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TraceFact {
    /// Reading only (`PTRACE_MODE_READ`).
    pub read_only: bool,
    /// Whom.
    pub to: SignalTarget,
}

/// The use of a POSIX message queue (`mq_overview(7)`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueueFact {
    /// Its name, with the slash at the beginning.
    pub name: AbsPath,
    /// What was done.
    pub access: QueueAccess,
}

named! {
    /// What was done with a message queue, in AppArmor's words.
    #[expect(missing_docs, reason = "the names are those of apparmor.d(5)")]
    QueueAccess {
        Create "create"
        Open "open"
        Delete "delete"
        Read "read"
        Write "write"
        Getattr "getattr"
        Setattr "setattr"
    }
}
