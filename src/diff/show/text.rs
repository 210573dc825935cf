//! For people at a terminal: what matters first, in as few lines as that takes.

use std::fmt::Write as _;

use super::super::report::{Report, Shown};
use super::super::{Direction, Level};
use super::{evidence, headline};
use crate::render::escape::visible;

/// How many differences of one level are written out.
const LINES: usize = 40;

/// The report as lines of text, with colours if `color`.
#[must_use]
pub fn text(report: &Report, color: bool) -> String {
    let paint = Paint(color);
    let mut out = String::new();
    let _ = writeln!(out, "{}", summary(report));
    for level in Level::ALL {
        let of_level: Vec<_> = report.changes.iter().filter(|shown| shown.level == level).collect();
        if of_level.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{}", paint.level(level, level.name()));
        for shown in of_level.iter().take(LINES) {
            change(&mut out, shown, &paint);
        }
        more(&mut out, report.count(level), of_level.len().min(LINES));
    }
    if !report.accepted.is_empty() {
        let _ = writeln!(out, "\naccepted");
        for shown in report.accepted.iter().take(LINES) {
            let reason = shown.reason.as_deref().unwrap_or_default();
            let _ = writeln!(out, "  {}: {}", visible(&headline(shown)), visible(reason));
        }
        more(&mut out, report.accepted.len(), report.accepted.len().min(LINES));
    }
    for note in &report.notes {
        let _ = writeln!(out, "\nnote: {}", visible(note));
    }
    out
}

/// The ten-second view: how many differences of which level and kind.
fn summary(report: &Report) -> String {
    let sides = format!("{} -> {}", visible(&report.old), visible(&report.new));
    if report.total == 0 {
        return format!("{sides}: no difference");
    }
    let levels = Level::ALL.iter().filter(|level| report.count(**level) > 0);
    let levels = levels.map(|level| format!("{} {}", report.count(*level), level.name())).collect::<Vec<_>>();
    let kinds = report.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>();
    let open = report.total - report.accepted.len();
    let accepted =
        if report.accepted.is_empty() { String::new() } else { format!("{} accepted", report.accepted.len()) };
    match (open, accepted.as_str()) {
        (0, _) => format!("{sides}: {accepted}, nothing else"),
        (_, "") => format!("{sides}: {}\nin {}", levels.join(", "), kinds.join(", ")),
        _ => format!("{sides}: {}; {accepted}\nin {}", levels.join(", "), kinds.join(", ")),
    }
}

fn change(out: &mut String, shown: &Shown, paint: &Paint) {
    let mark = match shown.change {
        Direction::Added => "+",
        Direction::Widened => ">",
        Direction::Moved => "~",
        Direction::Narrowed => "<",
        Direction::Removed => "-",
    };
    let line = visible(&headline(shown)).into_owned();
    let _ = writeln!(out, "  {mark} {}: {}", paint.level(shown.level, &line), shown.why);
    // Who showed what is new is what a reviewer asks next; the rest is in the other formats.
    if matches!(shown.change, Direction::Added | Direction::Widened) && shown.level > Level::Low {
        for witness in &shown.evidence {
            let _ = writeln!(out, "      {}", visible(&evidence(witness)));
        }
    }
}

fn more(out: &mut String, all: usize, written: usize) {
    if all > written {
        let _ = writeln!(out, "  and {} more", all - written);
    }
}

struct Paint(bool);

impl Paint {
    /// ANSI colours, as terminals have known them since ECMA-48.
    fn level(&self, level: Level, text: &str) -> String {
        let code = match level {
            Level::Critical => "1;31",
            Level::High => "31",
            Level::Medium => "33",
            Level::Low => "0",
            Level::Noise => "2",
        };
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
