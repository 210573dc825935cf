//! A profile from needs: what was seen, and what options add to it or take away, each with its reason.

use std::collections::BTreeSet;

use super::Seccomp;
use super::grammar::{Action, Architecture, Rule};
use super::options::Options;
use super::sets::{self, NamedSet};
use super::target::{self, TargetError};
use crate::abi::Syscall;
use crate::fact::{Gap, GapKind};
use crate::infer::Needs;

/// A profile with what is to be said of it.
#[derive(Clone, Debug)]
pub struct Derived {
    /// The profile.
    pub profile: Seccomp,
    /// What each of its rules is for, in their order.
    pub purposes: Vec<String>,
    /// The sets that were added, with those of their calls that were not seen; none is empty.
    pub added: Vec<NamedSet>,
}

impl Derived {
    /// The profile for these needs.
    #[must_use]
    pub fn new(needs: &Needs<'_>, options: &Options) -> Self {
        let (seen, gaps) = seen(needs);
        let mut added = sets::runtimes(options);
        for set in &mut added {
            set.calls.retain(|call| !seen.contains(call));
        }
        added.retain(|set| !set.calls.is_empty());
        let names = added.iter().map(|set| set.name.as_str()).collect::<Vec<_>>().join(", ");
        let calls = added.iter().flat_map(|set| &set.calls).cloned().collect();
        let mut rules = Rules::default();
        rules.allow("calls that were seen".to_owned(), seen);
        rules.allow(format!("calls that were not seen, of {names}"), calls);
        let profile = Seccomp {
            default_action: options.refusal.action(),
            architectures: needs.syscalls.keys().copied().map(Architecture::Known).collect(),
            flags: BTreeSet::new(),
            listener: None,
            syscalls: rules.rules,
            gaps,
        };
        Self { profile, purposes: rules.purposes, added }
    }

    /// The same, if its reader keeps all of it.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn fitting(self, options: &Options) -> Result<Self, TargetError> {
        target::check(&self.profile, options.target)?;
        Ok(self)
    }
}

/// Rules with what each is for.
#[derive(Default)]
struct Rules {
    rules: Vec<Rule>,
    purposes: Vec<String>,
}

impl Rules {
    fn push(&mut self, purpose: String, rule: Rule) {
        if !rule.names.is_empty() {
            self.rules.push(rule);
            self.purposes.push(purpose);
        }
    }

    fn allow(&mut self, purpose: String, names: BTreeSet<Syscall>) {
        self.push(purpose, Rule { names, action: Action::Allow, conditions: Vec::new() });
    }
}

/// The calls that were made, under any ABI, and those that the format has no words for.
fn seen(needs: &Needs<'_>) -> (BTreeSet<Syscall>, BTreeSet<Gap>) {
    let mut names = BTreeSet::new();
    let mut gaps = BTreeSet::new();
    for (abi, calls) in &needs.syscalls {
        for &call in calls.keys() {
            if call.name().is_some() {
                names.insert(call.clone());
            } else {
                let detail = format!("the {abi} call {call} has no name that a profile could hold: it is refused");
                gaps.insert(Gap { kind: GapKind::UnnamedSyscall, detail });
            }
        }
    }
    (names, gaps)
}
