//! Brings backups from one repository into another, byte for byte as they are stored.

use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::catalog::{self, Backup, Catalog, Verification};
use crate::codec::Sha256;
use crate::id::{BackupId, Digest};
use crate::manifest::{MANIFEST, Manifest};
use crate::progress::{Event, Progress, told};
use crate::repository::{
    self, CommitError, Folder, Holder, Lock, LockError, LockRecord, Object, Upload,
};
use crate::retention::{Candidate, Decision, Health, Policy, decide};

/// Why a backup was not copied.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// A catalog could not be read.
    #[error("cannot look at the backups in {label}")]
    Catalog {
        label: String,
        source: Box<catalog::Error>,
    },

    /// Another run is at work in the target.
    #[error("cannot begin")]
    Lock { source: LockError },

    /// A store failed.
    #[error("cannot copy")]
    Repository { source: repository::Error },

    /// The manifest was not committed.
    #[error("cannot commit the copy")]
    Commit { source: Box<CommitError> },

    /// What lies in the source is not what was stored there.
    #[error("{id} is damaged in {label}: {problem}")]
    Damaged {
        id: BackupId,
        label: String,
        problem: String,
    },

    /// The target gives back something else than it was sent.
    #[error("{object} reads back differently from how it was written")]
    ReadBack { object: String },

    /// Both have a backup of this id, and they are not the same.
    #[error("{id} is another backup in {label}: the two share nothing but their id")]
    Another { id: BackupId, label: String },

    /// Somebody stopped it.
    #[error("interrupted: what was copied so far is whole backups")]
    Interrupted,
}

/// Which backups to copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// Those that the target has not, and that its retention would keep.
    Missing,
    /// One, by its id, a beginning of it, or `latest`.
    One(&'a str),
}

/// What a copy needs.
pub struct Request<'a> {
    /// The cluster's folder to read from.
    pub from: &'a Folder,
    /// The one to write to.
    pub to: &'a Folder,
    /// What the target keeps; a policy without rules keeps everything.
    pub policy: &'a Policy,
    /// How long to wait for another run to end.
    pub wait: Duration,
    /// Our clock.
    pub now: fn() -> DateTime<Utc>,
    /// Stops the work.
    pub interrupt: &'a CancellationToken,
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
}

/// What became of the backups.
#[derive(Debug, Default)]
pub struct Report {
    /// Those that were copied, oldest first.
    pub copied: Vec<Manifest>,
    /// Those that the target has already.
    pub present: Vec<BackupId>,
    /// Those that the target's retention would remove again.
    pub passed_over: Vec<BackupId>,
    /// Those that could not be copied, and why.
    pub failed: Vec<(BackupId, Error)>,
}

/// Copies what is wanted, oldest first, each backup whole or not at all.
///
/// Stored bytes are copied, nothing is decoded: what is encrypted stays so. Size and SHA-256 of the data are held against
/// the manifest while they go by, and every object is read back from the target before the manifest is written there, if
/// absent, byte for byte. A pin is copied with its backup; the source's verifications are not, because they say nothing of
/// the copy: its own read-back is put on record instead. The source is only read.
///
/// A damaged backup is refused, and the others still have their turn; where a store fails, the rest waits for another run.
///
/// # Errors
/// If a catalog cannot be read, or the one backup that is wanted is not there.
pub async fn copy(request: &Request<'_>, wanted: Wanted<'_>) -> Result<Report, Error> {
    let (source, target) = tokio::select! {
        loaded = async { tokio::try_join!(load(request.from), load(request.to)) } => loaded?,
        () = request.interrupt.cancelled() => return Err(Error::Interrupted),
    };
    let mut report = Report::default();
    for backup in chosen(request, wanted, &source, &target, &mut report)? {
        request.progress.event(Event::Backup(backup.id().clone()));
        match copy_one(request, backup).await {
            Ok(Done::Copied) => report.copied.push(backup.manifest.clone()),
            Ok(Done::Present) => report.present.push(backup.id().clone()),
            Err(error) => {
                let others_may_do_better = matches!(error, Error::Damaged { .. });
                report.failed.push((backup.id().clone(), error));
                if !others_may_do_better {
                    break;
                }
            }
        }
    }
    Ok(report)
}

async fn load(folder: &Folder) -> Result<Catalog, Error> {
    let catalog = Catalog::load(folder).await;
    catalog.map_err(|source| Error::Catalog {
        label: label(folder),
        source: Box::new(source),
    })
}

fn label(folder: &Folder) -> String {
    folder.repository().label().to_owned()
}

/// What is to be copied, oldest first; what is not, and why, goes into the report.
fn chosen<'a>(
    request: &Request<'_>,
    wanted: Wanted<'_>,
    source: &'a Catalog,
    target: &Catalog,
    report: &mut Report,
) -> Result<Vec<&'a Backup>, Error> {
    let wanted_backups: Vec<&Backup> = match wanted {
        Wanted::Missing => source.backups.iter().rev().collect(),
        Wanted::One(id) => {
            let found = source.find(id, request.from);
            vec![found.map_err(|source| Error::Catalog {
                label: label(request.from),
                source: Box::new(source),
            })?]
        }
    };
    let kept = kept(request, source, target);
    let mut missing = Vec::new();
    for backup in wanted_backups {
        let id = backup.id();
        let there = target.backups.iter().find(|there| there.id() == id);
        match there.map(|there| there.manifest.stored_sha256 == backup.manifest.stored_sha256) {
            Some(true) => report.present.push(id.clone()),
            Some(false) => {
                let (id, label) = (id.clone(), label(request.to));
                report
                    .failed
                    .push((id.clone(), Error::Another { id, label }));
            }
            None if wanted == Wanted::Missing && !kept.contains(id) => {
                report.passed_over.push(id.clone());
            }
            None => missing.push(backup),
        }
    }
    if wanted == Wanted::Missing {
        let unreadable = source.unreadable.iter().map(|unreadable| {
            let problem = told(unreadable.error.as_ref());
            (
                unreadable.id.clone(),
                damaged(request, &unreadable.id, problem),
            )
        });
        report.failed.extend(unreadable);
    }
    Ok(missing)
}

/// The ids that the target's retention would keep, were all of them there.
fn kept(request: &Request<'_>, source: &Catalog, target: &Catalog) -> Vec<BackupId> {
    let mut all = target.candidates();
    let is_new = |new: &Candidate| target.backups.iter().all(|there| *there.id() != new.id);
    all.extend(source.candidates().into_iter().filter(is_new));
    all.sort_by(|a, b| (b.started_at, &b.id).cmp(&(a.started_at, &a.id)));
    let newest = match all.first() {
        Some(newest) if !request.policy.is_empty() => newest.cluster_id,
        _ => return all.into_iter().map(|candidate| candidate.id).collect(),
    };
    let decisions = decide(request.policy, &all, newest, (request.now)());
    let kept = decisions.into_iter().filter(Decision::keeps);
    kept.map(|decision| decision.id).collect()
}

fn damaged(request: &Request<'_>, id: &BackupId, problem: impl Into<String>) -> Error {
    Error::Damaged {
        id: id.clone(),
        label: label(request.from),
        problem: problem.into(),
    }
}

/// What was done about one backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Done {
    Copied,
    /// Another run brought it meanwhile.
    Present,
}

async fn copy_one(request: &Request<'_>, backup: &Backup) -> Result<Done, Error> {
    let id = backup.id();
    if backup.health() == Health::Damaged {
        let problem =
            "its data is missing or has the wrong size, or a verification found it damaged";
        return Err(damaged(request, id, problem));
    }
    let record = LockRecord {
        operation: "copy".to_owned(),
        holder: Holder::this_process(),
        started_at: (request.now)(),
        backup: Some(id.clone()),
        upload: None,
    };
    let locking = request
        .to
        .lock(record, rand::random(), request.now, request.wait);
    let lock = tokio::select! {
        lock = locking => lock.map_err(|source| Error::Lock { source })?,
        () = request.interrupt.cancelled() => return Err(Error::Interrupted),
    };
    let result = bring_and_commit(request, backup, &lock).await;
    if matches!(result, Ok(Done::Copied)) {
        put_on_record(request, id).await;
    }
    // What was not committed is swept with it.
    lock.let_go().await;
    result
}

/// Everything under the lock.
async fn bring_and_commit(
    request: &Request<'_>,
    backup: &Backup,
    lock: &Lock,
) -> Result<Done, Error> {
    let id = backup.id();
    match request.to.stat(&format!("{id}/{MANIFEST}")).await {
        // Its data is not to be touched.
        Ok(_) => return Ok(Done::Present),
        Err(repository::Error::NotFound { .. }) => {}
        Err(source) => return Err(Error::Repository { source }),
    }
    let mut upload = None;
    let brought = tokio::select! {
        brought = bring(request, backup, lock, &mut upload) => brought,
        () = request.interrupt.cancelled() => Err(Error::Interrupted),
    };
    if let Some(upload) = upload {
        upload.give_up().await;
    }
    // Once the manifest may be there, nothing cuts this short.
    let committed = lock.commit(id, &brought?).await;
    committed.map_err(|source| Error::Commit {
        source: Box::new(source),
    })?;
    Ok(Done::Copied)
}

/// Copies all objects but the manifest, and gives the manifest's bytes.
async fn bring(
    request: &Request<'_>,
    backup: &Backup,
    lock: &Lock,
    upload: &mut Option<Upload>,
) -> Result<Vec<u8>, Error> {
    let repository = |source| Error::Repository { source };
    let id = backup.id();
    let manifest_key = format!("{id}/{MANIFEST}");
    let manifest = request.from.read(&manifest_key).await.map_err(repository)?;
    let objects = request.from.list_backup(id).await.map_err(repository)?;
    let belongs =
        |object: &&Object| object.key != manifest_key && !catalog::is_verification(object.name());
    if let Some(attachments) = &backup.manifest.attachments
        && !objects
            .iter()
            .any(|object| object.name() == attachments.object)
    {
        return Err(damaged(request, id, "its attachments are missing"));
    }
    for object in objects.iter().filter(belongs) {
        let sent = send(request, &object.key, lock, upload).await?;
        let told = backup.manifest.stored(object.name());
        if sent != told.unwrap_or((sent.0, object.size_bytes)) {
            let problem = format!("{} is not what the manifest says it is", object.key);
            return Err(damaged(request, id, problem));
        }
        // Nothing shows under the object's name before this, and nothing that is not proven.
        let under_way = upload.as_mut().expect("it was begun above");
        under_way.finish().await.map_err(repository)?;
        if request.to.digest(&object.key).await.map_err(repository)? != sent {
            let object = object.key.clone();
            return Err(Error::ReadBack { object });
        }
        *upload = None;
    }
    Ok(manifest.to_vec())
}

/// Streams one object into the target, and gives SHA-256 and size of what was sent.
async fn send(
    request: &Request<'_>,
    key: &str,
    lock: &Lock,
    upload: &mut Option<Upload>,
) -> Result<(Digest, u64), Error> {
    let repository = |source| Error::Repository { source };
    let mut stored = request.from.open(key).await.map_err(repository)?;
    let begun = request.to.upload(key).await.map_err(repository)?;
    let upload = upload.insert(begun);
    let mut sha256 = Sha256::default();
    let mut done = 0;
    while let Some(piece) = stored.next().await.map_err(repository)? {
        sha256.update(&piece);
        done += piece.len() as u64;
        let written = upload.write(piece).await;
        // Also where the store failed: there may be something to abort.
        let noted = lock.note(upload).await;
        noted.map_err(|source| Error::Lock { source })?;
        written.map_err(repository)?;
        let total = Some(stored.size_bytes);
        request.progress.event(Event::Bytes { done, total });
    }
    Ok((sha256.finish(), done))
}

/// The copy was read back: its health is its own.
async fn put_on_record(request: &Request<'_>, id: &BackupId) {
    let record = Verification {
        at: (request.now)(),
        how: "read-back".to_owned(),
        ok: true,
        findings: Vec::new(),
    };
    if let Err(error) = record.store(request.to, id).await {
        tracing::warn!(error = told(&error), "the read-back is not put on record");
    }
}
