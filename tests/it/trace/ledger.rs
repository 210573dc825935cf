//! Exact lists of system calls: what `learn` recorded against what `tests/fixture/raw.c` wrote down.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use learn::abi::{Abi, Syscall};
use learn::event::Outcome;
use learn::fact::GapKind;
use learn::record::{Outcomes, Record};

use super::{Learned, MODES, trace_with};
use crate::support::{finish, fresh, require};

/// The layout of the ledger, as `raw.c` has it.
const ABIS: [Abi; 3] = [Abi::X86_64, Abi::X32, Abi::I386];
const NUMBERS: usize = 2048;
const SLOT: usize = 32;
const TAIL: usize = 8;

/// What was called, how often, and how it ended.
type Ledger = BTreeMap<(Abi, Syscall), (u64, Outcomes)>;

/// Calls whose end belongs to another call: returning from a signal handler gives back the registers of what was
/// interrupted, and a restarted call ends in place of the one that it goes on with.
const ENDS_OF_OTHERS: [&str; 3] = ["rt_sigreturn", "sigreturn", "restart_syscall"];

/// A scenario of `raw.c`, and what is to be expected beside its list of calls.
pub struct Raw {
    scenario: &'static str,
    status: i32,
    gaps: Option<Vec<GapKind>>,
    interrupted: &'static [&'static str],
    modes: &'static [&'static [&'static str]],
}

/// The scenario of this name. It exits with 0 and leaves no gap, unless said otherwise.
pub fn raw(scenario: &'static str) -> Raw {
    Raw { scenario, status: 0, gaps: Some(Vec::new()), interrupted: &[], modes: &MODES }
}

impl Raw {
    /// It ends with this status, 128+N for signal N.
    pub fn status(self, status: i32) -> Self {
        Self { status, ..self }
    }

    /// It leaves a gap of this kind.
    pub fn gap(self, kind: GapKind) -> Self {
        Self { gaps: Some(vec![kind]), ..self }
    }

    /// Whether it leaves a gap hangs on the kernel.
    pub fn perhaps_gaps(self) -> Self {
        Self { gaps: None, ..self }
    }

    /// These calls are interrupted by a signal and made again by the kernel: neither their ends nor their number is
    /// known to the workload. To a tracee that goes for ignored signals, too.
    pub fn interrupted(self, interrupted: &'static [&'static str]) -> Self {
        Self { interrupted, ..self }
    }

    /// It does what a task with a filter cannot do.
    pub fn not_from_the_first_call(self) -> Self {
        Self { modes: &MODES[..2], ..self }
    }

    /// Runs it as a 64-bit and as a 32-bit program, in each of the [`MODES`]. Every call and, where every call was
    /// stopped for, its outcomes and how often it was made must be what the workload wrote down, no more and no less.
    pub fn exact(self) -> Vec<Learned> {
        [Abi::X86_64, Abi::I386].into_iter().flat_map(|abi| self.exact_as(abi)).collect()
    }

    /// The same in one word size; no runs when it cannot be built here.
    pub fn exact_as(&self, abi: Abi) -> Vec<Learned> {
        let compiler = if abi == Abi::I386 { "gcc-multilib" } else { "gcc" };
        if !require(&["ptrace", compiler]) {
            return Vec::new();
        }
        self.modes.iter().map(|mode| self.exact_in(mode, abi)).collect()
    }

    fn exact_in(&self, mode: &[&str], abi: Abi) -> Learned {
        let (_fresh, dir) = fresh();
        let path = dir.join("ledger");
        fs::write(&path, vec![0; ABIS.len() * NUMBERS * SLOT + TAIL]).unwrap();
        let other = if abi == Abi::X86_64 { Abi::I386 } else { Abi::X86_64 };
        let needs_other = self.scenario == "exec-other";
        let other = if needs_other { program(other) } else { PathBuf::new() };
        let program = program(abi);
        let command = [program.as_os_str(), path.as_os_str(), self.scenario.as_ref(), other.as_os_str()];
        let learned = trace_with(mode, command);
        self.compare(&format!("{} ({abi}) {}", self.scenario, mode.join(" ")), &learned, read(&path));
        learned
    }

    fn compare(&self, name: &str, learned: &Learned, mut made: Ledger) {
        let errors = String::from_utf8_lossy(&learned.output.stderr);
        assert_eq!(learned.status(), self.status, "{name}: {errors}");
        let mut seen = of_record(&learned.record);
        assert_same_calls(name, &seen, &made);
        let is_one_of = |call: &Syscall, names: &[&str]| call.name().is_some_and(|name| names.contains(&name));
        for ledger in [&mut seen, &mut made] {
            for ((_, call), (times, outcomes)) in ledger {
                let unknown = is_one_of(call, self.interrupted) || !learned.run().exact_counts;
                if unknown || is_one_of(call, &ENDS_OF_OTHERS) {
                    *outcomes = Outcomes::default();
                }
                if unknown {
                    *times = 0;
                }
            }
        }
        let differing: Vec<_> = made.iter().filter(|(call, entry)| seen.get(call) != Some(entry)).collect();
        let found: Vec<_> = differing.iter().map(|(call, _)| seen.get(call)).collect();
        assert!(differing.is_empty(), "{name}: made {differing:?}\nseen {found:?}");
        if let Some(gaps) = &self.gaps {
            assert_eq!(learned.gaps(), *gaps, "{name}: {:?}", learned.record.gaps);
        }
    }
}

fn assert_same_calls(name: &str, seen: &Ledger, made: &Ledger) {
    let missed: Vec<_> = made.keys().filter(|call| !seen.contains_key(call)).collect();
    let added: Vec<_> = seen.keys().filter(|call| !made.contains_key(call)).collect();
    assert!(missed.is_empty() && added.is_empty(), "{name}: missed {missed:?}, added {added:?}");
}

/// Every call of a record, over all executables.
fn of_record(record: &Record) -> Ledger {
    let mut ledger = Ledger::new();
    for subject in record.subjects.values() {
        for (abi, calls) in &subject.syscalls {
            for (call, used) in calls {
                let (times, outcomes) = ledger.entry((*abi, call.clone())).or_default();
                *times += used.calls.values().sum::<u64>();
                for class in used.outcomes.iter() {
                    outcomes.insert(class);
                }
            }
        }
    }
    ledger
}

/// What the workload wrote down.
fn read(path: &Path) -> Ledger {
    let bytes = fs::read(path).unwrap();
    let slots = bytes.chunks_exact(SLOT).take(ABIS.len() * NUMBERS).enumerate();
    let called = slots.filter_map(|(at, slot)| {
        let word = |index: usize| u32::from_ne_bytes(slot[index * 4..][..4].try_into().unwrap());
        let (entered, ended) = (word(0), word(1));
        if entered == 0 {
            return None;
        }
        let mut outcomes = Outcomes::default();
        for errno in (0..192).filter(|errno| word(2 + errno / 32) >> (errno % 32) & 1 == 1) {
            outcomes.insert(errno.try_into().unwrap());
        }
        if ended < entered {
            outcomes.insert(Outcomes::class(Outcome::Unfinished));
        }
        let (abi, number) = (ABIS[at / NUMBERS], at % NUMBERS);
        // The last slot stands for -1.
        let number = if number == NUMBERS - 1 { u32::MAX } else { number.try_into().unwrap() };
        Some(((abi, abi.syscall(number)), (entered.into(), outcomes)))
    });
    called.collect()
}

/// The program of `raw.c` for one word size, compiled when it is not there yet.
fn program(abi: Abi) -> PathBuf {
    const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixture/raw.c");
    let mut hasher = DefaultHasher::new();
    fs::read(SOURCE).unwrap().hash(&mut hasher);
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let program = dir.join(format!("raw-{abi}-{:016x}", hasher.finish()));
    if program.exists() {
        return program;
    }
    // Under a name of its own until it is whole: other tests do the same at the same time.
    let unfinished =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempfile_in(dir).unwrap().into_temp_path();
    let mut compiler = Command::new("gcc");
    compiler.arg(if abi == Abi::I386 { "-m32" } else { "-m64" }).args(["-O2", "-Wall", "-Wextra", "-Werror"]);
    compiler.args(["-std=gnu11", "-ffreestanding", "-fno-stack-protector", "-fno-pic", "-no-pie", "-static"]);
    let output = finish(compiler.args(["-nostdlib", "-o"]).arg(&unfinished).arg(SOURCE));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    unfinished.persist(&program).unwrap();
    program
}
