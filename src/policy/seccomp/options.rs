//! What a profile is asked to be, beside the needs of the workload.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::Seccomp;
use super::grammar::{Action, ENOSYS, EPERM};
use crate::abi::Syscall;
use crate::infer::args::Degree;

/// How a profile is made. Equal needs and options give equal profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Who reads it.
    pub target: Target,
    /// The container runtimes whose own calls are allowed.
    pub runtimes: BTreeSet<Runtime>,
    /// Whether containers are always started with `no_new_privs`, for which runtimes need less.
    pub no_new_privs: bool,
    /// What happens to a call that is not allowed.
    pub refusal: Refusal,
    /// How many arguments are held to what was seen.
    pub arguments: Degree,
    /// For what else than the machine of the runs the profile is to hold.
    pub portable: BTreeSet<Portable>,
    /// Whether calls are allowed that the vDSO answered.
    pub vdso: bool,
    /// Whether calls graded as high risk or worse are left out though they were seen.
    pub deny_risky: bool,
    /// Those that are left in all the same, since somebody answers for them.
    pub justified: BTreeSet<Syscall>,
    /// What is never exceeded, whatever was seen.
    pub within: Option<Seccomp>,
}

impl Options {
    /// For exactly the calls that were seen, with any arguments.
    #[must_use]
    pub const fn exact() -> Self {
        Self {
            target: Target::Oci,
            runtimes: BTreeSet::new(),
            no_new_privs: false,
            refusal: Refusal::Eperm,
            arguments: Degree::Off,
            portable: BTreeSet::new(),
            vdso: false,
            deny_risky: false,
            justified: BTreeSet::new(),
            within: None,
        }
    }
}

impl Default for Options {
    /// A profile under which a container starts by any known runtime.
    fn default() -> Self {
        Self { runtimes: Runtime::ALL.into_iter().collect(), arguments: Degree::Safe, ..Self::exact() }
    }
}

/// In which regard a profile is to hold elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Portable {
    /// With another C library, or another version of it.
    Libc,
    /// On an older or newer kernel.
    Kernel,
    /// On x86-64 as well as on 64-bit ARM.
    Arch,
}

impl Portable {
    /// Each with its name on the command line and what it means.
    pub const NAMES: [(Self, &'static str, &'static str); 3] = [
        (Self::Libc, "libc", "another C library or version of it"),
        (Self::Kernel, "kernel", "an older or newer kernel"),
        (Self::Arch, "arch", "x86-64 as well as 64-bit ARM"),
    ];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(one, ..)| *one == self).map_or("", |(_, name, _)| name)
    }
}

/// What happens to a call that is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// It fails with EPERM.
    Eperm,
    /// It fails with ENOSYS, as if the kernel did not have it.
    Enosys,
    /// The process ends.
    Kill,
    /// It is made and logged.
    Log,
}

impl Refusal {
    /// Each with its name on the command line and what it means.
    pub const NAMES: [(Self, &'static str, &'static str); 4] = [
        (Self::Eperm, "eperm", "it fails with EPERM"),
        (Self::Enosys, "enosys", "it fails with ENOSYS, as if the kernel did not have it"),
        (Self::Kill, "kill", "the process ends"),
        (Self::Log, "log", "it is made and logged: a profile that only tells"),
    ];

    /// The action.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Eperm => Action::Errno(EPERM),
            Self::Enosys => Action::Errno(ENOSYS),
            Self::Kill => Action::KillProcess,
            Self::Log => Action::Log,
        }
    }
}

/// A container runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    /// Of Docker, containerd, CRI-O and, mostly, Podman.
    Runc,
    /// Of Podman and CRI-O on Fedora and its kin.
    Crun,
}

impl Runtime {
    /// Every runtime.
    pub const ALL: [Self; 2] = [Self::Runc, Self::Crun];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        }
    }
}

/// Who reads a profile, and so what may stand in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// `linux.seccomp` of the OCI runtime-spec, as runc, crun and youki read it.
    Oci,
    /// Docker (`moby/profiles`, `seccomp/seccomp.go`): the same, and comments.
    Docker,
    /// Podman (`containers/common`, `pkg/seccomp/types.go`): comments, but neither supervisors nor flags.
    Podman,
    /// containerd (`contrib/seccomp`), which reads the specification's form and drops everything else.
    Containerd,
    /// Kubernetes' `localhostProfile`, which containerd or CRI-O reads: what both keep.
    Kubernetes,
    /// crun's annotation `run.oci.seccomp_bpf_data`: the compiled program in place of a profile.
    CrunRaw,
}

impl Target {
    /// Each with its name on the command line and what it is.
    pub const NAMES: [(Self, &'static str, &'static str); 6] = [
        (Self::Oci, "oci", "linux.seccomp of the OCI runtime-spec: runc, crun, youki"),
        (Self::Docker, "docker", "docker run --security-opt seccomp=FILE; with comments"),
        (Self::Podman, "podman", "podman run --security-opt seccomp=FILE; with comments"),
        (Self::Containerd, "containerd", "ctr run --seccomp-profile FILE"),
        (Self::Kubernetes, "kubernetes", "seccompProfile.localhostProfile, by containerd or CRI-O"),
        (Self::CrunRaw, "crun-raw", "crun's annotation run.oci.seccomp_bpf_data: compiled, for this machine's ABI"),
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(target, ..)| *target == self).map_or("", |(_, name, _)| name)
    }

    /// Whether rules may have a `comment`.
    #[must_use]
    pub const fn comments(self) -> bool {
        matches!(self, Self::Docker | Self::Podman)
    }
}
