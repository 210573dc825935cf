//! Variables, and names in which they are replaced.

use std::collections::BTreeMap;
use std::fmt;

use super::super::glob::Glob;

/// The values of variables, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(BTreeMap<String, Vec<Vec<u8>>>);

/// How many names one may stand for.
const LIMIT: usize = 4096;

/// A name or pattern as it is written, with what it stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Names {
    text: String,
    globs: Vec<Glob>,
}

impl Names {
    /// Whether `name` is one of them.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.globs.iter().any(|glob| glob.matches(name))
    }

    /// Whether `name` is the only one.
    #[must_use]
    pub fn is_literally(&self, name: &[u8]) -> bool {
        self.globs.iter().any(|glob| glob.literal().is_some_and(|literal| literal == name))
    }

    /// The one name, if it is but one.
    #[must_use]
    pub fn literal(&self) -> Option<Vec<u8>> {
        if let [glob] = self.globs.as_slice() { glob.literal() } else { None }
    }

    /// Some of them, as a glob has samples.
    #[must_use]
    pub fn samples(&self) -> Option<Vec<Vec<u8>>> {
        let all = self.globs.iter().map(Glob::samples).collect::<Option<Vec<_>>>()?.concat();
        (all.len() <= LIMIT).then_some(all)
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
        match (self.0.get_mut(name), add) {
            (Some(known), true) => known.extend(values),
            (None, false) => drop(self.0.insert(name.to_owned(), values)),
            (Some(_), false) => return Err(format!("@{{{name}}} has its values already")),
            (None, true) => return Err(format!("@{{{name}}} has no values yet")),
        }
        Ok(())
    }

    /// Sets what the parser itself knows of a profile.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), vec![value.as_bytes().to_vec()]);
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
        let mut texts = Vec::new();
        self.expand(text, 0, &mut texts)?;
        let shown = || String::from_utf8_lossy(text).into_owned();
        let globs = texts.iter().map(|text| read(text)).collect::<Result<_, _>>();
        let globs = globs.map_err(|error| format!("{error} in `{}`", shown()))?;
        Ok(Names { text: shown(), globs })
    }

    fn expand(&self, text: &[u8], depth: usize, found: &mut Vec<Vec<u8>>) -> Result<(), String> {
        let Some((before, name, behind)) = split(text) else {
            found.push(text.to_vec());
            return if found.len() > LIMIT { Err("too many values".to_owned()) } else { Ok(()) };
        };
        let name = String::from_utf8_lossy(name);
        if depth > 100 {
            return Err(format!("@{{{name}}} stands for itself"));
        }
        let values = self.0.get(&*name).ok_or_else(|| format!("@{{{name}}} is not known"))?;
        // Several values lose their slash behind one (`write_replacement()` of the parsers 3.0 to 4.1), a single one does not:
        // this matters at the beginning, where two slashes stay two.
        let joined = values.len() > 1 && before.ends_with(b"/");
        for value in values {
            let behind_slash = value.iter().position(|&byte| byte != b'/').and_then(|at| value.get(at..));
            let value = if joined { behind_slash.unwrap_or_default() } else { value };
            self.expand(&[before, value, behind].concat(), depth + 1, found)?;
        }
        Ok(())
    }
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
