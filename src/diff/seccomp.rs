//! Two seccomp profiles, call by call: what each makes of the calls that either of them names.
//!
//! A profile by itself does not tell what it allows: that hangs on its default. So both are asked about every name of
//! either, and what one of them lets through beyond the other is a part that only it has. Rules hold for all
//! architectures of a profile; one that only one profile has is told once, not call by call. What i386 does through
//! `socketcall(2)` and `ipc(2)` is told by the names of those calls; a rule for one of the two by its name, and apart.

use std::collections::{BTreeMap, BTreeSet};

use nix::errno::Errno;

use super::grade::{RAW, REFUSED};
use super::{Kind, Side};
use crate::abi::{Abi, Syscall};
use crate::policy::seccomp::{Action, Architecture, Condition, Rule, Seccomp, Test};

/// What a profile lets through of one call, by its arguments.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach<'p> {
    /// Whatever its arguments are.
    Always(Action),
    /// With all arguments but these.
    Except(Vec<&'p [Condition]>, Action),
    /// With these arguments.
    When(&'p [Condition], Action),
    /// Not at all, or with no other arguments.
    Never(Action),
}

/// A profile with its rules by the calls that they name.
struct Rules<'p> {
    profile: &'p Seccomp,
    by_call: BTreeMap<&'p Syscall, Vec<&'p Rule>>,
}

/// Both profiles as sides of a comparison.
pub(super) fn sides<'r>(old: &Seccomp, new: &Seccomp) -> (Side<'r>, Side<'r>) {
    let mut sides = (Side::default(), Side::default());
    whole(&mut sides.0, old, new);
    whole(&mut sides.1, new, old);
    let (old, new) = (Rules::new(old), Rules::new(new));
    let (old_abis, new_abis) = (architectures(old.profile), architectures(new.profile));
    let calls: BTreeSet<_> = old.by_call.keys().chain(new.by_call.keys()).copied().collect();
    for call in calls {
        let common: Vec<_> = old_abis.intersection(&new_abis).filter(|abi| has(**abi, call)).collect();
        if common.is_empty() {
            for abi in old_abis.union(&new_abis).filter(|abi| has(**abi, call)) {
                let before = if old_abis.contains(abi) { old.reaches(call) } else { BTreeSet::new() };
                let now = if new_abis.contains(abi) { new.reaches(call) } else { BTreeSet::new() };
                pair(&mut sides, call, *abi, (&old, before), (&new, now));
            }
        }
        for abi in common {
            pair(&mut sides, call, *abi, (&old, old.reaches(call)), (&new, new.reaches(call)));
        }
    }
    sides
}

impl<'p> Rules<'p> {
    fn new(profile: &'p Seccomp) -> Self {
        let mut by_call = BTreeMap::<_, Vec<_>>::new();
        for rule in &profile.syscalls {
            for call in &rule.names {
                by_call.entry(call).or_default().push(rule);
            }
        }
        Self { profile, by_call }
    }

    /// As `policy::seccomp` judges single calls: a rule with the default action is none, one without conditions decides.
    fn reaches(&self, call: &Syscall) -> BTreeSet<Reach<'p>> {
        let rules = self.by_call.get(call).into_iter().flatten().copied();
        let rules: Vec<_> = rules.filter(|rule| rule.action != self.profile.default_action).collect();
        if let Some(rule) = rules.iter().find(|rule| rule.conditions.is_empty()) {
            return [if admits(rule.action) { Reach::Always(rule.action) } else { Reach::Never(rule.action) }].into();
        }
        let chains = rules.iter().flat_map(|rule| rule.alternatives().into_iter().map(|chain| (chain, rule.action)));
        let (open, shut): (Vec<_>, Vec<_>) = chains.partition(|(_, action)| admits(*action));
        let rest = self.profile.default_action;
        let mut reaches: BTreeSet<_> = open.into_iter().map(|(chain, action)| Reach::When(chain, action)).collect();
        let shut: BTreeSet<_> = shut.into_iter().map(|(chain, _)| chain).collect();
        reaches.insert(match (admits(rest), shut.is_empty()) {
            (false, _) => Reach::Never(rest),
            (true, true) => Reach::Always(rest),
            (true, false) => Reach::Except(shut.into_iter().collect(), rest),
        });
        reaches
    }

    /// Whether a refusal is by a rule for the call.
    fn named(&self, reach: &Reach<'_>) -> bool {
        !matches!(reach, Reach::Never(action) if *action == self.profile.default_action)
    }
}

/// Adds what both say to one call.
fn pair<'r>(
    (old_side, new_side): &mut (Side<'r>, Side<'r>),
    call: &Syscall,
    abi: Architecture,
    (old, mut before): (&Rules<'_>, BTreeSet<Reach<'_>>),
    (new, mut now): (&Rules<'_>, BTreeSet<Reach<'_>>),
) {
    let refusal = |reaches: &BTreeSet<Reach<'_>>| {
        reaches.iter().find_map(|reach| if let Reach::Never(action) = reach { Some(*action) } else { None })
    };
    let shut = |reaches: &BTreeSet<Reach<'_>>| reaches.iter().all(|reach| matches!(reach, Reach::Never(_)));
    if let (Some(one), Some(other)) = (refusal(&before), refusal(&now)) {
        let by_rule = old.named(&Reach::Never(one)) || new.named(&Reach::Never(other));
        if one != other && by_rule {
            for (side, action) in [(&mut *old_side, one), (new_side, other)] {
                side.add(Kind::Refusal, call.to_string(), format!("{} {}", name(abi), word(action)), &[]);
            }
        }
    }
    // How it fails is told of a call that the other one lets through, so that it is known to have been named.
    let (open_before, open_now) = (!shut(&before), !shut(&now));
    before.retain(|reach| !matches!(reach, Reach::Never(_)) || open_now && old.named(reach));
    now.retain(|reach| !matches!(reach, Reach::Never(_)) || open_before && new.named(reach));
    let covered = |by: &BTreeSet<Reach<'_>>, reach: &&Reach<'_>| by.iter().any(|own| own.covers(reach));
    let more: Vec<_> = before.iter().filter(|reach| covered(&now, reach)).cloned().collect();
    let fewer: Vec<_> = now.iter().filter(|reach| covered(&before, reach)).cloned().collect();
    for (side, reaches) in [(old_side, before.into_iter().chain(fewer)), (new_side, now.into_iter().chain(more))] {
        for reach in reaches {
            side.add(Kind::Syscall, call.to_string(), format!("{}{}", name(abi), reach.text(call)), &[]);
        }
    }
}

impl Reach<'_> {
    /// Whether whatever the other one lets through is let through here.
    fn covers(&self, other: &Self) -> bool {
        let rank = |action: Action| match action {
            Action::Allow => 3,
            Action::Log => 2,
            Action::Notify | Action::Trace(_) => 1,
            _ => 0,
        };
        let least = |own: Action, other: Action| own == other || rank(own) > rank(other);
        match (self, other) {
            (Self::Never(_), _) => false,
            (_, Self::Never(_)) => true,
            (Self::Always(own), Self::Always(other) | Self::Except(_, other) | Self::When(_, other)) => {
                least(*own, *other)
            }
            (Self::Except(own, action), Self::Except(others, other)) => {
                least(*action, *other) && own.iter().all(|chain| others.contains(chain))
            }
            (Self::When(own, action), Self::When(others, other)) => {
                least(*action, *other) && own.iter().all(|one| others.iter().any(|other| implies(*other, *one)))
            }
            _ => false,
        }
    }

    fn text(&self, call: &Syscall) -> String {
        let chain = |chain: &[Condition]| chain.iter().map(condition).collect::<Vec<_>>().join(" and ");
        let (tests, action) = match self {
            Self::Never(action) => return format!(" {}", word(*action)),
            Self::Always(action) => (String::new(), action),
            Self::When(tests, action) => {
                let raw = if opens_raw_sockets(call, tests) { format!(" {RAW}") } else { String::new() };
                (format!(" if {}{raw}", chain(tests)), action)
            }
            Self::Except(chains, action) => {
                let chains = chains.iter().map(|tests| chain(tests)).collect::<Vec<_>>();
                (format!(" unless {}", chains.join(", or ")), action)
            }
        };
        if *action == Action::Allow { tests } else { format!(" {}{tests}", word(*action)) }
    }
}

/// Whether an argument of which `one` holds is one of which `other` holds.
fn implies(one: Condition, other: Condition) -> bool {
    let exact = match one.test {
        Test::Equal(value) | Test::MaskedEqual { mask: u64::MAX, value } => Some(value),
        _ => None,
    };
    one.index == other.index && (one == other || exact.is_some_and(|value| other.test.holds(value)))
}

/// Whether a chain of conditions of `socket` is for packet sockets, or for raw ones of the internet.
fn opens_raw_sockets(call: &Syscall, chain: &[Condition]) -> bool {
    let wanted = |index| {
        let test = chain.iter().find(|condition| condition.index == index)?.test;
        match test {
            Test::Equal(value) => Some(value),
            Test::MaskedEqual { mask, value } => Some(mask & value),
            _ => None,
        }
    };
    let family = |wanted: u64| [libc::AF_INET, libc::AF_INET6].iter().any(|known| u64::try_from(*known) == Ok(wanted));
    let packet = u64::try_from(libc::AF_PACKET).ok();
    let raw = wanted(1).is_some_and(|kind| kind & 0xf == 3) && wanted(0).is_none_or(family);
    call.name() == Some("socket") && (raw || wanted(0).is_some() && wanted(0) == packet)
}

/// What a profile says besides its rules. What the default of one lets through covers how that of the other refuses.
fn whole(side: &mut Side<'_>, profile: &Seccomp, other: &Seccomp) {
    let (own, others) = (profile.default_action, other.default_action);
    side.add(Kind::Policy, "default action", word(own), &[]);
    if admits(own) && !admits(others) {
        side.add(Kind::Policy, "default action", word(others), &[]);
    }
    for architecture in architectures(profile).difference(&architectures(other)) {
        side.add(Kind::Policy, format!("architecture {}", name(*architecture)), "", &[]);
    }
    for flag in &profile.flags {
        side.add(Kind::Policy, format!("flag {}", flag.name()), "", &[]);
    }
    if let Some(listener) = &profile.listener {
        side.add(Kind::Policy, format!("listener {}", listener.path), "", &[]);
    }
}

/// Those that a profile is for: the machine's own where it names none.
fn architectures(profile: &Seccomp) -> BTreeSet<Architecture> {
    let own = profile.architectures.is_empty().then_some(Architecture::Known(Abi::native()));
    profile.architectures.iter().copied().chain(own).collect()
}

/// Whether an architecture has a call, as far as that is known.
fn has(architecture: Architecture, call: &Syscall) -> bool {
    let has = |abi: Abi| call.name().is_some_and(|name| abi.number(name).is_some());
    match architecture {
        Architecture::Known(abi) => has(abi) || !Abi::ALL.into_iter().any(has),
        Architecture::Other(_) => true,
    }
}

const fn name(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::Known(abi) => abi.name(),
        Architecture::Other(name) => name,
    }
}

/// Whether a call is made, perhaps: what another program decides is not refused.
fn admits(action: Action) -> bool {
    action.admits() != Some(false)
}

fn word(action: Action) -> String {
    match action {
        Action::Allow => "allowed".to_owned(),
        Action::Log => "logged".to_owned(),
        Action::Notify => "as a supervisor decides".to_owned(),
        Action::Trace(_) => "as a tracer decides".to_owned(),
        Action::Errno(errno) => match Errno::from_raw(errno.into()) {
            Errno::UnknownErrno => format!("{REFUSED}errno {errno}"),
            known => format!("{REFUSED}{known:?}"),
        },
        Action::Trap => format!("{REFUSED}SIGSYS"),
        Action::KillThread => format!("{REFUSED}ends the thread"),
        Action::KillProcess => format!("{REFUSED}ends the process"),
    }
}

fn condition(condition: &Condition) -> String {
    let index = condition.index;
    let (sign, value) = match condition.test {
        Test::NotEqual(value) => ("!=", value),
        Test::Less(value) => ("<", value),
        Test::LessOrEqual(value) => ("<=", value),
        Test::Equal(value) => ("=", value),
        Test::GreaterOrEqual(value) => (">=", value),
        Test::Greater(value) => (">", value),
        // All that the kernel reads of an int.
        Test::MaskedEqual { mask, value } if mask == u64::from(u32::MAX) => ("=", value & mask),
        Test::MaskedEqual { mask, value } => return format!("argument {index} & {mask:#x} = {:#x}", value & mask),
    };
    format!("argument {index} {sign} {value:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::{Direction, compare};

    const EPERM: &str = "\"defaultAction\": \"SCMP_ACT_ERRNO\"";
    const ALLOW: &str = "\"defaultAction\": \"SCMP_ACT_ALLOW\"";

    fn profile(head: &str, rules: &[String]) -> Seccomp {
        let text =
            format!("{{{head}, \"architectures\": [\"SCMP_ARCH_X86_64\"], \"syscalls\": [{}]}}", rules.join(","));
        Seccomp::parse(&text).unwrap()
    }

    fn rule(call: &str, action: &str, rest: &str) -> String {
        format!("{{\"names\": [\"{call}\"], \"action\": \"SCMP_ACT_{action}\"{rest}}}")
    }

    fn when(index: u8, value: u64) -> String {
        format!(", \"args\": [{{\"index\": {index}, \"op\": \"SCMP_CMP_EQ\", \"value\": {value}}}]")
    }

    fn told(old: &Seccomp, new: &Seccomp) -> Vec<String> {
        let lines = |old, new| {
            let (old, new) = sides(old, new);
            let changes = compare(&old, &new);
            let line = |change: &crate::diff::Change<'_>| {
                let from = change.from.as_ref().map(|from| format!("{from} -> ")).unwrap_or_default();
                let (level, direction) = (change.level.name(), change.direction.name());
                format!("{level} {direction} {} {from}{}", change.item.name, change.parts.join("+"))
            };
            changes.iter().map(|change| (change.direction, line(change))).collect::<Vec<_>>()
        };
        let back = lines(new, old);
        let forth = lines(old, new);
        assert_eq!(back.len(), forth.len());
        let count = |all: &[(Direction, String)], one| all.iter().filter(|(direction, _)| *direction == one).count();
        assert_eq!(count(&forth, Direction::Widened), count(&back, Direction::Narrowed));
        assert_eq!(count(&forth, Direction::Added), count(&back, Direction::Removed));
        assert_eq!(lines(old, old), []);
        forth.into_iter().map(|(_, line)| line).collect()
    }

    #[test]
    fn actions_are_compared_by_what_they_let_through() {
        let errno = |call: &str| rule(call, "ERRNO", ", \"errnoRet\": 38");
        let (refused, allowed) = (profile(EPERM, &[errno("bpf")]), profile(EPERM, &[rule("bpf", "ALLOW", "")]));
        assert_eq!(told(&refused, &allowed), ["critical widened bpf x86_64"]);
        assert_eq!(told(&allowed, &refused), ["low narrowed bpf x86_64"]);
        let none = profile(EPERM, &[]);
        assert_eq!(told(&none, &allowed), ["critical added bpf x86_64"]);
        assert_eq!(told(&none, &refused), ["low changed bpf x86_64 refused: EPERM -> x86_64 refused: ENOSYS"]);
        let logged = profile(EPERM, &[rule("bpf", "LOG", "")]);
        assert_eq!(told(&logged, &allowed), ["critical widened bpf x86_64"]);
        let asked = profile(EPERM, &[rule("bpf", "NOTIFY", "")]);
        assert_eq!(told(&none, &asked), ["critical added bpf x86_64 as a supervisor decides"]);
    }

    #[test]
    fn a_profile_that_allows_is_compared_by_what_it_refuses() {
        let (open, shut) = (profile(ALLOW, &[]), profile(ALLOW, &[rule("bpf", "ERRNO", "")]));
        assert_eq!(told(&shut, &open), ["critical widened bpf x86_64"]);
        let listed = profile(EPERM, &[rule("bpf", "ALLOW", "")]);
        assert_eq!(told(&listed, &open), ["critical widened default action allowed"]);
        let killing = profile("\"defaultAction\": \"SCMP_ACT_KILL_PROCESS\"", &[]);
        assert_eq!(
            told(&profile(EPERM, &[]), &killing),
            ["low changed default action refused: EPERM -> refused: ends the process"]
        );
        let some = profile(ALLOW, &[rule("socket", "ERRNO", &when(0, 40))]);
        assert_eq!(told(&some, &open), ["medium widened socket x86_64"]);
    }

    #[test]
    fn conditions_narrow() {
        let all = profile(EPERM, &[rule("ioctl", "ALLOW", "")]);
        let one = profile(EPERM, &[rule("ioctl", "ALLOW", &when(1, 0x5401))]);
        let two = profile(EPERM, &[rule("ioctl", "ALLOW", &when(1, 0x5401)), rule("ioctl", "ALLOW", &when(1, 2))]);
        assert_eq!(told(&one, &all), ["low widened ioctl x86_64"]);
        assert_eq!(told(&one, &two), ["low widened ioctl x86_64 if argument 1 = 0x2"]);
        let stricter = when(1, 2).replace(']', ", {\"index\": 2, \"op\": \"SCMP_CMP_LT\", \"value\": 9}]");
        let stricter = profile(EPERM, &[rule("ioctl", "ALLOW", &stricter)]);
        assert_eq!(told(&stricter, &two).len(), 1, "the wider condition covers the narrower one");
        let packet = profile(EPERM, &[rule("socket", "ALLOW", &when(0, 17))]);
        assert_eq!(
            told(&profile(EPERM, &[]), &packet),
            ["critical added socket x86_64 if argument 0 = 0x11 (raw sockets)"]
        );
    }

    #[test]
    fn another_architecture_is_told_once() {
        let one = profile(EPERM, &[rule("read", "ALLOW", ""), rule("write", "ALLOW", "")]);
        let mut two = one.clone();
        two.architectures.insert(Architecture::Known(Abi::I386));
        assert_eq!(told(&one, &two), ["high added architecture i386 "]);
        two.syscalls.extend(profile(EPERM, &[rule("socketcall", "ALLOW", "")]).syscalls);
        assert_eq!(told(&one, &two), ["high added architecture i386 ", "medium added socketcall i386"]);
    }
}
