//! An [`Answer`] for people: what, who, when, and where it leads, in a few lines.

use std::fmt::Write as _;

use super::{Actor, Answer, Explanation, LISTED};
use crate::render::escape::visible;

/// How many runs are named.
const RUNS: usize = 3;

/// How long a command line may be.
const COMMAND: usize = 160;

/// The answer as lines of text.
#[must_use]
pub fn text(answer: &Answer) -> String {
    match answer {
        Answer::Explained { explanations, .. } => explanations.iter().map(explanation).collect::<Vec<_>>().join("\n"),
        Answer::Ambiguous { item, could_mean } => {
            format!("{}: it could mean several things; say which:\n{}", visible(item.trim()), indented(could_mean))
        }
        Answer::Unknown { item, nearest } if nearest.is_empty() => {
            format!("{}: nothing of it was seen\n", visible(item.trim()))
        }
        Answer::Unknown { item, nearest } => {
            format!("{}: nothing of it was seen; nearest are\n{}", visible(item.trim()), indented(nearest))
        }
    }
}

fn indented(lines: &[String]) -> String {
    lines.iter().fold(String::new(), |all, line| all + "  " + &visible(line) + "\n")
}

fn explanation(one: &Explanation) -> String {
    let mut out = format!("{} {}\n", one.kind, visible(&one.name)).trim_start().to_owned();
    for note in &one.notes {
        let _ = writeln!(out, "  {}", visible(note));
    }
    if let Some(count) = one.literal_count {
        let _ = writeln!(out, "  stands for {count} {}", if count == 1 { "path" } else { "paths" });
        for path in &one.literals {
            let _ = writeln!(out, "    {}", visible(path));
        }
        more(&mut out, count, one.literals.len());
    }
    for actor in &one.by {
        by(&mut out, actor);
    }
    if !one.leads_to.is_empty() {
        out.push_str("  leads to\n");
    }
    let width = one.leads_to.iter().map(|lines| lines.file.chars().count()).max().unwrap_or_default();
    for lines in &one.leads_to {
        for (place, line) in lines.lines.iter().enumerate() {
            let file = if place == 0 { visible(&lines.file).into_owned() } else { String::new() };
            let _ = writeln!(out, "    {file:width$}  {}", visible(line));
        }
        more(&mut out, lines.count, lines.lines.len().min(LISTED));
    }
    out
}

fn more(out: &mut String, all: usize, written: usize) {
    if all > written {
        let _ = writeln!(out, "    and {} more", all - written);
    }
}

fn by(out: &mut String, actor: &Actor) {
    let _ = writeln!(out, "  by {}", visible(&actor.executable));
    for start in &actor.started {
        let from = if start.chain.is_empty() { String::new() } else { format!(", from {}", start.chain.join(" > ")) };
        let _ = writeln!(out, "    as {}{}", visible(&command(&start.command)), visible(&from));
    }
    for deed in &actor.did {
        let _ = writeln!(out, "    {}", visible(deed));
    }
    more(out, actor.did.len() + actor.more, actor.did.len());
    let mut line =
        if actor.first == actor.last { actor.first.clone() } else { format!("{} to {}", actor.first, actor.last) };
    let named = actor.runs.iter().take(RUNS).map(|run| format!("{:016x}", run.0)).collect::<Vec<_>>().join(" ");
    let _ = match actor.runs.len() {
        1 => write!(line, ", in run {named}"),
        count if count > RUNS => write!(line, ", in {count} runs: {named} …"),
        _ => write!(line, ", in runs {named}"),
    };
    if let Some(calls) = actor.calls {
        let least = if actor.at_least { " at least" } else { "" };
        let _ = write!(line, "; {calls} {}{least}", if calls == 1 { "call" } else { "calls" });
    }
    if actor.outcomes.iter().any(|outcome| outcome != "ok") {
        let _ = write!(line, "; {}", actor.outcomes.iter().cloned().collect::<Vec<_>>().join(" "));
    }
    let _ = writeln!(out, "    {line}");
}

/// A command line, as a shell takes it, cut to a length that can be read.
fn command(words: &[String]) -> String {
    let plain = |word: &&String| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c))
    };
    let quoted = |word: &String| {
        if plain(&word) { word.clone() } else { format!("'{}'", word.replace('\'', "'\\''")) }
    };
    let line = words.iter().map(quoted).collect::<Vec<_>>().join(" ");
    let mut short = line.chars().take(COMMAND).collect::<String>();
    if short.len() < line.len() {
        short.push('…');
    }
    short
}
