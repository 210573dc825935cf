//! Why something is in a profile: who did it, when, in which runs and with what outcome, and where it leads.
//!
//! [`Book`] holds a record, its needs and the texts of its profiles; [`Book::explain`] answers for an item: a system
//! call, a path, a capability and so on by name (`item`), or a line of a profile as it stands (`apparmor`, `json`,
//! `list`). Either becomes [`Topic`]s, which say of each fact whether it belongs to them. Pure: opens no files.

mod apparmor;
mod evidence;
mod glob;
mod item;
mod json;
mod list;
mod nearest;
mod pfc;
pub mod show;
mod topic;

use std::collections::BTreeSet;

use indexmap::IndexSet;
use serde::Serialize;

pub use evidence::{Actor, Start};
pub use topic::Topic;

use crate::abi::Abi;
use crate::fact::Fact;
use crate::infer::{Needs, outcome};
use crate::path::AbsPath;
use crate::record::{Record, Sighting};
use crate::render::escape::{Escaped, Tail};

/// How many literal paths behind a pattern, and lines of one profile, are written out.
const LISTED: usize = 12;

/// The text of one profile.
#[derive(Clone, Debug)]
pub struct Output {
    /// The name of its file.
    pub file: String,
    /// What is in it.
    pub text: String,
}

/// A record, what it needs and the profiles that came of it.
pub struct Book<'b, 'r> {
    record: &'b Record,
    needs: &'b Needs<'r>,
    profiles: Vec<Profile<'b>>,
}

/// A profile, line by line.
struct Profile<'b> {
    file: &'b str,
    lines: Vec<(&'b str, Reading)>,
}

/// What a line of a profile is.
#[derive(Clone, Debug, PartialEq)]
enum Reading {
    /// It is there for these.
    Rule(Vec<Topic>),
    /// It tells more of these, whose rule stands elsewhere.
    Detail(Vec<Topic>),
    /// It is there for everybody, or tells something: why.
    Fixed(String),
    /// Nothing that is known here.
    Unknown,
}

impl Reading {
    fn fixed(why: &str) -> Self {
        Self::Fixed(why.to_owned())
    }

    fn rule(topic: Topic) -> Self {
        Self::Rule(vec![topic])
    }

    fn topics(&self) -> &[Topic] {
        match self {
            Self::Rule(topics) | Self::Detail(topics) => topics,
            Self::Fixed(_) | Self::Unknown => &[],
        }
    }
}

/// What is to be said of one item.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// It is explained.
    Explained {
        /// The item as it was given.
        item: String,
        /// Each thing that it names.
        explanations: Vec<Explanation>,
    },
    /// It names several things of different kinds.
    Ambiguous {
        /// The item as it was given.
        item: String,
        /// An item for each of them.
        could_mean: Vec<String>,
    },
    /// The record knows nothing of it.
    Unknown {
        /// The item as it was given.
        item: String,
        /// The items that look most like it.
        nearest: Vec<String>,
    },
}

/// Why one thing is in a profile.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Explanation {
    /// Its kind, such as `file`; empty for a line that is no rule.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// What is to be said of it beside the evidence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Who did it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<Actor>,
    /// Of a pattern, the first paths that it stands for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub literals: Vec<String>,
    /// Of a pattern, how many paths those are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub literal_count: Option<usize>,
    /// The lines of the profiles that it leads to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub leads_to: Vec<Lines>,
}

/// Lines of one profile.
#[derive(Clone, Debug, Serialize)]
pub struct Lines {
    /// The profile's file.
    pub file: String,
    /// The first of them.
    pub lines: Vec<String>,
    /// How many there are.
    pub count: usize,
}

impl<'b, 'r> Book<'b, 'r> {
    /// Reads the profiles that `needs`, those of `record`, were written to.
    #[must_use]
    pub fn new(record: &'b Record, needs: &'b Needs<'r>, outputs: &'b [Output]) -> Self {
        let profiles = outputs.iter().map(|output| Profile { file: &output.file, lines: read(&output.text) });
        Self { record, needs, profiles: profiles.collect() }
    }

    /// What there is to say of `item`.
    #[must_use]
    pub fn explain(&self, item: &str) -> Answer {
        let asked = item.trim();
        let named = item::topics(asked, self.record);
        let mut found = self.known(named.clone());
        if found.len() > 1 {
            let could_mean = found.iter().map(|one| format!("{}:{}", one.kind, one.name)).collect();
            return Answer::Ambiguous { item: item.to_owned(), could_mean };
        }
        if found.is_empty() {
            found = self.line(asked);
        }
        if found.is_empty() {
            let nearest = nearest::items(asked, self.record, self.needs);
            return Answer::Unknown { item: item.to_owned(), nearest };
        }
        Answer::Explained { item: item.to_owned(), explanations: found }
    }

    /// The explanations of those topics that the record or a profile knows.
    fn known(&self, topics: Vec<Topic>) -> Vec<Explanation> {
        let explained = topics.into_iter().map(|topic| self.topic(&topic));
        explained.filter(|one| !(one.by.is_empty() && one.leads_to.is_empty() && one.notes.is_empty())).collect()
    }

    /// A line of a profile: of these ones if it stands there, of another one otherwise.
    fn line(&self, line: &str) -> Vec<Explanation> {
        let mut readings = Vec::new();
        for (text, reading) in self.profiles.iter().flat_map(|profile| &profile.lines) {
            if text.trim() == line && *reading != Reading::Unknown && !readings.contains(reading) {
                readings.push(reading.clone());
            }
        }
        let stands = !readings.is_empty();
        if !stands {
            readings = [pfc::line(line), apparmor::line(line), json::line(line), list::line(line)].into();
        }
        let mut topics = Vec::new();
        for topic in readings.iter().flat_map(Reading::topics).map(Topic::itself) {
            if !topics.contains(&topic) {
                topics.push(topic);
            }
        }
        let unseen = stands.then(|| topics.first().map(unseen)).flatten();
        let mut found = self.known(topics);
        if found.is_empty() {
            found.extend(unseen);
        }
        if found.is_empty() {
            found.extend(readings.into_iter().filter_map(|reading| match reading {
                Reading::Fixed(why) => Some(fixed(line, why)),
                Reading::Rule(_) | Reading::Detail(_) | Reading::Unknown => None,
            }));
            found.truncate(1);
        }
        found
    }

    fn topic(&self, topic: &Topic) -> Explanation {
        let of_topic = |sighting: &Sighting<'_>| topic.holds(&sighting.fact);
        let seen: Vec<_> = self.record.sightings().filter(|(_, sighting)| of_topic(sighting)).collect();
        let needed = seen.iter().any(|(_, sighting)| outcome::is_needed(&sighting.fact, &sighting.outcomes));
        let mut notes = topic.notes(self.record);
        notes.extend(abis(topic, &seen));
        notes.extend(self.sets(topic));
        if !seen.is_empty() && !needed {
            notes.push("it was only tried, looked at or refused in a way that needs no rule".to_owned());
        }
        let literals = topic.is_pattern().then(|| paths(seen.iter().map(|(_, sighting)| &sighting.fact)));
        notes.extend(literals.as_ref().and_then(|_| self.leeway(topic)));
        let leads_to = self.leads_to(topic, &seen);
        Explanation {
            kind: topic.kind(),
            name: topic.name(),
            notes,
            by: evidence::actors(self.record, topic, &seen),
            literal_count: literals.as_ref().map(BTreeSet::len),
            literals: literals.into_iter().flatten().take(LISTED).collect(),
            leads_to,
        }
    }

    /// What a pattern of the needs grants beyond what it stands for.
    fn leeway(&self, topic: &Topic) -> Option<String> {
        let written = topic.name();
        let text = |pattern| Escaped::pattern(pattern, Tail::File);
        let pattern = self.needs.literals.keys().find(|pattern| {
            let text = text(pattern);
            let text = text.as_str().trim_matches('"');
            text == written.trim_end_matches('/')
        });
        let beyond = match pattern?.leeway() {
            nothing if nothing.is_empty() => "nothing".to_owned(),
            leeway => leeway,
        };
        Some(format!("grants beyond what it stands for: {beyond}"))
    }

    /// The sets of calls that nobody made and that a profile allows all the same, as `topic` is in them.
    fn sets(&self, topic: &Topic) -> Vec<String> {
        let members = self.profiles.iter().flat_map(|profile| &profile.lines).flat_map(|(_, reading)| reading.topics());
        let mut notes = Vec::new();
        for member in members {
            if let Some(note) = member.set_note(topic)
                && !notes.contains(&note)
            {
                notes.push(note);
            }
        }
        notes
    }

    /// The lines that stand for any of the facts that are needed, or for the same as the topic.
    fn leads_to(&self, topic: &Topic, seen: &[(&AbsPath, Sighting<'_>)]) -> Vec<Lines> {
        let needed = seen.iter().filter(|(_, one)| outcome::is_needed(&one.fact, &one.outcomes));
        let facts: Vec<&Fact> = needed.map(|(_, one)| &one.fact).collect();
        let leads = |reading: &Reading| match reading {
            Reading::Rule(topics) => topics.iter().any(|one| one == topic || one.leads_from(topic, &facts)),
            Reading::Detail(_) | Reading::Fixed(_) | Reading::Unknown => false,
        };
        let mut found = Vec::new();
        for Profile { file, lines } in &self.profiles {
            let lines = lines.iter().filter(|(_, reading)| leads(reading));
            let lines: IndexSet<_> = lines.map(|(line, _)| line.trim().to_owned()).collect();
            if !lines.is_empty() {
                let count = lines.len();
                let lines = lines.into_iter().take(LISTED).collect();
                found.push(Lines { file: (*file).to_owned(), lines, count });
            }
        }
        found
    }
}

/// What stands in a profile though no fact belongs to it.
fn unseen(topic: &Topic) -> Explanation {
    let notes = vec!["nobody was seen to need it".to_owned()];
    Explanation { kind: topic.kind(), name: topic.name(), notes, ..Explanation::default() }
}

fn fixed(line: &str, why: String) -> Explanation {
    Explanation { name: line.to_owned(), notes: vec![why], ..Explanation::default() }
}

/// Under which ABIs a call was made, unless it is the usual one alone.
fn abis(topic: &Topic, seen: &[(&AbsPath, Sighting<'_>)]) -> Option<String> {
    let Topic::Syscall(_, None) = topic else {
        return None;
    };
    let abis: BTreeSet<_> = seen.iter().filter_map(|(_, one)| one.fact.abi()).collect();
    let names = abis.iter().map(|abi| abi.name()).collect::<Vec<_>>();
    (names.len() > 1 || names.iter().any(|name| *name != Abi::native().name()))
        .then(|| format!("under {}", names.join(", ")))
}

/// The paths that facts name.
fn paths<'f>(facts: impl Iterator<Item = &'f Fact>) -> BTreeSet<String> {
    let path = |fact: &Fact| match fact {
        Fact::File(fact) => Some(topic::file_name(fact)),
        Fact::Mount(fact) => Some(fact.target.to_string()),
        _ => None,
    };
    facts.filter_map(path).collect()
}

/// What each line of a profile is.
fn read(text: &str) -> Vec<(&str, Reading)> {
    if text.trim_start().starts_with('{') {
        return json::read(text);
    }
    if text.contains("\n# Capabilities to keep\n") {
        return list::read(text);
    }
    if text.contains(pfc::MARK) {
        return pfc::read(text);
    }
    apparmor::read(text)
}
