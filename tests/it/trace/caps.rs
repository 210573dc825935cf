//! Capabilities: those that a workload cannot do without, and no others (issue 2). Also ids, limits, mounts and
//! namespaces, which come with them.

use learn::fact::Operation;

use super::expect;
use crate::support::require;

/// Root, with the capability that the scenario is about: without it, there would be nothing to see.
macro_rules! scenarios {
    ($($(#[$attribute:meta])* $test:ident: $scenario:literal $(, $capability:literal)*;)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $test() {
            if require(&["ptrace", "root" $(, $capability)*]) {
                expect($scenario);
            }
        }
    )*};
}

scenarios! {
    /// Root's habits that any user could have.
    what_needs_none: "nothing-privileged";
    binding_a_low_port: "low-port", "CAP_NET_BIND_SERVICE";
    raw_sockets: "raw-socket", "CAP_NET_RAW";
    giving_a_file_away: "chown", "CAP_CHOWN";
    changing_the_mode_of_another_users_file: "chmod-foreign", "CAP_CHOWN", "CAP_FOWNER";
    reading_another_users_file: "read-foreign", "CAP_CHOWN", "CAP_DAC_OVERRIDE";
    writing_another_users_file: "write-foreign", "CAP_CHOWN", "CAP_DAC_OVERRIDE";
    giving_up_root: "change-ids", "CAP_SETGID", "CAP_SETUID";
    /// A capability that was refused is not needed: the workload did without.
    what_was_refused: "denied", "CAP_CHOWN", "CAP_SETUID";
    killing_another_users_process: "kill-foreign", "CAP_KILL", "CAP_SETUID";
    making_a_device: "device";
    a_better_nice_value: "nice", "CAP_SYS_NICE";
    mounting: "mount", "CAP_SYS_ADMIN";
    joining_and_leaving_a_network: "network-namespace", "CAP_SYS_ADMIN";
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
