//! Calls about other tasks and about what a task is: signals, namespaces, tracing, filters, io_uring.

use super::inspect;
use super::scene::{Decode, Scene, Values, value};
use crate::event::{Outcome, Target};
use crate::fact::{Capability, Fact, GapKind, NamespaceFact, NamespaceKind, Operation, SignalFact, SignalTarget};

/// `CLONE_NEWUSER`, which gives every capability in what is made with it.
const NEW_USER: u64 = 0x1000_0000;

/// The exit signal in the flags of `clone(2)`.
const EXIT_SIGNAL: u64 = 0xff;

/// `kill(2)`, `tkill(2)`, `tgkill(2)`, `rt_sigqueueinfo(2)`.
pub(super) struct Signal {
    /// The argument with the process or thread; the signal's number is argument `number`.
    pub(super) to: usize,
    /// The argument with the signal's number.
    pub(super) number: usize,
    /// Whether a number below 1 stands for a group or for all.
    pub(super) groups: bool,
}

impl Decode for Signal {
    fn enter(&self, scene: &mut Scene<'_>) {
        let (to, signal) = (scene.int(self.to), scene.int(self.number));
        if self.groups && to < 1 {
            scene.say(Fact::Signal(SignalFact { signal, to: SignalTarget::Group }));
            group(scene, to);
        } else {
            send(scene, signal, to);
        }
    }
}

/// Says that the leader of the process group -`to` belongs to another user. One member that may be signalled is enough
/// for success (`__kill_pgrp_info`, `kernel/signal.c`).
fn group(scene: &mut Scene<'_>, to: i32) {
    let Some(leader) = to.checked_neg().filter(|leader| *leader > 1) else {
        return;
    };
    if let Some((who, target)) = scene.credentials().zip(scene.view.process(leader).ok())
        && [who.uid[0], who.uid[1]].iter().all(|id| *id != target.uid[0] && *id != target.uid[2])
    {
        let what = "a process group whose leader is another user";
        scene.doubtful(Capability::Kill, what, "other members may be the sender's own");
    }
}

/// `pidfd_send_signal(2)`.
pub(super) struct SignalDescriptor;

impl Decode for SignalDescriptor {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(to) = process_behind(scene, scene.int(0)) {
            send(scene, scene.int(1), to);
        }
    }
}

/// The process that a pidfd stands for (`/proc/TID/fdinfo/N`), or its directory in `/proc` (`pidfd_send_signal(2)`).
pub(super) fn process_behind(scene: &Scene<'_>, fd: i32) -> Option<i32> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.trim().parse().ok();
    let text = scene.view.proc(&format!("self/fdinfo/{fd}")).unwrap_or_default();
    if let Some(line) = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Pid:")) {
        return number(line);
    }
    match scene.view.descriptor(fd).ok()?.target {
        Target::Path(path) => number(path.as_bytes().strip_prefix(b"/proc/")?),
        _ => None,
    }
}

/// Says that a signal was sent, and whether its sender is another user (`kill_ok_by_cred`, `kernel/signal.c`).
fn send(scene: &mut Scene<'_>, signal: i32, process: i32) {
    let to = scene.workload.processes.target(scene.tid, process);
    let itself = to == SignalTarget::Itself;
    scene.say(Fact::Signal(SignalFact { signal, to }));
    let Some((who, target)) = scene.credentials().zip(scene.view.process(process).ok()).filter(|_| !itself) else {
        return;
    };
    let (sender, receiver) = ((who.uid[0], who.uid[1]), (target.uid[0], target.uid[2]));
    let same = |id: u32| id == receiver.0 || id == receiver.1;
    let of_others = !same(sender.0) && !same(sender.1);
    if of_others && !(signal == libc::SIGCONT && same_session(scene, process)) {
        scene.check(Operation::Kill { sender, receiver });
    }
}

/// Whether `process` is of the sender's session, to all of which everyone may send SIGCONT
/// (`check_kill_permission`, `kernel/signal.c`).
fn same_session(scene: &Scene<'_>, process: i32) -> bool {
    let own = inspect::stat(scene, "self", inspect::SESSION);
    own.is_some() && own == inspect::stat(scene, &process.to_string(), inspect::SESSION)
}

/// `clone(2)`, `unshare(2)`: namespaces by flags in argument 0.
pub(super) struct Unshare {
    /// Whether the low byte is a signal's number.
    pub(super) signal: bool,
}

impl Decode for Unshare {
    fn enter(&self, scene: &mut Scene<'_>) {
        let flags = scene.arg(0) & 0xffff_ffff;
        if !self.signal
            && flags & NEW_USER != 0
            && let Some(who) = scene.credentials()
        {
            scene.standing.leaves_user_namespace(&who);
        }
        create(scene, if self.signal { flags & !EXIT_SIGNAL } else { flags });
    }

    fn leave(&self, scene: &mut Scene<'_>, _outcome: Outcome) {
        if !self.signal {
            scene.forget_credentials();
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        const CLONE_UNTRACED: u64 = 0x0080_0000;
        let own = |flags: u64| NamespaceKind::FLAGS.iter().any(|(_, flag)| flags & !EXIT_SIGNAL & flag != 0);
        self.signal && value(values, 0).is_some_and(|flags| !own(flags) && flags & CLONE_UNTRACED == 0)
    }
}

/// `clone3(2)`: flags in a `struct clone_args`.
pub(super) struct Clone3;

impl Decode for Clone3 {
    fn enter(&self, scene: &mut Scene<'_>) {
        let flags = scene.memory().clone_flags(scene.arg(0));
        if let Some(flags) = scene.seen(flags) {
            create(scene, flags);
        }
        // struct clone_args: set_tid_size, when the structure is long enough.
        let (offset, end) = (72, 80);
        if scene.arg(1) >= end && scene.memory().u64(scene.arg(0).wrapping_add(offset)).is_ok_and(|count| count > 0) {
            scene.guarded(Capability::CheckpointRestore, "choose a process id");
        }
    }
}

/// Says which namespaces `flags` make. A new user namespace beside them gives the capability for the others.
fn create(scene: &mut Scene<'_>, flags: u64) {
    for (kind, _) in NamespaceKind::FLAGS.into_iter().filter(|(_, flag)| flags & flag != 0) {
        scene.say(Fact::Namespace(NamespaceFact { kind, joined: false }));
        if flags & NEW_USER == 0 {
            scene.guarded(Capability::SysAdmin, format!("new {} namespace", word(kind)));
        }
    }
}

const fn word(kind: NamespaceKind) -> &'static str {
    match kind {
        NamespaceKind::Cgroup => "cgroup",
        NamespaceKind::Ipc => "ipc",
        NamespaceKind::Mount => "mount",
        NamespaceKind::Network => "network",
        NamespaceKind::Pid => "pid",
        NamespaceKind::Time => "time",
        NamespaceKind::User => "user",
        NamespaceKind::Uts => "uts",
    }
}

/// `setns(2)`.
pub(super) struct Join;

impl Decode for Join {
    fn enter(&self, scene: &mut Scene<'_>) {
        let flags = scene.arg(1) & 0xffff_ffff;
        let kinds: Vec<_> = match (flags, link_kind(scene)) {
            // With 0 the kernel takes whatever the descriptor is.
            (0, kind) => kind.into_iter().collect(),
            _ => NamespaceKind::FLAGS.into_iter().filter(|(_, flag)| flags & flag != 0).map(|(kind, _)| kind).collect(),
        };
        for kind in kinds {
            scene.say(Fact::Namespace(NamespaceFact { kind, joined: true }));
            let what = format!("join {} namespace", word(kind));
            if kind == NamespaceKind::User {
                // userns_install(), kernel/user_namespace.c: its owner has every capability in it.
                scene.doubtful(Capability::SysAdmin, what, "in one that the same user made none is needed");
            } else {
                scene.guarded(Capability::SysAdmin, what);
            }
            if kind == NamespaceKind::Mount {
                // mntns_install(), fs/namespace.c
                scene.guarded(Capability::SysChroot, "take the root directory of a mount namespace");
            }
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, _outcome: Outcome) {
        scene.forget_credentials();
    }
}

/// The kind of namespace that argument 0 refers to, from its link such as `mnt:[4026531840]`.
fn link_kind(scene: &Scene<'_>) -> Option<NamespaceKind> {
    let Target::Nameless(link) = scene.view.descriptor(scene.int(0)).ok()?.target else {
        return None;
    };
    match link.split_once(':')?.0 {
        "cgroup" => Some(NamespaceKind::Cgroup),
        "ipc" => Some(NamespaceKind::Ipc),
        "mnt" => Some(NamespaceKind::Mount),
        "net" => Some(NamespaceKind::Network),
        "pid" | "pid_for_children" => Some(NamespaceKind::Pid),
        "time" | "time_for_children" => Some(NamespaceKind::Time),
        "user" => Some(NamespaceKind::User),
        "uts" => Some(NamespaceKind::Uts),
        _ => None,
    }
}

/// `seccomp(2)`.
pub(super) struct Seccomp;

impl Decode for Seccomp {
    fn enter(&self, scene: &mut Scene<'_>) {
        const SET_MODE_FILTER: u32 = 1;
        if scene.uint(0) == SET_MODE_FILTER {
            filter(scene);
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        const SET_MODE_STRICT: u32 = 0;
        if scene.uint(0) == SET_MODE_STRICT {
            strict(scene, outcome);
        }
    }
}

/// Says that strict mode was refused because the tracer had installed a filter.
pub(super) fn strict(scene: &mut Scene<'_>, outcome: Outcome) {
    if scene.workload.thinned && outcome == Outcome::Failed(libc::EINVAL) {
        let detail =
            "seccomp's strict mode was refused because the process was thinned: use --no-thin for this workload";
        scene.gap(GapKind::Unprivileged, detail);
    }
}

/// Says that a filter is loaded by a task that could still gain privileges by execve.
pub(super) fn filter(scene: &mut Scene<'_>) {
    if scene.credentials().is_some_and(|who| !who.no_new_privs) {
        scene.guarded(Capability::SysAdmin, "load a seccomp filter without no_new_privs");
    }
}

/// `landlock_restrict_self(2)`.
pub(super) struct Landlock;

impl Decode for Landlock {
    fn enter(&self, scene: &mut Scene<'_>) {
        if scene.credentials().is_some_and(|who| !who.no_new_privs) {
            scene.guarded(Capability::SysAdmin, "restrict itself by Landlock without no_new_privs");
        }
    }
}

/// `io_uring_setup(2)`.
pub(super) struct Ring;

impl Decode for Ring {
    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        if matches!(outcome, Outcome::Returned(_)) {
            scene.gap(GapKind::IoUring, "io_uring was set up: what it does is not a system call and was not seen");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations, path};
    use crate::event::{Credentials, Ended, Origin, Sink, Tid};

    fn signals(facts: &[Fact]) -> Vec<SignalFact> {
        let signals =
            facts.iter().filter_map(|fact| if let Fact::Signal(signal) = fact { Some(signal.clone()) } else { None });
        signals.collect()
    }

    fn admin(what: &str) -> Operation {
        Operation::Privileged { capability: Capability::SysAdmin, what: what.to_owned() }
    }

    #[test]
    fn signals_have_receivers() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            bench.decoder.born(Tid(101), Origin::Thread(Bench::TID), &bench.view);
            bench.decoder.born(Tid(200), Origin::Process(Bench::TID), &bench.view);
            bench.view.others.borrow_mut().insert(200, Credentials { uid: [1000; 4], ..Credentials::default() });
            bench.view.others.borrow_mut().insert(1, Credentials::default());
            bench.view.others.borrow_mut().insert(7, Credentials { uid: [5; 4], ..Credentials::default() });
            let mut to = |name: &str, args: &[u64]| signals(&bench.call(name, args))[0].clone();
            let program = || SignalTarget::Program(path("/bin/prog"));
            for (target, expected) in [(100, SignalTarget::Itself), (200, program()), (1, SignalTarget::Outside)] {
                assert_eq!(to("kill", &[target, 15]), SignalFact { signal: 15, to: expected.clone() }, "{abi}");
                assert_eq!(to("tgkill", &[target, target, 9]), SignalFact { signal: 9, to: expected.clone() });
                assert_eq!(to("rt_sigqueueinfo", &[target, 0, 0]), SignalFact { signal: 0, to: expected });
            }
            assert_eq!(to("tkill", &[101, 33]).to, SignalTarget::Itself);
            for group in [0, u64::MAX, (-200i64).cast_unsigned()] {
                assert_eq!(to("kill", &[group, 1]).to, SignalTarget::Group);
            }
            let group = operations(&bench.call("kill", &[(-7i64).cast_unsigned(), 1]));
            assert!(matches!(&group[..], [Operation::Doubtful { capability: Capability::Kill, .. }]), "{group:?}");
            assert_eq!(operations(&bench.call("kill", &[(-200i64).cast_unsigned(), 1])), [], "one's own");
            assert_eq!(operations(&bench.call("kill", &[200, 15])), []);
            let kill = Operation::Kill { sender: (1000, 1000), receiver: (0, 0) };
            assert_eq!(operations(&bench.call("kill", &[1, 0])), std::slice::from_ref(&kill));
            for (of, session) in [("self", 5), ("1", 5), ("7", 1)] {
                let text = format!("1 (x y) S 1 1 {session} 0 0").into_bytes();
                bench.view.proc.borrow_mut().insert(format!("{of}/stat"), text);
            }
            let cont = u64::from(libc::SIGCONT.cast_unsigned());
            assert_eq!(operations(&bench.call("kill", &[1, cont])), [], "of its own session");
            assert_eq!(operations(&bench.call("kill", &[7, cont])).len(), 1, "of another");
            bench.view.proc.borrow_mut().insert("self/fdinfo/9".to_owned(), b"pos:\t0\nPid:\t1\nNSpid:\t1\n".to_vec());
            assert_eq!(operations(&bench.call("pidfd_send_signal", &[9, 15, 0, 0])), std::slice::from_ref(&kill));
            bench.view.file("/proc/1", libc::S_IFDIR | 0o555, (0, 0));
            bench.view.open(8, "/proc/1");
            assert_eq!(operations(&bench.call("pidfd_send_signal", &[8, 15, 0, 0])), [kill], "as killall(1) does");
            bench.decoder.gone(Tid(200), Ended::Exited(0));
            assert_eq!(signals(&bench.call("kill", &[200, 15]))[0].to, program(), "its parent has not waited yet");
        }
    }

    #[test]
    fn namespaces_are_made_and_joined() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            let made = |kind| Fact::Namespace(NamespaceFact { kind, joined: false });
            let facts = bench.call("unshare", &[0x0002_0080]);
            assert!([NamespaceKind::Mount, NamespaceKind::Time].into_iter().all(|kind| facts.contains(&made(kind))));
            assert_eq!(operations(&facts), [admin("new mount namespace"), admin("new time namespace")], "{abi}");
            assert_eq!(operations(&bench.call("unshare", &[0x1002_0000])), [], "with its own user namespace");
            assert_eq!(bench.call("clone", &[0x91]), [], "an exit signal is no flag");
            assert_eq!(bench.call("clone", &[0x2000_0011])[0], made(NamespaceKind::Pid));
            let arguments = bench.words(&[&[0x80][..], &[0; 17], &[1, 0, 0, 0]].concat());
            let facts = bench.call("clone3", &[arguments, 88]);
            assert_eq!(facts[0], made(NamespaceKind::Time));
            let chosen = Operation::Privileged {
                capability: Capability::CheckpointRestore,
                what: "choose a process id".to_owned(),
            };
            assert_eq!(operations(&facts), [admin("new time namespace"), chosen]);
            assert_eq!(operations(&bench.call("clone3", &[arguments, 64])), [admin("new time namespace")]);
            bench.view.open_nameless(6, "mnt:[4026531841]");
            assert_eq!(operations(&bench.call("setns", &[6, 0])).len(), 2);
            bench.view.open_nameless(4, "net:[4026531840]");
            let joined = Fact::Namespace(NamespaceFact { kind: NamespaceKind::Network, joined: true });
            assert_eq!(bench.call("setns", &[4, 0])[0], joined);
            assert_eq!(bench.call("setns", &[5, 0x4000_0000])[0], joined);
        }
    }

    #[test]
    fn filters_need_no_new_privs() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            assert_eq!(operations(&bench.call("seccomp", &[1, 0, 0])).len(), 1, "{abi}");
            assert_eq!(bench.call("seccomp", &[2, 0, 0]), [], "asking which actions there are");
        }
    }

    #[test]
    fn rings_are_gaps_when_they_are_made() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            bench.fail("io_uring_setup", &[8, 0], libc::EPERM);
            assert_eq!(bench.gaps(), [], "{abi}");
            bench.call("io_uring_setup", &[8, 0]);
            assert_eq!(bench.gaps(), [GapKind::IoUring], "{abi}");
        }
    }
}
