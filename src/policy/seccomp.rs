//! Seccomp profiles in the OCI runtime-spec's form (`config-linux.md`, section Seccomp).
//!
//! Only what the specification has, architectures named and no conditions: every runtime reads this subset alike.

use std::collections::BTreeSet;

use serde::{Deserialize, Deserializer};

use super::{Policy, Verdict};
use crate::abi::{Abi, Syscall};
use crate::fact::{Fact, Gap, GapKind};
use crate::infer::Needs;

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seccomp {
    /// What happens to calls that no rule names.
    pub default_action: Action,
    /// The errno of [`Action::Errno`] as default.
    pub default_errno_ret: Option<u32>,
    /// The ABIs that may be used at all.
    pub architectures: BTreeSet<Architecture>,
    /// The rules. The format has none for one architecture alone: each holds for all of them.
    pub syscalls: Vec<Rule>,
    gaps: BTreeSet<Gap>,
}

/// What happens to a call (`SCMP_ACT_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Action {
    /// It is made.
    #[serde(rename = "SCMP_ACT_ALLOW")]
    Allow,
    /// It fails.
    #[serde(rename = "SCMP_ACT_ERRNO")]
    Errno,
}

/// An ABI by its name in the specification (`SCMP_ARCH_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Architecture(pub Abi);

/// One action for some calls.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rule {
    /// The calls.
    pub names: BTreeSet<Syscall>,
    /// What happens to them.
    pub action: Action,
}

impl Seccomp {
    /// Allows the calls that were made, under the ABIs that were used; others fail with `EPERM`.
    #[must_use]
    pub fn new(needs: &Needs<'_>) -> Self {
        let mut names = BTreeSet::new();
        let mut gaps = BTreeSet::new();
        for (abi, calls) in &needs.syscalls {
            for &call in calls.keys() {
                if call.name().is_some() {
                    names.insert(call.clone());
                } else {
                    let detail = format!("the {abi} call {call} has no name that a profile could hold: it is refused");
                    gaps.insert(Gap { kind: GapKind::UnnamedSyscall, detail });
                }
            }
        }
        let rule = Rule { names, action: Action::Allow };
        Self {
            default_action: Action::Errno,
            default_errno_ret: u32::try_from(libc::EPERM).ok(),
            architectures: needs.syscalls.keys().copied().map(Architecture).collect(),
            syscalls: if rule.names.is_empty() { Vec::new() } else { vec![rule] },
            gaps,
        }
    }

    /// The profile of a JSON text, in which the key `x-learn` is left out.
    ///
    /// # Errors
    /// Those of `serde_json`, with line and column.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        struct File {
            default_action: Action,
            default_errno_ret: Option<u32>,
            architectures: BTreeSet<Architecture>,
            syscalls: Vec<Rule>,
            #[serde(rename = "x-learn", default)]
            _origin: serde::de::IgnoredAny,
        }
        let File { default_action, default_errno_ret, architectures, syscalls, .. } = serde_json::from_str(text)?;
        Ok(Self { default_action, default_errno_ret, architectures, syscalls, gaps: BTreeSet::new() })
    }

    fn action(&self, call: &Syscall) -> Action {
        self.syscalls.iter().find(|rule| rule.names.contains(call)).map_or(self.default_action, |rule| rule.action)
    }
}

impl Policy for Seccomp {
    fn permits(&self, fact: &Fact) -> Verdict {
        let (Fact::Syscall(abi, call) | Fact::Arguments(abi, call, _)) = fact else {
            return Verdict::NotGoverned;
        };
        let known = self.architectures.contains(&Architecture(*abi));
        Verdict::allowed_if(known && self.action(call) == Action::Allow)
    }

    fn gaps(&self) -> &BTreeSet<Gap> {
        &self.gaps
    }
}

impl<'de> Deserialize<'de> for Architecture {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(from)?;
        let abi = Abi::ALL.into_iter().find(|abi| abi.oci_name() == name);
        let unknown = || serde::de::Error::custom(format_args!("unknown architecture `{name}`"));
        abi.map(Self).ok_or_else(unknown)
    }
}

impl Action {
    /// Its name in the specification.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "SCMP_ACT_ALLOW",
            Self::Errno => "SCMP_ACT_ERRNO",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_subset_is_read() {
        let parse = |rest: &str| Seccomp::parse(&format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\", {rest}}}"));
        let allowing = "\"architectures\": [\"SCMP_ARCH_X86\"], \
                        \"syscalls\": [{\"names\": [\"read\"], \"action\": \"SCMP_ACT_ALLOW\"}]";
        let profile = parse(allowing).unwrap();
        let permits = |abi, name: &str| profile.permits(&Fact::Syscall(abi, Syscall::Named(name.into())));
        assert_eq!(permits(Abi::I386, "read"), Verdict::Allowed);
        assert_eq!(permits(Abi::X86_64, "read"), Verdict::Denied);
        assert_eq!(permits(Abi::I386, "write"), Verdict::Denied);
        assert!(parse(&format!("{allowing}, \"x-learn\": {{\"any\": [1]}}")).is_ok());
        for wrong in [
            &allowing.replace("X86", "PDP11"),
            &allowing.replace("ALLOW", "MAYBE"),
            &allowing.replace("\"action\"", "\"includes\": {}, \"action\""),
            &allowing.replace("read", "re ad"),
            &format!("{allowing}, \"archMap\": []"),
            "\"architectures\": []",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
