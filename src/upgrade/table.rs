//! What each minor version of etcd knows: flags, keys of its configuration file, feature gates, defaults.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Deserializer, de};

use super::Minor;

/// The file that says it, checked against the real servers.
const TEXT: &str = include_str!("flags.toml");

static TABLE: LazyLock<Table> =
    LazyLock::new(|| toml::from_str(TEXT).expect("the embedded table is read by a test"));

/// Names that went before anything could stand in their help, and names of keys that are not those of the flag.
const RENAMED_ELSEWHERE: [(&str, &str); 5] = [
    ("debug", "log-level=debug"),
    (
        "experimental-backend-bbolt-freelist-type",
        "backend-bbolt-freelist-type",
    ),
    (
        "experimental-snapshot-catch-up-entries",
        "snapshot-catchup-entries",
    ),
    ("log-output", "log-outputs"),
    ("log-package-levels", "log-level"),
];

/// The one key that stands elsewhere than its flag would.
const PEER_SAN: &str = "peer-skip-client-san-verification";

#[derive(Debug, Deserialize)]
struct Table {
    flags: BTreeMap<String, Known>,
    keys: BTreeMap<String, Known>,
    gates: BTreeMap<String, Known>,
    renamed: BTreeMap<String, String>,
    defaults: BTreeMap<String, Vec<String>>,
}

/// From which version to which something is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// The first version that knows it, at most 3.4.
    pub first: Minor,
    /// The last version that knows it, or the newest one.
    pub last: Minor,
}

impl Known {
    /// Whether `minor` knows it.
    #[must_use]
    pub fn by(self, minor: Minor) -> bool {
        (self.first..=self.last).contains(&minor)
    }
}

/// All flags, by name.
pub fn flags() -> impl Iterator<Item = (&'static str, Known)> {
    TABLE
        .flags
        .iter()
        .map(|(name, known)| (name.as_str(), *known))
}

/// All keys of the configuration file, by name; those of a section stand behind its name and a dot.
pub fn keys() -> impl Iterator<Item = (&'static str, Known)> {
    TABLE
        .keys
        .iter()
        .map(|(name, known)| (name.as_str(), *known))
}

/// All feature gates, by name.
pub fn gates() -> impl Iterator<Item = (&'static str, Known)> {
    TABLE
        .gates
        .iter()
        .map(|(name, known)| (name.as_str(), *known))
}

/// Who knows a flag.
#[must_use]
pub fn flag(name: &str) -> Option<Known> {
    TABLE.flags.get(name).copied()
}

/// Who knows a key of the configuration file; Go does not mind capitals.
#[must_use]
pub fn key(name: &str) -> Option<Known> {
    TABLE.keys.get(&name.to_ascii_lowercase()).copied()
}

/// Who knows a feature gate.
#[must_use]
pub fn gate(name: &str) -> Option<Known> {
    TABLE.gates.get(name).copied()
}

/// What stands for a name that is gone: another name, or `feature-gates=NAME=true`.
#[must_use]
pub fn renamed(name: &str) -> Option<&'static str> {
    let elsewhere = RENAMED_ELSEWHERE.iter().find(|(old, _)| *old == name);
    let listed = TABLE.renamed.get(name).map(String::as_str);
    listed.or(elsewhere.map(|(_, new)| *new))
}

/// The same, as the name of a key.
#[must_use]
pub fn renamed_key(name: &str) -> Option<&'static str> {
    match renamed(name) {
        Some(PEER_SAN) => Some("peer-transport-security.skip-client-san-verification"),
        other => other,
    }
}

/// The feature gate that took the place of a flag.
#[must_use]
pub fn gate_of(name: &str) -> Option<&'static str> {
    let gate = renamed(name)?.strip_prefix("feature-gates=")?;
    gate.split('=').next()
}

/// The defaults that change between two versions: the name, and what it was and becomes.
pub fn changed_defaults(
    from: Minor,
    to: Minor,
) -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let places = from.place().zip(to.place());
    TABLE.defaults.iter().filter_map(move |(name, values)| {
        let (before, after) = places?;
        let (before, after) = (values.get(before)?, values.get(after)?);
        (before != after).then_some((name.as_str(), before.as_str(), after.as_str()))
    })
}

impl<'de> Deserialize<'de> for Known {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let ends = text.split_once('-');
        let ends = ends.and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
        let (first, last) = ends.ok_or_else(|| de::Error::custom("expected \"3.4-3.7\""))?;
        Ok(Self { first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_a_name_is_known_where_the_name_is_gone() {
        for (name, known) in flags().chain(keys()) {
            let Some(new) = renamed_key(name) else {
                continue;
            };
            let next = known.last.next();
            let (new, gate) = (new.split('=').next().unwrap(), gate_of(name));
            let is_known = key(new)
                .or_else(|| flag(new))
                .is_some_and(|new| new.by(next));
            assert!(is_known, "{name} -> {new}");
            assert!(
                gate.is_none_or(|gate| self::gate(gate).unwrap().by(next)),
                "{name}"
            );
        }
    }

    #[test]
    fn every_flag_that_is_gone_has_a_successor_or_is_about_what_is_gone() {
        let gone = [
            "discovery",
            "enable-v2",
            "experimental-enable-v2v3",
            "proxy",
        ];
        for (name, known) in flags().filter(|(_, known)| known.last < Minor::NEWEST) {
            let is_explained =
                renamed(name).is_some() || gone.iter().any(|of| name.starts_with(of));
            assert!(is_explained, "{name} {known:?}");
        }
    }

    #[test]
    fn defaults_change_only_where_they_do() {
        let changed: Vec<_> = changed_defaults(Minor(5), Minor(6)).collect();
        assert!(changed.contains(&("snapshot-count", "100000", "10000")));
        assert_eq!(changed_defaults(Minor(6), Minor(7)).count(), 0);
        assert_eq!(changed_defaults(Minor(6), Minor(8)).count(), 0);
    }
}
