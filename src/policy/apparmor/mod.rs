//! AppArmor profiles (`apparmor.d(5)`), as typed rules.
//!
//! One profile for the whole workload: programs that it executes run under the same profile (`ix`); or, when that is
//! asked for, one for each program. Every rule is for one observed thing; [`RECEIVED`] lists the one exception. There is
//! no rule for resource limits: `set rlimit` would not permit a change, it would make one when the profile attaches. There
//! is none for `io_uring` either: no ABI before 5.0 governs it, and the parser would drop the rule.

pub mod abstractions;
pub mod denies;
mod files;
mod glob;
mod links;
mod mounts;
pub mod names;
mod options;
mod programs;
mod signals;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use files::{FileRule, Permissions, Transition};
pub use mounts::MountRule;
pub use options::{Abstractions, Container, Exec, Options, PolicyAbi};
pub use signals::{Peer, RECEIVED, SignalRule, TraceRule};

pub use abstractions::Included;
pub use denies::{DENIES, Deny};

use super::{Policy, Verdict, caps};
use crate::fact::{Access, Capability, Fact, Gap, GapKind, NamespaceFact, NamespaceKind, NetworkFact, QueueAccess};
use crate::infer::caps::{idle_question, sufficient};
use crate::infer::{CapabilityNeed, Needs, Pattern};
use crate::path::AbsPath;
use programs::{Programs, Under};

/// Family and type of sockets.
pub type NetworkRule = (&'static str, &'static str);

/// What may be done with message queues, by their names.
pub type QueueRules = BTreeMap<AbsPath, BTreeSet<QueueAccess>>;

/// A profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppArmor {
    /// The program that it is for: the file that is executed, of a script the script.
    pub program: Option<AbsPath>,
    /// File rules, sorted by pattern and kind, one each.
    pub files: Vec<FileRule>,
    /// Family and type of sockets.
    pub network: BTreeSet<NetworkRule>,
    /// Whether user namespaces may be made, where that is governed.
    pub user_namespaces: Option<bool>,
    /// POSIX message queues by name, with what may be done, where that is governed.
    pub queues: Option<QueueRules>,
    /// The abstractions that it includes; what they grant is in no other rule.
    pub includes: Vec<Included>,
    /// What it denies, whatever else it includes.
    pub denies: Vec<Deny>,
    /// Whether it is for a container.
    pub container: bool,
    /// Capabilities.
    pub capabilities: BTreeSet<Capability>,
    /// Those of them that the kernel asks for without acting on the answer: each refusal would be logged.
    pub idle: BTreeSet<Capability>,
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
            if needs.shares.len() > 1 {
                let detail = "which program was started is not known: all of them share one profile".to_owned();
                gaps.insert(Gap { kind: GapKind::Inexpressible, detail });
            }
            let mut profile = Self::of(needs, &mut gaps);
            profile.files.iter_mut().for_each(|rule| rule.settle(Transition::Inherit));
            profile
        } else {
            Self::divided(&programs, &mut gaps)
        };
        if options.abi >= PolicyAbi::V4 {
            this.govern(programs.main().unwrap_or(needs));
            for ((_, profile), needs) in this.programs.iter_mut().zip(programs.others()) {
                profile.govern(needs);
            }
        }
        gaps.extend(changed_profile(needs));
        this.exec = if programs.single() { Exec::Inherit } else { options.exec };
        this.program = needs.origin.program.cloned();
        this.deal(&programs, needs, &mut gaps);
        if let Some(container) = options.container {
            this.contain(container);
            this.program = None;
        }
        abstractions::include(&mut this, &options.abstractions);
        for (_, profile) in &mut this.programs {
            abstractions::include(profile, &options.abstractions);
        }
        this.gaps = gaps;
        this
    }

    /// The rules for `needs` that hang on nobody else.
    fn of(needs: &Needs<'_>, gaps: &mut BTreeSet<Gap>) -> Self {
        let granted = caps::granted(&needs.capabilities).map(|need| need.capability).collect::<BTreeSet<_>>();
        let idle = idle(needs);
        Self {
            files: files::rules(needs),
            network: expressible(needs.network.keys(), gaps, |fact| network(fact)),
            capabilities: granted.union(&idle).copied().collect(),
            idle: idle.difference(&granted).copied().collect(),
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

    /// Adds what is governed since [`PolicyAbi::V4`].
    fn govern(&mut self, needs: &Needs<'_>) {
        self.user_namespaces = Some(needs.namespaces.keys().any(|fact| **fact == USER_NAMESPACE));
        let mut queues = QueueRules::new();
        for fact in needs.queues.keys() {
            queues.entry(fact.name.clone()).or_default().insert(fact.access);
        }
        self.queues = Some(queues);
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

    /// Makes it a container's: nothing attaches it but the engine, which must be able to stop it.
    fn contain(&mut self, container: Container) {
        self.container = true;
        self.signals.insert(SignalRule { peer: Peer::Engine, ..RECEIVED });
        if container.denies {
            self.denies = DENIES.into_iter().filter(|deny| deny.spares(&self.files)).collect();
        }
        self.programs.iter_mut().for_each(|(_, profile)| profile.contain(container));
    }

    /// What this one profile says, with the abstractions that it includes.
    fn allows(&self, fact: &Fact) -> Verdict {
        let own = self.allows_itself(fact);
        let included = || self.includes.iter().any(|included| included.allows.allows(fact) == Verdict::Allowed);
        if own == Verdict::Denied && included() { Verdict::Allowed } else { own }
    }

    fn allows_itself(&self, fact: &Fact) -> Verdict {
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
            Fact::Check(_) => permits_check(&self.capabilities, fact),
            Fact::Signal(fact) => Verdict::allowed_if(self.signals.iter().any(|rule| rule.permits(fact))),
            Fact::Trace(fact) => Verdict::allowed_if(self.traces.iter().any(|rule| rule.permits(fact))),
            Fact::Mount(fact) => Verdict::allowed_if(mounts::rule(fact).is_ok_and(|rule| self.mounts.contains(&rule))),
            Fact::Namespace(USER_NAMESPACE) => self.user_namespaces.map_or(Verdict::NotGoverned, Verdict::allowed_if),
            Fact::Queue(fact) => self.queues.as_ref().map_or(Verdict::NotGoverned, |queues| {
                Verdict::allowed_if(queues.get(&fact.name).is_some_and(|allowed| allowed.contains(&fact.access)))
            }),
            Fact::Syscall(..)
            | Fact::Arguments(..)
            | Fact::Namespace(_)
            | Fact::Identity(_)
            | Fact::End(_)
            | Fact::Limit(_) => Verdict::NotGoverned,
        }
    }

    /// Everything that is granted for `path`, to its owner or to anybody.
    fn granted(&self, path: &AbsPath, directory: bool, owner: bool) -> Permissions {
        let included = self.includes.iter().map(|included| included.allows.granted_to(path, directory, owner));
        included.fold(files::granted(&self.files, path, directory, owner), |all, more| all | more)
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

/// What a profile with these capabilities says to a question for one, also where the answer changes nothing.
fn permits_check(capabilities: &BTreeSet<Capability>, fact: &Fact) -> Verdict {
    let idle = if let Fact::Check(check) = fact { idle_question(check) } else { None };
    idle.map_or_else(|| caps::permits(capabilities, fact), |asked| Verdict::allowed_if(capabilities.contains(&asked)))
}

const USER_NAMESPACE: NamespaceFact = NamespaceFact { kind: NamespaceKind::User, joined: false };

/// That the workload changed its profile by itself (`aa_change_profile(2)`): to which one was not recorded.
fn changed_profile(needs: &Needs<'_>) -> Option<Gap> {
    let changes = |path: &AbsPath| {
        let text = path.as_bytes();
        text.starts_with(b"/proc/") && text.windows(6).any(|window| window == b"/attr/")
    };
    let mut paths = needs.files.iter().filter(|need| need.access.contains(Access::WRITE)).flat_map(|need| {
        let literals = needs.literals.get(&need.pattern).into_iter().flatten().copied();
        let literal = if let Pattern::Literal(path) = &need.pattern { Some(path) } else { None };
        literals.chain(literal)
    });
    let path = paths.find(|path| changes(path))?;
    let detail =
        format!("the workload writes to {path}: to which profile or hat it changes was not recorded, and is refused");
    Some(Gap { kind: GapKind::Inexpressible, detail })
}

/// What the kernel asks for without acting on the answer, and what it asks for first: it tries `CAP_DAC_READ_SEARCH` for
/// what that would grant before `CAP_DAC_OVERRIDE` (`fs/namei.c`, `generic_permission()`).
fn idle(needs: &Needs<'_>) -> BTreeSet<Capability> {
    let first = |need: &CapabilityNeed<'_>| {
        let mut checks = need.reasons.iter().map(|reason| sufficient(reason.check));
        let asked = need.capability == Capability::DacOverride
            && checks.any(|any_of| any_of.contains(&Capability::DacReadSearch));
        asked.then_some(Capability::DacReadSearch)
    };
    caps::granted(&needs.capabilities).filter_map(first).chain(needs.idle.iter().copied()).collect()
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
    fn message_queues_are_governed_since_abi_4() {
        use crate::event::Outcome;
        use crate::fact::QueueFact;
        use crate::record::{Moment, RunId};
        let queue = |access| Fact::Queue(QueueFact { name: AbsPath::new(b"/jobs").unwrap(), access });
        let mut record = Record::default();
        let moment = Moment { run: RunId(1), at_ms: 1, by: None };
        record.absorb(&AbsPath::root(), queue(QueueAccess::Open), Outcome::Returned(3), moment);
        record.absorb(&AbsPath::root(), queue(QueueAccess::Create), Outcome::Failed(libc::EACCES), moment);
        let needs = infer(&record, &crate::infer::Options::default());
        let policy = |abi| AppArmor::new(&needs, &Options { abi, ..Options::default() });
        assert_eq!(policy(PolicyAbi::V3).permits(&queue(QueueAccess::Open)), Verdict::NotGoverned);
        assert_eq!(policy(PolicyAbi::V4).permits(&queue(QueueAccess::Open)), Verdict::Allowed);
        assert_eq!(policy(PolicyAbi::V4).permits(&queue(QueueAccess::Create)), Verdict::Denied);
    }

    #[test]
    fn an_empty_record_allows_to_be_stopped() {
        let policy = AppArmor::new(&infer(&Record::default(), &crate::infer::Options::default()), &Options::default());
        assert_eq!(policy.signals.iter().collect::<Vec<_>>(), [&RECEIVED]);
    }
}
