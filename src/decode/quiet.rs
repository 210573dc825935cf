//! What is known so well that it needs not be shown any more.
//!
//! A call is quiet when nothing follows from it but that it was made, with these scalar arguments. Whatever says more
//! (a file, a socket, a signal, an id) is always shown: that belongs to the executable that does it, and a filter is
//! handed down to other executables.

use std::collections::{BTreeMap, BTreeSet};

use super::scene::Values;
use super::table::Row;
use crate::abi::Abi;
use crate::event::{EmptyPath, Known, KnownCalls};

/// Calls of the native ABI that were made, with their scalar arguments where they have such, by any executable.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    calls: BTreeMap<u32, BTreeSet<Values>>,
    empty_paths: BTreeSet<EmptyPath>,
}

impl Quiet {
    /// A call was made.
    pub(super) fn called(&mut self, abi: Abi, number: u32) {
        if abi == Abi::native() {
            self.calls.entry(number).or_default();
        }
    }

    /// It was made with these values.
    pub(super) fn called_with(&mut self, abi: Abi, number: u32, values: Values) {
        if abi == Abi::native() {
            self.calls.entry(number).or_default().insert(values);
        }
    }

    /// Calls have an empty path here.
    pub(super) fn empty_path(&mut self, found: EmptyPath) {
        self.empty_paths.insert(found);
    }

    /// What needs not be shown.
    pub(super) fn known(&self) -> KnownCalls {
        let rows = self.calls.iter().map(|(&number, seen)| (number, super::table::row(Abi::native(), number), seen));
        let quiet = rows.filter_map(|(number, row, seen)| quiet(row, seen).map(|known| (number, known)));
        KnownCalls {
            calls: quiet.collect(),
            foreseen: super::table::foreseeable(Abi::native()),
            nameless: super::table::nameless(Abi::native()),
            empty_paths: self
                .empty_paths
                .iter()
                .filter(|found| self.calls.contains_key(&found.number))
                .copied()
                .collect(),
        }
    }
}

/// When one call is quiet; `None` for never.
fn quiet(row: &Row, seen: &BTreeSet<Values>) -> Option<Known> {
    if row.multiplexed || row.executes {
        return None;
    }
    let mut registers = row.scalars.to_vec();
    let seen: BTreeSet<Vec<u64>> = match row.decoder.map(|decoder| (decoder, decoder.quiet_without())) {
        None if registers.is_empty() => return Some(Known::Always),
        Some((_, Some(pointer))) => {
            registers.push((pointer, u64::MAX));
            // A call without scalar arguments is known by having been made at all.
            let one = BTreeSet::from([Values::new()]);
            let seen = if row.scalars.is_empty() { &one } else { seen };
            seen.iter().map(|values| numbers(values).chain([0]).collect()).collect()
        }
        Some((_, None)) if registers.is_empty() => return None,
        decoder => {
            let quiet = |values: &&Values| decoder.is_none_or(|(decoder, _)| decoder.quiet(values));
            seen.iter().filter(quiet).map(|values| numbers(values).collect()).collect()
        }
    };
    (!seen.is_empty()).then_some(Known::Values { registers, seen })
}

fn numbers(values: &Values) -> impl Iterator<Item = u64> {
    values.iter().map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str, values: &[(u8, u64)]) -> Option<Known> {
        let abi = Abi::native();
        let number = abi.number(name).unwrap();
        let mut quiet = Quiet::default();
        quiet.called(abi, number);
        if !values.is_empty() {
            quiet.called_with(abi, number, values.into());
        }
        quiet.known().calls.remove(&number)
    }

    fn with(registers: &[(u8, u64)], values: &[u64]) -> Known {
        Known::Values { registers: registers.to_vec(), seen: BTreeSet::from([values.to_vec()]) }
    }

    const INT: u64 = 0xffff_ffff;

    #[test]
    fn calls_without_meaning_in_their_arguments_are_quiet() {
        assert_eq!(known("read", &[]), Some(Known::Always));
        assert_eq!(known("exit_group", &[]), Some(Known::Always));
    }

    #[test]
    fn scalars_are_quiet_by_value() {
        assert_eq!(known("ioctl", &[(1, 0x5401)]), Some(with(&[(1, INT)], &[0x5401])));
        assert_eq!(known("fcntl", &[(1, 3)]), Some(with(&[(1, INT)], &[3])));
        assert_eq!(known("mmap", &[(2, 3)]), Some(with(&[(2, INT)], &[3])));
        assert_eq!(known("prctl", &[(0, 15)]), Some(with(&[(0, INT), (1, INT)], &[15])));
        assert_eq!(known("sendto", &[]), Some(with(&[(4, u64::MAX)], &[0])));
        assert_eq!(known("clone", &[(0, 0x0120_0011)]), Some(with(&[(0, INT)], &[0x0120_0011])));
    }

    #[test]
    fn what_says_more_never_is() {
        for name in ["openat", "execve", "socket", "kill", "setresuid", "clone3", "newfstatat", "ptrace", "flock"] {
            assert_eq!(known(name, &[]), None, "{name}");
        }
        assert_eq!(known("mmap", &[(2, 5)]), None, "an executable mapping");
        assert_eq!(known("mprotect", &[(2, 4)]), None);
        assert_eq!(known("fcntl", &[(1, 6)]), None, "a lock");
        assert_eq!(known("socket", &[(0, 2), (1, 1), (2, 0)]), None);
        assert_eq!(known("prctl", &[(0, 24), (1, 3)]), None, "a capability dropped from the bounding set");
        assert_eq!(known("clone", &[(0, 0x1000_0011)]), None, "a new user namespace");
        assert_eq!(known("clone", &[(0, 0x0080_0011)]), None, "a task that is not to be traced");
        assert_eq!(known("setsockopt", &[(1, 1), (2, 36)]), None, "SO_MARK");
    }
}
