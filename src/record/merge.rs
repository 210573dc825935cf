//! Joining records.
//!
//! [`Record::join`] is commutative, associative and idempotent, and the empty record is its neutral element: evidence
//! is keyed by run, so that a record joined twice changes nothing. The limits of [`Record::absorb`] are not applied
//! here, since cutting would break these laws. So it does not matter in which order [`Merger`] joins.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::subject::INVOCATIONS;
use super::{Evidence, FileUse, Invocation, Record, Run, RunId, Subject, SyscallUse, Usage};
use crate::path::AbsPath;

/// What is kept of the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Facts {
    /// Those of any record.
    #[default]
    OfAny,
    /// Those that every record has.
    OfAll,
}

/// Joins any number of records, one after the other.
///
/// Records are joined by pairs of equal rank, as a binary counter counts: what was joined often is copied seldom, and at
/// most twice the result is held.
#[derive(Clone, Debug, Default)]
pub struct Merger {
    facts: Facts,
    /// Each with its rank: how many doublings it took. Ranks fall.
    joined: Vec<(u32, Record)>,
}

impl Merger {
    /// Nothing so far.
    #[must_use]
    pub fn new(facts: Facts) -> Self {
        Self { facts, ..Self::default() }
    }

    /// Takes in one record, whatever its program.
    pub fn add(&mut self, record: Record) {
        self.push(0, record);
    }

    fn push(&mut self, mut rank: u32, mut record: Record) {
        while self.joined.last().is_some_and(|(of, _)| *of == rank)
            && let Some((_, earlier)) = self.joined.pop()
        {
            record = self.both(earlier, record);
            rank += 1;
        }
        self.joined.push((rank, record));
    }

    fn both(&self, mut one: Record, other: Record) -> Record {
        match self.facts {
            Facts::OfAny => one.join(other),
            Facts::OfAll => one.intersect(other),
        }
        one
    }

    /// Takes in what another one joined.
    pub fn join(&mut self, other: Self) {
        if let Some(record) = other.finish() {
            self.add(record);
        }
    }

    /// The joined record; `None` when there was none.
    #[must_use]
    pub fn finish(mut self) -> Option<Record> {
        let (_, mut all) = self.joined.pop()?;
        while let Some((_, earlier)) = self.joined.pop() {
            all = self.both(earlier, all);
        }
        Some(all)
    }
}

impl Record {
    /// Takes in everything that `other` holds, whatever its program.
    pub fn join(&mut self, other: Self) {
        let Self { program, runs, gaps, subjects } = other;
        self.program = least(self.program.take(), program);
        join_runs(&mut self.runs, runs);
        self.gaps.extend(gaps);
        union(&mut self.subjects, subjects, Subject::join);
    }
}

impl Subject {
    fn join(&mut self, other: Self) {
        #[rustfmt::skip]
        let Self {
            invocations, syscalls, files, network, executions, checks,
            signals, namespaces, mounts, identities, ends, limits, traces, queues,
        } = other;
        join_samples(&mut self.invocations, invocations);
        union(&mut self.syscalls, syscalls, |calls, other| union(calls, other, SyscallUse::join));
        union(&mut self.files, files, FileUse::join);
        union(&mut self.network, network, Usage::join);
        union(&mut self.executions, executions, Usage::join);
        union(&mut self.checks, checks, Usage::join);
        union(&mut self.signals, signals, Usage::join);
        union(&mut self.namespaces, namespaces, Usage::join);
        union(&mut self.mounts, mounts, Usage::join);
        union(&mut self.identities, identities, Usage::join);
        union(&mut self.ends, ends, Usage::join);
        union(&mut self.limits, limits, Usage::join);
        union(&mut self.traces, traces, Usage::join);
        union(&mut self.queues, queues, Usage::join);
    }
}

impl SyscallUse {
    fn join(&mut self, other: Self) {
        let Self { outcomes, seen, calls, arguments } = other;
        self.outcomes.join(outcomes);
        self.seen.join(seen);
        union(&mut self.calls, calls, |count, other| *count = (*count).max(other));
        union(&mut self.arguments, arguments, Usage::join);
    }
}

impl FileUse {
    fn join(&mut self, other: Self) {
        let Self { ok, foreign, failed, directory, seen } = other;
        self.ok |= ok;
        self.foreign |= foreign;
        self.failed.join(failed);
        self.directory |= directory;
        self.seen.join(seen);
    }
}

/// The program that names a joined record.
pub(super) fn least(one: Option<AbsPath>, other: Option<AbsPath>) -> Option<AbsPath> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// Of two snapshots of one run the later one stays.
pub(super) fn join_runs(into: &mut BTreeMap<RunId, Run>, other: BTreeMap<RunId, Run>) {
    union(into, other, |run, other| {
        if other > *run {
            *run = other;
        }
    });
}

/// Of both samples those that a sample of both has.
pub(super) fn join_samples(into: &mut BTreeMap<Invocation, Evidence>, other: BTreeMap<Invocation, Evidence>) {
    union(into, other, Evidence::join);
    while into.len() > INVOCATIONS {
        into.pop_last();
    }
}

/// Adds every entry of `other`; where both have one, `join` decides.
pub(super) fn union<K: Ord, V>(into: &mut BTreeMap<K, V>, other: BTreeMap<K, V>, mut join: impl FnMut(&mut V, V)) {
    if into.is_empty() {
        *into = other;
        return;
    }
    for (key, value) in other {
        match into.entry(key) {
            Entry::Occupied(mut known) => join(known.get_mut(), value),
            Entry::Vacant(free) => {
                free.insert(value);
            }
        }
    }
}
