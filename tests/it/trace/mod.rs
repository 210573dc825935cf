//! What `learn` records of a workload, compared with what the workload says of itself.

mod caps;
mod compat32;
mod exec;
mod files;
mod ledger;
mod limits;
mod net;
mod robustness;
mod signals;
mod threads;

#[path = "../../fixture/expected.rs"]
mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use learn::abi::Syscall;
use learn::fact::GapKind;
use learn::path::AbsPath;
use learn::record::{Record, Run, SyscallUse, Usage};
use tempfile::TempDir;

use crate::support::{finish, fixture, free_port, fresh, learn};
use expected::{Ends, Expected, Uses};

/// A finished run of `learn`.
pub struct Learned {
    /// What came out of it.
    pub output: Output,
    /// Its record.
    pub record: Record,
    folder: PathBuf,
    _fresh: TempDir,
}

/// Ways to run `learn` that must all learn the same: as it is, with a stop at every call, and with filters from the
/// first call on, so that threads start, programs change and calls are restarted under them (issue 3).
pub const MODES: [&[&str]; 3] = [&[], &["--no-thin"], &["--thin-after", "0"]];

/// With filters from the middle of a scenario on, when its C library has started.
pub const MIDWAY: &[&str] = &["--thin-after", "40"];

/// Runs `command` under `learn`.
pub fn trace<I: IntoIterator<Item: AsRef<OsStr>>>(command: I) -> Learned {
    trace_with(&[], command)
}

/// The same with these options.
pub fn trace_with<I: IntoIterator<Item: AsRef<OsStr>>>(options: &[&str], command: I) -> Learned {
    let (fresh, folder) = fresh();
    // Some scenarios of the fixture need a free port; finding it is not their matter.
    let mut learn = learn(["--quiet", "-o"]);
    learn.arg(&folder).args(options).env("LEARN_FIXTURE_PORT", free_port().to_string());
    let output = finish(learn.arg("--").args(command));
    let record =
        read_record(&folder).unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&output.stderr)));
    Learned { output, record, folder, _fresh: fresh }
}

/// The record in an output folder.
pub fn read_record(folder: &Path) -> Result<Record, String> {
    let path = folder.join("learned.json");
    let file = fs::File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    learn::record::file::read(file).map_err(|error| format!("{}: {error}", path.display()))
}

impl Learned {
    /// The exit status of `learn`.
    pub fn status(&self) -> i32 {
        self.output.status.code().unwrap_or_else(|| panic!("learn itself was killed: {}", self.output.status))
    }

    /// The run; there is one.
    pub fn run(&self) -> &Run {
        let runs: Vec<_> = self.record.runs.values().collect();
        assert_eq!(runs.len(), 1, "one run makes one entry");
        runs[0]
    }

    /// The kinds of what was not seen, sorted.
    pub fn gaps(&self) -> Vec<GapKind> {
        let mut kinds: Vec<_> = self.record.gaps.iter().map(|gap| gap.kind).collect();
        kinds.dedup();
        kinds
    }

    /// A file of the output folder.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The uses of one call, over all executables and ABIs.
    fn uses(&self, name: &str) -> impl Iterator<Item = &SyscallUse> {
        let name: Syscall = name.parse().unwrap();
        let calls = self.record.subjects.values().flat_map(|subject| subject.syscalls.values());
        calls.filter_map(move |calls| calls.get(&name))
    }

    /// How one call ended: errnos, 0 for success, sorted.
    pub fn outcomes(&self, name: &str) -> BTreeSet<i32> {
        self.uses(name).flat_map(|used| used.outcomes.iter()).map(i32::from).collect()
    }

    /// The values of argument `index` of one call, sorted.
    pub fn arguments(&self, name: &str, index: u8) -> BTreeSet<u64> {
        let values = self.uses(name).flat_map(|used| used.arguments.keys()).flat_map(|arguments| &arguments.0);
        values.filter(|(at, _)| *at == index).map(|(_, value)| *value).collect()
    }

    /// The capabilities that the list keeps: the lines that begin with a name.
    pub fn capabilities(&self) -> Vec<String> {
        let text = self.file("capabilities.txt");
        let words = text.lines().filter_map(|line| line.split_whitespace().next());
        let mut kept: Vec<_> = words.filter(|word| word.starts_with("CAP_")).map(str::to_owned).collect();
        kept.sort();
        kept
    }

    /// The record in the terms of the fixture, files and executions below `dir` only.
    fn seen(&self, dir: &Path) -> Expected {
        let dir = AbsPath::new(dir.as_os_str().as_bytes()).unwrap();
        let mut seen = Expected { capabilities: self.capabilities(), ..Expected::default() };
        for subject in self.record.subjects.values() {
            for (path, used) in subject.files.iter().filter(|(path, _)| path.starts_with(&dir)) {
                let uses: &mut Uses = seen.files.entry(path.clone()).or_default();
                uses.ok |= used.ok;
                uses.foreign |= used.foreign;
                uses.directory |= used.directory;
                for (class, access) in used.failed.iter() {
                    *uses.failed.entry(class).or_default() |= access;
                }
            }
            let executions = subject.executions.iter().filter(|(execution, _)| execution.file.starts_with(&dir));
            seen.executions.extend(executions.map(|(fact, usage)| (fact.clone(), ends(usage))));
            seen.network.extend(subject.network.iter().map(|(fact, usage)| (fact.clone(), ends(usage))));
            seen.signals.extend(subject.signals.iter().map(|(fact, usage)| (fact.clone(), ends(usage))));
            seen.namespaces.extend(subject.namespaces.iter().map(|(fact, usage)| (*fact, ends(usage))));
            seen.mounts.extend(subject.mounts.iter().map(|(fact, usage)| (fact.clone(), ends(usage))));
            seen.identities.extend(subject.identities.iter().map(|(fact, usage)| (*fact, ends(usage))));
            seen.ends.extend(subject.ends.keys());
            seen.limits.extend(subject.limits.iter().map(|(fact, usage)| (*fact, ends(usage))));
            seen.queues.extend(subject.queues.iter().map(|(fact, usage)| (fact.clone(), ends(usage))));
        }
        seen
    }
}

fn ends(usage: &Usage) -> Ends {
    usage.outcomes.iter().map(i32::from).collect()
}

/// Runs a scenario of the fixture under `learn`, in a directory that was prepared for it, and compares everything that
/// was learned of it with what it says itself. Returns the first of its runs.
pub fn expect(scenario: &str) -> Learned {
    expect_in(MIDWAY, scenario);
    let [first, ..] = MODES.map(|mode| expect_in(mode, scenario));
    first
}

fn expect_in(mode: &[&str], scenario: &str) -> Learned {
    let (_fresh, dir) = fresh();
    let prepared = finish(Command::new(fixture()).args(["prepare", scenario]).arg(&dir));
    assert!(prepared.status.success(), "{scenario}: {}", String::from_utf8_lossy(&prepared.stderr));
    let learned = trace_with(mode, [fixture().as_os_str(), scenario.as_ref(), dir.as_ref()]);
    let scenario = &format!("{scenario} {}", mode.join(" "));
    let errors = String::from_utf8_lossy(&learned.output.stderr);
    assert_eq!(learned.status(), 0, "{scenario}: {errors}");
    let expected: Expected = serde_json::from_slice(&learned.output.stdout)
        .unwrap_or_else(|error| panic!("{scenario}: {error}: {}", learned.output.stdout.escape_ascii()));
    let seen = learned.seen(&dir);
    differences(scenario, "files", &seen.files, &expected.files);
    differences(scenario, "sockets", &seen.network, &expected.network);
    differences(scenario, "executions", &seen.executions, &expected.executions);
    differences(scenario, "signals", &seen.signals, &expected.signals);
    assert_eq!(seen, expected, "{scenario}");
    assert!(learned.gaps().is_empty(), "{scenario}: {:?}", learned.record.gaps);
    learned
}

/// Fails with the differing entries alone: the whole would be too long to read.
fn differences<K, V>(scenario: &str, what: &str, seen: &BTreeMap<K, V>, expected: &BTreeMap<K, V>)
where
    K: Ord + std::fmt::Debug,
    V: PartialEq + std::fmt::Debug,
{
    let keys: BTreeSet<_> = seen.keys().chain(expected.keys()).collect();
    let lines: Vec<_> = keys
        .into_iter()
        .filter(|key| seen.get(key) != expected.get(key))
        .map(|key| format!("{key:?}\n  seen     {:?}\n  expected {:?}", seen.get(key), expected.get(key)))
        .collect();
    assert!(lines.is_empty(), "{scenario}: {what} differ\n{}", lines.join("\n"));
}
