//! What `learn diff` and `learn check` compare, by what is in the file.

use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::folder::RECORD;
use crate::diff::Side;
use crate::infer::Needs;
use crate::policy::caps::Caps;
use crate::policy::seccomp::{Derived, Host, Options, Seccomp};
use crate::record::{Record, file};

/// A file that was read.
pub(super) enum Input {
    /// A record.
    Record(Record),
    /// A policy.
    Policy(Policy),
}

/// A policy that was read.
pub(super) enum Policy {
    /// A seccomp profile.
    Seccomp(Seccomp),
    /// A list of capabilities.
    Caps(Caps),
}

impl Input {
    /// Reads a file, standard input (`-`), or the record in a folder. A profile of Docker's form is settled for `host`.
    ///
    /// # Errors
    /// With the name and what is wrong: unreadable, damaged, or of no known kind.
    pub(super) fn read(path: &Path, host: &Host) -> Result<Self> {
        let mut bytes = Vec::new();
        if path == Path::new("-") {
            std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
        } else {
            let inner = if path.is_dir() { path.join(RECORD) } else { path.to_owned() };
            bytes = fs::read(&inner).with_context(|| format!("cannot read {}", inner.display()))?;
        }
        Self::parse(&bytes, host).with_context(|| path.display().to_string())
    }

    fn parse(bytes: &[u8], host: &Host) -> Result<Self> {
        let text = bytes.trim_ascii_start();
        if text.starts_with(b"{") {
            if let Some(policy) = std::str::from_utf8(text).ok().filter(|_| is_profile(text)) {
                let policy = Seccomp::parse_for(policy, host).context("not a readable profile")?;
                return Ok(Self::Policy(Policy::Seccomp(policy)));
            }
            return Ok(Self::Record(file::read(text)?));
        }
        let text = std::str::from_utf8(text).context("neither a record nor a policy: no text")?;
        let caps = Caps::parse(text);
        if !caps.kept.is_empty() || text.contains("# Capabilities to keep") {
            return Ok(Self::Policy(Policy::Caps(caps)));
        }
        bail!("neither a record, nor a seccomp profile, nor a list of capabilities (give the record of another policy)")
    }

    /// The record, if it is one.
    pub(super) fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Policy(_) => None,
        }
    }
}

impl Policy {
    /// What it is.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Seccomp(_) => "seccomp profile",
            Self::Caps(_) => "list of capabilities",
        }
    }

    /// What it allows.
    pub(super) fn side<'r>(&self) -> Side<'r> {
        match self {
            Self::Seccomp(policy) => Side::of_seccomp(policy),
            Self::Caps(policy) => Side::of_caps(policy),
        }
    }

    /// What the policy of the same kind for these needs allows.
    pub(super) fn of_needs<'r>(&self, needs: &Needs<'r>) -> Side<'r> {
        match self {
            Self::Seccomp(_) => Side::of_seccomp(&Derived::new(needs, &Options::default()).profile),
            Self::Caps(_) => Side::of_caps(&Caps::new(needs)),
        }
    }
}

/// Whether a JSON text begins like a profile rather than like a record. Decides which reader says what is wrong.
fn is_profile(text: &[u8]) -> bool {
    let head = text.get(..text.len().min(4096)).unwrap_or_default();
    let has = |wanted: &[u8]| head.windows(wanted.len()).any(|window| window == wanted);
    has(b"\"defaultAction\"") && !has(b"\"schema\"")
}
