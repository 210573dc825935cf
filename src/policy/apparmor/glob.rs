//! Patterns of names as `apparmor.d(5)` has them: `*`, `**`, `?`, `[]`, `{}` and escapes.
//!
//! Matching follows the parser's translation (`convert_aaregex_to_pcre()`): by bytes, and a `*` that stands for a whole
//! name matches at least one of them.

/// A pattern without variables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Glob(Vec<Node>);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Node {
    /// This byte.
    Byte(u8),
    /// `?`: one byte of a name.
    One,
    /// `*`: any bytes of one name.
    Any,
    /// `**`: any bytes.
    Deep,
    /// `[…]`: one byte of these, or of all others.
    Class { negated: bool, bytes: Vec<(u8, u8)> },
    /// `{…}`: one of these.
    Either(Vec<Glob>),
}

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadGlob {
    /// `{` or `}` alone.
    #[error("braces that do not match")]
    Braces,
    /// `{x}`.
    #[error("braces without alternatives")]
    Alternatives,
    /// `[` or `]` alone.
    #[error("brackets that do not match")]
    Brackets,
    /// A backslash at the end.
    #[error("a backslash at the end")]
    Backslash,
    /// Braces within braces without end.
    #[error("braces nested too deeply")]
    Depth,
}

/// How deep braces may be nested, as in the parser.
const DEPTH: usize = 50;

impl Glob {
    /// Reads a pattern of paths in which variables are replaced already: slashes that follow each other count as one.
    ///
    /// # Errors
    /// See [`BadGlob`].
    pub fn of_paths(text: &[u8]) -> Result<Self, BadGlob> {
        Self::new(&single_slashes(text))
    }

    /// Reads a pattern in which variables are replaced already.
    ///
    /// # Errors
    /// See [`BadGlob`].
    pub fn new(text: &[u8]) -> Result<Self, BadGlob> {
        let mut at = 0;
        let glob = sequence(text, &mut at, 0)?;
        if at == text.len() { Ok(glob) } else { Err(BadGlob::Braces) }
    }

    /// Whether it stands for `name`.
    #[must_use]
    pub fn matches(&self, name: &[u8]) -> bool {
        self.ends(name, vec![0]).contains(&name.len())
    }

    /// The one name that it stands for, if it is but one.
    #[must_use]
    pub fn literal(&self) -> Option<Vec<u8>> {
        self.0.iter().map(|node| if let Node::Byte(byte) = node { Some(*byte) } else { None }).collect()
    }

    /// Some of the names that it stands for, with bytes in the places of wildcards that hardly any other pattern names: one
    /// that stands for all of them covers it. `None` when there would be too many.
    #[must_use]
    pub fn samples(&self) -> Option<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for length in 0..3 {
            names.extend(self.filled(length, vec![Vec::new()])?);
        }
        names.sort();
        names.dedup();
        // A star that stands for a whole name is not empty.
        names.retain(|name| self.matches(name));
        Some(names)
    }

    fn filled(&self, length: usize, before: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
        const MOST: usize = 256;
        let mut names = before;
        for node in &self.0 {
            names = match node {
                Node::Either(globs) => {
                    let all = globs.iter().map(|glob| glob.filled(length, names.clone()));
                    all.collect::<Option<Vec<_>>>()?.concat()
                }
                _ => names.into_iter().map(|name| [name, node.sample(length)].concat()).collect(),
            };
            if names.len() > MOST {
                return None;
            }
        }
        Some(names)
    }

    /// Where in `name` it can end when it begins at any of `starts`, each place once: no pattern is slow.
    fn ends(&self, name: &[u8], starts: Vec<usize>) -> Vec<usize> {
        self.0.iter().fold(starts, |starts, node| {
            let mut ends: Vec<usize> = match node {
                Node::Either(globs) => globs.iter().flat_map(|glob| glob.ends(name, starts.clone())).collect(),
                Node::Any | Node::Deep => starts.iter().flat_map(|&start| node.reach(name, start)).collect(),
                _ => starts.iter().filter(|&&start| node.takes(name.get(start))).map(|start| start + 1).collect(),
            };
            ends.sort_unstable();
            ends.dedup();
            ends
        })
    }
}

impl Node {
    /// Whether it stands for this one byte.
    fn takes(&self, byte: Option<&u8>) -> bool {
        let Some(&byte) = byte else {
            return false;
        };
        match self {
            Self::Byte(wanted) => *wanted == byte,
            Self::One => byte != b'/',
            Self::Class { negated, bytes } => bytes.iter().any(|&(low, high)| (low..=high).contains(&byte)) != *negated,
            Self::Any | Self::Deep | Self::Either(_) => false,
        }
    }

    /// Bytes that it stands for, more or fewer where that is free.
    fn sample(&self, length: usize) -> Vec<u8> {
        const STARS: [&[u8]; 3] = [b"", b"\x02", b"\x02\x03"];
        const DEEP: [&[u8]; 3] = [b"", b"\x02", b"\x02/\x03\x02"];
        match self {
            Self::Byte(byte) => vec![*byte],
            Self::One | Self::Class { negated: true, .. } => vec![1],
            Self::Any => STARS.get(length).copied().unwrap_or_default().to_vec(),
            Self::Deep => DEEP.get(length).copied().unwrap_or_default().to_vec(),
            Self::Class { bytes, .. } => {
                let ends =
                    if length == 1 { bytes.last().map(|range| range.1) } else { bytes.first().map(|range| range.0) };
                ends.into_iter().collect()
            }
            Self::Either(_) => Vec::new(),
        }
    }

    /// Every place that a star can reach.
    fn reach(&self, name: &[u8], start: usize) -> std::ops::RangeInclusive<usize> {
        let rest = name.get(start..).unwrap_or_default();
        let within = if *self == Self::Deep { None } else { rest.iter().position(|&byte| byte == b'/') };
        start..=start + within.unwrap_or(rest.len())
    }
}

/// Slashes that follow each other count as one, but for exactly two at the beginning (`filter_slashes()`), which no path
/// of the kernel has.
fn single_slashes(text: &[u8]) -> Vec<u8> {
    let mut single = text.to_vec();
    single.dedup_by(|next, before| *next == b'/' && *before == b'/');
    if text.iter().take_while(|&&byte| byte == b'/').count() == 2 {
        single.insert(0, b'/');
    }
    single
}

/// Nodes up to the end, or to a `,` or `}` of the braces around.
fn sequence(text: &[u8], at: &mut usize, depth: usize) -> Result<Glob, BadGlob> {
    if depth > DEPTH {
        return Err(BadGlob::Depth);
    }
    let mut nodes = Vec::new();
    while let Some(&byte) = text.get(*at) {
        match byte {
            b',' | b'}' if depth > 0 => break,
            b'}' => return Err(BadGlob::Braces),
            b']' => return Err(BadGlob::Brackets),
            b'{' => nodes.push(either(text, at, depth)?),
            b'[' => nodes.push(class(text, at)?),
            b'\\' => nodes.push(Node::Byte(escaped(text, at)?)),
            b'*' => star(text, at, &mut nodes),
            _ => {
                nodes.push(if byte == b'?' { Node::One } else { Node::Byte(byte) });
                *at += 1;
            }
        }
    }
    Ok(Glob(nodes))
}

fn star(text: &[u8], at: &mut usize, nodes: &mut Vec<Node>) {
    let stars = text.get(*at..).unwrap_or_default().iter().take_while(|&&byte| byte == b'*').count();
    let whole = at.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'/')
        && matches!(text.get(*at + stars), None | Some(b'/'));
    if whole {
        nodes.push(Node::One);
    }
    nodes.push(if stars > 1 { Node::Deep } else { Node::Any });
    *at += stars;
}

fn either(text: &[u8], at: &mut usize, depth: usize) -> Result<Node, BadGlob> {
    let mut globs = Vec::new();
    loop {
        // Behind the brace or comma.
        *at += 1;
        globs.push(sequence(text, at, depth + 1)?);
        match text.get(*at) {
            Some(b',') => {}
            Some(b'}') => break,
            _ => return Err(BadGlob::Braces),
        }
    }
    *at += 1;
    if globs.len() > 1 { Ok(Node::Either(globs)) } else { Err(BadGlob::Alternatives) }
}

fn class(text: &[u8], at: &mut usize) -> Result<Node, BadGlob> {
    *at += 1;
    let negated = text.get(*at) == Some(&b'^');
    *at += usize::from(negated);
    let mut bytes: Vec<(u8, u8)> = Vec::new();
    loop {
        let byte = match text.get(*at) {
            None => return Err(BadGlob::Brackets),
            Some(b']') => break,
            Some(b'\\') => escaped(text, at)?,
            Some(&byte) => {
                *at += 1;
                byte
            }
        };
        let range = text.get(*at) == Some(&b'-') && text.get(*at + 1).is_some_and(|&next| next != b']');
        let high = if range {
            *at += 1;
            match text.get(*at) {
                Some(b'\\') => escaped(text, at)?,
                Some(&high) => {
                    *at += 1;
                    high
                }
                None => return Err(BadGlob::Brackets),
            }
        } else {
            byte
        };
        bytes.push((byte, high));
    }
    *at += 1;
    Ok(Node::Class { negated, bytes })
}

/// The byte that a backslash and what follows stand for (`strn_escseq()` of the parser).
fn escaped(text: &[u8], at: &mut usize) -> Result<u8, BadGlob> {
    *at += 1;
    let rest = text.get(*at..).unwrap_or_default();
    let (&first, _) = rest.split_first().ok_or(BadGlob::Backslash)?;
    let number = |from: usize, length: usize, radix: u32| {
        let digits = rest.get(from..from + length)?;
        let digits = digits.iter().all(u8::is_ascii_alphanumeric).then(|| std::str::from_utf8(digits).ok())??;
        Some((u8::from_str_radix(digits, radix).ok()?, from + length))
    };
    let (byte, length) = match first {
        b'0'..=b'3' => number(0, 3, 8),
        b'x' => number(1, 2, 16),
        b'd' => number(1, 3, 10),
        b'a' => Some((7, 1)),
        b'e' => Some((27, 1)),
        b'f' => Some((12, 1)),
        b'n' => Some((b'\n', 1)),
        b'r' => Some((b'\r', 1)),
        b't' => Some((b'\t', 1)),
        _ => None,
    }
    .unwrap_or((first, 1));
    *at += length;
    Ok(byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_as_the_parser_has_it() {
        for (glob, yes, no) in [
            ("/a?", &["/ab", "/a*"][..], &["/a", "/a/", "/abc"][..]),
            ("/a/*", &["/a/b"], &["/a/", "/a/b/c", "/a/b/"]),
            ("/a/*/", &["/a/b/"], &["/a//", "/a/b"]),
            ("/a/**", &["/a/b", "/a/b/c", "/a/b/"], &["/a/"]),
            ("/a/{,**}", &["/a/", "/a/b/c"], &["/a"]),
            ("/a*", &["/a", "/abc"], &["/a/b"]),
            ("/a**", &["/a", "/a/b"], &["/b"]),
            ("/lib{,32,64}/x", &["/lib/x", "/lib64/x"], &["/lib3/x"]),
            ("/{a,b{c,d}}", &["/a", "/bd"], &["/b", "/c"]),
            ("/[a-c]x", &["/bx"], &["/dx", "/-x"]),
            ("/[^a-c]x", &["/dx"], &["/ax"]),
            ("/\\*\\101\\x42", &["/*AB"], &["/xAB"]),
            ("/a//b", &["/a/b"], &["/a//b"]),
            ("///a", &["/a"], &[]),
            ("//a", &["//a"], &["/a"]),
        ] {
            let parsed = Glob::of_paths(glob.as_bytes()).unwrap();
            for name in yes {
                assert!(parsed.matches(name.as_bytes()), "{glob} {name}");
            }
            for name in no {
                assert!(!parsed.matches(name.as_bytes()), "{glob} {name}");
            }
        }
        assert_eq!(Glob::new(b"/a\\*").unwrap().literal().unwrap(), b"/a*");
        assert_eq!(Glob::new(b"/a*").unwrap().literal(), None);
    }

    #[test]
    fn what_does_not_match_is_refused() {
        for (text, error) in [
            ("/{a", BadGlob::Braces),
            ("/a}", BadGlob::Braces),
            ("/{a}", BadGlob::Alternatives),
            ("/[a", BadGlob::Brackets),
            ("/a]", BadGlob::Brackets),
            ("/a\\", BadGlob::Backslash),
        ] {
            assert_eq!(Glob::new(text.as_bytes()), Err(error), "{text}");
        }
        assert_eq!(Glob::new(&[b'{'; 10_000]), Err(BadGlob::Depth));
    }
}
