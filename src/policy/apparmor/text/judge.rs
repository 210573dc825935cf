//! What a profile says to a fact.

use std::collections::BTreeSet;

use super::{Document, Names, Profile, Rule, What};
use crate::fact::{
    Capability, ExecutionFact, Fact, FileFact, Gap, MountFact, NamespaceFact, NamespaceKind, NetworkFact,
    NetworkOperation, SignalFact, SignalTarget, TraceFact,
};
use crate::path::AbsPath;
use crate::policy::apparmor::files::Permissions;
use crate::policy::apparmor::{mounts, names, permits_check};
use crate::policy::{Policy, Verdict};

impl Policy for Document {
    /// A fact does not tell which program it is of: it is allowed when any profile allows it. What no profile allows may
    /// be allowed by a rule that was not understood.
    fn permits(&self, fact: &Fact) -> Verdict {
        let governs_more = self.abi.as_deref().is_some_and(|abi| !abi.starts_with('3') && !abi.starts_with("kernel"));
        let context = Context { governs_more, profiles: self.all().collect() };
        let mut best = Verdict::NotGoverned;
        for profile in &context.profiles {
            match profile.permits(fact, &context) {
                Verdict::Allowed => return Verdict::Allowed,
                Verdict::Unknown => best = Verdict::Unknown,
                Verdict::Denied if best == Verdict::NotGoverned => best = Verdict::Denied,
                Verdict::Denied | Verdict::NotGoverned => {}
            }
        }
        let unread = self.unread.iter().any(|unread| kinds(fact).contains(&unread.kind.as_str()));
        if best == Verdict::Denied && unread { Verdict::Unknown } else { best }
    }

    fn gaps(&self) -> &BTreeSet<Gap> {
        &self.gaps
    }
}

/// What a verdict depends on beside the profile.
struct Context<'d> {
    /// Whether user namespaces and message queues are governed.
    governs_more: bool,
    /// Every profile of the text.
    profiles: Vec<&'d Profile>,
}

impl Context<'_> {
    /// Whether a peer may be somebody else than these profiles.
    fn may_be_foreign(&self, peer: Option<&Names>) -> bool {
        peer.is_none_or(|peer| !self.profiles.iter().any(|profile| peer.matches(profile.name.as_bytes())))
    }
}

/// Whether a rule is about one end of a deed: the rule, the end's word, the test for the peer.
type About<'a> = dyn Fn(&What, &str, &dyn Fn(Option<&Names>) -> bool) -> bool + 'a;

/// The first words of the rules that may govern a fact; that of a file rule is anything.
fn kinds(fact: &Fact) -> &'static [&'static str] {
    match fact {
        Fact::Network(_) => &["network", "unix", "all"],
        Fact::Check(_) => &["capability", "all"],
        Fact::Signal(_) => &["signal", "all"],
        Fact::Trace(_) => &["ptrace", "all"],
        Fact::Queue(_) => &["mqueue", "all"],
        Fact::Mount(_) => &["mount", "remount", "umount", "unmount", "pivot_root", "all"],
        Fact::File(_) | Fact::Execution(_) => &["file", "link", "alias", "all", ""],
        _ => &["all"],
    }
}

impl Profile {
    /// What it says when there is no other profile.
    pub(in crate::policy::apparmor) fn allows(&self, fact: &Fact) -> Verdict {
        self.permits(fact, &Context { governs_more: false, profiles: vec![self] })
    }

    /// Whether sockets of this family and type may be made, whatever is done with them.
    pub(in crate::policy::apparmor) fn allows_socket(&self, family: &str, kind: &str) -> bool {
        let is = |wanted: &Option<String>, word: &str| wanted.as_deref().is_none_or(|wanted| wanted == word);
        self.ask(|what| matches!(what, What::Network { family: of, kind: like } if is(of, family) && is(like, kind)))
            == Verdict::Allowed
    }

    fn permits(&self, fact: &Fact, context: &Context<'_>) -> Verdict {
        match fact {
            Fact::File(fact) => self.file(fact),
            Fact::Execution(fact) => self.execution(fact),
            Fact::Network(fact) => self.network(fact),
            Fact::Check(_) => permits_check(&self.capabilities(), fact),
            Fact::Signal(fact) => self.signal(fact, context),
            Fact::Trace(fact) => self.trace(fact, context),
            Fact::Mount(fact) => self.mount(fact),
            Fact::Namespace(NamespaceFact { kind: NamespaceKind::User, joined: false }) if context.governs_more => {
                self.ask(|what| matches!(what, What::Other { kind, .. } if kind == "userns"))
            }
            Fact::Queue(fact) if context.governs_more => self.ask(|what| {
                matches!(what, What::Queue { access, name }
                    if (access.is_empty() || access.contains(&fact.access))
                        && name.as_ref().is_none_or(|name| name.matches(fact.name.as_bytes())))
            }),
            Fact::Syscall(..)
            | Fact::Arguments(..)
            | Fact::Namespace(_)
            | Fact::Identity(_)
            | Fact::End(_)
            | Fact::Limit(_)
            | Fact::Queue(_) => Verdict::NotGoverned,
        }
    }

    /// Allowed when a rule is about it and none denies it.
    fn ask(&self, about: impl Fn(&What) -> bool) -> Verdict {
        let found = |deny| self.rules.iter().any(|rule| rule.deny == deny && about(&rule.what));
        Verdict::allowed_if(found(false) && !found(true))
    }

    /// What may be done with the file of this name, which ends in a slash when it is a directory: to its owner, or to
    /// anybody else.
    #[must_use]
    pub fn granted(&self, name: &[u8], owner: bool) -> Permissions {
        let mut allowed = Permissions::empty();
        let mut denied = Permissions::empty();
        for rule in &self.rules {
            if let What::File { names, owner: whose, permissions, .. } = &rule.what
                && whose.is_none_or(|whose| whose == owner)
                && names.matches(name)
            {
                let set = if rule.deny { &mut denied } else { &mut allowed };
                *set |= permissions.spelled_out();
            }
        }
        allowed - denied
    }

    fn file(&self, fact: &FileFact) -> Verdict {
        let asked = Permissions::for_access(fact.access);
        if asked.is_empty() {
            return Verdict::NotGoverned;
        }
        Verdict::allowed_if(self.granted_to(&fact.path, fact.directory, fact.owner).allow(asked))
    }

    /// The same as [`Self::granted`], by the path of a file or directory.
    pub(in crate::policy::apparmor) fn granted_to(&self, path: &AbsPath, directory: bool, owner: bool) -> Permissions {
        let mut name = path.as_bytes().to_vec();
        if directory && name != b"/" {
            name.push(b'/');
        }
        self.granted(&name, owner)
    }

    /// Who owns the file is told by the file fact that comes with it.
    fn execution(&self, fact: &ExecutionFact) -> Verdict {
        let granted = self.granted(fact.file.as_bytes(), true) | self.granted(fact.file.as_bytes(), false);
        Verdict::allowed_if(granted.contains(Permissions::EXECUTE))
    }

    /// The rule by which the file of this name is executed, which says under which profile it runs: one that names just
    /// this file goes before a pattern.
    #[must_use]
    pub fn executes(&self, name: &[u8]) -> Option<&Rule> {
        let by = |literal: bool| {
            self.rules.iter().find(|rule| match &rule.what {
                What::File { names, exec: Some(_), .. } if !rule.deny => {
                    names.matches(name) && names.literal().is_some() == literal
                }
                _ => false,
            })
        };
        by(true).or_else(|| by(false))
    }

    /// The capabilities that it allows.
    pub(in crate::policy::apparmor) fn capabilities(&self) -> BTreeSet<Capability> {
        let mut sets = [BTreeSet::new(), BTreeSet::new()];
        let [allowed, denied] = &mut sets;
        for rule in &self.rules {
            if let What::Capability(some) = &rule.what {
                let set = if rule.deny { &mut *denied } else { &mut *allowed };
                if some.is_empty() {
                    set.extend(Capability::ALL);
                }
                set.extend(some);
            }
        }
        allowed.difference(denied).copied().collect()
    }

    fn network(&self, fact: &NetworkFact) -> Verdict {
        let (family, kind) = (names::family(fact.family), names::socket_type(fact.kind));
        let is =
            |wanted: &Option<String>, word: Option<&str>| wanted.as_deref().is_none_or(|wanted| Some(wanted) == word);
        let plain = self
            .ask(|what| matches!(what, What::Network { family: of, kind: like } if is(of, family) && is(like, kind)));
        if plain == Verdict::Allowed || fact.family != libc::AF_UNIX {
            return plain;
        }
        let wanted: &[&str] = match fact.operation {
            NetworkOperation::Create | NetworkOperation::Pair => &["create"],
            NetworkOperation::Bind => &["bind"],
            NetworkOperation::Connect => &["connect"],
            NetworkOperation::Listen => &["listen"],
            NetworkOperation::Accept => &["accept"],
            NetworkOperation::Send => &["send"],
            NetworkOperation::Inherit => &["send", "receive"],
        };
        let about = |limits: bool| {
            self.ask(|what| match what {
                What::Unix { access, kind: like, limited } => {
                    let covers = access.is_empty() || wanted.iter().all(|word| access.contains(*word));
                    (limits || !*limited) && covers && is(like, kind)
                }
                _ => false,
            })
        };
        match (about(false), about(true)) {
            (Verdict::Allowed, _) => Verdict::Allowed,
            (_, Verdict::Allowed) => Verdict::Unknown,
            (verdict, _) => verdict,
        }
    }

    /// Whether both ends of a deed between processes are allowed. `about` tells whether a rule is about one end of it,
    /// the end's word and the test for the peer given.
    fn deed(&self, to: &SignalTarget, [there, back]: [&str; 2], context: &Context<'_>, about: &About<'_>) -> Verdict {
        let with = |name: &str| {
            let name = name.as_bytes().to_vec();
            move |peer: Option<&Names>| peer.is_none_or(|peer| peer.matches(&name))
        };
        let between = |other: &Self| {
            let sent = self.ask(|what| about(what, there, &with(&other.name)));
            let taken = other.ask(|what| about(what, back, &with(&self.name)));
            sent == Verdict::Allowed && taken == Verdict::Allowed
        };
        match to {
            SignalTarget::Outside => match self.ask(|what| about(what, there, &|peer| peer.is_none())) {
                // What the other one was confined by is not known, but that it was by none of these.
                Verdict::Denied
                    if self.ask(|what| about(what, there, &|peer| context.may_be_foreign(peer)))
                        == Verdict::Allowed =>
                {
                    Verdict::Unknown
                }
                verdict => verdict,
            },
            SignalTarget::Itself => Verdict::allowed_if(between(self)),
            SignalTarget::Program(_) | SignalTarget::Group => {
                Verdict::allowed_if(context.profiles.iter().any(|other| between(other)))
            }
        }
    }

    fn signal(&self, fact: &SignalFact, context: &Context<'_>) -> Verdict {
        let Some(word) = names::signal(fact.signal) else {
            return Verdict::Denied;
        };
        self.deed(&fact.to, ["send", "receive"], context, &|what, end, is_peer| match what {
            What::Signal { access, signals, peer } => {
                let all = signals.is_empty() || signals.contains(word);
                (access.is_empty() || access.contains(end)) && all && is_peer(peer.as_ref())
            }
            _ => false,
        })
    }

    fn trace(&self, fact: &TraceFact, context: &Context<'_>) -> Verdict {
        let ends = if fact.read_only { ["read", "readby"] } else { ["trace", "tracedby"] };
        self.deed(&fact.to, ends, context, &|what, end, is_peer| match what {
            What::Ptrace { access, peer } => (access.is_empty() || access.contains(end)) && is_peer(peer.as_ref()),
            _ => false,
        })
    }

    fn mount(&self, fact: &MountFact) -> Verdict {
        let Ok(asked) = mounts::rule(fact) else {
            return Verdict::Denied;
        };
        let named = |names: &Option<Names>, name: &[u8]| {
            names.as_ref().is_none_or(|names| names.matches(name) || names.matches(&[name, b"/"].concat()))
        };
        let asked_flags = flags(asked.options.iter().copied());
        self.ask(|what| match what {
            What::Mount { operation, filesystems, options, within, source, target } => {
                let filesystem = asked.filesystem.as_deref().unwrap_or_default();
                *operation == asked.operation
                    && (filesystems.is_empty() || filesystems.iter().any(|names| names.matches(filesystem)))
                    && options.as_ref().is_none_or(|options| flags(options.iter().map(String::as_str)) == asked_flags)
                    && within.as_ref().is_none_or(|within| asked_flags.iter().all(|flag| within.contains(*flag)))
                    && named(source, asked.source.as_deref().unwrap_or_default())
                    && named(target, asked.target.as_bytes())
            }
            _ => false,
        })
    }
}

/// Options that are flags: `rw` is that there is no `ro`.
fn flags<'w>(words: impl Iterator<Item = &'w str>) -> BTreeSet<&'w str> {
    words.filter(|word| *word != "rw").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fact::{Access, Endpoint, MountOperation, QueueAccess, QueueFact};
    use crate::policy::apparmor::text::{parse, shipped};

    const TEXT: &str = r#"
        abi <abi/4.0>,
        include <tunables/global>
        @{site} = /srv/www /srv/other
        profile web /usr/sbin/web flags=(attach_disconnected) {
          include <abstractions/base>
          include if exists <local/web>
          capability net_bind_service chown,
          deny capability chown,
          network inet stream, # and no other
          unix (create, bind) type=dgram,
          unix (connect) type=stream peer=(addr="@x"),
          signal (send, receive) set=(term hup) peer=web,
          signal (send) peer=unconfined,
          ptrace (read) peer=web//helper,
          mount fstype=(tmpfs, ramfs) options=(rw, nosuid) -> /mnt/{a,b}/,
          umount,
          set rlimit nofile <= 1024,
          change_profile -> other,
          mqueue (create, rw) type=posix /jobs,
          mqueue open "/any*",
          mqueue type=sysv 12,
          @{site}/** r,
          audit deny /srv/www/secret{,/**} rw,
          owner "/var/lib/we b/*" rwk,
          /usr/bin/{first,second} px -> elsewhere,
          /usr/bin/first cx -> helper,
          rw /run/web.sock,
          link /a -> /b,
          ^hat { /hat r, }
          profile helper {
            /usr/bin/first mr,
            ptrace (readby) peer=web,
          }
        }
    "#;

    fn document() -> Document {
        parse("web", TEXT, &shipped()).unwrap()
    }

    fn path(text: &str) -> AbsPath {
        AbsPath::new(text.as_bytes()).unwrap()
    }

    fn file(name: &str, access: Access, owner: bool) -> Fact {
        let directory = name.ends_with('/') && name != "/";
        Fact::File(FileFact { path: path(name.trim_end_matches('/')), access, owner, directory })
    }

    #[test]
    fn files_are_granted_as_written() {
        use Access as A;
        let document = document();
        assert_eq!(document.unread, []);
        for (name, access, owner, verdict) in [
            ("/srv/www/a/b", A::READ, false, Verdict::Allowed),
            ("/srv/other/", A::LIST, false, Verdict::Denied),
            ("/srv/other/x/", A::LIST, false, Verdict::Allowed),
            ("/srv/www/secret/x", A::READ, true, Verdict::Denied),
            ("/srv/www/x", A::WRITE, true, Verdict::Denied),
            ("/var/lib/we b/x", A::READ | A::CREATE | A::LOCK, true, Verdict::Allowed),
            ("/var/lib/we b/x", A::READ, false, Verdict::Denied),
            ("/run/web.sock", A::CONNECT, false, Verdict::Allowed),
            ("/a", A::LINK, false, Verdict::Allowed),
            ("/hat", A::READ, false, Verdict::Allowed),
            ("/usr/lib/libc.so.6", A::READ | A::MAP_EXEC, false, Verdict::Allowed),
            ("/etc/shadow", A::STAT, false, Verdict::NotGoverned),
        ] {
            assert_eq!(document.permits(&file(name, access, owner)), verdict, "{name}");
        }
        let run = |name: &str| {
            let (file, program) = (path(name), path(name));
            document.permits(&Fact::Execution(ExecutionFact { file, program, loader: None, privileged: false }))
        };
        assert_eq!(run("/usr/bin/second"), Verdict::Allowed);
        assert_eq!(run("/usr/bin/third"), Verdict::Denied);
        let target = |name: &[u8]| match &document.profiles[0].executes(name).unwrap().what {
            What::File { exec: Some(exec), .. } => exec.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            (target(b"/usr/bin/first").mode.as_str(), target(b"/usr/bin/first").target.unwrap()),
            ("cx", "helper".into())
        );
        assert_eq!(target(b"/usr/bin/second").mode, "px");
    }

    #[test]
    fn a_variable_behind_the_first_slash_stands_for_one_slash_when_it_has_several_values() {
        let text = "include <tunables/global>\n@{one}=/run/\nprofile x {\n /@{run}/a r,\n /@{one}/b r,\n}\n";
        let document = parse("x", text, &shipped()).unwrap();
        assert_eq!(document.permits(&file("/run/a", Access::READ, false)), Verdict::Allowed);
        assert_eq!(document.permits(&file("/var/run/a", Access::READ, false)), Verdict::Allowed);
        assert_eq!(document.permits(&file("/run/b", Access::READ, false)), Verdict::Denied);
    }

    #[test]
    fn other_rules_are_followed() {
        use NetworkOperation::{Bind, Connect, Create};
        let document = document();
        let socket = |family, kind, operation| {
            let (local, remote) = (Endpoint::None, Endpoint::None);
            document.permits(&Fact::Network(NetworkFact { family, kind, protocol: 0, operation, local, remote }))
        };
        assert_eq!(socket(libc::AF_INET, libc::SOCK_STREAM, Connect), Verdict::Allowed);
        assert_eq!(socket(libc::AF_INET, libc::SOCK_DGRAM, Create), Verdict::Denied);
        assert_eq!(socket(libc::AF_UNIX, libc::SOCK_DGRAM, Bind), Verdict::Allowed);
        assert_eq!(socket(libc::AF_UNIX, libc::SOCK_STREAM, Connect), Verdict::Unknown, "hangs on the address");
        assert_eq!(document.profiles[0].capabilities(), [Capability::NetBindService].into());
        let signal = |signal, to| document.permits(&Fact::Signal(SignalFact { signal, to }));
        assert_eq!(signal(libc::SIGTERM, SignalTarget::Itself), Verdict::Allowed);
        assert_eq!(signal(libc::SIGKILL, SignalTarget::Group), Verdict::Allowed, "by the abstraction");
        assert_eq!(signal(libc::SIGKILL, SignalTarget::Outside), Verdict::Unknown);
        let trace = |read_only, to| document.permits(&Fact::Trace(TraceFact { read_only, to }));
        assert_eq!(trace(true, SignalTarget::Program(path("/x"))), Verdict::Allowed, "both ends say so");
        assert_eq!(trace(false, SignalTarget::Program(path("/x"))), Verdict::Denied);
        let mount = |operation, filesystem: &str, target: &str, flags| {
            let (source, filesystem) = ("none".to_owned(), filesystem.to_owned());
            document.permits(&Fact::Mount(MountFact { operation, source, target: path(target), filesystem, flags }))
        };
        assert_eq!(mount(MountOperation::Mount, "tmpfs", "/mnt/a", libc::MS_NOSUID), Verdict::Allowed);
        assert_eq!(mount(MountOperation::Mount, "tmpfs", "/mnt/a", 0), Verdict::Denied, "exactly these options");
        assert_eq!(mount(MountOperation::Mount, "ext4", "/mnt/a", libc::MS_NOSUID), Verdict::Denied);
        assert_eq!(mount(MountOperation::Umount, "", "/anywhere", 0), Verdict::Allowed);
        let made = Fact::Namespace(NamespaceFact { kind: NamespaceKind::User, joined: false });
        assert_eq!(document.permits(&made), Verdict::Denied, "abi 4.0 governs it");
        let queue = |name, access| document.permits(&Fact::Queue(QueueFact { name: path(name), access }));
        assert_eq!(queue("/jobs", QueueAccess::Write), Verdict::Allowed);
        assert_eq!(queue("/jobs", QueueAccess::Open), Verdict::Denied);
        assert_eq!(queue("/any1", QueueAccess::Open), Verdict::Allowed);
        assert_eq!(queue("/other", QueueAccess::Open), Verdict::Denied);
    }

    #[test]
    fn what_is_not_understood_leaves_the_matter_open() {
        let document = parse("x", "profile x {\n /a r,\n mount sloppy=yes /x -> /y,\n}", &shipped()).unwrap();
        assert_eq!((document.unread[0].place.to_string(), document.unread[0].kind.as_str()), ("x:3".into(), "mount"));
        let mount = MountFact {
            operation: MountOperation::Mount,
            source: "/x".into(),
            target: path("/y"),
            filesystem: String::new(),
            flags: libc::MS_BIND,
        };
        assert_eq!(document.permits(&Fact::Mount(mount)), Verdict::Unknown);
        assert_eq!(document.permits(&file("/b", Access::READ, true)), Verdict::Denied);
    }
}
