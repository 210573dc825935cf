//! The ABI through which one system call was made, and the names of its calls.
//!
//! Knows numbers, names and word sizes; nothing about tasks, registers or policies.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, OnceLock};

use libseccomp::{ScmpArch, ScmpSyscall};
use serde::{Deserialize, Serialize};

/// Bit that marks an x32 call in the number of an `AUDIT_ARCH_X86_64` call
/// (`__X32_SYSCALL_BIT`, `arch/x86/include/uapi/asm/unistd.h`).
pub const X32_BIT: u32 = 0x4000_0000;

/// How many numbers each name table covers; newer calls stay unnamed.
const TABLE_SIZE: u32 = 1024;

type Table = Vec<Option<Arc<str>>>;

/// A system-call ABI, taken from the call itself and never from the build.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Abi {
    /// 64-bit x86.
    #[serde(rename = "x86_64")]
    X86_64,
    /// ILP32 on 64-bit x86: the x86-64 numbers with [`X32_BIT`].
    X32,
    /// 32-bit x86, also reached by `int 0x80` from 64-bit code.
    I386,
    /// 64-bit ARM.
    Aarch64,
}

impl Abi {
    /// Every ABI that has a row here.
    pub const ALL: [Self; 4] = [Self::X86_64, Self::X32, Self::I386, Self::Aarch64];

    /// The ABI and the plain number of a call, from its `AUDIT_ARCH_*` token and raw number
    /// (`ptrace(2)`, `PTRACE_GET_SYSCALL_INFO`). `None` for an architecture without a row here.
    #[must_use]
    pub fn of_call(audit_arch: u32, raw: u64) -> Option<(Self, u32)> {
        let x32 = raw & u64::from(X32_BIT) != 0 && u32::try_from(raw).is_ok();
        let abi = match audit_arch {
            0xc000_003e if x32 => Self::X32,
            0xc000_003e => Self::X86_64,
            0x4000_0003 => Self::I386,
            0xc000_00b7 => Self::Aarch64,
            _ => return None,
        };
        let plain = if abi == Self::X32 { raw & !u64::from(X32_BIT) } else { raw };
        // The kernel looks at the low 32 bits of the number; a larger one is answered ENOSYS.
        Some((abi, u32::try_from(plain).unwrap_or(u32::MAX)))
    }

    /// The `AUDIT_ARCH_*` token (`linux/audit.h`), as a seccomp filter sees it.
    #[must_use]
    pub const fn audit_arch(self) -> u32 {
        match self {
            Self::X86_64 | Self::X32 => 0xc000_003e,
            Self::I386 => 0x4000_0003,
            Self::Aarch64 => 0xc000_00b7,
        }
    }

    /// The numbers of clone and clone3.
    #[must_use]
    pub const fn clone_numbers(self) -> (u32, u32) {
        match self {
            Self::X86_64 | Self::X32 => (56, 435),
            Self::I386 => (120, 435),
            Self::Aarch64 => (220, 435),
        }
    }

    /// The numbers of execve and execveat.
    #[must_use]
    pub const fn exec_numbers(self) -> (u32, u32) {
        match self {
            Self::X86_64 => (59, 322),
            Self::X32 => (520, 545),
            Self::I386 => (11, 358),
            Self::Aarch64 => (221, 281),
        }
    }

    /// The numbers of seccomp and prctl.
    #[must_use]
    pub const fn seccomp_numbers(self) -> (u32, u32) {
        match self {
            Self::X86_64 | Self::X32 => (317, 157),
            Self::I386 => (354, 172),
            Self::Aarch64 => (277, 167),
        }
    }

    /// The ABI of this program's own calls, in which an injected call is made.
    #[must_use]
    pub const fn native() -> Self {
        if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 }
    }

    /// Size of a pointer and of a `long`, in bytes.
    #[must_use]
    pub const fn word_size(self) -> usize {
        match self {
            Self::X86_64 | Self::Aarch64 => 8,
            Self::X32 | Self::I386 => 4,
        }
    }

    /// The OCI runtime-spec's name, such as `SCMP_ARCH_X86_64`.
    #[must_use]
    pub const fn oci_name(self) -> &'static str {
        match self {
            Self::X86_64 => "SCMP_ARCH_X86_64",
            Self::X32 => "SCMP_ARCH_X32",
            Self::I386 => "SCMP_ARCH_X86",
            Self::Aarch64 => "SCMP_ARCH_AARCH64",
        }
    }

    /// The short name used in records and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::X32 => "x32",
            Self::I386 => "i386",
            Self::Aarch64 => "aarch64",
        }
    }

    /// libseccomp's token of this ABI.
    #[must_use]
    pub const fn scmp(self) -> ScmpArch {
        match self {
            Self::X86_64 => ScmpArch::X8664,
            Self::X32 => ScmpArch::X32,
            Self::I386 => ScmpArch::X86,
            Self::Aarch64 => ScmpArch::Aarch64,
        }
    }

    /// The call that `number` (without [`X32_BIT`]) stands for. Costs a table look-up.
    #[must_use]
    pub fn syscall(self, number: u32) -> Syscall {
        usize::try_from(number)
            .ok()
            .and_then(|index| self.table().get(index))
            .and_then(Clone::clone)
            .map_or(Syscall::Unnamed(number), Syscall::Named)
    }

    /// Names by number, built at first use.
    fn table(self) -> &'static [Option<Arc<str>>] {
        static X86_64: OnceLock<Table> = OnceLock::new();
        static X32: OnceLock<Table> = OnceLock::new();
        static I386: OnceLock<Table> = OnceLock::new();
        static AARCH64: OnceLock<Table> = OnceLock::new();
        let table = match self {
            Self::X86_64 => &X86_64,
            Self::X32 => &X32,
            Self::I386 => &I386,
            Self::Aarch64 => &AARCH64,
        };
        table.get_or_init(|| (0..TABLE_SIZE).map(|number| name_of(self, number).map(Arc::from)).collect())
    }

    /// The number of the call named `name`, without [`X32_BIT`]; `None` when this ABI lacks it.
    #[must_use]
    pub fn number(self, name: &str) -> Option<u32> {
        /// libseccomp's marks from here down are for calls that the ABI lacks; those above for calls within another one.
        const LACKING: i32 = -10_000;
        let known = ScmpSyscall::from_name_by_arch(name, self.scmp()).ok().map(i32::from);
        if matches!(self, Self::X32 | Self::Aarch64) && known.is_some_and(|number| number <= LACKING) {
            // The newer tables have calls of x86-64 and of 32-bit ABIs as well.
            return None;
        }
        let from_libseccomp = known
            // Negative numbers are libseccomp's own marks for calls that the ABI lacks.
            .and_then(|number| u32::try_from(number).ok())
            .map(|number| if self == Self::X32 { number & !X32_BIT } else { number });
        from_libseccomp.or_else(|| newer_number(self, name))
    }
}

impl fmt::Display for Abi {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A system call by name or, when no table names it, by number.
///
/// Equal calls of different ABIs are equal here: the ABI stands beside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Syscall {
    /// Its name in the kernel's tables.
    Named(Arc<str>),
    /// A number that no table here names.
    Unnamed(u32),
}

impl Syscall {
    /// The name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Named(name) => Some(name),
            Self::Unnamed(_) => None,
        }
    }
}

impl fmt::Display for Syscall {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => out.write_str(name),
            Self::Unnamed(number) => write!(out, "#{number}"),
        }
    }
}

impl From<Syscall> for String {
    fn from(call: Syscall) -> Self {
        call.to_string()
    }
}

/// A text that names no system call.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no system call name (letters, digits and _) nor #NUMBER")]
pub struct BadSyscall(String);

impl FromStr for Syscall {
    type Err = BadSyscall;

    fn from_str(text: &str) -> Result<Self, BadSyscall> {
        let bad = || BadSyscall(text.escape_default().to_string());
        if let Some(number) = text.strip_prefix('#') {
            return number.parse().map(Self::Unnamed).map_err(|_| bad());
        }
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(legal) {
            return Err(bad());
        }
        Ok(Self::Named(text.into()))
    }
}

impl TryFrom<String> for Syscall {
    type Error = BadSyscall;

    fn try_from(text: String) -> Result<Self, BadSyscall> {
        text.parse()
    }
}

/// Whether any ABI of Linux has a call of this name, also one without a row here.
#[must_use]
pub fn is_call(name: &str) -> bool {
    // libseccomp's table of names spans its architectures; it panics on a NUL.
    let legal = name.parse::<Syscall>().is_ok_and(|call| call.name().is_some());
    let known = ScmpSyscall::from_name(name).is_ok() || ELSEWHERE.contains(&name);
    legal && (known || Abi::ALL.iter().any(|abi| newer_number(*abi, name).is_some()))
}

/// Calls of architectures without a row here that are newer than libseccomp 2.5 (`arch/*/kernel/syscalls` and
/// `asm/unistd.h` of Linux 6.12).
const ELSEWHERE: [&str; 1] = ["riscv_hwprobe"];

/// libseccomp's name, or a newer table's for a call that it does not know.
fn name_of(abi: Abi, number: u32) -> Option<String> {
    let raw = if abi == Abi::X32 { number | X32_BIT } else { number };
    let number = i32::try_from(raw).ok()?;
    ScmpSyscall::from(number).get_name_by_arch(abi.scmp()).ok().or_else(|| newer_name(abi, u32::try_from(number).ok()?))
}

/// Names of calls newer than the installed libseccomp, from the `syscalls` crate's kernel tables.
fn newer_name(abi: Abi, number: u32) -> Option<String> {
    let number = usize::try_from(number).ok()?;
    match abi {
        Abi::X86_64 => syscalls::x86_64::Sysno::new(number).map(|call| call.name().to_owned()),
        Abi::I386 => syscalls::x86::Sysno::new(number).map(|call| call.name().to_owned()),
        Abi::Aarch64 => syscalls::aarch64::Sysno::new(number).map(|call| call.name().to_owned()),
        Abi::X32 => newer_name(Abi::X86_64, u32::try_from(number).ok()? & !X32_BIT),
    }
}

fn newer_number(abi: Abi, name: &str) -> Option<u32> {
    let number = match abi {
        Abi::X86_64 | Abi::X32 => name.parse::<syscalls::x86_64::Sysno>().ok()?.id(),
        Abi::I386 => name.parse::<syscalls::x86::Sysno>().ok()?.id(),
        Abi::Aarch64 => name.parse::<syscalls::aarch64::Sysno>().ok()?.id(),
    };
    u32::try_from(number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abi_comes_from_the_call() {
        assert_eq!(Abi::of_call(0xc000_003e, 0), Some((Abi::X86_64, 0)));
        assert_eq!(Abi::of_call(0xc000_003e, u64::from(X32_BIT) | 1), Some((Abi::X32, 1)));
        assert_eq!(Abi::of_call(0x4000_0003, 5), Some((Abi::I386, 5)));
        assert_eq!(Abi::of_call(0xc000_00b7, 56), Some((Abi::Aarch64, 56)));
        assert_eq!(Abi::of_call(0x1, 5), None);
        assert_eq!(Abi::of_call(0xc000_003e, u64::MAX), Some((Abi::X86_64, u32::MAX)));
    }

    #[test]
    fn names_and_numbers_agree() {
        for (abi, name, number) in [
            (Abi::X86_64, "openat", 257),
            (Abi::X32, "openat", 257),
            (Abi::I386, "openat", 295),
            (Abi::Aarch64, "openat", 56),
            (Abi::X86_64, "mseal", 462),
            (Abi::Aarch64, "statmount", 457),
            (Abi::I386, "socketcall", 102),
        ] {
            assert_eq!(abi.syscall(number).to_string(), name, "{abi}");
            assert_eq!(abi.number(name), Some(number), "{abi} {name}");
        }
        for abi in Abi::ALL {
            let by_name = (abi.number("clone").unwrap(), abi.number("clone3").unwrap());
            assert_eq!(abi.clone_numbers(), by_name, "{abi}");
            let by_name = (abi.number("execve").unwrap(), abi.number("execveat").unwrap());
            assert_eq!(abi.exec_numbers(), by_name, "{abi}");
            let by_name = (abi.number("seccomp").unwrap(), abi.number("prctl").unwrap());
            assert_eq!(abi.seccomp_numbers(), by_name, "{abi}");
        }
        assert_eq!(Abi::Aarch64.number("open"), None);
        assert_eq!((Abi::X32.number("map_shadow_stack"), Abi::X86_64.number("map_shadow_stack")), (None, Some(453)));
        assert_eq!(Abi::Aarch64.number("clock_gettime64"), None);
        assert_eq!(Abi::X86_64.syscall(1000), Syscall::Unnamed(1000));
        assert_eq!("#1000".parse::<Syscall>().unwrap(), Syscall::Unnamed(1000));
        assert!("open at".parse::<Syscall>().is_err());
    }
}
