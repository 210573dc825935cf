//! What in a workload's needs deserves a second look, and why. Pure tables; the judgement stays with the reader.

use std::borrow::Cow;

use std::time::{Duration, UNIX_EPOCH};

use super::Needs;
use super::caps::Standing;
use super::globs::Pattern;
use crate::fact::{Access, Arguments, Capability};
use crate::path::AbsPath;

/// One thing that deserves a second look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// What is needed.
    pub what: String,
    /// What it makes possible.
    pub why: &'static str,
}

/// How much a new need deserves a reviewer's eye, least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Comes and goes with the speed of the machine.
    Noise,
    /// Ordinary work.
    Low,
    /// Reaches further than before, within what such programs do.
    Medium,
    /// Opens a new way in or out.
    High,
    /// Comes close to owning the machine.
    Critical,
}

impl Level {
    /// Every level, worst first.
    pub const ALL: [Self; 5] = [Self::Critical, Self::High, Self::Medium, Self::Low, Self::Noise];

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Noise => "noise",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// A level with its reason.
pub type Grade = (Level, &'static str);

/// Capabilities (`capabilities(7)`), worst first; all others are [`Level::Medium`].
const CAPABILITIES: &[(Capability, Level, &str)] = &[
    (Capability::SysAdmin, Level::Critical, "covers most of what root may do"),
    (Capability::SysModule, Level::Critical, "loads code into the kernel"),
    (Capability::SysRawio, Level::Critical, "reaches hardware and kernel memory"),
    (Capability::SysBoot, Level::Critical, "starts another kernel"),
    (Capability::Bpf, Level::Critical, "loads programs into the kernel"),
    (Capability::SysPtrace, Level::Critical, "reads and changes other processes"),
    (Capability::DacReadSearch, Level::Critical, "reads every file"),
    (Capability::DacOverride, Level::Critical, "reads and writes every file"),
    (Capability::Setfcap, Level::Critical, "gives privileges to files"),
    (Capability::MacAdmin, Level::Critical, "changes security policies"),
    (Capability::MacOverride, Level::Critical, "ignores security policies"),
    (Capability::NetAdmin, Level::Critical, "reconfigures the network"),
    (Capability::NetRaw, Level::Critical, "forges and sniffs packets"),
    (Capability::Mknod, Level::Critical, "makes device nodes"),
    (Capability::Setuid, Level::High, "becomes any user"),
    (Capability::Setgid, Level::High, "becomes a member of any group"),
    (Capability::Setpcap, Level::High, "hands capabilities on"),
    (Capability::Chown, Level::High, "takes files from their owners"),
    (Capability::Fowner, Level::High, "acts as the owner of any file"),
    (Capability::SysChroot, Level::High, "changes the root directory, a step of many escapes"),
    (Capability::Perfmon, Level::High, "watches the kernel and other processes"),
    (Capability::CheckpointRestore, Level::High, "reads the memory of other processes"),
];

/// Calls that a container escape has been built on, or that open a way of their own; all others are [`Level::Low`].
const CALLS: &[(&str, Level, &str)] = &[
    ("mount", Level::Critical, "changes what files processes see"),
    ("umount", Level::Critical, "changes what files processes see"),
    ("umount2", Level::Critical, "changes what files processes see"),
    ("move_mount", Level::Critical, "changes what files processes see"),
    ("mount_setattr", Level::Critical, "changes what files processes see"),
    ("open_tree", Level::Critical, "changes what files processes see"),
    ("open_tree_attr", Level::Critical, "changes what files processes see"),
    ("fsopen", Level::Critical, "makes file systems to be mounted"),
    ("fsconfig", Level::Critical, "makes file systems to be mounted"),
    ("fsmount", Level::Critical, "makes file systems to be mounted"),
    ("fspick", Level::Critical, "changes mounted file systems"),
    ("pivot_root", Level::Critical, "changes what files processes see"),
    ("setns", Level::Critical, "enters other namespaces"),
    ("unshare", Level::High, "makes namespaces, with privileges over them"),
    ("ptrace", Level::Critical, "reads and changes other processes"),
    ("process_vm_readv", Level::Critical, "reads other processes"),
    ("process_vm_writev", Level::Critical, "changes other processes"),
    ("pidfd_getfd", Level::Critical, "takes open files from other processes"),
    ("process_madvise", Level::High, "changes the memory of other processes"),
    ("move_pages", Level::High, "moves the memory of other processes"),
    ("kcmp", Level::High, "looks into other processes and the kernel"),
    ("bpf", Level::Critical, "loads programs into the kernel"),
    ("perf_event_open", Level::High, "watches the kernel, with a history of holes"),
    ("userfaultfd", Level::High, "makes races in the kernel easy to win"),
    ("io_uring_setup", Level::High, "does input and output that no filter sees"),
    ("io_uring_enter", Level::High, "does input and output that no filter sees"),
    ("io_uring_register", Level::High, "does input and output that no filter sees"),
    ("open_by_handle_at", Level::Critical, "opens files past directory permissions"),
    ("init_module", Level::Critical, "loads code into the kernel"),
    ("finit_module", Level::Critical, "loads code into the kernel"),
    ("delete_module", Level::Critical, "removes code from the kernel"),
    ("kexec_load", Level::Critical, "starts another kernel"),
    ("kexec_file_load", Level::Critical, "starts another kernel"),
    ("reboot", Level::Critical, "stops the machine"),
    ("swapoff", Level::Critical, "can bring the machine to a halt"),
    ("acct", Level::Critical, "writes down what every process does"),
    ("quotactl", Level::High, "changes what users may store"),
    ("quotactl_fd", Level::High, "changes what users may store"),
    ("settimeofday", Level::High, "changes the time of the machine"),
    ("clock_settime", Level::High, "changes the time of the machine"),
    ("clock_adjtime", Level::High, "changes the time of the machine"),
    ("adjtimex", Level::High, "changes the time of the machine"),
    ("stime", Level::High, "changes the time of the machine"),
    ("sethostname", Level::High, "changes the name of the machine"),
    ("setdomainname", Level::High, "changes the name of the machine"),
    ("syslog", Level::High, "reads the kernel's messages, with its addresses"),
    ("lookup_dcookie", Level::High, "reads the kernel's names of files"),
    ("vhangup", Level::High, "takes terminals away"),
    ("name_to_handle_at", Level::Medium, "one half of opening files past directory permissions"),
    ("fanotify_init", Level::High, "watches what all processes open"),
    ("mknod", Level::Medium, "may make device nodes"),
    ("mknodat", Level::Medium, "may make device nodes"),
    ("swapon", Level::Critical, "gives the kernel memory that others can write"),
    ("iopl", Level::Critical, "reaches hardware"),
    ("ioperm", Level::Critical, "reaches hardware"),
    ("add_key", Level::High, "keeps secrets in the kernel, outside of namespaces"),
    ("request_key", Level::High, "reaches secrets in the kernel, outside of namespaces"),
    ("keyctl", Level::High, "reaches secrets in the kernel, outside of namespaces"),
    ("execve", Level::High, "runs other programs"),
    ("execveat", Level::High, "runs other programs, files without a name among them"),
    ("chroot", Level::High, "changes the root directory, a step of many escapes"),
    ("memfd_create", Level::Medium, "makes files without a name, which can be executed"),
    ("socket", Level::Medium, "opens sockets"),
    ("listen", Level::Medium, "takes connections"),
    ("bind", Level::Medium, "gives sockets addresses"),
    ("connect", Level::Medium, "reaches other services"),
    ("kill", Level::Medium, "sends signals to other processes"),
    ("personality", Level::Medium, "turns protections off, as of addresses and of memory"),
    ("modify_ldt", Level::Medium, "an old door into the kernel"),
    ("setuid", Level::Medium, "changes who the process is"),
    ("setresuid", Level::Medium, "changes who the process is"),
    ("setreuid", Level::Medium, "changes who the process is"),
    ("setgid", Level::Medium, "changes who the process is"),
    ("setresgid", Level::Medium, "changes who the process is"),
    ("setregid", Level::Medium, "changes who the process is"),
    ("setgroups", Level::Medium, "changes who the process is"),
    ("setfsuid", Level::Medium, "changes who the process is"),
    ("setfsgid", Level::Medium, "changes who the process is"),
    ("capset", Level::Medium, "changes the process's privileges"),
    ("sendto", Level::Medium, "reaches other services"),
    ("tkill", Level::Medium, "sends signals to other processes"),
    ("socketcall", Level::Medium, "opens sockets, whose arguments no filter sees"),
    // Learning noise: what only a slower or busier machine makes.
    ("futex", Level::Noise, "made only when threads wait for each other"),
    ("restart_syscall", Level::Noise, "made only when a stop interrupts a wait"),
    ("sched_yield", Level::Noise, "made only when threads wait for each other"),
    ("rt_sigreturn", Level::Noise, "made only when a signal arrives"),
    ("sigreturn", Level::Noise, "made only when a signal arrives"),
    ("clock_gettime", Level::Noise, "made only where the vDSO cannot tell the time"),
    ("gettimeofday", Level::Noise, "made only where the vDSO cannot tell the time"),
    ("time", Level::Noise, "made only where the vDSO cannot tell the time"),
    ("getcpu", Level::Noise, "made only where the vDSO cannot tell the processor"),
    ("madvise", Level::Noise, "the allocator gives memory back after a peak"),
    ("mremap", Level::Noise, "the allocator grows large blocks"),
    ("brk", Level::Noise, "the allocator grows the heap"),
    ("munmap", Level::Noise, "the allocator gives memory back after a peak"),
];

/// Where writing changes what the machine runs.
const SYSTEM: &[&str] = &[
    "/bin",
    "/boot",
    "/etc",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/sbin",
    "/sys",
    "/usr",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/var/spool/cron",
    "/var/lib/dpkg",
    "/var/lib/rpm",
    "/run/systemd",
];

/// Devices that are the machine itself: its memory, and its disks by the beginnings of their names.
const MACHINE: &[&str] = &["/dev/mem", "/dev/kmem", "/dev/port", "/dev/kvm", "/dev/mapper", "/dev/disk"];
const DISKS: &[&str] =
    &["/dev/sd", "/dev/hd", "/dev/vd", "/dev/xvd", "/dev/nvme", "/dev/mmcblk", "/dev/dm-", "/dev/md"];

/// Files that are run when their owner logs in.
const STARTUP: &[&str] = &["/.bashrc", "/.bash_profile", "/.profile", "/.zshrc", "/.config/autostart/"];

/// Sockets whose other end does as root whatever it is asked.
const MASTERS: &[&str] = &[
    "/run/docker.sock",
    "/var/run/docker.sock",
    "/run/containerd",
    "/run/crio",
    "/run/podman",
    "/run/systemd/private",
    "/run/dbus/system_bus_socket",
];

/// Files and folders that hold secrets.
const SECRETS: &[&str] = &[
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/root/.ssh",
    "/etc/ssh",
    "/etc/sudoers",
    "/etc/sudoers.d",
    "/run/secrets",
    "/var/run/secrets",
    "/etc/kubernetes",
    "/etc/krb5.keytab",
    "/proc/kcore",
];

/// Endings and folders of files that hold secrets, wherever they are.
const SECRET_NAMES: &[&str] =
    &[".key", ".pem", ".p12", ".pfx", ".keytab", ".jks", "/id_rsa", "/id_ed25519", "/id_ecdsa", "/.netrc", "/.pgpass"];

/// Folders of secrets in any home directory.
pub(super) const SECRET_FOLDERS: &[&str] = &["/.ssh/", "/.aws/", "/.gnupg/", "/.kube/", "/.docker/"];

/// Where everybody writes.
const SCRATCH: &[&str] = &["/tmp", "/var/tmp", "/dev/shm", "/var/log", "/var/cache"];

/// Devices without power.
const HARMLESS: &[&str] =
    &["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/pts", "/dev/random", "/dev/urandom", "/dev/ptmx"];

/// The grade of a capability.
#[must_use]
pub fn capability(name: &str) -> Grade {
    let row = CAPABILITIES.iter().find(|(known, ..)| known.name() == name);
    row.map_or((Level::Medium, "a right that other processes lack"), |&(_, level, why)| (level, why))
}

/// The grade of a system call.
#[must_use]
pub fn call(name: &str) -> Grade {
    let row = CALLS.iter().find(|(known, ..)| *known == name);
    row.map_or((Level::Low, "not known of any escape"), |&(_, level, why)| (level, why))
}

/// Every call graded [`Level::High`] or worse but for executing programs, which is what a workload begins with.
pub fn dangerous() -> impl Iterator<Item = (&'static str, Grade)> {
    let listed = CALLS.iter().filter(|(name, level, _)| *level >= Level::High && !name.starts_with("exec"));
    listed.map(|&(name, level, why)| (name, (level, why)))
}

/// The grade of one access, by its name ([`Access::NAMES`]), to the file or pattern with this text. A pattern is as bad as
/// the worst that it may stand for.
#[must_use]
pub fn file(path: &str, access: &str) -> Grade {
    let path = &*expanded(path);
    let deep = path.contains("**") || path.starts_with("/dev/");
    let disk = || {
        let within =
            |disk: &&str| path.starts_with(*disk) || deep && fixed(path).is_some_and(|at| disk.starts_with(at));
        below(path, MACHINE) || deep && reaches(path, MACHINE) || DISKS.iter().any(within)
    };
    match access {
        "exec" => (Level::High, "runs another program"),
        "connect" if reaches(path, MASTERS) => (Level::Critical, "the other end does as root whatever it is asked"),
        "connect" => (Level::Medium, "reaches another service"),
        "map-exec" if reaches(path, SCRATCH) => (Level::High, "runs code from where everybody writes"),
        "map-exec" => (Level::Medium, "runs code of another file"),
        "read" if disk() => (Level::Critical, "reads every file of the machine"),
        "read" if secret(path) => (Level::High, "may hold secrets"),
        "inherit-read" | "inherit-write" => (Level::Low, "handed on by the program that opened it"),
        "read" | "list" | "stat" | "getxattr" | "lock" => (Level::Low, "looks without changing"),
        _ if below(path, HARMLESS) => (Level::Low, "a device without power"),
        _ if disk() || reaches(path, SYSTEM) || reaches(path, MACHINE) => {
            (Level::Critical, "changes what the machine runs")
        }
        _ if secret(path) => (Level::Critical, "changes secrets"),
        _ if STARTUP.iter().any(|name| path.contains(name)) => (Level::Critical, "changes what the next login runs"),
        _ if below(path, SCRATCH) => (Level::Low, "writes where everybody writes"),
        _ if below(path, &["/dev"]) => (Level::High, "drives a device"),
        _ => (Level::Medium, "changes files"),
    }
}

/// A pattern with what AppArmor's variables usually stand for.
fn expanded(path: &str) -> Cow<'_, str> {
    const VARIABLES: [(&str, &str); 8] = [
        ("@{PROC}", "/proc"),
        ("@{sys}", "/sys"),
        ("@{run}", "/run"),
        ("@{HOME}", "/home/*"),
        ("@{HOMEDIRS}", "/home"),
        ("@{pid}", "1"),
        ("@{tid}", "1"),
        ("@{uid}", "1"),
    ];
    if !path.contains("@{") {
        return Cow::Borrowed(path);
    }
    VARIABLES.iter().fold(path.to_owned(), |path, (name, value)| path.replace(name, value)).into()
}

/// The beginning of a pattern that is fixed, when not all of it is.
fn fixed(path: &str) -> Option<&str> {
    path.find(['*', '?', '[', '{']).and_then(|end| path.get(..end))
}

/// Whether a path is one of these places or below, or a pattern may be.
fn reaches(path: &str, places: &[&str]) -> bool {
    below(path, places) || fixed(path).is_some_and(|fixed| places.iter().any(|place| place.starts_with(fixed)))
}

fn below(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Whether the file at `path` may hold secrets, or its other end does as root whatever it is asked.
pub(super) fn is_secret(path: &AbsPath) -> bool {
    let text = path.to_string();
    secret(&text) || below(&text, MASTERS)
}

fn secret(path: &str) -> bool {
    let own = |name: &str| path.starts_with("/proc/") && path.ends_with(name) && !path.starts_with("/proc/sys/");
    // Whole homes hold the folders of secrets.
    let homes = path.ends_with("**") && fixed(path).is_some_and(|fixed| below(fixed, &["/home", "/root"]));
    reaches(path, SECRETS)
        || homes
        || SECRET_NAMES.iter().any(|ending| path.ends_with(ending))
        || SECRET_FOLDERS.iter().any(|folder| path.contains(folder))
        || own("/mem")
        || own("/environ")
}

/// What deserves a second look in `needs`, capabilities first.
#[must_use]
pub fn risks(needs: &Needs<'_>) -> Vec<Risk> {
    capabilities(needs).chain(calls(needs)).chain(files(needs)).collect()
}

fn capabilities(needs: &Needs<'_>) -> impl Iterator<Item = Risk> {
    let listed = CAPABILITIES.iter().filter(|(_, level, _)| *level == Level::Critical);
    listed.filter_map(|&(capability, _, why)| {
        let need = needs.capabilities.iter().find(|need| need.capability == capability && need.standing.granted())?;
        let sure = if need.standing == Standing::Needed { "" } else { " (likely)" };
        Some(Risk { what: format!("{}{sure}", capability.name()), why })
    })
}

fn calls(needs: &Needs<'_>) -> impl Iterator<Item = Risk> {
    made(needs).into_iter().map(|(_, _, risk)| risk)
}

/// The dangerous calls that were made, with what brought each in: who made it first, when, and with which arguments.
#[must_use]
pub fn made(needs: &Needs<'_>) -> Vec<(&'static str, Level, Risk)> {
    let found = dangerous().filter_map(|(name, (level, why))| {
        let calls = needs.syscalls.values().flatten().filter(|(call, _)| call.name() == Some(name));
        let first = calls.flat_map(|(_, because)| because).min_by_key(|cause| cause.seen.first_ms)?;
        let time = UNIX_EPOCH.checked_add(Duration::from_millis(first.seen.first_ms));
        let time = time.map(|time| humantime::format_rfc3339_seconds(time).to_string()).unwrap_or_default();
        let lists = needs.arguments.iter().filter(|(call, _)| call.name() == Some(name)).flat_map(|(_, lists)| lists);
        let lists: Vec<_> = lists.take(3).map(|list| told(list)).collect();
        let with = if lists.is_empty() { String::new() } else { format!(", with {}", lists.join("; ")) };
        let what = format!("{name} by {}, first at {time}{with}", first.subject);
        Some((name, level, Risk { what, why }))
    });
    found.collect()
}

/// Argument values by index: `0=0x2 1=0x1`.
fn told(arguments: &Arguments) -> String {
    let values = arguments.0.iter().map(|(index, value)| format!("{index}={value:#x}"));
    values.collect::<Vec<_>>().join(" ")
}

/// One line for each kind, with an example: there may be many such files.
fn files(needs: &Needs<'_>) -> impl Iterator<Item = Risk> {
    let changes = Access::WRITE | Access::APPEND | Access::CREATE | Access::REMOVE | Access::RENAME_TO | Access::CHMOD;
    let kinds = [
        (changes, SYSTEM, "writes", "changes what the machine runs"),
        (Access::READ, SECRETS, "reads", "may hold secrets"),
    ];
    kinds.into_iter().filter_map(|(access, places, verb, why)| {
        let paths = needs.files.iter().filter(|need| need.access.intersects(access));
        let mut paths = paths
            .filter_map(|need| match &need.pattern {
                Pattern::Literal(path) => Some(path),
                Pattern::General(_) => None,
            })
            .filter(|path| below(&path.to_string(), places));
        let first = paths.next()?;
        let more = match paths.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        Some(Risk { what: format!("{verb} {first}{more}"), why })
    })
}
