//! The memories of processes.
//!
//! `process_vm_readv(2)` asks each time whether the learner may look, and needs no preparation; `/proc/TID/mem` asks when
//! it is opened. So a memory that is read often is kept open, until its process runs another program or ends.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::unix::fs::FileExt;

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;

use crate::event::Tid;

const PAGE: u64 = 4096;
/// After how many reads a memory is opened.
const OFTEN: u32 = 32;
/// How many are kept open.
const OPEN_MAX: usize = 64;

/// Of which process how much was read.
#[derive(Debug, Default)]
pub struct Memories(RefCell<HashMap<Tid, Memory>>);

#[derive(Debug, Default)]
struct Memory {
    reads: u32,
    file: Option<File>,
}

impl Memories {
    /// Reads memory of a task of `process`; see [`crate::event::TaskView::read`].
    pub fn read(&self, process: Tid, tid: Tid, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let kept = self.kept(process, tid, address, buffer);
        kept.map_or_else(|| read_now(tid, address, buffer), Ok)
    }

    /// What is read of a memory that is open, if it is and there is something.
    fn kept(&self, process: Tid, tid: Tid, address: u64, buffer: &mut [u8]) -> Option<usize> {
        let mut memories = self.0.borrow_mut();
        let open = memories.values().filter(|memory| memory.file.is_some());
        let room = memories.get(&process).is_some_and(|memory| memory.reads == OFTEN) && open.count() < OPEN_MAX;
        let memory = memories.entry(process).or_default();
        memory.reads = memory.reads.saturating_add(1);
        if room {
            memory.file = File::open(format!("/proc/{}/mem", tid.0)).ok();
        }
        memory.file.as_ref()?.read_at(buffer, address).ok().filter(|&read| read > 0)
    }

    /// The process runs another program or ended: what it had is not its memory any more.
    pub fn forget(&self, process: Tid) {
        self.0.borrow_mut().remove(&process);
    }
}

fn read_now(tid: Tid, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let fault = || io::Error::from_raw_os_error(libc::EFAULT);
    if buffer.is_empty() {
        return Ok(0);
    }
    // One piece a page: the kernel stops at the first piece that it cannot read whole.
    let length = buffer.len() as u64;
    let end = address.checked_add(length).ok_or_else(fault)?;
    let mut pieces = Vec::with_capacity(usize::try_from(length / PAGE).unwrap_or_default() + 2);
    let mut at = address;
    while at < end {
        let next = (at / PAGE + 1).saturating_mul(PAGE).min(end);
        let to_usize = |value| usize::try_from(value).map_err(|_| fault());
        pieces.push(RemoteIoVec { base: to_usize(at)?, len: to_usize(next - at)? });
        at = next;
    }
    let read = process_vm_readv(Pid::from_raw(tid.0), &mut [IoSliceMut::new(buffer)], &pieces)?;
    if read == 0 { Err(fault()) } else { Ok(read) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_is_read_alike_before_and_after_it_is_kept() {
        let own = Tid(nix::unistd::getpid().as_raw());
        let text = b"what is to be read".to_vec();
        let memories = Memories::default();
        let read = |address, length: usize| {
            let mut buffer = vec![0; length];
            memories.read(own, own, address, &mut buffer).map(|read| buffer[..read].to_vec())
        };
        for turn in 0..OFTEN + 4 {
            assert_eq!(read(text.as_ptr() as u64, text.len()).unwrap(), text, "{turn}");
            if turn % 8 == 0 {
                assert_eq!(read(16, 4).unwrap_err().raw_os_error(), Some(libc::EFAULT), "{turn}");
                assert_eq!(read(u64::MAX - 2, 4).unwrap_err().raw_os_error(), Some(libc::EFAULT), "{turn}");
            }
        }
        let is_kept = || memories.0.borrow().get(&own).is_some_and(|memory| memory.file.is_some());
        assert!(is_kept());
        memories.forget(own);
        assert!(!is_kept());
        assert_eq!(read(text.as_ptr() as u64, 4).unwrap(), b"what");
    }
}
