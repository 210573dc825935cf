//! Statements: words that are read as rules.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Place;
use super::lexer::Token;
use super::rules::{Exec, Rule, What};
use super::variables::{Names, Variables};
use crate::fact::{Capability, MountOperation};
use crate::policy::apparmor::{Permissions, names};

/// Why words are no rule.
pub(super) enum Trouble {
    /// The parser would refuse them.
    Wrong(String),
    /// They are not modelled: what kind of rule it is, and why.
    Unread(String, String),
}

type Read<T> = Result<T, Trouble>;

fn wrong<T>(what: impl Into<String>) -> Read<T> {
    Err(Trouble::Wrong(what.into()))
}

fn string(token: &Token) -> String {
    token.text().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
}

/// Reads a rule.
pub(super) fn rule(variables: &Variables, place: Place, via: Option<Arc<str>>, words: &[Token]) -> Read<Rule> {
    let (mut deny, mut owner) = (false, None);
    let (all, mut words) = (words, words);
    while let Some((first, rest)) = words.split_first() {
        match first {
            Token::Word(word) if matches!(&**word, b"audit" | b"quiet" | b"allow") => {}
            Token::Word(word) if word == b"deny" => deny = true,
            Token::Word(word) if word == b"owner" => owner = Some(true),
            Token::Word(word) if word == b"other" => owner = Some(false),
            Token::Key(key) if key == "priority" => return Err(Trouble::Unread("file".into(), "priorities".into())),
            _ => break,
        }
        words = rest;
    }
    let Some((first, rest)) = words.split_first() else {
        return wrong("a rule without words");
    };
    let kind = if matches!(first, Token::Word(_)) { string(first) } else { String::new() };
    let reader = Words { variables, kind: &kind };
    let what = match kind.as_str() {
        "capability" => capability(rest)?,
        "network" => reader.network(rest)?,
        "unix" => reader.unix(rest)?,
        "signal" => reader.signal(rest)?,
        "ptrace" => reader.ptrace(rest)?,
        "mount" => reader.mount(MountOperation::Mount, rest)?,
        "remount" => reader.mount(MountOperation::Remount, rest)?,
        "umount" | "unmount" => reader.mount(MountOperation::Umount, rest)?,
        "pivot_root" => reader.mount(MountOperation::PivotRoot, rest)?,
        "mqueue" => reader.queue(rest)?,
        "dbus" | "set" | "change_profile" | "userns" | "io_uring" => other(&kind, rest),
        "all" => return Err(Trouble::Unread(kind, "`all` is not modelled".to_owned())),
        "file" if rest.is_empty() => reader.every_file(owner)?,
        "file" => reader.file(owner, rest)?,
        "link" => reader.link(owner, rest)?,
        _ => reader.file(owner, words)?,
    };
    if owner.is_some() && !matches!(what, What::File { .. }) {
        return wrong("only rules about files are for their owners");
    }
    Ok(Rule { place, via, deny, what, text: all.iter().map(shown).collect::<Vec<_>>().join(" ").replace("= ", "=") })
}

fn other(kind: &str, words: &[Token]) -> What {
    What::Other { kind: kind.to_owned(), words: words.iter().map(shown).collect::<Vec<_>>().join(" ") }
}

fn shown(token: &Token) -> String {
    match token {
        Token::Word(text) => String::from_utf8_lossy(text).into_owned(),
        Token::Quoted(text) => format!("\"{}\"", String::from_utf8_lossy(text)),
        Token::Key(name) => format!("{name}="),
        Token::List(words) => format!("({})", words.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Token::Arrow => "->".to_owned(),
        Token::End | Token::Open | Token::Close | Token::Include(..) | Token::Assign(..) => String::new(),
    }
}

fn capability(words: &[Token]) -> Read<What> {
    let known = |word: &Token| Capability::named(&format!("CAP_{}", string(word).to_ascii_uppercase()));
    let mut capabilities = BTreeSet::new();
    for word in words {
        match known(word) {
            Some(capability) => drop(capabilities.insert(capability)),
            None => return wrong(format!("no capability is named `{}`", shown(word))),
        }
    }
    Ok(What::Capability(capabilities))
}

struct Words<'v> {
    variables: &'v Variables,
    kind: &'v str,
}

impl Words<'_> {
    fn names(&self, token: &Token) -> Read<Names> {
        match token.text() {
            Some(text) => self.variables.paths(text).map_err(Trouble::Wrong),
            None => wrong(format!("a name was expected instead of `{}`", shown(token))),
        }
    }

    fn label(&self, token: &Token) -> Read<Names> {
        match token.text() {
            Some(text) => self.variables.labels(text).map_err(Trouble::Wrong),
            None => wrong(format!("a profile's name was expected instead of `{}`", shown(token))),
        }
    }

    fn odd<T>(&self, token: &Token) -> Read<T> {
        Err(Trouble::Unread(self.kind.to_owned(), format!("`{}` is not understood", shown(token))))
    }

    /// Which words a value is: one, or a list of them.
    fn values(&self, token: Option<&Token>) -> Read<Vec<Token>> {
        match token {
            Some(Token::List(words)) => Ok(words.clone()),
            Some(word @ (Token::Word(_) | Token::Quoted(_))) => Ok(vec![word.clone()]),
            _ => wrong(format!("a value is missing in a {} rule", self.kind)),
        }
    }

    fn strings(&self, token: Option<&Token>) -> Read<BTreeSet<String>> {
        Ok(self.values(token)?.iter().map(string).collect())
    }

    fn network(&self, words: &[Token]) -> Read<What> {
        let (mut family, mut kind) = (None, None);
        for word in words {
            match string(word) {
                text if is_family(&text) && family.is_none() => family = Some(text),
                text if is_type(&text) && kind.is_none() => kind = Some(text),
                _ => return self.odd(word),
            }
        }
        Ok(What::Network { family, kind })
    }

    fn unix(&self, words: &[Token]) -> Read<What> {
        let (mut access, mut kind, mut limited) = (BTreeSet::new(), None, false);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word {
                Token::Key(key) if key == "type" => kind = Some(words.next().map(string).unwrap_or_default()),
                Token::Key(key) if key == "protocol" => drop(words.next()),
                Token::Key(key) if matches!(key.as_str(), "peer" | "addr" | "label" | "attr" | "opt") => {
                    limited = true;
                    words.next();
                }
                Token::List(list) => access.extend(list.iter().map(string)),
                Token::Word(_) => drop(access.insert(string(word))),
                _ => return self.odd(word),
            }
        }
        Ok(What::Unix { access, kind, limited })
    }

    fn signal(&self, words: &[Token]) -> Read<What> {
        let (mut access, mut signals, mut peer) = (BTreeSet::new(), BTreeSet::new(), None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word {
                Token::Key(key) if key == "set" => signals.extend(self.strings(words.next())?),
                Token::Key(key) if key == "peer" => peer = Some(self.peer(words.next())?),
                Token::List(list) => access.extend(list.iter().map(string)),
                Token::Word(_) => drop(access.insert(string(word))),
                _ => return self.odd(word),
            }
        }
        let access = directions(&access, &[("send", &["send", "w", "write"]), ("receive", &["receive", "r", "read"])])?;
        Ok(What::Signal { access, signals, peer })
    }

    fn ptrace(&self, words: &[Token]) -> Read<What> {
        let (mut access, mut peer) = (BTreeSet::new(), None);
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word {
                Token::Key(key) if key == "peer" => peer = Some(self.peer(words.next())?),
                Token::List(list) => access.extend(list.iter().map(string)),
                Token::Word(_) => drop(access.insert(string(word))),
                _ => return self.odd(word),
            }
        }
        let own = ["read", "readby", "trace", "tracedby"].map(|word| (word, [word]));
        let known: Vec<(&str, &[&str])> = own.iter().map(|(word, list)| (*word, list.as_slice())).collect();
        Ok(What::Ptrace { access: directions(&access, &known)?, peer })
    }

    /// `mqueue [ACCESS] [type=posix] [/NAME]`. Those of System V have a number instead of a name.
    fn queue(&self, all: &[Token]) -> Read<What> {
        let (mut access, mut name) = (BTreeSet::new(), None);
        let mut words = all.iter();
        while let Some(word) = words.next() {
            match word {
                Token::Key(key) if key == "type" => match words.next().map(string).as_deref() {
                    Some("posix") => {}
                    Some("sysv") => return Ok(other(self.kind, all)),
                    _ => return wrong("message queues are of type=posix or type=sysv"),
                },
                Token::List(list) => access.extend(list.iter().map(string)),
                Token::Word(text) | Token::Quoted(text) if text.starts_with(b"/") => name = Some(self.names(word)?),
                Token::Word(text) if text.iter().all(u8::is_ascii_digit) => return Ok(other(self.kind, all)),
                Token::Word(_) => drop(access.insert(string(word))),
                _ => return self.odd(word),
            }
        }
        let mut allowed = BTreeSet::new();
        for word in &access {
            match names::queue_accesses(word) {
                Some(some) => allowed.extend(some),
                None => return wrong(format!("`{word}` is not what is done with a message queue")),
            }
        }
        Ok(What::Queue { access: allowed, name })
    }

    /// `peer=name`, or `peer=(label=name)`.
    fn peer(&self, token: Option<&Token>) -> Read<Names> {
        match token {
            Some(Token::List(list)) => match list.as_slice() {
                [Token::Key(key), name] if key == "label" => self.label(name),
                [name] => self.label(name),
                _ => self.odd(&Token::List(list.clone())),
            },
            Some(name) => self.label(name),
            None => wrong("peer= without a name"),
        }
    }

    fn mount(&self, operation: MountOperation, words: &[Token]) -> Read<What> {
        let (mut filesystems, mut options, mut within, mut source, mut target) = (Vec::new(), None, None, None, None);
        let mut words = words.iter().peekable();
        let mut named = false;
        while let Some(word) = words.next() {
            match word {
                Token::Key(key) if matches!(key.as_str(), "fstype" | "vfstype") => {
                    filesystems =
                        self.values(words.next())?.iter().map(|name| self.names(name)).collect::<Read<_>>()?;
                }
                Token::Key(key) if matches!(key.as_str(), "options" | "option") => {
                    if options.replace(self.strings(words.next())?).is_some() {
                        return self.odd(word);
                    }
                }
                Token::Word(_) if (word.is("options") || word.is("option")) && within.is_none() => {
                    if !words.next().is_some_and(|next| next.is("in")) {
                        return self.odd(word);
                    }
                    within = Some(self.strings(words.next())?);
                }
                Token::Key(key) if key == "oldroot" => named = words.next().is_some(),
                Token::Arrow if operation == MountOperation::Mount => {
                    target =
                        Some(words.next().map_or_else(|| wrong("-> without a mount point"), |name| self.names(name))?);
                }
                Token::Word(text) | Token::Quoted(text)
                    if !matches!(&**text, b"options" | b"option" | b"fstype" | b"in") =>
                {
                    let name = Some(self.names(word)?);
                    let slot = if operation == MountOperation::Mount { &mut source } else { &mut target };
                    if slot.is_some() {
                        return self.odd(word);
                    }
                    *slot = name;
                }
                _ => return self.odd(word),
            }
        }
        if named && target.is_none() {
            return self.odd(&Token::Word(b"oldroot".to_vec()));
        }
        Ok(What::Mount { operation, filesystems, options, within, source, target })
    }

    fn every_file(&self, owner: Option<bool>) -> Read<What> {
        let names = self.names(&Token::Word(b"/{**,}".to_vec()))?;
        let exec = Some(Exec { mode: "ix".to_owned(), target: None });
        Ok(What::File { names, owner, permissions: Permissions::all(), exec, link_to: None })
    }

    /// `PATH PERMISSIONS [-> NAME]`, or with the permissions first.
    fn file(&self, owner: Option<bool>, words: &[Token]) -> Read<What> {
        let is_path = |token: &Token| {
            matches!(token, Token::Quoted(_))
                || token.text().is_some_and(|text| text.starts_with(b"/") || text.starts_with(b"@{"))
        };
        let (path, letters, rest) = match words {
            [path, letters @ Token::Word(_), rest @ ..] if is_path(path) => (path, letters, rest),
            [letters @ Token::Word(_), path, rest @ ..] if is_path(path) => (path, letters, rest),
            [first, ..] => return self.odd(first),
            [] => return wrong("a rule without words"),
        };
        let (permissions, mode) = permissions(&string(letters))?;
        let names = self.names(path)?;
        let mut link_to = None;
        let mut target = None;
        match rest {
            [] => {}
            [Token::Arrow, name] if mode.is_some() => target = Some(string(name)),
            [Token::Arrow, name] if permissions.contains(Permissions::LINK) => link_to = Some(self.names(name)?),
            [odd, ..] => return self.odd(odd),
        }
        let exec = mode.map(|mode| Exec { mode, target });
        Ok(What::File { names, owner, permissions, exec, link_to })
    }

    /// `link [subset] PATH -> PATH`.
    fn link(&self, owner: Option<bool>, words: &[Token]) -> Read<What> {
        let words = match words {
            [first, rest @ ..] if first.is("subset") => rest,
            words => words,
        };
        match words {
            [path, Token::Arrow, to] => Ok(What::File {
                names: self.names(path)?,
                owner,
                permissions: Permissions::LINK,
                exec: None,
                link_to: Some(self.names(to)?),
            }),
            _ => wrong("a link rule is `link NEW -> OLD`"),
        }
    }
}

/// The letters of a file rule, and how the file is executed.
fn permissions(letters: &str) -> Read<(Permissions, Option<String>)> {
    const MODES: [&str; 14] = ["ix", "ux", "px", "cx", "pix", "cix", "pux", "cux", "Ux", "Px", "Cx", "Pix", "Cix", "x"];
    let mut permissions = Permissions::empty();
    let mut mode = String::new();
    for letter in letters.chars() {
        match letter {
            'r' => permissions |= Permissions::READ,
            'w' => permissions |= Permissions::WRITE,
            'a' => permissions |= Permissions::APPEND,
            'm' => permissions |= Permissions::MAP,
            'k' => permissions |= Permissions::LOCK,
            'l' => permissions |= Permissions::LINK,
            'i' | 'u' | 'U' | 'p' | 'P' | 'c' | 'C' | 'x' => mode.push(letter),
            _ => return wrong(format!("`{letters}` are no permissions of a file")),
        }
    }
    let lower = mode.to_ascii_lowercase();
    if !mode.is_empty() && !MODES.contains(&lower.as_str()) && !MODES.contains(&mode.as_str()) {
        return wrong(format!("`{mode}` is no way to execute a file"));
    }
    if permissions.contains(Permissions::WRITE | Permissions::APPEND) {
        return wrong("`a` beside `w`");
    }
    if letters.is_empty() {
        return wrong("a rule without permissions");
    }
    let mode = (!mode.is_empty()).then_some(mode);
    if let Some(mode) = &mode {
        permissions |= Permissions::of_execution(mode == "ix");
    }
    Ok((permissions, mode))
}

/// Access words under their usual name; an unknown one is an error.
fn directions(words: &BTreeSet<String>, known: &[(&str, &[&str])]) -> Read<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for word in words {
        match (word.as_str(), known.iter().find(|(_, names)| names.contains(&word.as_str()))) {
            (_, Some((name, _))) => drop(all.insert((*name).to_owned())),
            ("rw", None) => all.extend(known.iter().map(|(name, _)| (*name).to_owned())),
            _ => return wrong(format!("`{word}` is not what such a rule is about")),
        }
    }
    Ok(all)
}

fn is_family(word: &str) -> bool {
    names::is_family(word)
}

fn is_type(word: &str) -> bool {
    names::is_socket_type(word)
}
