//! `learn minimize --caps`: proves by running which of the learned capabilities a command cannot do without.

use std::ffi::OsString;
use std::io::{IsTerminal, stderr, stdout};
use std::process::Command as Process;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::unistd::{dup, dup2_stdout};
use serde::Serialize;

use super::exit::{Exit, Failure};
use super::trial::{self, Trial};
use super::{io, launch, run};
use crate::capture::Workload;
use crate::fact::{Capability, CapabilitySet};
use crate::infer::caps;
use crate::record::Record;

/// Run a command again and again with less, to prove what it cannot do without
///
/// The command's exit status says whether it did its work: 0 is success. It is run once to learn, once with what was
/// learned, and then without one capability after the other. What it prints goes to standard error, the transcript to
/// standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  learn minimize --caps -- ./test-my-server.sh
  learn minimize --caps --before 'rm -rf out' -- tar xf files.tar -C out
  learn minimize --caps --json --timeout 30s -- su -s /bin/sh nobody -c id")]
pub struct MinimizeArgs {
    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = clap::ValueHint::CommandWithArguments)]
    workload: Vec<OsString>,

    /// Minimize the capabilities
    #[arg(long, required = true)]
    caps: bool,

    /// Shell command to run before each run, to put things back
    #[arg(long, value_name = "COMMAND")]
    before: Option<OsString>,

    /// A run that takes longer has failed
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = humantime::parse_duration)]
    timeout: Duration,

    /// The most runs; what was not tried by then is kept
    #[arg(long, value_name = "NUMBER", default_value_t = 64)]
    runs: usize,

    /// Run the command as this user (as root only)
    #[arg(long, value_name = "NAME")]
    user: Option<String>,

    /// The transcript as JSON
    #[arg(long)]
    json: bool,
}

/// One run, for the transcript.
#[derive(Serialize)]
struct Run {
    /// Which capabilities it had; `null` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    with: Option<Vec<&'static str>>,
    /// The one that was taken away.
    #[serde(skip_serializing_if = "Option::is_none")]
    without: Option<&'static str>,
    /// What became of it.
    #[serde(flatten)]
    trial: Trial,
}

/// What all runs came to.
#[derive(Serialize)]
struct Transcript {
    minimal: Vec<&'static str>,
    /// Learned, and tried: it works without.
    dropped: Vec<&'static str>,
    /// Learned, and not tried because there were too many runs.
    untried: Vec<&'static str>,
    runs: Vec<Run>,
}

/// Does it.
///
/// # Errors
/// With 2; 126 and 127 when the command cannot be executed.
pub(super) fn run(args: &MinimizeArgs) -> Result<Exit, Failure> {
    let workload = launch::workload(&args.workload, args.user.as_deref()).map_err(run::not_launched)?;
    // The transcript alone goes to standard output.
    let failed = |error: anyhow::Error| Exit::FAILED.because(error);
    let own = dup(stdout()).context("cannot duplicate standard output").map_err(failed)?;
    dup2_stdout(stderr()).context("cannot redirect the command's standard output").map_err(failed)?;
    let transcript = Search { args, workload, runs: Vec::new(), bar: bar() }.minimize();
    dup2_stdout(own).context("cannot restore standard output").map_err(failed)?;
    let transcript = transcript.map_err(failed)?;
    let text = if args.json {
        serde_json::to_string_pretty(&transcript).map(|text| text + "\n").map_err(|error| failed(error.into()))?
    } else {
        transcript.text()
    };
    io::write(&io::Destination::Stdout, |out| Ok(out.write_all(text.as_bytes())?)).map_err(failed)?;
    Ok(Exit::SUCCESS)
}

fn bar() -> ProgressBar {
    if !stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
    match ProgressStyle::with_template("learn {elapsed} · run {pos} of at most {len} · {wide_msg}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// The search for the smallest set.
struct Search<'a> {
    args: &'a MinimizeArgs,
    workload: Workload,
    runs: Vec<Run>,
    bar: ProgressBar,
}

impl Search<'_> {
    fn minimize(mut self) -> Result<Transcript> {
        let record = self.learn()?;
        let learned: Vec<_> = caps::needs(&record).into_iter().filter(|need| need.standing.granted()).collect();
        let all: Vec<Capability> = learned.iter().map(|need| need.capability).collect();
        self.bar.set_length((all.len() + 2) as u64);
        if !self.works(&all, None)? {
            let names = names(&all).join(" ");
            bail!("the command fails with the learned capabilities alone ({names}): what else it needs was not seen");
        }
        let mut kept = all.clone();
        // What is likely first: it may go, and then what remains is tried without it.
        let mut order = learned;
        order.sort_by_key(|need| need.standing);
        let mut untried = Vec::new();
        for capability in order.into_iter().map(|need| need.capability) {
            if self.runs.len() >= self.args.runs {
                untried.push(capability);
                continue;
            }
            let fewer: Vec<_> = kept.iter().copied().filter(|one| *one != capability).collect();
            if self.works(&fewer, Some(capability))? {
                kept = fewer;
            }
        }
        self.bar.finish_and_clear();
        let dropped: Vec<_> = all.into_iter().filter(|one| !kept.contains(one)).collect();
        Ok(Transcript { minimal: names(&kept), dropped: names(&dropped), untried: names(&untried), runs: self.runs })
    }

    /// The run with everything, which is learned from.
    fn learn(&mut self) -> Result<Record> {
        self.prepare("learning")?;
        let start = Instant::now();
        let (record, trial) = trial::learn(&self.workload, self.args.timeout)?;
        let succeeded = trial.succeeded();
        let end = trial.told();
        self.runs.push(Run { with: None, without: None, trial });
        if !succeeded {
            bail!("the command has to succeed with all capabilities first, and it {end} after {:?}", start.elapsed());
        }
        Ok(record)
    }

    /// Whether it works with these capabilities, `without` having been taken away.
    fn works(&mut self, with: &[Capability], without: Option<Capability>) -> Result<bool> {
        self.prepare(&without.map_or_else(|| "with what was learned".to_owned(), |one| format!("without {one}")))?;
        let set = with.iter().fold(0, |set, capability| set | 1 << *capability as u8);
        let trial = trial::confined(&self.workload, CapabilitySet(set), self.args.timeout)?;
        let works = trial.succeeded();
        self.runs.push(Run { with: Some(names(with)), without: without.map(Capability::name), trial });
        Ok(works)
    }

    fn prepare(&self, what: &str) -> Result<()> {
        self.bar.set_position(self.runs.len() as u64 + 1);
        self.bar.set_message(what.to_owned());
        self.bar.tick();
        let Some(command) = &self.args.before else { return Ok(()) };
        let status = Process::new("sh").arg("-c").arg(command).status().context("cannot run sh for --before")?;
        if status.success() { Ok(()) } else { Err(anyhow!("the command of --before failed: {status}")) }
    }
}

fn names(capabilities: &[Capability]) -> Vec<&'static str> {
    capabilities.iter().map(|capability| capability.name()).collect()
}

impl Transcript {
    fn text(&self) -> String {
        let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
        let run = |run: &Run| {
            let what = match (run.without, &run.with) {
                (Some(capability), _) => format!("without {capability}"),
                (None, Some(with)) if with.is_empty() => "with no capability".to_owned(),
                (None, Some(with)) => format!("with {}", with.join(" ")),
                (None, None) => "with all capabilities, learning".to_owned(),
            };
            format!("{what}: it {}", run.trial.told())
        };
        let mut lines: Vec<_> = self.runs.iter().map(run).collect();
        lines.extend([String::new(), format!("minimal: {}", list(&self.minimal))]);
        for (title, names) in [("learned, but not needed", &self.dropped), ("not tried, and kept", &self.untried)] {
            if !names.is_empty() {
                lines.push(format!("{title}: {}", list(names)));
            }
        }
        let kept = self.minimal.iter().map(|name| format!(" --cap-add={}", name.trim_start_matches("CAP_")));
        lines.push(format!("--cap-drop=ALL{}", kept.collect::<String>()));
        lines.join("\n") + "\n"
    }
}
