//! Arguments about the seccomp profile.

use anyhow::{Result, bail};

use super::words::one_of;
use crate::policy::seccomp::{Options, Refusal, Runtime, Target};

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
}

/// Each runtime by its name.
const RUNTIMES: [(Option<Runtime>, &str, &str); 3] = [
    (Some(Runtime::Runc), Runtime::Runc.name(), "of Docker, containerd and Kubernetes"),
    (Some(Runtime::Crun), Runtime::Crun.name(), "of Podman"),
    (None, "none", "no runtime: exactly what was seen"),
];

impl SeccompArgs {
    /// What was asked for.
    ///
    /// # Errors
    /// For words that exclude each other.
    pub(super) fn options(&self) -> Result<Options> {
        if self.runtime.len() > 1 && self.runtime.contains(&None) {
            bail!("--runtime none stands alone: it is for exactly what was seen");
        }
        Ok(Options {
            target: self.target,
            runtimes: self.runtime.iter().flatten().copied().collect(),
            no_new_privs: self.no_new_privs,
            refusal: self.errno,
        })
    }
}
