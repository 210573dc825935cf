//! Messages that are sent: to whom, in whose name, and to the kernel.

use super::net::{family, towards};
use super::netlink;
use super::scene::{Decode, Scene};
use crate::event::{Credentials, Outcome};
use crate::fact::{Capability, NetworkOperation, Operation, SignalTarget};

/// `sendto(2)`.
pub(super) struct SendTo;

impl Decode for SendTo {
    fn enter(&self, scene: &mut Scene<'_>) {
        netlink::sent(scene, scene.int(0), scene.arg(1), scene.arg(2));
        if scene.arg(4) != 0 {
            let address = scene.memory().sockaddr(scene.arg(4), scene.uint(5));
            send(scene, address.map(|address| vec![address]));
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, _outcome: Outcome) {
        netlink::answered(scene, scene.int(0));
    }

    fn quiet_without(&self) -> Option<u8> {
        Some(4)
    }
}

/// `sendmsg(2)`.
pub(super) struct SendMessage;

impl Decode for SendMessage {
    fn enter(&self, scene: &mut Scene<'_>) {
        let address = scene.memory().message_address(scene.arg(1));
        if let Ok((data, length)) = scene.memory().message_data(scene.arg(1)) {
            netlink::sent(scene, scene.int(0), data, length);
        }
        send(scene, address.map(|address| vec![address]));
        controls(scene, scene.arg(1));
    }

    fn leave(&self, scene: &mut Scene<'_>, _outcome: Outcome) {
        netlink::answered(scene, scene.int(0));
    }
}

/// `sendmmsg(2)`.
pub(super) struct SendMessages;

impl Decode for SendMessages {
    fn enter(&self, scene: &mut Scene<'_>) {
        let addresses = scene.memory().messages_addresses(scene.arg(1), scene.uint(2));
        send(scene, addresses);
        let messages: Vec<_> = scene.memory().messages(scene.arg(1), scene.uint(2)).collect();
        for message in messages {
            if let Ok((data, length)) = scene.memory().message_data(message) {
                netlink::sent(scene, scene.int(0), data, length);
            }
            controls(scene, message);
        }
    }
}

fn send(scene: &mut Scene<'_>, addresses: std::io::Result<Vec<Vec<u8>>>) {
    let mut addresses = scene.seen(addresses).unwrap_or_default();
    addresses.retain(|address| family(address).is_some());
    if !addresses.is_empty() {
        towards(scene, NetworkOperation::Send, &addresses);
    }
}

/// Says what guards the control messages of a `struct msghdr`.
fn controls(scene: &mut Scene<'_>, message: u64) {
    let raw = |what: &str| Operation::Either {
        capability: Capability::NetRaw,
        other: Capability::NetAdmin,
        what: what.to_owned(),
        doubt: String::new(),
    };
    for (kind, data) in scene.memory().controls(message) {
        match kind {
            libc::SCM_CREDENTIALS => credentials(scene, data),
            // __sock_cmsg_send(), net/core/sock.c
            libc::SO_MARK => scene.check(raw("send a message with a mark")),
            libc::SO_PRIORITY if scene.memory().u32(data).is_ok_and(|value| value > 6) => {
                scene.check(raw("send a message of a priority outside 0 to 6"));
            }
            _ => {}
        }
    }
}

/// Says that ids are claimed that are not the sender's (`scm_check_creds`, `net/core/scm.c`).
fn credentials(scene: &mut Scene<'_>, data: u64) {
    let [Ok(process), Ok(user), Ok(group)] = [0, 4, 8].map(|offset| scene.memory().u32(data.wrapping_add(offset)))
    else {
        return;
    };
    let Some(who) = scene.credentials() else { return };
    let is_own = |ids: fn(&Credentials) -> [u32; 4], id: u32| ids(&who).iter().take(3).any(|own| *own == id);
    if scene.workload.processes.target(scene.tid, process.cast_signed()) != SignalTarget::Itself {
        scene.guarded(Capability::SysAdmin, "send a message in the name of another process");
    }
    if !is_own(|who| who.uid, user) {
        scene.guarded(Capability::Setuid, format!("send a message in the name of user {user}"));
    }
    if !is_own(|who| who.gid, group) {
        scene.guarded(Capability::Setgid, format!("send a message in the name of group {group}"));
    }
}

#[cfg(test)]
mod tests {
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations};
    use crate::fact::{Capability, Operation};

    #[test]
    fn marks_and_priorities_of_a_message_are_guarded() {
        let mut bench = Bench::user(Abi::X86_64);
        let mut asked = |kind: i32, value: u32| {
            let control = bench.words(&[20, 0, 1, kind.cast_unsigned(), value, 0]);
            let control = u32::try_from(control).unwrap();
            let message = bench.words(&[0, 0, 0, 0, 0, 0, 0, 0, control, 0, 24, 0, 0, 0]);
            let facts = bench.call("sendmsg", &[3, message, 0]);
            operations(&facts).iter().filter(|one| matches!(one, Operation::Either { .. })).count()
        };
        assert_eq!(asked(libc::SO_MARK, 1), 1);
        assert_eq!(asked(libc::SO_PRIORITY, 7), 1);
        assert_eq!(asked(libc::SO_PRIORITY, 6), 0);
        assert_eq!(asked(libc::SO_TIMESTAMPING, 7), 0);
    }

    #[test]
    fn a_message_in_the_name_of_others_is_guarded() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            let asked = |bench: &mut Bench, ids: [u32; 3]| {
                let wide = abi.word_size() == 8;
                let length: &[u32] = if wide { &[28, 0] } else { &[24] };
                let control = bench.words(&[length, &[1, 2], &ids, &[0]].concat());
                let control = u32::try_from(control).unwrap();
                let header: &[u32] = if wide {
                    &[0, 0, 0, 0, 0, 0, 0, 0, control, 0, 32, 0, 0, 0]
                } else {
                    &[0, 0, 0, 0, control, 24, 0]
                };
                let message = bench.words(header);
                let capability = |operation: &Operation| match operation {
                    Operation::Privileged { capability, .. } => *capability,
                    other => panic!("{other:?}"),
                };
                let facts = bench.call("sendmsg", &[3, message, 0]);
                operations(&facts).iter().map(capability).collect::<Vec<_>>()
            };
            assert_eq!(asked(&mut bench, [100, 1000, 1000]), [], "{abi}");
            let all = [Capability::SysAdmin, Capability::Setuid, Capability::Setgid];
            assert_eq!(asked(&mut bench, [1, 0, 0]), all, "{abi}");
        }
    }
}
