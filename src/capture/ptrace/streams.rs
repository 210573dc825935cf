//! The standard streams that a workload has from the learner itself.
//!
//! Most of its programs have them still, as one question each tells (`kcmp(2)`): what they are needs not be asked for in
//! `/proc/TID/fd` then.

use std::cell::RefCell;
use std::io;
use std::time::Instant;

use super::paths::FRESH;
use super::sys;
use crate::event::{OpenFile, Tid};

/// What the learner's own standard streams are.
#[derive(Debug, Default)]
pub struct Streams([RefCell<Option<(OpenFile, Instant)>>; 3]);

impl Streams {
    /// The open file at `fd` of a task, when it is the learner's own, which `look` tells.
    pub fn get(&self, tid: Tid, fd: i32, look: impl FnOnce() -> io::Result<OpenFile>) -> Option<OpenFile> {
        let stream = self.0.get(usize::try_from(fd).ok()?)?;
        if !sys::is_own_file(tid, fd) {
            return None;
        }
        let mut stream = stream.borrow_mut();
        if let Some((file, _)) = stream.as_ref().filter(|(_, since)| since.elapsed() < FRESH) {
            return Some(file.clone());
        }
        let file = look().ok()?;
        *stream = Some((file.clone(), Instant::now()));
        Some(file)
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;
    use crate::event::Target;

    #[test]
    fn a_stream_is_the_learner_s_own_or_another_one() {
        let streams = Streams::default();
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let tid = Tid(i32::try_from(child.id()).unwrap());
        let file = OpenFile {
            fd: 2,
            target: Target::Nameless("pipe:[1]".into()),
            inode: None,
            readable: false,
            writable: true,
        };
        let get = |fd, look: io::Result<OpenFile>| streams.get(tid, fd, || look);
        assert_eq!(get(1, Ok(file.clone())), None, "another one");
        assert_eq!(get(2, Ok(file.clone())), Some(file.clone()));
        assert_eq!(get(2, Err(io::ErrorKind::Other.into())), Some(file.clone()), "not asked again");
        assert_eq!(get(3, Ok(file)), None, "no standard stream");
        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
