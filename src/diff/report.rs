//! Differences with their counts and evidence, bounded, as every format shows them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::accept::Accepted;
use super::{Change, Direction, Item, Kind, Level, Threshold, words};
use crate::infer::Because;
use crate::record::Record;
use crate::render::date;

/// How many differences are written out at most; the counts are of all.
const CHANGES: usize = 5000;

/// How many parts of one difference are written out.
const PARTS: usize = 50;

/// How many witnesses of one difference are written out.
const WITNESSES: usize = 3;

/// How many argument values of one call are written out.
const ARGUMENTS: usize = 6;

/// A comparison, ready to be shown.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The layout's version.
    pub schema: u32,
    /// What was compared: the names of the old and the new side.
    pub old: String,
    /// See `old`.
    pub new: String,
    /// How many differences there are.
    pub total: usize,
    /// How many of them are findings: not accepted, and at or above the threshold.
    pub findings: usize,
    /// How many are accepted.
    pub accepted_total: usize,
    /// How many of each level are not accepted.
    pub levels: BTreeMap<&'static str, usize>,
    /// How many of each kind are not accepted.
    pub kinds: BTreeMap<&'static str, usize>,
    /// The differences that are not accepted, worst first.
    pub changes: Vec<Shown>,
    /// Those that are.
    pub accepted: Vec<Shown>,
    /// How many differences are counted but not written out.
    pub omitted: usize,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// One difference, with its own texts.
#[derive(Clone, Debug, Serialize)]
pub struct Shown {
    /// How much it matters.
    #[serde(skip)]
    pub level: Level,
    /// The word for it.
    #[serde(rename = "level")]
    pub level_name: &'static str,
    /// Of what kind it is.
    pub kind: Kind,
    /// Which way it went.
    pub change: Direction,
    /// What changed.
    pub item: String,
    /// The old name, of a move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The parts that came or went.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<String>,
    /// How many more parts there are than are written out.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_parts: usize,
    /// Why it matters.
    pub why: &'static str,
    /// Why it is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who showed it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Witness>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Who showed a need, when and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Witness {
    /// The executable.
    pub executable: String,
    /// A command line of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// The programs from the workload's root to the one that started it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// The first time, RFC 3339.
    pub first: String,
    /// The last time.
    pub last: String,
    /// In how many runs.
    pub runs: usize,
    /// Argument values of a call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub arguments: Vec<String>,
}

impl Report {
    /// The report of `changes` between the sides of these names. The records are those of the sides, where they are.
    #[must_use]
    pub fn new(
        (old, new): (&str, &str),
        (old_record, new_record): (Option<&Record>, Option<&Record>),
        changes: &[Change<'_>],
        accept: &mut Accepted,
        threshold: &Threshold,
    ) -> Self {
        let mut report = Self {
            schema: 1,
            old: old.to_owned(),
            new: new.to_owned(),
            total: changes.len(),
            findings: 0,
            accepted_total: 0,
            levels: BTreeMap::new(),
            kinds: BTreeMap::new(),
            changes: Vec::new(),
            accepted: Vec::new(),
            omitted: 0,
            notes: Vec::new(),
        };
        for change in changes {
            let reason = accept.reason(change);
            if reason.is_some() {
                report.accepted_total += 1;
            } else {
                *report.levels.entry(change.level.name()).or_default() += 1;
                *report.kinds.entry(change.item.kind.name()).or_default() += 1;
                report.findings += usize::from(threshold.reached(change.item.kind, change.level));
            }
            let list = if reason.is_some() { &mut report.accepted } else { &mut report.changes };
            if list.len() >= CHANGES {
                report.omitted += 1;
                continue;
            }
            let gone = matches!(change.direction, Direction::Removed | Direction::Narrowed);
            list.push(shown(change, reason, if gone { old_record } else { new_record }));
        }
        report.notes = accept.notes();
        report
    }

    /// How many differences of this level are not accepted.
    #[must_use]
    pub fn count(&self, level: Level) -> usize {
        self.levels.get(level.name()).copied().unwrap_or_default()
    }
}

fn shown(change: &Change<'_>, reason: Option<String>, record: Option<&Record>) -> Shown {
    let mut because = change.because.clone();
    because.truncate(WITNESSES);
    Shown {
        level: change.level,
        level_name: change.level.name(),
        kind: change.item.kind,
        change: change.direction,
        item: change.item.name.clone(),
        from: change.from.clone(),
        parts: change.parts.iter().take(PARTS).map(ToString::to_string).collect(),
        more_parts: change.parts.len().saturating_sub(PARTS),
        why: change.why,
        reason,
        evidence: record.map(|record| witnesses(record, &change.item, &because)).unwrap_or_default(),
    }
}

/// Those who showed `item`, with what `record` knows of them.
#[must_use]
pub fn witnesses(record: &Record, item: &Item, because: &Because<'_>) -> Vec<Witness> {
    let of = |cause: &crate::infer::Cause<'_>| {
        let subject = record.subjects.get(cause.subject);
        let callers = subject.map(|subject| subject.callers(cause.seen).0).unwrap_or_default();
        let any = || subject.and_then(|subject| subject.invocations.keys().next());
        let invocation = callers.first().copied().or_else(any);
        let calls = subject.into_iter().flat_map(|subject| subject.syscalls.values().flatten());
        let used = calls.filter(|(call, _)| item.kind == Kind::Syscall && call.to_string() == item.name);
        let arguments = used.flat_map(|(_, used)| used.arguments.keys());
        Witness {
            executable: cause.subject.to_string(),
            command: invocation.map(|invocation| invocation.command().to_vec()).unwrap_or_default(),
            chain: invocation.into_iter().flat_map(|one| one.chain().iter().map(ToString::to_string)).collect(),
            first: date(cause.seen.first_ms),
            last: date(cause.seen.last_ms),
            runs: cause.seen.runs.iter().count(),
            arguments: arguments.take(ARGUMENTS).map(words::arguments).collect(),
        }
    };
    because.iter().map(of).collect()
}
