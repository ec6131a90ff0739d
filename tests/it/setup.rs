//! Where one test works: a temporary folder with an `etcdrx.toml`, a `file://` repository, and the program to run there.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::scratch::{Cluster, Etcdrx, Output};

/// The cluster's folder in the repository, unless a test says otherwise.
pub(crate) const FOLDER: &str = "scratch";

/// The program, in a clean environment.
pub(crate) fn etcdrx() -> Etcdrx {
    Etcdrx::new(env!("CARGO_BIN_EXE_etcdrx"))
}

/// A temporary folder in which etcdrx runs.
pub(crate) struct Workplace {
    directory: TempDir,
}

impl Workplace {
    /// An empty one, without a configuration.
    pub(crate) fn new() -> Workplace {
        let directory = TempDir::with_prefix("etcdrx-workplace-");
        Workplace {
            directory: directory.expect("a temporary folder can be made"),
        }
    }

    /// One whose `etcdrx.toml` leads to `cluster`, as root, and to a repository in the folder.
    pub(crate) fn of(cluster: &Cluster) -> Workplace {
        let workplace = Workplace::new();
        workplace.configure(&workplace.settings(cluster));
        workplace
    }

    /// The program as it runs here.
    pub(crate) fn etcdrx(&self) -> Etcdrx {
        etcdrx().directory(self.directory.path())
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What leads to `cluster`, as root, and to a repository in the folder.
    pub(crate) fn settings(&self, cluster: &Cluster) -> Settings {
        let text = |path: &Path| path.display().to_string();
        let settings = self
            .bare_settings()
            .set("cluster.endpoints", cluster.endpoints());
        match (cluster.pki(), cluster.root_identity()) {
            (Some(pki), Some(root)) => settings
                .set("cluster.ca", text(&pki.ca()))
                .set("cluster.cert", text(&root.cert))
                .set("cluster.key", text(&root.key)),
            _ => settings,
        }
    }

    /// A cluster's name and a repository, and no way to etcd.
    pub(crate) fn bare_settings(&self) -> Settings {
        let url = format!("file://{}", self.repository().display());
        Settings::default()
            .set("cluster.name", FOLDER)
            .set("repository.url", url)
    }

    /// Writes `etcdrx.toml`.
    pub(crate) fn configure(&self, settings: &Settings) {
        let text = settings.0.to_string();
        fs::write(self.path("etcdrx.toml"), text).expect("the configuration can be written");
    }

    /// The repository, which the first backup makes.
    pub(crate) fn repository(&self) -> PathBuf {
        self.path("repository")
    }

    /// The listed backups, newest first, as `etcdrx list --json` shows them.
    pub(crate) fn backups(&self) -> Vec<Value> {
        let listed = self.etcdrx().run(["list", "--json"]).success().json();
        let backups = listed["backups"].as_array();
        backups.expect("`backups` is a list").clone()
    }

    /// Every file in the repository, and with a slash every empty folder, as paths below the cluster's folder.
    pub(crate) fn stored(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.repository().join(FOLDER), "", &mut found);
        found.sort();
        found
    }

    /// Panics unless the repository holds the data and the manifests of the listed backups and nothing else: no lock,
    /// no temporary file, no data of a run that failed.
    pub(crate) fn assert_holds_only_whole_backups(&self, count: usize) {
        let backups = self.backups();
        let mut expected: Vec<String> = backups
            .iter()
            .filter_map(|backup| backup["id"].as_str())
            .flat_map(|id| {
                [
                    format!("{id}/manifest.json"),
                    format!("{id}/snapshot.db.zst"),
                ]
            })
            .collect();
        expected.sort();
        assert_eq!(self.stored(), expected);
        assert_eq!(backups.len(), count);
    }
}

fn walk(folder: &Path, prefix: &str, found: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let entry = entry.expect("the repository can be listed");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if !entry.path().is_dir() {
            found.push(name);
            continue;
        }
        let before = found.len();
        walk(&entry.path(), &format!("{name}/"), found);
        if found.len() == before {
            found.push(format!("{name}/"));
        }
    }
}

/// The content of an `etcdrx.toml` in the making.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(toml::Table);

impl Settings {
    /// Sets a key, named as `table.key`.
    pub(crate) fn set(mut self, key: &str, value: impl Into<toml::Value>) -> Settings {
        let (table, key) = key.split_once('.').expect("a key is named as table.key");
        let table = self.0.entry(table).or_insert(toml::Table::new().into());
        let table = table.as_table_mut().expect("every entry is a table");
        table.insert(key.to_owned(), value.into());
        self
    }

    /// Sets several repositories in place of the one: the name of each, and what else stands in its table.
    pub(crate) fn repositories(mut self, all: &[(&str, &str)]) -> Settings {
        let tables = all.iter().map(|(name, rest)| {
            let table = format!("name = {name:?}\n{rest}").parse::<toml::Table>();
            toml::Value::Table(table.expect("a table is TOML"))
        });
        let all = toml::Value::Array(tables.collect());
        self.0.insert("repository".to_owned(), all);
        self
    }

    /// Leaves a key out again.
    pub(crate) fn without(mut self, key: &str) -> Settings {
        let (table, key) = key.split_once('.').expect("a key is named as table.key");
        let table = self.0.get_mut(table).and_then(toml::Value::as_table_mut);
        table.map(|table| table.remove(key));
        self
    }
}

/// Panics unless the program ended with `code` and said all of `words` on stderr.
pub(crate) fn assert_ends(output: &Output, code: i32, words: &[&str]) {
    assert_eq!(output.code, code, "{output:?}");
    for word in words {
        assert!(output.stderr.contains(word), "no {word:?} in\n{output:?}");
    }
}

/// The codes of the findings in a JSON document.
pub(crate) fn codes(document: &Value) -> Vec<&str> {
    let findings = document["findings"].as_array();
    let findings = findings.expect("`findings` is a list");
    findings
        .iter()
        .filter_map(|finding| finding["code"].as_str())
        .collect()
}
