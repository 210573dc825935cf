//! Messages to the kernel over netlink (`netlink(7)`): which of them a capability guards.
//!
//! The kernel answers by a message of its own, so that how the call ends says nothing: what waits at its end does. Only
//! the headers are looked at.

use nix::errno::Errno;

use super::scene::Scene;
use crate::fact::{Capability, Check, Fact, Operation};

/// The size of a `struct nlmsghdr`.
const HEADER: u64 = 16;

/// How many messages of one call are looked at.
const MESSAGES_MAX: usize = 64;

/// The first type of a protocol's own messages; those below are netlink's.
const FIRST_TYPE: u16 = 16;

/// Why a refusal may not matter.
const AUDIT_DOUBT: &str = "most programs go on when the audit message is refused";
const GENERIC_DOUBT: &str = "which commands of this family are guarded is not known here";

/// Says what the messages at `address` ask for, which are `length` bytes, when `fd` is a netlink socket.
pub(super) fn sent(scene: &mut Scene<'_>, fd: i32, address: u64, length: u64) {
    // A look at memory first: plain data is sent often, and to ask for the socket costs more.
    if headers(scene, address, length).is_empty() {
        return;
    }
    let Some(socket) = scene.view.socket(fd).ok().filter(|socket| socket.family == libc::AF_NETLINK) else {
        return;
    };
    for kind in headers(scene, address, length) {
        if let Some((capability, what, doubt)) = guard(socket.protocol, kind) {
            scene.check(Operation::Unanswered { capability, what, doubt: doubt.to_owned() });
        }
    }
}

/// Looks at how the kernel answered what `fd` was asked: it has done so when the call ends. An error says that the
/// capability alone was not enough, and then whether it mattered cannot be told.
pub(super) fn answered(scene: &mut Scene<'_>, fd: i32) {
    /// `NLMSG_ERROR`
    const ERROR: u16 = 2;
    let asks = |fact: &Fact| matches!(fact, Fact::Check(Check { operation: Operation::Unanswered { .. }, .. }));
    if !scene.notes.facts.iter().any(asks) {
        return;
    }
    let waiting = scene.view.waiting(fd).unwrap_or_default();
    // struct nlmsghdr: length, type, flags, number, port; struct nlmsgerr: error.
    let kind = waiting.get(4..).and_then(|rest| rest.first_chunk()).map(|bytes| u16::from_ne_bytes(*bytes));
    let error = waiting.get(16..).and_then(|rest| rest.first_chunk()).map(|bytes| i32::from_ne_bytes(*bytes));
    let Some(error) = error.filter(|error| kind == Some(ERROR) && *error != 0) else { return };
    let told = format!("the kernel answered with {:?}", Errno::from_raw(error.saturating_neg()));
    for fact in &mut scene.notes.facts {
        if let Fact::Check(Check { operation: Operation::Unanswered { doubt, .. }, .. }) = fact {
            doubt.clone_from(&told);
        }
    }
}

/// The types of the messages in a buffer; none when it does not begin with a message that fits.
fn headers(scene: &Scene<'_>, address: u64, length: u64) -> Vec<u16> {
    let mut kinds = Vec::new();
    let mut offset = 0;
    while kinds.len() < MESSAGES_MAX && length.saturating_sub(offset) >= HEADER {
        let Ok([a, b, c, d, low, high, ..]) = scene.memory().array::<6>(address.wrapping_add(offset)) else {
            break;
        };
        let size = u64::from(u32::from_ne_bytes([a, b, c, d]));
        if size < HEADER || size > length - offset {
            break;
        }
        kinds.push(u16::from_ne_bytes([low, high]));
        offset += size.next_multiple_of(4);
    }
    kinds
}

/// Which capability guards a message, what it is for, and why a refusal may not matter.
fn guard(protocol: i32, kind: u16) -> Option<(Capability, String, &'static str)> {
    let admin = |what: String| Some((Capability::NetAdmin, what, ""));
    if kind < FIRST_TYPE && protocol != libc::NETLINK_AUDIT {
        return None;
    }
    match protocol {
        // net/core/rtnetlink.c, rtnetlink_rcv_msg(): every kind but GET.
        libc::NETLINK_ROUTE => (kind & 3 != 2).then(|| admin(route(kind))).flatten(),
        // nfnetlink_rcv(), net/netfilter/nfnetlink.c
        libc::NETLINK_NETFILTER => admin("use the packet filter over netlink".to_owned()),
        // xfrm_user_rcv_msg(), net/xfrm/xfrm_user.c
        libc::NETLINK_XFRM => admin("use IPsec policies over netlink".to_owned()),
        libc::NETLINK_SOCK_DIAG if kind == SOCK_DESTROY => admin("close another's socket".to_owned()),
        libc::NETLINK_GENERIC if kind > FIRST_TYPE => {
            Some((Capability::NetAdmin, format!("generic netlink family {kind}"), GENERIC_DOUBT))
        }
        libc::NETLINK_AUDIT => audit(kind),
        _ => None,
    }
}

/// `linux/sock_diag.h`
const SOCK_DESTROY: u16 = 21;

/// `linux/rtnetlink.h`: four messages for each kind of thing, from 16 on.
fn route(kind: u16) -> String {
    let action = match kind & 3 {
        1 => "remove",
        3 => "change",
        _ => "add or change",
    };
    let thing = match (kind - FIRST_TYPE) / 4 {
        0 => "network interface",
        1 => "network address",
        2 => "route",
        3 => "neighbour",
        4 => "routing rule",
        5 => "queueing discipline",
        6 | 7 => "traffic class or filter",
        18 => "network namespace id",
        _ => "network setting",
    };
    format!("{action} a {thing} over netlink (type {kind})")
}

/// `audit_netlink_ok()`, `kernel/audit.c`.
fn audit(kind: u16) -> Option<(Capability, String, &'static str)> {
    match kind {
        1005 | 1100..=1199 | 2100..=2999 => {
            Some((Capability::AuditWrite, "write to the audit log".to_owned(), AUDIT_DOUBT))
        }
        1000..=1099 => Some((Capability::AuditControl, "control the audit system".to_owned(), "")),
        _ => None,
    }
}

/// Says that messages to everyone are listened to, which some protocols keep for few (`netlink_bind()`,
/// `net/netlink/af_netlink.c`).
pub(super) fn listens(scene: &mut Scene<'_>, protocol: i32, groups: u32) {
    let (capability, what) = match protocol {
        _ if groups == 0 => return,
        libc::NETLINK_AUDIT => (Capability::AuditRead, "listen to the audit log"),
        libc::NETLINK_NETFILTER => (Capability::NetAdmin, "listen to the packet filter"),
        libc::NETLINK_XFRM => (Capability::NetAdmin, "listen to IPsec events"),
        _ => return,
    };
    scene.check(Operation::Privileged { capability, what: what.to_owned() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations};

    fn message(kind: u16, payload: usize) -> Vec<u8> {
        let size = u32::try_from(16 + payload).unwrap();
        let mut bytes = [&size.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 10]].concat();
        bytes.resize(16 + payload, 0);
        bytes
    }

    fn asked(facts: &[Fact]) -> Vec<(Capability, bool)> {
        let asked = |operation| match operation {
            Operation::Unanswered { capability, doubt, .. } => (capability, doubt.is_empty()),
            other => panic!("{other:?}"),
        };
        operations(facts).into_iter().map(asked).collect()
    }

    #[test]
    fn messages_are_guarded_by_protocol_and_type() {
        use Capability::{AuditControl, AuditWrite, NetAdmin};
        for (protocol, kind, expected) in [
            (libc::NETLINK_ROUTE, 16, Some((NetAdmin, true))),
            (libc::NETLINK_ROUTE, 18, None),
            (libc::NETLINK_ROUTE, 25, Some((NetAdmin, true))),
            (libc::NETLINK_ROUTE, 3, None),
            (libc::NETLINK_NETFILTER, 0xa00, Some((NetAdmin, true))),
            (libc::NETLINK_GENERIC, 16, None),
            (libc::NETLINK_GENERIC, 30, Some((NetAdmin, false))),
            (libc::NETLINK_AUDIT, 1100, Some((AuditWrite, false))),
            (libc::NETLINK_AUDIT, 1001, Some((AuditControl, true))),
            (libc::NETLINK_SOCK_DIAG, 20, None),
            (libc::NETLINK_SOCK_DIAG, 21, Some((NetAdmin, true))),
        ] {
            let found = guard(protocol, kind).map(|(capability, _, doubt)| (capability, doubt.is_empty()));
            assert_eq!(found, expected, "{protocol} {kind}");
        }
    }

    #[test]
    fn every_message_of_a_call_is_looked_at() {
        for abi in Abi::ALL.into_iter().filter(|abi| *abi != Abi::I386) {
            let mut bench = Bench::new(abi);
            let socket = bench.view.socket(3, libc::AF_NETLINK, libc::SOCK_RAW);
            assert_eq!(socket, 3);
            bench.view.socket(4, libc::AF_INET, libc::SOCK_STREAM);
            let bytes = [message(18, 5), vec![0; 3], message(16, 0)].concat();
            let data = bench.bytes(&bytes);
            let send = |bench: &mut Bench, fd, length| asked(&bench.call("sendto", &[fd, data, length, 0, 0, 0]));
            let length = bytes.len() as u64;
            assert_eq!(send(&mut bench, 3, length), [(Capability::NetAdmin, true)], "{abi}");
            assert_eq!(send(&mut bench, 3, length - 1), [], "the second one does not fit");
            assert_eq!(send(&mut bench, 4, length), []);
            bench.view.map(0x7000, &bytes);
        }
    }

    #[test]
    fn an_error_in_the_answer_leaves_it_open() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.socket(3, libc::AF_NETLINK, libc::SOCK_RAW);
        let message = bench.bytes(&message(16, 16));
        let send = |bench: &mut Bench| asked(&bench.call("sendto", &[3, message, 32, 0, 0, 0]));
        assert_eq!(send(&mut bench), [(Capability::NetAdmin, true)]);
        let answer =
            |error: i32| [&36u32.to_ne_bytes()[..], &[2, 0], &[0; 10], &error.to_ne_bytes(), &[0; 16]].concat();
        *bench.view.waiting.borrow_mut() = answer(0);
        assert_eq!(send(&mut bench), [(Capability::NetAdmin, true)]);
        *bench.view.waiting.borrow_mut() = answer(-libc::EOPNOTSUPP);
        assert_eq!(send(&mut bench), [(Capability::NetAdmin, false)]);
    }
}
