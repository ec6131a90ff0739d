//! Proves that backups can be read and are what etcd wrote.

mod attachments;
mod judge;
mod opening;

use std::io;
use std::path::PathBuf;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::backend::Surveyed;
use crate::catalog::{Backup, Catalog, STORED, Signature, Verification};
use crate::codec::{self, Decoded};
use crate::id::BackupId;
use crate::keys;
use crate::manifest::{Finding, Severity};
use crate::progress::{Event, Progress, told};
use crate::repository::{self, Folder};

pub use attachments::{ATTACHMENTS, read_attachments};
pub use opening::{can_open, locked};

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

    /// There is nothing to open it with.
    #[error("{id} is encrypted for {recipients}, and no identity is configured to open it")]
    NoIdentity { id: BackupId, recipients: String },

    /// What there is opens others.
    #[error("none of the identities in {} opens {id}, which is encrypted for {recipients}", .path.display())]
    WrongIdentity {
        id: BackupId,
        path: PathBuf,
        recipients: String,
    },

    /// What there is cannot be used.
    #[error("cannot open what is encrypted")]
    Keys { source: keys::Error },

    /// Its object does not begin as an encrypted one does.
    #[error("the stored object of {id} is damaged at its beginning")]
    Header { id: BackupId, source: codec::Error },

    /// Signatures are asked for, and nobody signed this one.
    #[error("the manifest of {id} is not signed, and `verifying_key_file` asks for a signature")]
    Unsigned { id: BackupId },

    /// Somebody changed the manifest, or signed it with another key.
    #[error(
        "the signature of the manifest of {id} does not hold: the manifest was changed, or another key signed it"
    )]
    WrongSignature { id: BackupId },

    /// A later release, or somebody else, encrypted it in another way.
    #[error("{id} is encrypted by `{how}`, and this release knows only `age`")]
    UnknownEncryption { id: BackupId, how: String },
}

/// What a verification says of one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What was checked, in order.
    pub checks: Vec<&'static str>,
    /// What was held against it, and what could not be looked at; nothing worse than a note means that it is what etcd wrote.
    pub findings: Vec<Finding>,
}

/// The code of the note that says that only the stored bytes were looked at.
pub const NOT_DECRYPTED: &str = "not-decrypted";
/// The code of the error that says that a manifest is not signed as it should be.
pub const SIGNATURE: &str = "signature";

impl Report {
    /// Whether nothing is held against the backup.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.all(|finding| finding.severity == Severity::Info)
    }

    /// Whether nothing is held against its snapshot: what is wrong with attachments makes no database worse.
    #[must_use]
    pub fn is_snapshot_ok(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.all(|one| one.severity == Severity::Info || one.code == ATTACHMENTS)
    }

    /// Whether only the stored bytes were looked at, since nothing opens them here.
    #[must_use]
    pub fn is_of_stored_bytes(&self) -> bool {
        let mut findings = self.findings.iter();
        findings.any(|finding| finding.code == NOT_DECRYPTED)
    }
}

/// What can be looked at without opening anything.
const STORED_CHECKS: [&str; 3] = ["object", "stored-size", "stored-sha256"];

/// And what a full verification looks at besides.
const FULL_CHECKS: [&str; 3] = ["snapshot-sha256", "trailer", "revision"];

/// And what a deep one looks at besides.
const DEEP_CHECKS: [&str; 4] = ["pages", "records", "keys", "hashkv"];

/// How far a verification goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Digests, trailer and revision: memory stays flat.
    Full,
    /// Also every page and record, the number of keys and their hash: takes memory for each, 3 to 15 % of the database's size.
    Deep,
}

impl Depth {
    /// The word for it in a record.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Deep => "deep",
        }
    }
}

/// Reads one backup whole and holds it against its manifest.
///
/// Where it is encrypted and there is no identity, only the stored bytes are held against it, and a note says so; a deep verification
/// is refused then.
///
/// # Errors
/// If the store fails, or the backup cannot be opened with what is configured; a backup that is damaged is no error but a report with findings.
pub async fn verify(
    folder: &Folder,
    backup: &Backup,
    depth: Depth,
    progress: &dyn Progress,
) -> Result<Report, Error> {
    progress.event(Event::Backup(backup.id().clone()));
    let mut checks = STORED_CHECKS.to_vec();
    if backup.signature != Signature::Unasked {
        checks.push("signature");
    }
    if let Err(error @ (Error::Unsigned { .. } | Error::WrongSignature { .. })) =
        opening::opening(folder, backup)
    {
        // What lies there is not opened; whether it is what the manifest says is told all the same.
        let mut findings = vec![Finding::error(SIGNATURE, error.to_string())];
        let stored = read_stored(folder, backup, progress).await?;
        findings.extend(
            stored
                .into_iter()
                .filter(|one| one.severity > Severity::Info),
        );
        return Ok(Report { checks, findings });
    }
    let is_locked = backup.manifest.encryption.is_some() && !folder.keys().has_identity();
    let only_stored = is_locked && depth == Depth::Full;
    let mut findings = if only_stored {
        read_stored(folder, backup, progress).await?
    } else {
        checks.extend(FULL_CHECKS);
        match depth {
            Depth::Full => read_and_judge(folder, backup, progress, |_| Ok(())).await?,
            Depth::Deep => {
                checks.extend(DEEP_CHECKS);
                read_deep(folder, backup, progress).await?.0
            }
        }
    };
    if backup.manifest.attachments.is_some() {
        checks.push(ATTACHMENTS);
        findings.extend(attachments::judge(folder, backup, !only_stored).await?);
    }
    Ok(Report { checks, findings })
}

/// Holds the stored bytes against the manifest, and notes what that leaves out.
async fn read_stored(
    folder: &Folder,
    backup: &Backup,
    progress: &dyn Progress,
) -> Result<Vec<Finding>, Error> {
    let stored = match read(folder, backup, progress, codec::digest).await? {
        Ok(stored) => stored,
        Err(missing) => return Ok(vec![missing]),
    };
    let mut findings = judge::judge_stored(&backup.manifest, stored);
    let message = format!(
        "{} is encrypted and no identity is configured: {} could not be checked",
        backup.id(),
        FULL_CHECKS.join(", ")
    );
    findings.push(Finding::note(NOT_DECRYPTED, message));
    Ok(findings)
}

/// Reads the backup's object, looks at every page and record of the database, and says what is held against them.
///
/// What the database holds comes with it, if it is sound.
///
/// # Errors
/// If the store fails.
pub async fn read_deep(
    folder: &Folder,
    backup: &Backup,
    progress: &dyn Progress,
) -> Result<(Vec<Finding>, Option<Surveyed>), Error> {
    let opening = opening::opening(folder, backup)?;
    let decoder = move |input| codec::decode_deep(&opening, input);
    let mut decoded = match decode(folder, backup, progress, decoder).await? {
        Ok(decoded) => decoded,
        Err(missing) => return Ok((vec![missing], None)),
    };
    let mut findings = judge::judge(&backup.manifest, &decoded);
    let deep = decoded.deep.take();
    findings.extend(
        deep.iter()
            .flat_map(|deep| judge::judge_deep(&backup.manifest, deep)),
    );
    Ok((findings, deep.and_then(Result::ok)))
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
    let mut sink = sink;
    let opening = opening::opening(folder, backup)?;
    let decoder = move |input| codec::decode(&opening, input, &mut sink);
    Ok(match decode(folder, backup, progress, decoder).await? {
        Ok(decoded) => judge::judge(&backup.manifest, &decoded),
        Err(missing) => vec![missing],
    })
}

/// Whether the verification says something of the stored data that others should know; that a signature is asked for here and is missing
/// or another's depends on who asks, and must not make a backup count as damaged, which retention would act on.
fn is_for_all(report: &Report) -> bool {
    let mut findings = report.findings.iter();
    !findings.any(|finding| finding.code == SIGNATURE)
}

/// Stores what a verification found beside the backup; `how` is [`Depth::word`], or `drill`, unless only the stored bytes were looked at.
///
/// # Errors
/// If the store fails.
pub async fn record(
    folder: &Folder,
    backup: &Backup,
    report: &Report,
    how: &str,
    at: DateTime<Utc>,
) -> Result<(), repository::Error> {
    if !is_for_all(report) {
        return Ok(());
    }
    let verification = Verification {
        at,
        how: match report.is_of_stored_bytes() {
            true => STORED.to_owned(),
            false => how.to_owned(),
        },
        ok: report.is_snapshot_ok(),
        findings: report.findings.clone(),
    };
    verification.store(folder, backup.id()).await
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

/// Reads the backup's object and hands it to `decoder`; what the bytes are worth is in the result, for [`judge`]. That there
/// is no object is a finding.
async fn decode(
    folder: &Folder,
    backup: &Backup,
    progress: &dyn Progress,
    decoder: impl FnOnce(mpsc::Receiver<Bytes>) -> Decoded + Send + 'static,
) -> Result<Result<Decoded, Finding>, Error> {
    let decoded = match read(folder, backup, progress, decoder).await? {
        Ok(decoded) => decoded,
        Err(missing) => return Ok(Err(missing)),
    };
    match decoded.plain {
        Err(codec::Error::Output { source }) => Err(Error::Output { source }),
        // Only of what is whole can it be said that it is for somebody else.
        Err(codec::Error::NoneOpens { path })
            if judge::judge_stored(&backup.manifest, decoded.stored).is_empty() =>
        {
            Err(opening::wrong_identity(backup, path))
        }
        _ => Ok(Ok(decoded)),
    }
}

/// Reads the backup's object and hands it to `reader`, which has a thread of its own. That there is no object is a finding.
async fn read<T: Send + 'static>(
    folder: &Folder,
    backup: &Backup,
    progress: &dyn Progress,
    reader: impl FnOnce(mpsc::Receiver<Bytes>) -> T + Send + 'static,
) -> Result<Result<T, Finding>, Error> {
    let repository = |source| Error::Repository { source };
    let mut stored = match folder.open(&backup.object_key()).await {
        Err(repository::Error::NotFound { object }) => {
            let message = format!("{object} is not there");
            return Ok(Err(Finding::error("object-missing", message)));
        }
        stored => stored.map_err(repository)?,
    };
    let (pieces, input) = mpsc::channel::<Bytes>(PIECES);
    let reader = spawn_blocking(move || reader(input));
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
    Ok(Ok(reader.await.expect("reading does not panic")))
}
