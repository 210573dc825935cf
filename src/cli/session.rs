//! A run in progress: what was learned so far, when it is saved, when it is to end.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;

use super::io::{self, Destination};
use super::status::StatusLine;
use super::witness::Witness;
use crate::abi::{Abi, Syscall};
use crate::capture::ptrace::DEFAULT_THRESHOLD;
use crate::decode::{Decoder, Recorder};
use crate::event::{
    Call, Census, Directive, EmptyPath, Ended, Finished, Interest, KnownCalls, Loss, Origin, Outcome, Sink, TaskView,
    Tid,
};
use crate::fact::{Fact, Gap};
use crate::infer;
use crate::path::AbsPath;
use crate::record::{Caller, Counts, Invocation, Moment, Record, Run, RunId};

/// How long the record is behind at most, when saving is quick.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// What the run may spend on saving and counting: a part in this many.
const SHARE: u32 = 20;

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Limits {
    /// After this time.
    pub(super) time: Option<Duration>,
    /// When nothing new was learned for this time.
    pub(super) quiet: Option<Duration>,
}

/// Takes in what the decoder says.
struct Live {
    record: Record,
    run: RunId,
    last_news: Instant,
    /// How many things were new.
    news: usize,
    /// Whether something new is not saved yet.
    dirty: bool,
}

impl Live {
    fn moment(&self, by: Option<Caller>) -> Moment {
        Moment { run: self.run, at_ms: unix_ms(), by }
    }

    fn news(&mut self, news: bool) -> bool {
        if news {
            self.last_news = Instant::now();
            self.news += 1;
            self.dirty = true;
        }
        news
    }
}

impl Recorder for Live {
    fn fact(&mut self, subject: &AbsPath, by: Option<Caller>, fact: Fact, outcome: Outcome) -> bool {
        if let (None, Fact::Execution(first)) = (&self.record.program, &fact) {
            self.record.program = Some(first.file.clone());
        }
        let news = self.record.absorb(subject, fact, outcome, self.moment(by));
        self.news(news)
    }

    fn count(&mut self, subject: &AbsPath, by: Option<Caller>, abi: Abi, call: &Syscall, times: u64) {
        let news = self.record.count(subject, abi, call, times, self.moment(by));
        self.news(news);
    }

    fn invoked(&mut self, subject: &AbsPath, invocation: Invocation) {
        self.record.invoked(subject, invocation, self.moment(None));
    }

    fn gap(&mut self, gap: Gap) -> bool {
        let news = self.record.gap(gap);
        self.news(news)
    }
}

/// What a run came to.
pub(super) struct Learned {
    /// Everything that is known now.
    pub(super) record: Record,
    /// How many things were new in this run.
    pub(super) news: usize,
    /// Whether a limit ended the workload.
    pub(super) stopped: bool,
}

/// One run.
pub(super) struct Session {
    decoder: Decoder<Live>,
    /// The kernel, when it is asked.
    pub(super) witness: Witness,
    /// This run; what is known only at its end is filled in then.
    run: Run,
    limits: Limits,
    status: StatusLine,
    file: PathBuf,
    began: Instant,
    next_save: Instant,
    save_failed: bool,
    counts: Counts,
    capabilities: usize,
    next_count: Instant,
    peak: Census,
    stopped: bool,
}

impl Session {
    /// Begins a run that adds to `record`, which is saved to `file`.
    pub(super) fn new(record: Record, run: Run, limits: Limits, status: StatusLine, file: PathBuf) -> Result<Self> {
        let now = Instant::now();
        let live = Live { record, run: RunId(getrandom::u64()?), last_news: now, news: 0, dirty: false };
        Ok(Self {
            decoder: Decoder::new(live),
            witness: Witness::new(false)?,
            run,
            limits,
            status,
            file,
            began: now,
            next_save: now + SAVE_EVERY,
            save_failed: false,
            counts: Counts::default(),
            capabilities: 0,
            next_count: now,
            peak: Census::default(),
            stopped: false,
        })
    }

    /// Takes the calls of earlier runs, and of another record, for known: they are not shown again. Returns after how
    /// many stops without news a process is to be thinned, which is at once when something is known.
    pub(super) fn take_for_known(&mut self, other: Option<&Record>, threshold: Option<u32>) -> u32 {
        let calls = |record: &Record| record.facts().map(|(_, fact, _)| fact).filter(is_call).collect::<Vec<_>>();
        let mut known = calls(&self.decoder.recorder().record);
        known.extend(other.map(calls).unwrap_or_default());
        self.decoder.take_for_known(known.iter());
        let own = self.decoder.recorder().record.runs.values();
        let runs = own.chain(other.into_iter().flat_map(|other| other.runs.values()));
        let mut like: Vec<_> = runs.filter(|run| run.machine == self.run.machine).collect();
        // What a library had that is no more is not found again; the newest are of those that are.
        like.sort_by_key(|run| Reverse(run.started_ms));
        let empty_paths = like.into_iter().flat_map(|run| &run.empty_paths);
        let empty_paths: Vec<_> = empty_paths.take(EmptyPath::MAX).copied().collect();
        self.decoder.take_empty_paths(empty_paths.iter());
        if known.is_empty() { threshold.unwrap_or(DEFAULT_THRESHOLD) } else { 0 }
    }

    /// Ends the run and saves the record a last time.
    pub(super) fn finish(mut self, finished: &Finished) -> (Learned, Result<()>) {
        self.status.clear();
        self.hear();
        if let Some(gap) = self.witness.gap() {
            self.decoder.recorder_mut().gap(gap);
        }
        self.run.complete = true;
        self.run.status = finished.root.and_then(status_of);
        self.run.peak_memory_kib = finished.peak_memory_kib;
        self.peak = Census { processes: finished.peak_processes, threads: finished.peak_threads };
        let saved = self.save();
        let Live { record, news, .. } = self.decoder.into_recorder();
        (Learned { record, news, stopped: self.stopped }, saved)
    }

    fn save(&mut self) -> Result<()> {
        self.decoder.flush();
        self.run.elapsed_ms = millis(self.began.elapsed());
        self.run.peak_processes = self.peak.processes as u64;
        self.run.peak_threads = self.peak.threads as u64;
        let live = self.decoder.recorder_mut();
        live.record.runs.insert(live.run, self.run.clone());
        io::write_record(&Destination::File(self.file.clone()), &live.record)?;
        live.dirty = false;
        Ok(())
    }

    /// Records what the kernel says. Of a task that is gone nobody knows what it ran.
    fn hear(&mut self) {
        for (tid, fact, outcome) in self.witness.take() {
            let program = self.decoder.program(tid).or(self.decoder.recorder().record.program.as_ref()).cloned();
            let by = self.decoder.caller(tid);
            if let Some(program) = program {
                self.decoder.recorder_mut().fact(&program, by, fact, outcome);
            }
        }
    }

    /// Saves when something is new, but never spends more than a small part of the time on it.
    fn save_now_and_then(&mut self, now: Instant) {
        if now < self.next_save || !self.decoder.recorder().dirty {
            return;
        }
        match self.save() {
            Ok(()) => self.save_failed = false,
            Err(error) => {
                if !std::mem::replace(&mut self.save_failed, true) {
                    log::warn!("the record cannot be saved at present, and the last saved one stays: {error:#}");
                }
            }
        }
        self.next_save = now + SAVE_EVERY.max(now.elapsed() * SHARE);
    }

    fn show(&mut self, census: Census, now: Instant) {
        if !self.status.is_shown() {
            return;
        }
        let live = self.decoder.recorder();
        if now >= self.next_count {
            self.counts = live.record.counts();
            let needs = infer::caps::needs(&live.record);
            self.capabilities = needs.iter().filter(|need| need.standing.granted()).count();
            self.next_count = now + now.elapsed() * SHARE;
        }
        self.status.show(census, self.counts, self.capabilities, now.duration_since(live.last_news));
    }
}

impl Sink for Session {
    fn born(&mut self, tid: Tid, origin: Origin, view: &dyn TaskView) {
        self.witness.born(tid, origin);
        self.decoder.born(tid, origin, view);
    }

    fn enter(&mut self, tid: Tid, call: &Call, view: &dyn TaskView) -> Interest {
        self.decoder.enter(tid, call, view)
    }

    fn leave(&mut self, tid: Tid, call: &Call, outcome: Outcome, view: &dyn TaskView) -> bool {
        self.decoder.leave(tid, call, outcome, view)
    }

    fn withdrawn(&mut self, tid: Tid) {
        self.decoder.withdrawn(tid);
    }

    fn exec(&mut self, tid: Tid, former: Tid, view: &dyn TaskView) {
        // What was asked so far concerns the program that ends here.
        self.hear();
        self.witness.exec();
        self.decoder.exec(tid, former, view);
    }

    fn gone(&mut self, tid: Tid, ended: Ended) {
        self.decoder.gone(tid, ended);
    }

    fn lost(&mut self, loss: Loss) {
        self.decoder.lost(loss);
    }

    fn empty_path(&mut self, found: EmptyPath) {
        self.run.empty_paths.insert(found);
        self.decoder.empty_path(found);
    }

    fn known(&self) -> KnownCalls {
        self.decoder.known()
    }

    fn thinned(&mut self, tid: Tid) {
        self.run.exact_counts = false;
        self.decoder.thinned(tid);
    }

    fn lent_no_new_privs(&mut self, tid: Tid) {
        self.decoder.lent_no_new_privs(tid);
    }

    fn tick(&mut self, census: Census) -> Directive {
        let now = Instant::now();
        self.peak.processes = self.peak.processes.max(census.processes);
        self.peak.threads = self.peak.threads.max(census.threads);
        self.hear();
        self.show(census, now);
        self.save_now_and_then(now);
        let over =
            |limit: Option<Duration>, since: Instant| limit.is_some_and(|limit| now.duration_since(since) >= limit);
        if over(self.limits.time, self.began) || over(self.limits.quiet, self.decoder.recorder().last_news) {
            self.stopped = true;
            return Directive::Stop;
        }
        Directive::Continue
    }
}

fn is_call(fact: &Fact) -> bool {
    matches!(fact, Fact::Syscall(..) | Fact::Arguments(..))
}

/// An exit status as a shell tells it; `None` when it was not seen.
pub(super) fn status_of(ended: Ended) -> Option<i32> {
    match ended {
        Ended::Exited(status) => Some(status),
        Ended::Killed(signal) => Some(128 + signal),
        Ended::Vanished => None,
    }
}

/// Unix time in milliseconds.
pub(super) fn unix_ms() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map(millis).unwrap_or_default()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
