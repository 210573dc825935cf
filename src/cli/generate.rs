//! `learn completions` and `learn man`: what packagers install beside the program.

use std::io::Write;

use anyhow::Result;
use clap::Command;
use clap_complete::Shell;

use super::exit::Exit;
use super::io::{self, Destination};

/// Print the completions for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  learn completions bash > /usr/share/bash-completion/completions/learn")]
pub struct CompletionsArgs {
    /// Which shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Print the manual page
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  learn man > /usr/share/man/man1/learn.1
  learn man merge | man -l -")]
pub struct ManArgs {
    /// The page of this command, rather than of the program
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// Prints completions of `command`.
pub(super) fn completions(args: &CompletionsArgs, command: &mut Command) -> Result<Exit> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, command, "learn", &mut text);
    io::write(&Destination::Stdout, |out| Ok(out.write_all(&text)?))?;
    Ok(Exit::SUCCESS)
}

/// Prints a page of the manual.
pub(super) fn man(args: &ManArgs, mut command: Command) -> Result<Exit> {
    command.build();
    let page = match &args.command {
        None => command,
        Some(name) => {
            let found = command.get_subcommands().find(|one| one.get_name() == name);
            found.cloned().ok_or_else(|| anyhow::anyhow!("there is no command {name}"))?
        }
    };
    let page = clap_mangen::Man::new(page);
    io::write(&Destination::Stdout, |mut out: &mut dyn Write| Ok(page.render(&mut out)?))?;
    Ok(Exit::SUCCESS)
}
