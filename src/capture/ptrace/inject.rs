//! What is put into a stopped task.
//!
//! A filter is installed by calls that the task makes in place of the one which it stands before: mmap for the
//! program's memory (nothing below a stack pointer is safe to write: a goroutine's stack may end there), prctl where
//! `no_new_privs` is needed, seccomp, munmap. Then its registers are put back and it makes its own call.
//!
//! `CLONE_UNTRACED` would let a new task escape from its tracer (`clone(2)`), so the bit is borrowed for the length
//! of the call: cleared at its entry, and put back in parent and child afterwards.

use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;

use libc::user_regs_struct;
use nix::sys::ptrace::{getregs, setregs};
use nix::sys::uio::{RemoteIoVec, process_vm_writev};
use nix::unistd::Pid;

use super::filter::Instruction;
use super::registers::{before_call, call_of, own_call, redirect, refuse, result_of, set_first_argument, set_result};
use super::stop::Stop;
use super::sys::{self, Resume};
use super::view::View;
use crate::abi::Abi;
use crate::event::{Call, TaskView, Tid};

/// `struct sock_fprog`: length, padding, pointer.
const HEADER: usize = 16;
const CLONE_UNTRACED: u64 = 0x0080_0000;
const PR_SET_NO_NEW_PRIVS: u64 = libc::PR_SET_NO_NEW_PRIVS as u64;
const SECCOMP_SET_MODE_FILTER: u64 = libc::SECCOMP_SET_MODE_FILTER as u64;
const SECCOMP_FILTER_FLAG_TSYNC: u64 = libc::SECCOMP_FILTER_FLAG_TSYNC;

/// What was changed in a task and is to be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Borrowed {
    /// The register of the first argument had this value.
    FirstArgument(Abi, u64),
    /// The flags of `struct clone_args` at this address had this value.
    CloneArgs(u64, u64),
}

/// Clears `CLONE_UNTRACED` in a clone that a task is about to make. `None` when it is not set.
///
/// # Errors
/// When registers or memory cannot be changed: the new task will not be traced.
pub fn borrow_untraced(view: View<'_>, call: &Call, clone3: bool) -> io::Result<Option<Borrowed>> {
    let [first, ..] = call.args;
    if !clone3 {
        if first & CLONE_UNTRACED == 0 {
            return Ok(None);
        }
        set_first_argument(view.tid, call.abi, first & !CLONE_UNTRACED)?;
        return Ok(Some(Borrowed::FirstArgument(call.abi, first)));
    }
    let mut flags = [0; 8];
    if view.read(first, &mut flags)? < flags.len() {
        return Ok(None); // The kernel will answer EFAULT.
    }
    let flags = u64::from_le_bytes(flags);
    if flags & CLONE_UNTRACED == 0 {
        return Ok(None);
    }
    write(view.tid, first, &(flags & !CLONE_UNTRACED).to_le_bytes())?;
    Ok(Some(Borrowed::CloneArgs(first, flags)))
}

/// Puts back what was borrowed, in a task that stands at the end of its clone or at its very beginning.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn give_back(tid: Tid, borrowed: Borrowed) -> io::Result<()> {
    match borrowed {
        Borrowed::FirstArgument(abi, value) => set_first_argument(tid, abi, value),
        Borrowed::CloneArgs(address, flags) => write(tid, address, &flags.to_le_bytes()),
    }
}

/// Makes the call that a task stands before fail with `errno`; `SECCOMP_RET_TRACE` does it with ENOSYS where no tracer is.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn refuse_call(tid: Tid, errno: i32) -> io::Result<()> {
    let registers = getregs(Pid::from_raw(tid.0))?;
    refuse(tid, registers, errno)
}

/// Puts a call of this number, without arguments, in place of the one that a task stands before.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn replace_call(tid: Tid, number: u32) -> io::Result<()> {
    let registers = getregs(Pid::from_raw(tid.0))?;
    redirect(tid, registers, number.into(), [0; 6])
}

/// `ERESTARTSYS` (`linux/errno.h` of the kernel): a handler decides whether the call is made again.
pub const RESTART: i64 = 512;
/// `ERESTARTNOINTR`: it is, whatever the handler says.
const RESTART_ALWAYS: i64 = 513;

/// The call of a task that stands behind it, when a signal interrupted it and its handler decides whether it is made
/// again (`SA_RESTART` of `sigaction(2)`).
///
/// # Errors
/// `ESRCH` when the task died.
pub fn interrupted_call(tid: Tid) -> io::Result<Option<u64>> {
    let registers = getregs(Pid::from_raw(tid.0))?;
    Ok((result_of(&registers) == -RESTART).then(|| call_of(&registers)))
}

/// Has the call be made again whatever the handler says.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn make_again(tid: Tid) -> io::Result<()> {
    let pid = Pid::from_raw(tid.0);
    let mut registers = getregs(pid)?;
    set_result(&mut registers, -RESTART_ALWAYS);
    Ok(setregs(pid, registers)?)
}

/// A filter to be installed.
#[derive(Clone, Copy, Debug)]
pub struct Filter<'a> {
    /// Its program.
    pub program: &'a [Instruction],
    /// Whether the task needs `no_new_privs` for it.
    pub no_new_privs: bool,
    /// Whether it asks, so that it has a listener.
    pub asks: bool,
}

/// How an installation went.
#[derive(Debug)]
pub enum Installation {
    /// Every thread of the process has the filter.
    Done,
    /// The kernel refused; the task is as before.
    Refused(io::Error),
    /// The task stopped or ended otherwise in between; it is as before, and this is its raw status.
    Interrupted(i32),
}

/// Installs a filter for every thread of a task's process, and returns its listener too. The task stands at the entry of
/// a native call and will enter it again when it is resumed.
///
/// # Errors
/// `ESRCH` when the task died.
pub fn install(tid: Tid, filter: Filter<'_>) -> io::Result<(Installation, Option<OwnedFd>)> {
    let registers = getregs(Pid::from_raw(tid.0))?;
    let mask = sys::block_signals(tid)?;
    let mut injection = Injection { tid, registers, entered: true, listener: None };
    let result = injection.install(filter);
    injection.restore()?;
    sys::set_signal_mask(tid, mask)?;
    let installation = match result {
        Ok(()) => Installation::Done,
        Err(Broken::Refused(error)) => Installation::Refused(error),
        Err(Broken::Interrupted(status)) => Installation::Interrupted(status),
        Err(Broken::Gone(error)) => return Err(error),
    };
    Ok((installation, injection.listener))
}

enum Broken {
    Refused(io::Error),
    Interrupted(i32),
    Gone(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Gone(error)
    }
}

/// A task that makes calls for the tracer.
struct Injection {
    tid: Tid,
    /// As they were at the entry of its own call.
    registers: user_regs_struct,
    /// Whether it stands at the entry of a call, rather than behind one.
    entered: bool,
    /// What the filter's descriptor in the task is a duplicate of.
    listener: Option<OwnedFd>,
}

impl Injection {
    fn install(&mut self, filter: Filter<'_>) -> Result<(), Broken> {
        let program = filter.program;
        let size = (HEADER + program.len() * 8) as u64;
        let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        let memory = [0, size, protection.cast_unsigned().into(), flags.cast_unsigned().into(), u64::MAX, 0];
        let address = self.call(libc::SYS_mmap, memory)?;
        let mut bytes = Vec::with_capacity(HEADER + program.len() * 8);
        bytes.extend_from_slice(&(program.len() as u64).to_ne_bytes());
        bytes.extend_from_slice(&(address + HEADER as u64).to_ne_bytes());
        bytes.extend(program.iter().flat_map(|instruction| instruction.to_bytes()));
        let installed = write(self.tid, address, &bytes).map_err(Broken::Refused).and_then(|()| {
            if filter.no_new_privs {
                self.call(libc::SYS_prctl, [PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0])?;
            }
            let flags = if filter.asks { sys::ASKING } else { SECCOMP_FILTER_FLAG_TSYNC };
            let result = self.call(libc::SYS_seccomp, [SECCOMP_SET_MODE_FILTER, flags, address, 0, 0, 0])?;
            if filter.asks { self.take_listener(result) } else { Ok(result) }
        });
        if matches!(installed, Ok(_) | Err(Broken::Refused(_))) {
            self.call(libc::SYS_munmap, [address, size, 0, 0, 0, 0])?;
        }
        match installed? {
            0 => Ok(()),
            // The id of a thread whose filters are others than this one's.
            _ => Err(Broken::Refused(io::Error::from_raw_os_error(libc::ESRCH))),
        }
    }

    /// Takes the listener out of the task.
    fn take_listener(&mut self, descriptor: u64) -> Result<u64, Broken> {
        let number = i32::try_from(descriptor).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
        self.listener = Some(descriptor_of(self.tid, number)?);
        self.call(libc::SYS_close, [descriptor, 0, 0, 0, 0, 0])
    }

    /// Makes the task make one call.
    fn call(&mut self, number: libc::c_long, args: [u64; 6]) -> Result<u64, Broken> {
        let pid = Pid::from_raw(self.tid.0);
        if self.entered {
            redirect(self.tid, self.registers, number.cast_unsigned(), args)?;
        } else {
            let again = before_call(self.registers, number.cast_unsigned(), args);
            setregs(pid, again).map_err(io::Error::from)?;
            self.proceed()?;
        }
        self.entered = false;
        self.proceed()?;
        let result = result_of(&getregs(pid).map_err(io::Error::from)?);
        match i32::try_from(-result) {
            Ok(errno @ 1..=4095) => Err(Broken::Refused(io::Error::from_raw_os_error(errno))),
            _ => Ok(result.cast_unsigned()),
        }
    }

    /// To the next entry or exit of a call.
    fn proceed(&mut self) -> Result<(), Broken> {
        sys::resume(self.tid, Resume::Syscall, 0)?;
        let mut status = sys::wait_for(self.tid)?;
        // A filter of the learner's own that was just installed may stop the entry once more.
        while Stop::of_status(status) == Stop::Seccomp {
            sys::resume(self.tid, Resume::Syscall, 0)?;
            status = sys::wait_for(self.tid)?;
        }
        match Stop::of_status(status) {
            Stop::Syscall => Ok(()),
            _ => Err(Broken::Interrupted(status)),
        }
    }

    /// Registers as they were, so that the task enters its own call (again). Nothing is left to do of a task that died.
    fn restore(&self) -> io::Result<()> {
        let own = if self.entered { self.registers } else { own_call(self.registers) };
        match setregs(Pid::from_raw(self.tid.0), own) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// A duplicate of a task's descriptor.
fn descriptor_of(tid: Tid, descriptor: i32) -> io::Result<OwnedFd> {
    sys::duplicate_from_thread(tid, descriptor).or_else(|error| match error.raw_os_error() {
        // Before Linux 6.9; a process's first thread has the process's descriptors.
        Some(libc::EINVAL) => sys::duplicate_from(tid, descriptor),
        _ => Err(error),
    })
}

/// Whether the learner may duplicate a task's descriptors, as it must to listen.
pub fn can_listen(tid: Tid) -> bool {
    match descriptor_of(tid, 0) {
        Ok(_) => true,
        Err(error) => error.raw_os_error() == Some(libc::EBADF),
    }
}

fn write(tid: Tid, address: u64, bytes: &[u8]) -> io::Result<()> {
    let base = usize::try_from(address).map_err(|_| io::Error::from_raw_os_error(libc::EFAULT))?;
    let to = [RemoteIoVec { base, len: bytes.len() }];
    let written = process_vm_writev(Pid::from_raw(tid.0), &[IoSlice::new(bytes)], &to)?;
    if written == bytes.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EFAULT)) }
}
