//! Maps with structured keys as JSON arrays, since JSON keys are text.

use std::collections::BTreeMap;

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
