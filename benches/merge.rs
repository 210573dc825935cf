//! What it costs to merge 1,000 records of 5,000 facts each.
//!
//! `cargo bench --bench merge` prints time and peak of `learn merge`; the promise is 5 s and 500 MB.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use learn::event::Outcome;
use learn::fact::{Access, Fact, FileFact};
use learn::path::AbsPath;
use learn::record::{Invocation, Moment, Record, RunId, file};
use nix::sys::resource::{UsageWho, getrusage};

const RECORDS: u64 = 1000;
const FACTS: u64 = 5000;

/// One run's record: nine of ten files are those of every run.
fn record(number: u64) -> Result<Record, Box<dyn Error>> {
    let program = AbsPath::new(b"/usr/bin/service")?;
    let mut record = Record { program: Some(program.clone()), ..Record::default() };
    let invocation = Invocation::new(Vec::new(), vec!["service".to_owned(), format!("--node={number}")]);
    // Random in effect, as the ids of runs are.
    let run = RunId(number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let moment = Moment { run, at_ms: 1_700_000_000_000 + number, by: Some(invocation.id()) };
    record.invoked(&program, invocation, moment);
    for fact in 0..FACTS {
        let owner = if fact % 10 == 0 && fact / 10 % 50 == number % 50 { number } else { 0 };
        let path = format!("/srv/service/{owner}/share/part-{}/file-{fact}.txt", fact % 97);
        let path = AbsPath::new(path.as_bytes())?;
        let fact = FileFact { path, access: Access::READ | Access::STAT, owner: fact % 2 == 0, directory: false };
        record.absorb(&program, Fact::File(fact), Outcome::Returned(3), moment);
    }
    Ok(record)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("learn-merge-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let merged = merge(&folder);
    fs::remove_dir_all(&folder)?;
    merged
}

fn merge(folder: &Path) -> Result<(), Box<dyn Error>> {
    let mut bytes = 0;
    let mut files = Vec::new();
    for number in 0..RECORDS {
        let path = folder.join(format!("{number}.json"));
        file::write(&record(number)?, fs::File::create(&path)?)?;
        bytes += fs::metadata(&path)?.len();
        files.push(path);
    }
    for option in [None, Some("--intersect")] {
        let began = Instant::now();
        let mut learn = Command::new(env!("CARGO_BIN_EXE_learn"));
        learn.arg("merge").args(option).args(&files).arg("-o").arg(folder.join("all.json"));
        let status = learn.stdin(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("learn ended with {status}").into());
        }
        let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() / 1000;
        let (seconds, what) = (began.elapsed().as_secs_f64(), option.unwrap_or("merge"));
        println!(
            "{what:<12} {RECORDS} records, {FACTS} facts each, {} MB {seconds:>6.2} s   peak {peak:>4} MB",
            bytes / 1_000_000
        );
    }
    Ok(())
}
