//! What killed runs left behind, and its removal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use super::Error;
use super::folder::Folder;
use super::lock::LockRecord;
use super::open::Large;
use crate::id::BackupId;
use crate::manifest::{ATTACHMENTS, DATA, ENCRYPTED_DATA, MANIFEST};

/// A temporary file that an interrupted write left in a `file://` repository; no listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemporaryFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its key as if it were an object, for messages.
    pub key: String,
    /// Its size.
    pub size_bytes: u64,
    /// When it was last written.
    pub modified: DateTime<Utc>,
}

impl Folder {
    /// Removes what a run left that did not commit: its multipart upload, its temporary files, its data.
    ///
    /// # Errors
    /// If the store fails; the next run tries again.
    pub(super) async fn sweep_after(&self, run: &LockRecord) -> Result<(), Error> {
        let Some(backup) = &run.backup else {
            return Ok(());
        };
        // Asked for by its name: there are stores whose listings lag behind.
        match self.stat(&format!("{backup}/{MANIFEST}")).await {
            Ok(_) => return self.tidy(backup.as_str()),
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        self.abort_uploads(run, backup).await?;
        for object in self.list_backup(backup).await? {
            self.remove(&object.key).await?;
        }
        self.tidy(backup.as_str())?;
        self.remove_folder(backup).await
    }

    /// Removes a backup's folder from a store that keeps folders with nothing in them.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn remove_folder(&self, backup: &BackupId) -> Result<(), Error> {
        match &self.repository.large {
            Large::WebDav(webdav) if self.list_backup(backup).await?.is_empty() => {
                webdav.remove_folder(&self.path(backup.as_str())).await
            }
            Large::WebDav(_) | Large::Multipart(_) | Large::Local(_) => Ok(()),
        }
    }

    /// Ends the upload that the run has noted, or one that it began and had no time to note.
    async fn abort_uploads(&self, run: &LockRecord, backup: &BackupId) -> Result<(), Error> {
        if let Some(upload) = &run.upload {
            return self.abort_upload(&upload.key, &upload.id).await;
        }
        let Some(bucket) = &self.repository.bucket else {
            return Ok(());
        };
        for name in [DATA, ENCRYPTED_DATA, ATTACHMENTS] {
            let key = format!("{backup}/{name}");
            match bucket.unfinished(&self.path(&key)).await {
                Ok(ids) => {
                    for id in ids {
                        self.abort_upload(&key, &id).await?;
                    }
                }
                // A right that nothing else needs: without it, the bucket's own rules have to sweep.
                Err(error) => tracing::warn!(%error, "cannot look for unfinished uploads"),
            }
        }
        Ok(())
    }

    /// Removes the temporary files whose keys begin with `prefix`, and the directory above them if that is empty then.
    ///
    /// # Errors
    /// If the file system fails.
    pub(super) fn tidy(&self, prefix: &str) -> Result<(), Error> {
        let Large::Local(root) = &self.repository.large else {
            return Ok(());
        };
        for file in self.temporary_files()? {
            if file.key.starts_with(prefix) {
                self.remove_temporary(&file)?;
            }
        }
        let top = prefix.split('/').next().unwrap_or(prefix);
        // Fails where something else is in it, or where it is gone, which is as it should be.
        let _ = fs::remove_dir(root.join(self.path(top).as_ref()));
        Ok(())
    }

    /// The temporary files in the folder; other stores than `file://` have none.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn temporary_files(&self) -> Result<Vec<TemporaryFile>, Error> {
        let Large::Local(root) = &self.repository.large else {
            return Ok(Vec::new());
        };
        let base = root.join(self.path("").as_ref());
        let mut found = Vec::new();
        walk(&base, &base, &mut found).map_err(|source| Error::Local {
            action: "list",
            object: base.display().to_string(),
            source,
        })?;
        Ok(found)
    }

    /// Removes one of them, and its directory if that is empty then.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn remove_temporary(&self, file: &TemporaryFile) -> Result<(), Error> {
        match fs::remove_file(&file.path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(Error::Local {
                    action: "remove",
                    object: file.path.display().to_string(),
                    source,
                });
            }
            _ => {}
        }
        if let Some(parent) = file.path.parent() {
            // Fails where something else is in it, which is as it should be.
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }
}

fn walk(base: &Path, directory: &Path, found: &mut Vec<TemporaryFile>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            walk(base, &path, found)?;
        } else if is_temporary(&entry.file_name().to_string_lossy()) {
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata?,
            };
            let key = path.strip_prefix(base).unwrap_or(&path);
            found.push(TemporaryFile {
                key: key.display().to_string(),
                size_bytes: metadata.len(),
                modified: metadata.modified()?.into(),
                path,
            });
        }
    }
    Ok(())
}

/// `object_store` writes `name#1` before it renames it to `name`.
fn is_temporary(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, number)| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}
