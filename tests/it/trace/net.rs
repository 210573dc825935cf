//! Sockets by family, with what was done and to whom (issue 2); message queues (issue 5).

use super::expect;
use crate::support::require;

macro_rules! scenarios {
    ($($(#[$attribute:meta])* $test:ident: $scenario:literal;)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $test() {
            if require(&["ptrace"]) {
                expect($scenario);
            }
        }
    )*};
}

scenarios! {
    tcp_over_ipv4: "tcp4";
    tcp_over_ipv6: "tcp6";
    udp_by_sendto_and_sendmsg: "udp";
    /// Equal behaviour gives equal facts, whatever port the kernel chose.
    a_port_that_the_kernel_chooses: "any-port";
    unix_sockets_in_the_file_system: "unix-path";
    unix_sockets_with_abstract_names: "unix-abstract";
    unix_sockets_without_names: "unix-pair";
    netlink: "netlink";
    connections_that_fail_or_are_in_progress: "connect-failures";
    message_queues: "queues";
}
