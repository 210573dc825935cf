//! `open(2)` and its kin.
//!
//! A call that yields a descriptor is judged by that descriptor, a failed one by its path, followed before the call takes
//! effect.

use super::access;
use super::read;
use super::scene::{Decode, Kept, Scene, named};
use super::special;
use crate::abi::Abi;
use crate::event::{Base, Outcome, Resolved, Unless};
use crate::fact::{Access, Capability, Operation};

/// `__O_TMPFILE`, which needs no `O_DIRECTORY` beside it to be told apart.
const O_TMPFILE: i32 = 0o20_000_000;

/// Flags of calls that are judged by what they opened. Whether a file may be written hangs on its file system too, and
/// whether it may be read directly.
const UNSETTLED: i32 = libc::O_ACCMODE | libc::O_TRUNC | libc::O_PATH | libc::O_NOATIME | libc::O_DIRECT | O_TMPFILE;

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
    use crate::decode::fake::{Bench, CWD, FakeView, access_denied, files, operations, owned, path};
    use crate::fact::{Fact, GapKind};

    const FILE: u32 = libc::S_IFREG | 0o644;
    const DIR: u32 = libc::S_IFDIR | 0o755;

    fn open(bench: &mut Bench, name: &str, flags: i32, effect: impl FnOnce(&FakeView)) -> Vec<Fact> {
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
}
