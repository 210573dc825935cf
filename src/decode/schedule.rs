//! Calls that set priorities and resource limits.

use super::inspect;
use super::memory;
use super::scene::{Decode, Scene};
use crate::fact::{Capability, Fact, LimitFact, Operation, SignalTarget};

/// `RLIMIT_NICE`.
const RLIMIT_NICE: usize = 13;
/// `RLIMIT_RTPRIO`.
const RLIMIT_RTPRIO: usize = 14;

/// Says that a better place is asked for than everyone may have.
fn better(scene: &mut Scene<'_>, what: impl Into<String>, within_limit: bool) {
    scene.check(Operation::Schedule { what: what.into(), within_limit });
}

/// Whether argument `index` names a process that is not the caller's.
fn foreign(scene: &Scene<'_>, index: usize) -> bool {
    let process = scene.int(index);
    process > 0 && scene.workload.processes.target(scene.tid, process) != SignalTarget::Itself
}

/// Says that the process in argument `index` belongs to another user (`check_same_owner`, `kernel/sched`) or may do more
/// than the caller (`cap_safe_nice`, `security/commoncap.c`).
fn same_owner(scene: &mut Scene<'_>, index: usize, what: &str) {
    if !foreign(scene, index) {
        return;
    }
    let process = scene.int(index);
    let Some((who, target)) = scene.credentials().zip(scene.view.process(process).ok()) else {
        return;
    };
    if who.uid[1] != target.uid[0] && who.uid[1] != target.uid[1] {
        better(scene, format!("{what} of another user's process"), false);
    } else if target.permitted & !who.permitted != 0 {
        better(scene, format!("{what} of a process with more capabilities"), false);
    } else {
        inspect::with_fewer(scene, Capability::SysNice, process, &target);
    }
}

/// Says that a lower nice value than now is asked for (`can_nice`, `kernel/sched`).
fn nice(scene: &mut Scene<'_>, wanted: i64) {
    let wanted = wanted.clamp(-20, 19);
    if current_nice(scene).is_some_and(|now| wanted >= now) {
        return;
    }
    let limit = memory::limit(scene, RLIMIT_NICE).map_or(0, |(soft, _)| soft);
    let within = u64::try_from(20 - wanted).is_ok_and(|rank| rank <= limit);
    better(scene, format!("nice {wanted}"), within);
}

/// The nice value of the task.
fn current_nice(scene: &Scene<'_>) -> Option<i64> {
    /// Its place in `/proc/TID/stat`.
    const NICE: usize = 16;
    inspect::stat(scene, "self", NICE).map(i64::from)
}

/// `nice(2)`.
pub(super) struct Nice;

impl Decode for Nice {
    fn enter(&self, scene: &mut Scene<'_>) {
        let step = i64::from(scene.int(0)).clamp(-40, 40);
        if step < 0 {
            let now = current_nice(scene).unwrap_or_default();
            nice(scene, now + step);
        }
    }
}

/// `setpriority(2)`.
pub(super) struct Priority;

impl Decode for Priority {
    fn enter(&self, scene: &mut Scene<'_>) {
        const PROCESS: u32 = 0;
        if scene.uint(0) == PROCESS {
            same_owner(scene, 1, "priority");
        }
        nice(scene, i64::from(scene.int(2)));
    }
}

/// `sched_setscheduler(2)`, `sched_setparam(2)`.
pub(super) struct Scheduler {
    /// The argument with the policy; `None` keeps it.
    pub(super) policy: Option<usize>,
    /// The argument that points to the priority.
    pub(super) priority: usize,
}

impl Decode for Scheduler {
    fn enter(&self, scene: &mut Scene<'_>) {
        same_owner(scene, 0, "scheduling");
        let priority = scene.memory().u32(scene.arg(self.priority));
        if let Some(priority) = scene.seen(priority) {
            let policy = self.policy.map(|index| scene.uint(index));
            realtime(scene, policy, priority);
        }
    }
}

/// Says that a real-time policy is asked for. `SCHED_RESET_ON_FORK` may stand beside it.
fn realtime(scene: &mut Scene<'_>, policy: Option<u32>, priority: u32) {
    let name = match policy.map(|policy| policy & !0x4000_0000) {
        Some(1) => "SCHED_FIFO",
        Some(2) => "SCHED_RR",
        Some(6) => return better(scene, "SCHED_DEADLINE", false),
        None if priority > 0 => "real-time priority",
        _ => return,
    };
    let limit = memory::limit(scene, RLIMIT_RTPRIO).map_or(0, |(soft, _)| soft);
    better(scene, format!("{name} {priority}"), u64::from(priority) <= limit);
}

/// `sched_setattr(2)`.
pub(super) struct SchedulerAttributes;

impl Decode for SchedulerAttributes {
    fn enter(&self, scene: &mut Scene<'_>) {
        same_owner(scene, 0, "scheduling");
        // struct sched_attr: size, policy, flags (64 bits), nice, priority.
        let [policy, value, priority] = [4, 16, 20].map(|offset| scene.memory().u32(scene.arg(1).wrapping_add(offset)));
        let Some((policy, value, priority)) = scene.seen(policy).zip(value.ok()).zip(priority.ok()).map(flat) else {
            return;
        };
        match policy {
            0 | 3 => nice(scene, i64::from(value.cast_signed())),
            policy => realtime(scene, Some(policy), priority),
        }
    }
}

fn flat<A, B, C>(((a, b), c): ((A, B), C)) -> (A, B, C) {
    (a, b, c)
}

/// `sched_setaffinity(2)`.
pub(super) struct Affinity;

impl Decode for Affinity {
    fn enter(&self, scene: &mut Scene<'_>) {
        same_owner(scene, 0, "affinity");
    }
}

/// `ioprio_set(2)`.
pub(super) struct IoPriority;

impl Decode for IoPriority {
    fn enter(&self, scene: &mut Scene<'_>) {
        const PROCESS: u32 = 1;
        const REAL_TIME: u32 = 1;
        if scene.uint(0) == PROCESS {
            same_owner(scene, 1, "I/O priority");
        }
        if scene.uint(2) >> 13 == REAL_TIME {
            // ioprio_check_cap(), block/ioprio.c
            let what = "real-time I/O priority".to_owned();
            let (capability, other) = (Capability::SysNice, Capability::SysAdmin);
            scene.check(Operation::Either { capability, other, what, doubt: String::new() });
        }
    }
}

/// `setrlimit(2)`.
pub(super) struct SetLimit;

impl Decode for SetLimit {
    fn enter(&self, scene: &mut Scene<'_>) {
        let limit = scene.memory().rlimit(scene.arg(1));
        if let Some((_, hard)) = scene.seen(limit) {
            set_limit(scene, scene.uint(0), hard, None);
        }
    }
}

/// `prlimit(2)`.
pub(super) struct ProcessLimit;

impl Decode for ProcessLimit {
    fn enter(&self, scene: &mut Scene<'_>) {
        let other = foreign(scene, 0).then(|| scene.int(0));
        if let Some(process) = other {
            of_another(scene, process);
        }
        if scene.arg(2) == 0 {
            return;
        }
        let limit = scene.memory().rlimit64(scene.arg(2));
        if let Some((_, hard)) = scene.seen(limit) {
            set_limit(scene, scene.uint(1), hard, other);
        }
    }

    fn quiet_without(&self) -> Option<u8> {
        Some(2)
    }
}

/// Says that limits of another user's process are looked at or set (`check_prlimit_permission`, `kernel/sys.c`).
fn of_another(scene: &mut Scene<'_>, process: i32) {
    let Some((who, target)) = scene.credentials().zip(scene.view.process(process).ok()) else {
        return;
    };
    let same = |ids: &[u32; 4], own: u32| ids.iter().take(3).all(|id| *id == own);
    if !same(&target.uid, who.uid[0]) || !same(&target.gid, who.gid[0]) {
        scene.guarded(Capability::SysResource, "limits of another user's process");
    }
}

/// Says that a limit is set, and whether its hard part is raised.
fn set_limit(scene: &mut Scene<'_>, resource: u32, hard: u64, process: Option<i32>) {
    scene.say(Fact::Limit(LimitFact { resource, hard }));
    let process = process.map_or_else(|| "self".to_owned(), |process| process.to_string());
    let before = usize::try_from(resource).ok().and_then(|resource| memory::limit_of(scene, &process, resource));
    if let Some((_, from)) = before.filter(|(_, from)| hard > *from) {
        scene.check(Operation::RaiseLimit { resource, from, to: hard });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations};
    use crate::event::Credentials;

    fn bench(abi: Abi) -> Bench {
        let bench = Bench::user(abi);
        let lines = (0..16).map(|resource| {
            let value = match resource {
                7 => "1024 4096",
                13 => "25 25",
                14 => "10 10",
                _ => "unlimited unlimited",
            };
            format!("{:<26}{value} units", format!("Max resource {resource}"))
        });
        let limits: Vec<String> = std::iter::once("header".to_owned()).chain(lines).collect();
        let stat = format!("7 (a) b) S{} 5 1 0", " 0".repeat(15));
        bench.view.proc.borrow_mut().insert("self/limits".to_owned(), limits.join("\n").into());
        bench.view.proc.borrow_mut().insert("self/stat".to_owned(), stat.into());
        bench.view.others.borrow_mut().insert(7, Credentials::default());
        bench
    }

    fn asked(what: &str, within_limit: bool) -> Operation {
        Operation::Schedule { what: what.to_owned(), within_limit }
    }

    #[test]
    fn a_lower_nice_value_is_a_privilege() {
        for abi in Abi::ALL {
            let mut bench = bench(abi);
            let mut set = |to: i64| operations(&bench.call("setpriority", &[0, 0, to.cast_unsigned()]));
            assert_eq!(set(5), [], "{abi}");
            assert_eq!(set(19), []);
            assert_eq!(set(0), [asked("nice 0", true)]);
            assert_eq!(set(-5), [asked("nice -5", true)]);
            assert_eq!(set(-100), [asked("nice -20", false)]);
            assert_eq!(
                operations(&bench.call("setpriority", &[0, 7, 10])),
                [asked("priority of another user's process", false)]
            );
        }
        let mut bench = bench(Abi::I386);
        assert_eq!(operations(&bench.call("nice", &[5])), []);
        assert_eq!(operations(&bench.call("nice", &[(-6i64).cast_unsigned()])), [asked("nice -1", true)]);
    }

    #[test]
    fn real_time_policies_are_privileges() {
        for abi in Abi::ALL {
            let mut bench = bench(abi);
            let [ten, eleven, none] = [10, 11, 0].map(|priority| bench.words(&[priority]));
            assert_eq!(operations(&bench.call("sched_setscheduler", &[0, 0, none])), [], "{abi}");
            assert_eq!(operations(&bench.call("sched_setscheduler", &[0, 1, ten])), [asked("SCHED_FIFO 10", true)]);
            let reset = 0x4000_0002;
            assert_eq!(
                operations(&bench.call("sched_setscheduler", &[0, reset, eleven])),
                [asked("SCHED_RR 11", false)]
            );
            assert_eq!(operations(&bench.call("sched_setparam", &[0, none])), []);
            let attributes = bench.words(&[48, 6, 0, 0, 0, 0, 0, 0]);
            assert_eq!(operations(&bench.call("sched_setattr", &[0, attributes, 0])), [asked("SCHED_DEADLINE", false)]);
            let attributes = bench.words(&[48, 0, 0, 0, (-1i32).cast_unsigned(), 0]);
            assert_eq!(operations(&bench.call("sched_setattr", &[0, attributes, 0])), [asked("nice -1", true)]);
            assert_eq!(operations(&bench.call("ioprio_set", &[1, 0, 1 << 13])).len(), 1);
            assert_eq!(operations(&bench.call("ioprio_set", &[1, 0, 2 << 13])), []);
            assert_eq!(operations(&bench.call("sched_setaffinity", &[7, 8, 0])).len(), 1);
            assert_eq!(operations(&bench.call("sched_setaffinity", &[100, 8, 0])), []);
        }
    }

    #[test]
    fn limits_are_raised_and_lowered() {
        for abi in Abi::ALL {
            let mut bench = bench(abi);
            let limit = |hard: u32| if abi == Abi::I386 { vec![1, hard] } else { vec![1, 0, hard, 0] };
            let raise = Operation::RaiseLimit { resource: 7, from: 4096, to: 5000 };
            let fact = |hard| Fact::Limit(LimitFact { resource: 7, hard });
            let [same, more] = [4096, 5000].map(|hard| bench.words(&limit(hard)));
            assert_eq!(bench.call("setrlimit", &[7, same]), [fact(4096)], "{abi}");
            let facts = bench.call("setrlimit", &[7, more]);
            assert_eq!((facts[0].clone(), operations(&facts)), (fact(5000), vec![raise.clone()]));
            let wide = bench.words(&[1, 0, 5000, 0]);
            assert_eq!(operations(&bench.call("prlimit64", &[0, 7, wide, 0])), [raise], "{abi}");
            assert_eq!(bench.call("prlimit64", &[0, 7, 0, 0x1000]), []);
        }
    }
}
