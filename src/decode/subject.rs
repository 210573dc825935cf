//! What was already told of the calls of one executable, so that a call that teaches nothing costs next to nothing.

use std::collections::{BTreeMap, HashMap};

use smallvec::SmallVec;

use super::scene::Values;
use crate::abi::Abi;
use crate::event::{Call, Outcome};
use crate::path::AbsPath;
use crate::record::{Caller, Callers};

/// Numbers below this have a place of their own; no kernel has as many calls.
const DENSE: usize = 1024;

/// How many other numbers, and how many argument lists, are remembered of one executable.
const ODD_MAX: usize = 4096;

/// One executable of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SubjectId(usize);

/// Every executable of the run.
#[derive(Default)]
pub(super) struct Subjects {
    list: Vec<Subject>,
    by_path: HashMap<AbsPath, SubjectId>,
}

impl Subjects {
    /// The executable at `path`.
    pub(super) fn id(&mut self, path: &AbsPath) -> SubjectId {
        if let Some(&id) = self.by_path.get(path) {
            return id;
        }
        let id = SubjectId(self.list.len());
        self.list.push(Subject::new(path.clone()));
        self.by_path.insert(path.clone(), id);
        id
    }

    /// What is known of it.
    pub(super) fn get(&self, id: SubjectId) -> Option<&Subject> {
        self.list.get(id.0)
    }

    /// What is known of it, to be added to.
    pub(super) fn get_mut(&mut self, id: SubjectId) -> Option<&mut Subject> {
        self.list.get_mut(id.0)
    }

    /// All of them.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Subject> {
        self.list.iter_mut()
    }
}

/// One executable, and what was told of its calls.
pub(super) struct Subject {
    /// Its path.
    pub(super) path: AbsPath,
    calls: [Vec<Known>; Abi::ALL.len()],
    odd: BTreeMap<(Abi, u32), Known>,
    arguments: HashMap<(Abi, u32, Values, u16), Callers>,
    counted: bool,
}

/// What was told of one call.
#[derive(Clone, Default)]
struct Known {
    /// How often it was entered since the counts were handed over.
    fresh: u64,
    /// Whether it was entered at all.
    seen: bool,
    /// Classes of outcome that were told.
    outcomes: SmallVec<[u16; 4]>,
    /// The callers that were told.
    callers: Callers,
}

/// What is new of a call at its entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Novelty {
    /// Nothing.
    None,
    /// Its caller is to be kept.
    Caller,
    /// The call itself.
    Call,
}

impl Subject {
    fn new(path: AbsPath) -> Self {
        Self { path, calls: Default::default(), odd: BTreeMap::new(), arguments: HashMap::new(), counted: false }
    }

    /// The place of one call; `None` when there are too many odd numbers.
    fn known(&mut self, call: &Call) -> Option<&mut Known> {
        let number = usize::try_from(call.number).unwrap_or(usize::MAX);
        if number < DENSE {
            let calls = self.calls.get_mut(call.abi as usize)?;
            if calls.len() <= number {
                calls.resize(number + 1, Known::default());
            }
            return calls.get_mut(number);
        }
        let key = (call.abi, call.number);
        if self.odd.len() >= ODD_MAX && !self.odd.contains_key(&key) {
            return None;
        }
        Some(self.odd.entry(key).or_default())
    }

    /// Counts a call at its entry. Returns what is new of it; `None` when it cannot be remembered.
    pub(super) fn enter(&mut self, call: &Call, by: Option<Caller>) -> Option<Novelty> {
        self.counted = true;
        let known = self.known(call)?;
        known.fresh += 1;
        let caller = by.is_some_and(|by| known.callers.insert(by));
        Some(match (std::mem::replace(&mut known.seen, true), caller) {
            (false, _) => Novelty::Call,
            (true, true) => Novelty::Caller,
            (true, false) => Novelty::None,
        })
    }

    /// Takes the count of one call.
    pub(super) fn take_count(&mut self, call: &Call) -> u64 {
        self.known(call).map_or(0, |known| std::mem::take(&mut known.fresh))
    }

    /// Notes how a call ended. Returns whether no call of this kind ended so before.
    pub(super) fn leave(&mut self, call: &Call, outcome: Outcome) -> bool {
        let class = outcome.class();
        self.known(call).is_some_and(|known| {
            let new = !known.outcomes.contains(&class);
            if new {
                known.outcomes.push(class);
            }
            new
        })
    }

    /// Whether a call like this one is known to have ended so.
    pub(super) fn ended_so(&mut self, call: &Call, outcome: Outcome) -> bool {
        self.known(call).is_some_and(|known| known.outcomes.contains(&outcome.class()))
    }

    /// Notes with which arguments a call was made. Returns whether that is new, or may be, or its caller is to be kept.
    pub(super) fn arguments(&mut self, call: &Call, values: &Values, outcome: Outcome, by: Option<Caller>) -> bool {
        let entry = (call.abi, call.number, values.clone(), outcome.class());
        if let Some(callers) = self.arguments.get_mut(&entry) {
            return by.is_some_and(|by| callers.insert(by));
        }
        if self.arguments.len() < ODD_MAX {
            let mut callers = Callers::default();
            if let Some(by) = by {
                callers.insert(by);
            }
            self.arguments.insert(entry, callers);
        }
        true
    }

    /// Takes the counts of calls that were entered since the last time.
    pub(super) fn take_counts(&mut self, mut each: impl FnMut(&AbsPath, Abi, u32, u64)) {
        if !std::mem::take(&mut self.counted) {
            return;
        }
        for (abi, calls) in Abi::ALL.into_iter().zip(&mut self.calls) {
            for (number, known) in (0..).zip(calls).filter(|(_, known)| known.fresh > 0) {
                each(&self.path, abi, number, std::mem::take(&mut known.fresh));
            }
        }
        for (&(abi, number), known) in self.odd.iter_mut().filter(|(_, known)| known.fresh > 0) {
            each(&self.path, abi, number, std::mem::take(&mut known.fresh));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abis_have_their_places() {
        for (place, abi) in Abi::ALL.into_iter().enumerate() {
            assert_eq!(abi as usize, place);
        }
    }

    #[test]
    fn odd_numbers_are_bounded() {
        let mut subject = Subject::new(AbsPath::root());
        let call = |number| Call { abi: Abi::X86_64, number, args: [0; 6] };
        for number in (0..=u32::MAX).rev().take(ODD_MAX) {
            assert_eq!(subject.enter(&call(number), None), Some(Novelty::Call));
        }
        assert_eq!(subject.enter(&call(u32::MAX), None), Some(Novelty::None));
        assert_eq!(subject.enter(&call(100_000), None), None);
        assert_eq!(subject.enter(&call(1), None), Some(Novelty::Call));
        let mut total = 0;
        subject.take_counts(|_, _, _, times| total += times);
        assert_eq!(total, ODD_MAX as u64 + 2);
        subject.take_counts(|_, _, _, _| panic!("taken twice"));
    }
}
