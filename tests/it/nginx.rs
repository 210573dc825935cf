//! A real server, end to end: learned while it serves, reloads and stops; run again under the learned filter (issue 2).

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Running, finish, fixture, free_port, fresh, learn, require, wait_until};

const NGINX: &str = "/usr/sbin/nginx";

/// An nginx with a configuration of its own.
struct Site {
    dir: PathBuf,
    port: u16,
}

impl Site {
    fn new(dir: &Path) -> Self {
        let port = free_port();
        fs::create_dir(dir.join("html")).unwrap();
        fs::write(dir.join("html/index.html"), "served").unwrap();
        fs::write(dir.join("nginx.conf"), configuration(dir, port)).unwrap();
        Self { dir: dir.to_path_buf(), port }
    }

    /// The command that starts it, to stand after another one.
    fn start(&self, before: &mut Command) -> Running {
        let command = before.arg(NGINX).arg("-c").arg(self.dir.join("nginx.conf")).arg("-p").arg(&self.dir);
        Running::start(command.stdin(Stdio::null()))
    }

    /// Waits for it, fetches, reloads, fetches, stops; the same every time.
    fn use_and_stop(&self, mut server: Running) -> ExitStatus {
        wait_until("nginx listens", || {
            assert_eq!(server.try_wait().unwrap(), None, "nginx ended early: {}", self.log());
            TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok()
        });
        assert_eq!(self.fetch("/index.html"), "served");
        assert_eq!(self.fetch("/status"), "works");
        let master = fs::read_to_string(self.dir.join("nginx.pid")).unwrap();
        let master = Pid::from_raw(master.trim().parse().unwrap());
        kill(master, Signal::SIGHUP).unwrap();
        wait_until("nginx has reloaded", || self.log().matches("start worker process ").count() == 2);
        wait_until("the old worker has gone", || self.log().contains("exited with code 0"));
        assert_eq!(self.fetch("/index.html"), "served");
        kill(master, Signal::SIGQUIT).unwrap();
        let mut status = None;
        wait_until("nginx has stopped", || {
            status = server.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    fn fetch(&self, path: &str) -> String {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let output =
            finish(Command::new("curl").args(["--silent", "--show-error", "--fail", "--max-time", "30", &url]));
        assert!(output.status.success(), "{url}: {}{}", String::from_utf8_lossy(&output.stderr), self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("error.log")).unwrap_or_default()
    }

    /// What nginx makes, so that the next start finds everything as the first one did.
    fn clean(&self) {
        for name in ["error.log", "access.log", "nginx.pid"] {
            let _ = fs::remove_file(self.dir.join(name));
        }
        for name in ["body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            let _ = fs::remove_dir_all(self.dir.join(name));
        }
    }

    fn forget_log(&self) {
        fs::write(self.dir.join("error.log"), "").unwrap();
    }
}

fn configuration(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    // Started by root, the worker would become nobody, who has to get at the files.
    let user = if nix::unistd::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "daemon off; {user}
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log notice;
events {{ worker_connections 64; }}
http {{
    access_log {dir}/access.log;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    server {{
        listen 127.0.0.1:{port};
        root {dir}/html;
        location = /status {{ return 200 works; }}
    }}
}}
"
    )
}

#[test]
fn it_runs_under_the_filter_that_was_learned() {
    if !require(&["ptrace", "nginx", "curl"]) {
        return;
    }
    let (_site, dir) = fresh();
    let (_learned, folder) = fresh();
    let site = Site::new(&dir);
    let learned = site.start(learn(["--quiet", "-o"]).arg(&folder).arg("--"));
    assert!(site.use_and_stop(learned).success());

    let profile = folder.join("seccomp.json");
    assert_denies_by_default(&profile);
    site.forget_log();
    let mut confined = Command::new(fixture());
    let server = site.start(confined.arg("confined").arg(&profile).arg("--"));
    assert!(site.use_and_stop(server).success());

    site.forget_log();
    let mut enforced = learn(["enforce", "--strict", "--quiet", "--profile"]);
    let server = site.start(enforced.arg(&folder).arg("--"));
    assert!(site.use_and_stop(server).success(), "something was denied");

    assert_refused(&profile, "personality");
}

/// The machine is busy and other clients ask for the same, as long as this lives.
struct Load {
    over: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<usize>>,
}

impl Load {
    fn start(port: u16) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let busy = |work: fn(u16)| {
            let over = Arc::clone(&over);
            std::thread::spawn(move || {
                let mut rounds = 0;
                while !over.load(Ordering::Relaxed) {
                    work(port);
                    rounds += 1;
                }
                rounds
            })
        };
        let ask = |port| {
            if let Ok(mut socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
                let request = b"GET /index.html HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n";
                let _ = socket.write_all(request).and_then(|()| socket.read_to_end(&mut Vec::new()));
            }
        };
        let count = |_| {
            std::hint::black_box((0..1_000_000u64).map(std::hint::black_box).sum::<u64>());
        };
        let threads = [ask, ask, ask, ask, count, count, count].map(busy);
        Self { over, threads: threads.into_iter().collect() }
    }

    /// How many rounds each thread made.
    fn stop(self) -> Vec<usize> {
        self.over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    }
}

#[test]
fn learned_idle_and_under_load_it_differs_in_noise_at_most() {
    if !require(&["ptrace", "nginx", "curl"]) {
        return;
    }
    let (_site, dir) = fresh();
    let (_learned, folder) = fresh();
    let site = Site::new(&dir);
    let learned = |name: &str, load: bool| {
        site.clean();
        let to = folder.join(name);
        let load = load.then(|| Load::start(site.port));
        let server = site.start(learn(["--quiet", "-o"]).arg(&to).arg("--"));
        assert!(site.use_and_stop(server).success());
        if let Some(load) = load {
            let rounds = load.stop();
            assert!(rounds.iter().all(|rounds| *rounds > 1), "there was load: {rounds:?}");
        }
        to
    };
    let (idle, busy) = (learned("idle", false), learned("busy", true));
    for (old, new) in [(&idle, &busy), (&busy, &idle)] {
        let output = finish(learn(["diff", "--fail-on", "low"]).args([old, new]));
        let told = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{told}{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The rule for everything that no other rule names.
fn assert_denies_by_default(profile: &Path) {
    let profile: serde_json::Value = serde_json::from_slice(&fs::read(profile).unwrap()).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    assert_eq!(profile["architectures"], serde_json::json!(["SCMP_ARCH_X86_64"]), "nothing else was seen");
}

/// A call that nginx never makes works without the profile, and fails with it.
fn assert_refused(profile: &Path, call: &str) {
    let (_fresh, dir) = fresh();
    let all = dir.join("all.json");
    fs::write(&all, r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": [], "syscalls": []}"#).unwrap();
    let errno = |profile: &Path| finish(Command::new(fixture()).arg("refused").arg(profile).arg(call)).status.code();
    assert_eq!(errno(&all), Some(0));
    assert_eq!(errno(profile), Some(libc::EPERM));
}
