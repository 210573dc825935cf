//! Profiles of real servers in real containers (issue 4): what was learned on the machine, with the runtime's own calls,
//! is enough for runc, crun and Podman, with and without `no_new_privs`, and refuses what was not learned.

mod bundle;
mod engine;
mod minimal;
mod sets;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use libseccomp::ScmpSyscall;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::servers::{Nginx, Redis, Server};
use crate::support::{PATH, Running, finish, fresh, learn, require};
use bundle::Setup;
use engine::{Engine, Place, Runtime};

/// What learning and starting containers need.
const NEEDS: [&str; 5] = ["ptrace", "root", "CAP_SYS_ADMIN", "gcc", "unshare"];

/// Calls that no server makes, harmless with zeroes, which everyone may make.
const OUTSIDE: [&str; 5] = ["personality", "unshare", "mincore", "getpriority", "ptrace"];

/// A server with what was learned from its exercise on the machine, in the surroundings of a container.
struct Learned {
    server: Box<dyn Server>,
    folder: PathBuf,
    data: PathBuf,
    _fresh: [TempDir; 2],
}

impl Learned {
    fn of<S: Server + 'static>(new: fn(&Path) -> S) -> Self {
        let ((kept, folder), (also_kept, data)) = (fresh(), fresh());
        let server = Box::new(new(&data));
        server.exercise(&|command| {
            let mut learn = learn(["--quiet", "-o"]);
            learn.arg(&folder).arg("--").args(command).env_clear().env("PATH", PATH);
            Running::start(learn.stdin(Stdio::null()))
        });
        Self { server, folder, data, _fresh: [kept, also_kept] }
    }

    /// The profile for containers of one runtime.
    fn profile(&self, runtime: Runtime, no_new_privs: bool) -> Value {
        render(&self.folder, &for_runtime(runtime, no_new_privs))
    }

    fn capabilities(&self) -> Vec<String> {
        let text = fs::read(self.folder.join("capabilities.json")).unwrap();
        let listed: Value = serde_json::from_slice(&text).unwrap();
        let listed = listed["capabilities"].as_array().unwrap().iter();
        let granted = listed.filter(|one| one["standing"] != "denied");
        granted.map(|one| one["name"].as_str().unwrap().to_owned()).collect()
    }

    fn setup(&self, no_new_privs: bool, profile: Value) -> Setup {
        Setup { no_new_privs, profile, capabilities: self.capabilities(), data: self.data.clone() }
    }
}

/// The options of `learn render` for containers of one runtime.
fn for_runtime(runtime: Runtime, no_new_privs: bool) -> Vec<&'static str> {
    let bits = no_new_privs.then_some("--no-new-privs");
    ["--runtime", runtime.name()].into_iter().chain(bits).collect()
}

/// The seccomp profile of the record in a folder.
fn render(folder: &Path, options: &[&str]) -> Value {
    let start = ["render", "--format", "seccomp", "-o", "-"].iter().chain(options).map(OsStr::new);
    let rendered = finish(&mut learn(start.chain([folder.join("learned.json").as_os_str()])));
    assert!(rendered.status.success(), "{}", String::from_utf8_lossy(&rendered.stderr));
    serde_json::from_slice(&rendered.stdout).unwrap()
}

/// The names of the calls that a profile allows.
fn allowed(profile: &Value) -> BTreeSet<String> {
    let rules = profile["syscalls"].as_array().unwrap().iter();
    let allowing = rules.filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
    let names = allowing.flat_map(|rule| rule["names"].as_array().unwrap());
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

/// The profile without these calls.
fn without(profile: &Value, calls: &BTreeSet<String>) -> Value {
    let mut profile = profile.clone();
    let rules = profile["syscalls"].as_array_mut().unwrap();
    for rule in rules.iter_mut() {
        rule["names"].as_array_mut().unwrap().retain(|name| !calls.contains(name.as_str().unwrap()));
    }
    rules.retain(|rule| !rule["names"].as_array().unwrap().is_empty());
    profile
}

fn serves_in_containers(learned: &Learned, engine: fn(Runtime) -> Engine, program: &str) {
    let (_fresh, dir) = fresh();
    let root = bundle::root(&dir, &[learned.server.program()]);
    let place = Place::new(&dir, &root);
    for runtime in Runtime::ALL.into_iter().filter(|runtime| require(&[runtime.name(), program])) {
        for no_new_privs in [true, false] {
            let engine = engine(runtime);
            eprintln!("{engine:?}, no_new_privs {no_new_privs}");
            let setup = learned.setup(no_new_privs, learned.profile(runtime, no_new_privs));
            learned.server.exercise(&|command| place.start(engine, &setup, command));
            if let Engine::Oci(runtime) = engine {
                hangs_on_the_set(learned, &place, runtime, no_new_privs);
            }
            // Podman takes its time.
            let probes = if matches!(engine, Engine::Oci(_)) { OUTSIDE.len() } else { 1 };
            OUTSIDE.iter().take(probes).for_each(|call| refuses(&place, engine, &setup, call));
        }
    }
}

/// With exactly what was seen a container starts when that holds all that its runtime needs, and only then.
fn hangs_on_the_set(learned: &Learned, place: &Place, runtime: Runtime, no_new_privs: bool) {
    let exact = render(&learned.folder, &["--runtime", "none"]);
    let Some(lacking) = sets::lacking(runtime, no_new_privs, &exact) else { return };
    eprintln!("--runtime none lacks {lacking:?}");
    let started = place.starts(runtime, &learned.setup(no_new_privs, exact));
    assert_eq!(started, lacking.is_empty(), "{runtime:?} without {lacking:?}");
}

/// A call outside of the profile fails in the container, and not without the profile.
fn refuses(place: &Place, engine: Engine, setup: &Setup, call: &str) {
    assert!(!allowed(&setup.profile).contains(call), "{call} was learned");
    let unconfined = Setup { profile: json!({"defaultAction": "SCMP_ACT_ALLOW"}), ..setup.clone() };
    let number = i32::from(ScmpSyscall::from_name(call).unwrap());
    for (setup, errno) in [(&unconfined, 0), (setup, libc::EPERM)] {
        let output = place.probe(engine, setup, number);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(errno), "{engine:?}: {call}: {said}");
    }
}

#[test]
fn nginx_serves_in_containers() {
    if require(&NEEDS) && require(&["nginx", "curl"]) {
        serves_in_containers(&Learned::of(Nginx::new), Engine::Oci, "sh");
    }
}

#[test]
fn nginx_serves_under_podman() {
    if require(&NEEDS) && require(&["nginx", "curl", "podman"]) {
        serves_in_containers(&Learned::of(Nginx::new), Engine::Podman, "podman");
    }
}

#[test]
fn redis_serves_in_containers() {
    if require(&NEEDS) && require(&["redis-server", "redis-cli"]) {
        serves_in_containers(&Learned::of(Redis::new), Engine::Oci, "sh");
    }
}

#[test]
fn redis_serves_under_podman() {
    if require(&NEEDS) && require(&["redis-server", "redis-cli", "podman"]) {
        serves_in_containers(&Learned::of(Redis::new), Engine::Podman, "podman");
    }
}
