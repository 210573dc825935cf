//! `learn diff`: what a release needs that the one before did not.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, bail};

use super::exit::Exit;
use super::host;
use super::io::{self, Destination};
use super::sides::{Input, Policy};
use crate::diff::accept::Accepted;
use crate::diff::{Kind, Level, Report, Side, Threshold, compare, show};
use crate::infer::{self, Needs};
use crate::record::Record;

/// Compare two records, or two policies of one kind: what is new, graded by risk
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit status: 0 no finding, 1 findings, 2 failure.

Examples:
  learn diff old.learned new.learned
  learn diff old.json new.json --fail-on high,capability
  learn diff committed.json staging.learned --accept accepted.toml --format markdown -o comment.md
  learn diff docker-default.json nginx.learned")]
pub struct DiffArgs {
    /// A record, a seccomp profile in the OCI or in Docker's form, an AppArmor profile, a list of
    /// capabilities, or a folder with a record or profiles; `-` for standard input
    #[arg(value_name = "OLD")]
    old: PathBuf,

    /// The same of the new release; a record beside a policy is taken as the policy that it gives
    #[arg(value_name = "NEW")]
    new: PathBuf,

    /// How to show the differences
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    format: Shape,

    /// File to write to; `-` for standard output
    #[arg(short, long, value_name = "OUT", default_value = "-")]
    output: OsString,

    /// What is a finding: differences at or above a level (critical, high, medium, low, noise), and
    /// those of a kind (capability, syscall, file …); by default any
    #[arg(long, value_name = "LEVEL|KIND", value_delimiter = ',', value_parser = wanted)]
    fail_on: Vec<Wanted>,

    /// Differences that were looked at and accepted: TOML, each with a reason and an expiry date
    #[arg(long, value_name = "FILE")]
    accept: Option<PathBuf>,

    /// Compare records of different programs too
    #[arg(long)]
    any_program: bool,
}

/// How differences are shown.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Shape {
    /// For people
    Text,
    /// For programs
    Json,
    /// For the comment of a pull request: bounded, with folded details
    Markdown,
    /// For code hosts (SARIF 2.1.0)
    Sarif,
}

/// A word of `--fail-on`.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Level(Level),
    Kind(Kind),
}

fn wanted(word: &str) -> Result<Wanted, String> {
    let level = Level::ALL.into_iter().find(|level| level.name() == word).map(Wanted::Level);
    let kind = || Kind::ALL.into_iter().find(|kind| kind.name() == word).map(Wanted::Kind);
    level.or_else(kind).ok_or_else(|| {
        let levels = Level::ALL.map(Level::name).join(", ");
        format!("no such level or kind; levels are {levels}; kinds are {}", Kind::ALL.map(Kind::name).join(", "))
    })
}

/// Does it.
pub(super) fn run(args: &DiffArgs) -> Result<Exit> {
    let mut accepted = match &args.accept {
        Some(path) => read_accepted(path)?,
        None => Accepted::default(),
    };
    let host = host::here(host::DOCKER)?;
    let (old, new) = (Input::read(&args.old, &host)?, Input::read(&args.new, &host)?);
    let options = infer::Options::default();
    let old_needs = old.record().map(|record| infer::infer(record, &options));
    let new_needs = new.record().map(|record| infer::infer(record, &options));
    let (old_side, new_side) = sides(args, (&old, old_needs.as_ref()), (&new, new_needs.as_ref()))?;
    let changes = compare(&old_side, &new_side);
    let names = (args.old.to_string_lossy(), args.new.to_string_lossy());
    let records = (old.record(), new.record());
    let report = Report::new((&names.0, &names.1), records, &changes, &mut accepted, &threshold(args));
    let text = match args.format {
        Shape::Text => show::text(&report, color(&args.output)),
        Shape::Json => show::json(&report)?,
        Shape::Markdown => show::markdown(&report),
        Shape::Sarif => show::sarif(&report)?,
    };
    io::write(&Destination::from(args.output.as_os_str()), |out| Ok(out.write_all(text.as_bytes())?))?;
    Ok(if report.findings > 0 { Exit::FOUND } else { Exit::SUCCESS })
}

/// Both as what can be compared: records as they are, policies with those of the same kind, and a record beside policies
/// as those that it gives.
fn sides<'r>(
    args: &DiffArgs,
    (old, old_needs): (&Input, Option<&Needs<'r>>),
    (new, new_needs): (&Input, Option<&Needs<'r>>),
) -> Result<(Side<'r>, Side<'r>)> {
    let mut sides = (Side::default(), Side::default());
    let mut add = |(old, new)| {
        sides.0.extend(old);
        sides.1.extend(new);
    };
    match (old, new, old_needs, new_needs) {
        (Input::Record(one), Input::Record(other), Some(old), Some(new)) => {
            if !args.any_program {
                same_program(one, other)?;
            }
            add((Side::of_needs(old), Side::of_needs(new)));
        }
        (Input::Policies(old), _, _, Some(needs)) => {
            for policy in old {
                add(policy.beside(needs)?);
            }
        }
        (_, Input::Policies(new), Some(needs), _) => {
            for policy in new {
                let (policy, made) = policy.beside(needs)?;
                add((made, policy));
            }
        }
        (Input::Policies(old), Input::Policies(new), ..) => {
            let names = |policies: &[Policy]| policies.iter().map(Policy::name).collect::<Vec<_>>();
            let pairs = old.iter().flat_map(|one| new.iter().filter_map(move |other| Policy::sides(one, other)));
            let pairs: Vec<_> = pairs.collect();
            // Of two folders neither may lack what the other one has; of a file only its kind is asked.
            let folders = args.old.is_dir() && args.new.is_dir();
            if pairs.is_empty() || folders && (pairs.len() != old.len() || pairs.len() != new.len()) {
                let (one, other) = (names(old).join(" and a "), names(new).join(" and a "));
                let (old, new) = (args.old.display(), args.new.display());
                bail!("{old} is a {one}, {new} a {other}: compare the same kinds");
            }
            pairs.into_iter().for_each(add);
        }
        _ => bail!("nothing to compare"),
    }
    Ok(sides)
}

/// Whether both are of one program, whose path may have moved with its version.
fn same_program(old: &Record, new: &Record) -> Result<()> {
    match (&old.program, &new.program) {
        (Some(one), Some(other)) if !crate::diff::same_but_moved(&one.to_string(), &other.to_string()) => {
            bail!("the old record is of {one}, the new one of {other}: --any-program compares them")
        }
        _ => Ok(()),
    }
}

fn threshold(args: &DiffArgs) -> Threshold {
    let mut threshold = Threshold::default();
    for wanted in &args.fail_on {
        match *wanted {
            Wanted::Level(level) => threshold.level = Some(threshold.level.map_or(level, |least| least.min(level))),
            Wanted::Kind(kind) => threshold.kinds.push(kind),
        }
    }
    threshold
}

/// Reads a file of what was looked at and accepted.
pub(super) fn read_accepted(path: &Path) -> Result<Accepted> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let today = today.get(..10).unwrap_or_default();
    Accepted::parse(&text, today).with_context(|| path.display().to_string())
}

/// Colours for a terminal that has them, unless `NO_COLOR` is set (no-color.org).
fn color(output: &OsString) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    output == "-" && !refused && !dumb && std::io::stdout().is_terminal()
}
