//! The moment at which a backup begins to exist: its manifest is written under the lock, and read back.

use super::Error;
use super::lock::{Lock, LockError};
use crate::id::BackupId;
use crate::manifest::MANIFEST;

/// Why a backup does not exist after all.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The lock was lost, or nobody can tell.
    #[error("cannot commit")]
    Lock { source: LockError },

    /// The store failed.
    #[error("cannot commit")]
    Store { source: Error },

    /// The manifest that the store gives back is another.
    #[error("the manifest of {id} reads back differently from how it was written")]
    ReadBack { id: BackupId },
}

impl Lock {
    /// Writes `manifest` if there is none of that backup, reads it back, and makes sure that the lock was ours all the while.
    ///
    /// All else that belongs to the backup lies in the store already.
    ///
    /// # Errors
    /// If the manifest is not there in the end, or nobody can tell.
    pub async fn commit(&self, id: &BackupId, manifest: &[u8]) -> Result<(), CommitError> {
        let store = |source| CommitError::Store { source };
        let lock = |source| CommitError::Lock { source };
        self.confirm().await.map_err(lock)?;
        let key = format!("{id}/{MANIFEST}");
        let folder = &self.folder;
        folder
            .create(&key, manifest.to_vec())
            .await
            .map_err(store)?;
        let found = folder.read(&key).await.map_err(store)?;
        let held = self.confirm().await.map_err(lock);
        if found == manifest && held.is_ok() {
            return Ok(());
        }
        // A record that reads differently, or whose data another run may be sweeping away, is not to be listed.
        folder.remove(&key).await.map_err(store)?;
        held.and(Err(CommitError::ReadBack { id: id.clone() }))
    }
}
