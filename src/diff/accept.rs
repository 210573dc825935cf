//! Differences that were looked at and accepted: each with a reason, until a day.
//!
//! ```toml
//! [[accept]]
//! kind = "file"
//! item = "/etc/ssl/private/site.key"   # `*` stands for anything
//! change = "added"                     # left out: any
//! reason = "TLS, decided in review 42"
//! expires = 2027-01-31
//! ```

use serde::Deserialize;
use toml::value::Datetime;

use super::{Change, Direction, Kind};

/// The lines of a file, with which of them were used.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    lines: Vec<Line>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    kind: Kind,
    item: String,
    #[serde(default)]
    change: Option<Direction>,
    reason: String,
    expires: Datetime,
    #[serde(skip)]
    used: bool,
    #[serde(skip)]
    expired: bool,
}

/// Why a file of accepted differences cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// It is no TOML of this shape.
    #[error("not a readable list of accepted differences: {0}")]
    Malformed(String),
    /// A line lacks what makes it one.
    #[error("the accepted {kind} `{item}` needs {what}")]
    Incomplete {
        /// The line's kind.
        kind: &'static str,
        /// The line's item.
        item: String,
        /// What it lacks.
        what: &'static str,
    },
}

impl Accepted {
    /// Reads a file. `today` is a day as `YYYY-MM-DD`; a line holds on the day on which it expires, no longer.
    ///
    /// # Errors
    /// See [`AcceptError`].
    pub fn parse(text: &str, today: &str) -> Result<Self, AcceptError> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(default)]
            accept: Vec<Line>,
        }
        let malformed = |error: toml::de::Error| {
            let line = error.span().and_then(|span| text.get(..span.start)).map(|before| before.lines().count().max(1));
            let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            AcceptError::Malformed(format!("{place}{}", error.message()))
        };
        let File { accept: mut lines } = toml::from_str(text).map_err(malformed)?;
        for line in &mut lines {
            let lacks = |what| AcceptError::Incomplete { kind: line.kind.name(), item: line.item.clone(), what };
            let Some(date) = line.expires.date else {
                return Err(lacks("a day in `expires`, such as 2027-01-31"));
            };
            if line.reason.trim().is_empty() {
                return Err(lacks("a reason"));
            }
            line.expired = date.to_string().as_str() < today;
        }
        Ok(Self { lines })
    }

    /// The reason for which `change` is accepted.
    pub fn reason(&mut self, change: &Change<'_>) -> Option<String> {
        self.reason_for(change.item.kind, &change.item.name, change.direction)
    }

    /// The reason for which it is accepted that an item changed so.
    pub fn reason_for(&mut self, kind: Kind, name: &str, direction: Direction) -> Option<String> {
        let fits = |line: &&mut Line| {
            line.change.is_none_or(|accepted| accepted == direction) && line.kind == kind && matches(&line.item, name)
        };
        let mut reason = None;
        for line in self.lines.iter_mut().filter(fits) {
            line.used = true;
            if !line.expired && reason.is_none() {
                reason = Some(line.reason.clone());
            }
        }
        reason
    }

    /// What is to be said of lines that are expired or stand for nothing.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let told = self.lines.iter().filter_map(|line| {
            let what = match (line.expired, line.used) {
                (true, _) => format!("expired on {}", line.expires),
                (false, false) => "stands for no difference: take it out".to_owned(),
                (false, true) => return None,
            };
            Some(format!("accepted {} `{}` {what}", line.kind.name(), line.item))
        });
        told.collect()
    }
}

/// Whether `name` is what `pattern` says, in which `*` stands for anything.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut pieces = pieces.peekable();
    if pieces.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.split_once(piece) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::{Item, Level};
    use crate::infer::Because;

    fn change(name: &str) -> Change<'static> {
        let item = Item { kind: Kind::File, name: name.to_owned() };
        let (level, direction) = (Level::High, Direction::Added);
        Change { item, direction, from: None, parts: Vec::new(), level, why: "", because: Because::default() }
    }

    fn line(item: &str, expires: &str) -> String {
        format!("[[accept]]\nkind = \"file\"\nitem = \"{item}\"\nreason = \"why\"\nexpires = {expires}\n")
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, fits) in [
            ("/a", "/a", true),
            ("/a", "/ab", false),
            ("/a*", "/ab/c", true),
            ("*/c", "/ab/c", true),
            ("/*/b/*", "/a/b/c", true),
            ("/*/b/*", "/a/c", false),
            ("/a*a", "/a", false),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
        }
    }

    #[test]
    fn lines_hold_until_their_day() {
        let text = line("/a*", "2026-11-24") + &line("/b", "2026-11-23") + &line("/c", "2027-01-01");
        let mut accepted = Accepted::parse(&text, "2026-11-24").unwrap();
        assert_eq!(accepted.reason(&change("/ax")).as_deref(), Some("why"));
        assert_eq!(accepted.reason(&change("/b")), None, "expired");
        let notes = accepted.notes();
        assert_eq!(
            notes,
            ["accepted file `/b` expired on 2026-11-23", "accepted file `/c` stands for no difference: take it out"]
        );
    }

    #[test]
    fn lines_without_reason_or_day_are_refused() {
        let wrong = |text: &str| Accepted::parse(text, "2026-11-24").unwrap_err().to_string();
        assert!(wrong(&line("/a", "10:00:00")).contains("needs a day"));
        assert!(wrong(&line("/a", "2027-01-01").replace("\"why\"", "\" \"")).contains("needs a reason"));
        assert!(wrong(&line("/a", "2027-01-01").replace("file", "thing")).contains("line 2"));
        assert!(wrong("nonsense").contains("not a readable list"));
    }
}
