//! `learn explain`: why something is in a profile.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::exit::Exit;
use super::folder::RECORD;
use super::io::{self, Destination};
use super::outputs;
use crate::explain::{Answer, Book, show};

/// Tell who did something, when, in which runs, and which rules it leads to
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 explained, 1 something was not seen, 2 failure, or an item that could mean several things.

Examples:
  learn explain nginx.learned CAP_CHOWN openat /etc/passwd
  learn explain nginx.learned '/var/log/nginx/*' 'port 80' sigterm
  learn explain nginx.learned '  owner /etc/ssl/openssl.cnf r,'      a line of a profile, as it stands
  learn explain nginx.learned signal:kill                            one of several things of this name")]
pub struct ExplainArgs {
    /// The record, or the folder of a run; `-` for standard input
    #[arg(value_name = "RECORD")]
    record: PathBuf,

    /// A system call, path, pattern, capability, socket, program, signal or the like, or a line of a profile
    #[arg(value_name = "ITEM", required = true, allow_hyphen_values = true)]
    items: Vec<String>,

    /// Write JSON
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    outputs: outputs::OutputArgs,
}

/// Does it.
pub(super) fn run(args: &ExplainArgs) -> Result<Exit> {
    let outputs = outputs::Outputs::new(&args.outputs)?;
    let record = io::read_record(&inner(&args.record))?;
    let needs = outputs.needs(&record);
    let texts = outputs.texts(&needs)?;
    let book = Book::new(&record, &needs, &texts);
    let answers: Vec<_> = args.items.iter().map(|item| book.explain(item)).collect();
    io::write(&Destination::Stdout, |out| {
        if args.json {
            serde_json::to_writer_pretty(&mut *out, &answers)?;
            return Ok(writeln!(out)?);
        }
        let texts: Vec<_> = answers.iter().map(show::text).collect();
        Ok(out.write_all(texts.join("\n").as_bytes())?)
    })?;
    let any = |wanted: fn(&Answer) -> bool| answers.iter().any(wanted);
    Ok(match () {
        () if any(|answer| matches!(answer, Answer::Ambiguous { .. })) => Exit::FAILED,
        () if any(|answer| matches!(answer, Answer::Unknown { .. })) => Exit::FOUND,
        () => Exit::SUCCESS,
    })
}

/// The record of a folder, or the file itself.
fn inner(path: &Path) -> PathBuf {
    if path.is_dir() { path.join(RECORD) } else { path.to_owned() }
}
