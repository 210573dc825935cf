//! A stopped tracee, looked at through `process_vm_readv(2)`, `/proc` and duplicates of its descriptors.

use std::ffi::{CStr, OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::SystemTime;

use nix::sys::socket::{MsgFlags, recv};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, RawDir, Statx, StatxFlags, makedev, open, readlinkat, statx};

use super::arguments;
use super::images::{self, Images};
use super::inherited::Inherited;
use super::maps;
use super::memory;
use super::paths::Paths;
use super::sys;
use crate::event::{
    APPEND_ONLY, Base, Credentials, Descriptor, IMMUTABLE, Image, Inode, Mapping, OpenFile, Resolved, SocketInfo,
    Target, TaskView, Tid,
};
use crate::path::AbsPath;

/// `SO_BINDTOIFINDEX` (`asm-generic/socket.h`).
const SO_BINDTOIFINDEX: i32 = 62;

const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_SYS_NICE: u64 = 1 << 23;
/// `BINPRM_BUF_SIZE`: how much of a script the kernel looks at.
const SCRIPT_LINE: u64 = 256;
const PROC_LIMIT: u64 = 64 * 1024;
/// Most texts of `/proc` fit in so many bytes, so that one `read(2)` brings them.
const PROC_USUAL: usize = 4096;

/// Looks at one task that stands still.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The task.
    pub tid: Tid,
    /// Its process.
    pub process: Tid,
    /// What is kept from one look to the next.
    pub memo: &'a Memo,
}

/// What is kept from one look at a task to the next, as long as it holds.
#[derive(Debug, Default)]
pub struct Memo {
    /// Of the paths that tasks use.
    pub paths: Paths,
    /// Of the programs that they execute.
    pub images: Images,
    /// Of what they have open from the learner.
    pub inherited: Inherited,
}

fn errno(errno: i32) -> io::Error {
    io::Error::from_raw_os_error(errno)
}

fn below(outside: &str, path: &AbsPath) -> PathBuf {
    let mut inside = outside.as_bytes().to_vec();
    inside.extend_from_slice(path.as_bytes());
    PathBuf::from(OsString::from_vec(inside))
}

/// A kind of namespace (`namespaces(7)`).
#[derive(Clone, Copy)]
enum Namespace {
    Ipc,
    Mount,
    Pid,
    User,
}

impl Namespace {
    /// The inode number of a process's own one; `None` when it cannot be asked.
    fn of(self, process: &str) -> Option<u64> {
        let name = match self {
            Self::Ipc => "ipc",
            Self::Mount => "mnt",
            Self::Pid => "pid",
            Self::User => "user",
        };
        fs::metadata(format!("/proc/{process}/ns/{name}")).map(|found| found.ino()).ok()
    }

    /// That of the learner, which never leaves it.
    fn own(self) -> Option<u64> {
        static OWN: [OnceLock<Option<u64>>; 4] = [const { OnceLock::new() }; 4];
        OWN.get(self as usize).and_then(|own| *own.get_or_init(|| self.of("self")))
    }
}

impl View<'_> {
    fn path(self, name: &str) -> String {
        format!("/proc/{}/{name}", self.tid.0)
    }

    /// The text of `/proc/TID/maps`, see [`maps`].
    pub(super) fn maps(self) -> io::Result<Vec<u8>> {
        read_bounded(&self.path("maps"), u64::MAX)
    }

    /// Where the learner finds a file of which the kernel told it this path: in its own mount namespace as it stands,
    /// in another one below the task's root.
    fn reachable(self, path: &AbsPath) -> PathBuf {
        below(&self.outside(), path)
    }

    /// What stands before a path of the task's mount namespace; nothing when that is the learner's own.
    fn outside(self) -> String {
        let own = self.memo.paths.is_at_home(self.tid) || self.namespace(Namespace::Mount) == Namespace::Mount.own();
        if own { String::new() } else { self.path("root") }
    }

    fn namespace(self, kind: Namespace) -> Option<u64> {
        kind.of(&self.tid.0.to_string())
    }
}

impl TaskView for View<'_> {
    fn read(&self, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
        memory::read(self.tid, address, buffer)
    }

    fn exe(&self) -> io::Result<AbsPath> {
        let link = self.path("exe");
        let text = fs::read_link(&link)?.into_os_string().into_vec();
        match target(&text, || Ok(inode(&fs::metadata(&link)?).id))? {
            Target::Path(path) | Target::Deleted(path) => Ok(path),
            Target::Nameless(_) => Err(errno(libc::ENOENT)),
        }
    }

    fn cmdline(&self, limit: usize) -> io::Result<Vec<u8>> {
        let stack = sys::syscall_info(self.tid)?.stack;
        let text = arguments::at(stack, limit, |address, buffer| self.read(address, buffer));
        text.map_or_else(|| read_at_once(&self.path("cmdline"), limit as u64), Ok)
    }

    fn credentials(&self, foreign_user_namespace: Option<bool>) -> io::Result<Credentials> {
        credentials_of(self.tid, foreign_user_namespace)
    }

    fn descriptor(&self, fd: i32) -> io::Result<Descriptor> {
        let missing = |error: io::Error| {
            if error.raw_os_error() == Some(libc::ENOENT) { errno(libc::EBADF) } else { error }
        };
        let link = self.path(&format!("fd/{fd}"));
        let text = fs::read_link(&link).map_err(missing)?.into_os_string().into_vec();
        let inode = inode(&fs::metadata(&link).map_err(missing)?);
        Ok(Descriptor { target: target(&text, || Ok(inode.id))?, inode })
    }

    fn open_files(&self) -> io::Result<Vec<OpenFile>> {
        let path = self.path("fd");
        // Their number, from Linux 6.2 on.
        let count = statx(CWD, &path, AtFlags::empty(), StatxFlags::SIZE).map_or(0, |found| found.stx_size);
        if let Some(files) = self.memo.inherited.all(self.tid, count) {
            return Ok(files);
        }
        let directory = open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        let mut space = Vec::with_capacity(PROC_USUAL);
        let mut entries = RawDir::new(&directory, space.spare_capacity_mut());
        let mut found = Vec::new();
        while let Some(entry) = entries.next() {
            let name = entry?.file_name().to_owned();
            let Some(fd) = name.to_str().ok().and_then(|name| name.parse().ok()) else { continue };
            let look = || open_file(&directory, &name, fd);
            let inherited = self.memo.inherited.get(self.tid, fd, look);
            if let Some(file) = inherited.or_else(|| look().ok()) {
                found.push(file);
            }
        }
        Ok(found)
    }

    fn socket(&self, fd: i32) -> io::Result<SocketInfo> {
        let socket = sys::duplicate_from(self.process, fd)?;
        Ok(SocketInfo {
            family: sys::socket_option(&socket, libc::SO_DOMAIN)?,
            kind: sys::socket_option(&socket, libc::SO_TYPE)?,
            protocol: sys::socket_option(&socket, libc::SO_PROTOCOL)?,
            local: sys::socket_address(&socket, false).unwrap_or_default(),
            peer: sys::socket_address(&socket, true).unwrap_or_default(),
        })
    }

    fn bound_device(&self, fd: i32) -> io::Result<i32> {
        sys::socket_option(&sys::duplicate_from(self.process, fd)?, SO_BINDTOIFINDEX)
    }

    fn waiting(&self, fd: i32) -> io::Result<Vec<u8>> {
        const BEGINNING: usize = 64;
        let socket = sys::duplicate_from(self.process, fd)?;
        let mut bytes = vec![0; BEGINNING];
        let read = recv(socket.as_raw_fd(), &mut bytes, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT)?;
        bytes.truncate(read);
        Ok(bytes)
    }

    fn resolve(&self, base: Base, path: &[u8], follow: bool) -> io::Result<Resolved> {
        self.memo.paths.resolve(self.tid, base, path, follow)
    }

    fn interpreter(&self, script: &AbsPath) -> io::Result<Resolved> {
        let mut line = Vec::new();
        fs::File::open(self.reachable(script))?.take(SCRIPT_LINE).read_to_end(&mut line)?;
        let line = line.strip_prefix(b"#!").and_then(|line| line.split(|&byte| byte == b'\n').next());
        let words = line.map(|line| line.split(|byte| matches!(byte, b' ' | b'\t')));
        let name = words.and_then(|mut words| words.find(|word| !word.is_empty()));
        let name = name.ok_or_else(|| errno(libc::ENOEXEC))?;
        self.resolve(Base::Cwd, name, true)
    }

    fn attribute(&self, path: &AbsPath, name: &str) -> io::Result<Vec<u8>> {
        xattr::get(self.reachable(path), name)?.ok_or_else(|| errno(libc::ENODATA))
    }

    fn fixed(&self, path: &AbsPath) -> io::Result<u32> {
        // STATX_ATTR_IMMUTABLE and STATX_ATTR_APPEND are the same bits.
        let found = statx(CWD, self.reachable(path), AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty())?;
        Ok(u32::try_from(found.stx_attributes.bits() & u64::from(IMMUTABLE | APPEND_ONLY)).unwrap_or_default())
    }

    fn mappings(&self, start: u64, end: u64) -> io::Result<Vec<Mapping>> {
        let maps = self.maps()?;
        let outside = self.outside();
        let mut found: Vec<Mapping> = Vec::new();
        for line in maps::lines(&maps).filter(|line| line.start < end && start < line.end) {
            let Ok(path) = AbsPath::new(&line.name()) else { continue };
            let inode = match found.last() {
                Some(last) if last.path == path && last.inode.is_none_or(|inode| inode.id.1 == line.inode) => {
                    last.inode
                }
                // Its inode number must be the one that the kernel printed.
                _ => fs::metadata(below(&outside, &path))
                    .ok()
                    .filter(|found| found.ino() == line.inode)
                    .map(|found| inode(&found)),
            };
            found.push(Mapping { start: line.start, end: line.end, executable: line.executable, path, inode });
        }
        Ok(found)
    }

    fn image(&self, asked: Option<&Resolved>) -> io::Result<Image> {
        let link = self.path("exe");
        let version = images::Version::of(link.as_bytes()).ok().filter(|_| self.memo.paths.is_at_home(self.tid));
        let is_asked =
            |asked: &&Resolved| version.zip(asked.inode).is_some_and(|(version, inode)| version.is_of(&inode));
        let program = asked.filter(is_asked).map_or_else(|| self.exe(), |asked| Ok(asked.path.clone()))?;
        let loaded = |mappings| Image {
            program: program.clone(),
            mappings,
            capabilities: self.attribute(&program, Image::CAPABILITIES).unwrap_or_default(),
        };
        let look = || self.mappings(0, u64::MAX).map(loaded);
        let image = match version {
            Some(version) => self.memo.images.get(&program, version, SystemTime::now(), look),
            None => look(),
        };
        Ok(image.unwrap_or_else(|_| loaded(Vec::new())))
    }

    fn process(&self, pid: i32) -> io::Result<Credentials> {
        if self.namespace(Namespace::Pid).is_none_or(|own| Some(own) != Namespace::Pid.own()) {
            return Err(errno(libc::ESRCH));
        }
        credentials_of(Tid(pid), None).map_err(|_| errno(libc::ESRCH))
    }

    fn proc(&self, name: &str) -> io::Result<Vec<u8>> {
        match name.strip_prefix("self/") {
            Some(own) => read_bounded(&self.path(own), PROC_LIMIT),
            // It would be the learner's own.
            None if name.starts_with("sysvipc/") && self.namespace(Namespace::Ipc) != Namespace::Ipc.own() => {
                Err(errno(libc::ESRCH))
            }
            None => read_bounded(&format!("/proc/{name}"), PROC_LIMIT),
        }
    }
}

/// How many seccomp filters a task lives under (`Seccomp_filters` of `proc_pid_status(5)`, Linux 5.9); `None` when it
/// is in strict mode or the kernel does not tell.
pub(super) fn filters(tid: Tid) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{}/status", tid.0)).ok()?;
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        line.trim().parse::<u32>().ok()
    };
    if value("Seccomp:")? == 1 { None } else { value("Seccomp_filters:") }
}

/// Whether a task may install a seccomp filter as it is: it has `no_new_privs` or `CAP_SYS_ADMIN`.
pub(super) fn filter_privilege(tid: Tid) -> io::Result<bool> {
    let credentials = credentials_of(tid, None)?;
    Ok(credentials.no_new_privs || credentials.effective & CAP_SYS_ADMIN != 0)
}

/// Whether the learner has `CAP_SYS_NICE`.
pub(super) fn may_raise_priority() -> bool {
    let own = Tid(nix::unistd::getpid().as_raw());
    credentials_of(own, None).is_ok_and(|credentials| credentials.effective & CAP_SYS_NICE != 0)
}

/// Reads a text that the kernel writes whole for each `read(2)`: what leaves room ends it.
pub(super) fn read_at_once(path: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; PROC_USUAL.min(usize::try_from(limit).unwrap_or(usize::MAX))];
    let mut file = fs::File::open(path)?;
    let read = file.read(&mut bytes)?;
    let whole = read < bytes.len();
    bytes.truncate(read);
    if !whole {
        file.take(limit.saturating_sub(read as u64)).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

fn read_bounded(path: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(PROC_USUAL);
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the entry of a `/proc/TID/fd` says. The mode of the link is that of the open file (`proc_pid_fd(5)`).
fn open_file(directory: &OwnedFd, name: &CStr, fd: i32) -> io::Result<OpenFile> {
    let text = readlinkat(directory, name, Vec::with_capacity(PROC_USUAL))?.into_bytes();
    if !text.starts_with(b"/") {
        let target = Target::Nameless(String::from_utf8_lossy(&text).into_owned());
        return Ok(OpenFile { fd, target, inode: None, readable: true, writable: true });
    }
    let inode = statx_inode(&statx(directory, name, AtFlags::empty(), StatxFlags::BASIC_STATS)?);
    let link = statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::MODE)?;
    let may = |bit| u32::from(link.stx_mode) & bit != 0;
    let target = target(&text, || Ok(inode.id))?;
    Ok(OpenFile { fd, target, inode: Some(inode), readable: may(libc::S_IRUSR), writable: may(libc::S_IWUSR) })
}

/// The inode of a file of which `STATX_BASIC_STATS` were asked.
pub(super) fn statx_inode(found: &Statx) -> Inode {
    Inode {
        mode: found.stx_mode.into(),
        uid: found.stx_uid,
        gid: found.stx_gid,
        id: (makedev(found.stx_dev_major, found.stx_dev_minor), found.stx_ino),
        rdev: makedev(found.stx_rdev_major, found.stx_rdev_minor),
        links: found.stx_nlink.into(),
    }
}

/// The inode of a file.
pub(super) fn inode(found: &fs::Metadata) -> Inode {
    Inode {
        mode: found.mode(),
        uid: found.uid(),
        gid: found.gid(),
        id: (found.dev(), found.ino()),
        rdev: found.rdev(),
        links: found.nlink(),
    }
}

/// What the text of a `/proc/TID` link to the inode `id` says. A removed file's name ends in ` (deleted)`; so may a real
/// name, whose file then still is there.
pub(super) fn target(text: &[u8], id: impl FnOnce() -> io::Result<(u64, u64)>) -> io::Result<Target> {
    let Ok(path) = AbsPath::new(text) else {
        return Ok(Target::Nameless(String::from_utf8_lossy(text).into_owned()));
    };
    let Some(former) = text.strip_suffix(b" (deleted)") else { return Ok(Target::Path(path)) };
    if former.starts_with(b"/memfd:") {
        return Ok(Target::Nameless(String::from_utf8_lossy(former).into_owned()));
    }
    let id = id()?;
    let there = fs::symlink_metadata(Path::new(OsStr::from_bytes(text)));
    if there.is_ok_and(|found| (found.dev(), found.ino()) == id) {
        return Ok(Target::Path(path));
    }
    Ok(AbsPath::new(former).map_or(Target::Path(path), Target::Deleted))
}

fn credentials_of(tid: Tid, foreign_user_namespace: Option<bool>) -> io::Result<Credentials> {
    let task = tid.0.to_string();
    let status = read_at_once(&format!("/proc/{task}/status"), PROC_LIMIT)?;
    let look = || Namespace::User.of(&task).is_some_and(|own| Some(own) != Namespace::User.own());
    let foreign_user_namespace = foreign_user_namespace.unwrap_or_else(look);
    Ok(Credentials { foreign_user_namespace, ..parse_status(&String::from_utf8_lossy(&status)) })
}

/// Reads the credentials out of a `/proc/TID/status` text (`proc_pid_status(5)`).
fn parse_status(status: &str) -> Credentials {
    let mut credentials = Credentials::default();
    for (key, value) in status.lines().filter_map(|line| line.split_once(':')) {
        let numbers = || value.split_whitespace().filter_map(|number| number.parse::<u32>().ok());
        let four = || {
            let mut ids = [u32::MAX; 4];
            ids.iter_mut().zip(numbers()).for_each(|(id, number)| *id = number);
            ids
        };
        let set = || u64::from_str_radix(value.trim(), 16).unwrap_or_default();
        match key {
            "Uid" => credentials.uid = four(),
            "Gid" => credentials.gid = four(),
            "Groups" => {
                credentials.groups = numbers().collect();
                credentials.groups.sort_unstable();
            }
            "CapEff" => credentials.effective = set(),
            "CapPrm" => credentials.permitted = set(),
            "CapInh" => credentials.inheritable = set(),
            "CapBnd" => credentials.bounding = set(),
            "CapAmb" => credentials.ambient = set(),
            "NoNewPrivs" => credentials.no_new_privs = value.trim() == "1",
            _ => {}
        }
    }
    credentials
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_read() {
        let text = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\nGroups:\t30 10 20 \nCapEff:\t00000000a80425fb\n\
                    CapBnd:\t1\nNoNewPrivs:\t1\n";
        let found = parse_status(text);
        assert_eq!((found.uid, found.gid), ([1, 2, 3, 4], [5, 6, 7, 8]));
        assert_eq!(found.groups, [10, 20, 30]);
        assert_eq!((found.effective, found.bounding, found.no_new_privs), (0xa804_25fb, 1, true));
        assert!(found.in_group(20) && found.in_group(8) && !found.in_group(5));
    }

    #[test]
    fn targets_are_told_apart() {
        let target = |text: &[u8]| target(text, || Ok((0, 0))).unwrap();
        let path = |text: &str| AbsPath::new(text.as_bytes()).unwrap();
        assert_eq!(target(b"/no/such"), Target::Path(path("/no/such")));
        assert_eq!(target(b"/no/such (deleted)"), Target::Deleted(path("/no/such")));
        assert_eq!(target(b"/memfd:x (deleted)"), Target::Nameless("/memfd:x".into()));
        assert_eq!(target(b"pipe:[1]"), Target::Nameless("pipe:[1]".into()));
    }
}
