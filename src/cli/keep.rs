//! `--caps`: the capabilities that a workload keeps.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::fact::Capability;
use crate::policy::caps::Caps;

/// The capabilities that `text` names: a list with commas, with or without `CAP_`, `none`, or a file as
/// `capabilities.txt`. Bit N stands for capability N.
pub(super) fn capabilities(text: &str) -> Result<u64> {
    if text.contains('/') || Path::new(text).is_file() {
        let content = fs::read_to_string(text).with_context(|| format!("cannot read {text}"))?;
        return Ok(mask(Caps::parse(&content).with_context(|| text.to_owned())?.kept));
    }
    Caps::parse(text).map(|caps| mask(caps.kept)).with_context(|| format!("no file is named `{text}`"))
}

fn mask(kept: impl IntoIterator<Item = Capability>) -> u64 {
    kept.into_iter().fold(0, |mask, capability| mask | 1 << capability as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_files_are_read() {
        assert_eq!(capabilities("chown,CAP_SETUID").unwrap(), 1 | 1 << 7);
        assert_eq!(capabilities("none").unwrap(), 0);
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "# Capabilities to keep\nCAP_KILL needed\n    needed: kill(2)\n").unwrap();
        assert_eq!(capabilities(file.path().to_str().unwrap()).unwrap(), 1 << 5);
        let said = format!("{:#}", capabilities("CHOWN,FLY").unwrap_err());
        assert!(said.contains("`FLY` is none"), "{said}");
        assert!(capabilities("/no/such/file").is_err());
    }
}
