//! Real servers, each with a configuration of its own and an exercise that is the same wherever it runs: on the machine,
//! under `learn`, in a container.

use std::ffi::OsString;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::signal::Signal;

use crate::support::{Running, finish, free_port, wait_until};

/// A server in a directory of its own, which may be used again and again.
pub trait Server {
    /// Its program.
    fn program(&self) -> &'static str;

    /// The command that starts it in the foreground.
    fn command(&self) -> Vec<OsString>;

    /// Starts it, uses it, stops it, twice. Passing means that it did all that it should, and ended with 0 when it was
    /// asked to.
    fn exercise(&self, start: &dyn Fn(&[OsString]) -> Running);
}

/// A web server: fetched from, reloaded, stopped gracefully and at once.
pub struct Nginx {
    dir: PathBuf,
    port: u16,
}

impl Nginx {
    pub fn new(dir: &Path) -> Self {
        let port = free_port();
        fs::create_dir(dir.join("html")).unwrap();
        fs::write(dir.join("html/index.html"), "served").unwrap();
        fs::write(dir.join("nginx.conf"), nginx_configuration(dir, port)).unwrap();
        Self { dir: dir.to_path_buf(), port }
    }

    /// Where it listens on the loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    fn fetch(&self, path: &str) -> Option<String> {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        let output = finish(Command::new("curl").args(["--silent", "--fail", "--max-time", "5", &url]));
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("error.log")).unwrap_or_default()
    }

    /// Waits until `condition` holds, as long as neither the server nor one of its workers falls.
    fn expect(&self, what: &str, server: &mut Running, mut condition: impl FnMut() -> bool) {
        wait_until(what, || {
            let log = self.log();
            assert_eq!(server.try_wait().unwrap(), None, "{what}: nginx ended early: {log}");
            assert!(!log.contains("exited on signal"), "{what}: {log}");
            condition()
        });
    }

    fn serves(&self, server: &mut Running) {
        for (path, body) in [("/index.html", "served"), ("/status", "works")] {
            self.expect(path, server, || self.fetch(path).is_some_and(|fetched| fetched == body));
        }
    }

    fn started(&self, start: &dyn Fn(&[OsString]) -> Running) -> Running {
        fs::write(self.dir.join("error.log"), "").unwrap();
        let mut server = start(&self.command());
        self.expect("nginx listens", &mut server, || TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_ok());
        self.serves(&mut server);
        server
    }
}

impl Server for Nginx {
    fn program(&self) -> &'static str {
        "/usr/sbin/nginx"
    }

    fn command(&self) -> Vec<OsString> {
        let configuration = self.dir.join("nginx.conf");
        vec![self.program().into(), "-c".into(), configuration.into(), "-p".into(), self.dir.clone().into()]
    }

    fn exercise(&self, start: &dyn Fn(&[OsString]) -> Running) {
        // What it makes when it first starts.
        for made in TEMPORARY.map(|name| self.dir.join(name)).iter().filter(|made| made.exists()) {
            fs::remove_dir_all(made).unwrap();
        }
        let mut server = self.started(start);
        server.signal(Signal::SIGHUP);
        self.expect("it reloads", &mut server, || self.log().matches("start worker process ").count() == 2);
        self.expect("the old worker goes", &mut server, || self.log().contains("exited with code 0"));
        self.serves(&mut server);
        stopped(server, Signal::SIGQUIT);
        stopped(self.started(start), Signal::SIGTERM);
    }
}

/// Where nginx keeps what it transfers.
const TEMPORARY: [&str; 5] = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

fn nginx_configuration(dir: &Path, port: u16) -> String {
    let dir = dir.display();
    // Who becomes somebody else needs to be root, who has no choice.
    let user = if nix::unistd::geteuid().is_root() { "user daemon;" } else { "" };
    let temporary = TEMPORARY.map(|name| format!("{name}_temp_path {dir}/{name};")).join(" ");
    format!(
        "daemon off; {user}
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log notice;
events {{ worker_connections 64; }}
http {{
    access_log {dir}/access.log;
    {temporary}
    server {{
        listen 127.0.0.1:{port};
        root {dir}/html;
        location = /status {{ return 200 works; }}
    }}
}}
"
    )
}

/// A database: written to, saved by a child, stopped, and read from when it is back.
pub struct Redis {
    dir: PathBuf,
    port: u16,
}

impl Redis {
    pub fn new(dir: &Path) -> Self {
        let port = free_port();
        let configuration = format!(
            "bind 127.0.0.1\nport {port}\ndir {dir}\nlogfile {dir}/redis.log\ndaemonize no\nsave \"\"\n",
            dir = dir.display()
        );
        fs::write(dir.join("redis.conf"), configuration).unwrap();
        Self { dir: dir.to_path_buf(), port }
    }

    fn ask(&self, words: &[&str]) -> String {
        let output = finish(Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.dir.join("redis.log")).unwrap_or_default()
    }

    fn expect(&self, what: &str, server: &mut Running, condition: impl Fn() -> bool) {
        wait_until(what, || {
            assert_eq!(server.try_wait().unwrap(), None, "{what}: redis ended early: {}", self.log());
            assert!(!self.log().contains("Background saving terminated by signal"), "{what}: {}", self.log());
            condition()
        });
    }

    fn started(&self, start: &dyn Fn(&[OsString]) -> Running) -> Running {
        let mut server = start(&self.command());
        self.expect("redis answers", &mut server, || self.ask(&["ping"]) == "PONG");
        server
    }
}

impl Server for Redis {
    fn program(&self) -> &'static str {
        "/usr/bin/redis-server"
    }

    fn command(&self) -> Vec<OsString> {
        vec![self.program().into(), self.dir.join("redis.conf").into()]
    }

    fn exercise(&self, start: &dyn Fn(&[OsString]) -> Running) {
        let dump = self.dir.join("dump.rdb");
        if dump.exists() {
            fs::remove_file(&dump).unwrap();
        }
        let mut server = self.started(start);
        assert_eq!(self.ask(&["set", "key", "kept"]), "OK");
        assert_eq!(self.ask(&["get", "key"]), "kept");
        assert_eq!(self.ask(&["bgsave"]), "Background saving started");
        self.expect("it saves", &mut server, || {
            self.ask(&["info", "persistence"]).contains("rdb_bgsave_in_progress:0") && dump.exists()
        });
        stopped(server, Signal::SIGTERM);
        let server = self.started(start);
        assert_eq!(self.ask(&["get", "key"]), "kept");
        stopped(server, Signal::SIGTERM);
    }
}

/// Asks a server to end, and waits until it has done so.
fn stopped(mut server: Running, signal: Signal) {
    server.signal(signal);
    let mut ended = None;
    wait_until("the server ends", || {
        ended = server.try_wait().unwrap();
        ended.is_some()
    });
    assert_eq!(ended.unwrap().code(), Some(0), "after {signal}");
}
