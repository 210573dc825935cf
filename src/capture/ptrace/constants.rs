//! Calls that name an open file by a constant empty path.
//!
//! glibc's `fstat(3)` is `newfstatat(fd, "", …, AT_EMPTY_PATH)`. A filter cannot read the path, but it sees where the
//! path and the instruction are. Both lie in one file, in parts of it that nothing writes to, and so are as far from each
//! other in every process that maps this file: a call from that instruction with a path at that distance has an empty one.
//! The filter compares halves of addresses, so that a path at 4 GiB less this distance, to the other side, would pass too.

use std::collections::{BTreeMap, BTreeSet};

use super::maps;
use super::view::View;
use crate::abi::Abi;
use crate::event::{Call, EmptyPath, KnownCalls, Nameless, TaskView};

/// How many calls are remembered that have no such path.
const OTHERS_MAX: usize = 256;
/// The bits of an address that do not change with where a file is mapped.
const IN_PAGE: u64 = 0xfff;

/// What is known of such calls.
#[derive(Debug)]
pub struct Constants {
    nameless: BTreeMap<u32, Nameless>,
    known: BTreeSet<EmptyPath>,
    /// How many of them were found in this run.
    found: usize,
    /// Calls that were looked at in vain. Where an instruction and a path lie in their pages does not change with where
    /// their files are mapped.
    others: BTreeSet<Other>,
}

/// Number and flags of a call, and where instruction and path lie in their pages.
type Other = (u32, u64, u64, u64);

impl Constants {
    /// Begins with what is known.
    #[must_use]
    pub fn new(known: KnownCalls) -> Self {
        Self { nameless: known.nameless, known: known.empty_paths, found: 0, others: BTreeSet::new() }
    }

    /// Looks at a call that a task stands before, whose instruction ends at `code`. Returns what was not known.
    pub fn find(&mut self, view: View<'_>, call: &Call, code: u64) -> Option<EmptyPath> {
        let place = self.nameless.get(&call.number).filter(|_| call.abi == Abi::native())?;
        let argument = |index: u8| call.args.get(usize::from(index)).copied();
        let (path, flags) = (argument(place.path)?, argument(place.flags)? & u64::from(u32::MAX));
        if flags & AT_EMPTY_PATH == 0 || self.found >= EmptyPath::MAX || self.others.len() >= OTHERS_MAX {
            return None;
        }
        let other = (call.number, flags, code & IN_PAGE, path & IN_PAGE);
        if self.others.contains(&other) {
            return None;
        }
        let found = empty_path(view, call, flags, path, code).filter(|found| !self.known.contains(found));
        match found {
            Some(found) => {
                self.found += 1;
                self.known.insert(found);
            }
            None => drop(self.others.insert(other)),
        }
        found
    }
}

/// The call as one that has a constant empty path, if it has.
fn empty_path(view: View<'_>, call: &Call, flags: u64, path: u64, code: u64) -> Option<EmptyPath> {
    let found = EmptyPath {
        number: call.number,
        flags: u32::try_from(flags).ok()?,
        distance: i32::try_from(code.wrapping_sub(path).cast_signed()).ok()?,
        offset: u16::try_from(code & IN_PAGE).ok()?,
    };
    (is_empty(view, path) && is_constant(view, code, path)).then_some(found)
}

const AT_EMPTY_PATH: u64 = libc::AT_EMPTY_PATH as u64;

fn is_empty(view: View<'_>, path: u64) -> bool {
    let mut first = [1];
    view.read(path, &mut first).is_ok_and(|read| read == 1) && first == [0]
}

/// Whether the instruction that ends at `code` and what is at `address` are constant parts of one file.
fn is_constant(view: View<'_>, code: u64, address: u64) -> bool {
    let Ok(maps) = view.maps() else { return false };
    let part = |address: u64| maps::lines(&maps).find(|line| line.contains(address)).filter(|line| line.constant);
    let instruction = part(code.wrapping_sub(1)).filter(|line| line.executable);
    let file = |line: maps::Line<'_>| (line.device.to_owned(), line.inode);
    let (code, text) = (instruction.map(file), part(address).map(file));
    code.is_some() && code == text
}
