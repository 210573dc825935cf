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

/// `getxattr(2)`, `setxattr(2)`, `listxattr(2)`, `removexattr(2)`.
pub(super) struct Attribute {
    /// The file.
    pub(super) at: At,
    /// The argument with the attribute's name; none for a list of them.
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
        if let Some(name) = self.name.and_then(|index| scene.text(index)) {
            self.need(scene, &spot, &name);
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
