//! What a profile says to a call, as libseccomp compiles it for a runtime (`seccomp_rule_add(3)`, `src/db.c`).
//!
//! 1. Runtimes skip rules with the default action.
//! 2. The first rule of a call without conditions holds for all its arguments, whatever other rules say.
//! 3. Of a 32-bit ABI, x32 included, the lower halves of arguments and operands are compared (`arch->size`).
//! 4. libseccomp 2.5 joins some chains of one call to programs that deny what a chain allows ([`plain`] ones are safe): what comes of
//!    them is not told.
//! 5. Otherwise the rules whose conditions hold decide, and the default where none does. Which one wins when rules of
//!    different actions overlap is libseccomp's own business: the verdict is then unknown.

use std::collections::BTreeSet;

use super::grammar::{Action, Condition};
use super::{Rule, Seccomp, multiplex};
use crate::abi::{Abi, Syscall};
use crate::fact::{Arguments, Fact, Gap};
use crate::policy::{Policy, Verdict};

impl Seccomp {
    /// Every action that `call` may meet under an ABI that is covered. `arguments` is what is known of its arguments.
    #[must_use]
    pub fn actions(&self, abi: Abi, call: &Syscall, arguments: &Arguments) -> BTreeSet<Action> {
        let rules: Vec<_> = self.rules_for(call).collect();
        if let Some(rule) = rules.iter().find(|rule| rule.conditions.is_empty()) {
            return [rule.action].into();
        }
        let chains = rules.iter().flat_map(|rule| rule.alternatives().into_iter().map(|chain| (chain, rule.action)));
        let chains: Vec<_> = chains.collect();
        let tangled = !plain(&chains);
        let mut actions = BTreeSet::new();
        let mut certain = false;
        for (chain, action) in chains {
            let holds = if tangled { None } else { all(chain, abi, arguments) };
            certain |= holds == Some(true);
            if holds != Some(false) {
                actions.insert(action);
            }
        }
        for (number, inner) in multiplex::reached_by(abi, call) {
            for rule in self.rules_for(&Syscall::Named((*inner).into())) {
                // Its own conditions are on what stands in memory.
                let holds = all(&[Condition::int(0, *number)], abi, arguments);
                certain |= holds == Some(true) && rule.conditions.is_empty();
                if holds != Some(false) {
                    actions.insert(rule.action);
                }
            }
        }
        if !certain {
            actions.insert(self.default_action);
        }
        actions
    }

    fn rules_for<'s>(&'s self, call: &Syscall) -> impl Iterator<Item = &'s Rule> {
        self.syscalls.iter().filter(move |rule| rule.action != self.default_action && rule.names.contains(call))
    }
}

impl Policy for Seccomp {
    fn permits(&self, fact: &Fact) -> Verdict {
        let nothing = Arguments(Vec::new());
        let (abi, call, arguments) = match fact {
            Fact::Syscall(abi, call) => (*abi, call, &nothing),
            Fact::Arguments(abi, call, arguments) => (*abi, call, arguments),
            _ => return Verdict::NotGoverned,
        };
        if !self.covers(abi) {
            return Verdict::Denied;
        }
        let admits: BTreeSet<_> = self.actions(abi, call, arguments).into_iter().map(Action::admits).collect();
        match admits.iter().collect::<Vec<_>>()[..] {
            [Some(true)] => Verdict::Allowed,
            [Some(false)] => Verdict::Denied,
            _ => Verdict::Unknown,
        }
    }

    fn gaps(&self) -> &BTreeSet<Gap> {
        &self.gaps
    }
}

/// Whether libseccomp 2.5 surely joins these chains of one call to a program that does what each of them says: one alone,
/// several that compare the same bits for equality, or single comparisons of one argument within 32 bits for one action.
fn plain(chains: &[(&[Condition], Action)]) -> bool {
    let form = |chain: &[Condition]| chain.iter().map(|one| one.test.bits().map(|bits| (one.index, bits))).collect();
    let forms: BTreeSet<Option<Vec<_>>> = chains.iter().map(|(chain, _)| form(chain)).collect();
    let same_bits = forms.len() <= 1 && !forms.contains(&None);
    let of: BTreeSet<_> = chains.iter().map(|(chain, action)| (chain.first().map(|one| one.index), *action)).collect();
    let short = |chain: &[Condition]| matches!(chain, [one] if !one.test.is_wide());
    chains.len() <= 1 || same_bits || of.len() <= 1 && chains.iter().all(|(chain, _)| short(chain))
}

/// Whether all conditions hold; `None` when that hangs on what is not known.
fn all(conditions: &[Condition], abi: Abi, arguments: &Arguments) -> Option<bool> {
    conditions
        .iter()
        .try_fold(true, |sure, condition| match holds(condition, abi, arguments) {
            Some(false) => Err(()),
            Some(true) => Ok(sure),
            None => Ok(false),
        })
        .map_or(Some(false), |sure| sure.then_some(true))
}

/// Whether a condition holds. Known are the lower halves of arguments: a C library extends an `int` by zeros or by its
/// sign.
fn holds(condition: &Condition, abi: Abi, arguments: &Arguments) -> Option<bool> {
    let (_, value) = arguments.0.iter().find(|(index, _)| *index == condition.index)?;
    if matches!(abi, Abi::I386 | Abi::X32) {
        return Some(condition.test.low().holds(value & u64::from(u32::MAX)));
    }
    let zeros = condition.test.holds(*value);
    let sign = if value >> 31 == 1 { *value | !u64::from(u32::MAX) } else { *value };
    (zeros == condition.test.holds(sign)).then_some(zeros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(rules: &str, call: &str, arguments: &[(u8, u64)]) -> Verdict {
        let text = format!(
            "{{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"architectures\": [\"SCMP_ARCH_X86_64\"], \"syscalls\": [{rules}]}}"
        );
        let profile = Seccomp::parse(&text).unwrap();
        let call = Syscall::Named(call.into());
        profile.permits(&match arguments {
            [] => Fact::Syscall(Abi::X86_64, call),
            some => Fact::Arguments(Abi::X86_64, call, Arguments(some.to_vec())),
        })
    }

    fn rule(action: &str, args: &str) -> String {
        format!("{{\"names\": [\"socket\"], \"action\": \"SCMP_ACT_{action}\", \"args\": [{args}]}}")
    }

    fn int(index: u8, value: u64) -> String {
        format!("{{\"index\": {index}, \"op\": \"SCMP_CMP_MASKED_EQ\", \"value\": 4294967295, \"valueTwo\": {value}}}")
    }

    #[test]
    fn conditions_are_judged() {
        let unix = rule("ALLOW", &int(0, 1));
        assert_eq!(verdict(&unix, "socket", &[(0, 1), (1, 2)]), Verdict::Allowed);
        assert_eq!(verdict(&unix, "socket", &[(0, 2), (1, 2)]), Verdict::Denied);
        assert_eq!(verdict(&unix, "socket", &[]), Verdict::Unknown);
        assert_eq!(verdict(&unix, "read", &[]), Verdict::Denied);
        let both = rule("ALLOW", &format!("{}, {}", int(0, 1), int(1, 2)));
        assert_eq!(verdict(&both, "socket", &[(0, 1), (1, 2)]), Verdict::Allowed);
        assert_eq!(verdict(&both, "socket", &[(0, 1), (1, 3)]), Verdict::Denied);
        assert_eq!(verdict(&both, "socket", &[(0, 1)]), Verdict::Unknown);
        assert_eq!(verdict(&both, "socket", &[(1, 3)]), Verdict::Denied);
        let either = rule("ALLOW", &format!("{}, {}", int(0, 1), int(0, 2)));
        assert_eq!(verdict(&either, "socket", &[(0, 2)]), Verdict::Allowed);
        assert_eq!(verdict(&either, "socket", &[(0, 3)]), Verdict::Denied);
    }

    #[test]
    fn a_rule_without_conditions_wins() {
        let (some, all, not) = (rule("ALLOW", &int(0, 1)), rule("ALLOW", ""), rule("KILL", ""));
        assert_eq!(verdict(&format!("{some}, {all}"), "socket", &[(0, 2)]), Verdict::Allowed);
        assert_eq!(verdict(&format!("{some}, {not}"), "socket", &[(0, 1)]), Verdict::Denied);
        assert_eq!(verdict(&format!("{not}, {all}"), "socket", &[(0, 1)]), Verdict::Denied);
        // With the default action it is none.
        assert_eq!(verdict(&format!("{some}, {}", rule("ERRNO", "")), "socket", &[(0, 1)]), Verdict::Allowed);
    }

    #[test]
    fn what_cannot_be_told_is_unknown() {
        let overlap = format!("{}, {}", rule("ALLOW", &int(0, 1)), rule("KILL", &int(1, 1)));
        assert_eq!(verdict(&overlap, "socket", &[(0, 1), (1, 1)]), Verdict::Unknown);
        assert_eq!(verdict(&overlap, "socket", &[(0, 1), (1, 2)]), Verdict::Unknown, "not compiled as written");
        assert_eq!(verdict(&rule("NOTIFY", ""), "socket", &[]), Verdict::Unknown);
        assert_eq!(verdict(&rule("LOG", ""), "socket", &[]), Verdict::Allowed);
    }

    #[test]
    fn the_upper_half_is_not_known_of_negative_values() {
        let equal =
            |value: u64| rule("ALLOW", &format!("{{\"index\": 0, \"op\": \"SCMP_CMP_EQ\", \"value\": {value}}}"));
        assert_eq!(verdict(&equal(1), "socket", &[(0, 1)]), Verdict::Allowed);
        assert_eq!(verdict(&equal(0xffff_ffff), "socket", &[(0, 0xffff_ffff)]), Verdict::Unknown);
        assert_eq!(verdict(&rule("ALLOW", &int(0, 0xffff_ffff)), "socket", &[(0, 0xffff_ffff)]), Verdict::Allowed);
    }
}
