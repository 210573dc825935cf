//! Paths as a rule of an AppArmor profile names them (`apparmor.d(5)`, section Globbing), or one path as it is.

use regex::bytes::{Regex, RegexBuilder};

use crate::fact::FileFact;
use crate::path::AbsPath;

/// One path, or all paths of a shape.
#[derive(Clone, Debug)]
pub struct Glob {
    /// As it was written, without quotes.
    text: String,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    /// This path; a slash at its end says that it is a directory.
    Literal(Vec<u8>),
    Shape(Regex),
}

impl PartialEq for Glob {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Glob {
    /// The path, whatever it is.
    pub(super) fn of(path: &AbsPath) -> Self {
        Self { text: path.to_string(), form: Form::Literal(path.as_bytes().to_vec()) }
    }

    /// Reads what a rule has, without quotes. `None` when it is no path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if !(text.starts_with('/') || text.starts_with("@{")) {
            return None;
        }
        let form = if has_wildcards(text) {
            let regex = RegexBuilder::new(&shape(text)?).unicode(false).dot_matches_new_line(true).build().ok()?;
            Form::Shape(regex)
        } else {
            Form::Literal(unescaped(text))
        };
        Some(Self { text: text.to_owned(), form })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Whether it may stand for several paths.
    pub(super) fn is_pattern(&self) -> bool {
        matches!(self.form, Form::Shape(_))
    }

    /// Whether a file is one of these. One that is asked for by its path alone may be a directory.
    pub(super) fn has_file(&self, fact: &FileFact) -> bool {
        let path = fact.path.as_bytes();
        match &self.form {
            Form::Literal(literal) if fact.directory => {
                literal == path || literal.strip_suffix(b"/") == Some(path) || literal == b"/"
            }
            Form::Literal(literal) => literal == path,
            Form::Shape(shape) if fact.directory && path != b"/" => {
                shape.is_match(&[path, b"/"].concat()) || shape.is_match(path)
            }
            Form::Shape(shape) => shape.is_match(path),
        }
    }

    /// Whether a path is one of these.
    pub(super) fn has(&self, path: &AbsPath) -> bool {
        let path = path.as_bytes();
        match &self.form {
            Form::Literal(literal) => literal == path || literal.strip_suffix(b"/") == Some(path),
            Form::Shape(shape) => shape.is_match(path) || shape.is_match(&[path, b"/"].concat()),
        }
    }
}

/// Whether an AppArmor text has anything but plain characters and escapes.
fn has_wildcards(text: &str) -> bool {
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '*' | '?' | '[' | '{' => return true,
            _ => {}
        }
    }
    false
}

/// The byte that a backslash introduces, and how many bytes that takes: `\ooo`, `\xHH`, or the character itself.
fn escape(rest: &[u8]) -> (u8, usize) {
    let number = |digits: Option<&[u8]>, radix| {
        let text = std::str::from_utf8(digits?).ok()?;
        u8::from_str_radix(text, radix).ok()
    };
    if let Some(byte) = number(rest.get(..3), 8) {
        return (byte, 3);
    }
    if let Some(byte) = number(rest.strip_prefix(b"x").and_then(|rest| rest.get(..2)), 16) {
        return (byte, 3);
    }
    (rest.first().copied().unwrap_or(b'\\'), 1)
}

fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        if first == b'\\' {
            let (byte, length) = escape(after);
            bytes.push(byte);
            rest = after.get(length..).unwrap_or_default();
        } else {
            bytes.push(first);
            rest = after;
        }
    }
    bytes
}

/// The values of variables, as Debian's `tunables` have them; another one is taken to be one name.
fn variable(name: &str) -> &'static str {
    match name {
        "PROC" => "/proc",
        "pid" | "pids" | "tid" => "[1-9][0-9]{0,6}",
        "run" => "(?:/run|/var/run)",
        "uid" => "[0-9]{1,10}",
        "HOME" => "(?:/root|/home/[^/]+)",
        "multiarch" => "[^/]*-linux-gnu[^/]*",
        "sys" => "/sys",
        _ => "[^/]+",
    }
}

/// The same as a regular expression over bytes.
fn shape(text: &str) -> Option<String> {
    let mut out = String::from("^");
    let mut rest = text.as_bytes();
    let mut braces = 0usize;
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'\\' => {
                let (byte, length) = escape(after);
                rest = after.get(length..)?;
                push(&mut out, byte);
            }
            b'*' if rest.starts_with(b"*") => {
                rest = rest.get(1..)?;
                out.push_str(".*");
            }
            // What stands for a whole name is never empty.
            b'*' if out.ends_with('/') && (rest.is_empty() || rest.starts_with(b"/")) => out.push_str("[^/]+"),
            b'*' => out.push_str("[^/]*"),
            b'?' => out.push_str("[^/]"),
            b'[' => {
                let end = rest.iter().position(|byte| *byte == b']')?;
                out.push('[');
                out.push_str(std::str::from_utf8(rest.get(..end)?).ok()?);
                out.push(']');
                rest = rest.get(end + 1..)?;
            }
            b'@' if rest.starts_with(b"{") => {
                let end = rest.iter().position(|byte| *byte == b'}')?;
                out.push_str(variable(std::str::from_utf8(rest.get(1..end)?).ok()?));
                rest = rest.get(end + 1..)?;
            }
            b'{' => {
                braces += 1;
                out.push_str("(?:");
            }
            b',' if braces > 0 => out.push('|'),
            b'}' if braces > 0 => {
                braces -= 1;
                out.push(')');
            }
            byte => push(&mut out, byte),
        }
    }
    out.push('$');
    (braces == 0).then_some(out)
}

fn push(out: &mut String, byte: u8) {
    use std::fmt::Write as _;
    if byte.is_ascii_alphanumeric() || byte == b'/' {
        out.push(char::from(byte));
    } else {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_name_paths() {
        for (text, yes, no) in [
            ("/etc/passwd", vec!["/etc/passwd"], vec!["/etc/passw", "/etc/passwd-"]),
            ("/srv/caf\u{e9} \\[1\\].html", vec!["/srv/caf\u{e9} [1].html"], vec!["/srv/caf\u{e9} 1.html"]),
            ("/a\\052\\x41", vec!["/a*A"], vec!["/ab"]),
            ("/a/*", vec!["/a/b"], vec!["/a/", "/a/b/c", "/a"]),
            ("/a/**", vec!["/a/b", "/a/b/c"], vec!["/ab"]),
            ("/a/x*.[0-9]", vec!["/a/x.1", "/a/xy.2"], vec!["/a/x.a", "/a/x/y.1"]),
            ("/a{,/}", vec!["/a"], vec!["/ab"]),
            ("/{a,b*}/c", vec!["/a/c", "/bcd/c"], vec!["/c/c"]),
            ("@{PROC}/@{pid}/stat", vec!["/proc/1/stat", "/proc/77777/stat"], vec!["/proc/self/stat", "/proc/0/stat"]),
            ("@{run}/x", vec!["/run/x", "/var/run/x"], vec!["/runx"]),
        ] {
            let glob = Glob::parse(text).unwrap();
            for path in yes {
                assert!(glob.has(&AbsPath::new(path.as_bytes()).unwrap()), "{text} {path}");
            }
            for path in no {
                let path = AbsPath::new(path.as_bytes());
                assert!(!path.is_ok_and(|path| glob.has(&path)), "{text}");
            }
        }
        for text in ["passwd", "", "/a[", "/a{b", "@{x"] {
            assert_eq!(Glob::parse(text), None, "{text}");
        }
    }

    #[test]
    fn directories_have_a_slash() {
        let file = |path: &str, directory| FileFact {
            path: AbsPath::new(path.as_bytes()).unwrap(),
            access: crate::fact::Access::READ,
            owner: true,
            directory,
        };
        let directory = Glob::parse("/a/b/").unwrap();
        assert!(directory.has_file(&file("/a/b", true)) && !directory.has_file(&file("/a/b", false)));
        let either = Glob::parse("/a/b").unwrap();
        assert!(either.has_file(&file("/a/b", true)) && either.has_file(&file("/a/b", false)));
    }
}
