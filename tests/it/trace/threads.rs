//! Threads and processes, however they come and go: nothing they call is missed (issue 2).

use super::ledger::raw;

#[test]
fn calls_of_one_thread() {
    raw("plain").exact();
}

#[test]
fn eight_threads_with_a_call_of_their_own_each() {
    for learned in raw("threads").exact() {
        assert_eq!(learned.run().peak_processes, 1);
    }
}

#[test]
fn files_are_opened_by_threads_that_begin_and_processes_that_execute() {
    raw("opens-in-threads").interrupted(&["futex"]).exact();
}

#[test]
fn five_hundred_threads_at_once() {
    for learned in raw("many-threads").exact() {
        assert_eq!(learned.run().peak_threads, 501);
    }
}

#[test]
fn clone3_makes_processes_and_threads() {
    raw("clone3").exact();
}

#[test]
fn clone_untraced_does_not_escape() {
    raw("untraced").exact();
}

#[test]
fn clone3_untraced_does_not_escape() {
    raw("untraced-clone3").exact();
}

#[test]
fn a_child_without_exit_signal() {
    raw("silent-child").exact();
}

#[test]
fn five_thousand_short_children() {
    for learned in raw("short-children").exact() {
        assert_eq!(learned.run().peak_processes, 2);
    }
}

#[test]
fn execve_from_a_thread_that_is_not_the_first() {
    raw("exec-from-thread").exact();
}

#[test]
fn vfork_and_exec() {
    raw("vfork-exec").exact();
}

#[test]
fn a_daemon_is_followed_to_its_end() {
    for learned in raw("daemonise").exact() {
        let run = learned.run();
        assert!(run.complete && run.elapsed_ms >= 1000, "{run:?}");
    }
}

#[test]
fn orphans_are_followed_to_their_end() {
    raw("orphans").exact();
}

#[test]
fn the_first_thread_exits_before_the_others() {
    raw("leader-exits").status(7).exact();
}

#[test]
fn threads_are_killed_within_calls_by_exit_group() {
    raw("thread-in-call").exact();
}
