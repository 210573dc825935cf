//! The real readers of the profiles take them: `apparmor_parser` and libseccomp.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use learn::abi::{Abi, Syscall};
use learn::event::Outcome;
use learn::fact::{Access, Fact, FileFact};
use learn::path::AbsPath;
use learn::policy::seccomp::Seccomp;
use learn::record::{Moment, Record, RunId, file};
use learn::render::{FORMATS, Format};
use libseccomp::{ScmpAction, ScmpFilterContext, ScmpSyscall};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::laws::rendered;
use crate::strategies;
use crate::tool::{require, samples};

/// Compiles a profile of abi 3.0, warnings being errors. Returns the compiled form.
pub fn compile(parser: &Path, profile: &str) -> Result<Vec<u8>, String> {
    compile_for(parser, "/etc/apparmor.d/abi/3.0", profile)
}

/// The same for a kernel with these features, those of a whole ABI, so that no rule is downgraded for this machine's.
pub fn compile_for(parser: &Path, features: &str, profile: &str) -> Result<Vec<u8>, String> {
    let mut child = Command::new(parser)
        .args(["-Q", "-K", "-S", "--warn=all", "--Werror=all", "-M", features])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let text = profile.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let warned = said.lines().any(|line| line.contains("arning") || line.contains("rror"));
    if output.status.success() && !warned { Ok(output.stdout) } else { Err(said) }
}

pub fn random<T>(runner: &mut TestRunner, strategy: &impl Strategy<Value = T>) -> T {
    strategy.new_tree(runner).unwrap().current()
}

fn apparmor() -> &'static Format {
    Format::named("apparmor").unwrap()
}

#[test]
fn apparmor_parser_takes_every_profile() {
    let Some(parser) = require("apparmor_parser") else { return };
    for sample in samples() {
        let record = file::read(std::fs::File::open(sample.join("learned.json")).unwrap()).unwrap();
        compile(&parser, &rendered(apparmor(), &record)).unwrap();
    }
    let mut runner = TestRunner::deterministic();
    for _ in 0..64 {
        let record = random(&mut runner, &strategies::record());
        let text = rendered(apparmor(), &record);
        compile(&parser, &text).unwrap_or_else(|said| panic!("{said}\n{text}"));
    }
}

/// A literal path in the plainest way to write one: every byte as an octal escape.
fn octal(path: &AbsPath) -> String {
    path.as_bytes().iter().skip(1).fold("/".to_owned(), |text, byte| format!("{text}\\{byte:03o}"))
}

#[test]
fn an_escaped_name_means_that_file_alone() {
    let Some(parser) = require("apparmor_parser") else { return };
    let mut runner = TestRunner::deterministic();
    let mut paths = (0..200).map(|_| random(&mut runner, &strategies::path())).collect::<BTreeSet<_>>();
    // Every byte that a name can hold, alone and before a digit.
    for byte in (1..=255u8).filter(|byte| !matches!(byte, b'/' | b'.')) {
        paths.extend([&[b'/', byte][..], &[b'/', b'x', byte, b'7']].map(|bytes| AbsPath::new(bytes).unwrap()));
    }
    let long = [&b"/"[..], &[b'*'; 254], b"/", &[b'"'; 255]].concat();
    paths.insert(AbsPath::new(&long).unwrap());
    paths.retain(|path| !path.as_bytes().starts_with(b"/proc"));

    let mut record = Record::default();
    let subject = AbsPath::new(b"/bin/a").unwrap();
    for path in &paths {
        let fact = FileFact { path: path.clone(), access: Access::READ, owner: false, directory: false };
        record.absorb(&subject, Fact::File(fact), Outcome::Returned(0), Moment { run: RunId(1), at_ms: 1, by: None });
    }
    let ours = rendered(apparmor(), &record);
    let (head, _) = ours.split_once("  # Files").unwrap();
    let plain = paths.iter().fold(String::new(), |all, path| all + "  \"" + &octal(path) + "\" r,\n");
    let ours = compile(&parser, &ours).unwrap_or_else(|said| panic!("{said}\n{ours}"));
    assert!(ours == compile(&parser, &format!("{head}{plain}}}\n")).unwrap(), "the compiled profiles differ");
    let fewer = plain.split_once('\n').unwrap().1;
    assert!(ours != compile(&parser, &format!("{head}{fewer}}}\n")).unwrap(), "the comparison sees a difference");
}

const ABIS: [Abi; 4] = Abi::ALL;

/// Loads a profile into a filter of libseccomp; names that are newer than the installed one are returned.
fn filter(profile: &Seccomp) -> (ScmpFilterContext, Vec<String>) {
    let mut filter = ScmpFilterContext::new(ScmpAction::Errno(libc::EPERM)).unwrap();
    for architecture in &profile.architectures {
        let _ = filter.add_arch(architecture.name().parse().unwrap());
    }
    let mut unknown = Vec::new();
    for call in profile.syscalls.iter().flat_map(|rule| &rule.names) {
        match ScmpSyscall::from_name(call.name().unwrap()) {
            Ok(number) => drop(filter.add_rule(ScmpAction::Allow, number).unwrap()),
            Err(_) => unknown.push(call.to_string()),
        }
    }
    (filter, unknown)
}

#[test]
fn libseccomp_knows_every_name_of_the_samples() {
    for sample in samples() {
        let record = file::read(std::fs::File::open(sample.join("learned.json")).unwrap()).unwrap();
        let profile = Seccomp::parse(&rendered(&FORMATS[0], &record)).unwrap();
        let (filter, unknown) = filter(&profile);
        let nowhere = unknown.iter().filter(|name| ABIS.iter().all(|abi| abi.number(name).is_none()));
        assert_eq!(nowhere.collect::<Vec<_>>(), Vec::<&String>::new(), "{}", sample.display());
        filter.export_bpf(tempfile::tempfile().unwrap()).unwrap();
    }
}

#[test]
fn the_kernel_refuses_what_the_profile_does_not_name() {
    let mut record = Record::default();
    let subject = AbsPath::new(b"/bin/a").unwrap();
    let abi = Abi::native();
    // What a thread calls from here to its end.
    for name in [
        "getppid",
        "exit",
        "munmap",
        "madvise",
        "futex",
        "rt_sigprocmask",
        "sigaltstack",
        "write",
        "mmap",
        "mprotect",
        "brk",
        "close",
    ] {
        let fact = Fact::Syscall(abi, Syscall::Named(name.into()));
        record.absorb(&subject, fact, Outcome::Returned(0), Moment { run: RunId(1), at_ms: 1, by: None });
    }
    let profile = Seccomp::parse(&rendered(&FORMATS[0], &record)).unwrap();
    // A filter without TSYNC binds the thread that loads it alone.
    let results = std::thread::spawn(move || {
        let (filter, _) = filter(&profile);
        filter.load().unwrap();
        (nix::unistd::getppid().as_raw(), nix::unistd::mkdir("/nonexistent/x", nix::sys::stat::Mode::empty()))
    });
    let (parent, made) = results.join().unwrap();
    assert_eq!(parent, nix::unistd::getppid().as_raw());
    assert_eq!(made, Err(nix::errno::Errno::EPERM));
    assert_eq!(nix::unistd::mkdir("/nonexistent/x", nix::sys::stat::Mode::empty()), Err(nix::errno::Errno::ENOENT));
}
