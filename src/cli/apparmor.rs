//! Arguments about the AppArmor profile.

use super::words::one_of;
use crate::infer::{self, Globs};
use crate::policy::apparmor::{Exec, Options};

/// The part of the help in which they stand.
const HEADING: &str = "AppArmor profile";

/// Arguments about the AppArmor profile.
#[derive(Clone, Debug, clap::Args)]
pub struct AppArmorArgs {
    /// How far paths are generalised
    #[arg(long, help_heading = HEADING, value_name = "DEGREE", default_value = "safe", value_parser = one_of(&Globs::NAMES))]
    globs: Globs,

    /// What the programs that the workload executes run under
    #[arg(long, help_heading = HEADING, value_name = "HOW", default_value = "inherit", value_parser = one_of(&Exec::NAMES))]
    exec: Exec,

    /// Tell in a comment for each file rule why it is there
    #[arg(long, help_heading = HEADING)]
    comments: bool,
}

impl AppArmorArgs {
    /// What was asked of needs.
    pub(super) fn needs(&self) -> infer::Options {
        infer::Options { globs: self.globs, comments: self.comments, shares: self.exec != Exec::Inherit }
    }

    /// What was asked of the profile.
    pub(super) fn options(&self) -> Options {
        Options { exec: self.exec, ..Options::default() }
    }
}
