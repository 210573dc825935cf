//! What a record proves about names: which parts differ from run to run.
//!
//! Proof is one of these:
//! * the workload itself makes the name and takes it away again (a temporary file, wherever it is);
//! * the workload makes the name below a directory for such things (`/tmp`, `/run`, `/var/log` …);
//! * the workload makes the name, and in it stands what stands in such a temporary name beside it, or the time of the run;
//! * siblings: three names of one shape, all made by the workload, or names of which each run has its own.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::clock::Clock;
use super::names::{Looks, Part, is_python, parts};
use super::siblings::{Siblings, each_name, hash, names};
use super::{Globs, Pattern, Piece, Variable, below_proc, is_uid, places, split_number};
use crate::fact::Access;
use crate::infer::risk;
use crate::path::AbsPath;
use crate::record::Record;

/// What makes a name.
const MADE: Access = Access::CREATE.union(Access::RENAME_TO).union(Access::LINK);

/// What takes a name away, or away to its final place.
const GONE: Access = Access::REMOVE.union(Access::RENAME_FROM).union(Access::LINK_TARGET);

/// What `Globs::Wide` lets be done to a whole directory.
const LOOKED_AT: Access = Access::READ.union(Access::STAT).union(Access::GETXATTR).union(Access::LIST);

/// From so many siblings on a directory is read as a whole ([`Globs::Wide`]).
const WHOLE: usize = 8;

/// Makes patterns of the paths of one record.
pub(in crate::infer) struct Generaliser<'r> {
    record: &'r Record,
    globs: Globs,
    siblings: Siblings,
    clock: Clock,
    /// The hashes of directories and parts of names for the time being in them.
    passing: HashSet<u64>,
    /// How many files are only looked at, by directory.
    looked_at: HashMap<u64, usize>,
}

impl<'r> Generaliser<'r> {
    /// Gathers what `record` shows of its names.
    pub(in crate::infer) fn new(record: &'r Record, globs: Globs) -> Self {
        let mut this = Self {
            record,
            globs,
            siblings: Siblings::default(),
            clock: Clock::of(record),
            passing: HashSet::new(),
            looked_at: HashMap::new(),
        };
        if globs != Globs::Off {
            this.siblings = Siblings::of(record, |path| this.access(path).intersects(MADE));
            this.passing = this.passing();
        }
        if globs == Globs::Wide {
            for (path, used) in record.subjects.values().flat_map(|subject| &subject.files) {
                if let Some(parent) = path.parent().filter(|_| LOOKED_AT.contains(used.ok) && !used.directory) {
                    *this.looked_at.entry(hash(parent.as_bytes())).or_default() += 1;
                }
            }
        }
        this
    }

    /// The parts of all names that the workload makes and takes away again.
    fn passing(&self) -> HashSet<u64> {
        let mut passing = HashSet::new();
        each_name(self.record, |path, name, parts, _| {
            if path.get(..name.end).is_some_and(|prefix| is_passing(self.access(prefix))) {
                passing.extend(parts.iter().filter_map(|part| Some(place_of(path, name, text_of(path, name, part)?))));
            }
        });
        passing
    }

    /// What is done with the file at `path`, whoever does it.
    fn access(&self, path: &[u8]) -> Access {
        let uses = self.record.subjects.values().filter_map(|subject| subject.files.get(path));
        uses.fold(Access::empty(), |all, used| all | used.ok)
    }

    /// The pattern for `path`. `owned`: whether only its owner needs it.
    pub(in crate::infer) fn pattern(&self, path: &AbsPath, owned: bool) -> Pattern {
        let literal = || Pattern::Literal(path.clone());
        let text = path.as_bytes();
        if self.globs == Globs::Off || risk::is_secret(path) {
            return literal();
        }
        let pieces = match below_proc(text) {
            Some(pieces) => pieces,
            None if places::fixed(text) => return literal(),
            None => self.pieces(text, owned),
        };
        if !pieces.iter().any(|piece| piece.glob().is_some()) {
            return literal();
        }
        let general = Pattern::General(pieces.into());
        if places::reaches_forbidden(&general, path) { literal() } else { general }
    }

    fn pieces(&self, path: &[u8], owned: bool) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let (begun, mut plain) = self.base(path, owned, &mut pieces);
        for name in names(path).filter(|name| name.start >= begun) {
            let Some(text) = path.get(name.clone()) else { continue };
            if let Some(piece) = self.whole(path, &name) {
                push(&mut pieces, path.get(plain..name.start), Some(piece));
                plain = name.end;
                continue;
            }
            if let Some(random) = self.tried_out(path, &name) {
                push(&mut pieces, path.get(plain..random.start), None);
                generalise(&mut pieces, Looks::Random, path.get(random).unwrap_or_default());
                plain = name.end;
                continue;
            }
            for part in parts(text) {
                if !self.proven(path, &name, &part) {
                    continue;
                }
                let at = name.start + part.at.start..name.start + part.at.end;
                push(&mut pieces, path.get(plain..at.start), None);
                generalise(&mut pieces, part.looks, path.get(at.clone()).unwrap_or_default());
                plain = at.end;
            }
        }
        push(&mut pieces, path.get(plain..), None);
        pieces
    }

    /// The variables that a path begins with, and how far they reach.
    fn base(&self, path: &[u8], owned: bool, pieces: &mut Vec<Piece>) -> (usize, usize) {
        let after = |prefix: &[u8]| path.strip_prefix(prefix).filter(|rest| rest.first().is_none_or(|b| *b == b'/'));
        if let Some(rest) = after(b"/run") {
            pieces.push(Piece::Variable(Variable::Run));
            let (uid, below) = rest.strip_prefix(b"/user/").map(split_number).unwrap_or_default();
            if owned && is_uid(uid) && below.first().is_none_or(|byte| *byte == b'/') {
                push(pieces, Some(b"/user/"), Some(Piece::Variable(Variable::Uid)));
                return (path.len() - below.len(), path.len() - below.len());
            }
            return (4, 4);
        }
        let user = names(path).nth(1).filter(|_| after(b"/home").is_some());
        if let Some(user) = user.filter(|_| self.globs == Globs::Wide && owned) {
            pieces.push(Piece::Variable(Variable::Home));
            return (user.end, user.end);
        }
        (0, 0)
    }

    /// What stands for a whole name, in [`Globs::Wide`].
    fn whole(&self, path: &[u8], name: &Range<usize>) -> Option<Piece> {
        if self.globs != Globs::Wide {
            return None;
        }
        let library = path.starts_with(b"/usr/lib/") || path.starts_with(b"/lib/");
        if library && path.get(name.clone())?.ends_with(b"-linux-gnu") {
            return Some(Piece::Variable(Variable::Multiarch));
        }
        let last = name.end == path.len();
        let parent = path.get(..name.start.checked_sub(1)?)?;
        let many = last && self.looked_at.get(&hash(parent)).is_some_and(|&files| files >= WHOLE);
        let whole = many && names(parent).count() > 2 && LOOKED_AT.contains(self.access(path));
        whole.then_some(Piece::Any)
    }

    /// The random part of a name with which a program tries out a directory, by making it and taking it away: Python
    /// any directory for temporary files, with eight letters, digits and underscores (`tempfile`), and `git init` a
    /// repository whose `config` and `HEAD` it writes, for symbolic links, with a `t` and six letters and digits.
    fn tried_out(&self, path: &[u8], name: &Range<usize>) -> Option<Range<usize>> {
        let (prefix, text) = path.get(..name.end).zip(path.get(name.clone()))?;
        let place = path.get(..name.start)?;
        let python = || {
            let temporary = [&b"/tmp/"[..], b"/var/tmp/", b"/dev/shm/"].contains(&place);
            temporary && text.len() == 8 && text.iter().all(|byte| is_python(*byte))
        };
        let git = || {
            let random = text.len() == 7 && text.starts_with(b"t") && text.iter().all(u8::is_ascii_alphanumeric);
            random && self.is_given(place, b"config") && self.is_given(place, b"HEAD")
        };
        let plain = python().then_some(0).or_else(|| git().then_some(1))?;
        is_passing(self.access(prefix)).then_some(name.start + plain..name.end)
    }

    /// Whether `part` of the name at `name` differs from run to run.
    fn proven(&self, path: &[u8], name: &Range<usize>, part: &Part) -> bool {
        let Some((prefix, text)) = path.get(..name.end).zip(text_of(path, name, part)) else {
            return false;
        };
        let settled = places::settled(prefix);
        let siblings = || !settled && self.siblings.prove(path, name);
        let access = self.access(prefix);
        let made = access.intersects(MADE);
        let passing = is_passing(access);
        let volatile = made && places::volatile(prefix);
        let wide = self.globs == Globs::Wide && !settled;
        let told = || {
            let known = self.passing.contains(&place_of(path, name, text)) || self.clock.shows(part.looks, text);
            made && !settled && known
        };
        match part.looks {
            Looks::Fan | Looks::Count => siblings(),
            Looks::Version => wide || siblings(),
            Looks::Number => passing || text.len() >= 3 && (volatile || told()) || siblings(),
            Looks::Uuid | Looks::Hash | Looks::Date | Looks::Random => {
                passing || volatile || made && wide || told() || siblings()
            }
            Looks::Tail => passing,
            Looks::Ending => passing && access.contains(Access::RENAME_FROM) && self.becomes(path, name, part),
        }
    }

    /// Whether the name beside this one that stands before `part`, with or without a point, is given to something.
    fn becomes(&self, path: &[u8], name: &Range<usize>, part: &Part) -> bool {
        let place = path.get(..name.start).unwrap_or_default();
        let before = path.get(name.start..(name.start + part.at.start).saturating_sub(1)).unwrap_or_default();
        let names = [Some(before), before.strip_prefix(b".")];
        names.into_iter().flatten().any(|name| self.is_given(place, name))
    }

    /// Whether a file is renamed to `name` in the directory `place`, whose path ends in a slash.
    fn is_given(&self, place: &[u8], name: &[u8]) -> bool {
        self.access(&[place, name].concat()).contains(Access::RENAME_TO)
    }
}

/// Whether a file is for the time being: made and taken away again.
const fn is_passing(access: Access) -> bool {
    access.intersects(MADE) && access.intersects(GONE)
}

fn text_of<'p>(path: &'p [u8], name: &Range<usize>, part: &Part) -> Option<&'p [u8]> {
    path.get(name.start + part.at.start..name.start + part.at.end)
}

/// The hash of a part of a name with the name's directory.
fn place_of(path: &[u8], name: &Range<usize>, text: &[u8]) -> u64 {
    hash((path.get(..name.start), text))
}

/// The pieces for a part that looks so. Hashes are too long to be written digit by digit, but four that are in a row
/// begin no word.
fn generalise(pieces: &mut Vec<Piece>, looks: Looks, text: &[u8]) {
    match looks {
        Looks::Number | Looks::Count | Looks::Version => pieces.extend([Piece::Digit, Piece::Any]),
        Looks::Hash => pieces.extend([Piece::Hex, Piece::Hex, Piece::Hex, Piece::Hex, Piece::Any]),
        Looks::Uuid => {
            for group in 0..5 {
                push(pieces, (group > 0).then_some(&b"-"[..]), Some(Piece::Hex));
                pieces.push(Piece::Any);
            }
        }
        Looks::Fan => pieces.extend([Piece::Hex, Piece::Hex]),
        Looks::Date => pieces.extend(text.iter().map(|byte| match byte {
            b'0'..=b'9' => Piece::Digit,
            other => Piece::text(&[*other]),
        })),
        Looks::Random | Looks::Tail | Looks::Ending => pieces.extend(std::iter::repeat_n(Piece::One, text.len())),
    }
}

fn push(pieces: &mut Vec<Piece>, text: Option<&[u8]>, piece: Option<Piece>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        pieces.push(Piece::text(text));
    }
    pieces.extend(piece);
}

#[cfg(test)]
mod tests {
    use proptest::strategy::Strategy as _;

    use super::*;
    use crate::event::Outcome;
    use crate::fact::{Fact, FileFact};
    use crate::record::{Moment, RunId};

    /// Patterns of all paths, `PATH ACCESS... [@RUN]` each, or `PATH ACCESS... !` of a file that was not there.
    fn patterns(globs: Globs, uses: &[&str]) -> Vec<String> {
        patterns_at(globs, uses, Vec::new())
    }

    /// The same, of runs between these times.
    fn patterns_at(globs: Globs, uses: &[&str], runs: Vec<(i64, i64)>) -> Vec<String> {
        let mut record = Record::default();
        for line in uses {
            let missing = line.ends_with(" !");
            let outcome = if missing { Outcome::Failed(libc::ENOENT) } else { Outcome::Returned(0) };
            let mut words = line.trim_end_matches(" !").split(' ');
            let path = AbsPath::new(words.next().unwrap().as_bytes()).unwrap();
            let (runs, access): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with('@'));
            let access =
                access.iter().map(|word| Access::named(word).unwrap()).fold(Access::empty(), |all, one| all | one);
            let run = runs.first().map_or(1, |run| run[1..].parse().unwrap());
            let fact = FileFact { path, access, owner: true, directory: false };
            let moment = Moment { run: RunId(run), at_ms: 1, by: None };
            record.absorb(&AbsPath::root(), Fact::File(fact), outcome, moment);
        }
        let mut generaliser = Generaliser::new(&record, globs);
        generaliser.clock = Clock { runs };
        let files = record.subjects.values().flat_map(|subject| subject.files.keys());
        files.map(|path| text(&generaliser.pattern(path, true))).collect()
    }

    fn text(pattern: &Pattern) -> String {
        match pattern {
            Pattern::Literal(path) => path.to_string(),
            Pattern::General(pieces) => pieces.iter().fold(String::new(), |text, piece| {
                text + &match piece {
                    Piece::Text(bytes) => String::from_utf8(bytes.to_vec()).unwrap(),
                    special => special.glob().unwrap().to_owned(),
                }
            }),
        }
    }

    const HEX: &str = "[0-9a-fA-F]";
    const HASH: &str = "[0-9a-fA-F][0-9a-fA-F][0-9a-fA-F][0-9a-fA-F]*";
    const DATE: &str = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]";

    #[test]
    fn temporary_files_are_known_by_their_life() {
        for (used, expected) in [
            ("/srv/dump/temp-412.rdb create write rename-from", "/srv/dump/temp-[0-9]*.rdb"),
            ("/srv/dump/temp-412.rdb read", "/srv/dump/temp-412.rdb"),
            ("/srv/dump/temp-412.rdb create", "/srv/dump/temp-412.rdb"),
            ("/srv/x/sedA1b2C3 create rename-from", "/srv/x/sed??????"),
            ("/srv/x/index.lock create rename-from", "/srv/x/index.lock"),
            ("/tmp/sortA1b2C3 create", "/tmp/sort??????"),
            ("/tmp/sortA1b2C3 read", "/tmp/sortA1b2C3"),
            ("/srv/x/cache.bin.8_9tis7m create rename-from", "/srv/x/cache.bin.????????"),
            ("/srv/x/cache.bin.8_9tis7m create", "/srv/x/cache.bin.8_9tis7m"),
            ("/etc/sedA1b2C3 create rename-from", "/etc/sed??????"),
            ("/etc/tmp.Zy9Xw8Vu7T create", "/etc/tmp.Zy9Xw8Vu7T"),
            ("/tmp/12 create", "/tmp/12"),
            ("/tmp/ynnk_0_k create remove", "/tmp/????????"),
            ("/tmp/lockfile create", "/tmp/lockfile"),
            ("/srv/temp-rewriteaof-12.aof create rename-from", "/srv/temp-rewriteaof-[0-9]*.aof"),
            ("/tmp/1234 create", "/tmp/[0-9]*"),
            ("/proc/12/task/13/stat read", "@{PROC}/@{pid}/task/@{tid}/stat"),
            ("/proc/1/stat read", "/proc/1/stat"),
            ("/proc/12a/stat read", "/proc/12a/stat"),
            ("/run/app.pid create", "@{run}/app.pid"),
            ("/run/user/1000/app/x read", "@{run}/user/@{uid}/app/x"),
            ("/runs read", "/runs"),
        ] {
            assert_eq!(patterns(Globs::Safe, &[used]), [expected], "{used}");
        }
        // A word that is no ending: the file it is renamed to is not named before it.
        let words = ["/srv/temp-append.aof.manifest create rename-from", "/srv/append.aof.manifest rename-to"];
        assert_eq!(patterns(Globs::Safe, &words), ["/srv/append.aof.manifest", "/srv/temp-append.aof.manifest"]);
        let made = ["/tmp/tmp.Zy9Xw8Vu7T create remove", "/tmp/tmp.Zy9Xw8Vu7T/a/b create"];
        assert_eq!(patterns(Globs::Safe, &made), ["/tmp/tmp.??????????", "/tmp/tmp.??????????/a/b"]);
    }

    #[test]
    fn siblings_prove() {
        let three = |access: &str| [1, 2, 3].map(|number| format!("/srv/tenant-{number} {access}"));
        let uses = |lines: &[String]| patterns(Globs::Safe, &lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(uses(&three("create"))[0], "/srv/tenant-[0-9]*");
        assert_eq!(uses(&three("read"))[0], "/srv/tenant-1", "tenants are not each other's");
        assert_eq!(uses(&three("create")[..2])[0], "/srv/tenant-1", "two are too few");
        let apart = ["/srv/day-2026-01-02 read @1", "/srv/day-2026-01-03 read @2"];
        assert_eq!(patterns(Globs::Safe, &apart)[0], format!("/srv/day-{DATE}"));
        let both = ["/srv/day-2026-01-02 read @1", "/srv/day-2026-01-03 read @1", "/srv/day-2026-01-03 read @2"];
        assert_eq!(patterns(Globs::Safe, &both)[0], "/srv/day-2026-01-02");
        let releases = ["/usr/lib/libssl.so.1.1 read @1", "/usr/lib/libssl.so.3 read @2"];
        assert_eq!(patterns(Globs::Safe, &releases), ["/usr/lib/libssl.so.[0-9]*"; 2]);
    }

    #[test]
    fn what_stands_in_a_temporary_name_stands_for_others_beside_it() {
        let hash = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
        let pack = format!("/srv/pack/pack-{hash}.pack");
        let uses = |place: &str| {
            let temporary = format!("/srv/{place}/.tmp-12-pack-{hash}.pack create rename-from");
            patterns(Globs::Safe, &[&temporary, &format!("{pack} rename-to")])
        };
        assert_eq!(
            uses("pack"),
            [format!("/srv/pack/.tmp-[0-9]*-pack-{HASH}.pack"), format!("/srv/pack/pack-{HASH}.pack")]
        );
        assert_eq!(uses("else"), [format!("/srv/else/.tmp-[0-9]*-pack-{HASH}.pack"), pack.clone()]);
        assert_eq!(patterns(Globs::Safe, &[&format!("{pack} rename-to")]), [pack]);
    }

    #[test]
    fn a_word_is_random_where_the_name_before_it_is_given() {
        let uses = |last: &str| patterns(Globs::Safe, &["/srv/.refs.iuixbm create rename-from", last]);
        assert_eq!(uses("/srv/refs rename-to"), ["/srv/.refs.??????", "/srv/refs"]);
        assert_eq!(uses("/srv/refs create"), ["/srv/.refs.iuixbm", "/srv/refs"]);
    }

    #[test]
    fn a_word_that_programs_choose_is_not_random() {
        for word in ["modified", "Original", "backup", "incomplete"] {
            let name = format!("/srv/users.{word}");
            let used = [&format!("{name} create write rename-from"), "/srv/users rename-to"];
            assert!(patterns(Globs::Safe, &used).contains(&name), "{name}");
        }
    }

    proptest::proptest! {
        /// Whatever letters `mkstemp(3)`, Python's `tempfile` and `mktemp(1)` draw, the next run may draw others.
        /// Digits alone are a number.
        #[test]
        fn every_random_ending_of_a_name_for_the_time_being_is_general(
            ending in "[a-z0-9_]{8}|[a-zA-Z0-9]{6}|[a-zA-Z0-9]{10}".prop_filter("a number", |text| {
                !text.bytes().all(|byte| byte.is_ascii_digit())
            }),
            start in proptest::sample::select(vec!["refs", ".refs", "pkg-cache.bin"]),
            mark in proptest::sample::select(vec![".", "-", "_"]),
        ) {
            let temporary = format!("/srv/x/{start}{mark}{ending} create write rename-from");
            let end = format!("/srv/x/{} rename-to", start.trim_start_matches('.'));
            let expected = format!("/srv/x/{start}{mark}{}", "?".repeat(ending.len()));
            proptest::prop_assert!(patterns(Globs::Safe, &[&temporary, &end]).contains(&expected));
        }

        #[test]
        fn every_name_with_which_git_tries_out_a_repository_is_general(random in "[a-zA-Z0-9]{6}") {
            let tried = format!("/srv/x/.git/t{random} create remove");
            let (config, head) = ("/srv/x/.git/config rename-to", "/srv/x/.git/HEAD rename-to");
            let general = "/srv/x/.git/t??????".to_owned();
            proptest::prop_assert!(patterns(Globs::Safe, &[&tried, config, head]).contains(&general));
        }

        #[test]
        fn every_random_name_behind_a_temporary_beginning_is_general(
            (start, ending) in proptest::prop_oneof![
                (proptest::strategy::Just("tmp"), "[a-z0-9_]{8}"),
                (proptest::strategy::Just("tmp."), "[a-zA-Z0-9]{10}"),
                (proptest::sample::select(vec!["sed", "sort", "cc", "sh-thd.", "tmp_obj_"]), "[a-zA-Z0-9]{6}"),
            ].prop_filter("a number", |(_, text)| !text.bytes().all(|byte| byte.is_ascii_digit())),
        ) {
            let temporary = format!("/srv/x/{start}{ending} create write remove");
            let expected = format!("/srv/x/{start}{}", "?".repeat(ending.len()));
            proptest::prop_assert_eq!(patterns(Globs::Safe, &[&temporary]), [expected]);
        }
    }

    #[test]
    fn one_sibling_that_was_found_is_enough_to_doubt() {
        let objects = ["1", "2", "3"].map(|name| format!("/srv/object-{name} create"));
        let mut uses = objects.iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(patterns(Globs::Safe, &uses)[0], "/srv/object-[0-9]*");
        uses.push("/srv/object-5 read !");
        assert_eq!(patterns(Globs::Safe, &uses)[0], "/srv/object-[0-9]*", "a lookup in vain");
        uses.push("/srv/object-4 read");
        assert_eq!(patterns(Globs::Safe, &uses)[0], "/srv/object-1");
    }

    #[test]
    fn names_that_tell_the_time_of_the_run_will_tell_another_time() {
        let runs = vec![(1_795_478_407_000, 1_795_478_409_000)];
        for (used, expected) in [
            ("/srv/log.2026-11-24 rename-to", format!("/srv/log.{DATE}")),
            ("/srv/log.2026-11-24 read", "/srv/log.2026-11-24".to_owned()),
            ("/srv/log.2025-11-24 rename-to", "/srv/log.2025-11-24".to_owned()),
            ("/srv/state-1795478408 create", "/srv/state-[0-9]*".to_owned()),
            ("/etc/state-1795478408 create", "/etc/state-1795478408".to_owned()),
        ] {
            assert_eq!(patterns_at(Globs::Safe, &[used], runs.clone()), [expected], "{used}");
        }
    }

    #[test]
    fn files_named_by_hashes_have_siblings_across_their_fan() {
        let hash = "39a3ee5e6b4b0d3255bfef95601890afd80709";
        let objects = ["0a", "de", "f1"].map(|fan| format!("/srv/o/{fan}/{hash} create"));
        let uses =
            objects.iter().map(String::as_str).chain(["/srv/o/de create", "/srv/l/de create"]).collect::<Vec<_>>();
        let expected = format!("/srv/o/{HEX}{HEX}/{HASH}");
        let fan = format!("/srv/o/{HEX}{HEX}");
        assert_eq!(patterns(Globs::Safe, &uses), ["/srv/l/de", &expected, &fan, &expected, &expected]);
    }

    #[test]
    fn secrets_are_never_widened() {
        for used in [
            "/root/tmp.Zy9Xw8Vu7T create remove",
            "/home/u/.ssh/tmpA1b2C3 create remove",
            "/etc/aB1c2D create remove",
            "/etc/ssh/sedA1b2C3 create remove",
            "/proc/77/mem read",
            "/run/docker.sock connect",
            "/tmp/tmpA1b2C3.key create remove",
        ] {
            for globs in [Globs::Safe, Globs::Wide] {
                assert_eq!(patterns(globs, &[used]), [used.split(' ').next().unwrap()]);
            }
        }
    }

    #[test]
    fn wide_reaches_other_hosts() {
        for (used, expected) in [
            ("/home/u/.profile read", "@{HOME}/.profile"),
            ("/usr/lib/x86_64-linux-gnu/libz.so.1.2.13 read", "/usr/lib/@{multiarch}/libz.so.[0-9]*"),
            ("/srv/made-2026-01-02 create", &format!("/srv/made-{DATE}")),
        ] {
            assert_eq!(patterns(Globs::Wide, &[used]), [expected]);
            assert_eq!(patterns(Globs::Safe, &[used]), [used.split(' ').next().unwrap()]);
        }
        let many = (0..8).map(|at| format!("/srv/www/site/{} read", char::from(b'a' + at))).collect::<Vec<_>>();
        let many = patterns(Globs::Wide, &many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(many, ["/srv/www/site/*"; 8]);
    }

    #[test]
    fn nothing_is_widened_when_off() {
        let path = "/tmp/sortA1b2C3";
        assert_eq!(
            patterns(Globs::Off, &[&format!("{path} create remove"), "/proc/12/stat read"]),
            ["/proc/12/stat", path]
        );
    }
}
