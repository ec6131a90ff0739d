//! The one place that decides how a stored object is opened, and whether it can be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use futures_util::stream::{self, StreamExt};

use crate::catalog::{Backup, Catalog, Signature};
use crate::codec::encryption::{AGE, kinds};
use crate::codec::{self, Opening};
use crate::id::BackupId;
use crate::keys;
use crate::progress::told;
use crate::repository::Folder;
use crate::retention::Health;

use super::Error;

/// As much as holds every header: some hundred bytes for each recipient.
const HEADER_BYTES: usize = 64 << 10;
/// How many beginnings are read at once.
const PARALLEL: usize = 16;

/// How the objects of a backup are opened.
///
/// # Errors
/// If they are encrypted and there is nothing to open them with; or if signatures are asked for, and the manifest has none that holds.
pub(super) fn opening(folder: &Folder, backup: &Backup) -> Result<Opening, Error> {
    let id = backup.id().clone();
    match backup.signature {
        Signature::Missing => return Err(Error::Unsigned { id }),
        Signature::Wrong => return Err(Error::WrongSignature { id }),
        Signature::Unasked | Signature::Good => {}
    }
    match backup.manifest.encryption.as_deref() {
        None => Ok(Opening::Plain),
        Some(AGE) => match folder.keys().identities() {
            Ok(identities) => Ok(Opening::Age(identities)),
            Err(keys::Error::NoIdentity) => Err(Error::NoIdentity {
                id,
                recipients: recipients(backup),
            }),
            Err(source) => Err(Error::Keys { source }),
        },
        Some(how) => Err(Error::UnknownEncryption {
            id,
            how: how.to_owned(),
        }),
    }
}

/// Tries whether a backup can be opened, by the first bytes of its object; one that is not encrypted can.
///
/// Gives how its recipients are known there, as [`kinds`] tells them.
///
/// # Errors
/// If it cannot, and why; or if the store fails.
pub async fn can_open(folder: &Folder, backup: &Backup) -> Result<Vec<String>, Error> {
    let Opening::Age(identities) = opening(folder, backup)? else {
        return Ok(Vec::new());
    };
    let beginning = beginning(folder, backup).await?;
    match identities.open_header(&beginning) {
        Err(codec::Error::NoneOpens { path }) => Err(wrong_identity(backup, path)),
        Err(source) => Err(Error::Header {
            id: backup.id().clone(),
            source,
        }),
        Ok(()) => Ok(kinds(&beginning)),
    }
}

/// The backups that cannot be opened here, or are not to be, and why; one that the store does not give is not among them.
pub async fn locked(folder: &Folder, catalog: &Catalog) -> BTreeMap<BackupId, String> {
    let backups = catalog.backups.iter();
    let encrypted = backups.filter(|backup| {
        let may_be = backup.manifest.encryption.is_some() || backup.signature != Signature::Unasked;
        may_be && backup.health() != Health::Damaged
    });
    let tried = stream::iter(encrypted)
        .map(|backup| async {
            match can_open(folder, backup).await {
                Ok(_) | Err(Error::Repository { .. }) => None,
                Err(error) => Some((backup.id().clone(), told(&error))),
            }
        })
        .buffer_unordered(PARALLEL);
    tried.filter_map(|locked| async { locked }).collect().await
}

/// The first bytes of a backup's object, which hold all of age's header.
///
/// # Errors
/// If the store fails.
async fn beginning(folder: &Folder, backup: &Backup) -> Result<Vec<u8>, Error> {
    let repository = |source| Error::Repository { source };
    let stored = folder.open(&backup.object_key()).await;
    let mut stored = stored.map_err(repository)?;
    let mut beginning = Vec::new();
    while beginning.len() < HEADER_BYTES {
        match stored.next().await.map_err(repository)? {
            Some(bytes) => beginning.extend_from_slice(&bytes),
            None => break,
        }
    }
    beginning.truncate(HEADER_BYTES);
    Ok(beginning)
}

/// It is whole, and none of the identities in the file at `path` opens it.
pub(super) fn wrong_identity(backup: &Backup, path: PathBuf) -> Error {
    Error::WrongIdentity {
        id: backup.id().clone(),
        path,
        recipients: recipients(backup),
    }
}

/// For whom a backup is encrypted, in words.
fn recipients(backup: &Backup) -> String {
    match backup.manifest.recipients.as_slice() {
        [] => "nobody knows whom".to_owned(),
        recipients => recipients.join(", "),
    }
}
