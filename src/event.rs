//! What capture says: tasks, their calls and outcomes, and how a stopped task is looked at.
//!
//! Knows neither ptrace nor facts. A backend calls a [`Sink`]; the sink looks at the stopped task through a
//! [`TaskView`], which lives only while the task stands still.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::abi::Abi;
use crate::path::AbsPath;

/// A thread id in the learner's pid namespace (`gettid(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tid(pub i32);

/// One system call as it is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// The ABI of this very call.
    pub abi: Abi,
    /// Its number, without [`crate::abi::X32_BIT`].
    pub number: u32,
    /// The six argument registers; 32-bit ABIs have zero-extended values.
    pub args: [u64; 6],
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It returned this value.
    Returned(i64),
    /// It failed with this errno (positive).
    Failed(i32),
    /// Its end was not seen: exit, death within the call, or another thread's exec.
    Unfinished,
}

impl Outcome {
    /// The class of an outcome whose end was not seen.
    pub const UNFINISHED: u16 = u16::MAX;

    /// By what outcomes are told apart: 0 for success, an errno, or [`Self::UNFINISHED`].
    #[must_use]
    pub fn class(self) -> u16 {
        match self {
            Self::Returned(_) => 0,
            Self::Failed(errno) => u16::try_from(errno).unwrap_or(Self::UNFINISHED),
            Self::Unfinished => Self::UNFINISHED,
        }
    }

    /// Whether the call took effect. EINPROGRESS, EAGAIN, EINTR and the kernel's ERESTART family are no failures:
    /// the call was admitted.
    #[must_use]
    pub fn admitted(self) -> bool {
        match self {
            Self::Returned(_) => true,
            Self::Failed(errno) => matches!(errno, libc::EINPROGRESS | libc::EAGAIN | libc::EINTR | 512..=516),
            Self::Unfinished => false,
        }
    }
}

/// Where a task comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The workload's first process, not yet in its own program.
    Root,
    /// A new process of this task.
    Process(Tid),
    /// A new thread of this task's process.
    Thread(Tid),
}

/// How a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// `exit_group(2)` or the last `exit(2)` with this status.
    Exited(i32),
    /// Ended by this signal.
    Killed(i32),
    /// It is no longer there, and how it ended was not seen (a sibling's exec, a detach).
    Vanished,
}

/// What the sink wants next from the task that it was just shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interest {
    /// Show the end of this call too.
    pub leave: bool,
    /// This stop taught something about calls: a new one, or new scalar arguments.
    pub news: bool,
}

/// What the sink wants of the whole run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directive {
    /// Go on.
    Continue,
    /// End the workload: the backend sends SIGTERM to it and goes on until it has ended.
    Stop,
}

/// What the backend counts of the tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Processes alive now.
    pub processes: usize,
    /// Threads alive now, each process's first included.
    pub threads: usize,
}

/// The native calls of which a further one would teach nothing at all, by number without arguments in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownCalls {
    /// Calls by number in [`Abi::native`].
    pub calls: BTreeMap<u32, Known>,
    /// Calls that must be shown, but whose end mostly needs not be ([`Interest::leave`]), unless one of these bits is set.
    pub foreseen: BTreeMap<u32, Unless>,
    /// Calls that teach nothing of an open file that they name by an empty path.
    pub nameless: BTreeMap<u32, Nameless>,
    /// Where such calls are known to have an empty path.
    pub empty_paths: BTreeSet<EmptyPath>,
}

/// Where a call that may name an open file (`AT_EMPTY_PATH`) has what; indices of arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nameless {
    /// The descriptor.
    pub dirfd: u8,
    /// The path.
    pub path: u8,
    /// The `AT_*` flags.
    pub flags: u8,
}

/// A constant empty path and the instruction of the same program or library that makes a call with it, as glibc's
/// `fstat(3)` does. Wherever the kernel loads that file, both are as far from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyPath {
    /// Number of the call in [`Abi::native`].
    pub number: u32,
    /// Its `AT_*` flags.
    pub flags: u32,
    /// From the path to the end of the instruction, in bytes.
    pub distance: i32,
    /// Where in its page the instruction ends, in bytes.
    pub offset: u16,
}

impl EmptyPath {
    /// How many are found in a run, and how many of earlier runs are used: each makes a filter longer by seventeen
    /// instructions.
    pub const MAX: usize = 16;
}

/// Bits of an argument's low half.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unless {
    /// Index of the argument.
    pub argument: u8,
    /// The bits; none by default.
    pub bits: u32,
}

/// When a call teaches nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// With any arguments.
    Always,
    /// With these values in these registers.
    Values {
        /// Index and mask of each register that counts.
        registers: Vec<(u8, u64)>,
        /// The values, masked, in the order of the registers.
        seen: BTreeSet<Vec<u64>>,
    },
}

/// Something that the backend could not observe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// A task could not be traced, or not to its end.
    Untraced {
        /// Why, for a reader.
        reason: String,
    },
    /// A call of an architecture that has no row in [`crate::abi`] (its `AUDIT_ARCH_*` token).
    ForeignArch(u32),
    /// The workload could not listen to a seccomp filter of its own (`SECCOMP_FILTER_FLAG_NEW_LISTENER`), because the
    /// tracer listens to one.
    Listener,
    /// The tracer let go of tasks that were still running.
    Detached {
        /// How many tasks.
        tasks: usize,
    },
}

/// What becomes of a call that the workload's confinement stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is made.
    Pass,
    /// It fails with this errno.
    Fail(i32),
    /// It is not made, and the thread gets SIGSYS.
    Trap,
    /// The thread ends.
    KillThread,
    /// The process ends by SIGSYS.
    KillProcess,
}

/// Receives what capture sees, in order. A backend shows every task from its birth to its end; each call that is
/// entered is shown before it takes effect, and left only when [`Interest::leave`] asked for it and the end was seen.
pub trait Sink {
    /// A task appeared. Its parent was shown before it.
    fn born(&mut self, tid: Tid, origin: Origin, view: &dyn TaskView);

    /// A task stands at the entry of `call`.
    fn enter(&mut self, tid: Tid, call: &Call, view: &dyn TaskView) -> Interest;

    /// A task stands at the end of `call`. Returns whether this taught something about calls, as [`Interest::news`].
    fn leave(&mut self, tid: Tid, call: &Call, outcome: Outcome, view: &dyn TaskView) -> bool;

    /// The call that a task was shown to enter was not made: a signal came first. The task will enter it again. Nothing
    /// is left to do for a sink that keeps no calls.
    fn withdrawn(&mut self, tid: Tid) {
        let _ = tid;
    }

    /// A task runs a new program (inside its still unfinished execve). `former` is its thread id before: another than
    /// `tid` when a thread that was not the first called execve; every other thread of the process is gone.
    fn exec(&mut self, tid: Tid, former: Tid, view: &dyn TaskView);

    /// The process of a task was thinned: calls that are known no longer stop, and are counted no longer.
    fn thinned(&mut self, tid: Tid);

    /// The process of a task was given `no_new_privs` (`prctl(2)`) by the tracer, without which it cannot be thinned.
    fn lent_no_new_privs(&mut self, tid: Tid);

    /// The confinement of the workload stopped `call`, and `data` is the number that its filter gives (without it, one
    /// that a filter of the workload's own gave). Without an answer of its own a sink lets it fail as it would without a
    /// tracer.
    fn denied(&mut self, tid: Tid, call: &Call, data: u32, view: &dyn TaskView) -> Fate {
        let (_, _, _, _) = (tid, call, data, view);
        Fate::Fail(libc::ENOSYS)
    }

    /// A task ended. A call that it was in is [`Outcome::Unfinished`].
    fn gone(&mut self, tid: Tid, ended: Ended);

    /// Something was not seen.
    fn lost(&mut self, loss: Loss);

    /// Calls were found to have an empty path here. Only for a sink that tells later what is known.
    fn empty_path(&mut self, found: EmptyPath) {
        let _ = found;
    }

    /// What needs not be shown any more, by any task.
    fn known(&self) -> KnownCalls;

    /// Called some ten times a second and after each wake-up, between stops.
    fn tick(&mut self, census: Census) -> Directive;
}

/// `FS_IMMUTABLE_FL`: a file that cannot be changed (`ioctl_iflags(2)`).
pub const IMMUTABLE: u32 = 0x10;
/// `FS_APPEND_FL`: a file that can only be appended to.
pub const APPEND_ONLY: u32 = 0x20;

/// A stopped task, looked at. Every answer comes from the kernel at the time of asking.
///
/// Errors are those of the kernel: `ESRCH` when the task died, `EFAULT` for unmapped memory.
pub trait TaskView {
    /// Reads memory at `address` into `buffer`; returns how many bytes could be read before the first unmapped page,
    /// at least one unless the buffer is empty.
    ///
    /// # Errors
    /// `EFAULT` when not even the first byte is readable, `ESRCH` when the task is gone.
    fn read(&self, address: u64, buffer: &mut [u8]) -> io::Result<usize>;

    /// The program that the task runs (`/proc/TID/exe`).
    ///
    /// # Errors
    /// As `readlink(2)`.
    fn exe(&self) -> io::Result<AbsPath>;

    /// The arguments of a task that stands within its execve, at most `limit` bytes, each with a NUL behind it
    /// (`/proc/TID/cmdline`).
    ///
    /// # Errors
    /// As `read(2)`.
    fn cmdline(&self, limit: usize) -> io::Result<Vec<u8>>;

    /// Its credentials (`/proc/TID/status`). Whether it is in another user namespace than the learner's is asked for where
    /// the caller does not know.
    ///
    /// # Errors
    /// As `read(2)`.
    fn credentials(&self, foreign_user_namespace: Option<bool>) -> io::Result<Credentials>;

    /// What an open descriptor refers to (`/proc/TID/fd/N`).
    ///
    /// # Errors
    /// `EBADF` when it is not open.
    fn descriptor(&self, fd: i32) -> io::Result<Descriptor>;

    /// All that it has open (`/proc/TID/fd`), in no order.
    ///
    /// # Errors
    /// As `getdents(2)`.
    fn open_files(&self) -> io::Result<Vec<OpenFile>>;

    /// The socket behind a descriptor (a duplicate from `pidfd_getfd(2)`, asked with `getsockopt(2)`).
    ///
    /// # Errors
    /// `ENOTSOCK`, `EBADF`; `EPERM` when the kernel refuses the duplicate.
    fn socket(&self, fd: i32) -> io::Result<SocketInfo>;

    /// The beginning of what waits to be read from a socket, where it stays (`recv(2)`, `MSG_PEEK`). A backend that
    /// cannot look leaves it out.
    ///
    /// # Errors
    /// `EAGAIN` when nothing waits, `ENOTSUP` when the backend cannot look, else as [`Self::socket`].
    fn waiting(&self, fd: i32) -> io::Result<Vec<u8>> {
        let _ = fd;
        Err(io::Error::from_raw_os_error(libc::ENOTSUP))
    }

    /// The index of the network device that a socket is bound to, 0 for any (`SO_BINDTOIFINDEX`). A backend that cannot
    /// ask leaves it out.
    ///
    /// # Errors
    /// As [`Self::socket`]; `ENOTSUP` when the backend cannot ask.
    fn bound_device(&self, fd: i32) -> io::Result<i32> {
        let _ = fd;
        Err(io::Error::from_raw_os_error(libc::ENOTSUP))
    }

    /// Follows `path` from `base` as the kernel would for this task: inside its root and mount namespace, every
    /// symbolic link but (unless `follow`) the last one resolved.
    ///
    /// A last component that does not exist is no error: [`Resolved::inode`] is `None` then.
    ///
    /// # Errors
    /// `ENOENT`, `ENOTDIR`, `ELOOP`, `EACCES`, `ENAMETOOLONG` as `path_resolution(7)`.
    fn resolve(&self, base: Base, path: &[u8], follow: bool) -> io::Result<Resolved>;

    /// The interpreter that a `#!` script names in its first line, followed (`execve(2)`).
    ///
    /// # Errors
    /// `ENOEXEC` when the file is no script, else as [`Self::resolve`].
    fn interpreter(&self, script: &AbsPath) -> io::Result<Resolved>;

    /// File mappings that overlap `start..end` (`/proc/TID/maps`); the whole address space with `0..u64::MAX`.
    ///
    /// # Errors
    /// As `read(2)`.
    fn mappings(&self, start: u64, end: u64) -> io::Result<Vec<Mapping>>;

    /// What a task runs that stands within its execve; `asked` is the file that this named.
    ///
    /// # Errors
    /// As `readlink(2)`.
    fn image(&self, asked: Option<&Resolved>) -> io::Result<Image>;

    /// The credentials of another process, as a target of `kill(2)`, by its id in the task's pid namespace.
    ///
    /// # Errors
    /// `ESRCH` when there is none.
    fn process(&self, pid: i32) -> io::Result<Credentials>;

    /// An extended attribute of the file at `path`, a path that [`TaskView::resolve`] or another question here gave
    /// (`lgetxattr(2)` inside the task's root and mount namespace): `security.capability`, `system.posix_acl_access`.
    /// A backend that cannot ask leaves it out, and files are judged by their mode bits alone.
    ///
    /// # Errors
    /// `ENODATA` when it has none, `ENOTSUP` when the file system or the backend knows none.
    fn attribute(&self, path: &AbsPath, name: &str) -> io::Result<Vec<u8>> {
        let (_, _) = (path, name);
        Err(io::Error::from_raw_os_error(libc::ENOTSUP))
    }

    /// Which of [`IMMUTABLE`] and [`APPEND_ONLY`] the file at `path` is (`statx(2)`). A backend that cannot ask leaves
    /// it out.
    ///
    /// # Errors
    /// `ENOTSUP` when the file system or the backend does not tell.
    fn fixed(&self, path: &AbsPath) -> io::Result<u32> {
        let _ = path;
        Err(io::Error::from_raw_os_error(libc::ENOTSUP))
    }

    /// A file of the task's `/proc/sys` or `/proc/TID` as text, named below `/proc`, with `self` for the task
    /// (`self/oom_score_adj`, `sys/net/ipv4/ip_unprivileged_port_start`). At most 64 KiB.
    ///
    /// # Errors
    /// As `read(2)`.
    fn proc(&self, name: &str) -> io::Result<Vec<u8>>;
}

/// Where a relative path starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Base {
    /// The current directory (`AT_FDCWD`).
    Cwd,
    /// An open directory.
    Fd(i32),
}

impl Base {
    /// From a `dirfd` argument register, of which the kernel takes the low 32 bits.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "an int argument is the low half")]
    pub fn from_arg(register: u64) -> Self {
        match register as u32 as i32 {
            libc::AT_FDCWD => Self::Cwd,
            fd => Self::Fd(fd),
        }
    }
}

/// A path followed to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The kernel's own path of the file, or of where it would be.
    pub path: AbsPath,
    /// The file, when it exists.
    pub inode: Option<Inode>,
    /// Every directory that was searched on the way, the last one's parent included.
    pub searched: Vec<Searched>,
}

/// A directory on the way of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Searched {
    /// Its path.
    pub path: AbsPath,
    /// Its inode.
    pub inode: Inode,
}

/// What decides access to a file (`stat(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inode {
    /// File type and permission bits, as `st_mode`.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device and inode number.
    pub id: (u64, u64),
    /// Device number of a device node, as `st_rdev`.
    pub rdev: u64,
    /// Number of hard links, 0 when it was removed.
    pub links: u64,
}

impl Inode {
    /// The file type, one of `libc::S_IFREG`, `S_IFDIR` and so on.
    #[must_use]
    pub const fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }

    /// Whether it is a directory.
    #[must_use]
    pub const fn is_dir(&self) -> bool {
        self.kind() == libc::S_IFDIR
    }
}

/// An open file description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// What it refers to.
    pub target: Target,
    /// The file's inode.
    pub inode: Inode,
}

/// An open descriptor and what it may be used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenFile {
    /// Its number.
    pub fd: i32,
    /// What it refers to.
    pub target: Target,
    /// The inode of what has a path.
    pub inode: Option<Inode>,
    /// Whether it can be read from; with `O_PATH` neither this nor the next.
    pub readable: bool,
    /// Whether it can be written to.
    pub writable: bool,
}

/// What a descriptor refers to, from its link in `/proc/TID/fd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file with a path.
    Path(AbsPath),
    /// A file whose name was removed: the name that it had.
    Deleted(AbsPath),
    /// A file without a name: a pipe, socket, memfd, epoll and the like, as `pipe:[1]` or `anon_inode:[eventpoll]`.
    Nameless(String),
}

/// A file mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// Address behind the last one.
    pub end: u64,
    /// Whether it may be executed now.
    pub executable: bool,
    /// The mapped file.
    pub path: AbsPath,
    /// The mapped file's inode, when it could be asked for.
    pub inode: Option<Inode>,
}

/// What an execve loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The program that runs now.
    pub program: AbsPath,
    /// The file mappings: the program and its loader.
    pub mappings: Vec<Mapping>,
    /// The program's capabilities: its `security.capability` (`capabilities(7)`), empty when it has none.
    pub capabilities: Vec<u8>,
}

impl Image {
    /// The extended attribute that holds a file's capabilities.
    pub const CAPABILITIES: &'static str = "security.capability";
}

/// A socket as the kernel describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketInfo {
    /// `SO_DOMAIN`.
    pub family: i32,
    /// `SO_TYPE`.
    pub kind: i32,
    /// `SO_PROTOCOL`.
    pub protocol: i32,
    /// Its own address, as `getsockname(2)` writes it.
    pub local: Vec<u8>,
    /// The peer's address, empty when not connected.
    pub peer: Vec<u8>,
}

/// A task's credentials (`credentials(7)`, `capabilities(7)`), ids as seen from the learner's user namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective, saved and filesystem user id.
    pub uid: [u32; 4],
    /// Real, effective, saved and filesystem group id.
    pub gid: [u32; 4],
    /// Supplementary groups, sorted.
    pub groups: Vec<u32>,
    /// Effective capabilities, bit N for capability N.
    pub effective: u64,
    /// Permitted capabilities.
    pub permitted: u64,
    /// Inheritable capabilities.
    pub inheritable: u64,
    /// Bounding set.
    pub bounding: u64,
    /// Ambient capabilities.
    pub ambient: u64,
    /// Whether `no_new_privs` is set.
    pub no_new_privs: bool,
    /// Whether it lives in a user namespace other than the learner's.
    pub foreign_user_namespace: bool,
}

impl Credentials {
    /// The filesystem user id, which file access is judged by.
    #[must_use]
    pub const fn fsuid(&self) -> u32 {
        self.uid[3]
    }

    /// The filesystem group id.
    #[must_use]
    pub const fn fsgid(&self) -> u32 {
        self.gid[3]
    }

    /// Whether `gid` is the filesystem group or one of the supplementary groups.
    #[must_use]
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid() == gid || self.groups.binary_search(&gid).is_ok()
    }

    /// What they are once a file without set-id bits and capabilities is executed, with no secure bit set
    /// (`cap_bprm_creds_from_file()`, `security/commoncap.c`). `None` where that hangs on more: who traces the task, its
    /// user namespace.
    #[must_use]
    pub fn after_plain_execve(&self) -> Option<Self> {
        let ([user, effective_user, ..], [group, effective_group, ..]) = (self.uid, self.gid);
        if self.foreign_user_namespace || user != effective_user || group != effective_group {
            return None;
        }
        let permitted = if user == 0 { self.bounding | self.inheritable } else { self.ambient };
        // Root that gains some again may be refused them while it is traced.
        if permitted & !self.permitted != 0 {
            return None;
        }
        Some(Self { uid: [user; 4], gid: [group; 4], effective: permitted, permitted, ..self.clone() })
    }

    /// Whether those of a task that just executed such a file show that no secure bit keeps root from having all
    /// capabilities.
    #[must_use]
    pub const fn show_almighty_root(&self) -> bool {
        let all = self.bounding | self.inheritable;
        self.uid[1] == 0 && !self.foreign_user_namespace && self.permitted == all && self.ambient != all
    }
}

/// What a run used and how it ended, once it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How the workload's first process ended; `None` when it was let go alive.
    pub root: Option<Ended>,
    /// From the workload's own execve to the end.
    pub elapsed: Duration,
    /// The most processes alive at once.
    pub peak_processes: usize,
    /// The most threads alive at once.
    pub peak_threads: usize,
    /// The largest resident set of one process, in KiB (`getrusage(2)`, `RUSAGE_CHILDREN`).
    pub peak_memory_kib: u64,
}
