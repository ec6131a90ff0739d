//! The record whose presence makes a backup exist.

use std::fmt::Display;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::id::{BackupId, ClusterId, ClusterName, Digest, MemberId, Revision};

/// The manifest format that this release writes, and the newest one that it reads.
pub const FORMAT: u32 = 1;

/// The name of the object that makes a backup exist.
pub const MANIFEST: &str = "manifest.json";
/// The name of the signature over it, where it is signed.
pub const SIGNATURE: &str = "manifest.sig";
/// The name of the data object beside it.
pub const DATA: &str = "snapshot.db.zst";

/// The name of the data object where it is encrypted.
pub const ENCRYPTED_DATA: &str = "snapshot.db.zst.age";

/// The name of the object that holds the attachments.
pub const ATTACHMENTS: &str = "attachments.tar.zst.age";

/// Why a manifest could not be used.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The object is not the JSON document that it should be.
    #[error("the manifest is not readable")]
    Garbage { source: serde_json::Error },

    /// A later release wrote it.
    #[error(
        "the manifest has format {format}, and this release reads up to format {FORMAT}: etcdrx {written_by} or newer reads it"
    )]
    TooNew { format: u32, written_by: String },

    /// The manifest names another backup than the folder that it lies in.
    #[error("the manifest in the folder of {folder} is that of {id}")]
    Misplaced { folder: BackupId, id: BackupId },
}

/// The hash that a member computes over its key-value store (the `HashKV` call).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashKv {
    /// The revision up to which the store was hashed.
    pub revision: Revision,
    /// The compaction that the hash depends on; -1 where there was none.
    pub compact_revision: Revision,
    /// CRC-32C over the records.
    pub hash: u32,
}

/// How far a finding goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Look at it soon.
    Warning,
    /// Data or a promise is in doubt.
    Error,
}

/// One thing that a verb holds against a backup or a setup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How far it goes.
    pub severity: Severity,
    /// A fixed word for programs, such as `no-quorum`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

impl Finding {
    /// Makes a finding of severity [`Severity::Error`].
    pub fn error(code: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// Makes a finding of severity [`Severity::Info`].
    pub fn note(code: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Info,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// Makes a finding of severity [`Severity::Warning`].
    pub fn warning(code: &str, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            code: code.to_owned(),
            message: message.into(),
        }
    }

    /// The same, with a word before its sentence that says of what it is.
    #[must_use]
    pub fn about(self, what: impl Display) -> Self {
        Self {
            message: format!("{what}: {}", self.message),
            ..self
        }
    }
}

/// The side files that are stored with a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachments {
    /// The file name of their object in the backup's folder.
    pub object: String,
    /// The paths that were attached, as the configuration names them.
    pub paths: Vec<String>,
    /// How many regular files are in it.
    pub files: u64,
    /// The size of the stored object.
    pub stored_size_bytes: u64,
    /// SHA-256 of the stored object.
    pub stored_sha256: Digest,
}

/// Everything that is known of a backup at the moment at which it begins to exist.
///
/// Written once and never edited. What is learnt later (verifications, pins) lies in objects beside it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format version of this document: readers refuse a greater one.
    pub format: u32,
    /// The release of etcdrx that wrote it.
    pub etcdrx_version: String,
    /// The identity of the backup.
    pub id: BackupId,
    /// The cluster's name, which is its folder.
    pub cluster: ClusterName,
    /// The cluster's id as etcd knows it: another id in the same folder means a restored cluster.
    pub cluster_id: ClusterId,
    /// The member that streamed the snapshot.
    pub member_id: MemberId,
    /// Its name; empty where the member list could not be read.
    pub member_name: String,
    /// The endpoint through which it was reached.
    pub endpoint: String,
    /// Why this member was chosen, in words.
    pub member_choice: String,
    /// The version of etcd that the member runs.
    pub etcd_version: String,
    /// The storage version in the database (`3.6.0`); absent before etcd 3.6.
    pub storage_version: Option<String>,
    /// The newest revision in the snapshot, read from the stream itself.
    pub revision: Revision,
    /// The revision up to which history was compacted; absent if it never was.
    pub compact_revision: Option<Revision>,
    /// The index of the last raft entry that the database holds.
    pub raft_index: u64,
    /// The term of that entry.
    pub raft_term: u64,
    /// Whether the cluster could serve linearizable reads when the snapshot was taken.
    pub quorum: bool,
    /// The revision of a linearizable read made before the snapshot; the snapshot is not older.
    pub linearizable_revision: Option<Revision>,
    /// When the backup started.
    pub started_at: DateTime<Utc>,
    /// When its data was stored and proven.
    pub completed_at: DateTime<Utc>,
    /// The size of the database, without the 32 bytes of the trailer.
    pub db_size_bytes: u64,
    /// The size of the stored object.
    pub stored_size_bytes: u64,
    /// SHA-256 of the snapshot file as etcd streamed it, trailer included.
    pub snapshot_sha256: Digest,
    /// SHA-256 of the stored object.
    pub stored_sha256: Digest,
    /// The file name of the stored object in the backup's folder.
    pub object: String,
    /// How it is compressed: `zstd`.
    pub compression: String,
    /// How it is encrypted: absent or `age`.
    pub encryption: Option<String>,
    /// For whom: their public keys. Empty where it is not encrypted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<String>,
    /// The side files that are stored with it; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attachments: Option<Attachments>,
    /// The hash of the snapshot's own records, as a member computes it; the member's, where the database is not sound.
    pub hashkv: Option<HashKv>,
    /// How many keys were alive at the snapshot's revision; absent where the database is not sound.
    pub keys: Option<u64>,
    /// When the stored object was read back and found whole, before this record was written.
    pub verified_at: Option<DateTime<Utc>>,
    /// How: `read-back`.
    pub verified_how: Option<String>,
    /// What was noticed while the backup was taken.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// The two fields that every format keeps, whatever else changes.
#[derive(Deserialize)]
struct Header {
    format: u32,
    #[serde(default)]
    etcdrx_version: String,
}

impl Manifest {
    /// Reads a manifest that lies in the folder of `folder`.
    ///
    /// # Errors
    /// If it is no manifest, is of a later format, or belongs to another backup.
    pub fn from_json(json: &[u8], folder: &BackupId) -> Result<Self, Error> {
        let header: Header =
            serde_json::from_slice(json).map_err(|source| Error::Garbage { source })?;
        if header.format > FORMAT {
            return Err(Error::TooNew {
                format: header.format,
                written_by: header.etcdrx_version,
            });
        }
        let manifest: Self =
            serde_json::from_slice(json).map_err(|source| Error::Garbage { source })?;
        if manifest.id != *folder {
            return Err(Error::Misplaced {
                folder: folder.clone(),
                id: manifest.id,
            });
        }
        Ok(manifest)
    }

    /// SHA-256 and size of one of its objects, where the manifest tells them.
    #[must_use]
    pub fn stored(&self, object: &str) -> Option<(Digest, u64)> {
        if object == self.object {
            return Some((self.stored_sha256, self.stored_size_bytes));
        }
        let attachments = self.attachments.as_ref()?;
        (object == attachments.object)
            .then_some((attachments.stored_sha256, attachments.stored_size_bytes))
    }

    /// Writes the manifest as the indented JSON that is stored.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut json =
            serde_json::to_vec_pretty(self).expect("a manifest holds nothing that JSON cannot");
        json.push(b'\n');
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manifest as release 0.1.0 writes it, which every later release must read.
    const GOLDEN: &[u8] = include_bytes!("../tests/data/manifest-1.json");

    #[test]
    fn the_golden_manifest_reads_and_writes_unchanged() {
        let folder = "20261121T103000Z-9f3a1c".parse().unwrap();
        let manifest = Manifest::from_json(GOLDEN, &folder).unwrap();
        assert_eq!(
            String::from_utf8(manifest.to_json()).unwrap(),
            String::from_utf8_lossy(GOLDEN)
        );
    }

    #[test]
    fn unknown_fields_are_ignored_and_newer_formats_refused() {
        let folder = "20261121T103000Z-9f3a1c".parse().unwrap();
        let mut json: serde_json::Value = serde_json::from_slice(GOLDEN).unwrap();
        json["invented_later"] = true.into();
        assert!(Manifest::from_json(json.to_string().as_bytes(), &folder).is_ok());

        json["format"] = 2.into();
        json["etcdrx_version"] = "7.0.0".into();
        let error = Manifest::from_json(json.to_string().as_bytes(), &folder).unwrap_err();
        assert!(error.to_string().contains("etcdrx 7.0.0 or newer reads it"));
    }

    #[test]
    fn a_manifest_in_another_backups_folder_is_refused() {
        let folder = "20261121T103000Z-000000".parse().unwrap();
        let error = Manifest::from_json(GOLDEN, &folder).unwrap_err();
        assert!(matches!(error, Error::Misplaced { .. }));
    }
}
