//! What single rules say.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use super::Place;
use super::variables::Names;
use crate::fact::{Capability, MountOperation, QueueAccess};
use crate::policy::apparmor::Permissions;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands.
    pub place: Place,
    /// The file that the profile includes and by which the rule came into it.
    pub via: Option<Arc<str>>,
    /// Whether it takes away rather than allows.
    pub deny: bool,
    /// What it is about.
    pub what: What,
    /// Its words.
    pub(super) text: String,
}

/// What a rule is about. An empty set and a missing name mean all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Files.
    File {
        /// Which.
        names: Names,
        /// For their owner alone, or for all others alone.
        owner: Option<bool>,
        /// What may be done.
        permissions: Permissions,
        /// How it is executed, if it may be.
        exec: Option<Exec>,
        /// The files that it may be a new name of.
        link_to: Option<Names>,
    },
    /// Capabilities.
    Capability(BTreeSet<Capability>),
    /// Sockets.
    Network {
        /// The family's word.
        family: Option<String>,
        /// The type's word.
        kind: Option<String>,
    },
    /// Unix sockets.
    Unix {
        /// What may be done.
        access: BTreeSet<String>,
        /// The type's word.
        kind: Option<String>,
        /// Whether it is for some addresses or labels alone.
        limited: bool,
    },
    /// Signals.
    Signal {
        /// `send`, `receive`.
        access: BTreeSet<String>,
        /// Their words.
        signals: BTreeSet<String>,
        /// With whom.
        peer: Option<Names>,
    },
    /// Tracing.
    Ptrace {
        /// `read`, `readby`, `trace`, `tracedby`.
        access: BTreeSet<String>,
        /// With whom.
        peer: Option<Names>,
    },
    /// The mount table.
    Mount {
        /// What is done.
        operation: MountOperation,
        /// The file systems.
        filesystems: Vec<Names>,
        /// The options of `options=()`, exactly these.
        options: Option<BTreeSet<String>>,
        /// The options of `options in ()`, none but these.
        within: Option<BTreeSet<String>>,
        /// The source.
        source: Option<Names>,
        /// The mount point.
        target: Option<Names>,
    },
    /// POSIX message queues.
    Queue {
        /// What may be done.
        access: BTreeSet<QueueAccess>,
        /// Their names.
        name: Option<Names>,
    },
    /// What is of no consequence for any fact: only its words are known.
    Other {
        /// Its first word.
        kind: String,
        /// The others.
        words: String,
    },
}

/// How a file is executed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exec {
    /// The letters: `ix`, `px`, `Cx`, `pux` and so on.
    pub mode: String,
    /// The profile that is named behind `->`.
    pub target: Option<String>,
}

impl Rule {
    /// Whether a file that is executed by it runs under the same profile.
    #[must_use]
    pub fn inherits(&self) -> bool {
        matches!(&self.what, What::File { exec: Some(Exec { mode, .. }), .. } if mode == "ix")
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}
