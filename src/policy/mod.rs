//! Policies: the typed rules of each format, made from needs.
//!
//! Every policy answers for single facts what it would say to them. Soundness: each fact that a record shows to be
//! needed is allowed by the policy of that record, or a gap of the policy says why it cannot be. Tightness: without
//! generalisation nothing else is allowed. Knows no text but where a format is read back.

pub mod apparmor;
pub mod caps;
pub mod seccomp;

use std::collections::BTreeSet;

use crate::fact::{Fact, Gap};

/// What policies are asked to be, beside the needs of the workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Of the seccomp profile.
    pub seccomp: seccomp::Options,
    /// Of the AppArmor profile.
    pub apparmor: apparmor::Options,
}

impl Options {
    /// For exactly what was seen.
    #[must_use]
    pub fn exact() -> Self {
        Self { seccomp: seccomp::Options::exact(), ..Self::default() }
    }
}

/// What a policy says to a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It lets it happen.
    Allowed,
    /// It refuses it.
    Denied,
    /// It has no say in such facts.
    NotGoverned,
    /// It governs such facts, but its answer depends on what the fact does not tell.
    Unknown,
}

impl Verdict {
    fn allowed_if(condition: bool) -> Self {
        if condition { Self::Allowed } else { Self::Denied }
    }
}

/// The typed rules of one format.
pub trait Policy {
    /// What it says to `fact`.
    fn permits(&self, fact: &Fact) -> Verdict;

    /// Needs that the format cannot express; they are refused, never widened.
    fn gaps(&self) -> &BTreeSet<Gap>;
}
