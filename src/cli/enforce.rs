//! `learn enforce`: runs a workload under a profile and tells what that denies.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::denials::Denials;
use super::exit::{Exit, Failure};
use super::session::status_of;
use super::{keep, launch, run};
use crate::abi::Syscall;
use crate::capture::confine::Confinement;
use crate::capture::ptrace::Ptrace;
use crate::capture::{Backend, Workload};
use crate::fact::Arguments;
use crate::policy::seccomp::Seccomp;

/// The profile's name in its folder.
const PROFILE: &str = "seccomp.json";

/// Run a program under a profile, and tell what it denies
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  learn enforce --profile nginx.learned -- nginx
  learn enforce --profile seccomp.json --caps NET_BIND_SERVICE,SETUID --no-new-privs -- ./server
  learn enforce --caps nginx.learned/capabilities.txt --strict -- nginx -t
  learn enforce --profile nginx.learned --complain -- nginx")]
pub struct EnforceArgs {
    /// The program to run, and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = clap::ValueHint::CommandWithArguments)]
    workload: Vec<OsString>,

    /// A seccomp profile in the OCI form, or the folder of a run
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
    let profile = args.profile.as_deref().map(|path| read(path, args.complain)).transpose().map_err(failed)?;
    let confinement = confinement(args, profile.as_ref()).map_err(failed)?;
    let workload = launch::workload(&args.workload, args.user.as_deref()).map_err(run::not_launched)?;
    let workload = Workload { confinement, ..workload };

    let mut denials = Denials::new(profile, args.complain, false);
    let finished = Ptrace { thin_after: None }.run(&workload, &mut denials).map_err(run::not_captured)?;
    for loss in &denials.lost {
        log::warn!("not seen: {loss}");
    }
    if args.strict && !denials.seen.is_empty() {
        return Ok(Exit::FOUND);
    }
    Ok(finished.root.and_then(status_of).map_or(Exit::RUN_FAILED, Exit::of_status))
}

fn confinement(args: &EnforceArgs, profile: Option<&Seccomp>) -> Result<Confinement> {
    let compiled = profile.map(Seccomp::compile_asking).transpose()?;
    for call in compiled.iter().flat_map(|compiled| &compiled.unknown) {
        log::info!("libseccomp does not know `{call}`: it meets the profile's default action");
    }
    Ok(Confinement {
        capabilities: args.caps.as_deref().map(keep::capabilities).transpose()?,
        no_new_privs: args.no_new_privs,
        filter: compiled.map(|compiled| compiled.program),
    })
}

/// The profile of a file or folder; one under which nothing could be executed is refused unless it is not enforced.
fn read(path: &Path, complain: bool) -> Result<Seccomp> {
    let file = if path.is_dir() { path.join(PROFILE) } else { path.to_owned() };
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    let profile = Seccomp::parse(&text).with_context(|| file.display().to_string())?;
    let actions = profile.actions(&Syscall::Named("execve".into()), &Arguments(Vec::new()));
    if !complain && actions.iter().all(|action| action.admits() != Some(true)) {
        bail!("{} forbids execve, without which no program starts: allow it, or use --complain", file.display());
    }
    Ok(profile)
}
