//! The tables: which call has which decoder, and which scalar arguments say what a call means.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::device::{always, when};
use super::ident::{Form, Kind, SetIds};
use super::open::Flags;
use super::path::stat;
use super::scene::{At, Decode, Values};
use super::{
    bpf, device, exec, ident, inspect, ipc, lock, memory, message, metadata, mount, multiplex, name, net, open, option,
    path, process, queue, schedule,
};
use crate::abi::Abi;
use crate::event::{Nameless, Unless};
use crate::fact::{Access, Capability, NetworkOperation};

/// How many numbers of each ABI have a row.
const NUMBERS: u32 = 1024;

/// The low half of a register: an `int`.
const INT: u64 = 0xffff_ffff;

/// What `creat(2)` does.
const CREAT: i32 = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;

/// Every call with a decoder, sorted by name. Calls of i386 whose first form took 16-bit ids or short
/// offsets stand here in both forms.
#[rustfmt::skip]
static DECODERS: &[(&str, &dyn Decode)] = &[
    ("accept", &net::Accept),
    ("accept4", &net::Accept),
    ("access", &path::Ask { at: At::cwd(0), mode: 1, flags: None }),
    ("acct", &mount::Guarded { at: At::cwd(0), access: Access::APPEND, capability: Capability::SysPacct, what: "process accounting" }),
    ("adjtimex", &when(Capability::SysTime, "adjust the clock", device::adjusts::<0>)),
    ("bind", &net::Bind),
    ("bpf", &bpf::Bpf),
    ("capset", &ident::SetCapabilities),
    ("chdir", &path::Use { at: At::cwd(0), access: Access::STAT, need: 1 }),
    ("chmod", &metadata::Chmod { at: At::cwd(0), mode: 1 }),
    ("chown", &metadata::Chown { at: At::cwd(0), owner: 1 }),
    ("chown32", &metadata::Chown { at: At::cwd(0), owner: 1 }),
    ("chroot", &mount::Chroot),
    ("clock_adjtime", &when(Capability::SysTime, "adjust a clock", device::adjusts::<1>)),
    ("clock_adjtime64", &when(Capability::SysTime, "adjust a clock", device::adjusts::<1>)),
    ("clock_settime", &always(Capability::SysTime, "set a clock")),
    ("clock_settime64", &always(Capability::SysTime, "set a clock")),
    ("clone", &process::Unshare { signal: true }),
    ("clone3", &process::Clone3),
    ("connect", &net::Connect),
    ("creat", &open::Open { dirfd: None, path: 0, flags: Flags::Fixed(CREAT) }),
    ("delete_module", &always(Capability::SysModule, "remove a kernel module")),
    ("execve", &exec::Exec { at: At::cwd(0) }),
    ("execveat", &exec::Exec { at: At::dir(0, 1).flags(4) }),
    ("faccessat", &path::Ask { at: At::dir(0, 1), mode: 2, flags: None }),
    ("faccessat2", &path::Ask { at: At::dir(0, 1).flags(3), mode: 2, flags: Some(3) }),
    ("fanotify_init", &when(Capability::SysAdmin, "watch files of everyone", device::watches_all)),
    ("fanotify_mark", &path::Watch),
    ("fchmod", &metadata::Chmod { at: At::open(0), mode: 1 }),
    ("fchmodat", &metadata::Chmod { at: At::dir(0, 1), mode: 2 }),
    ("fchmodat2", &metadata::Chmod { at: At::dir(0, 1).flags(3), mode: 2 }),
    ("fchown", &metadata::Chown { at: At::open(0), owner: 1 }),
    ("fchown32", &metadata::Chown { at: At::open(0), owner: 1 }),
    ("fchownat", &metadata::Chown { at: At::dir(0, 1).flags(4), owner: 2 }),
    ("fcntl", &lock::Fcntl),
    ("fcntl64", &lock::Fcntl),
    ("fgetxattr", &metadata::Attribute { at: At::open(0), name: Some(1), change: false }),
    ("file_getattr", &stat(At::dir(0, 1).flags(4))),
    ("file_setattr", &metadata::Attribute { at: At::dir(0, 1).flags(4), name: None, change: true }),
    ("finit_module", &device::LoadModule),
    ("flistxattr", &metadata::Attribute { at: At::open(0), name: None, change: false }),
    ("flock", &lock::Lock),
    ("fremovexattr", &metadata::Attribute { at: At::open(0), name: Some(1), change: true }),
    ("fsconfig", &always(Capability::SysAdmin, "configure a file system to mount")),
    ("fsetxattr", &metadata::Attribute { at: At::open(0), name: Some(1), change: true }),
    ("fsmount", &always(Capability::SysAdmin, "make a mount")),
    ("fsopen", &always(Capability::SysAdmin, "open a file system to mount")),
    ("fspick", &mount::Guarded { at: At::dir(0, 1), access: Access::STAT, capability: Capability::SysAdmin, what: "reconfigure the mount at" }),
    ("fstatat64", &stat(At::dir(0, 1).flags(3))),
    ("ftruncate", &metadata::TruncateOpen),
    ("ftruncate64", &metadata::TruncateOpen),
    ("futimesat", &metadata::Utime { at: At::dir(0, 1), times: 2, nanos: false }),
    ("get_robust_list", &inspect::Inspect { process: 0, descriptor: false, read_only: true }),
    ("getsockopt", &option::GetOption),
    ("getxattr", &metadata::Attribute { at: At::cwd(0), name: Some(1), change: false }),
    ("getxattrat", &metadata::Attribute { at: At::dir(0, 1).flags(2), name: Some(3), change: false }),
    ("init_module", &always(Capability::SysModule, "load a kernel module")),
    ("inotify_add_watch", &path::Use { at: At::cwd(1), access: Access::READ, need: 4 }),
    ("io_uring_setup", &process::Ring),
    ("ioctl", &device::Ioctl),
    ("ioperm", &when(Capability::SysRawio, "use I/O ports", device::given::<2>)),
    ("iopl", &when(Capability::SysRawio, "use every I/O port", device::given::<0>)),
    ("ioprio_set", &schedule::IoPriority),
    ("kcmp", &inspect::Compare),
    ("kexec_file_load", &always(Capability::SysBoot, "load another kernel")),
    ("kexec_load", &always(Capability::SysBoot, "load another kernel")),
    ("keyctl", &device::Keys),
    ("kill", &process::Signal { to: 0, number: 1, groups: true }),
    ("landlock_restrict_self", &process::Landlock),
    ("lchown", &metadata::Chown { at: At::cwd(0).nofollow(), owner: 1 }),
    ("lchown32", &metadata::Chown { at: At::cwd(0).nofollow(), owner: 1 }),
    ("lgetxattr", &metadata::Attribute { at: At::cwd(0).nofollow(), name: Some(1), change: false }),
    ("link", &name::Link { from: At::cwd(0).nofollow(), to: At::cwd(1) }),
    ("linkat", &name::Link { from: At::dir(0, 1).nofollow().flags(4), to: At::dir(2, 3) }),
    ("listen", &net::Listen),
    ("listxattr", &metadata::Attribute { at: At::cwd(0), name: None, change: false }),
    ("listxattrat", &metadata::Attribute { at: At::dir(0, 1).flags(2), name: None, change: false }),
    ("llistxattr", &metadata::Attribute { at: At::cwd(0).nofollow(), name: None, change: false }),
    ("lookup_dcookie", &always(Capability::SysAdmin, "look up a directory entry cookie")),
    ("lremovexattr", &metadata::Attribute { at: At::cwd(0).nofollow(), name: Some(1), change: true }),
    ("lsetxattr", &metadata::Attribute { at: At::cwd(0).nofollow(), name: Some(1), change: true }),
    ("lstat", &stat(At::cwd(0).nofollow())),
    ("lstat64", &stat(At::cwd(0).nofollow())),
    ("mbind", &when(Capability::SysNice, "move pages that others use", device::moves_shared::<5>)),
    ("migrate_pages", &inspect::Inspect { process: 0, descriptor: false, read_only: true }),
    ("mkdir", &name::Make { at: At::cwd(0), directory: true }),
    ("mkdirat", &name::Make { at: At::dir(0, 1), directory: true }),
    ("mknod", &name::MakeNode { at: At::cwd(0), mode: 1 }),
    ("mknodat", &name::MakeNode { at: At::dir(0, 1), mode: 2 }),
    ("mlock", &memory::Lock),
    ("mlock2", &memory::Lock),
    ("mlockall", &memory::LockAll),
    ("mmap", &memory::Map),
    ("mmap2", &memory::Map),
    ("mount", &mount::Mount),
    ("mount_setattr", &mount::MountAttributes),
    ("move_mount", &mount::MoveMount),
    ("move_pages", &inspect::Inspect { process: 0, descriptor: false, read_only: true }),
    ("mprotect", &memory::Protect),
    ("mq_getsetattr", &queue::Attributes),
    ("mq_open", &queue::Open),
    ("mq_unlink", &queue::Unlink),
    ("msgctl", &ipc::Control { kind: ipc::Kind::Queue, command: 1 }),
    ("msgget", &ipc::Get { kind: ipc::Kind::Queue, flags: 1 }),
    ("name_to_handle_at", &path::Use { at: At::dir(0, 1).nofollow().flags(4), access: Access::STAT, need: 0 }),
    ("newfstatat", &stat(At::dir(0, 1).flags(3))),
    ("nice", &schedule::Nice),
    ("oldlstat", &stat(At::cwd(0).nofollow())),
    ("oldstat", &stat(At::cwd(0))),
    ("open", &open::Open { dirfd: None, path: 0, flags: Flags::Argument(1) }),
    ("open_by_handle_at", &open::OpenByHandle),
    ("open_tree", &mount::OpenTree),
    ("open_tree_attr", &mount::OpenTree),
    ("openat", &open::Open { dirfd: Some(0), path: 1, flags: Flags::Argument(2) }),
    ("openat2", &open::Open { dirfd: Some(0), path: 1, flags: Flags::How(2) }),
    ("perf_event_open", &when(Capability::Perfmon, "watch performance events", device::watches_kernel)),
    ("pidfd_getfd", &inspect::Inspect { process: 0, descriptor: true, read_only: false }),
    ("pidfd_send_signal", &process::SignalDescriptor),
    ("pivot_root", &mount::PivotRoot),
    ("pkey_mprotect", &memory::Protect),
    ("prctl", &ident::Prctl),
    ("prlimit64", &schedule::ProcessLimit),
    ("process_madvise", &inspect::Inspect { process: 0, descriptor: true, read_only: true }),
    ("process_vm_readv", &inspect::Inspect { process: 0, descriptor: false, read_only: false }),
    ("process_vm_writev", &inspect::Inspect { process: 0, descriptor: false, read_only: false }),
    ("ptrace", &inspect::Ptrace),
    ("quotactl", &mount::Quota),
    ("quotactl_fd", &mount::Quota),
    ("readlink", &path::ReadLink { at: At::cwd(0).nofollow(), size: 2 }),
    ("readlinkat", &path::ReadLink { at: At::dir(0, 1).nofollow(), size: 3 }),
    ("reboot", &always(Capability::SysBoot, "reboot")),
    ("removexattr", &metadata::Attribute { at: At::cwd(0), name: Some(1), change: true }),
    ("removexattrat", &metadata::Attribute { at: At::dir(0, 1).flags(2), name: Some(3), change: true }),
    ("rename", &name::Rename { from: At::cwd(0), to: At::cwd(1), flags: None }),
    ("renameat", &name::Rename { from: At::dir(0, 1), to: At::dir(2, 3), flags: None }),
    ("renameat2", &name::Rename { from: At::dir(0, 1), to: At::dir(2, 3), flags: Some(4) }),
    ("rmdir", &name::Remove { at: At::cwd(0) }),
    ("rt_sigqueueinfo", &process::Signal { to: 0, number: 1, groups: false }),
    ("rt_tgsigqueueinfo", &process::Signal { to: 1, number: 2, groups: false }),
    ("sched_setaffinity", &schedule::Affinity),
    ("sched_setattr", &schedule::SchedulerAttributes),
    ("sched_setparam", &schedule::Scheduler { policy: None, priority: 1 }),
    ("sched_setscheduler", &schedule::Scheduler { policy: Some(1), priority: 2 }),
    ("seccomp", &process::Seccomp),
    ("semctl", &ipc::Control { kind: ipc::Kind::Semaphores, command: 2 }),
    ("semget", &ipc::Get { kind: ipc::Kind::Semaphores, flags: 2 }),
    ("sendmmsg", &message::SendMessages),
    ("sendmsg", &message::SendMessage),
    ("sendto", &message::SendTo),
    ("setdomainname", &always(Capability::SysAdmin, "set the domain name")),
    ("setfsgid", &SetIds { kind: Kind::Group, form: Form::Filesystem }),
    ("setfsgid32", &SetIds { kind: Kind::Group, form: Form::Filesystem }),
    ("setfsuid", &SetIds { kind: Kind::User, form: Form::Filesystem }),
    ("setfsuid32", &SetIds { kind: Kind::User, form: Form::Filesystem }),
    ("setgid", &SetIds { kind: Kind::Group, form: Form::All }),
    ("setgid32", &SetIds { kind: Kind::Group, form: Form::All }),
    ("setgroups", &ident::SetGroups),
    ("setgroups32", &ident::SetGroups),
    ("sethostname", &always(Capability::SysAdmin, "set the host name")),
    ("setns", &process::Join),
    ("setpriority", &schedule::Priority),
    ("setregid", &SetIds { kind: Kind::Group, form: Form::RealEffective }),
    ("setregid32", &SetIds { kind: Kind::Group, form: Form::RealEffective }),
    ("setresgid", &SetIds { kind: Kind::Group, form: Form::Three }),
    ("setresgid32", &SetIds { kind: Kind::Group, form: Form::Three }),
    ("setresuid", &SetIds { kind: Kind::User, form: Form::Three }),
    ("setresuid32", &SetIds { kind: Kind::User, form: Form::Three }),
    ("setreuid", &SetIds { kind: Kind::User, form: Form::RealEffective }),
    ("setreuid32", &SetIds { kind: Kind::User, form: Form::RealEffective }),
    ("setrlimit", &schedule::SetLimit),
    ("setsockopt", &option::SetOption),
    ("settimeofday", &when(Capability::SysTime, "set the clock", device::sets_time)),
    ("setuid", &SetIds { kind: Kind::User, form: Form::All }),
    ("setuid32", &SetIds { kind: Kind::User, form: Form::All }),
    ("setxattr", &metadata::Attribute { at: At::cwd(0), name: Some(1), change: true }),
    ("setxattrat", &metadata::Attribute { at: At::dir(0, 1).flags(2), name: Some(3), change: true }),
    ("shmat", &ipc::Attach),
    ("shmctl", &ipc::Control { kind: ipc::Kind::Memory, command: 1 }),
    ("shmget", &ipc::Get { kind: ipc::Kind::Memory, flags: 2 }),
    ("socket", &net::Create { operation: NetworkOperation::Create }),
    ("socketpair", &net::Create { operation: NetworkOperation::Pair }),
    ("stat", &stat(At::cwd(0))),
    ("stat64", &stat(At::cwd(0))),
    ("statfs", &stat(At::cwd(0))),
    ("statfs64", &stat(At::cwd(0))),
    ("statx", &stat(At::dir(0, 1).flags(2))),
    ("stime", &always(Capability::SysTime, "set the clock")),
    ("swapoff", &mount::Guarded { at: At::cwd(0), access: Access::READ.union(Access::WRITE), capability: Capability::SysAdmin, what: "swap off" }),
    ("swapon", &mount::Guarded { at: At::cwd(0), access: Access::READ.union(Access::WRITE), capability: Capability::SysAdmin, what: "swap on" }),
    ("symlink", &name::Make { at: At::cwd(1), directory: false }),
    ("symlinkat", &name::Make { at: At::dir(1, 2), directory: false }),
    ("syslog", &when(Capability::Syslog, "use the kernel's log", device::reads_log)),
    ("tgkill", &process::Signal { to: 1, number: 2, groups: false }),
    ("timer_create", &when(Capability::WakeAlarm, "a timer that wakes the machine", device::wakes)),
    ("timerfd_create", &when(Capability::WakeAlarm, "a timer that wakes the machine", device::wakes)),
    ("tkill", &process::Signal { to: 0, number: 1, groups: false }),
    ("truncate", &path::Use { at: At::cwd(0), access: Access::WRITE, need: 2 }),
    ("truncate64", &path::Use { at: At::cwd(0), access: Access::WRITE, need: 2 }),
    ("umount", &mount::Umount),
    ("umount2", &mount::Umount),
    ("unlink", &name::Remove { at: At::cwd(0) }),
    ("unlinkat", &name::Remove { at: At::dir(0, 1) }),
    ("unshare", &process::Unshare { signal: false }),
    ("uselib", &path::Use { at: At::cwd(0), access: Access::READ.union(Access::MAP_EXEC), need: 5 }),
    ("userfaultfd", &when(Capability::SysPtrace, "handle the kernel's page faults", device::handles_kernel_faults)),
    ("utime", &metadata::Utime { at: At::cwd(0), times: 1, nanos: false }),
    ("utimensat", &metadata::Utime { at: At::dir(0, 1).flags(3), times: 2, nanos: true }),
    ("utimensat_time64", &metadata::Utime { at: At::dir(0, 1).flags(3), times: 2, nanos: true }),
    ("utimes", &metadata::Utime { at: At::cwd(0), times: 1, nanos: false }),
    ("vhangup", &always(Capability::SysTtyConfig, "hang up the terminal")),
];

/// Scalar arguments that say what a call means and have few values, sorted by name: index, and the bits that count.
#[rustfmt::skip]
static SCALARS: &[(&str, &[(u8, u64)])] = &[
    ("accept4", &[(3, INT)]),
    ("arch_prctl", &[(0, INT)]),
    ("bpf", &[(0, INT)]),
    ("clone", &[(0, INT)]),
    ("dup3", &[(2, INT)]),
    ("epoll_create1", &[(0, INT)]),
    ("epoll_ctl", &[(1, INT)]),
    ("eventfd2", &[(1, INT)]),
    ("fanotify_init", &[(0, INT)]),
    ("fcntl", &[(1, INT)]),
    ("fcntl64", &[(1, INT)]),
    ("flock", &[(1, INT)]),
    ("fsconfig", &[(1, INT)]),
    ("futex", &[(1, INT)]),
    ("getsockopt", &[(1, INT), (2, INT)]),
    ("inotify_init1", &[(0, INT)]),
    ("io_uring_register", &[(1, INT)]),
    ("ioctl", &[(1, INT)]),
    ("ipc", &[(0, INT)]),
    ("kcmp", &[(2, INT)]),
    ("keyctl", &[(0, INT)]),
    ("madvise", &[(2, INT)]),
    ("membarrier", &[(0, INT)]),
    ("memfd_create", &[(1, INT)]),
    ("mmap", &[(2, INT)]),
    ("mmap2", &[(2, INT)]),
    ("mprotect", &[(2, INT)]),
    ("msgctl", &[(1, INT)]),
    ("personality", &[(0, INT)]),
    ("pipe2", &[(1, INT)]),
    ("pkey_mprotect", &[(2, INT)]),
    ("prctl", &[(0, INT), (1, INT)]),
    ("prlimit64", &[(1, INT)]),
    ("ptrace", &[(0, INT)]),
    ("quotactl", &[(0, INT)]),
    ("reboot", &[(2, INT)]),
    ("sched_setscheduler", &[(1, INT)]),
    ("seccomp", &[(0, INT), (1, INT)]),
    ("semctl", &[(2, INT)]),
    ("setns", &[(1, INT)]),
    ("setrlimit", &[(0, INT)]),
    ("setsockopt", &[(1, INT), (2, INT)]),
    ("shmctl", &[(1, INT)]),
    ("shutdown", &[(1, INT)]),
    ("socket", &[(0, INT), (1, INT), (2, INT)]),
    ("socketcall", &[(0, INT)]),
    ("socketpair", &[(0, INT), (1, INT), (2, INT)]),
    ("syslog", &[(0, INT)]),
    ("timerfd_create", &[(0, INT), (1, INT)]),
    ("umount2", &[(1, INT)]),
    ("unshare", &[(0, INT)]),
    ("userfaultfd", &[(0, INT)]),
];

/// What there is to know of one call of one ABI.
pub(super) struct Row {
    /// Its name; empty for a call that has neither decoder nor scalars.
    pub(super) name: &'static str,
    /// What turns it into facts.
    pub(super) decoder: Option<&'static dyn Decode>,
    /// Its significant scalar arguments.
    pub(super) scalars: &'static [(u8, u64)],
    /// Whether its arguments stand in memory and it stands for another call.
    pub(super) multiplexed: bool,
    /// Whether it executes a program.
    pub(super) executes: bool,
    /// Whether its end can be seen.
    pub(super) returns: bool,
}

/// The row of a number that no table names.
static UNNAMED: Row = Row { name: "", decoder: None, scalars: &[], multiplexed: false, executes: false, returns: true };

impl Row {
    fn new(abi: Abi, number: u32) -> Self {
        let call = abi.syscall(number);
        let name = call.name().unwrap_or_default();
        let (decoder, scalars) = (find(DECODERS, name), find(SCALARS, name));
        let multiplexed = multiplex::is_multiplexed(abi, name);
        Self {
            name: decoder.map(|row| row.0).or(scalars.map(|row| row.0)).unwrap_or_default(),
            decoder: decoder.map(|row| row.1),
            // A filter cannot compare what stands in memory.
            scalars: scalars.filter(|_| !multiplexed || name == "socketcall").map_or(&[], |row| row.1),
            multiplexed,
            executes: matches!(name, "execve" | "execveat"),
            returns: !matches!(name, "exit" | "exit_group" | "rt_sigreturn" | "sigreturn"),
        }
    }

    /// The values of its significant scalar arguments; none when it has no such arguments.
    pub(super) fn values(&self, args: &[u64; 6]) -> Values {
        let values =
            self.scalars.iter().filter_map(|&(index, mask)| Some((index, args.get(usize::from(index))? & mask)));
        let mut values: Values = values.collect();
        if self.name == "prctl" && !values.first().is_some_and(|(_, option)| has_scalar(*option)) {
            values.truncate(1);
        }
        values
    }
}

/// Whether the second argument of this `prctl(2)` option is one of few values rather than a pointer or an id.
fn has_scalar(option: u64) -> bool {
    /// From `PR_SET_PDEATHSIG` to `PR_SET_MDWE` (`linux/prctl.h`).
    const OPTIONS: [u64; 23] = [1, 4, 6, 8, 10, 14, 20, 22, 23, 24, 26, 28, 33, 35, 36, 38, 41, 45, 47, 53, 57, 62, 65];
    OPTIONS.contains(&option)
}

/// The row of a sorted table with this name.
fn find<T: Copy>(table: &[(&'static str, T)], name: &str) -> Option<(&'static str, T)> {
    let index = table.binary_search_by(|row| row.0.cmp(name)).ok()?;
    table.get(index).copied()
}

/// The decoder of the call with this name.
pub(super) fn decoder(name: &str) -> Option<&'static dyn Decode> {
    find(DECODERS, name).map(|row| row.1)
}

/// The row of one call. Costs a table look-up.
pub(super) fn row(abi: Abi, number: u32) -> &'static Row {
    static ROWS: LazyLock<[Vec<Row>; Abi::ALL.len()]> =
        LazyLock::new(|| Abi::ALL.map(|abi| (0..NUMBERS).map(|number| Row::new(abi, number)).collect()));
    let index = usize::try_from(number).unwrap_or(usize::MAX);
    ROWS.get(abi as usize).and_then(|rows| rows.get(index)).unwrap_or(&UNNAMED)
}

/// The calls of an ABI whose end mostly is foreseen. Never one that stands for others.
pub(super) fn foreseeable(abi: Abi) -> BTreeMap<u32, Unless> {
    told_by(abi, |decoder| decoder.foreseeable())
}

/// The calls of an ABI that teach nothing of an open file. Never one that stands for others.
pub(super) fn nameless(abi: Abi) -> BTreeMap<u32, Nameless> {
    told_by(abi, |decoder| decoder.nameless())
}

fn told_by<T>(abi: Abi, tell: fn(&dyn Decode) -> Option<T>) -> BTreeMap<u32, T> {
    let rows = (0..NUMBERS).map(|number| (number, row(abi, number)));
    let plain = rows.filter(|(_, row)| !row.multiplexed && row.returns);
    plain.filter_map(|(number, row)| Some((number, tell(row.decoder?)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_and_name_real_calls() {
        assert!(DECODERS.is_sorted_by(|one, next| one.0 < next.0));
        assert!(SCALARS.is_sorted_by(|one, next| one.0 < next.0));
        for name in DECODERS.iter().map(|row| row.0).chain(SCALARS.iter().map(|row| row.0)) {
            assert!(Abi::ALL.iter().any(|abi| abi.number(name).is_some()), "{name} is no call of any ABI");
        }
    }

    #[test]
    fn rows_are_found_by_number() {
        for abi in Abi::ALL {
            let row = row(abi, abi.number("openat").unwrap());
            assert!(row.decoder.is_some() && row.returns && row.name == "openat", "{abi}");
            assert!(!super::row(abi, abi.number("exit_group").unwrap()).returns);
        }
        assert!(row(Abi::X86_64, u32::MAX).decoder.is_none());
        assert!(row(Abi::I386, 102).multiplexed && !row(Abi::X86_64, 9).multiplexed);
    }

    #[test]
    fn scalars_are_masked() {
        let values = |abi: Abi, name: &str, args| row(abi, abi.number(name).unwrap()).values(&args).to_vec();
        let args = [u64::MAX, 0x1_0000_5401, 3, 0, 0, 0];
        assert_eq!(values(Abi::X86_64, "ioctl", args), [(1, 0x5401)]);
        assert_eq!(values(Abi::Aarch64, "socket", [2, 1, 0, 9, 9, 9]), [(0, 2), (1, 1), (2, 0)]);
        assert_eq!(values(Abi::X86_64, "prctl", [38, 1, 0, 0, 0, 0]), [(0, 38), (1, 1)]);
        assert_eq!(values(Abi::X86_64, "prctl", [15, 0x7fff_0000, 0, 0, 0, 0]), [(0, 15)]);
        assert_eq!(values(Abi::I386, "mmap", [0x1000; 6]), []);
        assert_eq!(values(Abi::I386, "socketcall", [1, 0x1000, 0, 0, 0, 0]), [(0, 1)]);
        assert_eq!(values(Abi::X86_64, "read", [1; 6]), []);
    }
}
