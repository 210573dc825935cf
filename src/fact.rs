//! What decode says: one observed need of the workload, without task, address or time.
//!
//! Equal behaviour gives equal facts. Everything here is plain data with kernel-given values; judgement (is this
//! capability needed, is this path volatile) belongs to `infer`.

use std::fmt;
use std::net::IpAddr;

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

use crate::abi::{Abi, Syscall};
use crate::path::AbsPath;

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

bitflags! {
    /// What was done to a file, in the terms of the LSM hooks (`security/apparmor/include/perms.h`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Access: u32 {
        /// Opened for reading.
        const READ = 1;
        /// Opened for writing, not (only) appending; truncated.
        const WRITE = 1 << 1;
        /// Opened with `O_APPEND` for writing.
        const APPEND = 1 << 2;
        /// Created, or opened with `O_CREAT`, which asks for the same: open, mkdir, mknod, symlink, a socket's bind.
        const CREATE = 1 << 3;
        /// Removed: unlink, rmdir.
        const REMOVE = 1 << 4;
        /// The old name of a rename.
        const RENAME_FROM = 1 << 5;
        /// The new name of a rename.
        const RENAME_TO = 1 << 6;
        /// The new name of a hard link.
        const LINK = 1 << 7;
        /// The old name of a hard link.
        const LINK_TARGET = 1 << 8;
        /// Locked: flock, fcntl.
        const LOCK = 1 << 9;
        /// Mapped with `PROT_EXEC`, also by a later mprotect.
        const MAP_EXEC = 1 << 10;
        /// Executed.
        const EXEC = 1 << 11;
        /// A directory opened for listing.
        const LIST = 1 << 12;
        /// Mode changed.
        const CHMOD = 1 << 13;
        /// Owner or group changed.
        const CHOWN = 1 << 14;
        /// Times changed.
        const UTIME = 1 << 15;
        /// Extended attributes set or removed.
        const SETXATTR = 1 << 16;
        /// Extended attributes read.
        const GETXATTR = 1 << 17;
        /// Looked at without opening: stat, access, readlink, chdir, `O_PATH`.
        const STAT = 1 << 18;
        /// Connected to, as a Unix socket.
        const CONNECT = 1 << 19;
        /// Open for reading when the program began to run: another program had opened it.
        const INHERIT_READ = 1 << 20;
        /// Open for writing when the program began to run.
        const INHERIT_WRITE = 1 << 21;
    }
}

impl Access {
    /// Field-standard names, in the order of the bits; used in records and messages.
    pub const NAMES: [(Self, &'static str); 22] = [
        (Self::READ, "read"),
        (Self::WRITE, "write"),
        (Self::APPEND, "append"),
        (Self::CREATE, "create"),
        (Self::REMOVE, "remove"),
        (Self::RENAME_FROM, "rename-from"),
        (Self::RENAME_TO, "rename-to"),
        (Self::LINK, "link"),
        (Self::LINK_TARGET, "link-target"),
        (Self::LOCK, "lock"),
        (Self::MAP_EXEC, "map-exec"),
        (Self::EXEC, "exec"),
        (Self::LIST, "list"),
        (Self::CHMOD, "chmod"),
        (Self::CHOWN, "chown"),
        (Self::UTIME, "utime"),
        (Self::SETXATTR, "setxattr"),
        (Self::GETXATTR, "getxattr"),
        (Self::STAT, "stat"),
        (Self::CONNECT, "connect"),
        (Self::INHERIT_READ, "inherit-read"),
        (Self::INHERIT_WRITE, "inherit-write"),
    ];

    /// The access with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(access, _)| *access)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (access, name) in Self::NAMES {
            if self.contains(access) {
                write!(out, "{separator}{name}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

impl Serialize for Access {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.split_whitespace().try_fold(Self::empty(), |all, name| {
            let one = Self::named(name);
            one.map(|one| all | one).ok_or_else(|| serde::de::Error::custom(format!("unknown file access `{name}`")))
        })
    }
}

/// The use of one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileFact {
    /// The kernel's own path.
    pub path: AbsPath,
    /// What was done.
    pub access: Access,
    /// Whether the task's filesystem user id owned the file.
    pub owner: bool,
    /// Whether it is a directory.
    pub directory: bool,
}

/// The use of one socket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NetworkFact {
    /// Address family, `AF_*`.
    pub family: i32,
    /// Socket type, `SOCK_*`, without flags.
    #[serde(rename = "type")]
    pub kind: i32,
    /// Protocol number as the kernel reports it.
    pub protocol: i32,
    /// What was done.
    pub operation: NetworkOperation,
    /// The socket's own address.
    #[serde(default, skip_serializing_if = "Endpoint::is_none")]
    pub local: Endpoint,
    /// The peer's address. Of an accepted connection the port is left out: it is the client's choice.
    #[serde(default, skip_serializing_if = "Endpoint::is_none")]
    pub remote: Endpoint,
}

/// What was done with a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkOperation {
    /// `socket(2)`.
    Create,
    /// `socketpair(2)`.
    Pair,
    /// `bind(2)`.
    Bind,
    /// `connect(2)`.
    Connect,
    /// `listen(2)`.
    Listen,
    /// `accept(2)`.
    Accept,
    /// `sendto(2)` and the like with an address.
    Send,
    /// Open when the program began to run: another program had made it.
    Inherit,
}

/// One end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// None, or not known.
    #[default]
    None,
    /// An internet address and port; port 0 stands for "chosen by the kernel" or "any".
    Inet(IpAddr, u16),
    /// A Unix socket in the file system.
    Path(AbsPath),
    /// A Unix socket in the abstract namespace, without the leading NUL, as [`crate::path::to_text`].
    Abstract(String),
    /// A Unix socket without a name.
    Unnamed,
    /// Netlink multicast groups.
    Netlink(u32),
    /// An address of another family, in hexadecimal.
    Other(String),
}

impl Endpoint {
    /// Whether there is no address.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// The execution of a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExecutionFact {
    /// The file that was asked for, resolved: the script for a `#!` script.
    pub file: AbsPath,
    /// The program that runs then: `file` itself, or the interpreter of a script.
    pub program: AbsPath,
    /// The ELF loader (`PT_INTERP`), when the program has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<AbsPath>,
    /// What the file would change of the credentials: set-user-ID, set-group-ID or file capabilities.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
}

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

/// What was done with a message queue, in AppArmor's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of apparmor.d(5)")]
pub enum QueueAccess {
    Create,
    Open,
    Delete,
    Read,
    Write,
    Getattr,
    Setattr,
}

impl QueueAccess {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Create, Self::Open, Self::Delete, Self::Read, Self::Write, Self::Getattr, Self::Setattr];

    /// The name used in records and rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Delete => "delete",
            Self::Read => "read",
            Self::Write => "write",
            Self::Getattr => "getattr",
            Self::Setattr => "setattr",
        }
    }
}

/// A call whose outcome may hang on a capability, with the operands that the kernel looks at.
///
/// `infer::caps` judges it; decode only leaves out what the plain permission rules grant anyway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Check {
    /// The call, by name.
    pub call: Syscall,
    /// What it asked for.
    pub operation: Operation,
    /// Filesystem user and group id (effective ones for calls not about files).
    pub ids: (u32, u32),
    /// Effective capabilities at the time; permitted ones, where the kernel looks at those.
    pub effective: CapabilitySet,
}

/// What was asked of the kernel, with its operands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Binding an internet port below the first unprivileged one.
    BindPort {
        /// The port asked for, not 0.
        port: u16,
        /// `net.ipv4.ip_unprivileged_port_start`.
        unprivileged: u16,
    },
    /// A raw or packet socket.
    RawSocket {
        /// `AF_*`.
        family: i32,
        /// `SOCK_*`.
        kind: i32,
    },
    /// Access to a file that mode bits and ACL do not grant.
    FileAccess {
        /// Which file or directory.
        path: AbsPath,
        /// `rwx` bits wanted (4, 2, 1).
        wanted: u8,
        /// `st_mode`.
        mode: u32,
        /// Owner and group.
        owner: (u32, u32),
    },
    /// An operation for the file's owner alone (chmod, utimes, O_NOATIME, a sticky directory) on another's file.
    OwnerOnly {
        /// Which file.
        path: AbsPath,
        /// Its owner and group.
        owner: (u32, u32),
    },
    /// A change of owner or group.
    Chown {
        /// Which file.
        path: AbsPath,
        /// Owner and group before.
        from: (u32, u32),
        /// Owner and group asked for; `None` keeps it.
        to: (Option<u32>, Option<u32>),
        /// Whether the caller belongs to the group asked for.
        member: bool,
    },
    /// A mode with set-user-ID or set-group-ID bits was set.
    SetIdBits {
        /// Which file.
        path: AbsPath,
        /// The mode asked for.
        mode: u32,
        /// The file's group, and whether the caller belongs to it.
        group: (u32, bool),
    },
    /// User ids asked for (real, effective, saved, filesystem) while having these.
    SetUserIds {
        /// Ids asked for; `None` keeps it.
        to: [Option<u32>; 4],
        /// Ids before.
        from: [u32; 4],
    },
    /// The same for group ids.
    SetGroupIds {
        /// Ids asked for; `None` keeps it.
        to: [Option<u32>; 4],
        /// Ids before.
        from: [u32; 4],
    },
    /// `setgroups(2)`.
    SetGroups,
    /// A signal to a process of another user.
    Kill {
        /// Real and effective user id of the sender.
        sender: (u32, u32),
        /// Real and saved user id of the receiver.
        receiver: (u32, u32),
    },
    /// `chroot(2)`.
    Chroot,
    /// `mknod(2)` of a device node: `S_IFCHR` or `S_IFBLK`.
    MakeDevice {
        /// The file type.
        kind: u32,
    },
    /// A better nice value, real-time policy, affinity or priority of I/O.
    Schedule {
        /// What, for a reader: `nice -5`, `SCHED_FIFO`.
        what: String,
        /// Whether `RLIMIT_NICE` or `RLIMIT_RTPRIO` allows it anyway.
        within_limit: bool,
    },
    /// A hard limit raised.
    RaiseLimit {
        /// `RLIMIT_*`.
        resource: u32,
        /// Hard limit before.
        from: u64,
        /// Hard limit asked for.
        to: u64,
    },
    /// A question whose answer changes nothing here: the kernel asks for the capability and does the same without it. Only
    /// a security module that logs refusals tells the difference.
    Idle {
        /// Which capability is asked for.
        capability: Capability,
        /// What, for a reader: `link /srv/a, which its owner may do as well`.
        what: String,
    },
    /// An administrative call that one capability guards as a whole (mount, sethostname, unshare …).
    Privileged {
        /// Which capability guards it.
        capability: Capability,
        /// What, for a reader: `mount tmpfs on /mnt`.
        what: String,
    },
    /// A call that either of two capabilities grants.
    Either {
        /// The narrower one.
        capability: Capability,
        /// The other one.
        other: Capability,
        /// What, for a reader.
        what: String,
        /// Why it cannot be told whether a refusal would have mattered; empty when it would have.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        doubt: String,
    },
    /// A call that a capability guards, but whether its refusal would have mattered cannot be told.
    Doubtful {
        /// Which capability guards it.
        capability: Capability,
        /// What, for a reader.
        what: String,
        /// Why it cannot be told.
        doubt: String,
    },
    /// The kernel's own word that it asked, without the operands.
    Observed {
        /// For which capability.
        capability: Capability,
        /// The kernel's function that asked.
        by: String,
    },
    /// A request whose answer is not the outcome of the call: a netlink message, a file whose writes are judged.
    Unanswered {
        /// Which capability guards it.
        capability: Capability,
        /// What, for a reader.
        what: String,
        /// Why it cannot be told whether a refusal would have mattered; empty when it would have.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        doubt: String,
    },
}

/// A set of capabilities, bit N for capability N.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapabilitySet(pub u64);

impl CapabilitySet {
    /// Whether `capability` is in it.
    #[must_use]
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & (1 << capability as u8) != 0
    }
}

impl Serialize for CapabilitySet {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:x}", self.0))
    }
}

impl<'de> Deserialize<'de> for CapabilitySet {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

macro_rules! capabilities {
    ($($name:ident $text:literal)*) => {
        /// A Linux capability (`capabilities(7)`); the discriminant is the kernel's number.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[expect(missing_docs, reason = "the names are those of capabilities(7)")]
        pub enum Capability { $(#[serde(rename = $text)] $name),* }

        impl Capability {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name with prefix, such as `CAP_CHOWN`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
        }
    };
}

capabilities! {
    Chown "CAP_CHOWN"
    DacOverride "CAP_DAC_OVERRIDE"
    DacReadSearch "CAP_DAC_READ_SEARCH"
    Fowner "CAP_FOWNER"
    Fsetid "CAP_FSETID"
    Kill "CAP_KILL"
    Setgid "CAP_SETGID"
    Setuid "CAP_SETUID"
    Setpcap "CAP_SETPCAP"
    LinuxImmutable "CAP_LINUX_IMMUTABLE"
    NetBindService "CAP_NET_BIND_SERVICE"
    NetBroadcast "CAP_NET_BROADCAST"
    NetAdmin "CAP_NET_ADMIN"
    NetRaw "CAP_NET_RAW"
    IpcLock "CAP_IPC_LOCK"
    IpcOwner "CAP_IPC_OWNER"
    SysModule "CAP_SYS_MODULE"
    SysRawio "CAP_SYS_RAWIO"
    SysChroot "CAP_SYS_CHROOT"
    SysPtrace "CAP_SYS_PTRACE"
    SysPacct "CAP_SYS_PACCT"
    SysAdmin "CAP_SYS_ADMIN"
    SysBoot "CAP_SYS_BOOT"
    SysNice "CAP_SYS_NICE"
    SysResource "CAP_SYS_RESOURCE"
    SysTime "CAP_SYS_TIME"
    SysTtyConfig "CAP_SYS_TTY_CONFIG"
    Mknod "CAP_MKNOD"
    Lease "CAP_LEASE"
    AuditWrite "CAP_AUDIT_WRITE"
    AuditControl "CAP_AUDIT_CONTROL"
    Setfcap "CAP_SETFCAP"
    MacOverride "CAP_MAC_OVERRIDE"
    MacAdmin "CAP_MAC_ADMIN"
    Syslog "CAP_SYSLOG"
    WakeAlarm "CAP_WAKE_ALARM"
    BlockSuspend "CAP_BLOCK_SUSPEND"
    AuditRead "CAP_AUDIT_READ"
    Perfmon "CAP_PERFMON"
    Bpf "CAP_BPF"
    CheckpointRestore "CAP_CHECKPOINT_RESTORE"
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Something that was not seen, or not wholly; shown wherever the record is used.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Gap {
    /// Which kind of loss.
    pub kind: GapKind,
    /// What exactly, and what to do about it; one sentence without a final dot.
    pub detail: String,
}

/// Kinds of loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GapKind {
    /// io_uring was used: its operations are not system calls.
    IoUring,
    /// A task that was not traced, or not to its end.
    Untraced,
    /// The workload uses ptrace itself, which fails while it is traced.
    TracesItself,
    /// The workload listens to a seccomp filter of its own, which fails while it is traced in the usual way.
    ListensItself,
    /// A set-user-ID or file-capability program that gained nothing because it was traced.
    Unprivileged,
    /// A call that no table names.
    UnnamedSyscall,
    /// A call of an architecture that this program does not know.
    ForeignArch,
    /// Memory of the workload that could not be read, or held no legal value.
    Unreadable,
    /// A path that could not be resolved, or cannot be expressed.
    UnknownPath,
    /// A small set that reached its limit: further values were not kept.
    Limit,
    /// Something seen that an output format has no words for.
    Inexpressible,
    /// A record that was to be merged and could not be read.
    Skipped,
}

impl GapKind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::IoUring,
        Self::Untraced,
        Self::TracesItself,
        Self::Unprivileged,
        Self::UnnamedSyscall,
        Self::ForeignArch,
        Self::Unreadable,
        Self::UnknownPath,
        Self::Limit,
        Self::Inexpressible,
        Self::Skipped,
    ];

    /// The name used in records and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::IoUring => "io-uring",
            Self::Untraced => "untraced",
            Self::TracesItself => "traces-itself",
            Self::ListensItself => "listens-itself",
            Self::Unprivileged => "unprivileged",
            Self::UnnamedSyscall => "unnamed-syscall",
            Self::ForeignArch => "foreign-arch",
            Self::Unreadable => "unreadable",
            Self::UnknownPath => "unknown-path",
            Self::Limit => "limit",
            Self::Inexpressible => "inexpressible",
            Self::Skipped => "skipped",
        }
    }
}
