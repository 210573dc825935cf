//! What is asked of an AppArmor profile.

use std::sync::Arc;

use super::text::Files;

/// What is asked of an AppArmor profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What executed programs run under; anything but [`Exec::Inherit`] rests on the shares of the needs.
    pub exec: Exec,
    /// Which version of the policy is written.
    pub abi: PolicyAbi,
    /// Which abstractions it may include.
    pub abstractions: Abstractions,
    /// Whether it is for a container, and with which rules.
    pub container: Option<Container>,
}

/// What the programs that a workload executes run under.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exec {
    /// The workload's own profile.
    #[default]
    Inherit,
    /// A profile within it for each program, with what that program needs.
    Child,
    /// A profile beside it for each program.
    Separate,
}

impl Exec {
    /// Every choice with its name and what it means.
    pub const NAMES: [(Self, &'static str, &'static str); 3] = [
        (Self::Inherit, "inherit", "one profile for all of them"),
        (Self::Child, "child", "a nested profile for each, with what this program was seen to need"),
        (Self::Separate, "separate", "the same as profiles of their own, named PROFILE.PROGRAM"),
    ];
}

/// A version of the policy language and of what the kernel mediates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyAbi {
    /// `abi/3.0`.
    #[default]
    V3,
    /// `abi/4.0`: unix sockets, user namespaces and POSIX message queues have rules of their own.
    V4,
}

impl PolicyAbi {
    /// Every choice with its name and what it means.
    pub const NAMES: [(Self, &'static str, &'static str); 2] = [
        (Self::V3, "3.0", "AppArmor 3"),
        (Self::V4, "4.0", "AppArmor 4: with rules for unix sockets, user namespaces and message queues"),
    ];

    /// Its number.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V3 => "3.0",
            Self::V4 => "4.0",
        }
    }
}

/// Which abstractions may be included: each only when it covers rules that the profile needs anyway.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Abstractions {
    /// Their names, such as `base`, in the order in which they are tried.
    pub names: Vec<String>,
    /// Whether each must pay: it is left out when it allows much and covers little.
    pub frugal: bool,
    /// The files that policy includes, by their name below `/etc/apparmor.d`, such as `abstractions/base`.
    pub files: Arc<Files>,
}

/// What a profile for a container adds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Container {
    /// Whether it has the deny rules of the usual container template.
    pub denies: bool,
}
