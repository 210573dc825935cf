//! Files: their use, and their execution.

use std::fmt;

use bitflags::bitflags;
use serde::{Deserialize, Serialize};

use crate::path::AbsPath;

bitflags! {
    /// What was done to a file, in the terms of the LSM hooks (`security/apparmor/include/perms.h`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub struct Access: u32 {
        /// Opened for reading.
        const READ = 1;
        /// Opened for writing, not (only) appending; truncated.
        const WRITE = 1 << 1;
        /// Opened with `O_APPEND` for writing.
        const APPEND = 1 << 2;
        /// Created, or opened with `O_CREAT`, which asks for the same: open, mkdir, mknod, symlink, a socket's bind.
        const CREATE = 1 << 3;
        /// Removed: unlink, rmdir.
        const REMOVE = 1 << 4;
        /// The old name of a rename.
        const RENAME_FROM = 1 << 5;
        /// The new name of a rename.
        const RENAME_TO = 1 << 6;
        /// The new name of a hard link.
        const LINK = 1 << 7;
        /// The old name of a hard link.
        const LINK_TARGET = 1 << 8;
        /// Locked: flock, fcntl.
        const LOCK = 1 << 9;
        /// Mapped with `PROT_EXEC`, also by a later mprotect.
        const MAP_EXEC = 1 << 10;
        /// Executed.
        const EXEC = 1 << 11;
        /// A directory opened for listing.
        const LIST = 1 << 12;
        /// Mode changed.
        const CHMOD = 1 << 13;
        /// Owner or group changed.
        const CHOWN = 1 << 14;
        /// Times changed.
        const UTIME = 1 << 15;
        /// Extended attributes set or removed.
        const SETXATTR = 1 << 16;
        /// Extended attributes read.
        const GETXATTR = 1 << 17;
        /// Looked at without opening: stat, access, readlink, chdir, `O_PATH`.
        const STAT = 1 << 18;
        /// Connected to, as a Unix socket.
        const CONNECT = 1 << 19;
        /// Open for reading when the program began to run: another program had opened it.
        const INHERIT_READ = 1 << 20;
        /// Open for writing when the program began to run.
        const INHERIT_WRITE = 1 << 21;
    }
}

impl Access {
    /// Field-standard names, in the order of the bits; used in records and messages.
    pub const NAMES: [(Self, &'static str); 22] = [
        (Self::READ, "read"),
        (Self::WRITE, "write"),
        (Self::APPEND, "append"),
        (Self::CREATE, "create"),
        (Self::REMOVE, "remove"),
        (Self::RENAME_FROM, "rename-from"),
        (Self::RENAME_TO, "rename-to"),
        (Self::LINK, "link"),
        (Self::LINK_TARGET, "link-target"),
        (Self::LOCK, "lock"),
        (Self::MAP_EXEC, "map-exec"),
        (Self::EXEC, "exec"),
        (Self::LIST, "list"),
        (Self::CHMOD, "chmod"),
        (Self::CHOWN, "chown"),
        (Self::UTIME, "utime"),
        (Self::SETXATTR, "setxattr"),
        (Self::GETXATTR, "getxattr"),
        (Self::STAT, "stat"),
        (Self::CONNECT, "connect"),
        (Self::INHERIT_READ, "inherit-read"),
        (Self::INHERIT_WRITE, "inherit-write"),
    ];

    /// The access with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(access, _)| *access)
    }
}

impl fmt::Display for Access {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (access, name) in Self::NAMES {
            if self.contains(access) {
                write!(out, "{separator}{name}")?;
                separator = " ";
            }
        }
        Ok(())
    }
}

impl Serialize for Access {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Access {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        text.split_whitespace().try_fold(Self::empty(), |all, name| {
            let one = Self::named(name);
            one.map(|one| all | one).ok_or_else(|| serde::de::Error::custom(format!("unknown file access `{name}`")))
        })
    }
}

/// The use of one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileFact {
    /// The kernel's own path.
    pub path: AbsPath,
    /// What was done.
    pub access: Access,
    /// Whether the task's filesystem user id owned the file.
    pub owner: bool,
    /// Whether it is a directory.
    pub directory: bool,
}

/// The execution of a program.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ExecutionFact {
    /// The file that was asked for, resolved: the script for a `#!` script.
    pub file: AbsPath,
    /// The program that runs then: `file` itself, or the interpreter of a script.
    pub program: AbsPath,
    /// The ELF loader (`PT_INTERP`), when the program has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loader: Option<AbsPath>,
    /// What the file would change of the credentials: set-user-ID, set-group-ID or file capabilities.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub privileged: bool,
}
