//! Signals that the learner gets: which of them the workload must get from it, and when the learner stops itself.
//!
//! A terminal sends its signals to the whole foreground process group, the workload included; so may `kill(1)`. Such a
//! signal is not passed on a second time. Pure: the loop does what is decided here.

use std::time::{Duration, Instant};

/// How long a signal of another process waits for the workload to show that it got it as well.
const PATIENCE: Duration = Duration::from_millis(90);
/// How long a job-control signal of the terminal may precede the workload's group-stop.
const SUSPEND_WINDOW: Duration = Duration::from_secs(2);
/// How long the workload may take to end before it is ended.
const GRACE: Duration = Duration::from_secs(10);

/// What to do with a signal that the learner got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send it to the top processes that are not in the learner's process group.
    ForwardOutsideGroup(i32),
    /// Send it to the top processes.
    Forward(i32),
    /// Send it to the workload's first process if that is in group-stop.
    Wake,
    /// End every process of the workload.
    KillAll,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    signal: i32,
    sender: i32,
    since: Instant,
}

/// What is known about the signals so far.
#[derive(Debug, Default)]
pub struct Signals {
    waiting: Vec<Waiting>,
    delivered: Vec<Waiting>,
    asked_to_end: bool,
    suspend: Option<Instant>,
    deadline: Option<Instant>,
}

impl Signals {
    /// A signal came, from `sender` or (0) from the kernel.
    pub fn arrived(&mut self, signal: i32, sender: i32, from_workload: bool, now: Instant) -> Option<Action> {
        if from_workload {
            return None; // It signalled its whole group; who was meant has got it.
        }
        match signal {
            libc::SIGCONT => return (sender != 0).then_some(Action::Wake),
            libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU => self.suspend = Some(now),
            libc::SIGINT | libc::SIGTERM | libc::SIGQUIT => {
                if self.asked_to_end {
                    return Some(Action::KillAll);
                }
                self.asked_to_end = true;
            }
            _ => {}
        }
        if sender == 0 {
            return Some(Action::ForwardOutsideGroup(signal));
        }
        self.waiting.push(Waiting { signal, sender, since: now });
        None
    }

    /// A top process of the workload is about to get a signal of another process.
    pub fn delivered(&mut self, signal: i32, sender: i32, now: Instant) {
        self.delivered.retain(|one| now.duration_since(one.since) < SUSPEND_WINDOW);
        self.delivered.push(Waiting { signal, sender, since: now });
    }

    /// The run is to end: SIGTERM now, SIGKILL after a grace.
    pub fn end(&mut self, now: Instant) -> Option<Action> {
        if self.deadline.is_some() {
            return None;
        }
        self.deadline = Some(now + GRACE);
        Some(Action::Forward(libc::SIGTERM))
    }

    /// What is due by now.
    pub fn due(&mut self, now: Instant) -> Vec<Action> {
        let (ripe, waiting) = self.waiting.iter().partition(|one| now.duration_since(one.since) >= PATIENCE);
        self.waiting = waiting;
        let ripe: Vec<Waiting> = ripe;
        let got_it =
            |one: &Waiting| self.delivered.iter().any(|other| (other.signal, other.sender) == (one.signal, one.sender));
        let mut actions: Vec<_> =
            ripe.iter().filter(|one| !got_it(one)).map(|one| Action::Forward(one.signal)).collect();
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            self.deadline = Some(now + GRACE);
            actions.push(Action::KillAll);
        }
        actions
    }

    /// The workload's first process is in group-stop: whether the learner stops itself too, so that the shell sees a
    /// stopped job.
    pub fn suspends(&mut self, now: Instant) -> bool {
        self.suspend.take().is_some_and(|since| now.duration_since(since) < SUSPEND_WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminals_signal_is_not_sent_twice() {
        let mut signals = Signals::default();
        let now = Instant::now();
        let action = signals.arrived(libc::SIGINT, 0, false, now);
        assert_eq!(action, Some(Action::ForwardOutsideGroup(libc::SIGINT)));
        assert_eq!(signals.arrived(libc::SIGINT, 0, false, now), Some(Action::KillAll), "the second one ends it");
    }

    #[test]
    fn a_signal_to_the_learner_alone_is_passed_on() {
        let mut signals = Signals::default();
        let now = Instant::now();
        assert_eq!(signals.arrived(libc::SIGTERM, 7, false, now), None);
        assert_eq!(signals.due(now), []);
        assert_eq!(signals.due(now + PATIENCE), [Action::Forward(libc::SIGTERM)]);
        assert_eq!(signals.due(now + PATIENCE), []);
    }

    #[test]
    fn a_signal_to_the_whole_group_is_not() {
        let mut signals = Signals::default();
        let now = Instant::now();
        signals.arrived(libc::SIGHUP, 7, false, now);
        signals.delivered(libc::SIGHUP, 7, now);
        assert_eq!(signals.due(now + PATIENCE), []);
        assert_eq!(signals.arrived(libc::SIGTERM, 8, true, now), None);
        assert_eq!(signals.due(now + PATIENCE), []);
    }

    #[test]
    fn the_end_has_a_grace() {
        let mut signals = Signals::default();
        let now = Instant::now();
        assert_eq!(signals.end(now), Some(Action::Forward(libc::SIGTERM)));
        assert_eq!(signals.end(now), None);
        assert_eq!(signals.due(now), []);
        assert_eq!(signals.due(now + GRACE), [Action::KillAll]);
    }

    #[test]
    fn the_learner_stops_with_the_job_only() {
        let mut signals = Signals::default();
        let now = Instant::now();
        assert!(!signals.suspends(now), "kill -STOP of the workload alone");
        signals.arrived(libc::SIGTSTP, 0, false, now);
        assert!(signals.suspends(now));
        assert!(!signals.suspends(now));
    }
}
