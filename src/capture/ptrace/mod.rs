//! The ptrace backend: one thread that waits for stops and shows them to the sink.
//!
//! The loop knows stops and tasks; what a call means it does not know, but for those that could let something escape:
//! clone and clone3 with `CLONE_UNTRACED`, seccomp and prctl with a filter that precedes the learner's own.

pub mod filter;

mod inject;
mod pace;
mod paths;
mod seat;
mod signals;
mod start;
mod stop;
mod sys;
mod task;
mod thin;
mod view;
mod walk;

use std::io;
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getpgid, getpgrp, getpid};

use self::inject::{Borrowed, Installation};
use self::pace::Pace;
use self::paths::Paths;
use self::seat::Seat;
use self::signals::{Action, Signals};
use self::stop::{Birth, Stop};
use self::sys::{Resume, SyscallOp};
use self::task::{Phase, Task, Tasks};
pub use self::thin::DEFAULT_THRESHOLD;
use self::thin::{Heat, Thinned};
use self::view::View;
use super::{Backend, CaptureError, Workload, confine};
use crate::abi::Abi;
use crate::event::{Call, Directive, Ended, Fate, Finished, Loss, Origin, Outcome, Sink, Tid};

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

        let paths = Paths::new();
        let mut tracer = Tracer::new(held.tid, self.thin_after, &paths, sink);
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
    paths: &'a Paths,
    root: Tid,
    tasks: Tasks,
    signals: Signals,
    heat: Heat,
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
    fn new(root: Tid, thin_after: Option<u32>, paths: &'a Paths, sink: &'a mut dyn Sink) -> Self {
        let mut tracer = Self {
            sink,
            paths,
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
        tracer.sink.born(root, Origin::Root, &View { tid: root, process: root, paths });
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
            match sys::wait() {
                Ok((tid, status)) => {
                    self.keep_pace(tid);
                    self.dispatch(tid, Stop::of_status(status));
                }
                Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
                Err(error) if error.raw_os_error() == Some(libc::ECHILD) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Keeps stops cheap.
    fn keep_pace(&mut self, tid: Tid) {
        let Some((pace, seat)) = &mut self.pace else { return };
        let moved = match pace.stop(Instant::now) {
            Some(elsewhere) => seat.take(elsewhere, tid),
            None => seat.follow(tid),
        };
        if moved.is_err() {
            self.pace = None; // Not without the privilege to go back.
        }
    }

    /// Signals and the timer.
    fn attend(&mut self) {
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

    fn act(&self, action: Action) {
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

    fn halted(&self, process: Tid) -> bool {
        self.tasks.get(process).is_some_and(|task| task.halted)
    }

    fn dispatch(&mut self, tid: Tid, stop: Stop) {
        let Some(task) = self.tasks.get(tid).copied() else {
            if stop.is_end() {
                self.tasks.unpark(tid);
                self.adopt_orphans();
            } else {
                self.tasks.park(tid);
            }
            return;
        };
        let view = View { tid, process: task.process, paths: self.paths };
        if task.thinned == Thinned::Synced
            && !matches!(stop, Stop::Birth(_))
            && let Some(task) = self.tasks.get_mut(tid)
        {
            task.thinned = Thinned::Yes;
        }
        match stop {
            Stop::Exited(status) => self.ended(tid, Ended::Exited(status)),
            Stop::Killed(signal) => self.ended(tid, Ended::Killed(signal)),
            Stop::Syscall | Stop::Seccomp => self.syscall(&task, view),
            Stop::Birth(birth) => {
                if let Ok(child) = sys::event_message(tid) {
                    self.adopt(tid, child, birth);
                }
                if let Some(task) = self.tasks.get_mut(tid)
                    && task.thinned == Thinned::Synced
                {
                    task.thinned = Thinned::Yes;
                }
                self.go(tid, 0);
            }
            Stop::Exec => self.exec(view),
            Stop::Group(_) => self.group_stop(tid),
            Stop::Trap => self.begin_or_continue(tid),
            Stop::Signal(signal) => self.deliver(view, signal),
            Stop::Other => self.go(tid, 0),
        }
    }

    /// Lets a task go on. That it may have died in the meantime is told by the next wait.
    fn go(&self, tid: Tid, signal: i32) {
        let to_next_filter_stop =
            self.tasks.get(tid).is_some_and(|task| task.thinned.filtered() && task.phase == Phase::Running);
        let how = if to_next_filter_stop { Resume::Cont } else { Resume::Syscall };
        let _ = sys::resume(tid, how, signal);
    }

    fn ended(&mut self, tid: Tid, how: Ended) {
        if let Some(task) = self.tasks.remove(tid)
            && !self.tasks.has_process(task.process)
        {
            self.heat.end(task.process, task.parent);
        }
        self.sink.gone(tid, how);
        if tid == self.root {
            self.root_ended = Some(how);
        }
        self.adopt_orphans();
    }

    fn syscall(&mut self, task: &Task, view: View<'_>) {
        let Ok(info) = sys::syscall_info(view.tid) else { return };
        match info.op {
            SyscallOp::Entry { number, args } => {
                let call = Abi::of_call(info.arch, number);
                let native = call.is_some_and(|(abi, _)| abi == Abi::native());
                if native && task.thinned == Thinned::No && self.is_hot(task.process) && self.thin(view) {
                    return;
                }
                self.entered(view, info.arch, number, args);
            }
            SyscallOp::Seccomp { number, args, data } if self.confined => {
                self.denied(view, info.arch, number, args, data);
            }
            SyscallOp::Seccomp { number, args, data } => {
                // A task that stopped at the entry as well has been shown already.
                if task.phase == Phase::Running {
                    self.entered(view, info.arch, number, args);
                }
                if data != filter::OWN_STOP {
                    let _ = inject::refuse_call(view.tid, libc::ENOSYS); // As the workload's own filter wants it without a tracer.
                }
            }
            SyscallOp::Exit { value, failed } => self.left(view, value, failed),
            SyscallOp::None => {}
        }
        self.go(view.tid, 0);
    }

    fn is_hot(&mut self, process: Tid) -> bool {
        self.executed.is_some() && self.heat.stop(process)
    }

    /// Installs a filter in a task that stands at the entry of a native call. Returns whether the stop is used up: the
    /// task goes on and enters its call again.
    fn thin(&mut self, view: View<'_>) -> bool {
        let known = self.sink.known();
        if known.calls.is_empty() {
            return false;
        }
        if view::filters(view.tid) != self.filters {
            log::debug!("process {} has a seccomp filter of its own and stops at every call", view.process.0);
            self.mark(view, Thinned::Refused, Thinned::Refused);
            return false;
        }
        let program = filter::program(&known);
        let no_new_privs = !view::filter_privilege(view.tid).unwrap_or(false);
        match inject::install(view.tid, &program, no_new_privs) {
            Ok(Installation::Done) => {
                log::debug!("process {} is thinned: {} calls pass", view.process.0, known.calls.len());
                self.mark(view, Thinned::Yes, Thinned::Synced);
                self.sink.thinned(view.tid);
                if no_new_privs {
                    self.sink.lent_no_new_privs(view.tid);
                }
                self.go(view.tid, 0);
            }
            Ok(Installation::Refused(error)) => {
                log::debug!("process {} stops at every call: no filter can be installed: {error}", view.process.0);
                self.mark(view, Thinned::Refused, Thinned::Refused);
                self.go(view.tid, 0);
            }
            Ok(Installation::Interrupted(status)) => self.dispatch(view.tid, Stop::of_status(status)),
            Err(_) => {} // It died, which the next wait tells.
        }
        true
    }

    fn mark(&mut self, view: View<'_>, own: Thinned, others: Thinned) {
        for sibling in self.tasks.siblings(view.process, view.tid) {
            if let Some(task) = self.tasks.get_mut(sibling) {
                task.thinned = others;
            }
        }
        if let Some(task) = self.tasks.get_mut(view.tid) {
            task.thinned = own;
        }
    }

    fn entered(&mut self, view: View<'_>, arch: u32, number: u64, args: [u64; 6]) {
        let Some((abi, number)) = Abi::of_call(arch, number) else {
            self.sink.lost(Loss::ForeignArch(arch));
            return;
        };
        let call = Call { abi, number, args };
        let borrowed = self.keep_traced(view, &call);
        let interest = self.sink.enter(view.tid, &call, &view);
        let Some(task) = self.tasks.get_mut(view.tid) else { return };
        task.phase = match (interest.leave || borrowed.is_some(), task.thinned.filtered()) {
            (true, _) => Phase::InCall(call),
            (false, false) => Phase::Passing,
            (false, true) => Phase::Running,
        };
        task.borrowed = borrowed;
        if interest.news {
            self.heat.news(task.process, task.parent);
        }
    }

    /// Lets become of a call that the workload's confinement stopped what the sink says.
    fn denied(&mut self, view: View<'_>, arch: u32, number: u64, args: [u64; 6], data: u32) {
        let call = Abi::of_call(arch, number);
        if self.executed.is_none() && call.is_none_or(|(abi, number)| abi.number("execve") != Some(number)) {
            return; // What confines it is still being put up.
        }
        let fate = if let Some((abi, number)) = call {
            self.sink.denied(view.tid, &Call { abi, number, args }, data, &view)
        } else {
            self.sink.lost(Loss::ForeignArch(arch));
            Fate::Fail(libc::ENOSYS)
        };
        // Each fails only when the task died.
        let _ = match fate {
            Fate::Pass => Ok(()),
            Fate::Fail(errno) => inject::refuse_call(view.tid, errno),
            Fate::Trap => inject::refuse_call(view.tid, libc::ENOSYS).map(|()| sys::trap(view.process, view.tid)),
            Fate::KillThread => inject::replace_call(view.tid, confine::KILL_THREAD),
            Fate::KillProcess => inject::replace_call(view.tid, confine::KILL_PROCESS),
        };
    }

    fn left(&mut self, view: View<'_>, value: i64, failed: bool) {
        let Some(task) = self.tasks.get_mut(view.tid) else { return };
        let phase = std::mem::replace(&mut task.phase, Phase::Running);
        if let Some(borrowed) = task.borrowed.take() {
            let _ = inject::give_back(view.tid, borrowed); // It fails only when the task died.
        }
        let Phase::InCall(call) = phase else { return };
        let outcome = match (failed, i32::try_from(-value)) {
            (true, Ok(errno)) => Outcome::Failed(errno),
            _ => Outcome::Returned(value),
        };
        if matches!(outcome, Outcome::Returned(_)) && restricts_itself(&call) {
            // What its own filter refuses would never get to the learner's: it stops at every call again.
            self.mark(view, Thinned::Refused, Thinned::Refused);
        }
        let news = self.sink.leave(view.tid, &call, outcome, &view);
        if news && let Some(task) = self.tasks.get(view.tid) {
            self.heat.news(task.process, task.parent);
        }
    }

    /// Sees to it that the task which a clone makes is traced.
    fn keep_traced(&mut self, view: View<'_>, call: &Call) -> Option<Borrowed> {
        let (clone, clone3) = call.abi.clone_numbers();
        if call.number != clone && call.number != clone3 {
            return None;
        }
        inject::borrow_untraced(view, call, call.number == clone3).unwrap_or_else(|error| {
            let reason = format!("CLONE_UNTRACED of task {} could not be cleared: {error}", view.tid.0);
            self.sink.lost(Loss::Untraced { reason });
            None
        })
    }

    /// Takes in a new task of `parent`.
    fn adopt(&mut self, parent: Tid, child: Tid, birth: Birth) {
        if self.tasks.get(child).is_some() {
            return;
        }
        let stands = self.tasks.unpark(child);
        let Some(&Task { process, borrowed, thinned, .. }) = self.tasks.get(parent) else { return };
        if kill(Pid::from_raw(child.0), None).is_err() {
            return; // It was killed, and its end was reported before its birth.
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
        self.tasks.insert(child, Task { borrowed, thinned, ..task });
        let origin = if thread { Origin::Thread(parent) } else { Origin::Process(parent) };
        self.sink.born(child, origin, &View { tid: child, process: task.process, paths: self.paths });
        if stands {
            self.begin_or_continue(child);
        }
    }

    /// Newcomers whose parent died before it could tell of them: whose they are, `/proc` says.
    fn adopt_orphans(&mut self) {
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
                Some(parent) => self.adopt(parent, child, Birth::Clone),
                None => self.adopt_alone(child),
            }
        }
    }

    /// A newcomer that is the only task left.
    fn adopt_alone(&mut self, child: Tid) {
        self.tasks.unpark(child);
        self.tasks.insert(child, Task::new(child, None));
        self.sink.born(child, Origin::Process(self.root), &View { tid: child, process: child, paths: self.paths });
        self.begin_or_continue(child);
    }

    /// execve succeeded. When another thread than the first one made it, the thread takes over the process's id and
    /// every other thread is gone.
    fn exec(&mut self, view: View<'_>) {
        let tid = view.tid;
        let former = sys::event_message(tid).unwrap_or(tid);
        if former != tid
            && let Some(task) = self.tasks.remove(former)
        {
            self.tasks.insert(tid, task);
        }
        for sibling in self.tasks.siblings(view.process, tid) {
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
    fn begin_or_continue(&mut self, tid: Tid) {
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

    fn group_stop(&mut self, tid: Tid) {
        if let Some(task) = self.tasks.get_mut(tid) {
            task.halted = true;
        }
        let _ = sys::resume(tid, Resume::Listen, 0);
        if tid == self.root && self.signals.suspends(Instant::now()) {
            let _ = kill(getpid(), Signal::SIGSTOP);
        }
    }

    fn deliver(&mut self, view: View<'_>, signal: i32) {
        if sys::HANDLED.contains(&signal)
            && self.tasks.top_processes().contains(&view.process)
            && let Ok(Some(sender)) = sys::signal_sender(view.tid)
        {
            self.signals.delivered(signal, sender, Instant::now());
        }
        self.go(view.tid, signal);
    }
}

/// Whether a call installs a seccomp filter or strict mode.
fn restricts_itself(call: &Call) -> bool {
    let (seccomp, prctl) = call.abi.seccomp_numbers();
    let [first, ..] = call.args;
    call.number == seccomp && first <= SECCOMP_SET_MODE_FILTER || call.number == prctl && first == PR_SET_SECCOMP
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
