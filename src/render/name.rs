//! The name of a profile.

use std::fmt;
use std::str::FromStr;

/// A name that every format and every file system takes: letters, digits and `_.+-`, not at the beginning `.` or `-`,
/// and not `unconfined`, which AppArmor keeps for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileName(String);

/// A text that is no name of a profile.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "a profile name has 1 to {LIMIT} letters, digits and `_.+-`, begins with neither `.` nor `-`, and is not `unconfined`"
)]
pub struct BadName;

const LIMIT: usize = 128;

fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.+-".contains(&byte)
}

impl ProfileName {
    /// The name for a program's file name, with `_` for what is not legal.
    #[must_use]
    pub fn of(file: Option<&[u8]>) -> Self {
        let file = file.unwrap_or(b"workload");
        let legal = |byte: &u8| char::from(if is_legal(*byte) { *byte } else { b'_' });
        let name = file.iter().take(LIMIT - 1).map(legal).collect::<String>();
        name.parse().unwrap_or_else(|_| Self(format!("_{name}")))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProfileName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let legal = (1..=LIMIT).contains(&text.len())
            && text.bytes().all(is_legal)
            && !text.starts_with(['.', '-'])
            && text != "unconfined";
        if legal { Ok(Self(text.to_owned())) } else { Err(BadName) }
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal() {
        for (program, name) in [
            ("nginx", "nginx"),
            ("my app", "my_app"),
            (".hidden", "_.hidden"),
            ("-rf", "_-rf"),
            ("unconfined", "_unconfined"),
            ("", "_"),
        ] {
            assert_eq!(ProfileName::of(Some(program.as_bytes())).as_str(), name);
        }
        assert_eq!(ProfileName::of(None).as_str(), "workload");
        let long = "é".repeat(3000);
        assert!(ProfileName::of(Some(long.as_bytes())).as_str().parse::<ProfileName>().is_ok());
        for bad in ["", ".", "a/b", "a b", "-x", "unconfined", "a\n"] {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad:?}");
        }
    }
}
