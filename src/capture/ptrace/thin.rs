//! Which task stops for what, and when a task is thinned. Pure decisions; [`super::inject`] is the mechanism.
//!
//! A process that made many stops without teaching anything about calls is hot: it gets a filter with what the whole
//! tree knows by then, and stops only for the rest. Of a task's filters the strictest verdict counts, so a second one
//! could not let pass what the first stops: there is one a task, installed late.

use std::collections::HashMap;

use crate::event::Tid;

/// Calls without news after which a process is thinned. Each is two stops of 10 to 50 us, so this is well below a tenth
/// of a second; a server's start is over by then, or still teaches something.
pub const DEFAULT_THRESHOLD: u32 = 1000;

/// How a task stands to the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Thinned {
    /// It stops at every call.
    #[default]
    No,
    /// A thread of its process installed a filter for all (`SECCOMP_FILTER_FLAG_TSYNC`), and it was not seen since: a
    /// process that it made before may lack the filter.
    Synced,
    /// It stops only where the filter says so; so will its children.
    Yes,
    /// It cannot have a filter; it stops at every call.
    Refused,
}

impl Thinned {
    /// Whether the task has the filter.
    #[must_use]
    pub const fn filtered(self) -> bool {
        matches!(self, Self::Synced | Self::Yes)
    }
}

/// How long each process has taught nothing.
#[derive(Debug)]
pub struct Heat {
    /// `None` when nothing is ever thinned.
    threshold: Option<u32>,
    stops: HashMap<Tid, u32>,
}

impl Heat {
    /// With this threshold; 0 thins at the first call, as fits a run that already knows much.
    #[must_use]
    pub fn new(threshold: Option<u32>) -> Self {
        Self { threshold, stops: HashMap::new() }
    }

    /// A task of `process` stopped at a call. Returns whether the process is hot.
    pub fn stop(&mut self, process: Tid) -> bool {
        let Some(threshold) = self.threshold else { return false };
        let stops = self.stops.entry(process).or_default();
        *stops = stops.saturating_add(1);
        *stops > threshold
    }

    /// A call of `process` was new; its parent, which may make more such children, begins to count anew as well.
    pub fn news(&mut self, process: Tid, parent: Option<Tid>) {
        self.stops.insert(process, 0);
        if let Some(parent) = parent
            && let Some(stops) = self.stops.get_mut(&parent)
        {
            *stops = 0;
        }
    }

    /// `process` ended: its stops without news count for the parent, which hands its filter down to the next ones.
    pub fn end(&mut self, process: Tid, parent: Option<Tid>) {
        let stops = self.stops.remove(&process).unwrap_or_default();
        if let Some(parent) = parent
            && let Some(of_parent) = self.stops.get_mut(&parent)
        {
            *of_parent = of_parent.saturating_add(stops);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Tid = Tid(1);
    const CHILD: Tid = Tid(2);

    #[test]
    fn a_process_is_hot_after_stops_without_news() {
        let mut heat = Heat::new(Some(2));
        assert!(!heat.stop(SHELL) && !heat.stop(SHELL));
        heat.news(SHELL, None);
        assert!(!heat.stop(SHELL) && !heat.stop(SHELL));
        assert!(heat.stop(SHELL));
        assert!(Heat::new(Some(0)).stop(SHELL));
        assert!(!Heat::new(None).stop(SHELL));
    }

    #[test]
    fn short_children_heat_their_parent() {
        let mut heat = Heat::new(Some(3));
        assert!(!heat.stop(SHELL));
        assert!(!heat.stop(CHILD) && !heat.stop(CHILD));
        heat.end(CHILD, Some(SHELL));
        assert!(heat.stop(SHELL));
    }

    #[test]
    fn a_childs_news_cools_its_parent() {
        let mut heat = Heat::new(Some(1));
        assert!(!heat.stop(SHELL));
        heat.news(CHILD, Some(SHELL));
        assert!(!heat.stop(SHELL));
    }
}
