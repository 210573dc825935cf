//! The list of capabilities to keep (`capabilities(7)`).

use std::collections::BTreeSet;

use super::{Policy, Verdict};
use crate::fact::{Capability, Fact, Gap};
use crate::infer::caps::sufficient;
use crate::infer::{CapabilityNeed, Needs};

/// The capabilities to keep; all others are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// What is kept.
    pub kept: BTreeSet<Capability>,
    gaps: BTreeSet<Gap>,
}

impl Caps {
    /// The needed and the likely ones.
    #[must_use]
    pub fn new(needs: &Needs<'_>) -> Self {
        Self { kept: granted(&needs.capabilities).map(|need| need.capability).collect(), gaps: BTreeSet::new() }
    }

    /// Reads the list back from its text: the lines that begin with a capability's name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let words = text.lines().filter_map(|line| line.split(' ').next());
        let kept = words.filter_map(|word| Capability::ALL.iter().find(|known| known.name() == word));
        Self { kept: kept.copied().collect(), gaps: BTreeSet::new() }
    }
}

/// What Docker and Podman-compatible engines keep when nothing is said (`docker run`, "Runtime privilege and Linux
/// capabilities").
pub const DOCKER: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::SysChroot,
    Capability::Mknod,
    Capability::AuditWrite,
    Capability::Setfcap,
];

/// The needs that a profile grants.
pub fn granted<'n, 'r>(needs: &'n [CapabilityNeed<'r>]) -> impl Iterator<Item = &'n CapabilityNeed<'r>> {
    needs.iter().filter(|need| need.standing.granted())
}

/// What a set of kept capabilities says to `fact`.
pub(super) fn permits(kept: &BTreeSet<Capability>, fact: &Fact) -> Verdict {
    let Fact::Check(check) = fact else {
        return Verdict::NotGoverned;
    };
    match sufficient(check) {
        [] => Verdict::NotGoverned,
        any_of => Verdict::allowed_if(any_of.iter().any(|capability| kept.contains(capability))),
    }
}

impl Policy for Caps {
    fn permits(&self, fact: &Fact) -> Verdict {
        permits(&self.kept, fact)
    }

    fn gaps(&self) -> &BTreeSet<Gap> {
        &self.gaps
    }
}
