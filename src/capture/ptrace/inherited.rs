//! What a workload has open from the learner itself: its standard streams, and what a shell or a build left open.
//!
//! Most of its programs have these still, under the same numbers, as one question each tells (`kcmp(2)`): what they are
//! needs not be asked for in `/proc/TID/fd` then.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::time::Instant;

use super::paths::FRESH;
use super::sys;
use crate::event::{OpenFile, Tid};

/// How many open files are remembered.
const FILES_MAX: usize = 16;

/// What the learner's own open files are, by their numbers.
#[derive(Debug, Default)]
pub struct Inherited(RefCell<BTreeMap<i32, (OpenFile, Instant)>>);

impl Inherited {
    /// All that a task has open, `count` files, when these are the learner's own and were looked at before.
    pub fn all(&self, tid: Tid, count: u64) -> Option<Vec<OpenFile>> {
        let known = self.0.borrow();
        if count == 0 || count > known.len() as u64 {
            return None;
        }
        let fresh = known.values().filter(|(_, since)| since.elapsed() < FRESH);
        let own = fresh.filter(|(file, _)| sys::is_own_file(tid, file.fd)).map(|(file, _)| file.clone());
        let own = own.collect::<Vec<_>>();
        (own.len() as u64 == count).then_some(own)
    }

    /// The open file at `fd` of a task, when it is the learner's own, which `look` tells.
    pub fn get(&self, tid: Tid, fd: i32, look: impl FnOnce() -> io::Result<OpenFile>) -> Option<OpenFile> {
        if !sys::is_own_file(tid, fd) {
            return None;
        }
        let mut known = self.0.borrow_mut();
        if let Some((file, _)) = known.get(&fd).filter(|(_, since)| since.elapsed() < FRESH) {
            return Some(file.clone());
        }
        let file = look().ok()?;
        if known.len() < FILES_MAX || known.contains_key(&fd) {
            known.insert(fd, (file.clone(), Instant::now()));
        }
        Some(file)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::event::Target;

    #[test]
    fn an_open_file_is_the_learner_s_own_or_another_one() {
        let inherited = Inherited::default();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let tid = Tid(i32::try_from(child.id()).unwrap());
        let file = OpenFile {
            fd: 2,
            target: Target::Nameless("pipe:[1]".into()),
            inode: None,
            readable: false,
            writable: true,
        };
        let get = |fd, look: io::Result<OpenFile>| inherited.get(tid, fd, || look);
        assert_eq!(get(1, Ok(file.clone())), None, "another one");
        assert_eq!(get(2, Ok(file.clone())), Some(file.clone()));
        assert_eq!(get(2, Err(io::ErrorKind::Other.into())), Some(file.clone()), "not asked again");
        assert_eq!(get(i32::MAX, Ok(file.clone())), None, "the learner has none");
        assert_eq!(inherited.all(tid, 1), Some(vec![file]));
        for count in [0, 2, 3, 4, u64::MAX] {
            assert_eq!(inherited.all(tid, count), None, "{count}");
        }
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
