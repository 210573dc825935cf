//! Seccomp user notifications (`seccomp_unotify(2)`): calls that wait for an answer of the learner.

use std::ffi::{c_long, c_ulong};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use super::checked;
use crate::event::Tid;

/// How a filter that asks is installed. With `WAIT_KILLABLE_RECV` no signal but a fatal one interrupts a call once it was
/// received.
pub const ASKING: c_ulong = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER
    | libc::SECCOMP_FILTER_FLAG_TSYNC
    | libc::SECCOMP_FILTER_FLAG_TSYNC_ESRCH
    | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
    | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`: who is woken runs on the processor of who wakes it (Linux 6.6).
const SYNC_WAKE_UP: u64 = 1;
/// `ERESTARTNOINTR`: the kernel makes the call again, whatever handler runs before.
const RESTART: i32 = 513;

/// A call that waits at a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification {
    /// By which it is answered.
    pub id: u64,
    /// Who makes it.
    pub tid: Tid,
    /// `AUDIT_ARCH_*` of the call.
    pub arch: u32,
    /// Where the instruction ends that makes it.
    pub code: u64,
    /// Raw number.
    pub number: u64,
    /// Arguments.
    pub args: [u64; 6],
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is made.
    Continue,
    /// It is not made but entered again, if a signal is pending. The task must have been told to stop
    /// (`PTRACE_INTERRUPT`), or the failure gets to it.
    Again,
}

/// Whether the kernel knows notifications with all that is needed here (Linux 5.19): a filter at a null pointer is told
/// apart from an unknown flag.
pub fn can_ask() -> bool {
    let no_filter = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel reads the pointer as one of the task's own, and finds nothing there.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, ASKING, no_filter) };
    result < 0 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

/// Has task and learner woken on each other's processor.
///
/// # Errors
/// `EINVAL` before Linux 6.6.
pub fn wake_here(listener: &OwnedFd) -> io::Result<()> {
    // SAFETY: this request takes its argument by value.
    checked(unsafe {
        c_long::from(libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS, SYNC_WAKE_UP))
    })
    .map(drop)
}

/// The next call that waits.
///
/// # Errors
/// `ENOENT` when its task was interrupted or died in the meantime.
pub fn receive(listener: &OwnedFd) -> io::Result<Notification> {
    let data = libc::seccomp_data { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] };
    let mut notification = libc::seccomp_notif { id: 0, pid: 0, flags: 0, data };
    let to = &raw mut notification;
    // SAFETY: the structure is as large as the request says and zero, and outlives the call.
    checked(unsafe { c_long::from(libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, to)) })?;
    let libc::seccomp_notif { id, pid, data, .. } = notification;
    let tid = Tid(i32::try_from(pid).unwrap_or_default());
    let (number, code) = (u64::from(data.nr.cast_unsigned()), data.instruction_pointer);
    Ok(Notification { id, tid, arch: data.arch, code, number, args: data.args })
}

/// Answers it.
///
/// # Errors
/// `ENOENT` when its task was interrupted or died in the meantime.
pub fn answer(listener: &OwnedFd, id: u64, answer: Answer) -> io::Result<()> {
    let (error, flags) = match answer {
        Answer::Continue => (0, libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE),
        Answer::Again => (-RESTART, 0),
    };
    let flags = u32::try_from(flags).unwrap_or_default();
    let response = libc::seccomp_notif_resp { id, val: 0, error, flags };
    let from = &raw const response;
    // SAFETY: the structure is as large as the request says and outlives the call.
    checked(unsafe { c_long::from(libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_SEND, from)) }).map(drop)
}

/// Waits until one of these can be read.
///
/// # Errors
/// `EINTR` when a signal came first.
pub fn poll(descriptors: &mut [libc::pollfd]) -> io::Result<()> {
    let count = libc::nfds_t::try_from(descriptors.len()).unwrap_or_default();
    // SAFETY: the slice is as long as `count` says and outlives the call.
    checked(unsafe { c_long::from(libc::poll(descriptors.as_mut_ptr(), count, -1)) }).map(drop)
}

/// Whether the kernel takes this program, which is not installed: the thread that tries has a listener already, which the
/// kernel finds out last.
#[cfg(test)]
pub fn kernel_accepts(program: &[[u8; 8]]) -> bool {
    let install = |program: &[[u8; 8]]| {
        let whole =
            libc::sock_fprog { len: u16::try_from(program.len()).unwrap(), filter: program.as_ptr().cast_mut().cast() };
        let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER;
        // SAFETY: `whole` and its instructions outlive the call, which only reads them and takes any alignment.
        let result =
            unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const whole) };
        if result < 0 { io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
    };
    std::thread::scope(|scope| {
        let tried = scope.spawn(|| {
            const ALLOW: [u8; 8] = [6, 0, 0, 0, 0, 0, 0xff, 0x7f];
            // SAFETY: no pointers; of this thread alone.
            unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            assert!(matches!(install(&[ALLOW]), 0 | libc::EBUSY));
            install(program)
        });
        match tried.join().unwrap() {
            libc::EBUSY => true,
            libc::EINVAL => false,
            errno => panic!("a filter cannot be tried: {}", io::Error::from_raw_os_error(errno)),
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_takes_programs_that_return() {
        assert!(super::kernel_accepts(&[[6, 0, 0, 0, 0, 0, 0, 0]]));
        assert!(!super::kernel_accepts(&[[0x20, 0, 0, 0, 0, 0, 0, 0]]), "without a return");
    }
}
