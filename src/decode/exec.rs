//! Executions: what was asked for, what runs then, and what the execution itself reads and maps.

use super::access;
use super::scene::{At, Decode, Kept, Scene};
use crate::event::{Credentials, Inode, Outcome, Resolved, TaskView};
use crate::fact::{Access, ExecutionFact, Fact, FileFact, Gap, GapKind};
use crate::path::{AbsPath, to_text};

/// The longest command line that is kept, in bytes.
const COMMAND_MAX: usize = 4096;

/// The extended attribute that holds a file's capabilities (`capabilities(7)`).
const CAPABILITIES: &str = "security.capability";

/// `execve(2)`, `execveat(2)`. A successful one is told by [`Executed`] at the moment the new program stands there.
pub(super) struct Exec {
    /// The file.
    pub(super) at: At,
}

impl Decode for Exec {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(spot) = self.at.find(scene) {
            scene.need_file(&spot, access::EXEC);
            scene.notes.kept = Kept::Program(Box::new(spot));
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        if let (Kept::Program(spot), Outcome::Failed(_)) = (std::mem::take(&mut scene.notes.kept), outcome) {
            scene.used(&spot, Access::EXEC);
        }
        scene.forget_credentials();
    }
}

/// A task that just began to run a new program.
pub(super) struct Executed {
    /// The program that runs now.
    pub(super) program: AbsPath,
    /// What its executor did.
    pub(super) executor: Vec<Fact>,
    /// What the new program did by being loaded.
    pub(super) loaded: Vec<Fact>,
    /// What it lost by being traced.
    pub(super) gap: Option<Gap>,
    /// Its arguments, cut to a bounded length.
    pub(super) command: Vec<String>,
}

impl Executed {
    /// Looks at a task inside its execve. `asked` is the file that the call named, `before` the credentials that it
    /// was judged by.
    ///
    /// A task that is gone already has no program: the file asked for stands for it.
    pub(super) fn look(view: &dyn TaskView, asked: Option<Resolved>, before: Option<&Credentials>) -> Option<Self> {
        let program = view.exe().ok().or_else(|| asked.as_ref().map(|spot| spot.path.clone()))?;
        let after = view.credentials().ok();
        let mappings = view.mappings(0, u64::MAX).unwrap_or_default();
        // Nothing but the program and its loader is mapped before the program's first instruction.
        let loader = mappings.iter().find(|mapping| mapping.executable && mapping.path != program);
        let mapped = mappings.iter().find(|mapping| mapping.path == program).and_then(|mapping| mapping.inode);
        let script = asked.as_ref().filter(|spot| spot.path != program);
        let inode = asked.as_ref().filter(|_| script.is_none()).and_then(|spot| spot.inode).or(mapped);

        let mut executor = vec![used(&program, inode, before, Access::EXEC)];
        let mut loaded = vec![used(&program, inode, after.as_ref(), Access::READ | Access::MAP_EXEC)];
        if let Some(script) = script {
            executor.push(used(&script.path, script.inode, before, Access::EXEC));
            loaded.push(used(&script.path, script.inode, after.as_ref(), Access::READ));
        }
        if let Some(loader) = loader {
            loaded.push(used(&loader.path, loader.inode, after.as_ref(), Access::READ | Access::MAP_EXEC));
        }
        let privilege = inode.map(|inode| Privilege::of(view, &program, &inode)).unwrap_or_default();
        executor.push(Fact::Execution(ExecutionFact {
            file: script.map_or(&program, |script| &script.path).clone(),
            program: program.clone(),
            loader: loader.map(|loader| loader.path.clone()),
            privileged: privilege.any(),
        }));
        let gap = after.filter(|who| privilege.lost(who)).map(|_| unprivileged(&program));
        Some(Self { program, executor, loaded, gap, command: command(view) })
    }
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
    fn of(view: &dyn TaskView, path: &AbsPath, inode: &Inode) -> Self {
        let set_group_id = libc::S_ISGID | libc::S_IXGRP;
        Self {
            user: (inode.mode & libc::S_ISUID != 0).then_some(inode.uid),
            group: (inode.mode & set_group_id == set_group_id).then_some(inode.gid),
            capabilities: view.attribute(path, CAPABILITIES).map_or(0, |data| permitted(&data)),
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
