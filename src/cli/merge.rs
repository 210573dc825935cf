//! `learn merge`: many records as one.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::exit::Exit;
use super::io::{self, Destination};
use crate::record::Record;
use crate::record::merge::{Programs, merge};

/// Join records into one; a run that is in several of them counts once
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  learn merge a.json b.json -o all.json
  learn merge runs/*/learned.json | learn render - --format seccomp -o -")]
pub struct MergeArgs {
    /// The records; `-` for standard input
    #[arg(value_name = "RECORD", required = true)]
    records: Vec<PathBuf>,

    /// File to write to; `-` for standard output
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    output: OsString,

    /// Join records of different programs too
    #[arg(long)]
    any_program: bool,
}

/// Does it.
pub(super) fn run(args: &MergeArgs) -> Result<Exit> {
    let programs = if args.any_program { Programs::Any } else { Programs::Same };
    let mut all = Record::default();
    for path in &args.records {
        let record = io::read_record(path)?;
        merge(&mut all, record, programs)
            .with_context(|| format!("{} does not belong to the others (--any-program joins them)", path.display()))?;
    }
    io::write_record(&Destination::from(args.output.as_os_str()), &all)?;
    Ok(Exit::SUCCESS)
}
