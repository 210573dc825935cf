//! What is known of the whole workload: which task belongs to which process, what each process runs, and which ports the
//! kernel chose for it.

use std::collections::{HashMap, HashSet};

use super::subject::SubjectId;
use crate::event::{Resolved, Tid};
use crate::fact::SignalTarget;
use crate::path::AbsPath;

/// What is known of the whole workload.
#[derive(Default)]
pub(super) struct Workload {
    /// Its processes.
    pub(super) processes: Processes,
    /// Its ports.
    pub(super) ports: ChosenPorts,
    /// The files that it mapped as code.
    pub(super) code: Code,
    /// The files that its programs executed.
    pub(super) programs: Programs,
    /// Whether a process was thinned: the ends of calls that are foreseen are not asked for then.
    pub(super) thinned: bool,
}

/// Which program executed which files with success: it may do so again, and nothing new follows.
#[derive(Default)]
pub(super) struct Programs(HashSet<Executed>);

/// By whom, and which file with what inode.
type Executed = (Option<SubjectId>, AbsPath, Option<(u64, u64)>);

impl Programs {
    /// How many are remembered.
    const MAX: usize = 4096;

    pub(super) fn contains(&self, by: Option<SubjectId>, spot: &Resolved) -> bool {
        self.0.contains(&Self::entry(by, spot))
    }

    pub(super) fn insert(&mut self, by: Option<SubjectId>, spot: &Resolved) {
        if self.0.len() < Self::MAX && !self.contains(by, spot) {
            self.0.insert(Self::entry(by, spot));
        }
    }

    fn entry(by: Option<SubjectId>, spot: &Resolved) -> Executed {
        (by, spot.path.clone(), spot.inode.map(|inode| inode.id))
    }
}

/// Files that were mapped as code: whoever has one open can do so again.
#[derive(Default)]
pub(super) struct Code(HashSet<AbsPath>);

impl Code {
    /// How many are remembered.
    const MAX: usize = 4096;

    pub(super) fn contains(&self, path: &AbsPath) -> bool {
        self.0.contains(path)
    }

    pub(super) fn insert(&mut self, path: &AbsPath) {
        if self.0.len() < Self::MAX && !self.0.contains(path) {
            self.0.insert(path.clone());
        }
    }
}

/// Ports that the kernel chose, another one in each run: they are told as 0.
#[derive(Default)]
pub(super) struct ChosenPorts(HashSet<u16>);

impl ChosenPorts {
    /// The kernel chose `port` for a socket that asked for any.
    pub(super) fn chosen(&mut self, port: u16) {
        self.0.insert(port);
    }

    /// A socket asked for `port` by its number.
    pub(super) fn asked_for(&mut self, port: u16) {
        self.0.remove(&port);
    }

    /// `port` as it is told.
    pub(super) fn told(&self, port: u16) -> u16 {
        if self.0.contains(&port) { 0 } else { port }
    }
}

/// The workload's processes, by the thread id of their first thread (in the learner's pid namespace).
#[derive(Default)]
pub(super) struct Processes {
    of_thread: HashMap<Tid, Tid>,
    members: HashMap<Tid, Member>,
}

/// A process. One without threads has ended; until its parent asks for its status it can still be sent signals.
struct Member {
    program: Option<AbsPath>,
    threads: usize,
}

impl Processes {
    /// Adds a process whose first thread is `tid`.
    pub(super) fn process(&mut self, tid: Tid, program: Option<AbsPath>) {
        self.remove(tid);
        self.of_thread.insert(tid, tid);
        self.members.insert(tid, Member { program, threads: 1 });
    }

    /// Adds a thread to the process of `sibling`.
    pub(super) fn thread(&mut self, tid: Tid, sibling: Tid) {
        self.remove(tid);
        let process = self.of(sibling);
        self.of_thread.insert(tid, process);
        self.members.entry(process).or_insert(Member { program: None, threads: 0 }).threads += 1;
    }

    /// Forgets a task. What its process ran stays known until its id is given to another one.
    pub(super) fn remove(&mut self, tid: Tid) {
        let Some(process) = self.of_thread.remove(&tid) else {
            return;
        };
        if let Some(member) = self.members.get_mut(&process) {
            member.threads = member.threads.saturating_sub(1);
        }
    }

    /// The process of a task.
    pub(super) fn of(&self, tid: Tid) -> Tid {
        self.of_thread.get(&tid).copied().unwrap_or(tid)
    }

    /// The other tasks of `tid`'s process.
    pub(super) fn siblings(&self, tid: Tid) -> Vec<Tid> {
        let process = self.of(tid);
        if self.members.get(&process).is_none_or(|member| member.threads < 2) {
            return Vec::new();
        }
        let known = self.of_thread.iter().filter(|&(&other, &of)| of == process && other != tid);
        known.map(|(&other, _)| other).collect()
    }

    /// What the process or thread `id` is to the task `tid`.
    pub(super) fn target(&self, tid: Tid, id: i32) -> SignalTarget {
        let process = self.of(Tid(id));
        if process == self.of(tid) {
            return SignalTarget::Itself;
        }
        match self.members.get(&process) {
            Some(Member { program: Some(program), .. }) => SignalTarget::Program(program.clone()),
            _ => SignalTarget::Outside,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart() {
        let path = AbsPath::new(b"/bin/b").unwrap();
        let mut processes = Processes::default();
        processes.process(Tid(1), None);
        processes.thread(Tid(2), Tid(1));
        processes.process(Tid(3), Some(path.clone()));
        assert_eq!(processes.target(Tid(2), 1), SignalTarget::Itself);
        assert_eq!(processes.target(Tid(1), 3), SignalTarget::Program(path.clone()));
        assert_eq!(processes.target(Tid(1), 4), SignalTarget::Outside);
        // The first thread may go before the others; the process stays.
        processes.thread(Tid(4), Tid(3));
        processes.remove(Tid(3));
        assert_eq!(processes.target(Tid(1), 3), SignalTarget::Program(path.clone()));
        // Ended, and not yet waited for.
        processes.remove(Tid(4));
        assert_eq!(processes.target(Tid(1), 3), SignalTarget::Program(path));
        assert_eq!(processes.siblings(Tid(1)), [Tid(2)]);
        processes.remove(Tid(1));
        assert_eq!(processes.siblings(Tid(2)), []);
    }
}
