//! Calls on devices and on the whole machine: most are guarded by one capability as a whole.

use super::read;
use super::scene::{Decode, Scene, Values, value};
use crate::event::Outcome;
use crate::fact::{Access, Capability, Operation};

fn guard(scene: &mut Scene<'_>, capability: Capability, what: impl Into<String>) {
    scene.check(Operation::Privileged { capability, what: what.into() });
}

/// A call that one capability guards, for every argument or when `when` says so.
pub(super) struct Guarded {
    /// Which capability.
    pub(super) capability: Capability,
    /// What the call is for, for a reader.
    pub(super) what: &'static str,
    /// Whether these arguments ask for it.
    pub(super) when: fn(&Scene<'_>) -> bool,
}

/// A call that `capability` guards whatever its arguments.
pub(super) const fn always(capability: Capability, what: &'static str) -> Guarded {
    Guarded { capability, what, when: |_| true }
}

/// A call that `capability` guards for some arguments.
pub(super) const fn when(capability: Capability, what: &'static str, when: fn(&Scene<'_>) -> bool) -> Guarded {
    Guarded { capability, what, when }
}

impl Decode for Guarded {
    fn enter(&self, scene: &mut Scene<'_>) {
        if (self.when)(scene) {
            guard(scene, self.capability, self.what);
        }
    }
}

/// Whether argument `I` is not 0.
pub(super) fn given<const I: usize>(scene: &Scene<'_>) -> bool {
    scene.arg(I) != 0
}

/// Whether `settimeofday(2)` sets anything.
pub(super) fn sets_time(scene: &Scene<'_>) -> bool {
    scene.arg(0) != 0 || scene.arg(1) != 0
}

/// Whether the `struct timex` in argument `I` changes the clock: its first word is `modes`.
pub(super) fn adjusts<const I: usize>(scene: &Scene<'_>) -> bool {
    /// `ADJ_ADJTIME | ADJ_OFFSET_READONLY`: adjtime(3) asks how much is left.
    const ASKS: u32 = 0xa000;
    let modes = scene.memory().u32(scene.arg(I)).unwrap_or_default();
    modes != 0 && modes & ASKS != ASKS
}

/// Whether the clock in argument 0 wakes the machine: `CLOCK_REALTIME_ALARM`, `CLOCK_BOOTTIME_ALARM`.
pub(super) fn wakes(scene: &Scene<'_>) -> bool {
    matches!(scene.int(0), 8 | 9)
}

/// Whether `keyctl(2)` gives a key to another user (`keyctl_chown_key()`).
pub(super) fn gives_key(scene: &Scene<'_>) -> bool {
    const CHOWN: i32 = 4;
    scene.int(0) == CHOWN && read::id(scene.uint(2)).is_some()
}

/// Whether the kernel's log is asked for more than `dmesg_restrict` leaves to everyone (`check_syslog_permissions`).
pub(super) fn reads_log(scene: &Scene<'_>) -> bool {
    const READ_ALL: i32 = 3;
    const SIZE_BUFFER: i32 = 10;
    !matches!(scene.int(0), READ_ALL | SIZE_BUFFER) || setting(scene, "sys/kernel/dmesg_restrict") != 0
}

/// Whether this kernel keeps bpf(2) from ordinary users.
pub(super) fn bpf_restricted(scene: &Scene<'_>) -> bool {
    setting(scene, "sys/kernel/unprivileged_bpf_disabled") != 0
}

/// Whether a page fault handler for the kernel's own faults is asked for, and kept from ordinary users.
pub(super) fn handles_kernel_faults(scene: &Scene<'_>) -> bool {
    const USER_MODE_ONLY: u32 = 1;
    scene.uint(0) & USER_MODE_ONLY == 0 && setting(scene, "sys/vm/unprivileged_userfaultfd") == 0
}

/// Whether the group of `fanotify_init(2)` is more than what everyone may have: notifications that name files by
/// handle.
pub(super) fn watches_all(scene: &Scene<'_>) -> bool {
    const CLASSES: u32 = 0xc;
    const UNLIMITED: u32 = 0x30;
    const REPORT_HANDLES: u32 = 0xe00;
    let flags = scene.uint(0);
    flags & (CLASSES | UNLIMITED) != 0 || flags & REPORT_HANDLES == 0
}

/// Whether `perf_event_open(2)` asks for more than `perf_event_paranoid` leaves to everyone.
pub(super) fn watches_kernel(scene: &Scene<'_>) -> bool {
    const EXCLUDE_KERNEL: u64 = 1 << 5;
    const FLAGS: u64 = 40;
    let flags = scene.memory().u64(scene.arg(0).wrapping_add(FLAGS)).unwrap_or_default();
    let whole_processor = scene.int(1) == -1;
    match setting(scene, "sys/kernel/perf_event_paranoid") {
        ..=0 => false,
        1 => whole_processor,
        2 => whole_processor || flags & EXCLUDE_KERNEL == 0,
        _ => true,
    }
}

/// A number of `/proc/sys`, 0 when it is not there.
pub(super) fn setting(scene: &Scene<'_>, name: &str) -> i64 {
    let text = scene.view.proc(name).unwrap_or_default();
    std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_default()
}

/// `finit_module(2)`.
pub(super) struct LoadModule;

impl Decode for LoadModule {
    fn enter(&self, scene: &mut Scene<'_>) {
        guard(scene, Capability::SysModule, "load a kernel module");
    }

    fn leave(&self, scene: &mut Scene<'_>, _outcome: Outcome) {
        if let Some(spot) = scene.open_file(scene.int(0)) {
            scene.used(&spot, Access::READ);
        }
    }
}

/// `ioctl(2)`.
pub(super) struct Ioctl;

impl Decode for Ioctl {
    fn enter(&self, scene: &mut Scene<'_>) {
        let request = scene.uint(1);
        if let Ok(index) = REQUESTS.binary_search_by_key(&request, |row| row.0)
            && let Some((_, capability, what)) = REQUESTS.get(index)
        {
            guard(scene, *capability, *what);
        } else if matches!(request, SET_FLAGS | SET_FLAGS_32) {
            set_flags(scene);
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        value(values, 1).is_some_and(|request| {
            let is = |other: u32| u64::from(other) == request;
            !REQUESTS.iter().any(|row| is(row.0)) && !is(SET_FLAGS) && !is(SET_FLAGS_32)
        })
    }
}

/// `FS_IOC_SETFLAGS`.
const SET_FLAGS: u32 = 0x4008_6602;
/// `FS_IOC32_SETFLAGS`.
const SET_FLAGS_32: u32 = 0x4004_6602;

/// `chattr(1)`: for the owner, and two of the flags for nobody.
fn set_flags(scene: &mut Scene<'_>) {
    const IMMUTABLE_OR_APPEND: u32 = 0x30;
    let flags = scene.memory().u32(scene.arg(2)).unwrap_or_default();
    let Some(spot) = scene.open_file(scene.int(0)) else {
        return;
    };
    if let Some(inode) = spot.inode {
        scene.need_owner(&spot.path, &inode);
    }
    if flags & IMMUTABLE_OR_APPEND != 0 {
        guard(scene, Capability::LinuxImmutable, format!("make {} immutable or append-only", spot.path));
    }
}

/// Requests that a capability guards whoever holds the descriptor, sorted.
const REQUESTS: [(u32, Capability, &str); 25] = [
    (0x1, Capability::SysRawio, "FIBMAP: find a file's blocks"),
    (0x125d, Capability::SysAdmin, "BLKROSET: make a block device read-only"),
    (0x125f, Capability::SysAdmin, "BLKRRPART: read a partition table again"),
    (0x541d, Capability::SysAdmin, "TIOCCONS: take the console's output"),
    (0x890b, Capability::NetAdmin, "SIOCADDRT: add a route"),
    (0x890c, Capability::NetAdmin, "SIOCDELRT: remove a route"),
    (0x8914, Capability::NetAdmin, "SIOCSIFFLAGS: change a network interface"),
    (0x8916, Capability::NetAdmin, "SIOCSIFADDR: set an interface's address"),
    (0x8918, Capability::NetAdmin, "SIOCSIFDSTADDR: set an interface's peer"),
    (0x891a, Capability::NetAdmin, "SIOCSIFBRDADDR: set an interface's broadcast address"),
    (0x891c, Capability::NetAdmin, "SIOCSIFNETMASK: set an interface's netmask"),
    (0x891e, Capability::NetAdmin, "SIOCSIFMETRIC: set an interface's metric"),
    (0x8922, Capability::NetAdmin, "SIOCSIFMTU: set an interface's MTU"),
    (0x8923, Capability::NetAdmin, "SIOCSIFNAME: rename an interface"),
    (0x8924, Capability::NetAdmin, "SIOCSIFHWADDR: set an interface's hardware address"),
    (0x8953, Capability::NetAdmin, "SIOCDARP: remove an ARP entry"),
    (0x8955, Capability::NetAdmin, "SIOCSARP: set an ARP entry"),
    (0x89a0, Capability::NetAdmin, "SIOCBRADDBR: add a bridge"),
    (0x89a1, Capability::NetAdmin, "SIOCBRDELBR: remove a bridge"),
    (0x89a2, Capability::NetAdmin, "SIOCBRADDIF: add an interface to a bridge"),
    (0x89a3, Capability::NetAdmin, "SIOCBRDELIF: remove an interface from a bridge"),
    (0x4004_54ca, Capability::NetAdmin, "TUNSETIFF: make a tunnel interface"),
    (0x4024_700a, Capability::SysTime, "RTC_SET_TIME: set the hardware clock"),
    (0xc004_5877, Capability::SysAdmin, "FIFREEZE: freeze a file system"),
    (0xc004_5878, Capability::SysAdmin, "FITHAW: thaw a file system"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, files, operations};

    fn guards(facts: &[crate::fact::Fact]) -> Vec<Capability> {
        let guard =
            |operation| if let Operation::Privileged { capability, .. } = operation { Some(capability) } else { None };
        operations(facts).into_iter().filter_map(guard).collect()
    }

    #[test]
    fn calls_on_the_machine_are_guarded() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            for (name, capability) in [
                ("sethostname", Capability::SysAdmin),
                ("reboot", Capability::SysBoot),
                ("init_module", Capability::SysModule),
                ("vhangup", Capability::SysTtyConfig),
                ("clock_settime", Capability::SysTime),
            ] {
                assert_eq!(guards(&bench.call(name, &[])), [capability], "{abi} {name}");
            }
            let [asks, sets] = [0xa001, 1].map(|modes| bench.words(&[modes]));
            assert_eq!(guards(&bench.call("adjtimex", &[asks])), []);
            assert_eq!(guards(&bench.call("clock_adjtime", &[0, sets])), [Capability::SysTime]);
            assert_eq!(guards(&bench.call("settimeofday", &[0, 0])), []);
            assert_eq!(guards(&bench.call("keyctl", &[4, 9, u64::MAX, 5])), []);
            assert_eq!(guards(&bench.call("keyctl", &[4, 9, 7, 5])), [Capability::SysAdmin]);
            assert_eq!(guards(&bench.call("keyctl", &[3, 9, 7, 5])), []);
            assert_eq!(guards(&bench.call("syslog", &[3])), []);
            assert_eq!(guards(&bench.call("syslog", &[5])), [Capability::Syslog]);
            assert_eq!(guards(&bench.call("timerfd_create", &[1, 0])), []);
            assert_eq!(guards(&bench.call("timerfd_create", &[9, 0])), [Capability::WakeAlarm]);
            assert_eq!(guards(&bench.call("userfaultfd", &[1])), []);
            assert_eq!(guards(&bench.call("bpf", &[5])), []);
        }
    }

    #[test]
    fn kernel_settings_decide() {
        let mut bench = Bench::new(Abi::X86_64);
        let set = |bench: &Bench, name: &str, value: &str| {
            bench.view.proc.borrow_mut().insert(name.to_owned(), value.into());
        };
        set(&bench, "sys/kernel/dmesg_restrict", "1\n");
        assert_eq!(guards(&bench.call("syslog", &[3])), [Capability::Syslog]);
        set(&bench, "sys/kernel/unprivileged_bpf_disabled", "2\n");
        assert_eq!(guards(&bench.call("bpf", &[5])), [Capability::Bpf]);
        let mut attribute = [0; 12];
        attribute[10] = 1 << 5;
        let [kernel, user] = [[0; 12], attribute].map(|words| bench.words(&words));
        for (level, kernel_guard, user_guard) in [("-1\n", 0, 0), ("1\n", 0, 0), ("2\n", 1, 0), ("3\n", 1, 1)] {
            set(&bench, "sys/kernel/perf_event_paranoid", level);
            assert_eq!(guards(&bench.call("perf_event_open", &[kernel, 0])).len(), kernel_guard, "{level}");
            assert_eq!(guards(&bench.call("perf_event_open", &[user, 0])).len(), user_guard, "{level}");
        }
    }

    #[test]
    fn requests_are_guarded() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            assert_eq!(guards(&bench.call("ioctl", &[3, 0x8914, 0])), [Capability::NetAdmin], "{abi}");
            assert_eq!(bench.call("ioctl", &[3, 0x5401, 0]), []);
            bench.view.file("/srv/f", libc::S_IFREG | 0o644, (1000, 1000));
            bench.view.open(3, "/srv/f");
            let [plain, immutable] = [0x80, 0x10].map(|flags| bench.words(&[flags]));
            assert_eq!(guards(&bench.call("ioctl", &[3, u64::from(SET_FLAGS), plain])), []);
            let facts = bench.call("ioctl", &[3, u64::from(SET_FLAGS_32), immutable]);
            assert_eq!(guards(&facts), [Capability::LinuxImmutable]);
            assert_eq!(files(&bench.call("finit_module", &[3])), ["/srv/f: read"]);
        }
    }

    #[test]
    fn requests_are_sorted() {
        assert!(REQUESTS.is_sorted_by(|one, next| one.0 < next.0));
    }
}
