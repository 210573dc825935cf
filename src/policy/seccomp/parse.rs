//! Reads a profile in the OCI runtime-spec's form, strictly: what is unknown is refused with its place.

use std::collections::BTreeSet;

use serde::de::{Error, IgnoredAny};
use serde::{Deserialize, Deserializer};

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
}

/// The document. The key `x-learn` says where a profile comes from and means nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    default_action: Action,
    default_errno_ret: Option<Errno>,
    #[serde(default)]
    architectures: BTreeSet<Architecture>,
    #[serde(default)]
    flags: BTreeSet<Flag>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Vec<Rule>,
    #[serde(rename = "x-learn", default)]
    _origin: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawRule {
    names: BTreeSet<Name>,
    action: Action,
    errno_ret: Option<Errno>,
    args: Option<Vec<Condition>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct RawCondition {
    index: Index,
    value: u64,
    value_two: Option<u64>,
    op: Comparison,
}

/// The profile that `text` holds.
///
/// # Errors
/// See [`ParseError`].
pub(super) fn profile(text: &str) -> Result<Seccomp, ParseError> {
    if text.trim().is_empty() {
        return Err(ParseError::Empty);
    }
    // The derived readers take an array for a struct, too.
    if text.trim_start().starts_with('[') {
        return Err(serde_json::Error::custom("a profile is an object, this is an array").into());
    }
    let file: WholeFile = serde_json::from_str(text)?;
    Ok(file.0)
}

struct WholeFile(Seccomp);

impl<'de> Deserialize<'de> for WholeFile {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let file = File::deserialize(from)?;
        let listener = match (file.listener_path, file.listener_metadata) {
            (Some(path), metadata) => Some(Listener { path, metadata }),
            (None, None) => None,
            (None, Some(_)) => return Err(Error::custom("listenerMetadata without listenerPath")),
        };
        Ok(Self(Seccomp {
            default_action: with_errno(file.default_action, file.default_errno_ret, "defaultErrnoRet")?,
            architectures: file.architectures,
            flags: file.flags,
            listener,
            syscalls: file.syscalls,
            gaps: BTreeSet::new(),
        }))
    }
}

impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let RawRule { names, action, errno_ret, args } = RawRule::deserialize(from)?;
        if names.is_empty() {
            return Err(Error::custom("a rule without names"));
        }
        let names = names.into_iter().map(|name| name.0).collect();
        Ok(Self { names, action: with_errno(action, errno_ret, "errnoRet")?, conditions: args.unwrap_or_default() })
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
    use crate::policy::seccomp::Test;

    const RULE: &str = r#"{"names": ["read"], "action": "SCMP_ACT_ALLOW"}"#;

    fn with(rule: &str, rest: &str) -> Result<Seccomp, String> {
        let text = format!("{{\"defaultAction\": \"SCMP_ACT_ERRNO\",\n\"syscalls\": [\n{rule}\n]{rest}}}");
        profile(&text).map_err(|error| error.to_string())
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
            (RULE.replace('}', ", \"includes\": {}}"), "", "unknown field `includes`"),
            (args("\"index\": 6, \"value\": 1, \"op\": \"SCMP_CMP_EQ\""), "", "argument index 6 is out of range"),
            (args("\"index\": 1, \"value\": -1, \"op\": \"SCMP_CMP_EQ\""), "", "invalid value: integer `-1`"),
            (args("\"index\": 1, \"value\": 1, \"op\": \"EQ\""), "", "unknown comparison `EQ` at line 3"),
            (RULE.into(), ", \"archMap\": []", "unknown field `archMap`"),
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
        let error = profile(r#"{"defaultAction": "SCMP_ACT_ALLOW", "defaultErrnoRet": 1}"#).unwrap_err().to_string();
        assert!(error.starts_with("defaultErrnoRet with SCMP_ACT_ALLOW"), "{error}");
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
            let error = profile(&text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }
}
