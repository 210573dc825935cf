//! What an outcome tells of a need.
//!
//! An access rule is asked at one place inside a call. A failure before that place needs no rule; a failure behind it
//! (`ENXIO` of a FIFO without a reader, `ECONNREFUSED`) does, since the workload would see another errno without it.
//! In doubt a failure counts as behind. Where the hooks stand: `fs/namei.c`, `fs/open.c`, `net/socket.c`.

use crate::fact::{Check, Fact};
use crate::record::Outcomes;

/// Errnos with which a call on a path fails before an LSM is asked, or whatever it would answer.
const BEFORE_FILE_HOOK: [i32; 17] = [
    libc::ENOENT,
    libc::ENOTDIR,
    libc::EACCES,
    libc::EPERM,
    libc::ELOOP,
    libc::ENAMETOOLONG,
    libc::EEXIST,
    libc::EISDIR,
    libc::EXDEV,
    libc::EROFS,
    libc::EINVAL,
    libc::EFAULT,
    libc::EBADF,
    libc::EMFILE,
    libc::ENFILE,
    libc::ENOSYS,
    libc::ETXTBSY,
];

/// The same for calls on sockets.
const BEFORE_SOCKET_HOOK: [i32; 8] =
    [libc::EACCES, libc::EPERM, libc::EINVAL, libc::EFAULT, libc::EBADF, libc::ENOTSOCK, libc::EMFILE, libc::ENFILE];

/// Whether a use of a file that failed with `class` still needs the access.
#[must_use]
pub fn file(class: u16) -> bool {
    !BEFORE_FILE_HOOK.contains(&i32::from(class))
}

/// Whether a use of a socket with these outcomes needs the access.
#[must_use]
pub fn network(outcomes: &Outcomes) -> bool {
    outcomes.iter().any(|class| !BEFORE_SOCKET_HOOK.contains(&i32::from(class)))
}

/// The same for everything else: needed when it took effect, or when its end was not seen.
#[must_use]
pub fn other(outcomes: &Outcomes) -> bool {
    outcomes.admitted() || outcomes.iter().any(|class| class == Outcomes::UNFINISHED)
}

/// Whether `fact`, which ended with these outcomes, is something that the workload needs: every such fact that a
/// format governs is allowed by its policy.
#[must_use]
pub fn is_needed(fact: &Fact, outcomes: &Outcomes) -> bool {
    match fact {
        Fact::Syscall(..) | Fact::Arguments(..) => true,
        Fact::File(_) => outcomes.iter().any(file),
        Fact::Network(_) => network(outcomes),
        Fact::Check(check) => needs_capability(check, outcomes),
        _ => other(outcomes),
    }
}

fn needs_capability(check: &Check, outcomes: &Outcomes) -> bool {
    super::caps::judge(check, outcomes).is_some_and(|judgement| judgement.standing.granted())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(errno: i32) -> u16 {
        u16::try_from(errno).unwrap()
    }

    #[test]
    fn failures_before_the_hook_need_nothing() {
        assert!(!file(class(libc::ENOENT)) && !file(class(libc::EACCES)));
        assert!(file(0) && file(class(libc::ENXIO)) && file(class(libc::ENOTEMPTY)) && file(Outcomes::UNFINISHED));
        assert!(network(&Outcomes::only(class(libc::ECONNREFUSED))));
        assert!(!network(&Outcomes::only(class(libc::EACCES))));
        assert!(!other(&Outcomes::only(class(libc::ESRCH))));
    }
}
