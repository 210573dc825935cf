//! The raw status word of `waitpid(2)` as a ptrace stop. Pure.

/// Why `waitpid` reported a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It exited with this status; the task is gone.
    Exited(i32),
    /// It was ended by this signal; the task is gone.
    Killed(i32),
    /// Syscall-enter-stop or syscall-exit-stop; `PTRACE_GET_SYSCALL_INFO` tells which.
    Syscall,
    /// A seccomp filter asked for it (`SECCOMP_RET_TRACE`).
    Seccomp,
    /// It made a new task with fork, vfork or clone.
    Birth(Birth),
    /// It runs a new program; it stands within its execve.
    Exec,
    /// Group-stop by this signal.
    Group(i32),
    /// A stop without a signal: the first stop of a new task, `PTRACE_INTERRUPT`, or the end of a group-stop.
    Trap,
    /// This signal is about to be delivered.
    Signal(i32),
    /// An event that was not asked for.
    Other,
}

/// Which of the events announces a new task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Birth {
    /// `PTRACE_EVENT_FORK` or `PTRACE_EVENT_VFORK`: always a process.
    Process,
    /// `PTRACE_EVENT_CLONE`: a thread, or a process with another exit signal than SIGCHLD.
    Clone,
}

impl Stop {
    /// Reads a status word. Signals stay raw numbers: real-time signals have no name in most libraries.
    #[must_use]
    pub const fn of_status(status: i32) -> Self {
        if libc::WIFEXITED(status) {
            return Self::Exited(libc::WEXITSTATUS(status));
        }
        if libc::WIFSIGNALED(status) {
            return Self::Killed(libc::WTERMSIG(status));
        }
        let signal = libc::WSTOPSIG(status);
        match status >> 16 {
            0 if signal == libc::SIGTRAP | 0x80 => Self::Syscall,
            0 => Self::Signal(signal),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK => Self::Birth(Birth::Process),
            libc::PTRACE_EVENT_CLONE => Self::Birth(Birth::Clone),
            libc::PTRACE_EVENT_EXEC => Self::Exec,
            libc::PTRACE_EVENT_SECCOMP => Self::Seccomp,
            libc::PTRACE_EVENT_STOP => match signal {
                libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => Self::Group(signal),
                _ => Self::Trap,
            },
            _ => Self::Other,
        }
    }

    /// Whether the task is gone.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(self, Self::Exited(_) | Self::Killed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn stopped(signal: i32, event: i32) -> Stop {
        Stop::of_status(event << 16 | signal << 8 | 0x7f)
    }

    #[test]
    fn every_stop_has_its_word() {
        assert_eq!(Stop::of_status(3 << 8), Stop::Exited(3));
        assert_eq!(Stop::of_status(libc::SIGKILL), Stop::Killed(libc::SIGKILL));
        assert_eq!(Stop::of_status(libc::SIGSEGV | 0x80), Stop::Killed(libc::SIGSEGV));
        assert_eq!(stopped(libc::SIGTRAP | 0x80, 0), Stop::Syscall);
        assert_eq!(stopped(libc::SIGTRAP, 0), Stop::Signal(libc::SIGTRAP));
        assert_eq!(stopped(64, 0), Stop::Signal(64));
        assert_eq!(stopped(libc::SIGSTOP, 0), Stop::Signal(libc::SIGSTOP));
        assert_eq!(stopped(libc::SIGTRAP, libc::PTRACE_EVENT_CLONE), Stop::Birth(Birth::Clone));
        assert_eq!(stopped(libc::SIGTRAP, libc::PTRACE_EVENT_VFORK), Stop::Birth(Birth::Process));
        assert_eq!(stopped(libc::SIGTRAP, libc::PTRACE_EVENT_EXEC), Stop::Exec);
        assert_eq!(stopped(libc::SIGTRAP, libc::PTRACE_EVENT_SECCOMP), Stop::Seccomp);
        assert_eq!(stopped(libc::SIGTSTP, libc::PTRACE_EVENT_STOP), Stop::Group(libc::SIGTSTP));
        assert_eq!(stopped(libc::SIGTRAP, libc::PTRACE_EVENT_STOP), Stop::Trap);
        assert_eq!(stopped(libc::SIGTRAP, libc::PTRACE_EVENT_EXIT), Stop::Other);
    }
}
