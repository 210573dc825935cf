//! Arguments about the seccomp profile.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::diff::read_accepted;
use super::host;
use super::sides::{Input, Policy};
use super::words::one_of;
use crate::abi::Syscall;
use crate::diff::accept::Accepted;
use crate::diff::{Direction, Kind};
use crate::fact::Arguments;
use crate::infer::args::Degree;
use crate::infer::risk::{self, Level};
use crate::infer::{self, Needs, infer};
use crate::policy;
use crate::policy::seccomp::{Derived, Options, Portable, Refusal, Runtime, Target};

/// The part of the help in which they stand.
const HEADING: &str = "Seccomp profile";

/// Arguments about the seccomp profile.
#[derive(Clone, Debug, clap::Args)]
pub struct SeccompArgs {
    /// Who is to read it; what that one would drop or refuse is an error
    #[arg(long, help_heading = HEADING, value_name = "READER", default_value = "oci", value_parser = one_of(&Target::NAMES))]
    target: Target,

    /// Container runtimes under which the workload is to start, separated by commas: their own calls are
    /// added and listed apart
    #[arg(long, help_heading = HEADING, value_name = "LIST", value_delimiter = ',', default_value = "runc,crun", value_parser = one_of(&RUNTIMES))]
    runtime: Vec<Option<Runtime>>,

    /// The workload is always started with `no_new_privs`: runtimes need fewer calls then
    #[arg(long, help_heading = HEADING)]
    no_new_privs: bool,

    /// What happens to a call that is not allowed
    #[arg(long, help_heading = HEADING, value_name = "WHAT", default_value = "eperm", value_parser = one_of(&Refusal::NAMES))]
    errno: Refusal,

    /// How many arguments are held to what was seen
    #[arg(long, help_heading = HEADING, value_name = "DEGREE", default_value = "safe", value_parser = one_of(&Degree::NAMES))]
    args: Degree,

    /// For what else the profile is to hold, separated by commas: calls that stand for those that were seen
    /// are added and listed apart
    #[arg(long, help_heading = HEADING, value_name = "LIST", value_delimiter = ',', value_parser = one_of(&Portable::NAMES))]
    portable: Vec<Portable>,

    /// Allow the calls that the vDSO answers on most machines
    #[arg(long, help_heading = HEADING)]
    vdso: bool,

    /// Never allow more than this profile, or than what this record holds
    #[arg(long, help_heading = HEADING, value_name = "MAX")]
    within: Option<PathBuf>,

    /// Leave calls of high risk out though they were seen, unless they are justified
    #[arg(long, help_heading = HEADING, value_name = "WHAT", value_parser = ["high-risk"])]
    deny: Option<String>,

    /// Fail when a call of this risk or worse is in the profile and not justified (critical, high)
    #[arg(long, help_heading = HEADING, value_name = "LEVEL", value_parser = level)]
    fail_on: Option<Level>,

    /// Calls of high risk that somebody answers for: TOML as for `learn diff --accept`, of kind "syscall"
    #[arg(long, help_heading = HEADING, value_name = "FILE")]
    justify: Option<PathBuf>,
}

fn level(word: &str) -> Result<Level, String> {
    let known = [Level::Critical, Level::High].into_iter().find(|level| level.name() == word);
    known.ok_or_else(|| "there are critical and high".to_owned())
}

/// Each runtime by its name.
const RUNTIMES: [(Option<Runtime>, &str, &str); 3] = [
    (Some(Runtime::Runc), Runtime::Runc.name(), "of Docker, containerd and Kubernetes"),
    (Some(Runtime::Crun), Runtime::Crun.name(), "of Podman"),
    (None, "none", "no runtime: exactly what was seen"),
];

/// What was asked for, resolved.
pub(super) struct Seccomp {
    pub(super) options: Options,
    fail_on: Option<Level>,
    accepted: Accepted,
}

/// What is wrong with a profile by what was asked for.
#[derive(Default)]
pub(super) struct Findings {
    /// Calls that are not justified, one a line.
    pub(super) risky: Vec<String>,
    /// What is to be said of the justifications.
    pub(super) notes: Vec<String>,
}

impl SeccompArgs {
    /// What was asked for.
    ///
    /// # Errors
    /// For words that exclude each other, and files that cannot be used.
    pub(super) fn resolve(&self) -> Result<Seccomp> {
        if self.runtime.len() > 1 && self.runtime.contains(&None) {
            bail!("--runtime none stands alone: it is for exactly what was seen");
        }
        if self.within.is_some() && self.errno == Refusal::Log {
            bail!("--errno log lets every call through, and --within none beyond its own: choose one of them");
        }
        let accepted = self.justify.as_deref().map_or_else(|| Ok(Accepted::default()), read_accepted)?;
        let risky = risk::dangerous().map(|(name, _)| name);
        let justified =
            risky.filter(|name| accepted.clone().reason_for(Kind::Syscall, name, Direction::Added).is_some());
        let mut options = Options {
            target: self.target,
            runtimes: self.runtime.iter().flatten().copied().collect(),
            no_new_privs: self.no_new_privs,
            refusal: self.errno,
            arguments: self.args,
            portable: self.portable.iter().copied().collect(),
            vdso: self.vdso,
            deny_risky: self.deny.is_some(),
            justified: justified.filter_map(|name| name.parse().ok()).collect(),
            within: None,
        };
        options.within = self.within.as_deref().map(|path| limit(path, &options)).transpose()?;
        Ok(Seccomp { options, fail_on: self.fail_on, accepted })
    }
}

impl Seccomp {
    /// What is wrong with the profile for `needs`.
    pub(super) fn findings(&self, needs: &Needs<'_>) -> Findings {
        let mut accepted = self.accepted.clone();
        let left_out = |name: &str| {
            self.options.deny_risky && !self.options.justified.iter().any(|call| call.name() == Some(name))
        };
        let mut risky = Vec::new();
        for (name, level, risk) in risk::made(needs) {
            let reason = accepted.reason_for(Kind::Syscall, name, Direction::Added);
            if reason.is_none() && self.fail_on.is_some_and(|least| level >= least) && !left_out(name) {
                risky.push(format!("{}: {} ({})", risk.what, risk.why, level.name()));
            }
        }
        Findings { risky, notes: accepted.notes() }
    }
}

/// The profile that is never exceeded: a file's, or that of a record with what options add to it.
fn limit(path: &Path, options: &Options) -> Result<policy::seccomp::Seccomp> {
    let limit = match Input::read(path, &host::here(host::DOCKER)?)? {
        Input::Policies(policies) => {
            let profile = policies.into_iter().find_map(|policy| match policy {
                Policy::Seccomp(profile) => Some(profile),
                Policy::AppArmor(_) | Policy::Caps(_) => None,
            });
            profile.with_context(|| format!("{} is neither a seccomp profile nor a record", path.display()))?
        }
        Input::Record(record) => {
            let any = Options { arguments: Degree::Off, deny_risky: false, ..options.clone() };
            Derived::new(&infer(&record, &infer::Options::default()), &any).profile
        }
    };
    let abi = crate::abi::Abi::native();
    let actions = limit.actions(abi, &Syscall::Named("execve".into()), &Arguments(Vec::new()));
    if !limit.covers(abi) || actions.iter().all(|action| action.admits() == Some(false)) {
        bail!("{} forbids execve, without which no program starts: allow it", path.display());
    }
    Ok(limit)
}
