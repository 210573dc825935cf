//! What holds for the patterns of every record, in every degree.

use std::collections::BTreeSet;

use learn::event::Outcome;
use learn::fact::{Access, Fact, FileFact};
use learn::infer::{Globs, Options, Pattern, infer};
use learn::path::AbsPath;
use learn::record::{Moment, Record, RunId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Where there are names that may be widened, and names that never may.
const PLACES: &[&str] = &[
    "/tmp",
    "/srv/x",
    "/srv/cache",
    "/home",
    "/home/u",
    "/home/u/.ssh",
    "/root",
    "/proc",
    "/proc/77/task/78",
    "/run",
    "/run/user/1000",
    "/etc",
    "/etc/ssh",
    "/var/log",
    "/usr/lib/x86_64-linux-gnu",
];

/// Names that mean something to the detectors, with and without secrets.
fn name() -> impl Strategy<Value = String> {
    let word = select(vec!["tmp", "sed", "key", "a", "temp-", "lib.so.", "x."]);
    let volatile = prop_oneof!["[1-9][0-9]{0,4}", "[a-zA-Z0-9]{6}", "[a-z0-9_]{8}", "[0-9a-f]{2}", "[0-9a-f]{40}"];
    let dated = (1..29u32).prop_map(|day| format!("2026-11-{day:02}"));
    let uuid = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}";
    let secret = select(vec!["shadow", "mem", "environ", "docker.sock", ".ssh", ".gnupg", "secrets", "id_rsa"]);
    let composed = vec(prop_oneof![word.prop_map(str::to_owned), volatile, dated, uuid], 1..3).prop_map(|p| p.concat());
    prop_oneof![4 => composed, 1 => secret.prop_map(str::to_owned)]
        .prop_filter("a name", |name| name != "." && name != "..")
}

/// A path with what is done to it and to the directory that it is in.
fn uses() -> impl Strategy<Value = Vec<(AbsPath, Access, RunId)>> {
    let path = (select(PLACES), vec(name(), 1..4)).prop_map(|(place, names)| {
        names.iter().fold(AbsPath::new(place.as_bytes()).unwrap(), |path, name| path.join(name.as_bytes()).unwrap())
    });
    let passing = Access::CREATE | Access::REMOVE;
    let access = select(vec![Access::READ, Access::CREATE, passing, passing, Access::RENAME_TO, Access::RENAME_FROM]);
    vec((path, access, (1..4u64).prop_map(RunId)), 1..24)
}

fn record(uses: &[(AbsPath, Access, RunId)]) -> Record {
    let mut record = Record::default();
    for (path, access, run) in uses {
        for path in path.parent().into_iter().chain([path.clone()]) {
            let fact = FileFact { path, access: *access, owner: true, directory: false };
            let moment = Moment { run: *run, at_ms: 1, by: None };
            record.absorb(&AbsPath::root(), Fact::File(fact), Outcome::Returned(0), moment);
        }
    }
    record
}

/// Secrets, with any of `names` where they have a name of one's choice.
fn secrets(names: &BTreeSet<&[u8]>) -> Vec<AbsPath> {
    let fixed = ["/etc/shadow", "/etc/gshadow", "/run/docker.sock", "/var/run/docker.sock", "/proc/kcore", "/dev/mem"];
    let open = [
        "/home/*/.ssh/*",
        "/home/*/.gnupg/*",
        "/home/u/.aws/*",
        "/srv/x/.ssh/*",
        "/root/.ssh/*",
        "/etc/ssh/*",
        "/run/secrets/*",
        "/proc/*/mem",
        "/proc/*/environ",
        "/proc/77/task/*/mem",
    ];
    let fill = |row: &&str, name: &[u8]| {
        let parts = row.as_bytes().split(|byte| *byte == b'*').collect::<Vec<_>>();
        AbsPath::new(&parts.join(name)).unwrap()
    };
    let filled = open.iter().flat_map(|row| names.iter().map(move |name| fill(row, name)));
    fixed.iter().map(|path| AbsPath::new(path.as_bytes()).unwrap()).chain(filled).collect()
}

proptest! {
    #[test]
    fn a_pattern_stands_for_its_paths(uses in uses()) {
        let record = record(&uses);
        for (globs, ..) in Globs::NAMES {
            let needs = infer(&record, &Options { globs, ..Options::default() });
            let mut behind = BTreeSet::new();
            for need in &needs.files {
                let Pattern::General(_) = need.pattern else { continue };
                let literals = needs.literals.get(&need.pattern);
                prop_assert!(literals.is_some_and(|paths| !paths.is_empty()), "{:?} stands for nothing", need.pattern);
                for path in literals.into_iter().flatten() {
                    prop_assert!(need.pattern.matches(path), "{:?} is not {path}", need.pattern);
                    behind.insert(*path);
                }
                prop_assert!(globs != Globs::Off, "{:?}", need.pattern);
            }
            let literal = |path: &AbsPath| needs.files.iter().any(|need| need.pattern == Pattern::Literal(path.clone()));
            let lost = uses.iter().map(|(path, ..)| path).find(|path| !behind.contains(path) && !literal(path));
            prop_assert_eq!(lost, None, "needed by nobody");
        }
    }

    #[test]
    fn no_pattern_stands_for_a_secret(uses in uses()) {
        let record = record(&uses);
        let names = uses.iter().flat_map(|(path, ..)| path.as_bytes().split(|byte| *byte == b'/')).skip(1);
        let secrets = secrets(&names.filter(|name| !name.is_empty()).collect());
        for globs in [Globs::Safe, Globs::Wide] {
            let needs = infer(&record, &Options { globs, ..Options::default() });
            for need in needs.files.iter().filter(|need| matches!(need.pattern, Pattern::General(_))) {
                let reached = secrets.iter().find(|secret| need.pattern.matches(secret));
                prop_assert_eq!(reached, None, "{:?} of {:?}", &need.pattern, needs.literals.get(&need.pattern));
            }
        }
    }
}
