//! Looks into other tasks, as a tracer may or as files of `/proc/PID` show them (`ptrace(2)`, "Ptrace access mode
//! checking").

use super::device;
use super::process::process_behind;
use super::scene::{Decode, Scene};
use crate::event::Credentials;
use crate::fact::{Capability, Fact, GapKind, SignalTarget, TraceFact};

/// How another task is looked into.
#[derive(Clone, Copy)]
pub(super) struct Mode {
    /// `PTRACE_MODE_READ` rather than `PTRACE_MODE_ATTACH`.
    pub(super) read_only: bool,
    /// `PTRACE_MODE_FSCREDS`, by a file of `/proc`, rather than `PTRACE_MODE_REALCREDS`, by a call.
    pub(super) by_file: bool,
}

/// `ptrace(2)`.
pub(super) struct Ptrace;

impl Decode for Ptrace {
    fn enter(&self, scene: &mut Scene<'_>) {
        const TRACEME: i32 = 0;
        const ATTACH: i32 = 16;
        const SEIZE: i32 = 0x4206;
        let detail = format!("{} was called: it fails while learn itself traces the workload", scene.name);
        scene.gap(GapKind::TracesItself, detail);
        match scene.int(0) {
            TRACEME => scene.say(Fact::Trace(TraceFact { read_only: false, to: SignalTarget::Itself })),
            ATTACH | SEIZE => look(scene, scene.int(1), Mode { read_only: false, by_file: false }),
            _ => {}
        }
    }
}

/// Calls that read or change another process as a tracer may: `process_vm_readv(2)`, `move_pages(2)` and their kin.
pub(super) struct Inspect {
    /// The argument with the process.
    pub(super) process: usize,
    /// Whether it is a descriptor.
    pub(super) descriptor: bool,
    /// `PTRACE_MODE_READ` rather than `PTRACE_MODE_ATTACH`.
    pub(super) read_only: bool,
}

impl Decode for Inspect {
    fn enter(&self, scene: &mut Scene<'_>) {
        let raw = scene.int(self.process);
        let process = if self.descriptor { process_behind(scene, raw) } else { Some(raw) };
        // 0 is the caller itself, -1 all there is.
        if let Some(process) = process.filter(|process| *process > 0) {
            look(scene, process, Mode { read_only: self.read_only, by_file: false });
        }
        if scene.name == "move_pages" && device::moves_shared::<5>(scene) {
            scene.guarded(Capability::SysNice, "move pages that others use");
        }
    }
}

/// `kcmp(2)` compares two processes.
pub(super) struct Compare;

impl Decode for Compare {
    fn enter(&self, scene: &mut Scene<'_>) {
        for index in 0..2 {
            look(scene, scene.int(index), Mode { read_only: true, by_file: false });
        }
    }
}

/// Says that another task is looked into, and whether its ids are others (`__ptrace_may_access`, `kernel/ptrace.c`) or
/// Yama forbids it.
pub(super) fn look(scene: &mut Scene<'_>, process: i32, mode: Mode) {
    let to = scene.workload.processes.target(scene.tid, process);
    if to == SignalTarget::Itself {
        return;
    }
    scene.say(Fact::Trace(TraceFact { read_only: mode.read_only, to }));
    let Some((who, target)) = scene.credentials().zip(scene.view.process(process).ok()) else {
        return;
    };
    let (user, group, held) =
        if mode.by_file { (who.fsuid(), who.fsgid(), who.effective) } else { (who.uid[0], who.gid[0], who.permitted) };
    let same = |target: &[u32; 4], id: u32| target.iter().take(3).all(|other| *other == id);
    if !same(&target.uid, user) || !same(&target.gid, group) || target.permitted & !held != 0 {
        scene.guarded(Capability::SysPtrace, "look into a process of another user");
    } else if !mode.read_only && restricted(scene, process) {
        let doubt = "a process may have allowed it, and what it started itself everyone may trace";
        scene.doubtful(Capability::SysPtrace, "trace a process under ptrace_scope", doubt);
    } else {
        with_fewer(scene, Capability::SysPtrace, process, &target);
    }
}

/// Whether Yama keeps `process` from being traced by others than those who started it (`yama_ptrace_access_check`,
/// `security/yama/yama_lsm.c`).
fn restricted(scene: &Scene<'_>, process: i32) -> bool {
    /// How far parents are followed.
    const DEPTH: usize = 64;
    match device::setting(scene, "sys/kernel/yama/ptrace_scope") {
        ..=0 => false,
        1 => {
            let own = scene.workload.processes.of(scene.tid).0;
            let parent = |process: &i32| stat(scene, &process.to_string(), PARENT).filter(|parent| *parent > 1);
            !std::iter::successors(Some(process), parent).take(DEPTH).any(|ancestor| ancestor == own)
        }
        _ => true,
    }
}

/// The fields of [`stat`] that hold the parent's process id and the session.
pub(super) const PARENT: usize = 1;
pub(super) const SESSION: usize = 3;

/// A number of `/proc/PID/stat`, counted from the first field behind the name, which stands in parentheses
/// (`proc_pid_stat(5)`).
pub(super) fn stat(scene: &Scene<'_>, process: &str, field: usize) -> Option<i32> {
    let text = scene.view.proc(&format!("{process}/stat")).ok()?;
    let behind = text.iter().rposition(|&byte| byte == b')')?;
    let fields = std::str::from_utf8(text.get(behind + 1..)?).ok()?;
    fields.split_whitespace().nth(field)?.parse().ok()
}

/// Says that the kernel would ask for `capability` if the caller had fewer capabilities than `target`, which keeps its
/// own when the workload is confined: it is none of the workload's.
pub(super) fn with_fewer(scene: &mut Scene<'_>, capability: Capability, process: i32, target: &Credentials) {
    let outside = scene.workload.processes.target(scene.tid, process) == SignalTarget::Outside;
    if outside && target.permitted != 0 {
        let doubt = "it is refused without as soon as the caller has fewer capabilities than that process";
        scene.doubtful(capability, "act on a process outside of the workload", doubt);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations};
    use crate::fact::Operation;

    #[test]
    fn tracing_is_a_gap() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            bench.view.others.borrow_mut().insert(7, Credentials::default());
            let trace = |read_only, to| Fact::Trace(TraceFact { read_only, to });
            assert_eq!(bench.call("ptrace", &[0]), [trace(false, SignalTarget::Itself)], "{abi}");
            assert_eq!(bench.gaps(), [GapKind::TracesItself]);
            let facts = bench.call("ptrace", &[16, 7]);
            assert_eq!(facts[0], trace(false, SignalTarget::Outside));
            assert_eq!(operations(&facts).len(), 1);
            assert_eq!(bench.call("process_vm_readv", &[7])[0], trace(false, SignalTarget::Outside));
            assert_eq!(bench.call("kcmp", &[7, 100, 0])[0], trace(true, SignalTarget::Outside));
            assert_eq!(bench.call("process_vm_readv", &[100]), []);
        }
    }

    #[test]
    fn yama_keeps_others_from_tracing() {
        let mut bench = Bench::user(Abi::X86_64);
        let own = Credentials { uid: [1000; 4], gid: [1000; 4], ..Credentials::default() };
        bench.view.others.borrow_mut().insert(7, own);
        let file = |bench: &Bench, name: &str, text: &str| {
            bench.view.proc.borrow_mut().insert(name.to_owned(), text.as_bytes().to_vec());
        };
        let asked = |bench: &mut Bench, call: &str| operations(&bench.call(call, &[7, 7, 0])).len();
        assert_eq!(asked(&mut bench, "process_vm_readv"), 0);
        file(&bench, "sys/kernel/yama/ptrace_scope", "1\n");
        file(&bench, "7/stat", "7 (a) b) S 1 7 7 0");
        assert_eq!((asked(&mut bench, "process_vm_readv"), asked(&mut bench, "kcmp")), (1, 0));
        file(&bench, "7/stat", "7 (a) b) S 9 7 7 0");
        file(&bench, "9/stat", "9 (c) S 100 9 9 0");
        assert_eq!(asked(&mut bench, "process_vm_readv"), 0, "a descendant");
        file(&bench, "sys/kernel/yama/ptrace_scope", "2\n");
        let facts = bench.call("process_vm_readv", &[7]);
        assert!(matches!(operations(&facts)[..], [Operation::Doubtful { capability: Capability::SysPtrace, .. }]));
    }
}
