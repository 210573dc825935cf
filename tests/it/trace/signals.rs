//! Signals: their numbers, deaths by them, stops, and calls that they interrupt (issue 2).

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;

use super::ledger::raw;
use super::{expect, trace};
use crate::support::{Running, fixture, fresh, learn, require};

#[test]
fn receivers_are_told_apart() {
    if require(&["ptrace"]) {
        expect("signals");
    }
}

#[test]
fn real_time_signals_have_handlers() {
    raw("realtime").exact();
}

#[test]
fn real_time_signals_are_facts() {
    if require(&["ptrace"]) {
        let learned = expect("realtime-signals");
        assert!(learned.record.subjects.values().any(|subject| subject.signals.len() > 20));
    }
}

#[test]
fn the_c_library_changes_ids_of_threads_by_a_signal() {
    if require(&["ptrace", "root", "CAP_SETUID"]) {
        expect("setuid-in-threads");
    }
}

#[test]
fn handlers_return_from_another_stack() {
    raw("alternate-stack").exact();
}

#[test]
fn read_is_restarted_after_a_handler() {
    raw("restart-read").interrupted(&["read"]).exact();
}

#[test]
fn nanosleep_goes_on_as_restart_syscall() {
    raw("restart-nanosleep").interrupted(&["nanosleep"]).exact();
}

#[test]
fn poll_goes_on_as_restart_syscall() {
    raw("restart-poll").interrupted(&["poll"]).exact();
}

/// Whether a signal comes before the learner has seen the call must make no difference.
#[test]
fn no_signal_gets_into_calls_that_do_not_wait() {
    raw("signals-into-opens").interrupted(&["wait4", "kill"]).exact();
}

#[test]
fn a_call_that_waits_is_interrupted_or_restarted() {
    for learned in raw("interrupted-open").interrupted(&["open"]).exact() {
        assert!(learned.outcomes("open").contains(&0), "{:?}", learned.outcomes("open"));
    }
}

#[test]
fn a_child_that_stops_itself_is_seen_stopped_by_its_parent() {
    raw("stop-child").interrupted(&["wait4"]).exact();
}

/// Its child may send SIGCONT once more while it waits for it.
#[test]
fn the_first_process_stops_itself() {
    raw("stop-self").interrupted(&["wait4"]).exact();
}

#[test]
fn death_by_segmentation_fault() {
    raw("segfault").status(128 + libc::SIGSEGV).exact();
}

#[test]
fn death_by_sigkill_of_a_child() {
    raw("killed-by-child").status(128 + libc::SIGKILL).exact();
}

/// The others are killed by SIGTERM, which a tracee sees as an interrupted call.
#[test]
fn one_process_is_killed_while_others_are_within_calls() {
    raw("kill-one").interrupted(&["nanosleep"]).exact();
}

#[test]
fn the_exit_status_is_passed_on() {
    raw("exits").status(42).exact();
}

#[test]
fn death_of_a_shell_by_its_own_hand() {
    if require(&["ptrace"]) {
        assert_eq!(trace(["sh", "-c", "kill -TERM $$"]).status(), 128 + libc::SIGTERM);
    }
}

/// The fixture's `terminal` command alone, and the same under learn.
fn with_and_without_learn(what: &str, script: impl Fn(&mut Running)) {
    if !require(&["ptrace"]) {
        return;
    }
    let (_fresh, folder) = fresh();
    let arguments = ["terminal", what];
    let mut learn = learn(["--quiet", "-o"]);
    for command in [Command::new(fixture()).args(arguments), learn.arg(folder).arg("--").arg(fixture()).args(arguments)]
    {
        eprintln!("{command:?}");
        script(&mut Running::start(command.stdin(Stdio::piped()).stdout(Stdio::piped())));
    }
}

/// As a shell sees it.
fn status(running: &mut Running) -> i32 {
    let status = running.wait().unwrap();
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// `kill` of learn does what `kill` of the workload would do.
#[test]
fn kill_ends_it_as_without_learn() {
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGUSR1, Signal::SIGUSR2] {
        with_and_without_learn("echo", |running| {
            // Kept open: the end of its input would end it as well.
            let _input = running.stdin.take();
            let mut line = String::new();
            BufReader::new(running.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            running.signal(signal);
            assert_eq!(status(running), 128 + signal as i32, "{signal}");
        });
    }
}

/// One signal to learn is one signal to the workload.
#[test]
fn a_signal_is_forwarded_once() {
    with_and_without_learn("count", |running| {
        let mut input = running.stdin.take().unwrap();
        let mut lines = BufReader::new(running.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(lines.next().as_deref(), Some("ready"));
        running.signal(Signal::SIGINT);
        assert_eq!(lines.next().as_deref(), Some("interrupted"));
        input.write_all(b"still there\nend\n").unwrap();
        assert_eq!(lines.collect::<Vec<_>>(), ["heard still there", "interrupted 1 times"]);
        assert_eq!(status(running), 0);
    });
}
