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
    /// Whether the next answer is about a program that was just executed.
    executed: bool,
    /// Whether an execution showed that root has all capabilities, and no call may have changed that.
    almighty_root: bool,
}

impl Standing {
    /// The standing of a new task: what its parent inherits to it. Its credentials are a copy of the parent's, but in a
    /// new user namespace.
    pub(super) fn of_child(&self, in_new_namespace: bool) -> Self {
        let known = self.known.clone().filter(|_| !in_new_namespace);
        let left = self.known.clone().filter(|who| in_new_namespace && !who.foreign_user_namespace);
        let outer = left.or_else(|| self.outer.clone());
        let almighty_root = self.almighty_root && !in_new_namespace;
        let lent_no_new_privs = self.lent_no_new_privs;
        Self { known, foreign: None, ids: self.ids, outer, lent_no_new_privs, executed: false, almighty_root }
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
            self.almighty_root |= std::mem::take(&mut self.executed) && who.show_almighty_root();
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
        (self.known, self.foreign, self.executed, self.almighty_root) = (None, None, false, false);
    }

    /// The task executed a program, a `plain` file that gives it nothing: where its credentials do not follow, they are
    /// asked for anew next time, but for its user namespace, in which it stays.
    pub(super) fn executed(&mut self, plain: bool) {
        let Some(before) = self.known.take() else {
            self.executed = plain;
            return;
        };
        let follows = plain && (before.uid[0] != 0 || self.almighty_root);
        if let Some(after) = before.after_plain_execve().filter(|_| follows) {
            self.known = Some(if after == *before { before } else { Rc::new(after) });
        } else {
            (self.foreign, self.executed) = (Some(before.foreign_user_namespace), plain);
        }
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

    /// A task with these credentials that knows them, once it has executed a plain file before.
    fn standing(who: &Credentials) -> (Standing, FakeView) {
        let (mut standing, view) = (Standing::default(), FakeView::default());
        *view.who.borrow_mut() = who.clone();
        standing.executed(true);
        standing.credentials(&view);
        (standing, view)
    }

    /// What it knows without a question after one more execution.
    fn after(mut standing: Standing, plain: bool) -> Option<Credentials> {
        standing.executed(plain);
        standing.known().map(|who| (*who).clone())
    }

    const ALL: u64 = 0xff;

    fn user() -> Credentials {
        Credentials { uid: [7, 7, 8, 8], gid: [5, 5, 5, 6], bounding: ALL, ..Credentials::default() }
    }

    fn root() -> Credentials {
        Credentials { effective: ALL, permitted: ALL, bounding: ALL, ..Credentials::default() }
    }

    #[test]
    fn a_plain_file_leaves_a_user_what_is_ambient() {
        let lends = Credentials { effective: 7, permitted: 7, inheritable: 3, ambient: 2, ..user() };
        let expected = Credentials { uid: [7; 4], gid: [5; 4], effective: 2, permitted: 2, ..lends.clone() };
        assert_eq!(after(standing(&lends).0, true), Some(expected));
        for (odd, who) in [
            ("set-user-ID before", Credentials { uid: [7, 8, 8, 8], ..user() }),
            ("set-group-ID before", Credentials { gid: [5, 6, 6, 6], ..user() }),
            ("another namespace", Credentials { foreign_user_namespace: true, ..user() }),
        ] {
            assert_eq!(after(standing(&who).0, true), None, "{odd}");
        }
        assert_eq!(after(standing(&user()).0, false), None, "a file that gives privileges");
    }

    #[test]
    fn root_keeps_all_while_no_secure_bit_may_be_set() {
        assert_eq!(after(standing(&root()).0, true), Some(root()));
        let (known, _) = standing(&root());
        assert_eq!(after(known.of_child(false), true), Some(root()));
        assert_eq!(after(known.of_child(true), true), None, "a new namespace");
        let bounded = Credentials { effective: 0, bounding: 1, ..root() };
        for (odd, who) in [
            ("it was refused some", Credentials { effective: 1, permitted: 1, ..root() }),
            ("it has them from elsewhere", Credentials { inheritable: ALL, ambient: ALL, ..root() }),
            ("it has more than it may get", bounded),
        ] {
            assert_eq!(after(standing(&who).0, true), None, "{odd}");
        }
        // A call may have set a secure bit; what it has then is no proof, what it has behind an execution is.
        let (mut standing, view) = standing(&root());
        standing.forget();
        standing.credentials(&view);
        assert_eq!(after(standing.clone(), true), None);
        standing.executed(true);
        standing.credentials(&view);
        assert_eq!(after(standing, true), Some(root()));
    }
}
