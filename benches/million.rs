//! What a record of one million distinct paths costs: memory to hold it, time to write, read and render it.
//!
//! `cargo bench --bench million` prints one line a step, and fails beyond 400 MB; the promise is 10 s.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::io::sink;
use std::time::Instant;

use learn::event::Outcome;
use learn::fact::{Access, Fact, FileFact};
use learn::infer::{Options, infer};
use learn::path::AbsPath;
use learn::policy;
use learn::record::{Moment, Record, RunId, file};
use learn::render::{FORMATS, ProfileName, Templates};

const PATHS: u32 = 1_000_000;

/// The largest resident set so far, in MB.
fn peak() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("no VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1000)
}

fn main() -> Result<(), Box<dyn Error>> {
    let program = AbsPath::new(b"/usr/bin/indexer")?;
    let mut record = Record { program: Some(program.clone()), ..Record::default() };
    let mut began = Instant::now();
    let mut step = |what: &str| -> Result<(), Box<dyn Error>> {
        println!("{what:<22} {:>6.2} s   peak {:>4} MB", began.elapsed().as_secs_f64(), peak()?);
        began = Instant::now();
        Ok(())
    };
    for number in 0..PATHS {
        // Spread, so that they do not come in the order of their names.
        let spread = number.wrapping_mul(2_654_435_761);
        let path = format!("/srv/mirror/{:02x}/package-{spread:08x}/usr/share/doc/file-{number}.txt", spread >> 24);
        let fact =
            FileFact { path: AbsPath::new(path.as_bytes())?, access: Access::READ, owner: false, directory: false };
        let moment = Moment { run: RunId(1), at_ms: 1_700_000_000_000 + u64::from(number), by: None };
        record.absorb(&program, Fact::File(fact), Outcome::Returned(3), moment);
    }
    step("absorb")?;
    let path = std::env::temp_dir().join(format!("learn-million-{}.json", std::process::id()));
    file::write(&record, std::fs::File::create(&path)?)?;
    step("write")?;
    drop(record);
    let record = file::read(std::fs::File::open(&path)?)?;
    std::fs::remove_file(&path)?;
    step("read")?;
    let (name, templates) = (ProfileName::of(None), Templates::new([].into())?);
    let needs = infer(&record, &Options::default());
    step("infer")?;
    for format in FORMATS {
        format.render(&needs, &policy::Options::default(), &name, &templates, &mut sink())?;
        step(&format!("render {}", format.name))?;
    }
    match peak()? {
        0..=400 => Ok(()),
        more => Err(format!("{more} MB are more than the 400 MB promised").into()),
    }
}
