//! What the scalar arguments of calls may be held to.
//!
//! An argument is *safe* to hold to what was seen when the kernel enumerates its values and a program chooses it by what it
//! is rather than by what happens to it: the family of a socket, an option of `prctl(2)`. Flags of memory, requests of
//! `ioctl(2)` and the like are chosen on paths that an exercise seldom reaches, and are held only when asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::Subjects;
use crate::abi::Syscall;
use crate::fact::Arguments;
use crate::record::SyscallUse;

/// How many arguments are held to what was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Degree {
    /// None.
    Off,
    /// Those that are safe.
    Safe,
    /// All that are known here.
    All,
}

impl Degree {
    /// Each with its name on the command line and what it means.
    pub const NAMES: [(Self, &'static str, &'static str); 3] = [
        (Self::Off, "off", "calls are allowed with any arguments"),
        (Self::Safe, "safe", "socket families, personality, prctl options and new namespaces as seen"),
        (Self::All, "all", "also socket types, ioctl requests, fcntl commands, socket options, executable memory …"),
    ];
}

/// The arguments of one call that may be held: index, and the bits that count.
pub type Bits = &'static [(u8, u32)];

#[derive(Debug)]
struct Row {
    call: &'static str,
    /// From which degree on.
    degree: Degree,
    bits: Bits,
    /// With more different values than these it is not held: then it is no choice of the program's.
    most: usize,
    word: fn(u8, u32) -> String,
}

const INT: u32 = u32::MAX;
/// The namespaces of `clone(2)`, without the bits of its exit signal.
const NAMESPACES: u32 = 0x7e02_0000;
const CLONE_NEWTIME: u32 = 0x80;
/// `SOCK_TYPE_MASK` (`include/linux/net.h`): without `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
const SOCKET_TYPE: u32 = 0xf;
const PROT_EXEC: u32 = 4;

/// Of two rows of one call the first that the degree reaches holds.
#[rustfmt::skip]
static ROWS: &[Row] = &[
    Row { call: "bpf", degree: Degree::All, bits: &[(0, INT)], most: 16, word: number },
    Row { call: "clone", degree: Degree::Safe, bits: &[(0, NAMESPACES)], most: 8, word: namespaces },
    Row { call: "fcntl", degree: Degree::All, bits: &[(1, INT)], most: 24, word: number },
    Row { call: "fcntl64", degree: Degree::All, bits: &[(1, INT)], most: 24, word: number },
    Row { call: "getsockopt", degree: Degree::All, bits: &[(1, INT), (2, INT)], most: 24, word: number },
    Row { call: "ioctl", degree: Degree::All, bits: &[(1, INT)], most: 32, word: hexadecimal },
    Row { call: "keyctl", degree: Degree::All, bits: &[(0, INT)], most: 16, word: number },
    Row { call: "madvise", degree: Degree::All, bits: &[(2, INT)], most: 16, word: number },
    Row { call: "mmap", degree: Degree::All, bits: &[(2, PROT_EXEC)], most: 1, word: protection },
    Row { call: "mmap2", degree: Degree::All, bits: &[(2, PROT_EXEC)], most: 1, word: protection },
    Row { call: "mprotect", degree: Degree::All, bits: &[(2, PROT_EXEC)], most: 1, word: protection },
    Row { call: "personality", degree: Degree::Safe, bits: &[(0, INT)], most: 4, word: hexadecimal },
    Row { call: "pkey_mprotect", degree: Degree::All, bits: &[(2, PROT_EXEC)], most: 1, word: protection },
    Row { call: "prctl", degree: Degree::Safe, bits: &[(0, INT)], most: 16, word: option },
    Row { call: "ptrace", degree: Degree::All, bits: &[(0, INT)], most: 16, word: hexadecimal },
    Row { call: "seccomp", degree: Degree::All, bits: &[(0, INT)], most: 4, word: number },
    Row { call: "setns", degree: Degree::Safe, bits: &[(1, INT)], most: 8, word: namespaces },
    Row { call: "setsockopt", degree: Degree::All, bits: &[(1, INT), (2, INT)], most: 32, word: number },
    Row { call: "socket", degree: Degree::All, bits: &[(0, INT), (1, SOCKET_TYPE)], most: 16, word: socket },
    Row { call: "socket", degree: Degree::Safe, bits: &[(0, INT)], most: 8, word: socket },
    Row { call: "socketpair", degree: Degree::All, bits: &[(0, INT), (1, SOCKET_TYPE)], most: 8, word: socket },
    Row { call: "socketpair", degree: Degree::Safe, bits: &[(0, INT)], most: 4, word: socket },
    Row { call: "unshare", degree: Degree::Safe, bits: &[(0, NAMESPACES | CLONE_NEWTIME)], most: 8, word: namespaces },
];

/// What a call's arguments are held to: one of these lists of values, each value the bits that count.
#[derive(Clone, Debug)]
pub struct Held {
    row: &'static Row,
    values: BTreeSet<Vec<u32>>,
}

impl Held {
    /// What is compared.
    #[must_use]
    pub const fn bits(&self) -> Bits {
        self.row.bits
    }

    /// The values that are allowed, in the order of [`Held::bits`].
    #[must_use]
    pub const fn values(&self) -> &BTreeSet<Vec<u32>> {
        &self.values
    }

    /// The values in words: `AF_UNIX, AF_INET`.
    #[must_use]
    pub fn words(&self) -> String {
        let word = |values: &Vec<u32>| {
            let words = self.row.bits.iter().zip(values).map(|((index, _), value)| (self.row.word)(*index, *value));
            words.collect::<Vec<_>>().join(" ")
        };
        self.values.iter().map(word).collect::<Vec<_>>().join(", ")
    }

    /// The same with those values of a first argument that is compared alone; `None` where it is not.
    #[must_use]
    pub fn with(&self, first: &BTreeSet<u32>) -> Option<Self> {
        let [(0, mask)] = *self.row.bits else { return None };
        let values = first.iter().map(|value| vec![value & mask]);
        Some(Self { row: self.row, values: self.values.iter().cloned().chain(values).collect() })
    }
}

/// The argument lists of every call of which each use showed them, under any ABI and of any executable.
#[must_use]
pub(super) fn seen<'r>(subjects: &Subjects<'r>) -> BTreeMap<&'r Syscall, BTreeSet<&'r Arguments>> {
    let mut seen = BTreeMap::<_, Option<BTreeSet<_>>>::new();
    let calls = subjects.iter().flat_map(|(_, subject)| subject.syscalls.values().flatten());
    for (call, used) in calls {
        let known = seen.entry(call).or_insert_with(|| Some(BTreeSet::new()));
        match known {
            Some(known) if is_whole(used) => known.extend(used.arguments.keys()),
            _ => *known = None,
        }
    }
    seen.into_iter().filter_map(|(call, known)| Some((call, known?))).collect()
}

/// Whether all argument lists of a use were kept.
fn is_whole(used: &SyscallUse) -> bool {
    (1..crate::record::ARGUMENTS_LIMIT).contains(&used.arguments.len())
}

/// What `call` may be held to by what was seen of it; `None` for any arguments.
#[must_use]
pub fn held(call: &Syscall, seen: &BTreeSet<&Arguments>, degree: Degree) -> Option<Held> {
    let row = row(call, degree)?;
    let values: Option<BTreeSet<Vec<u32>>> = seen.iter().map(|arguments| values(row, arguments)).collect();
    let values = values.filter(|values| !values.is_empty() && values.len() <= row.most)?;
    Some(Held { row, values })
}

/// What `call` is held to when it may have these values of its first argument alone.
#[must_use]
pub fn first(call: &Syscall, first: &BTreeSet<u32>, degree: Degree) -> Option<Held> {
    Held { row: row(call, degree)?, values: BTreeSet::new() }.with(first)
}

fn row(call: &Syscall, degree: Degree) -> Option<&'static Row> {
    ROWS.iter().find(|row| row.degree <= degree && call.name() == Some(row.call))
}

fn values(row: &Row, arguments: &Arguments) -> Option<Vec<u32>> {
    let value = |&(index, mask): &(u8, u32)| {
        let (_, value) = arguments.0.iter().find(|(at, _)| *at == index)?;
        Some(u32::try_from(value & u64::from(u32::MAX)).ok()? & mask)
    };
    row.bits.iter().map(value).collect()
}

fn number(_: u8, value: u32) -> String {
    value.to_string()
}

fn hexadecimal(_: u8, value: u32) -> String {
    format!("{value:#x}")
}

fn protection(_: u8, value: u32) -> String {
    if value == 0 { "no executable memory" } else { "executable memory" }.to_owned()
}

fn socket(index: u8, value: u32) -> String {
    let table = if index == 0 { FAMILIES } else { SOCKET_TYPES };
    let prefix = if index == 0 { "AF_" } else { "SOCK_" };
    named(table, value).map_or_else(|| format!("{prefix}{value}"), |name| format!("{prefix}{name}"))
}

fn option(_: u8, value: u32) -> String {
    named(OPTIONS, value).map_or_else(|| format!("option {value}"), |name| format!("PR_{name}"))
}

fn namespaces(_: u8, value: u32) -> String {
    let flags = KINDS.iter().filter(|(bit, _)| value & bit != 0).map(|(_, name)| format!("CLONE_NEW{name}"));
    let flags = flags.collect::<Vec<_>>().join("|");
    if flags.is_empty() { "no new namespaces".to_owned() } else { flags }
}

fn named(table: &[(u32, &'static str)], value: u32) -> Option<&'static str> {
    table.iter().find(|(known, _)| *known == value).map(|(_, name)| *name)
}

/// `AF_*` (`socket(2)`, `address_families(7)`).
const FAMILIES: &[(u32, &str)] = &[
    (0, "UNSPEC"),
    (1, "UNIX"),
    (2, "INET"),
    (10, "INET6"),
    (15, "KEY"),
    (16, "NETLINK"),
    (17, "PACKET"),
    (21, "RDS"),
    (29, "CAN"),
    (30, "TIPC"),
    (31, "BLUETOOTH"),
    (38, "ALG"),
    (40, "VSOCK"),
    (44, "XDP"),
];

/// `SOCK_*` (`socket(2)`).
const SOCKET_TYPES: &[(u32, &str)] =
    &[(1, "STREAM"), (2, "DGRAM"), (3, "RAW"), (4, "RDM"), (5, "SEQPACKET"), (6, "DCCP"), (10, "PACKET")];

/// `CLONE_NEW*` (`namespaces(7)`).
const KINDS: &[(u32, &str)] = &[
    (0x0200_0000, "CGROUP"),
    (0x0800_0000, "IPC"),
    (0x4000_0000, "NET"),
    (0x0002_0000, "NS"),
    (0x2000_0000, "PID"),
    (CLONE_NEWTIME, "TIME"),
    (0x1000_0000, "USER"),
    (0x0400_0000, "UTS"),
];

/// `PR_*` (`prctl(2)`, `linux/prctl.h`).
const OPTIONS: &[(u32, &str)] = &[
    (1, "SET_PDEATHSIG"),
    (2, "GET_PDEATHSIG"),
    (3, "GET_DUMPABLE"),
    (4, "SET_DUMPABLE"),
    (7, "GET_KEEPCAPS"),
    (8, "SET_KEEPCAPS"),
    (15, "SET_NAME"),
    (16, "GET_NAME"),
    (21, "GET_SECCOMP"),
    (22, "SET_SECCOMP"),
    (23, "CAPBSET_READ"),
    (24, "CAPBSET_DROP"),
    (25, "GET_TSC"),
    (26, "SET_TSC"),
    (27, "GET_SECUREBITS"),
    (28, "SET_SECUREBITS"),
    (29, "SET_TIMERSLACK"),
    (30, "GET_TIMERSLACK"),
    (33, "MCE_KILL"),
    (34, "MCE_KILL_GET"),
    (35, "SET_MM"),
    (36, "SET_CHILD_SUBREAPER"),
    (37, "GET_CHILD_SUBREAPER"),
    (38, "SET_NO_NEW_PRIVS"),
    (39, "GET_NO_NEW_PRIVS"),
    (40, "GET_TID_ADDRESS"),
    (41, "SET_THP_DISABLE"),
    (42, "GET_THP_DISABLE"),
    (47, "CAP_AMBIENT"),
    (52, "GET_SPECULATION_CTRL"),
    (53, "SET_SPECULATION_CTRL"),
    (57, "SET_IO_FLUSHER"),
    (62, "SCHED_CORE"),
    (65, "SET_MDWE"),
    (0x5356_4d41, "SET_VMA"),
    (0x5961_6d61, "SET_PTRACER"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;

    fn holding(call: &str, seen: &[&[(u8, u64)]], degree: Degree) -> Option<String> {
        let seen: Vec<_> = seen.iter().map(|values| Arguments(values.to_vec())).collect();
        held(&call.parse().unwrap(), &seen.iter().collect(), degree).map(|held| held.words())
    }

    #[test]
    fn rows_name_calls_whose_arguments_are_recorded() {
        assert!(ROWS.is_sorted_by(|one, next| (one.call, next.degree) <= (next.call, one.degree)));
        for row in ROWS {
            assert!(Abi::ALL.iter().any(|abi| abi.number(row.call).is_some()), "{}", row.call);
            assert!(row.degree != Degree::Off && row.most > 0);
        }
    }

    #[test]
    fn values_are_told_in_words() {
        let families = [&[(0, 1), (1, 1), (2, 0)][..], &[(0, 2), (1, 0x80801), (2, 6)]];
        assert_eq!(holding("socket", &families, Degree::Off), None);
        assert_eq!(holding("socket", &families, Degree::Safe).unwrap(), "AF_UNIX, AF_INET");
        assert_eq!(holding("socket", &families, Degree::All).unwrap(), "AF_UNIX SOCK_STREAM, AF_INET SOCK_STREAM");
        assert_eq!(holding("clone", &[&[(0, 0x0120_0011)]], Degree::Safe).unwrap(), "no new namespaces");
        assert_eq!(holding("unshare", &[&[(0, 0x1002_0000)]], Degree::Safe).unwrap(), "CLONE_NEWNS|CLONE_NEWUSER");
        assert_eq!(
            holding("prctl", &[&[(0, 15)], &[(0, 38), (1, 1)]], Degree::Safe).unwrap(),
            "PR_SET_NAME, PR_SET_NO_NEW_PRIVS"
        );
        assert_eq!(holding("personality", &[&[(0, 0xffff_ffff)]], Degree::Safe).unwrap(), "0xffffffff");
        assert_eq!(holding("mprotect", &[&[(2, 1)], &[(2, 3)]], Degree::All).unwrap(), "no executable memory");
    }

    #[test]
    fn what_was_not_wholly_seen_is_not_held() {
        assert_eq!(holding("mmap", &[&[(2, 3)], &[(2, 5)]], Degree::All), None, "both are used");
        assert_eq!(holding("ioctl", &[&[(1, 0x5401)]], Degree::Safe), None);
        assert_eq!(holding("socket", &[&[(1, 1)]], Degree::Safe), None, "without the family");
        let many: Vec<_> = (0..20).map(|option| [(0u8, option)]).collect();
        let many: Vec<_> = many.iter().map(|values| &values[..]).collect();
        assert_eq!(holding("prctl", &many, Degree::Safe), None);
        assert_eq!(holding("read", &[&[(0, 1)]], Degree::All), None);
    }
}
