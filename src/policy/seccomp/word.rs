//! The single values of a profile's text. Each is judged where it stands, so that an error has its line and column.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::docker::{Cap, Kernel};
use super::grammar::{Action, Architecture, Flag, MAX_ERRNO, Test};
use crate::abi::{self, Syscall};
use crate::fact::Capability;

/// The name of a system call of Linux.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) Syscall);

/// The errno of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Errno(pub(super) u16);

/// Which argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Index(pub(super) u8);

/// A comparison, which takes `value` and `valueTwo`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comparison(pub(super) fn(u64, u64) -> Test);

/// A value that is written as a word.
trait Word: Sized {
    /// What it is called in an error.
    const WHAT: &'static str;

    /// The value of this word.
    fn of(text: &str) -> Option<Self>;
}

/// A value that is written as a number.
trait Number: Sized {
    const WHAT: &'static str;
    const RANGE: &'static str;

    fn of(number: u64) -> Option<Self>;
}

impl Word for Name {
    const WHAT: &'static str = "system call";

    fn of(text: &str) -> Option<Self> {
        abi::is_call(text).then(|| Self(Syscall::Named(text.into())))
    }
}

impl Word for Action {
    const WHAT: &'static str = "action";

    fn of(text: &str) -> Option<Self> {
        Self::named(text, None)
    }
}

impl Word for Architecture {
    const WHAT: &'static str = "architecture";

    fn of(text: &str) -> Option<Self> {
        Self::named(text)
    }
}

impl Word for Flag {
    const WHAT: &'static str = "flag";

    fn of(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|flag| flag.name() == text)
    }
}

impl Word for Comparison {
    const WHAT: &'static str = "comparison";

    fn of(text: &str) -> Option<Self> {
        Test::named(text).map(Self)
    }
}

impl Word for Cap {
    const WHAT: &'static str = "capability";

    fn of(text: &str) -> Option<Self> {
        Capability::named(text).map(Self)
    }
}

impl Word for Kernel {
    const WHAT: &'static str = "kernel version";

    fn of(text: &str) -> Option<Self> {
        Self::of_release(text).filter(|version| version.to_string() == text)
    }
}

impl Number for Errno {
    const WHAT: &'static str = "errno";
    const RANGE: &'static str = "at most 4095";

    fn of(number: u64) -> Option<Self> {
        u16::try_from(number).ok().filter(|errno| *errno <= MAX_ERRNO).map(Self)
    }
}

impl Number for Index {
    const WHAT: &'static str = "argument index";
    const RANGE: &'static str = "calls have 0 to 5";

    fn of(number: u64) -> Option<Self> {
        u8::try_from(number).ok().filter(|index| *index <= 5).map(Self)
    }
}

struct WordReader<T>(PhantomData<T>);

impl<T: Word> Visitor<'_> for WordReader<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(T::WHAT)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        T::of(text).ok_or_else(|| E::custom(format_args!("unknown {} `{}`", T::WHAT, text.escape_debug())))
    }
}

struct NumberReader<T>(PhantomData<T>);

impl<T: Number> Visitor<'_> for NumberReader<T> {
    type Value = T;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}, {}", T::WHAT, T::RANGE)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        let range = || E::custom(format_args!("{} {number} is out of range: {}", T::WHAT, T::RANGE));
        T::of(number).ok_or_else(range)
    }
}

/// A word of the document.
fn word<'de, T: Word, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_str(WordReader(PhantomData))
}

fn number<'de, T: Number, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_u64(NumberReader(PhantomData))
}

/// The readers of types, all alike.
macro_rules! read {
    ($with:ident: $($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                $with(from)
            }
        }
    )*};
}

read!(word: Name, Action, Architecture, Flag, Comparison, Cap, Kernel);
read!(number: Errno, Index);
