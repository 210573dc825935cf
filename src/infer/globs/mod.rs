//! Paths that differ from run to run, as patterns.
//!
//! Looks alone prove nothing: a part of a name is generalised only with evidence from the record (`Generaliser`), and
//! never where secrets lie. One literal path gives one pattern, and the needs keep the literals behind each pattern.

mod clock;
mod evidence;
mod names;
mod places;
mod siblings;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(super) use evidence::Generaliser;

use crate::path::AbsPath;

/// How far paths are generalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Globs {
    /// Not at all: nothing but what was observed is allowed.
    Off,
    /// What the record proves to differ from run to run.
    #[default]
    Safe,
    /// Also what differs from host to host (homes, architectures, versions of libraries), and whole directories of
    /// which many files are read.
    Wide,
}

impl Globs {
    /// Every degree with its name and what it means.
    pub const NAMES: [(Self, &'static str, &'static str); 3] = [
        (Self::Off, "off", "nothing but the paths that were observed"),
        (Self::Safe, "safe", "names that the record proves to differ from run to run"),
        (Self::Wide, "wide", "also homes, architectures, library versions and directories read as a whole"),
    ];
}

/// A set of paths: one path, or all paths of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This path alone.
    Literal(AbsPath),
    /// Every path that these pieces make up.
    General(Arc<[Piece]>),
}

/// A part of a pattern, with the meaning of `apparmor.d(5)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// These bytes.
    Text(Box<[u8]>),
    /// What a variable stands for.
    Variable(Variable),
    /// `[0-9]`: one digit.
    Digit,
    /// `[0-9a-fA-F]`: one hexadecimal digit.
    Hex,
    /// `?`: one byte of a name. Few of them: behind a `*` each doubles the size of the compiled profile.
    One,
    /// `*`: any bytes of one name; at least one where it stands for a whole name.
    Any,
}

/// Names for what differs from run to run or from host to host, with the values that Debian's `tunables` give them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    /// Where procfs is mounted.
    Proc,
    /// A process id.
    Pid,
    /// A thread id.
    Tid,
    /// `/run`, also by its old name.
    Run,
    /// A user id.
    Uid,
    /// A home directory.
    Home,
    /// The folder of an architecture's libraries.
    Multiarch,
}

/// Where procfs is taken to be mounted.
const PROC: &[u8] = b"/proc";

impl Ord for Pattern {
    /// Literal paths first, so that they can be searched for.
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Literal(one), Self::Literal(other)) => one.cmp(other),
            (Self::General(one), Self::General(other)) => one.cmp(other),
            (Self::Literal(_), Self::General(_)) => Ordering::Less,
            (Self::General(_), Self::Literal(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Pattern {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Pattern {
    /// Whether `path` is one of these paths.
    #[must_use]
    pub fn matches(&self, path: &AbsPath) -> bool {
        match self {
            Self::Literal(literal) => literal == path,
            Self::General(pieces) => matches(pieces, path.as_bytes()),
        }
    }

    /// What it allows beyond the paths that it was made from, in words; empty when that is nothing.
    #[must_use]
    pub fn leeway(&self) -> String {
        let Self::General(pieces) = self else {
            return String::new();
        };
        let runs = pieces.chunk_by(|one, next| one == next).collect::<Vec<_>>();
        let kind = |at: usize| runs.get(at).and_then(|run| run.first());
        let mut words = Vec::new();
        let mut free = BTreeMap::<&str, usize>::new();
        for (at, run) in runs.iter().enumerate() {
            let noun = kind(at).and_then(Piece::noun);
            match (kind(at), noun, kind(at + 1)) {
                (Some(Piece::Variable(variable)), ..) => words.extend(variable.leeway().map(str::to_owned)),
                (_, Some(noun), Some(Piece::Any)) => {
                    words.push(format!("{} and what follows", amount(run.len(), noun)));
                }
                (_, Some(noun), _) => *free.entry(noun).or_default() += run.len(),
                (Some(Piece::Any), ..) if at.checked_sub(1).and_then(kind).and_then(Piece::noun).is_none() => {
                    words.push("any name".to_owned());
                }
                _ => {}
            }
        }
        words.extend(free.iter().map(|(noun, count)| amount(*count, noun)));
        words.dedup();
        words.join(", ")
    }
}

fn amount(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Whether `pieces` can make up `text`: every place at which those so far can end is kept, so that no pattern is slow.
fn matches(pieces: &[Piece], text: &[u8]) -> bool {
    let mut ends = vec![0];
    for (place, piece) in pieces.iter().enumerate() {
        let whole_name = *piece == Piece::Any
            && place.checked_sub(1).and_then(|before| pieces.get(before)).is_some_and(Piece::ends_a_directory)
            && pieces.get(place + 1).is_none_or(Piece::begins_below);
        let mut next = ends.iter().fold(Vec::new(), |mut next, &from| {
            if let Some(rest) = text.get(from..) {
                piece.ends(rest, whole_name, &mut |length| next.push(from + length));
            }
            next
        });
        next.sort_unstable();
        next.dedup();
        ends = next;
    }
    ends.last() == Some(&text.len())
}

impl Piece {
    pub(super) fn text(bytes: &[u8]) -> Self {
        Self::Text(bytes.into())
    }

    /// The text that AppArmor has for it; `None` for plain text.
    #[must_use]
    pub const fn glob(&self) -> Option<&'static str> {
        match self {
            Self::Text(_) => None,
            Self::Variable(variable) => Some(variable.name()),
            Self::Digit => Some("[0-9]"),
            Self::Hex => Some("[0-9a-fA-F]"),
            Self::One => Some("?"),
            Self::Any => Some("*"),
        }
    }

    /// What one of these is called, if it stands for a single byte that is not told.
    const fn noun(&self) -> Option<&'static str> {
        match self {
            Self::Digit => Some("digit"),
            Self::Hex => Some("hexadecimal digit"),
            Self::One => Some("character"),
            Self::Text(_) | Self::Variable(_) | Self::Any => None,
        }
    }

    /// Whether a name begins right behind it.
    fn ends_a_directory(&self) -> bool {
        matches!(self, Self::Text(text) if text.ends_with(b"/"))
    }

    /// Whether a name ends right before it.
    fn begins_below(&self) -> bool {
        matches!(self, Self::Text(text) if text.starts_with(b"/"))
    }

    /// Tells how many bytes at the beginning of `text` it can stand for.
    fn ends(&self, text: &[u8], whole_name: bool, found: &mut dyn FnMut(usize)) {
        let name = || text.iter().position(|byte| *byte == b'/').unwrap_or(text.len());
        match self {
            Self::Text(bytes) if text.starts_with(bytes) => found(bytes.len()),
            Self::Digit if text.first().is_some_and(u8::is_ascii_digit) => found(1),
            Self::Hex if text.first().is_some_and(u8::is_ascii_hexdigit) => found(1),
            Self::One if name() > 0 => found(1),
            Self::Any => (usize::from(whole_name)..=name()).for_each(found),
            Self::Variable(variable) => variable.ends(text, name(), found),
            Self::Text(_) | Self::Digit | Self::Hex | Self::One => {}
        }
    }
}

impl Variable {
    /// How it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proc => "@{PROC}",
            Self::Pid => "@{pid}",
            Self::Tid => "@{tid}",
            Self::Run => "@{run}",
            Self::Uid => "@{uid}",
            Self::Home => "@{HOME}",
            Self::Multiarch => "@{multiarch}",
        }
    }

    const fn leeway(self) -> Option<&'static str> {
        match self {
            Self::Proc | Self::Run => None,
            Self::Pid => Some("any process"),
            Self::Tid => Some("any thread"),
            Self::Uid => Some("any user"),
            Self::Home => Some("any home"),
            Self::Multiarch => Some("any architecture"),
        }
    }

    /// Tells how many bytes at the beginning of `text`, whose first name has `name` bytes, it can stand for.
    fn ends(self, text: &[u8], name: usize, found: &mut dyn FnMut(usize)) {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut prefix = |values: &[&[u8]]| {
            values.iter().filter(|value| text.starts_with(value)).for_each(|value| found(value.len()));
        };
        match self {
            Self::Proc => prefix(&[PROC]),
            Self::Run => prefix(&[b"/run", b"/var/run"]),
            Self::Pid | Self::Tid => {
                (1..=digits.min(7)).filter(|&end| text.get(..end).is_some_and(is_pid)).for_each(found);
            }
            Self::Uid => (1..=digits.min(10)).filter(|&end| text.get(..end).is_some_and(is_uid)).for_each(found),
            Self::Home => {
                prefix(&[b"/root"]);
                if let Some(rest) = text.strip_prefix(b"/home/") {
                    let name = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
                    if name > 0 {
                        found(6 + name);
                    }
                }
            }
            Self::Multiarch => {
                const MARK: &[u8] = b"-linux-gnu";
                let within = text.get(..name).unwrap_or_default();
                if let Some(at) = within.windows(MARK.len()).position(|window| window == MARK) {
                    (at + MARK.len()..=name).for_each(found);
                }
            }
        }
    }
}

/// `/proc/PID` and `/proc/PID/task/TID`, whatever follows. Process 1 keeps its number in every run.
fn below_proc(path: &[u8]) -> Option<Vec<Piece>> {
    let (pid, mut rest) = split_number(path.strip_prefix(PROC)?.strip_prefix(b"/")?);
    if !is_pid(pid) || pid == b"1" || !(rest.is_empty() || rest.starts_with(b"/")) {
        return None;
    }
    let mut pieces = vec![Piece::Variable(Variable::Proc), Piece::text(b"/"), Piece::Variable(Variable::Pid)];
    if let Some((tid, after)) = rest.strip_prefix(b"/task/").map(split_number)
        && is_pid(tid)
        && (after.is_empty() || after.starts_with(b"/"))
    {
        pieces.extend([Piece::text(b"/task/"), Piece::Variable(Variable::Tid)]);
        rest = after;
    }
    if !rest.is_empty() {
        pieces.push(Piece::text(rest));
    }
    Some(pieces)
}

fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    text.split_at(end)
}

/// Whether this is a number that a process can have (`/proc/sys/kernel/pid_max` is at most 2^22).
fn is_pid(number: &[u8]) -> bool {
    (1..=7).contains(&number.len()) && !number.starts_with(b"0") && (number.len() < 7 || *number < b"5"[..])
}

/// Whether this is a number that a user can have, as `@{uid}` has them.
fn is_uid(number: &[u8]) -> bool {
    let plain = number.len() == 1 || !number.starts_with(b"0");
    (1..=10).contains(&number.len()) && plain && (number.len() < 10 || *number < b"5"[..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text.as_bytes()).unwrap()
    }

    fn pattern(pieces: &[Piece]) -> Pattern {
        Pattern::General(pieces.into())
    }

    #[test]
    fn patterns_match_as_apparmor_does() {
        use Piece::{Any, Digit, One};
        let text = |text: &str| Piece::text(text.as_bytes());
        let variable = Piece::Variable;
        for (pieces, yes, no) in [
            (vec![text("/a"), One, One], vec!["/abc", "/a??"], vec!["/ab", "/abcd", "/ab/c"]),
            (vec![text("/a/"), Any], vec!["/a/b", "/a/*"], vec!["/a", "/a/b/c"]),
            (vec![text("/a"), Any, text(".x")], vec!["/a.x", "/abc.x", "/a.x.x"], vec!["/a/.x", "/a.xx"]),
            (vec![text("/a/"), Any, text("/b")], vec!["/a/c/b"], vec!["/a/b", "/a/c/d/b"]),
            (vec![text("/a"), Digit, Any], vec!["/a1", "/a12", "/a1x"], vec!["/a", "/ax", "/a1/2"]),
            (
                vec![variable(Variable::Run), text("/user/"), variable(Variable::Uid), text("/bus")],
                vec!["/run/user/0/bus", "/var/run/user/1000/bus"],
                vec!["/run/user/01/bus", "/run/user/x/bus", "/run/user/9999999999/bus"],
            ),
            (
                vec![variable(Variable::Home), text("/.profile")],
                vec!["/home/u/.profile", "/root/.profile"],
                vec!["/home/.profile", "/home/u/v/.profile"],
            ),
            (
                vec![text("/usr/lib/"), variable(Variable::Multiarch), text("/libc.so.6")],
                vec!["/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/lib/arm-linux-gnueabihf/libc.so.6"],
                vec!["/usr/lib/x86/libc.so.6", "/usr/lib/x-linux-gnu/a/libc.so.6"],
            ),
        ] {
            let pattern = pattern(&pieces);
            for one in yes {
                assert!(pattern.matches(&path(one)), "{pattern:?} {one}");
            }
            for one in no {
                assert!(!pattern.matches(&path(one)), "{pattern:?} {one}");
            }
        }
    }

    #[test]
    fn leeway_is_told() {
        use Piece::{Any, Digit, One};
        let pid = Piece::Variable(Variable::Pid);
        assert_eq!(
            pattern(&[One, One, Digit, Any, pid]).leeway(),
            "1 digit and what follows, any process, 2 characters"
        );
        let date = [Digit, Digit, Piece::text(b"-"), Digit, Digit];
        assert_eq!(pattern(&date).leeway(), "4 digits");
        assert_eq!(pattern(&[Piece::text(b"/a/"), Any]).leeway(), "any name");
        assert_eq!(pattern(&[Piece::Variable(Variable::Run)]).leeway(), "");
    }
}
