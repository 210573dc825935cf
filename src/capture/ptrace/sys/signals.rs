//! Signals that the learner gets.

use std::ffi::{c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::checked;

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
/// timer that interrupts [`super::wait`] every `tick_us` microseconds.
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
pub(super) fn default_signals() {
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
