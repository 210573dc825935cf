//! What was seen of one executable, and the evidence of each fact.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::evidence::{Caller, Evidence, Failures, Outcomes, Usage};
use super::{Moment, RunId, entries};
use crate::abi::{Abi, Syscall};
use crate::event::Outcome;
use crate::fact::{
    Access, Arguments, Check, EndFact, ExecutionFact, Fact, FileFact, IdentityFact, LimitFact, MountFact,
    NamespaceFact, NetworkFact, QueueFact, SignalFact, TraceFact,
};
use crate::path::AbsPath;

/// How many different values each small set of a subject may hold, files and system calls excepted.
pub(super) const LIMIT: usize = 4096;

/// How many different argument lists are kept of one call.
pub const ARGUMENTS_LIMIT: usize = 256;

/// How many invocations are kept as a sample: the smallest ones, so that joining samples stays lawful.
pub(super) const INVOCATIONS: usize = 32;

/// A small set is full; what it holds, in words.
pub(super) struct Full(pub &'static str);

/// What was seen of one executable.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Subject {
    /// A sample of how it was started.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub invocations: BTreeMap<Invocation, Evidence>,
    /// System calls by ABI.
    #[serde(with = "entries::calls")]
    pub syscalls: BTreeMap<Abi, BTreeMap<Syscall, SyscallUse>>,
    /// Files by the kernel's path.
    #[serde(deserialize_with = "entries::sorted")]
    pub files: BTreeMap<AbsPath, FileUse>,
    /// Sockets.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub network: BTreeMap<NetworkFact, Usage>,
    /// Programs that it executed.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub executions: BTreeMap<ExecutionFact, Usage>,
    /// Calls that may hang on a capability.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub checks: BTreeMap<Check, Usage>,
    /// Signals sent.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub signals: BTreeMap<SignalFact, Usage>,
    /// Namespaces created or joined.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub namespaces: BTreeMap<NamespaceFact, Usage>,
    /// Changes of the mount table.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub mounts: BTreeMap<MountFact, Usage>,
    /// Ids changed to.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub identities: BTreeMap<IdentityFact, Usage>,
    /// Who its processes were when they ended.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub ends: BTreeMap<EndFact, Usage>,
    /// Resource limits changed.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<LimitFact, Usage>,
    /// Tasks traced.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub traces: BTreeMap<TraceFact, Usage>,
    /// POSIX message queues.
    #[serde(with = "entries", skip_serializing_if = "BTreeMap::is_empty")]
    pub queues: BTreeMap<QueueFact, Usage>,
}

/// How an executable was started: its command line and the programs from the workload's root to it.
///
/// The order is that of the ids, so that the sample of invocations is likely to hold those of [`super::Callers`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "Start")]
pub struct Invocation {
    /// By which evidence refers to it; made of the rest.
    id: Caller,
    /// Programs from the root to the one that executed it, the root first; empty for the root itself.
    chain: Vec<AbsPath>,
    /// Its arguments in [`crate::path::to_text`] form, cut to a bounded length.
    command: Vec<String>,
}

/// An [`Invocation`] as it is read: the id is made anew.
#[derive(Deserialize)]
struct Start {
    chain: Vec<AbsPath>,
    command: Vec<String>,
}

impl From<Start> for Invocation {
    fn from(Start { chain, command }: Start) -> Self {
        Self::new(chain, command)
    }
}

impl Invocation {
    /// The invocation with this chain and command.
    #[must_use]
    pub fn new(chain: Vec<AbsPath>, command: Vec<String>) -> Self {
        let programs = chain.iter().map(AbsPath::as_bytes);
        let id = fingerprint(programs.chain([&b""[..]]).chain(command.iter().map(String::as_bytes)));
        Self { id, chain, command }
    }

    /// By which evidence refers to it.
    #[must_use]
    pub fn id(&self) -> Caller {
        self.id
    }

    /// Programs from the root to the one that executed it, the root first; empty for the root itself.
    #[must_use]
    pub fn chain(&self) -> &[AbsPath] {
        &self.chain
    }

    /// Its arguments in [`crate::path::to_text`] form, cut to a bounded length.
    #[must_use]
    pub fn command(&self) -> &[String] {
        &self.command
    }
}

/// A number for these words that every build and machine gives alike: FNV-1a, folded to 32 bits.
fn fingerprint<'a>(words: impl Iterator<Item = &'a [u8]>) -> Caller {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    // 0xff ends a word; text never holds it.
    let hash = words.fold(0xcbf2_9ce4_8422_2325, |hash, word| step(word.iter().fold(hash, step), &0xff));
    let folded = (hash >> 32) ^ (hash & u64::from(u32::MAX));
    Caller(u32::try_from(folded).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN))
}

/// The use of one system call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyscallUse {
    /// How it ended; a call that never returns has none but [`Outcomes::UNFINISHED`].
    pub outcomes: Outcomes,
    /// When it was seen.
    pub seen: Evidence,
    /// How often it was seen in each run; a lower bound unless [`super::Run::exact_counts`].
    pub calls: BTreeMap<RunId, u64>,
    /// Its significant scalar arguments.
    #[serde(default, with = "entries::plain", skip_serializing_if = "BTreeMap::is_empty")]
    pub arguments: BTreeMap<Arguments, Usage>,
}

/// The use of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileUse {
    /// What succeeded.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub ok: Access,
    /// The part of `ok` that at least once was done by a task whose filesystem user id did not own the file.
    #[serde(default, skip_serializing_if = "Access::is_empty")]
    pub foreign: Access,
    /// What failed, by class of outcome ([`Outcomes::class`]).
    #[serde(default, skip_serializing_if = "Failures::is_empty")]
    pub failed: Failures,
    /// Whether it is a directory.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub directory: bool,
    /// When it was seen.
    pub seen: Evidence,
}

impl FileUse {
    fn new(moment: Moment) -> Self {
        Self {
            ok: Access::empty(),
            foreign: Access::empty(),
            failed: Failures::default(),
            directory: false,
            seen: Evidence::at(moment),
        }
    }

    fn absorb(&mut self, fact: &FileFact, outcome: Outcome, moment: Moment) -> bool {
        self.seen.again(moment);
        self.directory |= fact.directory;
        if !outcome.admitted() {
            return self.failed.insert(Outcomes::class(outcome), fact.access);
        }
        let foreign = if fact.owner { Access::empty() } else { fact.access };
        let news = !self.ok.contains(fact.access) || !self.foreign.contains(foreign);
        self.ok |= fact.access;
        self.foreign |= foreign;
        news
    }
}

impl Subject {
    pub(super) fn absorb(&mut self, fact: Fact, outcome: Outcome, moment: Moment) -> Result<bool, Full> {
        let class = Outcomes::class(outcome);
        match fact {
            Fact::Syscall(abi, call) => Ok(self.call(abi, &call, class, moment)),
            Fact::Arguments(abi, call, arguments) => {
                let known = self.syscalls.get_mut(&abi).and_then(|calls| calls.get_mut(&call));
                known.map_or(Ok(false), |known| {
                    note(&mut known.arguments, arguments, class, moment, "argument values of one call", ARGUMENTS_LIMIT)
                })
            }
            Fact::File(fact) => {
                if let Some(known) = self.files.get_mut(&fact.path) {
                    return Ok(known.absorb(&fact, outcome, moment));
                }
                let mut first = FileUse::new(moment);
                first.absorb(&fact, outcome, moment);
                self.files.insert(fact.path, first);
                Ok(true)
            }
            Fact::Network(fact) => note(&mut self.network, fact, class, moment, "socket uses", LIMIT),
            Fact::Execution(fact) => note(&mut self.executions, fact, class, moment, "executions", LIMIT),
            Fact::Check(fact) => note(&mut self.checks, fact, class, moment, "capability checks", LIMIT),
            Fact::Signal(fact) => note(&mut self.signals, fact, class, moment, "signals", LIMIT),
            Fact::Namespace(fact) => note(&mut self.namespaces, fact, class, moment, "namespaces", LIMIT),
            Fact::Mount(fact) => note(&mut self.mounts, fact, class, moment, "mounts", LIMIT),
            Fact::Identity(fact) => note(&mut self.identities, fact, class, moment, "ids", LIMIT),
            Fact::End(fact) => note(&mut self.ends, fact, class, moment, "ids at the end", LIMIT),
            Fact::Limit(fact) => note(&mut self.limits, fact, class, moment, "resource limits", LIMIT),
            Fact::Trace(fact) => note(&mut self.traces, fact, class, moment, "traced tasks", LIMIT),
            Fact::Queue(fact) => note(&mut self.queues, fact, class, moment, "message queues", LIMIT),
        }
    }

    fn call(&mut self, abi: Abi, call: &Syscall, class: u16, moment: Moment) -> bool {
        let (known, new) = self.used_call(abi, call, moment);
        known.outcomes.insert(class) || new
    }

    pub(super) fn count(&mut self, abi: Abi, call: &Syscall, times: u64, moment: Moment) -> bool {
        let (known, new) = self.used_call(abi, call, moment);
        *known.calls.entry(moment.run).or_default() += times;
        new
    }

    /// The use of a call that is seen now, and whether it is new.
    fn used_call(&mut self, abi: Abi, call: &Syscall, moment: Moment) -> (&mut SyscallUse, bool) {
        let calls = self.syscalls.entry(abi).or_default();
        let new = !calls.contains_key(call);
        let known = calls.entry(call.clone()).or_insert_with(|| SyscallUse {
            outcomes: Outcomes::default(),
            seen: Evidence::at(moment),
            calls: BTreeMap::new(),
            arguments: BTreeMap::new(),
        });
        known.seen.again(moment);
        (known, new)
    }

    pub(super) fn invoked(&mut self, invocation: Invocation, moment: Moment) {
        self.invocations
            .entry(invocation)
            .and_modify(|seen| seen.again(moment))
            .or_insert_with(|| Evidence::at(moment));
        while self.invocations.len() > INVOCATIONS {
            self.invocations.pop_last();
        }
    }

    /// The invocations that `seen` names, and how many of them are not in the sample.
    #[must_use]
    pub fn callers(&self, seen: &Evidence) -> (Vec<&Invocation>, usize) {
        let known = |caller: Caller| self.invocations.keys().find(|invocation| invocation.id == caller);
        let found = seen.by.iter().filter_map(known).collect::<Vec<_>>();
        let lost = seen.by.iter().count() - found.len();
        (found, lost)
    }

    /// Everything that was seen of it.
    pub fn sightings(&self) -> impl Iterator<Item = Sighting<'_>> {
        let calls = self.syscalls.iter().flat_map(|(&abi, calls)| {
            calls.iter().flat_map(move |(call, used)| {
                let arguments = used.arguments.iter().map(move |(values, usage)| {
                    Sighting::new(Fact::Arguments(abi, call.clone(), values.clone()), &usage.outcomes, &usage.seen)
                });
                let made = Sighting::new(Fact::Syscall(abi, call.clone()), &used.outcomes, &used.seen);
                std::iter::once(made).chain(arguments)
            })
        });
        calls
            .chain(self.files.iter().flat_map(|(path, used)| file_sightings(path, used)))
            .chain(listed(&self.network, Fact::Network))
            .chain(listed(&self.executions, Fact::Execution))
            .chain(listed(&self.checks, Fact::Check))
            .chain(listed(&self.signals, Fact::Signal))
            .chain(listed(&self.namespaces, Fact::Namespace))
            .chain(listed(&self.mounts, Fact::Mount))
            .chain(listed(&self.identities, Fact::Identity))
            .chain(listed(&self.ends, Fact::End))
            .chain(listed(&self.limits, Fact::Limit))
            .chain(listed(&self.traces, Fact::Trace))
            .chain(listed(&self.queues, Fact::Queue))
    }
}

/// One fact of an executable with its evidence.
#[derive(Clone, Debug)]
pub struct Sighting<'r> {
    /// What was seen.
    pub fact: Fact,
    /// How it ended.
    pub outcomes: Outcomes,
    /// When it was seen; of a file, when anything was seen of it.
    pub seen: &'r Evidence,
}

impl<'r> Sighting<'r> {
    fn new(fact: Fact, outcomes: &Outcomes, seen: &'r Evidence) -> Self {
        Self { fact, outcomes: outcomes.clone(), seen }
    }
}

fn listed<K: Clone>(map: &BTreeMap<K, Usage>, fact: fn(K) -> Fact) -> impl Iterator<Item = Sighting<'_>> {
    map.iter().map(move |(key, usage)| Sighting::new(fact(key.clone()), &usage.outcomes, &usage.seen))
}

/// One for the owned part, one for the foreign part and one for each errno.
fn file_sightings<'r>(path: &'r AbsPath, used: &'r FileUse) -> impl Iterator<Item = Sighting<'r>> {
    let sighting = move |access, owner, class| {
        let fact = FileFact { path: path.clone(), access, owner, directory: used.directory };
        Sighting::new(Fact::File(fact), &Outcomes::only(class), &used.seen)
    };
    let ok = [(used.ok & !used.foreign, true), (used.ok & used.foreign, false)];
    let failed = used.failed.iter();
    ok.into_iter()
        .filter(|(access, _)| !access.is_empty())
        .map(move |(access, owner)| sighting(access, owner, 0))
        .chain(failed.map(move |(class, access)| sighting(access, false, class)))
}

/// Adds `key` to a bounded map. Returns whether the key or its class of outcome is new.
fn note<K: Ord>(
    map: &mut BTreeMap<K, Usage>,
    key: K,
    class: u16,
    moment: Moment,
    what: &'static str,
    limit: usize,
) -> Result<bool, Full> {
    if let Some(known) = map.get_mut(&key) {
        return Ok(known.again(class, moment));
    }
    if map.len() >= limit {
        return Err(Full(what));
    }
    map.insert(key, Usage::new(class, moment));
    Ok(true)
}
