//! Calls on sockets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::access;
use super::netlink;
use super::read;
use super::scene::{Decode, Kept, Scene};
use crate::event::{Base, Outcome, Resolved, SocketInfo};
use crate::fact::{Access, Capability, Endpoint, Fact, GapKind, NetworkFact, NetworkOperation, Operation};
use crate::path::to_text;

const UNIX: i32 = libc::AF_UNIX;
const INET: i32 = libc::AF_INET;
const INET6: i32 = libc::AF_INET6;

/// Everything but `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
const TYPE_MASK: i32 = 0xf;

/// `AF_LLC` (`linux/socket.h`).
const AF_LLC: i32 = 26;

/// The old way to a packet socket (`packet(7)`).
const SOCK_PACKET: i32 = 10;

/// The first port that needs no capability unless `ip_unprivileged_port_start` says otherwise.
const FIRST_UNPRIVILEGED: u16 = 1024;

/// `socket(2)`, `socketpair(2)`.
pub(super) struct Create {
    /// Which of the two.
    pub(super) operation: NetworkOperation,
}

impl Decode for Create {
    fn enter(&self, scene: &mut Scene<'_>) {
        let (family, kind) = (scene.int(0), scene.int(1) & TYPE_MASK);
        match family {
            INET | INET6 if matches!(kind, libc::SOCK_RAW | SOCK_PACKET) => {
                scene.check(Operation::RawSocket { family, kind });
            }
            libc::AF_PACKET | libc::AF_XDP | AF_LLC => scene.check(Operation::RawSocket { family, kind }),
            libc::AF_KEY => scene.guarded(Capability::NetAdmin, "key management socket"),
            _ => {}
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        let (family, kind, protocol) = (scene.int(0), scene.int(1) & TYPE_MASK, scene.int(2));
        let asked = SocketInfo { family, kind, protocol, local: Vec::new(), peer: Vec::new() };
        let socket = match outcome {
            Outcome::Returned(fd) if self.operation == NetworkOperation::Create => {
                scene.view.socket(read::int(fd.cast_unsigned())).unwrap_or(asked)
            }
            _ => asked,
        };
        say(scene, &socket, self.operation, Endpoint::None, Endpoint::None);
    }
}

fn say(scene: &mut Scene<'_>, socket: &SocketInfo, operation: NetworkOperation, local: Endpoint, remote: Endpoint) {
    let SocketInfo { family, kind, protocol, .. } = *socket;
    scene.say(Fact::Network(NetworkFact { family, kind, protocol, operation, local, remote }));
}

/// `bind(2)`.
pub(super) struct Bind;

impl Decode for Bind {
    fn enter(&self, scene: &mut Scene<'_>) {
        let Some(address) = address(scene) else {
            return;
        };
        let (local, spot) = endpoint(scene, &address);
        if let Endpoint::Inet(_, port) = local {
            check_port(scene, port);
        } else if family(&address) == Some(libc::AF_VSOCK) {
            check_vsock(scene, &address);
        }
        if let Some(spot) = spot {
            scene.file(&spot.path, spot.inode.as_ref(), Access::CREATE | Access::WRITE, false);
            scene.need_new_name(&spot);
        }
        if let Some(socket) = socket(scene, scene.int(0)) {
            if let Endpoint::Netlink(groups) = local {
                netlink::listens(scene, socket.protocol, groups);
            }
            say(scene, &socket, NetworkOperation::Bind, local, Endpoint::None);
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        port_chosen(scene, outcome);
    }
}

/// Notes the port that the kernel chose, when the call left the choice to it.
fn port_chosen(scene: &mut Scene<'_>, outcome: Outcome) {
    if matches!((&scene.notes.kept, outcome), (Kept::AnyPort, Outcome::Returned(_)))
        && let Ok(socket) = scene.view.socket(scene.int(0))
        && let (Endpoint::Inet(_, port), _) = endpoint(scene, &socket.local)
    {
        scene.workload.ports.chosen(port);
    }
}

/// `inet_port_requires_bind_service` (`net/ip.h`).
fn check_port(scene: &mut Scene<'_>, port: u16) {
    if port == 0 {
        scene.notes.kept = Kept::AnyPort;
        return;
    }
    scene.workload.ports.asked_for(port);
    let text = scene.view.proc("sys/net/ipv4/ip_unprivileged_port_start").ok();
    let first = text.and_then(|text| std::str::from_utf8(&text).ok()?.trim().parse().ok());
    let unprivileged = first.unwrap_or(FIRST_UNPRIVILEGED);
    if port < unprivileged {
        scene.check(Operation::BindPort { port, unprivileged });
    }
}

/// `__vsock_bind_connectible`, `net/vmw_vsock/af_vsock.c`: the port stands behind two reserved bytes.
fn check_vsock(scene: &mut Scene<'_>, address: &[u8]) {
    let port = address.get(4..).and_then(|rest| rest.first_chunk::<4>()).map(|bytes| u32::from_ne_bytes(*bytes));
    let low = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port < FIRST_UNPRIVILEGED);
    if let Some(port) = low {
        scene.check(Operation::BindPort { port, unprivileged: FIRST_UNPRIVILEGED });
    }
}

/// `connect(2)`.
pub(super) struct Connect;

impl Decode for Connect {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(address) = address(scene) {
            towards(scene, NetworkOperation::Connect, &[address]);
        }
    }
}

/// The address in arguments 1 and 2. `None` when it has no family: `AF_UNSPEC` takes a connection away.
fn address(scene: &mut Scene<'_>) -> Option<Vec<u8>> {
    let address = scene.memory().sockaddr(scene.arg(1), scene.uint(2));
    scene.seen(address).filter(|address| family(address).is_some_and(|family| family != libc::AF_UNSPEC))
}

/// The socket behind a descriptor. That it cannot be asked is a gap, unless there is none.
fn socket(scene: &mut Scene<'_>, fd: i32) -> Option<SocketInfo> {
    let error = match scene.view.socket(fd) {
        Ok(socket) => return Some(socket),
        Err(error) => error,
    };
    if !matches!(error.raw_os_error(), Some(libc::EBADF | libc::ENOTSOCK | libc::ESRCH)) {
        let detail = format!("what a {} was made on could not be asked for: {error}", scene.name);
        scene.gap(GapKind::Unreadable, detail);
    }
    None
}

/// Says that a socket speaks to addresses; a Unix socket with a path is a file that is written to.
pub(super) fn towards(scene: &mut Scene<'_>, operation: NetworkOperation, addresses: &[Vec<u8>]) {
    let mut remotes = Vec::new();
    for address in addresses {
        let (remote, spot) = endpoint(scene, address);
        if let Some(spot) = spot {
            scene.used(&spot, Access::CONNECT);
            scene.need_file(&spot, access::WRITE);
        }
        // Of a peer on this machine, which may be the workload itself.
        let here = matches!(remote, Endpoint::Inet(address, _) if address.is_loopback());
        remotes.push(if here { told(scene, remote) } else { remote });
    }
    if let Some(socket) = socket(scene, scene.int(0)) {
        for remote in remotes {
            say(scene, &socket, operation, Endpoint::None, remote);
        }
    }
}

/// `listen(2)`.
pub(super) struct Listen;

impl Decode for Listen {
    fn enter(&self, scene: &mut Scene<'_>) {
        let socket = scene.view.socket(scene.int(0));
        if socket.is_ok_and(|socket| matches!(endpoint(scene, &socket.local).0, Endpoint::Inet(_, 0))) {
            scene.notes.kept = Kept::AnyPort;
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        port_chosen(scene, outcome);
        if let Some(socket) = socket(scene, scene.int(0)) {
            let local = own(scene, &socket);
            say(scene, &socket, NetworkOperation::Listen, local, Endpoint::None);
        }
    }
}

/// The socket's own address; a port that the kernel chose is 0.
fn own(scene: &mut Scene<'_>, socket: &SocketInfo) -> Endpoint {
    let (local, _) = endpoint(scene, &socket.local);
    told(scene, local)
}

fn told(scene: &Scene<'_>, endpoint: Endpoint) -> Endpoint {
    match endpoint {
        Endpoint::Inet(address, port) => Endpoint::Inet(address, scene.workload.ports.told(port)),
        other => other,
    }
}

/// `accept(2)`.
pub(super) struct Accept;

impl Decode for Accept {
    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        let fd = match outcome {
            Outcome::Returned(fd) => read::int(fd.cast_unsigned()),
            // Refused by a policy; every other failure says that nobody came.
            Outcome::Failed(libc::EACCES | libc::EPERM) => scene.int(0),
            Outcome::Failed(_) | Outcome::Unfinished => return,
        };
        if let Some(socket) = socket(scene, fd) {
            let local = own(scene, &socket);
            let remote = match endpoint(scene, &socket.peer).0 {
                Endpoint::Inet(address, _) => Endpoint::Inet(address, 0),
                other => other,
            };
            say(scene, &socket, NetworkOperation::Accept, local, remote);
        }
    }
}

/// The family of a socket address; `None` when it is too short to have one.
pub(super) fn family(address: &[u8]) -> Option<i32> {
    address.first_chunk::<2>().map(|bytes| i32::from(u16::from_ne_bytes(*bytes)))
}

/// What a socket address says, and the file when it is a path. A relative one starts from the current directory.
fn endpoint(scene: &mut Scene<'_>, address: &[u8]) -> (Endpoint, Option<Resolved>) {
    let Some((family, rest)) = family(address).zip(address.get(2..)) else {
        return (Endpoint::None, None);
    };
    if family == UNIX {
        return unix(scene, rest);
    }
    let port = || rest.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
    let known = match family {
        INET => {
            rest.get(2..).and_then(|rest| rest.first_chunk::<4>()).map(|bytes| IpAddr::from(Ipv4Addr::from(*bytes)))
        }
        // Port and flow information stand before the address.
        INET6 => rest.get(6..).and_then(|rest| rest.first_chunk::<16>()).map(|bytes| Ipv6Addr::from(*bytes).into()),
        _ => None,
    };
    if let Some((address, port)) = known.zip(port()) {
        return (Endpoint::Inet(address, port), None);
    }
    // struct sockaddr_nl: family, padding, port id, groups.
    if family == libc::AF_NETLINK
        && let Some(groups) = rest.get(6..).and_then(|rest| rest.first_chunk::<4>())
    {
        return (Endpoint::Netlink(u32::from_ne_bytes(*groups)), None);
    }
    (Endpoint::Other(hexadecimal(address)), None)
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)]).collect()
}

fn unix(scene: &mut Scene<'_>, name: &[u8]) -> (Endpoint, Option<Resolved>) {
    match name.split_first() {
        None => (Endpoint::Unnamed, None),
        Some((0, name)) => (Endpoint::Abstract(to_text(name)), None),
        Some(_) => {
            let path = name.split(|&byte| byte == 0).next().unwrap_or_default();
            let spot = scene.locate(Base::Cwd, path, true);
            (spot.as_ref().map_or(Endpoint::None, |spot| Endpoint::Path(spot.path.clone())), spot)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, files, operations, path};

    const STREAM: i32 = libc::SOCK_STREAM;

    fn inet(port: u16, last: u8) -> Vec<u8> {
        [&2u16.to_ne_bytes()[..], &port.to_be_bytes(), &[10, 0, 0, last], &[0; 8]].concat()
    }

    fn address(bench: &mut Bench, bytes: &[u8]) -> [u64; 2] {
        [bench.bytes(bytes), bytes.len() as u64]
    }

    fn fact(facts: &[Fact]) -> NetworkFact {
        let mut facts =
            facts.iter().filter_map(|fact| if let Fact::Network(fact) = fact { Some(fact.clone()) } else { None });
        let one = facts.next().unwrap();
        assert_eq!(facts.next(), None);
        one
    }

    /// Makes a call on a socket, on i386 through socketcall(2) as libraries do.
    fn socket_call(bench: &mut Bench, name: &str, args: &[u64], outcome: Outcome) -> Vec<Fact> {
        if bench.abi != Abi::I386 {
            return bench.effect(name, args, outcome, |_| ());
        }
        let names = [
            "socket",
            "bind",
            "connect",
            "listen",
            "accept",
            "",
            "",
            "socketpair",
            "",
            "",
            "sendto",
            "",
            "",
            "setsockopt",
        ];
        let number = names.iter().position(|known| *known == name).unwrap() as u64 + 1;
        let words: Vec<u32> = args.iter().map(|&arg| read::uint(arg)).collect();
        let at = bench.words(&words);
        bench.effect("socketcall", &[number, at], outcome, |_| ())
    }

    #[test]
    fn sockets_are_made() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            bench.view.socket(3, INET, STREAM);
            bench.view.sockets.borrow_mut().get_mut(&3).unwrap().protocol = 6;
            let flags = (STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK) as u64;
            let facts = socket_call(&mut bench, "socket", &[2, flags, 0], Outcome::Returned(3));
            let made = fact(&facts);
            assert_eq!((made.family, made.kind, made.protocol), (INET, STREAM, 6), "{abi}");
            assert_eq!(made.operation, NetworkOperation::Create);
            let facts = socket_call(&mut bench, "socketpair", &[1, STREAM as u64, 0, 0x1000], Outcome::Returned(0));
            assert_eq!(fact(&facts).operation, NetworkOperation::Pair);
            let raw = |family, kind| Operation::RawSocket { family, kind };
            let facts = socket_call(&mut bench, "socket", &[2, 3, 1], Outcome::Failed(libc::EPERM));
            assert_eq!(operations(&facts), [raw(INET, libc::SOCK_RAW)], "{abi}");
            let facts = socket_call(&mut bench, "socket", &[17, 2, 0], Outcome::Failed(libc::EPERM));
            assert_eq!(operations(&facts), [raw(libc::AF_PACKET, libc::SOCK_DGRAM)]);
            let facts = socket_call(&mut bench, "socket", &[16, 3, 0], Outcome::Returned(9));
            assert_eq!(operations(&facts), [], "a raw netlink socket is for everyone");
        }
    }

    #[test]
    fn low_ports_are_guarded() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.socket(3, INET, STREAM);
            let bind = |bench: &mut Bench, port| {
                let [at, length] = address(bench, &inet(port, 1));
                socket_call(bench, "bind", &[3, at, length], Outcome::Returned(0))
            };
            let facts = bind(&mut bench, 80);
            assert_eq!(operations(&facts), [Operation::BindPort { port: 80, unprivileged: 1024 }], "{abi}");
            assert_eq!(fact(&facts).local, Endpoint::Inet([10, 0, 0, 1].into(), 80));
            assert_eq!(operations(&bind(&mut bench, 0)), []);
            assert_eq!(operations(&bind(&mut bench, 8080)), []);
            let start = "sys/net/ipv4/ip_unprivileged_port_start".to_owned();
            bench.view.proc.borrow_mut().insert(start, b"80\n".to_vec());
            assert_eq!(operations(&bind(&mut bench, 80)), []);
        }
    }

    #[test]
    fn ports_that_the_kernel_chose_are_not_told() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.socket(3, INET, STREAM);
            let [at, length] = address(&mut bench, &inet(0, 1));
            bench.view.sockets.borrow_mut().get_mut(&3).unwrap().local = inet(40_000, 1);
            socket_call(&mut bench, "bind", &[3, at, length], Outcome::Returned(0));
            let facts = socket_call(&mut bench, "listen", &[3, 5], Outcome::Returned(0));
            assert_eq!(fact(&facts).local, Endpoint::Inet([10, 0, 0, 1].into(), 0), "{abi}");
            let mut loopback = inet(40_000, 1);
            loopback[4] = 127;
            let [to, length] = address(&mut bench, &loopback);
            let facts = socket_call(&mut bench, "connect", &[3, to, length], Outcome::Returned(0));
            assert_eq!(fact(&facts).remote, Endpoint::Inet([127, 0, 0, 1].into(), 0), "{abi}");
            // Whoever names it means it.
            let [at, length] = address(&mut bench, &inet(40_000, 1));
            socket_call(&mut bench, "bind", &[3, at, length], Outcome::Returned(0));
            let facts = socket_call(&mut bench, "listen", &[3, 5], Outcome::Returned(0));
            assert_eq!(fact(&facts).local, Endpoint::Inet([10, 0, 0, 1].into(), 40_000), "{abi}");
        }
    }

    #[test]
    fn unix_sockets_are_files_or_names() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.socket(3, UNIX, STREAM);
            let [at, length] = address(&mut bench, b"\x01\0sock\0garbage");
            let facts = socket_call(&mut bench, "bind", &[3, at, length], Outcome::Returned(0));
            assert_eq!(files(&facts), ["/srv/sock: write create"], "{abi}");
            assert_eq!(fact(&facts).local, Endpoint::Path(path("/srv/sock")));
            bench.view.file("/srv/sock", libc::S_IFSOCK | 0o700, (7, 7));
            let facts = socket_call(&mut bench, "connect", &[3, at, length], Outcome::Returned(0));
            assert_eq!(files(&facts), ["/srv/sock: connect"]);
            assert!(matches!(&operations(&facts)[..], [Operation::FileAccess { wanted: 2, .. }]));
            let [at, length] = address(&mut bench, b"\x01\0\0bus\xff");
            let facts = socket_call(&mut bench, "connect", &[3, at, length], Outcome::Returned(0));
            assert_eq!(fact(&facts).remote, Endpoint::Abstract("bus\\xff".to_owned()));
            let [at, length] = address(&mut bench, b"\x01\0");
            let facts = socket_call(&mut bench, "bind", &[3, at, length], Outcome::Returned(0));
            assert_eq!(fact(&facts).local, Endpoint::Unnamed);
        }
    }

    #[test]
    fn peers_are_told_without_a_client_s_port() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.socket(3, INET, STREAM);
            bench.view.socket(4, INET, STREAM);
            for fd in [3, 4] {
                bench.view.sockets.borrow_mut().get_mut(&fd).unwrap().local = inet(80, 1);
            }
            bench.view.sockets.borrow_mut().get_mut(&4).unwrap().peer = inet(50_000, 2);
            let facts = socket_call(&mut bench, "listen", &[3, 5], Outcome::Returned(0));
            assert_eq!(fact(&facts).local, Endpoint::Inet([10, 0, 0, 1].into(), 80), "{abi}");
            let accept = if abi == Abi::I386 { "accept" } else { "accept4" };
            let facts = socket_call(&mut bench, accept, &[3, 0, 0, 0], Outcome::Returned(4));
            assert_eq!(fact(&facts).remote, Endpoint::Inet([10, 0, 0, 2].into(), 0));
            assert_eq!(socket_call(&mut bench, accept, &[3, 0, 0, 0], Outcome::Failed(libc::EAGAIN)), []);
            let [at, length] = address(&mut bench, &inet(443, 3));
            let facts = socket_call(&mut bench, "connect", &[4, at, length], Outcome::Failed(libc::EINPROGRESS));
            assert_eq!(fact(&facts).remote, Endpoint::Inet([10, 0, 0, 3].into(), 443));
            let [at, length] = address(&mut bench, &[0; 16]);
            assert_eq!(socket_call(&mut bench, "connect", &[4, at, length], Outcome::Returned(0)), []);
        }
    }

    #[test]
    fn messages_with_an_address_are_sent() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.socket(3, INET, libc::SOCK_DGRAM);
            let [at, length] = address(&mut bench, &inet(53, 9));
            let facts = socket_call(&mut bench, "sendto", &[3, 0x1000, 5, 0, at, length], Outcome::Returned(5));
            assert_eq!(fact(&facts).operation, NetworkOperation::Send, "{abi}");
            let before = bench.view.questions.get();
            assert_eq!(socket_call(&mut bench, "sendto", &[3, 0x1000, 5, 0, 0, 0], Outcome::Returned(5)), []);
            assert_eq!(bench.view.questions.get(), before, "nothing is asked for a plain send");
            let header = |at: u64| {
                let (at, length) = (read::uint(at), read::uint(length));
                match abi.word_size() {
                    4 => vec![at, length, 0, 0, 0, 0, 0, 9],
                    _ => [vec![at, 0, length], vec![0; 11], vec![9, 0]].concat(),
                }
            };
            let message = bench.words(&header(at));
            let facts = bench.call("sendmsg", &[3, message, 0]);
            assert_eq!(fact(&facts).remote, Endpoint::Inet([10, 0, 0, 9].into(), 53));
            let [other, _] = address(&mut bench, &inet(53, 8));
            let messages = bench.words(&[header(at), header(at), header(other), header(0)].concat());
            assert_eq!(bench.call("sendmmsg", &[3, messages, 4, 0]).len(), 2, "{abi}");
            assert_eq!(bench.gaps(), []);
            bench.call("sendmsg", &[3, 0x10, 0]);
            assert_eq!(bench.gaps(), [GapKind::Unreadable]);
        }
    }

    #[test]
    fn addresses_of_other_families() {
        let remote = |bytes: &[u8]| {
            let mut bench = Bench::new(Abi::X86_64);
            bench.view.socket(3, INET6, libc::SOCK_DGRAM);
            let [at, length] = address(&mut bench, bytes);
            fact(&bench.call("connect", &[3, at, length])).remote
        };
        let six = [&10u16.to_ne_bytes()[..], &443u16.to_be_bytes(), &[0; 4], &[0; 15], &[1], &[0; 4]].concat();
        assert_eq!(remote(&six), Endpoint::Inet("::1".parse().unwrap(), 443));
        assert_eq!(remote(&[16, 0, 0, 0, 9, 9, 9, 9, 4, 0, 0, 0]), Endpoint::Netlink(4));
        assert_eq!(remote(&[40, 0, 1]), Endpoint::Other("280001".to_owned()));
        assert_eq!(remote(&[2, 0, 1]), Endpoint::Other("020001".to_owned()), "too short");
    }
}
