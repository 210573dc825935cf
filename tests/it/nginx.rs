//! A real server, end to end: learned while it serves, reloads and stops; run again under the learned filter (issue 2).

use std::ffi::OsString;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use learn::record::file;

use crate::explain::every_line_of_every_profile_is_explained;
use crate::servers::{Nginx, Server};
use crate::support::{Running, finish, fixture, fresh, learn, require};

#[test]
fn it_runs_under_the_filter_that_was_learned() {
    if !require(&["ptrace", "nginx", "curl"]) {
        return;
    }
    let (_site, dir) = fresh();
    let (_learned, folder) = fresh();
    let site = Nginx::new(&dir);
    let start = |before: &mut Command, command: &[OsString]| Running::start(before.args(command).stdin(Stdio::null()));
    site.exercise(&|command| start(learn(["--quiet", "-o"]).arg(&folder).arg("--"), command));

    let record = file::read(fs::File::open(folder.join("learned.json")).unwrap()).unwrap();
    assert!(every_line_of_every_profile_is_explained(&record) > 90);

    let profile = folder.join("seccomp.json");
    assert_denies_by_default(&profile);
    site.exercise(&|command| start(Command::new(fixture()).arg("confined").arg(&profile).arg("--"), command));
    let enforce = ["enforce", "--strict", "--quiet", "--profile"];
    site.exercise(&|command| start(learn(enforce).arg(&folder).arg("--"), command));

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
    let site = Nginx::new(&dir);
    let learned = |name: &str, load: bool| {
        let to = folder.join(name);
        let load = load.then(|| Load::start(site.port()));
        site.exercise(&|command| {
            Running::start(learn(["--quiet", "-o"]).arg(&to).arg("--").args(command).stdin(Stdio::null()))
        });
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
