//! Who showed the facts of a topic: one entry for each executable.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::topic::Topic;
use crate::diff::words;
use crate::fact::{Access, EndFact, Fact};
use crate::infer::caps::judge;
use crate::path::AbsPath;
use crate::record::{Evidence, Outcomes, Record, RunId, Sighting, class_name};
use crate::render::date;

/// How many things that one executable did are written out.
const DEEDS: usize = 8;

/// What one executable did.
#[derive(Clone, Debug, Serialize)]
pub struct Actor {
    /// The executable.
    pub executable: String,
    /// Some of the command lines that it did it by.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub started: Vec<Start>,
    /// What it did: accesses, addresses, argument values; the first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub did: Vec<String>,
    /// How many more there are.
    #[serde(skip_serializing_if = "is_zero")]
    pub more: usize,
    /// How its calls ended: `ok`, `unfinished` or names of errors.
    pub outcomes: BTreeSet<String>,
    /// How many calls were seen; not of everything it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Whether there may have been more calls.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
    /// The first time, RFC 3339.
    pub first: String,
    /// The last time that taught something.
    pub last: String,
    /// The runs.
    pub runs: Vec<RunId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde asks for")]
fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// One way in which an executable was started.
#[derive(Clone, Debug, Serialize)]
pub struct Start {
    /// The programs from the workload's root to the one that started it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    /// Its command line.
    pub command: Vec<String>,
}

/// What is gathered of one executable.
struct Gathered {
    seen: Evidence,
    outcomes: Outcomes,
    accesses: BTreeMap<u16, Access>,
    deeds: BTreeSet<String>,
}

/// Who showed these facts of a topic, in the order of the executables.
pub(super) fn actors(record: &Record, topic: &Topic, seen: &[(&AbsPath, Sighting<'_>)]) -> Vec<Actor> {
    let mut by = BTreeMap::<&AbsPath, Gathered>::new();
    for (subject, sighting) in seen {
        by.entry(*subject)
            .and_modify(|known| known.seen.join(sighting.seen.clone()))
            .or_insert_with(|| Gathered {
                seen: sighting.seen.clone(),
                outcomes: Outcomes::default(),
                accesses: BTreeMap::new(),
                deeds: BTreeSet::new(),
            })
            .add(sighting);
    }
    by.into_iter().map(|(subject, gathered)| gathered.actor(record, topic, subject)).collect()
}

impl Gathered {
    fn add(&mut self, sighting: &Sighting<'_>) {
        if !matches!(sighting.fact, Fact::Arguments(..)) {
            self.outcomes.join(sighting.outcomes.clone());
        }
        if let Fact::File(fact) = &sighting.fact {
            for class in sighting.outcomes.iter() {
                *self.accesses.entry(class).or_default() |= fact.access;
            }
        } else if let Some(deed) = deed(&sighting.fact, &sighting.outcomes) {
            self.deeds.insert(deed);
        }
    }

    fn actor(self, record: &Record, topic: &Topic, executable: &AbsPath) -> Actor {
        let Self { seen, outcomes, accesses, deeds } = self;
        let accesses = accesses.into_iter().map(|(class, access)| match class {
            0 => access.to_string(),
            class => format!("{access}: {}", class_name(class)),
        });
        let did: Vec<_> = accesses.chain(deeds).collect();
        let subject = record.subjects.get(executable);
        let callers = subject.map(|subject| subject.callers(&seen).0).unwrap_or_default();
        let started = callers.iter().map(|caller| Start {
            chain: caller.chain().iter().map(ToString::to_string).collect(),
            command: caller.command().to_vec(),
        });
        let exact = seen.runs.iter().all(|run| record.runs.get(&run).is_none_or(|run| run.exact_counts));
        let calls = calls(record, topic, executable);
        Actor {
            executable: executable.to_string(),
            started: started.collect(),
            more: did.len().saturating_sub(DEEDS),
            did: did.into_iter().take(DEEDS).collect(),
            outcomes: outcomes.iter().map(|class| class_name(class).into_owned()).collect(),
            at_least: calls.is_some() && !exact,
            calls,
            first: date(seen.first_ms),
            last: date(seen.last_ms),
            runs: seen.runs.iter().collect(),
        }
    }
}

/// How often a system call was made.
fn calls(record: &Record, topic: &Topic, executable: &AbsPath) -> Option<u64> {
    let Topic::Syscall(call, abi) = topic else {
        return None;
    };
    let by_abi = record.subjects.get(executable)?.syscalls.iter();
    let uses = by_abi.filter(|(of, _)| abi.is_none_or(|abi| abi == **of)).filter_map(|(_, calls)| calls.get(call));
    Some(uses.flat_map(|used| used.calls.values()).sum())
}

/// What was done, in words; nothing of a call that is named already.
fn deed(fact: &Fact, outcomes: &Outcomes) -> Option<String> {
    let named = |name: &str, part: &str| if part.is_empty() { name.to_owned() } else { format!("{name} {part}") };
    let words = match fact {
        Fact::Syscall(..) | Fact::File(_) => return None,
        Fact::Arguments(_, _, values) => format!("with {}", words::arguments(values)),
        Fact::Network(fact) => {
            let (name, part) = words::network(fact);
            named(&name, &part)
        }
        Fact::Execution(fact) if fact.file == fact.program => format!("executed {}", fact.file),
        Fact::Execution(fact) => format!("executed {} by {}", fact.file, fact.program),
        Fact::Check(check) => {
            let judged = judge(check, outcomes);
            let standing = judged.as_ref().map_or("not needed", |judged| judged.standing.name());
            let doubt = judged.and_then(|judged| judged.doubt).map(|doubt| format!(": {doubt}")).unwrap_or_default();
            return Some(format!("{standing}: {}{doubt}", check.describe()));
        }
        Fact::Signal(fact) => {
            let (name, to) = words::signal(fact);
            format!("{name} to {to}")
        }
        Fact::Namespace(fact) => {
            let (name, how) = words::namespace(*fact);
            format!("{how} {name}")
        }
        Fact::Mount(fact) => {
            let (name, how) = words::mount(fact);
            named(&name, &how)
        }
        Fact::Identity(fact) => {
            let (name, ids) = words::identity(fact);
            format!("became {name} {ids}")
        }
        Fact::End(EndFact { user, group }) => format!("ended as user {user}, group {group}"),
        Fact::Limit(fact) => {
            let (name, hard) = words::limit(fact);
            format!("set {name} to {hard}")
        }
        Fact::Queue(fact) => format!("{} {}", fact.access.name(), fact.name),
        Fact::Trace(fact) => {
            format!("{} {}", if fact.read_only { "read" } else { "traced" }, words::target(&fact.to))
        }
    };
    let failed = outcomes.iter().filter(|class| *class != 0).map(class_name).collect::<Vec<_>>();
    let succeeded = outcomes.iter().any(|class| class == 0);
    Some(if succeeded || failed.is_empty() { words } else { format!("{words}: {}", failed.join(" ")) })
}
