//! The grade of a part of an item: the tables of [`risk`], and rules for what they do not list.

use super::Kind;
use super::risk::{self, Grade, Level};

/// How much it matters that `part` of this item is new, and why.
#[must_use]
pub fn grade(kind: Kind, name: &str, part: &str) -> Grade {
    match kind {
        Kind::Capability => risk::capability(name),
        Kind::Syscall if part.ends_with(RAW) => (Level::Critical, "forges and sniffs packets"),
        Kind::Syscall => risk::call(name),
        Kind::Program if part == "privileged" => (Level::Critical, "runs a program with privileges of its own"),
        Kind::Program => (Level::High, "runs another program"),
        Kind::Family => family(name),
        Kind::Network => network(name, part),
        Kind::File if unconfined(part) => (Level::Critical, "runs outside of any profile"),
        // Behind the word: how it is executed, by whom, under which profile.
        Kind::File => risk::file(name, part.split(' ').next().unwrap_or(part)),
        Kind::Mount => (Level::Critical, "changes what files processes see"),
        Kind::Namespace if part == "joined" => (Level::Critical, "enters other namespaces"),
        Kind::Namespace => (Level::High, "makes namespaces, with privileges over them"),
        Kind::Identity if part.split('/').any(|id| id == "0") => (Level::High, "becomes root"),
        Kind::Identity => (Level::Medium, "changes who the process is"),
        Kind::Ptrace => (Level::Critical, "reads and changes other processes"),
        Kind::Queue => (Level::Medium, "exchanges messages with other programs"),
        Kind::Signal if part.contains("outside") || part.ends_with("anybody") => {
            (Level::Medium, "reaches processes of others")
        }
        Kind::Signal => (Level::Low, "among its own processes"),
        Kind::Limit => (Level::Low, "changes what it may use up"),
        Kind::Gap => (Level::Medium, "what was not seen may be missing from the profiles"),
        Kind::Refusal => (Level::Low, "refused either way"),
        Kind::Policy => policy(name, part),
    }
}

/// The end of the part of a `socket` call for raw or packet sockets.
pub(super) const RAW: &str = "(raw sockets)";

/// What is refused, in the parts of calls and policies.
pub(super) const REFUSED: &str = "refused: ";

/// Whether a file is executed without a profile, of the modes of `apparmor.d(5)`.
fn unconfined(part: &str) -> bool {
    part.strip_prefix("exec ").and_then(|rest| rest.split(' ').next()).is_some_and(|mode| mode.contains(['u', 'U']))
}

fn policy(name: &str, part: &str) -> Grade {
    const OPEN: [&str; 4] = ["flag complain", "flag unconfined", "flag default_allow", "flag prompt"];
    let mut words = name.split(' ');
    match words.next() {
        Some("flag") if OPEN.contains(&name) => (Level::Critical, "refuses nothing any more"),
        Some("rule") if matches!(words.next(), Some("change_profile")) => (Level::High, "leaves the profile"),
        Some("rule") if name.starts_with("rule userns") || name.starts_with("rule io_uring") => {
            (Level::High, "opens a way past other rules")
        }
        Some("rule" | "attachment") => (Level::Medium, "changes what the profile is for"),
        Some("default") if part.starts_with(REFUSED) => (Level::Low, "refused either way"),
        Some("default") => (Level::Critical, "lets through everything that no rule names"),
        Some("architecture") => (Level::High, "lets through calls of an ABI with numbers of its own"),
        Some("listener") => (Level::High, "another program decides over calls"),
        Some("flag") if name.ends_with("SPEC_ALLOW") => (Level::Medium, "turns off a protection against the processor"),
        _ => (Level::Low, "changes how the policy is loaded"),
    }
}

fn family(name: &str) -> Grade {
    let mut words = name.split(' ');
    match (words.next(), words.next()) {
        (Some("netlink"), Some("raw")) => (Level::High, "a kind of sockets that it did not use"),
        (Some("packet" | "any"), _) | (_, Some("raw" | "packet")) | (Some("inet" | "inet6"), Some("any")) => {
            (Level::Critical, "forges and sniffs packets")
        }
        (Some("unix"), _) => (Level::Low, "stays on the machine"),
        _ => (Level::High, "a kind of sockets that it did not use"),
    }
}

fn network(name: &str, part: &str) -> Grade {
    let mut words = name.split(' ');
    match (words.next(), words.next(), words.next()) {
        (_, Some("packet"), _) | (_, Some("inet" | "inet6"), Some("raw" | "packet")) => {
            (Level::Critical, "forges and sniffs packets")
        }
        (Some("connect" | "send"), Some("unix"), _) if part.starts_with('/') => risk::file(part, "connect"),
        (Some("bind"), Some("inet" | "inet6" | "vsock"), Some("stream" | "seqpacket")) => {
            (Level::Low, "whether it listens there is told by itself")
        }
        (Some("bind" | "listen"), Some("inet" | "inet6" | "vsock"), _) if !part.ends_with(":0") => {
            (Level::High, "a new listening port")
        }
        (Some("bind" | "listen"), Some("unix"), _) if part != "unnamed" => (Level::Medium, "offers a service"),
        (Some("connect" | "send"), ..) => (Level::Medium, "reaches another service"),
        (Some("accept"), ..) => (Level::Noise, "whom it serves is the choice of its clients"),
        _ => (Level::Low, "its address and family are judged by themselves"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_of_the_table() {
        for (kind, name, part, level) in [
            (Kind::Capability, "CAP_SYS_ADMIN", "", Level::Critical),
            (Kind::Capability, "CAP_NET_BIND_SERVICE", "", Level::Medium),
            (Kind::Syscall, "mount", "x86_64", Level::Critical),
            (Kind::Syscall, "kexec_load", "x86_64", Level::Critical),
            (Kind::Syscall, "read", "x86_64", Level::Low),
            (Kind::Syscall, "futex", "x86_64", Level::Noise),
            (Kind::File, "/etc/passwd", "write", Level::Critical),
            (Kind::File, "/etcetera", "write", Level::Medium),
            (Kind::File, "/usr/lib/x.so", "write as owner", Level::Critical),
            (Kind::File, "/dev/null", "write", Level::Low),
            (Kind::File, "/etc/shadow", "read", Level::High),
            (Kind::File, "/srv/tls/site.key", "read", Level::High),
            (Kind::File, "/etc/hosts", "read", Level::Low),
            (Kind::File, "/tmp/x.so", "map-exec", Level::High),
            (Kind::File, "/etc/**", "write", Level::Critical),
            (Kind::File, "/**", "write as owner", Level::Critical),
            (Kind::File, "/e*/x", "write", Level::Critical),
            (Kind::File, "/srv/*", "write", Level::Medium),
            (Kind::File, "/etc/ssl/*/x", "read", Level::High),
            (Kind::File, "/usr/share/**", "read", Level::Low),
            (Kind::File, "@{HOME}/**", "read", Level::High),
            (Kind::File, "@{HOME}/.ssh/config", "read", Level::High),
            (Kind::File, "@{PROC}/@{pid}/stat", "read", Level::Low),
            (Kind::File, "@{PROC}/@{pid}/mem", "write", Level::Critical),
            (Kind::File, "@{PROC}/@{pid}/oom_score_adj", "write", Level::Medium),
            (Kind::File, "/proc/77/environ", "read", Level::High),
            (Kind::File, "/dev/sda1", "read", Level::Critical),
            (Kind::File, "/dev/s*", "read", Level::Critical),
            (Kind::File, "/**", "read", Level::Critical),
            (Kind::File, "/*", "read", Level::High),
            (Kind::File, "/usr/bin/a", "exec ix", Level::High),
            (Kind::File, "/usr/bin/a", "exec pux", Level::Critical),
            (Kind::File, "/dev/nvme0n1", "write", Level::Critical),
            (Kind::File, "/dev/fuse", "write", Level::High),
            (Kind::File, "/home/me/.bashrc", "append", Level::Critical),
            (Kind::File, "/run/docker.sock", "connect", Level::Critical),
            (Kind::Program, "/usr/bin/curl", "", Level::High),
            (Kind::Family, "netlink", "", Level::High),
            (Kind::Family, "packet dgram", "", Level::Critical),
            (Kind::Family, "inet raw", "", Level::Critical),
            (Kind::Network, "create packet raw", "", Level::Critical),
            (Kind::Network, "create netlink raw", "", Level::Low),
            (Kind::Network, "listen inet stream", "0.0.0.0:443", Level::High),
            (Kind::Network, "bind inet stream", "0.0.0.0:443", Level::Low),
            (Kind::Network, "bind inet dgram", "0.0.0.0:53", Level::High),
            (Kind::Network, "bind inet dgram", "0.0.0.0:0", Level::Low),
            (Kind::Network, "connect inet stream", "10.0.0.1:80", Level::Medium),
            (Kind::Network, "connect unix stream", "/run/docker.sock", Level::Critical),
            (Kind::Network, "accept inet stream", "10.0.0.1:0", Level::Noise),
            (Kind::Identity, "user", "33/0/0", Level::High),
            (Kind::Queue, "/jobs", "open", Level::Medium),
            (Kind::Policy, "default action", "allowed", Level::Critical),
            (Kind::Policy, "default action", "refused: EPERM", Level::Low),
            (Kind::Policy, "flag SECCOMP_FILTER_FLAG_SPEC_ALLOW", "", Level::Medium),
            (Kind::Policy, "flag complain", "", Level::Critical),
            (Kind::Policy, "rule change_profile -> x", "", Level::High),
            (Kind::Policy, "rule userns", "", Level::High),
            (Kind::Family, "inet any", "", Level::Critical),
            (Kind::Family, "unix any", "", Level::Low),
        ] {
            assert_eq!(grade(kind, name, part).0, level, "{kind:?} {name} {part}");
        }
    }
}
