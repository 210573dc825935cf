//! `learn -- PROGRAM`: runs a workload and learns.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use super::exit::{Exit, Failure};
use super::outputs;

/// Arguments of a run.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// The program to learn from, and its arguments
    #[arg(last = true, value_name = "PROGRAM", value_hint = clap::ValueHint::CommandWithArguments)]
    pub workload: Vec<OsString>,

    /// Folder for the record and the profiles [default: ./PROGRAM.learned]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// Which profiles.
    #[command(flatten)]
    pub outputs: outputs::OutputArgs,

    /// End the workload after this time, such as 90s or 5m
    #[arg(long = "for", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub limit: Option<Duration>,

    /// End the workload when nothing new was learned for this time
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub until_quiet: Option<Duration>,

    /// Run the workload as this user (as root only)
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,

    /// Start a new record, and keep the old one beside it
    #[arg(long)]
    pub fresh: bool,

    /// No status line and no summary
    #[arg(short, long)]
    pub quiet: bool,

    /// Exit with 125 when anything was not seen
    #[arg(long)]
    pub strict: bool,
}

/// Does it.
///
/// # Errors
/// With 125, 126 or 127.
pub fn run(_: &RunArgs) -> Result<Exit, Failure> {
    Err(Exit::RUN_FAILED.because(anyhow::anyhow!("learning is not built in yet")))
}
