//! Signals: those that the learner gets, and those of the workload.

use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid, getpgrp, getpid};

use super::Tracer;
use super::signals::Action;
use super::sys::{self, Resume};
use super::view::View;
use crate::event::{Directive, Tid};

impl Tracer<'_> {
    /// Signals and the timer.
    pub(super) fn attend(&mut self) {
        let arrived = sys::arrived_signals();
        if arrived.is_empty() {
            return;
        }
        let now = Instant::now();
        for (signal, sender) in arrived {
            if signal == libc::SIGALRM {
                if self.sink.tick(self.tasks.census()) == Directive::Stop
                    && let Some(action) = self.signals.end(now)
                {
                    self.act(action);
                }
                continue;
            }
            let from_workload = sender != 0 && self.tasks.has_process(Tid(sender));
            if let Some(action) = self.signals.arrived(signal, sender, from_workload, now) {
                self.act(action);
            }
        }
        for action in self.signals.due(now) {
            self.act(action);
        }
    }

    pub(super) fn act(&self, action: Action) {
        let own_group = getpgrp();
        for process in self.tasks.top_processes() {
            let pid = Pid::from_raw(process.0);
            let signal = match action {
                Action::Forward(signal) => signal,
                Action::ForwardOutsideGroup(signal) if getpgid(Some(pid)) != Ok(own_group) => signal,
                Action::Wake if self.halted(process) => libc::SIGCONT,
                Action::ForwardOutsideGroup(_) | Action::Wake | Action::KillAll => continue,
            };
            if let Ok(signal) = Signal::try_from(signal) {
                let _ = kill(pid, signal); // It may be gone.
            }
        }
        if action == Action::KillAll {
            for tid in self.tasks.ids() {
                let _ = kill(Pid::from_raw(tid.0), Signal::SIGKILL);
            }
        }
    }

    pub(super) fn halted(&self, process: Tid) -> bool {
        self.tasks.get(process).is_some_and(|task| task.halted)
    }

    pub(super) fn group_stop(&mut self, tid: Tid) {
        if let Some(task) = self.tasks.get_mut(tid) {
            task.halted = true;
        }
        let _ = sys::resume(tid, Resume::Listen, 0);
        if tid == self.root && self.signals.suspends(Instant::now()) {
            let _ = kill(getpid(), Signal::SIGSTOP);
        }
    }

    pub(super) fn deliver(&mut self, view: View<'_>, signal: i32) {
        if sys::HANDLED.contains(&signal)
            && self.tasks.top_processes().contains(&view.process)
            && let Ok(Some(sender)) = sys::signal_sender(view.tid)
        {
            self.signals.delivered(signal, sender, Instant::now());
        }
        self.interrupted(view.tid);
        self.go(view.tid, signal);
    }
}
