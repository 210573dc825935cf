//! When something was seen, and how it ended.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::OnceLock;

use nix::errno::Errno;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use smallvec::SmallVec;

use super::{Moment, RunId};
use crate::event::Outcome;
use crate::fact::Access;

/// When and in which runs a fact was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// First time, Unix time in milliseconds.
    pub first_ms: u64,
    /// Last time that taught something about it, Unix time in milliseconds.
    pub last_ms: u64,
    /// Runs in which it was seen.
    pub runs: RunSet,
    /// By which invocations of its executable: a sample.
    #[serde(default, skip_serializing_if = "Callers::is_empty")]
    pub by: Callers,
}

/// One way in which an executable was started, by the id of its [`super::Invocation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Caller(pub NonZeroU32);

impl Serialize for Caller {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{:08x}", self.0))
    }
}

impl<'de> Deserialize<'de> for Caller {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(from)?;
        let number = u32::from_str_radix(&text, 16).ok().and_then(NonZeroU32::new);
        number.map(Self).ok_or_else(|| serde::de::Error::custom(format_args!("`{text}` is no id of an invocation")))
    }
}

/// A sample of callers in four words, since a record may hold a million: the smallest ids, so that joining samples stays
/// lawful.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Callers([Option<Caller>; 4]);

impl Callers {
    /// Adds a caller. Returns whether it is new and kept.
    pub fn insert(&mut self, caller: Caller) -> bool {
        let mut moving = Some(caller);
        if self.0.contains(&moving) {
            return false;
        }
        for place in &mut self.0 {
            if place.is_none() || moving < *place {
                std::mem::swap(place, &mut moving);
            }
        }
        moving != Some(caller)
    }

    /// The callers, sorted.
    pub fn iter(&self) -> impl Iterator<Item = Caller> {
        self.0.iter().flatten().copied()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Serialize for Callers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Callers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut callers = Self::default();
        for caller in SmallVec::<[Caller; 4]>::deserialize(from)? {
            callers.insert(caller);
        }
        Ok(callers)
    }
}

/// A sorted set of runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct RunSet(SmallVec<[RunId; 2]>);

impl<'de> Deserialize<'de> for RunSet {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut runs = Self::default();
        for run in SmallVec::<[RunId; 2]>::deserialize(from)? {
            runs.insert(run);
        }
        Ok(runs)
    }
}

impl RunSet {
    /// Adds a run; returns whether it is new.
    pub fn insert(&mut self, run: RunId) -> bool {
        match self.0.binary_search(&run) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, run);
                true
            }
        }
    }

    /// The runs, sorted.
    pub fn iter(&self) -> impl Iterator<Item = RunId> {
        self.0.iter().copied()
    }

    /// All runs of both. Many are merged rather than inserted one by one.
    fn join(&mut self, other: Self) {
        const FEW: usize = 4;
        if other.0.len() <= FEW {
            for run in other.0 {
                self.insert(run);
            }
            return;
        }
        let mut all = SmallVec::with_capacity(self.0.len() + other.0.len());
        let (mut ours, mut theirs) = (self.iter().peekable(), other.iter().peekable());
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some(one), Some(other)) => (*one).min(*other),
                (Some(one), None) | (None, Some(one)) => *one,
                (None, None) => break,
            };
            ours.next_if_eq(&next);
            theirs.next_if_eq(&next);
            all.push(next);
        }
        drop((ours, theirs));
        self.0 = all;
    }
}

impl Evidence {
    /// Seen once.
    #[must_use]
    pub fn at(moment: Moment) -> Self {
        let mut seen =
            Self { first_ms: moment.at_ms, last_ms: moment.at_ms, runs: RunSet::default(), by: Callers::default() };
        seen.again(moment);
        seen
    }

    /// Seen again.
    pub fn again(&mut self, moment: Moment) {
        self.first_ms = self.first_ms.min(moment.at_ms);
        self.last_ms = self.last_ms.max(moment.at_ms);
        self.runs.insert(moment.run);
        if let Some(caller) = moment.by {
            self.by.insert(caller);
        }
    }

    /// Both evidences.
    pub fn join(&mut self, other: Self) {
        let Self { first_ms, last_ms, runs, by } = other;
        self.first_ms = self.first_ms.min(first_ms);
        self.last_ms = self.last_ms.max(last_ms);
        self.runs.join(runs);
        for caller in by.iter() {
            self.by.insert(caller);
        }
    }
}

/// How a call ended, as a sorted set: 0 for success, an errno, or [`Outcomes::UNFINISHED`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes(SmallVec<[u16; 4]>);

impl Outcomes {
    /// The end was not seen: exit, death within the call, or a thread's exec.
    pub const UNFINISHED: u16 = Outcome::UNFINISHED;

    /// The class of one outcome.
    #[must_use]
    pub fn class(outcome: Outcome) -> u16 {
        outcome.class()
    }

    /// One class alone.
    #[must_use]
    pub fn only(class: u16) -> Self {
        Self(SmallVec::from_slice(&[class]))
    }

    /// Adds a class; returns whether it is new.
    pub fn insert(&mut self, class: u16) -> bool {
        match self.0.binary_search(&class) {
            Ok(_) => false,
            Err(at) => {
                self.0.insert(at, class);
                true
            }
        }
    }

    /// The classes, sorted.
    pub fn iter(&self) -> impl Iterator<Item = u16> {
        self.0.iter().copied()
    }

    /// Whether it was admitted at least once: success, or a failure that is none ([`Outcome::admitted`]).
    #[must_use]
    pub fn admitted(&self) -> bool {
        self.iter().any(|class| class == 0 || Outcome::Failed(i32::from(class)).admitted())
    }

    /// All outcomes of both.
    pub fn join(&mut self, other: Self) {
        for class in other.0 {
            self.insert(class);
        }
    }

    /// Leaves the outcomes that both have.
    pub(super) fn meet(&mut self, other: &Self) {
        self.0.retain(|class| other.0.contains(class));
    }

    /// Whether no end was seen.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The evidence of a fact, with its outcomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// How it ended.
    pub outcomes: Outcomes,
    /// When it was seen.
    pub seen: Evidence,
}

impl Usage {
    pub(super) fn new(class: u16, moment: Moment) -> Self {
        Self { outcomes: Outcomes::only(class), seen: Evidence::at(moment) }
    }

    /// Seen again. Returns whether its class of outcome is new.
    pub(super) fn again(&mut self, class: u16, moment: Moment) -> bool {
        self.seen.again(moment);
        self.outcomes.insert(class)
    }

    /// Both uses.
    pub fn join(&mut self, other: Self) {
        let Self { outcomes, seen } = other;
        self.outcomes.join(outcomes);
        self.seen.join(seen);
    }
}

/// What was tried and failed, by class of outcome, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures(SmallVec<[(u16, Access); 1]>);

impl Failures {
    /// Adds what failed with `class`; returns whether it is new.
    pub fn insert(&mut self, class: u16, access: Access) -> bool {
        match self.0.binary_search_by_key(&class, |(known, _)| *known) {
            Ok(at) => self.0.get_mut(at).is_some_and(|(_, known)| {
                let news = !known.contains(access);
                *known |= access;
                news
            }),
            Err(at) => {
                self.0.insert(at, (class, access));
                true
            }
        }
    }

    /// Each class with what failed so.
    pub fn iter(&self) -> impl Iterator<Item = (u16, Access)> {
        self.0.iter().copied()
    }

    /// All failures of both.
    pub fn join(&mut self, other: Self) {
        for (class, access) in other.0 {
            self.insert(class, access);
        }
    }

    /// Leaves what failed in both, and so.
    pub(super) fn meet(&mut self, other: &Self) {
        for (class, access) in &mut self.0 {
            let there = other.0.iter().find(|(of, _)| of == class).map_or(Access::empty(), |(_, access)| *access);
            *access &= there;
        }
        self.0.retain(|(_, access)| !access.is_empty());
    }

    /// Whether nothing failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Outcomes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter().map(class_name))
    }
}

impl<'de> Deserialize<'de> for Outcomes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut outcomes = Self::default();
        for name in Vec::<Cow<'de, str>>::deserialize(from)? {
            outcomes.insert(class_named(&name)?);
        }
        Ok(outcomes)
    }
}

impl Serialize for Failures {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.iter().map(|(class, access)| (class_name(class), access)))
    }
}

impl<'de> Deserialize<'de> for Failures {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut failures = Self::default();
        for (name, access) in BTreeMap::<Cow<'de, str>, Access>::deserialize(from)? {
            failures.insert(class_named(&name)?, access);
        }
        Ok(failures)
    }
}

/// The text of a class: `ok`, `unfinished`, an errno's name or, without one, its number.
#[must_use]
pub fn class_name(class: u16) -> Cow<'static, str> {
    match class {
        0 => "ok".into(),
        Outcomes::UNFINISHED => "unfinished".into(),
        errno => errno_name(errno).map_or_else(|| errno.to_string().into(), Cow::Owned),
    }
}

/// The reverse of [`class_name`].
fn class_named<E: serde::de::Error>(name: &str) -> Result<u16, E> {
    static CLASSES: OnceLock<BTreeMap<String, u16>> = OnceLock::new();
    let classes = CLASSES.get_or_init(|| (1..=133).filter_map(|errno| Some((errno_name(errno)?, errno))).collect());
    let class = match name {
        "ok" => Some(0),
        "unfinished" => Some(Outcomes::UNFINISHED),
        name => classes.get(name).copied().or_else(|| name.parse().ok()),
    };
    class.ok_or_else(|| E::custom(format_args!("unknown outcome `{name}`")))
}

fn errno_name(errno: u16) -> Option<String> {
    match Errno::from_raw(i32::from(errno)) {
        Errno::UnknownErrno => None,
        known => Some(format!("{known:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_callers_stay() {
        let caller = |id: u32| Caller(NonZeroU32::new(id).unwrap());
        let mut callers = Callers::default();
        assert!(callers.is_empty());
        for (id, kept) in [(5, true), (7, true), (5, false), (9, true), (8, true), (3, true), (9, false), (10, false)] {
            assert_eq!(callers.insert(caller(id)), kept, "{id}");
        }
        assert_eq!(callers.iter().collect::<Vec<_>>(), [3, 5, 7, 8].map(caller));
    }
}
