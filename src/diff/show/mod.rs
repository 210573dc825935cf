//! A [`Report`] as text, JSON, Markdown or SARIF. Names of the workload are made harmless here, each format by its rules.

mod markdown;
mod sarif;
mod text;

pub use markdown::markdown;
pub use sarif::sarif;
pub use text::text;

use super::report::{Shown, Witness};
use std::borrow::Cow;

use super::{Direction, Kind, Report};
use crate::abi::Abi;

/// The report as JSON.
///
/// # Errors
/// Those of `serde_json`.
pub fn json(report: &Report) -> serde_json::Result<String> {
    serde_json::to_string_pretty(report).map(|text| text + "\n")
}

/// How many parts of one difference are shown in its line.
const PARTS: usize = 8;

/// What changed, in one line without its reason. Not yet made harmless.
fn headline(shown: &Shown) -> String {
    format!("{} {} {}", shown.change.name(), shown.kind.name(), item(shown))
}

/// The item with its parts, and what was there before. Not yet made harmless.
fn item(shown: &Shown) -> String {
    // That a call is one of the machine's own ABI goes without saying.
    let own = |part: &&String| shown.kind != Kind::Syscall || part.as_str() != Abi::native().name();
    let mut parts: Vec<_> = shown.parts.iter().filter(own).map(|part| Cow::Borrowed(part.as_str())).collect();
    let more = shown.more_parts + parts.len().saturating_sub(PARTS);
    parts.truncate(PARTS);
    if more > 0 {
        parts.push(format!("and {more} more").into());
    }
    let parts = parts.join(", ");
    let in_parts = shown.change == Direction::Changed || shown.kind.has_names_in_parts();
    match &shown.from {
        Some(from) if in_parts => format!("{} ({from} -> {parts})", shown.item),
        Some(from) => format!("{from} -> {}", shown.item),
        None if parts.is_empty() => shown.item.clone(),
        None => format!("{} ({parts})", shown.item),
    }
}

/// Who showed it, in one line. Not yet made harmless.
fn evidence(witness: &Witness) -> String {
    use std::fmt::Write as _;
    let mut line = by(witness);
    if !witness.chain.is_empty() {
        let _ = write!(line, " from {}", witness.chain.join(" > "));
    }
    let _ = write!(line, ", {}", witness.first);
    if witness.last != witness.first {
        let _ = write!(line, " to {}", witness.last);
    }
    let _ = write!(line, ", in {} {}", witness.runs, if witness.runs == 1 { "run" } else { "runs" });
    if !witness.arguments.is_empty() {
        let _ = write!(line, "; arguments {}", witness.arguments.join("; "));
    }
    line
}

/// Its program and command line.
fn by(witness: &Witness) -> String {
    let command = if witness.command.is_empty() { String::new() } else { cut(&witness.command.join(" ")) };
    if command.is_empty() {
        format!("by {}", witness.executable)
    } else {
        format!("by {} as `{command}`", witness.executable)
    }
}

/// A long command line, shortened.
fn cut(text: &str) -> String {
    const LENGTH: usize = 80;
    let mut short = text.chars().take(LENGTH).collect::<String>();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}
