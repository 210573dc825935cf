//! Properties of records and of every format.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use learn::abi::Abi;
use learn::event::Outcome;
use learn::fact::{Access, Arguments, Fact};
use learn::infer::{Globs, Options, infer, outcome};
use learn::path::AbsPath;
use learn::policy::caps::Caps;
use learn::policy::seccomp::{self, Derived, Refusal, Seccomp, Target};
use learn::policy::{self, Policy, Verdict};
use learn::record::{Moment, Outcomes, Record, RunId, file};
use learn::render::{FORMATS, Format, ProfileName, Templates};
use proptest::prelude::*;

use crate::strategies::{fact, outcome as any_outcome, record, seccomp as seccomp_options};

fn joined(mut one: Record, other: Record) -> Record {
    one.join(other);
    one
}

fn written(record: &Record) -> Vec<u8> {
    let mut bytes = Vec::new();
    file::write(record, &mut bytes).unwrap();
    bytes
}

pub fn rendered(format: &Format, record: &Record) -> String {
    rendered_as(format, record, &policy::Options::exact())
}

fn rendered_as(format: &Format, record: &Record, options: &policy::Options) -> String {
    static TEMPLATES: LazyLock<Templates> = LazyLock::new(|| Templates::new(BTreeMap::new()).unwrap());
    let mut text = Vec::new();
    let name = ProfileName::of(record.program.as_ref().map(AbsPath::file_name));
    let needs = infer(record, &Options::default());
    format.render(&needs, options, &name, &TEMPLATES, &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// The rules of a rendered text, without evidence and comments.
fn rules(format: &Format, record: &Record) -> Vec<String> {
    let text = rendered(format, record);
    let text = text.split("\"x-learn\"").next().unwrap();
    text.lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.starts_with("    CAP"))
        .map(str::to_owned)
        .collect()
}

/// A record of one fact alone.
fn alone(fact: &Fact, outcome: Outcome) -> Record {
    let mut record = Record::default();
    with(&mut record, fact, outcome);
    record
}

fn with(record: &mut Record, fact: &Fact, outcome: Outcome) {
    let subject = AbsPath::new(b"/bin/a").unwrap();
    let moment = Moment { run: RunId(1), at_ms: 1, by: None };
    if let Fact::Arguments(abi, call, _) = fact {
        record.absorb(&subject, Fact::Syscall(*abi, call.clone()), outcome, moment);
    }
    record.absorb(&subject, fact.clone(), outcome, moment);
}

fn outcome_of(outcomes: &Outcomes) -> Vec<Outcome> {
    let one = |class: u16| match class {
        0 => Outcome::Returned(0),
        Outcomes::UNFINISHED => Outcome::Unfinished,
        errno => Outcome::Failed(i32::from(errno)),
    };
    outcomes.iter().map(one).collect()
}

/// Whether the fact shows that files may be used by others than their owners, or by other names.
fn changes_owners(fact: &Fact) -> bool {
    match fact {
        Fact::Identity(_) => true,
        Fact::File(fact) => fact.access.intersects(Access::CHOWN | Access::APPEND | Access::LINK_TARGET),
        _ => false,
    }
}

proptest! {
    #[test]
    fn join_is_commutative(a in record(), b in record()) {
        prop_assert_eq!(joined(a.clone(), b.clone()), joined(b, a));
    }

    #[test]
    fn join_is_associative(a in record(), b in record(), c in record()) {
        prop_assert_eq!(joined(joined(a.clone(), b.clone()), c.clone()), joined(a, joined(b, c)));
    }

    #[test]
    fn join_is_idempotent_and_the_empty_record_neutral(a in record()) {
        prop_assert_eq!(joined(a.clone(), a.clone()), a.clone());
        prop_assert_eq!(joined(a.clone(), Record::default()), a.clone());
        prop_assert_eq!(joined(Record::default(), a.clone()), a);
    }

    #[test]
    fn a_record_reads_back_as_it_was(a in record()) {
        let bytes = written(&a);
        let again = file::read(&bytes[..]).unwrap();
        prop_assert_eq!(&again, &a);
        prop_assert_eq!(written(&again), bytes);
    }

    #[test]
    fn a_damaged_record_is_an_error(a in record(), at in any::<prop::sample::Index>()) {
        let bytes = written(&a);
        // The last byte is the line end, which may be missing.
        let cut = at.index(bytes.len() - 1);
        prop_assert!(file::read(&bytes[..cut]).is_err());
    }

    #[test]
    fn every_needed_fact_is_allowed(record in record()) {
        let needs = infer(&record, &Options::default());
        for format in FORMATS {
            let policy = format.policy(&needs, &policy::Options::exact());
            for (_, fact, outcomes) in record.facts() {
                let needed = outcome::is_needed(&fact, &outcomes);
                if !needed || policy.permits(&fact) != Verdict::Denied {
                    continue;
                }
                // Only what the format has no words for, and then it says so.
                let one = alone(&fact, outcome_of(&outcomes)[0]);
                let needs = infer(&one, &Options::default());
                let gaps = format.policy(&needs, &policy::Options::exact()).gaps().clone();
                prop_assert!(!gaps.is_empty(), "{}: {fact:?} is refused", format.name);
                prop_assert!(gaps.is_subset(policy.gaps()), "{}: {gaps:?} is not told", format.name);
            }
        }
    }

    #[test]
    fn nothing_else_is_allowed(record in record(), fact in fact()) {
        let options = Options { globs: Globs::Off, ..Options::default() };
        for format in FORMATS.iter().filter(|format| format.is_text()) {
            let verdict = format.policy(&infer(&record, &options), &policy::Options::exact()).permits(&fact);
            let mut more = record.clone();
            with(&mut more, &fact, Outcome::Returned(0));
            let (before, after) = (rules(format, &record), rules(format, &more));
            match verdict {
                // A capability that is kept for another call allows this one too, which may have had a wider one.
                Verdict::Allowed if matches!(fact, Fact::Check(_)) => {}
                // These take the `owner` from rules: the file may be another user's afterwards.
                Verdict::Allowed | Verdict::NotGoverned if changes_owners(&fact) => {}
                Verdict::Allowed | Verdict::NotGoverned => prop_assert_eq!(before, after, "{}: {:?}", format.name, fact),
                Verdict::Denied | Verdict::Unknown => {
                    let policy = format.policy(&infer(&more, &options), &policy::Options::exact()).permits(&fact);
                    let changed = before != after || policy == Verdict::Denied;
                    prop_assert!(changed, "{}: {fact:?} is refused, and allowed by the same rules", format.name);
                }
            }
        }
    }

    #[test]
    fn what_was_not_seen_is_of_a_named_set(record in record(), options in seccomp_options()) {
        let needs = infer(&record, &Options::default());
        let Derived { profile, added, .. } = Derived::new(&needs, &options);
        let seen: BTreeSet<_> = needs.syscalls.values().flat_map(|calls| calls.keys().copied()).collect();
        let named: BTreeSet<_> = added.iter().flat_map(|set| set.calls.keys()).collect();
        for rule in profile.syscalls.iter().filter(|rule| rule.action.admits() == Some(true)) {
            for call in &rule.names {
                prop_assert!(seen.contains(call) || named.contains(call), "{} is of no set", call);
            }
        }
        if profile.default_action.admits() == Some(false) {
            let others = (0..470).map(|number| Abi::native().syscall(number));
            for call in others.filter(|call| !seen.contains(call) && !named.contains(call)) {
                prop_assert_eq!(profile.permits(&Fact::Syscall(Abi::native(), call)), Verdict::Denied);
            }
        }
    }

    #[test]
    fn every_seccomp_profile_reads_back(record in record(), options in seccomp_options()) {
        prop_assume!(options.target != Target::CrunRaw);
        let made = Derived::new(&infer(&record, &Options::default()), &options).profile;
        let options = policy::Options { seccomp: options, ..policy::Options::exact() };
        let parsed = Seccomp::parse(&rendered_as(&FORMATS[0], &record, &options)).unwrap();
        prop_assert_eq!(&parsed.syscalls, &made.syscalls);
        prop_assert_eq!(&parsed.architectures, &made.architectures);
        prop_assert_eq!((parsed.default_action, parsed.flags), (made.default_action, made.flags));
    }

    #[test]
    fn nothing_is_allowed_beyond_the_limit(one in record(), other in record(), options in seccomp_options()) {
        let profile = |record: &Record, options: &seccomp::Options| {
            Derived::new(&infer(record, &Options::default()), options).profile
        };
        let refusing = seccomp::Options { refusal: Refusal::Eperm, ..options };
        let limit = profile(&other, &refusing);
        let within = seccomp::Options { within: Some(limit.clone()), ..refusing };
        let made = profile(&one, &within);
        for abi in Abi::ALL {
            for call in (0..470).map(|number| abi.syscall(number)) {
                for fact in [Fact::Syscall(abi, call.clone()), Fact::Arguments(abi, call, Arguments(vec![(0, 1), (1, 2)]))] {
                    if made.permits(&fact) == Verdict::Allowed {
                        prop_assert_eq!(limit.permits(&fact), Verdict::Allowed, "{:?}", fact);
                    }
                }
            }
        }
        prop_assert_eq!(profile(&other, &within).syscalls, limit.syscalls, "a profile is within itself");
    }

    #[test]
    fn every_format_reads_back(record in record()) {
        let needs = infer(&record, &Options::default());
        let (policy, parsed) = (Seccomp::new(&needs), Seccomp::parse(&rendered(&FORMATS[0], &record)).unwrap());
        prop_assert_eq!(&parsed.architectures, &policy.architectures);
        prop_assert_eq!(&parsed.syscalls, &policy.syscalls);
        prop_assert_eq!(parsed.default_action, policy.default_action);
        let caps = Format::named("caps").unwrap();
        prop_assert_eq!(Caps::parse(&rendered(caps, &record)).unwrap().kept, Caps::new(&needs).kept);
    }

    #[test]
    fn every_text_is_stable_and_plain(record in record()) {
        for format in FORMATS.iter().filter(|format| format.is_text()) {
            let text = rendered(format, &record);
            prop_assert_eq!(&text, &rendered(format, &file::read(&written(&record)[..]).unwrap()));
            let hidden = text.chars().find(|c| c.is_control() && *c != '\n');
            prop_assert_eq!(hidden, None, "{}", format.name);
            prop_assert!(text.ends_with('\n') && !text.contains("\n\n\n"), "{}: {}", format.name, text);
        }
    }

    #[test]
    fn every_gap_is_in_every_header(record in record()) {
        for format in FORMATS.iter().filter(|format| format.is_text()) {
            let text = rendered(format, &record);
            let policy = format.policy(&infer(&record, &Options::default()), &policy::Options::exact());
            for gap in record.gaps.union(policy.gaps()) {
                prop_assert!(text.contains(gap.kind.name()), "{}: {gap:?}", format.name);
            }
            let told = text.lines().filter(|line| line.starts_with("# Gap: ")).count();
            let json = serde_json::from_str::<serde_json::Value>(&text);
            let told = json.map_or(told, |json| json["x-learn"]["gaps"].as_array().unwrap().len());
            prop_assert_eq!(told, record.gaps.union(policy.gaps()).count());
        }
    }

    #[test]
    fn verdicts_do_not_depend_on_outcomes(fact in fact(), outcome in any_outcome()) {
        // What a policy governs is a matter of the fact alone.
        let record = alone(&fact, outcome);
        for format in FORMATS {
            let known = format.policy(&infer(&record, &Options::default()), &policy::Options::exact()).permits(&fact);
            let empty = format.policy(&infer(&Record::default(), &Options::default()), &policy::Options::exact()).permits(&fact);
            prop_assert_eq!(known == Verdict::NotGoverned, empty == Verdict::NotGoverned, "{}", format.name);
        }
    }
}
