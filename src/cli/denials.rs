//! What a profile denied in a run: the sink of a confined workload.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::denial::Denial;
use super::io::visible;
use super::summary::plural;
use crate::decode;
use crate::event::{
    Call, Census, Directive, Ended, Fate, Interest, KnownCalls, Loss, Origin, Outcome, Sink, TaskView, Tid,
};
use crate::fact::{Arguments, Fact, Gap};
use crate::policy::seccomp::{Action, Seccomp, asked};
use crate::record::{Moment, Record};

/// How many different denials are kept; further ones are only counted.
const LIMIT: usize = 10_000;
/// How many different arguments of one are kept.
const ARGUMENTS: usize = 64;
/// How many of them the summary shows.
const SHOWN: usize = 20;

/// How often a denial was met.
#[derive(Clone, Debug)]
struct Met {
    /// The arguments of the first such call.
    first: [u64; 6],
    /// How many there were.
    times: u64,
    /// The significant arguments of them all.
    arguments: BTreeSet<Arguments>,
}

/// Decides over what the filter stops, and keeps account.
pub(super) struct Denials<'p> {
    profile: &'p Seccomp,
    complain: bool,
    seen: BTreeMap<Denial, Met>,
    /// The execve that starts the workload, until it is known which program that is.
    start: Option<(Call, Action)>,
    /// Whether the workload runs its own program.
    started: bool,
    /// Denied calls beyond the limit.
    beyond: u64,
    gaps: BTreeSet<Gap>,
}

impl<'p> Denials<'p> {
    /// Under `profile`, of which nothing is enforced with `complain`.
    pub(super) fn new(profile: &'p Seccomp, complain: bool) -> Self {
        Self { profile, complain, seen: BTreeMap::new(), start: None, started: false, beyond: 0, gaps: BTreeSet::new() }
    }

    /// Whether nothing was denied.
    pub(super) fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    /// Everything that was denied.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Denial> {
        self.seen.keys()
    }

    /// What was not seen.
    pub(super) fn gaps(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter()
    }

    fn note(&mut self, call: &Call, action: Action, view: &dyn TaskView) {
        let denial = Denial::new(self.profile, view.exe().ok(), call, action);
        if self.seen.len() >= LIMIT && !self.seen.contains_key(&denial) {
            self.beyond += 1;
            return;
        }
        let met = self.seen.entry(denial.clone()).or_insert_with(|| {
            log::info!("{}: {}", if self.complain { "would be denied" } else { "denied" }, denial.told(call.args));
            Met { first: call.args, times: 0, arguments: BTreeSet::new() }
        });
        met.times += 1;
        if met.arguments.len() < ARGUMENTS {
            met.arguments.extend(decode::arguments_of(call));
        }
    }

    /// What was denied and what would allow it, the most frequent first.
    pub(super) fn summary(&self) -> String {
        let mut denials: Vec<_> = self.seen.iter().collect();
        denials.sort_by_key(|(_, met)| std::cmp::Reverse(met.times));
        let verb = if self.complain { "would deny" } else { "denied" };
        let calls = usize::try_from(self.seen.values().map(|met| met.times).sum::<u64>() + self.beyond);
        let calls = plural(calls.unwrap_or(usize::MAX), "call", "calls");
        let mut text = match denials.len() {
            0 => format!("the profile {verb} nothing\n"),
            kinds => format!("the profile {verb} {calls} of {}\n", plural(kinds, "kind", "kinds")),
        };
        for (denial, met) in denials.iter().take(SHOWN) {
            let _ = writeln!(text, "  {:>5} x  {}", met.times, denial.told(met.first));
            let _ = writeln!(text, "           allowed by {}", denial.remedy(self.profile));
        }
        if denials.len() > SHOWN {
            let _ = writeln!(text, "  and {} more kinds (-v tells each when it happens)", denials.len() - SHOWN);
        }
        for gap in &self.gaps {
            let _ = writeln!(text, "  not seen {} ({})", visible(&gap.detail), gap.kind.name());
        }
        text
    }

    /// Adds what was denied to a record, as seen at `moment`. Returns how much of it was new.
    pub(super) fn add_to(&self, record: &mut Record, moment: Moment) -> usize {
        let mut news = 0;
        for (denial, met) in &self.seen {
            let Some(subject) = &denial.subject else {
                log::warn!("not added, because its program is unknown: {}", denial.told(met.first));
                continue;
            };
            let outcome = match denial.action {
                Action::Errno(errno) if !self.complain => Outcome::Failed(errno.into()),
                _ => Outcome::Unfinished,
            };
            let arguments = met.arguments.iter().cloned();
            let arguments = arguments.map(|values| Fact::Arguments(denial.abi, denial.call.clone(), values));
            for fact in std::iter::once(Fact::Syscall(denial.abi, denial.call.clone())).chain(arguments) {
                news += usize::from(record.absorb(subject, fact, outcome, moment));
            }
            record.count(subject, denial.abi, &denial.call, met.times, moment);
        }
        record.gaps.extend(self.gaps.iter().cloned());
        news
    }
}

impl Sink for Denials<'_> {
    fn denied(&mut self, _: Tid, call: &Call, data: u32, view: &dyn TaskView) -> Fate {
        // Data of no action is of a filter that the workload installed itself: nobody traces for it.
        let Some(action) = u16::try_from(data).ok().and_then(asked) else { return Fate::Fail(libc::ENOSYS) };
        if self.started {
            self.note(call, action, view);
        } else {
            self.start = Some((*call, action));
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
        self.gaps.insert(decode::gap_of(loss));
    }

    fn born(&mut self, _: Tid, _: Origin, _: &dyn TaskView) {}

    fn enter(&mut self, _: Tid, _: &Call, _: &dyn TaskView) -> Interest {
        Interest::default()
    }

    fn leave(&mut self, _: Tid, _: &Call, _: Outcome, _: &dyn TaskView) -> bool {
        false
    }

    fn exec(&mut self, _: Tid, _: Tid, view: &dyn TaskView) {
        self.started = true;
        if let Some((call, action)) = self.start.take() {
            self.note(&call, action, view);
        }
    }

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
