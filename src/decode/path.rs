//! Calls that look at files by name, or act on them without opening them.

use super::access;
use super::scene::{At, Decode, Name, Scene};
use crate::abi::Abi;
use crate::event::{Credentials, Nameless, Outcome, Unless};
use crate::fact::Access;

/// Flags that every call takes which looks at a file by name. With others the kernel may refuse it.
const LOOKS: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_EMPTY_PATH;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fake::{Bench, CWD, access_denied, files, operations};
    use crate::event::Sink as _;

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
