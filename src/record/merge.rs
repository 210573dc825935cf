//! Joining records.
//!
//! [`Record::join`] is commutative, associative and idempotent, and the empty record is its neutral element: evidence
//! is keyed by run, so that a record joined twice changes nothing. The limits of [`Record::absorb`] are not applied
//! here, since cutting would break these laws.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::subject::INVOCATIONS;
use super::{Evidence, FileUse, Record, Subject, SyscallUse, Usage};
use crate::path::AbsPath;

/// Why records were not joined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MergeError {
    /// They are of different programs.
    #[error("one record is of {one}, another of {other}")]
    DifferentPrograms {
        /// The program so far.
        one: AbsPath,
        /// The program of the record that was refused.
        other: AbsPath,
    },
}

/// Which records may be joined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Programs {
    /// Only those of the same program.
    #[default]
    Same,
    /// Any; the joined record is named by the first program in the order of the paths.
    Any,
}

/// Joins `record` into `into`.
///
/// # Errors
/// [`MergeError::DifferentPrograms`] unless told otherwise by `programs`; `into` is unchanged then.
pub fn merge(into: &mut Record, record: Record, programs: Programs) -> Result<(), MergeError> {
    match (&into.program, &record.program) {
        (Some(one), Some(other)) if programs == Programs::Same && one != other => {
            Err(MergeError::DifferentPrograms { one: one.clone(), other: other.clone() })
        }
        _ => {
            into.join(record);
            Ok(())
        }
    }
}

impl Record {
    /// Takes in everything that `other` holds, whatever its program.
    pub fn join(&mut self, other: Self) {
        let Self { program, runs, gaps, subjects } = other;
        self.program = match (self.program.take(), program) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        union(&mut self.runs, runs, |run, other| {
            if other > *run {
                *run = other;
            }
        });
        self.gaps.extend(gaps);
        union(&mut self.subjects, subjects, Subject::join);
    }
}

impl Subject {
    fn join(&mut self, other: Self) {
        #[rustfmt::skip]
        let Self {
            invocations, syscalls, files, network, executions, checks,
            signals, namespaces, mounts, identities, limits, traces,
        } = other;
        union(&mut self.invocations, invocations, Evidence::join);
        while self.invocations.len() > INVOCATIONS {
            self.invocations.pop_last();
        }
        union(&mut self.syscalls, syscalls, |calls, other| union(calls, other, SyscallUse::join));
        union(&mut self.files, files, FileUse::join);
        union(&mut self.network, network, Usage::join);
        union(&mut self.executions, executions, Usage::join);
        union(&mut self.checks, checks, Usage::join);
        union(&mut self.signals, signals, Usage::join);
        union(&mut self.namespaces, namespaces, Usage::join);
        union(&mut self.mounts, mounts, Usage::join);
        union(&mut self.identities, identities, Usage::join);
        union(&mut self.limits, limits, Usage::join);
        union(&mut self.traces, traces, Usage::join);
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

/// Adds every entry of `other`; where both have one, `join` decides.
fn union<K: Ord, V>(into: &mut BTreeMap<K, V>, other: BTreeMap<K, V>, mut join: impl FnMut(&mut V, V)) {
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
