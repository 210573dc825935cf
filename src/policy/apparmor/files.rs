//! File rules.

use std::sync::Arc;

use bitflags::bitflags;

use super::links;
use crate::fact::Access;
use crate::infer::{FileNeed, Needs, Pattern};
use crate::path::AbsPath;

bitflags! {
    /// The letters of a file rule.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Permissions: u8 {
        /// `m`: map executable.
        const MAP = 1;
        /// `r`: read.
        const READ = 1 << 1;
        /// `w`: write, create, remove, change what belongs to the file.
        const WRITE = 1 << 2;
        /// `a`: append; part of `w`.
        const APPEND = 1 << 3;
        /// `l`: be the new name of a link.
        const LINK = 1 << 4;
        /// `k`: lock.
        const LOCK = 1 << 5;
        /// `x`: execute; see [`Transition`].
        const EXECUTE = 1 << 6;
    }
}

/// The rules for one pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRule {
    /// Which paths.
    pub pattern: Pattern,
    /// Whether they are directories, which AppArmor writes with a slash at the end.
    pub directory: bool,
    /// What anybody may do.
    pub anybody: Permissions,
    /// What the file's owner may do beyond that.
    pub owner: Permissions,
    /// What runs then, where the file may be executed.
    pub transition: Transition,
}

/// The profile under which an executed file runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transition {
    /// The same one as its executor.
    #[default]
    Inherit,
    /// The workload's main profile.
    Main,
    /// The profile of this name.
    Program(Arc<str>),
}

impl Permissions {
    /// Letters in the order in which they are written.
    pub const LETTERS: [(Self, &'static str); 7] = [
        (Self::MAP, "m"),
        (Self::READ, "r"),
        (Self::WRITE, "w"),
        (Self::APPEND, "a"),
        (Self::LINK, "l"),
        (Self::LOCK, "k"),
        (Self::EXECUTE, "x"),
    ];

    /// What each kind of access asks for (`security/apparmor/lsm.c`): looking at a file asks for nothing, and neither
    /// does the old name of a hard link, nor what was handed on under the same profile. Appending asks for `w`: `a` lets a file be opened, but the kernel asks again at
    /// each write what opening did not grant (`aa_file_perm()`), and that is `w`.
    #[must_use]
    pub fn for_access(access: Access) -> Self {
        const ASKED: [(Access, Permissions); 11] = [
            (Access::READ.union(Access::LIST), Permissions::READ),
            (Access::WRITE.union(Access::APPEND), Permissions::WRITE),
            (Access::CREATE.union(Access::REMOVE), Permissions::WRITE),
            (Access::RENAME_TO, Permissions::WRITE),
            (Access::RENAME_FROM, Permissions::READ.union(Permissions::WRITE)),
            (Access::CHMOD.union(Access::CHOWN), Permissions::WRITE),
            (Access::UTIME.union(Access::SETXATTR), Permissions::WRITE),
            (Access::CONNECT, Permissions::READ.union(Permissions::WRITE)),
            (Access::LINK, Permissions::LINK),
            (Access::LOCK, Permissions::LOCK),
            (Access::MAP_EXEC, Permissions::MAP),
        ];
        let asked = ASKED.iter().filter(|(kinds, _)| access.intersects(*kinds));
        let asked = asked.fold(Self::empty(), |all, (_, permissions)| all | *permissions);
        let execute = if access.contains(Access::EXEC) { Self::EXECUTE } else { Self::empty() };
        (asked | execute).normal()
    }

    /// Whether all that is asked is granted.
    #[must_use]
    pub fn allow(self, asked: Self) -> bool {
        self.spelled_out().contains(asked)
    }

    /// What the right to execute grants: under the same profile also to map (`ix implies m`, `parser_misc.c`).
    pub(super) fn of_execution(inherit: bool) -> Self {
        if inherit { Self::EXECUTE | Self::MAP } else { Self::EXECUTE }
    }

    /// With the `a` that belongs to `w`.
    #[must_use]
    pub fn spelled_out(self) -> Self {
        if self.contains(Self::WRITE) { self | Self::APPEND } else { self }
    }

    /// `a` beside `w` says nothing, and the parser refuses it.
    fn normal(self) -> Self {
        if self.contains(Self::WRITE) { self - Self::APPEND } else { self }
    }
}

impl FileRule {
    /// Says what runs when the file is executed, and writes out what that implies.
    pub(super) fn settle(&mut self, transition: Transition) {
        let implied = Permissions::of_execution(transition == Transition::Inherit);
        for set in [&mut self.anybody, &mut self.owner] {
            if set.contains(Permissions::EXECUTE) {
                *set |= implied;
            }
        }
        self.owner -= self.anybody;
        self.transition = transition;
    }
}

/// One rule for each file need that asks for anything.
pub(super) fn rules(needs: &Needs<'_>) -> Vec<FileRule> {
    let mut rules = needs.files.iter().map(rule).collect::<Vec<_>>();
    links::settle(needs, &mut rules);
    rules.retain(|rule| !(rule.anybody | rule.owner).is_empty());
    rules
}

fn rule(need: &FileNeed<'_>) -> FileRule {
    let anybody = Permissions::for_access(need.foreign);
    let all = Permissions::for_access(need.access);
    let owner = if anybody.allow(all) { Permissions::empty() } else { all - anybody };
    let transition = Transition::Inherit;
    FileRule { pattern: need.pattern.clone(), directory: need.directory, anybody, owner, transition }
}

/// Everything that `rules` grant for `path`.
pub(super) fn granted(rules: &[FileRule], path: &AbsPath, directory: bool, owner: bool) -> Permissions {
    let first_general = rules.partition_point(|rule| matches!(rule.pattern, Pattern::Literal(_)));
    let (literal, general) = rules.split_at(first_general);
    let key = (Pattern::Literal(path.clone()), directory);
    let exact = literal.binary_search_by(|rule| (&rule.pattern, rule.directory).cmp(&(&key.0, key.1))).ok();
    let matching = general.iter().filter(|rule| rule.directory == directory && rule.pattern.matches(path));
    exact.and_then(|at| literal.get(at)).into_iter().chain(matching).fold(Permissions::empty(), |all, rule| {
        all | rule.anybody | if owner { rule.owner } else { Permissions::empty() }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letters(access: Access) -> String {
        let asked = Permissions::for_access(access);
        Permissions::LETTERS.iter().filter(|(one, _)| asked.contains(*one)).map(|(_, letter)| *letter).collect()
    }

    #[test]
    fn accesses_ask_for_letters() {
        for (access, asked) in [
            (Access::STAT | Access::GETXATTR | Access::LINK_TARGET, ""),
            (Access::READ, "r"),
            (Access::LIST, "r"),
            (Access::APPEND, "w"),
            (Access::APPEND | Access::CREATE, "w"),
            (Access::RENAME_FROM, "rw"),
            (Access::RENAME_TO, "w"),
            (Access::CHMOD, "w"),
            (Access::READ | Access::MAP_EXEC, "mr"),
            (Access::READ | Access::EXEC, "rx"),
            (Access::WRITE | Access::LOCK | Access::LINK, "wlk"),
            (Access::CONNECT, "rw"),
        ] {
            assert_eq!(letters(access), asked, "{access}");
        }
        for (access, name) in Access::NAMES {
            let handed_on = Access::INHERIT_READ | Access::INHERIT_WRITE;
            let nothing = Access::STAT | Access::GETXATTR | Access::LINK_TARGET | handed_on;
            assert_eq!(letters(access).is_empty(), nothing.contains(access), "{name}");
        }
    }

    #[test]
    fn writing_covers_appending() {
        assert!(Permissions::WRITE.allow(Permissions::APPEND));
        assert!(!Permissions::APPEND.allow(Permissions::WRITE));
    }

    #[test]
    fn the_owner_gets_only_what_others_do_not() {
        let path = AbsPath::new(b"/x").unwrap();
        let need = |access, foreign| FileNeed {
            pattern: Pattern::Literal(path.clone()),
            directory: false,
            access,
            foreign,
            because: crate::infer::Because::default(),
        };
        let both = rule(&need(Access::READ | Access::WRITE, Access::READ));
        assert_eq!((both.anybody, both.owner), (Permissions::READ, Permissions::WRITE));
        let appended = rule(&need(Access::WRITE | Access::APPEND, Access::WRITE));
        assert_eq!((appended.anybody, appended.owner), (Permissions::WRITE, Permissions::empty()));
        let raised = rule(&need(Access::WRITE | Access::APPEND, Access::APPEND));
        assert_eq!((raised.anybody, raised.owner), (Permissions::WRITE, Permissions::empty()));
        let rules = [both];
        assert_eq!(granted(&rules, &path, false, true), Permissions::READ | Permissions::WRITE);
        assert_eq!(granted(&rules, &path, false, false), Permissions::READ);
        assert_eq!(granted(&rules, &path, true, true), Permissions::empty());
    }
}
