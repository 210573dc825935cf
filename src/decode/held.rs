//! A call between its entry and its end.

use super::scene::{Decode, Notes, Scene};
use super::standing::Standing;
use super::subject::SubjectId;
use super::table::{self, Row};
use super::workload::Workload;
use super::{multiplex, read};
use crate::event::{Call, TaskView, Tid};
use crate::record::Caller;

/// A call between its entry and its end.
pub(super) struct Held {
    pub(super) call: Call,
    pub(super) row: &'static Row,
    /// Who made it; an execve belongs to the program that it ends.
    pub(super) subject: Option<SubjectId>,
    /// How that was started.
    pub(super) caller: Option<Caller>,
    /// The decoder, name and arguments of the call that it stands for: of another one when it is multiplexed.
    decoder: Option<&'static dyn Decode>,
    pub(super) name: &'static str,
    args: [u64; 6],
    pub(super) notes: Notes,
}

impl Held {
    pub(super) fn new(
        call: &Call,
        row: &'static Row,
        (subject, caller): (Option<SubjectId>, Option<Caller>),
        view: &dyn TaskView,
    ) -> Self {
        let mut held = Self {
            call: *call,
            row,
            subject,
            caller,
            decoder: row.decoder,
            name: row.name,
            args: call.args,
            notes: Notes::default(),
        };
        if row.multiplexed {
            let direct = multiplex::direct(call, row.name, view);
            held.notes.unreadable = direct.is_err();
            (held.name, held.args) = direct.ok().flatten().unwrap_or(("", call.args));
            held.decoder = table::decoder(held.name);
        }
        held
    }

    /// Whether a task that the call makes may live in a new user namespace: `clone(2)` says so in a register,
    /// `clone3(2)` in memory.
    pub(super) fn may_leave_namespace(&self) -> bool {
        match self.name {
            "clone" => read::int(self.args.first().copied().unwrap_or_default()) & libc::CLONE_NEWUSER != 0,
            "fork" | "vfork" => false,
            _ => true,
        }
    }

    /// Lets the decoder look at the task.
    pub(super) fn look(
        &mut self,
        tid: Tid,
        view: &dyn TaskView,
        workload: &mut Workload,
        standing: &mut Standing,
        with: impl FnOnce(&dyn Decode, &mut Scene<'_>),
    ) {
        if let Some(decoder) = self.decoder {
            let (abi, name, args, notes) = (self.call.abi, self.name, self.args, &mut self.notes);
            with(decoder, &mut Scene { view, tid, abi, name, args, workload, standing, notes });
        }
    }
}
