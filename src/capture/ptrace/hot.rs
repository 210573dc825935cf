//! Thins processes that are hot.

use std::os::fd::OwnedFd;

use super::inject::{self, Filter, Installation};
use super::stop::Stop;
use super::thin::Thinned;
use super::view::{self, View};
use super::{Tracer, filter, sys};
use crate::event::Tid;

/// Refusals of a filter that asks where one that does not may be installed: the task has such a filter already (the
/// learner's own, say), the kernel knows none, or there is no descriptor left.
const NOT_TO_ASK: [i32; 4] = [libc::EBUSY, libc::EINVAL, libc::EMFILE, libc::ENFILE];

impl Tracer<'_> {
    pub(super) fn is_hot(&mut self, process: Tid) -> bool {
        self.executed.is_some() && self.heat.stop(process)
    }

    /// Installs a filter in a task that stands at the entry of a native call. Returns whether the stop is used up: the
    /// task goes on and enters its call again.
    pub(super) fn thin(&mut self, view: View<'_>) -> bool {
        let known = self.sink.known();
        if known.calls.is_empty() {
            return false;
        }
        if view::filters(view.tid) != self.filters {
            log::debug!("process {} has a seccomp filter of its own and stops at every call", view.process.0);
            self.mark(view, Thinned::Refused, Thinned::Refused);
            return false;
        }
        let asks = self.can_ask && self.listeners.has_room() && inject::can_listen(view.tid);
        let program = filter::program(&known, asks);
        let no_new_privs = !view::filter_privilege(view.tid).unwrap_or(false);
        let installed = inject::install(view.tid, Filter { program: &program, no_new_privs, asks });
        let Ok((installation, listener)) = installed else {
            return true; // It died, which the next wait tells.
        };
        if let Some(listener) = listener {
            self.listen(view, listener);
        }
        match installation {
            Installation::Done => {
                log::debug!("process {} is thinned: {} calls pass", view.process.0, known.calls.len());
                self.mark(view, Thinned::Yes, Thinned::Synced);
                self.sink.thinned(view.tid);
                if no_new_privs {
                    self.sink.lent_no_new_privs(view.tid);
                }
                self.go(view.tid, 0);
            }
            Installation::Refused(error) if asks && NOT_TO_ASK.map(Some).contains(&error.raw_os_error()) => {
                log::debug!("no filter can ask here, known files stop their tasks: {error}");
                self.can_ask = false;
                self.go(view.tid, 0);
            }
            Installation::Refused(error) => {
                log::debug!("process {} stops at every call: no filter can be installed: {error}", view.process.0);
                self.mark(view, Thinned::Refused, Thinned::Refused);
                self.go(view.tid, 0);
            }
            Installation::Interrupted(status) => self.dispatch(view.tid, Stop::of_status(status)),
        }
        true
    }

    /// Every thread of a process has a filter that asks, from now on.
    fn listen(&mut self, view: View<'_>, listener: OwnedFd) {
        if let Err(error) = sys::wake_here(&listener) {
            log::debug!("calls that ask cost more than they might: {error}");
        }
        self.listeners.add(listener);
        for tid in self.tasks.siblings(view.process, view.tid).into_iter().chain([view.tid]) {
            if let Some(task) = self.tasks.get_mut(tid) {
                task.asking.asks = true;
            }
        }
    }

    pub(super) fn mark(&mut self, view: View<'_>, own: Thinned, others: Thinned) {
        for sibling in self.tasks.siblings(view.process, view.tid) {
            if let Some(task) = self.tasks.get_mut(sibling) {
                task.thinned = others;
            }
        }
        if let Some(task) = self.tasks.get_mut(view.tid) {
            task.thinned = own;
        }
    }
}
