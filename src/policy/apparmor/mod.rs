//! AppArmor profiles (`apparmor.d(5)`), as typed rules.
//!
//! One profile for the whole workload: programs that it executes run under the same profile (`ix`); or, when that is
//! asked for, one for each program. Every rule is for one observed thing; [`RECEIVED`] lists the one exception. There is
//! no rule for resource limits: `set rlimit` would not permit a change, it would make one when the profile attaches.

mod files;
mod glob;
mod mounts;
pub mod names;
mod options;
mod programs;
mod signals;
pub mod text;

use std::collections::BTreeSet;
use std::sync::Arc;

pub use files::{FileRule, Permissions, Transition};
pub use mounts::MountRule;
pub use options::{Abstractions, Container, Exec, Options, PolicyAbi};
pub use signals::{Peer, RECEIVED, SignalRule, TraceRule};

use super::{Policy, Verdict, caps};
use crate::fact::{Capability, Fact, Gap, GapKind, NetworkFact};
use crate::infer::caps::sufficient;
use crate::infer::{CapabilityNeed, Needs};
use crate::path::AbsPath;
use programs::{Programs, Under};

/// A profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppArmor {
    /// The program that it is for: the file that is executed, of a script the script.
    pub program: Option<AbsPath>,
    /// File rules, sorted by pattern and kind, one each.
    pub files: Vec<FileRule>,
    /// Family and type of sockets.
    pub network: BTreeSet<(&'static str, &'static str)>,
    /// Capabilities.
    pub capabilities: BTreeSet<Capability>,
    /// Signals.
    pub signals: BTreeSet<SignalRule>,
    /// Tracing.
    pub traces: BTreeSet<TraceRule>,
    /// Changes of the mount table.
    pub mounts: BTreeSet<MountRule>,
    /// The profiles of the programs that it executes, by name; none when they run under this one.
    pub programs: Vec<(Arc<str>, AppArmor)>,
    /// How they belong to it.
    pub exec: Exec,
    gaps: BTreeSet<Gap>,
}

impl AppArmor {
    /// Allows what was observed.
    #[must_use]
    pub fn new(needs: &Needs<'_>, options: &Options) -> Self {
        let programs = Programs::new(needs);
        let mut gaps = BTreeSet::new();
        let mut this = if programs.single() {
            if !needs.shares.is_empty() {
                let detail = "which program was started is not known: all of them share one profile".to_owned();
                gaps.insert(Gap { kind: GapKind::Inexpressible, detail });
            }
            let mut profile = Self::of(needs, &mut gaps);
            profile.files.iter_mut().for_each(|rule| rule.settle(Transition::Inherit));
            profile
        } else {
            Self::divided(&programs, &mut gaps)
        };
        this.exec = if programs.single() { Exec::Inherit } else { options.exec };
        this.program = needs.origin.program.cloned();
        this.deal(&programs, needs, &mut gaps);
        this.gaps = gaps;
        this
    }

    /// The rules for `needs` that hang on nobody else.
    fn of(needs: &Needs<'_>, gaps: &mut BTreeSet<Gap>) -> Self {
        Self {
            files: files::rules(needs),
            network: expressible(needs.network.keys(), gaps, |fact| network(fact)),
            capabilities: capabilities(needs),
            mounts: expressible(needs.mounts.keys(), gaps, |fact| mounts::rule(fact)),
            ..Self::default()
        }
    }

    /// A profile for each program, with the transitions between them.
    fn divided(programs: &Programs<'_, '_>, gaps: &mut BTreeSet<Gap>) -> Self {
        let mut main = None;
        let mut others = Vec::new();
        for (under, share) in programs.shares() {
            let mut profile = Self::of(&share.needs, gaps);
            profile.program = share.programs.first().map(|program| (*program).clone());
            for rule in &mut profile.files {
                let targets = share.needs.executions.keys().filter(|execution| rule.pattern.matches(&execution.file));
                let targets: BTreeSet<_> = targets.filter_map(|execution| programs.under(&execution.program)).collect();
                rule.settle(match Vec::from_iter(targets).as_slice() {
                    [target] if target == under => Transition::Inherit,
                    [Under::Main] => Transition::Main,
                    [Under::Program(name)] => Transition::Program(Arc::clone(name)),
                    _ => Transition::Inherit,
                });
            }
            match under {
                Under::Main => main = Some(profile),
                Under::Program(name) => others.push((Arc::clone(name), profile)),
            }
        }
        Self { programs: others, ..main.unwrap_or_default() }
    }

    /// Adds what profiles allow each other.
    fn deal<'n, 'r>(&mut self, programs: &Programs<'n, 'r>, needs: &'n Needs<'r>, gaps: &mut BTreeSet<Gap>) {
        let _ = expressible(needs.signals.keys(), gaps, |fact| {
            names::signal(fact.signal).ok_or_else(|| format!("signal {}", fact.signal))
        });
        let whole = std::iter::once((&Under::Main, needs)).filter(|_| programs.single());
        let all: Vec<_> = programs.shares().map(|(under, share)| (under, &share.needs)).chain(whole).collect();
        let sent = all.iter().flat_map(|(from, needs)| needs.signals.keys().map(move |fact| (*from, *fact)));
        let traced = all.iter().flat_map(|(from, needs)| needs.traces.keys().map(move |fact| (*from, *fact)));
        let mut signals = signals::signals(programs, sent);
        let mut tracing = signals::traces(programs, traced);
        self.signals = signals.remove(&Under::Main).unwrap_or_default();
        self.traces = tracing.remove(&Under::Main).unwrap_or_default();
        for (name, profile) in &mut self.programs {
            let under = Under::Program(Arc::clone(name));
            profile.signals = signals.remove(&under).unwrap_or_default();
            profile.traces = tracing.remove(&under).unwrap_or_default();
        }
    }

    /// What this one profile says.
    fn allows(&self, fact: &Fact) -> Verdict {
        match fact {
            Fact::File(fact) => match Permissions::for_access(fact.access) {
                asked if asked.is_empty() => Verdict::NotGoverned,
                asked => {
                    let granted = self.granted(&fact.path, fact.directory, fact.owner);
                    Verdict::allowed_if(granted.allow(asked))
                }
            },
            // An execution does not tell who owns the file; the file fact that comes with it does, and is judged by that.
            Fact::Execution(fact) => {
                Verdict::allowed_if(self.granted(&fact.file, false, true).contains(Permissions::EXECUTE))
            }
            Fact::Network(fact) => Verdict::allowed_if(network(fact).is_ok_and(|rule| self.network.contains(&rule))),
            Fact::Check(_) => caps::permits(&self.capabilities, fact),
            Fact::Signal(fact) => Verdict::allowed_if(self.signals.iter().any(|rule| rule.permits(fact))),
            Fact::Trace(fact) => Verdict::allowed_if(self.traces.iter().any(|rule| rule.permits(fact))),
            Fact::Mount(fact) => Verdict::allowed_if(mounts::rule(fact).is_ok_and(|rule| self.mounts.contains(&rule))),
            Fact::Syscall(..) | Fact::Arguments(..) | Fact::Namespace(_) | Fact::Identity(_) | Fact::Limit(_) => {
                Verdict::NotGoverned
            }
        }
    }

    /// Everything that is granted for `path`, to its owner or to anybody.
    fn granted(&self, path: &AbsPath, directory: bool, owner: bool) -> Permissions {
        files::granted(&self.files, path, directory, owner)
    }
}

impl Policy for AppArmor {
    /// A fact does not tell which program it is of: it is allowed when the profile of any program allows it.
    fn permits(&self, fact: &Fact) -> Verdict {
        let profiles = std::iter::once(self).chain(self.programs.iter().map(|(_, profile)| profile));
        let mut verdicts = profiles.map(|profile| profile.allows(fact));
        let first = verdicts.next().unwrap_or(Verdict::Denied);
        if first == Verdict::Denied {
            verdicts.find(|verdict| *verdict == Verdict::Allowed).unwrap_or(first)
        } else {
            first
        }
    }

    fn gaps(&self) -> &BTreeSet<Gap> {
        &self.gaps
    }
}

/// The needed ones, and those that the kernel asks for first: it tries `CAP_DAC_READ_SEARCH` for what that would
/// grant before `CAP_DAC_OVERRIDE` (`fs/namei.c`, `generic_permission()`), and logs each refusal.
fn capabilities(needs: &Needs<'_>) -> BTreeSet<Capability> {
    let first = |need: &CapabilityNeed<'_>| {
        let mut checks = need.reasons.iter().map(|reason| sufficient(reason.check));
        let asked = need.capability == Capability::DacOverride
            && checks.any(|any_of| any_of.contains(&Capability::DacReadSearch));
        asked.then_some(Capability::DacReadSearch)
    };
    caps::granted(&needs.capabilities).flat_map(|need| [Some(need.capability), first(need)]).flatten().collect()
}

/// The rules of the facts that have one; the others become gaps.
fn expressible<'f, F: 'f, R: Ord>(
    facts: impl Iterator<Item = F>,
    gaps: &mut BTreeSet<Gap>,
    rule: impl Fn(F) -> Result<R, String>,
) -> BTreeSet<R> {
    let mut rules = BTreeSet::new();
    for fact in facts {
        match rule(fact) {
            Ok(rule) => drop(rules.insert(rule)),
            Err(reason) => {
                let detail = format!("AppArmor has no words for {reason}: it is refused");
                gaps.insert(Gap { kind: GapKind::Inexpressible, detail });
            }
        }
    }
    rules
}

fn network(fact: &NetworkFact) -> Result<(&'static str, &'static str), String> {
    let words = names::family(fact.family).zip(names::socket_type(fact.kind));
    words.ok_or_else(|| format!("sockets of family {} and type {}", fact.family, fact.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::infer;
    use crate::record::Record;

    #[test]
    fn an_empty_record_allows_to_be_stopped() {
        let policy = AppArmor::new(&infer(&Record::default(), &crate::infer::Options::default()), &Options::default());
        assert_eq!(policy.signals.iter().collect::<Vec<_>>(), [&RECEIVED]);
    }
}
