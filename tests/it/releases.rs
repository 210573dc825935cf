//! Two real programs before and after a release: the records in `samples/releases` and what `learn diff` tells of them.
//! `LEARN_UPDATE=1` writes what is expected anew; `learn.sh` beside the records learns them anew.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::render::same;
use crate::tool::{learn, project};

const RELEASES: [&str; 2] = ["nginx", "python"];

/// Each format with its file.
const FORMATS: [(&str, &str); 4] =
    [("text", "diff.txt"), ("json", "diff.json"), ("markdown", "diff.md"), ("sarif", "diff.sarif")];

fn diff(release: &str, arguments: &[&str]) -> (i32, String) {
    // Relative names, so that what is written is the same everywhere.
    let sides = ["old", "new"].map(|side| format!("samples/releases/{release}/{side}.json"));
    let words = ["diff".to_owned()].into_iter().chain(sides).chain(arguments.iter().map(|word| (*word).to_owned()));
    let ended = learn(words);
    assert_eq!(ended.stderr, "");
    (ended.code, ended.stdout)
}

#[test]
fn releases_differ_as_expected() {
    for release in RELEASES {
        let expected = project().join("samples/releases").join(release).join("expected");
        for (format, file) in FORMATS {
            let (code, written) = diff(release, &["--format", format]);
            assert_eq!(code, 1);
            let file = expected.join(file);
            if std::env::var_os("LEARN_UPDATE").is_some() {
                fs::create_dir_all(&expected).unwrap();
                fs::write(&file, &written).unwrap();
            }
            same(&written, &fs::read_to_string(&file).unwrap(), &file.display().to_string());
        }
    }
}

#[test]
fn what_a_release_adds_is_told_with_its_risk() {
    let changes = |release| -> Vec<Value> {
        let report: Value = serde_json::from_str(&diff(release, &["--format", "json"]).1).unwrap();
        report["changes"].as_array().unwrap().clone()
    };
    let has = |changes: &[Value], level: &str, kind: &str, item: &str| {
        let found = changes.iter().find(|change| {
            change["level"] == level && change["kind"] == kind && change["item"].as_str().unwrap().ends_with(item)
        });
        assert!(found.is_some_and(|change| change["evidence"][0]["executable"].is_string()), "{level} {kind} {item}");
    };
    let nginx = changes("nginx");
    has(&nginx, "high", "file", "/tls/site.key");
    has(&nginx, "high", "network", "listen inet stream");
    has(&nginx, "medium", "network", "connect inet stream");
    let python = changes("python");
    has(&python, "high", "program", "/usr/bin/date");
    has(&python, "low", "syscall", "vfork");
    for changes in [nginx, python] {
        assert!(changes.iter().all(|change| change["level"] != "critical"), "{changes:?}");
    }
}

#[test]
fn another_python_is_a_move() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (project().join("samples/releases/python/old.json"), folder.path().join("new.json"));
    let text = fs::read_to_string(&old).unwrap();
    let text = text.replace("python3.11", "python3.12").replace("cpython-311", "cpython-312");
    fs::write(&new, text.replace("python311", "python312")).unwrap();
    let ended = learn(["diff".as_ref(), old.as_os_str(), new.as_os_str(), "--format".as_ref(), "json".as_ref()]);
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    let changes = report["changes"].as_array().unwrap();
    assert!(changes.len() > 100 && changes.iter().all(|change| change["change"] == "moved"), "{}", ended.stdout);
}

#[test]
fn records_are_as_this_version_writes_them() {
    for record in RELEASES.iter().flat_map(|release| ["old", "new"].map(|side| format!("{release}/{side}.json"))) {
        let record = Path::new("samples/releases").join(record);
        let ended = learn(["merge".as_ref(), record.as_os_str()]);
        same(&ended.stdout, &fs::read_to_string(project().join(&record)).unwrap(), &record.display().to_string());
    }
}

/// What the published schema of SARIF says against a log.
pub fn sarif_errors(log: &Value) -> Vec<String> {
    let schema = fs::read_to_string(project().join("tests/data/sarif-schema-2.1.0.json")).unwrap();
    // One pattern of it is no regular expression of ECMA-262; it is that of languages, which are not written here.
    let schema = schema.replace("-[a-zA-Z]{2}]?$", "-[a-zA-Z]{2}$");
    let schema = jsonschema::options().should_validate_formats(true).build(&serde_json::from_str(&schema).unwrap());
    schema.unwrap().iter_errors(log).map(|error| error.to_string()).collect()
}

#[test]
fn sarif_is_as_its_schema_wants_it() {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("accepted.toml");
    let accepted = "[[accept]]\nkind = \"file\"\nitem = \"*\"\nreason = \"known\"\nexpires = 2999-01-01\n";
    fs::write(&list, accepted).unwrap();
    for release in RELEASES {
        for arguments in [&["--format", "sarif"][..], &["--format", "sarif", "--accept", list.to_str().unwrap()]] {
            let log: Value = serde_json::from_str(&diff(release, arguments).1).unwrap();
            assert!(!log["runs"][0]["results"].as_array().unwrap().is_empty());
            assert_eq!(sarif_errors(&log), [""; 0]);
        }
    }
    let mut log: Value = serde_json::from_str(&diff("nginx", &["--format", "sarif"]).1).unwrap();
    log["runs"][0]["results"][0]["level"] = "awful".into();
    assert_eq!(sarif_errors(&log).len(), 1, "the schema is looked at");
}
