//! Variables, and names in which they are replaced.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use super::super::glob::Glob;

/// The values of variables.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables {
    /// By name.
    values: BTreeMap<String, Vec<Vec<u8>>>,
    /// How much was replaced so far, here and in every copy.
    replaced: Rc<Cell<usize>>,
}

/// How much a text may get by variables, in MiB.
const LIMIT: usize = 16;

/// What a value takes beside its text.
const EACH: usize = 16;

/// How many variables may stand within each other.
const DEPTH: usize = 100;

/// A name or pattern as it is written, with what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    text: String,
    glob: Glob,
}

impl Names {
    /// Whether `name` is one of them.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.glob.matches(name)
    }

    /// The one name, if it is but one.
    #[must_use]
    pub fn literal(&self) -> Option<Vec<u8>> {
        self.glob.literal()
    }

    /// Some of them, as a glob has samples.
    #[must_use]
    pub fn samples(&self) -> Option<Vec<Vec<u8>>> {
        self.glob.samples()
    }

    /// It as it is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Names {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text)
    }
}

impl Variables {
    /// Gives a variable its values, or adds some.
    pub(super) fn assign(&mut self, name: &str, add: bool, values: Vec<Vec<u8>>) -> Result<(), String> {
        match (self.values.get_mut(name), add) {
            (Some(known), true) => known.extend(values),
            (None, false) => drop(self.values.insert(name.to_owned(), values)),
            (Some(_), false) => return Err(format!("@{{{name}}} has its values already")),
            (None, true) => return Err(format!("@{{{name}}} has no values yet")),
        }
        Ok(())
    }

    /// Sets what the parser itself knows of a profile.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), vec![value.as_bytes().to_vec()]);
    }

    /// Every path that `text` stands for.
    pub(super) fn paths(&self, text: &[u8]) -> Result<Names, String> {
        self.names(text, false)
    }

    /// Every name of a profile that `text` stands for.
    pub(super) fn labels(&self, text: &[u8]) -> Result<Names, String> {
        self.names(text, true)
    }

    fn names(&self, text: &[u8], labels: bool) -> Result<Names, String> {
        let read = if labels { Glob::new } else { Glob::of_paths };
        let shown = String::from_utf8_lossy(text).into_owned();
        let glob = read(&self.expand(text, &mut Vec::new())?).map_err(|error| format!("{error} in `{shown}`"))?;
        Ok(Names { text: shown, glob })
    }

    /// `text` with values in the places of variables, several of them in braces. Beside another slash these lose theirs
    /// (`write_replacement()` of the parsers 3.0 to 4.1), a single value does not.
    fn expand(&self, text: &[u8], within: &mut Vec<String>) -> Result<Vec<u8>, String> {
        let mut done = Vec::new();
        let mut rest = text;
        while let Some((before, name, behind)) = split(rest) {
            done.extend_from_slice(before);
            let values = self.replace(&String::from_utf8_lossy(name), within)?;
            match values.as_slice() {
                [one] => done.extend_from_slice(one),
                several => {
                    let (leading, trailing) = (done.ends_with(b"/"), behind.starts_with(b"/"));
                    let trimmed = several.iter().map(|value| without_slashes(value, leading, trailing));
                    done.extend([b"{", trimmed.collect::<Vec<_>>().join(&b","[..]).as_slice(), b"}"].concat());
                }
            }
            rest = behind;
        }
        done.extend_from_slice(rest);
        Ok(done)
    }

    /// What a variable stands for, without variables. `within` are those in whose values it stands, from the outside.
    fn replace(&self, name: &str, within: &mut Vec<String>) -> Result<Vec<Vec<u8>>, String> {
        if within.iter().any(|outer| outer == name) {
            return Err(format!("@{{{name}}} stands for itself"));
        }
        if within.len() >= DEPTH {
            let outer = within.first().map_or(name, String::as_str);
            return Err(format!(
                "@{{{outer}}} stands for variables that stand for others, more than {DEPTH} deep: give it \
                 its values directly"
            ));
        }
        let values = self.values.get(name).ok_or_else(|| format!("@{{{name}}} is not known"))?;
        within.push(name.to_owned());
        let mut replaced = Vec::with_capacity(values.len());
        for value in values {
            let value = self.expand(value, within)?;
            self.count(value.len() + EACH, within)?;
            replaced.push(value);
        }
        within.pop();
        Ok(replaced)
    }

    /// Counts what was replaced: values within values double with each line, and rules repeat them.
    fn count(&self, bytes: usize, within: &[String]) -> Result<(), String> {
        self.replaced.set(self.replaced.get() + bytes);
        let outer = within.first().filter(|_| self.replaced.get() > LIMIT << 20);
        outer.map_or(Ok(()), |outer| {
            Err(format!(
                "@{{{outer}}} stands for too much: with all its variables replaced the text takes more than {LIMIT} MiB; \
                 give it fewer or shorter values"
            ))
        })
    }
}

/// `value` without the slashes at its beginning and at its end.
fn without_slashes(value: &[u8], leading: bool, trailing: bool) -> &[u8] {
    let is_slash = |byte: &&u8| **byte == b'/';
    let first = if leading { value.iter().take_while(is_slash).count() } else { 0 };
    let value = value.get(first..).unwrap_or_default();
    let last = if trailing { value.iter().rev().take_while(is_slash).count() } else { 0 };
    value.get(..value.len() - last).unwrap_or_default()
}

/// The text around the first variable, and its name.
fn split(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'\\' => at += 2,
            b'@' if text.get(at + 1) == Some(&b'{') => break,
            _ => at += 1,
        }
    }
    let (before, rest) = text.split_at(at);
    let rest = rest.get(2..)?;
    let end = rest.iter().position(|&byte| byte == b'}')?;
    Some((before, rest.get(..end)?, rest.get(end + 1..)?))
}
