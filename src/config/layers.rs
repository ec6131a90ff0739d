//! Flags over the environment over the file, merged into one configuration.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::keys::{self, KEYS, Kind};
use super::sense;
use super::{Config, DEFAULT_ENDPOINT, Error, Secret};

/// The prefixes of the variables that object stores read, as `object_store` names them.
const STORE_PREFIXES: [&str; 4] = ["AWS_", "GOOGLE_", "AZURE_", "WEBDAV_"];

/// A configuration in the making: each layer added beats those before it.
#[derive(Debug, Default)]
pub struct Layers {
    merged: Table,
    /// The repository that a flag asks for, by its name or its URL.
    repository: Option<String>,
    password: Option<Secret>,
    options: BTreeMap<String, Secret>,
}

impl Layers {
    /// Adds a file's `text`; `origin` is the file's name, for messages.
    ///
    /// # Errors
    /// If it is not TOML, holds a key that does not exist, or a value of the wrong type.
    pub fn file(mut self, text: &str, origin: &str) -> Result<Self, Error> {
        let invalid = |source| Error::Invalid {
            origin: origin.to_owned(),
            source: Box::new(source),
        };
        let document = DeTable::parse(text).map_err(invalid)?;
        refuse_unknown_keys(document.get_ref(), text, origin)?;
        // Read by itself once, so that a wrong type is reported with its line.
        toml::from_str::<Config>(text).map_err(invalid)?;
        for (name, value) in toml::from_str::<Table>(text).map_err(invalid)? {
            let value = match name.as_str() {
                "repository" => alone(value),
                _ => value,
            };
            self.merged.insert(name, value);
        }
        Ok(self)
    }

    /// Adds the variables of the environment: `ETCDCTL_*`, then `ETCDRX_*`, and those of the object stores.
    ///
    /// # Errors
    /// If a variable sets no key, its text does not fit the key, or it could mean any of several repositories.
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let variables: BTreeMap<String, String> = variables
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        self.etcdctl(&variables);
        for (name, value) in &variables {
            if STORE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
                self.options
                    .insert(name.to_lowercase(), Secret::new(value.clone()));
            }
            if let Some(key) = KEYS
                .iter()
                .find(|key| key.kind != Kind::FileOnly && key.variable() == *name)
            {
                let value = parse(key.kind, value, name)?;
                if self.merged.get(key.table).is_some_and(Value::is_array) {
                    return Err(Error::SeveralRepositories { name: name.clone() });
                }
                self.set(key.table, key.name, value);
            } else if begins_like_ours(name) {
                return Err(Error::UnknownVariable {
                    name: name.clone(),
                    nearest: keys::nearest_variable(name),
                });
            }
        }
        Ok(self)
    }

    /// Adds one flag.
    #[must_use]
    pub fn flag(mut self, table: &'static str, name: &'static str, value: Option<Value>) -> Self {
        debug_assert!(keys::is_key(table, name), "{table}.{name}");
        if let Some(value) = value {
            self.set(table, name, value);
        }
        self
    }

    /// Adds the flag that names a repository, or says the URL of the only one.
    #[must_use]
    pub fn wanted_repository(mut self, wanted: Option<&str>) -> Self {
        self.repository = wanted.map(str::to_owned);
        self
    }

    /// Merges everything.
    ///
    /// # Errors
    /// If a value of the environment or of a flag does not fit its key.
    pub fn finish(self) -> Result<Config, Error> {
        let mut config =
            Config::deserialize(Value::Table(self.merged)).map_err(|source| Error::Invalid {
                origin: "the environment or a flag".to_owned(),
                source: Box::new(source),
            })?;
        config.cluster.password = self.password;
        config.repositories.equip(&self.options);
        if config.cluster.endpoints.is_empty() {
            config.cluster.endpoints = vec![DEFAULT_ENDPOINT.to_owned()];
        }
        sense::check(&config)?;
        if let Some(wanted) = self.repository {
            config.repositories.choose(&wanted)?;
        }
        Ok(config)
    }

    fn set(&mut self, table: &str, name: &str, value: Value) {
        let table = self
            .merged
            .entry(table)
            .or_insert_with(|| Value::Table(Table::new()));
        if let Value::Table(table) = table {
            table.insert(name.to_owned(), value);
        }
    }

    /// `ETCDCTL_*` as etcdctl understands them: `ETCDCTL_USER` may hold `name:password`.
    fn etcdctl(&mut self, variables: &BTreeMap<String, String>) {
        let get = |name: &str| variables.get(name).cloned();
        for (variable, key) in [
            ("ETCDCTL_CACERT", "ca"),
            ("ETCDCTL_CERT", "cert"),
            ("ETCDCTL_KEY", "key"),
        ] {
            if let Some(path) = get(variable) {
                self.set("cluster", key, Value::String(path));
            }
        }
        if let Some(endpoints) = get("ETCDCTL_ENDPOINTS") {
            self.set("cluster", "endpoints", list(&endpoints));
        }
        if let Some(user) = get("ETCDCTL_USER") {
            let (name, password) = match user.split_once(':') {
                Some((name, password)) => (name, Some(password)),
                None => (user.as_str(), None),
            };
            self.set("cluster", "user", Value::String(name.to_owned()));
            self.password = password.map(Secret::new);
        }
        if let Some(password) = get("ETCDCTL_PASSWORD") {
            self.password = Some(Secret::new(password));
        }
    }
}

/// A list of one repository is that repository.
fn alone(value: Value) -> Value {
    match value {
        Value::Array(mut many) if many.len() == 1 && many[0].is_table() => many.remove(0),
        other => other,
    }
}

fn begins_like_ours(name: &str) -> bool {
    name.strip_prefix("ETCDRX_")
        .and_then(|rest| rest.split_once('_'))
        .is_some_and(|(table, _)| keys::is_table(&table.to_lowercase()))
}

fn list(text: &str) -> Value {
    let items = text.split(',').map(str::trim).filter(|s| !s.is_empty());
    Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
}

fn parse(kind: Kind, text: &str, origin: &str) -> Result<Value, Error> {
    let bad = |expected| Error::BadValue {
        origin: origin.to_owned(),
        value: text.to_owned(),
        expected,
    };
    match kind {
        Kind::Text | Kind::FileOnly => Ok(Value::String(text.to_owned())),
        Kind::List => Ok(list(text)),
        Kind::Number => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| bad("a whole number")),
        Kind::Flag => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| bad("`true` or `false`")),
    }
}

fn refuse_unknown_keys(document: &DeTable<'_>, text: &str, origin: &str) -> Result<(), Error> {
    let unknown = |offset: usize, key: String, nearest| Error::UnknownKey {
        origin: origin.to_owned(),
        line: text[..offset].matches('\n').count() + 1,
        key,
        nearest,
    };
    for (table, value) in document {
        let name = table.get_ref().as_ref();
        if !keys::is_table(name) {
            let nearest = keys::nearest_table(name);
            return Err(unknown(table.span().start, name.to_owned(), nearest));
        }
        for keys in tables_of(value.get_ref()) {
            refuse_unknown_in(name, keys, &unknown)?;
        }
    }
    Ok(())
}

/// The tables that stand under one name: one, or each of a list.
///
/// A value where a table belongs is a matter of types, reported with its line later.
fn tables_of<'a, 'i>(value: &'a DeValue<'i>) -> Vec<&'a DeTable<'i>> {
    match value {
        DeValue::Table(one) => vec![one],
        DeValue::Array(many) => many
            .iter()
            .filter_map(|entry| entry.get_ref().as_table())
            .collect(),
        _ => Vec::new(),
    }
}

fn refuse_unknown_in(
    table: &str,
    keys: &DeTable<'_>,
    unknown: &impl Fn(usize, String, Option<String>) -> Error,
) -> Result<(), Error> {
    for (key, value) in keys {
        let name = key.get_ref().as_ref();
        if !keys::is_key(table, name) {
            let nearest = keys::nearest_key(table, name);
            return Err(unknown(
                key.span().start,
                format!("{table}.{name}"),
                nearest,
            ));
        }
        // The one table within a table.
        if let ("repository", "retention", Some(inner)) = (table, name, value.get_ref().as_table())
        {
            refuse_unknown_in("retention", inner, unknown)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::CompressionLevel;
    use super::*;

    fn file(text: &str) -> Result<Config, Error> {
        Layers::default().file(text, "etcdrx.toml")?.finish()
    }

    fn variables(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line_and_the_nearest_key() {
        let error = file("[cluster]\nname = \"a\"\n\n[retention]\nkeep_dayly = 3\n").unwrap_err();
        assert_eq!(
            error.to_string(),
            "etcdrx.toml, line 5: there is no key `retention.keep_dayly`; did you mean `keep_daily`?"
        );
        let error = file("[clusters]\nname = \"a\"\n").unwrap_err();
        assert!(error.to_string().ends_with("did you mean `cluster`?"));
        let error = file("[[node]]\nname = \"a\"\nreech = \"local\"\n").unwrap_err();
        assert!(error.to_string().contains("line 3"));
    }

    #[test]
    fn a_wrong_type_is_reported_with_its_line() {
        let error = file("[retention]\nkeep_last = \"many\"\n").unwrap_err();
        let Error::Invalid { source, .. } = error else {
            panic!("{error}");
        };
        assert!(source.to_string().contains("line 2"), "{source}");
    }

    #[test]
    fn flags_beat_the_environment_and_that_beats_the_file() {
        let config = Layers::default()
            .file(
                "[cluster]\nname = \"file\"\nendpoints = [\"http://file:1\"]\nuser = \"file\"\n",
                "etcdrx.toml",
            )
            .unwrap()
            .environment(variables(&[
                ("ETCDCTL_ENDPOINTS", "http://env:1, http://env:2"),
                ("ETCDCTL_USER", "root:a:b"),
                ("ETCDRX_RETENTION_KEEP_LAST", "7"),
                ("ETCDRX_CLUSTER_NAME", "env"),
                ("AWS_ACCESS_KEY_ID", "key"),
                ("HOME", "/root"),
            ]))
            .unwrap()
            .flag("cluster", "name", Some(Value::String("flag".to_owned())))
            .finish()
            .unwrap();
        assert_eq!(config.cluster.name, "flag");
        assert_eq!(config.cluster.endpoints, ["http://env:1", "http://env:2"]);
        assert_eq!(config.cluster.user.as_deref(), Some("root"));
        assert_eq!(config.cluster.password.as_ref().unwrap().reveal(), "a:b");
        assert_eq!(config.retention.keep_last, 7);
        assert_eq!(
            config.repository().options["aws_access_key_id"].reveal(),
            "key"
        );
    }

    #[test]
    fn a_misspelt_variable_is_refused() {
        let error = Layers::default()
            .environment(variables(&[("ETCDRX_RETENTION_KEEPLAST", "7")]))
            .unwrap_err();
        assert!(error.to_string().contains("ETCDRX_RETENTION_KEEP_LAST"));
    }

    #[test]
    fn levels_and_durations_are_read_as_people_write_them() {
        let config = file("[backup]\ncompression_level = 19\ntimeout = \"1h 30m\"\n").unwrap();
        assert_eq!(config.backup.compression_level, CompressionLevel::Fixed(19));
        assert_eq!(config.backup.timeout, Duration::from_mins(90));
        assert!(file("[backup]\ncompression_level = 20\n").is_err());
        assert!(file("[backup]\ntimeout = \"soon\"\n").is_err());
        assert!(file("[backup]\ntimeout = \"0s\"\n").is_err());
    }

    #[test]
    fn a_list_of_one_is_a_list_of_nodes_and_a_single_repository() {
        let config = file("[[node]]\nname = \"a\"\n[[repository]]\nurl = \"file:///r\"\n").unwrap();
        assert_eq!(config.nodes.len(), 1);
        assert_eq!(config.repository().url, "file:///r");
    }

    #[test]
    fn every_key_of_the_table_is_known_and_every_table_is_read() {
        for key in KEYS {
            assert!(keys::is_table(key.table) && keys::is_key(key.table, key.name));
            assert_eq!(keys::nearest_key(key.table, key.name).unwrap(), key.name);
        }
    }
}
