//! Random facts and records, hostile names among them.

use learn::abi::{Abi, Syscall};
use learn::event::{EmptyPath, Outcome};
use learn::fact::{
    Access, Arguments, Capability, CapabilitySet, Check, EndFact, Endpoint, ExecutionFact, Fact, FileFact, Gap,
    GapKind, IdentityFact, LimitFact, MountFact, MountOperation, NamespaceFact, NamespaceKind, NetworkFact,
    NetworkOperation, Operation, QueueAccess, QueueFact, SignalFact, SignalTarget, TraceFact,
};
use learn::infer::args::Degree;
use learn::path::{AbsPath, to_text};
use learn::policy::seccomp;
use learn::record::{Caller, Invocation, Moment, Record, Run, RunId};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Names that mean something to one of the formats.
const HOSTILE: &[&[u8]] = &[
    b"a b",
    b"new\nline",
    b"quote\"",
    b"back\\slash",
    b"\\052",
    b"\\x2a",
    b"@{PROC}",
    b"@{HOME}*",
    b"{a,b}",
    b"[a-z]",
    b"**",
    b"?",
    b"^",
    b",",
    b"a,",
    b"#include <x>",
    b"#",
    b"->",
    b"\x1b[2J",
    b"\x7f",
    b"\xff\xfe",
    b"\xc3",
    b"\x011",
    b"{{this}}",
    b"$HOME",
    b"(x)|y+",
    b"\xe2\x80\xae",
    b"...",
    b"'",
    b"!",
    b"</script>",
];

pub fn name() -> impl Strategy<Value = Vec<u8>> {
    let raw = vec(any::<u8>().prop_filter("in a name", |byte| !matches!(byte, 0 | b'/')), 1..8);
    let plain = "[a-c]{1,2}".prop_map(String::into_bytes);
    prop_oneof![4 => plain, 2 => select(HOSTILE).prop_map(<[u8]>::to_vec), 1 => raw]
        .prop_filter("a name", |name| name != b"." && name != b"..")
}

pub fn path() -> impl Strategy<Value = AbsPath> {
    let below = |base: AbsPath| {
        vec(name(), 0..4).prop_map(move |names| names.iter().fold(base.clone(), |path, name| path.join(name).unwrap()))
    };
    let proc = prop_oneof![Just("/proc/1"), Just("/proc/77"), Just("/proc/78/task/79"), Just("/proc/sys")];
    let proc = proc.prop_flat_map(move |base| below(AbsPath::new(base.as_bytes()).unwrap()));
    prop_oneof![8 => below(AbsPath::root()), 1 => proc]
}

fn subject() -> impl Strategy<Value = AbsPath> {
    select(vec!["/bin/a", "/bin/b", "/usr/bin/c d"]).prop_map(|path| AbsPath::new(path.as_bytes()).unwrap())
}

pub fn outcome() -> impl Strategy<Value = Outcome> {
    let errno = select(vec![
        libc::ENOENT,
        libc::EACCES,
        libc::EPERM,
        libc::EAGAIN,
        libc::EADDRINUSE,
        libc::ENXIO,
        libc::EEXIST,
        512,
    ]);
    prop_oneof![
        4 => Just(Outcome::Returned(3)),
        2 => errno.prop_map(Outcome::Failed),
        1 => Just(Outcome::Unfinished),
    ]
}

fn call() -> impl Strategy<Value = (Abi, Syscall)> {
    (select(&Abi::ALL[..]), prop_oneof![0..470u32, 1000..1002u32]).prop_map(|(abi, number)| (abi, abi.syscall(number)))
}

fn target() -> impl Strategy<Value = SignalTarget> {
    prop_oneof![
        Just(SignalTarget::Itself),
        subject().prop_map(SignalTarget::Program),
        Just(SignalTarget::Group),
        Just(SignalTarget::Outside),
    ]
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    prop_oneof![
        Just(Endpoint::None),
        Just(Endpoint::Unnamed),
        (any::<std::net::IpAddr>(), any::<u16>()).prop_map(|(address, port)| Endpoint::Inet(address, port)),
        path().prop_map(Endpoint::Path),
        name().prop_map(|name| Endpoint::Abstract(to_text(&name))),
        any::<u32>().prop_map(Endpoint::Netlink),
        Just(Endpoint::Other("00ff".into())),
    ]
}

fn file() -> impl Strategy<Value = Fact> {
    (path(), 1..1u32 << 22, any::<bool>(), any::<bool>()).prop_map(|(path, access, owner, directory)| {
        let directory = directory || path == AbsPath::root();
        Fact::File(FileFact { path, access: Access::from_bits_truncate(access), owner, directory })
    })
}

fn network() -> impl Strategy<Value = Fact> {
    use NetworkOperation::{Accept, Bind, Connect, Create, Inherit, Listen, Pair, Send};
    let operation = select(vec![Create, Pair, Bind, Connect, Listen, Accept, Send, Inherit]);
    (0..48i32, 0..12i32, 0..3i32, operation, endpoint(), endpoint()).prop_map(
        |(family, kind, protocol, operation, local, remote)| {
            Fact::Network(NetworkFact { family, kind, protocol, operation, local, remote })
        },
    )
}

fn operation() -> impl Strategy<Value = Operation> {
    let id = 0..3u32;
    let ids = || [0..3u32, 0..3, 0..3, 0..3];
    let asked = || {
        let one = || option::of(0..3u32);
        (one(), one(), one(), one()).prop_map(|(a, b, c, d)| [a, b, c, d])
    };
    prop_oneof![
        (0..200u16, 0..200u16).prop_map(|(port, unprivileged)| Operation::BindPort { port, unprivileged }),
        (0..18i32, 0..11i32).prop_map(|(family, kind)| Operation::RawSocket { family, kind }),
        (path(), 0..8u8, select(vec![0o040_700u32, 0o100_600, 0o100_700]))
            .prop_map(|(path, wanted, mode)| Operation::FileAccess { path, wanted, mode, owner: (1, 1) }),
        (path(), id.clone()).prop_map(|(path, owner)| Operation::OwnerOnly { path, owner: (owner, 0) }),
        (path(), id.clone(), option::of(0..3u32), any::<bool>()).prop_map(|(path, owner, to, member)| {
            Operation::Chown { path, from: (owner, owner), to: (to, to), member }
        }),
        (path(), any::<bool>()).prop_map(|(path, member)| Operation::SetIdBits {
            path,
            mode: 0o6755,
            group: (1, member)
        }),
        (asked(), ids()).prop_map(|(to, from)| Operation::SetUserIds { to, from }),
        (asked(), ids()).prop_map(|(to, from)| Operation::SetGroupIds { to, from }),
        Just(Operation::SetGroups),
        (id.clone(), id).prop_map(|(one, two)| Operation::Kill { sender: (one, one), receiver: (two, two) }),
        Just(Operation::Chroot),
        Just(Operation::MakeDevice { kind: libc::S_IFBLK }),
        any::<bool>().prop_map(|within_limit| Operation::Schedule { what: "nice -5".into(), within_limit }),
        (0..3u64, 0..3u64).prop_map(|(from, to)| Operation::RaiseLimit { resource: 7, from, to }),
        select(Capability::ALL)
            .prop_map(|capability| Operation::Privileged { capability, what: "tmpfs on\n/x".into() }),
        select(Capability::ALL).prop_map(|capability| Operation::Idle { capability, what: "x".into() }),
    ]
}

fn check() -> impl Strategy<Value = Fact> {
    let held = prop_oneof![Just(0u64), Just((1 << 41) - 1), any::<u64>().prop_map(|bits| bits & ((1 << 41) - 1))];
    (call(), operation(), 0..3u32, held).prop_map(|((_, call), operation, id, held)| {
        Fact::Check(Check { call, operation, ids: (id, id), effective: CapabilitySet(held) })
    })
}

fn mount() -> impl Strategy<Value = Fact> {
    use MountOperation::{Mount, PivotRoot, Remount, Umount};
    let source = prop_oneof![Just(Vec::new()), name(), path().prop_map(|path| path.as_bytes().to_vec())];
    let filesystem = prop_oneof![Just(String::new()), Just("tmpfs".to_owned()), name().prop_map(|name| to_text(&name))];
    let flags = prop_oneof![Just(0u64), (0..33u32).prop_map(|bit| 1 << bit), 0..1u64 << 26];
    (select(vec![Mount, Remount, Umount, PivotRoot]), source, path(), filesystem, flags).prop_map(
        |(operation, source, target, filesystem, flags)| {
            Fact::Mount(MountFact { operation, source: to_text(&source), target, filesystem, flags })
        },
    )
}

pub fn fact() -> impl Strategy<Value = Fact> {
    let kinds = NamespaceKind::FLAGS.map(|(kind, _)| kind);
    prop_oneof![
        3 => call().prop_map(|(abi, call)| Fact::Syscall(abi, call)),
        1 => (call(), vec((0..6u8, 0..3u64), 0..3))
            .prop_map(|((abi, call), values)| Fact::Arguments(abi, call, Arguments(values))),
        6 => file(),
        2 => network(),
        2 => (path(), path(), option::of(path()), any::<bool>()).prop_map(|(file, program, loader, privileged)| {
            Fact::Execution(ExecutionFact { file, program, loader, privileged })
        }),
        3 => check(),
        1 => (0..67i32, target()).prop_map(|(signal, to)| Fact::Signal(SignalFact { signal, to })),
        1 => (select(kinds.to_vec()), any::<bool>())
            .prop_map(|(kind, joined)| Fact::Namespace(NamespaceFact { kind, joined })),
        2 => mount(),
        1 => (0..3u32, any::<bool>()).prop_map(|(id, user)| {
            Fact::Identity(if user { IdentityFact::User(id, id, id) } else { IdentityFact::Group(id, id, id) })
        }),
        1 => (0..3u32, 0..3u32).prop_map(|(user, group)| Fact::End(EndFact { user, group })),
        1 => (0..16u32, any::<u64>()).prop_map(|(resource, hard)| Fact::Limit(LimitFact { resource, hard })),
        1 => (any::<bool>(), target()).prop_map(|(read_only, to)| Fact::Trace(TraceFact { read_only, to })),
        1 => (path(), select(QueueAccess::ALL.to_vec()))
            .prop_map(|(name, access)| Fact::Queue(QueueFact { name, access })),
    ]
}

fn moment() -> impl Strategy<Value = Moment> {
    let caller = option::of((1..9u32).prop_map(|id| Caller(id.try_into().unwrap())));
    (0..3u64, 0..100u64, caller).prop_map(|(run, at_ms, by)| Moment { run: RunId(run), at_ms, by })
}

fn run() -> impl Strategy<Value = Run> {
    (0..5u64, any::<bool>(), any::<u64>(), vec("[a-z ]{0,3}", 0..3), option::of(any::<i32>())).prop_map(
        |(elapsed_ms, complete, started_ms, command, status)| Run {
            elapsed_ms,
            complete,
            started_ms,
            command,
            status,
            kernel: "6.1.0".into(),
            machine: "x86_64".into(),
            uid: 0,
            gid: 0,
            groups: vec![7],
            exact_counts: complete,
            peak_processes: elapsed_ms,
            peak_threads: 1,
            peak_memory_kib: 1,
            version: "0.1.0".into(),
            empty_paths: (!complete).then_some(EMPTY_PATH).into_iter().collect(),
        },
    )
}

const EMPTY_PATH: EmptyPath = EmptyPath { number: 262, flags: 0x1000, distance: -7, offset: 0x123 };

fn gap() -> impl Strategy<Value = Gap> {
    let kinds = vec![GapKind::IoUring, GapKind::Untraced, GapKind::Limit, GapKind::Inexpressible];
    (select(kinds), name()).prop_map(|(kind, name)| Gap { kind, detail: String::from_utf8_lossy(&name).into_owned() })
}

/// Any way to ask for a seccomp profile.
pub fn seccomp() -> impl Strategy<Value = seccomp::Options> {
    let targets = seccomp::Target::NAMES.map(|(target, ..)| target);
    let refusals = seccomp::Refusal::NAMES.map(|(refusal, ..)| refusal);
    let degrees = Degree::NAMES.map(|(degree, ..)| degree);
    let portable = seccomp::Portable::NAMES.map(|(portable, ..)| portable);
    let words = (select(targets.to_vec()), select(refusals.to_vec()), select(degrees.to_vec()));
    let sets = (btree_set(select(&seccomp::Runtime::ALL[..]), 0..3), btree_set(select(portable.to_vec()), 0..3));
    (words, sets, any::<[bool; 3]>()).prop_map(
        |((target, refusal, arguments), (runtimes, portable), [no_new_privs, vdso, deny_risky])| seccomp::Options {
            target,
            runtimes,
            no_new_privs,
            refusal,
            arguments,
            portable,
            vdso,
            deny_risky,
            ..seccomp::Options::exact()
        },
    )
}

pub fn record() -> impl Strategy<Value = Record> {
    (
        option::of(subject()),
        proptest::collection::btree_map((0..3u64).prop_map(RunId), run(), 0..3),
        btree_set(gap(), 0..3),
        vec((subject(), fact(), outcome(), moment()), 0..24),
        vec((subject(), "[a-z]{1,2}", moment()), 0..24),
        vec((subject(), 0..3u64, 0..9u64), 0..4),
    )
        .prop_map(|(program, runs, gaps, facts, invocations, counts)| {
            let mut record = Record { program, runs, gaps, ..Record::default() };
            for (subject, fact, outcome, moment) in facts {
                record.absorb(&subject, fact, outcome, moment);
            }
            for (subject, word, moment) in invocations {
                record.invoked(&subject, Invocation::new(Vec::new(), vec![word]), moment);
            }
            for (subject, run, count) in counts {
                for used in record
                    .subjects
                    .entry(subject)
                    .or_default()
                    .syscalls
                    .values_mut()
                    .flat_map(|calls| calls.values_mut())
                {
                    used.calls.insert(RunId(run), count);
                }
            }
            record
        })
}
