//! The keys of etcd's configuration file as they are written there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Error;
use super::etcd_flags::{parse, text_of};

/// Reads the keys of etcd's configuration file and their values, as text; those of a section stand behind its name and a dot.
///
/// # Errors
/// If it is no YAML.
pub fn etcd_keys(text: &str, origin: &str) -> Result<Vec<(String, String)>, Error> {
    let document: BTreeMap<String, Value> = parse(text, origin)?;
    let mut keys = Vec::new();
    for (key, value) in document {
        match value {
            Value::Object(section) => {
                let inner = section.into_iter();
                keys.extend(inner.map(|(name, value)| (format!("{key}.{name}"), text_of(&value))));
            }
            value => keys.push((key, text_of(&value))),
        }
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_as_they_are_written() {
        let text = "name: m1\nlog-outputs: [a, b]\npeer-transport-security:\n  cert-file: /c\n";
        let keys = etcd_keys(text, "etcd.yml").unwrap();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let expected = [
            pair("log-outputs", "a,b"),
            pair("name", "m1"),
            pair("peer-transport-security.cert-file", "/c"),
        ];
        assert_eq!(keys, expected);
        assert!(etcd_keys("- a\n", "etcd.yml").is_err());
    }
}
