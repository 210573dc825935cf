//! The parts of a file name that look as if they differed from run to run. Looks alone prove nothing: whether a part is
//! generalised is decided by the evidence for it ([`super::Generaliser`]).

use std::ops::Range;

use smallvec::SmallVec;

/// What a part of a name looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Looks {
    /// A UUID.
    Uuid,
    /// A hash: 16 and more hexadecimal digits.
    Hash,
    /// A calendar date, `2026-11-24` or `20261124`.
    Date,
    /// Random letters and digits, as `mkstemp(3)` makes them.
    Random,
    /// Letters and digits at the end of a name that no word has, less surely: only a name for the time being has them.
    Tail,
    /// Letters at the end of a name that may be a word: random if it is a name for the time being of the file whose name
    /// stands before them.
    Ending,
    /// A number that stands by itself.
    Number,
    /// A number at the end of a word.
    Count,
    /// Two hexadecimal digits: the folders in which files named by hashes are kept.
    Fan,
    /// The version of a shared library.
    Version,
}

/// A part of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) at: Range<usize>,
    pub(super) looks: Looks,
}

/// Parts in their order, apart from each other.
pub(super) type Parts = SmallVec<[Part; 2]>;

/// What programs begin the names of temporary files with. Longer ones come before those that they begin with.
const TEMPORARY: &[&str] = &[
    "tmp_obj_",
    "tmp_pack_",
    "tmp_idx_",
    "tmp_rev_",
    "tmp_objdir-incoming-",
    "tmp",
    "temp",
    ".tmp",
    ".temp",
    "sh-thd",
    "sort",
    "sed",
    "etilqs_",
    "cc",
    ".goutputstream",
    "incoming-",
    "incoming",
];

/// The usual lengths of random parts: `mkstemp(3)`, Python's `tempfile`, `mktemp(1)`, `SQLite`.
const RANDOM_LENGTHS: [usize; 5] = [6, 8, 10, 12, 16];

/// Words of such lengths that programs end names with, of files that they rename as well. Other words are not told from
/// random letters: that a pattern is too wide by the endings of one file costs less than that the next run is refused.
#[rustfmt::skip]
const WORDS: [&str; 36] = [
    "atomic", "backup", "building", "cached", "commit", "complete", "compressed", "database", "disabled", "download",
    "downloaded", "edited", "filtered", "finished", "import", "incomplete", "inprogress", "latest", "locked",
    "manifest", "merged", "modified", "obsolete", "old_copy", "original", "output", "prepared", "previous",
    "processing", "result", "snapshot", "sorted", "staged", "tempfile", "unfinished", "update",
];

/// The parts of `name` that may be volatile.
pub(super) fn parts(name: &[u8]) -> Parts {
    let mut parts = Parts::new();
    let mut at = 0;
    let temporary = TEMPORARY.iter().find(|prefix| name.starts_with(prefix.as_bytes())).map(|prefix| prefix.len());
    while let Some(rest) = name.get(at..).filter(|rest| !rest.is_empty()) {
        let found = found(name, at, rest, temporary);
        let word = word(rest);
        at = match found {
            Some(part) => {
                let end = part.at.end;
                parts.push(part);
                end
            }
            None => at + word.max(1),
        };
    }
    parts
}

/// The part that begins with the word at `at`, or stands within it.
fn found(name: &[u8], at: usize, rest: &[u8], temporary: Option<usize>) -> Option<Part> {
    let part = |from: usize, length: usize, looks| Some(Part { at: at + from..at + from + length, looks });
    if let Some(length) = version(name, at) {
        return part(0, length, Looks::Version);
    }
    if is_uuid(rest) {
        return part(0, 36, Looks::Uuid);
    }
    if let Some(length) = date(rest) {
        return part(0, length, Looks::Date);
    }
    let word = rest.get(..word(rest))?;
    let digits = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    if word.len() == name.len() && word.len() == 2 && is_hex(word) {
        part(0, 2, Looks::Fan)
    } else if word.len() >= 16 && is_hex(word) && digits < word.len() && word.iter().any(u8::is_ascii_digit) {
        part(0, word.len(), Looks::Hash)
    } else if digits > 0 && digits == rest.len() {
        part(0, digits, Looks::Number)
    } else if let Some(looks) = tail(name, at, rest) {
        // All of it is random where some is: `ab` of `.ab1c2d3e` is no beginning.
        let looks = random(name, word, at, temporary).map_or(looks, |_| Looks::Random);
        part(0, rest.len(), looks)
    } else if digits > 0 && digits == word.len() {
        part(0, digits, Looks::Number)
    } else if let Some(from) = random(name, word, at, temporary) {
        part(from.start, from.len(), Looks::Random)
    } else if digits > 0 {
        part(word.len() - digits, digits, Looks::Count)
    } else {
        None
    }
}

/// How many letters and digits `text` begins with.
fn word(text: &[u8]) -> usize {
    text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count()
}

fn is_hex(word: &[u8]) -> bool {
    word.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte))
        || word.iter().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte))
}

/// `8-4-4-4-12` hexadecimal digits, and nothing of the kind behind them.
fn is_uuid(text: &[u8]) -> bool {
    let dash = |place: usize| matches!(place, 8 | 13 | 18 | 23);
    text.get(..36).is_some_and(|candidate| {
        let mut bytes = candidate.iter().enumerate();
        bytes.all(|(place, byte)| if dash(place) { *byte == b'-' } else { byte.is_ascii_hexdigit() })
    }) && !text.get(36).is_some_and(u8::is_ascii_alphanumeric)
}

/// The length of a date of this era.
fn date(text: &[u8]) -> Option<usize> {
    let number = |at: usize, length: usize| {
        let digits = text.get(at..at + length).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        std::str::from_utf8(digits).ok()?.parse::<u32>().ok()
    };
    let dashed = text.get(4) == Some(&b'-') && text.get(7) == Some(&b'-');
    let (month, day, length) = if dashed { (5, 8, 10) } else { (4, 6, 8) };
    let legal = (1970..2100).contains(&number(0, 4)?)
        && (1..=12).contains(&number(month, 2)?)
        && (1..=31).contains(&number(day, 2)?);
    (legal && !text.get(length).is_some_and(u8::is_ascii_digit)).then_some(length)
}

/// The length of the version at `at` behind `.so.`, to the end of the name.
fn version(name: &[u8], at: usize) -> Option<usize> {
    let (before, rest) = name.split_at_checked(at)?;
    let numbers = rest.split(|byte| *byte == b'.').all(|part| !part.is_empty() && part.iter().all(u8::is_ascii_digit));
    (before.ends_with(b".so.") && numbers).then_some(rest.len())
}

/// Which part of `word`, at `at` of the name, is random. `temporary` is how long a beginning the name shares with
/// those of temporary files.
fn random(name: &[u8], word: &[u8], at: usize, temporary: Option<usize>) -> Option<Range<usize>> {
    let rest = name.get(at..)?;
    let dotted = name.get(..at)?.ends_with(b".");
    // Letters alone are random only right behind such a beginning.
    if let Some(prefix) = temporary.filter(|&prefix| at <= prefix || at == prefix + 1 && dotted) {
        let from = prefix.saturating_sub(at).min(word.len());
        // Python's alphabet has the underscore.
        let python = rest.get(from..).filter(|body| body.len() == 8 && body.iter().all(|byte| is_python(*byte)));
        if python.is_some() || RANDOM_LENGTHS.contains(&(word.len() - from)) {
            return Some(from..python.map_or(word.len(), |body| from + body.len()));
        }
    }
    let (head, tail) = word.split_at_checked(word.len().checked_sub(6)?)?;
    if head.iter().all(u8::is_ascii_lowercase) && is_mixed(tail) {
        return Some(head.len()..word.len());
    }
    (word.len() <= 24 && is_mixed(word)).then_some(0..word.len())
}

/// What `rest`, the end of a name behind a point or dash, looks like by its length and its letters.
fn tail(name: &[u8], at: usize, rest: &[u8]) -> Option<Looks> {
    let separated = name.get(..at).and_then(<[u8]>::last).is_some_and(|byte| !byte.is_ascii_alphanumeric());
    let mkstemp = RANDOM_LENGTHS.contains(&rest.len()) && rest.iter().all(u8::is_ascii_alphanumeric);
    let python = rest.len() == 8 && rest.iter().all(|byte| is_python(*byte));
    let chosen = || WORDS.iter().any(|word| rest.eq_ignore_ascii_case(word.as_bytes()));
    if !separated || !(mkstemp || python) || chosen() {
        return None;
    }
    let mut words = rest.split(|byte| *byte == b'_').filter(|word| !word.is_empty());
    if words.all(is_word) { (at > 1).then_some(Looks::Ending) } else { Some(Looks::Tail) }
}

/// Whether a text may be a word of a language: letters of one case, or with a capital, in which vowels and
/// consonants take turns.
fn is_word(text: &[u8]) -> bool {
    let vowel = |byte: &u8| b"aeiouyAEIOUY".contains(byte);
    let one_case = |case: fn(&u8) -> bool| text.iter().skip(1).all(case);
    let turns = text.chunk_by(|one, next| vowel(one) == vowel(next)).all(|run| run.len() <= 3);
    text.iter().all(u8::is_ascii_alphabetic)
        && (one_case(u8::is_ascii_lowercase) || one_case(u8::is_ascii_uppercase))
        && turns
        && text.iter().any(vowel)
}

/// Whether `byte` is of the alphabet of Python's `tempfile`.
pub(super) const fn is_python(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'
}

/// Whether letters and digits stand as no word has them: a digit before a letter, or another case within.
fn is_mixed(word: &[u8]) -> bool {
    let pairs = || word.iter().zip(word.iter().skip(1));
    let digit = pairs().any(|(one, next)| one.is_ascii_digit() && next.is_ascii_alphabetic());
    let case = pairs().skip(1).any(|(one, next)| {
        one.is_ascii_alphabetic() && next.is_ascii_alphabetic() && one.is_ascii_uppercase() != next.is_ascii_uppercase()
    });
    digit || case
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(name: &str) -> String {
        let mut text = name.to_owned();
        for part in parts(name.as_bytes()).iter().rev() {
            text.replace_range(part.at.clone(), &format!("<{:?} {}>", part.looks, part.at.len()));
        }
        text
    }

    #[test]
    fn names_show_their_volatile_parts() {
        for (name, expected) in [
            ("readme.txt", "readme.txt"),
            ("fruit.db-journal", "fruit.db-journal"),
            ("index.lock", "index.lock"),
            ("Makefile", "Makefile"),
            ("sh-thd.kqzwjx", "sh-thd.<Random 6>"),
            ("sedX7kQ2p", "sed<Random 6>"),
            ("fooX7kQ2p", "foo<Random 6>"),
            ("tmp_obj_aBcDeF", "tmp_obj_<Random 6>"),
            ("tmp_obj_abcdef", "tmp_obj_<Random 6>"),
            ("pkgcache.bin.8_9tis7m", "pkgcache.bin.<Tail 8>"),
            ("pkgcache.bin.qkzwxa", "pkgcache.bin.<Tail 6>"),
            ("pkgcache.bin.ab1c2d3e", "pkgcache.bin.<Random 8>"),
            ("pkgcache.bin.kitchens", "pkgcache.bin.<Ending 8>"),
            ("pkgcache.bin.snapshot", "pkgcache.bin.snapshot"),
            ("pkgcache.bin.backup", "pkgcache.bin.backup"),
            ("refs_iuixbm", "refs_<Ending 6>"),
            ("pkgcache.bin.old_copy", "pkgcache.bin.old_copy"),
            ("pkgcache.bin.big_copy", "pkgcache.bin.<Ending 8>"),
            ("snapshot", "snapshot"),
            ("temp-12345678", "temp-<Number 8>"),
            ("temp-appendonly.aof.manifest", "temp-appendonly.aof.manifest"),
            ("tmpab_cd3x1", "tmp<Random 8>"),
            ("tmp.Zy9Xw8Vu7T", "tmp.<Random 10>"),
            ("etilqs_0a1b2c3d4e5f6a7b", "etilqs_<Hash 16>"),
            ("temp-1234.rdb", "temp-<Number 4>.rdb"),
            ("backup-2026-11-24.sql", "backup-<Date 10>.sql"),
            ("log.20261124", "log.<Date 8>"),
            ("99999999", "<Number 8>"),
            ("123e4567-e89b-12d3-a456-426614174000.sock", "<Uuid 36>.sock"),
            ("da39a3ee5e6b4b0d3255bfef95601890afd80709", "<Hash 40>"),
            ("a7", "<Fan 2>"),
            ("libssl.so.1.1", "libssl.so.<Version 3>"),
            ("libz.so.1.2.13", "libz.so.<Version 6>"),
            ("worker12", "worker<Count 2>"),
            ("access.log.1", "access.log.<Number 1>"),
        ] {
            assert_eq!(marked(name), expected);
        }
    }

    #[test]
    fn no_name_is_too_odd() {
        for name in ["", "0", "\u{e9}9", "-", "____", "2026-13-40", "a\u{301}1b2c3"] {
            let found = parts(name.as_bytes());
            assert!(found.iter().all(|part| part.at.end <= name.len() && !part.at.is_empty()), "{name}");
        }
    }
}
