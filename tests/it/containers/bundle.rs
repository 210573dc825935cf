//! What a container consists of: a root made of the machine's own files, and the configuration that a runtime reads.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::finish;
use crate::tool::project;

/// Where the probe of `tests/fixture/probe.c` lies in the container.
pub const PROBE: &str = "/probe";

/// What programs read of a system, where the machine has it.
const COMMON: [&str; 7] = [
    "/etc/group",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/ssl/openssl.cnf",
    "/usr/lib/ssl/openssl.cnf",
];

/// Places that programs or runtimes expect.
const PLACES: [&str; 7] = ["/dev", "/proc", "/run", "/sys", "/tmp", "/var/lib/nginx", "/var/log/nginx"];

/// The root of a container with these programs, the libraries that they need and the probe.
pub fn root(at: &Path, programs: &[&str]) -> PathBuf {
    let root = at.join("root");
    for place in PLACES {
        fs::create_dir_all(within(&root, Path::new(place))).unwrap();
    }
    for link in ["/bin", "/lib", "/lib32", "/lib64", "/sbin"] {
        if let Ok(target) = fs::read_link(link) {
            fs::create_dir_all(root.join(&target)).unwrap();
            symlink(target, within(&root, Path::new(link))).unwrap();
        }
    }
    for object in programs.iter().map(PathBuf::from).chain(name_services()) {
        copy(&root, &object);
        let listed = finish(Command::new("ldd").arg(&object));
        assert!(listed.status.success(), "ldd {}", object.display());
        // `libz.so.1 => /lib/x86_64-linux-gnu/libz.so.1 (0x…)`, and the loader as `/lib64/ld-linux-x86-64.so.2 (0x…)`.
        let listed = String::from_utf8(listed.stdout).unwrap();
        for library in listed.split_whitespace().filter(|word| word.starts_with('/')) {
            copy(&root, Path::new(library));
        }
    }
    for file in COMMON.map(Path::new).iter().filter(|file| file.exists()) {
        copy(&root, file);
    }
    compile_probe(&within(&root, Path::new(PROBE)));
    root
}

/// The modules by which users are looked up (`nsswitch.conf(5)`), which a program loads by name.
fn name_services() -> Vec<PathBuf> {
    let libraries = fs::read_dir("/lib/x86_64-linux-gnu").into_iter().flatten();
    let paths = libraries.map(|entry| entry.unwrap().path());
    let is_module = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("libnss_");
    paths.filter(is_module).collect()
}

/// Compiles the probe.
pub fn compile_probe(program: &Path) {
    let source = project().join("tests/fixture/probe.c");
    let mut gcc = Command::new("gcc");
    let built = finish(gcc.args(["-O1", "-static", "-nostdlib", "-o"]).arg(program).arg(source));
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
}

fn copy(root: &Path, file: &Path) {
    let copied = within(root, file);
    if !copied.exists() {
        fs::create_dir_all(copied.parent().unwrap()).unwrap();
        fs::copy(file, &copied).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}

/// A path of the container.
fn within(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap())
}

/// How a container runs.
#[derive(Clone)]
pub struct Setup {
    /// Whether it gets `no_new_privs`.
    pub no_new_privs: bool,
    /// Its seccomp profile.
    pub profile: Value,
    /// The names of its capabilities.
    pub capabilities: Vec<String>,
    /// A directory of the machine that it sees under the same name, and may write to.
    pub data: PathBuf,
}

/// The configuration of a container (OCI runtime-spec, `config.md`), with the machine's own network.
pub fn configuration(setup: &Setup, root: &Path, command: &[OsString]) -> Value {
    let words: Vec<_> = command.iter().map(|word| word.to_str().unwrap()).collect();
    let capabilities = &setup.capabilities;
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": words,
            "env": [format!("PATH={}", crate::support::PATH)],
            "cwd": "/",
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
            "noNewPrivileges": setup.no_new_privs,
        },
        "root": {"path": root, "readonly": true},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]},
            {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
            {"destination": setup.data, "type": "bind", "source": setup.data, "options": ["rbind", "rw"]},
        ],
        "linux": {
            "namespaces": [{"type": "pid"}, {"type": "mount"}, {"type": "ipc"}, {"type": "uts"}],
            "seccomp": setup.profile,
        },
    })
}
