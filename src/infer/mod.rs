//! What a workload needs: the facts of a record, judged, generalised and without any output format.
//!
//! Everything here is a pure function of a record and [`Options`] and borrows from the record, so that the needs of a
//! million files cost little beside them. Each need says why it is there. Knows no output format.

pub mod args;
pub mod caps;
pub mod files;
pub mod globs;
pub mod ids;
pub mod outcome;
pub mod risk;

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use globs::Generaliser;

use crate::abi::{Abi, Syscall};
use crate::fact::{
    Arguments, Capability, ExecutionFact, Gap, IdentityFact, LimitFact, MountFact, NamespaceFact, NetworkFact,
    QueueFact, SignalFact, TraceFact,
};
use crate::path::AbsPath;
use crate::record::{Evidence, Outcomes, Record, Subject, Usage};

pub use caps::CapabilityNeed;
pub use files::FileNeed;
pub use globs::{Globs, Pattern};

/// How far needs reach beyond what was observed, and what else is asked of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Generalisation of paths.
    pub globs: Globs,
    /// Whether profiles tell for each file rule why it is there.
    pub comments: bool,
    /// Whether the part of each program is told as well ([`Needs::shares`]).
    pub shares: bool,
}

/// Why a need is there: the executables that showed it, with when and in which runs.
pub type Because<'r> = SmallVec<[Cause<'r>; 1]>;

/// One executable's part in a need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause<'r> {
    /// The executable.
    pub subject: &'r AbsPath,
    /// When it was seen of it.
    pub seen: &'r Evidence,
}

/// Everything that a workload needs, each thing once.
#[derive(Clone, Debug)]
pub struct Needs<'r> {
    /// Where this comes from.
    pub origin: Origin<'r>,
    /// What was asked for.
    pub options: Options,
    /// System calls, whatever their outcome: a filter judges a call before its outcome.
    pub syscalls: BTreeMap<Abi, BTreeMap<&'r Syscall, Because<'r>>>,
    /// The argument lists of calls, of those calls of which each use showed them.
    pub arguments: BTreeMap<&'r Syscall, BTreeSet<&'r Arguments>>,
    /// Files, sorted by pattern and kind.
    pub files: Vec<FileNeed<'r>>,
    /// The literal paths behind every pattern that stands for more than one.
    pub literals: BTreeMap<Pattern, BTreeSet<&'r AbsPath>>,
    /// Socket uses.
    pub network: BTreeMap<&'r NetworkFact, Because<'r>>,
    /// Executed programs.
    pub executions: BTreeMap<&'r ExecutionFact, Because<'r>>,
    /// Capabilities, in the order of their numbers.
    pub capabilities: Vec<CapabilityNeed<'r>>,
    /// Capabilities that the kernel asks for without acting on the answer.
    pub idle: BTreeSet<Capability>,
    /// Users and groups.
    pub ids: ids::Ids<'r>,
    /// Signals sent.
    pub signals: BTreeMap<&'r SignalFact, Because<'r>>,
    /// Namespaces created or joined.
    pub namespaces: BTreeMap<&'r NamespaceFact, Because<'r>>,
    /// Changes of the mount table.
    pub mounts: BTreeMap<&'r MountFact, Because<'r>>,
    /// Ids changed to.
    pub identities: BTreeMap<&'r IdentityFact, Because<'r>>,
    /// Resource limits changed.
    pub limits: BTreeMap<&'r LimitFact, Because<'r>>,
    /// Tasks traced.
    pub traces: BTreeMap<&'r TraceFact, Because<'r>>,
    /// POSIX message queues.
    pub queues: BTreeMap<&'r QueueFact, Because<'r>>,
    /// The parts of all this that single programs need, when each is to have a profile of its own.
    pub shares: Vec<Share<'r>>,
}

/// What one program needs, or several whose names differ from run to run.
#[derive(Clone, Debug)]
pub struct Share<'r> {
    /// Which executables.
    pub programs: BTreeSet<&'r AbsPath>,
    /// Whether the workload was started as one of them.
    pub started: bool,
    /// Their needs, what they were handed on by the program that executed them among them.
    pub needs: Needs<'r>,
}

/// Where needs come from, for the header of every output.
#[derive(Clone, Debug)]
pub struct Origin<'r> {
    /// The workload's program.
    pub program: Option<&'r AbsPath>,
    /// What the workload is called: as it was started the first time, otherwise by its program.
    pub name: Option<Vec<u8>>,
    /// How many runs.
    pub runs: usize,
    /// When the first run began and the last one was last seen, Unix time in milliseconds.
    pub span_ms: Option<(u64, u64)>,
    /// The kernels and machines of the runs.
    pub kernels: BTreeSet<(&'r str, &'r str)>,
    /// What was not seen.
    pub gaps: &'r BTreeSet<Gap>,
}

/// The executables that are looked at, with what was seen of each.
type Subjects<'r> = [(&'r AbsPath, &'r Subject)];

/// What `record` needs.
#[must_use]
pub fn infer<'r>(record: &'r Record, options: &Options) -> Needs<'r> {
    let generaliser = Generaliser::new(record, options.globs);
    let all: Vec<_> = record.subjects.iter().collect();
    let mut needs = of_subjects(record, *options, &generaliser, &all);
    if options.shares {
        needs.shares = shares(record, *options, &generaliser, &all);
    }
    needs
}

/// One share for each program, and for each pattern of programs.
fn shares<'r>(
    record: &'r Record,
    options: Options,
    generaliser: &Generaliser<'r>,
    all: &Subjects<'r>,
) -> Vec<Share<'r>> {
    let mut groups = BTreeMap::<Pattern, Vec<(&AbsPath, &Subject)>>::new();
    for &(path, subject) in all {
        groups.entry(generaliser.pattern(path, false)).or_default().push((path, subject));
    }
    let started = started(record);
    let share = |subjects: Vec<(&'r AbsPath, &'r Subject)>| {
        let mut needs = of_subjects(record, options, generaliser, &subjects);
        let programs: BTreeSet<_> = subjects.iter().map(|(path, _)| *path).collect();
        let started = started.is_some_and(|started| programs.contains(started));
        // What the workload was started with is not what it needs.
        if !started {
            needs.files.iter_mut().for_each(FileNeed::take_over);
        }
        Share { programs, started, needs }
    };
    groups.into_values().map(share).collect()
}

/// The executable that the workload began as: of a script its interpreter.
fn started(record: &Record) -> Option<&AbsPath> {
    let program = record.program.as_ref()?;
    if record.subjects.contains_key(program) {
        return Some(program);
    }
    let mut executions = record.subjects.values().flat_map(|subject| subject.executions.keys());
    executions.find(|execution| execution.file == *program).map(|execution| &execution.program)
}

fn of_subjects<'r>(
    record: &'r Record,
    options: Options,
    generaliser: &Generaliser<'r>,
    subjects: &Subjects<'r>,
) -> Needs<'r> {
    let (files, literals) = files::needs(record, generaliser, subjects);
    let capabilities = caps::of_subjects(subjects);
    Needs {
        origin: origin(record),
        options,
        syscalls: syscalls(subjects),
        arguments: args::seen(subjects),
        files,
        literals,
        network: gather(subjects, |subject| &subject.network, outcome::network),
        executions: gather(subjects, |subject| &subject.executions, outcome::other),
        ids: ids::ids(record, &capabilities),
        capabilities,
        idle: caps::idle(subjects),
        signals: gather(subjects, |subject| &subject.signals, outcome::other),
        namespaces: gather(subjects, |subject| &subject.namespaces, outcome::other),
        mounts: gather(subjects, |subject| &subject.mounts, outcome::other),
        identities: gather(subjects, |subject| &subject.identities, outcome::other),
        limits: gather(subjects, |subject| &subject.limits, outcome::other),
        traces: gather(subjects, |subject| &subject.traces, outcome::other),
        queues: gather(subjects, |subject| &subject.queues, outcome::other),
        shares: Vec::new(),
    }
}

fn origin(record: &Record) -> Origin<'_> {
    let first = record.runs.values().map(|run| run.started_ms).min();
    let last = record.runs.values().map(|run| run.started_ms.saturating_add(run.elapsed_ms)).max();
    let program = || record.program.as_ref().map(|program| program.file_name().to_vec());
    Origin {
        program: record.program.as_ref(),
        name: record.name().map(String::into_bytes).or_else(program),
        runs: record.runs.len(),
        span_ms: first.zip(last),
        kernels: record.runs.values().map(|run| (run.kernel.as_str(), run.machine.as_str())).collect(),
        gaps: &record.gaps,
    }
}

fn syscalls<'r>(subjects: &Subjects<'r>) -> BTreeMap<Abi, BTreeMap<&'r Syscall, Because<'r>>> {
    let mut needs = BTreeMap::<Abi, BTreeMap<&Syscall, Because<'_>>>::new();
    for &(subject, seen_of) in subjects {
        for (&abi, calls) in &seen_of.syscalls {
            let needs = needs.entry(abi).or_default();
            for (call, used) in calls {
                needs.entry(call).or_default().push(Cause { subject, seen: &used.seen });
            }
        }
    }
    needs
}

/// The keys of one small set of the subjects whose outcomes show a need.
fn gather<'r, K: Ord>(
    subjects: &Subjects<'r>,
    set: fn(&Subject) -> &BTreeMap<K, Usage>,
    needed: fn(&Outcomes) -> bool,
) -> BTreeMap<&'r K, Because<'r>> {
    let mut needs = BTreeMap::<&K, Because<'_>>::new();
    for &(subject, seen_of) in subjects {
        for (key, usage) in set(seen_of).iter().filter(|(_, usage)| needed(&usage.outcomes)) {
            needs.entry(key).or_default().push(Cause { subject, seen: &usage.seen });
        }
    }
    needs
}
