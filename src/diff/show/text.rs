//! For people at a terminal: what matters first, in as few lines as that takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::report::{Report, Shown};
use super::super::{Direction, Kind, Level};
use super::{by, evidence, headline};
use crate::render::escape::visible;

/// How many differences of one level are written out, each on its line.
const LINES: usize = 40;

/// How wide a list of what matters little is, and how many lines it has.
const WIDTH: usize = 110;
const ROWS: usize = 4;

/// The report as lines of text, with colours if `color`.
#[must_use]
pub fn text(report: &Report, color: bool) -> String {
    let paint = Paint(color);
    let mut out = summary(report, &paint);
    for level in Level::ALL {
        let of_level: Vec<_> = report.changes.iter().filter(|shown| shown.level == level).collect();
        if of_level.is_empty() {
            continue;
        }
        let _ = writeln!(out, "\n{}", paint.level(level, level.name()));
        if level <= Level::Low {
            lists(&mut out, &of_level, &paint);
            more(&mut out, report.count(level), of_level.len());
            continue;
        }
        let mut told = String::new();
        for shown in of_level.iter().take(LINES) {
            change(&mut out, shown, &paint, &mut told);
        }
        more(&mut out, report.count(level), of_level.len().min(LINES));
    }
    if !report.accepted.is_empty() {
        let _ = writeln!(out, "\naccepted");
        for shown in report.accepted.iter().take(LINES) {
            let reason = shown.reason.as_deref().unwrap_or_default();
            let _ = writeln!(out, "  {}: {}", visible(&headline(shown)), visible(reason));
        }
        more(&mut out, report.accepted_total, report.accepted.len().min(LINES));
    }
    if !report.notes.is_empty() {
        out.push('\n');
    }
    for note in report.notes.iter().take(LINES) {
        let _ = writeln!(out, "note: {}", visible(note));
    }
    more(&mut out, report.notes.len(), report.notes.len().min(LINES));
    out
}

/// The ten-second view: how many differences of which level and kind.
fn summary(report: &Report, paint: &Paint) -> String {
    let sides = format!("{} -> {}", visible(&report.old), visible(&report.new));
    if report.total == 0 {
        return format!("{sides}: no difference\n");
    }
    let levels = Level::ALL.iter().filter(|level| report.count(**level) > 0);
    let mut counts: Vec<_> =
        levels.map(|level| paint.level(*level, &format!("{} {}", report.count(*level), level.name()))).collect();
    if report.accepted_total > 0 {
        counts.push(format!("{} accepted", report.accepted_total));
    }
    format!("{sides}: {}\n", counts.join(", "))
}

/// One difference on its line, below it who showed it unless the lines above said the same.
fn change(out: &mut String, shown: &Shown, paint: &Paint, told: &mut String) {
    let line = visible(&headline(shown)).into_owned();
    let _ = writeln!(out, "  {} {}: {}", mark(shown.change), paint.level(shown.level, &line), shown.why);
    let who = shown.evidence.iter().map(by).collect::<Vec<_>>().join("\n");
    // Calls are told by their arguments.
    if who != *told || shown.kind == Kind::Syscall {
        for witness in &shown.evidence {
            let _ = writeln!(out, "      {}", visible(&evidence(witness)));
        }
        *told = who;
    }
}

const fn mark(direction: Direction) -> char {
    match direction {
        Direction::Added => '+',
        Direction::Widened => '>',
        Direction::Changed => '!',
        Direction::Moved => '~',
        Direction::Narrowed => '<',
        Direction::Removed => '-',
    }
}

/// What matters little: one list for each kind and direction.
fn lists(out: &mut String, changes: &[&Shown], paint: &Paint) {
    let mut groups = BTreeMap::<(Direction, Kind), Vec<&Shown>>::new();
    for shown in changes {
        groups.entry((shown.change, shown.kind)).or_default().push(shown);
    }
    for ((direction, kind), shown) in groups {
        let kind = if shown.len() == 1 { kind.name() } else { kind.plural() };
        let head = format!("  {} {} {} {kind}: ", mark(direction), direction.name(), shown.len());
        let mut lines = vec![head];
        let mut written = 0;
        for one in &shown {
            let item = visible(&super::item(one)).into_owned();
            let room = lines.last().map_or(0, |line| WIDTH.saturating_sub(line.chars().count()));
            if written > 0 && item.chars().count() > room {
                if lines.len() == ROWS {
                    break;
                }
                lines.push("      ".to_owned());
            }
            written += 1;
            if let Some(line) = lines.last_mut() {
                let _ = write!(line, "{item}{}", if written < shown.len() { ", " } else { "" });
            }
        }
        if written < shown.len() {
            lines.push(format!("      and {} more", shown.len() - written));
        }
        let level = shown.first().map_or(Level::Low, |one| one.level);
        for line in lines {
            let _ = writeln!(out, "{}", paint.level(level, line.trim_end()));
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
