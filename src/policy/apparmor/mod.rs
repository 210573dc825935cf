//! AppArmor profiles (`apparmor.d(5)`), as typed rules.
//!
//! One profile for the whole workload: programs that it executes run under the same profile (`ix`). Every rule is for
//! one observed thing; [`RECEIVED`] lists the one exception. There is no rule for resource limits: `set rlimit` would
//! not permit a change, it would make one when the profile attaches.

mod files;
pub mod names;

use std::collections::{BTreeMap, BTreeSet};

pub use files::{FileRule, Permissions};

use super::{Policy, Verdict, caps};
use crate::fact::{
    Capability, Fact, Gap, GapKind, MountFact, MountOperation, NetworkFact, SignalFact, SignalTarget, TraceFact,
};
use crate::infer::caps::{idle_question, sufficient};
use crate::infer::{CapabilityNeed, Needs};
use crate::path::{AbsPath, from_text};

/// Signals that the workload must be able to receive though nobody sent them while it was watched: without, neither
/// init nor an administrator could stop it. The parser's word for all others is an empty set.
pub const RECEIVED: SignalRule =
    SignalRule { send: false, receive: true, peer: Peer::Unconfined, signals: BTreeSet::new() };

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppArmor {
    /// The program that it attaches to.
    pub attachment: Option<AbsPath>,
    /// File rules, sorted by pattern and kind, one each.
    pub files: Vec<FileRule>,
    /// Family and type of sockets.
    pub network: BTreeSet<(&'static str, &'static str)>,
    /// Capabilities.
    pub capabilities: BTreeSet<Capability>,
    /// Further capabilities that the kernel asks for without acting on the answer: each refusal is logged.
    pub idle: BTreeSet<Capability>,
    /// Signals.
    pub signals: BTreeSet<SignalRule>,
    /// Tracing.
    pub traces: BTreeSet<TraceRule>,
    /// Changes of the mount table.
    pub mounts: BTreeSet<MountRule>,
    gaps: BTreeSet<Gap>,
}

/// With whom a rule deals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Processes under this same profile.
    Own,
    /// Processes without a profile.
    Unconfined,
    /// Anybody: what the peer is confined by was not seen.
    Anybody,
}

/// A `signal` rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SignalRule {
    /// With whom.
    pub peer: Peer,
    /// Whether they may be sent.
    pub send: bool,
    /// Whether they may be received.
    pub receive: bool,
    /// Which signals; none means all.
    pub signals: BTreeSet<&'static str>,
}

/// A `ptrace` rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TraceRule {
    /// With whom.
    pub peer: Peer,
    /// Reading only.
    pub read_only: bool,
}

/// A rule about the mount table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountRule {
    /// What is done.
    pub operation: MountOperation,
    /// The file system's type.
    pub filesystem: Option<String>,
    /// The options, exactly these.
    pub options: Vec<&'static str>,
    /// The source: an absolute path, which may be a directory, or a plain word, in bytes.
    pub source: Option<Vec<u8>>,
    /// The mount point.
    pub target: AbsPath,
}

impl AppArmor {
    /// Allows what was observed.
    #[must_use]
    pub fn new(needs: &Needs<'_>) -> Self {
        let mut gaps = BTreeSet::new();
        let capabilities = caps::granted(&needs.capabilities).map(|need| need.capability).collect();
        Self {
            attachment: needs.origin.program.cloned(),
            files: files::rules(needs),
            network: expressible(needs.network.keys(), &mut gaps, |fact| network(fact)),
            idle: &idle(needs) - &capabilities,
            capabilities,
            signals: signals(needs, &mut gaps),
            traces: needs.traces.keys().map(|fact| trace(fact)).collect(),
            mounts: expressible(needs.mounts.keys(), &mut gaps, |fact| mount(fact)),
            gaps,
        }
    }

    /// An execution does not tell who owns the file; the file fact that comes with it does, and is judged by that.
    fn permits_execution(&self, path: &AbsPath) -> bool {
        self.granted(path, false, true).contains(Permissions::EXECUTE)
    }

    /// Everything that is granted for `path`, to its owner or to anybody.
    fn granted(&self, path: &AbsPath, directory: bool, owner: bool) -> Permissions {
        files::granted(&self.files, path, directory, owner)
    }
}

impl Policy for AppArmor {
    fn permits(&self, fact: &Fact) -> Verdict {
        match fact {
            Fact::File(fact) => match Permissions::for_access(fact.access) {
                asked if asked.is_empty() => Verdict::NotGoverned,
                asked => {
                    let granted = self.granted(&fact.path, fact.directory, fact.owner);
                    Verdict::allowed_if(granted.allow(asked))
                }
            },
            Fact::Execution(fact) => {
                Verdict::allowed_if(self.permits_execution(&fact.file) && self.permits_execution(&fact.program))
            }
            Fact::Network(fact) => Verdict::allowed_if(network(fact).is_ok_and(|rule| self.network.contains(&rule))),
            Fact::Check(check) => match idle_question(check) {
                Some(asked) => Verdict::allowed_if(self.capabilities.contains(&asked) || self.idle.contains(&asked)),
                None => caps::permits(&self.capabilities, fact),
            },
            Fact::Signal(fact) => Verdict::allowed_if(self.signals.iter().any(|rule| rule.permits(fact))),
            Fact::Trace(fact) => Verdict::allowed_if(self.traces.contains(&trace(fact))),
            Fact::Mount(fact) => Verdict::allowed_if(mount(fact).is_ok_and(|rule| self.mounts.contains(&rule))),
            Fact::Syscall(..) | Fact::Arguments(..) | Fact::Namespace(_) | Fact::Identity(_) | Fact::Limit(_) => {
                Verdict::NotGoverned
            }
        }
    }

    fn gaps(&self) -> &BTreeSet<Gap> {
        &self.gaps
    }
}

impl SignalRule {
    fn permits(&self, fact: &SignalFact) -> bool {
        let Some(word) = names::signal(fact.signal) else {
            return false;
        };
        let peer = self.peer == peer(&fact.to) || self.peer == Peer::Anybody;
        // Between processes under the same profile both ends are asked.
        let ends = self.send && (self.receive || fact.to == SignalTarget::Outside);
        peer && ends && (self.signals.is_empty() || self.signals.contains(word))
    }
}

/// What the kernel asks for without acting on the answer, and what it asks for first: it tries `CAP_DAC_READ_SEARCH` for
/// what that would grant before `CAP_DAC_OVERRIDE` (`fs/namei.c`, `generic_permission()`).
fn idle(needs: &Needs<'_>) -> BTreeSet<Capability> {
    let first = |need: &CapabilityNeed<'_>| {
        let mut checks = need.reasons.iter().map(|reason| sufficient(reason.check));
        let asked = need.capability == Capability::DacOverride
            && checks.any(|any_of| any_of.contains(&Capability::DacReadSearch));
        asked.then_some(Capability::DacReadSearch)
    };
    caps::granted(&needs.capabilities).filter_map(first).chain(needs.idle.iter().copied()).collect()
}

/// The rules of the facts that have one; the others become gaps.
fn expressible<'f, F: 'f, R: Ord>(
    facts: impl Iterator<Item = F>,
    gaps: &mut BTreeSet<Gap>,
    rule: impl Fn(F) -> Result<R, String>,
) -> BTreeSet<R> {
    let mut rules = BTreeSet::new();
    for fact in facts {
        match rule(fact) {
            Ok(rule) => drop(rules.insert(rule)),
            Err(reason) => {
                let detail = format!("AppArmor has no words for {reason}: it is refused");
                gaps.insert(Gap { kind: GapKind::Inexpressible, detail });
            }
        }
    }
    rules
}

fn network(fact: &NetworkFact) -> Result<(&'static str, &'static str), String> {
    let words = names::family(fact.family).zip(names::socket_type(fact.kind));
    words.ok_or_else(|| format!("sockets of family {} and type {}", fact.family, fact.kind))
}

/// One rule for each kind of peer.
fn signals(needs: &Needs<'_>, gaps: &mut BTreeSet<Gap>) -> BTreeSet<SignalRule> {
    let words = expressible(needs.signals.keys(), gaps, |fact| {
        let word = names::signal(fact.signal).ok_or_else(|| format!("signal {}", fact.signal))?;
        Ok((peer(&fact.to), word))
    });
    let mut by_peer = BTreeMap::<Peer, BTreeSet<&str>>::new();
    for (peer, word) in words {
        by_peer.entry(peer).or_default().insert(word);
    }
    let sent = by_peer.into_iter().map(|(peer, signals)| {
        // Between processes under the same profile both ends are asked.
        SignalRule { peer, send: true, receive: peer == Peer::Own, signals }
    });
    sent.chain([RECEIVED]).collect()
}

/// Programs of the workload share this profile.
fn peer(target: &SignalTarget) -> Peer {
    match target {
        SignalTarget::Itself | SignalTarget::Program(_) | SignalTarget::Group => Peer::Own,
        SignalTarget::Outside => Peer::Anybody,
    }
}

fn trace(fact: &TraceFact) -> TraceRule {
    TraceRule { peer: peer(&fact.to), read_only: fact.read_only }
}

/// What the kernel compares depends on the kind of change (`security/apparmor/lsm.c`, `apparmor_sb_mount()`).
fn mount(fact: &MountFact) -> Result<MountRule, String> {
    const PROPAGATION: u64 = libc::MS_SHARED | libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_UNBINDABLE;
    let MountFact { operation, source, target, filesystem, flags } = fact;
    let told = || format!("the {} on {target} with source `{source}` and flags {flags:#x}", word(*operation));
    let by_path = || from_text(source).filter(|bytes| bytes.starts_with(b"/")).ok_or_else(told).map(Some);
    let given = || from_text(source).filter(|bytes| !bytes.is_empty());
    let (compared, source, filesystem) = match operation {
        MountOperation::Umount | MountOperation::PivotRoot => (None, None, ""),
        MountOperation::Remount => (Some(*flags), None, ""),
        MountOperation::Mount if flags & libc::MS_BIND != 0 => {
            (Some(flags & (libc::MS_BIND | libc::MS_REC)), by_path()?, "")
        }
        MountOperation::Mount if flags & PROPAGATION != 0 => {
            (Some(flags & (PROPAGATION | libc::MS_REC | libc::MS_SILENT)), None, "")
        }
        MountOperation::Mount if flags & libc::MS_MOVE != 0 => (Some(libc::MS_MOVE), by_path()?, ""),
        MountOperation::Mount => (Some(*flags), given(), filesystem.as_str()),
    };
    let options = compared.map_or_else(|| Some(Vec::new()), names::mount_options).ok_or_else(told)?;
    let filesystem = Some(filesystem.to_owned()).filter(|name| !name.is_empty());
    Ok(MountRule { operation: *operation, filesystem, options, source, target: target.clone() })
}

const fn word(operation: MountOperation) -> &'static str {
    match operation {
        MountOperation::Mount => "mount",
        MountOperation::Remount => "remount",
        MountOperation::Umount => "umount",
        MountOperation::PivotRoot => "pivot_root",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::infer::{Options, infer};
    use crate::record::Record;

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text.as_bytes()).unwrap()
    }

    fn mounted(operation: MountOperation, source: &str, flags: u64) -> Result<String, String> {
        let filesystem = "tmpfs".to_owned();
        let rule = mount(&MountFact { operation, source: source.into(), target: path("/m"), filesystem, flags })?;
        let source = rule.source.map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default();
        Ok(format!("{} {} {source}", rule.options.join(","), rule.filesystem.unwrap_or_default()))
    }

    #[test]
    fn each_kind_of_mount_is_compared_by_its_own_flags() {
        use MountOperation::{Mount, PivotRoot, Remount, Umount};
        let nosuid = libc::MS_NOSUID;
        assert_eq!(mounted(Mount, "none", nosuid).unwrap(), "rw,nosuid tmpfs none");
        assert_eq!(mounted(Mount, "/a", nosuid | libc::MS_BIND | libc::MS_REC).unwrap(), "rw,rbind  /a");
        assert_eq!(mounted(Mount, "none", libc::MS_REC | libc::MS_PRIVATE).unwrap(), "rw,rprivate  ");
        assert_eq!(mounted(Mount, "/a", libc::MS_MOVE | nosuid).unwrap(), "rw,move  /a");
        assert_eq!(mounted(Remount, "x", libc::MS_REMOUNT | libc::MS_RDONLY).unwrap(), "ro  ");
        assert_eq!(mounted(Umount, "", 2).unwrap(), "  ");
        assert_eq!(mounted(PivotRoot, "", 0).unwrap(), "  ");
        assert!(mounted(Mount, "relative", libc::MS_BIND).is_err(), "would be any source");
        assert!(mounted(Mount, "none", 1 << 40).is_err(), "a flag without a word");
    }

    #[test]
    fn signals_between_own_processes_need_both_ends() {
        let policy = AppArmor::new(&infer(&Record::default(), &Options::default()));
        assert_eq!(policy.signals.iter().collect::<Vec<_>>(), [&RECEIVED]);
        let sent = |peer, receive| SignalRule { peer, send: true, receive, signals: ["term"].into() };
        let term = |to| SignalFact { signal: libc::SIGTERM, to };
        assert!(sent(Peer::Own, true).permits(&term(SignalTarget::Program(path("/x")))));
        assert!(!sent(Peer::Own, false).permits(&term(SignalTarget::Itself)));
        assert!(!sent(Peer::Own, true).permits(&term(SignalTarget::Outside)));
        assert!(sent(Peer::Anybody, false).permits(&term(SignalTarget::Outside)));
        assert!(!sent(Peer::Own, true).permits(&SignalFact { signal: libc::SIGHUP, to: SignalTarget::Itself }));
        assert!(!RECEIVED.permits(&term(SignalTarget::Outside)));
    }
}
