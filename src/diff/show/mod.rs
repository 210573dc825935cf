//! A [`Report`] as text, JSON, Markdown or SARIF. Names of the workload are made harmless here, each format by its rules.

mod markdown;
mod sarif;
mod text;

pub use markdown::markdown;
pub use sarif::sarif;
pub use text::text;

use super::Report;
use super::report::{Shown, Witness};

/// The report as JSON.
///
/// # Errors
/// Those of `serde_json`.
pub fn json(report: &Report) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}

/// What changed, in one line without its reason. Not yet made harmless.
fn headline(shown: &Shown) -> String {
    let from = shown.from.as_ref().map(|from| format!("{from} -> ")).unwrap_or_default();
    let parts = if shown.parts.is_empty() { String::new() } else { format!(" ({})", shown.parts.join(", ")) };
    format!("{} {} {from}{}{parts}", shown.change.name(), shown.kind.name(), shown.item)
}

/// Who showed it, in one line. Not yet made harmless.
fn evidence(witness: &Witness) -> String {
    use std::fmt::Write as _;
    let mut line = format!("by {}", witness.executable);
    if !witness.command.is_empty() {
        let _ = write!(line, " as `{}`", cut(&witness.command.join(" ")));
    }
    if !witness.chain.is_empty() {
        let _ = write!(line, " from {}", witness.chain.join(" > "));
    }
    let runs = if witness.runs == 1 { "run" } else { "runs" };
    let _ = write!(line, ", first {}, last {}, in {} {runs}", witness.first, witness.last, witness.runs);
    if !witness.arguments.is_empty() {
        let _ = write!(line, "; arguments {}", witness.arguments.join("; "));
    }
    line
}

/// A long command line, shortened.
fn cut(text: &str) -> String {
    const LENGTH: usize = 120;
    let mut short = text.chars().take(LENGTH).collect::<String>();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
