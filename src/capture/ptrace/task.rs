//! The table of traced tasks.

use std::collections::{HashMap, HashSet};

use super::inject::Borrowed;
use super::thin::Thinned;
use crate::event::{Call, Census, Tid};

/// Where a task stands between two stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Outside of any call, as far as was seen.
    Running,
    /// Within a call whose entry was shown and whose end is to be shown.
    InCall(Call),
    /// Within a call whose entry was shown and whose end will stop it, but is not to be shown.
    Passing(Call),
    /// Within an execve whose end stops it when it succeeds; when it fails, whatever comes next tells.
    Executing(Call),
    /// Told to stop and to enter this call again, which was shown when it asked and whose end is to be shown.
    Withheld(Call),
}

impl Phase {
    /// Whether a task needs not stop at the end of the call that it is in, if it is in any.
    #[must_use]
    pub const fn ends_unseen(self) -> bool {
        matches!(self, Self::Running | Self::Executing(_))
    }
}

impl Asking {
    /// Of a task without such a filter.
    pub const NEVER: Self = Self { asks: false, admitted: false, interruptible: false };
}

/// One traced task.
#[derive(Clone, Copy, Debug)]
pub struct Task {
    /// The process that it belongs to: the thread id of its first thread.
    pub process: Tid,
    /// The process that made its process.
    pub parent: Option<Tid>,
    /// Where it stands.
    pub phase: Phase,
    /// Whether it is in group-stop.
    pub halted: bool,
    /// What its call of clone changed, to be put back.
    pub borrowed: Option<Borrowed>,
    /// Whether it has the learner's filter.
    pub thinned: Thinned,
    /// How its filter may interrupt its calls.
    pub asking: Asking,
}

/// What a task with a filter that asks is known to be about. A signal that comes while a call waits for its answer
/// interrupts it (`ERESTARTSYS`), which must not get to the task: the kernel has not made the call yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asking {
    /// Whether its filter asks.
    pub asks: bool,
    /// Whether the call that it is in got past the filter.
    pub admitted: bool,
    /// Whether its last call was not one that asks, and may be interrupted for its own sake.
    pub interruptible: bool,
}

impl Task {
    /// It was seen to have the filter that a thread of its process installed.
    pub const fn confirm(&mut self) {
        if matches!(self.thinned, Thinned::Synced) {
            self.thinned = Thinned::Yes;
        }
    }

    /// Something else than a new program is seen of it.
    pub const fn failed_to_execute(&mut self) {
        if matches!(self.phase, Phase::Executing(_)) {
            self.phase = Phase::Running;
        }
    }

    /// A task of `process` that was not seen in a call yet.
    #[must_use]
    pub const fn new(process: Tid, parent: Option<Tid>) -> Self {
        let phase = Phase::Running;
        Self { process, parent, phase, halted: false, borrowed: None, thinned: Thinned::No, asking: Asking::NEVER }
    }
}

/// All traced tasks.
#[derive(Debug, Default)]
pub struct Tasks {
    traced: HashMap<Tid, Task>,
    processes: HashMap<Tid, usize>,
    /// New tasks that stopped before their parent told of them.
    parked: HashSet<Tid>,
    peak: Census,
}

impl Tasks {
    /// Adds a task.
    pub fn insert(&mut self, tid: Tid, task: Task) {
        if let Some(old) = self.traced.insert(tid, task) {
            self.leave_process(old.process);
        }
        *self.processes.entry(task.process).or_default() += 1;
        self.peak.processes = self.peak.processes.max(self.processes.len());
        self.peak.threads = self.peak.threads.max(self.traced.len());
    }

    /// Removes a task.
    pub fn remove(&mut self, tid: Tid) -> Option<Task> {
        let task = self.traced.remove(&tid)?;
        self.leave_process(task.process);
        Some(task)
    }

    fn leave_process(&mut self, process: Tid) {
        if let Some(threads) = self.processes.get_mut(&process) {
            *threads -= 1;
            if *threads == 0 {
                self.processes.remove(&process);
            }
        }
    }

    /// A task.
    #[must_use]
    pub fn get(&self, tid: Tid) -> Option<&Task> {
        self.traced.get(&tid)
    }

    /// A task, to change.
    pub fn get_mut(&mut self, tid: Tid) -> Option<&mut Task> {
        self.traced.get_mut(&tid)
    }

    /// Ids of all tasks.
    #[must_use]
    pub fn ids(&self) -> Vec<Tid> {
        self.traced.keys().copied().collect()
    }

    /// Whether nothing is left to wait for.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.traced.is_empty() && self.parked.is_empty()
    }

    /// Whether a thread of this process is alive.
    #[must_use]
    pub fn has_process(&self, process: Tid) -> bool {
        self.processes.contains_key(&process)
    }

    /// Processes whose parent is no longer traced: the root, or daemons that outlived it.
    #[must_use]
    pub fn top_processes(&self) -> Vec<Tid> {
        let top = |task: &Task| !task.parent.is_some_and(|parent| self.has_process(parent));
        let mut processes: Vec<_> = self.traced.values().filter(|task| top(task)).map(|task| task.process).collect();
        processes.sort_unstable();
        processes.dedup();
        processes
    }

    /// Other tasks of the process of `tid`.
    #[must_use]
    pub fn siblings(&self, process: Tid, tid: Tid) -> Vec<Tid> {
        let of_process = self.traced.iter().filter(|(other, task)| task.process == process && **other != tid);
        of_process.map(|(other, _)| *other).collect()
    }

    /// Keeps a stopped newcomer until its parent tells of it.
    pub fn park(&mut self, tid: Tid) {
        self.parked.insert(tid);
    }

    /// Takes a newcomer that was parked; whether it was.
    pub fn unpark(&mut self, tid: Tid) -> bool {
        self.parked.remove(&tid)
    }

    /// All parked newcomers, which stay parked.
    #[must_use]
    pub fn parked(&self) -> Vec<Tid> {
        self.parked.iter().copied().collect()
    }

    /// How many there are now.
    #[must_use]
    pub fn census(&self) -> Census {
        Census { processes: self.processes.len(), threads: self.traced.len() }
    }

    /// The most there were at once.
    #[must_use]
    pub const fn peak(&self) -> Census {
        self.peak
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn task(process: i32, parent: Option<Tid>) -> Task {
        Task::new(Tid(process), parent)
    }

    #[test]
    fn processes_live_as_long_as_their_threads() {
        let mut tasks = Tasks::default();
        tasks.insert(Tid(1), task(1, None));
        tasks.insert(Tid(2), task(1, None));
        tasks.insert(Tid(3), task(3, Some(Tid(1))));
        assert_eq!(tasks.census(), Census { processes: 2, threads: 3 });
        assert_eq!(tasks.top_processes(), [Tid(1)]);
        assert_eq!(tasks.siblings(Tid(1), Tid(1)), [Tid(2)]);
        tasks.remove(Tid(1));
        assert_eq!(tasks.top_processes(), [Tid(1)], "its second thread is still there");
        tasks.remove(Tid(2));
        assert_eq!(tasks.top_processes(), [Tid(3)], "the orphan comes to the top");
        tasks.remove(Tid(3));
        assert!(tasks.is_empty());
        assert_eq!(tasks.peak(), Census { processes: 2, threads: 3 });
    }
}
