//! Abstractions: included only where they cover rules that a profile has anyway, and their excess is told.
//!
//! What an included abstraction grants is taken out of the profile's own rules. A rule counts as covered only when that
//! is sure: literal paths, and patterns of which every name can be tried.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::files::{FileRule, Permissions, Transition};
use super::options::Abstractions;
use super::signals::{Peer, SignalRule};
use super::text::{self, Files, ParseError, Profile, What};
use super::{AppArmor, NetworkRule};
use crate::fact::Capability;
use crate::infer::Pattern;
use crate::infer::globs::{Piece, Variable};

/// An abstraction that a profile includes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Included {
    /// Its name, such as `base`.
    pub name: String,
    /// How many of the profile's rules it stands for.
    pub covers: usize,
    /// How many rules it has, those that it includes among them.
    pub rules: usize,
    /// The ones that allow nothing of what was observed.
    pub excess: Vec<String>,
    pub(super) allows: Arc<Profile>,
}

/// The names of all abstractions in `files`.
pub fn names(files: &Files) -> impl Iterator<Item = &str> {
    files.keys().filter_map(|file| file.strip_prefix("abstractions/")).filter(|name| !name.contains('/'))
}

/// Reads an abstraction with everything that it includes.
///
/// # Errors
/// Where and why it cannot be used: it is not there, is no policy, or has rules that are not understood.
pub fn read(name: &str, files: &Files) -> Result<Profile, ParseError> {
    let text = format!("include <tunables/global>\nprofile abstraction {{\n  include <abstractions/{name}>\n}}\n");
    let mut document = text::parse(name, &text, files)?;
    if let Some(unread) = document.unread.pop() {
        return Err(ParseError { place: unread.place, what: format!("a {} rule: {}", unread.kind, unread.why) });
    }
    Ok(document.profiles.pop().unwrap_or_default())
}

/// Includes what pays in `profile`, and takes what is covered out of it.
pub(super) fn include(profile: &mut AppArmor, asked: &Abstractions) {
    let mut candidates: Vec<_> = asked
        .names
        .iter()
        .filter_map(|name| Some((name, Arc::new(read(name, &asked.files).ok()?))))
        .filter(|(_, allows)| harmless(profile, allows, asked.frugal))
        .collect();
    while !candidates.is_empty() {
        let counts = candidates.iter().map(|(_, allows)| Covered::of(profile, allows).count());
        // In the order given, or the most useful one first.
        let best = if asked.frugal {
            counts.enumerate().max_by_key(|(at, count)| (*count, usize::MAX - at))
        } else {
            counts.enumerate().next()
        };
        let Some((at, covers)) = best else {
            return;
        };
        let (name, allows) = candidates.swap_remove(at);
        candidates.sort_by_key(|(name, _)| asked.names.iter().position(|one| one == *name));
        if asked.frugal && !pays(covers, allows.rules.len()) {
            return;
        }
        if covers > 0 {
            let excess = excess(profile, &allows);
            let rules = allows.rules.len();
            Covered::of(profile, &allows).take_out(profile);
            profile.includes.push(Included { name: name.clone(), covers, rules, excess, allows });
        }
    }
    profile.includes.sort_by(|one, other| one.name.cmp(&other.name));
}

/// Whether it covers enough of what is needed for all that it allows beyond.
const fn pays(covers: usize, rules: usize) -> bool {
    covers >= 3 && rules <= covers * 16
}

/// Whether nothing that `profile` needs is denied by an abstraction; to be chosen unasked, it may deny nothing at all,
/// grant no capability that is not needed and define no profiles.
fn harmless(profile: &AppArmor, allows: &Profile, frugal: bool) -> bool {
    let denies: Vec<_> = allows.rules.iter().filter(|rule| rule.deny).map(|rule| &rule.what).collect();
    let contradicts = denies.iter().any(|what| match what {
        What::File { names, permissions, .. } => profile.files.iter().any(|rule| {
            let needed = (rule.anybody | rule.owner).spelled_out();
            match tried(rule) {
                Some(tried) => {
                    tried.iter().any(|name| names.matches(name)) && needed.intersects(permissions.spelled_out())
                }
                None => needed.intersects(permissions.spelled_out()),
            }
        }),
        _ => true,
    });
    let capable = |what: &What| match what {
        What::Capability(some) => !some.is_empty() && some.is_subset(&profile.capabilities),
        _ => true,
    };
    let modest = denies.is_empty() && allows.children.is_empty() && allows.rules.iter().all(|rule| capable(&rule.what));
    !contradicts && (modest || !frugal)
}

/// Which rules of a profile an abstraction covers.
struct Covered {
    files: Vec<(Permissions, Permissions)>,
    network: BTreeSet<NetworkRule>,
    capabilities: BTreeSet<Capability>,
    signals: BTreeSet<SignalRule>,
}

impl Covered {
    fn of(profile: &AppArmor, allows: &Profile) -> Self {
        let files = profile.files.iter().map(|rule| left(rule, allows)).collect();
        let network = profile.network.iter().filter(|(family, kind)| allows.allows_socket(family, kind));
        let signals = profile.signals.iter().filter(|rule| covers_signal(allows, rule));
        let capabilities = allows.capabilities();
        Self {
            files,
            network: network.copied().collect(),
            capabilities: profile.capabilities.intersection(&capabilities).copied().collect(),
            signals: signals.cloned().collect(),
        }
    }

    fn count(&self) -> usize {
        let files = self.files.iter().filter(|(anybody, owner)| (*anybody | *owner).is_empty()).count();
        files + self.network.len() + self.capabilities.len() + self.signals.len()
    }

    fn take_out(self, profile: &mut AppArmor) {
        for (rule, (anybody, owner)) in profile.files.iter_mut().zip(&self.files) {
            if (*anybody | *owner).is_empty() {
                (rule.anybody, rule.owner) = (*anybody, *owner);
            }
        }
        profile.files.retain(|rule| !(rule.anybody | rule.owner).is_empty());
        profile.network.retain(|rule| !self.network.contains(rule));
        profile.capabilities.retain(|capability| !self.capabilities.contains(capability));
        profile.signals.retain(|rule| !self.signals.contains(rule));
    }
}

/// What of a rule is not granted by an abstraction. A change of the profile is never covered.
fn left(rule: &FileRule, allows: &Profile) -> (Permissions, Permissions) {
    let Some(names) = tried(rule).filter(|_| rule.transition == Transition::Inherit) else {
        return (rule.anybody, rule.owner);
    };
    let granted = |owner| names.iter().fold(Permissions::all(), |all, name| all & allows.granted(name, owner));
    // `rix` of an abstraction executes under the same profile, `px` under another: only the former counts.
    let executable = names.iter().all(|name| allows.executes(name).is_some_and(text::Rule::inherits));
    let mask = if executable { Permissions::all() } else { Permissions::all() - Permissions::EXECUTE };
    let (to_owner, to_others) = (granted(true) & mask, granted(false) & mask);
    let anybody = rule.anybody - (to_owner & to_others);
    (anybody, rule.owner - to_owner)
}

/// Every name that a rule is about; of numbers the shortest and the longest. `None` when that proves nothing.
pub(super) fn tried(rule: &FileRule) -> Option<Vec<Vec<u8>>> {
    let mut names = match &rule.pattern {
        Pattern::Literal(path) => vec![path.as_bytes().to_vec()],
        Pattern::General(pieces) => {
            let mut names = vec![Vec::new()];
            for piece in &**pieces {
                let values: &[&[u8]] = match piece {
                    Piece::Text(text) => &[text],
                    Piece::Variable(Variable::Proc) => &[b"/proc"],
                    Piece::Variable(Variable::Run) => &[b"/run", b"/var/run"],
                    Piece::Variable(Variable::Pid | Variable::Tid) => &[b"1", b"9", b"57", b"999999", b"4999999"],
                    _ => return None,
                };
                names = names.iter().flat_map(|name| values.iter().map(move |value| [name, *value].concat())).collect();
            }
            names
        }
    };
    for name in &mut names {
        if rule.directory && name.last() != Some(&b'/') {
            name.push(b'/');
        }
    }
    Some(names)
}

fn covers_signal(allows: &Profile, rule: &SignalRule) -> bool {
    let ends = [("send", rule.send), ("receive", rule.receive)];
    let peer = match rule.peer {
        Peer::Own => allows.name.as_bytes(),
        Peer::Unconfined => b"unconfined",
        Peer::Anybody | Peer::Main | Peer::Program(_) | Peer::Workload | Peer::Engine => return false,
    };
    allows.rules.iter().filter(|one| !one.deny).any(|one| match &one.what {
        What::Signal { access, signals, peer: with } => {
            ends.iter().all(|(end, wanted)| !wanted || access.is_empty() || access.contains(*end))
                && (signals.is_empty()
                    || !rule.signals.is_empty() && rule.signals.iter().all(|signal| signals.contains(*signal)))
                && with.as_ref().is_none_or(|with| with.matches(peer))
        }
        _ => false,
    })
}

/// The rules of an abstraction that allow nothing of what `profile` needs, as they are written.
fn excess(profile: &AppArmor, allows: &Profile) -> Vec<String> {
    let names: Vec<_> =
        profile.files.iter().filter_map(|rule| Some((tried(rule)?, rule.anybody | rule.owner))).collect();
    let used = |what: &What| match what {
        What::File { names: of, permissions, .. } => names.iter().any(|(tried, needed)| {
            needed.spelled_out().intersects(permissions.spelled_out()) && tried.iter().any(|name| of.matches(name))
        }),
        What::Network { family, kind } => profile.network.iter().any(|(one, like)| {
            family.as_deref().is_none_or(|family| family == *one) && kind.as_deref().is_none_or(|kind| kind == *like)
        }),
        What::Capability(some) => some.intersection(&profile.capabilities).next().is_some(),
        What::Signal { .. } => profile.signals.iter().any(|rule| covers_signal(allows, rule)),
        _ => false,
    };
    allows.rules.iter().filter(|rule| !rule.deny && !used(&rule.what)).map(ToString::to_string).collect()
}
