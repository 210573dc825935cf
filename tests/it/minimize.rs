//! `learn minimize`: what is left is what the work needs.

use std::collections::BTreeSet;
use std::fs;

use crate::support::{finish, fresh, learn, require};

/// Whether capabilities may be dropped here, and these be given.
fn ready(capabilities: &[&str]) -> bool {
    require(&["ptrace", "root", "CAP_SETPCAP"]) && require(capabilities)
}

/// `learn minimize --caps` comes to the same by dropping one after the other.
#[test]
fn minimizing_keeps_what_is_needed() {
    if !(require(&["su"]) && ready(&["CAP_SETGID", "CAP_SETUID"])) {
        return;
    }
    let command = ["minimize", "--caps", "--json", "--", "su", "-s", "/bin/sh", "nobody", "-c", "id"];
    let output = finish(&mut learn(command));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("(nobody)"), "what the command prints is no part of the transcript: {errors}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["minimal"], serde_json::json!(["CAP_SETGID", "CAP_SETUID"]));
    let runs = told["runs"].as_array().unwrap();
    let without = |name: &str| runs.iter().find(|run| run["without"][0] == name).unwrap()["status"].as_i64().unwrap();
    assert!(without("CAP_SETGID") != 0 && without("CAP_SETUID") != 0, "{told}");
}

#[test]
fn minimizing_is_bounded() {
    if !(require(&["python3"]) && ready(&["CAP_SETGID"])) {
        return;
    }
    let (_fresh, dir) = fresh();
    let count = dir.join("count");
    let before = format!("echo x >>{}", count.display());
    let drop_groups = ["python3", "-c", "import os; os.setgroups([])"];
    let mut minimize = learn(["minimize", "--caps", "--runs", "2", "--before", before.as_str(), "--"]);
    let output = finish(minimize.args(drop_groups));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not tried, and kept: CAP_SETGID"));
    assert_eq!(fs::read_to_string(&count).unwrap().lines().count(), 2);

    let hangs = finish(&mut learn(["minimize", "--caps", "--timeout", "100ms", "--", "sleep", "600"]));
    let said = String::from_utf8_lossy(&hangs.stderr);
    assert_eq!(hangs.status.code(), Some(2), "{said}");
    assert!(said.contains("and it took too long"), "{said}");
}

#[test]
fn minimizing_calls_keeps_what_the_work_needs() {
    if !require(&["ptrace"]) {
        return;
    }
    let (_fresh, dir) = fresh();
    let made = dir.join("made");
    let before = format!("rm -rf {}", made.display());
    let mut minimize = learn(["minimize", "--syscalls", "--json", "--runs", "200", "--before", before.as_str(), "--"]);
    let output = finish(minimize.arg("mkdir").arg(&made));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = |key: &str| serde_json::from_value::<BTreeSet<String>>(told[key].clone()).unwrap();
    assert!(names("minimal").iter().any(|name| name.starts_with("mkdir")), "{told}");
    assert!(!names("dropped").is_empty() && names("untried").is_empty(), "{told}");
    let runs = told["runs"].as_array().unwrap().len();
    assert!(runs < 200 && names("minimal").is_disjoint(&names("dropped")));
}

#[test]
fn each_trial_begins_with_the_signals_of_the_first() {
    if !require(&["ptrace"]) {
        return;
    }
    let (_fresh, dir) = fresh();
    let masks = dir.join("masks");
    let script = format!(
        "while read -r line; do case $line in SigBlk*) echo $line;; esac; done </proc/$$/status >>{}",
        masks.display()
    );
    let minimize = ["minimize", "--syscalls", "--runs", "2", "--", "sh", "-c", script.as_str()];
    let output = finish(&mut learn(minimize));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let masks = fs::read_to_string(masks).unwrap();
    let masks: Vec<_> = masks.lines().collect();
    assert!(masks.len() >= 2 && masks.iter().all(|mask| *mask == masks[0]), "{masks:?}");
}

#[test]
fn minimizing_files_keeps_what_the_work_needs() {
    if !require(&["ptrace"]) {
        return;
    }
    let (_fresh, dir) = fresh();
    let [wanted, unwanted, made] = ["wanted", "unwanted", "made"].map(|name| dir.join(name).display().to_string());
    for name in [&wanted, &unwanted] {
        fs::write(name, "x").unwrap();
    }
    let script = format!("cat {unwanted} {dir}/missing; cat {wanted} >{made}", dir = dir.display());
    let before = format!("rm -f {made}");
    let mut minimize = learn(["minimize", "--files", "--json", "--runs", "200", "--before", before.as_str(), "--"]);
    let output = finish(minimize.args(["sh", "-c", script.as_str()]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = |key: &str| serde_json::from_value::<BTreeSet<String>>(told[key].clone()).unwrap();
    let (minimal, dropped) = (names("minimal"), names("dropped"));
    assert!(minimal.contains(&wanted) && minimal.contains(&made) && minimal.contains("/usr/bin/cat"), "{told}");
    let shell = fs::canonicalize("/bin/sh").unwrap().display().to_string();
    assert!(!minimal.contains(&shell) && !dropped.contains(&shell), "the kernel loads it by itself: {told}");
    assert!(dropped.contains(&unwanted) && names("untried").is_empty(), "{told}");
}
