//! Where backups live: one repository, or several that each have a name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Error, Secret};
use crate::id::ClusterName;
use crate::retention::Policy;

/// Where backups live.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Repository {
    /// What people call it; where there are several, each has a name of its own.
    pub name: Option<String>,
    /// `file:///path`, `s3://bucket/prefix`, `gs://…`, `az://…`, `https://…` for WebDAV.
    pub url: String,
    /// The address of an S3-compatible or other non-standard service.
    pub endpoint: Option<String>,
    /// The region of the bucket.
    pub region: Option<String>,
    /// Whether the bucket stands in the path (`true`) or in the host name.
    pub path_style: Option<bool>,
    /// The authority that signed the service's certificate, as a PEM file, besides the system's.
    pub ca: Option<PathBuf>,
    /// Whether plain `http://` may be used.
    pub allow_http: bool,
    /// A file of lines such as `AWS_ACCESS_KEY_ID=…`, which is read instead of the environment.
    pub credentials_file: Option<PathBuf>,
    /// Which backups stay here; `[retention]` where nothing is said.
    pub retention: Option<Policy>,
    /// Credentials and settings for `object_store` from the environment, such as `aws_access_key_id`.
    #[serde(skip)]
    pub options: BTreeMap<String, Secret>,
}

/// `[repository]`, or `[[repository]]` once or more: never none.
///
/// They stand in the order of the file. The first is the one that is read where nobody names another.
#[derive(Debug, Clone)]
pub struct Repositories(Vec<Repository>);

impl Default for Repositories {
    fn default() -> Self {
        Self(vec![Repository::default()])
    }
}

impl Repositories {
    /// The first one.
    #[must_use]
    pub fn first(&self) -> &Repository {
        self.0.first().expect("there is never none")
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Repository] {
        &self.0
    }

    /// Their names, in the order of the file.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        let names = self.0.iter().filter_map(|one| one.name.as_deref());
        names.collect()
    }

    /// The one of this name or URL, if there is one.
    ///
    /// # Errors
    /// If none is called so.
    pub fn named(&self, wanted: &str) -> Result<&Repository, Error> {
        let fits = |one: &&Repository| one.name.as_deref() == Some(wanted) || one.url == wanted;
        self.0.iter().find(fits).ok_or_else(|| Error::NoRepository {
            wanted: wanted.to_owned(),
            known: self.names().join(", "),
        })
    }

    /// Leaves the one that a flag asked for; of a single one, a flag may also say another URL.
    pub(super) fn choose(&mut self, wanted: &str) -> Result<(), Error> {
        let chosen = match (self.named(wanted), self.0.as_slice()) {
            (Ok(found), _) => found.clone(),
            (Err(_), [only]) => Repository {
                name: None,
                url: wanted.to_owned(),
                ..only.clone()
            },
            (Err(error), _) => return Err(error),
        };
        self.0 = vec![chosen];
        Ok(())
    }

    /// Gives what the environment says of stores to those that have no file of their own.
    pub(super) fn equip(&mut self, options: &BTreeMap<String, Secret>) {
        let without_file = |one: &&mut Repository| one.credentials_file.is_none();
        for repository in self.0.iter_mut().filter(without_file) {
            repository.options.clone_from(options);
        }
    }

    /// Refuses names that are missing, unusable or given twice, and a place that stands there twice.
    pub(super) fn check(&self) -> Result<(), Error> {
        let senseless = |key, problem| {
            Err(Error::Senseless {
                table: "repository",
                key,
                problem,
            })
        };
        let (mut names, mut places) = (BTreeSet::new(), BTreeSet::new());
        for repository in &self.0 {
            let place = repository.url.trim_end_matches('/');
            let several = self.0.len() > 1;
            match &repository.name {
                None if several => {
                    let problem = format!(
                        "where there are several repositories each needs a name; {:?} has none",
                        repository.url
                    );
                    return senseless("name", problem);
                }
                Some(name) if name.parse::<ClusterName>().is_err() => {
                    let problem = format!(
                        "`{name}` is no name: up to 64 letters, digits, dots, dashes and underscores"
                    );
                    return senseless("name", problem);
                }
                Some(name) if !names.insert(name) => {
                    return senseless("name", format!("two repositories are called `{name}`"));
                }
                _ => {}
            }
            if !places.insert((place, &repository.endpoint)) {
                let problem = format!("two repositories are at {:?}", repository.url);
                return senseless("url", problem);
            }
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Repositories {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

/// Reads a table as one repository, and a list of tables as several.
struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = Repositories;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[repository], or [[repository]] for each of several")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Repositories, A::Error> {
        let one = Repository::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Repositories(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut tables: A) -> Result<Repositories, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = tables.next_element()? {
            all.push(one);
        }
        match all.is_empty() {
            true => Ok(Repositories::default()),
            false => Ok(Repositories(all)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Config, Layers};
    use super::*;

    const TWO: &str = "[retention]\nkeep_last = 5\n
[[repository]]\nname = \"near\"\nurl = \"file:///near\"\n
[[repository]]\nname = \"far\"\nurl = \"s3://far\"\ncredentials_file = \"/far\"\n[repository.retention]\nkeep_daily = 2\n";

    fn layers(text: &str) -> Layers {
        Layers::default().file(text, "etcdrx.toml").unwrap()
    }

    fn refused(text: &str) -> String {
        let layers = Layers::default().file(text, "etcdrx.toml");
        let refused = layers.and_then(Layers::finish).unwrap_err();
        refused.to_string()
    }

    fn variable(name: &str, value: &str) -> [(String, String); 1] {
        [(name.to_owned(), value.to_owned())]
    }

    #[test]
    fn each_repository_has_a_retention_of_its_own_or_the_one_for_all() {
        let config: Config = layers(TWO).finish().unwrap();
        let [near, far] = config.repositories.all() else {
            panic!("{config:?}");
        };
        assert_eq!(config.repository().url, "file:///near");
        assert_eq!(config.retention_of(near).keep_last, 5);
        assert_eq!(config.retention_of(far).keep_last, 0);
        assert_eq!(config.retention_of(far).keep_daily, 2);
    }

    #[test]
    fn one_in_a_list_is_as_good_as_one_by_itself() {
        let one = "[[repository]]\nurl = \"file:///near\"\n";
        let config = layers(one)
            .environment(variable("ETCDRX_REPOSITORY_URL", "file:///else"))
            .unwrap()
            .finish()
            .unwrap();
        assert_eq!(config.repository().url, "file:///else");
    }

    #[test]
    fn a_variable_that_could_mean_any_of_several_is_refused() {
        let error = layers(TWO)
            .environment(variable("ETCDRX_REPOSITORY_URL", "file:///else"))
            .unwrap_err();
        assert!(error.to_string().contains("ETCDRX_REPOSITORY_URL"));
        assert!(error.to_string().contains("several"), "{error}");
    }

    #[test]
    fn a_flag_chooses_by_name_or_url_and_says_which_there_are() {
        let chosen = |wanted: &str| layers(TWO).wanted_repository(Some(wanted)).finish();
        assert_eq!(chosen("far").unwrap().repository().url, "s3://far");
        assert_eq!(chosen("s3://far").unwrap().repositories.all().len(), 1);
        let error = chosen("fra").unwrap_err().to_string();
        assert_eq!(error, "no repository is called `fra`; there are: near, far");
    }

    #[test]
    fn what_the_environment_says_of_stores_is_not_for_one_with_a_file_of_its_own() {
        let config = layers(TWO)
            .environment(variable("AWS_ACCESS_KEY_ID", "key"))
            .unwrap()
            .finish()
            .unwrap();
        let counts: Vec<_> = config
            .repositories
            .all()
            .iter()
            .map(|r| r.options.len())
            .collect();
        assert_eq!(counts, [1, 0]);
    }

    #[test]
    fn names_and_places_are_each_their_own() {
        let two =
            |a: &str, b: &str| refused(&format!("[[repository]]\n{a}\n[[repository]]\n{b}\n"));
        assert!(
            two("name = \"a\"\nurl = \"file:///a\"", "url = \"file:///b\"")
                .contains("needs a name")
        );
        assert!(
            two(
                "name = \"a\"\nurl = \"file:///a\"",
                "name = \"a\"\nurl = \"file:///b\""
            )
            .contains("two repositories are called `a`")
        );
        assert!(
            two(
                "name = \"a\"\nurl = \"file:///a\"",
                "name = \"b\"\nurl = \"file:///a\""
            )
            .contains("two repositories are at")
        );
        assert!(refused("[repository]\nname = \"a b\"\n").contains("no name"));
        assert!(
            refused("[repository.retention]\nkeep_lats = 1\n").contains("did you mean `keep_last`")
        );
        let wrong = layers_error("[[repository]]\nname = \"a\"\nallow_http = 3\n");
        assert!(wrong.contains("line 3"), "{wrong}");
    }

    fn layers_error(text: &str) -> String {
        match Layers::default().file(text, "etcdrx.toml") {
            Err(Error::Invalid { source, .. }) => source.to_string(),
            other => panic!("{other:?}"),
        }
    }
}
