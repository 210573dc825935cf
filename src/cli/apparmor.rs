//! Arguments about the AppArmor profile.

use super::words::one_of;
use crate::infer::{Globs, Options};

/// The part of the help in which they stand.
const HEADING: &str = "AppArmor profile";

/// Arguments about the AppArmor profile.
#[derive(Clone, Debug, clap::Args)]
pub struct AppArmorArgs {
    /// How far paths are generalised
    #[arg(long, help_heading = HEADING, value_name = "DEGREE", default_value = "safe", value_parser = one_of(&Globs::NAMES))]
    globs: Globs,

    /// Tell in every profile who showed what it allows, in one line each
    #[arg(long)]
    comments: bool,
}

impl AppArmorArgs {
    /// What was asked for.
    pub(super) const fn options(&self) -> Options {
        Options { globs: self.globs, comments: self.comments }
    }
}
