//! Paths that differ from run to run, as patterns.
//!
//! So far only what would be wrong as it stands: process and thread ids below `/proc`. Every rule of generalisation
//! belongs here; it maps one literal path to one pattern, and the needs keep the literals that a pattern stands for.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::path::AbsPath;

/// How far paths are generalised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Globs {
    /// Not at all: nothing but what was observed is allowed.
    Off,
    /// Only what is known to differ from run to run.
    #[default]
    Safe,
}

/// A set of paths: one path, or all paths of a shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This path alone.
    Literal(AbsPath),
    /// Every path that these pieces make up.
    General(Arc<[Piece]>),
}

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    /// These bytes.
    Text(Box<[u8]>),
    /// What a variable stands for.
    Variable(Variable),
}

/// Names for what differs from run to run or from host to host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Variable {
    /// Where procfs is mounted.
    Proc,
    /// A process id.
    Pid,
    /// A thread id.
    Tid,
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
    /// The pattern for `path`.
    #[must_use]
    pub fn of(path: &AbsPath, globs: Globs) -> Self {
        let general = match globs {
            Globs::Off => None,
            Globs::Safe => below_proc(path.as_bytes()),
        };
        general.map_or_else(|| Self::Literal(path.clone()), |pieces| Self::General(pieces.into()))
    }

    /// Whether `path` is one of these paths.
    #[must_use]
    pub fn matches(&self, path: &AbsPath) -> bool {
        match self {
            Self::Literal(literal) => literal == path,
            Self::General(pieces) => {
                let rest = pieces.iter().try_fold(path.as_bytes(), |rest, piece| piece.strip_from(rest));
                rest.is_some_and(<[u8]>::is_empty)
            }
        }
    }
}

impl Piece {
    fn text(bytes: &[u8]) -> Self {
        Self::Text(bytes.into())
    }

    /// What follows this piece at the beginning of `path`.
    fn strip_from<'p>(&self, path: &'p [u8]) -> Option<&'p [u8]> {
        match self {
            Self::Text(text) => path.strip_prefix(&**text),
            Self::Variable(Variable::Proc) => path.strip_prefix(PROC),
            Self::Variable(Variable::Pid | Variable::Tid) => {
                let (number, rest) = split_number(path);
                is_pid(number).then_some(rest)
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
    (1..=7).contains(&number.len()) && !number.starts_with(b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn only_process_ids_are_generalised() {
        for text in ["/proc/1", "/proc/1/stat", "/proc/12a/stat", "/proc/012", "/proc/sys/kernel", "/procs/12", "/etc"]
        {
            assert_eq!(Pattern::of(&path(text), Globs::Safe), Pattern::Literal(path(text)));
        }
        assert_eq!(Pattern::of(&path("/proc/12"), Globs::Off), Pattern::Literal(path("/proc/12")));
    }

    #[test]
    fn patterns_match_their_kind_and_nothing_else() {
        let stat = Pattern::of(&path("/proc/12/task/13/stat"), Globs::Safe);
        assert_eq!(stat, Pattern::of(&path("/proc/4000000/task/2/stat"), Globs::Safe));
        assert!(stat.matches(&path("/proc/77/task/77/stat")));
        for other in ["/proc/77/task/77/status", "/proc/77/task/x/stat", "/proc/self/task/77/stat", "/proc/77/stat"] {
            assert!(!stat.matches(&path(other)), "{other}");
        }
        let odd = Pattern::of(&path("/proc/12/task/x"), Globs::Safe);
        assert!(odd.matches(&path("/proc/2/task/x")) && !odd.matches(&path("/proc/2/task/3")));
        let whole = Pattern::of(&path("/proc/12"), Globs::Safe);
        assert!(whole.matches(&path("/proc/3")) && !whole.matches(&path("/proc/3/stat")));
    }
}
