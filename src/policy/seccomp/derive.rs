//! A profile from needs: what was seen, and what options add to it or take away, each with its reason.

use std::collections::{BTreeMap, BTreeSet};

use super::grammar::{Action, Architecture, Condition, ENOSYS, EPERM, Rule};
use super::options::{Options, Portable, Refusal};
use super::sets::{self, NamedSet};
use super::target::{self, MOST_RULES, TargetError};
use super::within::{self, Chains};
use super::{Seccomp, introduced};
use crate::abi::{Abi, Syscall};
use crate::fact::{Gap, GapKind};
use crate::infer::args::{self, Held};
use crate::infer::{Needs, risk};

/// A profile with what is to be said of it.
#[derive(Clone, Debug, Default)]
pub struct Derived {
    /// The profile.
    pub profile: Seccomp,
    /// What each of its rules is for, in their order.
    pub purposes: Vec<String>,
    /// The sets that were added, with those of their calls that were not seen; none is empty.
    pub added: Vec<NamedSet>,
    /// What arguments are held to, one call a line: `socket: only AF_UNIX, AF_INET`.
    pub held: Vec<String>,
    /// What was seen and lies beyond [`Options::within`], one call a line with who made it.
    pub beyond: Vec<String>,
    /// What was seen and left out by [`Options::deny_risky`], one call a line with who made it.
    pub denied: Vec<String>,
}

/// With which arguments calls are allowed; `None` for any.
type Allowed = BTreeMap<Syscall, Option<Held>>;

impl Derived {
    /// The profile for these needs.
    #[must_use]
    pub fn new(needs: &Needs<'_>, options: &Options) -> Self {
        let mut made = Self::default();
        let mut abis = architectures(needs, options);
        let mut seen = made.seen(needs, options);
        bound(&mut seen);
        let mut allowed = seen.clone();
        let names: BTreeSet<_> = seen.keys().collect();
        for set in sets::runtimes(options).into_iter().chain(sets::variants(&names, options)) {
            add(&mut allowed, &set, options);
            made.added.extend(news(set, &seen, options));
        }
        let mut chains: BTreeMap<_, _> =
            allowed.iter().map(|(call, held)| (call.clone(), chains(held.as_ref()))).collect();
        if let Some(limit) = &options.within {
            made.keep_within(limit, needs, &mut abis, &mut chains);
        }
        let held =
            seen.iter().filter(|(call, _)| !made.beyond.iter().any(|line| line.starts_with(&format!("{call},"))));
        made.held = held.filter_map(|(call, held)| Some(only(call, held.as_ref()?))).collect();
        let mut rules = Rules::default();
        rules.allow_all(&seen, chains, &made.added);
        rules.refuse(&abis, options);
        made.profile.default_action = options.refusal.action();
        made.profile.architectures = abis.into_iter().map(Architecture::Known).collect();
        made.profile.syscalls = rules.rules;
        made.purposes = rules.purposes;
        made
    }

    /// The same, if its reader keeps all of it.
    ///
    /// # Errors
    /// See [`TargetError`].
    pub fn fitting(self, options: &Options) -> Result<Self, TargetError> {
        target::check(&self.profile, options.target)?;
        Ok(self)
    }

    /// The calls that were made, under any ABI, but for those that are to be left out and those that have no name.
    fn seen(&mut self, needs: &Needs<'_>, options: &Options) -> Allowed {
        let risky: BTreeSet<_> = risk::dangerous().map(|(name, _)| name).collect();
        let mut allowed = Allowed::new();
        for (abi, calls) in &needs.syscalls {
            for &call in calls.keys() {
                let Some(name) = call.name() else {
                    let detail = format!("the {abi} call {call} has no name that a profile could hold: it is refused");
                    self.profile.gaps.insert(Gap { kind: GapKind::UnnamedSyscall, detail });
                    continue;
                };
                if options.deny_risky && risky.contains(name) && !options.justified.contains(call) {
                    let line = by(needs, call);
                    if !self.denied.contains(&line) {
                        self.denied.push(line);
                    }
                    continue;
                }
                let seen = needs.arguments.get(call);
                allowed.insert(call.clone(), seen.and_then(|seen| args::held(call, seen, options.arguments)));
            }
        }
        allowed
    }

    /// Takes away what `limit` does not let through.
    fn keep_within(
        &mut self,
        limit: &Seccomp,
        needs: &Needs<'_>,
        abis: &mut BTreeSet<Abi>,
        chains: &mut BTreeMap<Syscall, Chains>,
    ) {
        for abi in abis.iter().filter(|abi| !limit.covers(**abi)) {
            self.beyond.push(format!("every {abi} call"));
        }
        abis.retain(|abi| limit.covers(*abi));
        chains.retain(|call, chains| {
            let (kept, less) = within::kept(limit, abis, call, chains);
            let seen = needs.syscalls.values().any(|calls| calls.contains_key(call));
            if less && seen {
                let some = if kept.is_empty() { "" } else { " with other arguments" };
                self.beyond.push(format!("{}{some}", by(needs, call)));
            }
            *chains = kept;
            !chains.is_empty()
        });
        for set in &mut self.added {
            set.calls.retain(|call, _| chains.contains_key(call));
        }
        self.added.retain(|set| !set.calls.is_empty());
    }
}

/// The ABIs that were used, and those for which the profile is to hold as well.
fn architectures(needs: &Needs<'_>, options: &Options) -> BTreeSet<Abi> {
    let mut abis: BTreeSet<_> = needs.syscalls.keys().copied().collect();
    if options.portable.contains(&Portable::Arch) && !abis.is_empty() {
        abis.extend([Abi::X86_64, Abi::Aarch64]);
    }
    abis
}

/// A call with the executables that made it: `mount, by /usr/bin/mount`.
fn by(needs: &Needs<'_>, call: &Syscall) -> String {
    let causes = needs.syscalls.values().filter_map(|calls| calls.get(call)).flatten();
    let subjects: BTreeSet<_> = causes.map(|cause| cause.subject.to_string()).collect();
    format!("{call}, by {}", subjects.into_iter().collect::<Vec<_>>().join(", "))
}

/// What of a set was not seen; `None` where all of it was.
fn news(mut set: NamedSet, seen: &Allowed, options: &Options) -> Option<NamedSet> {
    let wider = |held: &Held, first: &BTreeSet<u32>| held.with(first).is_some_and(|all| all.values() != held.values());
    set.calls.retain(|call, first| match seen.get(call) {
        None => true,
        Some(None) => false,
        Some(Some(held)) => first.as_ref().is_none_or(|first| wider(held, first)),
    });
    let held = set
        .calls
        .iter()
        .filter_map(|(call, first)| Some(only(call, &args::first(call, first.as_ref()?, options.arguments)?)));
    set.held = held.collect();
    (!set.calls.is_empty()).then_some(set)
}

/// The lists of conditions for what a call is held to; one without conditions for any arguments.
fn chains(held: Option<&Held>) -> Chains {
    let Some(held) = held else { return vec![Vec::new()] };
    let chain = |values: &Vec<u32>| {
        let bits = held.bits().iter().zip(values);
        bits.map(|(&(index, mask), &value)| Condition::bits(index, mask, value)).collect()
    };
    held.values().iter().map(chain).collect()
}

/// To what a call is held, in words.
fn only(call: &Syscall, held: &Held) -> String {
    let words = held.words();
    let only = if words.starts_with("no ") { "" } else { "only " };
    format!("{call}: {only}{words}")
}

/// Lets go of the calls with the most values until there is room for a rule for each value, and for all other rules.
fn bound(allowed: &mut Allowed) {
    const OTHERS: usize = 16;
    loop {
        let held = allowed.iter_mut().filter_map(|(_, held)| Some((held.as_ref()?.values().len(), held)));
        let held: Vec<_> = held.collect();
        if held.iter().map(|(values, _)| values).sum::<usize>() + OTHERS <= MOST_RULES {
            return;
        }
        if let Some((_, most)) = held.into_iter().max_by_key(|(values, _)| *values) {
            *most = None;
        }
    }
}

/// Allows the calls of `set` as well.
fn add(allowed: &mut Allowed, set: &NamedSet, options: &Options) {
    for (call, first) in &set.calls {
        let wanted = first.as_ref().and_then(|first| args::first(call, first, options.arguments));
        let entry = allowed.entry(call.clone()).or_insert_with(|| wanted.clone());
        *entry = match (entry.take(), first) {
            (Some(held), Some(first)) => held.with(first),
            _ => None,
        };
    }
}

/// Rules with what each is for.
#[derive(Default)]
struct Rules {
    rules: Vec<Rule>,
    purposes: Vec<String>,
}

impl Rules {
    fn push(&mut self, purpose: String, names: BTreeSet<Syscall>, action: Action, conditions: Vec<Condition>) {
        if !names.is_empty() {
            self.rules.push(Rule { names, action, conditions });
            self.purposes.push(purpose);
        }
    }

    /// Allows what was seen, then what was added, then what holds for some arguments only.
    fn allow_all(&mut self, seen: &Allowed, allowed: BTreeMap<Syscall, Chains>, added: &[NamedSet]) {
        let sets = added.iter().map(|set| set.name.as_str()).collect::<Vec<_>>().join(", ");
        let (mut known, mut new) = (BTreeSet::new(), BTreeSet::new());
        // Calls that are held to the same values share rules.
        let mut shared = BTreeMap::<Vec<Condition>, BTreeSet<Syscall>>::new();
        for (call, chains) in allowed {
            if chains.iter().any(Vec::is_empty) {
                if seen.contains_key(&call) {
                    known.insert(call)
                } else {
                    new.insert(call)
                };
                continue;
            }
            for chain in chains {
                shared.entry(chain).or_default().insert(call.clone());
            }
        }
        self.push("calls that were seen".to_owned(), known, Action::Allow, Vec::new());
        self.push(format!("calls that were not seen, of {sets}"), new, Action::Allow, Vec::new());
        for (conditions, names) in shared {
            self.push("arguments as they were seen".to_owned(), names, Action::Allow, conditions);
        }
    }

    /// Says how calls fail that are not allowed, where the default would be the wrong answer: newer ones as if the kernel
    /// did not have them, dangerous ones with EPERM, since nobody is to look for another way.
    fn refuse(&mut self, abis: &BTreeSet<Abi>, options: &Options) {
        let allowed: BTreeSet<_> = self.rules.iter().flat_map(|rule| &rule.names).cloned().collect();
        let here = |call: &&Syscall| call.name().is_some_and(|name| abis.iter().any(|abi| abi.number(name).is_some()));
        let open = |calls: BTreeSet<Syscall>| -> BTreeSet<_> {
            calls.iter().filter(here).filter(|call| !allowed.contains(call)).cloned().collect()
        };
        let dangerous: BTreeSet<_> = risk::dangerous().map(|(name, _)| Syscall::Named(name.into())).collect();
        let newer = introduced::newer();
        let (absent, refused) = match options.refusal {
            // What the default does anyway is left out.
            Refusal::Eperm => (newer - &dangerous, BTreeSet::new()),
            // Whoever tries a newer call is to go on without it; all others have no reason.
            Refusal::Kill => (newer - &dangerous, newer & &dangerous),
            // A profile that only tells still keeps the worst out.
            Refusal::Enosys | Refusal::Log => (BTreeSet::new(), dangerous),
        };
        let absent = open(absent);
        self.push("newer than Linux 4.0, callers go on without".to_owned(), absent, Action::Errno(ENOSYS), Vec::new());
        self.push("dangerous".to_owned(), open(refused), Action::Errno(EPERM), Vec::new());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::fact::{Arguments, Fact};
    use crate::infer::args::Degree;
    use crate::infer::{self, infer};
    use crate::path::AbsPath;
    use crate::policy::seccomp::{Runtime, Target};
    use crate::policy::{Policy, Verdict};
    use crate::record::{Moment, Record, RunId};

    /// A record of calls, each with the values of its first arguments, if any.
    fn record(calls: &[(Abi, &str, &[u64])]) -> Record {
        let mut record = Record::default();
        let (program, moment) =
            (AbsPath::new(b"/bin/a".as_slice()).unwrap(), Moment { run: RunId(1), at_ms: 0, by: None });
        for (abi, name, values) in calls {
            let call: Syscall = name.parse().unwrap();
            record.absorb(&program, Fact::Syscall(*abi, call.clone()), Outcome::Returned(0), moment);
            if !values.is_empty() {
                let values = Arguments((0..).zip(values.iter().copied()).collect());
                record.absorb(&program, Fact::Arguments(*abi, call, values), Outcome::Returned(0), moment);
            }
        }
        record
    }

    fn derived(calls: &[(Abi, &str, &[u64])], options: &Options) -> Derived {
        Derived::new(&infer(&record(calls), &infer::Options::default()), options)
    }

    fn actions(derived: &Derived, abi: Abi, call: &str, values: &[u64]) -> BTreeSet<Action> {
        let values = Arguments((0..).zip(values.iter().copied()).collect());
        derived.profile.actions(abi, &call.parse().unwrap(), &values)
    }

    const X86: Abi = Abi::X86_64;
    const NONE: &[u64] = &[];

    #[test]
    fn newer_calls_are_missing_and_dangerous_ones_refused() {
        let of = |refusal| {
            let made = derived(&[(X86, "read", NONE), (X86, "statx", NONE)], &Options { refusal, ..Options::exact() });
            ["read", "statx", "clone3", "mseal", "io_uring_setup", "mount", "getppid", "futex_time64"]
                .map(|name| actions(&made, X86, name, NONE).into_iter().next().unwrap())
        };
        let (allow, absent, refused) = (Action::Allow, Action::Errno(ENOSYS), Action::Errno(EPERM));
        assert_eq!(of(Refusal::Eperm), [allow, allow, absent, absent, refused, refused, refused, refused]);
        assert_eq!(of(Refusal::Enosys), [allow, allow, absent, absent, refused, refused, absent, absent]);
        let kill = Action::KillProcess;
        assert_eq!(of(Refusal::Kill), [allow, allow, absent, absent, refused, kill, kill, kill]);
        let log = Action::Log;
        assert_eq!(of(Refusal::Log), [allow, allow, log, log, refused, refused, log, log]);
        let with = derived(&[(X86, "read", NONE), (Abi::I386, "read", NONE)], &Options::exact());
        assert_eq!(actions(&with, Abi::I386, "futex_time64", NONE), [absent].into());
        assert!(with.profile.syscalls.len() <= 3);
        assert!(derived(&[], &Options::exact()).profile.syscalls.is_empty(), "no ABI has it");
    }

    #[test]
    fn arguments_are_held_to_what_was_seen() {
        let calls: &[(Abi, &str, &[u64])] = &[
            (X86, "socket", &[1, 0x80002, 0]),
            (X86, "socket", &[2, 1, 6]),
            (X86, "clone", &[0x0120_0011]),
            (X86, "socketpair", &[1, 1, 0]),
            (X86, "prctl", &[15]),
            (X86, "personality", NONE),
        ];
        let made = derived(calls, &Options { arguments: Degree::Safe, ..Options::exact() });
        assert_eq!(
            made.held,
            [
                "clone: no new namespaces",
                "prctl: only PR_SET_NAME",
                "socket: only AF_UNIX, AF_INET",
                "socketpair: only AF_UNIX"
            ]
        );
        let (allow, refused) = (BTreeSet::from([Action::Allow]), BTreeSet::from([Action::Errno(EPERM)]));
        assert_eq!(actions(&made, X86, "socket", &[2, 3, 0]), allow, "any type");
        assert_eq!(actions(&made, X86, "socket", &[16, 3, 0]), refused);
        assert_eq!(actions(&made, X86, "clone", &[0x0010_0011]), allow);
        assert_eq!(actions(&made, X86, "clone", &[0x1010_0011]), refused);
        assert_eq!(actions(&made, X86, "personality", &[8]), allow, "its values were not seen");
        let shared = made.profile.syscalls.iter().filter(|rule| rule.names.len() == 2 && !rule.conditions.is_empty());
        assert_eq!(shared.count(), 1, "socket and socketpair of AF_UNIX");
        let off = derived(calls, &Options::exact());
        assert_eq!((off.held.len(), actions(&off, X86, "socket", &[16, 3, 0])), (0, allow.clone()));
        let all = derived(calls, &Options { arguments: Degree::All, ..Options::exact() });
        assert_eq!(actions(&all, X86, "socket", &[2, 3, 0]), refused);
        assert_eq!(actions(&all, X86, "socket", &[1, 2, 0]), allow);
        // The other ABI's call did not show its arguments, and the rule would hold for both.
        let two = [calls, &[(Abi::I386, "socket", NONE)]].concat();
        let two = derived(&two, &Options { arguments: Degree::Safe, ..Options::exact() });
        assert_eq!(actions(&two, X86, "socket", &[16, 3, 0]), allow);
    }

    #[test]
    fn runtimes_add_what_they_need_and_no_more() {
        let options = Options { runtimes: [Runtime::Crun].into(), arguments: Degree::Safe, ..Options::exact() };
        let made = derived(&[(X86, "close", NONE), (X86, "execve", NONE), (X86, "prctl", &[15])], &options);
        let [set] = &made.added[..] else { panic!("{:?}", made.added) };
        assert_eq!(set.name, "crun 1.8.1 without no_new_privs");
        assert!(!set.calls.contains_key(&"execve".parse().unwrap()), "it was seen");
        assert_eq!(set.held, ["prctl: only PR_SET_KEEPCAPS, PR_CAPBSET_DROP, PR_CAP_AMBIENT"]);
        assert_eq!(made.held, ["prctl: only PR_SET_NAME"]);
        for (option, admitted) in [(15, true), (24, true), (47, true), (22, false)] {
            let allowed = actions(&made, X86, "prctl", &[option]) == [Action::Allow].into();
            assert_eq!(allowed, admitted, "{option}");
        }
        let without = derived(&[(X86, "execve", NONE), (X86, "prctl", NONE)], &options);
        assert!(!without.added[0].calls.contains_key(&"prctl".parse().unwrap()), "any option was seen");
        let exact = Options { arguments: Degree::Off, ..options };
        let off = derived(&[(X86, "execve", NONE)], &exact);
        assert_eq!(actions(&off, X86, "prctl", &[22]), [Action::Allow].into());
        assert_eq!(off.profile.permits(&Fact::Syscall(X86, "setresuid".parse().unwrap())), Verdict::Allowed);
    }

    #[test]
    fn many_values_give_way_to_the_limit_of_rules() {
        let calls: Vec<_> = (0..32).flat_map(|value| [("ioctl", [0, value]), ("bpf", [value / 2, 0])]).collect();
        let calls: Vec<_> = calls.iter().map(|(name, values)| (X86, *name, &values[..])).collect();
        let more: Vec<_> = (0..24).map(|value| [7, value, value]).collect();
        let more =
            more.iter().flat_map(|values| ["setsockopt", "getsockopt", "fcntl"].map(|name| (X86, name, &values[..])));
        let calls: Vec<_> = calls.into_iter().chain(more).collect();
        let made = derived(&calls, &Options { arguments: Degree::All, ..Options::default() });
        assert!(made.profile.syscalls.len() <= 128, "{}", made.profile.syscalls.len());
        assert_eq!(actions(&made, X86, "ioctl", &[0, 99]), [Action::Allow].into(), "the one with the most values");
        assert_eq!(actions(&made, X86, "bpf", &[99]), [Action::Errno(EPERM)].into());
        assert!(made.fitting(&Options { target: Target::Kubernetes, ..Options::default() }).is_ok());
    }
}
