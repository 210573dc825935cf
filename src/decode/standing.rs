//! What a task may do: its credentials, asked for once and kept as long as no call may have changed them.

use std::rc::Rc;

use crate::event::{Credentials, TaskView};

/// The credentials of one task.
#[derive(Clone, Default)]
pub(super) struct Standing {
    known: Option<Rc<Credentials>>,
    /// Whether its user namespace is another one than the tracer's, when that is known and the rest is not.
    foreign: Option<bool>,
    /// Effective user and group id: those who change them ask anew at once.
    ids: Option<(u32, u32)>,
    /// Those that it had when it left the tracer's user namespace.
    outer: Option<Rc<Credentials>>,
    /// Whether the tracer set `no_new_privs`, and the task has not done so itself.
    lent_no_new_privs: bool,
}

impl Standing {
    /// The standing of a new task: what its parent inherits to it. Its credentials are a copy of the parent's, but in a
    /// new user namespace.
    pub(super) fn of_child(&self, in_new_namespace: bool) -> Self {
        let known = self.known.clone().filter(|_| !in_new_namespace);
        let left = self.known.clone().filter(|who| in_new_namespace && !who.foreign_user_namespace);
        let outer = left.or_else(|| self.outer.clone());
        Self { known, foreign: None, ids: self.ids, outer, lent_no_new_privs: self.lent_no_new_privs }
    }

    /// The task makes a user namespace and goes there.
    pub(super) fn leaves_user_namespace(&mut self, with: &Rc<Credentials>) {
        if !with.foreign_user_namespace {
            self.outer = Some(Rc::clone(with));
        }
    }

    /// The credentials that the task had when it left the tracer's user namespace.
    pub(super) fn outer(&self) -> Option<Rc<Credentials>> {
        self.outer.clone()
    }

    /// The credentials that the task would have without the tracer.
    pub(super) fn credentials(&mut self, view: &dyn TaskView) -> Option<Rc<Credentials>> {
        if self.known.is_none() {
            let mut who = view.credentials(self.foreign).ok()?;
            who.no_new_privs &= !self.lent_no_new_privs;
            self.ids = Some((who.uid[1], who.gid[1]));
            self.known = Some(Rc::new(who));
        }
        self.known.clone()
    }

    /// The credentials as far as they are known.
    pub(super) fn known(&self) -> Option<Rc<Credentials>> {
        self.known.clone()
    }

    /// Effective user and group id as far as they are known.
    pub(super) const fn ids(&self) -> Option<(u32, u32)> {
        self.ids
    }

    /// Asks anew next time.
    pub(super) fn forget(&mut self) {
        (self.known, self.foreign) = (None, None);
    }

    /// The task executes a program: asks anew next time, but for its user namespace, in which it stays.
    pub(super) fn executes(&mut self) {
        self.foreign = self.known.take().map(|who| who.foreign_user_namespace);
    }

    /// The tracer set `no_new_privs`.
    pub(super) const fn lend_no_new_privs(&mut self) {
        self.lent_no_new_privs = true;
    }

    /// The task set `no_new_privs` itself.
    pub(super) const fn own_no_new_privs(&mut self) {
        self.lent_no_new_privs = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::fake::FakeView;

    #[test]
    fn what_the_tracer_lent_is_not_the_task_s() {
        let view = FakeView::default();
        view.who.borrow_mut().no_new_privs = true;
        let mut standing = Standing::default();
        let mut is_set = |change: fn(&mut Standing)| {
            change(&mut standing);
            standing.forget();
            standing.of_child(false).credentials(&view).unwrap().no_new_privs
        };
        assert!(is_set(|_| ()));
        assert!(!is_set(Standing::lend_no_new_privs));
        assert!(is_set(Standing::own_no_new_privs));
    }
}
