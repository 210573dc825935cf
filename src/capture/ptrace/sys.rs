//! The only unsafe code: calls that no safe library offers as the tracer needs them.
//!
//! Every function here is safe to call. nix cannot carry real-time signals in a wait status or a resume, nor read
//! the syscall-info union, nor fork with a handshake.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char, c_int, c_long, c_uint, c_void};
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use crate::capture::Workload;
use crate::capture::confine::{self, Instruction};
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

fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
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
    let (arch, op) = unsafe {
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
        (info.arch, op)
    };
    Ok(SyscallInfo { arch, op })
}

/// Waits for any child or traced task. Returns it with its raw status word.
///
/// # Errors
/// `EINTR` when a signal came first, `ECHILD` when there is nothing to wait for.
pub fn wait() -> io::Result<(Tid, i32)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let tid = checked(unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) }.into())?;
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

/// A workload's first process, held before its execve.
#[derive(Debug)]
pub struct Held {
    /// Its process id.
    pub tid: Tid,
    /// A byte written here lets it go on; without one it never executes the workload.
    pub gate: OwnedFd,
    /// Where it reports why it could not execute: stage and errno; end of file when it did.
    pub report: OwnedFd,
}

/// Which step of the start failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Changing the user.
    User = 1,
    /// `execve(2)`.
    Execute = 2,
    /// Reducing the bounding set.
    Bounding = 3,
    /// Reducing the other capability sets.
    Capabilities = 4,
    /// Loading the seccomp filter.
    Filter = 5,
}

/// Forks a process that waits at its gate, becomes the workload's user, gives up new privileges when told, and
/// executes the workload.
///
/// # Errors
/// As `pipe2(2)` and `fork(2)`.
pub fn fork_held(workload: &Workload, no_new_privs: bool) -> io::Result<Held> {
    let (gate_read, gate) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let (report, report_write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    let filter = workload.confinement.filter.as_deref().map(confine::loaded);
    let start = Start {
        workload,
        arguments: pointers(&workload.arguments),
        environment: pointers(&workload.environment),
        no_new_privs: no_new_privs || workload.confinement.no_new_privs,
        filter: filter.as_deref(),
    };
    // SAFETY: the process has one thread, so the child may use its memory; it calls only async-signal-safe functions
    // on memory made ready before, and ends in execve or _exit.
    let pid = checked(unsafe { libc::fork() }.into())?;
    if pid == 0 {
        // In the child the parent's ends must go, or it would never see the gate's end of file.
        drop((gate, report));
        let (stage, errno) = become_workload(&gate_read, &start);
        let mut message = [stage as u8, 0, 0, 0, 0];
        for (to, from) in message.iter_mut().skip(1).zip(errno.to_ne_bytes()) {
            *to = from;
        }
        let _ = nix::unistd::write(&report_write, &message);
        // SAFETY: _exit has no preconditions.
        unsafe { libc::_exit(127) }
    }
    Ok(Held { tid: Tid(i32::try_from(pid).unwrap_or_default()), gate, report })
}

/// NULL-terminated pointers into `strings`.
fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// What the child needs, made ready before the fork.
struct Start<'a> {
    workload: &'a Workload,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    no_new_privs: bool,
    filter: Option<&'a [Instruction]>,
}

/// What the child does. Returns only when a step failed, with its errno.
fn become_workload(gate: &OwnedFd, start: &Start<'_>) -> (Stage, i32) {
    let Start { workload, arguments, environment, no_new_privs, filter } = start;
    default_signals();
    let mut byte = [0];
    let mut released = nix::unistd::read(gate, &mut byte);
    while released == Err(nix::errno::Errno::EINTR) {
        released = nix::unistd::read(gate, &mut byte);
    }
    if released != Ok(1) {
        return (Stage::Execute, libc::ESRCH); // The learner is gone.
    }
    if *no_new_privs {
        // SAFETY: no pointers.
        unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    }
    // Before privileges go that loading needs: the tracer lets the calls pass that follow here (`prctl(2)`).
    if let Some(filter) = filter
        && let Err(errno) = load_filter(filter)
    {
        return (Stage::Filter, errno);
    }
    if let Some(kept) = workload.confinement.capabilities
        && let Err(errno) = drop_bounding(kept)
    {
        return (Stage::Bounding, errno);
    }
    if let Some(user) = &workload.user {
        // SAFETY: the groups outlive the call; raw system calls, because the C library's wrappers take locks.
        let changed = unsafe {
            libc::syscall(libc::SYS_setgroups, user.groups.len(), user.groups.as_ptr()) == 0
                && libc::syscall(libc::SYS_setgid, user.gid) == 0
                && libc::syscall(libc::SYS_setuid, user.uid) == 0
        };
        if !changed {
            return (Stage::User, nix::errno::Errno::last_raw());
        }
    }
    if let Some(kept) = workload.confinement.capabilities
        && let Err(errno) = reduce_capabilities(kept)
    {
        return (Stage::Capabilities, errno);
    }
    // SAFETY: both arrays are NULL-terminated and point to C strings that live in `workload`.
    unsafe { libc::execve(workload.program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    (Stage::Execute, nix::errno::Errno::last_raw())
}

/// Takes capabilities that are not `kept` out of the bounding set. A process with `no_new_privs` and without the
/// privilege for it (`CAP_SETPCAP`) goes on with what it has: no execve can add anything to that (`capabilities(7)`).
fn drop_bounding(kept: u64) -> Result<(), i32> {
    for capability in (0..64).filter(|capability| kept >> capability & 1 == 0) {
        // SAFETY: no pointers.
        let (held, dropped) = unsafe {
            let held = libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0);
            (held, if held == 1 { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } else { 0 })
        };
        if held < 0 {
            break; // Behind the kernel's last one.
        }
        // SAFETY: no pointers.
        if dropped != 0 && unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) } != 1 {
            return Err(nix::errno::Errno::last_raw());
        }
    }
    Ok(())
}

/// Reduces the permitted, effective and inheritable set to `kept`; the ambient one follows (`capset(2)`).
fn reduce_capabilities(kept: u64) -> Result<(), i32> {
    let header: [u32; 2] = [0x2008_0522, 0]; // _LINUX_CAPABILITY_VERSION_3, this process.
    let mut sets = [0u32; 6]; // Effective, permitted, inheritable: the low halves, then the high ones.
    #[expect(clippy::cast_possible_truncation, reason = "the halves are wanted")]
    let (low, high) = (kept as u32, (kept >> 32) as u32);
    // SAFETY: both arrays are as large as version 3 has it; raw system calls, which take no locks.
    unsafe {
        if libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) != 0 {
            return Err(nix::errno::Errno::last_raw());
        }
        for (set, half) in sets.iter_mut().zip([low, low, low, high, high, high]) {
            *set &= half;
        }
        match libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) {
            0 => Ok(()),
            _ => Err(nix::errno::Errno::last_raw()),
        }
    }
}

/// Loads a seccomp filter for this process.
fn load_filter(program: &[Instruction]) -> Result<(), i32> {
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_| libc::EINVAL)?,
        filter: program.as_ptr().cast_mut().cast(),
    };
    // SAFETY: `program` and its instructions outlive the call, which only reads them and takes any alignment.
    match unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) } {
        0 => Ok(()),
        _ => Err(nix::errno::Errno::last_raw()),
    }
}

/// Signals that are handled: forwarded to the workload, or the timer's.
pub const HANDLED: [i32; 12] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGCONT,
    libc::SIGWINCH,
    libc::SIGALRM,
];

static ARRIVED: [AtomicBool; 65] = [const { AtomicBool::new(false) }; 65];
static SENDER: [AtomicI32; 65] = [const { AtomicI32::new(0) }; 65];
static ANY: AtomicBool = AtomicBool::new(false);

extern "C" fn note_signal(signal: c_int, info: *mut libc::siginfo_t, _context: *mut c_void) {
    let Ok(index) = usize::try_from(signal) else { return };
    // SAFETY: the kernel passes a valid siginfo to an SA_SIGINFO handler.
    let (code, pid) = unsafe { ((*info).si_code, (*info).si_pid()) };
    if let (Some(sender), Some(arrived)) = (SENDER.get(index), ARRIVED.get(index)) {
        sender.store(if code <= libc::SI_USER { pid } else { 0 }, Ordering::Relaxed);
        arrived.store(true, Ordering::Release);
        ANY.store(true, Ordering::Release);
    }
}

/// Begins to note the [`HANDLED`] signals (those that were ignored stay ignored, as under `nohup(1)`) and starts a
/// timer that interrupts [`wait`] every `tick_us` microseconds.
///
/// # Errors
/// As `setitimer(2)`.
pub fn catch_signals(tick_us: i64) -> io::Result<()> {
    for signal in HANDLED {
        let mut old = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: sigaction is plain data for which zeroes are valid; the handler only stores to atomics.
        unsafe {
            libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr());
            if old.assume_init_ref().sa_sigaction == libc::SIG_IGN {
                continue;
            }
            let mut new: libc::sigaction = MaybeUninit::zeroed().assume_init();
            new.sa_sigaction = note_signal as *const () as usize;
            new.sa_flags = libc::SA_SIGINFO;
            libc::sigaction(signal, &raw const new, std::ptr::null_mut());
        }
    }
    let every = libc::timeval { tv_sec: 0, tv_usec: tick_us };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: `timer` outlives the call.
    checked(unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) }.into()).map(drop)
}

/// Puts the handled signals and SIGPIPE (which Rust ignores) back to their defaults, unless they are ignored.
fn default_signals() {
    // SAFETY: async-signal-safe; plain data.
    unsafe {
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        for signal in HANDLED {
            let mut old = MaybeUninit::<libc::sigaction>::zeroed();
            libc::sigaction(signal, std::ptr::null(), old.as_mut_ptr());
            if old.assume_init_ref().sa_sigaction != libc::SIG_IGN {
                libc::signal(signal, libc::SIG_DFL);
            }
        }
    }
}

/// Signals that arrived since the last call, with the sender's process id (0 when the kernel, as a terminal does,
/// sent it). Costs one load when there are none.
pub fn arrived_signals() -> Vec<(i32, i32)> {
    if !ANY.swap(false, Ordering::AcqRel) {
        return Vec::new();
    }
    let arrived = HANDLED.iter().filter_map(|&signal| {
        let index = usize::try_from(signal).ok()?;
        let came = ARRIVED.get(index)?.swap(false, Ordering::AcqRel);
        came.then(|| (signal, SENDER.get(index).map_or(0, |sender| sender.load(Ordering::Relaxed))))
    });
    arrived.collect()
}

/// Whether the learner may leave `SCHED_IDLE` again once it has entered it (`sched(7)`): with `CAP_SYS_NICE`
/// (`privileged`) or a high enough `RLIMIT_NICE`. Tries it.
pub fn may_change_policy(privileged: bool) -> bool {
    // SAFETY: no pointers.
    let normal = unsafe { libc::sched_getscheduler(0) } == libc::SCHED_OTHER;
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` outlives the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NICE, &raw mut limit) };
    normal && (privileged || limit.rlim_cur >= 20) && set_idle(true).is_ok() && set_idle(false).is_ok()
}

/// Makes the learner `SCHED_IDLE` (`sched(7)`), or normal again.
///
/// # Errors
/// `EPERM` when that is not allowed.
pub fn set_idle(idle: bool) -> io::Result<()> {
    let policy = if idle { libc::SCHED_IDLE } else { libc::SCHED_OTHER };
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: `parameters` outlives the call.
    checked(unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) }.into()).map(drop)
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

/// A duplicate of another process's descriptor (`pidfd_getfd(2)`, Linux 5.6).
///
/// # Errors
/// `EBADF` when it is not open there, `EPERM` when that is not allowed.
pub fn duplicate_from(process: Tid, fd: RawFd) -> io::Result<OwnedFd> {
    let open = |result: c_long| -> io::Result<OwnedFd> {
        let fd = RawFd::try_from(checked(result)?).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
        // SAFETY: a descriptor that was just opened and belongs to nobody else.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    };
    // SAFETY: no pointers.
    let pidfd = open(unsafe { libc::syscall(libc::SYS_pidfd_open, process.0, 0) })?;
    // SAFETY: no pointers.
    open(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) })
}

/// The attributes (`STATX_ATTR_*`) of the file at `path` (`statx(2)`), which is not followed.
///
/// # Errors
/// As `statx(2)`.
pub fn file_attributes(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = MaybeUninit::<libc::statx>::zeroed();
    // SAFETY: `path` ends with NUL, and `found` has room for the whole structure; both outlive the call.
    let done = unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), libc::AT_SYMLINK_NOFOLLOW, 0, found.as_mut_ptr()) };
    if done < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all of it was zero before, which every field may be.
    Ok(unsafe { found.assume_init() }.stx_attributes)
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
