//! What an operator decides about a recovery.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::playbook::Way;
use super::scenario::Scenario;
use crate::id::Revision;

/// What an operator decides about a recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// What happened.
    pub scenario: Scenario,
    /// Where the data come from; the best that there is if nothing is said.
    pub from: Option<From>,
    /// The member that it is about; the only one that is not well if nothing is said.
    pub member: Option<String>,
    /// Members of which somebody knows that they neither run nor will be started.
    pub fenced: Vec<String>,
    /// Members at new places.
    pub new_nodes: Vec<NewNode>,
    /// The way out; the best that there is if nothing is said.
    pub way: Option<Way>,
    /// Leaves revisions as they are: watchers will miss events.
    pub keep_revisions: bool,
}

/// Where the data of a cluster that begins anew come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum From {
    /// A survivor that runs.
    Live,
    /// The directory of a member that does not.
    Salvage,
    /// Its database file alone.
    Database,
    /// A backup, by its id or `latest`.
    Backup(String),
    /// A snapshot file.
    File(SnapshotFile),
}

/// A snapshot file, as it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Whether it has the trailer that proves it whole.
    pub has_trailer: bool,
    /// Its newest revision, where it can be read.
    pub revision: Option<Revision>,
    /// Its size.
    pub size_bytes: u64,
}

/// A member at a new place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewNode {
    /// Its name: that of a node in the configuration.
    pub name: String,
    /// Its peer URL.
    pub peer_url: String,
}

impl Choices {
    /// What follows if nobody decides anything else.
    #[must_use]
    pub fn of(scenario: Scenario) -> Self {
        Self {
            scenario,
            from: None,
            member: None,
            fenced: Vec::new(),
            new_nodes: Vec::new(),
            way: None,
            keep_revisions: false,
        }
    }

    /// Whether somebody stands for it that this member does not run.
    #[must_use]
    pub fn is_fenced(&self, member: &str) -> bool {
        self.fenced.iter().any(|name| name == member)
    }
}
