//! The ptrace backend: one thread that waits for stops and shows them to the sink.
//!
//! The loop knows stops and tasks; what a call means it does not know, but for those that could let something escape:
//! clone and clone3 with `CLONE_UNTRACED`, seccomp and prctl with a filter that precedes the learner's own.

pub mod filter;

mod arguments;
mod calls;
mod constants;
mod control;
mod family;
mod hot;
mod images;
mod inherited;
mod inject;
mod listen;
mod maps;
mod memory;
mod pace;
mod paths;
mod registers;
mod seat;
mod signals;
mod start;
mod stop;
mod sys;
mod task;
mod thin;
mod view;
mod walk;

use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::getpid;

use self::constants::Constants;
use self::listen::{Happened, Listeners};
use self::pace::Pace;
use self::seat::Seat;
use self::signals::{Action, Signals};
use self::stop::Stop;
use self::sys::Resume;
use self::task::{Task, Tasks};
pub use self::thin::DEFAULT_THRESHOLD;
use self::thin::{Heat, Thinned};
use self::view::{Memo, View};
use super::{Backend, CaptureError, Workload, confine};
use crate::event::{Ended, Finished, Origin, Sink, Tid};

/// How often [`Sink::tick`] is called, in microseconds.
const TICK_US: i64 = 100_000;

const PR_SET_SECCOMP: u64 = 22;
const SECCOMP_SET_MODE_FILTER: u64 = 1;

const OPTIONS: i32 = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACESECCOMP
    | libc::PTRACE_O_EXITKILL;

/// Runs workloads under ptrace. The workload dies with the learner (`PTRACE_O_EXITKILL`).
#[derive(Clone, Copy, Debug)]
pub struct Ptrace {
    /// After how many stops without news a process is thinned: it then stops only for what is not known yet, so that
    /// calls are no longer counted. 0 thins at the first call, `None` never.
    pub thin_after: Option<u32>,
}

impl Backend for Ptrace {
    fn run(&mut self, workload: &Workload, sink: &mut dyn Sink) -> Result<Finished, CaptureError> {
        let system = |operation| move |source| CaptureError::System { operation, source };
        sys::catch_signals(TICK_US).map_err(system("start the timer"))?;
        // A filter needs CAP_SYS_ADMIN or no_new_privs; and a traced set-user-ID program gains nothing anyway.
        let privileged = view::filter_privilege(getpid_tid()).unwrap_or(false);
        let confined = workload.confinement.filter.is_some();
        let no_new_privs = (self.thin_after.is_some() || confined) && !privileged;
        let held = sys::fork_held(workload, no_new_privs).map_err(system("start a process"))?;
        if let Err(source) = sys::seize(held.tid, OPTIONS).and_then(|()| sys::interrupt(held.tid)) {
            drop(held.gate);
            return Err(CaptureError::Forbidden { advice: start::forbidden(), source });
        }
        nix::unistd::write(&held.gate, b"!").map_err(|errno| system("release the workload")(errno.into()))?;
        drop(held.gate);

        let memo = Memo::default();
        let listeners = Listeners::new().map_err(system("wait for signals"))?;
        let mut tracer = Tracer::new(held.tid, self.thin_after, listeners, &memo, sink);
        if confined {
            tracer.confine();
        }
        if no_new_privs {
            log::info!(
                "the workload runs with no_new_privs: programs with set-user-ID bits or capabilities gain nothing"
            );
            tracer.sink.lent_no_new_privs(held.tid);
        }
        tracer.run().map_err(system("wait for the workload"))?;
        match tracer.executed {
            Some(since) => Ok(tracer.finished(since)),
            None => Err(start::start_failed(workload, held.report)),
        }
    }
}

struct Tracer<'a> {
    sink: &'a mut dyn Sink,
    memo: &'a Memo,
    root: Tid,
    tasks: Tasks,
    signals: Signals,
    heat: Heat,
    listeners: Listeners,
    /// Whether a filter may ask, as far as is known.
    can_ask: bool,
    /// The calls about which a filter asks.
    foreseen: BTreeSet<u64>,
    constants: Constants,
    /// `None` when the learner may not move back and forth.
    pace: Option<(Pace, Seat)>,
    /// How many filters the learner itself lives under, and so each task at first.
    filters: Option<u32>,
    root_ended: Option<Ended>,
    /// When the root ran its own program.
    executed: Option<Instant>,
    /// Whether the workload has a filter from its start, and only what that denies is to be seen.
    confined: bool,
}

impl<'a> Tracer<'a> {
    fn new(root: Tid, thin_after: Option<u32>, listeners: Listeners, memo: &'a Memo, sink: &'a mut dyn Sink) -> Self {
        let known = sink.known();
        let mut tracer = Self {
            listeners,
            can_ask: listen::is_worth_it(),
            foreseen: known.foreseen.keys().copied().map(u64::from).collect(),
            constants: Constants::new(known),
            sink,
            memo,
            root,
            tasks: Tasks::default(),
            signals: Signals::default(),
            heat: Heat::new(thin_after),
            pace: Seat::new(view::may_raise_priority()).map(|seat| (Pace::new(Instant::now()), seat)),
            filters: view::filters(getpid_tid()),
            root_ended: None,
            executed: None,
            confined: false,
        };
        tracer.tasks.insert(root, Task::new(root, None));
        tracer.sink.born(root, Origin::Root, &View { tid: root, process: root, memo });
        tracer
    }

    /// Only the filter that the workload starts with stops it.
    fn confine(&mut self) {
        self.confined = true;
        if let Some(root) = self.tasks.get_mut(self.root) {
            root.thinned = Thinned::Yes;
        }
    }

    fn finished(&self, since: Instant) -> Finished {
        let usage = getrusage(UsageWho::RUSAGE_CHILDREN);
        let peak = self.tasks.peak();
        Finished {
            root: self.root_ended,
            elapsed: since.elapsed(),
            peak_processes: peak.processes,
            peak_threads: peak.threads,
            peak_memory_kib: usage.ok().and_then(|usage| u64::try_from(usage.max_rss()).ok()).unwrap_or_default(),
        }
    }

    /// Until no task is left.
    fn run(&mut self) -> io::Result<()> {
        while !self.tasks.is_empty() {
            self.attend();
            match self.listeners.next() {
                Ok(Happened::Stopped(tid, status)) => {
                    self.keep_pace(tid, false);
                    self.dispatch(tid, Stop::of_status(status));
                }
                Ok(Happened::Asked(listener, asked)) => {
                    self.keep_pace(asked.tid, true);
                    let answer = self.asked(&asked);
                    let _ = sys::answer(&listener, asked.id, answer); // It fails only when the task died.
                }
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Keeps stops cheap: a task stopped, or a call of it asked.
    fn keep_pace(&mut self, tid: Tid, asked: bool) {
        let Some((pace, seat)) = &mut self.pace else { return };
        let elsewhere = if asked { pace.asked(Instant::now) } else { pace.stop(Instant::now) };
        let moved = match elsewhere {
            Some(elsewhere) => seat.take(elsewhere, tid),
            None => seat.follow(tid),
        };
        if moved.is_err() {
            self.pace = None; // Not without the privilege to go back.
        }
    }

    fn dispatch(&mut self, tid: Tid, stop: Stop) {
        if stop != Stop::Exec
            && let Some(task) = self.tasks.get_mut(tid)
        {
            task.failed_to_execute();
        }
        let Some(task) = self.tasks.get(tid).copied() else {
            if stop.is_end() {
                self.tasks.unpark(tid);
                self.adopt_orphans();
            } else {
                self.tasks.park(tid);
            }
            return;
        };
        let view = View { tid, process: task.process, memo: self.memo };
        if !matches!(stop, Stop::Birth(_)) {
            self.confirm(tid);
        }
        match stop {
            Stop::Exited(status) => self.ended(tid, Ended::Exited(status)),
            Stop::Killed(signal) => self.ended(tid, Ended::Killed(signal)),
            Stop::Syscall | Stop::Seccomp => self.syscall(&task, view),
            Stop::Birth(birth) => {
                if let Ok(child) = sys::event_message(tid)
                    && self.adopt(tid, child, birth)
                    && task.thinned.filtered()
                    && !self.confined
                {
                    self.memo.paths.born(tid, child);
                }
                self.confirm(tid);
                self.go(tid, 0);
            }
            Stop::Exec => self.exec(view),
            Stop::Group(_) => self.group_stop(tid),
            Stop::Trap => self.begin_or_continue(tid),
            Stop::Signal(signal) => self.deliver(view, signal),
            Stop::Other => self.go(tid, 0),
        }
    }

    fn confirm(&mut self, tid: Tid) {
        if let Some(task) = self.tasks.get_mut(tid) {
            task.confirm();
        }
    }

    /// Lets a task go on. That it may have died in the meantime is told by the next wait.
    fn go(&self, tid: Tid, signal: i32) {
        let to_next_filter_stop =
            self.tasks.get(tid).is_some_and(|task| task.thinned.filtered() && task.phase.ends_unseen());
        let how = if to_next_filter_stop { Resume::Cont } else { Resume::Syscall };
        let _ = sys::resume(tid, how, signal);
    }
}

/// The learner itself.
fn getpid_tid() -> Tid {
    Tid(getpid().as_raw())
}

impl Drop for Tracer<'_> {
    /// A run that breaks off leaves no process behind.
    fn drop(&mut self) {
        self.act(Action::KillAll);
    }
}
