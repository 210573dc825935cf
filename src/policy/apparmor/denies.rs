//! What a container's profile denies on request: doors to the host that no workload in a container has use for, closed
//! even where another rule opens them.
//!
//! The usual template of container engines denies much the same. A deny goes before everything that is allowed, and
//! silently: what the workload was seen to need is therefore not denied.

use super::abstractions::tried;
use super::files::{FileRule, Permissions};
use super::glob::Glob;
use crate::infer::Pattern;
use crate::infer::globs::{Piece, Variable};

/// A deny rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deny {
    /// The file's pattern, as it is written behind the variable for procfs or sysfs.
    pub pattern: &'static str,
    /// What is denied.
    pub letters: &'static str,
}

/// The patterns, as AppArmor reads them; `@{PROC}` is `/proc`.
pub const DENIES: [Deny; 9] = [
    Deny { pattern: "@{PROC}/*", letters: "w" },
    Deny { pattern: "@{PROC}/{kcore,kmem,mem,sysrq-trigger}", letters: "rwklx" },
    Deny { pattern: "@{PROC}/{acpi,bus,fs,irq,scsi}/**", letters: "wklx" },
    Deny { pattern: "@{PROC}/sys/{[^kn],k[^e],n[^e]}**", letters: "wklx" },
    Deny { pattern: "/sys/{[^f],f[^s]}**", letters: "wklx" },
    Deny { pattern: "/sys/fs/{[^c],c[^g]}**", letters: "wklx" },
    Deny { pattern: "/sys/firmware/**", letters: "rwklx" },
    Deny { pattern: "/sys/kernel/security/**", letters: "rwklx" },
    Deny { pattern: "/sys/devices/virtual/powercap/**", letters: "rwklx" },
];

impl Deny {
    /// Whether it takes nothing from `rules`; of a pattern that is not known.
    pub(super) fn spares(&self, rules: &[FileRule]) -> bool {
        let glob = Glob::of_paths(self.pattern.replace("@{PROC}", "/proc").as_bytes()).ok();
        let denied = self.letters.chars().fold(Permissions::empty(), |all, letter| {
            let named = Permissions::LETTERS.iter().find(|(_, name)| name.starts_with(letter));
            named.map_or(all, |(one, _)| all | *one)
        });
        !rules.iter().any(|rule| {
            let needed = (rule.anybody | rule.owner).spelled_out().intersects(denied.spelled_out());
            let meant = match (tried(rule), &glob) {
                (Some(names), Some(glob)) => names.iter().any(|name| glob.matches(name)),
                _ => below(self.pattern, rule),
            };
            needed && meant
        })
    }
}

/// Whether a pattern whose names cannot all be tried begins where the deny rule does, in procfs or sysfs.
fn below(pattern: &str, rule: &FileRule) -> bool {
    let Pattern::General(pieces) = &rule.pattern else {
        return false;
    };
    match pieces.first() {
        Some(Piece::Variable(Variable::Proc)) => pattern.starts_with("@{PROC}"),
        Some(Piece::Text(text)) => pattern.starts_with("/sys") && text.starts_with(b"/sys"),
        _ => false,
    }
}
