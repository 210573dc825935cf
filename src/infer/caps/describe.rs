//! Checks in words.

use crate::fact::{Check, Operation};

impl Check {
    /// What was asked, for a reader: `bind(2) to port 80`.
    #[must_use]
    pub fn describe(&self) -> String {
        let call = &self.call;
        match &self.operation {
            Operation::BindPort { port, .. } => format!("{call}(2) to port {port}"),
            Operation::RawSocket { family, kind } => format!("{call}(2) of family {family}, type {kind}"),
            Operation::FileAccess { path, wanted, mode, owner } => {
                let letters = [(4, 'r'), (2, 'w'), (1, 'x')].iter().filter(|(bit, _)| wanted & bit != 0);
                let letters = letters.map(|(_, letter)| *letter).collect::<String>();
                let (user, group) = owner;
                format!("{call}(2) wants {letters} of {path} (mode {:o}, owner {user}:{group})", mode & 0o7777)
            }
            Operation::OwnerOnly { path, owner } => format!("{call}(2) on {path}, which user {} owns", owner.0),
            Operation::Chown { path, from, to, .. } => {
                let id = |id: Option<u32>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
                format!("{call}(2) of {path} from {}:{} to {}:{}", from.0, from.1, id(to.0), id(to.1))
            }
            Operation::SetIdBits { path, mode, .. } => format!("{call}(2) of {path} to mode {:o}", mode & 0o7777),
            Operation::SetUserIds { to, from } | Operation::SetGroupIds { to, from } => {
                format!("{call}(2) to {} from {}", id_list(to.iter().flatten()), id_list(from))
            }
            Operation::SetGroups | Operation::Chroot => format!("{call}(2)"),
            Operation::Kill { sender, receiver } => {
                format!("{call}(2) of a process of user {} by user {}", receiver.0, sender.1)
            }
            Operation::MakeDevice { kind } => {
                format!("{call}(2) of a {} device", if *kind == libc::S_IFBLK { "block" } else { "character" })
            }
            Operation::Schedule { what, .. }
            | Operation::Idle { what, .. }
            | Operation::Privileged { what, .. }
            | Operation::Either { what, .. }
            | Operation::Doubtful { what, .. }
            | Operation::Unanswered { what, .. } => format!("{call}(2): {what}"),
            Operation::Observed { by, .. } => format!("{call}(2), in the kernel's {by}"),
            Operation::RaiseLimit { resource, from, to } => {
                format!("{call}(2) raises the hard limit of resource {resource} from {from} to {to}")
            }
        }
    }
}

fn id_list<'a>(ids: impl IntoIterator<Item = &'a u32>) -> String {
    let mut ids = ids.into_iter().map(u32::to_string).collect::<Vec<_>>();
    ids.dedup();
    ids.join("/")
}
