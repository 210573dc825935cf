//! The `learn` program: parse, dispatch, print the error chain, exit code; nothing else.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args = learn::cli::parse();
    args.start_log();
    args.run().unwrap_or_else(|failure| failure.report()).into()
}
