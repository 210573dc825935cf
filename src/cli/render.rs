//! `learn render`: a record as profiles.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::exit::Exit;
use super::{io, outputs, run};

/// Write the profiles of a record again, without running the workload
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  learn render nginx.learned/learned.json
  learn render nginx.learned/learned.json --format seccomp -o -
  learn render all.json --format apparmor --name web -o profiles --templates my-templates")]
pub struct RenderArgs {
    /// The record, a learned.json; `-` for standard input
    #[arg(value_name = "RECORD")]
    record: PathBuf,

    /// Folder to write to, by default the record's own; `-` for standard output
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,

    #[command(flatten)]
    outputs: outputs::OutputArgs,

    /// Exit with 1 when anything was not seen, or lies beyond --within
    #[arg(long)]
    strict: bool,
}

/// Does it.
pub(super) fn run(args: &RenderArgs) -> Result<Exit> {
    let outputs = outputs::Outputs::new(&args.outputs)?;
    let stdin = args.record == Path::new("-");
    let folder = match (&args.output, args.record.parent()) {
        (Some(folder), _) => folder.as_path(),
        (None, _) if stdin => bail!("say with -o where to write what was read from standard input"),
        (None, Some(parent)) if parent != Path::new("") => parent,
        (None, _) => Path::new("."),
    };
    let record = io::read_record(&args.record)?;
    let needs = outputs.needs(&record);
    if folder == Path::new("-") {
        outputs.print(&needs)?;
    } else {
        for file in outputs.write(&needs, folder)? {
            log::info!("wrote {}", file.display());
        }
    }
    if let Err(finding) = run::judge(&outputs, &needs, args.strict) {
        log::warn!("{finding:#}");
        return Ok(Exit::FOUND);
    }
    Ok(Exit::SUCCESS)
}
