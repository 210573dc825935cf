//! Calls that change user and group ids and capabilities.

use std::rc::Rc;

use super::read;
use super::scene::{Decode, Kept, Scene, value};
use super::table::Values;
use crate::event::{Credentials, Outcome};
use crate::fact::{Capability, Fact, IdentityFact, Operation};

/// Which ids a call sets.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// User ids.
    User,
    /// Group ids.
    Group,
}

/// Which form of call it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `setuid(2)`: all three with the capability, otherwise the effective one.
    All,
    /// `setreuid(2)`.
    RealEffective,
    /// `setresuid(2)`.
    Three,
    /// `setfsuid(2)`.
    Filesystem,
}

/// `setuid(2)`, `setgid(2)` and their kin.
pub(super) struct SetIds {
    /// Whose ids.
    pub(super) kind: Kind,
    /// In which form.
    pub(super) form: Form,
}

impl Decode for SetIds {
    fn enter(&self, scene: &mut Scene<'_>) {
        let Some(who) = scene.credentials() else {
            return;
        };
        scene.notes.kept = Kept::Credentials(Rc::clone(&who));
        let capability = if self.kind == Kind::User { Capability::Setuid } else { Capability::Setgid };
        let capable = who.effective & (1 << capability as u8) != 0;
        let from = self.ids(&who);
        let to = self.asked(scene, capable);
        if !self.plain(&to, &from, capable) {
            scene.check(match self.kind {
                Kind::User => Operation::SetUserIds { to, from },
                Kind::Group => Operation::SetGroupIds { to, from },
            });
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, _outcome: Outcome) {
        scene.forget_credentials();
        let Kept::Credentials(before) = std::mem::take(&mut scene.notes.kept) else {
            return;
        };
        let Some(after) = scene.credentials() else {
            return;
        };
        let [real, effective, saved, _] = self.ids(&after);
        if self.ids(&before).get(..3) != Some(&[real, effective, saved]) {
            scene.say(Fact::Identity(match self.kind {
                Kind::User => IdentityFact::User(real, effective, saved),
                Kind::Group => IdentityFact::Group(real, effective, saved),
            }));
        }
    }
}

impl SetIds {
    fn ids(&self, who: &Credentials) -> [u32; 4] {
        if self.kind == Kind::User { who.uid } else { who.gid }
    }

    /// Real, effective, saved and filesystem id asked for.
    fn asked(&self, scene: &Scene<'_>, capable: bool) -> [Option<u32>; 4] {
        let [first, second, third] = [0, 1, 2].map(|index| scene.id(index));
        match self.form {
            Form::All if capable => [first; 4],
            Form::All => [None, first, None, first],
            Form::RealEffective => [first, second, None, second],
            Form::Three => [first, second, third, second],
            Form::Filesystem => [None, None, None, first],
        }
    }

    /// Whether the plain rules grant it with the same effect (`kernel/sys.c`).
    fn plain(&self, to: &[Option<u32>; 4], from: &[u32; 4], capable: bool) -> bool {
        let [real, effective, saved, filesystem] = *from;
        let [new_real, new_effective, new_saved, new_filesystem] = *to;
        let among = |id: Option<u32>, allowed: &[u32]| id.is_none_or(|id| allowed.contains(&id));
        match self.form {
            // Without the capability real and saved id would stay as they are.
            Form::All if capable => among(new_real, &[real]) && among(new_saved, &[saved]),
            Form::All => among(new_effective, &[real, saved]),
            Form::RealEffective => {
                among(new_real, &[real, effective]) && among(new_effective, &[real, effective, saved])
            }
            Form::Three => [new_real, new_effective, new_saved].iter().all(|&id| among(id, &[real, effective, saved])),
            Form::Filesystem => among(new_filesystem, &[real, effective, saved, filesystem]),
        }
    }
}

/// `setgroups(2)`: guarded whatever the groups are.
pub(super) struct SetGroups;

impl Decode for SetGroups {
    fn enter(&self, scene: &mut Scene<'_>) {
        scene.check(Operation::SetGroups);
    }

    fn leave(&self, scene: &mut Scene<'_>, _outcome: Outcome) {
        scene.forget_credentials();
    }
}

/// `capset(2)`.
pub(super) struct SetCapabilities;

impl Decode for SetCapabilities {
    fn enter(&self, scene: &mut Scene<'_>) {
        let Some((asked, who)) = inheritable(scene).zip(scene.credentials()) else {
            return;
        };
        // cap_capset, security/commoncap.c: what is new among the inheritable ones must be permitted.
        if asked & !(who.inheritable | who.permitted) != 0 {
            let what = "make capabilities inheritable that are not permitted".to_owned();
            scene.check(Operation::Privileged { capability: Capability::Setpcap, what });
        }
    }

    fn leave(&self, scene: &mut Scene<'_>, _outcome: Outcome) {
        scene.forget_credentials();
    }
}

/// The inheritable set that `capset(2)` asks for: the third word of each `struct __user_cap_data_struct`.
fn inheritable(scene: &mut Scene<'_>) -> Option<u64> {
    const VERSION_1: u32 = 0x1998_0330;
    let version = scene.memory().u32(scene.arg(0));
    let version = scene.seen(version)?;
    let low = scene.memory().u32(scene.arg(1).wrapping_add(8));
    let low = u64::from(scene.seen(low)?);
    if version == VERSION_1 {
        return Some(low);
    }
    let high = scene.memory().u32(scene.arg(1).wrapping_add(20));
    Some(low | u64::from(scene.seen(high)?) << 32)
}

/// `prctl(2)`.
pub(super) struct Prctl;

impl Decode for Prctl {
    fn enter(&self, scene: &mut Scene<'_>) {
        let (capability, what) = match scene.int(0) {
            libc::PR_CAPBSET_DROP => (Capability::Setpcap, "drop a capability from the bounding set"),
            libc::PR_SET_SECUREBITS => (Capability::Setpcap, "set secure bits"),
            libc::PR_SET_MM => (Capability::SysResource, "change the memory map's description"),
            libc::PR_SET_SECCOMP if scene.int(1) == 2 => return super::process::filter(scene),
            _ => return,
        };
        scene.check(Operation::Privileged { capability, what: what.to_owned() });
    }

    fn leave(&self, scene: &mut Scene<'_>, _outcome: Outcome) {
        if !names_something(scene.int(0)) {
            scene.forget_credentials();
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        value(values, 0).map(read::int).is_some_and(names_something)
    }
}

/// Options that name a thread or memory: used often, and without effect on ids.
const fn names_something(option: i32) -> bool {
    const PR_SET_VMA: i32 = 0x5356_4d41;
    matches!(option, libc::PR_SET_NAME | PR_SET_VMA)
}
