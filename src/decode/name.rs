//! Calls that make, move and remove names.
//!
//! All are looked at before they take effect: what is removed is still there, and where something will be made is known
//! as well.

use super::access;
use super::scene::{At, Decode, Scene};
use crate::event::Resolved;
use crate::fact::{Access, Capability, Operation};

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
            let directory = [&from, &Some(to.clone())]
                .iter()
                .any(|spot| spot.as_ref().and_then(|spot| spot.inode).is_some_and(|inode| inode.is_dir()));
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
        // user_path_at(…, LOOKUP_LINKAT_EMPTY), fs/namei.c
        if scene.name == "linkat"
            && scene.int(4) & libc::AT_EMPTY_PATH != 0
            && scene.text(1).is_some_and(|path| path.is_empty())
        {
            let doubt = "since Linux 6.10 not for what the task opened itself";
            scene.doubtful(Capability::DacReadSearch, "give a name to an open file", doubt);
        }
        if let Some(to) = self.to.nofollow().find(scene) {
            let inode = from.and_then(|from| from.inode);
            scene.file(&to.path, inode.as_ref(), Access::LINK, false);
            scene.need_new_name(&to);
        }
    }
}

/// `fs.protected_hardlinks`: who does not own a file may link it only when it is plain, not set-ID, and open to him for
/// reading and writing (`may_linkat`, `fs/namei.c`). That the owner may is asked last.
fn protect_link(scene: &mut Scene<'_>, from: &Resolved) {
    let Some((inode, who)) = from.inode.zip(scene.credentials()) else {
        return;
    };
    if !scene.view.proc("sys/fs/protected_hardlinks").is_ok_and(|text| text.starts_with(b"1")) {
        return;
    }
    let set_group_id = libc::S_ISGID | libc::S_IXGRP;
    let plain =
        inode.kind() == libc::S_IFREG && inode.mode & libc::S_ISUID == 0 && inode.mode & set_group_id != set_group_id;
    let open = access::grants(scene.view, &who, &from.path, &inode, access::READ | access::WRITE);
    if plain && !open {
        let what = format!("link {}, which its owner may do as well", from.path);
        scene.idle(Capability::DacOverride, what);
    }
    if !(plain && open) {
        scene.need_owner(&from.path, &inode);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, CWD, files, operations, path};

    const FILE: u32 = libc::S_IFREG | 0o644;
    const DIR: u32 = libc::S_IFDIR | 0o755;

    #[test]
    fn names_are_made_moved_and_removed() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            bench.view.file("/srv/d", DIR, (1000, 1000));
            bench.view.file("/srv/d/f", FILE, (1000, 1000));
            bench.view.link("/srv/l", "/srv/d/f");
            bench.view.open(5, "/srv/d");
            let [d, f, l, n] = ["d", "f", "/srv/l", "n"].map(|name| bench.text(name));
            let mut run = |name: &str, args: &[u64]| files(&bench.call(name, args)).join(", ");
            assert_eq!(run("mkdirat", &[5, n, 0o700]), "/srv/d/n: create");
            assert_eq!(run("mknodat", &[5, n, u64::from(libc::S_IFIFO), 0]), "/srv/d/n: create");
            assert_eq!(run("symlinkat", &[l, 5, n]), "/srv/d/n: create");
            assert_eq!(run("unlinkat", &[CWD, l, 0]), "/srv/l: remove");
            assert_eq!(run("unlinkat", &[CWD, d, 0x200]), "/srv/d: remove");
            assert_eq!(run("renameat2", &[5, f, CWD, n, 0]), "/srv/d/f: rename-from, /srv/n: rename-to");
            let both = "/srv/d/f: rename-from rename-to, /srv/l: rename-from rename-to";
            assert_eq!(run("renameat2", &[5, f, CWD, l, 2]), both);
            assert_eq!(run("linkat", &[CWD, l, 5, n, 0]), "/srv/l: link-target, /srv/d/n: link");
            assert_eq!(run("linkat", &[CWD, l, 5, n, 0x400]), "/srv/d/f: link-target, /srv/d/n: link");
            assert_eq!(run("readlinkat", &[CWD, l, 0, 0]), "/srv/l: stat");
            assert_eq!(run("faccessat", &[CWD, l, 4]), "/srv/d/f: stat");
            assert_eq!(run("statx", &[CWD, l, 0x100, 0, 0]), "/srv/l: stat");
            assert_eq!(run("inotify_add_watch", &[9, d, 1]), "/srv/d: read");
            assert_eq!(run("chdir", &[d]), "/srv/d: stat");
            assert_eq!(run("truncate", &[l, 0]), "/srv/d/f: write");
        }
    }

    #[test]
    fn the_calls_of_old_do_the_same() {
        for abi in [Abi::X86_64, Abi::X32, Abi::I386] {
            let mut bench = Bench::user(abi);
            bench.view.file("/srv/f", FILE, (1000, 1000));
            let [f, n] = ["f", "n"].map(|name| bench.text(name));
            let mut run = |name: &str, args: &[u64]| files(&bench.call(name, args)).join(", ");
            assert_eq!(run("mkdir", &[n, 0o700]), "/srv/n: create");
            assert_eq!(run("mknod", &[n, 0, 0]), "/srv/n: create");
            assert_eq!(run("symlink", &[f, n]), "/srv/n: create");
            assert_eq!(run("unlink", &[f]), "/srv/f: remove");
            assert_eq!(run("rmdir", &[f]), "/srv/f: remove");
            assert_eq!(run("rename", &[f, n]), "/srv/f: rename-from, /srv/n: rename-to");
            assert_eq!(run("link", &[f, n]), "/srv/f: link-target, /srv/n: link");
            assert_eq!(run("stat", &[f, 0]), "/srv/f: stat");
            assert_eq!(run("lstat", &[f, 0]), "/srv/f: stat");
            assert_eq!(run("access", &[f, 4]), "/srv/f: stat");
        }
    }

    #[test]
    fn sticky_directories_protect_names() {
        let mut bench = Bench::user(Abi::X86_64);
        bench.view.file("/tmp", libc::S_IFDIR | 0o1777, (0, 0));
        bench.view.file("/tmp/mine", FILE, (1000, 1000));
        bench.view.file("/tmp/theirs", FILE, (7, 7));
        let [mine, theirs] = ["/tmp/mine", "/tmp/theirs"].map(|name| bench.text(name));
        assert_eq!(operations(&bench.call("unlink", &[mine])), []);
        let refused = bench.fail("unlink", &[theirs], libc::EPERM);
        assert_eq!(operations(&refused), [Operation::OwnerOnly { path: path("/tmp/theirs"), owner: (7, 7) }]);
        bench.view.proc.borrow_mut().insert("sys/fs/protected_hardlinks".to_owned(), b"1\n".to_vec());
        let new = bench.text("/tmp/new");
        assert_eq!(operations(&bench.call("link", &[mine, new])), []);
        let refused = bench.fail("link", &[theirs, new], libc::EPERM);
        assert_eq!(operations(&refused), [Operation::OwnerOnly { path: path("/tmp/theirs"), owner: (7, 7) }]);
    }

    #[test]
    fn links_to_files_that_are_not_open_ask_for_nothing_that_matters() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.view.proc.borrow_mut().insert("sys/fs/protected_hardlinks".to_owned(), b"1\n".to_vec());
        bench.view.file("/srv/object", libc::S_IFREG | 0o444, (0, 0));
        let [object, new] = ["/srv/object", "/srv/new"].map(|name| bench.text(name));
        let what = "link /srv/object, which its owner may do as well".to_owned();
        let idle = Operation::Idle { capability: Capability::DacOverride, what };
        assert_eq!(operations(&bench.call("link", &[object, new])), [idle]);
        bench.view.file("/srv/object", libc::S_IFREG | 0o644, (0, 0));
        assert_eq!(operations(&bench.call("link", &[object, new])), []);
    }

    #[test]
    fn device_nodes_are_guarded() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            let name = bench.text("node");
            let mut make =
                |kind: u32, device| operations(&bench.call("mknodat", &[CWD, name, u64::from(kind), device]));
            assert_eq!(make(libc::S_IFCHR | 0o600, 0x103), [Operation::MakeDevice { kind: libc::S_IFCHR }]);
            assert_eq!(make(libc::S_IFBLK, 0), [Operation::MakeDevice { kind: libc::S_IFBLK }]);
            assert_eq!(make(libc::S_IFCHR, 0), []);
            assert_eq!(make(libc::S_IFSOCK, 0), []);
        }
    }
}
