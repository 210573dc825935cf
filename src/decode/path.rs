//! Calls that name files: open, look, make, remove, rename, link, lock.
//!
//! A call that yields a descriptor is judged by that descriptor, every other one by its path, followed before the call
//! takes effect: what is removed is still there, and where something will be made is known as well.

use super::access;
use super::read;
use super::scene::{At, Decode, Kept, Name, Scene, value};
use super::table::Values;
use crate::abi::Abi;
use crate::event::{Base, Credentials, Outcome, Resolved};
use crate::fact::{Access, Capability, Operation};

/// `__O_TMPFILE`, which needs no `O_DIRECTORY` beside it to be told apart.
const O_TMPFILE: i32 = 0o20_000_000;

/// `O_NOFOLLOW` (`asm/fcntl.h`): not the same number on ARM.
const fn o_nofollow(abi: Abi) -> i32 {
    match abi {
        Abi::Aarch64 => 0o100_000,
        Abi::X86_64 | Abi::X32 | Abi::I386 => 0o400_000,
    }
}

/// `open(2)`, `openat(2)`.
pub(super) struct Open {
    /// The argument with the directory descriptor.
    pub(super) dirfd: Option<usize>,
    /// The argument with the path.
    pub(super) path: usize,
    /// The argument with `O_*` flags.
    pub(super) flags: usize,
}

/// `openat2(2)`: flags in a `struct open_how`.
pub(super) struct Open2;

/// `creat(2)`.
pub(super) struct Creat;

impl Decode for Open {
    fn enter(&self, scene: &mut Scene<'_>) {
        let opening = Opening { base: base(scene, self.dirfd), path: self.path, flags: scene.int(self.flags) };
        opening.enter(scene);
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        let opening = Opening { base: base(scene, self.dirfd), path: self.path, flags: scene.int(self.flags) };
        opening.leave(scene, outcome);
    }
}

impl Decode for Open2 {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(opening) = self.opening(scene) {
            opening.enter(scene);
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        if let Some(opening) = self.opening(scene) {
            opening.leave(scene, outcome);
        }
    }
}

impl Open2 {
    fn opening(&self, scene: &mut Scene<'_>) -> Option<Opening> {
        let flags = scene.memory().open_flags(scene.arg(2));
        Some(Opening { base: base(scene, Some(0)), path: 1, flags: scene.seen(flags)? })
    }
}

impl Creat {
    const OPENING: Opening =
        Opening { base: Base::Cwd, path: 0, flags: libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC };
}

impl Decode for Creat {
    fn enter(&self, scene: &mut Scene<'_>) {
        Self::OPENING.enter(scene);
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        Self::OPENING.leave(scene, outcome);
    }
}

fn base(scene: &Scene<'_>, dirfd: Option<usize>) -> Base {
    dirfd.map_or(Base::Cwd, |index| Base::from_arg(scene.arg(index)))
}

/// One open call, whatever its form.
struct Opening {
    base: Base,
    path: usize,
    flags: i32,
}

impl Opening {
    const fn has(&self, flag: i32) -> bool {
        self.flags & flag != 0
    }

    /// Whether it makes the named file when that is missing.
    const fn creates(&self) -> bool {
        self.has(libc::O_CREAT) && !self.has(libc::O_PATH | O_TMPFILE)
    }

    fn enter(&self, scene: &mut Scene<'_>) {
        if self.creates() {
            let existed = self.find(scene).is_some_and(|spot| spot.inode.is_some());
            scene.notes.kept = Kept::Existed(existed);
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        let created = self.creates() && matches!(scene.notes.kept, Kept::Existed(false));
        let opened = match outcome {
            Outcome::Returned(fd) => match scene.view.descriptor(read::int(fd.cast_unsigned())) {
                Ok(_) => scene.open_file(read::int(fd.cast_unsigned())),
                // Gone again, or never told: by its path, as a failed one.
                Err(_) => self.find(scene),
            },
            Outcome::Failed(_) | Outcome::Unfinished => self.find(scene),
        };
        let Some(spot) = opened else {
            return;
        };
        let directory = spot.inode.is_some_and(|inode| inode.is_dir()) && !self.has(O_TMPFILE);
        let made = created || self.has(O_TMPFILE);
        let access = self.access(directory) | if made { Access::CREATE } else { Access::empty() };
        // What the call made belongs to the task, and what a failed call did not make would.
        let inode = if made { None } else { spot.inode };
        scene.file(&spot.path, inode.as_ref(), access, directory);
        self.checks(scene, outcome, &spot, created);
    }

    fn find(&self, scene: &mut Scene<'_>) -> Option<Resolved> {
        let path = scene.text(self.path).filter(|path| !path.is_empty())?;
        let exclusive = self.creates() && self.has(libc::O_EXCL);
        scene.locate(self.base, &path, !self.has(o_nofollow(scene.abi)) && !exclusive)
    }

    fn access(&self, directory: bool) -> Access {
        if self.has(libc::O_PATH) {
            return Access::STAT;
        }
        let reading = if directory { Access::LIST } else { Access::READ };
        let writing = if self.has(libc::O_APPEND) { Access::APPEND } else { Access::WRITE };
        let asked = match self.flags & libc::O_ACCMODE {
            libc::O_RDONLY => reading,
            libc::O_WRONLY => writing,
            // 3 opens a device for ioctl alone, and asks for both permissions (`open(2)`).
            _ => reading | writing,
        };
        if self.has(libc::O_TRUNC) { (asked - Access::APPEND) | Access::WRITE } else { asked }
    }

    fn checks(&self, scene: &mut Scene<'_>, outcome: Outcome, spot: &Resolved, created: bool) {
        let refused = matches!(outcome, Outcome::Failed(libc::EACCES | libc::EPERM));
        let used = matches!(outcome, Outcome::Returned(_)) && scene.privileged_on_files();
        if !refused && !used {
            return;
        }
        // A descriptor does not tell the way to it.
        let way = if refused { Some(spot.clone()) } else { self.find(scene) };
        let Some(way) = way else {
            return;
        };
        if created {
            scene.need_new_name(&way);
            return;
        }
        let access = self.access(false);
        let bits = [(Access::READ, access::READ), (Access::WRITE | Access::APPEND, access::WRITE)];
        let wanted = bits.iter().filter(|(kind, _)| access.intersects(*kind)).fold(0, |all, (_, bit)| all | bit);
        let wanted = if self.has(O_TMPFILE) { access::WRITE | access::EXEC } else { wanted };
        scene.need_file(&way, wanted);
        if let Some(inode) = way.inode.filter(|_| self.has(libc::O_NOATIME)) {
            scene.need_owner(&way.path, &inode);
        }
    }
}

/// Calls that look at a file or act on it without opening it; `need` is what they ask of its permissions.
pub(super) struct Use {
    /// The file.
    pub(super) at: At,
    /// What is done to it.
    pub(super) access: Access,
    /// `rwx` bits (4, 2, 1).
    pub(super) need: u8,
}

/// `stat(2)` and its kin: they look, and need no permission on the file itself.
pub(super) const fn stat(at: At) -> Use {
    Use { at, access: Access::STAT, need: 0 }
}

impl Decode for Use {
    fn enter(&self, scene: &mut Scene<'_>) {
        let spot = match self.at.name(scene) {
            // Whoever holds it open has shown so before.
            Some(Name::Descriptor(_)) if self.access == Access::STAT => None,
            Some(Name::Descriptor(fd)) => scene.open_file(fd),
            Some(Name::Path(base, path)) => scene.locate(base, &path, self.at.follows(scene)),
            None => None,
        };
        if let Some(spot) = spot {
            scene.used(&spot, self.access);
            scene.need_file(&spot, self.need);
        }
    }
}

/// `access(2)`, `faccessat(2)`: asks what the *real* ids may do.
pub(super) struct Ask {
    /// The file.
    pub(super) at: At,
    /// The argument with `R_OK`, `W_OK`, `X_OK`.
    pub(super) mode: usize,
    /// The argument with flags, of which `AT_EACCESS` asks for the effective ids.
    pub(super) flags: Option<usize>,
}

impl Decode for Ask {
    fn enter(&self, scene: &mut Scene<'_>) {
        let Some((spot, who)) = self.at.find(scene).zip(scene.credentials()) else {
            return;
        };
        scene.used(&spot, Access::STAT);
        let effective = self.flags.is_some_and(|index| scene.int(index) & libc::AT_EACCESS != 0);
        let mut judged = Credentials::clone(&who);
        if !effective {
            judged.uid[3] = who.uid[0];
            judged.gid[3] = who.gid[0];
        }
        for step in &spot.searched {
            scene.need_as(&judged, &step.path, &step.inode, access::EXEC);
        }
        if let (Some(inode), Ok(wanted)) = (spot.inode, u8::try_from(scene.int(self.mode) & 7)) {
            scene.need_as(&judged, &spot.path, &inode, wanted);
        }
    }
}

/// `mkdir(2)`, `symlink(2)`: a new name.
pub(super) struct Make {
    /// The new name.
    pub(super) at: At,
    /// Whether it is a directory.
    pub(super) directory: bool,
}

impl Decode for Make {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(spot) = self.at.nofollow().find(scene) {
            make(scene, &spot, Access::CREATE, self.directory);
        }
    }
}

/// `mknod(2)`.
pub(super) struct MakeNode {
    /// The new name.
    pub(super) at: At,
    /// The argument with the mode; the device number follows it.
    pub(super) mode: usize,
}

impl Decode for MakeNode {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(spot) = self.at.nofollow().find(scene) {
            make(scene, &spot, Access::CREATE, false);
        }
        let (kind, device) = (scene.uint(self.mode) & libc::S_IFMT, scene.uint(self.mode + 1));
        // A character device 0:0 is overlayfs's mark of a removed file, which everyone may make.
        if kind == libc::S_IFBLK || (kind == libc::S_IFCHR && device != 0) {
            scene.check(Operation::MakeDevice { kind });
        }
    }
}

/// Says that `spot` comes into being or is replaced; the task will own it.
fn make(scene: &mut Scene<'_>, spot: &Resolved, access: Access, directory: bool) {
    scene.file(&spot.path, spot.inode.as_ref(), access, directory);
    scene.need_new_name(spot);
}

/// `unlink(2)`, `rmdir(2)`, `unlinkat(2)`.
pub(super) struct Remove {
    /// The name.
    pub(super) at: At,
}

impl Decode for Remove {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(spot) = self.at.nofollow().find(scene) {
            scene.used(&spot, Access::REMOVE);
            scene.need_name(&spot);
        }
    }
}

/// `rename(2)`, `renameat2(2)`.
pub(super) struct Rename {
    /// The old name.
    pub(super) from: At,
    /// The new name.
    pub(super) to: At,
    /// The argument with `RENAME_*` flags.
    pub(super) flags: Option<usize>,
}

impl Decode for Rename {
    fn enter(&self, scene: &mut Scene<'_>) {
        const EXCHANGE: i32 = 2;
        let exchange = self.flags.is_some_and(|index| scene.int(index) & EXCHANGE != 0);
        let (from, to) = (self.from.nofollow().find(scene), self.to.nofollow().find(scene));
        let both = Access::RENAME_FROM | Access::RENAME_TO;
        if let Some(from) = &from {
            scene.used(from, if exchange { both } else { Access::RENAME_FROM });
            scene.need_name(from);
        }
        if let Some(to) = &to {
            let directory = [&from, &Some(to.clone())].iter().any(|spot| is_directory(spot.as_ref()));
            // The new name will be the old one's file.
            let inode = from.as_ref().and_then(|from| from.inode);
            scene.file(&to.path, inode.as_ref(), if exchange { both } else { Access::RENAME_TO }, directory);
            scene.need_name(to);
        }
        // A directory that moves has its `..` rewritten.
        if let (Some(from), Some(to)) = (from, to)
            && let Some(inode) = from.inode.filter(|inode| inode.is_dir() && from.path.parent() != to.path.parent())
        {
            scene.need(&from.path, &inode, access::WRITE);
        }
    }
}

fn is_directory(spot: Option<&Resolved>) -> bool {
    spot.and_then(|spot| spot.inode).is_some_and(|inode| inode.is_dir())
}

/// `link(2)`, `linkat(2)`.
pub(super) struct Link {
    /// The file.
    pub(super) from: At,
    /// Its new name.
    pub(super) to: At,
}

impl Decode for Link {
    fn enter(&self, scene: &mut Scene<'_>) {
        let from = self.from.find(scene);
        if let Some(from) = &from {
            scene.used(from, Access::LINK_TARGET);
            scene.need_way(from);
            protect_link(scene, from);
        }
        if let Some(to) = self.to.nofollow().find(scene) {
            let inode = from.and_then(|from| from.inode);
            scene.file(&to.path, inode.as_ref(), Access::LINK, false);
            scene.need_new_name(&to);
        }
    }
}

/// `fs.protected_hardlinks`: who does not own a file may link it only when it is plain, not set-ID, and open to him for
/// reading and writing (`may_linkat`, `fs/namei.c`).
fn protect_link(scene: &mut Scene<'_>, from: &Resolved) {
    let Some((inode, who)) = from.inode.zip(scene.credentials()).filter(|(inode, who)| who.fsuid() != inode.uid) else {
        return;
    };
    if !scene.view.proc("sys/fs/protected_hardlinks").is_ok_and(|text| text.starts_with(b"1")) {
        return;
    }
    let set_group_id = libc::S_ISGID | libc::S_IXGRP;
    let plain = inode.kind() == libc::S_IFREG
        && inode.mode & libc::S_ISUID == 0
        && inode.mode & set_group_id != set_group_id
        && access::grants(scene.view, &who, &from.path, &inode, access::READ | access::WRITE);
    if !plain {
        scene.need_owner(&from.path, &inode);
    }
}

/// `fanotify_mark(2)`, whose 64-bit mask takes two arguments on i386.
pub(super) struct Watch;

impl Decode for Watch {
    fn enter(&self, scene: &mut Scene<'_>) {
        let dirfd = if scene.abi == Abi::I386 { 4 } else { 3 };
        // Without a path the directory itself is meant.
        let at = if scene.arg(dirfd + 1) == 0 { At::open(dirfd) } else { At::dir(dirfd, dirfd + 1) };
        if let Some(spot) = at.find(scene) {
            scene.used(&spot, Access::READ);
            scene.need_file(&spot, access::READ);
        }
    }
}

/// `flock(2)`.
pub(super) struct Lock;

impl Decode for Lock {
    fn enter(&self, scene: &mut Scene<'_>) {
        lock(scene);
    }
}

fn lock(scene: &mut Scene<'_>) {
    if let Some(spot) = scene.open_file(scene.int(0)) {
        scene.used(&spot, Access::LOCK);
    }
}

/// `fcntl(2)`.
pub(super) struct Fcntl;

/// `F_SETLK`, `F_SETLKW`, their 64-bit forms of 32-bit ABIs, `F_OFD_SETLK`, `F_OFD_SETLKW`.
const LOCKS: [i32; 6] = [6, 7, 13, 14, 37, 38];

impl Decode for Fcntl {
    fn enter(&self, scene: &mut Scene<'_>) {
        match scene.int(1) {
            command if LOCKS.contains(&command) => lock(scene),
            libc::F_SETLEASE => lease(scene),
            _ => {}
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        let command = value(values, 1).map(read::int);
        command.is_some_and(|command| !LOCKS.contains(&command) && command != libc::F_SETLEASE)
    }
}

/// A lease is the file owner's to take (`generic_setlease`, `fs/locks.c`).
fn lease(scene: &mut Scene<'_>) {
    let Some((spot, who)) = scene.open_file(scene.int(0)).zip(scene.credentials()) else {
        return;
    };
    if spot.inode.is_some_and(|inode| inode.uid != who.fsuid()) {
        let what = format!("lease on {}", spot.path);
        scene.check(Operation::Privileged { capability: Capability::Lease, what });
    }
}

/// `open_by_handle_at(2)`.
pub(super) struct OpenByHandle;

impl Decode for OpenByHandle {
    fn enter(&self, scene: &mut Scene<'_>) {
        let what = "open a file by its handle".to_owned();
        scene.check(Operation::Privileged { capability: Capability::DacReadSearch, what });
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        let opening = Opening { base: Base::Cwd, path: 0, flags: scene.int(2) };
        if let Outcome::Returned(fd) = outcome
            && let Some(spot) = scene.open_file(read::int(fd.cast_unsigned()))
        {
            scene.used(&spot, opening.access(is_directory(Some(&spot))));
        }
    }
}
