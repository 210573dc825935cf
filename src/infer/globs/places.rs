//! Where names may be generalised, and which names no pattern may ever stand for.

use super::Pattern;
use crate::infer::risk;
use crate::path::AbsPath;

/// Below these, names that the workload makes are taken to be for the time being.
const VOLATILE: &[&str] =
    &["/tmp", "/var/tmp", "/dev/shm", "/run", "/var/run", "/var/log", "/var/cache", "/var/spool", "/var/lock"];

/// So are they below directories of these names.
const VOLATILE_NAMES: &[&[u8]] = &[b"tmp", b"temp", b".cache", b"cache"];

/// Here numbers name different things, or nothing may be widened at all.
const FIXED: &[&str] = &["/proc", "/sys", "/dev", "/root", "/boot"];

/// What a pattern may never stand for, whatever it was made from; `*` is any one name.
const NEVER: &[&str] = &[
    "/dev/mem",
    "/dev/kmem",
    "/dev/sda",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/sudoers",
    "/etc/sudoers.d/*",
    "/etc/ssh/*",
    "/etc/ssl/private/*",
    "/etc/pki/tls/private/*",
    "/etc/kubernetes/*",
    "/etc/krb5.keytab",
    "/proc/*/environ",
    "/proc/*/mem",
    "/proc/*/task/*/environ",
    "/proc/*/task/*/mem",
    "/proc/kcore",
    "/proc/sysrq-trigger",
    "/root/.ssh/*",
    "/root/*",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/secrets/*",
];

/// Whether no name below here is generalised by what its directory or its siblings say.
pub(super) fn fixed(path: &[u8]) -> bool {
    below(path, FIXED) && !below(path, &["/dev/shm"])
}

/// Whether names stay here that are no files of the time being, so that only what is made and taken away again is one.
pub(super) fn settled(path: &[u8]) -> bool {
    below(path, &["/etc"])
}

/// Whether this is made for the time being if the workload makes it.
pub(super) fn volatile(path: &[u8]) -> bool {
    let mut above = path.split(|byte| *byte == b'/');
    above.next_back();
    below(path, VOLATILE) || above.any(|name| VOLATILE_NAMES.contains(&name))
}

/// Whether `pattern`, made from `path`, stands for a name that no pattern may stand for.
///
/// A pattern's names vary each by itself. So one that stands for `path` and for some forbidden name stands for the one
/// that has the names of `path` wherever any name will do.
pub(super) fn reaches_forbidden(pattern: &Pattern, path: &AbsPath) -> bool {
    let own = names(path.as_bytes());
    let forbidden = |names: &[&[u8]]| {
        let path = AbsPath::new(&[b"/", &names.join(&b'/')[..]].concat());
        path.is_ok_and(|path| pattern.matches(&path))
    };
    let listed = NEVER.iter().any(|never| {
        let fill = |(at, name)| if name == b"*" { own.get(at).copied() } else { Some(name) };
        let filled = names(never.as_bytes()).into_iter().enumerate().map(fill).collect::<Option<Vec<_>>>();
        filled.is_some_and(|names| forbidden(&names))
    });
    // A home itself has no such name.
    let begun = if own.first() == Some(&&b"home"[..]) { 2 } else { 0 };
    let mut folders = risk::SECRET_FOLDERS.iter().map(|folder| folder.trim_matches('/').as_bytes());
    let replaced = |folder, at| {
        own.iter().enumerate().map(|(place, name)| if place == at { folder } else { *name }).collect::<Vec<_>>()
    };
    listed || folders.any(|folder| (begun..own.len().saturating_sub(1)).any(|at| forbidden(&replaced(folder, at))))
}

fn names(path: &[u8]) -> Vec<&[u8]> {
    path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect()
}

fn below(path: &[u8], places: &[&str]) -> bool {
    let rest = |place: &&str| path.strip_prefix(place.as_bytes());
    places.iter().filter_map(rest).any(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::super::Piece;
    use super::*;

    #[test]
    fn a_pattern_that_reaches_a_secret_is_known() {
        let text = |text: &str| Piece::text(text.as_bytes());
        let any = |count| vec![Piece::One; count];
        let reaches = |pieces: Vec<Vec<Piece>>, path: &str| {
            reaches_forbidden(&Pattern::General(pieces.concat().into()), &AbsPath::new(path.as_bytes()).unwrap())
        };
        assert!(reaches(vec![vec![text("/home/u/")], any(6), vec![text("/key")]], "/home/u/aB3dE1/key"), ".gnupg/key");
        assert!(!reaches(vec![vec![text("/home/u/")], any(3), vec![text("/key")]], "/home/u/aB3/key"));
        assert!(reaches(vec![vec![text("/etc/")], any(6)], "/etc/aB3dE1"), "/etc/shadow");
        assert!(!reaches(vec![vec![text("/etc/sed")], any(6)], "/etc/sedaB3dE1"));
        assert!(reaches(vec![vec![text("/proc/")], any(2), vec![text("/m"), Piece::Any]], "/proc/12/maps"));
    }
}
