//! `--caps`: the capabilities that a workload keeps.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::fact::Capability;
use crate::policy::caps::Caps;

/// The capabilities that `text` names: a list with commas, with or without `CAP_`, `none`, or a file as
/// `capabilities.txt`. Bit N stands for capability N.
pub(super) fn capabilities(text: &str) -> Result<u64> {
    if text.contains('/') || Path::new(text).is_file() {
        let content = fs::read_to_string(text).with_context(|| format!("cannot read {text}"))?;
        return Ok(mask(Caps::parse(&content).kept));
    }
    if text.eq_ignore_ascii_case("none") {
        return Ok(0);
    }
    let named = text.split(',').map(|name| {
        let upper = name.trim().to_ascii_uppercase();
        let known = |known: &&Capability| known.name() == upper || known.name().strip_prefix("CAP_") == Some(&upper);
        let unknown = || anyhow!("`{name}` is no capability (capabilities(7)), and no file is named `{text}`");
        Capability::ALL.iter().find(known).copied().ok_or_else(unknown)
    });
    named.collect::<Result<Vec<_>>>().map(mask)
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
        fs::write(file.path(), "CAP_KILL needed\n    needed: kill(2)\n").unwrap();
        assert_eq!(capabilities(file.path().to_str().unwrap()).unwrap(), 1 << 5);
        let said = capabilities("CHOWN,FLY").unwrap_err().to_string();
        assert!(said.starts_with("`FLY` is no capability"), "{said}");
        assert!(capabilities("/no/such/file").is_err());
    }
}
