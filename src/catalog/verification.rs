//! What was found when a backup was looked at later: one object for each time, beside the manifest.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::BackupId;
use crate::manifest::Finding;
use crate::repository::{self, Folder};

/// What the names of verification records begin with.
const VERIFICATION: &str = "verification-";
/// How a backup was verified whose stored bytes alone were looked at, since nothing opened them.
pub const STORED: &str = "stored";

/// What one verification found; an object beside the manifest, written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verification {
    /// When.
    pub at: DateTime<Utc>,
    /// How: `full`, `deep`, `drill`, or [`STORED`].
    pub how: String,
    /// Whether the backup was found to be what was written.
    pub ok: bool,
    /// What was held against it.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// Whether an object of this name, beside a manifest, is the record of a verification.
#[must_use]
pub fn is_verification(name: &str) -> bool {
    name.starts_with(VERIFICATION)
}

impl Verification {
    /// Stores it beside the manifest of `backup`.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn store(&self, folder: &Folder, backup: &BackupId) -> Result<(), repository::Error> {
        let name = BackupId::new(self.at, rand::random());
        let json = serde_json::to_vec_pretty(self);
        let json = json.expect("a verification holds nothing that JSON cannot");
        let key = format!("{backup}/{VERIFICATION}{name}.json");
        folder.put(&key, json).await
    }
}
