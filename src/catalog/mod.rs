//! The backups of a cluster's folder, as its manifests tell them: computed, never stored.

mod verification;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use thiserror::Error;

use crate::id::{BackupId, ClusterId};
use crate::manifest::{self, MANIFEST, Manifest, SIGNATURE};
use crate::repository::{self, Folder, Object};
use crate::retention::{Candidate, Health};

pub use verification::{STORED, Verification, is_verification};

/// The name of the object that exempts a backup from retention.
pub const PIN: &str = "pin.json";
/// How many small objects are read at once.
const PARALLEL: usize = 16;

/// Why a backup was not found.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The repository failed.
    #[error("cannot read the catalog")]
    Repository { source: repository::Error },

    /// There is nothing to choose from.
    #[error("there is no backup in {folder}")]
    Empty { folder: String },

    /// No id begins like that.
    #[error("no backup's id begins with `{wanted}`")]
    Unknown { wanted: String },

    /// Several ids begin like that.
    #[error("`{wanted}` could be any of {ids}")]
    Ambiguous { wanted: String, ids: String },

    /// The backup is there, and its manifest cannot be read.
    #[error("the backup {id} cannot be used")]
    Unreadable {
        id: BackupId,
        source: Arc<manifest::Error>,
    },
}

/// Whether a manifest is what somebody with the right key wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    /// Nobody asks: there is no key to check it with.
    Unasked,
    /// It is.
    Good,
    /// There is no signature.
    Missing,
    /// There is one, and it is another's, or over other bytes.
    Wrong,
}

/// One backup with what was learnt of it later.
#[derive(Debug, Clone, PartialEq)]
pub struct Backup {
    /// The record that makes it exist.
    pub manifest: Manifest,
    /// Whether the record is signed, where that is asked.
    pub signature: Signature,
    /// Whether it is exempt from retention.
    pub pinned: bool,
    /// All verifications on record, oldest first.
    pub verifications: Vec<Verification>,
    /// The size of its data object as the store lists it; `None` if it is not there.
    pub listed_size_bytes: Option<u64>,
}

impl Backup {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &BackupId {
        &self.manifest.id
    }

    /// What is known of its health.
    #[must_use]
    pub fn health(&self) -> Health {
        if self.listed_size_bytes != Some(self.manifest.stored_size_bytes) {
            return Health::Damaged;
        }
        // That the stored bytes are still those takes nothing back of what was found when they were opened.
        let opened = self.verifications.iter().rev();
        let mut opened = opened.filter(|record| record.how != STORED || !record.ok);
        match opened.next().or(self.verifications.last()) {
            Some(last) if last.ok => Health::Verified,
            Some(_) => Health::Damaged,
            None if self.manifest.verified_at.is_some() => Health::Verified,
            None => Health::Unproven,
        }
    }

    /// When it was last found whole, and how.
    #[must_use]
    pub fn verified(&self) -> Option<(DateTime<Utc>, &str)> {
        let recorded = self.verifications.iter().rev().find(|record| record.ok);
        match recorded {
            Some(record) => Some((record.at, &record.how)),
            None => Some((
                self.manifest.verified_at?,
                self.manifest.verified_how.as_deref().unwrap_or_default(),
            )),
        }
    }

    /// The key of its data object in the folder.
    #[must_use]
    pub fn object_key(&self) -> String {
        format!("{}/{}", self.manifest.id, self.manifest.object)
    }
}

/// A backup whose manifest cannot be read: it is never touched.
#[derive(Debug)]
pub struct Unreadable {
    /// Its folder's name.
    pub id: BackupId,
    /// What is wrong with the manifest.
    pub error: Arc<manifest::Error>,
}

impl Unreadable {
    fn to_error(&self) -> Error {
        Error::Unreadable {
            id: self.id.clone(),
            source: self.error.clone(),
        }
    }
}

/// An object in the folder of a backup that does not exist, or not any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The object.
    pub object: Object,
    /// The backup that it would have belonged to.
    pub id: BackupId,
}

/// Everything that lies in a cluster's folder.
#[derive(Debug, Default)]
pub struct Catalog {
    /// The backups, newest first.
    pub backups: Vec<Backup>,
    /// Those whose manifests cannot be read.
    pub unreadable: Vec<Unreadable>,
    /// What belongs to no backup.
    pub orphans: Vec<Orphan>,
}

/// The objects of one folder, sorted by the backup that they belong to.
#[derive(Default)]
struct Entry {
    objects: Vec<Object>,
}

impl Entry {
    fn has(&self, name: &str) -> bool {
        self.objects.iter().any(|object| object.name() == name)
    }
}

impl Catalog {
    /// Reads the catalog of a folder; one that is not there is empty.
    ///
    /// # Errors
    /// If the store fails. A manifest that cannot be read is no error: it is told as such.
    pub async fn load(folder: &Folder) -> Result<Self, Error> {
        let mut catalog = Self::default();
        let mut committed = Vec::new();
        for (id, entry) in entries(folder).await? {
            if entry.has(MANIFEST) {
                committed.push((id, entry));
                continue;
            }
            let orphans = entry.objects.into_iter();
            catalog.orphans.extend(orphans.map(|object| Orphan {
                object,
                id: id.clone(),
            }));
        }
        let read = stream::iter(committed)
            .map(|(id, entry)| read_backup(folder, id, entry))
            .buffered(PARALLEL)
            .try_collect::<Vec<_>>()
            .await
            .map_err(|source| Error::Repository { source })?;
        for backup in read.into_iter().flatten() {
            match backup {
                Ok(backup) => catalog.backups.push(backup),
                Err(unreadable) => catalog.unreadable.push(unreadable),
            }
        }
        // By time, not by id: two of one second differ in their random tails only.
        catalog.backups.sort_by(|a, b| {
            let time = |backup: &Backup| (backup.manifest.started_at, backup.id().clone());
            time(b).cmp(&time(a))
        });
        Ok(catalog)
    }

    /// Finds a backup by `latest`, its id, or a beginning that no other id has.
    ///
    /// `latest` is the one that was taken last and is not known to be damaged, whatever its revision: after a restore
    /// revisions begin again lower.
    ///
    /// # Errors
    /// If there is none, more than one, or its manifest cannot be read.
    pub fn find(&self, wanted: &str, folder: &Folder) -> Result<&Backup, Error> {
        if wanted == "latest" {
            let good = self.backups.iter().find(|b| b.health() != Health::Damaged);
            return match (good.or(self.backups.first()), self.unreadable.last()) {
                (Some(backup), _) => Ok(backup),
                (None, Some(unreadable)) => Err(unreadable.to_error()),
                (None, None) => Err(Error::Empty {
                    folder: format!("{folder:?}"),
                }),
            };
        }
        let begins = |id: &BackupId| id.as_str().starts_with(wanted);
        let usable: Vec<&Backup> = self.backups.iter().filter(|b| begins(b.id())).collect();
        let unreadable = self.unreadable.iter().filter(|u| begins(&u.id));
        let unreadable: Vec<&Unreadable> = unreadable.collect();
        match (usable.as_slice(), unreadable.as_slice()) {
            ([one], []) => Ok(one),
            ([], [one]) => Err(one.to_error()),
            ([], []) => Err(Error::Unknown {
                wanted: wanted.to_owned(),
            }),
            (usable, unreadable) => {
                let usable = usable.iter().map(|backup| backup.id().to_string());
                let unreadable = unreadable.iter().map(|backup| backup.id.to_string());
                Err(Error::Ambiguous {
                    wanted: wanted.to_owned(),
                    ids: usable.chain(unreadable).collect::<Vec<_>>().join(", "),
                })
            }
        }
    }

    /// Finds a backup that is to be proven: as [`Catalog::find`] does, but `latest` is the newest also where it is known to be damaged.
    /// Passing over it would look like an all-clear.
    ///
    /// # Errors
    /// If there is none, more than one, or its manifest cannot be read.
    pub fn find_to_prove(&self, wanted: &str, folder: &Folder) -> Result<&Backup, Error> {
        match self.backups.first() {
            Some(newest) if wanted == "latest" => Ok(newest),
            _ => self.find(wanted, folder),
        }
    }

    /// The backups as retention sees them.
    #[must_use]
    pub fn candidates(&self) -> Vec<Candidate> {
        self.backups
            .iter()
            .map(|backup| Candidate {
                id: backup.id().clone(),
                started_at: backup.manifest.started_at,
                cluster_id: backup.manifest.cluster_id,
                pinned: backup.pinned,
                health: backup.health(),
            })
            .collect()
    }

    /// Whether backups of `ours` stand behind newer ones of another cluster: then two clusters write to one folder.
    ///
    /// A cluster that was restored has a new id and never its old one again.
    #[must_use]
    pub fn alternates_with(&self, ours: ClusterId) -> Option<ClusterId> {
        let newest = self.backups.first()?.manifest.cluster_id;
        let seen: BTreeSet<ClusterId> = self
            .backups
            .iter()
            .map(|backup| backup.manifest.cluster_id)
            .collect();
        (newest != ours && seen.contains(&ours)).then_some(newest)
    }
}

async fn entries(folder: &Folder) -> Result<BTreeMap<BackupId, Entry>, Error> {
    let objects = folder
        .list()
        .await
        .map_err(|source| Error::Repository { source })?;
    let mut entries: BTreeMap<BackupId, Entry> = BTreeMap::new();
    for object in objects {
        let id = object.key.split('/').next().and_then(|id| id.parse().ok());
        // Locks, and whatever people put there, are not ours to judge.
        if let Some(id) = id {
            entries.entry(id).or_default().objects.push(object);
        }
    }
    Ok(entries)
}

/// Reads one backup; `None` if it was removed in the meantime.
async fn read_backup(
    folder: &Folder,
    id: BackupId,
    entry: Entry,
) -> Result<Option<Result<Backup, Unreadable>>, repository::Error> {
    let json = match folder.read(&format!("{id}/{MANIFEST}")).await {
        Ok(json) => json,
        Err(repository::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let manifest = match Manifest::from_json(&json, &id) {
        Ok(manifest) => manifest,
        Err(error) => {
            let error = Arc::new(error);
            return Ok(Some(Err(Unreadable { id, error })));
        }
    };
    let signature = signature(folder, &id, &entry, &json).await?;
    let mut verifications: Vec<Verification> = Vec::new();
    for object in &entry.objects {
        if is_verification(object.name()) {
            match folder.read(&object.key).await {
                // A record that cannot be read proves nothing.
                Ok(json) => verifications.extend(serde_json::from_slice(&json)),
                Err(repository::Error::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    // Their names tell the second only.
    verifications.sort_by_key(|record| record.at);
    let data = entry
        .objects
        .iter()
        .find(|object| object.key == format!("{id}/{}", manifest.object));
    Ok(Some(Ok(Backup {
        signature,
        pinned: entry.has(PIN),
        listed_size_bytes: data.map(|object| object.size_bytes),
        manifest,
        verifications,
    })))
}

async fn signature(
    folder: &Folder,
    id: &BackupId,
    entry: &Entry,
    manifest: &[u8],
) -> Result<Signature, repository::Error> {
    let Some(key) = folder.keys().verifying() else {
        return Ok(Signature::Unasked);
    };
    if !entry.has(SIGNATURE) {
        return Ok(Signature::Missing);
    }
    match folder.read(&format!("{id}/{SIGNATURE}")).await {
        Ok(signature) if key.accepts(manifest, &signature) => Ok(Signature::Good),
        Ok(_) => Ok(Signature::Wrong),
        Err(repository::Error::NotFound { .. }) => Ok(Signature::Missing),
        Err(error) => Err(error),
    }
}
