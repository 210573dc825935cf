//! Calls that open files, look at them by name or lock them.
//!
//! A call that yields a descriptor is judged by that descriptor, every other one by its path, followed before the call
//! takes effect.

use super::access;
use super::device;
use super::read;
use super::scene::{At, Decode, Kept, Name, Scene, Values, named, value};
use super::special;
use crate::abi::Abi;
use crate::event::{Base, Credentials, Nameless, Outcome, Resolved, Unless};
use crate::fact::{Access, Capability, Operation};

/// `__O_TMPFILE`, which needs no `O_DIRECTORY` beside it to be told apart.
const O_TMPFILE: i32 = 0o20_000_000;

/// Flags of calls that are judged by what they opened. Whether a file may be written hangs on its file system too, and
/// whether it may be read directly.
const UNSETTLED: i32 = libc::O_ACCMODE | libc::O_TRUNC | libc::O_PATH | libc::O_NOATIME | libc::O_DIRECT | O_TMPFILE;

/// Flags that every call takes which looks at a file by name. With others the kernel may refuse it.
const LOOKS: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH;

/// `O_NOFOLLOW` (`asm/fcntl.h`): not the same number on ARM.
const fn o_nofollow(abi: Abi) -> i32 {
    match abi {
        Abi::Aarch64 => 0o100_000,
        Abi::X86_64 | Abi::X32 | Abi::I386 => 0o400_000,
    }
}

/// `open(2)` in all its forms.
pub(super) struct Open {
    /// The argument with the directory descriptor.
    pub(super) dirfd: Option<usize>,
    /// The argument with the path.
    pub(super) path: usize,
    /// Where the `O_*` flags are.
    pub(super) flags: Flags,
}

/// Where a call has its `O_*` flags.
pub(super) enum Flags {
    /// In this argument.
    Argument(usize),
    /// In the `struct open_how` that this argument points to (`openat2(2)`).
    How(usize),
    /// Always these (`creat(2)`).
    Fixed(i32),
}

impl Open {
    fn opening(&self, scene: &mut Scene<'_>) -> Option<Opening> {
        let base = self.dirfd.map_or(Base::Cwd, |index| Base::from_arg(scene.arg(index)));
        let flags = match self.flags {
            Flags::Argument(index) => scene.int(index),
            Flags::How(index) => {
                let flags = scene.memory().open_flags(scene.arg(index));
                scene.seen(flags)?
            }
            Flags::Fixed(flags) => flags,
        };
        Some(Opening { base, path: self.path, flags })
    }
}

impl Decode for Open {
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

    fn foreseeable(&self) -> Option<Unless> {
        let Flags::Argument(index) = self.flags else { return None };
        let bits = (libc::O_CREAT | UNSETTLED).cast_unsigned();
        u8::try_from(index).ok().map(|argument| Unless { argument, bits })
    }
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
        } else if scene.workload.thinned && !self.has(UNSETTLED) {
            self.settle(scene);
        }
    }

    /// Says at the entry what there is to say, when the file may be read or is not there: a thinned task then needs
    /// not stop at the end.
    fn settle(&self, scene: &mut Scene<'_>) {
        let Some(spot) = self.find(scene) else { return };
        let directory = spot.inode.is_some_and(|inode| inode.is_dir());
        let plain = match spot.inode.map(|inode| inode.kind()) {
            None | Some(libc::S_IFDIR) => true,
            Some(kind) => kind == libc::S_IFREG && !self.has(libc::O_DIRECTORY),
        };
        if plain {
            scene.file(&spot.path, spot.inode.as_ref(), self.access(directory), directory);
            scene.need_file(&spot, access::READ);
            special::opened(scene, &spot, false);
            scene.notes.foresee(&spot);
        }
    }

    /// The `rwx` bits that it asks of a file that is there.
    fn wanted(&self) -> u8 {
        let access = self.access(false);
        let bits = [(Access::READ, access::READ), (Access::WRITE | Access::APPEND, access::WRITE)];
        bits.iter().filter(|(kind, _)| access.intersects(*kind)).fold(0, |all, (_, bit)| all | bit)
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        scene.notes.facts.clear(); // The descriptor tells it better than the entry.
        let created = self.creates() && matches!(scene.notes.kept, Kept::Existed(false));
        let opened = match outcome {
            Outcome::Returned(fd) => match scene.view.descriptor(read::int(fd.cast_unsigned())) {
                Ok(descriptor) => named(descriptor),
                // Closed again by another thread: by its path, as a failed one.
                Err(_) => self.find(scene),
            },
            Outcome::Failed(_) | Outcome::Unfinished => self.find(scene),
        };
        let Some(spot) = opened else {
            // Without a name of its own, as a namespace, and yet found by a path.
            if scene.privileged_on_files()
                && let Some(way) = self.find(scene)
            {
                scene.need_way(&way);
            }
            return;
        };
        let directory = spot.inode.is_some_and(|inode| inode.is_dir()) && !self.has(O_TMPFILE);
        let made = created || self.has(O_TMPFILE);
        // Leave to create is asked for whether or not the file is there.
        let asked = if made || self.creates() { Access::CREATE } else { Access::empty() };
        let access = self.access(directory) | asked;
        // What the call made belongs to the task, and what a failed call did not make would.
        let inode = if made { None } else { spot.inode };
        scene.file(&spot.path, inode.as_ref(), access, directory);
        if !made && !self.has(libc::O_PATH) {
            special::opened(scene, &spot, self.wanted() & access::WRITE != 0);
        }
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
        let wanted = if self.has(O_TMPFILE) { access::WRITE | access::EXEC } else { self.wanted() };
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
        let looks = self.access == Access::STAT;
        let spot = match self.at.name(scene) {
            // Whoever holds it open has shown so before.
            Some(Name::Descriptor(_)) if looks => {
                scene.notes.foreseen = Some(Outcome::Returned(0));
                None
            }
            Some(Name::Descriptor(fd)) => scene.open_file(fd),
            Some(Name::Path(base, path)) => scene.locate(base, &path, self.at.follows(scene)),
            None => None,
        };
        let Some(spot) = spot else { return };
        scene.used(&spot, self.access);
        scene.need_file(&spot, self.need);
        if looks && self.need == 0 && self.at.raw_flags(scene) & !LOOKS == 0 {
            scene.notes.foresee(&spot);
        }
    }

    fn foreseeable(&self) -> Option<Unless> {
        (self.access == Access::STAT && self.need == 0).then(Unless::default)
    }

    fn nameless(&self) -> Option<Nameless> {
        self.at.nameless().filter(|_| self.access == Access::STAT)
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
        // Whether it may be written or executed hangs on how its file system is mounted too.
        let asked = scene.int(self.mode);
        let told = if spot.inode.is_some_and(|inode| inode.is_dir()) { libc::R_OK | libc::X_OK } else { libc::R_OK };
        if asked & !told == 0 && self.at.raw_flags(scene) & !(LOOKS | libc::AT_EACCESS) == 0 {
            scene.notes.foresee(&spot);
        }
    }

    fn foreseeable(&self) -> Option<Unless> {
        let told = (libc::R_OK | libc::X_OK).cast_unsigned();
        u8::try_from(self.mode).ok().map(|argument| Unless { argument, bits: !told })
    }
}

/// `readlink(2)`, `readlinkat(2)`: fails for what is no link.
pub(super) struct ReadLink {
    /// The link.
    pub(super) at: At,
    /// The argument with the size of the buffer.
    pub(super) size: usize,
}

impl Decode for ReadLink {
    fn enter(&self, scene: &mut Scene<'_>) {
        let Some(spot) = self.at.find(scene) else { return };
        scene.used(&spot, Access::STAT);
        scene.need_file(&spot, 0);
        if spot.inode.is_none_or(|inode| inode.kind() == libc::S_IFLNK) && scene.int(self.size) > 0 {
            scene.notes.foresee(&spot);
        }
    }

    fn foreseeable(&self) -> Option<Unless> {
        Some(Unless::default())
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
            libc::F_SETPIPE_SZ => enlarge_pipe(scene),
            _ => {}
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        let command = value(values, 1).map(read::int);
        let guarded = |command| matches!(command, libc::F_SETLEASE | libc::F_SETPIPE_SZ);
        command.is_some_and(|command| !LOCKS.contains(&command) && !guarded(command))
    }
}

/// `pipe_set_size()`, `fs/pipe.c`
fn enlarge_pipe(scene: &mut Scene<'_>) {
    let limit = device::setting(scene, "sys/fs/pipe-max-size");
    if limit > 0 && i64::from(scene.uint(2)) > limit {
        scene.guarded(Capability::SysResource, "a pipe larger than pipe-max-size");
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
            let directory = spot.inode.is_some_and(|inode| inode.is_dir());
            scene.used(&spot, opening.access(directory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fake::{Bench, CWD, files, operations, owned, path};
    use crate::event::Sink as _;
    use crate::fact::{Fact, GapKind};

    const FILE: u32 = libc::S_IFREG | 0o644;
    const DIR: u32 = libc::S_IFDIR | 0o755;

    fn open(
        bench: &mut Bench,
        name: &str,
        flags: i32,
        effect: impl FnOnce(&crate::decode::fake::FakeView),
    ) -> Vec<Fact> {
        let name = bench.text(name);
        bench.effect("openat", &[CWD, name, u64::from(flags.cast_unsigned()), 0o600], Outcome::Returned(3), effect)
    }

    #[test]
    fn open_is_judged_by_its_descriptor() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.file("/srv/real", FILE, (0, 0));
            bench.view.link("/srv/name", "/srv/real");
            let mut access = |flags| {
                let facts = open(&mut bench, "name", flags, |view| view.open(3, "/srv/real"));
                files(&facts).join(", ")
            };
            for (flags, expected) in [
                (libc::O_RDONLY, "read"),
                (libc::O_WRONLY, "write"),
                (libc::O_RDWR, "read write"),
                (libc::O_WRONLY | libc::O_APPEND, "append"),
                (libc::O_RDWR | libc::O_APPEND, "read append"),
                (libc::O_WRONLY | libc::O_APPEND | libc::O_TRUNC, "write"),
                (libc::O_RDONLY | libc::O_TRUNC, "read write"),
                (libc::O_WRONLY | libc::O_CREAT, "write create"),
                (libc::O_PATH, "stat"),
                (3, "read write"),
            ] {
                assert_eq!(access(flags), format!("/srv/real: {expected}"), "{abi} {flags:#o}");
            }
        }
    }

    #[test]
    fn what_was_not_there_is_created() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            let facts = open(&mut bench, "new", libc::O_CREAT | libc::O_WRONLY, |view| {
                view.file("/srv/new", FILE, (1000, 1000));
                view.open(3, "/srv/new");
            });
            assert_eq!(facts, [owned("/srv/new", Access::CREATE | Access::WRITE)], "{abi}");
            if bench.has("creat") {
                let name = bench.text("/srv/newer");
                let facts = bench.effect("creat", &[name, 0o600], Outcome::Returned(3), |view| {
                    view.file("/srv/newer", FILE, (1000, 1000));
                    view.open(3, "/srv/newer");
                });
                assert_eq!(facts, [owned("/srv/newer", Access::CREATE | Access::WRITE)], "{abi}");
            }
            let how = bench.words(&[libc::O_CREAT.cast_unsigned(), 0, 0o600, 0, 0, 0]);
            let name = bench.text("new");
            let facts = bench.effect("openat2", &[CWD, name, how, 24], Outcome::Returned(4), |view| {
                view.open(4, "/srv/new");
            });
            assert_eq!(facts, [owned("/srv/new", Access::READ | Access::CREATE)], "{abi}: it asks for it all the same");
        }
    }

    #[test]
    fn directories_are_listed() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.file("/srv/dir", DIR, (0, 0));
        let facts = open(&mut bench, "dir", libc::O_RDONLY | libc::O_DIRECTORY, |view| view.open(3, "/srv/dir"));
        assert_eq!(files(&facts), ["/srv/dir: list"]);
        assert!(matches!(&facts[..], [Fact::File(file)] if file.directory));
        // A file without a name in it is made there, by the name that the kernel gives it.
        let facts = open(&mut bench, "dir", libc::O_TMPFILE | libc::O_RDWR, |view| {
            view.file("/srv/dir/#7", FILE, (0, 0));
            view.open(3, "/srv/dir/#7");
        });
        assert_eq!(files(&facts), ["/srv/dir/#7: read write create"]);
    }

    #[test]
    fn failures_keep_the_path_that_would_be() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            bench.view.file("/etc", DIR, (0, 0));
            bench.view.link("/conf", "/etc");
            for (name, expected) in [
                ("/conf/a", "/etc/a: read"),
                ("/conf/no/such/../dir/./x", "/etc/no/dir/x: read"),
                ("none/x/", "/srv/none/x: read"),
                ("/../..", "/: list"),
            ] {
                let at = bench.text(name);
                let facts = bench.fail("openat", &[CWD, at, 0, 0], libc::ENOENT);
                assert_eq!(files(&facts), [expected], "{abi} {name}");
            }
            let empty = bench.text("");
            assert_eq!(bench.fail("openat", &[CWD, empty, 0, 0], libc::ENOENT), []);
            assert_eq!(bench.fail("openat", &[CWD, 0x10, 0, 0], libc::EFAULT), []);
            assert_eq!(bench.gaps(), []);
            assert_eq!(bench.call(stat_name(abi), &stat_args(abi)), []);
            assert_eq!(bench.gaps(), [GapKind::Unreadable]);
        }
    }

    fn stat_name(abi: Abi) -> &'static str {
        if abi == Abi::I386 { "stat64" } else { "newfstatat" }
    }

    fn stat_args(abi: Abi) -> Vec<u64> {
        if abi == Abi::I386 { vec![0x10, 0] } else { vec![CWD, 0x10, 0, 0] }
    }

    #[test]
    fn nameless_things_are_no_files() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.open_nameless(3, "pipe:[5]");
        assert_eq!(bench.call("fchmod", &[3, 0o600]), []);
        assert_eq!(bench.call("flock", &[3, 2]), []);
        let name = bench.text("/srv");
        assert_eq!(bench.effect("openat", &[CWD, name, 0], Outcome::Returned(3), |_| ()), []);
    }

    #[test]
    fn an_end_is_foreseen_where_the_whole_way_was_seen() {
        let mut bench = Bench::user(Abi::X86_64);
        bench.view.link("/srv/near", "/none");
        bench.view.link("/srv/far", "/none/such/place");
        let name = bench.text("none");
        bench.fail("newfstatat", &[CWD, name, 0, 0], libc::ENOENT);
        bench.decoder.thinned(Bench::TID);
        for (name, foreseen) in [
            ("none", true),
            ("none/x", true),
            ("none/such/../x", true),
            ("near", true),
            ("near/x/y", true),
            ("far", false),
            ("far/", false),
            ("far/x", false),
            ("../srv/far/x/../y", false),
        ] {
            let at = bench.text(name);
            let call = bench.made("newfstatat", &[CWD, at, 0, 0]);
            assert_eq!(bench.decoder.enter(Bench::TID, &call, &bench.view).leave, !foreseen, "{name}");
        }
    }

    #[test]
    fn success_is_foreseen_where_nothing_else_can_refuse() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.file("/srv/f", libc::S_IFREG | 0o755, (0, 0));
        bench.view.file("/srv/d", libc::S_IFDIR | 0o755, (0, 0));
        bench.view.link("/srv/l", "f");
        let [f, d, l, slash, dot] = ["f", "d", "l", "f/", "f/."].map(|name| bench.text(name));
        let flags = |flags: i32| u64::from(flags.cast_unsigned());
        let calls = [
            ("openat", [CWD, f, 0, 0], true),
            ("openat", [CWD, d, flags(libc::O_DIRECTORY), 0], true),
            ("openat", [CWD, f, flags(libc::O_DIRECTORY), 0], false),
            ("openat", [CWD, f, flags(libc::O_WRONLY), 0], false),
            ("openat", [CWD, f, flags(libc::O_RDWR), 0], false),
            ("openat", [CWD, f, flags(libc::O_DIRECT), 0], false),
            ("openat", [CWD, slash, 0, 0], false),
            ("newfstatat", [CWD, f, 0, flags(libc::AT_NO_AUTOMOUNT)], true),
            ("newfstatat", [CWD, f, 0, 0x8000], false),
            ("newfstatat", [CWD, dot, 0, 0], false),
            ("readlinkat", [CWD, l, 0, 9], true),
            ("readlinkat", [CWD, l, 0, 0], false),
            ("readlinkat", [CWD, f, 0, 9], false),
            ("faccessat2", [CWD, f, 4, flags(libc::AT_EACCESS)], true),
            ("faccessat2", [CWD, f, 4, 0x8000], false),
            ("faccessat2", [CWD, f, 2, 0], false),
            ("faccessat2", [CWD, f, 1, 0], false),
            ("faccessat2", [CWD, d, 1, 0], true),
            ("faccessat2", [CWD, f, 8, 0], false),
        ];
        bench.decoder.thinned(Bench::TID);
        for turn in 0..2 {
            for (name, args, foreseen) in calls {
                let call = bench.made(name, &args);
                let leave = bench.decoder.enter(Bench::TID, &call, &bench.view).leave;
                assert!(turn == 0 || leave != foreseen, "{name} {args:x?}");
                bench.decoder.leave(Bench::TID, &call, Outcome::Returned(0), &bench.view);
            }
        }
    }

    #[test]
    fn open_descriptors_are_not_looked_at_again() {
        let mut bench = Bench::new(Abi::X86_64);
        let empty = bench.text("");
        let before = bench.view.questions.get();
        assert_eq!(bench.call("newfstatat", &[3, empty, 0, 0x1000]), []);
        assert_eq!(bench.view.questions.get(), before);
    }

    #[test]
    fn locks_and_leases() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.file("/srv/f", FILE, (7, 7));
            bench.view.open(3, "/srv/f");
            let fcntl = if abi == Abi::I386 { "fcntl64" } else { "fcntl" };
            for command in [6, 7, 37, 38] {
                assert_eq!(files(&bench.call(fcntl, &[3, command])), ["/srv/f: lock"], "{abi}");
            }
            assert_eq!(bench.call(fcntl, &[3, 3]), []);
            assert_eq!(files(&bench.call("flock", &[3, 2])), ["/srv/f: lock"]);
            let lease = operations(&bench.call(fcntl, &[3, 1024, 1]));
            assert!(matches!(&lease[..], [Operation::Privileged { capability: Capability::Lease, .. }]));
        }
    }

    fn access_denied(name: &str, wanted: u8, mode: u32, owner: (u32, u32)) -> Operation {
        Operation::FileAccess { path: path(name), wanted, mode, owner }
    }

    #[test]
    fn root_needs_no_capability_for_its_own() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.file("/srv/f", libc::S_IFREG | 0o600, (0, 0));
            bench.view.file("/srv/theirs", libc::S_IFREG | 0o640, (7, 7));
            bench.view.file("/srv/home", libc::S_IFDIR | 0o700, (7, 7));
            bench.view.file("/srv/home/f", libc::S_IFREG | 0o644, (7, 7));
            let facts = open(&mut bench, "f", libc::O_RDWR, |view| view.open(3, "/srv/f"));
            assert_eq!(operations(&facts), []);
            let facts = open(&mut bench, "theirs", libc::O_RDWR, |view| view.open(3, "/srv/theirs"));
            assert_eq!(operations(&facts), [access_denied("/srv/theirs", 6, libc::S_IFREG | 0o640, (7, 7))]);
            let facts = open(&mut bench, "home/f", libc::O_RDONLY, |view| view.open(3, "/srv/home/f"));
            assert_eq!(operations(&facts), [access_denied("/srv/home", 1, libc::S_IFDIR | 0o700, (7, 7))]);
            let facts = open(&mut bench, "home/n", libc::O_CREAT | libc::O_WRONLY, |view| {
                view.file("/srv/home/n", libc::S_IFREG | 0o600, (0, 0));
                view.open(3, "/srv/home/n");
            });
            let home = |wanted| access_denied("/srv/home", wanted, libc::S_IFDIR | 0o700, (7, 7));
            assert_eq!(operations(&facts), [home(1), home(2)]);
        }
    }

    #[test]
    fn an_ordinary_user_is_checked_only_when_refused() {
        let mut bench = Bench::user(Abi::X86_64);
        bench.view.file("/srv/f", libc::S_IFREG | 0o600, (0, 0));
        let name = bench.text("f");
        let facts = bench.fail("openat", &[CWD, name, 0], libc::EACCES);
        assert_eq!(operations(&facts), [access_denied("/srv/f", 4, libc::S_IFREG | 0o600, (0, 0))]);
        assert_eq!(files(&facts), ["/srv/f: read"]);
        // An access list granted it.
        let before = bench.view.questions.get();
        let facts = open(&mut bench, "f", libc::O_RDONLY, |view| view.open(3, "/srv/f"));
        assert_eq!(operations(&facts), []);
        assert!(bench.view.questions.get() - before <= 2);
    }

    #[test]
    fn access_lists_are_judged_too() {
        let mut bench = Bench::user(Abi::X86_64);
        bench.becomes(|who| who.effective = u64::MAX);
        bench.view.file("/srv/f", libc::S_IFREG | 0o660, (0, 0));
        let mut list = vec![2, 0, 0, 0];
        list.extend([1, 0, 6, 0, 255, 255, 255, 255, 2, 0, 6, 0, 0xe8, 3, 0, 0]);
        list.extend([4, 0, 0, 0, 255, 255, 255, 255, 16, 0, 6, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255]);
        bench.view.attributes.borrow_mut().insert((path("/srv/f"), "system.posix_acl_access".to_owned()), list);
        let facts = open(&mut bench, "f", libc::O_RDWR, |view| view.open(3, "/srv/f"));
        assert_eq!(operations(&facts), []);
    }

    #[test]
    fn another_user_namespace_has_its_own_rules() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.becomes(|who| who.foreign_user_namespace = true);
        bench.view.file("/srv/f", libc::S_IFREG, (7, 7));
        let facts = open(&mut bench, "f", libc::O_RDWR, |view| view.open(3, "/srv/f"));
        assert_eq!(operations(&facts), []);
        let name = bench.text("null");
        assert_eq!(operations(&bench.call("mknod", &[name, u64::from(libc::S_IFCHR), 0x103])), []);
    }

    #[test]
    fn real_ids_decide_what_access_answers() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.file("/srv/f", libc::S_IFREG | 0o600, (0, 0));
        bench.becomes(|who| who.uid[0] = 7);
        let name = bench.text("f");
        let asked = operations(&bench.call("faccessat2", &[CWD, name, 4, 0]));
        assert_eq!(asked, [access_denied("/srv/f", 4, libc::S_IFREG | 0o600, (0, 0))]);
        assert_eq!(operations(&bench.call("faccessat2", &[CWD, name, 4, 0x200])), []);
    }

    #[test]
    fn marks_of_fanotify_have_a_wide_mask() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            let name = bench.text("/srv");
            let args = if abi == Abi::I386 { [3, 1, 8, 0, CWD, name] } else { [3, 1, 8, CWD, name, 0] };
            assert_eq!(files(&bench.call("fanotify_mark", &args)), ["/srv: read"], "{abi}");
        }
    }
}
