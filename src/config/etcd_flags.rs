//! How a member of etcd is started: its flags, from wherever they stand, all under the names of the command line.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::Value;

use super::Error;

/// The keys of a section of transport security in etcd's configuration file, and the flag that each stands for: one of the client
/// port, one of the peer port (3.5.33, 3.6.14, 3.7.1).
const SECURITY: &[(&str, &str, &str)] = &[
    ("cert-file", "cert-file", "peer-cert-file"),
    ("key-file", "key-file", "peer-key-file"),
    (
        "client-cert-file",
        "client-cert-file",
        "peer-client-cert-file",
    ),
    ("client-key-file", "client-key-file", "peer-client-key-file"),
    (
        "client-cert-auth",
        "client-cert-auth",
        "peer-client-cert-auth",
    ),
    ("trusted-ca-file", "trusted-ca-file", "peer-trusted-ca-file"),
    ("auto-tls", "auto-tls", "peer-auto-tls"),
    ("allowed-cn", "", "peer-cert-allowed-cn"),
    (
        "allowed-hostname",
        "client-cert-allowed-hostname",
        "peer-cert-allowed-hostname",
    ),
    (
        "skip-client-san-verification",
        "",
        "peer-skip-client-san-verification",
    ),
];

const CLIENT_SECTION: &str = "client-transport-security";
const PEER_SECTION: &str = "peer-transport-security";

/// The flags of one member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EtcdFlags {
    /// Each flag, without its dashes, and its value; one without a value is `true`.
    pub values: BTreeMap<String, String>,
    /// Whether they stand in a configuration file, beside which etcd ignores its command line.
    pub is_config_file: bool,
    /// Keys of the configuration file that etcd ignores without a word: unknown there, or in the wrong place.
    pub ignored: Vec<String>,
    /// Lines of the unit that reload etcd with a signal, which ends it.
    pub reloads: Vec<String>,
    /// Those of the flags that are set by a variable only: etcd passes over one that it does not know.
    pub variables: BTreeSet<String>,
    /// Files that a unit names and that could not be read: what they say is not known.
    pub unread: Vec<PathBuf>,
    /// As whom etcd runs, by name or number, where that is said.
    pub user: Option<String>,
    /// Its groups beside the user's own, by name or number.
    pub groups: Vec<String>,
}

impl EtcdFlags {
    /// Reads a member's configuration file.
    ///
    /// # Errors
    /// If it is no YAML.
    pub fn from_config(text: &str, origin: &str) -> Result<Self, Error> {
        let document: BTreeMap<String, Value> = parse(text, origin)?;
        let mut flags = Self {
            is_config_file: true,
            ..Self::default()
        };
        for (key, value) in document {
            match (key.as_str(), value) {
                (CLIENT_SECTION, Value::Object(section)) => flags.take_section(false, section),
                (PEER_SECTION, Value::Object(section)) => flags.take_section(true, section),
                (name, _) if is_of_a_section(name) => flags.ignored.push(key),
                (_, value) => {
                    flags.values.insert(key, text_of(&value));
                }
            }
        }
        Ok(flags)
    }

    /// Reads words of a command line, as `--name=value` or `--name value`.
    pub fn from_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut flags = Self::default();
        let mut words = words.into_iter().peekable();
        while let Some(word) = words.next() {
            let Some(flag) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else {
                continue;
            };
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, value.to_owned()),
                None => match words.next_if(|next| !next.starts_with('-')) {
                    Some(value) => (flag, value.to_owned()),
                    None => (flag, "true".to_owned()),
                },
            };
            flags
                .values
                .insert(name.to_owned(), unquoted(&value).to_owned());
        }
        flags
    }

    /// The value of a flag, unless it is empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let value = self.values.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// Whether a flag is on.
    #[must_use]
    pub fn is_on(&self, name: &str) -> bool {
        matches!(
            self.get(name),
            Some("true" | "1" | "t" | "T" | "True" | "TRUE")
        )
    }

    /// The values of a flag that takes several, separated by commas.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        let values = self.get(name).unwrap_or_default().split(',');
        values.map(str::trim).filter(|value| !value.is_empty())
    }

    /// Takes what variables say, such as `ETCD_CERT_FILE`; a flag beats its variable.
    pub(super) fn take_variables(&mut self, variables: &BTreeMap<String, String>) {
        for (name, value) in variables {
            let Some(name) = name.strip_prefix("ETCD_") else {
                continue;
            };
            let flag = name.to_ascii_lowercase().replace('_', "-");
            if !self.values.contains_key(&flag) {
                self.variables.insert(flag.clone());
                self.values.insert(flag, value.clone());
            }
        }
    }

    fn take_section(&mut self, is_peer: bool, section: serde_json::Map<String, Value>) {
        for (key, value) in section {
            let known = SECURITY.iter().find(|(name, ..)| *name == key);
            let flag = known.map_or("", |(_, client, peer)| if is_peer { peer } else { client });
            if flag.is_empty() {
                let section = if is_peer {
                    PEER_SECTION
                } else {
                    CLIENT_SECTION
                };
                self.ignored.push(format!("{section}.{key}"));
            } else {
                self.values.insert(flag.to_owned(), text_of(&value));
            }
        }
    }
}

/// Whether a key at the top of a configuration file belongs into a section, is a flag that has no key at all, or the name of a
/// section with a slip of the pen: with that, a whole section is ignored.
fn is_of_a_section(name: &str) -> bool {
    const MOST_SLIPS: usize = 3;
    const FLAGS_ONLY: [&str; 2] = ["client-crl-file", "peer-crl-file"];
    let in_section = SECURITY
        .iter()
        .any(|(key, client, peer)| [key, client, peer].contains(&&name));
    let is_slip = [CLIENT_SECTION, PEER_SECTION]
        .iter()
        .any(|section| strsim::damerau_levenshtein(section, name) <= MOST_SLIPS);
    in_section || is_slip || FLAGS_ONLY.contains(&name) || name == "crl-file"
}

fn unquoted(word: &str) -> &str {
    word.trim_matches(['"', '\''])
}

/// A value as it would stand behind a flag.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

pub(super) fn parse<T: for<'de> Deserialize<'de>>(text: &str, origin: &str) -> Result<T, Error> {
    serde_saphyr::from_str(text).map_err(|error| Error::NotEtcd {
        origin: origin.to_owned(),
        problem: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_file_speaks_the_language_of_flags() {
        let text = "\
name: m1
listen-client-urls: https://10.0.0.1:2379
client-transport-security:
  cert-file: /pki/server.crt
  client-cert-auth: true
  crl-file: /pki/crl
peer-transport-security:
  trusted-ca-file: /pki/ca.crt
  allowed-cn: [a, b]
  allowed-hostnames: [c]
trusted-ca-file: /pki/ca.crt
client_transport_security: {}
";
        let flags = EtcdFlags::from_config(text, "etcd.conf.yml").unwrap();

        assert!(flags.is_config_file && flags.is_on("client-cert-auth"));
        assert_eq!(flags.get("cert-file"), Some("/pki/server.crt"));
        assert_eq!(flags.get("peer-trusted-ca-file"), Some("/pki/ca.crt"));
        assert_eq!(flags.get("peer-cert-allowed-cn"), Some("a,b"));
        let ignored = [
            "client-transport-security.crl-file",
            "client_transport_security",
            "peer-transport-security.allowed-hostnames",
            "trusted-ca-file",
        ];
        assert_eq!(flags.ignored, ignored);
    }
}
