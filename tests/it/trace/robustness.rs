//! Workloads that fight back, and everything that must be as it is without learn (issues 2 and 3).

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

use learn::fact::GapKind;

use super::ledger::raw;
use super::trace;
use crate::support::{PATH, finish, fresh, learn, require};

#[test]
fn a_workload_that_wants_to_be_traced_itself() {
    raw("traceme").gap(GapKind::TracesItself).exact();
}

#[test]
fn io_uring_is_a_gap_where_it_works() {
    for learned in raw("io-uring").perhaps_gaps().exact() {
        let works = learned.outcomes("io_uring_setup").contains(&0);
        assert_eq!(learned.gaps(), if works { vec![GapKind::IoUring] } else { vec![] });
    }
}

#[test]
fn a_filter_of_its_own() {
    raw("own-filter").exact();
}

/// The kernel gives strict mode only to a task that has no filter yet.
#[test]
fn strict_mode() {
    raw("strict-mode").not_from_the_first_call().exact();
}

#[test]
fn a_filter_that_forbids_seccomp() {
    raw("forbids-seccomp").exact();
}

#[test]
fn a_late_filter_for_all_threads() {
    raw("thread-sync-filter").exact();
}

/// A task has one listener, and a thinned one has the learner's. Programs of 32 bits are not thinned.
#[test]
fn a_listener_of_its_own() {
    for learned in raw("own-listener").perhaps_gaps().exact() {
        let refused = learned.outcomes("seccomp").contains(&libc::EBUSY);
        assert_eq!(learned.gaps(), if refused { vec![GapKind::ListensItself] } else { vec![] });
        assert!(!refused || !learned.run().exact_counts, "it works where every call stops");
        assert!(learned.record.gaps.iter().all(|gap| gap.detail.contains("--no-thin")));
    }
}

/// Runs a shell script alone and under learn, with the same standard input.
fn alone_and_learned(script: &str) -> (Output, Output) {
    let (_input, dir) = fresh();
    fs::write(dir.join("input"), "first line\nsecond line\n").unwrap();
    let input = || File::open(dir.join("input")).unwrap();
    let arguments = ["-c", script, "sh"];
    let raw_bytes = OsStr::from_bytes(b"not \xff utf-8");
    // By its path, so that both are started in the same way: posix_spawn(3) leaves other dispositions than fork(2).
    let alone = finish(Command::new("/bin/sh").env("PATH", PATH).args(arguments).arg(raw_bytes).stdin(input()));
    let (_output, folder) = fresh();
    let mut command = learn(["--quiet", "-o"]);
    let learned = finish(command.arg(folder).arg("--").arg("sh").args(arguments).arg(raw_bytes).stdin(input()));
    (alone, learned)
}

#[track_caller]
fn assert_transparent(script: &str) {
    if require(&["ptrace"]) {
        let (alone, learned) = alone_and_learned(script);
        assert_eq!(alone.stdout.escape_ascii().to_string(), learned.stdout.escape_ascii().to_string(), "{script}");
        assert_eq!(alone.stderr.escape_ascii().to_string(), learned.stderr.escape_ascii().to_string(), "{script}");
        assert_eq!(alone.status.code(), learned.status.code(), "{script}");
        assert!(!alone.stdout.is_empty(), "{script} prints nothing that could be compared");
    }
}

#[test]
fn standard_streams_and_status_are_the_workloads_own() {
    assert_transparent("cat; echo error >&2; exit 3");
}

#[test]
fn arguments_are_passed_as_bytes() {
    assert_transparent("printf %s \"$1\"");
}

#[test]
fn the_environment_is_passed_on() {
    assert_transparent("env | sort | grep -v '^_='");
}

#[test]
fn no_descriptor_leaks_into_the_workload() {
    assert_transparent("ls /proc/self/fd");
}

#[test]
fn signal_masks_and_dispositions_are_passed_on() {
    assert_transparent("grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status");
}

#[test]
fn limits_priority_and_umask_are_passed_on() {
    assert_transparent("cat /proc/self/limits; umask; nice");
}

#[test]
fn a_session_and_a_group_like_without_learn() {
    // Fields 5 and 6 of stat, process group and session, as whether they are the shell's own.
    assert_transparent("set -- $$ $(cut -d' ' -f5,6 /proc/self/stat); [ $1 = $2 ]; echo $?; [ $1 = $3 ]; echo $?");
}

#[test]
fn a_program_that_is_not_there() {
    let (_fresh, folder) = fresh();
    let output = finish(learn(["-o"]).arg(&folder).args(["--", "/nowhere/at/all"]));
    assert_eq!(output.status.code(), Some(127));
    assert_one_line(&output, "/nowhere/at/all");
}

#[test]
fn a_program_that_cannot_be_executed() {
    let (_fresh, dir) = fresh();
    let program = dir.join("plain");
    fs::write(&program, "text").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o644)).unwrap();
    let output = finish(learn(["-o"]).arg(dir.join("out")).arg("--").arg(&program));
    assert_eq!(output.status.code(), Some(126));
    assert_one_line(&output, "plain");
}

/// One line on standard error that names the culprit.
#[track_caller]
fn assert_one_line(output: &Output, culprit: &str) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.starts_with("learn: ") && text.contains(culprit) && text.lines().count() == 1, "{text}");
}

/// What was learned is there although the workload failed.
#[test]
fn a_failing_workload_is_learned() {
    if require(&["ptrace"]) {
        let learned = trace(["sh", "-c", "kill -KILL $$"]);
        assert_eq!(learned.status(), 128 + libc::SIGKILL);
        assert!(learned.outcomes("kill").len() == 1);
    }
}
