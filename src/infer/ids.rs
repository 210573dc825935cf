//! The users and groups of a workload: what it starts as, what it becomes, and whether it could start as that.
//!
//! Pure over a record and its judged capabilities. That a program switches users by itself only when it is root is
//! taken for granted: servers are written so.

use std::collections::{BTreeMap, BTreeSet};

use super::caps::{CapabilityNeed, Reason};
use super::{Because, gather, outcome};
use crate::fact::{Access, Capability, EndFact, ExecutionFact, IdentityFact, Operation};
use crate::path::AbsPath;
use crate::record::{Record, Run};

/// How many files that may stand in the way are named.
const FILES: usize = 5;

/// Who a workload is.
#[derive(Clone, Debug, Default)]
pub struct Ids<'r> {
    /// Who its runs were started as.
    pub starts: BTreeSet<Start<'r>>,
    /// The ids that it changed to.
    pub becomes: BTreeSet<IdentityFact>,
    /// Who its processes were when they ended.
    pub ends: BTreeMap<&'r EndFact, Because<'r>>,
    /// The set-user-ID, set-group-ID and file-capability programs that it executed: under `no_new_privs` they would
    /// gain nothing.
    pub privileged: BTreeMap<&'r ExecutionFact, Because<'r>>,
    /// What it takes to start it as the user that it becomes.
    pub lower: Option<Lower>,
}

/// Who a run was started as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Start<'r> {
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
    /// The other groups, sorted.
    pub groups: &'r [u32],
}

/// What a workload that is started as root and becomes another user needs when it is started as that user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lower {
    /// The user.
    pub user: u32,
    /// The capabilities that it still needs.
    pub capabilities: BTreeSet<Capability>,
    /// What stands in the way, each with its evidence: permissions that root had by a capability.
    pub obstacles: BTreeSet<String>,
    /// Files that were written by their owner, who may have been root: the first ones, and how many there are.
    pub owned: (Vec<AbsPath>, usize),
}

/// Who the workload of `record` is, which needs `capabilities`.
pub(super) fn ids<'r>(record: &'r Record, capabilities: &[CapabilityNeed<'r>]) -> Ids<'r> {
    let subjects: Vec<_> = record.subjects.iter().collect();
    let starts: BTreeSet<_> = record.runs.values().map(Start::of).collect();
    let becomes: BTreeSet<IdentityFact> =
        gather(&subjects, |subject| &subject.identities, outcome::other).into_keys().copied().collect();
    let ends = gather(&subjects, |subject| &subject.ends, outcome::other);
    let executions = gather(&subjects, |subject| &subject.executions, outcome::other);
    let privileged = executions.into_iter().filter(|(execution, _)| execution.privileged).collect();
    let lower = lower_user(&starts, &becomes).map(|user| lower(record, user, capabilities));
    Ids { starts, becomes, ends, privileged, lower }
}

impl<'r> Start<'r> {
    fn of(run: &'r Run) -> Self {
        Self { user: run.uid, group: run.gid, groups: &run.groups }
    }
}

/// The one user that root becomes for good.
fn lower_user(starts: &BTreeSet<Start<'_>>, becomes: &BTreeSet<IdentityFact>) -> Option<u32> {
    let for_good = |fact: &IdentityFact| match *fact {
        IdentityFact::User(real, effective, saved) if real == effective && real == saved && real != 0 => Some(real),
        _ => None,
    };
    let users: BTreeSet<_> = becomes.iter().filter_map(for_good).collect();
    let one = users.len() == 1 && !starts.is_empty() && starts.iter().all(|start| start.user == 0);
    users.into_iter().next().filter(|_| one)
}

fn lower(record: &Record, user: u32, needs: &[CapabilityNeed<'_>]) -> Lower {
    let mut capabilities = BTreeSet::new();
    let mut obstacles = BTreeSet::new();
    let granted = needs.iter().flat_map(|need| {
        let reasons = need.reasons.iter().filter(|reason| reason.standing.granted());
        reasons.map(|reason| (need.capability, reason))
    });
    for (capability, reason) in granted {
        match left(user, reason) {
            Left::Nothing => {}
            Left::Capability => drop(capabilities.insert(capability)),
            Left::Obstacle => drop(obstacles.insert(reason.check.describe())),
        }
    }
    Lower { user, capabilities, obstacles, owned: owned(record) }
}

/// What remains of a reason.
enum Left {
    Nothing,
    Capability,
    Obstacle,
}

/// What remains of a reason for a capability once the workload is started as `user`.
fn left(user: u32, reason: &Reason<'_>) -> Left {
    match &reason.check.operation {
        Operation::SetUserIds { .. } | Operation::SetGroupIds { .. } | Operation::SetGroups => Left::Nothing,
        // What it makes is its own from the beginning.
        Operation::Chown { to: (to, _), .. } if to.is_none_or(|to| to == user) => Left::Nothing,
        Operation::FileAccess { owner, .. } | Operation::OwnerOnly { owner, .. } => {
            if owner.0 == user {
                Left::Nothing
            } else {
                Left::Obstacle
            }
        }
        Operation::Kill { receiver, .. } if receiver.0 == user || receiver.1 == user => Left::Nothing,
        _ => Left::Capability,
    }
}

/// Where files are the kernel's, and everyone may write to those that matter.
const KERNEL: [&[u8]; 3] = [b"/dev/", b"/proc/", b"/sys/"];

/// The files that were written or made by their owner.
fn owned(record: &Record) -> (Vec<AbsPath>, usize) {
    let writes = Access::WRITE | Access::APPEND | Access::CREATE;
    let files = record.subjects.values().flat_map(|subject| &subject.files);
    let files = files.filter(|(path, _)| !KERNEL.iter().any(|place| path.as_bytes().starts_with(place)));
    let written: BTreeSet<_> =
        files.filter(|(_, used)| (used.ok - used.foreign).intersects(writes)).map(|(path, _)| path).collect();
    let count = written.len();
    (written.into_iter().take(FILES).cloned().collect(), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Syscall;
    use crate::event::Outcome;
    use crate::fact::{CapabilitySet, Check, Fact};
    use crate::record::{Moment, RunId};

    fn record(facts: Vec<Fact>) -> Record {
        let mut record = Record::default();
        let run: Run = serde_json::from_value(serde_json::json!({
            "elapsed_ms": 1, "complete": true, "started_ms": 1, "command": ["nginx"], "status": 0, "kernel": "6.1",
            "machine": "x86_64", "uid": 0, "gid": 0, "groups": [], "exact_counts": true, "peak_processes": 1, "peak_threads": 1,
            "peak_memory_kib": 1, "version": "0",
        }))
        .unwrap();
        record.runs.insert(RunId(1), run);
        for fact in facts {
            let moment = Moment { run: RunId(1), at_ms: 1, by: None };
            record.absorb(&path("/usr/sbin/nginx"), fact, Outcome::Returned(0), moment);
        }
        record
    }

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text.as_bytes()).unwrap()
    }

    fn check(operation: Operation) -> Fact {
        let call = Syscall::Named("call".into());
        Fact::Check(Check { call, operation, ids: (0, 0), effective: CapabilitySet(u64::MAX) })
    }

    fn lower_of(facts: Vec<Fact>) -> Option<Lower> {
        let record = record(facts);
        let needs = super::super::infer(&record, &super::super::Options::default());
        needs.ids.lower
    }

    #[test]
    fn a_server_needs_little_of_its_own_user() {
        let user = Fact::Identity(IdentityFact::User(33, 33, 33));
        let access = |owner, name| Operation::FileAccess { path: path(name), wanted: 2, mode: 0o600, owner };
        let chown = Operation::Chown { path: path("/a"), from: (0, 0), to: (Some(33), None), member: false };
        let lower = lower_of(vec![
            user.clone(),
            check(Operation::SetGroups),
            check(Operation::BindPort { port: 80, unprivileged: 1024 }),
            check(chown),
            check(access((33, 33), "/own")),
            check(access((5, 5), "/others")),
        ])
        .unwrap();
        assert_eq!(lower.user, 33);
        assert_eq!(lower.capabilities, BTreeSet::from([Capability::NetBindService]));
        assert_eq!(lower.obstacles.len(), 1);
        assert!(lower.obstacles.iter().all(|text| text.contains("/others")));
        let another = Fact::Identity(IdentityFact::User(7, 7, 7));
        assert_eq!(lower_of(vec![user, another]), None, "which of them?");
        assert_eq!(lower_of(vec![Fact::Identity(IdentityFact::User(0, 33, 0))]), None, "not for good");
    }
}
