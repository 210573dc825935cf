//! What records have in common: facts that each of them holds, with the outcomes that each of them saw.
//!
//! [`Record::intersect`] is commutative, associative and idempotent like [`Record::join`]. Evidence and counts of what
//! stays are joined; so are runs and gaps, since what one record lacks may be what it did not see.

use std::collections::BTreeMap;

use super::merge::{join_runs, join_samples, least, union};
use super::{Evidence, FileUse, Record, Subject, SyscallUse, Usage};

impl Record {
    /// Leaves what `other` holds as well, whatever its program.
    pub fn intersect(&mut self, other: Self) {
        let Self { program, runs, gaps, subjects } = other;
        self.program = least(self.program.take(), program);
        join_runs(&mut self.runs, runs);
        self.gaps.extend(gaps);
        common(&mut self.subjects, subjects, |subject, other| {
            subject.intersect(other);
            true
        });
    }
}

impl Subject {
    fn intersect(&mut self, other: Self) {
        #[rustfmt::skip]
        let Self {
            invocations, syscalls, files, network, executions, checks,
            signals, namespaces, mounts, identities, ends, limits, traces, queues,
        } = other;
        join_samples(&mut self.invocations, invocations);
        common(&mut self.syscalls, syscalls, |calls, other| {
            common(calls, other, SyscallUse::meet);
            !calls.is_empty()
        });
        common(&mut self.files, files, FileUse::meet);
        common(&mut self.network, network, Usage::meet);
        common(&mut self.executions, executions, Usage::meet);
        common(&mut self.checks, checks, Usage::meet);
        common(&mut self.signals, signals, Usage::meet);
        common(&mut self.namespaces, namespaces, Usage::meet);
        common(&mut self.mounts, mounts, Usage::meet);
        common(&mut self.identities, identities, Usage::meet);
        common(&mut self.ends, ends, Usage::meet);
        common(&mut self.limits, limits, Usage::meet);
        common(&mut self.traces, traces, Usage::meet);
        common(&mut self.queues, queues, Usage::meet);
    }
}

impl SyscallUse {
    /// A call stays whatever its outcomes: a filter judges it before them. So do its arguments.
    fn meet(&mut self, other: Self) -> bool {
        let Self { outcomes, seen, calls, arguments } = other;
        self.outcomes.meet(&outcomes);
        self.seen.join(seen);
        union(&mut self.calls, calls, |count, other| *count = (*count).max(other));
        common(&mut self.arguments, arguments, |usage, other| {
            usage.meet(other);
            true
        });
        true
    }
}

impl Usage {
    /// Returns whether anything is left.
    fn meet(&mut self, other: Self) -> bool {
        let Self { outcomes, seen } = other;
        self.outcomes.meet(&outcomes);
        self.seen.join(seen);
        !self.outcomes.is_empty()
    }
}

impl FileUse {
    /// Returns whether anything is left. A file and a directory of one name have nothing in common.
    fn meet(&mut self, other: Self) -> bool {
        let Self { ok, foreign, failed, directory, seen } = other;
        self.ok &= ok;
        self.foreign &= foreign;
        self.failed.meet(&failed);
        Evidence::join(&mut self.seen, seen);
        self.directory == directory && !(self.ok.is_empty() && self.failed.is_empty())
    }
}

/// Leaves the entries that `other` has as well and of which `meet` leaves anything.
fn common<K: Ord, V>(into: &mut BTreeMap<K, V>, mut other: BTreeMap<K, V>, mut meet: impl FnMut(&mut V, V) -> bool) {
    into.retain(|key, value| other.remove(key).is_some_and(|other| meet(value, other)));
}
