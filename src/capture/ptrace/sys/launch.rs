//! The workload's first process.

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::OwnedFd;

use super::checked;
use super::signals::default_signals;
use crate::capture::Workload;
use crate::capture::confine::{self, Instruction};
use crate::event::Tid;

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
