//! What the database of a member says.

use serde::{Deserialize, Serialize};

use crate::backend::Contents;
use crate::id::Revision;

/// What the database of a member says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseFacts {
    /// Its size.
    pub size_bytes: u64,
    /// Its newest revision.
    pub revision: Revision,
    /// Up to where it is compacted.
    pub compact_revision: Option<Revision>,
    /// The version of its schema; absent before 3.6.
    pub storage_version: Option<String>,
    /// Whether every page and record was looked at.
    pub checked: bool,
    /// How many keys there are, if it was checked.
    pub live_keys: Option<u64>,
    /// Members, alarms, users.
    pub contents: Contents,
}
