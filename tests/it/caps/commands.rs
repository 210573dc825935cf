//! What administrators type.

use super::{PLAIN, Work, ready, require, workloads};

workloads! {
    changing_the_owner_of_a_tree: Work {
        script: r#"chown -R www-data:www-data "$1/tree""#,
        before: r#"cd "$1"; rm -rf tree; mkdir -p tree/a/b; touch tree/f tree/a/b/g"#.to_owned(),
        ..PLAIN
    }, with [], needs ["CAP_CHOWN"];
    a_command_as_nobody: Work { script: "su -s /bin/sh nobody -c id", ..PLAIN },
        with ["su"], needs ["CAP_SETGID", "CAP_SETUID"];
    mounting_a_tmpfs: Work {
        script: r#"mount -t tmpfs tmpfs "$1/m" && umount "$1/m""#,
        before: r#"mkdir -p "$1/m""#.to_owned(),
        ..PLAIN
    }, with ["mount"], needs ["CAP_SYS_ADMIN"];
    /// Root of the new namespace is root of the old one: user 0 is mapped to itself (Linux 5.12).
    a_user_namespace_by_root: Work { script: "unshare --user --map-root-user true", ..PLAIN },
        with ["unshare"], needs ["CAP_SETFCAP"];
    a_user_namespace_by_a_user: Work {
        script: "unshare --user --map-root-user true",
        user: Some("www-data"),
        ..PLAIN
    }, with ["unshare"], needs [];
    unpacking_others_files: Work {
        script: r#"tar xpf "$1/a.tar" -C "$1/x" && [ "$(stat -c %u:%a "$1/x/t/f")" = 33:4755 ]"#,
        before: r#"cd "$1"; rm -rf t x; mkdir -p t/d x; touch t/f t/d/g; chown -R 33:33 t; chmod 4755 t/f; tar cf a.tar t"#.to_owned(),
        ..PLAIN
    }, with ["tar"], needs ["CAP_CHOWN", "CAP_FOWNER"];
    /// The kernel looks at the time before it asks for the capability.
    setting_the_clock_to_nonsense: Work { script: "! date -s @99999999999999999", ..PLAIN }, with [], needs [];
    a_better_nice_value: Work { script: "renice -n -5 $$", ..PLAIN }, with ["renice"], needs ["CAP_SYS_NICE"];
    making_a_device: Work {
        script: r#"mknod "$1/node" c 1 3"#,
        before: r#"rm -f "$1/node""#.to_owned(),
        ..PLAIN
    }, with [], needs ["CAP_MKNOD"];
    reading_anothers_private_file: Work {
        script: r#"cat "$1/secret""#,
        before: r#"cd "$1"; echo secret >secret; chmod 600 secret; chown nobody secret"#.to_owned(),
        ..PLAIN
    }, with [], needs ["CAP_DAC_READ_SEARCH"];
    /// An echo request, and what comes back: the request itself, since it goes to oneself, and the answer.
    pinging: Work {
        script: "python3 -c '
import socket, struct
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
raw.settimeout(10)
raw.sendto(struct.pack(\"!BBHHH\", 8, 0, 0xf7fd, 1, 1), (\"127.0.0.1\", 0))
while raw.recv(100)[20] != 0: pass'",
        network: true,
        ..PLAIN
    }, with ["python3"], needs ["CAP_NET_RAW"];
    adding_a_network_interface: Work {
        script: "ip link add learn0 type veth && ip link delete learn0",
        network: true,
        ..PLAIN
    }, with ["ip"], needs ["CAP_NET_ADMIN"];
    /// What failed for another reason proves nothing.
    adding_an_interface_of_no_kind: Work {
        script: "! ip link add learn0 type nosuchkind",
        network: true,
        ..PLAIN
    }, with ["ip"], needs [];
}
