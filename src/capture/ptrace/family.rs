//! Tasks that come and go, and what they run.

use std::time::Instant;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::stop::Birth;
use super::task::{Asking, Phase, Task};
use super::thin::Thinned;
use super::view::View;
use super::{Tracer, inject, sys, view};
use crate::event::{Ended, Origin, Tid};

impl Tracer<'_> {
    pub(super) fn ended(&mut self, tid: Tid, how: Ended) {
        if let Some(task) = self.tasks.remove(tid)
            && !self.tasks.has_process(task.process)
        {
            self.heat.end(task.process, task.parent);
        }
        self.memo.paths.gone(tid);
        self.sink.gone(tid, how);
        if tid == self.root {
            self.root_ended = Some(how);
        }
        self.adopt_orphans();
    }

    /// Takes in a new task of `parent`; whether it has not run yet.
    pub(super) fn adopt(&mut self, parent: Tid, child: Tid, birth: Birth) -> bool {
        if self.tasks.get(child).is_some() {
            return false;
        }
        let stands = self.tasks.unpark(child);
        let Some(&Task { process, borrowed, thinned, asking, .. }) = self.tasks.get(parent) else { return false };
        if kill(Pid::from_raw(child.0), None).is_err() {
            return false; // It was killed, and its end was reported before its birth.
        }
        let thread = birth == Birth::Clone && sys::is_thread_of(child, process);
        let task = if thread {
            Task { parent: self.tasks.get(parent).and_then(|task| task.parent), ..Task::new(process, None) }
        } else {
            Task::new(child, Some(process))
        };
        let thinned = match thinned {
            // It may have been made before its parent's sibling installed the filter.
            Thinned::Synced if view::filters(child) == self.filters => Thinned::No,
            Thinned::Synced => Thinned::Yes,
            inherited => inherited,
        };
        let asking = Asking { asks: asking.asks && thinned != Thinned::No, ..Asking::NEVER };
        self.tasks.insert(child, Task { borrowed, thinned, asking, ..task });
        let origin = if thread { Origin::Thread(parent) } else { Origin::Process(parent) };
        self.sink.born(child, origin, &View { tid: child, process: task.process, memo: self.memo });
        if stands {
            self.begin_or_continue(child);
        }
        true
    }

    /// Newcomers whose parent died before it could tell of them: whose they are, `/proc` says.
    pub(super) fn adopt_orphans(&mut self) {
        for child in self.tasks.parked() {
            let status = std::fs::read_to_string(format!("/proc/{}/status", child.0)).unwrap_or_default();
            let id = |key: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(key));
                line.and_then(|id| id.trim().parse().ok()).map(Tid)
            };
            let process = id("Tgid:").filter(|&process| process != child && self.tasks.has_process(process));
            let family = process.or_else(|| id("PPid:")).filter(|&parent| self.tasks.get(parent).is_some());
            let parent = family.or_else(|| self.tasks.ids().into_iter().min());
            match parent {
                Some(parent) => {
                    self.adopt(parent, child, Birth::Clone);
                }
                None => self.adopt_alone(child),
            }
        }
    }

    /// A newcomer that is the only task left.
    pub(super) fn adopt_alone(&mut self, child: Tid) {
        self.tasks.unpark(child);
        self.tasks.insert(child, Task::new(child, None));
        self.sink.born(child, Origin::Process(self.root), &View { tid: child, process: child, memo: self.memo });
        self.begin_or_continue(child);
    }

    /// execve succeeded. When another thread than the first one made it, the thread takes over the process's id and
    /// every other thread is gone.
    pub(super) fn exec(&mut self, view: View<'_>) {
        let tid = view.tid;
        let siblings = self.tasks.siblings(view.process, tid);
        let former = if siblings.is_empty() { tid } else { sys::event_message(tid).unwrap_or(tid) };
        if former != tid
            && let Some(task) = self.tasks.remove(former)
        {
            self.tasks.insert(tid, task);
        }
        for sibling in siblings.into_iter().filter(|&sibling| sibling != former) {
            self.tasks.remove(sibling);
            self.sink.gone(sibling, Ended::Vanished);
        }
        if tid == self.root {
            self.executed.get_or_insert_with(Instant::now);
        }
        self.sink.exec(tid, former, &view);
        // The call cannot fail any more: a task with a filter needs not stop at its end.
        if self.tasks.get(tid).is_some_and(|task| task.thinned.filtered()) {
            self.left(view, 0, false);
        }
        self.go(tid, 0);
    }

    /// A new task's first stop, or the end of a group-stop.
    pub(super) fn begin_or_continue(&mut self, tid: Tid) {
        if let Some(task) = self.tasks.get_mut(tid) {
            let halted = std::mem::replace(&mut task.halted, false);
            // A parent stands here within its clone when it was interrupted; it gives back at the call's end.
            if !halted
                && task.phase == Phase::Running
                && let Some(borrowed) = task.borrowed.take()
            {
                let _ = inject::give_back(tid, borrowed);
            }
        }
        self.go(tid, 0);
    }
}
