//! Words of a policy's text.

use std::sync::Arc;

use super::{ParseError, Place};

/// A word, or what stands between statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A word as it stands, escapes included.
    Word(Vec<u8>),
    /// A word in quotes, without them.
    Quoted(Vec<u8>),
    /// `name=`.
    Key(String),
    /// `(…)`.
    List(Vec<Token>),
    /// `->`.
    Arrow,
    /// The `,` that ends a rule.
    End,
    /// `{`.
    Open,
    /// `}`.
    Close,
    /// `include <name>`; whether its absence is no error.
    Include(String, bool),
    /// `@{name} = values`; whether they are added to others.
    Assign(String, bool, Vec<Vec<u8>>),
}

impl Token {
    /// The text of a word.
    pub(super) fn text(&self) -> Option<&[u8]> {
        match self {
            Self::Word(text) | Self::Quoted(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is this plain word.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(text) if text == word.as_bytes())
    }
}

pub(super) struct Lexer<'t> {
    rest: &'t [u8],
    file: Arc<str>,
    line: usize,
    /// Whether a statement begins here.
    fresh: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(file: &str, text: &'t str) -> Self {
        Self { rest: text.as_bytes(), file: file.into(), line: 1, fresh: true }
    }

    /// Where it stands.
    pub(super) fn place(&self) -> Place {
        Place { file: Arc::clone(&self.file), line: self.line }
    }

    pub(super) fn wrong(&self, what: impl Into<String>) -> ParseError {
        ParseError { place: self.place(), what: what.into() }
    }

    /// The next token; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Token>, ParseError> {
        self.skip_space();
        if self.fresh {
            if let Some(include) = self.include()? {
                return Ok(Some(include));
            }
            if let Some(assignment) = self.assignment()? {
                return Ok(Some(assignment));
            }
        }
        let Some(&first) = self.rest.first() else {
            return Ok(None);
        };
        let alone = self.rest.get(1).is_none_or(|byte| byte.is_ascii_whitespace() || *byte == b'#');
        let token = match first {
            b',' => Token::End,
            b'{' if alone => Token::Open,
            b'}' => Token::Close,
            _ => {
                self.fresh = false;
                return self.word(false).map(Some);
            }
        };
        self.advance(1);
        self.fresh = true;
        Ok(Some(token))
    }

    fn advance(&mut self, count: usize) {
        let (passed, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.line += passed.split(|&byte| byte == b'\n').count() - 1;
        self.rest = rest;
    }

    /// Skips space and comments; `#include` is none.
    fn skip_space(&mut self) {
        loop {
            let space = self.rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.advance(space);
            if !self.rest.starts_with(b"#") || self.fresh && is_include(self.rest).is_some() {
                return;
            }
            self.advance(self.rest.iter().take_while(|&&byte| byte != b'\n').count());
        }
    }

    fn line_end(&self) -> usize {
        self.rest.iter().position(|&byte| byte == b'\n').unwrap_or(self.rest.len())
    }

    fn include(&mut self) -> Result<Option<Token>, ParseError> {
        let Some(length) = is_include(self.rest) else {
            return Ok(None);
        };
        let line = self.rest.get(length..self.line_end()).unwrap_or_default().trim_ascii();
        let (line, exists) = match line.strip_prefix(b"if exists").map(<[u8]>::trim_ascii) {
            Some(line) => (line, true),
            None => (line, false),
        };
        let closing = match line.first() {
            Some(b'<') => Some(b'>'),
            Some(b'"') => Some(b'"'),
            _ => None,
        };
        let name = match closing {
            Some(closing) => line.get(1..).and_then(|rest| rest.split(|&byte| byte == closing).next()),
            None => line.split(|byte| byte.is_ascii_whitespace() || *byte == b',').next(),
        };
        let name = name.and_then(|name| std::str::from_utf8(name).ok()).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| self.wrong("an include without a name"))?.to_owned();
        self.advance(self.line_end());
        Ok(Some(Token::Include(name, exists)))
    }

    /// `@{name} = …` or `+=`, up to the end of the line.
    fn assignment(&mut self) -> Result<Option<Token>, ParseError> {
        let Some(name) = self.rest.strip_prefix(b"@{") else {
            return Ok(None);
        };
        let Some(end) = name.iter().position(|&byte| byte == b'}') else {
            return Err(self.wrong("a variable without its closing brace"));
        };
        let (name, behind) = name.split_at(end);
        let behind = behind.get(1..).unwrap_or_default().trim_ascii_start();
        let (behind, add) = match behind.strip_prefix(b"+") {
            Some(behind) => (behind, true),
            None => (behind, false),
        };
        if !behind.starts_with(b"=") {
            return Ok(None);
        }
        let name = String::from_utf8_lossy(name).into_owned();
        self.advance(self.rest.len() - behind.len() + 1);
        let mut values = Vec::new();
        loop {
            let space = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r')).count();
            self.advance(space);
            match self.rest.first() {
                None | Some(b'\n' | b'#') => break,
                Some(b',') => self.advance(1),
                Some(_) => match self.word(false)? {
                    Token::Word(text) | Token::Quoted(text) => values.push(text),
                    _ => return Err(self.wrong(format!("a value of @{{{name}}} that is no word"))),
                },
            }
        }
        if values.is_empty() {
            return Err(self.wrong(format!("@{{{name}}} without a value")));
        }
        Ok(Some(Token::Assign(name, add, values)))
    }

    /// A word, a key or a list; within a list commas separate and `)` ends.
    fn word(&mut self, listed: bool) -> Result<Token, ParseError> {
        match self.rest.first() {
            Some(b'"') => return self.quoted(),
            Some(b'(') => return self.list(),
            _ => {}
        }
        let mut length = 0;
        while let Some(&byte) = self.rest.get(length) {
            let next = self.rest.get(length + 1);
            let ends = byte.is_ascii_whitespace()
                || byte == b'"'
                || byte == b',' && (listed || next.is_none_or(|next| next.is_ascii_whitespace() || *next == b'#'))
                || listed && byte == b')'
                || byte == b'(' && length > 0 && is_name(self.rest.get(..length).unwrap_or_default());
            if ends {
                break;
            }
            if byte == b'=' && is_name(self.rest.get(..length).unwrap_or_default()) {
                let name = String::from_utf8_lossy(self.rest.get(..length).unwrap_or_default()).into_owned();
                self.advance(length + 1);
                let space = self.rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                self.advance(space);
                return Ok(Token::Key(name));
            }
            length += 1 + usize::from(byte == b'\\' && next.is_some());
        }
        let text = self.rest.get(..length).unwrap_or_default().to_vec();
        if text.is_empty() {
            return Err(self.wrong("a word was expected"));
        }
        self.advance(length);
        Ok(if text == b"->" { Token::Arrow } else { Token::Word(text) })
    }

    fn quoted(&mut self) -> Result<Token, ParseError> {
        let mut length = 1;
        loop {
            match self.rest.get(length) {
                None | Some(b'\n' | 0) => return Err(self.wrong("a quote that does not end")),
                Some(b'"') => break,
                Some(b'\\') => length += 2,
                Some(_) => length += 1,
            }
        }
        let text = self.rest.get(1..length).unwrap_or_default().to_vec();
        self.advance(length + 1);
        Ok(Token::Quoted(text))
    }

    fn list(&mut self) -> Result<Token, ParseError> {
        self.advance(1);
        let mut words = Vec::new();
        loop {
            self.skip_space();
            match self.rest.first() {
                None => return Err(self.wrong("a list that does not end")),
                Some(b')') => break,
                Some(b',') => self.advance(1),
                Some(b'(') => return Err(self.wrong("a list within a list")),
                Some(_) => words.push(self.word(true)?),
            }
        }
        self.advance(1);
        Ok(Token::List(words))
    }
}

/// The length of `include` or `#include` at the beginning of `text`.
fn is_include(text: &[u8]) -> Option<usize> {
    let words = [&b"include"[..], b"#include"];
    let word = words.into_iter().find(|word| text.starts_with(word))?;
    let next = text.get(word.len())?;
    (next.is_ascii_whitespace() || matches!(next, b'<' | b'"')).then_some(word.len())
}

fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_')
}
