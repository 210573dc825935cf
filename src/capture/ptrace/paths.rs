//! Paths of stopped tasks, followed as seldom as is sound.
//!
//! A workload names the same files again and again. What [`walk`] found for a name is found again by one to three
//! questions to the kernel: whether the task still has the learner's own root, whether its directory still is the one
//! that it was, and whether the name still leads to the same inode. A directory that moved aside for a link to it keeps
//! its files' inodes: so each name is followed anew after [`FRESH`].
//!
//! What changes a task's root, or moves a file or a directory, is a call that stops, before it is made and at its end. So
//! between two such stops, while calls only ask, what was found of roots and directories is kept, and of a directory only
//! its identity is asked for. A name may be changed by others than the workload: what it leads to is asked for again after
//! [`BRIEF`].

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::path::Arg;

use super::view::{inode, statx_inode};
use super::walk;
use crate::event::{Base, Inode, Resolved, Searched, Tid};
use crate::path::AbsPath;

/// How long a name is taken for what it was.
pub const FRESH: Duration = Duration::from_secs(1);
/// How long a name that was just looked at leads to the same file, while no call of the workload may have changed it.
const BRIEF: Duration = Duration::from_millis(1);
/// How many names are remembered; some megabytes.
const NAMES_MAX: usize = 8192;

/// What is known of the names that tasks use.
#[derive(Debug)]
pub struct Paths {
    root: Option<Root>,
    names: RefCell<HashMap<Name, Known>>,
    between_stops: RefCell<BetweenStops>,
}

/// What holds until the next stop at a call, and no longer than [`FRESH`].
#[derive(Debug, Default)]
struct BetweenStops {
    /// How many such stops there were.
    stops: u64,
    /// Tasks that have the learner's own root.
    at_home: HashMap<Tid, Instant>,
    /// Where tasks' directories are.
    directories: HashMap<(Tid, Base), Directory>,
}

impl BetweenStops {
    fn forget(&mut self) {
        self.stops += 1;
        self.at_home.clear();
        self.directories.clear();
    }
}

/// A directory of a task, by its mount and inode.
#[derive(Debug)]
struct Directory {
    root: Root,
    path: AbsPath,
    /// Whether the learner gets there by its path: no other mount hides it, and the task has the learner's root.
    open: bool,
    since: Instant,
}

/// A root or another directory of a certain mount: its id (`STATX_MNT_ID` of `statx(2)`) and the inode number. Mounts belong to one mount
/// namespace each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Root(u64, u64);

/// A path that a task named, as what a walk finds hangs on it.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Name {
    /// From the learner's root on.
    text: Vec<u8>,
    /// How much of that is the directory where the walk starts, in bytes: nothing above it is searched.
    start: usize,
    /// Whether a last symbolic link is followed.
    follow: bool,
}

#[derive(Debug)]
struct Known {
    /// `None` where already the directory is missing.
    found: Option<Resolved>,
    since: Instant,
    /// When it was last seen to hold, and after how many stops.
    seen: Cell<(u64, Instant)>,
}

impl Known {
    /// Whether it may be taken to hold without a look: what is missing may appear, which changes how a call ends.
    fn holds_still(&self, stops: u64, now: Instant) -> bool {
        let (after, seen) = self.seen.get();
        let present = self.found.as_ref().is_some_and(|found| found.inode.is_some());
        present && after == stops && now.duration_since(seen) < BRIEF
    }
}

impl Default for Paths {
    /// Nothing is known yet but the learner's own root.
    fn default() -> Self {
        let root = identity("/proc/self/root").ok().map(|(root, _)| root);
        Self { root, names: RefCell::default(), between_stops: RefCell::default() }
    }
}

impl Paths {
    /// A task stopped before a call or behind one, which may have changed anything.
    pub fn changed(&self) {
        self.between_stops.borrow_mut().forget();
    }

    /// `parent` made the task `child`, which begins in the same root; in a mount namespace of its own, that is a copy until
    /// a call changes it, which stops.
    pub fn born(&self, parent: Tid, child: Tid) {
        if let Some(since) = self.at_home_since(parent) {
            self.between_stops.borrow_mut().at_home.insert(child, since);
        }
    }

    /// A task ended: another one may get its id.
    pub fn gone(&self, tid: Tid) {
        let mut known = self.between_stops.borrow_mut();
        known.at_home.remove(&tid);
        known.directories.retain(|(of, _), _| *of != tid);
    }

    /// Follows `path` for `tid`; see [`crate::event::TaskView::resolve`].
    pub fn resolve(&self, tid: Tid, base: Base, path: &[u8], follow: bool) -> io::Result<Resolved> {
        let Some(start) = self.start(tid, base, path) else { return walk::resolve(tid, base, path, follow) };
        let name = start.name(path, follow || path.ends_with(b"/"));
        if let Some(found) = self.just_seen(&name, &start) {
            return Ok(found);
        }
        if let Some(found) = start.entry(path, follow) {
            if matches!(start, Start::Directory { open: true, .. }) && found.inode.is_some() {
                self.remember(name, Some(found.clone()));
            }
            return Ok(found);
        }
        if !self.is_at_home(tid) {
            return walk::resolve(tid, base, path, follow);
        }
        if let Some(found) = self.known(&name, &start.place(path)) {
            return found;
        }
        let walk::Walked { found, personal } = walk::follow(tid, base, path, follow);
        match &found {
            Ok(found) if !personal => self.remember(name, Some(found.clone())),
            Err(error) if !personal && error.raw_os_error() == Some(libc::ENOENT) => self.remember(name, None),
            _ => {}
        }
        found
    }

    /// Whether a task has the learner's own root, and so is in its mount namespace.
    pub fn is_at_home(&self, tid: Tid) -> bool {
        self.at_home_since(tid).is_some()
    }

    /// When it was last seen that it has.
    fn at_home_since(&self, tid: Tid) -> Option<Instant> {
        let mut known = self.between_stops.borrow_mut();
        if let Some(&since) = known.at_home.get(&tid).filter(|since| since.elapsed() < FRESH) {
            return Some(since);
        }
        let now = Instant::now();
        let (root, _) = identity(format!("/proc/{}/root", tid.0)).ok()?;
        (self.root == Some(root)).then(|| {
            known.at_home.insert(tid, now);
            now
        })
    }

    /// Where `path` starts; `None` where only a walk can tell: no name, or a directory without one.
    fn start(&self, tid: Tid, base: Base, path: &[u8]) -> Option<Start> {
        if path.is_empty() || path.len() >= walk::PATH_MAX {
            return None;
        }
        let link = match base {
            _ if path.starts_with(b"/") => return Some(Start::Root),
            Base::Cwd => format!("/proc/{}/cwd", tid.0),
            Base::Fd(fd) => format!("/proc/{}/fd/{fd}", tid.0),
        };
        let (root, inode) = identity(link.as_str()).ok()?;
        let known = self.between_stops.borrow();
        let directory = known.directories.get(&(tid, base));
        if let Some(directory) = directory.filter(|one| one.root == root && one.since.elapsed() < FRESH) {
            let (path, open) = (directory.path.clone(), directory.open);
            return Some(Start::Directory { link, path, open, inode });
        }
        drop(known);
        let since = Instant::now();
        let text = fs::read_link(&link).ok()?.into_os_string().into_vec();
        let removed = text.ends_with(b" (deleted)");
        let path = AbsPath::new(&text).ok().filter(|_| !removed)?;
        let same = || identity(path.as_bytes()).is_ok_and(|(found, _)| found == root);
        let open = self.is_at_home(tid) && same();
        let directory = Directory { root, path: path.clone(), open, since };
        self.between_stops.borrow_mut().directories.insert((tid, base), directory);
        Some(Start::Directory { link, path, open, inode })
    }

    /// The entry of a directory of this `name`, when it was looked at just before.
    fn just_seen(&self, name: &Name, start: &Start) -> Option<Resolved> {
        let Start::Directory { open: true, inode, .. } = start else { return None };
        let names = self.names.borrow();
        let (now, stops) = (Instant::now(), self.between_stops.borrow().stops);
        let found = names.get(name).filter(|known| known.holds_still(stops, now))?.found.as_ref();
        let is_entry = |found: &&Resolved| matches!(found.searched.as_slice(), [only] if only.inode == *inode);
        found.filter(is_entry).cloned()
    }

    /// What is known of `name`, when it still holds at `place`.
    fn known(&self, name: &Name, place: &Path) -> Option<io::Result<Resolved>> {
        let names = self.names.borrow();
        let (now, stops) = (Instant::now(), self.between_stops.borrow().stops);
        let known = names.get(name).filter(|known| now.duration_since(known.since) < FRESH)?;
        if !known.holds_still(stops, now) {
            let holds = match &known.found {
                Some(found) => present(place, name.follow).ok()? == found.inode,
                None => present(place.parent()?, true).ok()?.is_none(),
            };
            if !holds {
                return None;
            }
            known.seen.set((stops, now));
        }
        Some(known.found.clone().ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT)))
    }

    fn remember(&self, name: Name, found: Option<Resolved>) {
        let mut names = self.names.borrow_mut();
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        let (now, stops) = (Instant::now(), self.between_stops.borrow().stops);
        names.insert(name, Known { found, since: now, seen: Cell::new((stops, now)) });
    }
}

/// Where a path starts, as the learner gets there.
enum Start {
    /// At the root that both share.
    Root,
    /// In a directory of the task.
    Directory {
        /// The link in `/proc/TID`.
        link: String,
        /// What the kernel calls it.
        path: AbsPath,
        /// Whether the learner gets there by that.
        open: bool,
        /// Itself.
        inode: Inode,
    },
}

impl Start {
    /// A plain entry of the directory: no link has to be followed, so nothing else matters.
    fn entry(&self, name: &[u8], follow: bool) -> Option<Resolved> {
        let Self::Directory { path, open, inode: directory, .. } = self else { return None };
        if name.contains(&b'/') || matches!(name, b"." | b"..") {
            return None;
        }
        let whole = path.join(name).ok()?;
        // The shorter way, but by the directory itself to what is not there: it may just have moved.
        let shorter = || present(Path::new(OsStr::from_bytes(whole.as_bytes())), false).ok().flatten();
        let entry = match open.then(shorter).flatten() {
            Some(entry) => Some(entry),
            None => present(&self.place(name), false).ok()?,
        };
        let is_link = entry.is_some_and(|entry| entry.kind() == libc::S_IFLNK);
        if !directory.is_dir() || follow && is_link {
            return None;
        }
        let searched = vec![Searched { path: path.clone(), inode: *directory }];
        Some(Resolved { path: whole, inode: entry, searched })
    }

    fn name(&self, path: &[u8], follow: bool) -> Name {
        match self {
            Self::Root => Name { text: path.to_vec(), start: 0, follow },
            Self::Directory { path: start, .. } => {
                let start = start.as_bytes();
                Name { text: [start, b"/", path].concat(), start: start.len(), follow }
            }
        }
    }

    /// The path by which the learner finds the same file as the task, while both share the root.
    fn place(&self, path: &[u8]) -> PathBuf {
        match self {
            Self::Root => PathBuf::from(OsStr::from_bytes(path)),
            Self::Directory { link, .. } => Path::new(link).join(OsStr::from_bytes(path)),
        }
    }
}

/// The directory that a path leads to, through a last link as well.
fn identity(path: impl Arg) -> io::Result<(Root, Inode)> {
    let found = statx(CWD, path, AtFlags::empty(), StatxFlags::BASIC_STATS | StatxFlags::MNT_ID)?;
    if !StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID) {
        return Err(io::ErrorKind::Unsupported.into());
    }
    Ok((Root(found.stx_mnt_id, found.stx_ino), statx_inode(&found)))
}

/// The inode at `place`, or that there is none.
fn present(place: &Path, follow: bool) -> io::Result<Option<Inode>> {
    let found = if follow { fs::metadata(place) } else { fs::symlink_metadata(place) };
    match found {
        Ok(found) => Ok(Some(inode(&found))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn own() -> Tid {
        Tid(nix::unistd::gettid().as_raw())
    }

    fn at(directory: &fs::File) -> Base {
        Base::Fd(std::os::fd::AsRawFd::as_raw_fd(directory))
    }

    fn bytes(path: &Path) -> &[u8] {
        path.as_os_str().as_bytes()
    }

    /// A folder with the file `d/f`, and its `d`; it is there as long as its holder.
    fn folder() -> (tempfile::TempDir, PathBuf, fs::File) {
        let holder = tempfile::tempdir().unwrap();
        let top = holder.path().canonicalize().unwrap();
        fs::create_dir(top.join("d")).unwrap();
        fs::write(top.join("d/f"), "").unwrap();
        let directory = fs::File::open(top.join("d")).unwrap();
        (holder, top, directory)
    }

    #[test]
    fn what_is_known_is_what_a_walk_finds() {
        let (_holder, top, directory) = folder();
        symlink("d", top.join("l")).unwrap();
        symlink("f", top.join("d/g")).unwrap();
        let fd = at(&directory);
        let paths = Paths::default();
        let absolute = ["l/g", "l/f", "d/missing", "l", "l/", "d/../l/g"].map(|path| (Base::Cwd, top.join(path)));
        let relative = ["f", "g", "missing", ".", "..", "../l/g"].map(|path| (fd, PathBuf::from(path)));
        let fixed = ["/", "/proc/self/status", "/proc/self/exe"].map(|path| (Base::Cwd, PathBuf::from(path)));
        for (base, path) in absolute.into_iter().chain(relative).chain(fixed) {
            for follow in [true, false] {
                let walked = walk::resolve(own(), base, bytes(&path), follow).unwrap();
                for _ in 0..2 {
                    let found = paths.resolve(own(), base, bytes(&path), follow).unwrap();
                    let parts =
                        |found: &Resolved| (found.path.clone(), found.inode.map(|inode| (inode.id, inode.mode)));
                    assert_eq!(parts(&found), parts(&walked), "{} {follow}", path.display());
                    assert_eq!(found.searched.last(), walked.searched.last(), "{} {follow}", path.display());
                }
            }
        }
        let personal = paths.names.borrow().keys().any(|name| name.text.starts_with(b"/proc/self"));
        assert!(!personal, "what another task would find elsewhere is not kept");
        assert!(!paths.names.borrow().is_empty());
    }

    #[test]
    fn what_is_searched_hangs_on_where_a_path_starts() {
        let holder = tempfile::tempdir().unwrap();
        let top = holder.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("d/e")).unwrap();
        fs::write(top.join("d/e/f"), "").unwrap();
        let directory = |name: &str| fs::File::open(top.join(name)).unwrap();
        let (outer, inner) = (directory("d"), directory("d/e"));
        let paths = Paths::default();
        let searched = |base, path: &Path| paths.resolve(own(), base, bytes(path), true).unwrap().searched.len();
        let whole = top.join("d/e/f");
        for _ in 0..2 {
            assert_eq!(searched(at(&inner), Path::new("f")), 1);
            assert_eq!(searched(at(&outer), Path::new("e/f")), 2);
            assert_eq!(searched(Base::Cwd, &whole), whole.components().count() - 1);
        }
    }

    #[test]
    fn an_entry_is_looked_for_where_its_directory_is() {
        let (_holder, top, directory) = folder();
        let fd = at(&directory);
        let paths = Paths::default();
        let is_there = |name: &[u8]| paths.resolve(own(), fd, name, true).unwrap().inode.is_some();
        assert!(is_there(b"f") && !is_there(b"g"));
        // Another process moves it, of which no stop tells.
        fs::rename(top.join("d"), top.join("e")).unwrap();
        fs::write(top.join("e/g"), "").unwrap();
        assert!(is_there(b"f") && is_there(b"g"));
    }

    #[test]
    fn a_new_task_has_the_root_of_its_parent() {
        let paths = Paths::default();
        // Of no task that there is, nothing can be asked.
        let child = Tid(i32::MAX);
        paths.born(Tid(i32::MAX - 1), child);
        assert!(!paths.is_at_home(child));
        paths.born(own(), child);
        assert!(paths.is_at_home(child));
        paths.changed();
        assert!(!paths.is_at_home(child), "a call may have given it another root");
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_followed_anew() {
        let holder = tempfile::tempdir().unwrap();
        let top = holder.path().canonicalize().unwrap();
        for name in ["one", "two"] {
            fs::write(top.join(name), "").unwrap();
        }
        let link = top.join("current");
        symlink("one", &link).unwrap();
        let paths = Paths::default();
        // Who changes a name stops for it.
        let find = || {
            paths.changed();
            paths.resolve(own(), Base::Cwd, bytes(&link), true).unwrap()
        };
        assert_eq!(find().path.file_name(), b"one");
        fs::remove_file(&link).unwrap();
        assert_eq!(find().inode, None);
        symlink("two", &link).unwrap();
        assert_eq!(find().path.file_name(), b"two");
        let below = top.join("none/such/file");
        let look = || paths.resolve(own(), Base::Cwd, bytes(&below), true).map(|found| found.inode.is_some());
        for _ in 0..2 {
            assert_eq!(look().unwrap_err().raw_os_error(), Some(libc::ENOENT));
        }
        assert!(paths.names.borrow().values().any(|known| known.found.is_none()));
        fs::create_dir_all(top.join("none/such")).unwrap();
        assert!(!look().unwrap());
        fs::write(&below, "").unwrap();
        assert!(look().unwrap());
        fs::remove_file(top.join("two")).unwrap();
        assert_eq!(find().inode, None);
    }

    #[test]
    fn a_name_just_seen_is_taken_for_what_it_was() {
        let now = Instant::now();
        let known = |inode| {
            let found = Resolved { path: AbsPath::new(b"/f").unwrap(), inode, searched: Vec::new() };
            Known { found: Some(found), since: now, seen: Cell::new((3, now)) }
        };
        let present = known(present(Path::new("/"), true).unwrap());
        assert!(present.holds_still(3, now + BRIEF / 2));
        assert!(!present.holds_still(3, now + BRIEF), "others may change it");
        assert!(!present.holds_still(4, now), "a call that stopped may have changed it");
        assert!(!known(None).holds_still(3, now), "what is missing may appear");
    }

    #[test]
    fn a_directory_is_known_by_its_identity_until_a_call_stops() {
        let holder = tempfile::tempdir().unwrap();
        let top = holder.path().canonicalize().unwrap();
        let paths = Paths::default();
        let open = |name: &str| fs::File::open(top.join(name)).unwrap();
        let find = |directory: &fs::File| {
            let fd = at(directory);
            paths.resolve(own(), fd, b"file", true).unwrap().path.to_string()
        };
        for name in ["one", "two"] {
            fs::create_dir(top.join(name)).unwrap();
            let directory = open(name);
            for _ in 0..2 {
                assert_eq!(find(&directory), top.join(name).join("file").display().to_string());
            }
        }
        let directory = open("one");
        find(&directory);
        paths.changed();
        fs::rename(top.join("one"), top.join("three")).unwrap();
        assert_eq!(find(&directory), top.join("three/file").display().to_string());
    }
}
