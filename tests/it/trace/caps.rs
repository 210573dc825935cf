//! Capabilities: those that a workload cannot do without, and no others (issue 2). Also ids, limits, mounts and
//! namespaces, which come with them.

use learn::fact::Operation;

use super::expect;
use crate::support::require;

macro_rules! scenarios {
    ($($(#[$attribute:meta])* $test:ident: $scenario:literal;)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $test() {
            if require(&["ptrace", "root"]) {
                expect($scenario);
            }
        }
    )*};
}

scenarios! {
    /// Root's habits that any user could have.
    what_needs_none: "nothing-privileged";
    binding_a_low_port: "low-port";
    raw_sockets: "raw-socket";
    giving_a_file_away: "chown";
    changing_the_mode_of_another_users_file: "chmod-foreign";
    reading_another_users_file: "read-foreign";
    writing_another_users_file: "write-foreign";
    giving_up_root: "change-ids";
    /// A capability that was refused is not needed: the workload did without.
    what_was_refused: "denied";
    killing_another_users_process: "kill-foreign";
    making_a_device: "device";
    a_better_nice_value: "nice";
    mounting: "mount";
    joining_and_leaving_a_network: "network-namespace";
}

#[test]
fn raising_a_hard_limit() {
    if require(&["ptrace", "root"]) {
        let learned = expect("hard-limit");
        let checks = learned.record.subjects.values().flat_map(|subject| subject.checks.keys());
        let raised = checks.filter(|check| matches!(check.operation, Operation::RaiseLimit { to: 4096, .. }));
        assert_eq!(raised.count(), 1, "asked for, whether granted or not");
    }
}

/// Capabilities inside a user namespace of the workload's own are none of the host's.
#[test]
fn a_user_namespace_of_its_own() {
    if require(&["ptrace"]) {
        expect("user-namespace");
    }
}
