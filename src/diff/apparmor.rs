//! What AppArmor profiles allow, as they were read.

use std::collections::BTreeSet;

use super::side::LETTERS;
use super::{Kind, Side};
use crate::fact::Capability;
use crate::path::to_text;
use crate::policy::apparmor::Permissions;
use crate::policy::apparmor::text::{Document, Names, Rule, What};

impl Side<'_> {
    /// Everything that the profiles of a text allow and deny. What is of another profile than the first is told apart by
    /// the profile's name.
    #[must_use]
    pub fn of_profiles(document: &Document) -> Self {
        let mut side = Self::default();
        for (place, profile) in document.all().enumerate() {
            let within = if place == 0 { String::new() } else { format!(" in {}", profile.name) };
            for rule in &profile.rules {
                side.rule(rule, &within);
            }
        }
        for unread in &document.unread {
            side.add(
                Kind::Gap,
                format!("not understood: {}: a {} rule: {}", unread.place, unread.kind, unread.why),
                "",
                &[],
            );
        }
        side
    }

    fn rule(&mut self, rule: &Rule, within: &str) {
        let denied = if rule.deny { "denied " } else { "" };
        let mut add = |kind: Kind, name: &str, part: &str| {
            self.add(kind, format!("{name}{within}"), format!("{denied}{part}").trim_end().to_owned(), &[]);
        };
        match &rule.what {
            What::File { names, owner, permissions, exec, .. } => {
                let name = path_text(names);
                for (permission, word) in LETTERS.into_iter().filter(|(one, _)| permissions.contains(*one)) {
                    let how = exec.as_ref().filter(|_| permission == Permissions::EXECUTE);
                    let how = how.map_or_else(String::new, |exec| {
                        let target = exec.target.as_deref().map_or_else(String::new, |target| format!(" to {target}"));
                        format!(" by {}{target}", exec.mode)
                    });
                    // As of our own policies: what anybody may do, the owner may as well.
                    if *owner != Some(true) {
                        add(Kind::File, &name, &format!("{word}{how}"));
                    }
                    if *owner != Some(false) {
                        add(Kind::File, &name, &format!("{word} as owner{how}"));
                    }
                }
            }
            What::Capability(some) => {
                let all: BTreeSet<_> =
                    if some.is_empty() { Capability::ALL.iter().collect() } else { some.iter().collect() };
                for capability in all {
                    add(Kind::Capability, capability.name(), "");
                }
            }
            What::Network { family, kind } => {
                let name = format!("{} {}", family.as_deref().unwrap_or("any"), kind.as_deref().unwrap_or("any"));
                add(Kind::Family, &name, "");
            }
            What::Unix { access, kind, limited } => {
                let name = format!("unix {}", kind.as_deref().unwrap_or("any"));
                let some = if *limited { "with some" } else { "" };
                words(access).for_each(|word| add(Kind::Family, &name, &format!("{word} {some}")));
            }
            What::Signal { access, signals, peer } => {
                for signal in words(signals) {
                    words(access).for_each(|way| add(Kind::Signal, signal, &format!("{way} {}", with(peer.as_ref()))));
                }
            }
            What::Ptrace { access, peer } => words(access).for_each(|way| add(Kind::Ptrace, way, &with(peer.as_ref()))),
            What::Mount { .. } => add(Kind::Mount, &rule.to_string(), ""),
            What::Other { kind, .. } => add(Kind::Policy, &rule.to_string(), kind),
        }
    }
}

/// Words, or that all are meant.
fn words(words: &BTreeSet<String>) -> impl Iterator<Item = &str> {
    let all = std::iter::once("all").filter(|_| words.is_empty());
    all.chain(words.iter().map(String::as_str))
}

fn with(peer: Option<&Names>) -> String {
    peer.map_or_else(|| "anybody".to_owned(), ToString::to_string)
}

/// A path or pattern in the text form of paths.
fn path_text(names: &Names) -> String {
    names.literal().map_or_else(|| names.to_string(), |literal| to_text(&literal))
}
