//! The capabilities of real workloads: those learned are those that it cannot do without.
//!
//! Each is proven here, by `learn enforce --caps`: with the needed ones alone it does its work, and without any one of
//! them it fails.

mod calls;
mod commands;
mod servers;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use learn::fact::{Capability, Operation};
use learn::infer::caps::{Reason, Standing, needs};

use crate::support::{LEARN, PATH, Running, finish, fresh, learn, require, wait_until};
use crate::trace::read_record;

/// One workload: a shell script that does its work, checks it and says by its status whether it was done. `$1` is a
/// directory of its own.
struct Work {
    /// What it runs.
    script: &'static str,
    /// Run before each of its runs, with every capability.
    before: String,
    /// As which user, when not as root.
    user: Option<&'static str>,
    /// Whether it gets a network of its own.
    network: bool,
}

const PLAIN: Work = Work { script: "", before: String::new(), user: None, network: false };

/// The names of capabilities, in any order.
type Names = BTreeSet<&'static str>;

/// What was learned of a workload.
struct Learned {
    needed: Names,
    likely: Names,
    denied: Names,
}

impl Work {
    /// Runs it behind `before`, a command, once it is prepared.
    fn run(&self, dir: &Path, before: &[String]) -> Output {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script, "sh"]).arg(dir).stdin(Stdio::null());
            command
        };
        let prepared = finish(&mut shell(&self.before));
        assert!(prepared.status.success(), "{}", String::from_utf8_lossy(&prepared.stderr));
        let mut words = Vec::new();
        if self.network {
            let up = "ip link set lo up && exec \"$@\"";
            words.extend(["unshare", "--net", "sh", "-c", up, "sh"].map(str::to_owned));
        }
        words.extend_from_slice(before);
        words.extend(["sh", "-c", self.script, "sh"].map(str::to_owned));
        let (program, arguments) = words.split_first().unwrap();
        finish(Command::new(program).args(arguments).arg(dir).current_dir("/").stdin(Stdio::null()).env("PATH", PATH))
    }

    /// Learns it.
    fn learn(&self, dir: &Path, out: &Path) -> Learned {
        let mut learn = vec![LEARN.to_owned(), "--quiet".to_owned(), "-o".to_owned(), out.display().to_string()];
        if let Some(user) = self.user {
            learn.extend(["--user".to_owned(), user.to_owned()]);
        }
        learn.push("--".to_owned());
        let output = self.run(dir, &learn);
        assert!(output.status.success(), "under learn: {}", String::from_utf8_lossy(&output.stderr));
        let record = read_record(out).unwrap();
        let found = needs(&record);
        let with = |standing: Standing| {
            found.iter().filter(|need| need.standing == standing).map(|need| need.capability.name()).collect()
        };
        Learned { needed: with(Standing::Needed), likely: with(Standing::Likely), denied: with(Standing::Denied) }
    }

    /// Whether it does its work with these capabilities in its bounding set and no others.
    fn works_with(&self, dir: &Path, kept: &Names) -> bool {
        let set = if kept.is_empty() { "none".to_owned() } else { kept.iter().copied().collect::<Vec<_>>().join(",") };
        let mut limited = vec![LEARN.to_owned(), "enforce".to_owned(), "--caps".to_owned(), set];
        if let Some(user) = self.user {
            limited.extend(["--user".to_owned(), user.to_owned()]);
        }
        limited.push("--".to_owned());
        self.run(dir, &limited).status.success()
    }

    /// Learns it and proves that `needed` are what it needs.
    fn needs(&self, needed: &[&'static str]) -> Learned {
        let (_fresh, dir) = fresh();
        let (_out, out) = fresh();
        let learned = self.learn(&dir, &out);
        assert_eq!(learned.needed, needed.iter().copied().collect::<Names>(), "learned, and expected");
        assert!(self.works_with(&dir, &learned.needed), "with what it needs, it works");
        let granted = &learned.needed | &learned.likely;
        for name in needed {
            let without = granted.iter().filter(|kept| *kept != name).copied().collect();
            assert!(!self.works_with(&dir, &without), "without {name} it fails");
        }
        learned
    }
}

/// Whether all of these are here, and root with `capabilities`: it must be able to give them and to drop others.
fn ready(programs: &[&str], capabilities: &[&str]) -> bool {
    require(&["ptrace", "root", "CAP_SETPCAP", "setpriv"]) && require(programs) && require(capabilities)
}

/// Tests of workloads, by name: what they are, which programs they take, and what they need.
macro_rules! workloads {
    ($($(#[$attribute:meta])* $test:ident: $work:expr, with $programs:expr, needs $needed:expr;)*) => {$(
        $(#[$attribute])*
        #[test]
        fn $test() {
            let work = $work;
            let network: &[&str] = if work.network { &["CAP_SYS_ADMIN", "ip", "unshare"] } else { &[] };
            if ready(&$programs, &$needed) && require(network) {
                work.needs(&$needed);
            }
        }
    )*};
}

use workloads;

#[test]
fn asking_for_anothers_process() {
    if !ready(&[], &["CAP_KILL", "CAP_SETUID"]) {
        return;
    }
    let mut sleeper = Command::new("setpriv");
    let sleeper = Running::start(sleeper.args(["--reuid=nobody", "--clear-groups", "sleep", "600"]));
    let status = format!("/proc/{}/status", sleeper.id());
    wait_until("it is another user's", || fs::read_to_string(&status).unwrap().contains("Uid:\t65534"));
    let before = format!("echo {} >\"$1/victim\"", sleeper.id());
    Work { script: r#"kill -0 "$(cat "$1/victim")""#, before, ..PLAIN }.needs(&["CAP_KILL"]);
}

/// What a user asks for in vain is none of the needed: nothing that worked hung on it.
#[test]
fn a_user_is_denied_what_root_may() {
    if !ready(&["ip", "unshare"], &["CAP_SETGID", "CAP_SETUID", "CAP_SYS_ADMIN"]) {
        return;
    }
    let script = r#"
! date -s @0; ! ip link add learn0 type veth; ! cat "$1/secret"; ! kill -0 $$ 1
! python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'; ! chown root "$1"/own; ! chroot / true
! nice -n -5 true; ! unshare --net true; true"#;
    let before = "cd \"$1\"; chmod 777 .; touch secret own; chmod 600 secret; chown nobody own".to_owned();
    let learned = Work { script, before, user: Some("www-data"), network: true }.needs(&[]);
    let expected = [
        "CAP_CHOWN",
        "CAP_DAC_READ_SEARCH",
        "CAP_KILL",
        "CAP_NET_ADMIN",
        "CAP_NET_RAW",
        "CAP_SYS_ADMIN",
        "CAP_SYS_CHROOT",
        "CAP_SYS_NICE",
        "CAP_SYS_TIME",
    ];
    assert!(learned.denied.is_superset(&Names::from(expected)), "{:?}", learned.denied);
    assert_eq!(learned.likely, Names::new());
}

/// The kernel's own account: it confirms what is needed, and shows what the rules do not know.
#[test]
fn the_kernel_is_a_witness() {
    if !ready(&["su", "python3", "cap_capable"], &["CAP_SETGID", "CAP_SETUID", "CAP_IPC_LOCK", "CAP_SYS_ADMIN"]) {
        return;
    }
    let (_fresh, dir) = fresh();
    // SHM_LOCK of one's own memory, within the limit: the kernel asks first and looks at the owner afterwards.
    let script = "
su -s /bin/sh nobody -c id >/dev/null
grep tracefs /proc/self/mountinfo
python3 -c '
import ctypes
c = ctypes.CDLL(None)
memory = c.shmget(0, 4096, 0o1600)
assert c.shmctl(memory, 11, None) == 0 and c.shmctl(memory, 0, None) == 0'";
    let mut learn = learn(["--quiet", "--kernel-evidence", "-o"]);
    let output = finish(learn.arg(&dir).args(["--", "sh", "-c", script]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let tracefs: String = mounts.split_inclusive('\n').filter(|line| line.contains("tracefs")).collect();
    assert_eq!(String::from_utf8_lossy(&output.stdout), tracefs, "the workload sees no mount of learn's");
    let record = read_record(&dir).unwrap();
    let needs = needs(&record);
    let of = |name: &str| needs.iter().find(|need| need.capability.name() == name).unwrap();
    for name in ["CAP_SETGID", "CAP_SETUID"] {
        let need = of(name);
        assert_eq!(need.standing, Standing::Needed);
        let confirmed = |reason: &Reason<'_>| matches!(reason.check.operation, Operation::Observed { .. });
        assert!(need.reasons.iter().any(confirmed), "the kernel asked for {name}: {:?}", need.reasons);
        let by = |reason: &Reason<'_>| reason.because.iter().all(|cause| cause.subject.to_string() == "/usr/bin/su");
        assert!(need.reasons.iter().all(by), "none of what it executed afterwards: {:?}", need.reasons);
    }
    assert_eq!(of("CAP_IPC_LOCK").standing, Standing::Asked, "shown, and not granted by profiles");
    assert!(record.gaps.is_empty(), "{:?}", record.gaps);
    let text = fs::read_to_string(dir.join("capabilities.txt")).unwrap();
    assert!(text.contains("# CAP_IPC_LOCK\n") && !text.contains("--cap-add=IPC_LOCK"), "{text}");
}

/// The table of what is known names exactly the capabilities that a decoder asks about.
#[test]
fn the_table_tells_what_is_modelled() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = String::new();
    for file in ["infer/caps", "decode"].iter().flat_map(|part| fs::read_dir(folder.join(part)).unwrap()) {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        sources += text.split("#[cfg(test)]\nmod tests").next().unwrap();
    }
    let table = fs::read_to_string(folder.join("infer/capabilities.md")).unwrap();
    for capability in Capability::ALL {
        let row = table.lines().find(|line| line.starts_with(&format!("| `{capability}` |"))).unwrap();
        let [triggers, missing] = [2, 3].map(|column| row.split('|').nth(column).unwrap().trim());
        assert!(!triggers.is_empty() && !missing.is_empty() && (triggers, missing) != ("—", "—"), "{row}");
        let modelled = sources.contains(&format!("Capability::{capability:?}"));
        assert_eq!(!matches!(triggers, "—" | "nothing: no kernel asks for it"), modelled, "{row}");
    }
}
