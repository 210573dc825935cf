//! Calls that change what is known of a file: mode, owner, times, size, extended attributes.

use super::access;
use super::scene::{At, Decode, Scene};
use crate::abi::Abi;
use crate::event::Resolved;
use crate::fact::{Access, Capability, Operation};

/// `chmod(2)`.
pub(super) struct Chmod {
    /// The file.
    pub(super) at: At,
    /// The argument with the mode.
    pub(super) mode: usize,
}

impl Decode for Chmod {
    fn enter(&self, scene: &mut Scene<'_>) {
        let Some(spot) = self.at.find(scene) else {
            return;
        };
        scene.used(&spot, Access::CHMOD);
        scene.need_way(&spot);
        let Some((inode, who)) = spot.inode.zip(scene.credentials()) else {
            return;
        };
        scene.need_owner(&spot.path, &inode);
        let mode = scene.uint(self.mode) & 0o7777;
        if mode & (libc::S_ISUID | libc::S_ISGID) != 0 {
            let group = (inode.gid, who.in_group(inode.gid));
            scene.check_file(Operation::SetIdBits { path: spot.path, mode, group });
        } else if !who.in_group(inode.gid) {
            // setattr_prepare(), fs/attr.c: asked for whatever the mode is.
            let what = format!("set a mode of {} without set-ID bits", spot.path);
            scene.idle(Capability::Fsetid, what);
        }
    }
}

/// `chown(2)`.
pub(super) struct Chown {
    /// The file.
    pub(super) at: At,
    /// The argument with the owner; the group follows it.
    pub(super) owner: usize,
}

impl Decode for Chown {
    fn enter(&self, scene: &mut Scene<'_>) {
        let Some(spot) = self.at.find(scene) else {
            return;
        };
        scene.used(&spot, Access::CHOWN);
        scene.need_way(&spot);
        let Some((inode, who)) = spot.inode.zip(scene.credentials()) else {
            return;
        };
        // chown_ok and chgrp_ok, fs/attr.c: an owner may keep the file, or give it to a group that he belongs to.
        let (uid, gid) = (scene.id(self.owner), scene.id(self.owner + 1));
        let owns = who.fsuid() == inode.uid;
        let member = gid.is_some_and(|gid| who.in_group(gid));
        let plain = uid.is_none_or(|uid| owns && uid == inode.uid)
            && gid.is_none_or(|gid| owns && (member || gid == inode.gid));
        if !plain {
            let from = (inode.uid, inode.gid);
            scene.check_file(Operation::Chown { path: spot.path, from, to: (uid, gid), member });
        }
    }
}

/// `utime(2)`, `utimes(2)`, `utimensat(2)`.
pub(super) struct Utime {
    /// The file.
    pub(super) at: At,
    /// The argument that points to the times.
    pub(super) times: usize,
    /// Whether these are two `struct timespec`, in which `UTIME_NOW` and `UTIME_OMIT` may stand.
    pub(super) nanos: bool,
}

/// What times are asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Times {
    Now,
    Given,
    Kept,
}

impl Decode for Utime {
    fn enter(&self, scene: &mut Scene<'_>) {
        let times = self.times(scene);
        let Some(spot) = self.at.find(scene).filter(|_| times != Times::Kept) else {
            return;
        };
        scene.used(&spot, Access::UTIME);
        scene.need_way(&spot);
        let Some((inode, who)) = spot.inode.zip(scene.credentials()) else {
            return;
        };
        match times {
            Times::Given => scene.need_owner(&spot.path, &inode),
            // Whoever may write may set the time of writing.
            Times::Now if who.fsuid() != inode.uid => scene.need(&spot.path, &inode, access::WRITE),
            Times::Now | Times::Kept => {}
        }
    }
}

impl Utime {
    fn times(&self, scene: &mut Scene<'_>) -> Times {
        const NOW: u32 = 0x3fff_ffff;
        const OMIT: u32 = 0x3fff_fffe;
        let address = scene.arg(self.times);
        match (address, self.nanos) {
            (0, _) => return Times::Now,
            (_, false) => return Times::Given,
            (_, true) => {}
        }
        // Only the first utimensat of i386 has a 32-bit timespec.
        let (offset, size) = if scene.abi == Abi::I386 && scene.name == "utimensat" { (4, 8) } else { (8, 16) };
        let nanos = [offset, offset + size].map(|at| scene.memory().u32(address.wrapping_add(at)).ok());
        match nanos {
            [Some(OMIT), Some(OMIT)] => Times::Kept,
            [Some(NOW), Some(NOW)] => Times::Now,
            _ => Times::Given,
        }
    }
}

/// `ftruncate(2)`: write permission was asked for at open.
pub(super) struct TruncateOpen;

impl Decode for TruncateOpen {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(spot) = scene.open_file(scene.int(0)) {
            scene.used(&spot, Access::WRITE);
        }
    }
}

/// `getxattr(2)`, `setxattr(2)`, `listxattr(2)`, `removexattr(2)`; `file_setattr(2)`, which `chattr(1)` calls.
pub(super) struct Attribute {
    /// The file.
    pub(super) at: At,
    /// The argument with the attribute's name; none for a list of them, or for the flags of the file.
    pub(super) name: Option<usize>,
    /// Whether it is set or removed.
    pub(super) change: bool,
}

impl Decode for Attribute {
    fn enter(&self, scene: &mut Scene<'_>) {
        let Some(spot) = self.at.find(scene) else {
            return;
        };
        scene.used(&spot, if self.change { Access::SETXATTR } else { Access::GETXATTR });
        scene.need_way(&spot);
        match (self.name, spot.inode) {
            (Some(index), _) => {
                if let Some(name) = scene.text(index) {
                    self.need(scene, &spot, &name);
                }
            }
            (None, Some(inode)) if self.change => scene.need_owner(&spot.path, &inode),
            (None, _) => {}
        }
    }
}

impl Attribute {
    /// `xattr_permission` (`fs/xattr.c`), `cap_inode_setxattr` (`security/commoncap.c`).
    fn need(&self, scene: &mut Scene<'_>, spot: &Resolved, name: &[u8]) {
        let Some(inode) = spot.inode else {
            return;
        };
        let change = self.change;
        if name.starts_with(b"user.") {
            scene.need(&spot.path, &inode, if change { access::WRITE } else { access::READ });
            if change && inode.is_dir() && inode.mode & libc::S_ISVTX != 0 {
                scene.need_owner(&spot.path, &inode);
            }
        } else if name.starts_with(b"system.posix_acl_") && change {
            scene.need_owner(&spot.path, &inode);
        } else if let Some(capability) = guard(name, change) {
            let name = crate::path::to_text(name.get(..64).unwrap_or(name));
            let what = format!("{} {name} of {}", if change { "change" } else { "read" }, spot.path);
            scene.check_file(Operation::Privileged { capability, what });
        }
    }
}

/// The capability that guards a whole class of attributes. SELinux answers for its own.
fn guard(name: &[u8], change: bool) -> Option<Capability> {
    match name {
        b"security.capability" if change => Some(Capability::Setfcap),
        b"security.selinux" => None,
        _ if name.starts_with(b"trusted.") || (change && name.starts_with(b"security.")) => Some(Capability::SysAdmin),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fake::{Bench, CWD, FakeView, files, operations, path};
    use crate::fact::Fact;

    fn bench(abi: Abi) -> Bench {
        let bench = Bench::user(abi);
        let make = |view: &FakeView, name, owner| view.file(name, libc::S_IFREG | 0o644, owner);
        make(&bench.view, "/srv/mine", (1000, 1000));
        make(&bench.view, "/srv/theirs", (7, 7));
        bench.view.open(3, "/srv/mine");
        bench.view.open(4, "/srv/theirs");
        bench
    }

    fn owner_only(name: &str) -> Operation {
        Operation::OwnerOnly { path: path(name), owner: (7, 7) }
    }

    #[test]
    fn modes_are_for_the_owner() {
        for abi in Abi::ALL {
            let mut bench = bench(abi);
            let [mine, theirs] = ["mine", "theirs"].map(|name| bench.text(name));
            let facts = bench.call("fchmodat", &[CWD, mine, 0o600]);
            assert_eq!((files(&facts), operations(&facts)), (vec!["/srv/mine: chmod".to_owned()], vec![]), "{abi}");
            assert_eq!(operations(&bench.call("fchmod", &[4, 0o600])), [owner_only("/srv/theirs")]);
            let group = |name: &str, mode, group| Operation::SetIdBits { path: path(name), mode, group };
            let facts = bench.call("fchmodat", &[CWD, mine, 0o104_755]);
            assert_eq!(operations(&facts), [group("/srv/mine", 0o4755, (1000, true))]);
            let facts = bench.call("fchmodat", &[CWD, theirs, 0o2755]);
            assert_eq!(operations(&facts), [owner_only("/srv/theirs"), group("/srv/theirs", 0o2755, (7, false))]);
        }
    }

    #[test]
    fn modes_of_files_of_other_groups_ask_for_nothing_that_matters() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.file("/srv/file", libc::S_IFREG | 0o600, (0, 4));
        let name = bench.text("/srv/file");
        let what = "set a mode of /srv/file without set-ID bits".to_owned();
        let idle = Operation::Idle { capability: Capability::Fsetid, what };
        assert_eq!(operations(&bench.call("chmod", &[name, 0o640])), [idle]);
        bench.view.file("/srv/file", libc::S_IFREG | 0o600, (0, 0));
        assert_eq!(operations(&bench.call("chmod", &[name, 0o640])), []);
    }

    #[test]
    fn owners_may_keep_files_and_give_them_to_their_groups() {
        for abi in Abi::ALL {
            let mut bench = bench(abi);
            let keep = u64::MAX;
            let mut chown = |fd: u64, uid: u64, gid: u64| {
                let facts = bench.call("fchown", &[fd, uid, gid]);
                assert_eq!(files(&facts).len(), 1, "{abi}");
                operations(&facts)
            };
            assert_eq!(chown(3, 1000, 1000), []);
            assert_eq!(chown(3, keep, 50), []);
            assert_eq!(chown(4, keep, keep), []);
            let asked = |name: &str, from, to, member| Operation::Chown { path: path(name), from, to, member };
            assert_eq!(chown(3, keep, 51), [asked("/srv/mine", (1000, 1000), (None, Some(51)), false)]);
            assert_eq!(chown(3, 0, keep), [asked("/srv/mine", (1000, 1000), (Some(0), None), false)]);
            // Not even to leave it as it is.
            assert_eq!(chown(4, 7, keep), [asked("/srv/theirs", (7, 7), (Some(7), None), false)]);
            // 16 bits of the first i386 calls, 32 of every other one.
            let wide = if abi == Abi::I386 { 1 } else { 0x1_0001 };
            let expected = [asked("/srv/mine", (1000, 1000), (Some(wide), None), false)];
            assert_eq!(chown(3, 0x1_0001, keep), expected, "{abi}");
        }
        let mut bench = bench(Abi::I386);
        let mine = bench.text("mine");
        for (name, args) in
            [("chown32", vec![mine, 0xffff, 0xffff_ffff]), ("fchownat", vec![CWD, mine, 0xffff, 0xffff_ffff, 0])]
        {
            let facts = bench.call(name, &args);
            assert!(matches!(&operations(&facts)[..], [Operation::Chown { to: (Some(0xffff), None), .. }]), "{name}");
        }
    }

    #[test]
    fn times_now_need_write_permission_and_others_the_owner() {
        for abi in Abi::ALL {
            let mut bench = bench(abi);
            let theirs = bench.text("theirs");
            let stamp = |first: u32, second: u32| {
                if abi == Abi::I386 { vec![0, first, 0, second] } else { vec![0, 0, first, 0, 0, 0, second, 0] }
            };
            let utime = |bench: &mut Bench, first, second| {
                let times = bench.words(&stamp(first, second));
                bench.call("utimensat", &[CWD, theirs, times, 0])
            };
            let write = Operation::FileAccess {
                path: path("/srv/theirs"),
                wanted: 2,
                mode: libc::S_IFREG | 0o644,
                owner: (7, 7),
            };
            let (now, omit) = (0x3fff_ffff, 0x3fff_fffe);
            assert_eq!(operations(&utime(&mut bench, 5, 5)), [owner_only("/srv/theirs")], "{abi}");
            assert_eq!(operations(&utime(&mut bench, now, omit)), [owner_only("/srv/theirs")], "{abi}");
            assert_eq!(operations(&utime(&mut bench, now, now)), std::slice::from_ref(&write), "{abi}");
            assert_eq!(utime(&mut bench, omit, omit), [], "{abi}");
            assert_eq!(operations(&bench.call("utimensat", &[CWD, theirs, 0, 0])), [write]);
            // futimens(3)
            assert_eq!(files(&bench.call("utimensat", &[3, 0, 0, 0])), ["/srv/mine: utime"], "{abi}");
        }
        let mut bench = bench(Abi::I386);
        let theirs = bench.text("theirs");
        let times = bench.words(&[0, 0, 0x3fff_fffe, 0, 0, 0, 0x3fff_fffe, 0]);
        assert_eq!(bench.call("utimensat_time64", &[CWD, theirs, times, 0]), []);
    }

    #[test]
    fn attributes_have_their_guards() {
        for abi in Abi::ALL {
            let mut bench = bench(abi);
            let mine = bench.text("mine");
            let mut attribute = |call: &str, name: &str| {
                let name = bench.text(name);
                let facts = bench.call(call, &[mine, name]);
                let kind = if call.starts_with("get") { "getxattr" } else { "setxattr" };
                assert_eq!(files(&facts), [format!("/srv/mine: {kind}")], "{abi}");
                let capability = |fact: &Fact| match fact {
                    Fact::Check(check) => match check.operation {
                        Operation::Privileged { capability, .. } => Some(capability),
                        _ => None,
                    },
                    _ => None,
                };
                facts.iter().filter_map(capability).collect::<Vec<_>>()
            };
            assert_eq!(attribute("setxattr", "user.x"), []);
            assert_eq!(attribute("setxattr", "security.capability"), [Capability::Setfcap]);
            assert_eq!(attribute("getxattr", "security.capability"), []);
            assert_eq!(attribute("removexattr", "security.ima"), [Capability::SysAdmin]);
            assert_eq!(attribute("getxattr", "trusted.overlay.opaque"), [Capability::SysAdmin]);
            assert_eq!(attribute("setxattr", "system.posix_acl_access"), []);
            assert_eq!(attribute("setxattr", "security.selinux"), []);
        }
    }

    #[test]
    fn truncation_writes() {
        let mut bench = bench(Abi::I386);
        assert_eq!(files(&bench.call("ftruncate64", &[3, 0, 0])), ["/srv/mine: write"]);
        assert_eq!(files(&bench.call("flistxattr", &[3, 0, 0])), ["/srv/mine: getxattr"]);
    }
}
