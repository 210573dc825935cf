//! The record: every fact once, with its evidence, by the executable that it was seen of.
//!
//! Joining records is commutative, associative and idempotent ([`merge`]); [`mod@file`] is the versioned JSON form.
//! Knows no output format.

pub mod file;
pub mod merge;

mod entries;
mod evidence;
mod intersect;
mod lines;
mod subject;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use evidence::{Caller, Callers, Evidence, Failures, Outcomes, RunSet, Usage, class_name};
pub use subject::{ARGUMENTS_LIMIT, FileUse, Invocation, Sighting, Subject, SyscallUse};

use crate::abi::{Abi, Syscall};
use crate::event::{EmptyPath, Outcome};
use crate::fact::{Fact, Gap, GapKind};
use crate::path::AbsPath;

/// The layout that [`mod@file`] writes. A change of layout or meaning raises it.
pub const SCHEMA: u32 = 3;

/// Everything that was learned of one workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The program that was started: the first one that the workload executed.
    pub program: Option<AbsPath>,
    /// The runs that contributed.
    pub runs: BTreeMap<RunId, Run>,
    /// What was not seen.
    pub gaps: BTreeSet<Gap>,
    /// What was seen, by executable.
    pub subjects: BTreeMap<AbsPath, Subject>,
}

/// A run's random identity; a run merged twice counts once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(pub u64);

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:016x}", self.0))
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        u64::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
    }
}

/// One run. The order decides which of two snapshots of the same run is the later one, so `elapsed_ms` comes first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// From the workload's own execve to its end or, in a snapshot, to the time of writing; milliseconds.
    pub elapsed_ms: u64,
    /// Whether the run was over when this was written.
    pub complete: bool,
    /// When it began, Unix time in milliseconds.
    pub started_ms: u64,
    /// The command, each argument in [`crate::path::to_text`] form.
    pub command: Vec<String>,
    /// The workload's exit status, 128+N for a signal; `None` when it was let go alive.
    pub status: Option<i32>,
    /// `uname -r` of the kernel.
    pub kernel: String,
    /// `uname -m` of the machine.
    pub machine: String,
    /// The user id that the workload was started with.
    pub uid: u32,
    /// The group id that the workload was started with.
    pub gid: u32,
    /// Its other groups at the start, sorted.
    pub groups: Vec<u32>,
    /// Whether the calls of this run were all counted; otherwise the counts are lower bounds.
    pub exact_counts: bool,
    /// The most processes alive at once.
    pub peak_processes: u64,
    /// The most threads alive at once.
    pub peak_threads: u64,
    /// The largest resident set of one process, in KiB.
    pub peak_memory_kib: u64,
    /// The version of this program.
    pub version: String,
    /// Where calls were found to have an empty path: a later run of the same programs and libraries needs not look there.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub empty_paths: BTreeSet<EmptyPath>,
}

/// When and by whom something was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// In which run.
    pub run: RunId,
    /// Unix time in milliseconds.
    pub at_ms: u64,
    /// The invocation of the executable that did it, where that is known.
    pub by: Option<Caller>,
}

/// How many different things a record holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// System calls, by ABI and name.
    pub syscalls: usize,
    /// Files that were used with success.
    pub files: usize,
    /// Sockets, by family, type, protocol, operation and address.
    pub network: usize,
    /// Executions, by file.
    pub executions: usize,
}

impl Record {
    /// Takes in one fact of `subject`. Returns whether it is new: not known of this executable, or not with success.
    pub fn absorb(&mut self, subject: &AbsPath, fact: Fact, outcome: Outcome, moment: Moment) -> bool {
        if !self.subjects.contains_key(subject) {
            self.subjects.insert(subject.clone(), Subject::default());
        }
        let Some(entry) = self.subjects.get_mut(subject) else {
            return false;
        };
        match entry.absorb(fact, outcome, moment) {
            Ok(news) => news,
            Err(subject::Full(what)) => {
                let detail =
                    format!("more than {} different {what} of {subject}: further ones were not kept", subject::LIMIT);
                self.gap(Gap { kind: GapKind::Limit, detail })
            }
        }
    }

    /// `subject` entered a call `times` more times. Returns whether the call is new.
    pub fn count(&mut self, subject: &AbsPath, abi: Abi, call: &Syscall, times: u64, moment: Moment) -> bool {
        self.subjects.entry(subject.clone()).or_default().count(abi, call, times, moment)
    }

    /// Notes how `subject` was started; a bounded sample is kept.
    pub fn invoked(&mut self, subject: &AbsPath, invocation: Invocation, moment: Moment) {
        self.subjects.entry(subject.clone()).or_default().invoked(invocation, moment);
    }

    /// Notes a loss. Returns whether it is new.
    pub fn gap(&mut self, gap: Gap) -> bool {
        self.gaps.insert(gap)
    }

    /// Every fact, with the executable that it was seen of and its outcomes.
    pub fn facts(&self) -> impl Iterator<Item = (&AbsPath, Fact, Outcomes)> {
        self.sightings().map(|(path, sighting)| (path, sighting.fact, sighting.outcomes))
    }

    /// The same, with the evidence.
    pub fn sightings(&self) -> impl Iterator<Item = (&AbsPath, Sighting<'_>)> {
        self.subjects.iter().flat_map(|(path, subject)| subject.sightings().map(move |sighting| (path, sighting)))
    }

    /// The name by which the workload was first started, without its directory: `sh` even where that is a link to dash.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        let first = self.runs.values().min_by_key(|run| run.started_ms)?;
        let name = first.command.first()?.rsplit('/').next()?;
        (!name.is_empty()).then(|| name.to_owned())
    }

    /// How many different things are known.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut calls = BTreeSet::new();
        let mut files = BTreeSet::new();
        let mut network = BTreeSet::new();
        let mut executions = BTreeSet::new();
        for subject in self.subjects.values() {
            calls.extend(subject.syscalls.iter().flat_map(|(abi, calls)| calls.keys().map(move |call| (*abi, call))));
            files.extend(subject.files.iter().filter(|(_, used)| !used.ok.is_empty()).map(|(path, _)| path));
            network.extend(subject.network.keys());
            executions.extend(subject.executions.keys().map(|execution| &execution.file));
        }
        Counts { syscalls: calls.len(), files: files.len(), network: network.len(), executions: executions.len() }
    }
}
