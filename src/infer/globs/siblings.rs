//! Names of one shape in one directory, and what they prove of each other.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use smallvec::SmallVec;

use super::names::{Looks, Parts, parts};
use crate::record::{Record, RunId};

/// How many names of one shape that a workload makes prove that there will be others.
const ENOUGH: usize = 3;

/// The names of a record by their shape: what is left of a path without the volatile parts of its last name.
#[derive(Default)]
pub(super) struct Siblings(HashMap<u64, Kin>);

/// Names of one shape.
#[derive(Default)]
struct Kin {
    /// The first ones, by hash.
    names: SmallVec<[u64; ENOUGH]>,
    /// The name of each run, by hash.
    runs: SmallVec<[(RunId, u64); 2]>,
    /// Whether a run has two of them, or two runs have one in common.
    shared: bool,
    /// Whether some were not made by the workload.
    found: bool,
}

impl Siblings {
    /// Only shapes that two names share are kept: there may be a million others.
    pub(super) fn of(record: &Record, made: impl Fn(&[u8]) -> bool) -> Self {
        let mut first = HashMap::<u64, u64>::new();
        let mut several = HashSet::new();
        each_name(record, |path, name, parts, _| {
            let (shape, name) = (shape(path, name, parts), hash(path.get(..name.end)));
            if *first.entry(shape).or_insert(name) != name {
                several.insert(shape);
            }
        });
        drop(first);
        let mut siblings = HashMap::<u64, Kin>::new();
        each_name(record, |path, name, parts, runs| {
            let shape = shape(path, name, parts);
            if let Some(prefix) = path.get(..name.end).filter(|_| several.contains(&shape)) {
                siblings.entry(shape).or_default().add(hash(Some(prefix)), runs, made(prefix));
            }
        });
        Self(siblings)
    }

    /// Whether the name at `name` of `path` differs from its siblings by run, or is one of many that the workload makes.
    pub(super) fn prove(&self, path: &[u8], name: &Range<usize>) -> bool {
        let parts = path.get(name.clone()).map(parts).unwrap_or_default();
        self.0.get(&shape(path, name, &parts)).is_some_and(Kin::prove)
    }
}

impl Kin {
    fn add(&mut self, name: u64, runs: &mut dyn Iterator<Item = RunId>, made: bool) {
        self.found |= !made;
        if self.names.len() < ENOUGH && !self.names.contains(&name) {
            self.names.push(name);
        }
        for run in runs {
            if let Some((_, other)) = self.runs.iter().find(|(known, _)| *known == run) {
                self.shared |= *other != name;
            } else {
                self.shared |= self.runs.iter().any(|(_, other)| *other == name);
                self.runs.push((run, name));
            }
        }
    }

    fn prove(&self) -> bool {
        !self.found && self.names.len() >= ENOUGH || !self.shared && self.names.len() >= 2
    }
}

/// Every name with volatile parts, of every path that was there: the path, where the name stands, its parts, the runs of the file.
pub(super) fn each_name(
    record: &Record,
    mut tell: impl FnMut(&[u8], &Range<usize>, &Parts, &mut dyn Iterator<Item = RunId>),
) {
    let files = record.subjects.values().flat_map(|subject| &subject.files);
    // Files stand in the order of their paths: most have their directories in common with the one before.
    let mut before: &[u8] = b"";
    let mut known: Vec<(Range<usize>, Parts)> = Vec::new();
    for (path, used) in files.filter(|(_, used)| !used.ok.is_empty()) {
        let path = path.as_bytes();
        let common = path.iter().zip(before).take_while(|(one, other)| one == other).count();
        known.retain(|(name, _)| name.end < common);
        let further = names(path).skip(known.len());
        known.extend(further.map(|name| (name.clone(), path.get(name).map(parts).unwrap_or_default())));
        before = path;
        for (name, parts) in &known {
            // Folders prove nothing of themselves: `de` may be a language.
            if !parts.is_empty() && !parts.iter().any(|part| part.looks == Looks::Fan) {
                tell(path, name, parts, &mut used.seen.runs.iter());
            }
        }
    }
}

/// Where the names of a path stand.
pub(super) fn names(path: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    path.split(|byte| *byte == b'/').filter_map(move |name| {
        let range = at..at + name.len();
        at = range.end + 1;
        (!range.is_empty()).then_some(range)
    })
}

/// The hash of a directory and of what is left of a name in it without its volatile parts. Files named by hashes belong
/// to the directory above their fan.
fn shape(path: &[u8], name: &Range<usize>, parts: &Parts) -> u64 {
    let fan_of = |end: usize| {
        let fan = path.get(end.checked_sub(3)?..end)?;
        let digits = fan.strip_prefix(b"/")?;
        digits.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)).then_some(end - 3)
    };
    let parent = name.start.saturating_sub(1);
    let whole_hash = matches!(&parts[..], [part] if part.looks == Looks::Hash && part.at.len() == name.len());
    let fanned = if whole_hash { fan_of(parent) } else { None };
    let fan = matches!(&parts[..], [part] if part.looks == Looks::Fan);
    let mut hasher = DefaultHasher::new();
    path.get(..fanned.unwrap_or(parent)).hash(&mut hasher);
    if fan || fanned.is_some() {
        Looks::Fan.hash(&mut hasher);
        return hasher.finish();
    }
    let mut plain = name.start;
    for part in parts {
        path.get(plain..name.start + part.at.start).hash(&mut hasher);
        part.looks.hash(&mut hasher);
        plain = name.start + part.at.end;
    }
    path.get(plain..name.end).hash(&mut hasher);
    hasher.finish()
}

pub(super) fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}
