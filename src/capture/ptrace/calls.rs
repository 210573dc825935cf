//! System calls: stops at them, and those that ask.
//!
//! A filter that asks lets a call wait for an answer of the learner (`SECCOMP_RET_USER_NOTIF`), which costs a fraction of a
//! stop: the task sleeps within the call and is looked at like a stopped one. Most calls go on then. When the end of one
//! is to be seen, it is not made yet: the answer is a failure after which the kernel enters it again, but the task was
//! told to stop (`PTRACE_INTERRUPT`), and stops before, at this entry, and at its end.
//!
//! What a signal does to a call that has not been made must not be seen by the task. Once the learner has received a
//! call, no signal but a fatal one interrupts it (`SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`). Before, it ends with
//! `ERESTARTSYS`, so that a handler without `SA_RESTART` would make it fail with EINTR, as no file's open does: the
//! result is changed at the stop that follows, and the call made again whatever the handler says.

use super::inject::{self, Borrowed};
use super::sys::{self, Answer, Notification, SyscallInfo, SyscallOp};
use super::task::{Phase, Task};
use super::thin::Thinned;
use super::view::View;
use super::{PR_SET_SECCOMP, SECCOMP_SET_MODE_FILTER, Tracer, confine, filter};
use crate::abi::Abi;
use crate::event::{Call, Fate, Interest, Loss, Outcome, Tid};

impl Tracer<'_> {
    pub(super) fn syscall(&mut self, task: &Task, view: View<'_>) {
        let Ok(SyscallInfo { arch, code, op, .. }) = sys::syscall_info(view.tid) else { return };
        if !stands_before(arch, &op).is_some_and(|call| executes(&call)) {
            self.memo.paths.changed();
        }
        match op {
            SyscallOp::Entry { number, args } => {
                let call = call_of(arch, number, args);
                let native = call.is_some_and(|call| call.abi == Abi::native());
                if native && task.thinned == Thinned::No && self.is_hot(task.process) && self.thin(view) {
                    return;
                }
                self.note_empty_path(view, call, code);
                self.entry(task, view, call, arch);
            }
            SyscallOp::Seccomp { number, args, data } if self.confined => {
                self.denied(view, arch, number, args, data);
            }
            SyscallOp::Seccomp { number, args, data } => {
                let call = call_of(arch, number, args);
                self.note_empty_path(view, call, code);
                self.filter_stop(task, view, call, arch);
                if data != filter::OWN_STOP {
                    let _ = inject::refuse_call(view.tid, libc::ENOSYS); // As the workload's own filter wants it without a tracer.
                }
            }
            SyscallOp::Exit { value, failed } => self.left(view, value, failed),
            SyscallOp::None => {}
        }
        self.go(view.tid, 0);
    }

    /// Syscall-enter-stop.
    fn entry(&mut self, task: &Task, view: View<'_>, call: Option<Call>, arch: u32) {
        match (task.phase, call) {
            (Phase::Withheld(shown), Some(call)) if shown == call => self.set_phase(view.tid, Phase::InCall(call)),
            (_, call) => self.entered(view, call, arch),
        }
        if let Some(task) = self.tasks.get_mut(view.tid) {
            task.asking.admitted = false;
        }
    }

    /// A filter's stop.
    fn filter_stop(&mut self, task: &Task, view: View<'_>, call: Option<Call>, arch: u32) {
        // A task that stopped at the entry as well has been shown already.
        if task.phase == Phase::Running {
            self.entered(view, call, arch);
        }
        if let Some(task) = self.tasks.get_mut(view.tid) {
            task.asking.admitted = true;
            task.asking.interruptible = call.is_none_or(|call| call.abi != Abi::native());
        }
    }

    /// A call of a task waits at the learner's filter. Returns what becomes of it.
    pub(super) fn asked(&mut self, asked: &Notification) -> Answer {
        let Some(task) = self.tasks.get_mut(asked.tid) else {
            let reason = format!("task {} is none of the workload's that is known", asked.tid.0);
            self.sink.lost(Loss::Untraced { reason });
            return Answer::Continue;
        };
        task.confirm();
        task.asking.admitted = true;
        task.asking.interruptible = false;
        task.failed_to_execute();
        let (phase, process) = (task.phase, task.process);
        let Some(call) = call_of(asked.arch, asked.number, asked.args) else { return Answer::Continue };
        if phase != Phase::Running {
            return Answer::Continue; // It stopped at the entry as well.
        }
        let view = View { tid: asked.tid, process, memo: self.memo };
        self.note_empty_path(view, Some(call), asked.code);
        if !self.show(view, &call).leave || sys::interrupt(asked.tid).is_err() {
            if executes(&call) {
                self.set_phase(asked.tid, Phase::Executing(call));
            }
            return Answer::Continue;
        }
        self.set_phase(asked.tid, Phase::Withheld(call));
        Answer::Again
    }

    /// A further call like this one may need not stop or ask.
    fn note_empty_path(&mut self, view: View<'_>, call: Option<Call>, code: u64) {
        if let Some(found) = call.and_then(|call| self.constants.find(view, &call, code)) {
            self.sink.empty_path(found);
        }
    }

    fn set_phase(&mut self, tid: Tid, phase: Phase) {
        if let Some(task) = self.tasks.get_mut(tid) {
            task.phase = phase;
        }
    }

    /// Shows a call that a task enters.
    fn show(&mut self, view: View<'_>, call: &Call) -> Interest {
        let interest = self.sink.enter(view.tid, call, &view);
        if interest.news
            && let Some(task) = self.tasks.get(view.tid)
        {
            self.heat.news(task.process, task.parent);
        }
        interest
    }

    fn entered(&mut self, view: View<'_>, call: Option<Call>, arch: u32) {
        let Some(call) = call else {
            self.sink.lost(Loss::ForeignArch(arch));
            return;
        };
        let borrowed = self.keep_traced(view, &call);
        let interest = self.show(view, &call);
        let Some(task) = self.tasks.get_mut(view.tid) else { return };
        task.phase = match (interest.leave || borrowed.is_some(), task.thinned.filtered()) {
            (true, _) => Phase::InCall(call),
            (false, false) if executes(&call) => Phase::InCall(call),
            (false, false) => Phase::Passing(call),
            (false, true) if executes(&call) => Phase::Executing(call),
            (false, true) => Phase::Running,
        };
        task.borrowed = borrowed;
    }

    /// Lets become of a call that the workload's confinement stopped what the sink says.
    pub(super) fn denied(&mut self, view: View<'_>, arch: u32, number: u64, args: [u64; 6], data: u32) {
        let call = call_of(arch, number, args);
        if self.executed.is_none() && call.is_none_or(|call| call.abi.exec_numbers().0 != call.number) {
            return; // What confines it is still being put up.
        }
        let fate = if let Some(call) = call {
            self.sink.denied(view.tid, &call, data, &view)
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

    pub(super) fn left(&mut self, view: View<'_>, value: i64, failed: bool) {
        let interrupted = value == -inject::RESTART;
        if interrupted && self.was_interrupted_before(view.tid) {
            self.withdraw(view.tid);
            return;
        }
        let Some(task) = self.tasks.get_mut(view.tid) else { return };
        task.asking.interruptible = interrupted;
        let (phase, asks) = (std::mem::replace(&mut task.phase, Phase::Running), task.asking.asks);
        if let Some(borrowed) = task.borrowed.take() {
            let _ = inject::give_back(view.tid, borrowed); // It fails only when the task died.
        }
        let (Phase::InCall(call) | Phase::Executing(call)) = phase else { return };
        let outcome = match (failed, i32::try_from(-value)) {
            (true, Ok(errno)) => Outcome::Failed(errno),
            _ => Outcome::Returned(value),
        };
        if matches!(outcome, Outcome::Returned(_)) && restricts_itself(&call) {
            // What its own filter refuses would never get to the learner's: it stops at every call again.
            self.mark(view, Thinned::Refused, Thinned::Refused);
        }
        if outcome == Outcome::Failed(libc::EBUSY) && asks && wants_listener(&call) {
            self.sink.lost(Loss::Listener);
        }
        let news = self.sink.leave(view.tid, &call, outcome, &view);
        if news && let Some(task) = self.tasks.get(view.tid) {
            self.heat.news(task.process, task.parent);
        }
    }

    /// A signal interrupted a call before it was made: `tid` stands at a signal or at the end of the call.
    fn was_interrupted_before(&self, tid: Tid) -> bool {
        let Some(Task { phase, asking, .. }) = self.tasks.get(tid) else { return false };
        let may_be = asking.asks
            && match phase {
                Phase::Running | Phase::Executing(_) => !asking.interruptible,
                Phase::InCall(call) | Phase::Passing(call) => !asking.admitted && call.abi == Abi::native(),
                Phase::Withheld(_) => false,
            };
        may_be
            && inject::interrupted_call(tid)
                .is_ok_and(|call| call.is_some_and(|number| self.foreseen.contains(&number)))
    }

    /// Before a signal is delivered to a task.
    pub(super) fn interrupted(&mut self, tid: Tid) {
        let withheld = self.tasks.get(tid).is_some_and(|task| matches!(task.phase, Phase::Withheld(_)));
        if withheld || self.was_interrupted_before(tid) {
            self.withdraw(tid);
        }
    }

    /// The call that a task stands behind has not been made, and will be entered again.
    fn withdraw(&mut self, tid: Tid) {
        let _ = inject::make_again(tid); // It fails only when the task died.
        if let Some(task) = self.tasks.get_mut(tid)
            && std::mem::replace(&mut task.phase, Phase::Running) != Phase::Running
        {
            self.sink.withdrawn(tid);
        }
    }

    /// Sees to it that the task which a clone makes is traced.
    pub(super) fn keep_traced(&mut self, view: View<'_>, call: &Call) -> Option<Borrowed> {
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
}

fn call_of(arch: u32, number: u64, args: [u64; 6]) -> Option<Call> {
    let (abi, number) = Abi::of_call(arch, number)?;
    Some(Call { abi, number, args })
}

/// The call that a task stands before.
fn stands_before(arch: u32, op: &SyscallOp) -> Option<Call> {
    let (SyscallOp::Entry { number, args } | SyscallOp::Seccomp { number, args, .. }) = *op else { return None };
    call_of(arch, number, args)
}

/// Whether a call executes a program, which changes no file and no root.
fn executes(call: &Call) -> bool {
    let (execve, execveat) = call.abi.exec_numbers();
    call.number == execve || call.number == execveat
}

/// Whether a call installs a seccomp filter or strict mode.
fn restricts_itself(call: &Call) -> bool {
    let (seccomp, prctl) = call.abi.seccomp_numbers();
    let [first, ..] = call.args;
    call.number == seccomp && first <= SECCOMP_SET_MODE_FILTER || call.number == prctl && first == PR_SET_SECCOMP
}

/// Whether a call installs a filter that asks.
fn wants_listener(call: &Call) -> bool {
    let (seccomp, _) = call.abi.seccomp_numbers();
    let [first, flags, ..] = call.args;
    call.number == seccomp && first == SECCOMP_SET_MODE_FILTER && flags & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER != 0
}
