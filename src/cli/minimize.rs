//! `learn minimize`: proves by running what of that which was learned a command cannot do without.

use std::ffi::OsString;
use std::io::{IsTerminal, stderr, stdout};
use std::time::Duration;

use anyhow::Context;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::unistd::{dup, dup2_stdout};

use super::exit::{Exit, Failure};
use super::search::{Goal, Run, Search, Transcript};
use super::{io, launch, run};

/// Run a command again and again with less, to prove what it cannot do without
///
/// The command's exit status says whether it did its work: 0 is success. It is run once to learn, once with what was
/// learned, and then with less and less. What it prints goes to standard error, the transcript to
/// standard output.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Examples:
  learn minimize --caps -- ./test-my-server.sh
  learn minimize --caps --before 'rm -rf out' -- tar xf files.tar -C out
  learn minimize --syscalls --runs 200 -- ./test-my-server.sh
  learn minimize --files --runs 200 -- ./test-my-server.sh
  learn minimize --caps --json --timeout 30s -- su -s /bin/sh nobody -c id")]
pub struct MinimizeArgs {
    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM", value_hint = clap::ValueHint::CommandWithArguments)]
    workload: Vec<OsString>,

    /// Minimize the capabilities, one after the other
    #[arg(long, required_unless_present_any = ["syscalls", "files"])]
    caps: bool,

    /// Minimize the system calls, by bisecting; a call that is left out fails with EPERM
    #[arg(long, conflicts_with = "caps")]
    syscalls: bool,

    /// Minimize the file rules of the AppArmor profile, by bisecting; a file that is left out cannot be opened or made
    #[arg(long, conflicts_with_all = ["caps", "syscalls"])]
    files: bool,

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
    let goal = match (args.caps, args.syscalls) {
        (true, _) => Goal::Capabilities,
        (_, true) => Goal::Calls,
        _ => Goal::Files,
    };
    let (before, timeout, limit) = (args.before.as_ref(), args.timeout, args.runs);
    let transcript = Search { goal, workload, before, timeout, limit, bar: bar() }.minimize();
    dup2_stdout(own).context("cannot restore standard output").map_err(failed)?;
    let transcript = transcript.map_err(failed)?;
    let text = if args.json {
        serde_json::to_string_pretty(&transcript).map(|text| text + "\n").map_err(|error| failed(error.into()))?
    } else {
        text(goal, &transcript)
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

/// The transcript for a reader.
fn text(goal: Goal, told: &Transcript) -> String {
    let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(" ") };
    let run = |run: &Run| {
        let what = match &run.with {
            None => "learning, with all that it may have".to_owned(),
            Some(_) if !run.without.is_empty() => format!("without {}", list(&run.without)),
            Some(with) => format!("with {}", list(with)),
        };
        format!("{what}: it {}", run.trial.told())
    };
    let mut lines: Vec<_> = told.runs.iter().map(run).collect();
    lines.extend([String::new(), format!("minimal: {}", list(&told.minimal))]);
    for (title, names) in [("learned, but not needed", &told.dropped), ("not tried, and kept", &told.untried)] {
        if !names.is_empty() {
            lines.push(format!("{title}: {}", list(names)));
        }
    }
    if goal == Goal::Capabilities {
        let kept = told.minimal.iter().map(|name| format!(" --cap-add={}", name.trim_start_matches("CAP_")));
        lines.push(format!("--cap-drop=ALL{}", kept.collect::<String>()));
    }
    lines.join("\n") + "\n"
}
