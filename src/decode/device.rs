//! Calls on devices and on the whole machine: most are guarded by one capability as a whole.

use super::read;
use super::scene::{Decode, Scene, Values, value};
use crate::event::{APPEND_ONLY, IMMUTABLE, Outcome};
use crate::fact::{Access, Capability};

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
            scene.guarded(self.capability, self.what);
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

/// Whether argument `I` has `MPOL_MF_MOVE_ALL` (`numaif.h`).
pub(super) fn moves_shared<const I: usize>(scene: &Scene<'_>) -> bool {
    const MOVE_ALL: u32 = 4;
    scene.uint(I) & MOVE_ALL != 0
}

/// `keyctl(2)`.
pub(super) struct Keys;

impl Decode for Keys {
    fn enter(&self, scene: &mut Scene<'_>) {
        const CHOWN: i32 = 4;
        const GET_PERSISTENT: i32 = 22;
        let Some(who) = scene.credentials() else { return };
        match scene.int(0) {
            // keyctl_chown_key(), security/keys/keyctl.c
            CHOWN => {
                let (user, group) = (read::id(scene.uint(2)), read::id(scene.uint(3)));
                let own = user.is_none_or(|user| user == who.uid[1]);
                if !own || group.is_some_and(|group| !who.in_group(group)) {
                    scene.guarded(Capability::SysAdmin, "give a key away");
                }
            }
            // keyctl_get_persistent(), security/keys/persistent.c
            GET_PERSISTENT if read::id(scene.uint(1)).is_some_and(|id| id != who.uid[0] && id != who.uid[1]) => {
                scene.guarded(Capability::Setuid, "use the keyring of another user");
            }
            _ => {}
        }
    }
}

/// Whether the kernel's log is asked for more than `dmesg_restrict` leaves to everyone (`check_syslog_permissions`).
pub(super) fn reads_log(scene: &Scene<'_>) -> bool {
    const READ_ALL: i32 = 3;
    const SIZE_BUFFER: i32 = 10;
    !matches!(scene.int(0), READ_ALL | SIZE_BUFFER) || setting(scene, "sys/kernel/dmesg_restrict") != 0
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
        scene.guarded(Capability::SysModule, "load a kernel module");
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
            scene.guarded(*capability, *what);
        } else if let Some((_, capability, what, doubt)) = DOUBTFUL.iter().find(|row| row.0 == request) {
            scene.doubtful(*capability, *what, doubt);
        } else if matches!(request, SET_FLAGS | SET_FLAGS_32 | SET_ATTRIBUTES) {
            set_flags(scene, request);
        } else if request == MAKE_TUNNEL {
            make_tunnel(scene);
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        value(values, 1).is_some_and(|request| {
            let is = |other: u32| u64::from(other) == request;
            !REQUESTS.iter().any(|row| is(row.0))
                && !DOUBTFUL.iter().any(|row| is(row.0))
                && ![SET_FLAGS, SET_FLAGS_32, SET_ATTRIBUTES, MAKE_TUNNEL].into_iter().any(is)
        })
    }
}

/// `FS_IOC_SETFLAGS`.
const SET_FLAGS: u32 = 0x4008_6602;
/// `FS_IOC32_SETFLAGS`.
const SET_FLAGS_32: u32 = 0x4004_6602;

/// `FS_IOC_FSSETXATTR`.
const SET_ATTRIBUTES: u32 = 0x401c_5820;
/// `TUNSETIFF`.
const MAKE_TUNNEL: u32 = 0x4004_54ca;

/// `chattr(1)`: for the owner, and a change of two of the flags for nobody (`fileattr_set_prepare`, `fs/file_attr.c`).
fn set_flags(scene: &mut Scene<'_>, request: u32) {
    const FIXED: u32 = IMMUTABLE | APPEND_ONLY;
    let flags = scene.memory().u32(scene.arg(2)).unwrap_or_default();
    // FS_XFLAG_IMMUTABLE is 8 and FS_XFLAG_APPEND is 16.
    let asked = if request == SET_ATTRIBUTES { flags << 1 & FIXED } else { flags & FIXED };
    let Some(spot) = scene.open_file(scene.int(0)) else {
        return;
    };
    if let Some(inode) = spot.inode {
        scene.need_owner(&spot.path, &inode);
    }
    let before = scene.view.fixed(&spot.path).unwrap_or_default();
    if asked != before & FIXED {
        let what = format!("change whether {} is immutable or append-only", spot.path);
        scene.guarded(Capability::LinuxImmutable, what);
    }
}

/// An interface that is there may be its user's (`tun_not_capable`, `drivers/net/tun.c`).
fn make_tunnel(scene: &mut Scene<'_>) {
    /// `IFNAMSIZ`
    const NAME: usize = 16;
    let name = scene.memory().array::<NAME>(scene.arg(2)).unwrap_or_default();
    let name = name.split(|&byte| byte == 0).next().unwrap_or_default();
    let interfaces = scene.view.proc("self/net/dev").unwrap_or_default();
    let line = |line: &[u8]| line.trim_ascii_start().strip_prefix(name).is_some_and(|rest| rest.starts_with(b":"));
    let what = "TUNSETIFF: make a tunnel interface";
    if !name.is_empty() && interfaces.split(|&byte| byte == b'\n').any(line) {
        scene.doubtful(Capability::NetAdmin, what, "the user that an interface was made for needs none");
    } else {
        scene.guarded(Capability::NetAdmin, what);
    }
}

const OWN_TERMINAL: &str = "on its own terminal a process needs none";

/// Requests that may need a capability (`drivers/tty/tty_io.c`, `drivers/tty/vt/vt_ioctl.c`).
const DOUBTFUL: [(u32, Capability, &str, &str); 10] = [
    (0x4b3a, Capability::SysTtyConfig, "KDSETMODE: switch a console to graphics", OWN_TERMINAL),
    (0x4b45, Capability::SysTtyConfig, "KDSKBMODE: set the keyboard mode", OWN_TERMINAL),
    (0x4b47, Capability::SysTtyConfig, "KDSKBENT: change the keyboard table", OWN_TERMINAL),
    (0x4b72, Capability::SysTtyConfig, "KDFONTOP: change the console's font", OWN_TERMINAL),
    (0x5412, Capability::SysAdmin, "TIOCSTI: fake the terminal's input", OWN_TERMINAL),
    (0x540e, Capability::SysAdmin, "TIOCSCTTY: take a terminal", "one that nobody has is taken without"),
    (0x5602, Capability::SysTtyConfig, "VT_SETMODE: control the switch of consoles", OWN_TERMINAL),
    (0x5605, Capability::SysTtyConfig, "VT_RELDISP: release a console", OWN_TERMINAL),
    (0x5606, Capability::SysTtyConfig, "VT_ACTIVATE: switch to another console", OWN_TERMINAL),
    (0x5609, Capability::SysTtyConfig, "VT_RESIZE: resize the consoles", OWN_TERMINAL),
];

/// Requests that a capability guards whoever holds the descriptor, sorted.
const REQUESTS: [(u32, Capability, &str); 38] = [
    (0x1, Capability::SysRawio, "FIBMAP: find a file's blocks"),
    (0x125d, Capability::SysAdmin, "BLKROSET: make a block device read-only"),
    (0x125f, Capability::SysAdmin, "BLKRRPART: read a partition table again"),
    (0x1261, Capability::SysAdmin, "BLKFLSBUF: flush a block device"),
    (0x1269, Capability::SysAdmin, "BLKPG: change partitions"),
    (0x541d, Capability::SysAdmin, "TIOCCONS: take the console's output"),
    (0x5437, Capability::SysAdmin, "TIOCVHANGUP: hang up a terminal"),
    (0x560b, Capability::SysTtyConfig, "VT_LOCKSWITCH: lock the switch of consoles"),
    (0x560c, Capability::SysTtyConfig, "VT_UNLOCKSWITCH: unlock the switch of consoles"),
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
    (0x8931, Capability::NetAdmin, "SIOCADDMULTI: add a multicast address"),
    (0x8932, Capability::NetAdmin, "SIOCDELMULTI: remove a multicast address"),
    (0x8943, Capability::NetAdmin, "SIOCSIFTXQLEN: set an interface's queue length"),
    (0x8953, Capability::NetAdmin, "SIOCDARP: remove an ARP entry"),
    (0x8955, Capability::NetAdmin, "SIOCSARP: set an ARP entry"),
    (0x89a0, Capability::NetAdmin, "SIOCBRADDBR: add a bridge"),
    (0x89a1, Capability::NetAdmin, "SIOCBRDELBR: remove a bridge"),
    (0x89a2, Capability::NetAdmin, "SIOCBRADDIF: add an interface to a bridge"),
    (0x89a3, Capability::NetAdmin, "SIOCBRDELIF: remove an interface from a bridge"),
    (0x89b0, Capability::NetAdmin, "SIOCSHWTSTAMP: set hardware time stamps"),
    (0x89f1, Capability::NetAdmin, "SIOCADDTUNNEL: add a tunnel"),
    (0x89f2, Capability::NetAdmin, "SIOCDELTUNNEL: remove a tunnel"),
    (0x89f3, Capability::NetAdmin, "SIOCCHGTUNNEL: change a tunnel"),
    (0x4008_6610, Capability::SysResource, "EXT4_IOC_RESIZE_FS: resize a file system"),
    (0x4024_700a, Capability::SysTime, "RTC_SET_TIME: set the hardware clock"),
    (0xc004_5877, Capability::SysAdmin, "FIFREEZE: freeze a file system"),
    (0xc004_5878, Capability::SysAdmin, "FITHAW: thaw a file system"),
    (0xc018_5879, Capability::SysAdmin, "FITRIM: discard free blocks"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, files, operations};
    use crate::fact::Operation;

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
            assert_eq!(guards(&bench.call("keyctl", &[4, 9, u64::MAX, 0])), []);
            assert_eq!(guards(&bench.call("keyctl", &[4, 9, u64::MAX, 5])), [Capability::SysAdmin]);
            assert_eq!(guards(&bench.call("keyctl", &[22, u64::MAX, 0])), []);
            assert_eq!(guards(&bench.call("keyctl", &[22, 7, 0])), [Capability::Setuid]);
            assert_eq!(guards(&bench.call("keyctl", &[4, 9, 7, 5])), [Capability::SysAdmin]);
            assert_eq!(guards(&bench.call("keyctl", &[3, 9, 7, 5])), []);
            assert_eq!(guards(&bench.call("syslog", &[3])), []);
            assert_eq!(guards(&bench.call("syslog", &[5])), [Capability::Syslog]);
            assert_eq!(guards(&bench.call("timerfd_create", &[1, 0])), []);
            assert_eq!(guards(&bench.call("timerfd_create", &[9, 0])), [Capability::WakeAlarm]);
            assert_eq!(guards(&bench.call("userfaultfd", &[1])), []);
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
            bench.view.fixed.set(IMMUTABLE);
            assert_eq!(guards(&bench.call("ioctl", &[3, u64::from(SET_FLAGS), immutable])), [], "it is already");
            let facts = bench.call("ioctl", &[3, u64::from(SET_FLAGS), plain]);
            assert_eq!(guards(&facts), [Capability::LinuxImmutable], "no longer");
            assert_eq!(files(&bench.call("finit_module", &[3])), ["/srv/f: read"]);
        }
    }

    #[test]
    fn a_tunnel_may_be_one_s_own() {
        let mut bench = Bench::new(Abi::X86_64);
        let request = bench.bytes(b"tun7\0\0\0\0\0\0\0\0\0\0\0\0\x01\0");
        let make = |bench: &mut Bench| operations(&bench.call("ioctl", &[3, u64::from(MAKE_TUNNEL), request]));
        assert!(matches!(make(&mut bench)[..], [Operation::Privileged { capability: Capability::NetAdmin, .. }]));
        bench.view.proc.borrow_mut().insert("self/net/dev".to_owned(), b"x\n  tun7: 0 0\n".to_vec());
        assert!(matches!(make(&mut bench)[..], [Operation::Doubtful { capability: Capability::NetAdmin, .. }]));
    }

    #[test]
    fn requests_are_sorted() {
        assert!(REQUESTS.is_sorted_by(|one, next| one.0 < next.0));
    }
}
