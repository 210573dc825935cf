//! Capabilities, and calls whose outcome may hang on one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::abi::Syscall;
use crate::path::AbsPath;

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

named! {
    /// A Linux capability (`capabilities(7)`), by its name with prefix; the discriminant is the kernel's number.
    #[expect(missing_docs, reason = "the names are those of capabilities(7)")]
    Capability {
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
}

impl fmt::Display for Capability {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}
