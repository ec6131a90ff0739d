//! What the database of a member says.

use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::backend::{self, Contents, Store, contents};
use crate::id::Revision;
use crate::manifest::Finding;
use crate::progress::told;

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

impl DatabaseFacts {
    /// Reads a database that no process holds; with `quick` only its edges. What is wrong with it is a finding.
    ///
    /// # Errors
    /// If it cannot be read, or is damaged.
    pub fn read(path: &Path, quick: bool) -> Result<Self, Finding> {
        let file = File::open(path).map_err(|error| {
            let message = format!("cannot read {}: {error}", path.display());
            Finding::error("database-unreadable", message)
        })?;
        facts(file, quick).map_err(|error| {
            let message = format!("{}: {}", path.display(), told(&error));
            Finding::error("database-damaged", message)
        })
    }
}

fn facts(file: File, quick: bool) -> Result<DatabaseFacts, backend::Error> {
    let store = Store::open(file)?;
    let status = match quick {
        true => None,
        false => Some(backend::status(&store)?),
    };
    let storage_version = store.value("meta", "storageVersion")?;
    Ok(DatabaseFacts {
        size_bytes: store.database().size_bytes(),
        revision: store.revision()?,
        compact_revision: store.compact_revision()?,
        storage_version: storage_version.map(|text| String::from_utf8_lossy(&text).into_owned()),
        checked: !quick,
        live_keys: status.map(|status| status.live_keys),
        contents: contents(&store)?,
    })
}
