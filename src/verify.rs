//! Proves that backups can be read and are what etcd wrote.

use std::io;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::catalog::{Backup, Catalog, Verification};
use crate::codec::{self, Decoded, PlainTotals};
use crate::manifest::{Finding, Manifest};
use crate::progress::{Event, Progress, told};
use crate::repository::{self, Folder};

/// How many pieces wait between the store and the decoder, at most.
const PIECES: usize = 8;

/// Why a backup could not be verified, which says nothing about its health.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The repository failed.
    #[error("cannot read the backup")]
    Repository { source: repository::Error },

    /// Whoever takes the decoded bytes failed.
    #[error("cannot write the decoded snapshot")]
    Output { source: io::Error },
}

/// What a verification says of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was checked, in order.
    pub checks: Vec<&'static str>,
    /// What was held against it; none means that it is what etcd wrote.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether nothing is held against the backup.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Everything that a full verification looks at.
const CHECKS: [&str; 6] = [
    "object",
    "stored-size",
    "stored-sha256",
    "snapshot-sha256",
    "trailer",
    "revision",
];

/// Reads one backup whole and holds it against its manifest.
///
/// # Errors
/// If the store fails; a backup that is damaged is no error but a report with findings.
pub async fn verify(
    folder: &Folder,
    backup: &Backup,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    progress.event(Event::Backup(backup.id().clone()));
    let findings = read_and_judge(folder, backup, progress, |_| Ok(())).await?;
    Ok(Report {
        checks: CHECKS.to_vec(),
        findings,
    })
}

/// Reads the backup's object, hands the plain bytes to `sink` before they are proven, and says what is held against them.
///
/// # Errors
/// If the store or the sink fails.
pub async fn read_and_judge(
    folder: &Folder,
    backup: &Backup,
    progress: &dyn Progress,
    sink: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
) -> Result<Vec<Finding>, Error> {
    match decode(folder, backup, progress, sink).await {
        Ok(decoded) => Ok(judge(&backup.manifest, &decoded)),
        Err(Error::Repository {
            source: repository::Error::NotFound { object },
        }) => {
            let message = format!("{object} is not there");
            Ok(vec![Finding::error("object-missing", message)])
        }
        Err(error) => Err(error),
    }
}

/// Stores what a verification found beside the backup.
///
/// # Errors
/// If the store fails.
pub async fn record(
    folder: &Folder,
    backup: &Backup,
    report: &Report,
    at: DateTime<Utc>,
) -> Result<(), repository::Error> {
    let verification = Verification {
        at,
        how: "full".to_owned(),
        ok: report.is_ok(),
        findings: report.findings.clone(),
    };
    let key = format!(
        "{}/{}",
        backup.id(),
        verification.object_name(rand::random())
    );
    let json = serde_json::to_vec_pretty(&verification)
        .expect("a verification holds nothing that JSON cannot");
    folder.put(&key, json).await
}

/// What lies in the folder and belongs to no backup that can be used.
#[must_use]
pub fn strays(catalog: &Catalog) -> Vec<Finding> {
    let unreadable = catalog.unreadable.iter().map(|unreadable| {
        let message = format!("{}: {}", unreadable.id, told(&*unreadable.error));
        Finding::error("manifest-unreadable", message)
    });
    let orphans = catalog.orphans.iter().map(|orphan| {
        let message = format!(
            "{} ({} bytes) belongs to no backup; `prune` sweeps it after a day",
            orphan.object.key, orphan.object.size_bytes
        );
        Finding::warning("orphan", message)
    });
    unreadable.chain(orphans).collect()
}

/// Reads the backup's object and hands the plain bytes to `sink`; what they are worth is in the result, for [`judge`].
async fn decode(
    folder: &Folder,
    backup: &Backup,
    progress: &dyn Progress,
    mut sink: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
) -> Result<Decoded, Error> {
    let repository = |source| Error::Repository { source };
    let mut stored = folder
        .open(&backup.object_key())
        .await
        .map_err(repository)?;
    let (pieces, input) = mpsc::channel::<Bytes>(PIECES);
    let decoder = spawn_blocking(move || codec::decode(input, &mut sink));
    let mut done = 0;
    while let Some(bytes) = stored.next().await.map_err(repository)? {
        done += bytes.len() as u64;
        if pieces.send(bytes).await.is_err() {
            break;
        }
        progress.event(Event::Bytes {
            done,
            total: Some(stored.size_bytes),
        });
    }
    drop(pieces);
    let decoded = decoder.await.expect("the decoder does not panic");
    match decoded.plain {
        Err(codec::Error::Output { source }) => Err(Error::Output { source }),
        _ => Ok(decoded),
    }
}

/// Holds what was read against the manifest.
fn judge(manifest: &Manifest, decoded: &Decoded) -> Vec<Finding> {
    let mut findings = Vec::new();
    let stored = decoded.stored;
    if stored.size_bytes != manifest.stored_size_bytes {
        findings.push(Finding::error(
            "stored-size",
            format!(
                "the stored object has {} bytes, {} were stored",
                stored.size_bytes, manifest.stored_size_bytes
            ),
        ));
    }
    if stored.sha256 != manifest.stored_sha256 {
        findings.push(Finding::error(
            "stored-sha256",
            format!(
                "the stored object's SHA-256 is {}, {} was stored: its bytes were changed",
                stored.sha256, manifest.stored_sha256
            ),
        ));
    }
    match &decoded.plain {
        Ok(plain) => findings.extend(judge_plain(manifest, plain)),
        Err(error) => findings.push(Finding::error(code(error), told(error))),
    }
    findings
}

fn judge_plain(manifest: &Manifest, plain: &PlainTotals) -> Vec<Finding> {
    let mut findings = Vec::new();
    if plain.sha256 != manifest.snapshot_sha256 {
        findings.push(Finding::error(
            "snapshot-sha256",
            format!(
                "the snapshot's SHA-256 is {}, the manifest says {}",
                plain.sha256, manifest.snapshot_sha256
            ),
        ));
    }
    if plain.facts.revision != manifest.revision {
        findings.push(Finding::error(
            "revision",
            format!(
                "the snapshot is of revision {}, the manifest says {}",
                plain.facts.revision, manifest.revision
            ),
        ));
    }
    findings
}

fn code(error: &codec::Error) -> &'static str {
    match error {
        codec::Error::WrongSize { .. } => "snapshot-size",
        codec::Error::TrailerMismatch { .. } => "trailer",
        codec::Error::Database { .. } => "database",
        codec::Error::Decompress { .. } | codec::Error::Compress { .. } => "compression",
        codec::Error::Output { .. } | codec::Error::Abandoned => "unread",
    }
}
