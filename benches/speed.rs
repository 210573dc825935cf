//! How much of its native speed a workload keeps under `learn` and under its rivals.
//!
//! `make bench` runs it and prints one table; `benches/README.md` keeps a table with what else was measured. Each figure
//! is the median over rounds in which all ways run in turn, so that a drift of the machine meets all alike. Arguments:
//! words that select workloads by name, and `--rounds N`.

#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// A way to run a workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Native,
    /// Under a seccomp filter that allows everything: what no filter can do without.
    Filter,
    /// Under one that asks a listener about each call by which files are found, which lets it go on and looks at
    /// nothing: what no unprivileged listener can do without.
    Listener,
    /// A first run.
    Learn,
    /// A run that knows an earlier one.
    Known,
    /// A first run of an unprivileged learner.
    Unprivileged,
    StraceSeccomp,
    Strace,
    Bpf,
}

impl Way {
    const ALL: [Self; 9] = [
        Self::Native,
        Self::Filter,
        Self::Listener,
        Self::Learn,
        Self::Known,
        Self::Unprivileged,
        Self::StraceSeccomp,
        Self::Strace,
        Self::Bpf,
    ];

    const fn title(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Filter => "empty filter",
            Self::Listener => "bare listener",
            Self::Learn => "learn",
            Self::Known => "second run",
            Self::Unprivileged => "unprivileged",
            Self::StraceSeccomp => "strace --seccomp-bpf",
            Self::Strace => "strace -f",
            Self::Bpf => "BPF count",
        }
    }
}

/// What is measured.
struct Workload {
    name: &'static str,
    /// The share of native speed that is asked for.
    goal: f64,
    /// Its amount of work, where `{n}` is written.
    size: u32,
    /// How many times less work the slow rivals get, whose speed hardly depends on it.
    ease: u32,
    /// Whether it can run as nobody.
    unprivileged: bool,
    kind: Kind,
}

enum Kind {
    /// A command that ends.
    Command { command: &'static str },
    /// A server and a load on its port that prints `requests per second`.
    Server { server: &'static str, load: &'static str },
}

const WORKLOADS: &[Workload] = &[
    Workload {
        name: "dd, one-byte reads and writes",
        goal: 0.9,
        size: 3_000_000,
        ease: 100,
        unprivileged: true,
        kind: Kind::Command { command: "dd if=/dev/zero of=/dev/null bs=1 count={n} status=none" },
    },
    Workload {
        name: "nginx return 200",
        goal: 0.95,
        size: 1,
        ease: 1,
        unprivileged: true,
        kind: Kind::Server { server: "nginx -c {dir}/nginx.conf", load: "wrk -t1 -c8 -d1s http://127.0.0.1:{port}/" },
    },
    Workload {
        name: "nginx static file",
        goal: 0.5,
        size: 1,
        ease: 1,
        unprivileged: true,
        kind: Kind::Server {
            server: "nginx -c {dir}/nginx.conf",
            load: "wrk -t1 -c8 -d1s http://127.0.0.1:{port}/file",
        },
    },
    Workload {
        name: "nginx as root, workers www-data",
        goal: 0.95,
        size: 1,
        ease: 1,
        unprivileged: false,
        kind: Kind::Server { server: "nginx -c {dir}/root.conf", load: "wrk -t1 -c8 -d1s http://127.0.0.1:{port}/" },
    },
    Workload {
        name: "redis get,set",
        goal: 0.9,
        size: 60_000,
        ease: 12,
        unprivileged: true,
        kind: Kind::Server {
            server: "redis-server --port {port} --bind 127.0.0.1 --save '' --dir {dir}",
            load: "redis-benchmark -p {port} -t get,set -P 1 -n {n} -c 8 --csv",
        },
    },
    Workload {
        name: "redis as root, own user switch",
        goal: 0.9,
        size: 60_000,
        ease: 12,
        unprivileged: false,
        kind: Kind::Server {
            server: "setpriv --reuid redis --regid redis --init-groups redis-server --port {port} --bind 127.0.0.1 --save '' --dir /tmp",
            load: "redis-benchmark -p {port} -t get,set -P 1 -n {n} -c 8 --csv",
        },
    },
    Workload {
        name: "shell loop of /bin/true",
        goal: 0.6,
        size: 2000,
        ease: 4,
        unprivileged: true,
        kind: Kind::Command { command: "sh -c 'i=0; while [ $i -lt {n} ]; do /bin/true; i=$((i+1)); done'" },
    },
    Workload {
        name: "tar of /usr/lib",
        goal: 0.4,
        size: 1,
        ease: 1,
        unprivileged: true,
        kind: Kind::Command {
            command: "tar -cf /dev/null --ignore-failed-read /usr/lib/x86_64-linux-gnu /usr/lib/python3",
        },
    },
    Workload {
        name: "tar of /usr/lib, contents read",
        goal: 0.4,
        size: 1,
        ease: 1,
        unprivileged: true,
        kind: Kind::Command {
            command: "sh -c 'tar -cf - --ignore-failed-read /usr/lib/x86_64-linux-gnu /usr/lib/python3 | cat >/dev/null'",
        },
    },
    Workload {
        name: "gcc -O2 of 5,000 lines",
        goal: 0.9,
        size: 1,
        ease: 1,
        unprivileged: true,
        kind: Kind::Command { command: "gcc -O2 -c {dir}/long.c -o /dev/null" },
    },
    Workload {
        name: "8 threads: getpid, futex, read",
        goal: 0.9,
        size: 400_000,
        ease: 20,
        unprivileged: true,
        kind: Kind::Command { command: "{dir}/threads {n}" },
    },
];

/// Programs in C that the workloads and ways consist of.
const SOURCES: [(&str, &str); 3] = [
    ("threads", include_str!("threads.c")),
    ("filter", include_str!("filter.c")),
    ("listener", include_str!("listener.c")),
];

/// One bench run: where its files are and how the learner is called.
struct Bench {
    directory: PathBuf,
    learn: &'static str,
}

impl Bench {
    fn new() -> Result<Self> {
        let directory = std::env::temp_dir().join(format!("learn-bench-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let bench = Self { directory, learn: env!("CARGO_BIN_EXE_learn") };
        // Anybody may run what lies there, so that an unprivileged learner can.
        Self::shell(&format!("chmod 777 {0}; cp {1} {0}/learn; chmod 755 {0}/learn", bench.path(), bench.learn))?;
        for (name, text) in SOURCES {
            bench.write(&format!("{name}.c"), text)?;
            Self::shell(&format!("cd {}; gcc -O2 -pthread {name}.c -o {name}", bench.path()))?;
        }
        let mut long = String::new();
        for line in 0..5000 / 5 {
            writeln!(
                long,
                "int f{line}(int a, int b) {{\n  int s = a;\n  for (int i = 0; i < b; i++) s += i * {line} ^ s >> 3;\n  return s;\n}}"
            )?;
        }
        bench.write("long.c", &long)?;
        bench.write("file", "hello\n")?;
        Ok(bench)
    }

    fn path(&self) -> String {
        self.directory.display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        Ok(std::fs::write(self.directory.join(name), text)?)
    }

    fn shell(script: &str) -> Result<()> {
        let status = Command::new("sh").arg("-c").arg(script).status()?;
        if status.success() { Ok(()) } else { Err(format!("`{script}` failed: {status}").into()) }
    }

    /// Configurations of nginx for one run, which may be of any user.
    fn nginx(&self, port: u16) -> Result<()> {
        let files = self.path();
        let directory = format!("{files}/{port}");
        Self::shell(&format!("mkdir -p {directory}; chmod 777 {directory}"))?;
        for (name, user) in [("nginx.conf", ""), ("root.conf", "user www-data;")] {
            let config = format!(
                "{user} daemon off; worker_processes 1; pid {directory}/{name}.pid; error_log {directory}/{name}.log;
                 events {{ worker_connections 64; }}
                 http {{ access_log off; client_body_temp_path {directory}/t1; proxy_temp_path {directory}/t2;
                   fastcgi_temp_path {directory}/t3; uwsgi_temp_path {directory}/t4; scgi_temp_path {directory}/t5;
                   keepalive_requests 1000000;
                   server {{ listen 127.0.0.1:{port}; location / {{ return 200 ok; }} location /file {{ root {files}; }} }} }}"
            );
            self.write(name, &config)?;
        }
        Ok(())
    }

    /// The command line that runs `command` in one way.
    fn command(&self, way: Way, command: &str) -> String {
        let directory = self.path();
        let quoted = command.replace('\'', r"'\''");
        let plain = format!("sh -c 'exec {quoted}'");
        let learn = format!("{directory}/learn --quiet -o {directory}");
        match way {
            Way::Native | Way::Bpf => plain,
            Way::Filter => format!("{directory}/filter {plain}"),
            Way::Listener => format!("{directory}/listener {plain}"),
            Way::Learn => format!("{learn}/first --fresh -- {plain}"),
            Way::Known => format!("{learn}/known -- {plain}"),
            Way::Unprivileged => {
                format!("setpriv --reuid nobody --regid nogroup --clear-groups {learn}/nobody --fresh -- {plain}")
            }
            Way::StraceSeccomp => format!("strace -f --seccomp-bpf -e trace=%file,%network -o /dev/null {plain}"),
            Way::Strace => format!("strace -f -o /dev/null {plain}"),
        }
    }

    fn spawn(&self, way: Way, command: &str) -> Result<Child> {
        let line = format!("exec {}", self.command(way, command));
        let quiet = Command::new("sh")
            .arg("-c")
            .arg(line)
            // Cargo's, in which every program would look for its libraries first.
            .env_remove("LD_LIBRARY_PATH")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        Ok(quiet)
    }

    /// Speed of one run, in its own unit: work or requests a second.
    fn measure(&self, way: Way, workload: &Workload) -> Result<f64> {
        let _counter = (way == Way::Bpf).then(BpfCount::start).transpose()?;
        let ease = if matches!(way, Way::Strace | Way::StraceSeccomp) { workload.ease } else { 1 };
        let size = (workload.size / ease).max(1);
        let fill = |text: &str| text.replace("{n}", &size.to_string()).replace("{dir}", &self.path());
        match workload.kind {
            Kind::Command { command } => {
                let command = fill(command);
                let began = Instant::now();
                let status = self.spawn(way, &command)?.wait()?;
                if !matches!(status.code(), Some(0..=2)) {
                    return Err(format!("`{}` ended with {status}", self.command(way, &command)).into());
                }
                Ok(f64::from(size) / began.elapsed().as_secs_f64())
            }
            Kind::Server { server, load } => {
                let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
                self.nginx(port)?;
                let fill = |text: &str| fill(text).replace("{port}", &port.to_string());
                let mut server = self.spawn(way, &fill(server))?;
                let speed = Self::load(&mut server, port, &fill(load));
                // strace keeps the signal to itself: it goes to what strace runs.
                let pid = server.id();
                let traced = matches!(way, Way::Strace | Way::StraceSeccomp);
                let whom = if traced { format!("$(cat /proc/{pid}/task/{pid}/children)") } else { pid.to_string() };
                Self::shell(&format!("kill -TERM {whom}"))?;
                server.wait()?;
                speed
            }
        }
    }

    /// Requests a second of a server that is up; a first load, not counted, lets every way settle.
    fn load(server: &mut Child, port: u16, load: &str) -> Result<f64> {
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > deadline || server.try_wait()?.is_some() {
                return Err(format!("no server came up for `{load}`").into());
            }
            sleep(Duration::from_millis(20));
        }
        let mut speed = 0.0;
        for _ in 0..2 {
            let output = Command::new("sh").arg("-c").arg(load).output()?;
            speed = requests_per_second(&String::from_utf8_lossy(&output.stdout))?;
        }
        Ok(speed)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(Path::new(&self.directory));
    }
}

/// The privileged rival: every system call of the machine counted in the kernel.
struct BpfCount(Child);

impl BpfCount {
    fn start() -> Result<Self> {
        let program = "BEGIN { printf(\"ready\\n\"); } tracepoint:raw_syscalls:sys_enter { @[args->id] = count(); }";
        let script = "test -e /sys/kernel/tracing/events || mount -t tracefs tracefs /sys/kernel/tracing; exec \"$@\"";
        let mut child = Command::new("unshare")
            .args(["-m", "sh", "-c", script, "sh", "bpftrace", "-B", "line", "-e", program])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut line = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().ok_or("no output of bpftrace")?);
        while !line.contains("ready") {
            line.clear();
            if std::io::BufRead::read_line(&mut output, &mut line)? == 0 {
                return Err("bpftrace cannot count system calls here".into());
            }
        }
        Ok(Self(child))
    }
}

impl Drop for BpfCount {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// From what wrk or redis-benchmark print; of several tests the geometric mean.
fn requests_per_second(output: &str) -> Result<f64> {
    let of_wrk = |line: &str| line.strip_prefix("Requests/sec:").and_then(|value| value.trim().parse::<f64>().ok());
    let of_redis = |line: &str| line.split(',').nth(1).and_then(|value| value.trim_matches('"').parse::<f64>().ok());
    let speeds: Vec<f64> = output.lines().filter_map(|line| of_wrk(line).or_else(|| of_redis(line))).collect();
    if speeds.is_empty() {
        return Err(format!("no speed in: {output}").into());
    }
    let count = f64::from(u32::try_from(speeds.len())?);
    Ok((speeds.iter().map(|speed| speed.ln()).sum::<f64>() / count).exp())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    values.get(middle).copied().unwrap_or(f64::NAN)
}

fn is_root() -> bool {
    nix::unistd::getuid().is_root()
}

fn present(program: &str) -> bool {
    Command::new("sh")
        .arg("-c")
        .arg(format!("command -v {program} >/dev/null"))
        .status()
        .is_ok_and(|status| status.success())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let rounds = arguments.iter().position(|argument| argument == "--rounds");
    let rounds_value = rounds.and_then(|at| arguments.get(at + 1)).map_or(Ok(5), |value| value.parse())?;
    let names: Vec<&String> = arguments
        .iter()
        .enumerate()
        .filter(|(at, _)| rounds.is_none_or(|flag| *at != flag && *at != flag + 1))
        .map(|(_, name)| name)
        .collect();
    let bench = Bench::new()?;
    let possible = |way: Way, workload: &Workload| match way {
        Way::Unprivileged => is_root() && workload.unprivileged,
        Way::Strace | Way::StraceSeccomp => present("strace"),
        Way::Bpf => is_root() && present("bpftrace"),
        _ => true,
    };
    let titles: Vec<_> = Way::ALL.iter().map(|way| way.title()).collect();
    println!("| workload | goal | {} |", titles.join(" | "));
    println!("|---|---|{}", "---|".repeat(titles.len()));
    let chosen =
        |workload: &&Workload| names.is_empty() || names.iter().any(|name| workload.name.contains(name.as_str()));
    for workload in WORKLOADS.iter().filter(chosen) {
        let ways: Vec<Way> = Way::ALL.into_iter().filter(|way| possible(*way, workload)).collect();
        if ways.contains(&Way::Known) {
            bench.measure(Way::Known, workload)?; // What the second run knows.
        }
        let mut speeds: BTreeMap<Way, Vec<f64>> = BTreeMap::new();
        for _ in 0..rounds_value {
            for &way in &ways {
                speeds.entry(way).or_default().push(bench.measure(way, workload)?);
            }
        }
        let medians: BTreeMap<Way, f64> = speeds.into_iter().map(|(way, values)| (way, median(values))).collect();
        let native = medians.get(&Way::Native).copied().unwrap_or(f64::NAN);
        let cells = Way::ALL.iter().map(|way| match medians.get(way) {
            None => "-".to_owned(),
            Some(speed) if *way == Way::Native => format!("{speed:.0}/s"),
            Some(speed) if speed / native < 0.1 => format!("{:.4}", speed / native),
            Some(speed) => format!("{:.2}", speed / native),
        });
        println!("| {} | {} | {} |", workload.name, workload.goal, cells.collect::<Vec<_>>().join(" | "));
        let known = bench.directory.join("known");
        let _ = std::fs::remove_dir_all(known);
    }
    Ok(())
}
