//! The list of capabilities to keep (`capabilities(7)`).

use std::collections::BTreeSet;

use serde::Deserialize;

use super::{Policy, Verdict};
use crate::fact::{Capability, Fact, Gap};
use crate::infer::caps::sufficient;
use crate::infer::{CapabilityNeed, Needs};

/// Begins the list in `capabilities.txt`.
const HEADING: &str = "# Capabilities to keep\n";

/// A text that is no list of capabilities.
#[derive(Debug, thiserror::Error)]
#[error("no list of capabilities (capabilities(7)): {0}")]
pub struct NoCapability(String);

/// `capabilities.json`, as far as it is read.
#[derive(Deserialize)]
struct File {
    capabilities: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
}

/// The capability of a name, with or without `CAP_`, in small letters or capitals.
fn named(name: &str) -> Result<Capability, NoCapability> {
    let upper = name.trim().to_ascii_uppercase();
    let found = Capability::named(&upper).or_else(|| Capability::named(&format!("CAP_{upper}")));
    found.ok_or_else(|| NoCapability(format!("`{name}` is none")))
}

/// A list of words, in which options of container engines may stand.
fn plain(text: &str) -> Result<BTreeSet<Capability>, NoCapability> {
    let lines = text.lines().map(|line| line.split('#').next().unwrap_or_default());
    let words = lines.flat_map(|line| line.split([',', ' ', '\t', '\r'])).filter(|word| !word.is_empty());
    let words: Vec<_> = words.map(|word| word.strip_prefix("--cap-add=").unwrap_or(word)).collect();
    if words.is_empty() {
        return Err(NoCapability("it is empty; no capability at all is `none`".to_owned()));
    }
    let dropped = |word: &str| word.eq_ignore_ascii_case("none") || word.eq_ignore_ascii_case("--cap-drop=all");
    words.into_iter().filter(|word| !dropped(word)).map(named).collect()
}

/// The capabilities to keep; all others are dropped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// What is kept.
    pub kept: BTreeSet<Capability>,
    gaps: BTreeSet<Gap>,
}

impl Caps {
    /// The needed and the likely ones.
    #[must_use]
    pub fn new(needs: &Needs<'_>) -> Self {
        Self { kept: granted(&needs.capabilities).map(|need| need.capability).collect(), gaps: BTreeSet::new() }
    }

    /// Reads a list of capabilities: what `capabilities.txt` or `capabilities.json` hold, an array of names in JSON, or
    /// plain words with commas or spaces between them (`NET_RAW,chown`, `none`, `--cap-add=CHOWN`, comments behind `#`).
    ///
    /// # Errors
    /// [`NoCapability`]: the first word that names none.
    pub fn parse(text: &str) -> Result<Self, NoCapability> {
        let start = text.trim_start();
        if start.starts_with(['{', '[']) {
            return Self::parse_json(start);
        }
        // What else `capabilities.txt` holds says the same for others.
        let listed = text.lines().filter_map(|line| line.strip_suffix(" needed").or(line.strip_suffix(" likely")));
        let listed: Vec<_> = listed.filter(|name| name.starts_with("CAP_") && !name.contains(' ')).collect();
        let kept = if listed.is_empty() && !text.contains(HEADING) {
            plain(text)?
        } else {
            listed.into_iter().map(named).collect::<Result<_, _>>()?
        };
        Ok(Self { kept, gaps: BTreeSet::new() })
    }

    fn parse_json(text: &str) -> Result<Self, NoCapability> {
        let malformed = |error: serde_json::Error| NoCapability(error.to_string());
        let names = if text.starts_with('[') {
            serde_json::from_str::<Vec<String>>(text).map_err(malformed)?
        } else {
            let file = serde_json::from_str::<File>(text).map_err(malformed)?;
            file.capabilities.into_iter().map(|one| one.name).collect()
        };
        let kept = names.iter().map(|name| named(name)).collect::<Result<_, _>>()?;
        Ok(Self { kept, gaps: BTreeSet::new() })
    }
}

/// What Docker and Podman-compatible engines keep when nothing is said (`docker run`, "Runtime privilege and Linux
/// capabilities").
pub const DOCKER: [Capability; 14] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::Setgid,
    Capability::Setuid,
    Capability::Setpcap,
    Capability::NetBindService,
    Capability::NetRaw,
    Capability::SysChroot,
    Capability::Mknod,
    Capability::AuditWrite,
    Capability::Setfcap,
];

/// The needs that a profile grants.
pub fn granted<'n, 'r>(needs: &'n [CapabilityNeed<'r>]) -> impl Iterator<Item = &'n CapabilityNeed<'r>> {
    needs.iter().filter(|need| need.standing.granted())
}

/// What a set of kept capabilities says to `fact`.
pub(super) fn permits(kept: &BTreeSet<Capability>, fact: &Fact) -> Verdict {
    let Fact::Check(check) = fact else {
        return Verdict::NotGoverned;
    };
    match sufficient(check) {
        [] => Verdict::NotGoverned,
        any_of => Verdict::allowed_if(any_of.iter().any(|capability| kept.contains(capability))),
    }
}

impl Policy for Caps {
    fn permits(&self, fact: &Fact) -> Verdict {
        permits(&self.kept, fact)
    }

    fn gaps(&self) -> &BTreeSet<Gap> {
        &self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_in_every_form() {
        let both = BTreeSet::from([Capability::Chown, Capability::NetRaw]);
        for text in [
            "CAP_CHOWN CAP_NET_RAW",
            "chown,net_raw",
            "# needed\nCAP_CHOWN # files\n\nnet_raw\n",
            "--cap-drop=ALL --cap-add=CHOWN --cap-add=NET_RAW\n",
            "[\"CAP_CHOWN\", \"NET_RAW\"]",
            "{\"capabilities\": [{\"name\": \"CAP_CHOWN\", \"reasons\": []}, {\"name\": \"CAP_NET_RAW\"}]}",
            "# Program: x\n\n# Capabilities to keep\nCAP_CHOWN needed\n    needed: CAP_KILL\nCAP_NET_RAW likely\n\n# Users\nCAP_BPF\n",
        ] {
            assert_eq!(Caps::parse(text).unwrap().kept, both, "{text}");
        }
        assert_eq!(Caps::parse("none").unwrap().kept, BTreeSet::new());
        for text in ["", "# nothing\n", "CAP_FLY", "[1]", "{\"capabilities\": 1}", "hello\n"] {
            assert!(Caps::parse(text).is_err(), "{text}");
        }
    }
}
