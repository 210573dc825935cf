//! Requests of `ptrace(2)` on one task.

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::io;
use std::mem::{MaybeUninit, size_of};

use super::checked;
use crate::event::Tid;

/// A ptrace request that lets a stopped task go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// `PTRACE_SYSCALL`: stop at the next entry or exit of a system call.
    Syscall,
    /// `PTRACE_CONT`: stop only for events, signals and filters.
    Cont,
    /// `PTRACE_LISTEN`: stay in group-stop, but report its end.
    Listen,
}

/// A system-call stop as `PTRACE_GET_SYSCALL_INFO` describes it (Linux 5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyscallInfo {
    /// `AUDIT_ARCH_*` of this call.
    pub arch: u32,
    /// Where the instruction ends that made it.
    pub code: u64,
    /// Stack pointer.
    pub stack: u64,
    /// Entry, exit, or a filter's stop.
    pub op: SyscallOp,
}

/// Which system-call stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyscallOp {
    /// No system-call stop.
    None,
    /// Syscall-enter-stop.
    Entry {
        /// Raw number.
        number: u64,
        /// Arguments.
        args: [u64; 6],
    },
    /// Syscall-exit-stop.
    Exit {
        /// Return value, or the negative errno.
        value: i64,
        /// Whether it failed.
        failed: bool,
    },
    /// A seccomp stop, before the call is made.
    Seccomp {
        /// Raw number.
        number: u64,
        /// Arguments.
        args: [u64; 6],
        /// The filter's data.
        data: u32,
    },
}

fn request(request: c_uint, tid: Tid, address: usize, data: usize) -> io::Result<c_long> {
    // SAFETY: callers pass only requests whose address and data are plain numbers, or point to memory that they own
    // and that is as large as the address says.
    checked(unsafe { libc::ptrace(request, tid.0, address as *mut c_void, data as *mut c_void) })
}

/// Attaches to a task without stopping it (`PTRACE_SEIZE`), with these `PTRACE_O_*` options.
///
/// # Errors
/// `EPERM` when tracing is forbidden, `ESRCH` when the task is gone.
pub fn seize(tid: Tid, options: c_int) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, tid, 0, usize::try_from(options).unwrap_or_default()).map(drop)
}

/// Stops a running task (`PTRACE_INTERRUPT`).
///
/// # Errors
/// `ESRCH` when the task is gone.
pub fn interrupt(tid: Tid) -> io::Result<()> {
    request(libc::PTRACE_INTERRUPT, tid, 0, 0).map(drop)
}

/// Lets a stopped task go on, delivering `signal` (a raw number, 0 for none).
///
/// # Errors
/// `ESRCH` when the task died.
pub fn resume(tid: Tid, how: Resume, signal: i32) -> io::Result<()> {
    let how = match how {
        Resume::Syscall => libc::PTRACE_SYSCALL,
        Resume::Cont => libc::PTRACE_CONT,
        Resume::Listen => libc::PTRACE_LISTEN,
    };
    request(how, tid, 0, usize::try_from(signal).unwrap_or_default()).map(drop)
}

/// The message of the last ptrace event: a new task's id, or the former id at an exec.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn event_message(tid: Tid) -> io::Result<Tid> {
    let mut message: libc::c_ulong = 0;
    request(libc::PTRACE_GETEVENTMSG, tid, 0, &raw mut message as usize)?;
    i32::try_from(message).map(Tid).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))
}

/// The sender's process id of the signal that is about to be delivered; `None` when the kernel sent it.
///
/// # Errors
/// `ESRCH` when the task died, `EINVAL` when it stands in no signal-delivery-stop.
pub fn signal_sender(tid: Tid) -> io::Result<Option<i32>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    request(libc::PTRACE_GETSIGINFO, tid, 0, info.as_mut_ptr() as usize)?;
    // SAFETY: the kernel filled it, and all zeroes are valid too; si_pid is meaningful for SI_USER and below.
    let (code, pid) = unsafe { (info.assume_init_ref().si_code, info.assume_init_ref().si_pid()) };
    Ok((code <= libc::SI_USER).then_some(pid))
}

/// Describes the system-call stop in which a task stands.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn syscall_info(tid: Tid) -> io::Result<SyscallInfo> {
    let mut info = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
    let size = size_of::<libc::ptrace_syscall_info>();
    request(libc::PTRACE_GET_SYSCALL_INFO, tid, size, info.as_mut_ptr() as usize)?;
    // SAFETY: every field is an integer, for which zeroes and whatever the kernel wrote are valid; the union's member
    // is chosen by `op` as ptrace(2) says.
    let (arch, code, stack, op) = unsafe {
        let info = info.assume_init_ref();
        let op = match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => SyscallOp::Entry { number: info.u.entry.nr, args: info.u.entry.args },
            libc::PTRACE_SYSCALL_INFO_EXIT => {
                SyscallOp::Exit { value: info.u.exit.sval, failed: info.u.exit.is_error != 0 }
            }
            libc::PTRACE_SYSCALL_INFO_SECCOMP => SyscallOp::Seccomp {
                number: info.u.seccomp.nr,
                args: info.u.seccomp.args,
                data: info.u.seccomp.ret_data,
            },
            _ => SyscallOp::None,
        };
        (info.arch, info.instruction_pointer, info.stack_pointer, op)
    };
    Ok(SyscallInfo { arch, code, stack, op })
}

/// Blocks every signal of a stopped task that can be blocked; returns the mask that it had.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn block_signals(tid: Tid) -> io::Result<u64> {
    let mut mask: u64 = 0;
    request(libc::PTRACE_GETSIGMASK, tid, size_of::<u64>(), &raw mut mask as usize)?;
    set_signal_mask(tid, u64::MAX)?;
    Ok(mask)
}

/// Sets the signal mask of a stopped task.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn set_signal_mask(tid: Tid, mask: u64) -> io::Result<()> {
    request(libc::PTRACE_SETSIGMASK, tid, size_of::<u64>(), &raw const mask as usize).map(drop)
}

/// Changes which call a task makes that stands at the entry of one (`NT_ARM_SYSTEM_CALL`).
///
/// # Errors
/// `ESRCH` when the task died.
#[cfg(target_arch = "aarch64")]
pub fn set_syscall_number(tid: Tid, number: u64) -> io::Result<()> {
    const NT_ARM_SYSTEM_CALL: usize = 0x404;
    let mut number = number as c_int;
    let part = libc::iovec { iov_base: (&raw mut number).cast(), iov_len: size_of::<c_int>() };
    request(libc::PTRACE_SETREGSET as c_uint, tid, NT_ARM_SYSTEM_CALL, &raw const part as usize).map(drop)
}
