//! Files that a workload needs: one entry for each path or pattern, whoever used it.

use std::collections::{BTreeMap, BTreeSet};

use super::globs::{Generaliser, Pattern};
use super::{Because, Cause, Subjects, outcome};
use crate::fact::{Access, IdentityFact};
use crate::path::AbsPath;
use crate::record::{FileUse, Record};

/// The need for one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileNeed<'r> {
    /// Which paths.
    pub pattern: Pattern,
    /// Whether they are directories.
    pub directory: bool,
    /// What is done.
    pub access: Access,
    /// The part of `access` that is done also by tasks whose filesystem user id does not own the file.
    pub foreign: Access,
    /// Who did it.
    pub because: Because<'r>,
}

impl FileNeed<'_> {
    /// Counts what was handed on to it as used by itself.
    pub(super) fn take_over(&mut self) {
        for (handed_on, used) in [(Access::INHERIT_READ, Access::READ), (Access::INHERIT_WRITE, Access::WRITE)] {
            for set in [&mut self.access, &mut self.foreign] {
                if set.contains(handed_on) {
                    *set |= used;
                }
            }
        }
    }
}

type Literals<'r> = BTreeMap<Pattern, BTreeSet<&'r AbsPath>>;

/// Every file need of `subjects`, sorted by pattern and kind, with the literals behind general patterns.
pub(super) fn needs<'r>(
    record: &'r Record,
    generaliser: &Generaliser<'r>,
    subjects: &Subjects<'r>,
) -> (Vec<FileNeed<'r>>, Literals<'r>) {
    let sizes = subjects.iter().map(|(_, subject)| subject.files.len() + subject.executions.len());
    let mut needs = Vec::with_capacity(sizes.sum());
    let mut literals = Literals::new();
    let users = changes_user(record);
    for &(name, subject) in subjects {
        let mut add = |path, directory, (access, foreign): (Access, Access), seen| {
            let pattern = generaliser.pattern(path, foreign.is_empty());
            if matches!(pattern, Pattern::General(_)) {
                literals.entry(pattern.clone()).or_default().insert(path);
            }
            let because = Because::from_buf([Cause { subject: name, seen }]);
            needs.push(FileNeed { pattern, directory, access, foreign, because });
        };
        for (path, used) in &subject.files {
            let (access, foreign) = needed(used, users);
            if !access.is_empty() {
                add(path, used.directory, (access, foreign), &used.seen);
            }
        }
        for (execution, usage) in subject.executions.iter().filter(|(_, usage)| outcome::other(&usage.outcomes)) {
            if !executed(subjects, &execution.file) {
                add(&execution.file, false, (Access::EXEC, Access::EXEC), &usage.seen);
            }
        }
    }
    (merged(needs), literals)
}

/// What of a file's use needs access, and the part of it by others than the owner. Whether a failed use was the
/// owner's is not known. Neither is it of a file that the workload gives away, nor of each write to a log that one user
/// opens and another one appends to: there the kernel asks again at every write (`aa_file_perm()`).
fn needed(used: &FileUse, users: bool) -> (Access, Access) {
    let failed = used.failed.iter().filter(|(class, _)| outcome::file(*class));
    let failed = failed.fold(Access::empty(), |all, (_, access)| all | access);
    let doubtful = used.ok.contains(Access::CHOWN) || users && used.ok.contains(Access::APPEND);
    let foreign = if doubtful { used.ok } else { used.foreign & used.ok };
    (used.ok | failed, foreign | failed)
}

/// Whether the workload runs as more than one user.
fn changes_user(record: &Record) -> bool {
    let mut identities = record.subjects.values().flat_map(|subject| &subject.identities);
    identities.any(|(identity, usage)| matches!(identity, IdentityFact::User(..)) && outcome::other(&usage.outcomes))
}

/// Whether a file fact tells already that `path` is executed, and by whose owner.
fn executed(subjects: &Subjects<'_>, path: &AbsPath) -> bool {
    let used = subjects.iter().filter_map(|(_, subject)| subject.files.get(path));
    used.into_iter().any(|used| !used.directory && used.ok.contains(Access::EXEC))
}

/// One need for each pattern and kind.
fn merged(mut needs: Vec<FileNeed<'_>>) -> Vec<FileNeed<'_>> {
    // Stable, so that causes stay in the order of the subjects.
    needs.sort_by(|one, other| (&one.pattern, one.directory).cmp(&(&other.pattern, other.directory)));
    needs.dedup_by(|next, kept| {
        let same = next.pattern == kept.pattern && next.directory == kept.directory;
        if same {
            kept.access |= next.access;
            kept.foreign |= next.foreign;
            for cause in &next.because {
                if !kept.because.contains(cause) {
                    kept.because.push(*cause);
                }
            }
        }
        same
    });
    needs
}
