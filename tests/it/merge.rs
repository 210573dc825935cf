//! Merging: its laws, in any order and by any reader, and what becomes of records that cannot be read (issue 7).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use learn::fact::{Access, Fact, FileFact, GapKind};
use learn::path::AbsPath;
use learn::record::merge::{Facts, Merger};
use learn::record::{Record, file};
use proptest::prelude::*;
use proptest::sample::select;

use crate::strategies::record;
use crate::tool::{learn, samples};

fn joined(mut one: Record, other: Record) -> Record {
    one.join(other);
    one
}

fn common(mut one: Record, other: Record) -> Record {
    one.intersect(other);
    one
}

fn merged(facts: Facts, records: impl IntoIterator<Item = Record>) -> Option<Record> {
    let mut merger = Merger::new(facts);
    records.into_iter().for_each(|record| merger.add(record));
    merger.finish()
}

/// Each thing that a record shows, alone: one access to a file, one outcome. What anybody does the owner does as well.
fn shown(record: &Record) -> BTreeSet<(AbsPath, Fact, Option<u16>)> {
    let mut all = BTreeSet::new();
    for (subject, fact, outcomes) in record.facts() {
        let always = matches!(fact, Fact::Syscall(..) | Fact::Arguments(..)).then_some(None);
        let classes = always.into_iter().chain(outcomes.iter().map(Some)).collect::<Vec<_>>();
        let Fact::File(FileFact { path, access, owner, directory }) = fact else {
            all.extend(classes.into_iter().map(|class| (subject.clone(), fact.clone(), class)));
            continue;
        };
        for access in access.iter() {
            for owner in [owner, true] {
                let fact = Fact::File(FileFact { path: path.clone(), access, owner, directory });
                all.extend(classes.iter().map(|class| (subject.clone(), fact.clone(), *class)));
            }
        }
    }
    all
}

/// Whether one of `all` is the same. What one record saw as a file another may have seen as a directory.
fn among(one: &(AbsPath, Fact, Option<u16>), all: &BTreeSet<(AbsPath, Fact, Option<u16>)>) -> bool {
    let as_directory = match &one.1 {
        Fact::File(fact) => Fact::File(FileFact { directory: true, ..fact.clone() }),
        other => other.clone(),
    };
    all.contains(one) || all.contains(&(one.0.clone(), as_directory, one.2))
}

/// The facts of `record` that `base` lacks, as a record of their own.
fn added(base: &Record, record: &Record) -> Record {
    let mut added = Record { runs: record.runs.clone(), ..Record::default() };
    for (subject, seen) in &record.subjects {
        let known = base.subjects.get(subject);
        let mut seen = seen.clone();
        seen.files.retain(|path, used| known.is_none_or(|known| known.files.get(path) != Some(used)));
        seen.network.retain(|key, used| known.is_none_or(|known| known.network.get(key) != Some(used)));
        seen.checks.retain(|key, used| known.is_none_or(|known| known.checks.get(key) != Some(used)));
        added.subjects.insert(subject.clone(), seen);
    }
    added
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_common_is_lawful(a in record(), b in record(), c in record()) {
        prop_assert_eq!(common(a.clone(), b.clone()), common(b.clone(), a.clone()));
        prop_assert_eq!(common(a.clone(), a.clone()), a.clone());
        let one = common(common(a.clone(), b.clone()), c.clone());
        prop_assert_eq!(&one, &common(a.clone(), common(b.clone(), c.clone())));
        // Nothing is in it that one of them lacks, and everything that all have.
        let (all, each) = (shown(&one), [shown(&a), shown(&b), shown(&c)]);
        prop_assert!(each.iter().all(|one| all.is_subset(one)));
        let same_kind = |(subject, fact, _): &(AbsPath, Fact, Option<u16>)| match fact {
            Fact::File(fact) => [&a, &b, &c].iter().all(|record| {
                record.subjects[subject].files.get(&fact.path).is_some_and(|used| used.directory == fact.directory)
            }),
            _ => true,
        };
        let shared: BTreeSet<_> = each[0].intersection(&each[1]).filter(|one| each[2].contains(one)).cloned().collect();
        prop_assert!(shared.iter().filter(|one| same_kind(one)).all(|one| all.contains(one)));
        prop_assert_eq!(shown(&joined(a.clone(), common(a.clone(), b))), shown(&a), "absorption");
    }

    #[test]
    fn the_order_of_merging_does_not_matter(
        records in proptest::collection::vec(record(), 1..8),
        facts in select(vec![Facts::OfAny, Facts::OfAll]),
        cut in any::<proptest::sample::Index>(),
    ) {
        let forth = merged(facts, records.clone());
        let back = merged(facts, records.iter().rev().cloned());
        prop_assert_eq!(&forth, &back);
        let (one, other) = records.split_at(cut.index(records.len()));
        let mut parts = Merger::new(facts);
        for part in [one, other] {
            let mut merger = Merger::new(facts);
            part.iter().cloned().for_each(|record| merger.add(record));
            parts.join(merger);
        }
        prop_assert_eq!(&parts.finish(), &forth);
        let mut plain = records.into_iter();
        let first = plain.next().unwrap();
        let by_one = plain.fold(first, if facts == Facts::OfAny { joined } else { common });
        prop_assert_eq!(Some(by_one), forth);
    }

    #[test]
    fn what_was_added_makes_it_whole(a in record(), b in record()) {
        let whole = joined(a.clone(), added(&a, &b));
        prop_assert!(shown(&b).iter().all(|one| among(one, &shown(&whole))));
        prop_assert!(shown(&a).iter().all(|one| among(one, &shown(&whole))));
        prop_assert_eq!(shown(&joined(whole.clone(), b)), shown(&whole));
    }

    #[test]
    fn records_in_memory_read_as_from_a_file(record in record()) {
        let mut bytes = Vec::new();
        file::write(&record, &mut bytes).unwrap();
        prop_assert_eq!(file::parse(&bytes).unwrap(), record);
        let cut = &bytes[..bytes.len() / 2];
        prop_assert_eq!(file::parse(cut).unwrap_err().to_string(), file::read(cut).unwrap_err().to_string());
    }
}

fn merge(options: &[&str], records: &[&Path]) -> crate::tool::Ended {
    let options = options.iter().map(|option| Path::new(*option));
    learn([Path::new("merge")].into_iter().chain(options).chain(records.iter().copied()))
}

/// A good record, one that was cut off, and one of another layout.
fn fleet(folder: &Path) -> [PathBuf; 3] {
    let good = samples()[0].join("learned.json");
    let text = fs::read_to_string(&good).unwrap();
    let (cut, newer) = (folder.join("cut\u{1b}.json"), folder.join("newer.json"));
    fs::write(&cut, &text[..text.len() / 2]).unwrap();
    fs::write(&newer, "{\"schema\": 99, \"generator\": \"learn 9\"}").unwrap();
    [good, cut, newer]
}

#[test]
fn damaged_records_are_named_and_skipped_only_when_told() {
    let folder = tempfile::tempdir().unwrap();
    let [good, cut, newer] = fleet(folder.path());
    let ended = merge(&[], &[&good, &cut]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("--skip-damaged") && ended.stderr.contains("cut\\u{1b}.json"), "{}", ended.stderr);
    let ended = merge(&["--skip-damaged"], &[&cut, &good, &good]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("cut\\u{1b}.json was left out: not a readable record"), "{}", ended.stderr);
    let all = file::read(ended.stdout.as_bytes()).unwrap();
    let skipped: Vec<_> = all.gaps.iter().filter(|gap| gap.kind == GapKind::Skipped).collect();
    assert_eq!(skipped.len(), 1, "{:?}", all.gaps);
    assert_eq!(all.subjects, file::read(fs::File::open(&good).unwrap()).unwrap().subjects);
    // What is not damaged is not skipped.
    for (wrong, told) in [(newer.as_path(), "in layout 99"), (Path::new("/no/such/record"), "cannot open")] {
        let ended = merge(&["--skip-damaged"], &[&good, wrong]);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
    }
    let ended = merge(&["--skip-damaged"], &[&cut]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    assert!(ended.stderr.contains("none of the records could be read"), "{}", ended.stderr);
}

#[test]
fn only_what_is_common_stays() {
    let folder = tempfile::tempdir().unwrap();
    let sample = samples()[0].join("learned.json");
    let record = file::read(fs::File::open(&sample).unwrap()).unwrap();
    let mut other = record.clone();
    let nginx = AbsPath::new(b"/usr/sbin/nginx").unwrap();
    let passwd = AbsPath::new(b"/etc/passwd").unwrap();
    let group = AbsPath::new(b"/etc/group").unwrap();
    let subject = other.subjects.get_mut(&nginx).unwrap();
    subject.files.remove(&group).unwrap();
    subject.files.get_mut(&passwd).unwrap().ok |= Access::WRITE;
    let path = folder.path().join("other.json");
    file::write(&other, fs::File::create(&path).unwrap()).unwrap();
    let both = |options: &[&str]| {
        let ended = merge(options, &[&sample, &path]);
        assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
        file::read(ended.stdout.as_bytes()).unwrap().subjects.remove(&nginx).unwrap().files
    };
    let (all, common) = (both(&[]), both(&["--intersect"]));
    assert!(all.contains_key(&group) && all[&passwd].ok.contains(Access::WRITE));
    assert!(!common.contains_key(&group));
    assert_eq!(common[&passwd].ok, record.subjects[&nginx].files[&passwd].ok);
}
