//! The kernel's own account of the capabilities that it asked for: the tracepoint `capability:cap_capable`
//! (Linux 6.14), read from a tracefs instance of its own (`Documentation/trace/events.rst`, `ftrace.rst`).
//!
//! Needs root. Where tracefs is not mounted it is used without being mounted anywhere (`fsmount(2)`), so that nobody
//! else sees a change. Whether an answer mattered the kernel does not tell; what is only asked to choose a
//! reserve (memory accounting) is left out. Knows no facts.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};

use crate::event::Tid;

/// Where tracefs is mounted, as a rule.
const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Functions behind which the answer changes nothing but a margin, or is looked at by nobody.
const PROBES: [&str; 12] = [
    "__vm_enough_memory",
    "cap_vm_enough_memory",
    "security_vm_enough_memory_mm",
    "has_ns_capability_noaudit",
    "has_capability_noaudit",
    "ns_capable_noaudit",
    "ptracer_capable",
    "cap_inode_killpriv",
    "ext4_claim_free_clusters",
    "ext4_has_free_clusters",
    "simple_xattr_list",
    "should_ulimit",
];

/// Functions that ask on behalf of others.
const GO_BETWEENS: [&str; 12] = [
    "trace_event_raw_event_cap_capable",
    "cap_capable",
    "security_capable",
    "capable",
    "ns_capable",
    "ns_capable_setid",
    "ns_capable_common",
    "has_ns_capability",
    "file_ns_capable",
    "capable_wrt_inode_uidgid",
    "sk_capable",
    "netlink_capable",
];

/// What the functions of system calls begin with.
const CALLS: [&str; 6] = ["__x64_sys_", "__ia32_compat_sys_", "__ia32_sys_", "__arm64_sys_", "__do_sys_", "__sys_"];

/// Why there is no such account.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvidenceError {
    /// The kernel or the system lacks it.
    #[error(
        "there is no tracepoint capability:cap_capable: kernel evidence needs Linux 6.14 with tracefs; leave --kernel-evidence out here"
    )]
    Missing,
    /// It is not mounted and cannot be used without.
    #[error("cannot use tracefs, which is not mounted: kernel evidence needs root (CAP_SYS_ADMIN)")]
    Unmounted(#[source] io::Error),
    /// A file of tracefs cannot be used.
    #[error("cannot use {}: kernel evidence needs root", path.display())]
    Refused {
        /// Which one.
        path: PathBuf,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

/// One question that the kernel asked of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The task.
    pub tid: Tid,
    /// The capability's number.
    pub capability: u8,
    /// Whether the task had it.
    pub granted: bool,
    /// The kernel's function that asked.
    pub by: String,
    /// The system call, when the stack names it.
    pub call: Option<String>,
}

/// A tracefs instance, removed when dropped.
#[derive(Debug)]
pub struct KernelEvidence {
    dir: PathBuf,
    /// Closed before the instance is removed.
    pipe: Option<File>,
    /// Tracefs itself, where it is mounted nowhere.
    _unmounted: Option<OwnedFd>,
    parser: Parser,
}

impl KernelEvidence {
    /// Makes the instance; nothing is followed yet.
    ///
    /// # Errors
    /// [`EvidenceError`].
    pub fn open() -> Result<Self, EvidenceError> {
        let (root, unmounted) = match mounted(Path::try_exists)? {
            Some(root) => (root, None),
            None => tracefs().map(|(root, unmounted)| (root, Some(unmounted)))?,
        };
        if !has_event(&root, Path::try_exists)? {
            return Err(EvidenceError::Missing);
        }
        let dir = root.join(format!("instances/learn-{}", std::process::id()));
        let refused = |path: &Path| {
            let path = path.to_owned();
            move |source| EvidenceError::Refused { path, source }
        };
        fs::create_dir(&dir).map_err(refused(&dir))?;
        let path = dir.join("trace_pipe");
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&path).map_err(refused(&path));
        let pipe = opened.inspect_err(|_| drop(fs::remove_dir(&dir)))?;
        let evidence = Self { dir, pipe: Some(pipe), _unmounted: unmounted, parser: Parser::default() };
        for (file, text) in [("options/event-fork", "1"), ("options/stacktrace", "1")] {
            evidence.write(file, text)?;
        }
        Ok(evidence)
    }

    /// Follows a task, and all that it starts from now on.
    ///
    /// # Errors
    /// [`EvidenceError::Refused`].
    pub fn follow(&mut self, tid: Tid) -> Result<(), EvidenceError> {
        self.write("set_event_pid", &tid.0.to_string())?;
        self.write("events/capability/cap_capable/enable", "1")
    }

    fn write(&self, file: &str, text: &str) -> Result<(), EvidenceError> {
        let path = self.dir.join(file);
        fs::write(&path, text).map_err(|source| EvidenceError::Refused { path, source })
    }

    /// What was asked since the last time.
    pub fn take(&mut self) -> Vec<Asked> {
        let mut text = Vec::new();
        let mut piece = vec![0; 64 << 10];
        while let Some(pipe) = &mut self.pipe {
            match pipe.read(&mut piece) {
                Ok(0) => break,
                Ok(length) => text.extend_from_slice(piece.get(..length).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.parser.parse(&String::from_utf8_lossy(&text))
    }

    /// Whether the kernel told anything at all; how many of its messages were lost.
    #[must_use]
    pub const fn told(&self) -> (bool, u64) {
        (self.parser.home.is_some(), self.parser.lost)
    }
}

/// Where tracefs is mounted and has the tracepoint. What only root may enter is mounted all the same.
fn mounted(exists: impl Fn(&Path) -> io::Result<bool>) -> Result<Option<PathBuf>, EvidenceError> {
    let mut otherwise = Ok(None);
    for root in TRACEFS.map(Path::new) {
        match has_event(root, &exists) {
            Ok(true) => return Ok(Some(root.to_owned())),
            Err(error) if otherwise.is_ok() => otherwise = Err(error),
            _ => {}
        }
    }
    otherwise
}

/// Whether the tracepoint is below `root`.
fn has_event(root: &Path, exists: impl Fn(&Path) -> io::Result<bool>) -> Result<bool, EvidenceError> {
    match exists(&root.join("events/capability/cap_capable")) {
        Err(source) if source.kind() == ErrorKind::PermissionDenied => {
            Err(EvidenceError::Refused { path: root.to_owned(), source })
        }
        found => Ok(found.unwrap_or(false)),
    }
}

/// Tracefs, mounted nowhere: its root as long as the descriptor is open.
fn tracefs() -> Result<(PathBuf, OwnedFd), EvidenceError> {
    let opened = fsopen("tracefs", FsOpenFlags::FSOPEN_CLOEXEC).and_then(|context| {
        fsconfig_create(&context)?;
        fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())
    });
    let root = opened.map_err(|errno| match errno {
        rustix::io::Errno::NODEV | rustix::io::Errno::NOSYS => EvidenceError::Missing,
        errno => EvidenceError::Unmounted(errno.into()),
    })?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}", root.as_raw_fd())), root))
}

impl Drop for KernelEvidence {
    fn drop(&mut self) {
        // What fails here leaves an idle instance behind.
        let _ = fs::write(self.dir.join("events/capability/cap_capable/enable"), "0");
        self.pipe = None;
        let _ = fs::remove_dir(&self.dir);
    }
}

/// Reads the text of `trace_pipe`. A question and the stack behind it stand apart when processors take turns.
#[derive(Debug, Default)]
struct Parser {
    /// The user namespace of the first question: that of the learner.
    home: Option<String>,
    /// Questions whose stack is to come, by task.
    waiting: HashMap<i32, (u8, bool)>,
    /// The stack that is being read.
    stack: Option<(i32, Vec<String>)>,
    lost: u64,
}

impl Parser {
    fn parse(&mut self, text: &str) -> Vec<Asked> {
        let mut found = Vec::new();
        for line in text.lines() {
            if let (Some(function), Some((_, frames))) = (line.strip_prefix(" => "), &mut self.stack) {
                frames.push(function.split(['+', '.']).next().unwrap_or_default().trim().to_owned());
                continue;
            }
            found.extend(self.end_of_stack());
            if let Some((tid, operands)) = head(line, ": cap_capable: ") {
                if let Some(question) = self.question(operands) {
                    self.waiting.insert(tid, question);
                }
            } else if let Some((tid, _)) = head(line, ": <stack trace>") {
                self.stack = Some((tid, Vec::new()));
            } else if let Some((_, rest)) = line.split_once("[LOST ") {
                self.lost += rest.split(' ').next().and_then(|count| count.parse::<u64>().ok()).unwrap_or(1);
            }
        }
        found.extend(self.end_of_stack());
        found
    }

    /// Number and answer of `cred …, target_ns …, capable_ns …, cap N, ret M` in the learner's user namespace.
    fn question(&mut self, operands: &str) -> Option<(u8, bool)> {
        let field = |name: &str| operands.split(", ").find_map(|field| field.trim().strip_prefix(name));
        let target = field("target_ns ")?;
        let home = self.home.get_or_insert_with(|| target.to_owned());
        let answer = (field("cap ")?.parse().ok()?, field("ret ")? == "0");
        (home == target).then_some(answer)
    }

    fn end_of_stack(&mut self) -> Option<Asked> {
        let (tid, frames) = self.stack.take()?;
        let (capability, granted) = self.waiting.remove(&tid)?;
        if frames.iter().any(|frame| PROBES.contains(&frame.as_str())) {
            return None;
        }
        let by = frames.iter().find(|frame| !GO_BETWEENS.contains(&frame.as_str()))?.clone();
        let call = frames.iter().rev().find_map(|frame| CALLS.iter().find_map(|prefix| frame.strip_prefix(prefix)));
        Some(Asked { tid: Tid(tid), capability, granted, by, call: call.map(str::to_owned) })
    }
}

/// The task of a line `COMM-PID [CPU] FLAGS TIME` that goes on with `mark`, and what follows. COMM may hold anything.
fn head<'t>(line: &'t str, mark: &str) -> Option<(i32, &'t str)> {
    let (head, rest) = (line.get(..line.rfind(mark)?)?, line.get(line.rfind(mark)? + mark.len()..)?);
    let task = head.split_whitespace().rev().nth(3)?;
    Some((task.rsplit_once('-')?.1.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
           chown-23359   [001] ..... 27029.236676: cap_capable: cred 01, target_ns 06, capable_ns 06, cap 21, ret 0
           a - b-7       [000] ..... 27029.236680: cap_capable: cred 01, target_ns 06, capable_ns 06, cap 7, ret -1
           chown-23359   [001] ..... 27029.236683: <stack trace>
 => trace_event_raw_event_cap_capable
 => cap_capable
 => security_vm_enough_memory_mm
 => __do_sys_brk
           a - b-7       [000] ..... 27029.236690: <stack trace>
 => trace_event_raw_event_cap_capable
 => cap_capable
 => security_capable
 => ns_capable_setid
 => __sys_setuid
 => __x64_sys_setuid
 => do_syscall_64
CPU:1 [LOST 12 EVENTS]
           chown-23359   [001] ..... 27029.237090: cap_capable: cred 01, target_ns 99, capable_ns 99, cap 0, ret 0
           chown-23359   [001] ..... 27029.237100: <stack trace>
 => cap_capable
 => setattr_prepare
";

    #[test]
    fn what_is_mounted_for_root_alone_is_mounted() {
        let first = Path::new(TRACEFS[0]);
        assert_eq!(mounted(|_| Ok(true)).unwrap().as_deref(), Some(first));
        assert_eq!(mounted(|_| Ok(false)).unwrap(), None);
        let refused =
            |path: &Path| if path.starts_with(first) { Err(ErrorKind::PermissionDenied.into()) } else { Ok(false) };
        let error = mounted(refused).unwrap_err();
        assert_eq!(error.to_string(), "cannot use /sys/kernel/tracing: kernel evidence needs root");
        let second = |path: &Path| if path.starts_with(first) { refused(path) } else { Ok(true) };
        assert_eq!(mounted(second).unwrap().as_deref(), Some(Path::new(TRACEFS[1])));
        assert_eq!(mounted(|_| Err(ErrorKind::NotADirectory.into())).unwrap(), None);
    }

    #[test]
    fn questions_are_matched_with_their_stacks() {
        let mut parser = Parser::default();
        let asked = Asked {
            tid: Tid(7),
            capability: 7,
            granted: false,
            by: "__sys_setuid".to_owned(),
            call: Some("setuid".to_owned()),
        };
        assert_eq!(parser.parse(TEXT), [asked], "no probe, and nothing of another user namespace");
        assert_eq!(parser.lost, 12);
    }

    #[test]
    fn any_text_is_survived() {
        for text in
            ["", "\n\n", " => x", "x: cap_capable: ", "-: <stack trace>", "a b c d: <stack trace>\n => f", "[LOST"]
        {
            assert_eq!(Parser::default().parse(text), []);
        }
    }
}
