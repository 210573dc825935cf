//! Which profile each program of the workload runs under.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::infer::{Needs, Share};
use crate::path::AbsPath;

/// A profile of the workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Under {
    /// The main one: that of the program that was started.
    Main,
    /// The one of this name, for another program. Within the main profile, or behind its name.
    Program(Arc<str>),
}

/// The profiles of a workload.
pub(super) struct Programs<'n, 'r> {
    profiles: Vec<(Under, &'n Share<'r>)>,
    by_program: BTreeMap<&'r AbsPath, Under>,
}

impl<'n, 'r> Programs<'n, 'r> {
    /// One profile for each share; a single one when nothing is divided, or when it is not known what was started.
    pub(super) fn new(needs: &'n Needs<'r>) -> Self {
        let mut this = Self { profiles: Vec::new(), by_program: BTreeMap::new() };
        if needs.shares.len() < 2 || !needs.shares.iter().any(|share| share.started) {
            return this;
        }
        let mut taken = BTreeSet::new();
        for share in &needs.shares {
            let under = match share.programs.first() {
                Some(_) if share.started => Under::Main,
                Some(program) => Under::Program(name(program, &mut taken)),
                None => continue,
            };
            this.by_program.extend(share.programs.iter().map(|program| (*program, under.clone())));
            this.profiles.push((under, share));
        }
        this.profiles.sort_by(|one, other| one.0.cmp(&other.0));
        this
    }

    /// Whether all programs run under the main profile.
    pub(super) fn single(&self) -> bool {
        self.profiles.is_empty()
    }

    /// Every profile, the main one first.
    pub(super) fn all(&self) -> impl Iterator<Item = Under> {
        let others = self.profiles.iter().map(|(under, _)| under).filter(|under| **under != Under::Main);
        std::iter::once(Under::Main).chain(others.cloned())
    }

    /// What the main program needs.
    pub(super) fn main(&self) -> Option<&'n Needs<'r>> {
        self.shares().find(|(under, _)| **under == Under::Main).map(|(_, share)| &share.needs)
    }

    /// What each of the others needs, in their order.
    pub(super) fn others(&self) -> impl Iterator<Item = &'n Needs<'r>> {
        self.shares().filter(|(under, _)| **under != Under::Main).map(|(_, share)| &share.needs)
    }

    /// Every profile with what its programs need; nothing when there is but one.
    pub(super) fn shares(&self) -> impl Iterator<Item = (&Under, &'n Share<'r>)> {
        self.profiles.iter().map(|(under, share)| (under, *share))
    }

    /// The profile of a program of the workload.
    pub(super) fn under(&self, program: &AbsPath) -> Option<Under> {
        if self.single() { Some(Under::Main) } else { self.by_program.get(program).cloned() }
    }
}

/// A name for the profile of `program` that no other one has: its file name, where need be its whole path.
fn name(program: &AbsPath, taken: &mut BTreeSet<Arc<str>>) -> Arc<str> {
    /// Long names are cut: the parser takes a few hundred bytes.
    const LIMIT: usize = 64;
    let word = |bytes: &[u8]| {
        let legal = |byte: &u8| if byte.is_ascii_alphanumeric() || b"_+-".contains(byte) { *byte } else { b'.' };
        let text: String = bytes.iter().take(LIMIT).map(|byte| char::from(legal(byte))).collect();
        let begins_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if begins_well { text } else { format!("_{text}") }
    };
    let whole = word(program.as_bytes().strip_prefix(b"/").unwrap_or_default());
    let numbered = (2..).map(|number| format!("{whole}-{number}"));
    let names = [word(program.file_name()), whole.clone()].into_iter().chain(numbered);
    let free = names.map(Arc::<str>::from).find(|name| taken.insert(Arc::clone(name)));
    free.unwrap_or_else(|| Arc::from(whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_differ() {
        let mut taken = BTreeSet::new();
        let mut name = |path: &str| name(&AbsPath::new(path.as_bytes()).unwrap(), &mut taken).to_string();
        assert_eq!(name("/usr/bin/sort"), "sort");
        assert_eq!(name("/usr/local/bin/sort"), "usr.local.bin.sort");
        assert_eq!(name("/bin/a b"), "a.b");
        assert_eq!(name("/bin/a.b"), "bin.a.b");
        assert_eq!(name("/bin/a,b"), "bin.a.b-2");
        assert_eq!(name("/-x"), "_-x");
    }
}
