//! What a record proves about names: which parts differ from run to run.
//!
//! Proof is one of these:
//! * the workload itself makes the name and takes it away again (a temporary file, wherever it is);
//! * the workload makes the name below a directory for such things (`/tmp`, `/run`, `/var/log` …);
//! * siblings: three names of one shape, all made by the workload, or names of which each run has its own.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

use smallvec::SmallVec;

use super::names::{Looks, Part, Parts, parts};
use super::{Globs, Pattern, Piece, Variable, below_proc, is_uid, split_number};
use crate::fact::Access;
use crate::infer::risk;
use crate::path::AbsPath;
use crate::record::{Record, RunId};

/// What makes a name.
const MADE: Access = Access::CREATE.union(Access::RENAME_TO).union(Access::LINK);

/// What takes a name away, or away to its final place.
const GONE: Access = Access::REMOVE.union(Access::RENAME_FROM).union(Access::LINK_TARGET);

/// What `Globs::Wide` lets be done to a whole directory.
const LOOKED_AT: Access = Access::READ.union(Access::STAT).union(Access::GETXATTR).union(Access::LIST);

/// Below these, names that the workload makes are taken to be for the time being.
const VOLATILE: &[&str] =
    &["/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run", "/var/log", "/var/cache", "/var/spool", "/var/lock"];

/// So are they below directories of these names.
const VOLATILE_NAMES: &[&[u8]] = &[b"tmp", b"temp", b".cache", b"cache"];

/// Here numbers name different things, or nothing may be widened at all.
const FIXED: &[&str] = &["/proc", "/sys", "/dev", "/root", "/etc", "/boot"];

/// What a pattern may never allow, whatever it was made from: an example of each kind.
const NEVER: &[&str] = &[
    "/dev/mem",
    "/dev/kmem",
    "/dev/sda",
    "/etc/gshadow",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/sudoers",
    "/etc/ssh/ssh_host_ed25519_key",
    "/etc/ssl/private/server.key",
    "/home/user/.aws/credentials",
    "/home/user/.gnupg/secring.gpg",
    "/home/user/.ssh/authorized_keys",
    "/home/user/.ssh/id_ed25519",
    "/proc/4242/environ",
    "/proc/4242/mem",
    "/proc/kcore",
    "/proc/sysrq-trigger",
    "/root/.ssh/id_rsa",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/secrets/token",
];

/// From so many siblings on a directory is read as a whole ([`Globs::Wide`]).
const WHOLE: usize = 8;

/// How many siblings of one shape are looked at.
const SAMPLES: usize = 4;

/// Names of one shape in one directory.
#[derive(Default)]
struct Siblings {
    /// The first ones, by hash, with their runs.
    names: SmallVec<[(u64, SmallVec<[RunId; 2]>); SAMPLES]>,
    /// Whether the workload made all of these.
    made: bool,
}

/// Makes patterns of the paths of one record.
pub(in crate::infer) struct Generaliser<'r> {
    record: &'r Record,
    globs: Globs,
    siblings: HashMap<u64, Siblings>,
    /// How many files are only looked at, by directory.
    looked_at: HashMap<u64, usize>,
    never: Vec<AbsPath>,
}

impl<'r> Generaliser<'r> {
    /// Gathers what `record` shows of its names.
    pub(in crate::infer) fn new(record: &'r Record, globs: Globs) -> Self {
        let never = NEVER.iter().filter_map(|path| AbsPath::new(path.as_bytes()).ok()).collect();
        let mut this = Self { record, globs, siblings: HashMap::new(), looked_at: HashMap::new(), never };
        if globs != Globs::Off {
            this.siblings = this.gather();
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

    /// Only shapes that two names share are kept: there may be a million others.
    fn gather(&self) -> HashMap<u64, Siblings> {
        let mut first = HashMap::<u64, u64>::new();
        let mut shared = HashSet::new();
        self.each_shape(|shape, name, _, _| {
            if *first.entry(shape).or_insert(name) != name {
                shared.insert(shape);
            }
        });
        drop(first);
        let mut siblings = HashMap::<u64, Siblings>::new();
        self.each_shape(|shape, name, prefix, runs| {
            if !shared.contains(&shape) {
                return;
            }
            let known = siblings.entry(shape).or_insert_with(|| Siblings { made: true, ..Siblings::default() });
            if let Some((_, seen)) = known.names.iter_mut().find(|(hash, _)| *hash == name) {
                seen.extend(runs);
            } else if known.names.len() < SAMPLES {
                known.names.push((name, runs.collect()));
                known.made &= self.access(prefix).intersects(MADE);
            }
        });
        siblings
    }

    /// Every name with volatile parts: the hashes of its shape and of itself, its path, the runs of the file.
    fn each_shape<'s>(&'s self, mut tell: impl FnMut(u64, u64, &'s [u8], &mut dyn Iterator<Item = RunId>)) {
        for subject in self.record.subjects.values() {
            for (path, used) in &subject.files {
                let path = path.as_bytes();
                for name in names(path) {
                    let (Some(prefix), Some(text)) = (path.get(..name.end), path.get(name.clone())) else {
                        continue;
                    };
                    let parts = parts(text);
                    // Folders prove nothing of themselves: `de` may be a language.
                    if !parts.is_empty() && !parts.iter().any(|part| part.looks == Looks::Fan) {
                        let shape = shape(path, &name, &parts);
                        tell(shape, hash(prefix), prefix, &mut used.seen.runs.iter());
                    }
                }
            }
        }
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
            None if below(text, FIXED) && !below(text, &["/dev/shm"]) => return literal(),
            None => self.pieces(text, owned),
        };
        if !pieces.iter().any(|piece| piece.glob().is_some()) {
            return literal();
        }
        let general = Pattern::General(pieces.into());
        if self.never.iter().any(|never| general.matches(never)) { literal() } else { general }
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
            if self.nameless(path, &name) {
                push(&mut pieces, path.get(plain..name.start), None);
                generalise(&mut pieces, Looks::Random, text);
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

    /// Whether a name is but random: Python tries out a directory for temporary files by making one of eight letters,
    /// digits and underscores in it.
    fn nameless(&self, path: &[u8], name: &Range<usize>) -> bool {
        let Some((prefix, text)) = path.get(..name.end).zip(path.get(name.clone())) else {
            return false;
        };
        let python = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_';
        let parent = prefix.get(..name.start.saturating_sub(1)).unwrap_or_default();
        let temporary = [&b"/tmp"[..], b"/var/tmp", b"/dev/shm"].contains(&parent);
        let access = self.access(prefix);
        let transient = access.intersects(MADE) && access.intersects(GONE);
        temporary && text.len() == 8 && text.iter().all(python) && transient
    }

    /// Whether `part` of the name at `name` differs from run to run.
    fn proven(&self, path: &[u8], name: &Range<usize>, part: &Part) -> bool {
        let Some(prefix) = path.get(..name.end) else {
            return false;
        };
        let siblings = || {
            let parts = path.get(name.clone()).map(parts).unwrap_or_default();
            self.siblings.get(&shape(path, name, &parts)).is_some_and(Siblings::prove)
        };
        let access = self.access(prefix);
        let made = access.intersects(MADE);
        let transient = made && access.intersects(GONE);
        let wide = self.globs == Globs::Wide;
        match part.looks {
            Looks::Fan | Looks::Count => siblings(),
            Looks::Version => wide || siblings(),
            Looks::Number => transient || made && part.at.len() >= 3 && volatile(prefix) || siblings(),
            Looks::Uuid | Looks::Hash | Looks::Date | Looks::Random => {
                transient || made && (wide || volatile(prefix)) || siblings()
            }
        }
    }
}

impl Siblings {
    fn prove(&self) -> bool {
        let apart = |one: &[RunId], other: &[RunId]| one.iter().all(|run| !other.contains(run));
        let pairs = || {
            self.names
                .iter()
                .enumerate()
                .flat_map(|(at, one)| self.names.iter().skip(at + 1).map(move |other| (one, other)))
        };
        self.made && self.names.len() >= 3
            || self.names.len() >= 2 && pairs().all(|(one, other)| apart(&one.1, &other.1))
    }
}

/// The pieces for a part that looks so. Hashes are too long to be written digit by digit.
fn generalise(pieces: &mut Vec<Piece>, looks: Looks, text: &[u8]) {
    match looks {
        Looks::Number | Looks::Count | Looks::Version => pieces.extend([Piece::Digit, Piece::Any]),
        Looks::Hash => pieces.extend([Piece::Hex, Piece::Any]),
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
        Looks::Random => pieces.extend(std::iter::repeat_n(Piece::One, text.len())),
    }
}

fn push(pieces: &mut Vec<Piece>, text: Option<&[u8]>, piece: Option<Piece>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        pieces.push(Piece::text(text));
    }
    pieces.extend(piece);
}

/// Where the names of a path stand.
fn names(path: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    path.split(|byte| *byte == b'/').filter_map(move |name| {
        let range = at..at + name.len();
        at = range.end + 1;
        (!range.is_empty()).then_some(range)
    })
}

/// The hash of a directory and of what is left of a name in it without its volatile parts. Files named by hashes belong
/// to the directory above their fan.
fn shape(path: &[u8], name: &Range<usize>, parts: &Parts) -> u64 {
    let fan_of = |end: usize| {
        let fan = path.get(end.checked_sub(3)?..end)?;
        let digits = fan.strip_prefix(b"/")?;
        digits.iter().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)).then_some(end - 3)
    };
    let parent = name.start.saturating_sub(1);
    let whole_hash = matches!(&parts[..], [part] if part.looks == Looks::Hash && part.at.len() == name.len());
    let fanned = if whole_hash { fan_of(parent) } else { None };
    let fan = matches!(&parts[..], [part] if part.looks == Looks::Fan);
    let mut hasher = DefaultHasher::new();
    path.get(..fanned.unwrap_or(parent)).hash(&mut hasher);
    if fan || fanned.is_some() {
        Looks::Fan.hash(&mut hasher);
        return hasher.finish();
    }
    let mut plain = name.start;
    for part in parts {
        path.get(plain..name.start + part.at.start).hash(&mut hasher);
        part.looks.hash(&mut hasher);
        plain = name.start + part.at.end;
    }
    path.get(plain..name.end).hash(&mut hasher);
    hasher.finish()
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn below(path: &[u8], places: &[&str]) -> bool {
    let rest = |place: &&str| path.strip_prefix(place.as_bytes());
    places.iter().filter_map(rest).any(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

fn volatile(path: &[u8]) -> bool {
    let mut above = path.split(|byte| *byte == b'/');
    above.next_back();
    below(path, VOLATILE) || above.any(|name| VOLATILE_NAMES.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::fact::{Fact, FileFact};
    use crate::record::Moment;

    /// Patterns of all paths, `PATH ACCESS... [@RUN]` each.
    fn patterns(globs: Globs, uses: &[&str]) -> Vec<String> {
        let mut record = Record::default();
        for line in uses {
            let mut words = line.split(' ');
            let path = AbsPath::new(words.next().unwrap().as_bytes()).unwrap();
            let (runs, access): (Vec<_>, Vec<_>) = words.partition(|word| word.starts_with('@'));
            let access =
                access.iter().map(|word| Access::named(word).unwrap()).fold(Access::empty(), |all, one| all | one);
            let run = runs.first().map_or(1, |run| run[1..].parse().unwrap());
            let fact = FileFact { path, access, owner: true, directory: false };
            let moment = Moment { run: RunId(run), at_ms: 1, by: None };
            record.absorb(&AbsPath::root(), Fact::File(fact), Outcome::Returned(0), moment);
        }
        let generaliser = Generaliser::new(&record, globs);
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
    fn files_named_by_hashes_have_siblings_across_their_fan() {
        let hash = "39a3ee5e6b4b0d3255bfef95601890afd80709";
        let objects = ["0a", "de", "f1"].map(|fan| format!("/srv/o/{fan}/{hash} create"));
        let uses =
            objects.iter().map(String::as_str).chain(["/srv/o/de create", "/srv/l/de create"]).collect::<Vec<_>>();
        let expected = format!("/srv/o/{HEX}{HEX}/{HEX}*");
        let fan = format!("/srv/o/{HEX}{HEX}");
        assert_eq!(patterns(Globs::Safe, &uses), ["/srv/l/de", &expected, &fan, &expected, &expected]);
    }

    #[test]
    fn secrets_are_never_widened() {
        for used in [
            "/root/tmp.Zy9Xw8Vu7T create remove",
            "/home/u/.ssh/tmpA1b2C3 create remove",
            "/etc/sedA1b2C3 create remove",
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
