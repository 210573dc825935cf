//! Whether a policy covers what a record shows: of a seccomp profile the calls that would not have been made under it.

use std::collections::{BTreeMap, BTreeSet};

use crate::abi::{Abi, Syscall};
use crate::event::Outcome;
use crate::fact::{Arguments, Fact};
use crate::infer::outcome::is_needed;
use crate::path::AbsPath;
use crate::policy::seccomp::{Action, Seccomp};
use crate::policy::{Policy, Verdict};
use crate::record::{Moment, Outcomes, Record, RunId};

/// A call that a profile does not cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uncovered {
    /// The ABI of the call.
    pub abi: Abi,
    /// The call.
    pub call: Syscall,
    /// With which arguments; `None` when it is uncovered whatever they are, or when they were not recorded.
    pub arguments: Option<Arguments>,
    /// What may happen to it; nothing when its whole ABI is shut out.
    pub actions: BTreeSet<Action>,
    /// Who made it.
    pub by: BTreeSet<AbsPath>,
}

/// Every call of `record` that `profile` would not have let through, sorted. Where a rule compares an argument that was
/// not recorded, the call counts as uncovered.
#[must_use]
pub fn uncovered(profile: &Seccomp, record: &Record) -> Vec<Uncovered> {
    let mut found = BTreeMap::<(Abi, Syscall, Option<Arguments>), BTreeSet<AbsPath>>::new();
    let facts: Vec<_> = record.facts().map(|(subject, fact, _)| (subject, fact)).collect();
    // Calls whose arguments are judged one by one.
    let told: BTreeSet<_> = facts
        .iter()
        .filter_map(|(subject, fact)| match fact {
            Fact::Arguments(abi, call, _) => Some((*subject, *abi, call)),
            _ => None,
        })
        .collect();
    for (subject, fact) in &facts {
        let (abi, call, arguments) = match fact {
            Fact::Syscall(abi, call) => (*abi, call, None),
            Fact::Arguments(abi, call, arguments) => (*abi, call, Some(arguments.clone())),
            _ => continue,
        };
        let whole = profile.permits(&Fact::Syscall(abi, call.clone()));
        let uncovered = match arguments {
            None => whole == Verdict::Denied || whole == Verdict::Unknown && !told.contains(&(*subject, abi, call)),
            Some(_) => whole == Verdict::Unknown && profile.permits(fact) != Verdict::Allowed,
        };
        if uncovered {
            found.entry((abi, call.clone(), arguments)).or_default().insert((*subject).clone());
        }
    }
    let uncovered = found.into_iter().map(|((abi, call, arguments), by)| {
        let known = arguments.clone().unwrap_or(Arguments(Vec::new()));
        let actions = if profile.covers(abi) { profile.actions(abi, &call, &known) } else { BTreeSet::new() };
        Uncovered { abi, call, arguments, actions, by }
    });
    uncovered.collect()
}

/// The part of `record` that is needed and to which `policy` says `verdict`, as a record of its own.
#[must_use]
pub fn judged(policy: &dyn Policy, record: &Record, verdict: Verdict) -> Record {
    let mut part = Record { program: record.program.clone(), ..Record::default() };
    let moment = Moment { run: RunId::default(), at_ms: 0, by: None };
    for (subject, fact, outcomes) in record.facts() {
        let outcome = match outcomes.iter().next() {
            Some(class) if !outcomes.admitted() && class != Outcomes::UNFINISHED => Outcome::Failed(class.into()),
            _ => Outcome::Returned(0),
        };
        if is_needed(&fact, &outcomes) && policy.permits(&fact) == verdict {
            part.absorb(subject, fact, outcome, moment);
        }
    }
    part
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::record::{Moment, RunId};

    fn record(facts: &[Fact]) -> Record {
        let mut record = Record::default();
        let moment = Moment { run: RunId(1), at_ms: 0, by: None };
        for fact in facts {
            record.absorb(&AbsPath::new(b"/bin/a".as_slice()).unwrap(), fact.clone(), Outcome::Returned(0), moment);
        }
        record
    }

    fn call(name: &str) -> Fact {
        Fact::Syscall(Abi::X86_64, Syscall::Named(name.into()))
    }

    fn with(name: &str, arguments: &[(u8, u64)]) -> Fact {
        Fact::Arguments(Abi::X86_64, Syscall::Named(name.into()), Arguments(arguments.to_vec()))
    }

    #[test]
    fn calls_are_judged_with_their_arguments() {
        let profile = Seccomp::parse(
            r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [
            {"names": ["read"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["socket", "personality"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "op": "SCMP_CMP_EQ", "value": 1}]}]}"#,
        )
        .unwrap();
        let shown = |facts: &[Fact]| {
            let shown = |found: &Uncovered| (found.call.to_string(), found.arguments.clone().map(|values| values.0));
            uncovered(&profile, &record(facts)).iter().map(shown).collect::<Vec<_>>()
        };
        assert_eq!(shown(&[call("read"), call("socket"), with("socket", &[(0, 1)])]), []);
        let two = with("socket", &[(0, 2)]);
        assert_eq!(shown(&[call("socket"), with("socket", &[(0, 1)]), two]), [("socket".into(), Some(vec![(0, 2)]))]);
        assert_eq!(shown(&[call("personality")]), [("personality".into(), None)], "its argument is not known");
        assert_eq!(shown(&[call("write"), with("write", &[(0, 2)])]), [("write".into(), None)], "told once");
        let other = Fact::Syscall(Abi::I386, Syscall::Named("read".into()));
        assert_eq!(uncovered(&profile, &record(&[other]))[0].actions, BTreeSet::new());
    }
}
