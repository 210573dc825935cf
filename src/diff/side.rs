//! One side of a comparison: everything that a record needs, or that a policy allows.

use std::collections::BTreeMap;

use super::{Item, Kind, Part, apparmor, seccomp, words};
use crate::fact::{Access, NetworkFact};
use crate::infer::globs::Piece;
use crate::infer::{Because, Cause, FileNeed, Needs, Pattern};
use crate::path::{AbsPath, to_text};
use crate::policy::apparmor::text::Document;
use crate::policy::caps::Caps;
use crate::policy::seccomp::Seccomp;

/// Items with their parts; of a record, each part with who showed it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Side<'r> {
    /// Every item has at least one part.
    pub items: BTreeMap<Item, BTreeMap<Part, Because<'r>>>,
}

impl<'r> Side<'r> {
    /// Everything that a record needs.
    #[must_use]
    pub fn of_needs(needs: &Needs<'r>) -> Self {
        let mut side = Self::default();
        for need in needs.capabilities.iter().filter(|need| need.standing.granted()) {
            for reason in &need.reasons {
                side.add(Kind::Capability, need.capability.name(), "", &reason.because);
            }
        }
        side.calls(needs);
        side.files(needs);
        for (fact, because) in &needs.network {
            side.add(Kind::Family, words::family(fact.family), "", because);
            let (name, part) = words::network(fact);
            side.add(Kind::Network, name, part, because);
        }
        for (fact, because) in &needs.executions {
            let part = if fact.privileged { "privileged" } else { "" };
            side.add(Kind::Program, fact.file.to_string(), part, because);
            if fact.program != fact.file {
                // The interpreter of a script.
                side.add(Kind::Program, fact.program.to_string(), "", because);
            }
        }
        for (fact, because) in &needs.signals {
            let (name, part) = words::signal(fact);
            side.add(Kind::Signal, name, part, because);
        }
        for (fact, because) in &needs.namespaces {
            let (name, part) = words::namespace(**fact);
            side.add(Kind::Namespace, name, part, because);
        }
        for (fact, because) in &needs.mounts {
            let (name, part) = words::mount(fact);
            side.add(Kind::Mount, name, part, because);
        }
        for (fact, because) in &needs.identities {
            let (name, part) = words::identity(fact);
            side.add(Kind::Identity, name, part, because);
        }
        for (fact, because) in &needs.limits {
            let (name, part) = words::limit(fact);
            side.add(Kind::Limit, name, part, because);
        }
        for (fact, because) in &needs.traces {
            side.add(Kind::Ptrace, if fact.read_only { "read" } else { "trace" }, words::target(&fact.to), because);
        }
        for (fact, because) in &needs.queues {
            side.add(Kind::Queue, fact.name.to_string(), fact.access.name(), because);
        }
        for gap in needs.origin.gaps {
            side.add(Kind::Gap, format!("{}: {}", gap.kind.name(), gap.detail), "", &[]);
        }
        side
    }

    fn calls(&mut self, needs: &Needs<'r>) {
        for (abi, calls) in &needs.syscalls {
            for (call, because) in calls {
                self.add(Kind::Syscall, call.to_string(), abi.name(), because);
            }
        }
    }

    fn files(&mut self, needs: &Needs<'r>) {
        for need in &needs.files {
            for name in names(need, needs) {
                for (access, word) in Access::NAMES {
                    if need.access.contains(access) {
                        self.add(Kind::File, name.as_str(), word, &need.because);
                    }
                }
            }
        }
    }

    /// Everything that two seccomp profiles allow, of the calls that either of them names.
    #[must_use]
    pub fn of_seccomp(old: &Seccomp, new: &Seccomp) -> (Self, Self) {
        seccomp::sides(old, new)
    }

    /// Everything that a list of capabilities keeps.
    #[must_use]
    pub fn of_caps(policy: &Caps) -> Self {
        let mut side = Self::default();
        for capability in &policy.kept {
            side.add(Kind::Capability, capability.name(), "", &[]);
        }
        side
    }

    /// Everything that two AppArmor texts allow.
    #[must_use]
    pub fn of_apparmor(old: &Document, new: &Document) -> (Self, Self) {
        apparmor::sides(old, new)
    }

    /// The side of a policy with those who showed the same to the record that it was made of.
    #[must_use]
    pub fn witnessed(mut self, needs: &Needs<'r>) -> Self {
        let shown = Self::of_needs(needs);
        for (item, parts) in &mut self.items {
            let all = shown.items.get(item).into_iter().flat_map(BTreeMap::values).flatten();
            let mut because = all.copied().collect::<Because<'r>>();
            if item.kind == Kind::Family {
                let of_type = |fact: &&NetworkFact| words::network(fact).0.ends_with(&format!(" {}", item.name));
                because
                    .extend(needs.network.iter().filter(|(fact, _)| of_type(fact)).flat_map(|(_, all)| all).copied());
            }
            for known in parts.values_mut() {
                for cause in &because {
                    if !known.contains(cause) {
                        known.push(*cause);
                    }
                }
            }
        }
        self
    }

    /// Adds everything that another side has.
    pub fn extend(&mut self, other: Self) {
        for (item, parts) in other.items {
            let known = self.items.entry(item).or_default();
            for (part, because) in parts {
                let known = known.entry(part).or_default();
                known.extend(because);
                known.dedup();
            }
        }
    }

    /// Adds a part; who showed it is kept once.
    pub(super) fn add(&mut self, kind: Kind, name: impl Into<String>, part: impl Into<Part>, because: &[Cause<'r>]) {
        let item = Item { kind, name: name.into() };
        let known = self.items.entry(item).or_default().entry(part.into()).or_default();
        for cause in because {
            if !known.contains(cause) {
                known.push(*cause);
            }
        }
    }
}

/// The names of a file need. How many names made a pattern differs from run to run, so the names themselves are compared;
/// but where a variable stands in it, such as for the process's own id, that is the name.
fn names(need: &FileNeed<'_>, needs: &Needs<'_>) -> Vec<String> {
    let literals = match &need.pattern {
        Pattern::General(pieces) if !pieces.iter().any(|piece| matches!(piece, Piece::Variable(_))) => {
            needs.literals.get(&need.pattern)
        }
        _ => None,
    };
    let path = |path: &AbsPath| path_text(&Pattern::Literal(path.clone()), need.directory);
    match literals {
        Some(literals) => literals.iter().map(|literal| path(literal)).collect(),
        None => vec![path_text(&need.pattern, need.directory)],
    }
}

/// A path or pattern as text, a directory with a slash at its end.
pub(super) fn path_text(pattern: &Pattern, directory: bool) -> String {
    let mut text = match pattern {
        Pattern::Literal(path) => path.to_string(),
        Pattern::General(pieces) => pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(bytes) => to_text(bytes),
                special => special.glob().unwrap_or_default().to_owned(),
            })
            .collect(),
    };
    if directory && !text.ends_with('/') {
        text.push('/');
    }
    text
}
