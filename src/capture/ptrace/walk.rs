//! Follows a path as the kernel would for a tracee: `path_resolution(7)` inside its root and mount namespace.
//!
//! Component by component with `O_PATH`, because `/proc/self` must be the tracee's and not the learner's, and because
//! every searched directory's inode is wanted.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use nix::fcntl::{AT_FDCWD, OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use super::view::{inode, target};
use crate::event::{Base, Inode, Resolved, Searched, Target, Tid};
use crate::path::AbsPath;

/// `MAXSYMLINKS` of the kernel.
const LINKS_LIMIT: usize = 40;
pub(super) const PATH_MAX: usize = 4096;
/// The inode number of the root of a proc file system.
const PROC_ROOT: u64 = 1;

/// What a walk found.
pub(super) struct Walked {
    pub(super) found: io::Result<Resolved>,
    /// Whether it depends on who walks: it led through `/proc/self` or a link to an open file.
    pub(super) personal: bool,
}

/// Follows `path` for `tid`; see [`crate::event::TaskView::resolve`].
pub(super) fn follow(tid: Tid, base: Base, path: &[u8], follow: bool) -> Walked {
    let here = match start(tid, base, path) {
        Ok(here) => here,
        Err(error) => return Walked { found: Err(error), personal: true },
    };
    if path.is_empty() {
        let found = Resolved { path: here.path, inode: Some(here.inode), searched: Vec::new() };
        return Walked { found: Ok(found), personal: true };
    }
    let mut walk = Walk { tid, here, rest: components(path), links: 0, searched: Vec::new(), personal: false };
    Walked { found: walk.run(follow || path.ends_with(b"/")), personal: walk.personal }
}

/// Where a path starts.
fn start(tid: Tid, base: Base, path: &[u8]) -> io::Result<Place> {
    if path.len() >= PATH_MAX {
        return Err(errno(libc::ENAMETOOLONG));
    }
    let absolute = path.starts_with(b"/");
    let start = match base {
        _ if absolute => "root".to_owned(),
        Base::Cwd => "cwd".to_owned(),
        Base::Fd(fd) => format!("fd/{fd}"),
    };
    Place::open_link(tid, &start)
}

/// The same without what it depends on.
pub(super) fn resolve(tid: Tid, base: Base, path: &[u8], last: bool) -> io::Result<Resolved> {
    follow(tid, base, path, last).found
}

fn errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

fn components(path: &[u8]) -> VecDeque<Vec<u8>> {
    path.split(|&byte| byte == b'/').filter(|part| !matches!(*part, b"" | b".")).map(<[u8]>::to_vec).collect()
}

/// An open directory or file with the kernel's path of it.
struct Place {
    fd: OwnedFd,
    path: AbsPath,
    inode: Inode,
}

impl Place {
    /// What a link in `/proc/TID` leads to.
    fn open_link(tid: Tid, link: &str) -> io::Result<Self> {
        let missing = |errno| if errno == nix::errno::Errno::ENOENT { nix::errno::Errno::EBADF } else { errno };
        let name = format!("/proc/{}/{link}", tid.0);
        let fd = openat(AT_FDCWD, name.as_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).map_err(missing)?;
        Self::of(fd)
    }

    /// An open file, with the path that the kernel gives it.
    fn of(fd: OwnedFd) -> io::Result<Self> {
        let file = File::from(fd);
        let inode = inode(&file.metadata()?);
        let fd = OwnedFd::from(file);
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
        let text = std::fs::read_link(link)?.into_os_string().into_vec();
        match target(&text, || Ok(inode.id))? {
            Target::Path(path) | Target::Deleted(path) => Ok(Self { fd, path, inode }),
            Target::Nameless(_) => Err(errno(libc::ENOTDIR)),
        }
    }

    /// The entry `name` of this directory, not followed.
    fn entry(&self, name: &[u8], follow: bool) -> io::Result<(OwnedFd, Inode)> {
        let mut flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        flags.set(OFlag::O_NOFOLLOW, !follow);
        let name = std::ffi::OsStr::from_bytes(name);
        let file = File::from(openat(&self.fd, name, flags, Mode::empty())?);
        let inode = inode(&file.metadata()?);
        Ok((file.into(), inode))
    }

    /// Whether this directory lies in a proc file system.
    fn in_proc(&self) -> bool {
        fstatfs(&self.fd).is_ok_and(|found| found.filesystem_type() == PROC_SUPER_MAGIC)
    }
}

struct Walk {
    tid: Tid,
    here: Place,
    rest: VecDeque<Vec<u8>>,
    links: usize,
    searched: Vec<Searched>,
    personal: bool,
}

impl Walk {
    fn run(&mut self, follow: bool) -> io::Result<Resolved> {
        while let Some(name) = self.rest.pop_front() {
            if !self.here.inode.is_dir() {
                return Err(errno(libc::ENOTDIR));
            }
            self.searched.push(Searched { path: self.here.path.clone(), inode: self.here.inode });
            let last = self.rest.is_empty();
            if name == b".." {
                self.up()?;
                continue;
            }
            let (fd, inode) = match self.here.entry(&name, false) {
                Err(error) if last && error.raw_os_error() == Some(libc::ENOENT) => {
                    let searched = std::mem::take(&mut self.searched);
                    return Ok(Resolved { path: self.join(&name)?, inode: None, searched });
                }
                found => found?,
            };
            if inode.kind() == libc::S_IFLNK && (!last || follow) {
                self.follow(&name, &fd)?;
            } else {
                self.here = Place { path: self.join(&name)?, fd, inode };
            }
        }
        let searched = std::mem::take(&mut self.searched);
        Ok(Resolved { path: self.here.path.clone(), inode: Some(self.here.inode), searched })
    }

    fn join(&self, name: &[u8]) -> io::Result<AbsPath> {
        self.here.path.join(name).map_err(|_| errno(libc::EINVAL))
    }

    /// `..`, which at the task's root stays there.
    fn up(&mut self) -> io::Result<()> {
        let root = Place::open_link(self.tid, "root")?;
        if root.inode.id != self.here.inode.id || root.path != self.here.path {
            let (fd, _) = self.here.entry(b"..", false)?;
            self.here = Place::of(fd)?;
        }
        Ok(())
    }

    fn follow(&mut self, name: &[u8], link: &OwnedFd) -> io::Result<()> {
        self.links += 1;
        if self.links > LINKS_LIMIT {
            return Err(errno(libc::ELOOP));
        }
        let mut text = readlinkat(link, "")?.into_vec();
        if self.here.in_proc() {
            self.personal = true;
            let at_root = self.here.inode.id.1 == PROC_ROOT;
            match name {
                b"self" if at_root => text = self.own_pid(false)?,
                b"thread-self" if at_root => text = self.own_pid(true)?,
                _ if is_magic(&self.here.path, name) => {
                    self.here = Place::of(self.here.entry(name, true)?.0)?;
                    return Ok(());
                }
                _ => {}
            }
        }
        if text.starts_with(b"/") {
            self.here = Place::open_link(self.tid, "root")?;
        }
        for part in components(&text).into_iter().rev() {
            self.rest.push_front(part);
        }
        Ok(())
    }

    /// The task's own ids as its innermost pid namespace numbers them: `TGID` or `TGID/task/TID`.
    fn own_pid(&self, thread: bool) -> io::Result<Vec<u8>> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.tid.0))?;
        let innermost = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|ids| ids.split_whitespace().next_back()).ok_or_else(|| errno(libc::ESRCH))
        };
        let process = innermost("NStgid:")?;
        Ok(if thread { format!("{process}/task/{}", innermost("NSpid:")?) } else { process.to_owned() }.into_bytes())
    }
}

/// Links of `/proc/PID` that lead straight to an open file, whatever their text says.
fn is_magic(directory: &AbsPath, name: &[u8]) -> bool {
    matches!(directory.file_name(), b"fd" | b"ns" | b"map_files") || matches!(name, b"exe" | b"cwd" | b"root")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn own() -> Tid {
        Tid(nix::unistd::gettid().as_raw())
    }

    fn path_of(path: &std::path::Path, follow: bool) -> io::Result<AbsPath> {
        resolve(own(), Base::Cwd, path.as_os_str().as_bytes(), follow).map(|found| found.path)
    }

    fn absolute(path: &std::path::Path) -> AbsPath {
        AbsPath::new(path.as_os_str().as_bytes()).unwrap()
    }

    #[test]
    fn links_dots_and_missing_names() {
        let holder = tempfile::tempdir().unwrap();
        let top = holder.path().canonicalize().unwrap();
        std::fs::create_dir(top.join("d")).unwrap();
        std::fs::write(top.join("d/f"), "").unwrap();
        symlink("d/../d", top.join("l")).unwrap();
        symlink("f", top.join("d/g")).unwrap();
        symlink("loop", top.join("loop")).unwrap();
        assert_eq!(path_of(&top.join("l/g"), true).unwrap(), absolute(&top.join("d/f")));
        assert_eq!(path_of(&top.join("l/g"), false).unwrap(), absolute(&top.join("d/g")));
        assert_eq!(path_of(&top.join("l/./../l/new"), true).unwrap(), absolute(&top.join("d/new")));
        let missing = path_of(&top.join("no/new"), true).unwrap_err();
        assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
        assert_eq!(path_of(&top.join("d/f/x"), true).unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
        assert_eq!(path_of(&top.join("loop"), true).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        let found = resolve(own(), Base::Cwd, top.join("l/g").as_os_str().as_bytes(), true).unwrap();
        assert!(found.searched.iter().any(|one| one.path == absolute(&top.join("d"))));
        assert_eq!(path_of(std::path::Path::new("/../.."), true).unwrap(), AbsPath::root());
    }

    #[test]
    fn proc_self_is_the_tasks_own() {
        let process = std::process::id();
        let found = path_of(std::path::Path::new("/proc/self/status"), true).unwrap();
        assert_eq!(found.to_string(), format!("/proc/{process}/status"));
        let exe = path_of(std::path::Path::new("/proc/self/exe"), true).unwrap();
        assert_eq!(exe, absolute(&std::env::current_exe().unwrap().canonicalize().unwrap()));
        let thread = path_of(std::path::Path::new("/proc/thread-self"), true).unwrap();
        assert_eq!(thread.to_string(), format!("/proc/{process}/task/{}", own().0));
    }
}
