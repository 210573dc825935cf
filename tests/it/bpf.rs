//! What a profile says to a call is what the kernel would do: `permits` and the program that libseccomp compiles agree
//! for every ABI, every call and sampled arguments (issue 4). The program is run by an interpreter of classic BPF as
//! seccomp uses it (`Documentation/networking/filter.rst`, `kernel/seccomp.c`).

use std::collections::BTreeSet;

use learn::abi::{Abi, Syscall};
use learn::event::Outcome;
use learn::fact::{Arguments, Fact};
use learn::infer::infer;
use learn::path::AbsPath;
use learn::policy::seccomp::{Action, Architecture, Compiled, Condition, Derived, Rule, Seccomp, Test, asked};
use learn::policy::{Policy, Verdict};
use learn::record::{Moment, Record, RunId};
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use proptest::sample::select;

use crate::strategies::seccomp;

/// What a program returns for a call: the action with its data.
fn interpret(program: &[[u8; 8]], abi: Abi, number: u32, args: [u64; 6]) -> u32 {
    let data = seccomp_data(abi, number, args);
    let word = |offset: u32| u32::from_ne_bytes(data[offset as usize..][..4].try_into().unwrap());
    let (mut a, mut x, mut memory, mut at) = (0u32, 0u32, [0u32; 16], 0usize);
    loop {
        let [c0, c1, jt, jf, k @ ..] = program[at];
        let (code, k) = (u16::from_ne_bytes([c0, c1]), u32::from_ne_bytes(k));
        at += 1;
        let jump = |holds: bool| usize::from(if holds { jt } else { jf });
        match code {
            0x20 => a = word(k),
            0x00 => a = k,
            0x01 => x = k,
            0x60 => a = memory[k as usize],
            0x61 => x = memory[k as usize],
            0x02 => memory[k as usize] = a,
            0x03 => memory[k as usize] = x,
            0x07 => x = a,
            0x87 => a = x,
            0x54 => a &= k,
            0x5c => a &= x,
            0x44 => a |= k,
            0x05 => at += k as usize,
            0x15 => at += jump(a == k),
            0x25 => at += jump(a > k),
            0x35 => at += jump(a >= k),
            0x45 => at += jump(a & k != 0),
            0x1d => at += jump(a == x),
            0x06 => return k,
            other => panic!("instruction {other:#x} is not one that libseccomp writes"),
        }
    }
}

/// `struct seccomp_data` (`linux/seccomp.h`).
fn seccomp_data(abi: Abi, number: u32, args: [u64; 6]) -> [u8; 64] {
    const X32_BIT: u32 = 0x4000_0000;
    let (token, number) = match abi {
        Abi::X86_64 => (0xc000_003e, number),
        Abi::X32 => (0xc000_003e, number | X32_BIT),
        Abi::I386 => (0x4000_0003, number),
        Abi::Aarch64 => (0xc000_00b7u32, number),
    };
    let mut data = [0; 64];
    data[..4].copy_from_slice(&number.to_ne_bytes());
    data[4..8].copy_from_slice(&token.to_ne_bytes());
    for (at, arg) in args.iter().enumerate() {
        // The kernel zero-extends the registers of a 32-bit task.
        let arg = if abi == Abi::I386 { arg & u64::from(u32::MAX) } else { *arg };
        data[16 + 8 * at..][..8].copy_from_slice(&arg.to_ne_bytes());
    }
    data
}

/// The action that a returned value stands for; `None` where the call is made.
fn denied(returned: u32) -> Option<Action> {
    match returned & 0xffff_0000 {
        0x7fff_0000 | 0x7ffc_0000 => None,
        0x7ff0_0000 => Some(asked((returned & 0xffff).try_into().unwrap()).unwrap()),
        other => panic!("the program returns {other:#x}"),
    }
}

/// Calls that the rules are about, which several ABIs have; some of them are multiplexed on i386.
const CALLS: [&str; 8] = ["read", "socket", "personality", "prctl", "clone", "openat", "ioctl", "umask"];
/// Values that are near to one another, and where halves and signs meet.
const VALUES: [u64; 9] = [0, 1, 2, 8, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 0x1_0000_0001];

fn test() -> impl Strategy<Value = Test> {
    let value = || select(&VALUES[..]);
    prop_oneof![
        3 => (select(vec![1, 3, 0xffff_ffff, u64::MAX]), value())
            .prop_map(|(mask, value)| Test::MaskedEqual { mask, value: value & mask }),
        2 => value().prop_map(Test::Equal),
        1 => value().prop_map(Test::NotEqual),
        1 => value().prop_map(Test::Less),
        1 => value().prop_map(Test::LessOrEqual),
        1 => value().prop_map(Test::Greater),
        1 => value().prop_map(Test::GreaterOrEqual),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    select(vec![Action::Allow, Action::Allow, Action::Log, Action::Errno(38), Action::KillProcess, Action::Trap])
}

fn rule() -> impl Strategy<Value = Rule> {
    let condition = (0..3u8, test()).prop_map(|(index, test)| Condition { index, test });
    (btree_set(select(&CALLS[..]), 1..3), action(), vec(condition, 0..3)).prop_map(|(names, action, conditions)| Rule {
        names: names.into_iter().map(|name| name.parse().unwrap()).collect(),
        action,
        conditions,
    })
}

fn profile() -> impl Strategy<Value = Seccomp> {
    let default = select(vec![Action::Errno(1), Action::KillProcess, Action::Allow]);
    (default, btree_set(select(&Abi::ALL[..]), 0..4), vec(rule(), 0..5)).prop_map(|(default, abis, rules)| {
        let mut profile = Seccomp::allowing();
        profile.default_action = default;
        // libseccomp always adds the machine's own.
        profile.architectures = abis.into_iter().chain([Abi::native()]).map(Architecture::Known).collect();
        profile.syscalls = rules;
        profile
    })
}

/// Every verdict of `profile` is what its program does. Returns how many were sure.
fn agree(profile: &Seccomp, compiled: &Compiled, args: [u64; 6]) -> Result<usize, TestCaseError> {
    let mut sure = 0;
    // What a record keeps of arguments are the lower halves.
    let known = |args: [u64; 6]| (0..6u8).map(|at| (at, args[usize::from(at)] & u64::from(u32::MAX))).collect();
    let half = |arg: u64| arg & u64::from(u32::MAX);
    let signed = |arg: u64| if half(arg) >> 31 == 1 { half(arg) | !u64::from(u32::MAX) } else { half(arg) };
    for abi in Abi::ALL {
        for number in 0..470 {
            let call = abi.syscall(number);
            // x32 has numbers of its own for some calls; theirs of x86_64 are none of its.
            if call.name().and_then(|name| abi.number(name)) != Some(number) {
                continue;
            }
            if abi != Abi::native() && compiled.unknown.contains(&call) {
                continue;
            }
            for args in [args.map(half), args.map(signed)] {
                let does = denied(interpret(&compiled.program, abi, number, args));
                let says = profile.permits(&Fact::Arguments(abi, call.clone(), Arguments(known(args))));
                let right = match says {
                    Verdict::Allowed => does.is_none(),
                    Verdict::Denied => does.is_some(),
                    _ => true,
                };
                prop_assert!(right, "{abi} {call} {args:x?}: {says:?}, the program says {does:?}\n{profile:?}");
                sure += usize::from(says != Verdict::Unknown);
                if profile.covers(abi) {
                    let actions = profile.actions(abi, &call, &Arguments(known(args)));
                    let listed =
                        actions.iter().any(|action| does.map_or(action.admits() == Some(true), |does| does == *action));
                    prop_assert!(listed, "{abi} {call} {args:x?}: {actions:?}, the program says {does:?}\n{profile:?}");
                }
            }
        }
    }
    Ok(sure)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_profile_says_what_its_program_does(profile in profile(), args in vec(any::<[prop::sample::Index; 6]>(), 4)) {
        let Ok(compiled) = profile.compile_asking() else {
            // libseccomp refuses some conditions, such as an argument that is compared twice in one rule.
            return Ok(());
        };
        let mut sure = 0;
        for args in args {
            sure += agree(&profile, &compiled, args.map(|index| *index.get(&VALUES)))?;
        }
        prop_assert!(sure > 0);
    }
}

/// The calls of which a derived profile may hold the arguments, with values near to those that records hold.
fn derived() -> impl Strategy<Value = Seccomp> {
    let calls =
        ["socket", "socketpair", "clone", "prctl", "personality", "unshare", "setns", "ioctl", "mprotect", "read"];
    let value = select(vec![0, 1, 2, 8, 15, 24, 0x10, 0x2000_0000, 0xffff_ffff, 0x0120_0011]);
    let made = (select(&Abi::ALL[..3]), select(calls.to_vec()), vec(value, 0..4));
    (vec(made, 0..24), seccomp()).prop_map(|(made, options)| {
        let mut record = Record::default();
        let (program, moment) =
            (AbsPath::new(b"/bin/a".as_slice()).unwrap(), Moment { run: RunId(1), at_ms: 0, by: None });
        for (abi, name, values) in made {
            let call: Syscall = name.parse().unwrap();
            record.absorb(&program, Fact::Syscall(abi, call.clone()), Outcome::Returned(0), moment);
            let values = Arguments((0..).zip(values).collect());
            record.absorb(&program, Fact::Arguments(abi, call, values), Outcome::Returned(0), moment);
        }
        let mut profile = Derived::new(&infer(&record, &learn::infer::Options::default()), &options).profile;
        // libseccomp always adds the machine's own.
        profile.architectures.insert(Architecture::Known(Abi::native()));
        profile
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_derived_profile_says_what_its_program_does(
        profile in derived(),
        args in vec(any::<[prop::sample::Index; 6]>(), 4),
    ) {
        let Ok(compiled) = profile.compile_asking() else {
            // A call that libseccomp does not know would be let through.
            prop_assert_eq!(profile.default_action.admits(), Some(true));
            return Ok(());
        };
        let mut sure = 0;
        for args in args {
            sure += agree(&profile, &compiled, args.map(|index| *index.get(&VALUES)))?;
        }
        prop_assert!(sure > 0);
    }
}

#[test]
fn the_interpreter_tells_calls_apart() {
    let text = r#"{"defaultAction": "SCMP_ACT_KILL_PROCESS", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 4294967295, "valueTwo": 2}]},
            {"names": ["openat2"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}]}"#;
    let profile = Seccomp::parse(text).unwrap();
    let program = profile.compile_asking().unwrap().program;
    let does = |abi: Abi, name: &str, first| {
        denied(interpret(&program, abi, abi.number(name).unwrap(), [first, 0, 0, 0, 0, 0]))
    };
    assert_eq!(does(Abi::X86_64, "socket", 2), None);
    assert_eq!(does(Abi::X86_64, "socket", 0xffff_ffff_0000_0002), None);
    assert_eq!(does(Abi::X86_64, "socket", 1), Some(Action::KillProcess));
    assert_eq!(does(Abi::I386, "socket", 2), None);
    assert_eq!(does(Abi::X86_64, "openat2", 2), Some(Action::Errno(38)));
    assert_eq!(does(Abi::X32, "socket", 2), Some(Action::KillThread), "an ABI without rules");
    let names: BTreeSet<Syscall> = CALLS.iter().map(|name| name.parse().unwrap()).collect();
    assert!(names.iter().all(|name| Abi::X86_64.number(name.name().unwrap()).is_some()));
}
