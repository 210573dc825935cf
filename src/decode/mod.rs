//! Calls to facts.
//!
//! [`Decoder`] is the [`Sink`] of a run: it keeps what each task is doing, lets the decoder of each call look at it at
//! its entry and at its end, and hands the facts to a [`Recorder`]. It cannot fail: what it cannot read is a gap.
//! Knows neither ptrace nor what becomes of a fact.
//!
//! # Adding a syscall
//!
//! 1. A row in `table.rs`, in the order of names: `("unlinkat", &name::Remove { at: At::dir(0, 1) })`. A shape that fits
//!    is usually there; `At` says where the arguments name a file.
//! 2. Otherwise a type in the module of its family that implements `Decode`. Facts said at the entry are recorded with
//!    the outcome of the call. What the call removes or moves is looked at on entry, what it opens on leaving.
//! 3. A test at the end of that module on the fake task of `fake.rs`, for every ABI that has the call.

mod access;
mod bpf;
mod device;
mod exec;
mod held;
mod ident;
mod inspect;
mod ipc;
mod lock;
mod memory;
mod message;
mod metadata;
mod mount;
mod multiplex;
mod name;
mod net;
mod netlink;
mod open;
mod option;
mod path;
mod process;
mod queue;
mod quiet;
mod read;
mod scene;
mod schedule;
mod special;
mod standing;
mod subject;
mod table;
mod workload;

#[cfg(test)]
mod fake;

use std::collections::HashMap;
use std::rc::Rc;

use crate::abi::{Abi, Syscall};
use crate::event::{
    Call, Census, Directive, EmptyPath, Ended, Interest, KnownCalls, Loss, Origin, Outcome, Sink, TaskView, Tid,
};
use crate::fact::{Arguments, EndFact, Fact, Gap, GapKind};
use crate::path::AbsPath;
use crate::record::{Caller, Invocation};
use exec::Executed;
use held::Held;
use quiet::Quiet;
use scene::Kept;
use standing::Standing;
use subject::{Novelty, SubjectId, Subjects};
use workload::Workload;

/// How many programs of the chain to an execution are kept.
const CHAIN_MAX: usize = 32;

/// Takes what was learned.
pub trait Recorder {
    /// Takes one fact of the executable `subject`, which `by` tells how it was started. Returns whether it is new.
    fn fact(&mut self, subject: &AbsPath, by: Option<Caller>, fact: Fact, outcome: Outcome) -> bool;

    /// `call` was entered `times` more times by `subject`. The first time is told at once, with 1, before any outcome:
    /// a call that never ends is known all the same. Later ones come in bulk, see [`Decoder::flush`], or when another
    /// invocation is to be kept as its caller.
    fn count(&mut self, subject: &AbsPath, by: Option<Caller>, abi: Abi, call: &Syscall, times: u64);

    /// `subject` began to run. The chain has none twice in a row.
    fn invoked(&mut self, subject: &AbsPath, invocation: Invocation);

    /// Something was not seen. Returns whether that is new.
    fn gap(&mut self, gap: Gap) -> bool;
}

/// Turns what capture shows into facts for a [`Recorder`].
///
/// Nothing is recorded before the workload's first successful execve; that execve counts as made by the program that it
/// started.
pub struct Decoder<R> {
    tasks: HashMap<Tid, Task>,
    workload: Workload,
    told: Told<R>,
}

/// What was recorded, and by what it is known to be new.
struct Told<R> {
    subjects: Subjects,
    quiet: Quiet,
    calls: u64,
    recorder: R,
}

/// One task.
#[derive(Default)]
struct Task {
    /// The program that it runs; `None` before the workload's own execve.
    subject: Option<SubjectId>,
    /// How that was started.
    caller: Option<Caller>,
    /// The programs before this one.
    chain: Rc<[SubjectId]>,
    /// Its credentials.
    standing: Standing,
    /// The call that it is in.
    held: Option<Held>,
}

impl<R: Recorder> Decoder<R> {
    /// A decoder that has seen nothing yet.
    pub fn new(recorder: R) -> Self {
        let told = Told { subjects: Subjects::default(), quiet: Quiet::default(), calls: 0, recorder };
        Self { tasks: HashMap::new(), workload: Workload::default(), told }
    }

    /// The recorder. Its counts of calls are behind until [`Self::flush`].
    pub fn recorder(&self) -> &R {
        &self.told.recorder
    }

    /// The recorder, to be changed.
    pub fn recorder_mut(&mut self) -> &mut R {
        &mut self.told.recorder
    }

    /// Ends decoding: flushes, and gives the recorder back.
    pub fn into_recorder(mut self) -> R {
        self.flush();
        self.told.recorder
    }

    /// The program that a task runs.
    pub fn program(&self, tid: Tid) -> Option<&AbsPath> {
        let subject = self.tasks.get(&tid)?.subject?;
        self.told.subjects.get(subject).map(|subject| &subject.path)
    }

    /// How the program that a task runs was started.
    pub fn caller(&self, tid: Tid) -> Option<Caller> {
        self.tasks.get(&tid)?.caller
    }

    /// How many calls were recorded so far.
    pub fn calls(&self) -> u64 {
        self.told.calls
    }

    /// Takes calls of an earlier record for known: they need not be shown, see [`Sink::known`].
    pub fn take_for_known<'a>(&mut self, facts: impl Iterator<Item = &'a Fact>) {
        for fact in facts {
            match fact {
                Fact::Syscall(abi, call) => {
                    if let Some(number) = call.name().and_then(|name| abi.number(name)) {
                        self.told.quiet.called(*abi, number);
                    }
                }
                Fact::Arguments(abi, call, values) => {
                    if let Some(number) = call.name().and_then(|name| abi.number(name)) {
                        self.told.quiet.called_with(*abi, number, values.0.iter().copied().collect());
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes places of an earlier run at which calls have an empty path for known.
    pub fn take_empty_paths<'a>(&mut self, known: impl Iterator<Item = &'a EmptyPath>) {
        known.for_each(|known| self.told.quiet.empty_path(*known));
    }

    /// Hands the counts of calls to the recorder; to be called before it is saved.
    pub fn flush(&mut self) {
        let Told { subjects, recorder, .. } = &mut self.told;
        for subject in subjects.iter_mut() {
            subject
                .take_counts(|path, abi, number, times| recorder.count(path, None, abi, &abi.syscall(number), times));
        }
    }
}

impl<R: Recorder> Told<R> {
    /// Counts a call at its entry. Returns whether it is the first of its kind.
    fn entered(&mut self, subject: SubjectId, by: Option<Caller>, call: &Call) -> bool {
        self.calls += 1;
        let Some(subject) = self.subjects.get_mut(subject) else {
            return false;
        };
        match subject.enter(call, by) {
            Some(Novelty::None) => false,
            Some(Novelty::Caller) => {
                let times = subject.take_count(call);
                self.recorder.count(&subject.path, by, call.abi, &call.abi.syscall(call.number), times);
                false
            }
            Some(Novelty::Call) => {
                let name = call.abi.syscall(call.number);
                subject.take_count(call);
                self.recorder.count(&subject.path, by, call.abi, &name, 1);
                self.quiet.called(call.abi, call.number);
                if name.name().is_none() {
                    let detail = format!("{} call number {} has no name here", call.abi, call.number);
                    self.recorder.gap(Gap { kind: GapKind::UnnamedSyscall, detail });
                }
                true
            }
            None => {
                let detail = format!("{} made more different unnamed calls than are kept", subject.path);
                self.recorder.gap(Gap { kind: GapKind::Limit, detail })
            }
        }
    }

    /// Records a call that ended. Returns whether it taught something about calls.
    fn ended(&mut self, held: Held, outcome: Outcome) -> bool {
        let Some(subject) = held.subject.and_then(|id| self.subjects.get_mut(id)) else {
            return false;
        };
        let (call, by, recorder, path) = (&held.call, held.caller, &mut self.recorder, subject.path.clone());
        let mut news = false;
        if subject.leave(call, outcome) {
            let fact = Fact::Syscall(call.abi, call.abi.syscall(call.number));
            news |= recorder.fact(&path, by, fact, outcome);
        }
        let values = held.row.values(&call.args);
        if !values.is_empty() && subject.arguments(call, &values, outcome, by) {
            self.quiet.called_with(call.abi, call.number, values.clone());
            let values = Arguments(values.into_vec());
            let fact = Fact::Arguments(call.abi, call.abi.syscall(call.number), values);
            news |= recorder.fact(&path, by, fact, outcome);
        }
        for fact in held.notes.facts {
            recorder.fact(&path, by, fact, outcome);
        }
        for gap in held.notes.gaps {
            recorder.gap(gap);
        }
        if held.notes.unreadable && outcome.admitted() {
            let detail = format!("memory that a {} of {path} points to could not be read", held.name);
            recorder.gap(Gap { kind: GapKind::Unreadable, detail });
        }
        news
    }

    /// Whether such a call of the executable is known to have ended like this.
    fn ended_so(&mut self, held: &Held, outcome: Outcome) -> bool {
        held.subject
            .and_then(|id| self.subjects.get_mut(id))
            .is_some_and(|subject| subject.ended_so(&held.call, outcome))
    }

    /// Records facts of a call that succeeded.
    fn facts(&mut self, subject: SubjectId, by: Option<Caller>, facts: Vec<Fact>) {
        let Some(path) = self.subjects.get(subject).map(|subject| &subject.path) else {
            return;
        };
        for fact in facts {
            self.recorder.fact(path, by, fact, Outcome::Returned(0));
        }
    }

    /// Records the beginning of a program. Returns by what it is known as a caller.
    fn invoked(&mut self, subject: SubjectId, chain: &[SubjectId], command: Vec<String>) -> Option<Caller> {
        let path = |id: SubjectId| self.subjects.get(id).map(|subject| subject.path.clone());
        let subject = path(subject)?;
        let invocation = Invocation::new(chain.iter().filter_map(|&id| path(id)).collect(), command);
        let caller = invocation.id();
        self.recorder.invoked(&subject, invocation);
        Some(caller)
    }
}

impl<R: Recorder> Sink for Decoder<R> {
    fn born(&mut self, tid: Tid, origin: Origin, view: &dyn TaskView) {
        let task = match origin {
            Origin::Root => Task::default(),
            Origin::Process(parent) | Origin::Thread(parent) => match self.tasks.get(&parent) {
                Some(parent) => Task {
                    subject: parent.subject,
                    caller: parent.caller,
                    chain: Rc::clone(&parent.chain),
                    standing: parent.standing.of_child(parent.held.as_ref().is_some_and(Held::may_leave_namespace)),
                    held: None,
                },
                // Its parent is gone already, but not what it runs.
                None => Task { subject: view.exe().ok().map(|path| self.told.subjects.id(&path)), ..Task::default() },
            },
        };
        let program = task.subject.and_then(|id| self.told.subjects.get(id)).map(|subject| subject.path.clone());
        match origin {
            Origin::Thread(sibling) => self.workload.processes.thread(tid, sibling),
            Origin::Root | Origin::Process(_) => self.workload.processes.process(tid, program),
        }
        self.tasks.insert(tid, task);
    }

    fn enter(&mut self, tid: Tid, call: &Call, view: &dyn TaskView) -> Interest {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return Interest::default();
        };
        let row = table::row(call.abi, call.number);
        let unseen_end = task.held.take();
        let mut news = unseen_end.is_some_and(|held| self.told.ended(held, Outcome::Unfinished));
        match task.subject {
            Some(subject) => news |= self.told.entered(subject, task.caller, call),
            None if row.executes => {}
            // Our own child on its way to the workload's execve.
            None => return Interest::default(),
        }
        let mut held = Held::new(call, row, (task.subject, task.caller), view);
        held.look(tid, view, &mut self.workload, &mut task.standing, |decoder, scene| decoder.enter(scene));
        if !row.returns {
            news |= self.told.ended(held, Outcome::Unfinished);
            return Interest { leave: false, news };
        }
        if self.workload.thinned
            && let Some(outcome) = held.notes.foreseen
            && self.told.ended_so(&held, outcome)
        {
            if let (Kept::Program(spot), Outcome::Returned(_)) = (&held.notes.kept, outcome) {
                // The new program tells, if it begins.
                let leave = !self.workload.programs.contains(held.subject, spot);
                task.held = Some(held);
                return Interest { leave, news };
            }
            news |= self.told.ended(held, outcome);
            return Interest { leave: false, news };
        }
        task.held = Some(held);
        Interest { leave: true, news }
    }

    fn leave(&mut self, tid: Tid, call: &Call, outcome: Outcome, view: &dyn TaskView) -> bool {
        let Some(task) = self.tasks.get_mut(&tid) else {
            return false;
        };
        let Some(mut held) = task.held.take().filter(|held| held.call.number == call.number) else {
            return false;
        };
        held.look(tid, view, &mut self.workload, &mut task.standing, |decoder, scene| decoder.leave(scene, outcome));
        self.told.ended(held, outcome)
    }

    fn withdrawn(&mut self, tid: Tid) {
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.held = None;
        }
    }

    fn exec(&mut self, tid: Tid, former: Tid, view: &dyn TaskView) {
        for sibling in self.workload.processes.siblings(former) {
            self.gone(sibling, Ended::Vanished);
        }
        self.workload.processes.remove(former);
        let mut task = self.tasks.remove(&former).unwrap_or_default();
        let asked = task.held.as_mut().map(|held| std::mem::take(&mut held.notes.kept));
        let asked = if let Some(Kept::Program(spot)) = asked { Some(spot) } else { None };
        if let Some(spot) = &asked {
            self.workload.programs.insert(task.subject, spot);
        }
        let executed = Executed::look(view, asked.as_deref(), &mut task.standing);
        let program = executed.as_ref().map(|executed| executed.program.clone());
        if let Some(mut executed) = executed {
            // What the workload itself was given is the doing of who started it.
            if task.subject.is_some() {
                executed.started.extend(exec::inherited(view, &mut task.standing));
            }
            self.run(&mut task, executed);
        }
        self.workload.processes.process(tid, program);
        self.tasks.insert(tid, task);
    }

    fn gone(&mut self, tid: Tid, ended: Ended) {
        let first_thread = self.workload.processes.of(tid) == tid;
        self.workload.processes.remove(tid);
        let Some(Task { subject, caller, standing, held, .. }) = self.tasks.remove(&tid) else {
            return;
        };
        if let Some(held) = held {
            self.told.ended(held, Outcome::Unfinished);
        }
        // The kernel tells of the first thread's end when no other is left.
        if let (Some(subject), Some((user, group))) = (subject, standing.ids())
            && first_thread
            && ended != Ended::Vanished
        {
            self.told.facts(subject, caller, vec![Fact::End(EndFact { user, group })]);
        }
    }

    fn lost(&mut self, loss: Loss) {
        self.told.recorder.gap(gap_of(loss));
    }

    fn empty_path(&mut self, found: EmptyPath) {
        self.told.quiet.empty_path(found);
    }

    fn known(&self) -> KnownCalls {
        self.told.quiet.known()
    }

    fn thinned(&mut self, _tid: Tid) {
        self.workload.thinned = true;
    }

    fn lent_no_new_privs(&mut self, tid: Tid) {
        for thread in self.workload.processes.siblings(tid).into_iter().chain([tid]) {
            if let Some(task) = self.tasks.get_mut(&thread) {
                task.standing.lend_no_new_privs();
            }
        }
    }

    fn tick(&mut self, _census: Census) -> Directive {
        Directive::Continue
    }
}

impl<R: Recorder> Decoder<R> {
    /// `task` runs another program from now on.
    fn run(&mut self, task: &mut Task, executed: Executed) {
        let program = self.told.subjects.id(&executed.program);
        let first = task.subject.is_none();
        let executor = task.subject.unwrap_or(program);
        if executor != program && task.chain.len() < CHAIN_MAX {
            task.chain = task.chain.iter().copied().chain([executor]).collect();
        }
        let caller = self.told.invoked(program, &task.chain, executed.command);
        if let (true, Some(held)) = (first, &mut task.held) {
            (held.subject, held.caller) = (Some(program), caller);
            self.told.entered(program, caller, &held.call);
        }
        let by = if first { caller } else { task.caller };
        (task.subject, task.caller) = (Some(program), caller);
        self.told.facts(executor, by, executed.executor);
        self.told.facts(program, caller, executed.started);
        if let Some(gap) = executed.gap {
            self.told.recorder.gap(gap);
        }
    }
}

/// What a loss of the tracer's means for a record.
#[must_use]
pub fn gap_of(loss: Loss) -> Gap {
    let (kind, detail) = match loss {
        Loss::Untraced { reason } => (GapKind::Untraced, reason),
        Loss::ForeignArch(token) => {
            (GapKind::ForeignArch, format!("calls of an architecture without a table here (AUDIT_ARCH {token:#x})"))
        }
        Loss::Listener => {
            let detail = "the workload wanted to listen to a seccomp filter of its own, and could not while learn listens \
                          to one: run learn with --no-thin";
            (GapKind::ListensItself, detail.to_owned())
        }
        Loss::Detached { tasks } => (GapKind::Untraced, format!("{tasks} tasks were let go while they still ran")),
    };
    Gap { kind, detail }
}

/// The significant scalar arguments of a call, if it has any: what a [`Fact::Arguments`] of it holds.
#[must_use]
pub fn arguments_of(call: &Call) -> Option<Arguments> {
    let values = table::row(call.abi, call.number).values(&call.args);
    (!values.is_empty()).then(|| Arguments(values.into_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use fake::{Bench, path};

    #[test]
    fn calls_are_told_once_and_counted_always() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            let call = bench.made("read", &[0, 0, 0]);
            assert!(bench.decoder.enter(Bench::TID, &call, &bench.view).news);
            let key = (path("/bin/prog"), abi, "read".to_owned());
            assert_eq!(bench.decoder.recorder().counts.get(&key), Some(&1), "known before it ends");
            assert!(bench.decoder.leave(Bench::TID, &call, Outcome::Returned(7), &bench.view));
            for _ in 0..9 {
                assert!(!bench.decoder.enter(Bench::TID, &call, &bench.view).news);
                assert!(!bench.decoder.leave(Bench::TID, &call, Outcome::Returned(8), &bench.view));
            }
            bench.decoder.enter(Bench::TID, &call, &bench.view);
            assert!(bench.decoder.leave(Bench::TID, &call, Outcome::Failed(libc::EAGAIN), &bench.view), "{abi}");
            assert_eq!(bench.decoder.recorder().facts.len(), 2);
            bench.decoder.flush();
            bench.decoder.flush();
            assert_eq!(bench.decoder.calls(), 11);
            assert_eq!(bench.decoder.into_recorder().counts.get(&key), Some(&11));
        }
    }

    #[test]
    fn arguments_are_told_by_value() {
        let mut bench = Bench::new(Abi::X86_64);
        let told = |bench: &mut Bench, request| {
            bench.call("ioctl", &[1, request, 0]);
            let facts = &bench.decoder.recorder().facts;
            facts.iter().any(|(_, fact, _)| matches!(fact, Fact::Arguments(..)))
        };
        assert!(told(&mut bench, 0x5401));
        assert!(!told(&mut bench, 0x5401));
        assert!(!told(&mut bench, 0xffff_ffff_0000_5401), "the kernel looks at the low half");
        assert!(told(&mut bench, 0x5402));
    }

    #[test]
    fn calls_that_do_not_return_are_told_at_their_entry() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            let call = bench.made("exit_group", &[0]);
            let interest = bench.decoder.enter(Bench::TID, &call, &bench.view);
            assert_eq!(interest, Interest { leave: false, news: true });
            let fact = Fact::Syscall(abi, abi.syscall(call.number));
            assert_eq!(bench.decoder.recorder().facts, [(path("/bin/prog"), fact, Outcome::Unfinished)], "{abi}");
        }
    }

    #[test]
    fn a_call_that_dies_is_unfinished() {
        let mut bench = Bench::new(Abi::X86_64);
        let name = bench.text("gone");
        let call = bench.made("unlink", &[name]);
        bench.decoder.enter(Bench::TID, &call, &bench.view);
        bench.decoder.gone(Bench::TID, Ended::Killed(9));
        let facts = bench.decoder.recorder().facts.iter().filter(|(_, fact, _)| !matches!(fact, Fact::End(_)));
        let facts: Vec<_> = facts.collect();
        assert_eq!(facts.len(), 2, "{facts:?}");
        assert!(facts.iter().all(|(_, _, outcome)| *outcome == Outcome::Unfinished));
        bench.decoder.gone(Bench::TID, Ended::Killed(9));
    }

    #[test]
    fn a_process_ends_as_who_it_became() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.effect("setuid", &[33], Outcome::Returned(0), |view| view.who.borrow_mut().uid = [33; 4]);
        bench.call("setgroups", &[0, 0]);
        bench.decoder.born(Tid(9), Origin::Thread(Bench::TID), &bench.view);
        let ends = |bench: &mut Bench, tid, ended| {
            bench.decoder.gone(tid, ended);
            let facts = bench.decoder.recorder_mut().facts.drain(..).map(|(_, fact, _)| fact);
            facts.filter(|fact| matches!(fact, Fact::End(_))).collect::<Vec<_>>()
        };
        assert_eq!(ends(&mut bench, Tid(9), Ended::Exited(0)), [], "a thread");
        assert_eq!(ends(&mut bench, Bench::TID, Ended::Killed(9)), [Fact::End(EndFact { user: 33, group: 0 })]);
        let mut bench = Bench::new(Abi::X86_64);
        bench.call("setuid", &[0]);
        assert_eq!(ends(&mut bench, Bench::TID, Ended::Vanished), [], "its end was not seen");
    }

    #[test]
    fn unnamed_calls_are_gaps() {
        let mut bench = Bench::new(Abi::X86_64);
        for number in [1000, u32::MAX] {
            let call = Call { abi: Abi::X86_64, number, args: [0; 6] };
            bench.decoder.enter(Bench::TID, &call, &bench.view);
            bench.decoder.leave(Bench::TID, &call, Outcome::Failed(libc::ENOSYS), &bench.view);
        }
        assert_eq!(bench.gaps(), [GapKind::UnnamedSyscall; 2]);
    }

    #[test]
    fn losses_are_gaps() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.decoder.lost(Loss::Untraced { reason: "a reason".to_owned() });
        bench.decoder.lost(Loss::ForeignArch(0x28));
        bench.decoder.lost(Loss::Detached { tasks: 2 });
        assert_eq!(bench.gaps(), [GapKind::Untraced, GapKind::Untraced, GapKind::ForeignArch]);
    }

    #[test]
    fn every_call_with_any_arguments_is_survived() {
        // A small generator: the values matter less than that there are many of them.
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            let mut pointers = vec![0, 1, u64::MAX, u64::MAX - 3, 0xffff_ffff];
            pointers.push(bench.text("/srv"));
            pointers.push(bench.text("a/../../b//./c/"));
            pointers.push(bench.bytes(&[0xff; 300]));
            pointers.push(bench.bytes(&[1, 0, b'x']));
            bench.view.socket(1, libc::AF_INET, libc::SOCK_STREAM);
            bench.view.open(3, "/srv");
            for number in (0..470).cycle().take(40_000) {
                let args = [(); 6].map(|()| match random() % 3 {
                    0 => random() % 40,
                    1 => random(),
                    _ => pointers[usize::try_from(random() % pointers.len() as u64).unwrap()],
                });
                let call = Call { abi, number, args };
                let outcome = if random() % 2 == 0 { Outcome::Returned(3) } else { Outcome::Failed(libc::EACCES) };
                bench.decoder.enter(Bench::TID, &call, &bench.view);
                bench.decoder.leave(Bench::TID, &call, outcome, &bench.view);
                bench.decoder.recorder_mut().facts.clear();
            }
        }
    }
}
