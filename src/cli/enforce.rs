//! `learn enforce`: runs a workload under a profile and tells what that denies.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::denials::Denials;
use super::exit::{Exit, Failure};
use super::folder::RECORD;
use super::io::{self, Destination, visible};
use super::session::{status_of, unix_ms};
use super::summary::{self, plural};
use super::{host, keep, launch, run};
use crate::abi::Syscall;
use crate::capture::confine::{self, Confinement, Instruction};
use crate::capture::ptrace::Ptrace;
use crate::capture::{Backend, Workload};
use crate::event::Finished;
use crate::fact::{Arguments, CapabilitySet};
use crate::policy::seccomp::{Host, Seccomp};
use crate::record::{Moment, Record, Run, RunId};

/// The profile's name in its folder.
const PROFILE: &str = "seccomp.json";

/// Run a program under a profile, and tell what it denies
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Examples:
  learn enforce --profile nginx.learned -- nginx
  learn enforce --profile seccomp.json --caps NET_BIND_SERVICE,SETUID --no-new-privs -- ./server
  learn enforce --caps nginx.learned/capabilities.txt --strict -- nginx -t
  learn enforce --profile nginx.learned --learn -- nginx
  learn enforce --profile nginx.learned --complain -- nginx")]
pub struct EnforceArgs {
    /// The program to run, and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = clap::ValueHint::CommandWithArguments)]
    workload: Vec<OsString>,

    /// A seccomp profile in the OCI or in Docker's form, or the folder of a run
    #[arg(long, value_name = "FILE|DIR", required_unless_present = "caps")]
    profile: Option<PathBuf>,

    /// The capabilities to keep: names with commas, `none`, or a capabilities.txt; all others are dropped
    #[arg(long, value_name = "LIST|FILE")]
    caps: Option<String>,

    /// Set `no_new_privs`; without root it is set anyway
    #[arg(long)]
    no_new_privs: bool,

    /// Tell what would be denied, and allow it
    #[arg(long)]
    complain: bool,

    /// Exit with 1 when anything was denied
    #[arg(long)]
    strict: bool,

    /// Add what was denied to the record beside the profile, after showing it
    #[arg(long, requires = "profile")]
    learn: bool,

    /// No summary
    #[arg(short, long)]
    quiet: bool,

    /// Run the program as this user (as root only)
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
}

/// Does it.
///
/// # Errors
/// With 2 for a profile that cannot be used; otherwise as a run.
pub(super) fn run(args: &EnforceArgs) -> Result<Exit, Failure> {
    let failed = |error: anyhow::Error| Exit::FAILED.because(error);
    let kept = args.caps.as_deref().map(keep::capabilities).transpose().map_err(failed)?;
    let profile = profile(args, kept).map_err(failed)?;
    let book = if args.learn { Some(Book::open(args).map_err(failed)?) } else { None };
    let filter = compiled(&profile).map_err(failed)?;
    let workload = launch::workload(&args.workload, args.user.as_deref()).map_err(run::not_launched)?;
    let confinement = Confinement { capabilities: kept, no_new_privs: args.no_new_privs, filter: Some(filter) };
    let workload = Workload { confinement, ..workload };

    let record_of_run = run::this_run(&workload);
    let mut denials = Denials::new(&profile, args.complain);
    let finished = Ptrace { thin_after: None }.run(&workload, &mut denials).map_err(run::not_captured)?;
    let status = finished.root.and_then(status_of);
    if !args.quiet {
        let name = args.workload.first().map(|word| word.to_string_lossy()).unwrap_or_default();
        tell(&format!("\n{} {}; {}", visible(&name), summary::how_it_ended(status), denials.summary()));
    }
    if let Some(book) = book {
        let run = Run { status, complete: true, exact_counts: false, ..record_of_run };
        let said = book.add(&denials, run, &finished).map_err(|error| Exit::RUN_FAILED.because(error))?;
        tell(&said);
    }
    if args.strict && !denials.is_empty() {
        return Ok(Exit::FOUND);
    }
    Ok(status.map_or(Exit::RUN_FAILED, Exit::of_status))
}

#[expect(clippy::print_stderr, reason = "standard error is for talk")]
fn tell(text: &str) {
    eprint!("{text}");
}

/// The profile that was asked for; one that allows everything when only capabilities are to go.
fn profile(args: &EnforceArgs, kept: Option<u64>) -> Result<Seccomp> {
    let Some(path) = &args.profile else { return Ok(Seccomp::allowing()) };
    let host = host::here(kept.map_or_else(host::bounding, |kept| Ok(CapabilitySet(kept)))?)?;
    read(path, &host, args.complain)
}

/// The filter of a profile, in which only denied calls stop.
fn compiled(profile: &Seccomp) -> Result<Vec<Instruction>> {
    if *profile == Seccomp::allowing() {
        return Ok(confine::nothing_denied());
    }
    let compiled = profile.compile_asking()?;
    for call in &compiled.unknown {
        log::info!("libseccomp does not know `{call}`: a runtime gives it the profile's default action");
    }
    Ok(compiled.program)
}

/// The profile of a file or folder; one under which nothing could be executed is refused unless it is not enforced.
fn read(path: &Path, host: &Host, complain: bool) -> Result<Seccomp> {
    let file = if path.is_dir() { path.join(PROFILE) } else { path.to_owned() };
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let profile = Seccomp::parse_for(&text, host).with_context(|| file.display().to_string())?;
    let actions = profile.actions(host.abi, &Syscall::Named("execve".into()), &Arguments(Vec::new()));
    let possible = profile.covers(host.abi) && actions.iter().any(|action| action.admits() == Some(true));
    if !complain && !possible {
        bail!("{} forbids execve, without which no program starts: allow it, or use --complain", file.display());
    }
    Ok(profile)
}

/// The record that denials are added to.
struct Book {
    file: PathBuf,
    record: Record,
}

impl Book {
    /// Reads it and makes sure that it can be written, before anything runs.
    fn open(args: &EnforceArgs) -> Result<Self> {
        let profile = args.profile.as_deref().context("--learn needs --profile")?;
        let folder = if profile.is_dir() { profile } else { profile.parent().unwrap_or(Path::new(".")) };
        let folder = if folder == Path::new("") { Path::new(".") } else { folder };
        let file = folder.join(RECORD);
        let record = io::read_record(&file).context("--learn adds to the record beside the profile")?;
        io::prepare_folder(folder)?;
        Ok(Self { file, record })
    }

    /// Adds what was denied in a run. Returns what to say of it.
    fn add(mut self, denials: &Denials<'_>, run: Run, finished: &Finished) -> Result<String> {
        let moment = Moment { run: RunId(getrandom::u64()?), at_ms: unix_ms(), by: None };
        let news = denials.add_to(&mut self.record, moment);
        let file = self.file.display();
        if denials.is_empty() {
            return Ok(format!("  nothing to add to {file}\n"));
        }
        let elapsed_ms = finished.elapsed.as_millis().try_into().unwrap_or(u64::MAX);
        self.record.runs.insert(moment.run, Run { elapsed_ms, ..run });
        io::write_record(&Destination::File(self.file.clone()), &self.record)?;
        let folder = self.file.parent().unwrap_or(Path::new(".")).display();
        Ok(format!(
            "  added to {file}: {}; profiles of it: learn render {file} -o {folder}\n",
            plural(news, "new thing", "new things")
        ))
    }
}
