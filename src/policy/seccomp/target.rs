//! What the readers of profiles keep: anything else is an error here rather than a surprise there.

use super::Seccomp;
use super::grammar::Action;
use super::options::Target;

/// How many rules a profile may have that is attached to an image; all others keep to it.
pub(super) const MOST_RULES: usize = 128;

/// How large the text of such a profile may be, in bytes.
pub const MOST_BYTES: usize = 1 << 20;

/// Why a reader would not take a profile as it is.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TargetError {
    /// It has too many rules.
    #[error("the profile has {0} rules, and only {MOST_RULES} are read: choose fewer argument rules (--args)")]
    Rules(usize),
    /// Its text is too long.
    #[error("the profile has {0} bytes, and only {MOST_BYTES} are read: render runs of fewer programs at once")]
    Bytes(usize),
    /// It has something that the reader drops or refuses.
    #[error("{target} does not keep {what}: choose another --target")]
    Dropped {
        /// The reader.
        target: &'static str,
        /// What it is.
        what: &'static str,
    },
}

/// Whether `target` keeps all of `profile`.
pub(super) fn check(profile: &Seccomp, target: Target) -> Result<(), TargetError> {
    if profile.syscalls.len() > MOST_RULES {
        return Err(TargetError::Rules(profile.syscalls.len()));
    }
    let asks = profile.syscalls.iter().any(|rule| rule.action == Action::Notify);
    let supervised = asks || profile.default_action == Action::Notify || profile.listener.is_some();
    let what = match target {
        Target::Oci | Target::Docker | Target::Containerd => return Ok(()),
        _ if supervised => "a supervisor (SCMP_ACT_NOTIFY)",
        // Podman 4 drops all of them, later ones know these two; a program has no place for them.
        _ if !profile.flags.is_empty() => "flags",
        _ => return Ok(()),
    };
    Err(TargetError::Dropped { target: target.name(), what })
}

/// Whether a text of this length is read.
///
/// # Errors
/// [`TargetError::Bytes`].
pub const fn fits(bytes: usize) -> Result<(), TargetError> {
    if bytes > MOST_BYTES { Err(TargetError::Bytes(bytes)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::seccomp::Listener;
    use crate::policy::seccomp::grammar::{Flag, Rule};

    #[test]
    fn what_a_reader_would_drop_is_an_error() {
        let plain = Seccomp::allowing();
        let flagged = Seccomp { flags: [Flag::Log].into(), ..plain.clone() };
        let asking = Seccomp { default_action: Action::Notify, ..plain.clone() };
        let listener = Some(Listener { path: "/run/x".into(), metadata: None });
        let listening = Seccomp { listener, ..plain.clone() };
        for (target, ..) in Target::NAMES {
            assert_eq!(check(&plain, target), Ok(()));
            let lax = matches!(target, Target::Oci | Target::Docker | Target::Containerd);
            for profile in [&flagged, &asking, &listening] {
                assert_eq!(check(profile, target).is_ok(), lax, "{target:?}");
            }
        }
        let said = check(&flagged, Target::Podman).unwrap_err().to_string();
        assert_eq!(said, "podman does not keep flags: choose another --target");
    }

    #[test]
    fn limits_are_kept() {
        let rule = Rule { names: ["read".parse().unwrap()].into(), action: Action::Allow, conditions: Vec::new() };
        let with = |rules| Seccomp { syscalls: vec![rule.clone(); rules], ..Seccomp::allowing() };
        assert_eq!(check(&with(128), Target::Oci), Ok(()));
        assert_eq!(check(&with(129), Target::Oci), Err(TargetError::Rules(129)));
        assert_eq!(fits(1 << 20), Ok(()));
        assert_eq!(fits((1 << 20) + 1), Err(TargetError::Bytes((1 << 20) + 1)));
    }
}
