//! Single calls, each with and without what the kernel asks for: where a plain permission grants it, nothing is needed.

use super::{Names, PLAIN, Work, ready, require, workloads};

/// A Python program; `d` is its directory, `ok` demands success of a C function.
macro_rules! python {
    ($code:literal) => {
        concat!(
            "python3 -c '\nimport ctypes, fcntl, os, socket, struct, sys\nc, d = ctypes.CDLL(None), sys.argv[1]\n",
            "def ok(result): assert result >= 0\n",
            $code,
            "' \"$1\""
        )
    };
}

/// A workload in Python.
macro_rules! call {
    ($code:literal) => {
        Work { script: python!($code), ..PLAIN }
    };
}

/// A file of user 33 with this mode.
fn anothers(mode: &str) -> String {
    format!(r#"cd "$1"; rm -f f g; echo x >f; chown 33:33 f; chmod {mode} f; chmod 777 ."#)
}

workloads! {
    // Files
    writing_in_anothers_directory: Work {
        script: r#"echo x >"$1/x/f""#,
        before: r#"cd "$1"; rm -rf x; mkdir x; chown 33:33 x"#.to_owned(),
        ..PLAIN
    }, with [], needs ["CAP_DAC_OVERRIDE"];
    searching_anothers_directory: Work {
        script: r#"cat "$1/x/f""#,
        before: r#"cd "$1"; mkdir -p x; echo x >x/f; chmod 700 x; chown 33:33 x"#.to_owned(),
        ..PLAIN
    }, with [], needs ["CAP_DAC_READ_SEARCH"];
    an_access_list_grants: Work {
        script: r#"cat "$1/f""#,
        before: anothers("600") + "; setfacl -m u:0:r f",
        ..PLAIN
    }, with ["setfacl"], needs [];
    an_access_list_s_mask_takes_away: Work {
        script: r#"cat "$1/f""#,
        before: anothers("600") + "; setfacl -m u:0:r,m::- f",
        ..PLAIN
    }, with ["setfacl"], needs ["CAP_DAC_READ_SEARCH"];
    changing_anothers_access_list: Work {
        script: r#"setfacl -m u:7:r "$1/f""#,
        before: anothers("600"),
        ..PLAIN
    }, with ["setfacl"], needs ["CAP_FOWNER"];
    a_set_user_id_bit_on_anothers_file: Work { script: r#"chmod 4755 "$1/f""#, before: anothers("644"), ..PLAIN },
        with [], needs ["CAP_FOWNER"];
    a_protected_hard_link: Work { script: r#"ln "$1/f" "$1/g""#, before: anothers("600"), ..PLAIN },
        with [], needs ["CAP_FOWNER"];
    a_hard_link_that_everyone_may_make: Work { script: r#"ln "$1/f" "$1/g""#, before: anothers("666"), ..PLAIN },
        with [], needs [];
    removing_from_a_sticky_directory: Work {
        script: r#"rm -f "$1/s/f""#,
        before: r#"cd "$1"; mkdir -p s; touch s/f; chown 33 s/f; chown 7 s; chmod 1777 s"#.to_owned(),
        ..PLAIN
    }, with [], needs ["CAP_FOWNER"];
    the_time_of_anothers_file: Work {
        script: r#"touch -d 2001-01-01 "$1/f""#,
        before: anothers("666"),
        ..PLAIN
    }, with [], needs ["CAP_FOWNER"];
    an_immutable_file: Work {
        script: r#"chattr +i "$1/f""#,
        before: r#"touch "$1/f"; chattr -i "$1/f""#.to_owned(),
        ..PLAIN
    }, with ["chattr"], needs ["CAP_LINUX_IMMUTABLE"];
    a_file_that_is_immutable_no_more: Work {
        script: r#"chattr -i "$1/f""#,
        before: r#"touch "$1/f"; chattr +i "$1/f""#.to_owned(),
        ..PLAIN
    }, with ["chattr"], needs ["CAP_LINUX_IMMUTABLE"];
    capabilities_of_a_file: Work { script: r#"setcap cap_net_raw+ep "$1/f""#, before: r#"touch "$1/f""#.to_owned(), ..PLAIN },
        with ["setcap"], needs ["CAP_SETFCAP"];
    an_attribute_that_another_s_file_lacks: Work {
        script: python!("
import errno
try: os.getxattr(d + \"/f\", \"user.x\")
except OSError as error: assert error.errno == errno.ENODATA"),
        before: anothers("600"),
        ..PLAIN
    }, with ["python3"], needs ["CAP_DAC_READ_SEARCH"];
    a_lease_on_anothers_file: Work {
        script: python!("fcntl.fcntl(os.open(d + \"/f\", os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)"),
        before: anothers("644"),
        ..PLAIN
    }, with ["python3"], needs ["CAP_LEASE"];
    opening_by_handle: call!("
handle, mount = ctypes.create_string_buffer(struct.pack(\"I\", 128), 256), ctypes.c_int()
ok(c.name_to_handle_at(-100, b\"/etc/passwd\", handle, ctypes.byref(mount), 0))
ok(c.open_by_handle_at(os.open(\"/\", os.O_RDONLY), handle, 0))"), with ["python3"], needs ["CAP_DAC_READ_SEARCH"];
    // Ids
    one_s_own_ids: call!("os.setgid(0); os.setuid(0); os.setresuid(0, 0, 0)"), with ["python3"], needs [];
    another_user_for_a_while: call!("os.seteuid(33); os.seteuid(0)"), with ["python3"], needs ["CAP_SETUID"];
    a_message_in_anothers_name: call!("
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
a.sendmsg([b\"x\"], [(1, 2, struct.pack(\"iII\", os.getpid(), 33, 0))])"), with ["python3"], needs ["CAP_SETUID"];
    a_message_in_one_s_own_name: call!("
a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
a.sendmsg([b\"x\"], [(1, 2, struct.pack(\"iII\", os.getpid(), 0, 0))])"), with ["python3"], needs [];
    dropping_from_the_bounding_set: call!("ok(c.prctl(24, 3, 0, 0, 0))"), with ["python3"], needs ["CAP_SETPCAP"];
    a_capability_handed_on: Work {
        script: "setpriv --reuid=33 --regid=33 --clear-groups --inh-caps=+net_raw --ambient-caps=+net_raw true",
        ..PLAIN
    }, with [], needs ["CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID"];
    // Processes
    a_stack_of_the_kernel: Work { script: "cat /proc/self/stack", ..PLAIN }, with [], needs ["CAP_SYS_ADMIN"];
    a_new_root: Work { script: "chroot / true", ..PLAIN }, with [], needs ["CAP_SYS_CHROOT"];
    a_real_time_policy: Work { script: "chrt -f 10 true", ..PLAIN }, with ["chrt"], needs ["CAP_SYS_NICE"];
    an_idle_policy: Work { script: "chrt -i 0 true", ..PLAIN }, with ["chrt"], needs [];
    a_lower_limit: Work { script: "prlimit --pid $$ --nofile=100:100", ..PLAIN }, with ["prlimit"], needs [];
    all_memory_locked: Work { script: concat!("ulimit -l 64; ", python!("ok(c.mlockall(1))")), ..PLAIN },
        with ["python3"], needs ["CAP_IPC_LOCK"];
    little_memory_locked: call!("ok(c.mlock(ctypes.create_string_buffer(4096), 4096))"), with ["python3"], needs [];
    a_key_given_away: Work {
        script: "keyctl new_session >/dev/null; key=$(keyctl add user a b @s) && keyctl chown $key 33",
        ..PLAIN
    }, with ["keyctl"], needs ["CAP_SYS_ADMIN"];
    anothers_shared_memory: call!("
answer, go = os.pipe(), os.pipe()
if os.fork() == 0:
    os.setuid(33)
    memory = c.shmget(0, 4096, 0o600)
    os.write(answer[1], struct.pack(\"i\", memory))
    os.read(go[0], 1)
    os._exit(min(0, c.shmctl(memory, 0, None)))
os.close(answer[1])
memory = struct.unpack(\"i\", os.read(answer[0], 4))[0]
c.shmat.restype = ctypes.c_long
attached, removed = c.shmat(memory, None, 0), c.shmctl(memory, 0, None)
os.write(go[1], b\"x\")
os.wait()
ok(attached); ok(removed)"), with ["python3"], needs ["CAP_IPC_OWNER", "CAP_SETUID", "CAP_SYS_ADMIN"];
    the_kernel_s_log: Work { script: "dmesg >/dev/null", ..PLAIN }, with ["dmesg"], needs ["CAP_SYSLOG"];
    adjusting_the_clock: call!("
clock = ctypes.create_string_buffer(512)
ok(c.adjtimex(clock))
struct.pack_into(\"I\", clock, 0, 2)
ok(c.adjtimex(clock))"), with ["python3"], needs ["CAP_SYS_TIME"];
    asking_the_clock: call!("ok(c.adjtimex(ctypes.create_string_buffer(512)))"), with ["python3"], needs [];
    an_alarm_clock: call!("ok(c.timerfd_create(8, 0))"), with ["python3"], needs ["CAP_WAKE_ALARM"];
    watching_everyone_s_files: call!("ok(c.fanotify_init(4, 0))"), with ["python3"], needs ["CAP_SYS_ADMIN"];
    watching_one_s_own_files: call!("ok(c.fanotify_init(0x200, 0))"), with ["python3"], needs [];
    joining_a_mount_namespace: Work { script: "nsenter --mount=/proc/self/ns/mnt true", ..PLAIN },
        with ["nsenter"], needs ["CAP_SYS_ADMIN", "CAP_SYS_CHROOT"];
    a_new_root_file_system: Work {
        script: r#"unshare --mount sh -c 'mount --bind "$1" "$1" && cd "$1" && pivot_root . o' sh "$1/r""#,
        before: r#"mkdir -p "$1/r/o""#.to_owned(),
        ..PLAIN
    }, with ["unshare"], needs ["CAP_SYS_ADMIN"];
    // Networks
    a_packet_socket: call!("socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)"), with ["python3"], needs ["CAP_NET_RAW"];
    a_mark: call!("socket.socket().setsockopt(1, 36, 7)"), with ["python3"], needs ["CAP_NET_RAW"];
    a_high_priority: call!("socket.socket().setsockopt(1, 12, 7)"), with ["python3"], needs ["CAP_NET_RAW"];
    leaving_a_device: call!("
bound = socket.socket()
bound.setsockopt(1, 25, b\"lo\")
bound.setsockopt(1, 25, b\"\")"), with ["python3"], needs ["CAP_NET_RAW"];
    a_device_for_the_first_time: call!("socket.socket().setsockopt(1, 25, b\"lo\")"), with ["python3"], needs [];
    a_message_with_a_mark: Work {
        script: python!("
sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sender.sendmsg([b\"x\"], [(1, 36, struct.pack(\"i\", 7))], 0, (\"127.0.0.1\", 9))"),
        network: true,
        ..PLAIN
    }, with ["python3"], needs ["CAP_NET_RAW"];
    an_ordinary_priority: call!("socket.socket().setsockopt(1, 12, 6)"), with ["python3"], needs [];
    options_of_all_hops: call!("socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).setsockopt(41, 54, bytes(8))"),
        with ["python3"], needs ["CAP_NET_RAW"];
    an_address: Work { script: "ip address add 10.9.9.9/32 dev lo", network: true, ..PLAIN },
        with ["ip"], needs ["CAP_NET_ADMIN"];
    looking_at_the_network: Work { script: "ip address && ip route && ip link", network: true, ..PLAIN },
        with ["ip"], needs [];
    forwarding: Work { script: "echo 1 >/proc/sys/net/ipv4/ip_forward", network: true, ..PLAIN },
        with ["ip"], needs ["CAP_NET_ADMIN"];
    other_network_settings: Work { script: "echo 99 >/proc/sys/net/core/somaxconn", network: true, ..PLAIN },
        with ["ip"], needs [];
}

/// Everyone is told so, with the capability and without.
#[test]
fn neither_a_device_nor_an_algorithm_that_is_not_there() {
    if !ready(&["python3"], &[]) {
        return;
    }
    let device = call!(
        "
bound = socket.socket()
bound.setsockopt(1, 25, b\"lo\")
try: bound.setsockopt(1, 25, b\"none0\")
except OSError as error: ok(-abs(error.errno - 19))"
    );
    let algorithm = call!(
        "
try: socket.socket().setsockopt(6, 13, b\"nope\")
except OSError as error: ok(-abs(error.errno - 2))"
    );
    for work in [device, algorithm] {
        assert_eq!(work.needs(&[]).likely, Names::new());
    }
}
