//! Where the tracer runs. Pure decisions.
//!
//! A stop costs two wake-ups, and waking an idle processor costs several times a switch on the same one. The scheduler
//! spreads tracer and tracee over two processors whenever one is idle. It leaves the tracee where it is only while the
//! tracer is pinned there and runs as `SCHED_IDLE` (`sched(7)`), since a processor with nothing but such tasks counts as
//! idle. On a busy machine, or in a tree that is really parallel, that starves the tracer. So both are tried, by the
//! time that a stop takes, and the better one is kept for a while. The workload's own scheduling is never touched.
//!
//! A call that asks wakes the tracer on the task's processor anyway, so where there are no stops it runs as it was
//! started.

use std::time::{Duration, Instant};

/// Stops of one trial.
const TRIAL: u32 = 32;
/// Trials' worth of stops for which the winner is kept at first.
const KEEP: u32 = 32;
/// The longest such time.
const KEEP_LIMIT: u32 = 4096;

/// Where the tracer runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// As it was started.
    Anywhere,
    /// On the processor of the task that stopped last, as `SCHED_IDLE`.
    Beside,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Trying(Place),
    Keeping { until: u32, expected: Duration },
}

/// Where stops are cheaper at present.
#[derive(Debug)]
pub struct Pace {
    place: Place,
    state: State,
    stops: u32,
    /// Calls that asked since the last stop.
    asked: u32,
    began: Instant,
    anywhere: Duration,
    /// How long the winner is kept; doubled each time that trying did not pay.
    keep: u32,
}

impl Pace {
    /// Begins where it was started.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        let state = State::Trying(Place::Anywhere);
        Self { place: Place::Anywhere, state, stops: 0, asked: 0, began: now, anywhere: Duration::ZERO, keep: KEEP }
    }

    /// A task stopped. Returns where to go, if anywhere; `Beside` again when the tracee has moved; the clock is asked once a trial.
    pub fn stop(&mut self, clock: impl FnOnce() -> Instant) -> Option<Place> {
        self.stops = self.stops.wrapping_add(1);
        self.asked = 0;
        if !self.stops.is_multiple_of(TRIAL) {
            return None;
        }
        let now = clock();
        let took = now.duration_since(self.began);
        self.began = now;
        match self.state {
            State::Trying(Place::Anywhere) => {
                self.anywhere = took;
                self.state = State::Trying(Place::Beside);
                self.change(Place::Beside)
            }
            State::Trying(Place::Beside) => {
                let better = took * 10 < self.anywhere * 9;
                self.keep = if better { KEEP } else { (self.keep * 2).min(KEEP_LIMIT) };
                let (place, expected) = if better { (Place::Beside, took) } else { (Place::Anywhere, self.anywhere) };
                self.state = State::Keeping { until: self.stops.wrapping_add(self.keep * TRIAL), expected };
                self.change(place)
            }
            State::Keeping { until, expected } => {
                // Starving shows at once; a cheaper way is looked for in due time.
                let starved = self.place == Place::Beside && took > expected * 4;
                if !starved && self.stops != until {
                    let moved = self.place == Place::Beside && took * 4 > expected * 5;
                    return moved.then_some(Place::Beside);
                }
                self.state = State::Trying(Place::Anywhere);
                self.change(Place::Anywhere)
            }
        }
    }

    /// A call asked. Returns where to go, if anywhere.
    pub fn asked(&mut self, clock: impl FnOnce() -> Instant) -> Option<Place> {
        self.asked = self.asked.saturating_add(1);
        if self.asked != TRIAL {
            return None;
        }
        *self = Self { place: self.place, ..Self::new(clock()) };
        self.change(Place::Anywhere)
    }

    fn change(&mut self, place: Place) -> Option<Place> {
        (std::mem::replace(&mut self.place, place) != place).then_some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs stops that take these times at each place; returns how many ran beside the tracee.
    fn run(stops: u32, normal: u64, idle: u64) -> u32 {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut beside = 0;
        for _ in 0..stops {
            let cost = if pace.place == Place::Beside { idle } else { normal };
            beside += u32::from(pace.place == Place::Beside);
            now += Duration::from_micros(cost);
            pace.stop(|| now);
        }
        beside
    }

    #[test]
    fn an_idle_machine_is_found_out() {
        assert!(run(100_000, 45, 10) > 90_000);
    }

    #[test]
    fn a_busy_machine_is_found_out() {
        assert!(run(100_000, 50, 1700) < 1_000);
    }

    #[test]
    fn calls_that_ask_need_no_place() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        while pace.place == Place::Anywhere {
            now += Duration::from_micros(if pace.stops < TRIAL { 45 } else { 10 });
            pace.stop(|| now);
        }
        for _ in 1..TRIAL {
            assert_eq!(pace.asked(|| now), None);
        }
        assert_eq!(pace.asked(|| now), Some(Place::Anywhere));
        assert_eq!(pace.asked(|| now), None, "it is there");
    }

    #[test]
    fn a_machine_that_gets_busy_is_noticed() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut stops_until_normal = |cost: [u64; 2]| {
            (0..100_000)
                .find(|_| {
                    now += Duration::from_micros(cost[usize::from(pace.place == Place::Beside)]);
                    pace.stop(|| now) == Some(Place::Anywhere)
                })
                .unwrap()
        };
        assert!(stops_until_normal([45, 10]) > TRIAL * KEEP, "kept while it pays");
        assert!(stops_until_normal([45, 2000]) <= 2 * TRIAL, "left when it starves");
    }
}
