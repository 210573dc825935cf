//! The only unsafe code: calls that no safe library offers as the tracer needs them.
//!
//! Every function here is safe to call. nix cannot carry real-time signals in a wait status or a resume, nor read
//! the syscall-info union, nor fork with a handshake, and knows no seccomp notifications.
#![allow(unsafe_code)]

mod descriptors;
mod launch;
mod notify;
mod place;
mod signals;
mod slot;
mod trace;
mod wait;

use std::ffi::c_long;
use std::io;

pub use self::descriptors::{duplicate_from, duplicate_from_thread, is_own_file, socket_address, socket_option};
pub use self::launch::{Stage, fork_held};
#[cfg(test)]
pub use self::notify::kernel_accepts;
pub use self::notify::{ASKING, Answer, Notification, answer, can_ask, poll, receive, wake_here};
pub use self::place::{may_change_policy, set_idle};
pub use self::signals::{HANDLED, arrived_signals, catch_signals};
pub use self::slot::Slot;
#[cfg(target_arch = "aarch64")]
pub use self::trace::set_syscall_number;
pub use self::trace::{
    Resume, SyscallInfo, SyscallOp, block_signals, event_message, interrupt, resume, seize, set_signal_mask,
    signal_sender, syscall_info,
};
pub use self::wait::{is_thread_of, trap, wait, wait_for, wait_now};

fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
