//! On which processor the tracer runs.
//!
//! A stop costs two wake-ups. When one task at a time stops, tracer and tracee take turns, and a turn on the same
//! processor costs a fraction of waking another one; when the tree runs in parallel, sharing one would serialise it.
//! Only the tracer is ever moved.

/// Every how many stops a task's processor is looked at.
const EVERY: u32 = 64;
/// How many looks make a decision.
const LOOKS: usize = 8;

/// Where the tracer should run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this processor.
    On(usize),
    /// Where the scheduler wants.
    Anywhere,
}

/// Recent looks at the processors of stopping tasks.
#[derive(Debug, Default)]
pub struct Affinity {
    stops: u32,
    looks: Vec<usize>,
    place: Option<Place>,
}

impl Affinity {
    /// A task stopped. Returns whether its processor is to be looked at.
    pub const fn stop(&mut self) -> bool {
        self.stops = self.stops.wrapping_add(1);
        self.stops.is_multiple_of(EVERY)
    }

    /// A stopped task was last on this processor. Returns where the tracer is to move, when that changes.
    pub fn seen(&mut self, processor: usize) -> Option<Place> {
        self.looks.push(processor);
        if self.looks.len() < LOOKS {
            return None;
        }
        let one = self.looks.iter().filter(|&&look| look == processor).count();
        let place = if one * 4 >= self.looks.len() * 3 { Place::On(processor) } else { Place::Anywhere };
        self.looks.clear();
        (self.place.replace(place) != Some(place)).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_a_lone_task_and_leaves_a_parallel_tree_alone() {
        let mut affinity = Affinity::default();
        let mut look = |processors: [usize; LOOKS]| processors.map(|one| affinity.seen(one))[LOOKS - 1];
        assert_eq!(look([1; LOOKS]), Some(Place::On(1)));
        assert_eq!(look([1; LOOKS]), None, "it is there already");
        assert_eq!(look([1, 0, 1, 1, 1, 1, 0, 1]), None, "one that was elsewhere for a moment");
        assert_eq!(look([0, 1, 0, 1, 0, 1, 0, 1]), Some(Place::Anywhere));
        assert_eq!(look([0; LOOKS]), Some(Place::On(0)));
    }

    #[test]
    fn looks_now_and_then() {
        let mut affinity = Affinity::default();
        assert_eq!((0..EVERY * 3).filter(|_| affinity.stop()).count(), 3);
    }
}
