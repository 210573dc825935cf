//! What the plain permission rules grant: mode bits, groups, access control lists, ownership and sticky directories.
//!
//! What they do not grant hangs on a capability and is said as a [`Check`](crate::fact::Check). The rules are those
//! of `generic_permission` and `may_delete` in the kernel's `fs/namei.c`.

use super::scene::Scene;
use crate::event::{Credentials, Inode, Resolved, TaskView};
use crate::fact::{Capability, CapabilitySet, Operation};
use crate::path::AbsPath;

/// `MAY_READ`.
pub(super) const READ: u8 = 4;
/// `MAY_WRITE`.
pub(super) const WRITE: u8 = 2;
/// `MAY_EXEC`; of a directory: may be searched.
pub(super) const EXEC: u8 = 1;

/// The extended attribute that holds a file's access control list (`acl(5)`).
const ACL: &str = "system.posix_acl_access";

/// Whether mode bits or ACL grant `who` all of `wanted` on a file.
pub(super) fn grants(view: &dyn TaskView, who: &Credentials, path: &AbsPath, inode: &Inode, wanted: u8) -> bool {
    let allows = |shift: u32| (inode.mode >> shift) & u32::from(wanted) == u32::from(wanted);
    if who.fsuid() == inode.uid {
        return allows(6);
    }
    let by_mode = if who.in_group(inode.gid) { allows(3) } else { allows(0) };
    // An ACL may take away what the mode seems to grant; for a task without the capabilities that only means that it
    // is refused. With an ACL the group bits are its mask, and without them it grants nothing.
    let settled = by_mode && !holds_file_capabilities(who);
    if !settled
        && inode.mode & 0o070 != 0
        && let Some(granted) = view.attribute(path, ACL).ok().and_then(|list| acl_grants(&list, who, inode.gid, wanted))
    {
        return granted;
    }
    by_mode
}

/// Whether a task may do to files what the plain rules do not grant.
fn holds_file_capabilities(who: &Credentials) -> bool {
    const GRANTS: [Capability; 3] = [Capability::DacOverride, Capability::DacReadSearch, Capability::Fowner];
    GRANTS.iter().any(|&one| CapabilitySet(who.effective).contains(one))
}

/// What an access control list says to someone who is not the file's owner (`posix_acl_permission`, `fs/posix_acl.c`);
/// `None` when it is no legal list.
fn acl_grants(list: &[u8], who: &Credentials, group: u32, wanted: u8) -> Option<bool> {
    const VERSION: u32 = 2;
    let (version, entries) = list.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let entries = || {
        entries.as_chunks::<8>().0.iter().map(|&[t0, t1, p0, p1, i0, i1, i2, i3]| {
            (u16::from_le_bytes([t0, t1]), u16::from_le_bytes([p0, p1]), u32::from_le_bytes([i0, i1, i2, i3]))
        })
    };
    let wanted = u16::from(wanted);
    let mask = entries().find(|(tag, ..)| *tag == 0x10).map_or(7, |(_, allowed, _)| allowed);
    let mut in_group = false;
    for (tag, allowed, id) in entries() {
        match tag {
            0x02 if id == who.fsuid() => return Some(allowed & mask & wanted == wanted),
            0x04 | 0x08 if who.in_group(if tag == 0x04 { group } else { id }) => {
                in_group = true;
                if allowed & wanted == wanted {
                    return Some(mask & wanted == wanted);
                }
            }
            0x20 => return Some(!in_group && allowed & wanted == wanted),
            _ => {}
        }
    }
    Some(false)
}

impl Scene<'_> {
    /// Whether a check on file access could tell anything: a task without the capabilities for it that was not refused
    /// needed none of them.
    pub(super) fn privileged_on_files(&mut self) -> bool {
        self.credentials().is_some_and(|who| !who.foreign_user_namespace && holds_file_capabilities(&who))
    }

    /// Says what the plain rules do not grant of `wanted` on one file.
    pub(super) fn need(&mut self, path: &AbsPath, inode: &Inode, wanted: u8) {
        let Some(who) = self.credentials() else {
            return;
        };
        self.need_as(&who, path, inode, wanted);
    }

    /// The same, judged for `who`.
    pub(super) fn need_as(&mut self, who: &Credentials, path: &AbsPath, inode: &Inode, wanted: u8) {
        if who.foreign_user_namespace || wanted == 0 || grants(self.view, who, path, inode, wanted) {
            return;
        }
        // test_perm(), fs/proc/proc_sysctl.c: no capability overrides the modes of settings, but one takes the owner's
        // place for those of networks (net_ctl_permissions(), net/sysctl_net.c).
        if let Some(setting) = path.as_bytes().strip_prefix(b"/proc/sys/") {
            let owner = inode.mode >> 6;
            if setting.starts_with(b"net/") && owner & u32::from(wanted) == u32::from(wanted) {
                self.guarded(Capability::NetAdmin, format!("access to {path}"));
            }
            return;
        }
        let owner = (inode.uid, inode.gid);
        self.check_file(Operation::FileAccess { path: path.clone(), wanted, mode: inode.mode, owner });
    }

    /// Says which directories on the way the plain rules do not let the task search.
    pub(super) fn need_way(&mut self, spot: &Resolved) {
        for step in &spot.searched {
            self.need(&step.path, &step.inode, EXEC);
        }
    }

    /// The way to a file, and `wanted` on the file itself.
    pub(super) fn need_file(&mut self, spot: &Resolved, wanted: u8) {
        self.need_way(spot);
        if let Some(inode) = spot.inode {
            self.need(&spot.path, &inode, wanted);
        }
    }

    /// The way to a name, and to make it: write access to its directory.
    pub(super) fn need_new_name(&mut self, spot: &Resolved) {
        self.need_way(spot);
        if let Some(parent) = spot.searched.last() {
            self.need(&parent.path, &parent.inode, WRITE);
        }
    }

    /// The same to remove a name: in a sticky directory only the owner of either may.
    pub(super) fn need_name(&mut self, spot: &Resolved) {
        self.need_new_name(spot);
        let Some((inode, parent)) = spot.inode.zip(spot.searched.last()) else {
            return;
        };
        let owns_directory = self.credentials().is_some_and(|who| who.fsuid() == parent.inode.uid);
        if parent.inode.mode & libc::S_ISVTX != 0 && !owns_directory {
            self.need_owner(&spot.path, &inode);
        }
    }

    /// Says that the task is not the owner of a file (`inode_owner_or_capable`).
    pub(super) fn need_owner(&mut self, path: &AbsPath, inode: &Inode) {
        if self.credentials().is_some_and(|who| who.fsuid() != inode.uid) {
            self.check_file(Operation::OwnerOnly { path: path.clone(), owner: (inode.uid, inode.gid) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut bytes = 2u32.to_le_bytes().to_vec();
        for (tag, allowed, id) in entries {
            bytes.extend(tag.to_le_bytes());
            bytes.extend(allowed.to_le_bytes());
            bytes.extend(id.to_le_bytes());
        }
        bytes
    }

    #[test]
    fn lists_are_judged_as_the_kernel_does() {
        let who = Credentials { uid: [7; 4], gid: [8; 4], groups: vec![9], ..Credentials::default() };
        let everyone = u32::MAX;
        let base = [(0x01, 7, everyone), (0x02, 6, 7), (0x04, 4, everyone), (0x10, 4, everyone), (0x20, 1, everyone)];
        let all = list(&base);
        assert_eq!(acl_grants(&all, &who, 1, READ), Some(true));
        assert_eq!(acl_grants(&all, &who, 1, WRITE), Some(false), "the mask takes it away");
        let other = Credentials { uid: [70; 4], ..who.clone() };
        assert_eq!(acl_grants(&all, &other, 9, READ), Some(true), "a member of the file's group");
        assert_eq!(acl_grants(&all, &other, 9, EXEC), Some(false), "a member is not one of the others");
        assert_eq!(acl_grants(&all, &other, 1, EXEC), Some(true));
        assert_eq!(acl_grants(b"\x01\0\0\0", &who, 1, READ), None);
        assert_eq!(acl_grants(b"", &who, 1, READ), None);
    }
}
