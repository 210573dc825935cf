//! The comparison itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::moves::{Volatile, shape};
use super::risk::{Grade, Level};
use super::{Item, Kind, Part, Side, grade};
use crate::infer::Because;

/// Which way an item changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Only the new side has it.
    Added,
    /// The new side has more parts of it.
    Widened,
    /// The same under another name.
    Moved,
    /// The new side has fewer parts of it.
    Narrowed,
    /// Only the old side has it.
    Removed,
}

impl Direction {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Widened => "widened",
            Self::Moved => "moved",
            Self::Narrowed => "narrowed",
            Self::Removed => "removed",
        }
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'r> {
    /// What changed; of a move the new name.
    pub item: Item,
    /// Which way.
    pub direction: Direction,
    /// The old name, of a move.
    pub from: Option<String>,
    /// The parts that came or went.
    pub parts: Vec<Part>,
    /// How much it matters.
    pub level: Level,
    /// Why it does.
    pub why: &'static str,
    /// Who showed it, on the side that has it.
    pub because: Because<'r>,
}

type Parts<'r> = BTreeMap<Part, Because<'r>>;

/// Every difference, worst first. Swapped sides give the same changes the other way round.
#[must_use]
pub fn compare<'r>(old: &Side<'r>, new: &Side<'r>) -> Vec<Change<'r>> {
    let mut added = only(new, old);
    let mut removed = only(old, new);
    let mut changes = moved(old, new, &mut added, &mut removed);
    for (item, now) in &new.items {
        if let Some(before) = old.items.get(item) {
            parts(&mut changes, item, before, now);
        }
    }
    changes.extend(added.into_iter().map(|(item, parts)| gained(item, Direction::Added, parts)));
    changes.extend(removed.into_iter().map(|(item, parts)| lost(item, Direction::Removed, parts)));
    changes.sort_by(|one, other| {
        let key = |change: &Change<'_>| (Reverse(change.level), change.direction);
        key(one).cmp(&key(other)).then_with(|| one.item.cmp(&other.item)).then_with(|| one.from.cmp(&other.from))
    });
    changes
}

type Items<'s, 'r> = BTreeMap<&'s Item, Parts<'r>>;

fn only<'s, 'r>(side: &'s Side<'r>, other: &Side<'r>) -> Items<'s, 'r> {
    let own = side.items.iter().filter(|(item, _)| !other.items.contains_key(item));
    own.map(|(item, parts)| (item, parts.clone())).collect()
}

/// What an item of both sides has more and less of.
fn parts<'r>(changes: &mut Vec<Change<'r>>, item: &Item, before: &Parts<'r>, now: &Parts<'r>) {
    let beyond = |one: &Parts<'r>, other: &Parts<'r>| -> Parts<'r> {
        let beyond = one.iter().filter(|(part, _)| !other.contains_key(*part));
        beyond.map(|(part, because)| (part.clone(), because.clone())).collect()
    };
    let (more, fewer) = (beyond(now, before), beyond(before, now));
    if !more.is_empty() {
        changes.push(gained(item, Direction::Widened, more));
    }
    if !fewer.is_empty() {
        changes.push(lost(item, Direction::Narrowed, fewer));
    }
}

fn gained<'r>(item: &Item, direction: Direction, parts: Parts<'r>) -> Change<'r> {
    let (level, why) = worst(item, &parts);
    change(item, direction, parts, (level, why))
}

/// Needing less is no risk; what comes and goes by chance stays noise.
fn lost<'r>(item: &Item, direction: Direction, parts: Parts<'r>) -> Change<'r> {
    let (level, why) = match worst(item, &parts) {
        (Level::Noise, why) => (Level::Noise, why),
        _ => (Level::Low, "no longer needed, or not seen this time"),
    };
    change(item, direction, parts, (level, why))
}

fn worst(item: &Item, parts: &Parts<'_>) -> Grade {
    let grades = parts.keys().map(|part| grade(item.kind, &item.name, part));
    grades.max_by_key(|(level, _)| *level).unwrap_or((Level::Low, "changed"))
}

fn change<'r>(item: &Item, direction: Direction, parts: Parts<'r>, (level, why): Grade) -> Change<'r> {
    let mut all = Because::default();
    for cause in parts.values().flatten() {
        if !all.contains(cause) {
            all.push(*cause);
        }
    }
    let parts = parts.into_keys().filter(|part| !part.is_empty()).collect();
    Change { item: item.clone(), direction, from: None, parts, level, why, because: all }
}

/// Takes out of both lists what has a counterpart of the same shape on the other side. What one side has more of one
/// shape is a move too when its names are fleeting: another temporary name is no new access.
fn moved<'s, 'r>(
    old: &'s Side<'r>,
    new: &'s Side<'r>,
    added: &mut Items<'s, 'r>,
    removed: &mut Items<'s, 'r>,
) -> Vec<Change<'r>> {
    let mut changes = Vec::new();
    let (came, went) = (by_shape(added.keys().copied()), by_shape(removed.keys().copied()));
    let mut left = BTreeSet::new();
    for (key, came) in &came {
        let went = went.get(key).map(Vec::as_slice).unwrap_or_default();
        for (&to, &from) in came.iter().zip(went) {
            pair(&mut changes, (from, removed.remove(from)), (to, added.remove(to)), key.2);
        }
    }
    for ((kind, _, volatile), _) in came.iter().chain(&went) {
        if *volatile == Volatile::Fleeting {
            left.insert(*kind);
        }
    }
    if left.is_empty() {
        return changes;
    }
    // Only what is left over is looked for among everything that the other side has.
    let fleeting = |items: &Items<'s, 'r>| by_shape(items.keys().copied().filter(|item| left.contains(&item.kind)));
    let (more, fewer) = (fleeting(added), fleeting(removed));
    let known = |side: &'s Side<'r>| by_shape(side.items.keys().filter(|item| left.contains(&item.kind)));
    let (known_old, known_new) = (known(old), known(new));
    for (key, names) in more.iter().filter(|(key, _)| key.2 == Volatile::Fleeting) {
        if let Some(&from) = known_old.get(key).and_then(|names| names.first()) {
            for &to in names {
                pair(&mut changes, (from, old.items.get(from).cloned()), (to, added.remove(to)), key.2);
            }
        }
    }
    for (key, names) in fewer.iter().filter(|(key, _)| key.2 == Volatile::Fleeting) {
        if let Some(&to) = known_new.get(key).and_then(|names| names.first()) {
            for &from in names {
                pair(&mut changes, (from, removed.remove(from)), (to, new.items.get(to).cloned()), key.2);
            }
        }
    }
    changes
}

type Shapes<'s> = BTreeMap<(Kind, String, Volatile), Vec<&'s Item>>;

fn by_shape<'s>(items: impl Iterator<Item = &'s Item>) -> Shapes<'s> {
    let mut shapes = Shapes::new();
    for item in items.filter(|item| matches!(item.kind, Kind::File | Kind::Program)) {
        if let Some((shape, volatile)) = shape(&item.name) {
            shapes.entry((item.kind, shape, volatile)).or_default().push(item);
        }
    }
    shapes
}

/// A move, and what it changed besides the name.
fn pair<'r>(
    changes: &mut Vec<Change<'r>>,
    (from, before): (&Item, Option<Parts<'r>>),
    (to, now): (&Item, Option<Parts<'r>>),
    volatile: Volatile,
) {
    let (Some(before), Some(now)) = (before, now) else {
        return;
    };
    let grade = match volatile {
        Volatile::Version => (Level::Low, "another version of what was used before"),
        Volatile::Fleeting => (Level::Noise, "a name that differs from run to run"),
    };
    let common = now.iter().filter(|(part, _)| before.contains_key(*part));
    let common = common.map(|(part, because)| (part.clone(), because.clone())).collect();
    parts(changes, to, &before, &now);
    let mut change = change(to, Direction::Moved, common, grade);
    change.from = Some(from.name.clone());
    changes.push(change);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side(rows: &[(Kind, &str, &[&'static str])]) -> Side<'static> {
        let mut side = Side::default();
        for (kind, name, parts) in rows {
            let item = Item { kind: *kind, name: (*name).to_owned() };
            let parts = parts.iter().map(|part| (Part::from(*part), Because::default()));
            side.items.insert(item, parts.collect());
        }
        side
    }

    fn told(old: &[(Kind, &str, &[&'static str])], new: &[(Kind, &str, &[&'static str])]) -> Vec<String> {
        let changes = compare(&side(old), &side(new));
        let line = |change: &Change<'_>| {
            let from = change.from.as_ref().map(|from| format!("{from} -> ")).unwrap_or_default();
            let (level, direction) = (change.level.name(), change.direction.name());
            format!("{level} {direction} {from}{} {}", change.item.name, change.parts.join("+"))
        };
        changes.iter().map(line).collect()
    }

    #[test]
    fn parts_widen_and_narrow() {
        use Kind::{Capability, File, Syscall};
        let old: &[(Kind, &str, &[&str])] =
            &[(File, "/etc/a", &["read", "stat"]), (Syscall, "futex", &["x86_64"]), (Capability, "CAP_CHOWN", &[""])];
        let new: &[(Kind, &str, &[&str])] = &[(File, "/etc/a", &["read", "write"]), (Capability, "CAP_BPF", &[""])];
        assert_eq!(
            told(old, new),
            [
                "critical added CAP_BPF ",
                "critical widened /etc/a write",
                "low narrowed /etc/a stat",
                "low removed CAP_CHOWN ",
                "noise removed futex x86_64",
            ]
        );
        assert_eq!(told(old, old), [""; 0]);
    }

    #[test]
    fn moves_are_no_new_accesses() {
        use Kind::File;
        let old: &[(Kind, &str, &[&str])] = &[
            (File, "/lib/a.so.1.2", &["read"]),
            (File, "/lib/b.so.1.2", &["read"]),
            (File, "/tmp/x1y2z3", &["write"]),
        ];
        let new: &[(Kind, &str, &[&str])] = &[
            (File, "/lib/a.so.1.3", &["read", "map-exec"]),
            (File, "/lib/b.so.1.2", &["read"]),
            (File, "/lib/b.so.1.3", &["read"]),
            (File, "/tmp/x1y2z3", &["write"]),
            (File, "/tmp/q1w2e3", &["write"]),
        ];
        assert_eq!(
            told(old, new),
            [
                "medium widened /lib/a.so.1.3 map-exec",
                "low added /lib/b.so.1.3 read",
                "low moved /lib/a.so.1.2 -> /lib/a.so.1.3 read",
                "noise moved /tmp/x1y2z3 -> /tmp/q1w2e3 write",
            ]
        );
        assert_eq!(
            told(new, old),
            [
                "low moved /lib/a.so.1.3 -> /lib/a.so.1.2 read",
                "low narrowed /lib/a.so.1.2 map-exec",
                "low removed /lib/b.so.1.3 read",
                "noise moved /tmp/q1w2e3 -> /tmp/x1y2z3 write",
            ]
        );
    }
}
