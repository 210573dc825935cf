//! Waits for whatever comes next: a stop of a task, or a call that asks at a filter of the learner's own.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::utsname::uname;

use super::sys::{self, Notification, Slot};
use crate::event::Tid;

/// How many filters may ask at once. Waiting costs a little for each, so processes beyond that stop instead of asking.
const LISTENERS_MAX: usize = 64;

/// After how many calls that asked in a row the next one is waited for alone.
const ROW: u32 = 16;

/// Since which Linux task and learner wake each other on one processor (`SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`): before, a
/// call that asks costs more than a stop.
const SYNC_WAKE_UP_SINCE: (u32, u32) = (6, 6);

/// Whether calls should ask on this machine. On ARM the kernel settles what becomes of an interrupted call before a
/// tracer can see it, so that it cannot be put right there.
#[must_use]
pub fn is_worth_it() -> bool {
    let known = uname().is_ok_and(|name| version(&name.release().to_string_lossy()) >= Some(SYNC_WAKE_UP_SINCE));
    cfg!(target_arch = "x86_64") && known && sys::can_ask()
}

/// The first two numbers of a kernel's release.
fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

/// What came next.
#[derive(Debug)]
pub enum Happened {
    /// A task stopped or ended, with its raw status word.
    Stopped(Tid, i32),
    /// A call waits for its answer, to be given here.
    Asked(Rc<OwnedFd>, Notification),
}

/// Everything that is waited for.
#[derive(Debug)]
pub struct Listeners {
    /// Readable when a task stopped.
    children: SignalFd,
    open: Vec<Rc<OwnedFd>>,
    /// `children` first, then those of `open`.
    polled: Vec<libc::pollfd>,
    /// Whether a task may have stopped since the last wait.
    stopped: bool,
    /// Where to look first, so that no listener starves.
    turn: usize,
    slot: Slot,
    /// How many calls asked in a row, with no stop between them.
    row: u32,
    /// Whether the only listener is in the slot.
    direct: bool,
}

impl Listeners {
    /// Nothing asks yet. Blocks SIGCHLD: to be made after the workload's first process.
    ///
    /// # Errors
    /// As `signalfd(2)`.
    pub fn new() -> io::Result<Self> {
        let signals = SigSet::from(Signal::SIGCHLD);
        let slot = Slot::new()?;
        let children = SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        let polled = vec![readable(&children)];
        Ok(Self { children, open: Vec::new(), polled, stopped: true, turn: 0, slot, row: 0, direct: false })
    }

    /// Whether another one may be added.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.open.len() < LISTENERS_MAX
    }

    /// Listens to a new filter.
    pub fn add(&mut self, listener: OwnedFd) {
        self.polled.push(readable(&listener));
        self.open.push(Rc::new(listener));
    }

    /// Waits.
    ///
    /// # Errors
    /// `EINTR` when a signal came first, `ECHILD` when there is nothing to wait for.
    pub fn next(&mut self) -> io::Result<Happened> {
        if self.open.is_empty() {
            let (tid, status) = sys::wait()?;
            self.stopped = true;
            return Ok(Happened::Stopped(tid, status));
        }
        loop {
            if self.stopped {
                if let Some((tid, status)) = sys::wait_now()? {
                    self.row = 0;
                    return Ok(Happened::Stopped(tid, status));
                }
                self.stopped = false;
            }
            if let [only] = self.open.as_slice()
                && self.row > ROW
            {
                let only = Rc::clone(only);
                match self.receive_directly(&only)? {
                    Some(notification) => return Ok(Happened::Asked(only, notification)),
                    None => continue,
                }
            }
            sys::poll(&mut self.polled)?;
            if self.polled.first().is_some_and(|children| children.revents != 0) {
                self.children.read_signal()?;
                self.stopped = true;
            }
            if let Some((listener, notification)) = self.asked() {
                self.row += 1;
                return Ok(Happened::Asked(listener, notification));
            }
        }
    }

    /// Waits for the only listener without asking first whether there is something, until a task stops: `None` then.
    fn receive_directly(&mut self, only: &OwnedFd) -> io::Result<Option<Notification>> {
        if !self.direct {
            self.slot.fill(only)?;
            self.direct = true;
        }
        let received = sys::receive(self.slot.descriptor());
        if received.as_ref().is_err_and(|error| error.raw_os_error() != Some(libc::EINTR)) {
            self.slot.clear()?;
            (self.direct, self.stopped, self.row) = (false, true, 0);
            return Ok(None);
        }
        received.map(Some)
    }

    /// A call that waits, of the listener whose turn it is. Forgets listeners whose tasks are all gone.
    fn asked(&mut self) -> Option<(Rc<OwnedFd>, Notification)> {
        let count = self.open.len();
        for at in (0..count).map(|at| (self.turn + at) % count) {
            let Some((listener, polled)) = self.open.get(at).zip(self.polled.get(at + 1)) else { continue };
            if polled.revents & libc::POLLIN != 0
                && let Ok(notification) = sys::receive(listener)
            {
                self.turn = at + 1;
                return Some((Rc::clone(listener), notification));
            }
            if polled.revents & (libc::POLLHUP | libc::POLLIN) == libc::POLLHUP {
                self.open.remove(at);
                self.polled.remove(at + 1);
                return None;
            }
        }
        None
    }
}

fn readable(descriptor: &impl AsFd) -> libc::pollfd {
    libc::pollfd { fd: descriptor.as_fd().as_raw_fd(), events: libc::POLLIN, revents: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read() {
        assert_eq!(version("6.18.44-generic"), Some((6, 18)));
        assert_eq!(version("6.6"), Some((6, 6)));
        assert_eq!(version("5.10-rc1"), Some((5, 10)));
        assert_eq!(version("next"), None);
        assert!(version("6.5.0") < Some(SYNC_WAKE_UP_SINCE) && version("10.0") > Some(SYNC_WAKE_UP_SINCE));
    }
}
