//! Descriptors of other processes.

use std::ffi::{c_int, c_long};
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::LazyLock;

use super::checked;
use crate::event::Tid;

/// A duplicate of another process's descriptor (`pidfd_getfd(2)`, Linux 5.6).
///
/// # Errors
/// `EBADF` when it is not open there, `EPERM` when that is not allowed.
pub fn duplicate_from(process: Tid, fd: RawFd) -> io::Result<OwnedFd> {
    duplicate(process, 0, fd)
}

/// The same of one thread, whose descriptors may be others than its process's (`PIDFD_THREAD`, Linux 6.9).
///
/// # Errors
/// `EINVAL` when the kernel does not know threads, else the same.
pub fn duplicate_from_thread(tid: Tid, fd: RawFd) -> io::Result<OwnedFd> {
    const PIDFD_THREAD: c_int = libc::O_EXCL;
    duplicate(tid, PIDFD_THREAD, fd)
}

fn duplicate(tid: Tid, flags: c_int, fd: RawFd) -> io::Result<OwnedFd> {
    let open = |result: c_long| -> io::Result<OwnedFd> {
        let fd = RawFd::try_from(checked(result)?).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
        // SAFETY: a descriptor that was just opened and belongs to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // SAFETY: no pointers.
    let pidfd = open(unsafe { libc::syscall(libc::SYS_pidfd_open, tid.0, flags) })?;
    // SAFETY: no pointers.
    open(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })
}

/// Whether a task has at `fd` what the learner has there (`kcmp(2)`, `KCMP_FILE`).
pub fn is_own_file(tid: Tid, fd: RawFd) -> bool {
    const KCMP_FILE: c_int = 0;
    static OWN: LazyLock<u32> = LazyLock::new(std::process::id);
    // SAFETY: no pointers.
    unsafe { libc::syscall(libc::SYS_kcmp, *OWN, tid.0, KCMP_FILE, fd, fd) == 0 }
}

/// An integer socket option of level `SOL_SOCKET`.
///
/// # Errors
/// As `getsockopt(2)`.
pub fn socket_option(socket: &OwnedFd, option: c_int) -> io::Result<i32> {
    let mut value: c_int = 0;
    let mut size = libc::socklen_t::try_from(size_of::<c_int>()).unwrap_or_default();
    let to = (&raw mut value).cast();
    // SAFETY: `value` is as large as `size` says.
    let result = unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, option, to, &raw mut size) };
    checked(result.into()).map(|_| value)
}

/// Bytes of a socket's own address or of its peer's.
///
/// # Errors
/// As `getsockname(2)` and `getpeername(2)`.
pub fn socket_address(socket: &OwnedFd, peer: bool) -> io::Result<Vec<u8>> {
    let mut address = vec![0u8; size_of::<libc::sockaddr_storage>()];
    let mut size = libc::socklen_t::try_from(address.len()).unwrap_or_default();
    let ask = if peer { libc::getpeername } else { libc::getsockname };
    // SAFETY: the buffer is as large as `size` says.
    checked(unsafe { ask(socket.as_raw_fd(), address.as_mut_ptr().cast(), &raw mut size) }.into())?;
    address.truncate(usize::try_from(size).unwrap_or_default());
    Ok(address)
}
