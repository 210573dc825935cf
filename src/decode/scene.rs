//! One call as a decoder sees it: its arguments, the stopped task behind it, and where to say what it means.

use std::rc::Rc;

use smallvec::SmallVec;

use super::read::{self, Memory};
use super::standing::Standing;
use super::workload::Workload;
use crate::abi::{Abi, Syscall};
use crate::event::{Base, Credentials, Descriptor, Inode, Nameless, Outcome, Resolved, Target, TaskView, Tid, Unless};
use crate::fact::{Access, Capability, CapabilitySet, Check, Fact, FileFact, Gap, GapKind, Operation};
use crate::path::AbsPath;

/// How many missing directories of one path are followed by their names alone.
const MISSING_MAX: usize = 64;

/// Values of scalar arguments, by index.
pub(super) type Values = SmallVec<[(u8, u64); 3]>;

/// Turns one kind of call into facts.
///
/// What is said at either end is recorded with the outcome of the call.
pub(super) trait Decode: Sync {
    /// Looks at the call before it takes effect: its memory is what the kernel will read, and what it removes or moves
    /// is still there.
    fn enter(&self, _scene: &mut Scene<'_>) {}

    /// Looks at the call after it took effect: what it opened or made is there. Not called when its end is not seen.
    fn leave(&self, _scene: &mut Scene<'_>, _outcome: Outcome) {}

    /// Whether nothing follows from a call with these scalar arguments but that it was made; see [`super::quiet`].
    fn quiet(&self, _values: &Values) -> bool {
        false
    }

    /// Unless which bits the end of such a call mostly is foreseen ([`Notes::foreseen`]); `None` when it never is.
    fn foreseeable(&self) -> Option<Unless> {
        None
    }

    /// Where such a call may name an open file by an empty path, of which nothing follows then.
    fn nameless(&self) -> Option<Nameless> {
        None
    }

    /// The pointer argument without which nothing follows from a call that has no scalar arguments.
    fn quiet_without(&self) -> Option<u8> {
        None
    }
}

/// The value of scalar argument `index`.
pub(super) fn value(values: &Values, index: u8) -> Option<u64> {
    values.iter().find(|(known, _)| *known == index).map(|(_, value)| *value)
}

/// What a decoder said of one call, and keeps from its entry to its end.
#[derive(Default)]
pub(super) struct Notes {
    /// Facts, all with the call's own outcome.
    pub(super) facts: Vec<Fact>,
    /// What could not be seen.
    pub(super) gaps: Vec<Gap>,
    /// Memory that the call points to could not be read; a gap unless the call failed for the same reason.
    pub(super) unreadable: bool,
    /// What the end of the call needs to know of its entry.
    pub(super) kept: Kept,
    /// How the call will end, when that is certain and everything is said: its end needs not be shown.
    pub(super) foreseen: Option<Outcome>,
    /// A path led nowhere, for a reason that only the kernel tells.
    pub(super) astray: bool,
}

impl Notes {
    /// Whether plain permissions suffice, so that nothing hangs on a capability.
    fn is_granted(&self) -> bool {
        !self.facts.iter().any(|fact| matches!(fact, Fact::Check(_))) && self.gaps.is_empty()
    }

    /// Everything is said of a call that does no more than look for `spot`, which it finds as the learner did.
    pub(super) fn foresee(&mut self, spot: &Resolved) {
        let outcome = if spot.inode.is_some() { Outcome::Returned(0) } else { Outcome::Failed(libc::ENOENT) };
        self.foreseen = (self.is_granted() && !self.astray).then_some(outcome);
    }
}

/// What is kept from the entry of a call to its end.
#[derive(Default)]
pub(super) enum Kept {
    /// Nothing.
    #[default]
    Nothing,
    /// Whether the file that open may create was there.
    Existed(bool),
    /// The file that execve asks for.
    Program(Box<Resolved>),
    /// The credentials before the call.
    Credentials(Rc<Credentials>),
    /// That the kernel is to choose a port.
    AnyPort,
}

/// One call of a stopped task.
pub(super) struct Scene<'a> {
    /// The task.
    pub(super) view: &'a dyn TaskView,
    /// Its thread id.
    pub(super) tid: Tid,
    /// The ABI of the call.
    pub(super) abi: Abi,
    /// The call's name; of a multiplexed call (`socketcall(2)`) that of the call it stands for.
    pub(super) name: &'static str,
    /// Its arguments.
    pub(super) args: [u64; 6],
    /// What is known of the whole workload.
    pub(super) workload: &'a mut Workload,
    /// The task's credentials.
    pub(super) standing: &'a mut Standing,
    /// What is said and kept.
    pub(super) notes: &'a mut Notes,
}

impl Scene<'_> {
    /// Argument `index` as the register has it.
    pub(super) fn arg(&self, index: usize) -> u64 {
        self.args.get(index).copied().unwrap_or_default()
    }

    /// Argument `index` as an `int`.
    pub(super) fn int(&self, index: usize) -> i32 {
        read::int(self.arg(index))
    }

    /// Argument `index` as an `unsigned int`.
    pub(super) fn uint(&self, index: usize) -> u32 {
        read::uint(self.arg(index))
    }

    /// Argument `index` as a user or group id; `None` stands for -1. The first calls of i386 take 16 bits.
    pub(super) fn id(&self, index: usize) -> Option<u32> {
        let short = self.abi == Abi::I386 && !self.name.ends_with("32") && self.name != "fchownat";
        if short { read::short_id(self.uint(index)) } else { read::id(self.uint(index)) }
    }

    /// The memory that pointers lead to.
    pub(super) fn memory(&self) -> Memory<'_> {
        Memory::new(self.view, self.abi)
    }

    /// Keeps what was read, or that it could not be.
    pub(super) fn seen<T>(&mut self, read: std::io::Result<T>) -> Option<T> {
        // A name too long is read well enough: the kernel refuses it as well.
        let refused = |error: &std::io::Error| error.raw_os_error() != Some(libc::ENAMETOOLONG);
        self.notes.unreadable |= read.as_ref().err().is_some_and(refused);
        read.ok()
    }

    /// The C string that argument `index` points to.
    pub(super) fn text(&mut self, index: usize) -> Option<Vec<u8>> {
        let text = self.memory().cstr(self.arg(index), read::PATH_MAX);
        self.seen(text)
    }

    /// The task's credentials.
    pub(super) fn credentials(&mut self) -> Option<Rc<Credentials>> {
        self.standing.credentials(self.view)
    }

    /// Asks for the credentials anew next time: the call may have changed them.
    pub(super) fn forget_credentials(&mut self) {
        self.standing.forget();
    }

    /// Says a fact.
    pub(super) fn say(&mut self, fact: Fact) {
        self.notes.facts.push(fact);
    }

    /// Says that something is not seen.
    pub(super) fn gap(&mut self, kind: GapKind, detail: impl Into<String>) {
        self.notes.gaps.push(Gap { kind, detail: detail.into() });
    }

    /// Says that the outcome may hang on a capability, judged by effective ids.
    pub(super) fn check(&mut self, operation: Operation) {
        self.check_as(operation, |who| ((who.uid[1], who.gid[1]), who.effective));
    }

    /// The same, judged by filesystem ids.
    pub(super) fn check_file(&mut self, operation: Operation) {
        self.check_as(operation, |who| ((who.fsuid(), who.fsgid()), who.effective));
    }

    /// The same, judged by what the task is permitted, whether or not it is in effect.
    pub(super) fn check_permitted(&mut self, operation: Operation) {
        self.check_as(operation, |who| ((who.uid[1], who.gid[1]), who.permitted));
    }

    /// Says that the kernel asks for a capability that the task has, and does the same without.
    pub(super) fn idle(&mut self, capability: Capability, what: String) {
        if self.credentials().is_some_and(|who| CapabilitySet(who.effective).contains(capability)) {
            self.check_file(Operation::Idle { capability, what });
        }
    }

    /// Says that one capability guards the call as a whole.
    pub(super) fn guarded(&mut self, capability: Capability, what: impl Into<String>) {
        self.check(Operation::Privileged { capability, what: what.into() });
    }

    /// Says that a capability guards the call, and why its lack might not matter.
    pub(super) fn doubtful(&mut self, capability: Capability, what: impl Into<String>, doubt: &str) {
        self.check(Operation::Doubtful { capability, what: what.into(), doubt: doubt.to_owned() });
    }

    /// Nothing is said of tasks in another user namespace: their capabilities mean nothing outside it.
    fn check_as(&mut self, operation: Operation, judged: fn(&Credentials) -> ((u32, u32), u64)) {
        let Some(who) = self.credentials().filter(|who| !who.foreign_user_namespace) else {
            return;
        };
        let call = Syscall::Named(self.name.into());
        let (ids, held) = judged(&who);
        self.say(Fact::Check(Check { call, operation, ids, effective: CapabilitySet(held) }));
    }

    /// Says that `spot` was used.
    pub(super) fn used(&mut self, spot: &Resolved, access: Access) {
        let directory = spot.inode.is_some_and(|inode| inode.is_dir());
        self.file(&spot.path, spot.inode.as_ref(), access, directory);
    }

    /// Says that a file was used. What is not there would belong to the task.
    pub(super) fn file(&mut self, path: &AbsPath, inode: Option<&Inode>, access: Access, directory: bool) {
        let owner = match (inode, self.credentials()) {
            (None, _) => true,
            (Some(inode), Some(who)) => who.fsuid() == inode.uid,
            (Some(_), None) => false,
        };
        self.say(Fact::File(FileFact { path: path.clone(), access, owner, directory }));
    }

    /// The named file behind an open descriptor; `None` for a pipe, a socket and the like.
    pub(super) fn open_file(&mut self, fd: i32) -> Option<Resolved> {
        let descriptor = self.view.descriptor(fd);
        self.named_by_kernel(descriptor).and_then(named)
    }

    /// Keeps what the kernel said of a file, or that its path is longer than the kernel tells.
    fn named_by_kernel<T>(&mut self, answer: std::io::Result<T>) -> Option<T> {
        if answer.as_ref().err().and_then(std::io::Error::raw_os_error) == Some(libc::ENAMETOOLONG) {
            let detail = format!("{} of a file whose path is longer than {} bytes", self.name, read::PATH_MAX);
            self.gap(GapKind::UnknownPath, detail);
        }
        answer.ok()
    }

    /// Follows a path to its end or, where it breaks off, as far as it leads and on by its names: the path that it
    /// would have.
    pub(super) fn locate(&mut self, base: Base, path: &[u8], follow: bool) -> Option<Resolved> {
        if path.starts_with(b"/proc/") {
            super::special::way(self, path, follow);
        }
        match self.view.resolve(base, path, follow) {
            Ok(spot) => {
                // Named as a directory, which it may not be.
                let named = path.ends_with(b"/") || path.ends_with(b"/.");
                self.notes.astray |= named && spot.inode.is_some_and(|inode| !inode.is_dir());
                return Some(spot);
            }
            Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EBADF)) => return None,
            Err(_) if path.is_empty() => return None,
            Err(error) => self.notes.astray |= error.raw_os_error() != Some(libc::ENOENT),
        }
        let mut known = path;
        let mut rest: Vec<&[u8]> = Vec::new();
        while let Some((parent, name)) = split(known).filter(|_| rest.len() < MISSING_MAX) {
            rest.push(name);
            known = parent;
            let parent = if parent.is_empty() { b"." } else { parent };
            if let Ok(spot) = self.view.resolve(base, parent, true) {
                // On from a directory that is there leads a link; what bars the way behind it only the kernel tells.
                self.notes.astray |= spot.inode.is_some();
                return Some(beyond(spot, rest.into_iter().rev()));
            }
        }
        let directory = self.view.resolve(base, b".", true);
        self.named_by_kernel(directory).and(None)
    }
}

/// The file that a descriptor refers to, when it has or had a name.
pub(super) fn named(descriptor: Descriptor) -> Option<Resolved> {
    match descriptor.target {
        Target::Path(path) | Target::Deleted(path) => {
            Some(Resolved { path, inode: Some(descriptor.inode), searched: Vec::new() })
        }
        Target::Nameless(_) => None,
    }
}

/// The last component of a path and what stands before it; `None` when there is none.
fn split(path: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = path.iter().rposition(|&byte| byte != b'/')? + 1;
    let path = path.get(..end)?;
    let start = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    path.split_at_checked(start)
}

/// Goes on from `spot` by names alone, nothing of which exists or may be looked at.
fn beyond<'a>(spot: Resolved, names: impl Iterator<Item = &'a [u8]>) -> Resolved {
    let Resolved { mut path, inode, mut searched } = spot;
    if let Some(inode) = inode.filter(Inode::is_dir) {
        searched.push(crate::event::Searched { path: path.clone(), inode });
    }
    for name in names {
        match name {
            b"." => {}
            b".." => path = path.parent().unwrap_or_else(AbsPath::root),
            name => path = path.join(name).unwrap_or(path),
        }
    }
    Resolved { path, inode: None, searched }
}

/// Where a call's arguments name a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct At {
    /// The argument with the directory that a relative path starts from, or with the file itself.
    dirfd: Option<usize>,
    /// The argument that points to the path; `None` when `dirfd` is the file itself.
    path: Option<usize>,
    /// The argument with `AT_*` flags.
    flags: Option<usize>,
    /// Whether a last symbolic link is followed when the flags do not say otherwise.
    follow: bool,
}

/// A file as a call names it.
pub(super) enum Name {
    /// An open descriptor.
    Descriptor(i32),
    /// A path.
    Path(Base, Vec<u8>),
}

impl At {
    /// A path relative to the current directory.
    pub(super) const fn cwd(path: usize) -> Self {
        Self { dirfd: None, path: Some(path), flags: None, follow: true }
    }

    /// A path relative to an open directory.
    pub(super) const fn dir(dirfd: usize, path: usize) -> Self {
        Self { dirfd: Some(dirfd), path: Some(path), flags: None, follow: true }
    }

    /// An open descriptor.
    pub(super) const fn open(fd: usize) -> Self {
        Self { dirfd: Some(fd), path: None, flags: None, follow: true }
    }

    /// A last symbolic link is not followed, unless flags say so.
    pub(super) const fn nofollow(self) -> Self {
        Self { follow: false, ..self }
    }

    /// Argument `index` has `AT_*` flags.
    pub(super) const fn flags(self, index: usize) -> Self {
        Self { flags: Some(index), ..self }
    }

    /// Where an open file may be named.
    pub(super) fn nameless(self) -> Option<Nameless> {
        let index = |index: Option<usize>| index.and_then(|index| u8::try_from(index).ok());
        Some(Nameless { dirfd: index(self.dirfd)?, path: index(self.path)?, flags: index(self.flags)? })
    }

    /// The `AT_*` flags, 0 for a call without any.
    pub(super) fn raw_flags(self, scene: &Scene<'_>) -> i32 {
        self.flags.map_or(0, |index| scene.int(index))
    }

    /// Whether a last symbolic link is followed.
    pub(super) fn follows(self, scene: &Scene<'_>) -> bool {
        match self.flags.map(|index| scene.int(index)) {
            None => self.follow,
            Some(flags) if self.follow => flags & libc::AT_SYMLINK_NOFOLLOW == 0,
            Some(flags) => flags & libc::AT_SYMLINK_FOLLOW != 0,
        }
    }

    /// How the call names the file. `None` when its path cannot be read or is empty without `AT_EMPTY_PATH`.
    pub(super) fn name(self, scene: &mut Scene<'_>) -> Option<Name> {
        let Some(path) = self.path else {
            return self.dirfd.map(|index| Name::Descriptor(scene.int(index)));
        };
        let base = self.dirfd.map_or(Base::Cwd, |index| Base::from_arg(scene.arg(index)));
        let flags = self.flags.map(|index| scene.int(index));
        // utimensat(2) and statx(2) take a null path for an empty one.
        let null = flags.is_some() && scene.arg(path) == 0;
        let text = if null { Vec::new() } else { scene.text(path)? };
        if !text.is_empty() {
            return Some(Name::Path(base, text));
        }
        match base {
            _ if !null && flags.is_none_or(|flags| flags & libc::AT_EMPTY_PATH == 0) => None,
            Base::Cwd => Some(Name::Path(base, b".".to_vec())),
            Base::Fd(fd) => Some(Name::Descriptor(fd)),
        }
    }

    /// The file, or where it would be; `None` when it has no name.
    pub(super) fn find(self, scene: &mut Scene<'_>) -> Option<Resolved> {
        match self.name(scene)? {
            Name::Descriptor(fd) => scene.open_file(fd),
            Name::Path(base, path) => scene.locate(base, &path, self.follows(scene)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_split_at_their_last_name() {
        for (path, parts) in [
            ("a", Some(("", "a"))),
            ("a/b", Some(("a/", "b"))),
            ("/a//b//", Some(("/a//", "b"))),
            ("/a", Some(("/", "a"))),
            ("/", None),
            ("", None),
        ] {
            let parts = parts.map(|(parent, name): (&str, &str)| (parent.as_bytes(), name.as_bytes()));
            assert_eq!(split(path.as_bytes()), parts, "{path}");
        }
    }
}
