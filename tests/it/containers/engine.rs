//! The programs that start containers.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::bundle::{PROBE, Setup, configuration};
use crate::support::{PATH, Running, finish, wait_until};

/// What starts a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// An OCI runtime by itself.
    Oci(Runtime),
    /// Podman, by means of this runtime.
    Podman(Runtime),
}

/// An OCI runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    Runc,
    Crun,
}

impl Runtime {
    pub const ALL: [Self; 2] = [Self::Runc, Self::Crun];

    /// The name of its program.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }

    /// Its version, as the program says it: `1.1.5` of `runc version 1.1.5+ds1`.
    pub fn version(self) -> String {
        let said = finish(Command::new(self.name()).env("PATH", PATH).arg("--version"));
        let said = String::from_utf8(said.stdout).unwrap();
        let version = said.lines().next().unwrap().rsplit(' ').next().unwrap();
        version.split(['+', '-']).next().unwrap().to_owned()
    }
}

/// Where containers of one root are started.
pub struct Place {
    dir: PathBuf,
    root: PathBuf,
    started: AtomicUsize,
}

impl Place {
    /// Containers of `root`, with what they need in `dir`.
    pub fn new(dir: &Path, root: &Path) -> Self {
        Self { dir: dir.to_owned(), root: root.to_owned(), started: AtomicUsize::new(0) }
    }

    /// Starts a container. It is removed when what is returned is dropped.
    pub fn start(&self, engine: Engine, setup: &Setup, command: &[OsString]) -> Running {
        self.prepare(engine, setup, command).start()
    }

    /// Runs a container to its end.
    pub fn run(&self, engine: Engine, setup: &Setup, command: &[OsString]) -> Output {
        self.prepare(engine, setup, command).finish()
    }

    /// Runs a container that makes this call and no other; its status is the errno that the call ends with.
    pub fn probe(&self, engine: Engine, setup: &Setup, call: i32) -> Output {
        self.run(engine, setup, &[PROBE.into(), call.to_string().into()])
    }

    /// Whether a container that does nothing starts and ends, when it is created first and then started, as engines do.
    pub fn starts(&self, runtime: Runtime, setup: &Setup) -> bool {
        // Who creates it ends before it does: its status is then ours.
        nix::sys::prctl::set_child_subreaper(true).unwrap();
        let (id, bundle) = self.bundle(setup, &[PROBE.into(), libc::SYS_exit_group.to_string().into()]);
        let pid = bundle.join("pid");
        let mut create = self.runtime(runtime);
        create.arg("create").arg("--bundle").arg(&bundle).arg("--pid-file").arg(&pid).arg(&id);
        // It keeps the container's ends of pipes open.
        create.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let prepared = Prepared { run: create, delete: self.delete(runtime, &id) };
        let mut created = prepared.start();
        let started = created.wait().unwrap().success() && {
            let pid = Pid::from_raw(fs::read_to_string(pid).unwrap().trim().parse().unwrap());
            let mut command = self.runtime(runtime);
            let command = command.args(["start", &id]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            // crun's waits for ever when the container ended just before.
            let mut start = Running::start(command);
            let mut ended = WaitStatus::StillAlive;
            wait_until("the container ends", || {
                let failed = start.try_wait().unwrap().is_some_and(|status| !status.success());
                ended = waitpid(pid, Some(WaitPidFlag::WNOHANG)).unwrap();
                failed || ended != WaitStatus::StillAlive
            });
            ended == WaitStatus::Exited(pid, 0)
        };
        drop(created);
        started
    }

    fn prepare(&self, engine: Engine, setup: &Setup, command: &[OsString]) -> Prepared {
        match engine {
            Engine::Oci(runtime) => {
                let (id, bundle) = self.bundle(setup, command);
                let mut run = self.runtime(runtime);
                run.arg("run").arg("--bundle").arg(bundle).arg(&id);
                Prepared { run, delete: self.delete(runtime, &id) }
            }
            Engine::Podman(runtime) => self.podman(runtime, &self.id(), setup, command),
        }
    }

    /// A name that no other container has.
    fn id(&self) -> String {
        format!("{}-{}", self.dir.file_name().unwrap().display(), self.started.fetch_add(1, Ordering::Relaxed))
    }

    /// A bundle with the name of its container.
    fn bundle(&self, setup: &Setup, command: &[OsString]) -> (String, PathBuf) {
        let id = self.id();
        let bundle = self.dir.join(&id);
        fs::create_dir(&bundle).unwrap();
        fs::write(bundle.join("config.json"), configuration(setup, &self.root, command).to_string()).unwrap();
        (id, bundle)
    }

    fn runtime(&self, runtime: Runtime) -> Command {
        let mut command = on_this_machine(runtime, runtime.name());
        if runtime == Runtime::Crun {
            command.arg("--cgroup-manager=disabled");
        }
        command.arg("--root").arg(self.dir.join("state"));
        command
    }

    fn delete(&self, runtime: Runtime, id: &str) -> Command {
        let mut command = self.runtime(runtime);
        command.args(["delete", "--force", id]);
        command
    }

    fn podman(&self, runtime: Runtime, id: &str, setup: &Setup, command: &[OsString]) -> Prepared {
        let profile = self.dir.join(id).with_extension("json");
        fs::write(&profile, setup.profile.to_string()).unwrap();
        let image = self.image(runtime);
        let [mut run, mut delete] = [(); 2].map(|()| self.podman_command(runtime));
        let data = setup.data.display();
        run.args(["run", "--rm", "--read-only", "--network=host", "--name", id, "--cap-drop=ALL"]);
        run.arg(format!("--volume={data}:{data}"));
        // Root of a container may not have them higher; and within one, groups lack the controllers for limits.
        run.args(["--ulimit=nofile=1024:1024", "--ulimit=nproc=4096:4096", "--pids-limit=0"]);
        if runtime == Runtime::Crun {
            run.arg("--cgroups=disabled");
        }
        run.arg(format!("--security-opt=seccomp={}", profile.display()));
        if setup.no_new_privs {
            run.arg("--security-opt=no-new-privileges");
        }
        run.args(setup.capabilities.iter().map(|name| format!("--cap-add={name}")));
        run.arg(image).args(command);
        delete.args(["rm", "--force", "--ignore", "--time=0", id]);
        Prepared { run, delete }
    }

    fn podman_command(&self, runtime: Runtime) -> Command {
        let mut command = on_this_machine(runtime, "podman");
        command.arg("--root").arg(self.dir.join("podman")).arg("--runroot").arg(self.dir.join("podman-run"));
        command.args(["--storage-driver=vfs", "--cgroup-manager=cgroupfs", "--runtime", runtime.name()]);
        command
    }

    /// The image of the root, imported when it is not there yet.
    fn image(&self, runtime: Runtime) -> &'static str {
        const IMAGE: &str = "localhost/learn-test:1";
        let archive = self.dir.join("root.tar");
        if !archive.exists() {
            let packed = finish(Command::new("tar").arg("-C").arg(&self.root).arg("-cf").arg(&archive).arg("."));
            assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
            let imported = finish(self.podman_command(runtime).arg("import").arg(&archive).arg(IMAGE));
            assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        }
        IMAGE
    }
}

/// A container that was not started yet.
struct Prepared {
    run: Command,
    delete: Command,
}

impl Prepared {
    fn start(mut self) -> Running {
        Running::start(self.run.stdin(Stdio::null())).afterwards(self.delete)
    }

    fn finish(mut self) -> Output {
        let output = finish(self.run.stdin(Stdio::null()));
        finish(&mut self.delete);
        output
    }
}

/// `program` in an environment of its own. crun refuses a machine with both versions of cgroups: it does not see the newer.
fn on_this_machine(runtime: Runtime, program: &str) -> Command {
    const UNIFIED: &str = "/sys/fs/cgroup/unified";
    let mut command = if runtime == Runtime::Crun && Path::new(UNIFIED).exists() {
        let mut command = Command::new("unshare");
        let script = format!("umount {UNIFIED}; exec \"$@\"");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh", program]);
        command
    } else {
        Command::new(program)
    };
    command.env_clear().env("PATH", PATH);
    command
}
