//! AppArmor's words for the kernel's numbers (`apparmor.d(5)`), as the parsers of abi 3.0 and 4.0 know them.
//!
//! What has no word here cannot be written, and becomes a gap.

use crate::fact::QueueAccess;

/// The word of a socket family (`AF_*`).
#[must_use]
pub fn family(number: i32) -> Option<&'static str> {
    FAMILIES.iter().find(|(known, _)| *known == number).map(|(_, word)| *word)
}

/// The word of a socket type (`SOCK_*`).
#[must_use]
pub fn socket_type(number: i32) -> Option<&'static str> {
    SOCKET_TYPES.iter().find(|(known, _)| *known == number).map(|(_, word)| *word)
}

/// Whether a word is that of a socket family.
#[must_use]
pub fn is_family(word: &str) -> bool {
    // Newer kernels' families have words that no number here stands for.
    FAMILIES.iter().any(|(_, known)| *known == word) || word == "mctp"
}

/// Whether a word is that of a socket type.
#[must_use]
pub fn is_socket_type(word: &str) -> bool {
    SOCKET_TYPES.iter().any(|(_, known)| *known == word)
}

/// The word of a signal; real-time ones count from 32, as the kernel does.
#[must_use]
pub fn signal(number: i32) -> Option<&'static str> {
    SIGNALS.iter().find(|(known, _)| *known == number).map(|(_, word)| *word).or_else(|| {
        let place = usize::try_from(number.checked_sub(32)?).ok()?;
        REALTIME.get(place).copied()
    })
}

/// What a word of a rule about message queues allows.
#[must_use]
pub fn queue_accesses(word: &str) -> Option<Vec<QueueAccess>> {
    match word {
        "r" => Some(vec![QueueAccess::Read]),
        "w" => Some(vec![QueueAccess::Write]),
        "rw" | "wr" => Some(vec![QueueAccess::Read, QueueAccess::Write]),
        _ => QueueAccess::named(word).map(|access| vec![access]),
    }
}

/// The words of `mount(2)` flags, the first always `ro` or `rw`. `None` when a flag has no word.
#[must_use]
pub fn mount_options(flags: u64) -> Option<Vec<&'static str>> {
    /// `MS_MGC_VAL`: a mark from before Linux 2.4 that the kernel takes off, with its mask.
    const MARK: (u64, u64) = (0xC0ED_0000, 0xFFFF_0000);
    const READ_ONLY: u64 = libc::MS_RDONLY;
    let mut rest = if flags & MARK.1 == MARK.0 { flags & !MARK.1 } else { flags };
    let mut words = vec![if rest & READ_ONLY == 0 { "rw" } else { "ro" }];
    // Remounting is the rule's own keyword.
    rest &= !(READ_ONLY | libc::MS_REMOUNT);
    for (words_of, word) in MOUNT_OPTIONS {
        if rest & words_of == *words_of {
            rest &= !words_of;
            words.push(word);
        }
    }
    (rest == 0).then_some(words)
}

const FAMILIES: &[(i32, &str)] = &[
    (0, "unspec"),
    (1, "unix"),
    (2, "inet"),
    (3, "ax25"),
    (4, "ipx"),
    (5, "appletalk"),
    (6, "netrom"),
    (7, "bridge"),
    (8, "atmpvc"),
    (9, "x25"),
    (10, "inet6"),
    (11, "rose"),
    (13, "netbeui"),
    (14, "security"),
    (15, "key"),
    (16, "netlink"),
    (17, "packet"),
    (18, "ash"),
    (19, "econet"),
    (20, "atmsvc"),
    (21, "rds"),
    (22, "sna"),
    (23, "irda"),
    (24, "pppox"),
    (25, "wanpipe"),
    (26, "llc"),
    (27, "ib"),
    (28, "mpls"),
    (29, "can"),
    (30, "tipc"),
    (31, "bluetooth"),
    (32, "iucv"),
    (33, "rxrpc"),
    (34, "isdn"),
    (35, "phonet"),
    (36, "ieee802154"),
    (37, "caif"),
    (38, "alg"),
    (39, "nfc"),
    (40, "vsock"),
    (41, "kcm"),
    (42, "qipcrtr"),
    (43, "smc"),
    (44, "xdp"),
];

const SOCKET_TYPES: &[(i32, &str)] =
    &[(1, "stream"), (2, "dgram"), (3, "raw"), (4, "rdm"), (5, "seqpacket"), (10, "packet")];

const SIGNALS: &[(i32, &str)] = &[
    (0, "exists"),
    (libc::SIGHUP, "hup"),
    (libc::SIGINT, "int"),
    (libc::SIGQUIT, "quit"),
    (libc::SIGILL, "ill"),
    (libc::SIGTRAP, "trap"),
    (libc::SIGABRT, "abrt"),
    (libc::SIGBUS, "bus"),
    (libc::SIGFPE, "fpe"),
    (libc::SIGKILL, "kill"),
    (libc::SIGUSR1, "usr1"),
    (libc::SIGSEGV, "segv"),
    (libc::SIGUSR2, "usr2"),
    (libc::SIGPIPE, "pipe"),
    (libc::SIGALRM, "alrm"),
    (libc::SIGTERM, "term"),
    (libc::SIGSTKFLT, "stkflt"),
    (libc::SIGCHLD, "chld"),
    (libc::SIGCONT, "cont"),
    (libc::SIGSTOP, "stop"),
    (libc::SIGTSTP, "stp"),
    (libc::SIGTTIN, "ttin"),
    (libc::SIGTTOU, "ttou"),
    (libc::SIGURG, "urg"),
    (libc::SIGXCPU, "xcpu"),
    (libc::SIGXFSZ, "xfsz"),
    (libc::SIGVTALRM, "vtalrm"),
    (libc::SIGPROF, "prof"),
    (libc::SIGWINCH, "winch"),
    (libc::SIGIO, "io"),
    (libc::SIGPWR, "pwr"),
    (libc::SIGSYS, "sys"),
];

#[rustfmt::skip]
const REALTIME: &[&str] = &[
    "rtmin+0", "rtmin+1", "rtmin+2", "rtmin+3", "rtmin+4", "rtmin+5", "rtmin+6", "rtmin+7", "rtmin+8", "rtmin+9",
    "rtmin+10", "rtmin+11", "rtmin+12", "rtmin+13", "rtmin+14", "rtmin+15", "rtmin+16", "rtmin+17", "rtmin+18",
    "rtmin+19", "rtmin+20", "rtmin+21", "rtmin+22", "rtmin+23", "rtmin+24", "rtmin+25", "rtmin+26", "rtmin+27",
    "rtmin+28", "rtmin+29", "rtmin+30", "rtmin+31", "rtmin+32",
];

/// Flags with their words; a propagation type comes with and without `MS_REC`, and `MS_REC` belongs to a bind mount
/// otherwise, so the wider masks come first.
const MOUNT_OPTIONS: &[(u64, &str)] = &[
    (libc::MS_REC | libc::MS_BIND, "rbind"),
    (libc::MS_REC | libc::MS_PRIVATE, "rprivate"),
    (libc::MS_REC | libc::MS_SHARED, "rshared"),
    (libc::MS_REC | libc::MS_SLAVE, "rslave"),
    (libc::MS_REC | libc::MS_UNBINDABLE, "runbindable"),
    (libc::MS_BIND, "bind"),
    (libc::MS_MOVE, "move"),
    (libc::MS_PRIVATE, "private"),
    (libc::MS_SHARED, "shared"),
    (libc::MS_SLAVE, "slave"),
    (libc::MS_UNBINDABLE, "unbindable"),
    (libc::MS_NOSUID, "nosuid"),
    (libc::MS_NODEV, "nodev"),
    (libc::MS_NOEXEC, "noexec"),
    (libc::MS_SYNCHRONOUS, "sync"),
    (libc::MS_MANDLOCK, "mand"),
    (libc::MS_DIRSYNC, "dirsync"),
    (libc::MS_NOATIME, "noatime"),
    (libc::MS_NODIRATIME, "nodiratime"),
    (libc::MS_SILENT, "silent"),
    (libc::MS_RELATIME, "relatime"),
    (libc::MS_I_VERSION, "iversion"),
    (libc::MS_STRICTATIME, "strictatime"),
    (libc::MS_POSIXACL, "acl"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_one_word_each() {
        let words = (0..=64).map(|number| signal(number).unwrap()).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(words.len(), 65);
        assert_eq!((signal(-1), signal(65)), (None, None));
        assert_eq!((signal(34), signal(64)), (Some("rtmin+2"), Some("rtmin+32")));
    }

    #[test]
    fn mount_flags() {
        let words = |flags| mount_options(flags).map(|words| words.join(","));
        assert_eq!(words(0).unwrap(), "rw");
        assert_eq!(words(0xC0ED_0001).unwrap(), "ro");
        assert_eq!(words(libc::MS_REC | libc::MS_SLAVE).unwrap(), "rw,rslave");
        assert_eq!(words(libc::MS_REMOUNT | libc::MS_BIND | libc::MS_RDONLY).unwrap(), "ro,bind");
        assert_eq!(words(1 << 40), None);
    }
}
