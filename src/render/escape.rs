//! The only maker of [`Escaped`] text.
//!
//! Names from the workload reach an output through here alone, so that a hostile one stays the name that it is: it
//! neither ends a rule nor widens one. `apparmor_parser` reads inside quotes: `\` before each of `"*?[]{}^,` for that
//! character, `\ooo` for a byte; every byte that a file name can hold is expressible so.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::Value;

use crate::infer::Pattern;
use crate::infer::globs::Piece;

/// Text that is safe where its maker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Escaped(String);

impl Escaped {
    /// Text of ours.
    #[must_use]
    pub fn fixed(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// One line of plain text, for a comment or a message: whatever moves the cursor or hides text is made visible.
    #[must_use]
    pub fn line(text: &str) -> Self {
        Self(visible(text).into_owned())
    }

    /// Text that a JSON template passes through its `json` helper.
    #[must_use]
    pub fn for_json(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// Letters, digits and `_.+-`; any other character becomes `_`.
    #[must_use]
    pub fn word(text: &str) -> Self {
        Self(text.chars().map(|c| if is_word(c) { c } else { '_' }).collect())
    }

    /// A path of an AppArmor rule.
    #[must_use]
    pub fn pattern(pattern: &Pattern, tail: Tail) -> Self {
        let mut text = String::new();
        push_pattern(&mut text, pattern, tail);
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<Escaped> for Value {
    /// Moves the text, where `serde_json::to_value` would copy it.
    fn from(text: Escaped) -> Self {
        Self::String(text.0)
    }
}

/// What follows the last component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tail {
    /// Nothing: it is a file.
    File,
    /// A slash: it is a directory.
    Directory,
    /// Either.
    Either,
}

/// Rules, line by line, in blocks of many lines: a list of a million strings would take more memory than their text.
#[derive(Debug, Default)]
pub struct Lines {
    blocks: Vec<Escaped>,
    open: String,
}

impl Lines {
    /// Blocks are closed at this many bytes.
    const BLOCK: usize = 1 << 16;

    /// Adds text of ours.
    pub fn fixed(&mut self, text: &'static str) -> &mut Self {
        self.open.push_str(text);
        self
    }

    /// Adds a word; see [`Escaped::word`].
    pub fn word(&mut self, text: &str) -> &mut Self {
        self.open.extend(text.chars().map(|c| if is_word(c) { c } else { '_' }));
        self
    }

    /// Adds the full name of a profile: words with `//` between them.
    pub fn profile(&mut self, name: &str) -> &mut Self {
        self.open.extend(name.chars().map(|c| if is_word(c) || c == '/' { c } else { '_' }));
        self
    }

    /// Adds words, separated by commas.
    pub fn words<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) -> &mut Self {
        for (place, word) in words.into_iter().enumerate() {
            self.fixed(if place == 0 { "" } else { ", " }).word(word);
        }
        self
    }

    /// Adds a path of an AppArmor rule.
    pub fn pattern(&mut self, pattern: &Pattern, tail: Tail) -> &mut Self {
        push_pattern(&mut self.open, pattern, tail);
        self
    }

    /// Adds bytes as an AppArmor string in quotes.
    pub fn quoted(&mut self, bytes: &[u8], tail: Tail) -> &mut Self {
        self.open.push('"');
        push_bytes(&mut self.open, bytes);
        if !bytes.ends_with(b"/") {
            push_tail(&mut self.open, tail);
        }
        self.open.push('"');
        self
    }

    /// Adds text within one line; see [`Escaped::line`].
    pub fn comment(&mut self, text: &str) -> &mut Self {
        self.open.push_str(&visible(text));
        self
    }

    /// Ends the line.
    pub fn end(&mut self) {
        self.open.push('\n');
        if self.open.len() > Self::BLOCK {
            self.close();
        }
    }

    /// Every line so far, in order; each block ends with a line.
    #[must_use]
    pub fn finish(mut self) -> Vec<Escaped> {
        self.close();
        self.blocks
    }

    fn close(&mut self) {
        if !self.open.is_empty() {
            self.open.shrink_to_fit();
            self.blocks.push(Escaped(std::mem::take(&mut self.open)));
        }
    }
}

impl Tail {
    const fn text(self) -> &'static str {
        match self {
            Self::File => "",
            Self::Directory => "/",
            Self::Either => "{,/}",
        }
    }
}

/// `text` with everything that is not plainly visible escaped: control characters (line ends and terminal escapes
/// among them), and characters that reorder or hide text.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether a character is not plainly visible as itself.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '+' | '-')
}

fn push_pattern(to: &mut String, pattern: &Pattern, tail: Tail) {
    let plain = match pattern {
        Pattern::Literal(path) => is_plain(path.as_bytes()),
        Pattern::General(pieces) => pieces.iter().all(|piece| match piece {
            Piece::Text(text) => is_plain(text),
            _ => true,
        }),
    };
    let quote = if plain { "" } else { "\"" };
    to.push_str(quote);
    match pattern {
        Pattern::Literal(path) => {
            push_bytes(to, path.as_bytes());
            if path.as_bytes() != b"/" {
                push_tail(to, tail);
            }
        }
        Pattern::General(pieces) => {
            for piece in &**pieces {
                match piece {
                    Piece::Text(text) => push_bytes(to, text),
                    special => to.push_str(special.glob().unwrap_or_default()),
                }
            }
            push_tail(to, tail);
        }
    }
    to.push_str(quote);
}

fn push_tail(to: &mut String, tail: Tail) {
    // `@{` would begin a variable.
    if tail == Tail::Either && to.ends_with('@') {
        to.pop();
        to.push_str("{@,@/}");
    } else {
        to.push_str(tail.text());
    }
}

/// Whether the parser takes these bytes as they stand, without quotes.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._+:=~%@-".contains(byte))
}

fn push_bytes(to: &mut String, bytes: &[u8]) {
    if is_plain(bytes)
        && let Ok(text) = std::str::from_utf8(bytes)
    {
        to.push_str(text);
        return;
    }
    let octal = |to: &mut String, bytes: &[u8]| {
        for byte in bytes {
            let _ = write!(to, "\\{byte:03o}");
        }
    };
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '*' | '?' | '[' | ']' | '{' | '}' | '^' | ',' => to.extend(['\\', c]),
                // Before a closing quote the parser would read `\\` as half an escaped quote.
                c if c == '\\' || is_hidden(c) => octal(to, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => to.push(c),
            }
        }
        octal(to, chunk.invalid());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::globs::Variable;
    use crate::path::AbsPath;

    fn escaped(bytes: &[u8], tail: Tail) -> String {
        let pattern = Pattern::Literal(AbsPath::new(bytes).unwrap());
        Escaped::pattern(&pattern, tail).as_str().to_owned()
    }

    #[test]
    fn patterns() {
        let pieces = |text: &[u8]| {
            let begin = [Piece::Variable(Variable::Proc), Piece::Text(b"/".as_slice().into()), Piece::One, Piece::Any];
            Pattern::General(begin.into_iter().chain([Piece::Text(text.into())]).collect())
        };
        assert_eq!(Escaped::pattern(&pieces(b"/stat"), Tail::File).as_str(), "@{PROC}/?*/stat");
        assert_eq!(Escaped::pattern(&pieces(b"/x ?"), Tail::Directory).as_str(), "\"@{PROC}/?*/x \\?/\"");
    }

    #[test]
    fn paths() {
        for (bytes, text) in [
            (&b"/etc/hosts"[..], "/etc/hosts"),
            (b"/", "/"),
            (b"/a b", "\"/a b\""),
            (b"/a\"b\\", r#""/a\"b\134""#),
            (b"/@{PROC}*?[x]^,#", r#""/@\{PROC\}\*\?\[x\]\^\,#""#),
            (b"/a\nb\x1b\xff\x80", r#""/a\012b\033\377\200""#),
            ("/caf\u{e9}\u{202e}".as_bytes(), "\"/caf\u{e9}\\342\\200\\256\""),
        ] {
            assert_eq!(escaped(bytes, Tail::File), text);
        }
        assert_eq!(escaped(b"/", Tail::Directory), "/");
        assert_eq!(escaped(b"/a,", Tail::Directory), "\"/a\\,/\"");
        assert_eq!(escaped(b"/mnt", Tail::Either), "/mnt{,/}");
        assert_eq!(escaped(b"/m@t@", Tail::Either), "/m@t{@,@/}");
    }

    #[test]
    fn lines_stay_lines() {
        assert_eq!(visible("plain \u{e9}"), "plain \u{e9}");
        assert_eq!(visible("a\nb\u{1b}[2J\u{202e}\u{85}"), "a\\nb\\u{1b}[2J\\u{202e}\\u{85}");
        assert_eq!(Escaped::word("a b\n/").as_str(), "a_b__");
    }

    #[test]
    fn blocks_hold_whole_lines() {
        let mut lines = Lines::default();
        for _ in 0..10_000 {
            lines.fixed("  /some/path").word(" rw").fixed(",").end();
        }
        let blocks = lines.finish();
        assert!(blocks.len() > 1 && blocks.iter().all(|block| block.as_str().ends_with(",\n")));
        assert_eq!(blocks.iter().map(|block| block.as_str().lines().count()).sum::<usize>(), 10_000);
    }
}
