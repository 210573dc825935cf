//! 32-bit programs, and processes with calls of more than one ABI (issue 2). Every exact list of the other modules runs
//! in both word sizes; this is what only one of them can do.

use learn::abi::Abi;
use learn::fact::NetworkOperation;

use super::ledger::raw;
use crate::support::require;

#[test]
fn the_32_bit_entry_from_64_bit_code() {
    raw("int80").exact_as(Abi::X86_64);
}

#[test]
fn x32_calls_are_told_apart() {
    raw("x32").exact_as(Abi::X86_64);
}

#[test]
fn exec_changes_the_word_size() {
    if require(&["gcc-multilib"]) {
        raw("exec-other").exact();
    }
}

#[test]
fn the_entry_of_the_vdso() {
    raw("vdso").exact_as(Abi::I386);
}

#[test]
fn the_old_return_from_a_signal() {
    raw("old-sigreturn").exact_as(Abi::I386);
}

#[test]
fn multiplexed_calls_are_taken_apart() {
    for learned in raw("multiplexed").exact_as(Abi::I386) {
        let sockets: Vec<_> = learned.record.subjects.values().flat_map(|subject| subject.network.keys()).collect();
        assert_eq!(sockets.len(), 1, "{sockets:?}");
        let socket = sockets[0];
        assert_eq!((socket.family, socket.kind, socket.operation), (1, 1, NetworkOperation::Create));
    }
}
