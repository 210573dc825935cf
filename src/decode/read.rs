//! Bounded typed reads of a task's memory, aware of the word size of the call's ABI.
//!
//! Every read has a limit, and none assumes that the page behind the last byte is mapped. Knows no facts.

use std::io;

use crate::abi::Abi;
use crate::event::TaskView;

/// `PATH_MAX`: the longest path, its NUL included.
pub(super) const PATH_MAX: usize = 4096;

/// `sizeof(struct sockaddr_storage)`: the longest address that the kernel takes.
const ADDRESS_MAX: usize = 128;

/// `UIO_MAXIOV`: the most messages that one `sendmmsg(2)` handles.
const MESSAGES_MAX: usize = 1024;

/// The low half of a register, as the kernel takes an `int`.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "an int argument is the low half")]
pub(super) const fn int(register: u64) -> i32 {
    register as u32 as i32
}

/// The low half of a register, as the kernel takes an `unsigned int`.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "an unsigned int argument is the low half")]
pub(super) const fn uint(register: u64) -> u32 {
    register as u32
}

/// `-1` as an id: "leave as it is".
#[must_use]
pub(super) const fn id(raw: u32) -> Option<u32> {
    if raw == u32::MAX { None } else { Some(raw) }
}

/// A 16-bit id of the first i386 calls (`uid16.c`), in which 0xffff is `-1`.
#[must_use]
pub(super) const fn short_id(raw: u32) -> Option<u32> {
    let short = raw & 0xffff;
    if short == 0xffff { None } else { Some(short) }
}

/// What a call's pointers lead to.
#[derive(Clone, Copy)]
pub(super) struct Memory<'a> {
    view: &'a dyn TaskView,
    abi: Abi,
}

impl<'a> Memory<'a> {
    /// The memory of the task, as calls of `abi` see it.
    pub(super) const fn new(view: &'a dyn TaskView, abi: Abi) -> Self {
        Self { view, abi }
    }

    /// The address in a register: 64-bit ARM ignores the top byte of a pointer.
    const fn address(self, register: u64) -> u64 {
        match self.abi {
            Abi::Aarch64 => register & 0x00ff_ffff_ffff_ffff,
            Abi::I386 => register & 0xffff_ffff,
            Abi::X86_64 | Abi::X32 => register,
        }
    }

    /// Fills `buffer` as far as memory is mapped; returns how much that was.
    fn fill(self, register: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            let offset = u64::try_from(done).unwrap_or(u64::MAX);
            match self.view.read(self.address(register).wrapping_add(offset), rest) {
                Ok(0) => break,
                Ok(read) => done += read.min(rest.len()),
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// The bytes of a C string without its NUL.
    ///
    /// # Errors
    /// `EFAULT` when memory ends before the NUL, `ENAMETOOLONG` when there is none within `limit` bytes.
    pub(super) fn cstr(self, register: u64, limit: usize) -> io::Result<Vec<u8>> {
        // Most names are short: the first piece is small, and the second one is the rest.
        let mut text = vec![0; limit.min(256)];
        let mut known = 0;
        loop {
            let wanted = text.len() - known;
            let offset = u64::try_from(known).unwrap_or(u64::MAX);
            let rest = text.get_mut(known..).unwrap_or_default();
            let read = self.fill(register.wrapping_add(offset), rest)?;
            if let Some(end) = rest.iter().take(read).position(|&byte| byte == 0) {
                text.truncate(known + end);
                return Ok(text);
            }
            if read < wanted {
                return Err(io::Error::from_raw_os_error(libc::EFAULT));
            }
            if text.len() >= limit {
                return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
            }
            known = text.len();
            text.resize(limit, 0);
        }
    }

    /// Exactly `N` bytes.
    ///
    /// # Errors
    /// `EFAULT` when not all of them are mapped.
    pub(super) fn array<const N: usize>(self, register: u64) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        if self.fill(register, &mut bytes)? < N {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        Ok(bytes)
    }

    /// A `u32`.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn u32(self, register: u64) -> io::Result<u32> {
        self.array(register).map(u32::from_ne_bytes)
    }

    /// A `u64`.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn u64(self, register: u64) -> io::Result<u64> {
        self.array(register).map(u64::from_ne_bytes)
    }

    /// A `long` or a pointer.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn word(self, register: u64) -> io::Result<u64> {
        if self.abi.word_size() == 4 { self.u32(register).map(u64::from) } else { self.u64(register) }
    }

    /// A socket address of `length` bytes, cut as the kernel does.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn sockaddr(self, register: u64, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX).min(ADDRESS_MAX)];
        if self.fill(register, &mut bytes)? < bytes.len() {
            return Err(io::Error::from_raw_os_error(libc::EFAULT));
        }
        Ok(bytes)
    }

    /// The address in a `struct msghdr`, empty when there is none.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn message_address(self, register: u64) -> io::Result<Vec<u8>> {
        let word = self.abi.word_size() as u64;
        let (name, length) = (self.word(register)?, self.u32(register.wrapping_add(word))?);
        if name == 0 { Ok(Vec::new()) } else { self.sockaddr(name, length) }
    }

    /// Where the first piece of a `struct msghdr`'s data is, and its length.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn message_data(self, register: u64) -> io::Result<(u64, u64)> {
        // msg_name, msg_namelen (padded), msg_iov
        let word = self.abi.word_size() as u64;
        let pieces = self.word(register.wrapping_add(2 * word))?;
        Ok((self.word(pieces)?, self.word(pieces.wrapping_add(word))?))
    }

    /// Kind and place of the data of each control message of level `SOL_SOCKET` that a `struct msghdr` sends
    /// (`cmsg(3)`).
    pub(super) fn controls(self, register: u64) -> Vec<(i32, u64)> {
        /// How many control messages are looked at.
        const CONTROLS_MAX: usize = 16;
        let word = self.abi.word_size() as u64;
        let place = [4, 5].map(|index| self.word(register.wrapping_add(index * word)).ok());
        let [Some(start @ 1..), Some(length)] = place else { return Vec::new() };
        let mut at = 0_u64;
        let next = || {
            let left = length.checked_sub(at).filter(|left| *left >= word + 8);
            let here = left.map(|_| start.wrapping_add(at))?;
            let size = self.word(here).ok()?;
            let [level, kind] = [word, word + 4].map(|offset| self.u32(here.wrapping_add(offset)).ok());
            at = at.checked_add(size.max(word + 8).checked_next_multiple_of(word)?)?;
            Some((level?.cast_signed(), kind?.cast_signed(), here.wrapping_add(word + 8)))
        };
        let controls = std::iter::from_fn(next).take(CONTROLS_MAX);
        controls.filter(|control| control.0 == libc::SOL_SOCKET).map(|(_, kind, data)| (kind, data)).collect()
    }

    /// Where each `struct msghdr` of an array of `count` times `struct mmsghdr` is.
    pub(super) fn messages(self, register: u64, count: u32) -> impl Iterator<Item = u64> {
        let size = if self.abi.word_size() == 4 { 32 } else { 64 };
        (0..u64::from(count).min(MESSAGES_MAX as u64)).map(move |index| register.wrapping_add(index * size))
    }

    /// The addresses in an array of `count` times `struct mmsghdr`, equal neighbours once.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn messages_addresses(self, register: u64, count: u32) -> io::Result<Vec<Vec<u8>>> {
        let mut addresses = Vec::new();
        for message in self.messages(register, count) {
            let address = self.message_address(message)?;
            if addresses.last() != Some(&address) {
                addresses.push(address);
            }
        }
        Ok(addresses)
    }

    /// The flags of a `struct open_how` (`openat2(2)`).
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn open_flags(self, register: u64) -> io::Result<i32> {
        self.u64(register).map(int)
    }

    /// The flags of a `struct clone_args` (`clone(2)`).
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn clone_flags(self, register: u64) -> io::Result<u64> {
        self.u64(register)
    }

    /// The soft and hard limit of a `struct rlimit` as `setrlimit(2)` takes it; `u64::MAX` is no limit.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn rlimit(self, register: u64) -> io::Result<(u64, u64)> {
        if self.abi != Abi::I386 {
            // x32 has 64-bit limits too: `__kernel_ulong_t`.
            return self.rlimit64(register);
        }
        let widen = |limit: u32| if limit == u32::MAX { u64::MAX } else { u64::from(limit) };
        Ok((widen(self.u32(register)?), widen(self.u32(register.wrapping_add(4))?)))
    }

    /// The soft and hard limit of a `struct rlimit64` (`prlimit(2)`).
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn rlimit64(self, register: u64) -> io::Result<(u64, u64)> {
        Ok((self.u64(register)?, self.u64(register.wrapping_add(8))?))
    }

    /// `N` values of 32 bits, as `socketcall(2)` and the first `mmap` of i386 take their arguments.
    ///
    /// # Errors
    /// As [`Self::array`].
    pub(super) fn arguments(self, register: u64, count: usize) -> io::Result<[u64; 6]> {
        let mut arguments = [0; 6];
        for (index, argument) in (0u64..).zip(arguments.iter_mut().take(count)) {
            *argument = u64::from(self.u32(register.wrapping_add(index * 4))?);
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fake::FakeView;

    #[test]
    fn strings_end_at_their_nul_and_never_need_the_next_page() {
        for length in [0, 1, 254, 255, 256, 257, 4000, PATH_MAX - 1] {
            let view = FakeView::default();
            let mut bytes = vec![b'x'; length];
            bytes.push(0);
            view.map(0x1000, &bytes);
            let text = Memory::new(&view, Abi::X86_64).cstr(0x1000, PATH_MAX).unwrap();
            assert_eq!(text.len(), length);
        }
    }

    #[test]
    fn endless_and_cut_strings_are_errors() {
        let view = FakeView::default();
        view.map(0x1000, &[b'x'; PATH_MAX + 8]);
        let memory = Memory::new(&view, Abi::X86_64);
        assert_eq!(memory.cstr(0x1000, PATH_MAX).unwrap_err().raw_os_error(), Some(libc::ENAMETOOLONG));
        let end = 0x1000 + PATH_MAX as u64 + 8;
        assert_eq!(memory.cstr(end - 300, PATH_MAX).unwrap_err().raw_os_error(), Some(libc::EFAULT));
        assert_eq!(memory.cstr(end, PATH_MAX).unwrap_err().raw_os_error(), Some(libc::EFAULT));
        assert_eq!(memory.cstr(u64::MAX, PATH_MAX).unwrap_err().raw_os_error(), Some(libc::EFAULT));
        assert!(memory.array::<8>(end - 4).is_err());
    }

    #[test]
    fn layouts_follow_the_word_size() {
        let view = FakeView::default();
        view.map(0x2000, &[1, 0, 7, 7]);
        for abi in Abi::ALL {
            let mut header = Vec::new();
            if abi.word_size() == 8 {
                header.extend(0x2000u64.to_ne_bytes());
            } else {
                header.extend(0x2000u32.to_ne_bytes());
            }
            header.extend(4u32.to_ne_bytes());
            view.map(0x1000, &header);
            assert_eq!(Memory::new(&view, abi).message_address(0x1000).unwrap(), [1, 0, 7, 7], "{abi}");
        }
        view.map(0x3000, &[0xff, 0xff, 0xff, 0xff, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Memory::new(&view, Abi::I386).rlimit(0x3000).unwrap(), (u64::MAX, 256));
        assert_eq!(Memory::new(&view, Abi::X32).rlimit(0x3000).unwrap().1, 1);
        assert_eq!(Memory::new(&view, Abi::Aarch64).u32(0xff00_0000_0000_3004).unwrap(), 256);
    }

    #[test]
    fn ids_know_their_minus_one() {
        assert_eq!((id(5), id(u32::MAX)), (Some(5), None));
        assert_eq!((short_id(0xffff_fff5), short_id(0xffff)), (Some(0xfff5), None));
        assert_eq!((int(u64::MAX), uint(0x1_0000_0002)), (-1, 2));
    }
}
