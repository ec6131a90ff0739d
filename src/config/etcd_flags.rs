//! How a member of etcd is started: its flags, from wherever they stand, all under the names of the command line.

use std::collections::BTreeMap;

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
    ("allowed-cns", "", "peer-cert-allowed-cn"),
    (
        "allowed-hostname",
        "client-cert-allowed-hostname",
        "peer-cert-allowed-hostname",
    ),
    (
        "allowed-hostnames",
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

    /// Reads the manifest of a pod: the command and the arguments of its containers.
    ///
    /// # Errors
    /// If it is no such manifest.
    pub fn from_manifest(text: &str, origin: &str) -> Result<Self, Error> {
        let pod: Pod = parse(text, origin)?;
        let containers = pod.spec.containers.iter();
        let words = containers.flat_map(|one| one.command.iter().chain(&one.args));
        Ok(Self::from_words(words.map(String::as_str)))
    }

    /// Reads a file of variables, as a unit's `EnvironmentFile` names it: `ETCD_NAME=...`, the last one of a name counts.
    #[must_use]
    pub fn from_environment(text: &str) -> Self {
        Self {
            values: variables_of(text).collect(),
            ..Self::default()
        }
    }

    /// Reads a unit of systemd: the command that it starts, and the variables that it sets.
    #[must_use]
    pub fn from_unit(text: &str) -> Self {
        Self::from_unit_and_files(text, |_| None)
    }

    /// As [`from_unit`](Self::from_unit), with the files of variables that it names, as far as `read` gives them.
    ///
    /// A flag beats a variable, and a variable of a file one of the unit (`systemd.exec(5)`).
    #[must_use]
    pub fn from_unit_and_files(text: &str, read: impl Fn(&str) -> Option<String>) -> Self {
        let joined = text.replace("\\\n", " ");
        let mut flags = Self::default();
        let mut variables = BTreeMap::new();
        let mut of_files = BTreeMap::new();
        let mut unset = Vec::new();
        for line in joined.lines() {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let words = value.split_whitespace().map(unquoted);
            match key.trim() {
                "ExecStart" => {
                    flags = Self {
                        reloads: flags.reloads,
                        ..Self::from_words(words)
                    }
                }
                "ExecReload" if value.contains("HUP") => {
                    flags.reloads.push(value.trim().to_owned());
                }
                "Environment" if value.trim().is_empty() => variables.clear(),
                "Environment" => variables.extend(words.filter_map(of_variable)),
                "EnvironmentFile" if value.trim().is_empty() => of_files.clear(),
                "EnvironmentFile" => {
                    let path = unquoted(value.trim().trim_start_matches('-'));
                    let text = read(path).unwrap_or_default();
                    of_files.extend(variables_of(&text));
                }
                "UnsetEnvironment" if value.trim().is_empty() => unset.clear(),
                "UnsetEnvironment" => unset.extend(words.map(str::to_owned)),
                _ => {}
            }
        }
        let of_variables = of_files.into_iter().chain(variables);
        let passed_on = of_variables.filter(|(name, _)| !unset.contains(&variable_of(name)));
        for (name, value) in passed_on {
            flags.values.entry(name).or_insert(value);
        }
        flags
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

/// Whether a key at the top of a configuration file belongs into a section, or is a flag that has no key at all.
fn is_of_a_section(name: &str) -> bool {
    const FLAGS_ONLY: [&str; 2] = ["client-crl-file", "peer-crl-file"];
    let in_section = SECURITY
        .iter()
        .any(|(key, client, peer)| [key, client, peer].contains(&&name));
    in_section || FLAGS_ONLY.contains(&name) || name == "crl-file"
}

/// The variables of etcd in a file of variables, in their order.
fn variables_of(text: &str) -> impl Iterator<Item = (String, String)> {
    let joined = text.replace("\\\n", "");
    let lines: Vec<String> = joined.lines().map(|line| line.trim().to_owned()).collect();
    lines.into_iter().filter_map(|line| of_variable(&line))
}

/// The variable that stands for a flag.
fn variable_of(flag: &str) -> String {
    format!("ETCD_{}", flag.replace('-', "_").to_ascii_uppercase())
}

/// A variable of etcd, such as `ETCD_CERT_FILE=/x`, as the flag that it stands for.
fn of_variable(text: &str) -> Option<(String, String)> {
    let (name, value) = text.strip_prefix("ETCD_")?.split_once('=')?;
    let flag = name.to_ascii_lowercase().replace('_', "-");
    Some((flag, unquoted(value).to_owned()))
}

fn unquoted(word: &str) -> &str {
    word.trim_matches(['"', '\''])
}

/// A value as it would stand behind a flag.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(values) => values.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// A pod's manifest, as far as the command of its containers.
#[derive(Debug, Deserialize)]
struct Pod {
    spec: PodSpec,
}

#[derive(Debug, Deserialize)]
struct PodSpec {
    containers: Vec<Container>,
}

#[derive(Debug, Deserialize)]
struct Container {
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    args: Vec<String>,
}

fn parse<T: for<'de> Deserialize<'de>>(text: &str, origin: &str) -> Result<T, Error> {
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
trusted-ca-file: /pki/ca.crt
";
        let flags = EtcdFlags::from_config(text, "etcd.conf.yml").unwrap();

        assert!(flags.is_config_file && flags.is_on("client-cert-auth"));
        assert_eq!(flags.get("cert-file"), Some("/pki/server.crt"));
        assert_eq!(flags.get("peer-trusted-ca-file"), Some("/pki/ca.crt"));
        assert_eq!(flags.get("peer-cert-allowed-cn"), Some("a,b"));
        let ignored = ["client-transport-security.crl-file", "trusted-ca-file"];
        assert_eq!(flags.ignored, ignored);
    }

    #[test]
    fn a_unit_tells_flags_variables_and_a_deadly_reload() {
        let text = "\
[Service]
Environment=\"ETCD_CERT_FILE=/a.crt\" ETCD_NAME=m1
ExecStart=/usr/bin/etcd --name m2 \\
  --client-cert-auth --key-file='/a.key'
ExecReload=/bin/kill -HUP $MAINPID
";
        let flags = EtcdFlags::from_unit(text);

        assert_eq!(flags.get("name"), Some("m2"));
        assert_eq!(flags.get("cert-file"), Some("/a.crt"));
        assert_eq!(flags.get("key-file"), Some("/a.key"));
        assert!(flags.is_on("client-cert-auth"));
        assert_eq!(flags.reloads, ["/bin/kill -HUP $MAINPID"]);
    }

    #[test]
    fn a_file_of_variables_beats_those_of_the_unit_and_yields_to_flags() {
        let file = "# a comment\n; another\nETCD_NAME=\"m3\"\nETCD_DATA_DIR=/file\nETCD_DATA_DIR='/last'\nOTHER=x\n";
        let unit = "\
EnvironmentFile=-/etc/default/etcd
Environment=ETCD_NAME=m1 ETCD_DATA_DIR=/unit ETCD_WAL_DIR=/wal ETCD_FORCE_NEW_CLUSTER=true
UnsetEnvironment=ETCD_FORCE_NEW_CLUSTER
ExecStart=/usr/bin/etcd --name=m2
";
        let read = |path: &str| (path == "/etc/default/etcd").then(|| file.to_owned());
        let flags = EtcdFlags::from_unit_and_files(unit, read);

        assert_eq!(flags.get("name"), Some("m2"));
        assert_eq!(flags.get("data-dir"), Some("/last"));
        assert_eq!(flags.get("wal-dir"), Some("/wal"));
        assert!(!flags.is_on("force-new-cluster"));
        assert_eq!(EtcdFlags::from_environment(file).values.len(), 2);
    }

    #[test]
    fn a_manifest_tells_its_command_and_arguments() {
        let text =
            "spec:\n  containers:\n  - command: [etcd, --cert-file=/a]\n    args: [--auto-tls]\n";
        let flags = EtcdFlags::from_manifest(text, "etcd.yaml").unwrap();
        assert_eq!(flags.get("cert-file"), Some("/a"));
        assert!(flags.is_on("auto-tls"));
        assert!(EtcdFlags::from_manifest("kind: Pod\n", "etcd.yaml").is_err());
    }
}
