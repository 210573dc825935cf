//! Lines of an AppArmor profile (`apparmor.d(5)`), each by itself.

use std::collections::BTreeSet;

use super::Reading;
use super::glob::Glob;
use super::item;
use super::topic::{Files, Topic};
use crate::fact::{Capability, MountOperation, NamespaceKind};

/// What each line of a whole text is. The comment before an abstraction says what that covers and grants.
pub(super) fn read(text: &str) -> Vec<(&str, Reading)> {
    let mut before = "";
    let mut read = Vec::new();
    for line in text.lines() {
        let reading = match (self::line(line), before.strip_prefix("# covers ")) {
            (Reading::Fixed(why), Some(covers)) => Reading::Fixed(format!("{why}; it covers {covers}")),
            (reading, _) => reading,
        };
        read.push((line, reading));
        before = line.trim();
    }
    read
}

/// What a line is. It may lack its indentation and the comma at its end.
pub(super) fn line(line: &str) -> Reading {
    let text = line.trim();
    if let Some(gap) = text.strip_prefix("# Gap: ") {
        let kind = item::gap(gap);
        return kind.map_or(Reading::Unknown, |kind| Reading::rule(Topic::Gap(kind)));
    }
    match text {
        "" => return Reading::fixed("an empty line"),
        "}" => return Reading::fixed("the end of a profile"),
        _ if text.starts_with('#') && !text.starts_with("#include") => {
            return Reading::fixed("a comment: it allows nothing");
        }
        _ => {}
    }
    if let Some(head) = text.strip_suffix('{') {
        return profile(head.trim());
    }
    let words = words(text);
    let plain = words.iter().take_while(|word| !word.starts_with('#') || **word == "#include");
    let plain = plain.copied().collect::<Vec<_>>().join(" ");
    let text = plain.trim_end_matches(',').trim_end();
    if let Some(fixed) = directive(text) {
        return fixed;
    }
    let mut owner = false;
    let mut rest = text;
    while let Some((word, after)) = rest.split_once(' ') {
        match word {
            "deny" => {
                return Reading::fixed("it refuses: nothing that was seen needs it, and it beats every other rule");
            }
            "owner" => owner = true,
            "audit" | "allow" | "other" | "file" => {}
            _ => break,
        }
        rest = after.trim_start();
    }
    rule(rest, owner)
}

/// The beginning of a profile.
fn profile(head: &str) -> Reading {
    let is_profile = head.starts_with("profile ") || head.starts_with("hat ") || head.starts_with(['/', '"', '^']);
    let path = head.split(' ').map(|word| word.trim_matches('"')).find(|word| word.starts_with('/'));
    match (is_profile, path) {
        (false, _) => Reading::Unknown,
        (true, Some(path)) => {
            Reading::Fixed(format!("a profile begins: it holds for {path}, the program that was run"))
        }
        (true, None) => Reading::fixed("a profile begins"),
    }
}

/// What has no rule's form.
fn directive(text: &str) -> Option<Reading> {
    let word = text.split([' ', '=']).next()?;
    Some(match word {
        "abi" => Reading::fixed("the version of the policy language, and so what else is allowed without rules"),
        "include" | "#include" if text.contains("<tunables/") => {
            Reading::fixed("it defines the variables that rules use, such as @{PROC}")
        }
        "include" | "#include" if text.contains("<abstractions/") => Reading::fixed(
            "an abstraction that was asked for: it stands for rules that were needed, and may grant more",
        ),
        "include" | "#include" => Reading::fixed("another file of rules"),
        _ if word.starts_with("@{") && text.contains('=') => Reading::fixed("it defines a variable"),
        _ => return None,
    })
}

fn rule(text: &str, owner: bool) -> Reading {
    let (word, rest) = text.split_once([' ', '(']).unwrap_or((text, ""));
    let topics = match word {
        "capability" => capabilities(rest),
        "network" if rest.is_empty() => Some(vec![Topic::Sockets(None, None)]),
        "network" => item::sockets(rest).map(|topic| vec![topic]),
        "unix" => {
            let kind = value(rest, "type=").into_iter().find_map(item::kind_of);
            Some(vec![Topic::Sockets(Some("unix"), kind)])
        }
        "userns" => Some(vec![Topic::Namespace(NamespaceKind::User)]),
        "ptrace" => Some(vec![Topic::Ptrace]),
        "signal" => return signal(text),
        "mqueue" => queues(rest),
        "mount" => mounts(MountOperation::Mount, rest),
        "remount" => mounts(MountOperation::Remount, rest),
        "umount" => mounts(MountOperation::Umount, rest),
        "pivot_root" => mounts(MountOperation::PivotRoot, rest),
        "set" => rest.split(' ').nth(1).and_then(item::limit).map(|topic| vec![topic]),
        _ => file(text, owner).map(|topic| vec![topic]),
    };
    topics.map_or(Reading::Unknown, Reading::Rule)
}

fn capabilities(words: &str) -> Option<Vec<Topic>> {
    if words.is_empty() {
        return Some(Capability::ALL.iter().copied().map(Topic::Capability).collect());
    }
    words.split_whitespace().map(|word| item::capability(word).map(Topic::Capability)).collect()
}

/// The words after `name`, alone or in parentheses.
fn value<'t>(text: &'t str, name: &str) -> Vec<&'t str> {
    let Some((_, rest)) = text.split_once(name) else {
        return Vec::new();
    };
    let list = match rest.strip_prefix('(') {
        Some(list) => list.split(')').next().unwrap_or_default(),
        None => rest.split(' ').next().unwrap_or_default(),
    };
    list.split([',', ' ']).filter(|word| !word.is_empty()).collect()
}

fn signal(text: &str) -> Reading {
    let words = value(text, "set=");
    let signals: Option<BTreeSet<_>> = words.iter().map(|word| item::signal(word)).collect();
    let access = value(text, "signal ");
    match signals {
        Some(signals) if signals.is_empty() && access == ["receive"] => {
            Reading::fixed("nobody sent these: without it neither init nor an administrator could stop the workload")
        }
        Some(signals) => Reading::rule(Topic::Signals(signals)),
        None => Reading::Unknown,
    }
}

/// A name stands last, if there is one.
fn queues(rest: &str) -> Option<Vec<Topic>> {
    let name = words(rest).pop().filter(|last| last.starts_with(['/', '"']));
    Some(vec![Topic::Queues(match name {
        Some(name) => Some(path(name)?.0),
        None => None,
    })])
}

/// The mount point stands last.
fn mounts(operation: MountOperation, rest: &str) -> Option<Vec<Topic>> {
    let Some(last) = words(rest).pop() else {
        return Some(vec![Topic::Mounts(Some(operation), None)]);
    };
    Some(vec![Topic::Mounts(Some(operation), Some(path(last)?.0))])
}

/// The words of a rule; what is in quotes is one.
fn words(text: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let apart = |c: char| {
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        c == ' ' && !quoted
    };
    text.split(apart).filter(|word| !word.is_empty()).collect()
}

/// A path at the beginning of `text`, in quotes or not, and what follows it.
fn path(text: &str) -> Option<(Glob, &str)> {
    let (path, rest) = match text.strip_prefix('"') {
        Some(quoted) => {
            let mut escaped = false;
            let end = quoted.find(|c| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                ends
            })?;
            (quoted.get(..end)?, quoted.get(end + 1..)?)
        }
        None => text.split_once(' ').unwrap_or((text, "")),
    };
    Some((Glob::parse(path)?, rest.trim_start()))
}

/// `/path rw`, with a target behind an arrow where it is executed or linked.
fn file(text: &str, owner: bool) -> Option<Topic> {
    const LETTERS: &str = "rwaklmxipPcCuU";
    let (paths, rest) = path(text)?;
    let letters = rest.split(' ').next().unwrap_or_default();
    let known = !letters.is_empty() && letters.chars().all(|letter| LETTERS.contains(letter));
    // How a file is executed is no access of its own.
    let letters = letters.chars().filter(|letter| "rwaklmx".contains(*letter)).collect();
    known.then_some(Topic::Files(Files { paths, letters, owner }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let named = |text: &str| match line(text) {
            Reading::Rule(topics) => {
                topics.iter().map(|topic| format!("{}:{}", topic.kind(), topic.name())).collect::<Vec<_>>().join(" ")
            }
            Reading::Fixed(why) => why,
            Reading::Detail(_) | Reading::Unknown => "unknown".to_owned(),
        };
        for (text, meaning) in [
            ("  capability chown setuid,", "capability:CAP_CHOWN capability:CAP_SETUID"),
            ("network inet stream,", "network:inet stream"),
            ("network inet,", "network:inet"),
            ("unix (send, receive) type=stream,", "network:unix stream"),
            ("signal (send, receive) set=(chld, term) peer=@{profile_name},", "signal:chld term"),
            ("signal (send) set=kill,", "signal:kill"),
            ("ptrace (read) peer=x,", "ptrace:any"),
            ("mount fstype=\"tmpfs\" options=(rw, nosuid) \"none\" -> /x{,/},", "mount:/x{,/}"),
            ("umount \"/a b\",", "mount:/a b"),
            ("mqueue (open, read) type=posix /jobs,", "queue:/jobs"),
            ("mqueue,", "queue:any"),
            ("owner \"/srv/caf\u{e9} \\[1\\].html\" r,", "file:/srv/caf\u{e9} \\[1\\].html"),
            ("/usr/bin/x mrCx -> y,", "file:/usr/bin/x"),
            ("audit owner /a/** rwkl, # why", "file:/a/**"),
            ("\"/a\\, # b\" r,", "file:/a\\, # b"),
            ("mount \"/a -> b{,/}\" -> \"/c/->/d{,/}\",", "mount:/c/->/d{,/}"),
            ("set rlimit nofile <= 1024,", "limit:nofile"),
            ("/etc/passwd", "unknown"),
            ("/etc/passwd z,", "unknown"),
            ("capability fly,", "unknown"),
            ("nonsense,", "unknown"),
            ("# Gap: limit: more", "gap:limit"),
        ] {
            assert_eq!(named(text), meaning, "{text}");
        }
        for fixed in
            ["}", "# text", "abi <abi/3.0>,", "include <tunables/global>", "profile x /usr/bin/x {", "deny /x w,"]
        {
            assert!(matches!(line(fixed), Reading::Fixed(_)), "{fixed}");
        }
    }

    #[test]
    fn letters_choose_accesses() {
        let Reading::Rule(topics) = line("owner /a rk,") else { panic!("no rule") };
        let [Topic::Files(files)] = &topics[..] else { panic!("{topics:?}") };
        assert_eq!((files.letters.as_str(), files.owner), ("rk", true));
    }
}
