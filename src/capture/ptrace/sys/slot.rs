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
    place: OwnedFd,
    nothing: OwnedFd,
    /// The mask and the action for SIGCHLD that were there before, as the next workload is to find them.
    mask: SigSet,
    action: libc::sigaction,
}

impl Slot {
    /// Empty. Until it is dropped SIGCHLD is blocked, and neither ignored nor has a default.
    ///
    /// # Errors
    /// As `open(2)` and `sigaction(2)`.
    pub fn new() -> io::Result<Self> {
        let open = || File::open("/dev/null").map(OwnedFd::from);
        let (place, nothing, mask) = (open()?, open()?, SigSet::thread_get_mask()?);
        SigSet::from(Signal::SIGCHLD).thread_block()?;
        NOTHING.store(nothing.as_raw_fd(), Ordering::Release);
        SLOT.store(place.as_raw_fd(), Ordering::Release);
        let mut before = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: sigaction is plain data for which zeroes are valid; the handler is async-signal-safe.
        let action = unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = take_away as *const () as usize;
            action.sa_flags = libc::SA_RESTART;
            checked(libc::sigaction(libc::SIGCHLD, &raw const action, before.as_mut_ptr()).into())?;
            before.assume_init()
        };
        Ok(Self { place, nothing, mask, action })
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
        &self.place
    }

    fn put(&self, file: &OwnedFd) -> io::Result<()> {
        // SAFETY: the number is that of `self.place`, which stays open.
        checked(unsafe { libc::dup3(file.as_raw_fd(), self.place.as_raw_fd(), libc::O_CLOEXEC) }.into()).map(drop)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        SLOT.store(-1, Ordering::Release);
        // SAFETY: the action is the one that was there before.
        unsafe { libc::sigaction(libc::SIGCHLD, &raw const self.action, std::ptr::null_mut()) };
        let _ = self.mask.thread_set_mask(); // It fails only for a bad argument.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_as_before_when_it_is_gone() {
        let blocked = || SigSet::thread_get_mask().unwrap().contains(Signal::SIGCHLD);
        let before = blocked();
        let slot = Slot::new().unwrap();
        assert!(blocked());
        slot.fill(&File::open("/proc/self/exe").unwrap().into()).unwrap();
        assert!(!blocked());
        slot.clear().unwrap();
        assert!(blocked());
        drop(slot);
        assert_eq!(blocked(), before);
    }
}
