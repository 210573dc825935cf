//! The one integration test program. Everything that traces runs the built `learn`, so that no test waits for the
//! children of another.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says on standard error why it was not run"
)]

mod apparmor;
mod bpf;
mod caps;
mod check;
mod ci;
mod cli;
mod containers;
mod diff;
mod enforce;
mod explain;
mod globs;
mod laws;
mod layers;
mod merge;
mod minimize;
mod nginx;
mod parsers;
mod pty;
mod releases;
mod render;
mod seccomp;
mod servers;
mod strategies;
mod support;
mod tool;
mod trace;
