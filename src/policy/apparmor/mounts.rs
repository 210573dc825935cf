//! Rules about the mount table.

use super::names;
use crate::fact::{MountFact, MountOperation};
use crate::path::{AbsPath, from_text};

/// A rule about the mount table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountRule {
    /// What is done.
    pub operation: MountOperation,
    /// The file system's type, in bytes.
    pub filesystem: Option<Vec<u8>>,
    /// The options, exactly these.
    pub options: Vec<&'static str>,
    /// The source: an absolute path, which may be a directory, or a plain word, in bytes.
    pub source: Option<Vec<u8>>,
    /// The mount point.
    pub target: AbsPath,
}

/// What the kernel compares depends on the kind of change (`security/apparmor/lsm.c`, `apparmor_sb_mount()`).
pub(super) fn rule(fact: &MountFact) -> Result<MountRule, String> {
    const PROPAGATION: u64 = libc::MS_SHARED | libc::MS_PRIVATE | libc::MS_SLAVE | libc::MS_UNBINDABLE;
    let MountFact { operation, source, target, filesystem, flags } = fact;
    let told = || format!("the {} on {target} with source `{source}` and flags {flags:#x}", word(*operation));
    let by_path = || from_text(source).filter(|bytes| bytes.starts_with(b"/")).ok_or_else(told).map(Some);
    let given = || from_text(source).filter(|bytes| !bytes.is_empty());
    let (compared, source, filesystem) = match operation {
        MountOperation::Umount | MountOperation::PivotRoot => (None, None, ""),
        MountOperation::Remount => (Some(*flags), None, ""),
        MountOperation::Mount if flags & libc::MS_BIND != 0 => {
            (Some(flags & (libc::MS_BIND | libc::MS_REC)), by_path()?, "")
        }
        MountOperation::Mount if flags & PROPAGATION != 0 => {
            (Some(flags & (PROPAGATION | libc::MS_REC | libc::MS_SILENT)), None, "")
        }
        MountOperation::Mount if flags & libc::MS_MOVE != 0 => (Some(libc::MS_MOVE), by_path()?, ""),
        MountOperation::Mount => (Some(*flags), given(), filesystem.as_str()),
    };
    let options = compared.map_or_else(|| Some(Vec::new()), names::mount_options).ok_or_else(told)?;
    let filesystem = Some(from_text(filesystem).ok_or_else(told)?).filter(|name| !name.is_empty());
    Ok(MountRule { operation: *operation, filesystem, options, source, target: target.clone() })
}

const fn word(operation: MountOperation) -> &'static str {
    match operation {
        MountOperation::Mount => "mount",
        MountOperation::Remount => "remount",
        MountOperation::Umount => "umount",
        MountOperation::PivotRoot => "pivot_root",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text.as_bytes()).unwrap()
    }

    fn mounted(operation: MountOperation, source: &str, flags: u64) -> Result<String, String> {
        let filesystem = "tmpfs".to_owned();
        let rule = rule(&MountFact { operation, source: source.into(), target: path("/m"), filesystem, flags })?;
        let source = rule.source.map(|bytes| String::from_utf8(bytes).unwrap()).unwrap_or_default();
        Ok(format!(
            "{} {} {source}",
            rule.options.join(","),
            String::from_utf8(rule.filesystem.unwrap_or_default()).unwrap()
        ))
    }

    #[test]
    fn each_kind_of_mount_is_compared_by_its_own_flags() {
        use MountOperation::{Mount, PivotRoot, Remount, Umount};
        let nosuid = libc::MS_NOSUID;
        assert_eq!(mounted(Mount, "none", nosuid).unwrap(), "rw,nosuid tmpfs none");
        assert_eq!(mounted(Mount, "/a", nosuid | libc::MS_BIND | libc::MS_REC).unwrap(), "rw,rbind  /a");
        assert_eq!(mounted(Mount, "none", libc::MS_REC | libc::MS_PRIVATE).unwrap(), "rw,rprivate  ");
        assert_eq!(mounted(Mount, "/a", libc::MS_MOVE | nosuid).unwrap(), "rw,move  /a");
        assert_eq!(mounted(Remount, "x", libc::MS_REMOUNT | libc::MS_RDONLY).unwrap(), "ro  ");
        assert_eq!(mounted(Umount, "", 2).unwrap(), "  ");
        assert_eq!(mounted(PivotRoot, "", 0).unwrap(), "  ");
        assert!(mounted(Mount, "relative", libc::MS_BIND).is_err(), "would be any source");
        assert!(mounted(Mount, "none", 1 << 40).is_err(), "a flag without a word");
    }
}
