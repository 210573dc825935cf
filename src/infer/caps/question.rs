//! What the kernel asks of a call: the capabilities of which any one grants it. Knows no outcomes.

use crate::abi::Syscall;
use crate::fact::{Capability, Check, Operation};

/// Which capabilities would grant a call that plain permissions do not.
pub(super) struct Question<'c> {
    /// Any of these suffices; the narrowest first.
    pub(super) any_of: &'static [Capability],
    /// Why the lack of them may not matter; `None` when the call fails without.
    pub(super) doubt: Option<&'c str>,
    /// Whether the call's own outcome says if it was granted.
    pub(super) answered: bool,
}

impl<'c> Question<'c> {
    /// The call fails without any of these.
    const fn certain(any_of: &'static [Capability]) -> Self {
        Self { any_of, doubt: None, answered: true }
    }

    /// Without any of these the call fails or has another effect, and that may not matter.
    const fn doubtful(any_of: &'static [Capability], doubt: &'c str) -> Self {
        Self { any_of, doubt: Some(doubt), answered: true }
    }
}

/// What a call asks, with the kernel's own rules; `None` when plain permissions grant it.
pub(super) fn question(check: &Check) -> Option<Question<'_>> {
    let certain = |any_of| Some(Question::certain(any_of));
    let (id, _) = check.ids;
    match &check.operation {
        // net/ipv4/af_inet.c, inet_port_requires_bind_service()
        Operation::BindPort { port, unprivileged } if *port != 0 && port < unprivileged => {
            certain(&[Capability::NetBindService])
        }
        // net/ipv4/af_inet.c, inet_create(); net/packet/af_packet.c, packet_create()
        Operation::RawSocket { .. } => certain(&[Capability::NetRaw]),
        Operation::FileAccess { wanted, mode, .. } => certain(file_access(*wanted, *mode)?),
        // fs/inode.c, inode_owner_or_capable()
        Operation::OwnerOnly { owner, .. } if owner.0 != id => certain(&[Capability::Fowner]),
        Operation::Chown { from, to, member, .. } if !chown_allowed(id, *from, *to, *member) => {
            certain(&[Capability::Chown])
        }
        // fs/attr.c, setattr_prepare(): without it the bit is dropped and the call succeeds.
        Operation::SetIdBits { mode, group, .. } if mode & libc::S_ISGID != 0 && !group.1 => {
            Some(Question::doubtful(&[Capability::Fsetid], "without it the group bit is dropped and the call succeeds"))
        }
        Operation::SetUserIds { to, from } => ids(&check.call, *to, *from, &[Capability::Setuid]),
        Operation::SetGroupIds { to, from } => ids(&check.call, *to, *from, &[Capability::Setgid]),
        // kernel/groups.c, may_setgroups()
        Operation::SetGroups => certain(&[Capability::Setgid]),
        // kernel/signal.c, kill_ok_by_cred()
        Operation::Kill { sender, receiver }
            if [sender.0, sender.1].iter().all(|id| *id != receiver.0 && *id != receiver.1) =>
        {
            certain(&[Capability::Kill])
        }
        Operation::Chroot => certain(&[Capability::SysChroot]),
        Operation::MakeDevice { .. } => certain(&[Capability::Mknod]),
        Operation::Schedule { within_limit: false, .. } => certain(&[Capability::SysNice]),
        // kernel/sys.c, do_prlimit()
        Operation::RaiseLimit { from, to, .. } if to > from => certain(&[Capability::SysResource]),
        Operation::Privileged { capability, .. } => certain(any_of(*capability)),
        Operation::Either { capability, other, doubt, .. } => {
            Some(Question { any_of: either(*capability, *other), doubt: worded(doubt), answered: true })
        }
        Operation::Doubtful { capability, doubt, .. } => Some(Question::doubtful(any_of(*capability), doubt)),
        Operation::Unanswered { capability, doubt, .. } => {
            Some(Question { any_of: any_of(*capability), doubt: worded(doubt), answered: false })
        }
        _ => None,
    }
}

/// The doubt, if there is one.
fn worded(doubt: &str) -> Option<&str> {
    Some(doubt).filter(|doubt| !doubt.is_empty())
}

/// `fs/namei.c`, `generic_permission()`: `wanted` are the `rwx` bits that the mode does not grant.
fn file_access(wanted: u8, mode: u32) -> Option<&'static [Capability]> {
    const EITHER: &[Capability] = &[Capability::DacReadSearch, Capability::DacOverride];
    const OVERRIDE: &[Capability] = &[Capability::DacOverride];
    let (read, write, execute) = (wanted & 4 != 0, wanted & 2 != 0, wanted & 1 != 0);
    if mode & libc::S_IFMT == libc::S_IFDIR {
        return Some(if write { OVERRIDE } else { EITHER });
    }
    match (read, write, execute) {
        (false, false, false) => None,
        (true, false, false) => Some(EITHER),
        // No capability lets a file be executed that nobody may execute.
        (_, _, true) if mode & 0o111 == 0 => None,
        _ => Some(OVERRIDE),
    }
}

/// `fs/attr.c`, `chown_ok()` and `chgrp_ok()`.
fn chown_allowed(id: u32, from: (u32, u32), to: (Option<u32>, Option<u32>), member: bool) -> bool {
    let owner = id == from.0;
    let user = to.0.is_none_or(|user| owner && user == from.0);
    let group = to.1.is_none_or(|group| owner && (member || group == from.1));
    user && group
}

/// `setresuid(2)`: each id may become any of the real, effective and saved one; the filesystem id also itself. Of
/// `setreuid(2)` the real one may not become the saved one (`kernel/sys.c`).
fn ids(
    call: &Syscall,
    to: [Option<u32>; 4],
    from: [u32; 4],
    any_of: &'static [Capability],
) -> Option<Question<'static>> {
    let [real, effective, saved, filesystem] = from;
    let [new_real, new_effective, new_saved, new_filesystem] = to;
    let among = |id: Option<u32>, allowed: &[u32]| id.is_none_or(|id| allowed.contains(&id));
    let name = call.name().unwrap_or_default().trim_end_matches("32");
    let for_real =
        if matches!(name, "setreuid" | "setregid") { vec![real, effective] } else { vec![real, effective, saved] };
    let granted = among(new_real, &for_real)
        && [new_effective, new_saved].iter().all(|&id| among(id, &[real, effective, saved]))
        && among(new_filesystem, &[real, effective, saved, filesystem]);
    if !granted {
        return Some(Question::certain(any_of));
    }
    // With the capability setuid(2) sets all ids, without it the effective one alone.
    let all = matches!(name, "setuid" | "setgid");
    let differs = all && !(among(new_real, &[real]) && among(new_saved, &[saved]));
    differs.then_some(Question::doubtful(any_of, "without it the effective id alone changes"))
}

/// What grants a call that `capability` guards: some were once part of `CAP_SYS_ADMIN`, which still does
/// (`include/linux/capability.h`, `bpf_capable()` and its neighbours).
fn any_of(capability: Capability) -> &'static [Capability] {
    match capability {
        Capability::Bpf => &[Capability::Bpf, Capability::SysAdmin],
        Capability::Perfmon => &[Capability::Perfmon, Capability::SysAdmin],
        Capability::CheckpointRestore => &[Capability::CheckpointRestore, Capability::SysAdmin],
        capability => alone(capability),
    }
}

/// The pairs of which the kernel asks for either; of another pair the first alone counts.
fn either(capability: Capability, other: Capability) -> &'static [Capability] {
    const PAIRS: [&[Capability]; 3] = [
        &[Capability::NetRaw, Capability::NetAdmin],
        &[Capability::SysNice, Capability::SysAdmin],
        &[Capability::NetAdmin, Capability::SysAdmin],
    ];
    PAIRS.into_iter().find(|pair| **pair == [capability, other]).unwrap_or_else(|| any_of(capability))
}

/// The slice that holds `capability` alone.
fn alone(capability: Capability) -> &'static [Capability] {
    let number = capability as usize;
    Capability::ALL.get(number..=number).unwrap_or_default()
}
