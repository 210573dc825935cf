//! Under which scheduling policy the tracer runs. Pure decisions.
//!
//! A stop costs two wake-ups, and waking an idle processor costs several times a switch on the same one. The scheduler
//! spreads tracer and tracee over two processors whenever one is idle, wherever the tracer pins itself; it leaves the
//! tracee where it is only while the tracer runs as `SCHED_IDLE` (`sched(7)`), since a processor with nothing but such
//! tasks counts as idle. On a busy machine the same policy starves the tracer. So both are tried, by the time that a
//! stop takes, and the better one is kept for a while. The workload's own scheduling is never touched.

use std::time::{Duration, Instant};

/// Stops of one trial.
const TRIAL: u32 = 32;
/// Trials' worth of stops for which the winner is kept at first.
const KEEP: u32 = 32;
/// The longest such time.
const KEEP_LIMIT: u32 = 4096;

/// The tracer's scheduling policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// As it was started.
    Normal,
    /// `SCHED_IDLE`.
    Idle,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Trying(Policy),
    Keeping { until: u32, expected: Duration },
}

/// Which policy makes stops cheaper at present.
#[derive(Debug)]
pub struct Pace {
    policy: Policy,
    state: State,
    stops: u32,
    began: Instant,
    normal: Duration,
    /// How long the winner is kept; doubled each time that trying did not pay.
    keep: u32,
}

impl Pace {
    /// Begins with the normal policy.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        let state = State::Trying(Policy::Normal);
        Self { policy: Policy::Normal, state, stops: 0, began: now, normal: Duration::ZERO, keep: KEEP }
    }

    /// A task stopped. Returns the policy to change to, if any; the clock is asked once a trial.
    pub fn stop(&mut self, clock: impl FnOnce() -> Instant) -> Option<Policy> {
        self.stops += 1;
        if !self.stops.is_multiple_of(TRIAL) {
            return None;
        }
        let now = clock();
        let took = now.duration_since(self.began);
        self.began = now;
        match self.state {
            State::Trying(Policy::Normal) => {
                self.normal = took;
                self.state = State::Trying(Policy::Idle);
                self.change(Policy::Idle)
            }
            State::Trying(Policy::Idle) => {
                let better = took * 10 < self.normal * 9;
                self.keep = if better { KEEP } else { (self.keep * 2).min(KEEP_LIMIT) };
                let (policy, expected) = if better { (Policy::Idle, took) } else { (Policy::Normal, self.normal) };
                self.state = State::Keeping { until: self.stops.wrapping_add(self.keep * TRIAL), expected };
                self.change(policy)
            }
            State::Keeping { until, expected } => {
                // Starving shows at once; a cheaper way is looked for in due time.
                let starved = self.policy == Policy::Idle && took > expected * 4;
                if !starved && self.stops != until {
                    return None;
                }
                self.state = State::Trying(Policy::Normal);
                self.change(Policy::Normal)
            }
        }
    }

    fn change(&mut self, policy: Policy) -> Option<Policy> {
        (std::mem::replace(&mut self.policy, policy) != policy).then_some(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs stops that take these times under each policy; returns how many ran as `SCHED_IDLE`.
    fn run(stops: u32, normal: u64, idle: u64) -> u32 {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut as_idle = 0;
        for _ in 0..stops {
            let cost = if pace.policy == Policy::Idle { idle } else { normal };
            as_idle += u32::from(pace.policy == Policy::Idle);
            now += Duration::from_micros(cost);
            pace.stop(|| now);
        }
        as_idle
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
    fn a_machine_that_gets_busy_is_noticed() {
        let mut now = Instant::now();
        let mut pace = Pace::new(now);
        let mut stops_until_normal = |cost: [u64; 2]| {
            (0..100_000)
                .find(|_| {
                    now += Duration::from_micros(cost[usize::from(pace.policy == Policy::Idle)]);
                    pace.stop(|| now) == Some(Policy::Normal)
                })
                .unwrap()
        };
        assert!(stops_until_normal([45, 10]) > TRIAL * KEEP, "kept while it pays");
        assert!(stops_until_normal([45, 2000]) <= 2 * TRIAL, "left when it starves");
    }
}
