//! Locks and leases of open files, and what else `fcntl(2)` does.

use super::device;
use super::read;
use super::scene::{Decode, Scene, Values, value};
use crate::fact::{Access, Capability, Operation};

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, files, operations};

    #[test]
    fn locks_and_leases() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.file("/srv/f", libc::S_IFREG | 0o644, (7, 7));
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
}
