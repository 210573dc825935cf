//! A task made of maps, and a bench that shows its calls to a decoder.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::{Decoder, Recorder};
use crate::abi::{Abi, Syscall};
use crate::event::{
    Base, Call, Credentials, Descriptor, Image, Inode, Mapping, OpenFile, Origin, Outcome, Resolved, Searched, Sink,
    SocketInfo, Target, TaskView, Tid,
};
use crate::fact::{Access, Check, Fact, FileFact, Gap, GapKind, Operation};
use crate::path::AbsPath;
use crate::record::{Caller, Invocation};

/// Where the bench puts what calls point to.
const HEAP: u64 = 0x10_0000;

/// `AT_FDCWD` as a register has it.
pub(super) const CWD: u64 = u64::MAX - 99;

/// The user and group of files that nothing else is said of.
const ROOT: (u32, u32) = (0, 0);

/// A task made of maps. The root directory and `/srv`, where it stands, are there from the beginning.
pub(super) struct FakeView {
    memory: RefCell<BTreeMap<u64, Vec<u8>>>,
    files: RefCell<BTreeMap<Vec<u8>, Inode>>,
    links: RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
    pub(super) descriptors: RefCell<BTreeMap<i32, Descriptor>>,
    /// For what descriptors may be used, `r` and `w`; both where nothing is said.
    pub(super) usable: RefCell<BTreeMap<i32, &'static str>>,
    pub(super) sockets: RefCell<BTreeMap<i32, SocketInfo>>,
    /// What waits to be read from every socket.
    pub(super) waiting: RefCell<Vec<u8>>,
    /// The device that every socket is bound to.
    pub(super) bound_device: Cell<i32>,
    pub(super) who: RefCell<Credentials>,
    pub(super) others: RefCell<BTreeMap<i32, Credentials>>,
    pub(super) proc: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(super) attributes: RefCell<BTreeMap<(AbsPath, String), Vec<u8>>>,
    /// Flags of every file.
    pub(super) fixed: Cell<u32>,
    pub(super) mappings: RefCell<Vec<Mapping>>,
    pub(super) exe: RefCell<AbsPath>,
    pub(super) cmdline: RefCell<Vec<u8>>,
    /// How often anything but memory was asked for.
    pub(super) questions: Cell<usize>,
}

pub(super) fn path(text: &str) -> AbsPath {
    AbsPath::new(text.as_bytes()).unwrap()
}

fn error<T>(errno: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(errno))
}

pub(super) fn inode(mode: u32, (uid, gid): (u32, u32)) -> Inode {
    Inode { mode, uid, gid, id: (1, 1), rdev: 0, links: 1 }
}

impl Default for FakeView {
    fn default() -> Self {
        let view = Self {
            memory: RefCell::default(),
            files: RefCell::default(),
            links: RefCell::default(),
            descriptors: RefCell::default(),
            usable: RefCell::default(),
            sockets: RefCell::default(),
            waiting: RefCell::default(),
            who: RefCell::default(),
            others: RefCell::default(),
            bound_device: Cell::new(0),
            proc: RefCell::default(),
            attributes: RefCell::default(),
            fixed: Cell::new(0),
            mappings: RefCell::default(),
            exe: RefCell::new(path("/bin/prog")),
            cmdline: RefCell::default(),
            questions: Cell::new(0),
        };
        view.file("/", libc::S_IFDIR | 0o755, ROOT);
        view.file("/srv", libc::S_IFDIR | 0o755, ROOT);
        view
    }
}

impl FakeView {
    /// Maps `bytes` at `address`; behind them nothing is mapped.
    pub(super) fn map(&self, address: u64, bytes: &[u8]) {
        self.memory.borrow_mut().insert(address, bytes.to_vec());
    }

    /// Makes a file.
    pub(super) fn file(&self, path: &str, mode: u32, owner: (u32, u32)) {
        self.files.borrow_mut().insert(path.as_bytes().to_vec(), inode(mode, owner));
    }

    /// Makes a symbolic link to an absolute path.
    pub(super) fn link(&self, path: &str, to: &str) {
        self.links.borrow_mut().insert(path.as_bytes().to_vec(), to.as_bytes().to_vec());
    }

    /// Opens a file that was made before.
    pub(super) fn open(&self, fd: i32, name: &str) {
        let inode = self.files.borrow()[name.as_bytes()];
        let descriptor = Descriptor { target: Target::Path(path(name)), inode };
        self.descriptors.borrow_mut().insert(fd, descriptor);
    }

    /// Opens something without a name.
    pub(super) fn open_nameless(&self, fd: i32, name: &str) {
        let target = Target::Nameless(name.to_owned());
        let descriptor = Descriptor { target, inode: inode(0o600, ROOT) };
        self.descriptors.borrow_mut().insert(fd, descriptor);
    }

    /// Opens a socket.
    pub(super) fn socket(&self, fd: i32, family: i32, kind: i32) -> i32 {
        let socket = SocketInfo { family, kind, protocol: 0, local: Vec::new(), peer: Vec::new() };
        self.sockets.borrow_mut().insert(fd, socket);
        fd
    }

    fn asked(&self) {
        self.questions.set(self.questions.get() + 1);
    }

    fn walk(&self, start: &[u8], path: &[u8], follow: bool, depth: usize) -> io::Result<Resolved> {
        let mut at = if path.starts_with(b"/") { b"/".to_vec() } else { start.to_vec() };
        let mut searched = Vec::new();
        let mut found = self.files.borrow().get(&at).copied();
        let names: Vec<&[u8]> = path.split(|&byte| byte == b'/').filter(|name| !name.is_empty()).collect();
        for (index, name) in names.iter().enumerate() {
            let Some(inode) = found else { return error(libc::ENOENT) };
            if !inode.is_dir() {
                return error(libc::ENOTDIR);
            }
            searched.push(Searched { path: AbsPath::new(&at).unwrap(), inode });
            let here = AbsPath::new(&at).unwrap();
            let next = match *name {
                b"." => here,
                b".." => here.parent().unwrap_or(here),
                name => here.join(name).unwrap(),
            };
            let target = self.links.borrow().get(next.as_bytes()).cloned();
            if let Some(target) = target.filter(|_| follow || index + 1 < names.len()) {
                if depth > 8 {
                    return error(libc::ELOOP);
                }
                let spot = self.walk(&at, &target, true, depth + 1)?;
                searched.extend(spot.searched);
                (at, found) = (spot.path.as_bytes().to_vec(), spot.inode);
            } else {
                at = next.as_bytes().to_vec();
                let link = self.links.borrow().contains_key(&at).then(inode_of_link);
                found = link.or_else(|| self.files.borrow().get(&at).copied());
            }
        }
        Ok(Resolved { path: AbsPath::new(&at).unwrap(), inode: found, searched })
    }
}

fn inode_of_link() -> Inode {
    inode(libc::S_IFLNK | 0o777, ROOT)
}

impl TaskView for FakeView {
    fn read(&self, address: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let memory = self.memory.borrow();
        let Some((start, bytes)) = memory.range(..=address).next_back() else { return error(libc::EFAULT) };
        let offset = usize::try_from(address - start).unwrap();
        let Some(rest) = bytes.get(offset..).filter(|rest| !rest.is_empty()) else { return error(libc::EFAULT) };
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn exe(&self) -> io::Result<AbsPath> {
        self.asked();
        Ok(self.exe.borrow().clone())
    }

    fn cmdline(&self, limit: usize) -> io::Result<Vec<u8>> {
        let text = self.cmdline.borrow();
        Ok(text[..text.len().min(limit)].to_vec())
    }

    fn credentials(&self, _foreign_user_namespace: Option<bool>) -> io::Result<Credentials> {
        self.asked();
        Ok(self.who.borrow().clone())
    }

    fn descriptor(&self, fd: i32) -> io::Result<Descriptor> {
        self.asked();
        self.descriptors.borrow().get(&fd).cloned().map_or_else(|| error(libc::EBADF), Ok)
    }

    fn open_files(&self) -> io::Result<Vec<OpenFile>> {
        self.asked();
        let open = |fd: i32, target, inode| {
            let usable = self.usable.borrow().get(&fd).copied().unwrap_or("rw");
            OpenFile { fd, target, inode, readable: usable.contains('r'), writable: usable.contains('w') }
        };
        let descriptors = self.descriptors.borrow();
        let files = descriptors.iter().map(|(fd, file)| open(*fd, file.target.clone(), Some(file.inode)));
        let sockets = self.sockets.borrow();
        let sockets = sockets.keys().filter(|fd| !descriptors.contains_key(fd));
        Ok(files.chain(sockets.map(|fd| open(*fd, Target::Nameless("socket:[1]".into()), None))).collect())
    }

    fn socket(&self, fd: i32) -> io::Result<SocketInfo> {
        self.asked();
        self.sockets.borrow().get(&fd).cloned().map_or_else(|| error(libc::ENOTSOCK), Ok)
    }

    fn bound_device(&self, _fd: i32) -> io::Result<i32> {
        Ok(self.bound_device.get())
    }

    fn waiting(&self, _fd: i32) -> io::Result<Vec<u8>> {
        Ok(self.waiting.borrow().clone())
    }

    fn resolve(&self, base: Base, path: &[u8], follow: bool) -> io::Result<Resolved> {
        self.asked();
        let start = match base {
            _ if path.starts_with(b"/") => Vec::new(),
            Base::Cwd => b"/srv".to_vec(),
            Base::Fd(fd) => match self.descriptor(fd)?.target {
                Target::Path(path) => path.as_bytes().to_vec(),
                _ => return error(libc::ENOTDIR),
            },
        };
        self.walk(&start, path, follow, 0)
    }

    fn mappings(&self, start: u64, end: u64) -> io::Result<Vec<Mapping>> {
        self.asked();
        let mappings = self.mappings.borrow();
        Ok(mappings.iter().filter(|one| one.start < end && start < one.end).cloned().collect())
    }

    fn image(&self, _asked: Option<&Resolved>) -> io::Result<Image> {
        let program = self.exe()?;
        let capabilities = self.attribute(&program, Image::CAPABILITIES).unwrap_or_default();
        Ok(Image { program, mappings: self.mappings(0, u64::MAX)?, capabilities })
    }

    fn process(&self, pid: i32) -> io::Result<Credentials> {
        self.asked();
        self.others.borrow().get(&pid).cloned().map_or_else(|| error(libc::ESRCH), Ok)
    }

    fn interpreter(&self, _script: &AbsPath) -> io::Result<Resolved> {
        error(libc::ENOEXEC)
    }

    fn attribute(&self, path: &AbsPath, name: &str) -> io::Result<Vec<u8>> {
        self.asked();
        let key = (path.clone(), name.to_owned());
        self.attributes.borrow().get(&key).cloned().map_or_else(|| error(libc::ENODATA), Ok)
    }

    fn fixed(&self, _path: &AbsPath) -> io::Result<u32> {
        Ok(self.fixed.get())
    }

    fn proc(&self, name: &str) -> io::Result<Vec<u8>> {
        self.asked();
        self.proc.borrow().get(name).cloned().map_or_else(|| error(libc::ENOENT), Ok)
    }
}

/// Keeps everything that it is told.
#[derive(Default)]
pub(super) struct Log {
    pub(super) facts: Vec<(AbsPath, Fact, Outcome)>,
    pub(super) gaps: BTreeSet<Gap>,
    pub(super) counts: BTreeMap<(AbsPath, Abi, String), u64>,
    pub(super) invoked: Vec<(AbsPath, Vec<AbsPath>, Vec<String>)>,
}

impl Recorder for Log {
    fn fact(&mut self, subject: &AbsPath, _: Option<Caller>, fact: Fact, outcome: Outcome) -> bool {
        let entry = (subject.clone(), fact, outcome);
        let news = !self.facts.contains(&entry);
        self.facts.push(entry);
        news
    }

    fn count(&mut self, subject: &AbsPath, _: Option<Caller>, abi: Abi, call: &Syscall, times: u64) {
        *self.counts.entry((subject.clone(), abi, call.to_string())).or_default() += times;
    }

    fn invoked(&mut self, subject: &AbsPath, invocation: Invocation) {
        let (chain, command) = (invocation.chain().to_vec(), invocation.command().to_vec());
        self.invoked.push((subject.clone(), chain, command));
    }

    fn gap(&mut self, gap: Gap) -> bool {
        self.gaps.insert(gap)
    }
}

/// A decoder and the one task that it is shown, which runs `/bin/prog` with thread id 100.
pub(super) struct Bench {
    pub(super) view: FakeView,
    pub(super) decoder: Decoder<Log>,
    pub(super) abi: Abi,
    next: u64,
}

impl Bench {
    pub(super) const TID: Tid = Tid(100);

    /// A root process that holds every capability.
    pub(super) fn new(abi: Abi) -> Self {
        let mut bench = Self::fresh(abi);
        bench.view.who.borrow_mut().effective = u64::MAX;
        bench.view.who.borrow_mut().permitted = u64::MAX;
        bench.decoder.exec(Self::TID, Self::TID, &bench.view);
        bench.decoder.recorder_mut().facts.clear();
        bench
    }

    /// The same for an ordinary user with group 1000 and, beside it, 50.
    pub(super) fn user(abi: Abi) -> Self {
        let mut bench = Self::new(abi);
        let user = Credentials { uid: [1000; 4], gid: [1000; 4], groups: vec![50, 1000], ..Credentials::default() };
        bench.becomes(|who| *who = user);
        bench
    }

    /// Changes the task's credentials.
    pub(super) fn becomes(&mut self, change: impl FnOnce(&mut Credentials)) {
        change(&mut self.view.who.borrow_mut());
        // setgroups(2): whatever is known of credentials is asked for anew.
        self.call("setgroups", &[]);
        self.decoder.recorder_mut().facts.clear();
    }

    /// A task that has not executed the workload yet.
    pub(super) fn fresh(abi: Abi) -> Self {
        let view = FakeView::default();
        let mut decoder = Decoder::new(Log::default());
        decoder.born(Self::TID, Origin::Root, &view);
        Self { view, decoder, abi, next: HEAP }
    }

    /// Puts bytes into memory; returns their address.
    pub(super) fn bytes(&mut self, bytes: &[u8]) -> u64 {
        let at = self.next;
        self.view.map(at, bytes);
        self.next += 0x1_0000;
        at
    }

    /// Puts a C string into memory.
    pub(super) fn text(&mut self, text: &str) -> u64 {
        self.bytes(&[text.as_bytes(), b"\0"].concat())
    }

    /// Puts 32-bit values into memory.
    pub(super) fn words(&mut self, words: &[u32]) -> u64 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        self.bytes(&bytes)
    }

    /// A call with its name in this bench's ABI.
    pub(super) fn made(&self, name: &str, args: &[u64]) -> Call {
        let mut call = Call { abi: self.abi, number: self.abi.number(name).unwrap(), args: [0; 6] };
        call.args[..args.len()].copy_from_slice(args);
        if self.abi.word_size() == 4 {
            call.args = call.args.map(|arg| arg & 0xffff_ffff);
        }
        call
    }

    /// Makes a call that changes the task by `effect`; returns what it taught beside the call itself.
    pub(super) fn effect(
        &mut self,
        name: &str,
        args: &[u64],
        outcome: Outcome,
        effect: impl FnOnce(&FakeView),
    ) -> Vec<Fact> {
        let call = self.made(name, args);
        self.decoder.recorder_mut().facts.clear();
        assert!(self.decoder.enter(Self::TID, &call, &self.view).leave);
        effect(&self.view);
        self.decoder.leave(Self::TID, &call, outcome, &self.view);
        let facts = self.decoder.recorder().facts.clone();
        let (subject, outcomes) = (path("/bin/prog"), outcome);
        assert!(facts.iter().all(|(of, _, with)| *of == subject && *with == outcomes), "{facts:?}");
        let facts = facts.into_iter().map(|(_, fact, _)| fact);
        facts.filter(|fact| !matches!(fact, Fact::Syscall(..) | Fact::Arguments(..))).collect()
    }

    /// Makes a call that succeeds with 0.
    pub(super) fn call(&mut self, name: &str, args: &[u64]) -> Vec<Fact> {
        self.effect(name, args, Outcome::Returned(0), |_| ())
    }

    /// Makes a call that fails.
    pub(super) fn fail(&mut self, name: &str, args: &[u64], errno: i32) -> Vec<Fact> {
        self.effect(name, args, Outcome::Failed(errno), |_| ())
    }

    /// Whether this ABI has the call.
    pub(super) fn has(&self, name: &str) -> bool {
        self.abi.number(name).is_some()
    }

    /// The kinds of gaps so far.
    pub(super) fn gaps(&self) -> Vec<GapKind> {
        self.decoder.recorder().gaps.iter().map(|gap| gap.kind).collect()
    }
}

/// Files and what was done to them, as text: `/srv/a: read write`.
pub(super) fn files(facts: &[Fact]) -> Vec<String> {
    let files = facts.iter().filter_map(|fact| if let Fact::File(file) = fact { Some(file) } else { None });
    files.map(|FileFact { path, access, .. }| format!("{path}: {access}")).collect()
}

/// What was asked that hangs on a capability.
pub(super) fn operations(facts: &[Fact]) -> Vec<Operation> {
    let checks = facts.iter().filter_map(|fact| if let Fact::Check(check) = fact { Some(check) } else { None });
    checks.map(|Check { operation, .. }| operation.clone()).collect()
}

/// One use of a file by its owner.
pub(super) fn owned(name: &str, access: Access) -> Fact {
    Fact::File(FileFact { path: path(name), access, owner: true, directory: false })
}

/// That the permissions of a file refuse `wanted`, `rwx` bits.
pub(super) fn access_denied(name: &str, wanted: u8, mode: u32, owner: (u32, u32)) -> Operation {
    Operation::FileAccess { path: path(name), wanted, mode, owner }
}
