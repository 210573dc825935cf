//! `learn check`: whether a release needs anything that a record or a profile does not cover.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use super::denial::end;
use super::denials::Denials;
use super::exit::Exit;
use super::io::{self, Destination, visible};
use super::session::{Limits, Session, status_of};
use super::sides::{Input, Policy};
use super::status::StatusLine;
use super::{host, keep, launch, run};
use crate::abi::{Abi, Syscall};
use crate::capture::confine::Confinement;
use crate::capture::ptrace::Ptrace;
use crate::capture::{Backend, Workload};
use crate::check::{Uncovered, judged, uncovered};
use crate::diff::{Direction, Kind, Level, Side, compare};
use crate::event::Finished;
use crate::fact::CapabilitySet;
use crate::infer;
use crate::policy::Verdict;
use crate::policy::apparmor::text::Document;
use crate::policy::seccomp::{Host, Kernel, Seccomp};
use crate::record::Record;

/// Tell what a record or a run needs that a base does not cover
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 covered, 1 not, 2 failure. What only another version of a file, a new temporary name or a
slower machine does counts as covered, as `learn diff` tells it.

Examples:
  learn check --against committed.learned --record staging.learned
  learn check --against docker-default.json --record nginx.learned
  learn check --against nginx.learned/seccomp.json -- nginx -t       runs it; nothing is denied
  learn check --against docker-default.json --caps SYS_ADMIN --arch aarch64 --record a.json")]
pub struct CheckArgs {
    /// What should cover it: a record, the folder of a run, a seccomp profile in the OCI or in Docker's
    /// form, an AppArmor profile, or a list of capabilities
    #[arg(long, value_name = "BASE")]
    against: PathBuf,

    /// The record, or the folder of a run
    #[arg(long, value_name = "NEW", required_unless_present = "workload", conflicts_with = "workload")]
    record: Option<PathBuf>,

    /// A program to run instead, and its arguments; it is not confined
    #[arg(last = true, value_name = "PROGRAM", value_hint = clap::ValueHint::CommandWithArguments)]
    workload: Vec<OsString>,

    /// Write JSON
    #[arg(long)]
    json: bool,

    /// File to write to; `-` for standard output
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    output: OsString,

    /// The container's capabilities, for a profile in Docker's form: names with commas, `none`, or a
    /// capabilities.txt [default: those that Docker gives]
    #[arg(long, value_name = "LIST|FILE")]
    caps: Option<String>,

    /// The machine, for a profile in Docker's form [default: this one]
    #[arg(long, value_name = "ABI", value_parser = abi)]
    arch: Option<Abi>,

    /// The kernel, for a profile in Docker's form, such as 5.10 [default: this one]
    #[arg(long, value_name = "VERSION", value_parser = kernel)]
    kernel: Option<Kernel>,
}

fn abi(name: &str) -> Result<Abi, String> {
    let known = Abi::ALL.into_iter().find(|abi| abi.name() == name);
    known.ok_or_else(|| format!("no such architecture; there are {}", Abi::ALL.map(Abi::name).join(", ")))
}

fn kernel(text: &str) -> Result<Kernel, String> {
    Kernel::of_release(text).ok_or_else(|| "no version of a kernel, such as 5.10".to_owned())
}

/// Something that the base does not cover.
#[derive(Debug, Serialize)]
struct Finding {
    kind: &'static str,
    item: String,
    why: String,
    /// The executables that showed it.
    by: Vec<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    covered: bool,
    uncovered: &'a [Finding],
}

/// Does it.
pub(super) fn run(args: &CheckArgs) -> Result<Exit> {
    let host = settled(args)?;
    let base = Input::read(&args.against, &host)?;
    let items = match &args.record {
        Some(path) => match Input::read(path, &host)? {
            Input::Record(new) => of_record(&base, &new)?,
            Input::Policies(policies) => {
                let names = policies.iter().map(Policy::name).collect::<Vec<_>>();
                bail!("{} is a {}, not a record", path.display(), names.join(" and a "))
            }
        },
        None => of_run(&base, &args.workload)?,
    };
    io::write(&Destination::from(args.output.as_os_str()), |out| {
        if args.json {
            serde_json::to_writer_pretty(&mut *out, &Report { covered: items.is_empty(), uncovered: &items })?;
            return Ok(writeln!(out)?);
        }
        for Finding { kind, item, why, by } in &items {
            let by = if by.is_empty() { String::new() } else { format!(", by {}", by.join(", ")) };
            writeln!(out, "{}", visible(&format!("{kind} {item}: {why}{by}")))?;
        }
        Ok(())
    })?;
    Ok(if items.is_empty() { Exit::SUCCESS } else { Exit::FOUND })
}

fn settled(args: &CheckArgs) -> Result<Host> {
    let caps = args.caps.as_deref().map(keep::capabilities).transpose()?;
    let here = host::here(caps.map_or(host::DOCKER, CapabilitySet))?;
    Ok(Host { abi: args.arch.unwrap_or(here.abi), kernel: args.kernel.unwrap_or(here.kernel), ..here })
}

fn of_record(base: &Input, new: &Record) -> Result<Vec<Finding>> {
    if new.subjects.is_empty() {
        bail!("the record is empty: there is nothing that could be covered");
    }
    let options = infer::Options::default();
    let needs = infer::infer(new, &options);
    Ok(match base {
        Input::Policies(policies) => {
            let found = policies.iter().map(|policy| beyond_policy(policy, new, &needs));
            found.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect()
        }
        Input::Record(old) => beyond(&Side::of_needs(&infer::infer(old, &options)), &Side::of_needs(&needs)),
    })
}

fn beyond_policy(policy: &Policy, new: &Record, needs: &infer::Needs<'_>) -> Result<Vec<Finding>> {
    if let Policy::Seccomp(profile) = policy {
        return Ok(uncovered(profile, new).iter().map(Finding::of_call).collect());
    }
    if let Policy::AppArmor(document) = policy {
        return Ok(beyond_profiles(document, new));
    }
    let (own, needed) = policy.beside(needs)?;
    Ok(beyond(&own, &needed))
}

/// What AppArmor profiles refuse of a record, and what they may refuse.
fn beyond_profiles(document: &Document, new: &Record) -> Vec<Finding> {
    let open = match document.unread.first() {
        Some(unread) => format!("hangs on a rule that is not understood: {}: {}", unread.place, unread.why),
        None => "hangs on whom or what it meets".to_owned(),
    };
    let verdicts = [(Verdict::Denied, "no rule allows it".to_owned()), (Verdict::Unknown, open)];
    let findings = verdicts.into_iter().flat_map(|(verdict, why)| {
        let part = judged(document, new, verdict);
        let options = infer::Options { globs: infer::Globs::Off, ..infer::Options::default() };
        let mut found = beyond(&Side::default(), &Side::of_needs(&infer::infer(&part, &options)));
        // The family of a socket is told by its use.
        found.retain(|finding| finding.kind != Kind::Family.name());
        for finding in &mut found {
            finding.why.clone_from(&why);
        }
        found
    });
    findings.collect()
}

/// What only the new side has, but for what comes and goes by chance.
fn beyond<'r>(base: &Side<'r>, new: &Side<'r>) -> Vec<Finding> {
    let changes = compare(base, new).into_iter().filter(|change| {
        matches!(change.direction, Direction::Added | Direction::Widened) && change.level > Level::Noise
    });
    let items = changes.map(|change| {
        let parts = change.parts.iter().filter(|part| !part.is_empty()).map(AsRef::as_ref).collect::<Vec<_>>();
        let parts = if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) };
        Finding {
            kind: change.item.kind.name(),
            item: format!("{}{parts}", change.item.name),
            why: change.why.to_owned(),
            by: change.because.iter().map(|cause| cause.subject.to_string()).collect(),
        }
    });
    items.collect()
}

/// Runs the program unconfined and sees what it needs. Against a profile only calls that it does not allow stop;
/// against a record only those that it does not hold.
fn of_run(base: &Input, command: &[OsString]) -> Result<Vec<Finding>> {
    let workload = launch::workload(command, None)?;
    if let Input::Policies(policies) = base
        && let [Policy::Seccomp(profile)] = policies.as_slice()
    {
        return complaints(profile, workload);
    }
    let known = base.record();
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let file = folder.path().join("learned.json");
    let (limits, status) = (Limits::default(), StatusLine::new(true));
    let mut session = Session::new(Record::default(), run::this_run(&workload), limits, status, file)?;
    let thin_after = Some(session.take_for_known(known, None));
    let finished = Ptrace { thin_after }.run(&workload, &mut session)?;
    warn_of_status(&finished);
    let (learned, saved) = session.finish(&finished);
    saved?;
    of_record(base, &learned.record)
}

fn complaints(profile: &Seccomp, workload: Workload) -> Result<Vec<Finding>> {
    let filter = Some(profile.compile_asking()?.program);
    let workload = Workload { confinement: Confinement { filter, ..Confinement::default() }, ..workload };
    let mut denials = Denials::new(profile, true);
    let finished = Ptrace { thin_after: None }.run(&workload, &mut denials)?;
    warn_of_status(&finished);
    if let Some(gap) = denials.gaps().next() {
        return Err(anyhow!("{} ({})", gap.detail, gap.kind.name()).context("not everything was seen"));
    }
    let mut items = BTreeMap::<_, Vec<String>>::new();
    for denial in denials.iter() {
        let values = denial.compared.iter().map(|&(index, _, value)| (index, value));
        let item = item(denial.abi, &denial.call, values);
        items.entry((item, end(denial.action))).or_default().extend(denial.subject.as_ref().map(ToString::to_string));
    }
    Ok(items.into_iter().map(|((item, why), by)| Finding { kind: "syscall", item, why, by }).collect())
}

fn warn_of_status(finished: &Finished) {
    match finished.root.and_then(status_of) {
        Some(0) => {}
        Some(status) => log::warn!("the program ended with status {status}: it may not have done all that it does"),
        None => log::warn!("the program was let go alive"),
    }
}

/// A call with those of its arguments that a profile compares.
fn item(abi: Abi, call: &Syscall, values: impl Iterator<Item = (u8, u64)>) -> String {
    let values: Vec<_> = values.map(|(index, value)| format!("argument {index} {value:#x}")).collect();
    let with = if values.is_empty() { String::new() } else { format!(" with {}", values.join(", ")) };
    format!("{abi} {call}{with}")
}

impl Finding {
    fn of_call(found: &Uncovered) -> Self {
        let values = found.arguments.iter().flat_map(|arguments| arguments.0.iter().copied());
        let why = match found.actions.iter().collect::<Vec<_>>()[..] {
            [] => "ends the process: no rules for this ABI".to_owned(),
            [action] if action.admits() != Some(true) => end(*action),
            _ => "hangs on arguments that were not recorded".to_owned(),
        };
        let by = found.by.iter().map(ToString::to_string).collect();
        Self { kind: "syscall", item: item(found.abi, &found.call, values), why, by }
    }
}
