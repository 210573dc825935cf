//! Absolute file names as the kernel gives them: bytes, never lossy text.

use std::fmt;
use std::sync::Arc;

use bstr::ByteSlice;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An absolute path in bytes: starts with `/`, has no empty, `.` or `..` component and no NUL.
///
/// The root directory is `/`; no other path ends in a slash. Its text form (records, messages) is reversible: valid
/// UTF-8 as it stands but for the backslash, which is doubled, and every other byte as `\xHH`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsPath(Arc<[u8]>);

/// Bytes that are no absolute path.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is no absolute path without `.` and `..`", .0.escape_ascii())]
pub struct BadPath(Vec<u8>);

impl std::borrow::Borrow<[u8]> for AbsPath {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl AbsPath {
    /// Takes a path that already is in its final form.
    ///
    /// # Errors
    /// [`BadPath`] when it is not absolute or has an empty, `.` or `..` component or a NUL.
    pub fn new(bytes: &[u8]) -> Result<Self, BadPath> {
        let legal = bytes == b"/"
            || bytes.strip_prefix(b"/").is_some_and(|rest| {
                !rest.contains(&0) && rest.split(|&byte| byte == b'/').all(|part| !matches!(part, b"" | b"." | b".."))
            });
        if legal { Ok(Self(bytes.into())) } else { Err(BadPath(bytes.to_vec())) }
    }

    /// The root directory.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from(&b"/"[..]))
    }

    /// `self` with one more component.
    ///
    /// # Errors
    /// [`BadPath`] when `name` is no file name.
    pub fn join(&self, name: &[u8]) -> Result<Self, BadPath> {
        let mut bytes = self.0.to_vec();
        if bytes != b"/" {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        Self::new(&bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The last component, empty for the root directory.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
    }

    /// The directory that holds it; `None` for the root directory.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.as_bytes() == b"/" {
            return None;
        }
        let end = self.0.iter().rposition(|&byte| byte == b'/')?;
        Some(if end == 0 { Self::root() } else { Self(self.0.get(..end)?.into()) })
    }

    /// Whether `self` is `directory` or lies below it.
    #[must_use]
    pub fn starts_with(&self, directory: &Self) -> bool {
        self.0
            .strip_prefix(directory.as_bytes())
            .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/') || directory.as_bytes() == b"/")
    }
}

/// The reversible text of arbitrary bytes: see [`AbsPath`].
#[must_use]
pub fn to_text(bytes: &[u8]) -> String {
    use fmt::Write as _;
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' {
                text.push('\\');
            }
            text.push(character);
        }
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text
}

/// The bytes of a text made by [`to_text`]; `None` when it has another use of the backslash.
#[must_use]
pub fn from_text(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(at) = rest.find_byte(b'\\') {
        let (plain, escape) = rest.split_at(at);
        bytes.extend_from_slice(plain);
        if let Some(after) = escape.strip_prefix(b"\\\\") {
            bytes.push(b'\\');
            rest = after;
        } else {
            let (digits, after) = escape.strip_prefix(b"\\x")?.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok()?;
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return None;
            }
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        }
    }
    bytes.extend_from_slice(rest);
    Some(bytes)
}

impl fmt::Display for AbsPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&to_text(&self.0))
    }
}

impl fmt::Debug for AbsPath {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self}")
    }
}

impl Serialize for AbsPath {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&to_text(&self.0))
    }
}

impl<'de> Deserialize<'de> for AbsPath {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
        let bytes = from_text(&text).ok_or_else(|| serde::de::Error::custom(format!("bad escape in path `{text}`")))?;
        Self::new(&bytes).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_final_forms_are_paths() {
        for good in ["/", "/a", "/a/b c", "/a/..b", "/\u{e9}"] {
            assert_eq!(AbsPath::new(good.as_bytes()).unwrap().as_bytes(), good.as_bytes());
        }
        for bad in ["", "a", "//", "/a/", "/a//b", "/./a", "/a/..", "/a\0b"] {
            assert!(AbsPath::new(bad.as_bytes()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn text_is_reversible() {
        for bytes in [&b"/a\\b"[..], b"/a\xff\xfe", b"/\\xff", b"/new\nline \"q\"", "/\u{1f600}".as_bytes()] {
            assert_eq!(from_text(&to_text(bytes)).unwrap(), bytes);
        }
        assert_eq!(to_text(b"/a\xff\\"), "/a\\xff\\\\");
        for bad in ["\\", "\\x", "\\x1", "\\xgg", "\\n", "\\x+1"] {
            assert_eq!(from_text(bad), None, "{bad}");
        }
    }

    #[test]
    fn parents_and_prefixes() {
        let path = AbsPath::new(b"/usr/lib").unwrap();
        assert_eq!(path.parent().unwrap().as_bytes(), b"/usr");
        assert_eq!(path.parent().unwrap().parent(), Some(AbsPath::root()));
        assert_eq!(AbsPath::root().parent(), None);
        assert!(path.starts_with(&AbsPath::root()) && path.starts_with(&path));
        assert!(!AbsPath::new(b"/usr/libexec").unwrap().starts_with(&path));
        assert_eq!(AbsPath::root().join(b"x").unwrap().as_bytes(), b"/x");
    }
}
