//! AppArmor's text (`apparmor.d(5)`), read back as typed rules: our own, and what people write.
//!
//! Variables are replaced and includes followed; the files are handed in, since nothing here reads any. A text that
//! `apparmor_parser` would refuse is refused with its place. A rule of a kind that is not modelled is kept as
//! [`Unread`]: what it governs is then not known.

mod judge;
mod lexer;
mod rules;
mod statements;
mod variables;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use rules::{Exec, Rule, What};
pub use variables::Names;

use crate::fact::Gap;
use lexer::{Lexer, Token};
use variables::Variables;

/// Where something stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.file, self.line)
    }
}

/// Why a text is no policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct ParseError {
    /// Where.
    pub place: Place,
    /// What is wrong.
    pub what: String,
}

/// A rule that was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unread {
    /// Where.
    pub place: Place,
    /// Its first word, which tells what it governs.
    pub kind: String,
    /// Why.
    pub why: String,
}

/// The profiles of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The version of the policy that is asked for, such as `4.0`.
    pub abi: Option<String>,
    /// Those that stand by themselves.
    pub profiles: Vec<Profile>,
    /// What was not understood.
    pub unread: Vec<Unread>,
    gaps: BTreeSet<Gap>,
}

/// A profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Its full name, `main//child` of a nested one.
    pub name: String,
    /// The programs that it attaches to.
    pub attachment: Option<Names>,
    /// Its flags.
    pub flags: BTreeSet<String>,
    /// Its rules, in their order.
    pub rules: Vec<Rule>,
    /// The profiles within it, hats among them.
    pub children: Vec<Profile>,
}

impl Profile {
    /// It and every profile within it.
    pub fn all(&self) -> impl Iterator<Item = &Self> {
        std::iter::once(self)
            .chain(self.children.iter().flat_map(|child| Box::new(child.all()) as Box<dyn Iterator<Item = &Self>>))
    }
}

impl Document {
    /// Every profile, nested ones among them.
    pub fn all(&self) -> impl Iterator<Item = &Profile> {
        self.profiles.iter().flat_map(Profile::all)
    }
}

/// The files that a text may include, by their name below `/etc/apparmor.d`.
pub type Files = BTreeMap<String, String>;

/// The files that stand in where AppArmor is not installed: summaries of the usual ones.
#[must_use]
pub fn shipped() -> Files {
    const SHIPPED: [(&str, &str); 3] = [
        ("tunables/global", include_str!("../data/tunables/global")),
        ("abstractions/base", include_str!("../data/abstractions/base")),
        ("abstractions/nameservice", include_str!("../data/abstractions/nameservice")),
    ];
    SHIPPED.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// Reads a text, which errors call `name`.
///
/// # Errors
/// Where and why it is no policy.
pub fn parse(name: &str, text: &str, files: &Files) -> Result<Document, ParseError> {
    let mut reader = Reader { files, variables: Variables::default(), document: Document::default(), open: Vec::new() };
    let mut profiles = Vec::new();
    reader.preamble(&mut Lexer::new(name, text), &mut profiles)?;
    Ok(Document { profiles, ..reader.document })
}

struct Reader<'t> {
    files: &'t Files,
    variables: Variables,
    document: Document,
    /// The files that are being read, each by the one before.
    open: Vec<String>,
}

impl Reader<'_> {
    /// Everything outside of profiles.
    fn preamble(&mut self, lexer: &mut Lexer<'_>, profiles: &mut Vec<Profile>) -> Result<(), ParseError> {
        while let Some(token) = lexer.next()? {
            match token {
                Token::Include(name, exists) => {
                    self.include(lexer, &name, exists, |reader, lexer| reader.preamble(lexer, profiles))?;
                }
                Token::Assign(name, add, values) => {
                    self.variables.assign(&name, add, values).map_err(|what| lexer.wrong(what))?;
                }
                Token::End => {}
                first => {
                    let (words, last) = statement(lexer, first)?;
                    match last {
                        Token::Open => profiles.push(self.profile(lexer, &words, None)?),
                        _ => self.outside(lexer, &words)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// A statement outside of profiles that is neither.
    fn outside(&mut self, lexer: &Lexer<'_>, words: &[Token]) -> Result<(), ParseError> {
        match words {
            [word, version] if word.is("abi") => {
                self.abi(version);
                Ok(())
            }
            [word, ..] if word.is("alias") => {
                self.unread(lexer, "alias", "aliases are not followed");
                Ok(())
            }
            _ => Err(lexer.wrong("a rule outside of a profile")),
        }
    }

    fn abi(&mut self, version: &Token) {
        let text = version.text().map(String::from_utf8_lossy).unwrap_or_default();
        let text = text.trim_matches(['<', '>']);
        self.document.abi.get_or_insert_with(|| text.trim_start_matches("abi/").to_owned());
    }

    fn unread(&mut self, lexer: &Lexer<'_>, kind: &str, why: impl Into<String>) {
        self.document.unread.push(Unread { place: lexer.place(), kind: kind.to_owned(), why: why.into() });
    }

    /// Reads what `name` includes; of a folder, each of its files.
    fn include(
        &mut self,
        lexer: &Lexer<'_>,
        name: &str,
        exists: bool,
        mut read: impl FnMut(&mut Self, &mut Lexer<'_>) -> Result<(), ParseError>,
    ) -> Result<(), ParseError> {
        const DEPTH: usize = 32;
        let name = name.strip_prefix("/etc/apparmor.d/").unwrap_or(name);
        let files = self.files;
        let folder = format!("{}/", name.trim_end_matches('/'));
        let below = files.range(folder.clone()..).take_while(|(file, _)| file.starts_with(&folder));
        let found: Vec<_> = match files.get_key_value(name) {
            Some(found) => vec![found],
            None => {
                below.filter(|(file, _)| file.get(folder.len()..).is_some_and(|rest| !rest.contains('/'))).collect()
            }
        };
        // An empty folder, such as those for local additions, holds nothing that could be known here.
        let for_additions = std::path::Path::new(name).extension().is_some_and(|extension| extension == "d");
        if found.is_empty() && !exists && !for_additions {
            return Err(lexer.wrong(format!("include <{name}>: there is no such file in /etc/apparmor.d")));
        }
        for (file, text) in found {
            if self.open.len() >= DEPTH || self.open.contains(file) {
                return Err(lexer.wrong(format!("include <{name}>: files include each other")));
            }
            self.open.push(file.clone());
            read(self, &mut Lexer::new(file, text))?;
            self.open.pop();
        }
        Ok(())
    }

    /// A profile, whose `{` was just read.
    fn profile(&mut self, lexer: &mut Lexer<'_>, head: &[Token], within: Option<&str>) -> Result<Profile, ParseError> {
        let mut profile = self.head(lexer, head, within)?;
        let outer = self.variables.clone();
        self.variables.set("profile_name", &profile.name);
        let attachment = profile.attachment.as_ref().map_or(profile.name.as_str(), Names::text).to_owned();
        self.variables.set("attach_path", &attachment);
        let closed = self.body(lexer, &mut profile)?;
        self.variables = outer;
        if closed { Ok(profile) } else { Err(lexer.wrong(format!("profile {} has no end", profile.name))) }
    }

    /// Rules up to `}`, or to the end of an included file. Returns whether it was the former.
    fn body(&mut self, lexer: &mut Lexer<'_>, profile: &mut Profile) -> Result<bool, ParseError> {
        while let Some(token) = lexer.next()? {
            match token {
                Token::Close => return Ok(true),
                Token::Include(name, exists) => self.include(lexer, &name, exists, |reader, lexer| {
                    if reader.body(lexer, profile)? { Err(lexer.wrong("a brace too many")) } else { Ok(()) }
                })?,
                Token::Assign(name, add, values) => {
                    self.variables.assign(&name, add, values).map_err(|what| lexer.wrong(what))?;
                }
                Token::End => {}
                first => {
                    let place = lexer.place();
                    let (words, last) = statement(lexer, first)?;
                    match (words.as_slice(), last) {
                        ([word, ..], Token::Open)
                            if ["if", "owner", "deny", "audit"].iter().any(|one| word.is(one)) =>
                        {
                            return Err(lexer.wrong("conditions and blocks of rules are not understood"));
                        }
                        (words, Token::Open) => {
                            let within = profile.name.clone();
                            profile.children.push(self.profile(lexer, words, Some(&within))?);
                        }
                        ([word, version], _) if word.is("abi") => self.abi(version),
                        (words, _) => self.rule(lexer, place, words, profile)?,
                    }
                }
            }
        }
        Ok(false)
    }

    fn rule(
        &mut self,
        lexer: &Lexer<'_>,
        place: Place,
        words: &[Token],
        profile: &mut Profile,
    ) -> Result<(), ParseError> {
        let via = self.open.first().map(|file| Arc::from(file.as_str()));
        match statements::rule(&self.variables, place, via, words) {
            Ok(rule) => profile.rules.push(rule),
            Err(statements::Trouble::Wrong(what)) => return Err(lexer.wrong(what)),
            Err(statements::Trouble::Unread(kind, why)) => self.unread(lexer, &kind, why),
        }
        Ok(())
    }

    /// What stands before the `{` of a profile.
    fn head(&self, lexer: &Lexer<'_>, words: &[Token], within: Option<&str>) -> Result<Profile, ParseError> {
        let mut names = Vec::new();
        let mut flags = BTreeSet::new();
        let mut rest = words.iter().peekable();
        let mut hat = false;
        while let Some(word) = rest.next() {
            match word {
                Token::Key(key) if key == "flags" || key == "xattrs" => {
                    let Some(Token::List(list)) = rest.next() else {
                        return Err(lexer.wrong(format!("{key} without a list")));
                    };
                    if key == "flags" {
                        flags.extend(
                            list.iter().filter_map(|flag| Some(String::from_utf8_lossy(flag.text()?).into_owned())),
                        );
                    }
                }
                Token::Word(word) if word == b"flags" && matches!(rest.peek(), Some(Token::List(_))) => {}
                Token::List(list) => {
                    flags.extend(
                        list.iter().filter_map(|flag| Some(String::from_utf8_lossy(flag.text()?).into_owned())),
                    );
                }
                word if names.is_empty() && !hat && (word.is("profile") || word.is("hat")) => hat = true,
                Token::Word(name) | Token::Quoted(name) => names.push(name.strip_prefix(b"^").unwrap_or(name)),
                _ => return Err(lexer.wrong("a profile's name was expected")),
            }
        }
        let expanded = |name: &[u8]| self.variables.paths(name).map_err(|what| lexer.wrong(what));
        let (name, attachment) = match names.as_slice() {
            [name] if hat && !name.starts_with(b"/") => (*name, None),
            [name] if name.starts_with(b"/") || name.starts_with(b"@{") => (*name, Some(expanded(name)?)),
            [name] if within.is_some() => (*name, None),
            [name, path] if hat => (*name, Some(expanded(path)?)),
            _ => return Err(lexer.wrong("a profile's name was expected before the brace")),
        };
        let name = String::from_utf8_lossy(name).into_owned();
        let name = within.map_or_else(|| name.clone(), |within| format!("{within}//{name}"));
        Ok(Profile { name, attachment, flags, ..Profile::default() })
    }
}

/// The words up to what ends a statement, and that.
fn statement(lexer: &mut Lexer<'_>, first: Token) -> Result<(Vec<Token>, Token), ParseError> {
    let mut words = Vec::new();
    let mut next = Some(first);
    while let Some(token) = next {
        match token {
            Token::End | Token::Open => return Ok((words, token)),
            Token::Close => return Err(lexer.wrong("a rule without the comma that ends it")),
            Token::Include(..) | Token::Assign(..) => return Err(lexer.wrong("a rule within a rule")),
            word => words.push(word),
        }
        next = lexer.next()?;
    }
    Err(lexer.wrong("the text ends within a rule"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_tell_their_place() {
        for (text, error) in [
            ("profile x {\n  /a r", "t:2: the text ends within a rule"),
            ("profile x {\n  /a r,\n", "t:3: profile x has no end"),
            ("profile x {\n  /a r\n}", "t:3: a rule without the comma that ends it"),
            ("profile x {\n  /a rq,\n}", "t:2: `rq` are no permissions of a file"),
            ("profile x {\n  /{a r,\n}", "t:2: braces that do not match in `/{a`"),
            ("profile x {\n  \"/a r,\n}", "t:2: a quote that does not end"),
            ("profile x {\n  @{NOPE}/a r,\n}", "t:2: @{NOPE} is not known"),
            ("profile x {\n  capability fly,\n}", "t:2: no capability is named `fly`"),
            (
                "profile x {\n  include <abstractions/nope>\n}",
                "t:2: include <abstractions/nope>: there is no such file in /etc/apparmor.d",
            ),
            ("@{A} = @{A}\nprofile x {\n  @{A} r,\n}", "t:3: @{A} stands for itself"),
            ("/a r,", "t:1: a rule outside of a profile"),
            ("profile x {\n  if defined $a {\n", "t:2: conditions and blocks of rules are not understood"),
        ] {
            assert_eq!(parse("t", text, &Files::new()).unwrap_err().to_string(), error);
        }
        let files = Files::from([("a".into(), "/x r,\ninclude <a>\n".into())]);
        let error = parse("t", "profile x {\n include <a>\n}", &files).unwrap_err();
        assert_eq!(error.to_string(), "a:2: include <a>: files include each other");
    }

    #[test]
    fn variables_that_grow_without_end_are_refused() {
        let chain = |first: &str, next: fn(usize) -> String, last: usize| {
            let lines = (1..=last).map(|at| format!("@{{a{at}}} = {}", next(at - 1))).collect::<Vec<_>>().join("\n");
            format!("@{{a0}} = {first}\n{lines}\nprofile x {{\n  /@{{a{last}}} r,\n}}")
        };
        let twice = |before: usize| format!("@{{a{before}}}@{{a{before}}}");
        let much = "stands for too much: with all its variables replaced the text takes more than 16 MiB; give it fewer or \
                    shorter values";
        for (text, error) in [
            (chain("x", twice, 40), format!("t:43: @{{a40}} {much}")),
            (chain("\"\"", twice, 40), format!("t:43: @{{a40}} {much}")),
            (chain("//// x", twice, 40), format!("t:43: @{{a40}} {much}")),
            (
                chain("x", |before| format!("@{{a{before}}}"), 100_000),
                "t:100003: @{a100000} stands for variables that stand for others, more than 100 deep: give it its values \
                 directly"
                    .to_owned(),
            ),
        ] {
            assert_eq!(parse("t", &text, &Files::new()).unwrap_err().to_string(), error);
        }
        let many = "  /@{a17} r,\n".repeat(1000);
        let text = chain("x", twice, 17).replace("  /@{a17} r,\n", &many);
        let error = parse("t", &text, &Files::new()).unwrap_err().to_string();
        assert!(error.ends_with(much), "{error}: each by itself is small");
        let text = chain("x /y/", |before| format!("@{{a{before}}}z"), 90);
        assert_eq!(parse("t", &text, &Files::new()).unwrap().profiles[0].rules.len(), 1);
    }

    #[test]
    fn heads_are_read_in_every_form() {
        let text = "/bin/a { }\n\"/bin/b c\" flags=(complain) { }\nprofile d /bin/{d,e} flags=(a, b) { ^hat { } profile f { } }";
        let document = parse("t", text, &Files::new()).unwrap();
        let names: Vec<_> = document.all().map(|profile| profile.name.as_str()).collect();
        assert_eq!(names, ["/bin/a", "/bin/b c", "d", "d//hat", "d//f"]);
        assert!(document.profiles[0].attachment.as_ref().is_some_and(|names| names.matches(b"/bin/a")));
        assert!(document.profiles[2].attachment.as_ref().is_some_and(|names| names.matches(b"/bin/e")));
        assert_eq!(document.profiles[2].flags.len(), 2);
    }
}
