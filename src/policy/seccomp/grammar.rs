//! The words of the OCI runtime-spec's `linux.seccomp` (`config-linux.md`, section Seccomp).

use std::collections::BTreeSet;

use crate::abi::{Abi, Syscall};

/// The largest errno that the kernel hands on (`MAX_ERRNO`, `include/linux/err.h`).
pub const MAX_ERRNO: u16 = 4095;

/// The errno of an errno action that names none.
pub const EPERM: u16 = 1;

/// The errno of a call that the kernel does not have.
pub const ENOSYS: u16 = 38;

/// What happens to a call (`SCMP_ACT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// It is made.
    Allow,
    /// It is made and logged.
    Log,
    /// It fails with this errno.
    Errno(u16),
    /// A tracer decides; without one it fails with ENOSYS. The number is the tracer's message.
    Trace(u16),
    /// A supervisor decides.
    Notify,
    /// The thread gets SIGSYS.
    Trap,
    /// The thread ends; also written `SCMP_ACT_KILL`.
    KillThread,
    /// The process ends.
    KillProcess,
}

impl Action {
    /// Every action by its name in the specification, with `errno` where it takes one.
    #[must_use]
    pub fn named(name: &str, errno: Option<u16>) -> Option<Self> {
        let errno = errno.unwrap_or(EPERM);
        Some(match name {
            "SCMP_ACT_ALLOW" => Self::Allow,
            "SCMP_ACT_LOG" => Self::Log,
            "SCMP_ACT_ERRNO" => Self::Errno(errno),
            "SCMP_ACT_TRACE" => Self::Trace(errno),
            "SCMP_ACT_NOTIFY" => Self::Notify,
            "SCMP_ACT_TRAP" => Self::Trap,
            "SCMP_ACT_KILL" | "SCMP_ACT_KILL_THREAD" => Self::KillThread,
            "SCMP_ACT_KILL_PROCESS" => Self::KillProcess,
            _ => return None,
        })
    }

    /// Its name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "SCMP_ACT_ALLOW",
            Self::Log => "SCMP_ACT_LOG",
            Self::Errno(_) => "SCMP_ACT_ERRNO",
            Self::Trace(_) => "SCMP_ACT_TRACE",
            Self::Notify => "SCMP_ACT_NOTIFY",
            Self::Trap => "SCMP_ACT_TRAP",
            Self::KillThread => "SCMP_ACT_KILL_THREAD",
            Self::KillProcess => "SCMP_ACT_KILL_PROCESS",
        }
    }

    /// Its errno, if it is one that takes one.
    #[must_use]
    pub const fn errno(self) -> Option<u16> {
        match self {
            Self::Errno(errno) | Self::Trace(errno) => Some(errno),
            _ => None,
        }
    }

    /// Whether the call is made; `None` when another program decides.
    #[must_use]
    pub const fn admits(self) -> Option<bool> {
        match self {
            Self::Allow | Self::Log => Some(true),
            Self::Trace(_) | Self::Notify => None,
            Self::Errno(_) | Self::Trap | Self::KillThread | Self::KillProcess => Some(false),
        }
    }
}

/// An architecture by its name in the specification (`SCMP_ARCH_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Architecture {
    /// One whose calls are known here.
    Known(Abi),
    /// Another one.
    Other(&'static str),
}

impl Architecture {
    /// The names of the specification that no [`Abi`] has.
    const OTHERS: [&'static str; 21] = [
        "SCMP_ARCH_ARM",
        "SCMP_ARCH_LOONGARCH64",
        "SCMP_ARCH_M68K",
        "SCMP_ARCH_MIPS",
        "SCMP_ARCH_MIPS64",
        "SCMP_ARCH_MIPS64N32",
        "SCMP_ARCH_MIPSEL",
        "SCMP_ARCH_MIPSEL64",
        "SCMP_ARCH_MIPSEL64N32",
        "SCMP_ARCH_PARISC",
        "SCMP_ARCH_PARISC64",
        "SCMP_ARCH_PPC",
        "SCMP_ARCH_PPC64",
        "SCMP_ARCH_PPC64LE",
        "SCMP_ARCH_RISCV64",
        "SCMP_ARCH_S390",
        "SCMP_ARCH_S390X",
        "SCMP_ARCH_SH",
        "SCMP_ARCH_SHEB",
        "SCMP_ARCH_SPARC",
        "SCMP_ARCH_SPARC64",
    ];

    /// The architecture of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let known = Abi::ALL.into_iter().find(|abi| abi.oci_name() == name).map(Self::Known);
        known.or_else(|| Self::OTHERS.into_iter().find(|other| *other == name).map(Self::Other))
    }

    /// Its name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Known(abi) => abi.oci_name(),
            Self::Other(name) => name,
        }
    }
}

/// How the filter is loaded (`seccomp(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// For all threads.
    Tsync,
    /// With all actions but ALLOW logged.
    Log,
    /// Without the mitigation of speculative store bypass.
    SpecAllow,
    /// Calls that wait for a supervisor are interrupted by deadly signals only.
    WaitKillableRecv,
}

impl Flag {
    /// Every flag.
    pub const ALL: [Self; 4] = [Self::Tsync, Self::Log, Self::SpecAllow, Self::WaitKillableRecv];

    /// Its name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tsync => "SECCOMP_FILTER_FLAG_TSYNC",
            Self::Log => "SECCOMP_FILTER_FLAG_LOG",
            Self::SpecAllow => "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            Self::WaitKillableRecv => "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        }
    }
}

/// One action for some calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The calls, at least one.
    pub names: BTreeSet<Syscall>,
    /// What happens to them.
    pub action: Action,
    /// What must hold of the arguments: all of it, or each by itself where one argument stands in two conditions
    /// ([`Rule::alternatives`]).
    pub conditions: Vec<Condition>,
}

/// What must hold of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// Which argument, from 0 to 5.
    pub index: u8,
    /// The comparison.
    pub test: Test,
}

/// A comparison of a 64-bit argument, unsigned (`seccomp_rule_add(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Test {
    NotEqual(u64),
    Less(u64),
    LessOrEqual(u64),
    Equal(u64),
    GreaterOrEqual(u64),
    Greater(u64),
    MaskedEqual {
        /// `value` in the document.
        mask: u64,
        /// `valueTwo` in the document.
        value: u64,
    },
}

impl Condition {
    /// That the lower half of an argument, which is what the kernel reads of an `int`, is `value`: C libraries differ in
    /// what they put into the upper half.
    #[must_use]
    pub const fn int(index: u8, value: u32) -> Self {
        Self::bits(index, u32::MAX, value)
    }

    /// That of the lower half's bits in `mask` those of `value` are set.
    #[must_use]
    pub const fn bits(index: u8, mask: u32, value: u32) -> Self {
        Self { index, test: Test::MaskedEqual { mask: mask as u64, value: value as u64 } }
    }
}

impl Test {
    /// What the comparison of this name in the specification makes of `value` and `valueTwo`.
    #[must_use]
    pub fn named(name: &str) -> Option<fn(u64, u64) -> Self> {
        Some(match name {
            "SCMP_CMP_NE" => |value, _| Self::NotEqual(value),
            "SCMP_CMP_LT" => |value, _| Self::Less(value),
            "SCMP_CMP_LE" => |value, _| Self::LessOrEqual(value),
            "SCMP_CMP_EQ" => |value, _| Self::Equal(value),
            "SCMP_CMP_GE" => |value, _| Self::GreaterOrEqual(value),
            "SCMP_CMP_GT" => |value, _| Self::Greater(value),
            "SCMP_CMP_MASKED_EQ" => |mask, value| Self::MaskedEqual { mask, value },
            _ => return None,
        })
    }

    /// Its name in the specification, with `value` and `valueTwo`.
    #[must_use]
    pub const fn parts(self) -> (&'static str, u64, Option<u64>) {
        match self {
            Self::NotEqual(value) => ("SCMP_CMP_NE", value, None),
            Self::Less(value) => ("SCMP_CMP_LT", value, None),
            Self::LessOrEqual(value) => ("SCMP_CMP_LE", value, None),
            Self::Equal(value) => ("SCMP_CMP_EQ", value, None),
            Self::GreaterOrEqual(value) => ("SCMP_CMP_GE", value, None),
            Self::Greater(value) => ("SCMP_CMP_GT", value, None),
            Self::MaskedEqual { mask, value } => ("SCMP_CMP_MASKED_EQ", mask, Some(value)),
        }
    }

    /// The bits that it compares for equality, if that is what it does.
    #[must_use]
    pub const fn bits(self) -> Option<u64> {
        match self {
            Self::Equal(_) => Some(u64::MAX),
            Self::MaskedEqual { mask, .. } => Some(mask),
            _ => None,
        }
    }

    /// Whether its operand is beyond 32 bits.
    #[must_use]
    pub const fn is_wide(self) -> bool {
        self.parts().1 > u32::MAX as u64
    }

    /// The same comparison with the lower half of its operands.
    #[must_use]
    pub const fn low(self) -> Self {
        const LOW: u64 = u32::MAX as u64;
        match self {
            Self::NotEqual(value) => Self::NotEqual(value & LOW),
            Self::Less(value) => Self::Less(value & LOW),
            Self::LessOrEqual(value) => Self::LessOrEqual(value & LOW),
            Self::Equal(value) => Self::Equal(value & LOW),
            Self::GreaterOrEqual(value) => Self::GreaterOrEqual(value & LOW),
            Self::Greater(value) => Self::Greater(value & LOW),
            Self::MaskedEqual { mask, value } => Self::MaskedEqual { mask: mask & LOW, value: value & LOW },
        }
    }

    /// Whether it holds of `argument`.
    #[must_use]
    pub const fn holds(self, argument: u64) -> bool {
        match self {
            Self::NotEqual(value) => argument != value,
            Self::Less(value) => argument < value,
            Self::LessOrEqual(value) => argument <= value,
            Self::Equal(value) => argument == value,
            Self::GreaterOrEqual(value) => argument >= value,
            Self::Greater(value) => argument > value,
            // libseccomp masks the wanted value as well.
            Self::MaskedEqual { mask, value } => argument & mask == value & mask,
        }
    }
}

impl Rule {
    /// The conditions as runtimes load them: lists that are joined by OR, each of conditions that are joined by AND. runc
    /// and crun take every condition for itself when one argument stands in two of them.
    #[must_use]
    pub fn alternatives(&self) -> Vec<&[Condition]> {
        let indices: BTreeSet<_> = self.conditions.iter().map(|condition| condition.index).collect();
        if indices.len() < self.conditions.len() { self.conditions.chunks(1).collect() } else { vec![&self.conditions] }
    }
}
