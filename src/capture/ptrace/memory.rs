//! The memory of tasks.
//!
//! Reading it through a `/proc/TID/mem` that is kept open is no cheaper, though the right to look is asked for but once.

use std::io::{self, IoSliceMut};

use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::unistd::Pid;
use smallvec::SmallVec;

use crate::event::Tid;

const PAGE: u64 = 4096;

/// Reads memory of a task; see [`crate::event::TaskView::read`].
pub fn read(tid: Tid, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
    let fault = || io::Error::from_raw_os_error(libc::EFAULT);
    if buffer.is_empty() {
        return Ok(0);
    }
    // One piece a page: the kernel stops at the first piece that it cannot read whole.
    let end = address.checked_add(buffer.len() as u64).ok_or_else(fault)?;
    let mut pieces = SmallVec::<[RemoteIoVec; 2]>::new();
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
    use crate::capture::ptrace::maps;

    #[test]
    fn memory_is_read_up_to_where_it_ends() {
        let own = Tid(nix::unistd::getpid().as_raw());
        let read = |address, length: usize| {
            let mut buffer = vec![0; length];
            read(own, address, &mut buffer).map(|read| buffer[..read].to_vec())
        };
        let text = (0..=u8::MAX).cycle().take(3 * 4096).collect::<Vec<_>>();
        for length in [0, 1, 256, text.len()] {
            assert_eq!(read(text.as_ptr() as u64, length).unwrap(), text[..length]);
        }
        for address in [16, u64::MAX - 2] {
            assert_eq!(read(address, 4).unwrap_err().raw_os_error(), Some(libc::EFAULT), "{address}");
        }
        // The end of a mapping with nothing behind it.
        let maps = std::fs::read("/proc/self/maps").unwrap();
        let is_last = |end: &u64| read(end - 8, 8).is_ok() && read(*end, 1).is_err();
        let end = maps::lines(&maps).map(|line| line.end).find(is_last).unwrap();
        assert_eq!(read(end - 8, 4096).unwrap().len(), 8);
    }
}
