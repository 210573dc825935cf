//! Lines of a list of capabilities (`capabilities.txt`), each by itself.

use super::Reading;
use super::item;
use super::topic::Topic;

/// What each line of a whole text is.
pub(super) fn read(text: &str) -> Vec<(&str, Reading)> {
    let mut heading = Reading::Unknown;
    let mut read = Vec::new();
    for line in text.lines() {
        let plain = line.strip_prefix('#').map_or(line, |rest| rest.strip_prefix(' ').unwrap_or(rest));
        let reason = plain.starts_with("  ") && !heading.topics().is_empty();
        let reading = if reason { Reading::Detail(heading.topics().to_vec()) } else { self::line(line) };
        if !reason {
            heading = if plain.starts_with("CAP_") { reading.clone() } else { Reading::Unknown };
        }
        read.push((line, reading));
    }
    read
}

/// What a line is.
pub(super) fn line(line: &str) -> Reading {
    let text = line.trim();
    if let Some(comment) = text.strip_prefix('#') {
        return comment_line(comment.trim());
    }
    if text.is_empty() {
        return Reading::fixed("an empty line");
    }
    if text == "capabilities:" || text == "drop: [\"ALL\"]" {
        return Reading::fixed("every other capability is dropped");
    }
    let names = named(text);
    let listed = ["--cap-", "CapabilityBoundingSet=", "AmbientCapabilities=", "add: ["];
    if names.is_empty() && listed.iter().any(|start| text.starts_with(start)) {
        return Reading::fixed("no capability stands here: all of them are dropped");
    }
    match (names.is_empty(), text.starts_with("CAP_")) {
        (true, _) => Reading::Unknown,
        (false, true) => Reading::Rule(names),
        (false, false) => Reading::Detail(names),
    }
}

/// The capabilities that a line names: with their prefix, behind `--cap-add=`, or in a list.
fn named(text: &str) -> Vec<Topic> {
    let words = text.split([' ', '=', ',', '"', '[', ']']).filter(|word| !word.is_empty());
    let upper = words.filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_' || c.is_ascii_digit()));
    upper.filter_map(item::capability).map(Topic::Capability).collect()
}

fn comment_line(text: &str) -> Reading {
    if let Some(gap) = text.strip_prefix("Gap: ") {
        let kind = item::gap(gap);
        return kind.map_or(Reading::Unknown, |kind| Reading::rule(Topic::Gap(kind)));
    }
    let id = |text: &str| text.split([' ', ',']).next().and_then(|id| id.parse().ok());
    if let Some(group) = text.strip_prefix("becomes group ").and_then(id) {
        return Reading::rule(Topic::Group(group));
    }
    let user = ["starts as user ", "becomes user ", "ends as user "].iter().find_map(|start| text.strip_prefix(start));
    if let Some(user) = user.and_then(id) {
        return Reading::rule(Topic::User(user));
    }
    let names = named(text);
    if text.starts_with("CAP_") && !names.is_empty() {
        return Reading::Detail(names);
    }
    Reading::fixed("a comment: it allows nothing")
}
