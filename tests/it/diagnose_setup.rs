//! One look of `etcdrx diagnose` at a cluster, and what it says.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scratch::{Cluster, EtcdRelease, Etcdrx, Output, tools};
use crate::setup::Workplace;

/// An answer takes no longer than this, whoever hangs; a loaded machine included.
pub(crate) const LIMIT: Duration = Duration::from_secs(6);

/// What a diagnosis said.
pub(crate) struct Look {
    pub(crate) output: Output,
    pub(crate) json: Value,
    pub(crate) elapsed: Duration,
}

/// Looks with the configuration of a workplace.
pub(crate) fn look(workplace: &Workplace) -> Look {
    look_with(&workplace.etcdrx(), &[])
}

/// Looks with more flags.
pub(crate) fn look_with(etcdrx: &Etcdrx, flags: &[&str]) -> Look {
    let began = Instant::now();
    let mut arguments = vec!["diagnose", "--json"];
    arguments.extend(flags);
    let output = etcdrx.run(arguments);
    let elapsed = began.elapsed();
    Look {
        json: output.json(),
        output,
        elapsed,
    }
}

impl Look {
    /// Panics unless the worst condition, the scenario and the exit code are these, and the answer came in time.
    pub(crate) fn assert_is(&self, condition: &str, scenario: Option<&str>, code: i32) {
        assert_eq!(self.json["condition"], condition, "{:?}", self.output);
        assert_eq!(
            self.json["scenario"].as_str(),
            scenario,
            "{:?}",
            self.output
        );
        assert_eq!(self.output.code, code, "{:?}", self.output);
        assert!(
            self.elapsed < LIMIT,
            "{:?}\n{:?}",
            self.elapsed,
            self.output
        );
    }

    /// Panics unless one line of the evidence holds all of `words`.
    pub(crate) fn assert_evidence(&self, words: &[&str]) {
        let evidence = self.json["evidence"].as_array().unwrap();
        let holds = |line: &&Value| {
            let line = line.as_str().unwrap();
            words.iter().all(|word| line.contains(word))
        };
        assert!(
            evidence.iter().any(|line| holds(&line)),
            "{words:?}\n{:?}",
            self.output
        );
    }

    /// The codes of all conditions, the worst first.
    pub(crate) fn conditions(&self) -> Vec<&str> {
        let conditions = self.json["conditions"].as_array().unwrap();
        let codes = conditions
            .iter()
            .map(|one| one["condition"].as_str().unwrap());
        codes.collect()
    }

    /// The class of a member.
    pub(crate) fn class(&self, name: &str) -> &str {
        self.member(name)["class"].as_str().unwrap()
    }

    /// A member as it was seen.
    pub(crate) fn member(&self, name: &str) -> &Value {
        let members = self.json["members"].as_array().unwrap();
        let found = members.iter().find(|member| member["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in\n{:?}", self.output))
    }

    /// The commands that are proposed.
    pub(crate) fn commands(&self) -> Vec<&str> {
        let ways = self.json["ways"].as_array().unwrap();
        ways.iter()
            .map(|way| way["command"].as_str().unwrap())
            .collect()
    }
}

/// The two versions that most clusters run.
pub(crate) fn two_versions() -> Vec<EtcdRelease> {
    ["3.5", "3.6"].into_iter().filter_map(tools::etcd).collect()
}

/// A cluster of three, and a workplace that leads to it.
pub(crate) async fn three(release: &EtcdRelease) -> (Cluster, Workplace) {
    let cluster = Cluster::of(release).members(3).start().await;
    cluster.put_many("key/", 30, 20).await;
    let workplace = Workplace::of(&cluster);
    (cluster, workplace)
}

/// Adds the nodes of `cluster` to the configuration, with their URLs and nothing else: where nobody answers, nobody else names them.
pub(crate) fn name_the_nodes(workplace: &Workplace, cluster: &Cluster) {
    let path = workplace.path("etcdrx.toml");
    let mut text = fs::read_to_string(&path).unwrap();
    for member in &cluster.members {
        let node = format!(
            "[[node]]\nname = \"{}\"\nclient_url = \"{}\"\npeer_url = \"{}\"\n",
            member.name(),
            member.client_url(),
            member.peer_url()
        );
        text.push_str(&node);
    }
    fs::write(path, text).unwrap();
}

/// Changes the last byte of a value wherever it stands in the file.
pub(crate) fn rot(db: &Path, value: &[u8]) {
    let mut bytes = fs::read(db).unwrap();
    let places: Vec<usize> = bytes
        .windows(value.len())
        .enumerate()
        .filter_map(|(at, window)| (window == value).then_some(at))
        .collect();
    assert!(!places.is_empty(), "the value is in the database");
    for at in places {
        bytes[at + value.len() - 1] ^= 1;
    }
    fs::write(db, bytes).unwrap();
}
