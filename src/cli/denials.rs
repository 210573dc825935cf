//! What a profile denied in a run: the sink of a confined workload.

use std::collections::BTreeMap;

use crate::abi::{Abi, Syscall};
use crate::event::{
    Call, Census, Directive, Ended, Fate, Interest, KnownCalls, Loss, Origin, Outcome, Sink, TaskView, Tid,
};
use crate::path::AbsPath;
use crate::policy::seccomp::{Action, Seccomp, asked};

/// How many different denials are kept; further ones are only counted.
const LIMIT: usize = 10_000;

/// A denied call, as far as the profile tells calls apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Denial {
    /// The executable, when it could be found out.
    pub(super) subject: Option<AbsPath>,
    /// The ABI of the call.
    pub(super) abi: Abi,
    /// The call.
    pub(super) call: Syscall,
    /// The arguments that rules of this call compare.
    pub(super) compared: Vec<(u8, u64)>,
    /// What the profile does with it.
    pub(super) action: Action,
}

/// Decides over what the filter stops, and keeps account.
pub(super) struct Denials {
    profile: Option<Seccomp>,
    complain: bool,
    /// Every denial, with the arguments of the first such call and how often.
    pub(super) seen: BTreeMap<Denial, ([u64; 6], u64)>,
    /// Losses, for a reader.
    pub(super) lost: Vec<String>,
    quiet: bool,
}

impl Denials {
    /// Under `profile`, of which nothing is enforced with `complain`. Each first denial is told unless `quiet`.
    pub(super) fn new(profile: Option<Seccomp>, complain: bool, quiet: bool) -> Self {
        Self { profile, complain, seen: BTreeMap::new(), lost: Vec::new(), quiet }
    }

    fn note(&mut self, profile: &Seccomp, call: &Call, action: Action, view: &dyn TaskView) {
        let name = call.abi.syscall(call.number);
        let rules = profile.syscalls.iter().filter(|rule| rule.names.contains(&name));
        let compared = rules.flat_map(|rule| rule.conditions.iter().map(|condition| condition.index));
        let mut compared: Vec<_> =
            compared.filter_map(|index| Some((index, *call.args.get(usize::from(index))?))).collect();
        compared.sort_unstable();
        compared.dedup();
        let denial = Denial { subject: view.exe().ok(), abi: call.abi, call: name, compared, action };
        let full = self.seen.len() >= LIMIT;
        if let Some((_, times)) = self.seen.get_mut(&denial) {
            *times += 1;
        } else if !full {
            if !self.quiet {
                log::warn!("{}", denial.told(call.args, self.complain));
                log::warn!("  allowed by {}", denial.remedy(profile));
            }
            self.seen.insert(denial, (call.args, 1));
        }
    }
}

impl Denial {
    /// In one line, with the arguments of such a call.
    pub(super) fn told(&self, args: [u64; 6], complain: bool) -> String {
        let subject = self.subject.as_ref().map_or_else(|| "an unknown program".to_owned(), ToString::to_string);
        let args = args.map(|arg| format!("{arg:#x}")).join(", ");
        let end = match self.action {
            Action::Errno(errno) => format!("fails with {:?}", nix::errno::Errno::from_raw(errno.into())),
            Action::Trap => "gets SIGSYS".to_owned(),
            Action::KillThread => "ends the thread".to_owned(),
            Action::KillProcess => "ends the process".to_owned(),
            _ => "fails with ENOSYS, since nobody answers for it".to_owned(),
        };
        let verb = if complain { "would be denied" } else { "denied" };
        format!("{verb}: {subject}: {} {}({args}) {end}", self.abi, self.call)
    }

    /// The rule that would have allowed it.
    pub(super) fn remedy(&self, profile: &Seccomp) -> String {
        if !profile.covers(self.abi) && self.abi != Abi::native() {
            return format!("\"{}\" in architectures, with a rule for {}", self.abi.oci_name(), self.call);
        }
        let Some(name) = self.call.name() else {
            return "no rule: the call has no name here that a profile could hold".to_owned();
        };
        let args: Vec<_> = self
            .compared
            .iter()
            .map(|(index, value)| serde_json::json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"}))
            .collect();
        let mut rule = serde_json::json!({"names": [name], "action": "SCMP_ACT_ALLOW"});
        if !args.is_empty()
            && let Some(rule) = rule.as_object_mut()
        {
            rule.insert("args".to_owned(), args.into());
        }
        rule.to_string()
    }
}

impl Sink for Denials {
    fn denied(&mut self, _: Tid, call: &Call, data: u32, view: &dyn TaskView) -> Fate {
        // Data of no action is of a filter that the workload installed itself: nobody traces for it.
        let Some(action) = u16::try_from(data).ok().and_then(asked) else { return Fate::Fail(libc::ENOSYS) };
        if let Some(profile) = self.profile.take() {
            self.note(&profile, call, action, view);
            self.profile = Some(profile);
        }
        match action {
            _ if self.complain => Fate::Pass,
            Action::Errno(errno) => Fate::Fail(errno.into()),
            Action::Trap => Fate::Trap,
            Action::KillThread => Fate::KillThread,
            Action::KillProcess => Fate::KillProcess,
            _ => Fate::Fail(libc::ENOSYS),
        }
    }

    fn lost(&mut self, loss: Loss) {
        self.lost.push(format!("{loss:?}"));
    }

    fn born(&mut self, _: Tid, _: Origin, _: &dyn TaskView) {}

    fn enter(&mut self, _: Tid, _: &Call, _: &dyn TaskView) -> Interest {
        Interest::default()
    }

    fn leave(&mut self, _: Tid, _: &Call, _: Outcome, _: &dyn TaskView) -> bool {
        false
    }

    fn exec(&mut self, _: Tid, _: Tid, _: &dyn TaskView) {}

    fn thinned(&mut self, _: Tid) {}

    fn lent_no_new_privs(&mut self, _: Tid) {}

    fn gone(&mut self, _: Tid, _: Ended) {}

    fn known(&self) -> KnownCalls {
        KnownCalls::default()
    }

    fn tick(&mut self, _: Census) -> Directive {
        Directive::Continue
    }
}
