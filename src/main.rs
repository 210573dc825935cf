//! The `learn` program: parse, dispatch, print the error chain, exit code; nothing else.

use std::process::ExitCode;

use learn::cli::exit::Failure;

fn main() -> ExitCode {
    let args = learn::cli::parse();
    args.start_log();
    args.run().unwrap_or_else(Failure::report).into()
}
