//! Files whose opening the kernel guards by a capability, whatever their mode: devices, files of other processes, and
//! files whose set-ID bits a write would take away.

use super::inspect::{self, Mode};
use super::scene::Scene;
use crate::abi::Syscall;
use crate::event::Resolved;
use crate::fact::{Capability, CapabilitySet, Check, Fact, Operation};

/// Files of `/proc/PID` that show what only a tracer may see, by their name (`fs/proc/base.c`).
const TRACED: [&[u8]; 12] = [
    b"auxv",
    b"environ",
    b"io",
    b"maps",
    b"mem",
    b"numa_maps",
    b"pagemap",
    b"personality",
    b"smaps",
    b"smaps_rollup",
    b"stack",
    b"syscall",
];

/// Links of `/proc/PID` that only a tracer may follow, and directories of such links.
const TRACED_LINKS: [&[u8]; 3] = [b"cwd", b"exe", b"root"];
const TRACED_DIRECTORIES: [&[u8]; 3] = [b"fd", b"map_files", b"ns"];

/// Says what guards the opening of `spot`.
pub(super) fn opened(scene: &mut Scene<'_>, spot: &Resolved, writing: bool) {
    let path = spot.path.as_bytes();
    if let Some((process, name)) = of_process(path) {
        of_other(scene, process, name, writing);
    } else if path.starts_with(b"/proc/") || path.starts_with(b"/dev/") {
        device(scene, path, writing);
    }
    if writing && (path.starts_with(b"/sys/") || path.starts_with(b"/proc/sys/")) {
        setting(scene, path);
    }
    let set_ids = |mode: u32| mode & libc::S_ISUID != 0 || mode & SET_GROUP_ID == SET_GROUP_ID;
    if writing && spot.inode.is_some_and(|inode| inode.kind() == libc::S_IFREG && set_ids(inode.mode)) {
        // file_remove_privs(), fs/inode.c
        let doubt = "without it the first write takes the set-ID bits away".to_owned();
        let what = format!("write to {}, which has set-ID bits", spot.path);
        scene.check_file(Operation::Doubtful { capability: Capability::Fsetid, what, doubt });
    }
}

/// A set-group-ID bit that is meant as such.
const SET_GROUP_ID: u32 = libc::S_ISGID | libc::S_IXGRP;

/// Says what guards the way along `path`, as it was given, through links of another process: `/proc/PID/exe`,
/// `/proc/PID/root/etc`. A last one that is not followed is only looked at.
pub(super) fn way(scene: &mut Scene<'_>, path: &[u8], follow: bool) {
    let Some((process, rest)) = of_process(path) else { return };
    let mut names = rest.split(|&byte| byte == b'/').filter(|name| !name.is_empty());
    let first = names.next().unwrap_or_default();
    let link = TRACED_LINKS.contains(&first) || (TRACED_DIRECTORIES.contains(&first) && names.next().is_some());
    if link && (follow || names.next().is_some() || scene.name.starts_with("readlink")) {
        inspect::look(scene, process, Mode { read_only: true, by_file: true });
    }
}

/// The process and the name of `/proc/PID/NAME` or `/proc/PID/task/TID/NAME`.
fn of_process(path: &[u8]) -> Option<(i32, &[u8])> {
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse().ok();
    let (process, name) = split(path.strip_prefix(b"/proc/")?)?;
    let process = number(process)?;
    match name.strip_prefix(b"task/").and_then(split) {
        Some((thread, name)) => number(thread).map(|thread: i32| (thread, name)),
        None => Some((process, name)),
    }
}

/// What stands before and behind the first slash.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let slash = path.iter().position(|&byte| byte == b'/')?;
    let (first, rest) = path.split_at_checked(slash)?;
    Some((first, rest.get(1..)?))
}

/// A user id that was never set.
const UNSET: &[u8] = b"4294967295";

fn of_other(scene: &mut Scene<'_>, process: i32, name: &[u8], writing: bool) {
    let own = "mapping one's own id alone needs none";
    match name {
        // __set_oom_adj(), fs/proc/base.c
        b"oom_score_adj" | b"oom_adj" if writing => {
            let doubt = "only a value below the one before needs it, and most callers go on without";
            scene.doubtful(Capability::SysResource, "change the score of the out-of-memory killer", doubt);
        }
        // new_idmap_permitted(), kernel/user_namespace.c
        b"uid_map" if writing => {
            map_root(scene);
            scene.doubtful(Capability::Setuid, "map user ids of a namespace", own);
        }
        b"gid_map" if writing => scene.doubtful(Capability::Setgid, "map group ids of a namespace", own),
        // audit_set_loginuid_perm(), kernel/auditsc.c
        b"loginuid" if writing && scene.view.proc("self/loginuid").is_ok_and(|id| !id.starts_with(UNSET)) => {
            let what = "change the user of a login".to_owned();
            let (capability, doubt) = (Capability::AuditControl, String::new());
            scene.check(Operation::Unanswered { capability, what, doubt });
        }
        name if TRACED.contains(&name) || name.starts_with(b"fdinfo") => {
            // mem_open() and lock_trace(), fs/proc/base.c
            let attach = matches!(name, b"mem" | b"personality" | b"stack" | b"syscall");
            inspect::look(scene, process, Mode { read_only: !attach, by_file: true });
            // proc_pid_stack(), fs/proc/base.c
            if name == b"stack" {
                let (capability, what) = (Capability::SysAdmin, "read the kernel's stack of a task".to_owned());
                scene.check(Operation::Unanswered { capability, what, doubt: String::new() });
            }
        }
        _ => {}
    }
}

/// Says that the superuser's id is taken into a new user namespace, as a task that maps its own id does there
/// (`verify_root_map()`, `kernel/user_namespace.c`, since Linux 5.12). It counts what the task might do before.
fn map_root(scene: &mut Scene<'_>) {
    let inside = scene.credentials().is_some_and(|who| who.foreign_user_namespace);
    let Some(outer) = scene.standing.outer().filter(|outer| inside && outer.uid[1] == 0) else {
        return;
    };
    let what = "map user 0 into a new user namespace".to_owned();
    let operation = Operation::Unanswered { capability: Capability::Setfcap, what, doubt: String::new() };
    let call = Syscall::Named(scene.name.into());
    let ids = (outer.uid[1], outer.gid[1]);
    scene.say(Fact::Check(Check { call, operation, ids, effective: CapabilitySet(outer.effective) }));
}

/// Settings that are judged when they are written.
fn setting(scene: &mut Scene<'_>, path: &[u8]) {
    let (capability, what) = match path {
        // aa_may_manage_policy(), security/apparmor/policy.c
        _ if path.starts_with(b"/sys/kernel/security/apparmor/") => (Capability::MacAdmin, "change AppArmor's policy"),
        // pm_wake_lock(), kernel/power/wakelock.c
        b"/sys/power/wake_lock" | b"/sys/power/wake_unlock" => (Capability::BlockSuspend, "keep the machine awake"),
        // pid_ns_ctl_handler(), kernel/pid_namespace.c
        b"/proc/sys/kernel/ns_last_pid" => (Capability::CheckpointRestore, "choose the next process id"),
        // proc_dointvec_minmax_sysadmin() and its neighbours, kernel/sysctl.c
        b"/proc/sys/kernel/dmesg_restrict"
        | b"/proc/sys/kernel/kptr_restrict"
        | b"/proc/sys/kernel/tainted"
        | b"/proc/sys/kernel/unprivileged_bpf_disabled"
        | b"/proc/sys/kernel/seccomp/actions_logged" => {
            (Capability::SysAdmin, "change what the kernel tells and permits")
        }
        // yama_dointvec_minmax(), security/yama/yama_lsm.c
        b"/proc/sys/kernel/yama/ptrace_scope" => (Capability::SysPtrace, "change who may trace"),
        // mmap_min_addr_handler(), security/min_addr.c
        b"/proc/sys/vm/mmap_min_addr" => (Capability::SysRawio, "change the lowest address that may be mapped"),
        // devinet_sysctl_forward(), net/ipv4/devinet.c
        b"/proc/sys/net/ipv4/ip_forward" => (Capability::NetAdmin, "forward packets"),
        _ if path.starts_with(b"/proc/sys/net/ipv4/conf/") && path.ends_with(b"/forwarding") => {
            (Capability::NetAdmin, "forward packets")
        }
        _ => return,
    };
    scene.check(Operation::Unanswered { capability, what: what.to_owned(), doubt: String::new() });
}

fn device(scene: &mut Scene<'_>, path: &[u8], writing: bool) {
    let restricted = |scene: &Scene<'_>| super::device::setting(scene, "sys/kernel/dmesg_restrict") != 0;
    let (capability, what) = match path {
        // open_port(), drivers/char/mem.c; open_kcore(), fs/proc/kcore.c
        b"/dev/mem" | b"/dev/kmem" | b"/dev/port" => (Capability::SysRawio, "reach the machine's memory and ports"),
        // msr_open(), arch/x86/kernel/msr.c
        _ if path.starts_with(b"/dev/cpu/") && path.ends_with(b"/msr") => {
            (Capability::SysRawio, "reach the processor's registers")
        }
        // ppp_open(), drivers/net/ppp/ppp_generic.c
        b"/dev/ppp" => (Capability::NetAdmin, "use a point-to-point link"),
        b"/proc/kcore" => (Capability::SysRawio, "read the kernel's memory"),
        // check_syslog_permissions(), kernel/printk/printk.c
        b"/proc/kmsg" => (Capability::Syslog, "read the kernel's log"),
        b"/dev/kmsg" if !writing && restricted(scene) => (Capability::Syslog, "read the kernel's log"),
        b"/proc/kallsyms" => {
            let doubt = "without it the addresses may read as 0";
            return scene.doubtful(Capability::Syslog, "read the kernel's symbols", doubt);
        }
        _ => return,
    };
    scene.guarded(capability, what);
}

#[cfg(test)]
mod tests {
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations};
    use crate::event::{Credentials, Outcome};
    use crate::fact::{Capability, Fact, Operation};

    fn open(abi: Abi, name: &str, mode: u32, flags: i32) -> Vec<Operation> {
        let mut bench = Bench::new(abi);
        bench.view.file("/proc", libc::S_IFDIR | 0o555, (0, 0));
        for dir in
            ["/dev", "/sys", "/sys/power", "/sys/kernel", "/sys/kernel/security", "/sys/kernel/security/apparmor"]
        {
            bench.view.file(dir, libc::S_IFDIR | 0o755, (0, 0));
        }
        for process in ["/proc/100", "/proc/7"] {
            bench.view.file(process, libc::S_IFDIR | 0o555, (0, 0));
        }
        bench.view.file(name, mode, (0, 0));
        bench.view.others.borrow_mut().insert(7, Credentials { uid: [33; 4], ..Credentials::default() });
        let path = bench.text(name);
        let flags = u64::from(flags.cast_unsigned());
        let facts: Vec<Fact> =
            bench.effect("openat", &[crate::decode::fake::CWD, path, flags, 0], Outcome::Returned(3), |view| {
                view.open(3, name);
            });
        operations(&facts)
    }

    fn guard(operations: &[Operation]) -> Option<(Capability, bool)> {
        match operations {
            [Operation::Privileged { capability, .. } | Operation::Unanswered { capability, .. }] => {
                Some((*capability, true))
            }
            [Operation::Doubtful { capability, .. }] => Some((*capability, false)),
            [] => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_have_guards_of_their_own() {
        use Capability::{BlockSuspend, Fsetid, MacAdmin, Setuid, SysAdmin, SysPtrace, SysRawio, SysResource, Syslog};
        let file = libc::S_IFREG | 0o600;
        let (read, write) = (libc::O_RDONLY, libc::O_WRONLY);
        for abi in Abi::ALL {
            for (name, mode, flags, expected) in [
                ("/dev/mem", libc::S_IFCHR | 0o640, read, Some((SysRawio, true))),
                ("/dev/null", libc::S_IFCHR | 0o666, write, None),
                ("/dev/kmsg", libc::S_IFCHR | 0o644, read, None),
                ("/proc/kmsg", file, read, Some((Syslog, true))),
                ("/proc/kallsyms", file, read, Some((Syslog, false))),
                ("/proc/7/environ", file, read, Some((SysPtrace, true))),
                ("/proc/100/environ", file, read, None),
                ("/proc/7/stat", file, read, None),
                ("/proc/100/stack", file, read, Some((SysAdmin, true))),
                ("/proc/100/oom_score_adj", file, write, Some((SysResource, false))),
                ("/proc/100/oom_score_adj", file, read, None),
                ("/proc/7/uid_map", file, write, Some((Setuid, false))),
                ("/sys/power/wake_lock", file, write, Some((BlockSuspend, true))),
                ("/sys/power/wake_lock", file, read, None),
                ("/sys/kernel/security/apparmor/.load", file, write, Some((MacAdmin, true))),
                ("/srv/tool", libc::S_IFREG | 0o4755, write, Some((Fsetid, false))),
                ("/srv/tool", libc::S_IFREG | 0o2755, write, Some((Fsetid, false))),
                ("/srv/tool", libc::S_IFREG | 0o2745, write, None),
                ("/srv/tool", libc::S_IFREG | 0o4755, read, None),
            ] {
                assert_eq!(guard(&open(abi, name, mode, flags)), expected, "{abi} {name}");
            }
        }
    }
    #[test]
    fn root_in_a_user_namespace_of_its_own_is_still_root() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            for dir in ["/proc", "/proc/100"] {
                bench.view.file(dir, libc::S_IFDIR | 0o555, (0, 0));
            }
            bench.view.file("/proc/100/uid_map", libc::S_IFREG | 0o644, (0, 0));
            bench.effect("unshare", &[0x1000_0000], Outcome::Returned(0), |view| {
                view.who.borrow_mut().foreign_user_namespace = true;
            });
            let path = bench.text("/proc/100/uid_map");
            let write = u64::from(libc::O_WRONLY.cast_unsigned());
            let args = [crate::decode::fake::CWD, path, write, 0];
            let facts = bench.effect("openat", &args, Outcome::Returned(3), |view| view.open(3, "/proc/100/uid_map"));
            let asked = operations(&facts);
            let setfcap = Capability::Setfcap;
            assert!(
                matches!(&asked[..], [Operation::Unanswered { capability, .. }] if *capability == setfcap),
                "{abi} {asked:?}"
            );
        }
    }
}
