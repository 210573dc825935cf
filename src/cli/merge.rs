//! `learn merge`: many records as one.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Error, Result, anyhow, bail};

use super::exit::Exit;
use super::io::{self, Destination};
use crate::fact::{Gap, GapKind};
use crate::path::AbsPath;
use crate::record::Record;
use crate::record::file::{self, ReadError};
use crate::record::merge::{Facts, Merger};

/// Files up to this length, in bytes, are read as a whole, which is quicker.
const WHOLE: u64 = 64 << 20;

/// How many records are read at the same time at most: each takes memory.
const READERS: usize = 4;

/// Join records into one; a run that is in several of them counts once
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  learn merge a.json b.json -o all.json
  learn merge runs/*/learned.json | learn render - --format seccomp -o -
  learn merge --intersect old/*.json -o needed-by-every-run.json
  learn merge --skip-damaged fleet/*.json -o fleet.json")]
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

    /// Keep only what every record holds, with the outcomes that all of them saw
    #[arg(long)]
    intersect: bool,

    /// Leave out records that are damaged or cut off; each becomes a gap
    #[arg(long)]
    skip_damaged: bool,
}

/// Does it.
pub(super) fn run(args: &MergeArgs) -> Result<Exit> {
    let mut all = Joined::new(args);
    for part in parts(args)? {
        all.merger.join(part.merger);
        all.programs.extend(part.programs);
        all.skipped.extend(part.skipped);
    }
    if !args.any_program {
        same_program(args, &all.programs)?;
    }
    let Some(mut record) = all.merger.finish() else {
        let why = all.skipped.iter().map(|gap| gap.detail.as_str()).collect::<Vec<_>>();
        bail!("none of the records could be read: {}", why.join("; "));
    };
    for gap in all.skipped {
        log::warn!("{}", gap.detail);
        record.gap(gap);
    }
    io::write_record(&Destination::from(args.output.as_os_str()), &record)?;
    Ok(Exit::SUCCESS)
}

fn same_program(args: &MergeArgs, programs: &BTreeMap<usize, AbsPath>) -> Result<()> {
    let mut others = programs.iter().skip_while(|(_, program)| Some(*program) == programs.values().next());
    let (Some((number, other)), Some(one)) = (others.next(), programs.values().next()) else {
        return Ok(());
    };
    let file = args.records.get(*number).map(|path| path.display().to_string()).unwrap_or_default();
    bail!("{file} does not belong to the others (--any-program joins them): one record is of {one}, another of {other}")
}

/// What one reader joined.
struct Joined {
    merger: Merger,
    /// By the number of the record.
    programs: BTreeMap<usize, AbsPath>,
    skipped: BTreeSet<Gap>,
    /// Why it stopped, at which record.
    failed: Option<(usize, Error)>,
}

impl Joined {
    fn new(args: &MergeArgs) -> Self {
        let merger = Merger::new(if args.intersect { Facts::OfAll } else { Facts::OfAny });
        Self { merger, programs: BTreeMap::new(), skipped: BTreeSet::new(), failed: None }
    }

    fn add(&mut self, number: usize, path: &Path, skip: bool) -> Result<()> {
        match read(path) {
            Ok(record) => {
                self.programs.extend(record.program.clone().map(|program| (number, program)));
                self.merger.add(record);
            }
            Err(error) if skip && is_damaged(&error) => {
                let detail = format!("the record {} was left out: {}", path.display(), error.root_cause());
                self.skipped.insert(Gap { kind: GapKind::Skipped, detail });
            }
            Err(error) if is_damaged(&error) => {
                return Err(error.context("nothing was merged (--skip-damaged leaves such records out)"));
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Joins the records in several readers, each taking the next one. In which order they are joined changes nothing.
///
/// # Errors
/// That of the first record that cannot be read.
fn parts(args: &MergeArgs) -> Result<Vec<Joined>> {
    let next = AtomicUsize::new(0);
    let reader = || {
        let mut joined = Joined::new(args);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(path) = args.records.get(number) else {
                return joined;
            };
            if let Err(error) = joined.add(number, path, args.skip_damaged) {
                joined.failed = Some((number, error));
                return joined;
            }
        }
    };
    let readers = thread::available_parallelism().map_or(1, usize::from).min(READERS).min(args.records.len());
    let mut parts = thread::scope(|scope| {
        let started: Vec<_> = (0..readers).map(|_| scope.spawn(reader)).collect();
        let ended = started.into_iter().map(thread::ScopedJoinHandle::join);
        ended.map(|part| part.map_err(|_| anyhow!("a reader ended unexpectedly"))).collect::<Result<Vec<_>>>()
    })?;
    let failed = parts.iter_mut().filter_map(|part| part.failed.take());
    failed.min_by_key(|(number, _)| *number).map_or(Ok(parts), |(_, error)| Err(error))
}

fn read(path: &Path) -> Result<Record> {
    let small = fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.len() <= WHOLE);
    if !small {
        return io::read_record(path);
    }
    let bytes = fs::read(path).with_context(|| format!("cannot open {}", path.display()))?;
    file::parse(&bytes).with_context(|| path.display().to_string())
}

/// Whether a record is broken, rather than absent or of another version.
fn is_damaged(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(ReadError::Malformed { .. } | ReadError::TooLong))
}
