//! Waiting for children and traced tasks.

use std::io;

use super::checked;
use crate::event::Tid;

/// Waits for any child or traced task. Returns it with its raw status word.
///
/// # Errors
/// `EINTR` when a signal came first, `ECHILD` when there is nothing to wait for.
pub fn wait() -> io::Result<(Tid, i32)> {
    wait_as(0)
}

/// The same without waiting; `None` when nothing is to be told now.
///
/// # Errors
/// `ECHILD` when there is nothing to wait for.
pub fn wait_now() -> io::Result<Option<(Tid, i32)>> {
    wait_as(libc::WNOHANG).map(|(tid, status)| (tid != Tid(0)).then_some((tid, status)))
}

fn wait_as(flags: i32) -> io::Result<(Tid, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let tid = checked(unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | flags) }.into())?;
    Ok((Tid(i32::try_from(tid).unwrap_or_default()), status))
}

/// Waits for one task. Returns its raw status word.
///
/// # Errors
/// `ECHILD` when it is gone.
pub fn wait_for(tid: Tid) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: `status` outlives the call.
        match checked(unsafe { libc::waitpid(tid.0, &raw mut status, libc::__WALL) }.into()) {
            Ok(_) => return Ok(status),
            Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Whether thread `tid` belongs to the process `process` (`tgkill(2)` with signal 0).
pub fn is_thread_of(tid: Tid, process: Tid) -> bool {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_tgkill, process.0, tid.0, 0) == 0 }
}

/// Sends SIGSYS to a thread (`tgkill(2)`). Nothing is left to do when it is gone.
pub fn trap(process: Tid, tid: Tid) {
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_tgkill, process.0, tid.0, libc::SIGSYS) };
}
