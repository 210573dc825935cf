//! Running a workload and showing each of its calls to a sink.
//!
//! A backend knows tasks, calls and memory; it never sees a fact. The contract with the sink is written on
//! [`crate::event::Sink`].

pub mod confine;
pub mod kernel;
pub mod ptrace;

use std::ffi::CString;
use std::io;
use std::path::PathBuf;

use self::confine::Confinement;
use crate::event::{Finished, Sink};

/// What is run.
#[derive(Clone, Debug)]
pub struct Workload {
    /// The file to execute.
    pub program: CString,
    /// Its arguments, the first one being its own name; never empty.
    pub arguments: Vec<CString>,
    /// Its environment as `NAME=value`.
    pub environment: Vec<CString>,
    /// The user that it runs as; `None` keeps the learner's.
    pub user: Option<User>,
    /// What confines it; nothing by default.
    pub confinement: Confinement,
}

/// A user to run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// Runs workloads.
pub trait Backend {
    /// Runs `workload` until its last process ended (or it was let go), showing everything to `sink`.
    ///
    /// # Errors
    /// [`CaptureError`] when it could not be started or traced. Once it runs, one odd task never ends the run: it
    /// becomes a [`crate::event::Loss`].
    fn run(&mut self, workload: &Workload, sink: &mut dyn Sink) -> Result<Finished, CaptureError>;
}

/// Why a workload could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The program cannot be executed: execve failed with this errno.
    #[error("cannot execute `{}`", program.display())]
    Execute {
        /// The program.
        program: PathBuf,
        /// What execve said.
        #[source]
        source: io::Error,
    },
    /// The user cannot be changed to.
    #[error("cannot become user {uid}")]
    User {
        /// The user id.
        uid: u32,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// It cannot be confined as asked.
    #[error("cannot confine the workload: {step} failed")]
    Confine {
        /// What was to be done.
        step: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// Tracing is forbidden or impossible here.
    #[error("cannot trace the workload: {advice}")]
    Forbidden {
        /// Who forbids it and what to do.
        advice: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A system call of the learner itself failed.
    #[error("cannot {operation}")]
    System {
        /// What was to be done.
        operation: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}
