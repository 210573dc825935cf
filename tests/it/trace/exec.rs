//! Executions: who executed what, and through which interpreter (issue 2).

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use learn::path::AbsPath;
use learn::record::Evidence;

use super::ledger::raw;
use super::{expect, trace};
use crate::support::require;

#[test]
fn programs_by_path_link_and_descriptor() {
    if require(&["ptrace"]) {
        expect("program");
    }
}

#[test]
fn scripts() {
    if require(&["ptrace"]) {
        expect("script");
    }
}

#[test]
fn scripts_of_scripts() {
    if require(&["ptrace"]) {
        expect("nested-script");
    }
}

#[test]
fn every_image_of_a_process_is_followed() {
    raw("exec").exact();
}

/// Each program has an entry of its own, and the first one names the record.
#[test]
fn programs_are_told_apart() {
    if !require(&["ptrace"]) {
        return;
    }
    let learned = trace(["sh", "-c", "env true; exit 3"]);
    assert_eq!(learned.status(), 3);
    let resolved = |name: &str| AbsPath::new(fs::canonicalize(name).unwrap().as_os_str().as_bytes()).unwrap();
    let (shell, env, end) = (resolved("/bin/sh"), resolved("/usr/bin/env"), resolved("/bin/true"));
    assert_eq!(learned.record.program.as_ref(), Some(&shell));
    let mut programs = [shell.clone(), env.clone(), end.clone()];
    programs.sort();
    assert_eq!(learned.record.subjects.keys().cloned().collect::<Vec<_>>(), programs);
    let executed = |by: &AbsPath| learned.record.subjects[by].executions.keys().map(|execution| &execution.program);
    assert_eq!(executed(&shell).filter(|program| **program != shell).collect::<Vec<_>>(), [&env]);
    assert_eq!(executed(&env).collect::<Vec<_>>(), [&end]);
    let invocation = learned.record.subjects[&end].invocations.keys().next().unwrap();
    assert_eq!(invocation.chain(), [shell, env]);
}

/// A program that is started twice: each fact says by which command line, its own execution included (issue 7).
#[test]
fn facts_tell_by_which_command_line() {
    if !require(&["ptrace"]) {
        return;
    }
    let learned = trace(["sh", "-c", "cat /etc/passwd; cat /etc/group"]);
    let path = |name: &str| AbsPath::new(fs::canonicalize(name).unwrap().as_os_str().as_bytes()).unwrap();
    let cat = &learned.record.subjects[&path("/bin/cat")];
    let commands = |seen: &Evidence| {
        let (callers, lost) = cat.callers(seen);
        assert_eq!(lost, 0);
        callers.iter().map(|caller| caller.command().join(" ")).collect::<BTreeSet<_>>()
    };
    let (passwd, group) = ("cat /etc/passwd".to_owned(), "cat /etc/group".to_owned());
    assert_eq!(commands(&cat.files[&path("/etc/passwd")].seen), [passwd.clone()].into());
    assert_eq!(commands(&cat.files[&path("/etc/group")].seen), [group.clone()].into());
    let calls = cat.syscalls.values().next().unwrap();
    let openat = calls.iter().find(|(call, _)| call.name() == Some("openat")).unwrap().1;
    assert_eq!(commands(&openat.seen), [passwd, group].into());
    let shell = &learned.record.subjects[&path("/bin/sh")];
    let executed = shell.executions.iter().find(|(execution, _)| execution.program == path("/bin/cat")).unwrap().1;
    assert_eq!(shell.callers(&executed.seen).0[0].command()[0], "sh");
}
