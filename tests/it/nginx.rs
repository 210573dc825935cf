//! A real server, end to end: learned while it serves, reloads and stops; run again under the learned filter (issue 2).

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::servers::{Nginx, Server};
use crate::support::{Running, finish, fixture, fresh, learn, require};

#[test]
fn it_runs_under_the_filter_that_was_learned() {
    if !require(&["ptrace", "nginx", "curl"]) {
        return;
    }
    let (_site, dir) = fresh();
    let (_learned, folder) = fresh();
    let site = Nginx::new(&dir);
    let start = |before: &mut Command, command: &[OsString]| Running::start(before.args(command).stdin(Stdio::null()));
    site.exercise(&|command| start(learn(["--quiet", "-o"]).arg(&folder).arg("--"), command));

    let profile = folder.join("seccomp.json");
    assert_denies_by_default(&profile);
    site.exercise(&|command| start(Command::new(fixture()).arg("confined").arg(&profile).arg("--"), command));
    let enforce = ["enforce", "--strict", "--quiet", "--profile"];
    site.exercise(&|command| start(learn(enforce).arg(&folder).arg("--"), command));

    assert_refused(&profile, "personality");
}

/// The rule for everything that no other rule names.
fn assert_denies_by_default(profile: &Path) {
    let profile: serde_json::Value = serde_json::from_slice(&fs::read(profile).unwrap()).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(profile["architectures"], serde_json::json!(["SCMP_ARCH_X86_64"]), "nothing else was seen");
}

/// A call that nginx never makes works without the profile, and fails with it.
fn assert_refused(profile: &Path, call: &str) {
    let (_fresh, dir) = fresh();
    let all = dir.join("all.json");
    fs::write(&all, r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": [], "syscalls": []}"#).unwrap();
    let errno = |profile: &Path| finish(Command::new(fixture()).arg("refused").arg(profile).arg(call)).status.code();
    assert_eq!(errno(&all), Some(0));
    assert_eq!(errno(profile), Some(libc::EPERM));
}
