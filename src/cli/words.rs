//! Values of options that are words from a table.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

/// Reads a word of `names`: the value, its word, and what it means.
pub(super) fn one_of<T: Copy + Send + Sync>(
    names: &'static [(T, &'static str, &'static str)],
) -> impl TypedValueParser<Value = T> {
    let values = names.iter().map(|(_, name, help)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(values).try_map(|word| {
        let found = names.iter().find(|(_, name, _)| *name == word);
        found.map(|(value, ..)| *value).ok_or_else(|| format!("there is no {word}"))
    })
}
