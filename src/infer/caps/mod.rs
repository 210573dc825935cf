//! Which capabilities a workload needs, judged from the operands of the calls that may hang on one.
//!
//! Needed means: without it the call would have ended differently. The rules are the kernel's own, each with its
//! source; a plain permission that grants the call anyway needs none, and neither does a question that the kernel asks
//! without acting on the answer. Capabilities: `capabilities(7)`.
#![doc = include_str!("../capabilities.md")]

mod describe;
mod question;

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use self::question::{Question, question};
use super::{Because, Cause, Subjects};
use crate::fact::{Capability, Check, Operation};
use crate::record::{Outcomes, Record};

/// How sure it is that a capability is needed, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Asked for without having it, and refused.
    Denied,
    /// Granted by the kernel's own word, for which no rule here has a reason.
    Asked,
    /// Held where it may matter, but whether it did cannot be told.
    Likely,
    /// Held, and without it the call would have been refused.
    Needed,
}

impl Standing {
    /// Whether profiles grant it.
    #[must_use]
    pub const fn granted(self) -> bool {
        matches!(self, Self::Likely | Self::Needed)
    }

    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Asked => "asked",
            Self::Likely => "likely",
            Self::Needed => "needed",
        }
    }
}

/// A capability that is needed, or was asked for in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapabilityNeed<'r> {
    /// Which one.
    pub capability: Capability,
    /// The strongest standing of its reasons.
    pub standing: Standing,
    /// The calls that ask for it, strongest first.
    pub reasons: Vec<Reason<'r>>,
}

/// One call that asks for a capability.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason<'r> {
    /// How sure it is.
    pub standing: Standing,
    /// Why it is no surer, when it is likely.
    pub doubt: Option<String>,
    /// The call and its operands.
    pub check: &'r Check,
    /// Who made it.
    pub because: Because<'r>,
}

/// The judgement of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// The narrowest capability that decided it, or would have.
    pub capability: Capability,
    /// How sure that is.
    pub standing: Standing,
    /// Why it is no surer, when it is likely.
    pub doubt: Option<String>,
}

/// Every capability that `record` gives a reason for.
#[must_use]
pub fn needs(record: &Record) -> Vec<CapabilityNeed<'_>> {
    of_subjects(&record.subjects.iter().collect::<Vec<_>>())
}

/// The same of some executables alone.
pub(super) fn of_subjects<'r>(subjects: &Subjects<'r>) -> Vec<CapabilityNeed<'r>> {
    let mut found = BTreeMap::<(Capability, Standing, &Check, Option<String>), Because<'_>>::new();
    for &(subject, seen_of) in subjects {
        for (check, usage) in &seen_of.checks {
            if let Some(Judgement { capability, standing, doubt }) = judge(check, &usage.outcomes) {
                let because = found.entry((capability, standing, check, doubt)).or_default();
                because.push(Cause { subject, seen: &usage.seen });
            }
        }
    }
    let overrides =
        found.keys().any(|(capability, standing, ..)| *capability == Capability::DacOverride && standing.granted());
    let mut needs = BTreeMap::<Capability, Vec<Reason<'_>>>::new();
    for ((capability, standing, check, doubt), because) in found {
        // Where DAC_OVERRIDE is needed anyway, it may grant what DAC_READ_SEARCH would.
        let either = sufficient(check).contains(&Capability::DacOverride);
        let covered = overrides && either && capability == Capability::DacReadSearch;
        let capability = if covered { Capability::DacOverride } else { capability };
        needs.entry(capability).or_default().push(Reason { standing, doubt, check, because });
    }
    needs.into_iter().filter_map(|(capability, reasons)| CapabilityNeed::of(capability, reasons)).collect()
}

impl<'r> CapabilityNeed<'r> {
    /// Who asked for it by the strongest of its reasons.
    #[must_use]
    pub fn because(&self) -> Because<'r> {
        let strongest = self.reasons.iter().filter(|reason| reason.standing == self.standing);
        strongest.flat_map(|reason| reason.because.iter().copied()).collect()
    }

    fn of(capability: Capability, mut reasons: Vec<Reason<'r>>) -> Option<Self> {
        reasons.sort_by(|one, other| other.standing.cmp(&one.standing).then_with(|| one.check.cmp(other.check)));
        let standing = reasons.first()?.standing;
        Some(Self { capability, standing, reasons })
    }
}

/// The capabilities that the kernel asks for without acting on the answer ([`Operation::Idle`]). Who does not have one is
/// refused before any security module hears of it.
pub(super) fn idle(subjects: &Subjects<'_>) -> BTreeSet<Capability> {
    let checks = subjects.iter().flat_map(|(_, subject)| subject.checks.keys());
    checks.filter_map(idle_question).collect()
}

/// The capability that `check` is about when the answer changes nothing.
#[must_use]
pub fn idle_question(check: &Check) -> Option<Capability> {
    match check.operation {
        Operation::Idle { capability, .. } if check.effective.contains(capability) => Some(capability),
        _ => None,
    }
}

/// Judges one call. `None` when plain permissions grant it, or when its outcome says nothing about capabilities.
#[must_use]
pub fn judge(check: &Check, outcomes: &Outcomes) -> Option<Judgement> {
    if let Operation::Observed { capability, .. } = check.operation {
        let standing = if outcomes.admitted() { Standing::Asked } else { Standing::Denied };
        return Some(Judgement { capability, standing, doubt: None });
    }
    let Question { any_of, doubt, answered } = question(check)?;
    let refused = |class: u16| matches!(i32::from(class), libc::EPERM | libc::EACCES);
    let held = any_of.iter().copied().find(|&capability| check.effective.contains(capability));
    let Some(capability) = held else {
        let denied = if answered { outcomes.iter().any(refused) } else { outcomes.admitted() };
        let capability = *any_of.first()?;
        return denied.then_some(Judgement { capability, standing: Standing::Denied, doubt: None });
    };
    let only = |errno: i32| outcomes.iter().all(|class| i32::from(class) == errno);
    let call = check.call.name().unwrap_or_default();
    let lacks_data = call.ends_with("getxattr") && only(libc::ENODATA);
    let by_permission = matches!(check.operation, Operation::FileAccess { .. });
    // Without it the program cannot be executed either; and who may not see an attribute is told that there is none.
    if call.starts_with("execve") && only(libc::ENOENT) || lacks_data && !by_permission {
        return None;
    }
    let (standing, doubt) = if lacks_data {
        // xattr_permission(), fs/xattr.c, comes first.
        (Standing::Needed, None)
    } else if outcomes.iter().all(refused) {
        // Held and yet refused: something else stands in the way.
        (Standing::Denied, None)
    } else if !outcomes.admitted() {
        (Standing::Likely, outcomes.iter().find(|&class| !refused(class)).map(undecided))
    } else {
        doubt.map_or((Standing::Needed, None), |doubt| (Standing::Likely, Some(doubt.to_owned())))
    };
    Some(Judgement { capability, standing, doubt })
}

/// Why an outcome that is neither success nor refusal leaves the matter open.
fn undecided(class: u16) -> String {
    if class == Outcomes::UNFINISHED {
        return "how it ended was not seen".to_owned();
    }
    let errno = Errno::from_raw(i32::from(class));
    format!("it failed with {errno:?}, which the kernel may find before it asks")
}

/// The capabilities of which any one makes the kernel grant `check`; empty when it grants it without.
#[must_use]
pub fn sufficient(check: &Check) -> &'static [Capability] {
    question(check).map_or(&[], |question| question.any_of)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Syscall;
    use crate::fact::CapabilitySet;
    use crate::path::AbsPath;

    const ALL: CapabilitySet = CapabilitySet((1 << 41) - 1);
    const OK: u16 = 0;

    fn check(operation: Operation, id: u32, effective: CapabilitySet) -> Check {
        Check { call: Syscall::Named("call".into()), operation, ids: (id, id), effective }
    }

    fn only(capability: Capability) -> CapabilitySet {
        CapabilitySet(1 << capability as u8)
    }

    fn judged(operation: Operation, effective: CapabilitySet, class: i32) -> Option<(Capability, Standing)> {
        let class = u16::try_from(class).unwrap();
        let judgement = judge(&check(operation, 0, effective), &Outcomes::only(class))?;
        Some((judgement.capability, judgement.standing))
    }

    fn access(wanted: u8, mode: u32) -> Operation {
        let path = AbsPath::new(b"/x").unwrap();
        Operation::FileAccess { path, wanted, mode, owner: (33, 33) }
    }

    #[test]
    fn the_table_has_every_capability() {
        let rows = include_str!("../capabilities.md").lines().filter_map(|line| line.strip_prefix("| `"));
        let names: Vec<_> = rows.filter_map(|row| row.split('`').next()).collect();
        let known: Vec<_> = Capability::ALL.iter().map(|capability| capability.name()).collect();
        assert_eq!(names, known);
    }

    #[test]
    fn ports() {
        let bind = |port| Operation::BindPort { port, unprivileged: 1024 };
        let needed = Some((Capability::NetBindService, Standing::Needed));
        assert_eq!(judged(bind(80), ALL, 0), needed);
        assert_eq!(judged(bind(1024), ALL, 0), None);
        assert_eq!(judged(bind(0), ALL, 0), None);
        let likely = Some((Capability::NetBindService, Standing::Likely));
        assert_eq!(judged(bind(80), ALL, libc::EADDRINUSE), likely);
        let denied = Some((Capability::NetBindService, Standing::Denied));
        assert_eq!(judged(bind(80), CapabilitySet(0), libc::EACCES), denied);
        assert_eq!(judged(bind(80), CapabilitySet(0), libc::EADDRINUSE), None);
    }

    #[test]
    fn file_access_takes_the_narrowest_that_was_held() {
        let (dir, file) = (libc::S_IFDIR | 0o700, libc::S_IFREG | 0o600);
        let by = |wanted, mode, held| judged(access(wanted, mode), held, 0).map(|(capability, _)| capability);
        assert_eq!(by(1, dir, ALL), Some(Capability::DacReadSearch));
        assert_eq!(by(4, file, ALL), Some(Capability::DacReadSearch));
        assert_eq!(by(4, file, only(Capability::DacOverride)), Some(Capability::DacOverride));
        assert_eq!(by(3, dir, ALL), Some(Capability::DacOverride));
        assert_eq!(by(6, file, ALL), Some(Capability::DacOverride));
        assert_eq!(by(1, file, ALL), None, "nobody may execute it");
        assert_eq!(by(1, file | 0o100, ALL), Some(Capability::DacOverride));
    }

    #[test]
    fn some_failures_tell_what_a_refusal_would_have_changed() {
        let judged = |name: &str, operation, errno| {
            let check = Check { call: Syscall::Named(name.into()), operation, ids: (0, 0), effective: ALL };
            judge(&check, &Outcomes::only(u16::try_from(errno).unwrap())).map(|judgement| judgement.standing)
        };
        let trusted = || Operation::Privileged { capability: Capability::SysAdmin, what: "it".into() };
        assert_eq!(judged("lgetxattr", trusted(), libc::ENODATA), None);
        assert_eq!(judged("setxattr", trusted(), libc::ENODATA), Some(Standing::Likely));
        assert_eq!(judged("getxattr", access(4, libc::S_IFREG), libc::ENODATA), Some(Standing::Needed));
        assert_eq!(judged("execve", access(1, libc::S_IFDIR), libc::ENOENT), None);
        assert_eq!(judged("openat", access(1, libc::S_IFDIR), libc::ENOENT), Some(Standing::Likely));
    }

    #[test]
    fn changing_owners_and_ids() {
        let path = AbsPath::new(b"/x").unwrap();
        let chown = |from, to, member| Operation::Chown { path: path.clone(), from, to, member };
        for (operation, needed) in [
            (chown((0, 0), (Some(0), Some(0)), false), false),
            (chown((0, 0), (None, None), false), false),
            (chown((33, 0), (None, None), false), false),
            (chown((0, 0), (None, Some(33)), true), false),
            (chown((0, 0), (None, Some(33)), false), true),
            (chown((0, 0), (Some(33), None), true), true),
            (chown((33, 33), (Some(33), None), true), true),
            (Operation::SetUserIds { to: [Some(33), Some(33), Some(33), None], from: [0; 4] }, true),
            (Operation::SetUserIds { to: [None, Some(33), None, None], from: [33, 0, 0, 0] }, false),
            (Operation::SetUserIds { to: [None, None, None, Some(7)], from: [0, 0, 0, 7] }, false),
            (Operation::SetUserIds { to: [Some(7), None, None, None], from: [0, 0, 0, 7] }, true),
            (Operation::SetGroupIds { to: [Some(0); 4], from: [0; 4] }, false),
            (Operation::Kill { sender: (0, 0), receiver: (33, 33) }, true),
            (Operation::Kill { sender: (33, 0), receiver: (33, 33) }, false),
            (Operation::RaiseLimit { resource: 7, from: 9, to: 9 }, false),
            (Operation::Schedule { what: "nice 5".into(), within_limit: true }, false),
        ] {
            let standing = judged(operation.clone(), ALL, 0).map(|(_, standing)| standing);
            assert_eq!(standing == Some(Standing::Needed), needed, "{operation:?}");
        }
    }

    #[test]
    fn the_form_of_the_call_counts() {
        let judged = |name: &str, to, from| {
            let operation = Operation::SetUserIds { to, from };
            let check = Check { call: Syscall::Named(name.into()), operation, ids: (0, 0), effective: ALL };
            judge(&check, &Outcomes::only(OK)).map(|judgement| judgement.standing)
        };
        assert_eq!(judged("setuid", [Some(33); 4], [0; 4]), Some(Standing::Needed));
        assert_eq!(judged("setuid32", [Some(33); 4], [33, 0, 0, 0]), Some(Standing::Likely));
        assert_eq!(judged("setuid", [Some(33); 4], [33, 0, 33, 0]), None);
        assert_eq!(judged("setreuid", [Some(33), None, None, None], [0, 0, 33, 0]), Some(Standing::Needed));
        assert_eq!(judged("setresuid", [Some(33), None, None, None], [0, 0, 33, 0]), None);
    }

    #[test]
    fn a_dropped_group_bit_is_only_likely() {
        let path = AbsPath::new(b"/x").unwrap();
        let bits = |mode, member| Operation::SetIdBits { path: path.clone(), mode, group: (5, member) };
        assert_eq!(judged(bits(0o2755, false), ALL, 0), Some((Capability::Fsetid, Standing::Likely)));
        assert_eq!(judged(bits(0o2755, true), ALL, 0), None);
        assert_eq!(judged(bits(0o4755, false), ALL, 0), None);
    }

    #[test]
    fn every_privileged_call_names_its_own() {
        for &capability in Capability::ALL {
            let operation = Operation::Privileged { capability, what: "it".into() };
            assert_eq!(judged(operation.clone(), ALL, 0), Some((capability, Standing::Needed)));
            assert_eq!(judged(operation, ALL, libc::EPERM), Some((capability, Standing::Denied)));
        }
    }

    #[test]
    fn override_covers_read_search() {
        let mut record = Record::default();
        let nginx = AbsPath::new(b"/usr/sbin/nginx").unwrap();
        let moment = crate::record::Moment { run: crate::record::RunId(1), at_ms: 1, by: None };
        let absorb = |record: &mut Record, operation| {
            let fact = crate::fact::Fact::Check(check(operation, 0, ALL));
            record.absorb(&nginx, fact, crate::event::Outcome::Returned(i64::from(OK)), moment);
        };
        absorb(&mut record, access(1, libc::S_IFDIR));
        absorb(&mut record, access(2, libc::S_IFDIR));
        let found = |record: &Record| {
            needs(record).iter().map(|need| (need.capability, need.reasons.len())).collect::<Vec<_>>()
        };
        assert_eq!(found(&record), [(Capability::DacOverride, 2)]);

        // open_by_handle_at(2) wants DAC_READ_SEARCH itself.
        let capability = Capability::DacReadSearch;
        absorb(&mut record, Operation::Privileged { capability, what: "open_by_handle_at".into() });
        assert_eq!(found(&record), [(Capability::DacOverride, 2), (capability, 1)]);
    }
}
