//! `learn -- PROGRAM`: runs a workload and learns.
//!
//! Prepares everything that can go wrong before the workload starts, then wires capture to decode to record.

use std::collections::BTreeSet;
use std::ffi::{CString, OsString};
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use nix::sys::utsname::uname;
use nix::unistd::{Gid, getgid, getgroups, getuid};

use super::exit::{Exit, Failure};
use super::folder::{self, Folder, RECORD};
use super::launch::{self, LaunchError};
use super::outputs::{self, Outputs};
use super::session::{Limits, Session, status_of, unix_ms};
use super::status::StatusLine;
use super::witness::Witness;
use super::{io, summary};
use crate::capture::ptrace::Ptrace;
use crate::capture::{Backend, CaptureError, Workload};
use crate::event::Ended;
use crate::infer::Needs;
use crate::record::Run;

/// Arguments of a run.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub struct RunArgs {
    /// The program to learn from, and its arguments
    #[arg(last = true, value_name = "PROGRAM", value_hint = clap::ValueHint::CommandWithArguments)]
    pub workload: Vec<OsString>,

    /// Folder for the record and the profiles [default: ./PROGRAM.learned]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,

    /// About the profiles
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

    /// Another record whose calls need not be seen again, for speed
    #[arg(long, value_name = "RECORD")]
    pub known: Option<PathBuf>,

    /// Stop at every call: slow, with exact counts
    #[arg(long)]
    pub no_thin: bool,

    /// Stops without news after which a process stops for new calls only
    #[arg(long, value_name = "STOPS", hide = true)]
    pub thin_after: Option<u32>,

    /// Also ask the kernel which capabilities it asked for (as root, Linux 6.14)
    #[arg(long)]
    pub kernel_evidence: bool,

    /// No status line and no summary
    #[arg(short, long)]
    pub quiet: bool,

    /// Exit with 125 when anything was not seen, or lies beyond --within
    #[arg(long)]
    pub strict: bool,
}

/// Does it.
///
/// # Errors
/// With 125, or with 126 or 127 when the program cannot be executed.
pub fn run(args: &RunArgs) -> Result<Exit, Failure> {
    let failed = |error: anyhow::Error| Exit::RUN_FAILED.because(error);
    let outputs = Outputs::new(&args.outputs).map_err(|error| Exit::FAILED.because(error))?.tried().map_err(failed)?;
    let known = args.known.as_deref().map(io::read_record).transpose().map_err(failed)?;
    let workload = launch::workload(&args.workload, args.user.as_deref()).map_err(not_launched)?;
    let program = args.workload.first().map(OsString::as_os_str).unwrap_or_default();
    let path = args.output.clone().unwrap_or_else(|| folder::default_path(program));
    let folder = Folder::prepare(path, args.fresh, &workload.program).map_err(failed)?;
    let before = folder.record.counts();

    let mut session = Session::new(
        folder.record,
        this_run(&workload),
        Limits { time: args.limit, quiet: args.until_quiet },
        StatusLine::new(args.quiet),
        folder.path.join(RECORD),
    )
    .map_err(failed)?;
    session.witness = Witness::new(args.kernel_evidence).map_err(|error| failed(error.into()))?;
    let thin_after = if args.no_thin { None } else { Some(session.take_for_known(known.as_ref(), args.thin_after)) };
    let finished = Ptrace { thin_after }.run(&workload, &mut session).map_err(not_captured)?;

    let (learned, saved) = session.finish(&finished);
    let record = &learned.record;
    let needs = outputs.needs(record);
    let written = saved.and_then(|()| outputs.write(&needs, &folder.path));
    let written = written.map_err(failed)?;
    if !args.quiet {
        summary::print(&summary::Told {
            learned: &learned,
            needs: &needs,
            outputs: &outputs,
            before,
            finished: &finished,
            folder: &folder.path,
            written: &written,
        });
    }
    judge(&outputs, &needs, args.strict).map_err(failed)?;
    Ok(match finished.root {
        // A limit did what it was asked for.
        Some(Ended::Killed(libc::SIGTERM | libc::SIGKILL)) if learned.stopped => Exit::SUCCESS,
        root => root.and_then(status_of).map_or(Exit::RUN_FAILED, Exit::of_status),
    })
}

/// Tells what of a record is against what was asked for, and fails on it.
///
/// # Errors
/// For calls of high risk that are not justified (`--fail-on`), and when `strict` for what was not seen and what was seen
/// beyond `--within`.
pub(super) fn judge(outputs: &Outputs, needs: &Needs<'_>, strict: bool) -> anyhow::Result<()> {
    let findings = outputs.findings(needs);
    for note in &findings.notes {
        log::warn!("{note}");
    }
    for line in &findings.risky {
        log::warn!("not justified: {line}");
    }
    let beyond = outputs.seccomp(needs).map(|seccomp| seccomp.beyond).unwrap_or_default();
    for line in &beyond {
        log::warn!("beyond --within: {line}");
    }
    let count = findings.risky.len();
    if count > 0 {
        bail!("{} of high risk not justified, and --fail-on was given", summary::plural(count, "call is", "calls are"));
    }
    if strict && !needs.origin.gaps.is_empty() {
        bail!("not everything was seen (see the gaps in learned.json), and --strict was given");
    }
    if strict && !beyond.is_empty() {
        bail!("more was seen than --within allows, and --strict was given");
    }
    Ok(())
}

/// What is known of this run before it begins.
pub(super) fn this_run(workload: &Workload) -> Run {
    let system = uname().ok();
    let text = |pick: fn(&nix::sys::utsname::UtsName) -> &std::ffi::OsStr| {
        system.as_ref().map(|system| pick(system).to_string_lossy().into_owned()).unwrap_or_default()
    };
    let own_groups = || getgroups().unwrap_or_default().into_iter().map(Gid::as_raw).collect();
    let (uid, gid, mut groups) = workload.user.as_ref().map_or_else(
        || (getuid().as_raw(), getgid().as_raw(), own_groups()),
        |user| (user.uid, user.gid, user.groups.clone()),
    );
    groups.retain(|group| *group != gid);
    groups.sort_unstable();
    groups.dedup();
    Run {
        empty_paths: BTreeSet::new(),
        elapsed_ms: 0,
        complete: false,
        started_ms: unix_ms(),
        command: workload.arguments.iter().map(|word: &CString| crate::path::to_text(word.as_bytes())).collect(),
        status: None,
        kernel: text(nix::sys::utsname::UtsName::release),
        machine: text(nix::sys::utsname::UtsName::machine),
        uid,
        gid,
        groups,
        exact_counts: true,
        peak_processes: 0,
        peak_threads: 0,
        peak_memory_kib: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

pub(super) fn not_launched(error: LaunchError) -> Failure {
    match error {
        LaunchError::NotInPath(_) | LaunchError::Missing(_) => Exit::NOT_FOUND,
        LaunchError::NotExecutable { .. } => Exit::NOT_EXECUTABLE,
        _ => Exit::RUN_FAILED,
    }
    .because(error)
}

pub(super) fn not_captured(error: CaptureError) -> Failure {
    match &error {
        CaptureError::Execute { source, .. } if source.kind() == ErrorKind::NotFound => Exit::NOT_FOUND,
        CaptureError::Execute { .. } => Exit::NOT_EXECUTABLE,
        _ => Exit::RUN_FAILED,
    }
    .because(error)
}
