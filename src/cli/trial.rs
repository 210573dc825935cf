//! One bounded run of a command, whose status says whether it did its work: learned from, or with less than it has.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::restrict::Rehearsal;
use super::session::{status_of, unix_ms};
use crate::abi::{Abi, Syscall};
use crate::capture::confine::Confinement;
use crate::capture::ptrace::Ptrace;
use crate::capture::{Backend, CaptureError, Workload};
use crate::decode::{Decoder, Recorder};
use crate::event::{
    Call, Census, Directive, EmptyPath, Ended, Fate, Finished, Interest, KnownCalls, Loss, Origin, Outcome, Sink,
    TaskView, Tid,
};
use crate::fact::{Fact, Gap};
use crate::path::AbsPath;
use crate::policy::apparmor::AppArmor;
use crate::record::{Caller, Invocation, Moment, Record, RunId};

/// How a run ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Trial {
    /// The exit status, 128+N for a signal; `null` when it was not seen.
    status: Option<i32>,
    /// Whether it took too long and was ended.
    timed_out: bool,
    seconds: f64,
}

impl Trial {
    /// Whether the command did its work.
    pub(super) fn succeeded(self) -> bool {
        self.status == Some(0) && !self.timed_out
    }

    /// What it did, for a reader.
    pub(super) fn told(self) -> String {
        match self.status {
            _ if self.timed_out => "took too long".to_owned(),
            Some(0) => "succeeds".to_owned(),
            Some(signal @ 129..) => format!("fails by signal {}", signal - 128),
            Some(status) => format!("fails with status {status}"),
            None => "ends unseen".to_owned(),
        }
    }

    fn new(finished: &Finished, timed_out: bool) -> Self {
        let status = finished.root.and_then(status_of);
        Self { status, timed_out, seconds: (finished.elapsed.as_secs_f64() * 1000.0).round() / 1000.0 }
    }
}

/// Runs it with all that it has, and learns.
pub(super) fn learn(workload: &Workload, timeout: Duration) -> Result<(Record, Trial), CaptureError> {
    let mut bounded = Bounded::new(Decoder::new(Notes(Record::default())), timeout);
    let finished = Ptrace { thin_after: None }.run(workload, &mut bounded)?;
    let trial = Trial::new(&finished, bounded.over);
    Ok((bounded.sink.into_recorder().0, trial))
}

/// Runs it with less. What its filter stops fails with EPERM.
pub(super) fn confined(
    workload: &Workload,
    confinement: Confinement,
    timeout: Duration,
) -> Result<Trial, CaptureError> {
    let workload = Workload { confinement, ..workload.clone() };
    let mut bounded = Bounded::new(Unseen, timeout);
    let finished = Ptrace { thin_after: None }.run(&workload, &mut bounded)?;
    Ok(Trial::new(&finished, bounded.over))
}

/// Runs it under the file rules of `profile`; what else is asked for fails with EACCES.
pub(super) fn rehearsed(
    workload: &Workload,
    confinement: Confinement,
    profile: &AppArmor,
    timeout: Duration,
) -> Result<Trial, CaptureError> {
    let workload = Workload { confinement, ..workload.clone() };
    let mut bounded = Bounded::new(Rehearsal::new(profile), timeout);
    let finished = Ptrace { thin_after: None }.run(&workload, &mut bounded)?;
    Ok(Trial::new(&finished, bounded.over))
}

/// Takes the facts into a record.
struct Notes(Record);

impl Notes {
    fn moment(by: Option<Caller>) -> Moment {
        Moment { run: RunId(0), at_ms: unix_ms(), by }
    }
}

impl Recorder for Notes {
    fn fact(&mut self, subject: &AbsPath, by: Option<Caller>, fact: Fact, outcome: Outcome) -> bool {
        self.0.absorb(subject, fact, outcome, Self::moment(by))
    }

    fn count(&mut self, subject: &AbsPath, by: Option<Caller>, abi: Abi, call: &Syscall, times: u64) {
        self.0.count(subject, abi, call, times, Self::moment(by));
    }

    fn invoked(&mut self, subject: &AbsPath, invocation: Invocation) {
        self.0.invoked(subject, invocation, Self::moment(None));
    }

    fn gap(&mut self, gap: Gap) -> bool {
        self.0.gap(gap)
    }
}

/// Looks at nothing.
struct Unseen;

impl Sink for Unseen {
    fn denied(&mut self, _: Tid, _: &Call, _: u32, _: &dyn TaskView) -> Fate {
        Fate::Fail(libc::EPERM)
    }

    fn born(&mut self, _: Tid, _: Origin, _: &dyn TaskView) {}

    fn enter(&mut self, _: Tid, _: &Call, _: &dyn TaskView) -> Interest {
        Interest::default()
    }

    fn leave(&mut self, _: Tid, _: &Call, _: Outcome, _: &dyn TaskView) -> bool {
        false
    }

    fn exec(&mut self, _: Tid, _: Tid, _: &dyn TaskView) {}

    fn thinned(&mut self, _: Tid) {}

    fn lent_no_new_privs(&mut self, _: Tid) {}

    fn gone(&mut self, _: Tid, _: Ended) {}

    fn lost(&mut self, _: Loss) {}

    fn known(&self) -> KnownCalls {
        KnownCalls::default()
    }

    fn tick(&mut self, _: Census) -> Directive {
        Directive::Continue
    }
}

/// Another sink, for a limited time.
struct Bounded<S> {
    sink: S,
    end: Instant,
    over: bool,
}

impl<S> Bounded<S> {
    fn new(sink: S, timeout: Duration) -> Self {
        let now = Instant::now();
        // An end that no clock can tell is none within a lifetime.
        Self { sink, end: now.checked_add(timeout).unwrap_or(now + Duration::from_hours(24 * 365)), over: false }
    }
}

impl<S: Sink> Sink for Bounded<S> {
    fn denied(&mut self, tid: Tid, call: &Call, data: u32, view: &dyn TaskView) -> Fate {
        self.sink.denied(tid, call, data, view)
    }

    fn born(&mut self, tid: Tid, origin: Origin, view: &dyn TaskView) {
        self.sink.born(tid, origin, view);
    }

    fn enter(&mut self, tid: Tid, call: &Call, view: &dyn TaskView) -> Interest {
        self.sink.enter(tid, call, view)
    }

    fn leave(&mut self, tid: Tid, call: &Call, outcome: Outcome, view: &dyn TaskView) -> bool {
        self.sink.leave(tid, call, outcome, view)
    }

    fn withdrawn(&mut self, tid: Tid) {
        self.sink.withdrawn(tid);
    }

    fn exec(&mut self, tid: Tid, former: Tid, view: &dyn TaskView) {
        self.sink.exec(tid, former, view);
    }

    fn thinned(&mut self, tid: Tid) {
        self.sink.thinned(tid);
    }

    fn lent_no_new_privs(&mut self, tid: Tid) {
        self.sink.lent_no_new_privs(tid);
    }

    fn gone(&mut self, tid: Tid, ended: Ended) {
        self.sink.gone(tid, ended);
    }

    fn lost(&mut self, loss: Loss) {
        self.sink.lost(loss);
    }

    fn empty_path(&mut self, found: EmptyPath) {
        self.sink.empty_path(found);
    }

    fn known(&self) -> KnownCalls {
        self.sink.known()
    }

    fn tick(&mut self, census: Census) -> Directive {
        self.over |= Instant::now() >= self.end;
        if self.over { Directive::Stop } else { self.sink.tick(census) }
    }
}
