//! Executions: what was asked for, what runs then, and what the execution itself reads and maps.

use super::access;
use super::scene::{At, Decode, Kept, Scene};
use super::standing::Standing;
use crate::event::{Credentials, Image, Inode, Outcome, Resolved, Target, TaskView, Unless};
use crate::fact::{Access, Endpoint, ExecutionFact, Fact, FileFact, Gap, GapKind, NetworkFact, NetworkOperation};
use crate::path::{AbsPath, to_text};

/// The longest command line that is kept, in bytes.
const COMMAND_MAX: usize = 4096;

/// `execve(2)`, `execveat(2)`. A successful one is told by [`Executed`] at the moment the new program stands there.
pub(super) struct Exec {
    /// The file.
    pub(super) at: At,
}

impl Decode for Exec {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(spot) = self.at.find(scene) {
            scene.need_file(&spot, access::EXEC);
            match spot.inode {
                None if scene.workload.thinned => {
                    scene.used(&spot, Access::EXEC);
                    scene.notes.foresee(&spot);
                    return;
                }
                Some(inode) if inode.kind() == libc::S_IFREG && inode.mode & 0o111 != 0 => scene.notes.foresee(&spot),
                _ => {}
            }
            scene.notes.kept = Kept::Program(Box::new(spot));
        }
    }

    fn foreseeable(&self) -> Option<Unless> {
        Some(Unless::default())
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        if let (Kept::Program(spot), Outcome::Failed(_)) = (std::mem::take(&mut scene.notes.kept), outcome) {
            scene.used(&spot, Access::EXEC);
        }
    }
}

/// A task that just began to run a new program.
pub(super) struct Executed {
    /// The program that runs now.
    pub(super) program: AbsPath,
    /// What its executor did.
    pub(super) executor: Vec<Fact>,
    /// What the new program did by being loaded.
    pub(super) started: Vec<Fact>,
    /// What it lost by being traced.
    pub(super) gap: Option<Gap>,
    /// Its arguments, cut to a bounded length.
    pub(super) command: Vec<String>,
}

impl Executed {
    /// Looks at a task inside its execve. `asked` is the file that the call named; `standing` is still that by which the
    /// call was judged, and the new one afterwards.
    ///
    /// A task that is gone already has no program: the file asked for stands for it.
    pub(super) fn look(view: &dyn TaskView, asked: Option<&Resolved>, standing: &mut Standing) -> Option<Self> {
        let of_file = |asked: &Resolved| Image {
            program: asked.path.clone(),
            mappings: Vec::new(),
            capabilities: view.attribute(&asked.path, Image::CAPABILITIES).unwrap_or_default(),
        };
        let Image { program, mappings, capabilities } = view.image(asked).ok().or_else(|| asked.map(of_file))?;
        // Nothing but the program and its loader is mapped before the program's first instruction.
        let loader = mappings.iter().find(|mapping| mapping.executable && mapping.path != program);
        let mapped = mappings.iter().find(|mapping| mapping.path == program).and_then(|mapping| mapping.inode);
        let script = asked.filter(|spot| spot.path != program);
        let inode = asked.filter(|_| script.is_none()).and_then(|spot| spot.inode).or(mapped);
        let privilege = inode.map(|inode| Privilege::of(&inode, &capabilities));
        let before = standing.known();
        standing.executed(privilege.as_ref().is_some_and(|privilege| !privilege.any()));
        let privilege = privilege.unwrap_or_default();
        let (before, after) = (before.as_deref(), standing.credentials(view));
        let after = after.as_deref();

        // Only the file that was asked for is asked about (`apparmor_bprm_creds_for_exec()`); a script's interpreter is
        // mapped and its script read under the rules that hold afterwards.
        let mut executor = match script {
            Some(script) => vec![used(&script.path, script.inode, before, Access::EXEC)],
            None => vec![used(&program, inode, before, Access::EXEC)],
        };
        let mut started = vec![used(&program, inode, after, Access::READ | Access::MAP_EXEC)];
        for script in script.iter().flat_map(|script| scripts(view, script, &program)) {
            started.push(used(&script.path, script.inode, after, Access::READ));
        }
        if let Some(loader) = loader {
            started.push(used(&loader.path, loader.inode, after, Access::READ | Access::MAP_EXEC));
        }
        executor.push(Fact::Execution(ExecutionFact {
            file: script.map_or(&program, |script| &script.path).clone(),
            program: program.clone(),
            loader: loader.map(|loader| loader.path.clone()),
            privileged: privilege.any(),
        }));
        let gap = after.filter(|who| privilege.lost(who)).map(|_| unprivileged(&program));
        Some(Self { program, executor, started, gap, command: command(view) })
    }
}

/// A script and the scripts that interpret it, up to the program that runs in the end.
fn scripts(view: &dyn TaskView, first: &Resolved, program: &AbsPath) -> Vec<Resolved> {
    /// How deep the kernel goes (`exec_binprm`, `fs/exec.c`).
    const DEPTH: usize = 5;
    let next = |script: &Resolved| view.interpreter(&script.path).ok().filter(|found| found.path != *program);
    std::iter::successors(Some(first.clone()), next).take(DEPTH).collect()
}

/// What a program that another one executed has open from its first instruction on. A change of the AppArmor profile
/// makes the kernel ask for each of these (`aa_inherit_files()`).
pub(super) fn inherited(view: &dyn TaskView, standing: &mut Standing) -> Vec<Fact> {
    let who = standing.credentials(view);
    let who = who.as_deref();
    let facts = view.open_files().unwrap_or_default().into_iter().filter_map(|open| {
        let access = [(open.readable, Access::INHERIT_READ), (open.writable, Access::INHERIT_WRITE)];
        let access = access.into_iter().filter(|(may, _)| *may).fold(Access::empty(), |all, (_, one)| all | one);
        match open.target {
            Target::Path(path) | Target::Deleted(path) if !access.is_empty() => {
                let inode = open.inode?;
                let owner = who.is_some_and(|who| who.fsuid() == inode.uid);
                Some(Fact::File(FileFact { path, access, owner, directory: inode.is_dir() }))
            }
            Target::Nameless(name) if name.starts_with("socket:") => {
                let socket = view.socket(open.fd).ok()?;
                Some(Fact::Network(NetworkFact {
                    family: socket.family,
                    kind: socket.kind,
                    protocol: socket.protocol,
                    operation: NetworkOperation::Inherit,
                    local: Endpoint::None,
                    remote: Endpoint::None,
                }))
            }
            _ => None,
        }
    });
    facts.collect()
}

fn used(path: &AbsPath, inode: Option<Inode>, who: Option<&Credentials>, access: Access) -> Fact {
    let owner = inode.zip(who).is_some_and(|(inode, who)| who.fsuid() == inode.uid);
    Fact::File(FileFact { path: path.clone(), access, owner, directory: false })
}

fn unprivileged(program: &AbsPath) -> Gap {
    let detail = format!("{program} gained no privilege because it was traced: run learn as root to see its real work");
    Gap { kind: GapKind::Unprivileged, detail }
}

/// The arguments of a task, at most [`COMMAND_MAX`] bytes of them.
fn command(view: &dyn TaskView) -> Vec<String> {
    let text = view.cmdline(COMMAND_MAX).unwrap_or_default();
    let text = text.get(..COMMAND_MAX).unwrap_or(&text);
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    text.split(|&byte| byte == 0).map(to_text).collect()
}

/// What the execution of a file changes of the credentials.
#[derive(Default)]
struct Privilege {
    user: Option<u32>,
    group: Option<u32>,
    capabilities: u64,
}

impl Privilege {
    /// Of a file with this `security.capability`.
    fn of(inode: &Inode, capabilities: &[u8]) -> Self {
        let set_group_id = libc::S_ISGID | libc::S_IXGRP;
        Self {
            user: (inode.mode & libc::S_ISUID != 0).then_some(inode.uid),
            group: (inode.mode & set_group_id == set_group_id).then_some(inode.gid),
            capabilities: permitted(capabilities),
        }
    }

    const fn any(&self) -> bool {
        self.user.is_some() || self.group.is_some() || self.capabilities != 0
    }

    /// Whether a task that should have gained it has not. With `no_new_privs` it gains nothing, traced or not.
    fn lost(&self, who: &Credentials) -> bool {
        let expected = self.capabilities & who.bounding;
        !who.no_new_privs
            && !who.foreign_user_namespace
            && (self.user.is_some_and(|uid| who.uid[1] != uid)
                || self.group.is_some_and(|gid| who.gid[1] != gid)
                || who.permitted & expected != expected)
    }
}

/// The permitted set of a `struct vfs_cap_data` (`linux/capability.h`), empty when it is no legal one.
fn permitted(data: &[u8]) -> u64 {
    let word = |index: usize| {
        let bytes = data.get(index * 4..).and_then(|rest| rest.first_chunk::<4>());
        bytes.map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)))
    };
    // Magic number, then permitted and inheritable, low and high halves each.
    word(1) | word(3) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, CWD, FakeView, inode, operations, path};
    use crate::event::{Call, Ended, Mapping, Origin, Sink, Tid};

    const PROGRAM: u32 = libc::S_IFREG | 0o755;

    /// Makes the task run `program` with its loader.
    fn load(view: &FakeView, program: &str) {
        let mapping = |start, name: &str| Mapping {
            start,
            end: start + 0x1000,
            executable: true,
            path: path(name),
            inode: Some(inode(PROGRAM, (0, 0))),
        };
        *view.exe.borrow_mut() = path(program);
        *view.mappings.borrow_mut() = vec![mapping(0x1000, program), mapping(0x8000, "/lib/ld.so")];
    }

    /// Shows an execve that succeeds; returns the call.
    fn execute(bench: &mut Bench, name: &str, tid: Tid, former: Tid, program: &str) -> Call {
        let name = bench.text(name);
        let call = bench.made("execve", &[name, 0, 0]);
        bench.decoder.recorder_mut().facts.clear();
        assert!(bench.decoder.enter(former, &call, &bench.view).leave);
        load(&bench.view, program);
        bench.decoder.exec(tid, former, &bench.view);
        bench.decoder.leave(tid, &call, Outcome::Returned(0), &bench.view);
        call
    }

    /// Files of one subject, as text.
    fn uses(bench: &Bench, subject: &str) -> Vec<String> {
        let facts = &bench.decoder.recorder().facts;
        let files = facts.iter().filter(|(of, ..)| *of == path(subject)).filter_map(|(_, fact, _)| match fact {
            Fact::File(file) => Some(format!("{}: {}", file.path, file.access)),
            _ => None,
        });
        files.collect()
    }

    fn executions(bench: &Bench, subject: &str) -> Vec<ExecutionFact> {
        let facts = &bench.decoder.recorder().facts;
        let of = facts.iter().filter(|(of, ..)| *of == path(subject));
        of.filter_map(|(_, fact, _)| if let Fact::Execution(one) = fact { Some(one.clone()) } else { None }).collect()
    }

    #[test]
    fn nothing_is_recorded_before_the_workload() {
        for abi in Abi::ALL {
            let mut bench = Bench::fresh(abi);
            bench.view.file("/srv/prog", PROGRAM, (0, 0));
            let read = bench.made("read", &[0, 0, 0]);
            assert!(!bench.decoder.enter(Bench::TID, &read, &bench.view).leave);
            // A failed try of the path's search.
            let name = bench.text("nowhere");
            let failed = bench.made("execve", &[name, 0, 0]);
            assert!(bench.decoder.enter(Bench::TID, &failed, &bench.view).leave);
            assert!(!bench.decoder.leave(Bench::TID, &failed, Outcome::Failed(libc::ENOENT), &bench.view));
            assert!(bench.decoder.recorder().facts.is_empty() && bench.decoder.calls() == 0, "{abi}");
            *bench.view.cmdline.borrow_mut() = b"prog\0-x\0\0".to_vec();
            let call = execute(&mut bench, "prog", Bench::TID, Bench::TID, "/srv/prog");
            bench.decoder.flush();
            let log = bench.decoder.recorder();
            let made = (path("/srv/prog"), Fact::Syscall(abi, abi.syscall(call.number)), Outcome::Returned(0));
            assert!(log.facts.contains(&made), "{abi}");
            let count = (path("/srv/prog"), abi, "execve".to_owned());
            assert_eq!(log.counts, [(count, 1)].into());
            let command = ["prog", "-x", ""].map(str::to_owned).to_vec();
            assert_eq!(log.invoked, [(path("/srv/prog"), vec![], command)]);
            let expected = ["/srv/prog: exec", "/srv/prog: read map-exec", "/lib/ld.so: read map-exec"];
            assert_eq!(uses(&bench, "/srv/prog"), expected);
            let loader = Some(path("/lib/ld.so"));
            let (file, program) = (path("/srv/prog"), path("/srv/prog"));
            assert_eq!(executions(&bench, "/srv/prog"), [ExecutionFact { file, program, loader, privileged: false }]);
        }
    }

    #[test]
    fn scripts_are_read_by_their_interpreters() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.file("/srv/script", PROGRAM, (0, 0));
        execute(&mut bench, "script", Bench::TID, Bench::TID, "/bin/sh");
        assert_eq!(uses(&bench, "/bin/prog"), ["/srv/script: exec"], "the kernel does not ask about the interpreter");
        assert_eq!(
            uses(&bench, "/bin/sh"),
            ["/bin/sh: read map-exec", "/srv/script: read", "/lib/ld.so: read map-exec"]
        );
        let execution = &executions(&bench, "/bin/prog")[0];
        assert_eq!((&execution.file, &execution.program), (&path("/srv/script"), &path("/bin/sh")));
        bench.decoder.flush();
        let log = bench.decoder.recorder();
        assert_eq!(log.counts.get(&(path("/bin/prog"), Abi::X86_64, "execve".to_owned())), Some(&1));
        assert_eq!(log.invoked.last().unwrap().1, [path("/bin/prog")]);
    }

    #[test]
    fn a_program_executed_before_is_told_by_its_beginning() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.file("/srv/next", PROGRAM, (0, 0));
        bench.decoder.thinned(Bench::TID);
        let name = bench.text("next");
        let call = bench.made("execve", &[name, 0, 0]);
        let ends_unseen = |bench: &mut Bench| !bench.decoder.enter(Bench::TID, &call, &bench.view).leave;
        let begins = |bench: &mut Bench, program: &str| {
            load(&bench.view, program);
            bench.decoder.exec(Bench::TID, Bench::TID, &bench.view);
            bench.decoder.leave(Bench::TID, &call, Outcome::Returned(0), &bench.view);
        };
        assert!(!ends_unseen(&mut bench));
        begins(&mut bench, "/srv/next");
        assert!(!ends_unseen(&mut bench), "another program executes it");
        begins(&mut bench, "/srv/next");
        bench.decoder.recorder_mut().facts.clear();
        assert!(ends_unseen(&mut bench));
        begins(&mut bench, "/srv/next");
        let execution = |facts: &[(AbsPath, Fact, Outcome)]| {
            facts.iter().filter(|(_, fact, _)| matches!(fact, Fact::Execution(_))).count()
        };
        assert_eq!(execution(&bench.decoder.recorder().facts), 1, "the new program told of it");

        // It fails this time: what comes next tells.
        assert!(ends_unseen(&mut bench));
        bench.decoder.recorder_mut().facts.clear();
        let next = bench.made("getpid", &[]);
        bench.decoder.enter(Bench::TID, &next, &bench.view);
        assert_eq!(execution(&bench.decoder.recorder().facts), 0);
        let missing = bench.text("missing");
        let search = bench.made("execve", &[missing, 0, 0]);
        assert!(bench.decoder.enter(Bench::TID, &search, &bench.view).leave, "a search never failed before");
        bench.decoder.leave(Bench::TID, &search, Outcome::Failed(libc::ENOENT), &bench.view);
        assert!(!bench.decoder.enter(Bench::TID, &search, &bench.view).leave);
        assert_eq!(uses(&bench, "/srv/next").last().unwrap(), "/srv/missing: exec");
    }

    #[test]
    fn open_files_are_inherited() {
        let mut bench = Bench::new(Abi::X86_64);
        for name in ["/srv/out", "/srv/both", "/srv/path"] {
            bench.view.file(name, libc::S_IFREG | 0o644, (0, 0));
        }
        bench.view.file("/srv/next", PROGRAM, (0, 0));
        for (fd, name, usable) in [(1, "/srv/out", "w"), (3, "/srv/both", "rw"), (4, "/srv/path", "")] {
            bench.view.open(fd, name);
            bench.view.usable.borrow_mut().insert(fd, usable);
        }
        execute(&mut bench, "next", Bench::TID, Bench::TID, "/srv/next");
        let inherited = uses(&bench, "/srv/next").split_off(2);
        assert_eq!(inherited, ["/srv/out: inherit-write", "/srv/both: inherit-read inherit-write"]);
    }

    #[test]
    fn failed_executions_keep_their_file() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            bench.view.file("/srv/data", libc::S_IFREG | 0o644, (0, 0));
            let [none, data] = ["none", "data"].map(|name| bench.text(name));
            let file = |name: &str, owner| {
                Fact::File(FileFact { path: path(name), access: Access::EXEC, owner, directory: false })
            };
            assert_eq!(bench.fail("execve", &[none, 0, 0], libc::ENOENT), [file("/srv/none", true)], "{abi}");
            let facts = bench.fail("execveat", &[CWD, data, 0, 0, 0], libc::EACCES);
            assert!(facts.contains(&file("/srv/data", false)), "{abi}");
            assert_eq!(operations(&facts).len(), 1);
        }
    }

    #[test]
    fn another_thread_takes_the_place_of_the_first() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.file("/srv/next", PROGRAM, (0, 0));
        for thread in [101, 102] {
            bench.decoder.born(Tid(thread), Origin::Thread(Bench::TID), &bench.view);
        }
        let wait = bench.made("pause", &[]);
        assert!(bench.decoder.enter(Bench::TID, &wait, &bench.view).leave);
        execute(&mut bench, "next", Bench::TID, Tid(102), "/srv/next");
        let unfinished = |log: &(AbsPath, Fact, Outcome)| log.2 == Outcome::Unfinished && log.0 == path("/bin/prog");
        assert!(bench.decoder.recorder().facts.iter().any(unfinished));
        let read = bench.made("read", &[0, 0, 0]);
        assert!(bench.decoder.enter(Bench::TID, &read, &bench.view).leave);
        assert!(!bench.decoder.enter(Tid(101), &read, &bench.view).leave, "it is gone");
        bench.decoder.gone(Bench::TID, Ended::Killed(9));
        bench.decoder.flush();
        let counts = &bench.decoder.recorder().counts;
        assert_eq!(counts.get(&(path("/srv/next"), Abi::X86_64, "read".to_owned())), Some(&1));
    }

    #[test]
    fn privilege_lost_to_tracing_is_a_gap() {
        let cases: [(u32, (u32, u32), &[u8]); 3] = [
            (0o4755, (0, 0), b""),
            (0o2755, (0, 50), b""),
            (0o755, (0, 0), b"\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ];
        for (mode, owner, data) in cases {
            for gained in [false, true] {
                let mut bench = Bench::user(Abi::X86_64);
                bench.becomes(|who| who.bounding = u64::MAX);
                bench.view.file("/srv/su", libc::S_IFREG | mode, owner);
                if !data.is_empty() {
                    let key = (path("/srv/su"), Image::CAPABILITIES.to_owned());
                    bench.view.attributes.borrow_mut().insert(key, data.to_vec());
                }
                if gained {
                    let mut who = bench.view.who.borrow_mut();
                    (who.uid[1], who.gid[1], who.permitted) = (0, 50, 1 << 13);
                }
                execute(&mut bench, "su", Bench::TID, Bench::TID, "/srv/su");
                assert!(executions(&bench, "/bin/prog")[0].privileged);
                let expected: &[_] = if gained { &[] } else { &[GapKind::Unprivileged] };
                assert_eq!(bench.gaps(), expected, "{mode:o}");
            }
        }
    }

    #[test]
    fn chains_are_bounded() {
        let mut bench = Bench::new(Abi::X86_64);
        for program in ["/bin/a", "/bin/a", "/bin/b"].into_iter().cycle().take(300) {
            execute(&mut bench, program, Bench::TID, Bench::TID, program);
        }
        let chain = &bench.decoder.recorder().invoked.last().unwrap().1;
        assert_eq!(chain.len(), super::super::CHAIN_MAX);
        assert!(chain.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn odd_capability_data_is_harmless() {
        assert_eq!(permitted(b""), 0);
        assert_eq!(permitted(&[0xff; 7]), 0);
        assert_eq!(permitted(&[0xff; 64]), u64::MAX);
    }
}
