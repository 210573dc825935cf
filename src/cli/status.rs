//! The live status line of a run, on a terminal.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::unistd::{getpgrp, tcgetpgrp};

use crate::event::Census;
use crate::record::Counts;

/// One line on standard error that is redrawn; silent where standard error is no terminal or when told so.
#[derive(Debug)]
pub(super) struct StatusLine(Option<ProgressBar>);

impl StatusLine {
    pub(super) fn new(quiet: bool) -> Self {
        if quiet || !stderr().is_terminal() {
            return Self(None);
        }
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(4));
        let style = ProgressStyle::with_template("learn {elapsed} · {wide_msg}");
        Self(style.ok().map(|style| bar.with_style(style)))
    }

    /// Whether anything is drawn now: not while the terminal belongs to another job, which writing could stop.
    pub(super) fn is_shown(&self) -> bool {
        self.0.is_some() && tcgetpgrp(stderr()) == Ok(getpgrp())
    }

    /// Redraws the line. `idle` is the time since something new was learned.
    pub(super) fn show(&self, census: Census, counts: Counts, capabilities: usize, idle: Duration) {
        let Some(bar) = &self.0 else { return };
        let threads =
            if census.threads > census.processes { format!(" ({} threads)", census.threads) } else { String::new() };
        bar.set_message(format!(
            "{} processes{threads} · {} syscalls · {} files · {} network · {} capabilities · nothing new for {}s",
            census.processes,
            counts.syscalls,
            counts.files,
            counts.network,
            capabilities,
            idle.as_secs(),
        ));
        bar.tick();
    }

    /// Takes the line away.
    pub(super) fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
