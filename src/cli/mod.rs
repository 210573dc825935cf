//! The program: arguments, files, messages and exit codes. Nothing imports it.
//!
//! # Adding a command
//!
//! Write `cli/NAME.rs` with an `Args` struct and a `run` function, and a variant of `Command` with a line in
//! `Command::run`. Arguments are raw here: a command resolves them before it does anything.

pub mod exit;
pub mod io;
pub mod outputs;
pub mod run;

mod apparmor;
mod arity;
mod check;
mod denial;
mod denials;
mod diff;
mod enforce;
mod explain;
mod folder;
mod generate;
mod host;
mod keep;
mod launch;
mod merge;
mod minimize;
mod render;
mod restrict;
mod search;
mod seccomp;
mod session;
mod sides;
mod status;
mod summary;
mod trial;
mod witness;
mod words;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, Parser, Subcommand};

use exit::{Exit, Failure};

/// Learns what a workload needs and writes its least-privilege profiles: seccomp, AppArmor, capabilities.
#[derive(Debug, Parser)]
#[command(
    name = "learn",
    version,
    max_term_width = 100,
    args_conflicts_with_subcommands = true,
    override_usage = "learn [OPTIONS] -- PROGRAM [ARGS]...\n       learn COMMAND ...",
    subcommand_value_name = "COMMAND",
    disable_help_subcommand = true,
    after_help = EXAMPLES
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,

    #[command(flatten)]
    run: run::RunArgs,

    /// Say more on standard error; -vv says everything
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  learn -- nginx -g 'daemon off;'        learn until Ctrl-C; profiles are in ./nginx.learned/
  learn -o out --format seccomp,caps -- ./server --port 8080
  learn --for 60s -- npm test            end the workload after a minute
  learn --until-quiet 30s -- redis-server
  learn render nginx.learned/learned.json --format seccomp -o -
  learn merge a.json b.json -o all.json
  learn diff old.learned new.learned     what the new release needs anew, graded by risk
  learn explain nginx.learned CAP_CHOWN  why it is there";

#[derive(Debug, Subcommand)]
enum Command {
    Render(render::RenderArgs),
    Merge(merge::MergeArgs),
    Enforce(enforce::EnforceArgs),
    Check(check::CheckArgs),
    Minimize(minimize::MinimizeArgs),
    Diff(diff::DiffArgs),
    Explain(explain::ExplainArgs),
    Completions(generate::CompletionsArgs),
    Man(generate::ManArgs),
}

impl Command {
    fn run(self) -> Result<Exit, Failure> {
        let done = match self {
            Self::Render(args) => render::run(&args),
            Self::Merge(args) => merge::run(&args),
            Self::Enforce(args) => return enforce::run(&args),
            Self::Check(args) => check::run(&args),
            Self::Minimize(args) => return minimize::run(&args),
            Self::Diff(args) => diff::run(&args),
            Self::Explain(args) => explain::run(&args),
            Self::Completions(args) => generate::completions(&args, &mut Args::command()),
            Self::Man(args) => generate::man(&args, Args::command()),
        };
        done.map_err(|error| Exit::FAILED.because(error))
    }
}

impl Args {
    /// Starts the log on standard error: warnings, more with `-v`.
    pub fn start_log(&self) {
        let level = match self.verbose {
            0 => log::LevelFilter::Warn,
            1 => log::LevelFilter::Info,
            _ => log::LevelFilter::Trace,
        };
        // A second start within one process changes nothing.
        let _ = env_logger::Builder::new().filter_level(level).format(io::log_line).try_init();
    }

    /// Does what was asked.
    ///
    /// # Errors
    /// The reason, with the exit code that stands for it.
    pub fn run(self) -> Result<Exit, Failure> {
        match self.command {
            Some(command) => command.run(),
            None => run::run(&self.run),
        }
    }
}

/// The arguments of this process. On a usage error or `--help` the process ends here.
#[must_use]
pub fn parse() -> Args {
    parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit())
}

fn parse_from(words: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Args, clap::Error> {
    let args = Args::try_parse_from(words).map_err(pointing_to_dashes)?;
    if args.command.is_none() && args.run.workload.is_empty() {
        let mut command = Args::command();
        let message = "no program to learn from: put it behind `--`, as in `learn -- nginx`";
        return Err(command.error(ErrorKind::MissingRequiredArgument, message));
    }
    Ok(args)
}

/// A word before `--` that is no command is most likely a program.
fn pointing_to_dashes(error: clap::Error) -> clap::Error {
    let word = match error.kind() {
        ErrorKind::UnknownArgument => error.get(ContextKind::InvalidArg),
        ErrorKind::InvalidSubcommand => error.get(ContextKind::InvalidSubcommand),
        _ => None,
    };
    let Some(ContextValue::String(word)) = word.filter(|word| !word.to_string().starts_with('-')) else {
        return error;
    };
    let mut command = Args::command();
    let (word, known) = (io::visible(word), command.find_subcommand(word).is_some());
    let message = if known {
        format!("the command `{word}` comes first, and options of a run are not for it")
    } else {
        format!("there is no command `{word}`; to learn from a program, put it behind `--`: learn -- {word}")
    };
    command.error(ErrorKind::InvalidSubcommand, message)
}
