//! Paths of stopped tasks, followed as seldom as is sound.
//!
//! A workload names the same files again and again. What [`walk`] found for a name is found again by two or three
//! questions to the kernel: whether the task still has the learner's own root, and whether the name still leads to the
//! same inode. A directory that moved aside for a link to it keeps its files' inodes: so each name is followed anew
//! after [`FRESH`].

use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use super::view::inode;
use super::walk;
use crate::event::{Base, Inode, Resolved, Searched, Tid};
use crate::path::AbsPath;

/// How long a name is taken for what it was.
const FRESH: Duration = Duration::from_secs(1);
/// How many names are remembered; some megabytes.
const NAMES_MAX: usize = 8192;

/// What is known of the names that tasks use.
#[derive(Debug)]
pub struct Paths {
    root: Option<Root>,
    names: RefCell<HashMap<Name, Known>>,
}

/// A directory of a certain mount: its id (`STATX_MNT_ID` of `statx(2)`) and the inode number. Mounts belong to one mount
/// namespace each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Root(u64, u64);

/// A name from the learner's root on, and whether a last symbolic link is followed.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Name(Vec<u8>, bool);

#[derive(Debug)]
struct Known {
    found: Resolved,
    since: Instant,
}

impl Paths {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self { root: root_of("self").ok(), names: RefCell::default() }
    }

    /// Follows `path` for `tid`; see [`crate::event::TaskView::resolve`].
    pub fn resolve(&self, tid: Tid, base: Base, path: &[u8], follow: bool) -> io::Result<Resolved> {
        let Some(start) = Start::of(tid, base, path) else { return walk::resolve(tid, base, path, follow) };
        if let Some(found) = start.entry(path, follow) {
            return Ok(found);
        }
        let name = Name(start.name(path), follow || path.ends_with(b"/"));
        let own_root = self.root.is_some() && root_of(&tid.0.to_string()).ok() == self.root;
        if own_root && let Some(found) = self.known(&name, &start.place(path)) {
            return Ok(found);
        }
        let walked = walk::follow(tid, base, path, follow)?;
        if own_root && !walked.personal {
            self.remember(name, &walked.found);
        }
        Ok(walked.found)
    }

    /// What is known of `name`, when it still holds at `place`.
    fn known(&self, name: &Name, place: &Path) -> Option<Resolved> {
        let names = self.names.borrow();
        let known = names.get(name).filter(|known| known.since.elapsed() < FRESH)?;
        let now = present(place, name.1).ok()?;
        (now == known.found.inode).then(|| known.found.clone())
    }

    fn remember(&self, name: Name, found: &Resolved) {
        let mut names = self.names.borrow_mut();
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(name, Known { found: found.clone(), since: Instant::now() });
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
    },
}

impl Start {
    /// `None` where only a walk can tell: no name, or a directory without one.
    fn of(tid: Tid, base: Base, path: &[u8]) -> Option<Self> {
        if path.is_empty() || path.len() >= walk::PATH_MAX {
            return None;
        }
        let link = match base {
            _ if path.starts_with(b"/") => return Some(Self::Root),
            Base::Cwd => format!("/proc/{}/cwd", tid.0),
            Base::Fd(fd) => format!("/proc/{}/fd/{fd}", tid.0),
        };
        let text = fs::read_link(&link).ok()?.into_os_string().into_vec();
        let removed = text.ends_with(b" (deleted)");
        let path = AbsPath::new(&text).ok().filter(|_| !removed)?;
        Some(Self::Directory { link, path })
    }

    /// A plain entry of the directory: no link has to be followed, so nothing else matters.
    fn entry(&self, name: &[u8], follow: bool) -> Option<Resolved> {
        let Self::Directory { link, path } = self else { return None };
        if name.contains(&b'/') || matches!(name, b"." | b"..") {
            return None;
        }
        let directory = inode(&fs::metadata(link).ok()?);
        let entry = present(&self.place(name), false).ok()?;
        let is_link = entry.is_some_and(|entry| entry.kind() == libc::S_IFLNK);
        if !directory.is_dir() || follow && is_link {
            return None;
        }
        let searched = vec![Searched { path: path.clone(), inode: directory }];
        Some(Resolved { path: path.join(name).ok()?, inode: entry, searched })
    }

    fn name(&self, path: &[u8]) -> Vec<u8> {
        match self {
            Self::Root => path.to_vec(),
            Self::Directory { path: start, .. } => [start.as_bytes(), b"/", path].concat(),
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

fn root_of(process: &str) -> io::Result<Root> {
    let found = statx(CWD, format!("/proc/{process}/root"), AtFlags::empty(), StatxFlags::INO | StatxFlags::MNT_ID)?;
    let told = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    if told { Ok(Root(found.stx_mnt_id, found.stx_ino)) } else { Err(io::ErrorKind::Unsupported.into()) }
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

    fn bytes(path: &Path) -> &[u8] {
        path.as_os_str().as_bytes()
    }

    #[test]
    fn what_is_known_is_what_a_walk_finds() {
        let holder = tempfile::tempdir().unwrap();
        let top = holder.path().canonicalize().unwrap();
        fs::create_dir(top.join("d")).unwrap();
        fs::write(top.join("d/f"), "").unwrap();
        symlink("d", top.join("l")).unwrap();
        symlink("f", top.join("d/g")).unwrap();
        let directory = fs::File::open(top.join("d")).unwrap();
        let fd = Base::Fd(std::os::fd::AsRawFd::as_raw_fd(&directory));
        let paths = Paths::new();
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
        let personal = paths.names.borrow().keys().any(|Name(name, _)| name.starts_with(b"/proc/self"));
        assert!(!personal, "what another task would find elsewhere is not kept");
        assert!(!paths.names.borrow().is_empty());
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
        let paths = Paths::new();
        let find = || paths.resolve(own(), Base::Cwd, bytes(&link), true).unwrap();
        assert_eq!(find().path.file_name(), b"one");
        fs::remove_file(&link).unwrap();
        assert_eq!(find().inode, None);
        symlink("two", &link).unwrap();
        assert_eq!(find().path.file_name(), b"two");
        fs::remove_file(top.join("two")).unwrap();
        assert_eq!(find().inode, None);
    }
}
