//! `bpf(2)`: which commands, maps and programs a capability guards (`kernel/bpf/syscall.c`).

use super::device::setting;
use super::scene::{Decode, Scene};
use crate::fact::{Capability, Operation};

/// `BPF_MAP_CREATE`, `BPF_PROG_LOAD`, `BPF_PROG_QUERY`, `BPF_BTF_LOAD`.
const MAP_CREATE: u32 = 0;
const PROG_LOAD: u32 = 5;
const PROG_QUERY: u32 = 16;
const BTF_LOAD: u32 = 18;

/// Commands that find objects of everyone: `BPF_*_GET_NEXT_ID`, `BPF_*_GET_FD_BY_ID`, `BPF_TASK_FD_QUERY`,
/// `BPF_ENABLE_STATS`.
const FINDS: [u32; 10] = [11, 12, 13, 14, 19, 20, 23, 30, 31, 32];

/// Kinds of maps that handle packets: devices, sockets, `AF_XDP`.
const NET_MAPS: [u32; 5] = [14, 15, 17, 18, 25];

/// Kinds of programs that everyone may load where `unprivileged_bpf_disabled` is not set: socket filters, and packets
/// of a control group.
const FREE_PROGRAMS: [u32; 2] = [1, 8];

/// `is_net_admin_prog_type()`.
const NET_PROGRAMS: [u32; 18] = [3, 4, 6, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 22, 23, 25, 28, 32];

/// `is_perfmon_prog_type()`.
const TRACING_PROGRAMS: [u32; 9] = [2, 5, 7, 17, 24, 26, 27, 28, 29];

/// `bpf(2)`.
pub(super) struct Bpf;

impl Decode for Bpf {
    fn enter(&self, scene: &mut Scene<'_>) {
        let kind = scene.memory().u32(scene.arg(1)).unwrap_or_default();
        let restricted = setting(scene, "sys/kernel/unprivileged_bpf_disabled") != 0;
        match scene.uint(0) {
            MAP_CREATE => {
                if restricted {
                    scene.guarded(Capability::Bpf, "make a bpf map");
                }
                if NET_MAPS.contains(&kind) {
                    packets(scene, "make a bpf map for packets");
                }
            }
            PROG_LOAD => {
                if restricted || !FREE_PROGRAMS.contains(&kind) {
                    scene.guarded(Capability::Bpf, "load a bpf program");
                }
                if NET_PROGRAMS.contains(&kind) {
                    packets(scene, "load a bpf program for packets");
                }
                if TRACING_PROGRAMS.contains(&kind) {
                    scene.guarded(Capability::Perfmon, "load a bpf program that traces");
                }
            }
            PROG_QUERY => packets(scene, "ask for the bpf programs of a device or control group"),
            BTF_LOAD => scene.guarded(Capability::Bpf, "load bpf type information"),
            command if FINDS.contains(&command) => {
                scene.guarded(Capability::SysAdmin, "find bpf objects of everyone");
            }
            _ => {}
        }
    }
}

/// `bpf_net_capable()`
fn packets(scene: &mut Scene<'_>, what: &str) {
    let (capability, other) = (Capability::NetAdmin, Capability::SysAdmin);
    scene.check(Operation::Either { capability, other, what: what.to_owned(), doubt: String::new() });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations};

    #[test]
    fn commands_have_their_guards() {
        use Capability::{Bpf, NetAdmin, Perfmon, SysAdmin};
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            let asked = |bench: &mut Bench, command, kind| {
                let attributes = bench.words(&[kind]);
                let capability = |operation: &Operation| match operation {
                    Operation::Privileged { capability, .. } | Operation::Either { capability, .. } => *capability,
                    other => panic!("{other:?}"),
                };
                let facts = bench.call("bpf", &[command, attributes, 4]);
                operations(&facts).iter().map(capability).collect::<Vec<_>>()
            };
            assert_eq!(asked(&mut bench, 0, 1), [], "{abi}");
            assert_eq!(asked(&mut bench, 5, 1), []);
            bench.view.proc.borrow_mut().insert("sys/kernel/unprivileged_bpf_disabled".to_owned(), b"2\n".to_vec());
            assert_eq!(asked(&mut bench, 0, 1), [Bpf]);
            assert_eq!(asked(&mut bench, 0, 15), [Bpf, NetAdmin]);
            assert_eq!(asked(&mut bench, 1, 1), [], "a map that one holds");
            assert_eq!(asked(&mut bench, 5, 1), [Bpf]);
            assert_eq!(asked(&mut bench, 5, 6), [Bpf, NetAdmin]);
            assert_eq!(asked(&mut bench, 5, 5), [Bpf, Perfmon]);
            assert_eq!(asked(&mut bench, 11, 0), [SysAdmin]);
        }
    }
}
