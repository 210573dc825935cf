//! What `learn diff` and `learn check` compare, by what is in the file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result, bail};
use bstr::ByteSlice;

use super::apparmor::included_files;
use super::folder::RECORD;
use crate::diff::{Side, compare};
use crate::infer::Needs;
use crate::policy;
use crate::policy::apparmor::text::{self, Document};
use crate::policy::caps::Caps;
use crate::policy::seccomp::{Derived, Host, Options, Seccomp};
use crate::record::{Record, file};
use crate::render::{Format, ProfileName, Templates};

/// What was read.
pub(super) enum Input {
    /// A record.
    Record(Record),
    /// A policy, or those of a folder without a record, one of each kind at most.
    Policies(Vec<Policy>),
}

/// A policy that was read.
pub(super) enum Policy {
    /// A seccomp profile.
    Seccomp(Seccomp),
    /// An AppArmor profile, with those within it and beside it.
    AppArmor(Document),
    /// A list of capabilities.
    Caps(Caps),
}

impl Input {
    /// Reads a file, standard input (`-`), or the record in a folder, or else the policies in it. A profile of Docker's
    /// form is settled for `host`.
    ///
    /// # Errors
    /// With the name and what is wrong: unreadable, damaged, or of no known kind.
    pub(super) fn read(path: &Path, host: &Host) -> Result<Self> {
        if path.is_dir() {
            return Self::read_folder(path, host);
        }
        let mut bytes = Vec::new();
        if path == Path::new("-") {
            std::io::stdin().lock().read_to_end(&mut bytes).context("standard input")?;
        } else {
            bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        }
        Self::parse(&bytes, host).with_context(|| path.display().to_string())
    }

    fn read_folder(path: &Path, host: &Host) -> Result<Self> {
        let record = path.join(RECORD);
        if record.try_exists().with_context(|| format!("cannot look for {}", record.display()))? {
            return Self::read(&record, host);
        }
        let unreadable = || format!("cannot read the folder {}", path.display());
        let mut files = Vec::new();
        for entry in fs::read_dir(path).with_context(unreadable)? {
            files.push(entry.with_context(unreadable)?.path());
        }
        files.sort();
        let mut policies = Vec::<Policy>::new();
        for file in files.iter().filter(|file| is_named_as_policy(file)) {
            if let Self::Policies(read) = Self::read(file, host)? {
                for policy in read {
                    // The list of capabilities is written in two forms.
                    match policies.iter().find(|known| known.name() == policy.name()) {
                        None => policies.push(policy),
                        Some(Policy::Caps(_)) => {}
                        Some(known) => bail!("{} holds more than one {}: name the file", path.display(), known.name()),
                    }
                }
            }
        }
        if policies.is_empty() {
            bail!("{} holds neither a record ({RECORD}) nor profiles", path.display());
        }
        Ok(Self::Policies(policies))
    }

    fn parse(bytes: &[u8], host: &Host) -> Result<Self> {
        let text = bytes.trim_ascii();
        if text.is_empty() {
            bail!("{UNKNOWN}: it is empty");
        }
        let has = |key: &str| text.contains_str(key);
        let policy = |text: &str| {
            Ok(Self::Policies(vec![if has("\"defaultAction\"") {
                Policy::Seccomp(Seccomp::parse_for(text, host).context("not a readable profile")?)
            } else if !text.starts_with(['{', '[']) && text.contains('{') {
                let what = if text.lines().any(opens_profile) { "not a readable profile" } else { UNKNOWN };
                Policy::AppArmor(apparmor_text(text).context(what)?)
            } else {
                Policy::Caps(Caps::parse(text).context(UNKNOWN)?)
            }]))
        };
        // Which reader says what is wrong is decided by the keys that are there.
        if text.starts_with(b"{") && (has("\"schema\"") || !has("\"defaultAction\"") && !has("\"capabilities\"")) {
            return Ok(Self::Record(file::read(text)?));
        }
        policy(std::str::from_utf8(text).with_context(|| format!("{UNKNOWN}: no text"))?)
    }

    /// The record, if it is one.
    pub(super) fn record(&self) -> Option<&Record> {
        match self {
            Self::Record(record) => Some(record),
            Self::Policies(_) => None,
        }
    }
}

const UNKNOWN: &str = "neither a record, nor a seccomp or AppArmor profile, nor a list of capabilities";

/// Reads AppArmor's text; what it includes is taken from this machine.
fn apparmor_text(text: &str) -> Result<Document> {
    let document = text::parse("line", text, &included_files()?)?;
    if document.profiles.is_empty() {
        bail!("there is no profile in it");
    }
    Ok(document)
}

/// Whether a line begins an AppArmor profile.
fn opens_profile(line: &str) -> bool {
    let line = line.trim();
    line.ends_with('{') && (line.starts_with("profile ") || line.starts_with(['/', '"']))
}

/// Whether a file of a folder is one of the profiles that are written there.
fn is_named_as_policy(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().as_encoded_bytes();
    matches!(name, b"seccomp.json" | b"capabilities.txt" | b"capabilities.json") || name.ends_with(b".apparmor")
}

impl Policy {
    /// What it is.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Seccomp(_) => "seccomp profile",
            Self::AppArmor(_) => "profile of AppArmor",
            Self::Caps(_) => "list of capabilities",
        }
    }

    /// The policies of the same kind for these needs: what a profile was asked to be besides is not told by it.
    fn of_needs(&self, needs: &Needs<'_>) -> Result<Vec<Self>> {
        let seccomp = |options: &Options| Self::Seccomp(Derived::new(needs, options).profile);
        Ok(match self {
            Self::Seccomp(_) => vec![seccomp(&Options::default()), seccomp(&Options::exact())],
            Self::AppArmor(_) => vec![Self::AppArmor(apparmor_text(&rendered(needs)?)?)],
            Self::Caps(_) => vec![Self::Caps(Caps::new(needs))],
        })
    }

    /// What each of two policies of one kind allows; `None` when they are of different kinds.
    pub(super) fn sides<'r>(old: &Self, new: &Self) -> Option<(Side<'r>, Side<'r>)> {
        match (old, new) {
            (Self::Seccomp(old), Self::Seccomp(new)) => Some(Side::of_seccomp(old, new)),
            (Self::AppArmor(old), Self::AppArmor(new)) => Some(Side::of_apparmor(old, new)),
            (Self::Caps(old), Self::Caps(new)) => Some((Side::of_caps(old), Side::of_caps(new))),
            _ => None,
        }
    }

    /// What it allows, and what the nearest policy of the same kind would for these needs, with who showed it.
    ///
    /// # Errors
    /// When those needs cannot be rendered.
    pub(super) fn beside<'r>(&self, needs: &Needs<'r>) -> Result<(Side<'r>, Side<'r>)> {
        let made = self.of_needs(needs)?.into_iter().filter_map(|made| Self::sides(self, &made));
        let nearest = made.min_by_key(|(own, other)| compare(own, other).len());
        let (own, other) = nearest.unwrap_or_default();
        Ok((own, other.witnessed(needs)))
    }
}

/// The AppArmor profile of needs, as `learn render` writes it.
fn rendered(needs: &Needs<'_>) -> Result<String> {
    let format = Format::named("apparmor").context("AppArmor is no format")?;
    let name = ProfileName::of(needs.origin.name.as_deref());
    let (templates, mut text) = (Templates::new(BTreeMap::new())?, Vec::new());
    format.render(needs, &policy::Options::default(), &name, &templates, &mut text)?;
    Ok(String::from_utf8(text)?)
}
