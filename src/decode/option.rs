//! Options of sockets: which of them a capability guards.

use super::read;
use super::scene::{Decode, Scene, Values, value};
use crate::event::Outcome;
use crate::fact::{Capability, Operation};

/// `setsockopt(2)`.
pub(super) struct SetOption;

impl Decode for SetOption {
    fn enter(&self, scene: &mut Scene<'_>) {
        let (level, option) = (scene.int(1), scene.int(2));
        match (level, option) {
            DEVICE | DEVICE_INDEX => return bind_to_device(scene),
            CONGESTION => return congestion(scene),
            _ => {}
        }
        let Some((_, _, test, guarded, what)) = GUARDED.iter().find(|row| (row.0, row.1) == (level, option)) else {
            return;
        };
        let value = scene.memory().u32(scene.arg(3)).map_or(0, u32::cast_signed);
        if !test(value) {
            return;
        }
        let (capability, what) = (Capability::NetAdmin, (*what).to_owned());
        let either = |what, doubt| Operation::Either { capability: Capability::NetRaw, other: capability, what, doubt };
        let once = || "newer kernels let everyone do so".to_owned();
        scene.check(match guarded {
            Guarded::Admin => Operation::Privileged { capability, what },
            Guarded::Raw => Operation::Privileged { capability: Capability::NetRaw, what },
            Guarded::RawOrAdmin => either(what, String::new()),
            Guarded::OnceRawOrAdmin => either(what, once()),
            Guarded::OnceAdmin => Operation::Doubtful { capability, what, doubt: once() },
            Guarded::Wish => {
                let doubt = "callers go on with the size that everyone may have".to_owned();
                Operation::Doubtful { capability, what, doubt }
            }
        });
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        // What is not there is looked for first, whoever asks for it.
        let absent = match (scene.int(1), scene.int(2)) {
            DEVICE => libc::ENODEV,
            CONGESTION => libc::ENOENT,
            _ => return,
        };
        if outcome == Outcome::Failed(absent) {
            scene.notes.facts.clear();
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        let (level, option) = (value(values, 1).map(read::int), value(values, 2).map(read::int));
        let asked = level.zip(option);
        !asked.is_some_and(|asked| {
            matches!(asked, DEVICE | DEVICE_INDEX | CONGESTION) || GUARDED.iter().any(|row| (row.0, row.1) == asked)
        })
    }
}

/// Options that are guarded by more than their value, by level and number.
const DEVICE: (i32, i32) = (libc::SOL_SOCKET, libc::SO_BINDTODEVICE);
/// `SO_BINDTOIFINDEX`
const DEVICE_INDEX: (i32, i32) = (libc::SOL_SOCKET, 62);
const CONGESTION: (i32, i32) = (libc::SOL_TCP, libc::TCP_CONGESTION);

/// Who is bound to a device does not leave it (`sock_bindtoindex_locked()`, `net/core/sock.c`, since Linux 5.7).
fn bind_to_device(scene: &mut Scene<'_>) {
    if scene.view.bound_device(scene.int(0)).is_ok_and(|device| device != 0) {
        scene.guarded(Capability::NetRaw, "leave the network device that the socket is bound to");
    }
}

/// `tcp_set_congestion_control()`, `net/ipv4/tcp_cong.c`
fn congestion(scene: &mut Scene<'_>) {
    const NAME_MAX: usize = 16;
    let Ok(mut name) = scene.memory().cstr(scene.arg(3), NAME_MAX) else { return };
    name.truncate(usize::try_from(scene.uint(4)).unwrap_or(NAME_MAX));
    let Ok(allowed) = scene.view.proc("sys/net/ipv4/tcp_allowed_congestion_control") else { return };
    if !allowed.split(u8::is_ascii_whitespace).any(|one| one == name) {
        let name = crate::path::to_text(&name);
        scene.guarded(Capability::NetAdmin, format!("set TCP_CONGESTION to {name}, which not everyone may use"));
    }
}

/// How an option is guarded.
#[derive(Clone, Copy)]
enum Guarded {
    /// By `CAP_NET_ADMIN`.
    Admin,
    /// By `CAP_NET_RAW`.
    Raw,
    /// By `CAP_NET_RAW`, since Linux 5.17, or `CAP_NET_ADMIN`.
    RawOrAdmin,
    /// The same, before Linux 6.5 alone.
    OnceRawOrAdmin,
    /// By `CAP_NET_ADMIN`, on older kernels alone.
    OnceAdmin,
    /// By `CAP_NET_ADMIN`, and callers ask for it as for a wish.
    Wish,
}

/// `getsockopt(2)`: what is there to be seen of packet filters (`xt_table`).
pub(super) struct GetOption;

impl Decode for GetOption {
    fn enter(&self, scene: &mut Scene<'_>) {
        if shows_filters(scene.int(1), scene.int(2)) {
            scene.guarded(Capability::NetAdmin, "read packet filter tables");
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        let (level, option) = (value(values, 1).map(read::int), value(values, 2).map(read::int));
        !level.zip(option).is_some_and(|(level, option)| shows_filters(level, option))
    }
}

/// From `IPT_SO_GET_INFO` to `IP6T_SO_GET_REVISION_TARGET`; `ARPT_SO_GET_INFO` and its neighbours.
const fn shows_filters(level: i32, option: i32) -> bool {
    match level {
        libc::SOL_IP => matches!(option, 64..=67 | 96..=99),
        libc::SOL_IPV6 => matches!(option, 64 | 65 | 68 | 69),
        _ => false,
    }
}

type OptionRow = (i32, i32, fn(i32) -> bool, Guarded, &'static str);

/// Options that a capability guards for some values (`net/core/sock.c`, `net/ipv4/ip_sockglue.c`, `net/ipv4/tcp.c`,
/// `net/ipv4/netfilter`).
#[rustfmt::skip]
const GUARDED: [OptionRow; 26] = [
    (libc::SOL_SOCKET, libc::SO_DEBUG, |value| value != 0, Guarded::Admin, "set SO_DEBUG"),
    (libc::SOL_SOCKET, libc::SO_PRIORITY, |value| !(0..=6).contains(&value), Guarded::RawOrAdmin, "set SO_PRIORITY outside 0 to 6"),
    (libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, |_| true, Guarded::Wish, "set SO_SNDBUFFORCE"),
    (libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, |_| true, Guarded::Wish, "set SO_RCVBUFFORCE"),
    (libc::SOL_SOCKET, libc::SO_MARK, |_| true, Guarded::RawOrAdmin, "set SO_MARK"),
    (libc::SOL_SOCKET, libc::SO_BUSY_POLL, |value| value > 0, Guarded::OnceAdmin, "set SO_BUSY_POLL"),
    (libc::SOL_SOCKET, libc::SO_PREFER_BUSY_POLL, |value| value != 0, Guarded::Admin, "set SO_PREFER_BUSY_POLL"),
    (libc::SOL_SOCKET, 61, |clock| clock != libc::CLOCK_MONOTONIC, Guarded::Admin, "set SO_TXTIME by another clock"),
    (libc::SOL_SOCKET, 70, |_| true, Guarded::Admin, "set SO_BUSY_POLL_BUDGET"),
    (libc::SOL_SOCKET, 75, |_| true, Guarded::OnceRawOrAdmin, "set SO_RCVMARK"),
    (libc::SOL_IP, 16, |_| true, Guarded::Admin, "set IP_IPSEC_POLICY"),
    (libc::SOL_IP, 17, |_| true, Guarded::Admin, "set IP_XFRM_POLICY"),
    (libc::SOL_IP, 96, |_| true, Guarded::Admin, "replace ARP filter tables"),
    (libc::SOL_IP, 128, |_| true, Guarded::Admin, "replace bridge filter tables"),
    (libc::SOL_IP, libc::IP_TRANSPARENT, |value| value != 0, Guarded::RawOrAdmin, "set IP_TRANSPARENT"),
    (libc::SOL_IP, 64, |_| true, Guarded::Admin, "replace packet filter tables"),
    (libc::SOL_IP, 65, |_| true, Guarded::Admin, "change packet filter counters"),
    (libc::SOL_IPV6, 34, |_| true, Guarded::Admin, "set IPV6_IPSEC_POLICY"),
    (libc::SOL_IPV6, 35, |_| true, Guarded::Admin, "set IPV6_XFRM_POLICY"),
    (libc::SOL_IPV6, libc::IPV6_HOPOPTS, |_| true, Guarded::Raw, "set IPV6_HOPOPTS"),
    (libc::SOL_IPV6, libc::IPV6_RTHDRDSTOPTS, |_| true, Guarded::Raw, "set IPV6_RTHDRDSTOPTS"),
    (libc::SOL_IPV6, libc::IPV6_DSTOPTS, |_| true, Guarded::Raw, "set IPV6_DSTOPTS"),
    (libc::SOL_IPV6, libc::IPV6_TRANSPARENT, |value| value != 0, Guarded::RawOrAdmin, "set IPV6_TRANSPARENT"),
    (libc::SOL_IPV6, 64, |_| true, Guarded::Admin, "replace packet filter tables"),
    (libc::SOL_IPV6, 65, |_| true, Guarded::Admin, "change packet filter counters"),
    (libc::SOL_TCP, libc::TCP_REPAIR, |_| true, Guarded::Admin, "set TCP_REPAIR"),
];

#[cfg(test)]
mod tests {
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations};
    use crate::event::Outcome;
    use crate::fact::{Capability, Fact};
    use crate::infer::caps::{Standing, judge};
    use crate::record::Outcomes;

    #[test]
    fn options_are_guarded_by_value() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            let [six, seven] = [6, 7].map(|value| bench.words(&[value]));
            let mut set = |option: i32, value| {
                let facts = bench.call("setsockopt", &[3, 1, u64::from(option.cast_unsigned()), value, 4]);
                operations(&facts).len()
            };
            assert_eq!(set(libc::SO_PRIORITY, six), 0, "{abi}");
            assert_eq!(set(libc::SO_PRIORITY, seven), 1, "{abi}");
            assert_eq!(set(libc::SO_MARK, six), 1);
            assert_eq!(set(libc::SO_REUSEADDR, six), 0);
        }
    }

    #[test]
    fn marks_of_what_is_received_were_once_for_either() {
        let mut bench = Bench::new(Abi::X86_64);
        let mut judged = |held: &[Capability], outcome| {
            bench.becomes(|who| who.effective = held.iter().fold(0, |all, &one| all | 1 << one as u8));
            let no = bench.words(&[0]);
            let facts = bench.effect("setsockopt", &[3, 1, 75, no, 4], outcome, |_| ());
            let check = facts.iter().find_map(|fact| if let Fact::Check(check) = fact { Some(check) } else { None });
            let judgement = judge(check.unwrap(), &Outcomes::only(outcome.class()))?;
            Some((judgement.capability, judgement.standing))
        };
        let (done, refused) = (Outcome::Returned(0), Outcome::Failed(libc::EPERM));
        let (raw, admin) = (Capability::NetRaw, Capability::NetAdmin);
        assert_eq!(judged(&[raw, admin], done), Some((raw, Standing::Likely)));
        assert_eq!(judged(&[admin], done), Some((admin, Standing::Likely)));
        assert_eq!(judged(&[], done), None);
        assert_eq!(judged(&[], refused), Some((raw, Standing::Denied)));
    }

    #[test]
    fn a_bound_socket_is_bound_to_another_device() {
        let mut bench = Bench::new(Abi::X86_64);
        for (bound, guards) in [(0, 0), (1, 1)] {
            bench.view.bound_device.set(bound);
            for option in [25, 62] {
                assert_eq!(operations(&bench.call("setsockopt", &[3, 1, option, 0, 0])).len(), guards, "{option}");
            }
        }
    }

    #[test]
    fn congestion_control_is_everyone_s_where_it_is_listed() {
        let mut bench = Bench::new(Abi::X86_64);
        let list = "sys/net/ipv4/tcp_allowed_congestion_control".to_owned();
        bench.view.proc.borrow_mut().insert(list, b"reno bbr\n".to_vec());
        for (name, guards) in [("reno", 0), ("cubic", 1), ("re", 1)] {
            let (text, length) = (bench.text(name), name.len() as u64);
            assert_eq!(operations(&bench.call("setsockopt", &[3, 6, 13, text, length])).len(), guards, "{name}");
        }
    }

    #[test]
    fn what_is_not_there_is_nobody_s_to_choose() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.bound_device.set(1);
            let list = "sys/net/ipv4/tcp_allowed_congestion_control".to_owned();
            bench.view.proc.borrow_mut().insert(list, b"reno\n".to_vec());
            let name = bench.text("nope");
            for (option, errno, guards) in [
                ([6, 13], libc::ENOENT, 0),
                ([6, 13], libc::ENODEV, 1),
                ([6, 13], libc::EPERM, 1),
                ([1, 25], libc::ENODEV, 0),
                ([1, 25], libc::EPERM, 1),
                ([1, 62], libc::ENODEV, 1),
                ([0, 64], libc::ENOENT, 1),
            ] {
                let facts = bench.fail("setsockopt", &[3, option[0], option[1], name, 4], errno);
                assert_eq!(operations(&facts).len(), guards, "{abi} {option:?} {errno}");
            }
        }
    }

    #[test]
    fn packet_filters_are_not_for_everyone_s_eyes() {
        let mut bench = Bench::user(Abi::X86_64);
        assert_eq!(operations(&bench.call("getsockopt", &[3, 0, 64, 0, 0])).len(), 1);
        assert_eq!(operations(&bench.call("getsockopt", &[3, 1, 64, 0, 0])), []);
    }
}
