//! Calls that map files for execution or lock memory.

use super::read;
use super::scene::{Decode, Scene, Values, value};
use crate::event::{Outcome, Unless};
use crate::fact::{Access, Capability, Fact, Operation};

const PROT_EXEC: i32 = libc::PROT_EXEC;

/// `RLIMIT_MEMLOCK` (`asm-generic/resource.h`).
pub(super) const RLIMIT_MEMLOCK: usize = 8;

/// `mmap(2)`, also as the `mmap2` of 32-bit ABIs.
pub(super) struct Map;

impl Decode for Map {
    fn enter(&self, scene: &mut Scene<'_>) {
        let (protection, flags) = (scene.int(2), scene.int(3));
        if protection & PROT_EXEC != 0
            && flags & libc::MAP_ANONYMOUS == 0
            && let Some(spot) = scene.open_file(scene.int(4))
        {
            scene.used(&spot, Access::MAP_EXEC);
            if flags & libc::MAP_LOCKED == 0 && scene.workload.code.contains(&spot.path) {
                scene.notes.foreseen = Some(Outcome::Returned(0));
            }
        }
        if flags & libc::MAP_LOCKED != 0 {
            lock(scene, Some(scene.arg(1)));
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        if let (Outcome::Returned(_), Some(Fact::File(file))) = (outcome, scene.notes.facts.first()) {
            scene.workload.code.insert(&file.path);
        }
    }

    fn foreseeable(&self) -> Option<Unless> {
        let bits = (libc::MAP_LOCKED | libc::MAP_ANONYMOUS).cast_unsigned();
        Some(Unless { argument: 3, bits })
    }

    fn quiet(&self, values: &Values) -> bool {
        value(values, 2).is_some_and(|protection| read::int(protection) & PROT_EXEC == 0)
    }
}

/// `mprotect(2)`, `pkey_mprotect(2)`.
pub(super) struct Protect;

impl Decode for Protect {
    fn enter(&self, scene: &mut Scene<'_>) {
        if scene.int(2) & PROT_EXEC == 0 {
            return;
        }
        let start = scene.arg(0);
        for mapping in scene.view.mappings(start, start.saturating_add(scene.arg(1))).unwrap_or_default() {
            scene.file(&mapping.path, mapping.inode.as_ref(), Access::MAP_EXEC, false);
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        value(values, 2).is_some_and(|protection| read::int(protection) & PROT_EXEC == 0)
    }
}

/// `mlock(2)`, `mlock2(2)`.
pub(super) struct Lock;

impl Decode for Lock {
    fn enter(&self, scene: &mut Scene<'_>) {
        lock(scene, Some(scene.arg(1)));
    }
}

/// `mlockall(2)`.
pub(super) struct LockAll;

impl Decode for LockAll {
    fn enter(&self, scene: &mut Scene<'_>) {
        const CURRENT: i32 = 1;
        lock(scene, if scene.int(0) & CURRENT == 0 { Some(0) } else { None });
    }
}

/// Says that memory is locked beyond `RLIMIT_MEMLOCK`: `more` bytes, or all there is.
fn lock(scene: &mut Scene<'_>, more: Option<u64>) {
    let Some((limit, _)) = limit(scene, RLIMIT_MEMLOCK).filter(|(soft, _)| *soft != u64::MAX) else {
        return;
    };
    let status = scene.view.proc("self/status").unwrap_or_default();
    let wanted = match more {
        Some(more) => size(&status, b"VmLck:").saturating_add(more),
        None => size(&status, b"VmSize:"),
    };
    if wanted > limit || limit == 0 {
        let what = "lock memory beyond RLIMIT_MEMLOCK".to_owned();
        scene.check(Operation::Privileged { capability: Capability::IpcLock, what });
    }
}

/// A size of `/proc/TID/status` in bytes.
fn size(status: &[u8], label: &[u8]) -> u64 {
    let line = status.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(label));
    let number = line.and_then(|line| std::str::from_utf8(line).ok()?.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or_default().saturating_mul(1024)
}

/// Soft and hard limit of the task, from `/proc/PID/limits`, whose lines stand in the order of `RLIMIT_*`; `u64::MAX`
/// is no limit.
pub(super) fn limit(scene: &Scene<'_>, resource: usize) -> Option<(u64, u64)> {
    limit_of(scene, "self", resource)
}

/// The same of another process.
pub(super) fn limit_of(scene: &Scene<'_>, process: &str, resource: usize) -> Option<(u64, u64)> {
    /// The width of the name's column.
    const NAME: usize = 26;
    let text = scene.view.proc(&format!("{process}/limits")).ok()?;
    let line = text.split(|&byte| byte == b'\n').nth(resource.checked_add(1)?)?;
    let mut values = std::str::from_utf8(line.get(NAME..)?).ok()?.split_whitespace();
    let mut next = || match values.next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    };
    Some((next()?, next()?))
}

#[cfg(test)]
mod tests {
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, files, inode, operations, path};
    use crate::event::Mapping;

    const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max cpu time              unlimited            unlimited            seconds   
Max file size             unlimited            unlimited            bytes     
Max data size             unlimited            unlimited            bytes     
Max stack size            8388608              unlimited            bytes     
Max core file size        0                    unlimited            bytes     
Max resident set          unlimited            unlimited            bytes     
Max processes             31447                31447                processes 
Max open files            1024                 1048576              files     
Max locked memory         65536                65536                bytes     
";

    #[test]
    fn code_is_mapped_from_files() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            bench.view.file("/lib.so", libc::S_IFREG | 0o644, (0, 0));
            bench.view.open(3, "/lib.so");
            let map = if abi == Abi::I386 { "mmap2" } else { "mmap" };
            assert_eq!(files(&bench.call(map, &[0, 4096, 5, 2, 3, 0])), ["/lib.so: map-exec"], "{abi}");
            assert_eq!(bench.call(map, &[0, 4096, 1, 2, 3, 0]), []);
            assert_eq!(bench.call(map, &[0, 4096, 7, 0x22, u64::MAX, 0]), []);
            bench.view.mappings.borrow_mut().push(Mapping {
                start: 0x1000,
                end: 0x3000,
                executable: false,
                path: path("/lib.so"),
                inode: Some(inode(0o644, (0, 0))),
            });
            for call in ["mprotect", "pkey_mprotect"] {
                assert_eq!(files(&bench.call(call, &[0x2000, 4096, 5])), ["/lib.so: map-exec"]);
                assert_eq!(bench.call(call, &[0x2000, 4096, 3]), []);
                assert_eq!(bench.call(call, &[0x3000, u64::MAX, 5]), []);
            }
        }
        let mut bench = Bench::new(Abi::I386);
        bench.view.file("/lib.so", libc::S_IFREG | 0o644, (0, 0));
        bench.view.open(3, "/lib.so");
        let args = bench.words(&[0, 4096, 5, 2, 3, 0]);
        assert_eq!(files(&bench.call("mmap", &[args])), ["/lib.so: map-exec"]);
    }

    #[test]
    fn plain_memory_calls_ask_nothing() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.call("mmap", &[0, 4096, 3, 0x22, u64::MAX, 0]);
        let before = bench.view.questions.get();
        bench.call("mmap", &[0, 4096, 3, 0x22, u64::MAX, 0]);
        bench.call("mprotect", &[0x1000, 4096, 1]);
        bench.call("read", &[3, 0x1000, 4096]);
        bench.call("futex", &[0x1000, 129, 1]);
        assert_eq!(bench.view.questions.get(), before);
    }

    #[test]
    fn memory_is_locked_within_the_limit() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            assert_eq!(bench.call("mlockall", &[1]), [], "nothing is known of the limit");
            let status = b"Name:\tx\nVmSize:\t    100 kB\nVmLck:\t      60 kB\n".to_vec();
            bench.view.proc.borrow_mut().insert("self/limits".to_owned(), LIMITS.into());
            bench.view.proc.borrow_mut().insert("self/status".to_owned(), status);
            assert_eq!(operations(&bench.call("mlock", &[0, 4096])), [], "{abi}");
            assert_eq!(operations(&bench.call("mlock", &[0, 8192])).len(), 1, "{abi}");
            assert_eq!(operations(&bench.call("mlockall", &[2])), []);
            assert_eq!(operations(&bench.call("mlockall", &[3])).len(), 1);
        }
    }
}
