//! Goldens: the record of each sample and the files that come of it. `LEARN_UPDATE=1` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use learn::event::Outcome;
use learn::fact::{CapabilitySet, Check, Fact, Operation};
use learn::infer::{Options, infer};
use learn::path::AbsPath;
use learn::policy;
use learn::policy::caps::DOCKER;
use learn::record::{Moment, Record};
use learn::render::{FORMATS, ProfileName, Templates};

use crate::tool::{learn, samples};

fn files(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())).collect()
}

/// Fails with the first line that differs.
pub fn same(written: &str, expected: &str, what: &str) {
    let differs = written.lines().zip(expected.lines()).position(|(one, other)| one != other);
    let at = differs.unwrap_or_else(|| written.lines().count().min(expected.lines().count()));
    let line = |text: &str| text.lines().nth(at).map(str::to_owned);
    let hint = "LEARN_UPDATE=1 writes it anew";
    assert!(written == expected, "{what}, line {}: {:?}, not {:?}; {hint}", at + 1, line(written), line(expected));
}

#[test]
fn samples_render_as_expected() {
    for sample in samples() {
        let folder = tempfile::tempdir().unwrap();
        let record = sample.join("learned.json");
        let ended = learn(["render".as_ref(), record.as_os_str(), "-o".as_ref(), folder.path().as_os_str()]);
        assert_eq!((ended.code, ended.stdout.as_str(), ended.stderr.as_str()), (0, "", ""));
        let (written, expected) = (files(folder.path()), sample.join("expected"));
        if std::env::var_os("LEARN_UPDATE").is_some() {
            let _ = fs::remove_dir_all(&expected);
            fs::create_dir_all(&expected).unwrap();
            for (name, text) in &written {
                fs::write(expected.join(name), text).unwrap();
            }
        }
        let expected = files(&expected);
        assert_eq!(written.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{}", sample.display());
        for (name, text) in &expected {
            same(&written[name], text, &format!("{}/expected/{name}", sample.display()));
        }
    }
}

#[test]
fn samples_are_written_as_this_version_writes_records() {
    for sample in samples() {
        let record = sample.join("learned.json");
        let ended = learn(["merge".as_ref(), record.as_os_str()]);
        if std::env::var_os("LEARN_UPDATE").is_some() {
            fs::write(&record, &ended.stdout).unwrap();
        }
        let text = fs::read_to_string(&record).unwrap();
        same(&ended.stdout, &text, &record.display().to_string());
    }
}

/// What a workload that needs these and no others is told of the set that Docker grants.
fn beside_docker(count: usize) -> String {
    let mut record = Record::default();
    for &capability in DOCKER.iter().take(count) {
        let operation = Operation::Privileged { capability, what: "it".to_owned() };
        let check =
            Check { call: "mount".parse().unwrap(), operation, ids: (0, 0), effective: CapabilitySet(u64::MAX) };
        record.absorb(&AbsPath::new(b"/bin/x").unwrap(), Fact::Check(check), Outcome::Returned(0), Moment::default());
    }
    let format = FORMATS.iter().find(|format| format.file_name(&ProfileName::of(None)) == "capabilities.txt").unwrap();
    let (name, templates) = (ProfileName::of(None), Templates::new(BTreeMap::new()).unwrap());
    let mut text = Vec::new();
    let needs = infer(&record, &Options::default());
    format.render(&needs, &policy::Options::default(), &name, &templates, &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    text.lines().skip_while(|line| !line.contains("that Docker grants")).nth(1).unwrap().to_owned()
}

#[test]
fn each_part_of_dockers_set_is_needed_or_not() {
    assert_eq!(beside_docker(12), "# not needed: AUDIT_WRITE SETFCAP");
    assert_eq!(beside_docker(14), "# all are needed");
}
