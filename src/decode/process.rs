//! Calls about other tasks and about what a task is: signals, namespaces, tracing, filters, io_uring.

use super::scene::{Decode, Scene, value};
use super::table::Values;
use crate::event::{Outcome, Target};
use crate::fact::{
    Capability, Fact, GapKind, NamespaceFact, NamespaceKind, Operation, SignalFact, SignalTarget, TraceFact,
};

/// `CLONE_NEWUSER`, which gives every capability in what is made with it.
const NEW_USER: u64 = 0x1000_0000;

/// The exit signal in the flags of `clone(2)`.
const EXIT_SIGNAL: u64 = 0xff;

fn guard(scene: &mut Scene<'_>, capability: Capability, what: impl Into<String>) {
    scene.check(Operation::Privileged { capability, what: what.into() });
}

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
        } else {
            send(scene, signal, to);
        }
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

/// The process that a pidfd stands for (`/proc/TID/fdinfo/N`).
fn process_behind(scene: &Scene<'_>, fd: i32) -> Option<i32> {
    let text = scene.view.proc(&format!("self/fdinfo/{fd}")).ok()?;
    let line = text.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"Pid:"))?;
    std::str::from_utf8(line).ok()?.trim().parse().ok()
}

/// Says that a signal was sent, and whether its sender is another user (`kill_ok_by_cred`, `kernel/signal.c`).
fn send(scene: &mut Scene<'_>, signal: i32, process: i32) {
    let to = scene.processes.target(scene.tid, process);
    let itself = to == SignalTarget::Itself;
    scene.say(Fact::Signal(SignalFact { signal, to }));
    let Some((who, target)) = scene.credentials().zip(scene.view.process(process).ok()).filter(|_| !itself) else {
        return;
    };
    let (sender, receiver) = ((who.uid[0], who.uid[1]), (target.uid[0], target.uid[2]));
    let same = |id: u32| id == receiver.0 || id == receiver.1;
    if !same(sender.0) && !same(sender.1) {
        scene.check(Operation::Kill { sender, receiver });
    }
}

/// `clone(2)`, `unshare(2)`: namespaces by flags in argument 0.
pub(super) struct Unshare {
    /// Whether the low byte is a signal's number.
    pub(super) signal: bool,
}

impl Decode for Unshare {
    fn enter(&self, scene: &mut Scene<'_>) {
        let flags = scene.arg(0) & 0xffff_ffff;
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
    }
}

/// Says which namespaces `flags` make. A new user namespace beside them gives the capability for the others.
fn create(scene: &mut Scene<'_>, flags: u64) {
    for (kind, _) in NamespaceKind::FLAGS.into_iter().filter(|(_, flag)| flags & flag != 0) {
        scene.say(Fact::Namespace(NamespaceFact { kind, joined: false }));
        if flags & NEW_USER == 0 {
            guard(scene, Capability::SysAdmin, format!("new {} namespace", word(kind)));
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
            guard(scene, Capability::SysAdmin, format!("join {} namespace", word(kind)));
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

/// `ptrace(2)`.
pub(super) struct Ptrace;

impl Decode for Ptrace {
    fn enter(&self, scene: &mut Scene<'_>) {
        const TRACEME: i32 = 0;
        const ATTACH: i32 = 16;
        const SEIZE: i32 = 0x4206;
        let detail = format!("{} was called: it fails while learn itself traces the workload", scene.name);
        scene.gap(GapKind::TracesItself, detail);
        match scene.int(0) {
            TRACEME => scene.say(Fact::Trace(TraceFact { read_only: false, to: SignalTarget::Itself })),
            ATTACH | SEIZE => trace(scene, scene.int(1), false),
            _ => {}
        }
    }
}

/// Calls that read or change another process as a tracer may: `process_vm_readv(2)`, `kcmp(2)` and their kin.
pub(super) struct Inspect {
    /// The argument with the process.
    pub(super) process: usize,
    /// Whether it is a descriptor.
    pub(super) descriptor: bool,
    /// `PTRACE_MODE_READ` rather than `PTRACE_MODE_ATTACH`.
    pub(super) read_only: bool,
}

impl Decode for Inspect {
    fn enter(&self, scene: &mut Scene<'_>) {
        let raw = scene.int(self.process);
        let process = if self.descriptor { process_behind(scene, raw) } else { Some(raw) };
        // 0 is the caller itself, -1 all there is.
        if let Some(process) = process.filter(|process| *process > 0) {
            trace(scene, process, self.read_only);
        }
    }
}

/// `kcmp(2)` compares two processes.
pub(super) struct Compare;

impl Decode for Compare {
    fn enter(&self, scene: &mut Scene<'_>) {
        for index in 0..2 {
            trace(scene, scene.int(index), true);
        }
    }
}

/// Says that another task is looked into, and whether its ids are others (`__ptrace_may_access`, `kernel/ptrace.c`).
fn trace(scene: &mut Scene<'_>, process: i32, read_only: bool) {
    let to = scene.processes.target(scene.tid, process);
    if to == SignalTarget::Itself {
        return;
    }
    scene.say(Fact::Trace(TraceFact { read_only, to }));
    let Some((who, target)) = scene.credentials().zip(scene.view.process(process).ok()) else {
        return;
    };
    // PTRACE_MODE_REALCREDS: the caller's real ids against all of the target's.
    let same = |target: &[u32; 4], caller: &[u32; 4]| target.iter().take(3).all(|id| *id == caller[0]);
    let covered = target.permitted & !who.permitted == 0;
    if !same(&target.uid, &who.uid) || !same(&target.gid, &who.gid) || !covered {
        guard(scene, Capability::SysPtrace, "look into a process of another user");
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
}

/// Says that a filter is loaded by a task that could still gain privileges by execve.
pub(super) fn filter(scene: &mut Scene<'_>) {
    if scene.credentials().is_some_and(|who| !who.no_new_privs) {
        guard(scene, Capability::SysAdmin, "load a seccomp filter without no_new_privs");
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
