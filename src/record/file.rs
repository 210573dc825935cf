//! The record as versioned JSON.
//!
//! The layout's version comes first and the program that wrote it second, so that a record of a later layout is
//! recognised before anything of it is misread. The text is stable byte by byte and has one line for each fact, for
//! the sake of `diff`. Opens no files.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::{self, Read, Write};

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserializer as _, Serialize};

use super::lines::Lines;
use super::{Record, Run, RunId, SCHEMA, Subject};
use crate::fact::Gap;
use crate::path::AbsPath;

/// No record is longer, in bytes.
const LIMIT: u64 = 4 << 30;

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The bytes could not be had.
    #[error("cannot read it")]
    Io(#[source] io::Error),
    /// The record is damaged or was never one.
    #[error("not a readable record: line {line}, column {column}: {reason}")]
    Malformed {
        /// Line, from 1.
        line: usize,
        /// Column in bytes, from 1.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// The layout is none that this program reads.
    #[error(
        "written by {generator} in layout {schema}, and this program reads layout {SCHEMA} only: use that program, or learn anew"
    )]
    Schema {
        /// The layout's version.
        schema: u32,
        /// The program that wrote it.
        generator: String,
    },
    /// More bytes than any record has.
    #[error("longer than {} GiB", LIMIT >> 30)]
    TooLong,
}

/// The layout, borrowed for writing.
#[derive(Serialize)]
struct Layout<'a> {
    schema: u32,
    generator: &'a str,
    program: &'a Option<AbsPath>,
    runs: &'a BTreeMap<RunId, Run>,
    gaps: &'a BTreeSet<Gap>,
    subjects: &'a BTreeMap<AbsPath, Subject>,
}

/// Writes `record`; equal records give equal bytes.
///
/// # Errors
/// Those of `to`.
pub fn write(record: &Record, to: impl Write) -> io::Result<()> {
    let Record { program, runs, gaps, subjects } = record;
    let layout = Layout { schema: SCHEMA, generator: GENERATOR, program, runs, gaps, subjects };
    let mut to = io::BufWriter::with_capacity(1 << 16, to);
    layout.serialize(&mut serde_json::Serializer::with_formatter(&mut to, Lines::default()))?;
    to.write_all(b"\n")?;
    to.flush()
}

/// The program and version that a record names as its writer.
const GENERATOR: &str = concat!("learn ", env!("CARGO_PKG_VERSION"));

/// Reads a record that [`write()`] wrote.
///
/// # Errors
/// See [`ReadError`]. Nothing is taken from a record that is not whole.
pub fn read(from: impl Read) -> Result<Record, ReadError> {
    let mut from = io::BufReader::with_capacity(1 << 16, from.take(LIMIT));
    let read = whole(serde_json::Deserializer::from_reader(&mut from));
    if read.is_err() && from.get_ref().limit() == 0 { Err(ReadError::TooLong) } else { read }
}

/// The same of bytes that are in memory already, in a third of the time.
///
/// # Errors
/// See [`ReadError`].
pub fn parse(bytes: &[u8]) -> Result<Record, ReadError> {
    whole(serde_json::Deserializer::from_slice(bytes))
}

fn whole<'de>(mut json: serde_json::Deserializer<impl serde_json::de::Read<'de>>) -> Result<Record, ReadError> {
    let mut foreign = None;
    let parsed = json.deserialize_map(RecordVisitor { foreign: &mut foreign });
    parsed.and_then(|record| json.end().map(|()| record)).map_err(|error| match foreign {
        _ if error.is_io() => ReadError::Io(error.into()),
        Some((schema, generator)) => ReadError::Schema { schema, generator },
        None => malformed(&error),
    })
}

fn malformed(error: &serde_json::Error) -> ReadError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let reason = text.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&text).to_owned();
    ReadError::Malformed { line, column, reason }
}

struct RecordVisitor<'a> {
    /// Set when the layout is another: its version and its writer.
    foreign: &'a mut Option<(u32, String)>,
}

impl<'de> Visitor<'de> for RecordVisitor<'_> {
    type Value = Record;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record, A::Error> {
        if map.next_key::<String>()?.as_deref() != Some("schema") {
            return Err(A::Error::custom("a record begins with `schema`"));
        }
        let schema = map.next_value()?;
        if schema != SCHEMA {
            let named = map.next_key::<String>()?.as_deref() == Some("generator");
            let generator = if named { map.next_value()? } else { "another program".to_owned() };
            *self.foreign = Some((schema, generator));
            return Err(A::Error::custom("another layout"));
        }
        let mut record = Record::default();
        let mut seen = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "generator" => drop(map.next_value::<IgnoredAny>()?),
                "program" => record.program = map.next_value()?,
                "runs" => record.runs = map.next_value()?,
                "gaps" => record.gaps = map.next_value()?,
                "subjects" => record.subjects = map.next_value()?,
                _ => return Err(A::Error::custom(format_args!("unknown field `{key}`"))),
            }
            if let Some(twice) = seen.replace(key) {
                return Err(A::Error::custom(format_args!("`{twice}` comes twice")));
            }
        }
        match ["program", "runs", "gaps", "subjects"].iter().find(|&&field| !seen.contains(field)) {
            Some(field) => Err(A::Error::custom(format_args!("`{field}` is missing"))),
            None => Ok(record),
        }
    }
}
