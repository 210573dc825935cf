//! A call that a profile denied, in words.

use std::collections::BTreeMap;

use nix::errno::Errno;

use super::arity::arity;
use super::io::visible;
use crate::abi::{Abi, Syscall};
use crate::event::Call;
use crate::path::AbsPath;
use crate::policy::seccomp::{Action, Seccomp, Test};

/// A denied call, as far as the profile tells calls apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Denial {
    /// The executable, when it could be found out.
    pub(super) subject: Option<AbsPath>,
    /// The ABI of the call.
    pub(super) abi: Abi,
    /// The call.
    pub(super) call: Syscall,
    /// The arguments that rules of this call compare: index, the bits that are compared, and what they were.
    pub(super) compared: Vec<(u8, u64, u64)>,
    /// What the profile does with it.
    pub(super) action: Action,
}

impl Denial {
    /// That `subject` met this `action` of `profile`.
    pub(super) fn new(profile: &Seccomp, subject: Option<AbsPath>, call: &Call, action: Action) -> Self {
        let name = call.abi.syscall(call.number);
        let mut masks = BTreeMap::<u8, u64>::new();
        let rules = profile.syscalls.iter().filter(|rule| rule.names.contains(&name));
        for condition in rules.flat_map(|rule| &rule.conditions) {
            let mask = if let Test::MaskedEqual { mask, .. } = condition.test { mask } else { u64::MAX };
            *masks.entry(condition.index).or_default() |= mask;
        }
        let value = |(index, mask)| Some((index, mask, call.args.get(usize::from(index))? & mask));
        Self { subject, abi: call.abi, call: name, compared: masks.into_iter().filter_map(value).collect(), action }
    }

    /// In one line: who, what, and how it ends. `args` are those of such a call.
    pub(super) fn told(&self, args: [u64; 6]) -> String {
        let subject = self.subject.as_ref().map_or_else(|| "an unknown program".to_owned(), ToString::to_string);
        visible(&format!("{subject}: {} {}", self.shown(args), end(self.action))).into_owned()
    }

    /// The call with `args`.
    fn shown(&self, args: [u64; 6]) -> String {
        let args = args.iter().take(arity(self.abi, &self.call)).map(|arg| format!("{arg:#x}"));
        format!("{} {}({})", self.abi, self.call, args.collect::<Vec<_>>().join(", "))
    }

    /// The change of the profile that would have allowed it.
    pub(super) fn remedy(&self, profile: &Seccomp) -> String {
        let Some(name) = self.call.name() else {
            return "no rule: the call has no name here that a profile could hold".to_owned();
        };
        let value = |&(index, mask, value): &(u8, u64, u64)| match mask {
            u64::MAX => serde_json::json!({"index": index, "value": value, "op": "SCMP_CMP_EQ"}),
            _ => serde_json::json!({"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}),
        };
        let args: Vec<_> = self.compared.iter().map(value).collect();
        let mut rule = serde_json::json!({"names": [name], "action": "SCMP_ACT_ALLOW"});
        if let Some(rule) = rule.as_object_mut().filter(|_| !args.is_empty()) {
            rule.insert("args".to_owned(), args.into());
        }
        if profile.covers(self.abi) {
            return rule.to_string();
        }
        format!("\"{}\" in architectures, and {rule}", self.abi.oci_name())
    }
}

/// How a call ends that meets `action`.
pub(super) fn end(action: Action) -> String {
    match action {
        Action::Errno(errno) => match Errno::from_raw(errno.into()) {
            Errno::UnknownErrno => format!("fails with errno {errno}"),
            known => format!("fails with {known:?}"),
        },
        Action::Trap => "gets SIGSYS".to_owned(),
        Action::KillThread => "ends the thread".to_owned(),
        Action::KillProcess => "ends the process".to_owned(),
        _ => "fails with ENOSYS: nobody answers for it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(rules: &str) -> Seccomp {
        let text = format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [{rules}]}}");
        Seccomp::parse(&text).unwrap()
    }

    fn call(name: &str, args: [u64; 6]) -> Call {
        let abi = Abi::native();
        Call { abi, number: abi.number(name).unwrap(), args }
    }

    #[test]
    fn a_remedy_allows_what_was_denied() {
        let families = r#"{"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
            {"index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": 4294967295, "valueTwo": 1},
            {"index": 1, "op": "SCMP_CMP_EQ", "value": 5}]}"#;
        for (rules, name) in [("", "socket"), (families, "socket"), (families, "unshare")] {
            let before = profile(rules);
            let made = call(name, [0xffff_ffff_0000_0002, 3, 0, 0, 0, 0]);
            let denial = Denial::new(&before, None, &made, Action::Errno(1));
            let remedy = denial.remedy(&before);
            let after =
                profile(&[rules, &remedy].into_iter().filter(|rule| !rule.is_empty()).collect::<Vec<_>>().join(","));
            let arguments = crate::fact::Arguments(vec![(0, 2), (1, 3)]);
            let actions = |profile: &Seccomp| profile.actions(Abi::native(), &Syscall::Named(name.into()), &arguments);
            assert!(!actions(&before).contains(&Action::Allow), "{rules}");
            assert_eq!(actions(&after), [Action::Allow].into(), "{remedy}");
        }
    }

    #[test]
    fn another_architecture_is_named() {
        let only =
            Seccomp::parse(r#"{"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"]}"#).unwrap();
        let made = Call { abi: Abi::I386, number: Abi::I386.number("socketcall").unwrap(), args: [0; 6] };
        let denial = Denial::new(&only, None, &made, Action::KillThread);
        assert!(
            denial.remedy(&only).starts_with("\"SCMP_ARCH_X86\" in architectures, and {"),
            "{}",
            denial.remedy(&only)
        );
        assert_eq!(
            denial.told([0; 6]),
            "an unknown program: i386 socketcall(0x0, 0x0, 0x0, 0x0, 0x0, 0x0) ends the thread"
        );
    }
}
