//! How the learner is scheduled.

use std::io;

use super::checked;

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
