//! Names that look like one that nobody knows.

use std::collections::BTreeSet;

use super::topic::file_name;
use crate::fact::Fact;
use crate::infer::Needs;
use crate::record::Record;

/// How many are told.
const TOLD: usize = 5;

/// How much alike names must be, from 0 to 1.
const ALIKE: f64 = 0.75;

/// The names of a record that look most like `item`, the most alike first.
pub(super) fn items(item: &str, record: &Record, needs: &Needs<'_>) -> Vec<String> {
    let item = item.trim_end_matches(',').trim_matches('"');
    let asked = item.split(' ').find(|word| word.starts_with('/')).unwrap_or(item).to_ascii_lowercase();
    let mut names: BTreeSet<String> = record.sightings().filter_map(|(_, one)| name(&one.fact)).collect();
    names.extend(needs.capabilities.iter().map(|need| need.capability.name().to_owned()));
    let mut alike: Vec<_> = names.into_iter().map(|name| (likeness(&asked, &name), name)).collect();
    alike.retain(|(likeness, _)| *likeness >= ALIKE);
    alike.sort_by(|(one, name), (other, its)| other.total_cmp(one).then_with(|| name.cmp(its)));
    alike.into_iter().take(TOLD).map(|(_, name)| name).collect()
}

fn name(fact: &Fact) -> Option<String> {
    match fact {
        Fact::Syscall(_, call) => Some(call.to_string()),
        Fact::File(fact) => Some(file_name(fact)),
        Fact::Execution(fact) => Some(fact.file.to_string()),
        _ => None,
    }
}

/// From 0 to 1. Files of the same name are alike wherever they are.
fn likeness(asked: &str, name: &str) -> f64 {
    let name = name.to_ascii_lowercase();
    let last = |path: &str| path.trim_end_matches('/').rsplit('/').next().unwrap_or_default().to_owned();
    let same_file = name.contains('/') && !last(asked).is_empty() && last(asked) == last(&name);
    if same_file { 0.99 } else { strsim::jaro_winkler(asked, &name) }
}
