//! A run under the file rules of an AppArmor profile, without AppArmor: calls that the rules do not permit fail with
//! EACCES.
//!
//! A rehearsal, no protection: calls are judged before they are made, by the paths that they name, and a mapping or a
//! script's interpreter is not looked at.

use std::collections::BTreeSet;

use crate::abi::{Abi, Syscall};
use crate::decode::{Decoder, Recorder};
use crate::event::{
    Base, Call, Census, Directive, Ended, Fate, Interest, KnownCalls, Loss, Origin, Outcome, Sink, TaskView, Tid,
};
use crate::fact::{Access, Fact, FileFact, Gap};
use crate::path::AbsPath;
use crate::policy::apparmor::AppArmor;
use crate::policy::seccomp::{Action, Architecture, Rule, Seccomp};
use crate::policy::{Policy, Verdict};
use crate::record::{Caller, Invocation};

/// Calls that use files by their names.
const FILE_CALLS: [&str; 40] = [
    "bind",
    "chmod",
    "chown",
    "connect",
    "creat",
    "execve",
    "execveat",
    "fchmodat",
    "fchownat",
    "futimesat",
    "lchown",
    "link",
    "linkat",
    "lremovexattr",
    "lsetxattr",
    "mkdir",
    "mkdirat",
    "mknod",
    "mknodat",
    "open",
    "openat",
    "openat2",
    "removexattr",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setxattr",
    "symlink",
    "symlinkat",
    "truncate",
    "unlink",
    "unlinkat",
    "uselib",
    "utime",
    "utimensat",
    "utimes",
];

/// The filter under which these calls ask.
pub(super) fn asking(architectures: &BTreeSet<Architecture>) -> Seccomp {
    let names = FILE_CALLS.iter().map(|name| Syscall::Named((*name).into())).collect();
    let errno = u16::try_from(libc::EACCES).unwrap_or_default();
    let rule = Rule { names, action: Action::Errno(errno), conditions: Vec::new() };
    let mut profile = Seccomp::allowing();
    profile.architectures.clone_from(architectures);
    profile.syscalls = vec![rule];
    profile
}

/// Decides over what the filter stops.
pub(super) struct Rehearsal<'p> {
    profile: &'p AppArmor,
    decoder: Decoder<Asked>,
}

impl<'p> Rehearsal<'p> {
    /// Under the file rules of `profile`.
    pub(super) fn new(profile: &'p AppArmor) -> Self {
        Self { profile, decoder: Decoder::new(Asked::default()) }
    }

    fn permits(&self, file: &FileFact, view: &dyn TaskView) -> bool {
        const MAKES: Access = Access::CREATE.union(Access::RENAME_TO).union(Access::LINK);
        // A name that is not there never reaches the kernel's hooks.
        let missing = || view.resolve(Base::Cwd, file.path.as_bytes(), false).is_ok_and(|spot| spot.inode.is_none());
        // Ids may have changed unseen: what the owner may do is permitted.
        let owned = Fact::File(FileFact { owner: true, ..file.clone() });
        self.profile.permits(&owned) != Verdict::Denied || (!file.access.intersects(MAKES) && missing())
    }
}

/// The files of the call that is looked at.
#[derive(Default)]
struct Asked(Vec<FileFact>);

impl Recorder for Asked {
    fn fact(&mut self, _: &AbsPath, _: Option<Caller>, fact: Fact, _: Outcome) -> bool {
        if let Fact::File(file) = fact {
            self.0.push(file);
        }
        false
    }

    fn count(&mut self, _: &AbsPath, _: Option<Caller>, _: Abi, _: &Syscall, _: u64) {}

    fn invoked(&mut self, _: &AbsPath, _: Invocation) {}

    fn gap(&mut self, _: Gap) -> bool {
        false
    }
}

impl Sink for Rehearsal<'_> {
    fn denied(&mut self, tid: Tid, call: &Call, _: u32, view: &dyn TaskView) -> Fate {
        self.decoder.recorder_mut().0.clear();
        // As if it had been refused: then it is told by the names that it asked for.
        self.decoder.enter(tid, call, view);
        self.decoder.leave(tid, call, Outcome::Failed(libc::EACCES), view);
        let files = std::mem::take(&mut self.decoder.recorder_mut().0);
        let permitted = files.iter().all(|file| self.permits(file, view));
        if permitted { Fate::Pass } else { Fate::Fail(libc::EACCES) }
    }

    fn born(&mut self, tid: Tid, origin: Origin, view: &dyn TaskView) {
        self.decoder.born(tid, origin, view);
    }

    fn exec(&mut self, tid: Tid, former: Tid, view: &dyn TaskView) {
        self.decoder.exec(tid, former, view);
    }

    fn gone(&mut self, tid: Tid, ended: Ended) {
        self.decoder.gone(tid, ended);
    }

    fn enter(&mut self, _: Tid, _: &Call, _: &dyn TaskView) -> Interest {
        Interest::default()
    }

    fn leave(&mut self, _: Tid, _: &Call, _: Outcome, _: &dyn TaskView) -> bool {
        false
    }

    fn thinned(&mut self, _: Tid) {}

    fn lent_no_new_privs(&mut self, _: Tid) {}

    fn lost(&mut self, _: Loss) {}

    fn known(&self) -> KnownCalls {
        KnownCalls::default()
    }

    fn tick(&mut self, _: Census) -> Directive {
        Directive::Continue
    }
}
