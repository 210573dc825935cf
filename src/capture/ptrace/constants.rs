//! Calls that name an open file by a constant empty path.
//!
//! glibc's `fstat(3)` is `newfstatat(fd, "", …, AT_EMPTY_PATH)`. A filter cannot read the path, but it sees where the
//! path and the instruction are. Both lie in one file, in parts of it that nothing writes to, and so are as far from each
//! other in every process that maps this file: a call from that instruction with a path at that distance has an empty one.

use std::collections::{BTreeMap, BTreeSet};

use super::maps;
use super::view::View;
use crate::abi::Abi;
use crate::event::{Call, EmptyPath, KnownCalls, Nameless, TaskView};

/// How many are told apart; each makes a filter longer by sixteen instructions.
const LIMIT: usize = 16;
/// The bits of an address that do not change with where a file is mapped.
const IN_PAGE: u64 = 0xfff;

/// What is known of such calls.
#[derive(Debug)]
pub struct Constants {
    nameless: BTreeMap<u32, Nameless>,
    found: BTreeSet<EmptyPath>,
}

impl Constants {
    /// Begins with what is known.
    #[must_use]
    pub fn new(known: KnownCalls) -> Self {
        Self { nameless: known.nameless, found: known.empty_paths }
    }

    /// Looks at a call that a task stands before, whose instruction ends at `code`. Returns what was not known.
    pub fn find(&mut self, view: View<'_>, call: &Call, code: u64) -> Option<EmptyPath> {
        let place = self.nameless.get(&call.number).filter(|_| call.abi == Abi::native())?;
        let argument = |index: u8| call.args.get(usize::from(index)).copied();
        let (path, flags) = (argument(place.path)?, argument(place.flags)? & u64::from(u32::MAX));
        if flags & AT_EMPTY_PATH == 0 || self.found.len() >= LIMIT {
            return None;
        }
        let found = EmptyPath {
            number: call.number,
            flags: u32::try_from(flags).ok()?,
            distance: i32::try_from(code.wrapping_sub(path).cast_signed()).ok()?,
            offset: u16::try_from(code & IN_PAGE).ok()?,
        };
        let new = !self.found.contains(&found) && is_empty(view, path) && is_constant(view, code, path);
        new.then(|| {
            self.found.insert(found);
            found
        })
    }
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
