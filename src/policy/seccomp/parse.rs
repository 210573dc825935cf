//! Reads a profile in the OCI runtime-spec's form, or in Docker's, strictly: what is unknown is refused with its place.

use std::collections::BTreeSet;

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};

use super::docker::{ArchMap, Conditional, Filter, Host};
use super::grammar::{Action, Architecture, Condition, Flag, Rule};
use super::word::{Comparison, Errno, Index, Name};
use super::{Listener, Seccomp};

/// Why a text is no profile.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// There is nothing in it.
    #[error("the profile is empty")]
    Empty,
    /// It is not JSON, or not in the form of the specification; with line and column.
    #[error(transparent)]
    Form(#[from] serde_json::Error),
    /// It is in Docker's form, where that of the specification is asked for.
    #[error("`{0}` is a key of Docker's form, whose meaning hangs on the machine")]
    Docker(&'static str),
    /// Two keys exclude each other.
    #[error("`{0}` and `{1}` exclude each other: take one of them out")]
    Both(&'static str, &'static str),
    /// A key means nothing without another one.
    #[error("{0} without {1}")]
    Without(&'static str, &'static str),
}

/// The document. The key `x-learn` says where a profile comes from and means nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    default_action: Action,
    default_errno_ret: Option<Errno>,
    architectures: Option<BTreeSet<Architecture>>,
    arch_map: Option<Vec<ArchMap>>,
    flags: Option<BTreeSet<Flag>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    syscalls: Option<Vec<Conditional>>,
    #[serde(rename = "x-learn", default)]
    _origin: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawRule {
    names: Option<BTreeSet<Name>>,
    /// As Docker wrote it before there was `names`.
    name: Option<Name>,
    action: Action,
    errno_ret: Option<Errno>,
    args: Option<Vec<Condition>>,
    #[serde(rename = "comment")]
    _comment: Option<IgnoredAny>,
    includes: Option<Filter>,
    excludes: Option<Filter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawCondition {
    index: Index,
    value: u64,
    value_two: Option<u64>,
    op: Comparison,
}

/// The profile that `text` holds; in Docker's form only for a `host`.
///
/// # Errors
/// See [`ParseError`].
pub(super) fn profile(text: &str, host: Option<&Host>) -> Result<Seccomp, ParseError> {
    if text.trim().is_empty() {
        return Err(ParseError::Empty);
    }
    // The derived readers take an array for a struct, too.
    if text.trim_start().starts_with('[') {
        return Err(serde_json::Error::custom("a profile is an object, this is an array").into());
    }
    let Whole(file, default_action) = serde_json::from_str(text)?;
    let listener = match (file.listener_path, file.listener_metadata) {
        (Some(path), metadata) => Some(Listener { path, metadata }),
        (None, None) => None,
        (None, Some(_)) => return Err(ParseError::Without("listenerMetadata", "listenerPath")),
    };
    let rules = file.syscalls.unwrap_or_default();
    let map = file.arch_map.unwrap_or_default();
    let mut architectures = file.architectures.unwrap_or_default();
    match host {
        Some(_) if !architectures.is_empty() && !map.is_empty() => {
            return Err(ParseError::Both("architectures", "archMap"));
        }
        Some(host) => {
            // libseccomp, and with it every runtime, always adds the machine's own (`seccomp_init(3)`).
            architectures.insert(Architecture::Known(host.abi));
            architectures.extend(map.iter().flat_map(|map| map.of(host)));
        }
        None if !map.is_empty() => return Err(ParseError::Docker("archMap")),
        None => {
            if let Some(key) = rules.iter().find_map(Conditional::key) {
                return Err(ParseError::Docker(key));
            }
        }
    }
    let syscalls = rules.into_iter().filter(|rule| host.is_none_or(|host| rule.holds(host))).map(|rule| rule.rule);
    Ok(Seccomp {
        default_action,
        architectures,
        flags: file.flags.unwrap_or_default(),
        listener,
        syscalls: syscalls.collect(),
        gaps: BTreeSet::new(),
    })
}

/// The document with its default action.
struct Whole(File, Action);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let file = File::deserialize(from)?;
        let action = with_errno(file.default_action, file.default_errno_ret, "defaultErrnoRet")?;
        Ok(Self(file, action))
    }
}

impl<'de> Deserialize<'de> for Conditional {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let raw = RawRule::deserialize(from)?;
        let names = raw.names.unwrap_or_default();
        let names: BTreeSet<_> = match raw.name {
            Some(_) if !names.is_empty() => {
                return Err(Error::custom("`name` and `names` exclude each other: take one of them out"));
            }
            Some(name) => [name.0].into(),
            None => names.into_iter().map(|name| name.0).collect(),
        };
        if names.is_empty() {
            return Err(Error::custom("a rule without names"));
        }
        let action = with_errno(raw.action, raw.errno_ret, "errnoRet")?;
        Ok(Self {
            rule: Rule { names, action, conditions: raw.args.unwrap_or_default() },
            includes: raw.includes.unwrap_or_default(),
            excludes: raw.excludes.unwrap_or_default(),
        })
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let RawCondition { index: Index(index), value, value_two, op: Comparison(op) } =
            RawCondition::deserialize(from)?;
        Ok(Self { index, test: op(value, value_two.unwrap_or(0)) })
    }
}

/// An action, whose errno is refused where it means nothing: runtimes fail on it or drop it.
fn with_errno<E: Error>(action: Action, errno: Option<Errno>, key: &str) -> Result<Action, E> {
    match (action, errno) {
        (action, None) => Ok(action),
        (Action::Errno(_), Some(Errno(errno))) => Ok(Action::Errno(errno)),
        (Action::Trace(_), Some(Errno(errno))) => Ok(Action::Trace(errno)),
        (other, Some(_)) => {
            Err(E::custom(format_args!("{key} with {}, which has no errno: take one of them out", other.name())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Abi;
    use crate::fact::{Capability, CapabilitySet};
    use crate::policy::seccomp::{Kernel, Test};

    const RULE: &str = r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW"}"#;

    fn with(rule: &str, rest: &str) -> Result<Seccomp, String> {
        let text = format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\",\n\"syscalls\": [\n{rule}\n]{rest}}}");
        profile(&text, None).map_err(|error| error.to_string())
    }

    #[test]
    fn the_whole_grammar_is_read() {
        let rule = r#"{"names": ["clone", "s390_pci_mmio_read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [
            {"index": 0, "value": 15, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"},
            {"index": 5, "value": 18446744073709551615, "op": "SCMP_CMP_NE"}]}"#;
        let rest = r#", "architectures": ["SCMP_ARCH_X86", "SCMP_ARCH_S390X"], "defaultErrnoRet": 2,
            "flags": ["SECCOMP_FILTER_FLAG_LOG"], "listenerPath": "/run/x", "listenerMetadata": "m", "x-learn": {"a": [1]}"#;
        let profile = with(rule, rest).unwrap();
        assert_eq!(profile.default_action, Action::Errno(2));
        assert_eq!(profile.flags, [Flag::Log].into());
        assert_eq!(profile.listener, Some(Listener { path: "/run/x".into(), metadata: Some("m".into()) }));
        let [rule] = &profile.syscalls[..] else { panic!("{profile:?}") };
        assert_eq!((rule.action, rule.names.len()), (Action::Errno(38), 2));
        let masked = Condition { index: 0, test: Test::MaskedEqual { mask: 15, value: 3 } };
        assert_eq!(rule.conditions, [masked, Condition { index: 5, test: Test::NotEqual(u64::MAX) }]);
        for name in ["ALLOW", "LOG", "ERRNO", "TRACE", "NOTIFY", "TRAP", "KILL", "KILL_THREAD", "KILL_PROCESS"] {
            let rule = RULE.replace("ALLOW", name);
            let action = with(&rule, "").unwrap().syscalls[0].action;
            assert!(action.name().starts_with(&format!("SCMP_ACT_{name}")), "{name}");
        }
        assert!(with(RULE, "").is_ok(), "architectures may be missing");
    }

    #[test]
    fn what_is_wrong_is_refused_with_its_place() {
        let args = |condition: &str| RULE.replace('}', &format!(", \"args\": [{{{condition}}}]}}"));
        for (rule, rest, said) in [
            (RULE.replace("read", "raed"), "", "unknown system call `raed` at line 3 column 17"),
            (RULE.replace("read", "#7"), "", "unknown system call `#7` at line 3"),
            (RULE.replace("\"read\"", ""), "", "a rule without names at line 4 column 1"),
            (RULE.replace("ALLOW", "MAYBE"), "", "unknown action `SCMP_ACT_MAYBE` at line 3"),
            (RULE.replace('}', ", \"errnoRet\": 1}"), "", "errnoRet with SCMP_ACT_ALLOW, which has no errno"),
            (
                RULE.replace("ALLOW\"", "ERRNO\", \"errnoRet\": 4096"),
                "",
                "errno 4096 is out of range: at most 4095 at line 3",
            ),
            (RULE.replace('}', ", \"inclodes\": {}}"), "", "unknown field `inclodes`"),
            (RULE.replace('}', ", \"name\": \"write\"}"), "", "`name` and `names` exclude each other"),
            (
                RULE.replace('}', ", \"includes\": {\"caps\": [\"CAP_FLY\"]}}"),
                "",
                "unknown capability `CAP_FLY` at line 3",
            ),
            (RULE.replace('}', ", \"excludes\": {\"minKernel\": \"4.8.1\"}}"), "", "unknown kernel version `4.8.1` at"),
            (RULE.replace('}', ", \"includes\": {\"arch\": []}}"), "", "unknown field `arch`"),
            (args("\"index\": 6, \"value\": 1, \"op\": \"SCMP_CMP_EQ\""), "", "argument index 6 is out of range"),
            (args("\"index\": 1, \"value\": -1, \"op\": \"SCMP_CMP_EQ\""), "", "invalid value: integer `-1`"),
            (args("\"index\": 1, \"value\": 1, \"op\": \"EQ\""), "", "unknown comparison `EQ` at line 3"),
            (RULE.into(), ", \"archmap\": []", "unknown field `archmap`"),
            (
                RULE.into(),
                ", \"architectures\": [\"SCMP_ARCH_PDP11\"]",
                "unknown architecture `SCMP_ARCH_PDP11` at line 4",
            ),
            (RULE.into(), ", \"flags\": [\"X\"]", "unknown flag `X` at line 4"),
            (RULE.into(), ", \"flags\": [], \"flags\": []", "duplicate field `flags`"),
        ] {
            let error = with(&rule, rest).unwrap_err();
            assert!(error.starts_with(said), "{error}\nis not: {said}");
            assert!(error.contains(" at line "), "{error}");
        }
        assert_eq!(with(RULE, ", \"listenerMetadata\": \"\"").unwrap_err(), "listenerMetadata without listenerPath");
        let error =
            profile(r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#, None).unwrap_err().to_string();
        assert!(error.starts_with("defaultErrnoRet with SCMP_ACT_ALLOW"), "{error}");
    }

    #[test]
    fn dockers_form_is_settled_for_a_machine() {
        let rule = r#"{"name": "ptrace", "action": "SCMP_ACT_ALLOW", "comment": "", "args": null,
            "includes": {"caps": ["CAP_SYS_PTRACE", "CAP_KILL"], "arches": ["amd64", "x32"], "minKernel": "4.8"},
            "excludes": {"caps": ["CAP_BPF"], "arches": ["s390"], "minKernel": "6.0"}}"#;
        let map = r#", "archMap": [{"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": null}]"#;
        let text = format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"syscalls\": [{rule}]{map}}}");
        let both = CapabilitySet(1 << Capability::SysPtrace as u8 | 1 << Capability::Kill as u8);
        let on = |abi, kernel, capabilities| profile(&text, Some(&Host { abi, kernel, capabilities })).unwrap();
        let settled = on(Abi::X86_64, Kernel(5, 10), both);
        assert_eq!(settled.architectures, [Architecture::Known(Abi::X86_64)].into());
        assert_eq!(settled.syscalls.len(), 1);
        assert_eq!(on(Abi::X86_64, Kernel(4, 8), both).syscalls.len(), 1);
        assert_eq!(on(Abi::X86_64, Kernel(4, 7), both).syscalls, [], "older than included");
        assert_eq!(on(Abi::X86_64, Kernel(6, 0), both).syscalls, [], "as new as excluded");
        assert_eq!(on(Abi::X86_64, Kernel(5, 10), CapabilitySet(1 << Capability::Kill as u8)).syscalls, []);
        assert_eq!(on(Abi::X86_64, Kernel(5, 10), CapabilitySet(!0)).syscalls, [], "with an excluded capability");
        let arm = on(Abi::Aarch64, Kernel(5, 10), both);
        assert_eq!((arm.architectures.len(), arm.syscalls.len()), (2, 0));
        assert_eq!(profile(&text, None).unwrap_err().to_string(), ParseError::Docker("archMap").to_string());
        let host = Host { abi: Abi::X86_64, kernel: Kernel(5, 10), capabilities: both };
        let twice = text.replace("\"archMap\"", "\"architectures\": [\"SCMP_ARCH_X86\"], \"archMap\"");
        let said = profile(&twice, Some(&host)).unwrap_err().to_string();
        assert_eq!(said, "`architectures` and `archMap` exclude each other: take one of them out");
    }

    #[test]
    fn hostile_texts_are_refused() {
        let deep = "[".repeat(10 << 20);
        for (text, said) in [
            (String::new(), "the profile is empty"),
            (" \n".to_owned(), "the profile is empty"),
            (deep.clone(), "a profile is an object"),
            (deep.replace('[', "{\"syscalls\":"), "invalid type: map"),
            (format!("{{\"x-learn\": {deep}"), "EOF while parsing"),
            ("{}".to_owned(), "missing field `defaultAction`"),
        ] {
            let error = profile(&text, None).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
