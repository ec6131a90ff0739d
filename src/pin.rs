//! Exempts a backup from retention, or ends the exemption.

use chrono::{DateTime, Utc};

use crate::catalog::PIN;
use crate::id::BackupId;
use crate::repository::{Error, Folder};

/// Pins a backup; one that is pinned already stays so.
///
/// # Errors
/// If the store fails.
pub async fn pin(folder: &Folder, id: &BackupId, now: DateTime<Utc>) -> Result<(), Error> {
    let json = serde_json::json!({ "pinned_at": now }).to_string();
    folder.put(&format!("{id}/{PIN}"), json).await
}

/// Unpins a backup; one that is not pinned is fine.
///
/// # Errors
/// If the store fails.
pub async fn unpin(folder: &Folder, id: &BackupId) -> Result<(), Error> {
    folder.remove(&format!("{id}/{PIN}")).await
}
