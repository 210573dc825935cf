//! What Docker's form of a profile has beyond the specification: rules that hold for some machines only. It is settled
//! for one machine, as Docker does it before it hands the profile on (moby/profiles, `seccomp/seccomp_linux.go`).

use std::fmt;

use serde::Deserialize;

use super::grammar::{Architecture, Rule};
use crate::abi::Abi;
use crate::fact::{Capability, CapabilitySet};

/// For what a profile of Docker's form is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// The machine's own ABI.
    pub abi: Abi,
    /// Version and patch level of the kernel.
    pub kernel: Kernel,
    /// The capabilities of the container.
    pub capabilities: CapabilitySet,
}

/// The version of a kernel, as far as profiles compare it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kernel(pub u32, pub u32);

impl Kernel {
    /// The version that a release such as `6.1.0-18-amd64` begins with.
    #[must_use]
    pub fn of_release(release: &str) -> Option<Self> {
        let mut numbers = release.split(|letter: char| !letter.is_ascii_digit()).map(str::parse);
        Some(Self(numbers.next()?.ok()?, numbers.next()?.ok()?))
    }
}

impl fmt::Display for Kernel {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.0, self.1)
    }
}

/// A capability by its name in a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cap(pub(super) Capability);

/// The architectures of a profile on one machine.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ArchMap {
    architecture: Architecture,
    sub_architectures: Option<Vec<Architecture>>,
}

impl ArchMap {
    /// Those of this machine, if it is the one.
    pub(super) fn of(&self, host: &Host) -> impl Iterator<Item = Architecture> {
        let meant = self.architecture == Architecture::Known(host.abi);
        let subs = self.sub_architectures.iter().flatten().copied();
        std::iter::once(self.architecture).chain(subs).filter(move |_| meant)
    }
}

/// When a rule holds, or when it does not.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Filter {
    caps: Option<Vec<Cap>>,
    arches: Option<Vec<String>>,
    min_kernel: Option<Kernel>,
}

/// A rule with its conditions on the machine.
pub(super) struct Conditional {
    pub(super) rule: Rule,
    pub(super) includes: Filter,
    pub(super) excludes: Filter,
}

impl Conditional {
    /// Whether it holds on this machine: with all that it includes, and with nothing that it excludes.
    pub(super) fn holds(&self, host: &Host) -> bool {
        let has = |cap: &Cap| host.capabilities.contains(cap.0);
        let included = self.includes.caps.iter().flatten().all(has)
            && self.includes.names_machine(host).unwrap_or(true)
            && self.includes.min_kernel.is_none_or(|least| host.kernel >= least);
        let excluded = self.excludes.caps.iter().flatten().any(has)
            || self.excludes.names_machine(host).unwrap_or(false)
            || self.excludes.min_kernel.is_some_and(|least| host.kernel >= least);
        included && !excluded
    }

    /// The key that only Docker's form has, if the rule uses one.
    pub(super) fn key(&self) -> Option<&'static str> {
        let used = |filter: &Filter| filter.caps.is_some() || filter.arches.is_some() || filter.min_kernel.is_some();
        let includes = used(&self.includes).then_some("includes");
        includes.or_else(|| used(&self.excludes).then_some("excludes"))
    }
}

impl Filter {
    /// Whether the machine is among the architectures, if there are any.
    fn names_machine(&self, host: &Host) -> Option<bool> {
        let arches = self.arches.as_ref().filter(|arches| !arches.is_empty())?;
        Some(arches.iter().any(|name| name == go_name(host.abi)))
    }
}

/// What Go, and so Docker, calls the machine of an ABI.
const fn go_name(abi: Abi) -> &'static str {
    match abi {
        Abi::X86_64 | Abi::X32 => "amd64",
        Abi::I386 => "386",
        Abi::Aarch64 => "arm64",
    }
}
