//! The comparison itself.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::moves::{Alike, Volatile, alike};
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
    /// Something else in its place, neither more nor less.
    Changed,
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
            Self::Changed => "changed",
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
    /// What was there before: of a move the old name, of a change the old parts.
    pub from: Option<String>,
    /// The parts that came or went; of a move those that stayed.
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
    for change in changes.iter_mut().filter(|change| change.item.kind == Kind::File) {
        let program = Item { kind: Kind::Program, name: change.item.name.clone() };
        if matches!(change.direction, Direction::Added | Direction::Widened) && new.items.contains_key(&program) {
            (change.level, change.why) = beside_program(change);
        }
    }
    changes.sort_by(|one, other| {
        let key = |change: &Change<'_>| (Reverse(change.level), change.direction);
        key(one).cmp(&key(other)).then_with(|| one.item.cmp(&other.item)).then_with(|| one.from.cmp(&other.from))
    });
    changes
}

/// The grade of a file that is told as a program as well.
fn beside_program(change: &Change<'_>) -> Grade {
    let rest = change.parts.iter().filter(|part| !matches!(part.as_ref(), "exec" | "map-exec"));
    let grades = rest.map(|part| grade(Kind::File, &change.item.name, part));
    grades.max_by_key(|(level, _)| *level).unwrap_or((Level::Low, "is told as a program"))
}

type Items<'s, 'r> = BTreeMap<&'s Item, Parts<'r>>;

fn only<'s, 'r>(side: &'s Side<'r>, other: &Side<'r>) -> Items<'s, 'r> {
    let own = side.items.iter().filter(|(item, _)| !other.items.contains_key(item));
    own.map(|(item, parts)| (item, parts.clone())).collect()
}

/// What an item of both sides has more and less of.
fn parts<'r>(changes: &mut Vec<Change<'r>>, item: &Item, before: &Parts<'r>, now: &Parts<'r>) {
    let (mut more, mut fewer) = (beyond(now, before), beyond(before, now));
    if item.kind.has_names_in_parts() && !(more.is_empty() && fewer.is_empty()) {
        moved_parts(changes, item, (before, &mut fewer), (now, &mut more));
    }
    if matches!(item.kind, Kind::Refusal | Kind::Policy) && !more.is_empty() && !fewer.is_empty() {
        let mut change = gained(item, Direction::Changed, more);
        change.from = Some(fewer.into_keys().collect::<Vec<_>>().join(", "));
        changes.push(change);
        return;
    }
    changed(changes, item, more, fewer);
}

fn changed<'r>(changes: &mut Vec<Change<'r>>, item: &Item, more: Parts<'r>, fewer: Parts<'r>) {
    if !more.is_empty() {
        changes.push(gained(item, Direction::Widened, more));
    }
    if !fewer.is_empty() {
        changes.push(lost(item, Direction::Narrowed, fewer));
    }
}

fn beyond<'r>(one: &Parts<'r>, other: &Parts<'r>) -> Parts<'r> {
    let beyond = one.iter().filter(|(part, _)| !other.contains_key(*part));
    beyond.map(|(part, because)| (part.clone(), because.clone())).collect()
}

fn gained<'r>(item: &Item, direction: Direction, parts: Parts<'r>) -> Change<'r> {
    let (level, why) = worst(item, &parts);
    change(item, direction, parts, (level, why))
}

/// Needing less is no risk; what comes and goes by chance stays noise.
fn lost<'r>(item: &Item, direction: Direction, parts: Parts<'r>) -> Change<'r> {
    let (level, why) = match worst(item, &parts) {
        (Level::Noise, why) => (Level::Noise, why),
        _ => (Level::Low, "no longer needed or allowed, or not seen this time"),
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

/// Takes out of both lists what has a counterpart of the same shape on the other side, and tells what that changed
/// besides its name.
fn moved<'s, 'r>(
    old: &'s Side<'r>,
    new: &'s Side<'r>,
    added: &mut Items<'s, 'r>,
    removed: &mut Items<'s, 'r>,
) -> Vec<Change<'r>> {
    let mut changes = Vec::new();
    for kind in [Kind::File, Kind::Program] {
        let of = |items: &mut dyn Iterator<Item = &'s Item>| -> Vec<&'s str> {
            items.filter(|item| item.kind == kind).map(|item| item.name.as_str()).collect()
        };
        let (came, went) = (of(&mut added.keys().copied()), of(&mut removed.keys().copied()));
        let (before, now) = (|| of(&mut old.items.keys()), || of(&mut new.items.keys()));
        for group in alike(&came, &went, before, now) {
            moved_items(&mut changes, kind, &group, (old, removed), (new, added));
        }
    }
    changes
}

fn moved_items<'s, 'r>(
    changes: &mut Vec<Change<'r>>,
    kind: Kind,
    group: &Alike<'_>,
    (old, removed): (&'s Side<'r>, &mut Items<'s, 'r>),
    (new, added): (&'s Side<'r>, &mut Items<'s, 'r>),
) {
    let item = |name: &str| Item { kind, name: name.to_owned() };
    // Which of several temporary names was read and which was written tells nothing.
    let union = |side: &'s Side<'r>, names: &[&str]| -> Parts<'r> {
        let parts = names.iter().filter_map(|name| side.items.get(&item(name))).flatten();
        parts.map(|(part, because)| (part.clone(), because.clone())).collect()
    };
    let all = (group.volatile == Volatile::Fleeting).then(|| (union(old, &group.old), union(new, &group.new)));
    let mut told = (BTreeSet::new(), BTreeSet::new());
    for (from, to) in group.pairs.iter().map(|(from, to)| (item(from), item(to))) {
        let (Some(own_before), Some(own_now)) = (old.items.get(&from), new.items.get(&to)) else {
            continue;
        };
        // A name that says more of what is done than the other one is no mere name.
        let level = |item: &Item, parts: &Parts<'_>| worst(item, parts).0;
        if [own_before, own_now].iter().any(|parts| level(&from, parts) != level(&to, parts)) {
            continue;
        }
        removed.remove(&from);
        added.remove(&to);
        let (before, now) = all.as_ref().map_or((own_before, own_now), |(before, now)| (before, now));
        let (more, fewer) = (beyond(own_now, before), beyond(own_before, now));
        let stayed = beyond(own_now, &more);
        let grade = of_move(group.volatile, level(&to, &stayed));
        let mut change = change(&to, Direction::Moved, stayed, grade);
        change.from = Some(from.name.clone());
        changes.push(change);
        // A name may stand for several ones of the other side.
        let first = |told: &mut BTreeSet<_>, item: Item, parts| if told.insert(item) { parts } else { Parts::new() };
        let (more, fewer) = (first(&mut told.0, to.clone(), more), first(&mut told.1, from.clone(), fewer));
        changed(changes, &to, more, Parts::new());
        changed(changes, &from, Parts::new(), fewer);
    }
}

/// Takes parts that only changed their names out of what an item has more and less of.
fn moved_parts<'r>(
    changes: &mut Vec<Change<'r>>,
    item: &Item,
    (before, fewer): (&Parts<'r>, &mut Parts<'r>),
    (now, more): (&Parts<'r>, &mut Parts<'r>),
) {
    let names = |parts: &Parts<'r>| parts.keys().map(ToString::to_string).collect::<Vec<_>>();
    let all = [names(more), names(fewer), names(before), names(now)];
    let [came, went, old, new] = all.each_ref().map(|names| names.iter().map(String::as_str).collect::<Vec<_>>());
    for group in alike(&came, &went, || old.clone(), || new.clone()) {
        for &(from, to) in &group.pairs {
            let level = grade(item.kind, &item.name, to).0;
            let Some((part, because)) = now.get_key_value(to).filter(|_| grade(item.kind, &item.name, from).0 == level)
            else {
                continue;
            };
            fewer.remove(from);
            more.remove(to);
            let parts = [(part.clone(), because.clone())].into();
            let mut change = change(item, Direction::Moved, parts, of_move(group.volatile, level));
            change.from = Some(from.to_owned());
            changes.push(change);
        }
    }
}

/// The grade of a move: what deserves an eye by itself is not lost among noise.
fn of_move(volatile: Volatile, level: Level) -> Grade {
    match volatile {
        Volatile::Version => (Level::Low, "another version of what was used before"),
        Volatile::Fleeting if level >= Level::High => (Level::Low, "another one of what was used before"),
        Volatile::Fleeting => (Level::Noise, "a name that differs from run to run"),
    }
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
    fn moves_hide_nothing() {
        use Kind::{File, Network};
        let old: &[(Kind, &str, &[&str])] = &[
            (File, "/tmp/aa11bb", &["read"]),
            (File, "/tmp/cc22dd", &["write"]),
            (File, "/srv/0a1b2c3d.key", &["read"]),
            (Network, "connect unix stream", &["/run/app-1.4.sock", "/tmp/q1w2e3/s"]),
        ];
        let new: &[(Kind, &str, &[&str])] = &[
            (File, "/tmp/ee33ff", &["read", "write", "exec"]),
            (File, "/srv/9a8b7c6d.key", &["read"]),
            (Network, "connect unix stream", &["/run/app-1.5.sock", "/tmp/r4t5y6/s", "/run/docker.sock"]),
        ];
        assert_eq!(
            told(old, new),
            [
                "critical widened connect unix stream /run/docker.sock",
                "high widened /tmp/ee33ff exec",
                "low moved /run/app-1.4.sock -> connect unix stream /run/app-1.5.sock",
                "low moved /srv/0a1b2c3d.key -> /srv/9a8b7c6d.key read",
                "noise moved /tmp/q1w2e3/s -> connect unix stream /tmp/r4t5y6/s",
                "noise moved /tmp/aa11bb -> /tmp/ee33ff read+write",
                "noise moved /tmp/cc22dd -> /tmp/ee33ff read+write",
            ]
        );
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
                "low narrowed /lib/a.so.1.3 map-exec",
                "low removed /lib/b.so.1.3 read",
                "noise moved /tmp/q1w2e3 -> /tmp/x1y2z3 write",
            ]
        );
    }
}
