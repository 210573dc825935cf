//! Exit codes, all in one place.
//!
//! Running a workload ends with its own status, or with 128+N for signal N, or with 125 to 127 as `env(1)` does. The
//! other commands end with 0 when they found nothing to complain of, 1 for findings and 2 for failure. Usage errors
//! are 2 and come before anything starts.

use std::process::ExitCode;

use super::io;

/// An exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exit(u8);

/// Why a command failed, with the exit code that stands for it.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    cause: anyhow::Error,
}

impl Exit {
    /// All went well.
    pub const SUCCESS: Self = Self(0);
    /// Differences or violations were found.
    pub const FOUND: Self = Self(1);
    /// A command other than a run failed.
    pub const FAILED: Self = Self(2);
    /// A run failed through no fault of the workload.
    pub const RUN_FAILED: Self = Self(125);
    /// The workload's program cannot be executed.
    pub const NOT_EXECUTABLE: Self = Self(126);
    /// There is no such program.
    pub const NOT_FOUND: Self = Self(127);

    /// The workload's own status.
    #[must_use]
    pub fn of_status(status: i32) -> Self {
        Self(status.to_le_bytes()[0])
    }

    /// The workload was ended by `signal`.
    #[must_use]
    pub fn of_signal(signal: i32) -> Self {
        Self::of_status(128 + signal)
    }

    /// The failure that ends with this code.
    #[must_use]
    pub fn because(self, cause: impl Into<anyhow::Error>) -> Failure {
        Failure { exit: self, cause: cause.into() }
    }
}

impl Failure {
    /// Prints the chain of causes in one line on standard error. Returns the exit code.
    #[must_use]
    #[expect(clippy::print_stderr, reason = "the one place where errors are printed")]
    pub fn report(self) -> Exit {
        eprintln!("learn: {}", io::visible(&format!("{:#}", self.cause)));
        self.exit
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.0)
    }
}
