//! What a profile allows, kept within another one.

use std::collections::BTreeSet;

use super::Seccomp;
use super::grammar::{Condition, Test};
use crate::abi::{Abi, Syscall};
use crate::fact::Arguments;

/// With which arguments a call is allowed: any of these lists of conditions; an empty list is for all arguments.
pub(super) type Chains = Vec<Vec<Condition>>;

/// What is left of `chains` for `call`, and whether that is less.
///
/// A list of conditions stays when `limit` lets through all that it does. Where `limit` is the narrower one its conditions
/// take the place, and what fits neither way is gone.
pub(super) fn kept(limit: &Seccomp, abis: &BTreeSet<Abi>, call: &Syscall, chains: &Chains) -> (Chains, bool) {
    let nothing = Arguments(Vec::new());
    let admits = |abi: &Abi| limit.actions(*abi, call, &nothing).iter().all(|action| action.admits() == Some(true));
    // A profile without architectures is for the machine's own.
    let own = abis.is_empty().then_some(Abi::native());
    let abis: BTreeSet<_> = abis.iter().copied().chain(own).collect();
    if !abis.iter().all(|abi| limit.covers(*abi)) {
        return (Vec::new(), true);
    }
    let whole = abis.iter().all(admits);
    if whole {
        return (chains.clone(), false);
    }
    let rules: Vec<_> = limit.syscalls.iter().filter(|rule| rule.names.contains(call)).collect();
    let refused = limit.default_action.admits() == Some(false);
    if !refused || rules.iter().any(|rule| rule.action.admits() != Some(true)) {
        return (Vec::new(), true);
    }
    let limits: Vec<&[Condition]> = rules.iter().flat_map(|rule| rule.alternatives()).collect();
    let mut kept = BTreeSet::new();
    let mut less = false;
    for chain in chains {
        if limits.iter().any(|limit| implies(chain, limit)) {
            kept.insert(chain.clone());
            continue;
        }
        less = true;
        kept.extend(limits.iter().filter(|limit| implies(limit, chain)).map(|limit| limit.to_vec()));
    }
    (kept.into_iter().collect(), less)
}

/// Whether everything that fulfils `one` fulfils `other`.
fn implies(one: &[Condition], other: &[Condition]) -> bool {
    other.iter().all(|wanted| one.iter().any(|given| given.index == wanted.index && entails(given.test, wanted.test)))
}

fn entails(given: Test, wanted: Test) -> bool {
    let (Some(mask), (_, operand, two)) = (given.bits(), given.parts()) else { return given == wanted };
    let value = two.unwrap_or(operand) & mask;
    match wanted {
        Test::Equal(wanted) => mask == u64::MAX && value == wanted,
        Test::MaskedEqual { mask: bits, value: wanted } => bits & !mask == 0 && value & bits == wanted & bits,
        Test::NotEqual(wanted) => value != wanted & mask,
        other => mask == u64::MAX && other.holds(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(rules: &str) -> Seccomp {
        let text = format!(
            "{{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"architectures\": [\"SCMP_ARCH_X86_64\"], \"syscalls\": [{rules}]}}"
        );
        Seccomp::parse(&text).unwrap()
    }

    fn rule(args: &str) -> String {
        format!("{{\"names\": [\"socket\"], \"action\": \"SCMP_ACT_ALLOW\", \"args\": [{args}]}}")
    }

    fn kept_of(limit: &str, chains: &[Vec<Condition>]) -> (Chains, bool) {
        kept(&profile(limit), &[Abi::X86_64].into(), &"socket".parse().unwrap(), &chains.to_vec())
    }

    #[test]
    fn without_an_abi_the_machines_own_counts() {
        let call = "socket".parse().unwrap();
        let kept = |limit: &Seccomp| kept(limit, &BTreeSet::new(), &call, &vec![Vec::new()]);
        assert_eq!(kept(&profile("")), (Vec::new(), true));
        let mut other = profile(&rule(""));
        assert_eq!(kept(&other), (vec![Vec::new()], false));
        other.architectures = [crate::policy::seccomp::Architecture::Known(Abi::I386)].into();
        assert_eq!(kept(&other), (Vec::new(), true));
    }

    #[test]
    fn nothing_beyond_the_limit_is_kept() {
        let any = vec![Vec::new()];
        let unix = vec![Condition::int(0, 1)];
        let inet = vec![Condition::int(0, 2)];
        let masked = r#"{"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 4294967295, "valueTwo": 1}"#;
        let not = r#"{"index": 0, "op": "SCMP_CMP_NE", "value": 40}"#;
        let exact = r#"{"index": 0, "op": "SCMP_CMP_EQ", "value": 1}"#;
        assert_eq!(kept_of("", &any), (Vec::new(), true));
        assert_eq!(kept_of(&rule(""), &any), (any.clone(), false));
        assert_eq!(kept_of(&rule(masked), &any), (vec![unix.clone()], true));
        assert_eq!(kept_of(&rule(masked), &[unix.clone(), inet.clone()]), (vec![unix.clone()], true));
        assert_eq!(kept_of(&rule(not), &[unix.clone(), inet.clone()]), (vec![unix.clone(), inet], false));
        let narrow = vec![Condition { index: 0, test: Test::Equal(1) }];
        assert_eq!(kept_of(&rule(exact), &[unix]), (vec![narrow], true), "its upper half must be zero");
        let killed = rule(masked).replace("ALLOW", "KILL");
        assert_eq!(kept_of(&killed, &any), (Vec::new(), true));
        let wide = vec![Condition::bits(0, 0xf0, 0x10)];
        assert_eq!(kept_of(&rule(masked), &[wide]), (Vec::new(), true));
    }
}
