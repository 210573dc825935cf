//! Variables, and names in which they are replaced.

use std::collections::BTreeMap;
use std::fmt;

use super::super::glob::Glob;

/// The values of variables, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(BTreeMap<String, Vec<Vec<u8>>>);

/// How long a name may get when its variables are replaced.
const LIMIT: usize = 1 << 20;

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
        let shown = String::from_utf8_lossy(text).into_owned();
        let glob = read(&self.expand(text, 0)?).map_err(|error| format!("{error} in `{shown}`"))?;
        Ok(Names { text: shown, glob })
    }

    /// `text` with values in the places of variables, several of them in braces. Beside another slash these lose theirs
    /// (`write_replacement()` of the parsers 3.0 to 4.1), a single value does not.
    fn expand(&self, text: &[u8], depth: usize) -> Result<Vec<u8>, String> {
        let mut text = text.to_vec();
        while let Some((before, name, behind)) = split(&text) {
            let values = self.values(&String::from_utf8_lossy(name), depth)?;
            let value = match values.as_slice() {
                [one] => one.clone(),
                several => {
                    let (leading, trailing) = (before.ends_with(b"/"), behind.starts_with(b"/"));
                    let trimmed = several.iter().map(|value| without_slashes(value, leading, trailing));
                    [b"{", trimmed.collect::<Vec<_>>().join(&b","[..]).as_slice(), b"}"].concat()
                }
            };
            text = [before, &value, behind].concat();
            if text.len() > LIMIT {
                return Err("too many values".to_owned());
            }
        }
        Ok(text)
    }

    /// What a variable stands for, without variables.
    fn values(&self, name: &str, depth: usize) -> Result<Vec<Vec<u8>>, String> {
        if depth > 100 {
            return Err(format!("@{{{name}}} stands for itself"));
        }
        let values = self.0.get(name).ok_or_else(|| format!("@{{{name}}} is not known"))?;
        values.iter().map(|value| self.expand(value, depth + 1)).collect()
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
