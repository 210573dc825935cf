//! Maps with structured keys as JSON arrays, since JSON keys are text.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
struct Flat<K, V> {
    #[serde(flatten)]
    key: K,
    #[serde(flatten)]
    value: V,
}

/// As objects in which the fields of key and value stand side by side.
pub(super) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
    map: &BTreeMap<K, V>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_seq(map.iter().map(|(key, value)| Flat { key, value }))
}

/// The reverse of [`serialize`].
pub(super) fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    let list = Vec::<Flat<K, V>>::deserialize(from)?;
    Ok(list.into_iter().map(|entry| (entry.key, entry.value)).collect())
}

/// A JSON object as a map built in one go: of many keys that come sorted, it takes half the memory that one insertion
/// after the other leaves.
pub(super) fn sorted<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
where
    K: Deserialize<'de> + Ord,
    V: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Pairs<K, V>(PhantomData<(K, V)>);

    impl<'de, K: Deserialize<'de> + Ord, V: Deserialize<'de>> Visitor<'de> for Pairs<K, V> {
        type Value = BTreeMap<K, V>;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a map")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut pairs = Vec::new();
            while let Some(pair) = map.next_entry()? {
                pairs.push(pair);
            }
            Ok(pairs.into_iter().collect())
        }
    }

    from.deserialize_map(Pairs(PhantomData))
}

/// For keys that are no objects: as pairs.
pub(super) mod plain {
    use super::{BTreeMap, Deserialize, Deserializer, Serialize, Serializer};

    /// As an array of pairs.
    pub(in crate::record) fn serialize<K: Serialize, V: Serialize, S: Serializer>(
        map: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map)
    }

    /// The reverse of [`serialize`].
    pub(in crate::record) fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(from)?.into_iter().collect())
    }
}

/// For system calls: one object for each, with its ABI and name.
pub(super) mod calls {
    use super::{BTreeMap, Cow, Deserialize, Deserializer, Serialize, Serializer};
    use crate::abi::{Abi, Syscall};
    use crate::record::SyscallUse;

    type Calls = BTreeMap<Abi, BTreeMap<Syscall, SyscallUse>>;

    #[derive(Serialize, Deserialize)]
    struct Row<'a> {
        abi: Abi,
        name: Cow<'a, Syscall>,
        #[serde(flatten)]
        used: Cow<'a, SyscallUse>,
    }

    /// As an array of objects.
    pub(in crate::record) fn serialize<S: Serializer>(calls: &Calls, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(calls.iter().flat_map(|(&abi, calls)| {
            calls.iter().map(move |(name, used)| Row { abi, name: Cow::Borrowed(name), used: Cow::Borrowed(used) })
        }))
    }

    /// The reverse of [`serialize`].
    pub(in crate::record) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Calls, D::Error> {
        let mut calls = Calls::new();
        for row in Vec::<Row<'de>>::deserialize(from)? {
            calls.entry(row.abi).or_default().insert(row.name.into_owned(), row.used.into_owned());
        }
        Ok(calls)
    }
}
