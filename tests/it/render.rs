//! Goldens: the record of each sample and the files that come of it. `LEARN_UPDATE=1` writes them anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

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
