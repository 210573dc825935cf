//! Whether the learner's memory stays flat in the number of system calls.
//!
//! `cargo bench --bench flat` prints the peak of the learner and of all that it ran; the promise is 64 MB for 50 million
//! calls. Two lines stop at every call, so that what each one leaves behind would show.
#![expect(clippy::print_stdout, reason = "the figures are what it is for")]

use std::error::Error;
use std::process::{Command, Stdio};
use std::time::Instant;

use nix::sys::resource::{UsageWho, getrusage};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::temp_dir().join(format!("learn-flat-{}", std::process::id()));
    for (how, copies) in [("every call stops", 50_000_u64), ("every call stops", 500_000), ("thinned", 25_000_000)] {
        let began = Instant::now();
        let mut learn = Command::new(env!("CARGO_BIN_EXE_learn"));
        learn.args(["--quiet", "--fresh", "-o"]).arg(&folder);
        if how != "thinned" {
            learn.arg("--no-thin");
        }
        learn.args(["--", "dd", "if=/dev/zero", "of=/dev/null", "bs=1", "status=none"]).arg(format!("count={copies}"));
        let status = learn.stdin(Stdio::null()).status()?;
        if !status.success() {
            return Err(format!("learn ended with {status}").into());
        }
        let peak = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() / 1000;
        let seconds = began.elapsed().as_secs_f64();
        println!("{:>9} calls, {how:<16} {seconds:>6.2} s   peak {peak:>4} MB", 2 * copies);
    }
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
