//! Two AppArmor texts, rule by rule.
//!
//! A rule of one text that the other one covers by a wider rule is no difference. Denials are taken off what a profile
//! allows, so that one which the other text lacks shows as what that allows beyond. Nested profiles are compared with
//! those of the same last name, the first profile with the first one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Kind, Side, words};
use crate::fact::{Capability, QueueAccess};
use crate::path::to_text;
use crate::policy::apparmor::Permissions;
use crate::policy::apparmor::text::{Document, Exec, Names, Profile, Rule, What};

/// What a rule allows, taken apart.
enum Claim<'d> {
    /// One permission for files.
    File { names: &'d Names, owner: Option<bool>, permission: Permissions, exec: Option<&'d Exec> },
    /// Anything else, with the names and parts of what would cover it.
    Plain { kind: Kind, name: String, part: String, wider: Vec<(String, String)> },
}

/// A profile with its rules in the order in which they are asked.
struct Grants<'d> {
    profile: &'d Profile,
    literals: BTreeMap<Vec<u8>, Vec<&'d Rule>>,
    patterns: Vec<&'d Rule>,
    claims: Vec<Claim<'d>>,
    plain: BTreeSet<(Kind, String, String)>,
}

/// Both texts as sides of a comparison.
pub(super) fn sides<'r>(old: &Document, new: &Document) -> (Side<'r>, Side<'r>) {
    let mut sides = (Side::default(), Side::default());
    let (old_profiles, new_profiles) = (labelled(old), labelled(new));
    let labels: BTreeSet<_> = old_profiles.keys().chain(new_profiles.keys()).collect();
    let empty = Profile::default();
    for label in labels {
        let (before, now) = (old_profiles.get(label), new_profiles.get(label));
        for (side, own) in [(&mut sides.0, before), (&mut sides.1, now)] {
            if own.is_some() && !label.is_empty() {
                side.add(Kind::Policy, format!("profile {label}"), "", &[]);
            }
        }
        let (before, now) = (before.copied().unwrap_or(&empty), now.copied().unwrap_or(&empty));
        let (before, now) = (Grants::new(before), Grants::new(now));
        heads(&mut sides, label, before.profile, now.profile);
        add(&mut sides.0, label, &before, &now);
        add(&mut sides.1, label, &now, &before);
    }
    for (side, text) in [(&mut sides.0, old), (&mut sides.1, new)] {
        if let Some(abi) = &text.abi {
            side.add(Kind::Policy, "abi", abi.clone(), &[]);
        }
        for unread in &text.unread {
            side.add(Kind::Gap, format!("rule not understood: {} {}", unread.kind, unread.why), "", &[]);
        }
    }
    sides
}

/// Every profile by what it is called within its text; the first one has no name.
fn labelled(text: &Document) -> BTreeMap<String, &Profile> {
    let label = |profile: &Profile| profile.name.rsplit("//").next().unwrap_or_default().to_owned();
    text.all()
        .enumerate()
        .map(|(at, profile)| (if at == 0 { String::new() } else { label(profile) }, profile))
        .collect()
}

/// What profiles say as a whole.
fn heads<'r>(sides: &mut (Side<'r>, Side<'r>), label: &str, before: &Profile, now: &Profile) {
    for (side, profile) in [(&mut sides.0, before), (&mut sides.1, now)] {
        for flag in &profile.flags {
            side.add(Kind::Policy, format!("flag {flag}"), within(label).trim_start().to_owned(), &[]);
        }
    }
    let (Some(one), Some(other)) = (&before.attachment, &now.attachment) else {
        return;
    };
    let stands = |one: &Names, other: &Names| other.literal().is_some_and(|name| one.matches(&name));
    if one != other && !stands(one, other) && !stands(other, one) {
        for (side, names) in [(&mut sides.0, one), (&mut sides.1, other)] {
            side.add(Kind::Policy, format!("attachment{}", within(label)), names.text().to_owned(), &[]);
        }
    }
}

fn within(label: &str) -> String {
    if label.is_empty() { String::new() } else { format!(" in {label}") }
}

/// Adds what `own` allows, and what it covers of the other one.
fn add(side: &mut Side<'_>, label: &str, own: &Grants<'_>, other: &Grants<'_>) {
    for claim in own.claims.iter().filter(|claim| own.holds(claim)) {
        put(side, label, claim);
    }
    for claim in other.claims.iter().filter(|claim| other.holds(claim) && own.covers(claim)) {
        put(side, label, claim);
    }
    // What the other one denies and this one does not.
    for rule in other.profile.rules.iter().filter(|rule| rule.deny) {
        for claim in file_claims(rule) {
            if own.touches(&claim) {
                put(side, label, &claim);
            }
        }
    }
}

fn put(side: &mut Side<'_>, label: &str, claim: &Claim<'_>) {
    match claim {
        Claim::File { names, owner, permission, exec } => {
            let name = names.literal().map_or_else(|| names.text().to_owned(), |name| to_text(&name));
            let whose = match owner {
                None => "",
                Some(true) => " as owner",
                Some(false) => " as other",
            };
            let word = WORDS.iter().find(|(one, _)| one == permission).map_or("", |(_, word)| *word);
            let mode = exec.map(|exec| {
                let target = exec.target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
                format!(" {}{target}", exec.mode)
            });
            side.add(Kind::File, name, format!("{word}{}{whose}{}", mode.unwrap_or_default(), within(label)), &[]);
        }
        Claim::Plain { kind, name, part, .. } => {
            let part = format!("{part}{}", within(label));
            side.add(*kind, name.clone(), part.trim_start().to_owned(), &[]);
        }
    }
}

const WORDS: [(Permissions, &str); 7] = [
    (Permissions::MAP, "map-exec"),
    (Permissions::READ, "read"),
    (Permissions::WRITE, "write"),
    (Permissions::APPEND, "append"),
    (Permissions::LINK, "link"),
    (Permissions::LOCK, "lock"),
    (Permissions::EXECUTE, "exec"),
];

impl<'d> Grants<'d> {
    fn new(profile: &'d Profile) -> Self {
        let mut grants = Self {
            profile,
            literals: BTreeMap::new(),
            patterns: Vec::new(),
            claims: Vec::new(),
            plain: BTreeSet::new(),
        };
        for rule in &profile.rules {
            if let What::File { names, .. } = &rule.what {
                match names.literal() {
                    Some(name) => grants.literals.entry(name).or_default().push(rule),
                    None => grants.patterns.push(rule),
                }
            }
        }
        let of = |deny: bool| profile.rules.iter().filter(move |rule| rule.deny == deny);
        let key = |claim: &Claim<'_>| match claim {
            Claim::Plain { kind, name, part, .. } => Some((*kind, name.clone(), part.clone())),
            Claim::File { .. } => None,
        };
        let denied: BTreeSet<_> =
            of(true).flat_map(|rule| plain_claims(rule, profile)).filter_map(|one| key(&one)).collect();
        let claims = of(false).flat_map(|rule| file_claims(rule).into_iter().chain(plain_claims(rule, profile)));
        grants.claims = claims.filter(|claim| key(claim).is_none_or(|key| !denied.contains(&key))).collect();
        grants.plain = grants.claims.iter().filter_map(key).collect();
        grants
    }

    /// Whether this claim of its own is not taken away by denials.
    fn holds(&self, claim: &Claim<'_>) -> bool {
        matches!(claim, Claim::Plain { .. }) || self.touches(claim)
    }

    /// Whether any of the names may be used so.
    fn touches(&self, claim: &Claim<'_>) -> bool {
        let Claim::File { names, owner, permission, .. } = claim else {
            return false;
        };
        let owners = owner.map_or_else(|| vec![true, false], |owner| vec![owner]);
        let samples = names.samples().unwrap_or_default();
        samples.iter().any(|name| owners.iter().any(|owner| self.granted(name, *owner).contains(*permission)))
    }

    /// Whether everything of another profile's claim is allowed here.
    fn covers(&self, claim: &Claim<'_>) -> bool {
        match claim {
            Claim::Plain { kind, name, part, wider } => {
                let has = |name: &String, part: &String| self.plain.contains(&(*kind, name.clone(), part.clone()));
                has(name, part) || wider.iter().any(|(name, part)| has(name, part))
            }
            Claim::File { names, owner, permission, exec } => {
                let owners = owner.map_or_else(|| vec![true, false], |owner| vec![owner]);
                let one = |name: &[u8]| {
                    let granted = owners.iter().all(|owner| self.granted(name, *owner).contains(*permission));
                    granted && exec.is_none_or(|exec| self.executes(name).contains(&exec))
                };
                names.samples().is_some_and(|samples| samples.iter().all(|name| one(name)))
            }
        }
    }

    /// The rules about files that stand for a name.
    fn about(&self, name: &[u8]) -> impl Iterator<Item = &'d Rule> {
        let patterns = self.patterns.iter().copied();
        let patterns = patterns.filter(|rule| matches!(&rule.what, What::File { names, .. } if names.matches(name)));
        self.literals.get(name).into_iter().flatten().copied().chain(patterns.collect::<Vec<_>>())
    }

    fn granted(&self, name: &[u8], owner: bool) -> Permissions {
        let (mut allowed, mut denied) = (Permissions::empty(), Permissions::empty());
        for rule in self.about(name) {
            if let What::File { owner: whose, permissions, .. } = &rule.what
                && whose.is_none_or(|whose| whose == owner)
            {
                let implied = if rule.inherits() { Permissions::MAP } else { Permissions::empty() };
                *(if rule.deny { &mut denied } else { &mut allowed }) |= permissions.spelled_out() | implied;
            }
        }
        allowed - denied
    }

    fn executes(&self, name: &[u8]) -> Vec<&'d Exec> {
        let exec = |rule: &'d Rule| match &rule.what {
            What::File { exec, .. } if !rule.deny => exec.as_ref(),
            _ => None,
        };
        self.about(name).filter_map(exec).collect()
    }
}

fn file_claims(rule: &Rule) -> Vec<Claim<'_>> {
    let What::File { names, owner, permissions, exec, .. } = &rule.what else {
        return Vec::new();
    };
    let claims = WORDS.iter().filter(|(one, _)| permissions.contains(*one)).map(|(one, _)| Claim::File {
        names,
        owner: *owner,
        permission: *one,
        exec: exec.as_ref().filter(|_| *one == Permissions::EXECUTE),
    });
    claims.collect()
}

fn plain_claims<'d>(rule: &'d Rule, profile: &Profile) -> Vec<Claim<'d>> {
    let any = |word: &Option<String>| word.clone().unwrap_or_else(|| "any".to_owned());
    match &rule.what {
        What::File { .. } => Vec::new(),
        What::Capability(some) => {
            let all = Capability::ALL.iter().filter(|one| some.is_empty() || some.contains(one));
            all.map(|one| plain(Kind::Capability, one.name().to_owned(), String::new(), Vec::new())).collect()
        }
        What::Network { family, kind } => {
            let (family, kind) = (any(family), any(kind));
            vec![plain(Kind::Family, format!("{family} {kind}"), String::new(), wider_family(&family, &kind))]
        }
        What::Unix { access, kind, limited } => unix_claims(access, &any(kind), *limited),
        What::Signal { access, signals, peer } => {
            let peer = whom(peer.as_ref(), profile);
            let signals = if signals.is_empty() { vec!["all".to_owned()] } else { signals.iter().cloned().collect() };
            let ways = [("send", "to"), ("receive", "from")];
            let ways = ways.iter().filter(|(word, _)| access.is_empty() || access.contains(*word));
            let claim = |signal: &String, way: &str| {
                let wider = [signal.as_str(), "all"].map(|name| (name.to_owned(), format!("{way} anybody")));
                let wider = wider.into_iter().chain([("all".to_owned(), format!("{way} {peer}"))]).collect();
                plain(Kind::Signal, signal.clone(), format!("{way} {peer}"), wider)
            };
            ways.flat_map(|(_, way)| signals.iter().map(|signal| claim(signal, way)).collect::<Vec<_>>()).collect()
        }
        What::Ptrace { access, peer } => {
            let peer = whom(peer.as_ref(), profile);
            let words = ["read", "readby", "trace", "tracedby"];
            let words = words.iter().filter(|word| access.is_empty() || access.contains(**word));
            let claim = |word: &&str| {
                let wider = vec![((*word).to_owned(), "anybody".to_owned())];
                plain(Kind::Ptrace, (*word).to_owned(), peer.clone(), wider)
            };
            words.map(claim).collect()
        }
        What::Mount { operation, target, .. } => {
            let operation = words::mount_operation(*operation);
            let target = target.as_ref().map_or("anything", Names::text);
            let wider = vec![(format!("{operation} on anything"), operation.to_owned())];
            vec![plain(Kind::Mount, format!("{operation} on {target}"), rule.to_string(), wider)]
        }
        What::Queue { access, name } => {
            let name = name.as_ref().map_or_else(|| "any".to_owned(), |name| name.text().to_owned());
            let all = QueueAccess::ALL.iter().copied().filter(|one| access.is_empty() || access.contains(one));
            let claim = |one: QueueAccess| {
                let wider = vec![("any".to_owned(), one.name().to_owned())];
                plain(Kind::Queue, name.clone(), one.name().to_owned(), wider)
            };
            all.map(claim).collect()
        }
        What::Other { kind, words } => {
            vec![plain(Kind::Policy, format!("rule {kind} {words}").trim_end().to_owned(), String::new(), Vec::new())]
        }
    }
}

/// The claims of a rule about Unix sockets, one for each thing that may be done with them.
fn unix_claims<'d>(access: &BTreeSet<String>, kind: &str, limited: bool) -> Vec<Claim<'d>> {
    let limits = if limited { " of some addresses" } else { "" };
    let words = if access.is_empty() { vec!["any"] } else { access.iter().map(String::as_str).collect() };
    let name = format!("unix {kind}");
    let claim = |word: &str| {
        let mut wider = wider_family("unix", kind);
        for name in [name.clone(), "unix any".to_owned()] {
            wider.extend([word, "any"].map(|word| (name.clone(), word.to_owned())));
        }
        plain(Kind::Family, name.clone(), format!("{word}{limits}"), wider)
    };
    words.into_iter().map(claim).collect()
}

fn plain<'d>(kind: Kind, name: String, part: String, wider: Vec<(String, String)>) -> Claim<'d> {
    Claim::Plain { kind, name, part, wider }
}

/// What would cover sockets of this family and type.
fn wider_family(family: &str, kind: &str) -> Vec<(String, String)> {
    let names = [format!("{family} {kind}"), format!("{family} any"), format!("any {kind}"), "any any".to_owned()];
    names.map(|name| (name, String::new())).into()
}

/// With whom, where the profile's own name says itself.
fn whom(peer: Option<&Names>, profile: &Profile) -> String {
    match peer {
        None => "anybody".to_owned(),
        Some(peer) if peer.matches(profile.name.as_bytes()) && peer.literal().is_some() => "itself".to_owned(),
        Some(peer) => peer.text().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diff::compare;
    use crate::policy::apparmor::text::{parse, shipped};

    fn told(old: &str, new: &str) -> Vec<String> {
        let read = |rules: &str| {
            let text = format!("include <tunables/global>\nprofile x /usr/bin/x {{\n{rules}\n}}\n");
            parse("x", &text, &shipped()).unwrap_or_else(|error| panic!("{error}: {text}"))
        };
        let (one, other) = (read(old), read(new));
        let same = sides(&one, &one);
        assert_eq!(compare(&same.0, &same.1), []);
        let back = sides(&other, &one);
        let (old, new) = sides(&one, &other);
        let changes = compare(&old, &new);
        assert_eq!(compare(&back.0, &back.1).len(), changes.len());
        let line = |change: &crate::diff::Change<'_>| {
            let (level, direction) = (change.level.name(), change.direction.name());
            format!("{level} {direction} {} {}", change.item.name, change.parts.join("+")).trim_end().to_owned()
        };
        changes.iter().map(line).collect()
    }

    #[test]
    fn wider_rules_cover_narrower_ones() {
        assert_eq!(told("/srv/a r,", "/srv/* r,"), ["low added /srv/* read"]);
        let narrower = "/srv/*.log w,
owner /srv/a/b r,";
        assert_eq!(told("/srv/** rw,", narrower), ["low removed /srv/** read+write"]);
        assert_eq!(told(narrower, "/srv/** rw,"), ["medium added /srv/** read+write"]);
        assert_eq!(told("network,", "network inet stream,"), ["low removed any any"]);
        assert_eq!(
            told("capability chown,", "capability chown,\ncapability sys_admin,"),
            ["critical added CAP_SYS_ADMIN"]
        );
        assert_eq!(told("network inet stream,", "network inet,"), ["critical added inet any"]);
        assert_eq!(told("signal send set=term peer=y,", "signal (send) set=term,"), ["medium widened term to anybody"]);
        assert_eq!(told("owner /srv/a w,", "/srv/a w,"), ["medium widened /srv/a write"]);
        assert_eq!(told("mqueue r /a,", "mqueue (open, read) /a,"), ["medium widened /a open"]);
        assert_eq!(told("mqueue read,", "mqueue read /a,"), ["low removed any read"]);
    }

    #[test]
    fn denials_count() {
        assert_eq!(told("/etc/* r,\ndeny /etc/shadow r,", "/etc/* r,"), ["high added /etc/shadow read"]);
        assert_eq!(told("deny /srv/x w,", ""), [""; 0], "nothing allowed it");
        assert_eq!(told("", "/srv/x w,\ndeny /srv/x w,"), [""; 0]);
        assert_eq!(told("capability,\ndeny capability sys_admin,", "capability,"), ["critical added CAP_SYS_ADMIN"]);
    }

    #[test]
    fn executions_are_told_by_their_mode() {
        assert_eq!(
            told("/usr/bin/a ix,", "/usr/bin/a ux,"),
            ["critical widened /usr/bin/a exec ux", "low narrowed /usr/bin/a exec ix+map-exec"]
        );
        assert_eq!(told("", "/usr/bin/a ix,"), ["high added /usr/bin/a exec ix+map-exec"]);
    }

    #[test]
    fn nested_profiles_are_compared_by_name() {
        let child = |rules: &str| format!("/usr/bin/a cx -> a,\nprofile a {{\n{rules}\n}}");
        assert_eq!(told(&child("/srv/x r,"), &child("/srv/x rw,")), ["medium widened /srv/x write in a"]);
        assert_eq!(
            told(&(child("") + "\n/etc/x w,"), &(child("/etc/x w,") + "\n/etc/x w,")),
            ["critical widened /etc/x write in a"]
        );
    }
}
