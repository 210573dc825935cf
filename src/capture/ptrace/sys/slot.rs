//! A descriptor to wait at that SIGCHLD takes away.
//!
//! No call waits for a notification and for a signal at once without `poll(2)`, which costs as much as the rest of the
//! wait. A handler alone would lose the signals that come just before the wait begins. This one puts another file at the
//! number that is waited at: a wait that has begun is interrupted and made again there, one that begins fails at once.

use std::ffi::c_int;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicI32, Ordering};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};

use super::checked;

static SLOT: AtomicI32 = AtomicI32::new(-1);
static NOTHING: AtomicI32 = AtomicI32::new(-1);

extern "C" fn take_away(_signal: c_int) {
    let errno = Errno::last_raw();
    let (nothing, slot) = (NOTHING.load(Ordering::Acquire), SLOT.load(Ordering::Acquire));
    // SAFETY: async-signal-safe (`signal-safety(7)`); both numbers belong to a `Slot` or are -1.
    unsafe { libc::dup3(nothing, slot, libc::O_CLOEXEC) };
    Errno::set_raw(errno);
}

/// The descriptor. There is one a process.
#[derive(Debug)]
pub struct Slot {
    slot: OwnedFd,
    nothing: OwnedFd,
}

impl Slot {
    /// Empty. Blocks SIGCHLD, which from now on is neither ignored nor has a default.
    ///
    /// # Errors
    /// As `open(2)` and `sigaction(2)`.
    pub fn new() -> io::Result<Self> {
        let open = || File::open("/dev/null").map(OwnedFd::from);
        let slot = Self { slot: open()?, nothing: open()? };
        SigSet::from(Signal::SIGCHLD).thread_block()?;
        NOTHING.store(slot.nothing.as_raw_fd(), Ordering::Release);
        SLOT.store(slot.slot.as_raw_fd(), Ordering::Release);
        // SAFETY: sigaction is plain data for which zeroes are valid; the handler is async-signal-safe.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = take_away as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            checked(libc::sigaction(libc::SIGCHLD, &raw const action, std::ptr::null_mut()).into())?;
        }
        Ok(slot)
    }

    /// Puts a file there, until SIGCHLD comes, or has come already.
    ///
    /// # Errors
    /// As `dup(2)`.
    pub fn fill(&self, file: &OwnedFd) -> io::Result<()> {
        self.put(file)?;
        Ok(SigSet::from(Signal::SIGCHLD).thread_unblock()?)
    }

    /// Takes the file away, and blocks SIGCHLD again.
    ///
    /// # Errors
    /// As `dup(2)`.
    pub fn clear(&self) -> io::Result<()> {
        SigSet::from(Signal::SIGCHLD).thread_block()?;
        self.put(&self.nothing)
    }

    /// What is to be waited at.
    pub const fn descriptor(&self) -> &OwnedFd {
        &self.slot
    }

    fn put(&self, file: &OwnedFd) -> io::Result<()> {
        // SAFETY: the number is that of `self.slot`, which stays open.
        checked(unsafe { libc::dup3(file.as_raw_fd(), self.slot.as_raw_fd(), libc::O_CLOEXEC) }.into()).map(drop)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        SLOT.store(-1, Ordering::Release);
    }
}
