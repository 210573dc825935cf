//! The capabilities of real workloads: those learned are those that it cannot do without (issue 6).
//!
//! Each is proven here, by `learn enforce --caps`: with the needed ones alone it does its work, and without any one of
//! them it fails.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use learn::fact::Operation;
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

/// Waits for an nginx, fetches from it and stops it.
const NGINX: &str = r#"
/usr/sbin/nginx -c "$1/nginx.conf" -p "$1" & server=$!
for _ in $(seq 200); do
    curl --silent --fail --max-time 3 http://127.0.0.1:"$(cat "$1/port")"/ >"$1/fetched" && break
    [ $? = 7 ] || break
    kill -0 $server || break
    sleep 0.02
done
kill -TERM $server; wait $server
grep -q served "$1/fetched""#;

/// Makes what an nginx needs, afresh.
fn nginx_files(user: &str, port: u16) -> String {
    format!(
        r#"
cd "$1"; rm -rf fetched nginx.pid *.log temp-*
mkdir -p html; echo served >html/index.html; chmod 777 .; echo {port} >port
cat >nginx.conf <<END
{user}
daemon off; worker_processes 1; pid $1/nginx.pid; error_log $1/error.log;
events {{}}
http {{ access_log $1/access.log; client_body_temp_path $1/temp-1; proxy_temp_path $1/temp-2;
fastcgi_temp_path $1/temp-3; uwsgi_temp_path $1/temp-4; scgi_temp_path $1/temp-5;
server {{ listen {port}; root $1/html; }} }}
END"#
    )
}

const REDIS: &str = r#"
cd "$1"
find . ! -user redis -exec chown redis:redis {} +
/usr/bin/setpriv --reuid=redis --regid=redis --clear-groups \
    redis-server --port 0 --unixsocket "$1/socket" --unixsocketperm 777 --dir "$1" --daemonize no >/dev/null & server=$!
for _ in $(seq 100); do
    [ -S "$1/socket" ] && [ "$(redis-cli -s "$1/socket" set key value 2>&1)" = OK ] && break
    sleep 0.02
done
redis-cli -s "$1/socket" shutdown save
wait $server && [ -s dump.rdb ]"#;

const PYTHON: &str = r#"
/usr/bin/python3 -c '
import os, socket
server = socket.create_server(("127.0.0.1", 80))
os.setgroups([]); os.setgid(65534); os.setuid(65534)
client = socket.create_connection(("127.0.0.1", 80))
server.accept()[0].sendall(b"x")
assert client.recv(1) == b"x"'"#;

/// A login whose session is `nologin`, which says so.
const SSHD: &str = r#"
/usr/sbin/sshd -D -e -f "$1/config" 2>"$1/log" & server=$!
for _ in $(seq 200); do
    ssh -F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ConnectTimeout=10 -i "$1/user" \
        -p 2222 nobody@127.0.0.1 >"$1/said" 2>&1
    grep -q 'Connection refused' "$1/said" || break
    kill -0 $server || break
    sleep 0.02
done
kill $server; wait $server
grep -q 'not available' "$1/said""#;

const SSHD_FILES: &str = r#"
cd "$1"; mkdir -p /run/sshd
[ -f host ] || ssh-keygen -q -t ed25519 -N '' -f host
[ -f user ] || ssh-keygen -q -t ed25519 -N '' -f user
cat >config <<END
Port 2222
ListenAddress 127.0.0.1
HostKey $1/host
PidFile none
AuthorizedKeysFile $1/user.pub
StrictModes no
UsePAM no
END"#;

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
    a_raw_socket: Work {
        script: "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'",
        ..PLAIN
    }, with ["python3"], needs ["CAP_NET_RAW"];
    adding_a_network_interface: Work {
        script: "ip link add learn0 type veth && ip link delete learn0",
        network: true,
        ..PLAIN
    }, with ["ip"], needs ["CAP_NET_ADMIN"];
    a_python_server_that_becomes_nobody: Work { script: PYTHON, network: true, ..PLAIN },
        with ["python3"], needs ["CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"];
    nginx_on_port_80: Work {
        script: NGINX,
        before: nginx_files("user www-data;", 80),
        network: true,
        ..PLAIN
    }, with ["nginx", "curl"], needs ["CAP_CHOWN", "CAP_NET_BIND_SERVICE", "CAP_SETGID", "CAP_SETUID"];
    nginx_on_port_8080_as_a_user: Work {
        script: NGINX,
        before: nginx_files("", 8080),
        user: Some("www-data"),
        network: true,
    }, with ["nginx", "curl"], needs [];
    redis_that_becomes_its_user: Work { script: REDIS, before: r#"cd "$1"; rm -rf *; chown 0:0 ."#.to_owned(), ..PLAIN },
        with ["redis-server", "redis-cli"], needs ["CAP_CHOWN", "CAP_SETGID", "CAP_SETUID"];
    a_login_by_ssh: Work { script: SSHD, before: SSHD_FILES.to_owned(), network: true, ..PLAIN },
        with ["sshd", "ssh"], needs ["CAP_SETGID", "CAP_SETUID", "CAP_SYS_CHROOT"];
}

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

/// `learn minimize --caps` comes to the same by dropping one after the other.
#[test]
fn minimizing_keeps_what_is_needed() {
    if !ready(&["su"], &["CAP_SETGID", "CAP_SETUID"]) {
        return;
    }
    let command = ["minimize", "--caps", "--json", "--", "su", "-s", "/bin/sh", "nobody", "-c", "id"];
    let output = finish(&mut learn(command));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert!(errors.contains("(nobody)"), "what the command prints is no part of the transcript: {errors}");
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["minimal"], serde_json::json!(["CAP_SETGID", "CAP_SETUID"]));
    let runs = told["runs"].as_array().unwrap();
    let without = |name: &str| runs.iter().find(|run| run["without"][0] == name).unwrap()["status"].as_i64().unwrap();
    assert!(without("CAP_SETGID") != 0 && without("CAP_SETUID") != 0, "{told}");
}

#[test]
fn minimizing_is_bounded() {
    if !ready(&[], &["CAP_SETGID"]) {
        return;
    }
    let (_fresh, dir) = fresh();
    let count = dir.join("count");
    let before = format!("echo x >>{}", count.display());
    let drop_groups = ["python3", "-c", "import os; os.setgroups([])"];
    let mut minimize = learn(["minimize", "--caps", "--runs", "2", "--before", before.as_str(), "--"]);
    let output = finish(minimize.args(drop_groups));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("not tried, and kept: CAP_SETGID"));
    assert_eq!(fs::read_to_string(&count).unwrap().lines().count(), 2);

    let hangs = finish(&mut learn(["minimize", "--caps", "--timeout", "100ms", "--", "sleep", "600"]));
    let said = String::from_utf8_lossy(&hangs.stderr);
    assert_eq!(hangs.status.code(), Some(2), "{said}");
    assert!(said.contains("and it took too long"), "{said}");
}

/// The kernel's own account: it confirms what is needed, and shows what the rules do not know.
#[test]
fn the_kernel_is_a_witness() {
    if !ready(&["su", "python3", "cap_capable"], &["CAP_SETGID", "CAP_SETUID", "CAP_IPC_LOCK"]) {
        return;
    }
    let (_fresh, dir) = fresh();
    // SHM_LOCK of one's own memory, within the limit: the kernel asks first and looks at the owner afterwards.
    let script = "
su -s /bin/sh nobody -c id
python3 -c '
import ctypes
c = ctypes.CDLL(None)
memory = c.shmget(0, 4096, 0o1600)
assert c.shmctl(memory, 11, None) == 0 and c.shmctl(memory, 0, None) == 0'";
    let mut learn = learn(["--quiet", "--kernel-evidence", "-o"]);
    let output = finish(learn.arg(&dir).args(["--", "sh", "-c", script]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let record = read_record(&dir).unwrap();
    let needs = needs(&record);
    let of = |name: &str| needs.iter().find(|need| need.capability.name() == name).unwrap();
    for name in ["CAP_SETGID", "CAP_SETUID"] {
        let need = of(name);
        assert_eq!(need.standing, Standing::Needed);
        let confirmed = |reason: &Reason<'_>| matches!(reason.check.operation, Operation::Observed { .. });
        assert!(need.reasons.iter().any(confirmed), "the kernel asked for {name}: {:?}", need.reasons);
    }
    assert_eq!(of("CAP_IPC_LOCK").standing, Standing::Asked, "shown, and not granted by profiles");
    assert!(record.gaps.is_empty(), "{:?}", record.gaps);
    let text = fs::read_to_string(dir.join("capabilities.txt")).unwrap();
    assert!(text.contains("# CAP_IPC_LOCK\n") && !text.contains("--cap-add=IPC_LOCK"), "{text}");
}

#[test]
fn minimizing_calls_keeps_what_the_work_needs() {
    if !require(&["ptrace"]) {
        return;
    }
    let (_fresh, dir) = fresh();
    let made = dir.join("made");
    let before = format!("rm -rf {}", made.display());
    let mut minimize = learn(["minimize", "--syscalls", "--json", "--runs", "200", "--before", before.as_str(), "--"]);
    let output = finish(minimize.arg("mkdir").arg(&made));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = |key: &str| serde_json::from_value::<BTreeSet<String>>(told[key].clone()).unwrap();
    assert!(names("minimal").iter().any(|name| name.starts_with("mkdir")), "{told}");
    assert!(!names("dropped").is_empty() && names("untried").is_empty(), "{told}");
    let runs = told["runs"].as_array().unwrap().len();
    assert!(runs < 200 && names("minimal").is_disjoint(&names("dropped")));
}
