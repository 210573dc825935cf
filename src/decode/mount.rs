//! Calls that change the mount table or the root directory.

use super::access;
use super::scene::{At, Decode, Scene};
use crate::event::{Base, Resolved};
use crate::fact::{Access, Capability, Fact, MountFact, MountOperation, Operation};
use crate::path::{AbsPath, to_text};

/// The longest device or type name that is kept.
const WORD_MAX: usize = 256;

/// Says a change of the mount table and that `CAP_SYS_ADMIN` guards it.
fn change(scene: &mut Scene<'_>, fact: MountFact) {
    let what = match fact.operation {
        MountOperation::Mount => "mount",
        MountOperation::Remount => "remount",
        MountOperation::Umount => "unmount",
        MountOperation::PivotRoot => "pivot_root to",
    };
    scene.guarded(Capability::SysAdmin, format!("{what} {}", fact.target));
    scene.say(Fact::Mount(fact));
}

/// Looks at the way to a mount point.
fn point(scene: &mut Scene<'_>, at: At) -> Option<AbsPath> {
    let spot = at.find(scene)?;
    scene.used(&spot, Access::STAT);
    scene.need_way(&spot);
    Some(spot.path)
}

/// `mount(2)`.
pub(super) struct Mount;

impl Decode for Mount {
    fn enter(&self, scene: &mut Scene<'_>) {
        let Some(target) = point(scene, At::cwd(1)) else {
            return;
        };
        // MS_MGC_VAL once had to stand in the upper half.
        let flags = scene.arg(3) & 0xffff_ffff;
        let flags = if flags & 0xffff_0000 == 0xc0ed_0000 { flags & 0xffff } else { flags };
        let remount = flags & libc::MS_REMOUNT != 0;
        let operation = if remount { MountOperation::Remount } else { MountOperation::Mount };
        let new = flags & (libc::MS_BIND | libc::MS_MOVE | libc::MS_REMOUNT | PROPAGATION) == 0;
        let filesystem = if new { word(scene, 2) } else { String::new() };
        let source = if flags & (libc::MS_BIND | libc::MS_MOVE) == 0 { word(scene, 0) } else { source(scene, 0) };
        change(scene, MountFact { operation, source, target, filesystem, flags });
    }
}

/// Flags that change the propagation of a mount and take nothing else.
const PROPAGATION: u64 = libc::MS_SHARED | libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_UNBINDABLE;

/// A device, type or other plain word; empty when there is none.
fn word(scene: &mut Scene<'_>, index: usize) -> String {
    let text = if scene.arg(index) == 0 { None } else { scene.text(index) };
    let text = text.unwrap_or_default();
    to_text(text.get(..WORD_MAX).unwrap_or(&text))
}

/// The file or directory that a bind mount shows elsewhere.
fn source(scene: &mut Scene<'_>, index: usize) -> String {
    let spot = At::cwd(index).find(scene);
    spot.map(|spot: Resolved| spot.path.to_string()).unwrap_or_default()
}

/// `umount2(2)`, and `umount` without flags.
pub(super) struct Umount;

impl Decode for Umount {
    fn enter(&self, scene: &mut Scene<'_>) {
        const NOFOLLOW: u32 = 8;
        let flags = if scene.name == "umount2" { scene.uint(1) } else { 0 };
        let at = if flags & NOFOLLOW == 0 { At::cwd(0) } else { At::cwd(0).nofollow() };
        if let Some(target) = point(scene, at) {
            change(scene, plain(MountOperation::Umount, target));
        }
    }
}

/// `pivot_root(2)`.
pub(super) struct PivotRoot;

impl Decode for PivotRoot {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(target) = point(scene, At::cwd(0)) {
            change(scene, plain(MountOperation::PivotRoot, target));
        }
    }
}

/// `move_mount(2)`.
pub(super) struct MoveMount;

impl Decode for MoveMount {
    fn enter(&self, scene: &mut Scene<'_>) {
        // Its own flags say whether either path may be empty, and then the descriptor is the place.
        let from = open_or_named(scene, 0, 1).map(|spot| spot.path.to_string()).unwrap_or_default();
        if let Some(to) = open_or_named(scene, 2, 3) {
            change(scene, MountFact { source: from, ..plain(MountOperation::Mount, to.path) });
        }
    }
}

fn open_or_named(scene: &mut Scene<'_>, dirfd: usize, path: usize) -> Option<Resolved> {
    let base = Base::from_arg(scene.arg(dirfd));
    let text = scene.text(path)?;
    match (base, text.is_empty()) {
        (Base::Fd(fd), true) => scene.open_file(fd),
        _ => scene.locate(base, &text, true),
    }
}

fn plain(operation: MountOperation, target: AbsPath) -> MountFact {
    MountFact { operation, source: String::new(), target, filesystem: String::new(), flags: 0 }
}

/// `mount_setattr(2)`.
pub(super) struct MountAttributes;

impl Decode for MountAttributes {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(target) = point(scene, At::dir(0, 1).flags(2)) {
            change(scene, plain(MountOperation::Remount, target));
        }
    }
}

/// `open_tree(2)`: a look, unless it makes a copy of the mount.
pub(super) struct OpenTree;

impl Decode for OpenTree {
    fn enter(&self, scene: &mut Scene<'_>) {
        const CLONE: u32 = 1;
        let target = point(scene, At::dir(0, 1).flags(2));
        if let Some(target) = target.filter(|_| scene.uint(2) & CLONE != 0) {
            scene.guarded(Capability::SysAdmin, format!("copy the mount at {target}"));
        }
    }
}

/// `chroot(2)`.
pub(super) struct Chroot;

impl Decode for Chroot {
    fn enter(&self, scene: &mut Scene<'_>) {
        if let Some(spot) = At::cwd(0).find(scene) {
            scene.used(&spot, Access::STAT);
            scene.need_file(&spot, access::EXEC);
        }
        scene.check(Operation::Chroot);
    }
}

/// Calls on a file that one capability guards as a whole: `swapon(2)`, `acct(2)`, `quotactl(2)`.
pub(super) struct Guarded {
    /// The file.
    pub(super) at: At,
    /// What is done to it.
    pub(super) access: Access,
    /// Which capability.
    pub(super) capability: Capability,
    /// What the call is for, for a reader.
    pub(super) what: &'static str,
}

impl Decode for Guarded {
    fn enter(&self, scene: &mut Scene<'_>) {
        // acct(2) without a file ends the accounting.
        let named = scene.name != "acct" || scene.arg(0) != 0;
        let spot = if named { self.at.find(scene) } else { None };
        if let Some(spot) = &spot {
            scene.used(spot, self.access);
            scene.need_way(spot);
        }
        let what = spot.map_or_else(|| self.what.to_owned(), |spot| format!("{} {}", self.what, spot.path));
        scene.guarded(self.capability, what);
    }
}

/// `quotactl(2)`: asking is free, and so is asking for one's own quota.
pub(super) struct Quota;

impl Decode for Quota {
    fn enter(&self, scene: &mut Scene<'_>) {
        /// `Q_SYNC`, `Q_GETFMT`, `Q_GETINFO`, `Q_XQUOTASYNC`, `Q_XGETQSTAT`, `Q_XGETQSTATV`.
        const FREE: [u32; 6] = [0x80_0001, 0x80_0004, 0x80_0005, 0x5807, 0x5805, 0x5808];
        /// `Q_GETQUOTA`, `Q_XGETQUOTA`.
        const OWN: [u32; 2] = [0x80_0007, 0x5803];
        let command = scene.uint(0);
        if scene.name == "quotactl" && scene.arg(1) != 0 {
            point(scene, At::cwd(1));
        }
        let (kind, id, command) = if scene.name == "quotactl" {
            (command & 0xff, scene.uint(2), command >> 8)
        } else {
            (scene.uint(1) & 0xff, scene.uint(2), scene.uint(1) >> 8)
        };
        let own = scene.credentials().is_some_and(|who| match kind {
            0 => who.uid[1] == id,
            1 => who.gid[1] == id || who.groups.contains(&id),
            _ => false,
        });
        let free = FREE.contains(&command) || (own && OWN.contains(&command));
        if !free {
            scene.guarded(Capability::SysAdmin, "manage disk quotas".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, CWD, files, operations, path};

    fn bench(abi: Abi) -> Bench {
        let bench = Bench::new(abi);
        for name in ["/mnt", "/srv"] {
            bench.view.file(name, libc::S_IFDIR | 0o755, (0, 0));
        }
        bench.view.link("/media", "/mnt");
        bench
    }

    fn mounts(facts: &[Fact]) -> Vec<MountFact> {
        facts.iter().filter_map(|fact| if let Fact::Mount(mount) = fact { Some(mount.clone()) } else { None }).collect()
    }

    fn admin(what: &str) -> Operation {
        Operation::Privileged { capability: Capability::SysAdmin, what: what.to_owned() }
    }

    #[test]
    fn mounts_are_told_by_their_resolved_target() {
        for abi in Abi::ALL {
            let mut bench = bench(abi);
            let [tmpfs, media, srv] = ["tmpfs", "/media", "/srv"].map(|text| bench.text(text));
            let facts = bench.call("mount", &[tmpfs, media, tmpfs, libc::MS_NOSUID | 0xc0ed_0000, 0]);
            let expected = MountFact {
                operation: MountOperation::Mount,
                source: "tmpfs".to_owned(),
                target: path("/mnt"),
                filesystem: "tmpfs".to_owned(),
                flags: libc::MS_NOSUID,
            };
            assert_eq!(mounts(&facts), [expected], "{abi}");
            assert_eq!(operations(&facts), [admin("mount /mnt")]);
            let facts = bench.call("mount", &[media, srv, 0, libc::MS_BIND, 0]);
            assert!(
                matches!(&mounts(&facts)[..], [MountFact { source, flags: libc::MS_BIND, .. }] if source == "/mnt")
            );
            let facts = bench.call("mount", &[0, srv, 0, libc::MS_REMOUNT | libc::MS_RDONLY, 0]);
            assert!(matches!(&mounts(&facts)[..], [MountFact { operation: MountOperation::Remount, .. }]));
            let facts = bench.call("umount2", &[srv, 2]);
            assert_eq!(mounts(&facts), [plain(MountOperation::Umount, path("/srv"))]);
            let facts = bench.call("pivot_root", &[media, srv]);
            assert_eq!(mounts(&facts), [plain(MountOperation::PivotRoot, path("/mnt"))]);
            let empty = bench.text("");
            bench.view.open(5, "/srv");
            let facts = bench.call("move_mount", &[5, empty, CWD, media, 4]);
            assert_eq!(mounts(&facts)[0].source, "/srv", "{abi}");
            assert_eq!(mounts(&facts)[0].target, path("/mnt"), "{abi}");
            assert_eq!(bench.gaps(), [], "{abi}");
        }
    }

    #[test]
    fn a_tree_is_looked_at_or_copied() {
        let mut bench = bench(Abi::X86_64);
        let srv = bench.text("/srv");
        assert_eq!(operations(&bench.call("open_tree", &[5, srv, 0])), []);
        assert_eq!(operations(&bench.call("open_tree", &[5, srv, 1])), [admin("copy the mount at /srv")]);
    }

    #[test]
    fn roots_are_changed_with_the_capability() {
        for abi in Abi::ALL {
            let mut bench = bench(abi);
            let media = bench.text("/media");
            let facts = bench.call("chroot", &[media]);
            assert_eq!(files(&facts), ["/mnt: stat"], "{abi}");
            assert_eq!(operations(&facts), [Operation::Chroot]);
        }
    }

    #[test]
    fn accounting_swap_and_quota() {
        let mut bench = bench(Abi::Aarch64);
        let srv = bench.text("/srv");
        assert_eq!(files(&bench.call("acct", &[srv])), ["/srv: append"]);
        assert_eq!(operations(&bench.call("acct", &[0])).len(), 1);
        assert_eq!(operations(&bench.call("swapon", &[srv, 0])), [admin("swap on /srv")]);
        assert_eq!(operations(&bench.call("quotactl", &[0x8000_0400, srv, 0])), [], "asking for the format");
        assert_eq!(operations(&bench.call("quotactl", &[0x8000_0700, srv, 0])), [], "one's own quota");
        assert_eq!(operations(&bench.call("quotactl", &[0x8000_0700, srv, 5])).len(), 1);
        assert_eq!(bench.gaps(), []);
    }
}
