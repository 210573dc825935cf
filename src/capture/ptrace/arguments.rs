//! The arguments of a program before its first instruction, where the kernel has just put them.
//!
//! The stack begins with their number, a pointer to each, a null pointer, and pointers to the environment (System V ABI,
//! x86-64 supplement, 3.4.1; the same on ARM). The texts lie behind each other, the environment's right behind them, as
//! `/proc/TID/cmdline` shows them, of which each look is dearer.

use std::io;

/// How many bytes at the beginning of the stack are looked at: more than so many pointers are none of ours.
const BEGINNING: usize = 256;
const WORD: usize = size_of::<u64>();

/// At most `limit` bytes of the arguments, each with its NUL, of a task whose stack begins at `stack` of the memory that
/// `read` reads; `None` when it does not look like this: another word size, too many arguments, no environment.
pub fn at(stack: u64, limit: usize, read: impl Fn(u64, &mut [u8]) -> io::Result<usize>) -> Option<Vec<u8>> {
    let mut beginning = [0; BEGINNING];
    let length = read(stack, &mut beginning).ok()?;
    let words = beginning.get(..length)?.chunks_exact(WORD);
    let mut words = words.map(|word| word.try_into().map(u64::from_ne_bytes).unwrap_or_default());
    // Of narrower words, the first two stand in the first one here: as a number of arguments that is far too large.
    let count =
        words.next().and_then(|count| usize::try_from(count).ok()).filter(|count| (1..BEGINNING).contains(count))?;
    let first = words.next()?;
    let (last, environment) = (words.nth(count - 1)?, words.next()?);
    let all = environment.checked_sub(first).filter(|_| last == 0)?;
    let mut text = vec![0; usize::try_from(all).ok()?.min(limit)];
    (read(first, &mut text).ok()? == text.len()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: u64 = 0x7000_0000;
    const TEXTS: u64 = 0x7000_4000;

    /// What is found of a stack of these words, with these texts.
    fn found(words: &[u64], texts: &[u8], limit: usize) -> Option<Vec<u8>> {
        let stack: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        at(STACK, limit, |address, buffer| {
            let (start, bytes) = if address >= TEXTS { (TEXTS, texts) } else { (STACK, stack.as_slice()) };
            let bytes = &bytes[usize::try_from(address - start).unwrap().min(bytes.len())..];
            let length = bytes.len().min(buffer.len());
            buffer[..length].copy_from_slice(&bytes[..length]);
            Ok(length)
        })
    }

    #[test]
    fn arguments_end_where_the_environment_begins() {
        let texts = b"ls\0-l\0\0HOME=/\0";
        let stack = [3, TEXTS, TEXTS + 3, TEXTS + 6, 0, TEXTS + 7, 0];
        assert_eq!(found(&stack, texts, 4096).as_deref(), Some(&b"ls\0-l\0\0"[..]));
        assert_eq!(found(&stack, texts, 4).as_deref(), Some(&b"ls\0-"[..]));
        for (odd, words) in [
            ("no environment", &[1, TEXTS, 0, 0][..]),
            ("no end", &[1, TEXTS, TEXTS + 3, TEXTS + 7]),
            ("cut", &[2, TEXTS, TEXTS + 3]),
            ("none", &[0, 0, TEXTS]),
            ("too many", &[100, TEXTS, 0, TEXTS + 3]),
            ("narrow words", &[TEXTS << 32 | 1, TEXTS + 3, 0]),
            ("texts that are not there", &[1, TEXTS + 15, 0, TEXTS + 20]),
            ("nothing", &[]),
        ] {
            assert_eq!(found(words, texts, 4096), None, "{odd}");
        }
    }
}
