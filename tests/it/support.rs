//! What every test needs: the programs, a fresh directory, a deadline, and what the machine must offer.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::{Deref, DerefMut};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use learn::fact::{Capability, CapabilitySet};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// How long anything may take that a test waits for.
pub const DEADLINE: Duration = Duration::from_mins(2);

/// `learn`, as it was built for this test.
pub const LEARN: &str = env!("CARGO_BIN_EXE_learn");

/// Where workloads are found: the system's own programs, not a wrapper of the same name that somebody put before them.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// `learn ARGUMENTS…`, without standard input.
pub fn learn<I: IntoIterator<Item: AsRef<OsStr>>>(arguments: I) -> Command {
    let mut command = Command::new(LEARN);
    command.args(arguments).env("PATH", PATH).stdin(Stdio::null());
    command
}

/// The workload of `tests/fixture`.
pub fn fixture() -> PathBuf {
    let path = Path::new(LEARN).with_file_name("examples").join("fixture");
    assert!(path.exists(), "{} is not there: build it with `cargo build --example fixture`", path.display());
    path
}

/// A directory of its own, which everyone may enter, without symbolic links in its path.
pub fn fresh() -> (TempDir, PathBuf) {
    let dir = tempfile::Builder::new().prefix("learn-test-").permissions(Permissions::from_mode(0o755)).tempdir();
    let dir = dir.unwrap();
    let path = dir.path().canonicalize().unwrap();
    (dir, path)
}

/// A TCP port of the loopback that nobody uses now.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

/// A running program: killed when the deadline passes, and when the test is over.
pub struct Running {
    child: Child,
    afterwards: Option<Command>,
    _watched: Sender<()>,
}

impl Running {
    /// Starts `command`.
    pub fn start(command: &mut Command) -> Self {
        let child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let pid = Pid::from_raw(child.id().try_into().unwrap());
        let (watched, over) = channel();
        std::thread::spawn(move || {
            if over.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                eprintln!("process {pid} was still running after {DEADLINE:?}");
                kill(pid, Signal::SIGKILL)
            } else {
                Ok(())
            }
        });
        Self { child, afterwards: None, _watched: watched }
    }

    /// Has a command run when the test is over with it.
    pub fn afterwards(mut self, command: Command) -> Self {
        self.afterwards = Some(command);
        self
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }
}

impl Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.child
    }
}

impl DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.child
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing when it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(command) = &mut self.afterwards {
            let _ = command.output();
        }
    }
}

/// Runs `command` to its end and gives what it printed.
pub fn finish(command: &mut Command) -> Output {
    let start = Instant::now();
    let mut running = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut errors = running.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        errors.read_to_end(&mut text).map(|_| text)
    });
    let mut stdout = Vec::new();
    running.stdout.take().unwrap().read_to_end(&mut stdout).unwrap();
    let stderr = errors.join().unwrap().unwrap();
    let status = running.wait().unwrap();
    assert!(start.elapsed() < DEADLINE, "{command:?} took too long: {}", String::from_utf8_lossy(&stderr));
    Output { status, stdout, stderr }
}

/// Waits until `condition` holds; fails when the deadline passes.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether all of `needs` are here. A test that lacks one is not run and says so, unless `LEARN_TEST_REQUIRE` (a list
/// with commas) names what is missing: then it fails.
#[must_use]
pub fn require(needs: &[&str]) -> bool {
    let listed = std::env::var("LEARN_TEST_REQUIRE").unwrap_or_default();
    let test = std::thread::current().name().unwrap_or("test").to_owned();
    needs.iter().all(|need| {
        let Err(reason) = probe(need) else {
            return true;
        };
        assert!(!listed.split(',').any(|name| name.trim() == *need), "{need} is required: {reason}");
        // Not by a macro, whose text would be captured.
        let _ = writeln!(std::io::stderr(), "not run: {test} because {reason}");
        false
    })
}

/// Whether `need` is here, or why not.
fn probe(need: &str) -> Result<(), String> {
    match need {
        "ptrace" => traceable(),
        "root" if nix::unistd::geteuid().is_root() => Ok(()),
        "root" => Err("it runs as root only".to_owned()),
        "cap_capable" => {
            let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
            let there = symbols.contains("trace_event_raw_event_cap_capable");
            there.then_some(()).ok_or_else(|| "the kernel has no tracepoint for capabilities (Linux 6.14)".to_owned())
        }
        "gcc" => succeeds(Command::new("gcc").arg("--version"), "gcc is missing"),
        "gcc-multilib" => {
            let mut compiler = Command::new("gcc");
            compiler.args(["-m32", "-E", "-x", "c", "-include", "asm/unistd.h", "/dev/null"]);
            succeeds(&mut compiler, "gcc -m32 or its headers are missing (Debian package gcc-multilib)")
        }
        name if name.starts_with("CAP_") => capable(name),
        program => {
            let mut find = Command::new("sh");
            find.env("PATH", PATH).args(["-c", "command -v \"$1\"", "sh", program]);
            succeeds(&mut find, &format!("{program} is missing"))
        }
    }
}

fn succeeds(command: &mut Command, otherwise: &str) -> Result<(), String> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) { Ok(()) } else { Err(otherwise.to_owned()) }
}

/// Whether this process may do what a capability stands for: root in a container often may not.
fn capable(name: &str) -> Result<(), String> {
    let known = Capability::ALL.iter().find(|capability| capability.name() == name);
    let capability = known.unwrap_or_else(|| panic!("no capability `{name}`"));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let effective = CapabilitySet(u64::from_str_radix(effective.trim(), 16).unwrap());
    if effective.contains(*capability) { Ok(()) } else { Err(format!("it needs {name}")) }
}

/// Tries to trace a child.
fn traceable() -> Result<(), String> {
    let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let seized = nix::sys::ptrace::seize(pid, nix::sys::ptrace::Options::empty());
    child.kill().unwrap();
    child.wait().unwrap();
    seized.map_err(|errno| format!("tracing is forbidden here: {errno}"))
}
