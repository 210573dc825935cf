//! Calls of i386 that carry their arguments in memory: `socketcall(2)` and the first `mmap(2)`.
//!
//! Each stands for a call of its own, with its own decoder. The record keeps the name that was entered.

use std::io;

use super::read::{self, Memory};
use crate::abi::Abi;
use crate::event::{Call, TaskView};

/// The calls of `socketcall(2)` by their number less one (`linux/net.h`), and how many arguments each has.
const SOCKET_CALLS: [(&str, usize); 20] = [
    ("socket", 3),
    ("bind", 3),
    ("connect", 3),
    ("listen", 2),
    ("accept", 3),
    ("getsockname", 3),
    ("getpeername", 3),
    ("socketpair", 4),
    ("send", 4),
    ("recv", 4),
    ("sendto", 6),
    ("recvfrom", 6),
    ("shutdown", 2),
    ("setsockopt", 5),
    ("getsockopt", 5),
    ("sendmsg", 3),
    ("recvmsg", 3),
    ("accept4", 4),
    ("recvmmsg", 5),
    ("sendmmsg", 4),
];

/// Whether a call of this name has its arguments in memory.
pub(super) fn is_multiplexed(abi: Abi, name: &str) -> bool {
    abi == Abi::I386 && matches!(name, "socketcall" | "mmap")
}

/// The call that a multiplexed one stands for, and its arguments; `None` when there is no such call.
///
/// # Errors
/// `EFAULT` when they cannot be read.
pub(super) fn direct(
    call: &Call,
    name: &'static str,
    view: &dyn TaskView,
) -> io::Result<Option<(&'static str, [u64; 6])>> {
    let [first, second, ..] = call.args;
    let memory = Memory::new(view, call.abi);
    if name == "mmap" {
        return memory.arguments(first, 6).map(|args| Some((name, args)));
    }
    let index = usize::try_from(read::uint(first)).unwrap_or(usize::MAX);
    match index.checked_sub(1).and_then(|index| SOCKET_CALLS.get(index)) {
        Some(&(name, count)) => memory.arguments(second, count).map(|args| Some((name, args))),
        None => Ok(None),
    }
}
