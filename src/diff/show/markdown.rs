//! For the comment of a pull request (`CommonMark` with `<details>`, as GitHub and GitLab show it).
//!
//! Names stand in code spans, whose only rule is the number of backticks: nothing in them is markup (`CommonMark` 6.1).

use std::fmt::Write as _;

use super::super::Level;
use super::super::report::{Report, Shown};
use super::{evidence, headline};
use crate::render::escape::visible;

/// How many bytes a comment may have; GitHub takes 65,536 characters.
const LENGTH: usize = 60_000;

/// How many notes are written out, and how long each of their lines and of the lines of differences may be.
const NOTES: usize = 20;
const LINE: usize = 1000;

/// The report as Markdown of bounded length.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut out = String::from("## What this release needs anew\n\n");
    let _ = writeln!(out, "{} → {}\n", code(&report.old), code(&report.new));
    if report.total == 0 {
        out.push_str("No difference.\n");
    } else {
        summary(&mut out, report);
    }
    if !report.notes.is_empty() {
        out.push('\n');
    }
    for note in report.notes.iter().take(NOTES) {
        let _ = writeln!(out, "- note: {}", code(note));
    }
    if report.notes.len() > NOTES {
        let _ = writeln!(out, "- and {} more notes", report.notes.len() - NOTES);
    }
    for level in Level::ALL {
        let of_level: Vec<_> = report.changes.iter().filter(|shown| shown.level == level).collect();
        if of_level.is_empty() {
            continue;
        }
        let open = if level >= Level::High { " open" } else { "" };
        let title = format!("\n<details{open}><summary>{} {}</summary>\n\n", report.count(level), level.name());
        section(&mut out, &title, &of_level, report.count(level));
    }
    if !report.accepted.is_empty() {
        let title = format!("\n<details><summary>{} accepted</summary>\n\n", report.accepted_total);
        section(&mut out, &title, &report.accepted.iter().collect::<Vec<_>>(), report.accepted_total);
    }
    out
}

fn summary(out: &mut String, report: &Report) {
    let levels = Level::ALL.iter().filter(|level| report.count(**level) > 0);
    let levels = levels.map(|level| format!("**{} {}**", report.count(*level), level.name())).collect::<Vec<_>>();
    let told = if levels.is_empty() { "Nothing that is not accepted".to_owned() } else { levels.join(", ") };
    let accepted = (report.accepted_total > 0).then(|| format!(", {} accepted", report.accepted_total));
    let _ = writeln!(out, "{told}{}", accepted.unwrap_or_default());
}

/// A folded list, as long as there is room.
fn section(out: &mut String, title: &str, changes: &[&Shown], all: usize) {
    out.push_str(title);
    let mut written = 0;
    for shown in changes {
        let mut item = format!("- {}: {}\n", code(&headline(shown)), shown.why);
        if let Some(reason) = &shown.reason {
            let _ = writeln!(item, "  - accepted: {}", code(reason));
        }
        if shown.level > Level::Low {
            for witness in &shown.evidence {
                let _ = writeln!(item, "  - {}", code(&evidence(witness)));
            }
        }
        if out.len() + item.len() > LENGTH {
            break;
        }
        out.push_str(&item);
        written += 1;
    }
    if all > written {
        let _ = writeln!(out, "- and {} more", all - written);
    }
    out.push_str("\n</details>\n");
}

/// A code span: fenced by one backtick more than any run of them in it, and of one line.
fn code(text: &str) -> String {
    let visible = visible(text);
    let end = visible.char_indices().nth(LINE).map(|(end, _)| end);
    let text = end.and_then(|end| visible.get(..end)).map_or(visible.clone(), |cut| format!("{cut}…").into());
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    // A space is taken off at both ends, where a backtick would be read as part of the fence.
    let pad = if text.starts_with(['`', ' ']) || text.ends_with(['`', ' ']) { " " } else { "" };
    if text.is_empty() { "(empty)".to_owned() } else { format!("{fence}{pad}{text}{pad}{fence}") }
}

#[cfg(test)]
mod tests {
    use super::code;

    #[test]
    fn code_spans_cannot_be_left() {
        assert_eq!(code("/a"), "`/a`");
        assert_eq!(code("a`b``c"), "```a`b``c```");
        assert_eq!(code("`x`"), "`` `x` ``");
        assert_eq!(code("a\n\n<b>"), "`a\\n\\n<b>`");
    }
}
