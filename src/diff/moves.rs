//! Names that a release or a run changes without changing what is done: versions, hashes, dates, temporary names.
//!
//! The shape of a name has a mark wherever such a part stood; two names of the same shape are one thing that moved.
//! Cautious on purpose: a number that is no version by its looks stays, since `tenant-1` is not `tenant-2`, and below
//! `/dev`, `/proc` and `/sys` numbers name different things.

use std::collections::{BTreeMap, BTreeSet};

/// What differs between names of one shape, the strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Volatile {
    /// A name that no two runs share: a hash, a date, a random or temporary name, a counter.
    Fleeting,
    /// A version.
    Version,
}

/// Where programs make files under random names.
const TEMPORARY: &[&str] = &["tmp", "temp", "shm", "cache"];

/// Where programs are installed: a number of its own there is a version.
const INSTALLED: &[&str] = &["/usr/", "/opt/"];

/// Where a component stands.
#[derive(Clone, Copy)]
struct Place {
    temporary: bool,
    installed: bool,
}

/// Names of one shape.
pub(super) struct Alike<'s> {
    /// What differs between them.
    pub(super) volatile: Volatile,
    /// The old and the new name of each that moved.
    pub(super) pairs: Vec<(&'s str, &'s str)>,
    /// All fleeting names of this shape that the old side has.
    pub(super) old: Vec<&'s str>,
    /// The same of the new side.
    pub(super) new: Vec<&'s str>,
}

/// Pairs names that only one side has with those of the same shape that only the other one has. What one side has more
/// of one shape is a move too when its names are fleeting: another temporary name is no new access. `old` and `new`
/// give all names of each side.
pub(super) fn alike<'s>(
    came: &[&'s str],
    went: &[&'s str],
    old: impl FnOnce() -> Vec<&'s str>,
    new: impl FnOnce() -> Vec<&'s str>,
) -> Vec<Alike<'s>> {
    let (came, went) = (by_shape(came), by_shape(went));
    let keys: BTreeSet<_> = came.keys().chain(went.keys()).collect();
    let fleeting = keys.iter().any(|(_, volatile)| *volatile == Volatile::Fleeting);
    // All names are looked through only when that is of use.
    let (old, new) = if fleeting { (by_shape(&old()), by_shape(&new())) } else { (Shapes::new(), Shapes::new()) };
    let of = |shapes: &Shapes<'s>, key: &(String, Volatile)| shapes.get(key).cloned().unwrap_or_default();
    let group = |key: &(String, Volatile)| {
        let (came, went) = (of(&came, key), of(&went, key));
        let mut pairs: Vec<_> = went.iter().copied().zip(came.iter().copied()).collect();
        let (mut all_old, mut all_new) = (Vec::new(), Vec::new());
        if key.1 == Volatile::Fleeting {
            (all_old, all_new) = (of(&old, key), of(&new, key));
            if let Some(from) = all_old.first() {
                pairs.extend(came.iter().skip(went.len()).map(|to| (*from, *to)));
            }
            if let Some(to) = all_new.first() {
                pairs.extend(went.iter().skip(came.len()).map(|from| (*from, *to)));
            }
        }
        Alike { volatile: key.1, pairs, old: all_old, new: all_new }
    };
    keys.into_iter().map(group).collect()
}

type Shapes<'s> = BTreeMap<(String, Volatile), Vec<&'s str>>;

fn by_shape<'s>(names: &[&'s str]) -> Shapes<'s> {
    let mut shapes = Shapes::new();
    for name in names {
        if let Some(key) = shape(name) {
            shapes.entry(key).or_default().push(name);
        }
    }
    shapes
}

/// The shape of a path, when anything in it is volatile.
pub(super) fn shape(path: &str) -> Option<(String, Volatile)> {
    let fixed = ["/dev/", "/proc/", "/sys/"].iter().any(|place| path.starts_with(place));
    if !path.starts_with('/') || (fixed && !path.starts_with("/dev/shm/")) {
        return None;
    }
    let mut found = None;
    let mut place = Place { temporary: false, installed: INSTALLED.iter().any(|place| path.starts_with(place)) };
    let components = path.split('/').map(|component| {
        let (text, volatile) = component_shape(component, place);
        place.temporary |= TEMPORARY.contains(&component);
        found = found.max(volatile);
        text
    });
    let text = components.collect::<Vec<_>>().join("/");
    found.map(|volatile| (text, volatile))
}

fn component_shape(component: &str, place: Place) -> (String, Option<Volatile>) {
    let mut text = String::with_capacity(component.len());
    let mut found = None;
    let mut rest = component;
    while !rest.is_empty() {
        if let Some((mark, after, volatile)) = volatile_start(&text, rest, place) {
            text.push_str(mark);
            found = found.max(Some(volatile));
            rest = after;
        } else {
            // A run of letters and digits is taken whole, so that no mark begins within a word.
            let end = word_end(rest);
            let (word, after) = rest.split_at(end);
            text.push_str(word);
            rest = after;
        }
    }
    (text, found)
}

/// How far the next piece reaches that is copied as it stands: letters, or one other character.
fn word_end(rest: &str) -> usize {
    let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    if letters > 0 { letters } else { rest.chars().next().map_or(1, char::len_utf8) }
}

/// The volatile piece at the beginning of `rest`, which follows `before` within one component.
fn volatile_start<'t>(before: &str, rest: &'t str, place: Place) -> Option<(&'static str, &'t str, Volatile)> {
    let word = rest.bytes().take_while(|byte| byte.is_ascii_alphanumeric() || *byte == b'_').count();
    let at_start = !before.ends_with(|c: char| c.is_ascii_alphanumeric());
    let cut = |mark, length: usize, volatile| rest.get(length..).map(|after| (mark, after, volatile));
    if at_start {
        if let Some(length) = uuid(rest) {
            return cut("{uuid}", length, Volatile::Fleeting);
        }
        if let Some(length) = date(rest) {
            return cut("{date}", length, Volatile::Fleeting);
        }
        let word_text = rest.get(..word)?;
        if is_hash(word_text) {
            return cut("{hash}", word, Volatile::Fleeting);
        }
        let tail = word == rest.len() || rest.get(word..)?.starts_with('.');
        if place.temporary && tail && is_random(word_text) {
            return cut("{random}", word, Volatile::Fleeting);
        }
    }
    version(before, rest, place.installed).and_then(|(length, volatile)| match volatile {
        Volatile::Version => cut("{version}", length, volatile),
        Volatile::Fleeting => cut("{number}", length, volatile),
    })
}

/// A dotted number, a number behind `.so.` or in the tag of a Python, or where programs are installed a number of its
/// own; or a long one without a dot, which counts something.
fn version(before: &str, rest: &str, installed: bool) -> Option<(usize, Volatile)> {
    let mut end = digits(rest);
    if end == 0 || before.ends_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if end >= 7 {
        return Some((end, Volatile::Fleeting));
    }
    let mut dots = 0;
    while let Some(more) = rest.get(end..)?.strip_prefix('.').map(digits).filter(|&more| more > 0) {
        end += 1 + more;
        dots += 1;
    }
    let follows = |mark| before.ends_with(mark);
    // `python3.11` and its `cpython-311`, `/usr/lib/postgresql/15`, `java-17-openjdk`.
    let own = installed && (before.is_empty() || follows("-")) && !rest.get(end..)?.starts_with(char::is_alphanumeric);
    (dots > 0 || follows(".so.") || follows("cpython-") || own).then_some((end, Volatile::Version))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// `8-4-4-4-12` hexadecimal digits.
fn uuid(text: &str) -> Option<usize> {
    let candidate = text.get(..36)?;
    let mut groups = candidate.split('-');
    let fits = [8, 4, 4, 4, 12].iter().all(|&length| {
        groups.next().is_some_and(|group| group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
    });
    (fits && groups.next().is_none()).then_some(36)
}

/// `2026-11-24` or `20261124`, of this or the last century.
fn date(text: &str) -> Option<usize> {
    let plausible = |year: &str, month: &str, day: &str| {
        let within = |text: &str, least, most| text.parse::<u32>().is_ok_and(|number| (least..=most).contains(&number));
        within(year, 1970, 2099) && within(month, 1, 12) && within(day, 1, 31)
    };
    let long = || {
        let candidate = text.get(..10)?;
        let mut parts = candidate.split(['-', '_', '.']);
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        (year.len() == 4 && month.len() == 2 && plausible(year, month, day)).then_some(10)
    };
    let short = || {
        let plain = digits(text) == 8;
        (plain && plausible(text.get(..4)?, text.get(4..6)?, text.get(6..8)?)).then_some(8)
    };
    let length = long().or_else(short)?;
    let ends = text.get(length..).is_some_and(|after| !after.starts_with(|c: char| c.is_ascii_digit()));
    ends.then_some(length)
}

/// Eight or more hexadecimal digits, letters and numbers mixed.
fn is_hash(word: &str) -> bool {
    let hex = word.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase());
    word.len() >= 8 && hex && mixed(word)
}

/// Six or more characters that look like those of `mkstemp(3)`, or the names of Python's `tempfile`.
fn is_random(word: &str) -> bool {
    let python = word.strip_prefix("tmp").is_some_and(|rest| rest.len() == 8 && !rest.contains(char::is_uppercase));
    let inner_upper = word.bytes().skip(1).any(|byte| byte.is_ascii_uppercase());
    let lower = word.bytes().any(|byte| byte.is_ascii_lowercase());
    python || (word.len() >= 6 && (mixed(word) || (inner_upper && lower)))
}

fn mixed(word: &str) -> bool {
    word.bytes().any(|byte| byte.is_ascii_digit()) && word.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(one: &str, other: &str) -> Option<Volatile> {
        let (one, other) = (shape(one)?, shape(other)?);
        (one == other).then_some(one.1)
    }

    #[test]
    fn releases_and_runs_change_names() {
        for (one, other) in [
            ("/usr/lib/libfoo.so.1.2", "/usr/lib/libfoo.so.1.3"),
            ("/usr/lib/libfoo.so.1", "/usr/lib/libfoo.so.2"),
            ("/usr/lib/libfoo-1.2.so", "/usr/lib/libfoo-1.10.so"),
            ("/opt/app-1.4/bin/app", "/opt/app-1.5/bin/app"),
            ("/usr/bin/python3.11", "/usr/bin/python3.12"),
            ("/usr/lib/python3.11/os.py", "/usr/lib/python3.12/os.py"),
            ("/srv/app/__pycache__/app.cpython-311.pyc", "/srv/app/__pycache__/app.cpython-312.pyc"),
            (
                "/usr/lib/python3.11/lib-dynload/_ssl.cpython-311-x86_64.so",
                "/usr/lib/python3.12/lib-dynload/_ssl.cpython-312-x86_64.so",
            ),
            ("/usr/lib/postgresql/15/bin/postgres", "/usr/lib/postgresql/16/bin/postgres"),
            ("/usr/lib/jvm/java-17-openjdk/bin/java", "/usr/lib/jvm/java-21-openjdk/bin/java"),
            ("/opt/app-4/bin/app", "/opt/app-5/bin/app"),
        ] {
            assert_eq!(same(one, other), Some(Volatile::Version), "{one} {other}");
        }
        for (one, other) in [
            ("/srv/main.3f9a8c21.js", "/srv/main.77d0aa1b.js"),
            ("/srv/d/0c4f7b2e-1111-4222-8333-abcdefabcdef", "/srv/d/9c4f7b2e-1111-4222-8333-abcdefabcde0"),
            ("/var/log/app-2026-11-24.log", "/var/log/app-2026-12-01.log"),
            ("/var/log/app.20261124", "/var/log/app.20261201"),
            ("/tmp/tmpab_cdefg", "/tmp/tmpqrstuvwx"),
            ("/tmp/sess.Xy12Qz", "/tmp/sess.aB99kk"),
            ("/var/lib/nginx/body/0000000001", "/var/lib/nginx/body/0000000007"),
        ] {
            assert_eq!(same(one, other), Some(Volatile::Fleeting), "{one} {other}");
        }
    }

    #[test]
    fn other_things_are_other_things() {
        for (one, other) in [
            ("/srv/tenant-1/x", "/srv/tenant-2/x"),
            ("/dev/sda1", "/dev/sda2"),
            ("/dev/vg-1.2", "/dev/vg-1.3"),
            ("/proc/sys/net/ipv4/x1.2", "/proc/sys/net/ipv4/x1.3"),
            ("/srv/gcc-12", "/srv/gcc-13"),
            ("/usr/bin/a2x", "/usr/bin/a3x"),
            ("/opt/site-2go/x", "/opt/site-3go/x"),
            ("/tmp/session", "/tmp/config"),
            ("/etc/passwd", "/etc/shadow"),
            ("/usr/lib/libfoo.so.1.2", "/usr/lib/libbar.so.1.3"),
            ("/srv/deadbeef", "/srv/cafebabe"),
        ] {
            assert_eq!(same(one, other), None, "{one} {other}");
        }
    }
}
