//! Hard links: what may be done by the new name has to be allowed by the old one.
//!
//! The kernel refuses a link whose new name grants what the old one does not, as a way around the rules
//! (`profile_path_link()`, `security/apparmor/file.c`). What the workload does by the new name it does to the very file, so
//! the old name gets it as well. Which names are of one file was not recorded: names that end alike are taken for it, and
//! the others for each other's.

use std::collections::{HashMap, HashSet};

use super::files::{FileRule, Permissions};
use crate::fact::Access;
use crate::infer::{FileNeed, Needs, Pattern};

/// What is compared, but for executions.
const COMPARED: Permissions =
    Permissions::MAP.union(Permissions::READ).union(Permissions::WRITE).union(Permissions::LOCK);

/// Gives old names what their new ones have. `rules` are those of `needs.files`, in their order.
pub(super) fn settle(needs: &Needs<'_>, rules: &mut [FileRule]) {
    let files = |kind: Access| {
        needs.files.iter().enumerate().filter(move |(_, need)| need.access.contains(kind) && !need.directory)
    };
    let old: HashSet<&[u8]> = files(Access::LINK_TARGET).flat_map(|(_, need)| names(needs, need)).collect();
    let mut alike = HashMap::<&[u8], (Permissions, Permissions)>::new();
    let mut others = (Permissions::empty(), Permissions::empty());
    for (at, need) in files(Access::LINK) {
        let Some(rule) = rules.get(at) else { continue };
        for name in names(needs, need) {
            let (anybody, owner) = if old.contains(name) { alike.entry(name).or_default() } else { &mut others };
            *anybody |= rule.anybody & COMPARED;
            *owner |= rule.owner & COMPARED;
        }
    }
    for (at, need) in files(Access::LINK_TARGET) {
        let Some(rule) = rules.get_mut(at) else { continue };
        for name in names(needs, need) {
            let (anybody, owner) = alike.get(name).unwrap_or(&others);
            rule.anybody |= *anybody;
            rule.owner = (rule.owner | *owner) - rule.anybody;
        }
    }
}

/// The last names of the paths of `need`.
fn names<'n>(needs: &'n Needs<'_>, need: &'n FileNeed<'_>) -> Vec<&'n [u8]> {
    let last = |path: &'n [u8]| path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    match &need.pattern {
        Pattern::Literal(path) => vec![last(path.as_bytes())],
        general @ Pattern::General(_) => {
            needs.literals.get(general).into_iter().flatten().map(|path| last(path.as_bytes())).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{AppArmor, Options};
    use super::*;
    use crate::fact::{Fact, FileFact};
    use crate::infer::{self, infer};
    use crate::path::AbsPath;
    use crate::record::{Moment, Record, RunId};

    #[test]
    fn old_names_get_what_new_names_of_their_file_have() {
        let mut record = Record::default();
        for (path, access, owner) in [
            ("/a/object", Access::LINK_TARGET, true),
            ("/b/object", Access::LINK | Access::READ, true),
            ("/a/tmp", Access::LINK_TARGET | Access::WRITE, false),
            ("/b/final", Access::LINK | Access::WRITE | Access::LOCK, false),
            ("/a/alone", Access::WRITE, true),
        ] {
            let path = AbsPath::new(path.as_bytes()).unwrap();
            let moment = Moment { run: RunId(1), at_ms: 1, by: None };
            let fact = Fact::File(FileFact { path, access, owner, directory: false });
            record.absorb(&AbsPath::root(), fact, crate::event::Outcome::Returned(0), moment);
        }
        let policy = AppArmor::new(&infer(&record, &infer::Options::default()), &Options::default());
        let rule = |path: &str| {
            let path = Pattern::Literal(AbsPath::new(path.as_bytes()).unwrap());
            policy.files.iter().find(|rule| rule.pattern == path).map(|rule| (rule.anybody, rule.owner)).unwrap()
        };
        let nothing = Permissions::empty();
        assert_eq!(rule("/a/object"), (nothing, Permissions::READ));
        assert_eq!(rule("/b/object"), (nothing, Permissions::READ | Permissions::LINK));
        assert_eq!(rule("/a/tmp"), (Permissions::WRITE | Permissions::LOCK, nothing));
        assert_eq!(rule("/a/alone"), (nothing, Permissions::WRITE));
    }
}
