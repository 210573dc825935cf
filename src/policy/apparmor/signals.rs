//! Rules about signals and tracing: between two profiles, both of which are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::names;
use super::programs::{Programs, Under};
use crate::fact::{SignalFact, SignalTarget, TraceFact};

/// With whom a rule deals.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Processes under this same profile.
    Own,
    /// Processes without a profile.
    Unconfined,
    /// Anybody: what the peer is confined by was not seen.
    Anybody,
    /// Processes under the workload's main profile.
    Main,
    /// Processes under the profile of this name, for one of the workload's programs.
    Program(Arc<str>),
    /// Processes under any profile of the workload.
    Workload,
    /// The runtimes of container engines, where these are confined themselves.
    Engine,
}

/// A `signal` rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignalRule {
    /// With whom.
    pub peer: Peer,
    /// Whether they may be sent.
    pub send: bool,
    /// Whether they may be received.
    pub receive: bool,
    /// Which signals; none means all.
    pub signals: BTreeSet<&'static str>,
}

/// A `ptrace` rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceRule {
    /// With whom.
    pub peer: Peer,
    /// Reading only.
    pub read_only: bool,
    /// Whether it may be done to them.
    pub active: bool,
    /// Whether they may do it.
    pub passive: bool,
}

/// Signals that the workload must be able to receive though nobody sent them while it was watched: without, neither
/// init nor an administrator could stop it. The parser's word for all others is an empty set.
pub const RECEIVED: SignalRule =
    SignalRule { send: false, receive: true, peer: Peer::Unconfined, signals: BTreeSet::new() };

impl SignalRule {
    /// Whether it lets the signal be sent and, where the receiver's profile is this one as well, received.
    pub(super) fn permits(&self, fact: &SignalFact) -> bool {
        let Some(word) = names::signal(fact.signal) else {
            return false;
        };
        let ends = self.send && (self.receive || self.peer != Peer::Own);
        self.peer.may_be(&fact.to) && ends && (self.signals.is_empty() || self.signals.contains(word))
    }
}

impl TraceRule {
    /// Whether it lets this be done.
    pub(super) fn permits(&self, fact: &TraceFact) -> bool {
        let ends = self.active && (self.passive || self.peer != Peer::Own);
        ends && self.peer.may_be(&fact.to) && self.read_only == fact.read_only
    }
}

impl Peer {
    /// Whether a process that a fact tells of may be one of these.
    fn may_be(&self, target: &SignalTarget) -> bool {
        match (self, target) {
            (Self::Anybody, SignalTarget::Outside) | (Self::Own, SignalTarget::Itself) => true,
            (Self::Anybody | Self::Unconfined | Self::Engine, _)
            | (_, SignalTarget::Outside | SignalTarget::Itself) => false,
            (_, SignalTarget::Program(_) | SignalTarget::Group) => true,
        }
    }
}

/// Who deals with whom: what `one` may do to the peer, and what the peer may do to it.
type Dealings<K> = BTreeMap<(Under, Peer, K), (bool, bool)>;

/// Both ends of something that `from` does to `target`.
fn deal<K: Clone + Ord>(
    dealings: &mut Dealings<K>,
    programs: &Programs<'_, '_>,
    from: &Under,
    to: &SignalTarget,
    what: &K,
) {
    let mut note = |one: &Under, peer: Peer, active: bool, passive: bool| {
        let known = dealings.entry((one.clone(), peer, what.clone())).or_default();
        *known = (known.0 | active, known.1 | passive);
    };
    let peer_of = |one: &Under, other: &Under| match other {
        _ if one == other => Peer::Own,
        Under::Main => Peer::Main,
        Under::Program(name) => Peer::Program(Arc::clone(name)),
    };
    match to {
        SignalTarget::Outside => note(from, Peer::Anybody, true, false),
        SignalTarget::Group if programs.single() => note(from, Peer::Own, true, true),
        SignalTarget::Group => {
            note(from, Peer::Workload, true, false);
            programs.all().for_each(|one| note(&one, peer_of(&one, from), one == *from, true));
        }
        SignalTarget::Itself => note(from, Peer::Own, true, true),
        SignalTarget::Program(program) => {
            let target = programs.under(program).unwrap_or_else(|| from.clone());
            if target == *from {
                note(from, Peer::Own, true, true);
            } else {
                note(from, peer_of(from, &target), true, false);
                note(&target, peer_of(&target, from), false, true);
            }
        }
    }
}

/// The signal rules of each profile; the words of signals that have one.
pub(super) fn signals<'f>(
    programs: &Programs<'_, '_>,
    sent: impl Iterator<Item = (&'f Under, &'f SignalFact)>,
) -> BTreeMap<Under, BTreeSet<SignalRule>> {
    let mut dealings = Dealings::<&'static str>::new();
    for (from, fact) in sent {
        if let Some(word) = names::signal(fact.signal) {
            deal(&mut dealings, programs, from, &fact.to, &word);
        }
    }
    let mut words = BTreeMap::<(Under, Peer, bool, bool), BTreeSet<&'static str>>::new();
    for ((one, peer, word), (send, receive)) in dealings {
        words.entry((one, peer, send, receive)).or_default().insert(word);
    }
    let mut rules = programs.all().map(|one| (one, BTreeSet::from([RECEIVED]))).collect::<BTreeMap<_, _>>();
    for ((one, peer, send, receive), signals) in words {
        rules.entry(one).or_default().insert(SignalRule { peer, send, receive, signals });
    }
    rules
}

/// The rules about tracing of each profile.
pub(super) fn traces<'f>(
    programs: &Programs<'_, '_>,
    traced: impl Iterator<Item = (&'f Under, &'f TraceFact)>,
) -> BTreeMap<Under, BTreeSet<TraceRule>> {
    let mut dealings = Dealings::<bool>::new();
    for (from, fact) in traced {
        deal(&mut dealings, programs, from, &fact.to, &fact.read_only);
    }
    let mut rules = BTreeMap::<Under, BTreeSet<TraceRule>>::new();
    for ((one, peer, read_only), (active, passive)) in dealings {
        rules.entry(one).or_default().insert(TraceRule { peer, read_only, active, passive });
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::AbsPath;

    #[test]
    fn signals_between_own_processes_need_both_ends() {
        let sent = |peer, receive| SignalRule { peer, send: true, receive, signals: ["term"].into() };
        let term = |to| SignalFact { signal: libc::SIGTERM, to };
        assert!(sent(Peer::Own, true).permits(&term(SignalTarget::Program(AbsPath::root()))));
        assert!(!sent(Peer::Own, false).permits(&term(SignalTarget::Itself)));
        assert!(!sent(Peer::Own, true).permits(&term(SignalTarget::Outside)));
        assert!(sent(Peer::Anybody, false).permits(&term(SignalTarget::Outside)));
        assert!(sent(Peer::Main, false).permits(&term(SignalTarget::Program(AbsPath::root()))));
        assert!(!sent(Peer::Main, false).permits(&term(SignalTarget::Itself)));
        assert!(!sent(Peer::Own, true).permits(&SignalFact { signal: libc::SIGHUP, to: SignalTarget::Itself }));
        assert!(!RECEIVED.permits(&term(SignalTarget::Outside)));
    }
}
