//! Calls that change user and group ids and capabilities.

use std::rc::Rc;

use super::read;
use super::scene::{Decode, Kept, Scene, Values, value};
use crate::event::{Credentials, Outcome};
use crate::fact::{Capability, CapabilitySet, Fact, IdentityFact, Operation};

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
        let capable = CapabilitySet(who.effective).contains(capability);
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

/// `PR_SET_IO_FLUSHER`, `PR_GET_IO_FLUSHER` (`linux/prctl.h`).
const PR_SET_IO_FLUSHER: i32 = 57;
const PR_GET_IO_FLUSHER: i32 = 58;

/// Whether `PR_SET_MM` takes a whole map, or tells its size: `PR_SET_MM_MAP`, `PR_SET_MM_MAP_SIZE`.
const fn by_map(option: i32) -> bool {
    matches!(option, 14 | 15)
}

/// `prctl(2)`.
pub(super) struct Prctl;

impl Decode for Prctl {
    fn enter(&self, scene: &mut Scene<'_>) {
        let (capability, what) = match scene.int(0) {
            libc::PR_CAP_AMBIENT if scene.int(1) == libc::PR_CAP_AMBIENT_RAISE => return hand_on(scene),
            libc::PR_CAPBSET_DROP => (Capability::Setpcap, "drop a capability from the bounding set"),
            libc::PR_SET_SECUREBITS => (Capability::Setpcap, "set secure bits"),
            libc::PR_SET_MM if !by_map(scene.int(1)) => {
                (Capability::SysResource, "change the memory map's description")
            }
            PR_SET_IO_FLUSHER | PR_GET_IO_FLUSHER => (Capability::SysResource, "be part of writing memory out"),
            libc::PR_SET_SECCOMP if scene.int(1) == 2 => return super::process::filter(scene),
            _ => return,
        };
        scene.check(Operation::Privileged { capability, what: what.to_owned() });
    }

    fn leave(&self, scene: &mut Scene<'_>, outcome: Outcome) {
        const STRICT: i32 = 1;
        if scene.int(0) == libc::PR_SET_NO_NEW_PRIVS && matches!(outcome, Outcome::Returned(_)) {
            scene.standing.own_no_new_privs();
        }
        if (scene.int(0), scene.int(1)) == (libc::PR_SET_SECCOMP, STRICT) {
            super::process::strict(scene, outcome);
        }
        if !names_something(scene.int(0)) {
            scene.forget_credentials();
        }
    }

    fn quiet(&self, values: &Values) -> bool {
        value(values, 0).map(read::int).is_some_and(names_something)
    }
}

/// A capability that is handed on to programs has to be permitted, in effect or not, whatever they do with it. Where it
/// is not inheritable as well that is what is missing (`cap_task_prctl()`, `security/commoncap.c`).
fn hand_on(scene: &mut Scene<'_>) {
    let number = usize::try_from(scene.arg(2)).ok();
    let capability = number.and_then(|number| Capability::ALL.get(number)).copied();
    let Some((capability, who)) = capability.zip(scene.credentials()) else {
        return;
    };
    let within = |set| CapabilitySet(set).contains(capability);
    if within(who.inheritable) || !within(who.permitted) {
        let what = format!("hand {capability} on to programs");
        scene.check_permitted(Operation::Privileged { capability, what });
    }
}

/// Options that name a thread or memory: used often, and without effect on ids.
const fn names_something(option: i32) -> bool {
    const PR_SET_VMA: i32 = 0x5356_4d41;
    matches!(option, libc::PR_SET_NAME | PR_SET_VMA)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::decode::fake::{Bench, operations};
    use crate::infer::caps::{Standing, judge};
    use crate::record::Outcomes;

    fn user_ids(to: [Option<u32>; 4], from: [u32; 4]) -> Operation {
        Operation::SetUserIds { to, from }
    }

    #[test]
    fn a_server_drops_its_privileges() {
        for abi in Abi::ALL {
            let mut bench = Bench::new(abi);
            let facts = bench.effect("setuid", &[33], Outcome::Returned(0), |view| view.who.borrow_mut().uid = [33; 4]);
            let identity = Fact::Identity(IdentityFact::User(33, 33, 33));
            assert!(facts.contains(&identity), "{abi}");
            assert_eq!(operations(&facts), [user_ids([Some(33); 4], [0; 4])]);
            let facts = bench.effect("setresgid", &[7, 8, 9], Outcome::Returned(0), |view| {
                view.who.borrow_mut().gid = [7, 8, 9, 8];
            });
            assert!(facts.contains(&Fact::Identity(IdentityFact::Group(7, 8, 9))), "{abi}");
            let to = [Some(7), Some(8), Some(9), Some(8)];
            assert_eq!(operations(&facts), [Operation::SetGroupIds { to, from: [0; 4] }]);
            assert_eq!(operations(&bench.call("setgroups", &[0, 0])), [Operation::SetGroups]);
        }
    }

    #[test]
    fn to_stay_oneself_needs_nothing() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            let keep = u64::MAX;
            for (name, args) in [
                ("setuid", vec![1000]),
                ("setgid", vec![1000]),
                ("setreuid", vec![keep, 1000]),
                ("setresuid", vec![keep, keep, keep]),
                ("setresgid", vec![1000, keep, 1000]),
                ("setfsuid", vec![1000]),
            ] {
                assert_eq!(bench.call(name, &args), [], "{abi} {name}");
            }
            let mut root = Bench::new(abi);
            assert_eq!(root.call("setuid", &[0]), [], "{abi}");
        }
    }

    #[test]
    fn saved_ids_may_be_taken_up_again() {
        let mut bench = Bench::user(Abi::X86_64);
        bench.becomes(|who| who.uid = [1000, 1000, 7, 1000]);
        assert_eq!(operations(&bench.call("setuid", &[7])), []);
        assert_eq!(operations(&bench.call("setresuid", &[7, 7, 1000])), []);
        assert_eq!(operations(&bench.call("setreuid", &[7, 7])).len(), 1, "the real id may not be the saved one");
        assert_eq!(
            operations(&bench.call("setuid", &[8])),
            [user_ids([None, Some(8), None, Some(8)], [1000, 1000, 7, 1000])]
        );
        // With the capability setuid gives the saved id up as well.
        bench.becomes(|who| who.effective = u64::MAX);
        assert_eq!(operations(&bench.call("setuid", &[1000])).len(), 1);
    }

    #[test]
    fn the_first_calls_of_i386_take_16_bits() {
        let mut bench = Bench::new(Abi::I386);
        assert_eq!(operations(&bench.call("setreuid", &[0xffff, 0xffff])), []);
        assert_eq!(
            operations(&bench.call("setreuid32", &[0xffff_ffff, 0xffff])),
            [user_ids([None, Some(0xffff), None, Some(0xffff)], [0; 4])]
        );
    }

    #[test]
    fn a_capability_that_is_handed_on_is_needed_itself() {
        let mut bench = Bench::new(Abi::X86_64);
        bench.becomes(|who| who.inheritable = u64::MAX);
        let [ambient, raise, lower] = [47, 2, 3];
        let expected = Operation::Privileged {
            capability: Capability::NetRaw,
            what: "hand CAP_NET_RAW on to programs".to_owned(),
        };
        assert_eq!(operations(&bench.call("prctl", &[ambient, raise, 13])), [expected]);
        assert_eq!(operations(&bench.call("prctl", &[ambient, lower, 13])), []);
        assert_eq!(operations(&bench.call("prctl", &[ambient, raise, 99])), []);
    }

    #[test]
    fn what_is_handed_on_is_permitted_and_inheritable() {
        let raw = 1 << Capability::NetRaw as u8;
        let [ambient, raise] = [47, 2];
        for abi in Abi::ALL {
            for (permitted, inheritable, outcome, expected) in [
                (raw, raw, Outcome::Returned(0), Some(Standing::Needed)),
                (raw, 0, Outcome::Failed(libc::EPERM), None),
                (0, raw, Outcome::Failed(libc::EPERM), Some(Standing::Denied)),
                (0, 0, Outcome::Failed(libc::EPERM), Some(Standing::Denied)),
            ] {
                let mut bench = Bench::user(abi);
                bench.becomes(|who| (who.permitted, who.inheritable) = (permitted, inheritable));
                let facts = bench.effect("prctl", &[ambient, raise, 13], outcome, |_| ());
                let checks =
                    facts.iter().find_map(|fact| if let Fact::Check(check) = fact { Some(check) } else { None });
                let judged = checks.and_then(|check| judge(check, &Outcomes::only(outcome.class())));
                assert_eq!(judged.map(|judged| judged.standing), expected, "{abi} {permitted:x} {inheritable:x}");
            }
        }
    }

    #[test]
    fn capabilities_are_kept_and_given_up_freely() {
        for abi in Abi::ALL {
            let mut bench = Bench::user(abi);
            let header = bench.words(&[0x2008_0522, 0]);
            let data = bench.words(&[0, 0, 0, 0, 0, 0]);
            assert_eq!(bench.call("capset", &[header, data]), [], "{abi}");
            let data = bench.words(&[0, 0, 1, 0, 0, 0]);
            assert_eq!(operations(&bench.call("capset", &[header, data])).len(), 1, "{abi}");
            assert_eq!(operations(&bench.call("prctl", &[24, 1])).len(), 1);
            assert_eq!(operations(&bench.call("prctl", &[22, 2, 0])).len(), 1, "a filter without no_new_privs");
            let facts = bench.effect("prctl", &[38, 1], Outcome::Returned(0), |view| {
                view.who.borrow_mut().no_new_privs = true;
            });
            assert_eq!(facts, []);
            assert_eq!(bench.call("prctl", &[22, 2, 0]), []);
        }
    }
}
