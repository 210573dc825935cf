//! Many, large and late things (issues 2 and 3).

use learn::fact::GapKind;
use learn::record::Invocation;

use super::ledger::raw;

#[test]
fn failed_calls_are_learned_with_their_errors() {
    for learned in raw("failures").exact() {
        assert_eq!(learned.outcomes("open"), [0, libc::ENOENT, libc::EFAULT].into());
    }
}

#[test]
fn a_number_without_a_name_is_a_gap() {
    raw("unnamed").gap(GapKind::UnnamedSyscall).exact();
}

#[test]
fn a_megabyte_of_arguments() {
    for learned in raw("huge-argv").exact() {
        let kept = learned.record.subjects.values().flat_map(|subject| subject.invocations.keys());
        assert!(kept.flat_map(Invocation::command).map(String::len).sum::<usize>() < 65_536);
    }
}

#[test]
fn a_new_call_after_a_hundred_thousand_others() {
    raw("late-call").exact();
}

#[test]
fn a_new_ioctl_request_after_a_hundred_thousand_others() {
    for learned in raw("late-ioctl").exact() {
        assert_eq!(learned.arguments("ioctl", 1), [0x541b, 0x5421].into(), "FIONREAD and FIONBIO");
    }
}

#[test]
fn a_new_socket_family_after_a_hundred_thousand_others() {
    for learned in raw("late-socket").exact() {
        assert_eq!(learned.arguments("socket", 0), [1, 2].into(), "AF_UNIX and AF_INET");
        let families = learned.record.subjects.values().flat_map(|subject| subject.network.keys());
        assert_eq!(families.map(|socket| socket.family).collect::<Vec<_>>(), [1, 2]);
    }
}
