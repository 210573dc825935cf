//! Moves the tracer to the place that [`super::pace`] chose.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use super::pace::Place;
use super::sys;
use super::view::read_at_once;
use crate::event::Tid;

/// The calling thread.
const SELF: Pid = Pid::from_raw(0);
/// Where `/proc/TID/stat` has the processor (`proc_pid_stat(5)`, field 39), counted from behind the program's name.
const PROCESSOR: usize = 36;

/// How many stops of another task in a row make it worth to move next to that one.
const IN_A_ROW: u32 = 2;

/// Where the tracer sits.
#[derive(Debug)]
pub struct Seat {
    /// The processors that it was started on.
    own: CpuSet,
    /// The one that it is pinned to.
    pinned: Option<usize>,
    /// The task that it sits beside.
    neighbour: Option<Tid>,
    /// Stops in a row of other tasks.
    others: u32,
}

impl Seat {
    /// `None` when the learner may not move there and back.
    #[must_use]
    pub fn new(privileged: bool) -> Option<Self> {
        let own = sched_getaffinity(SELF).ok()?;
        sys::may_change_policy(privileged).then_some(Self { own, pinned: None, neighbour: None, others: 0 })
    }

    /// Goes to `place`, next to `tid`.
    ///
    /// # Errors
    /// As `sched_setaffinity(2)` and `sched_setscheduler(2)`.
    pub fn take(&mut self, place: Place, tid: Tid) -> io::Result<()> {
        match place {
            Place::Anywhere => {
                (self.pinned, self.neighbour) = (None, None);
                sched_setaffinity(SELF, &self.own)?;
                sys::set_idle(false)
            }
            Place::Beside => {
                sys::set_idle(true)?;
                self.join(tid)
            }
        }
    }

    /// `tid` stopped: follows it when it seems to be the one that stops most now.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn follow(&mut self, tid: Tid) -> io::Result<()> {
        match self.neighbour {
            Some(neighbour) if neighbour != tid => self.others += 1,
            _ => self.others = 0,
        }
        if self.others < IN_A_ROW { Ok(()) } else { self.join(tid) }
    }

    fn join(&mut self, tid: Tid) -> io::Result<()> {
        (self.neighbour, self.others) = (Some(tid), 0);
        let Some(processor) = processor(tid).filter(|&processor| self.pinned != Some(processor)) else {
            return Ok(());
        };
        let mut one = CpuSet::new();
        one.set(processor)?;
        sched_setaffinity(SELF, &one)?;
        self.pinned = Some(processor);
        Ok(())
    }
}

/// The processor on which a task ran last; `None` when it is gone.
fn processor(tid: Tid) -> Option<usize> {
    let stat = read_at_once(&format!("/proc/{}/stat", tid.0), u64::MAX).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(PROCESSOR)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_of_a_task_is_found() {
        let allowed = sched_getaffinity(SELF).unwrap();
        let last = (0..CpuSet::count()).rfind(|&processor| allowed.is_set(processor).unwrap()).unwrap();
        let mut one = CpuSet::new();
        one.set(last).unwrap();
        sched_setaffinity(SELF, &one).unwrap();
        let found = processor(Tid(nix::unistd::gettid().as_raw()));
        sched_setaffinity(SELF, &allowed).unwrap();
        assert_eq!(found, Some(last));
        assert_eq!(processor(Tid(i32::MAX)), None);
    }
}
