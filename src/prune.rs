//! Applies the retention: first a plan, then the removal that it says.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::catalog::{self, Catalog, Orphan, PIN};
use crate::id::{BackupId, ClusterId};
use crate::manifest::MANIFEST;
use crate::progress::{Event, Progress};
use crate::repository::{self, Folder, Holder, LockError, LockRecord, Locked, TemporaryFile};
use crate::retention::{Decision, Policy, decide};

/// An orphan younger than this may be a backup on its way.
const GRACE: TimeDelta = TimeDelta::hours(24);

/// Why nothing, or not everything, was pruned.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// No rule keeps anything: all would go.
    #[error("no retention is configured")]
    NoPolicy,

    /// The catalog could not be read.
    #[error("cannot look at the backups")]
    Catalog { source: catalog::Error },

    /// Another run is at work.
    #[error("cannot begin")]
    Lock { source: LockError },

    /// Somebody stopped it between two backups.
    #[error("interrupted: what was removed so far is whole backups")]
    Interrupted,

    /// The store failed in the middle; what was removed so far is whole backups.
    #[error("cannot remove")]
    Repository { source: repository::Error },
}

/// What pruning would do, and why.
#[derive(Debug)]
pub struct Plan {
    /// Every backup of the folder, newest first, with what becomes of it.
    pub decisions: Vec<Decision>,
    /// What belongs to no backup and is old enough to go.
    pub orphans: Vec<Orphan>,
    /// Temporary files of interrupted writes, old enough to go.
    pub temporary: Vec<TemporaryFile>,
    /// Whether the bucket keeps old versions: what is removed is then hidden, and its bytes stay.
    pub versions_stay: bool,
}

impl Plan {
    /// The backups that go, oldest first: what is interrupted has removed the oldest.
    pub fn removals(&self) -> impl Iterator<Item = &BackupId> {
        let gone = self.decisions.iter().rev();
        gone.filter(|decision| !decision.keeps())
            .map(|decision| &decision.id)
    }

    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.removals().next().is_none() && self.orphans.is_empty() && self.temporary.is_empty()
    }
}

/// Which cluster's backups a prune may remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Those of the cluster that the newest backup is of.
    Newest,
    /// Those of this one.
    Cluster(ClusterId),
}

/// Plans what the policy says of a folder.
///
/// What the store itself locks stays, with that as its reason: removing it would free nothing.
///
/// # Errors
/// If the policy keeps nothing at all, or the catalog cannot be read.
pub async fn plan(
    folder: &Folder,
    policy: &Policy,
    scope: Scope,
    now: DateTime<Utc>,
) -> Result<Plan, Error> {
    if policy.is_empty() {
        return Err(Error::NoPolicy);
    }
    let catalog = Catalog::load(folder)
        .await
        .map_err(|source| Error::Catalog { source })?;
    let newest = catalog.backups.first().map(|b| b.manifest.cluster_id);
    let mut decisions = match (scope, newest) {
        (Scope::Cluster(id), _) | (Scope::Newest, Some(id)) => {
            decide(policy, &catalog.candidates(), id, now)
        }
        (Scope::Newest, None) => Vec::new(),
    };
    let protection = folder.protection().await;
    if protection.versions {
        respect_locks(folder, &catalog, &mut decisions, now).await;
    }
    let old = |modified: DateTime<Utc>| now - modified > GRACE;
    let temporary = folder
        .temporary_files()
        .map_err(|source| Error::Repository { source })?;
    Ok(Plan {
        decisions,
        orphans: catalog
            .orphans
            .into_iter()
            .filter(|orphan| old(orphan.object.modified))
            .collect(),
        temporary: temporary
            .into_iter()
            .filter(|file| old(file.modified))
            .collect(),
        versions_stay: protection.versions,
    })
}

/// Keeps the backups whose data the store locks. There is no Object Lock without versions.
async fn respect_locks(
    folder: &Folder,
    catalog: &Catalog,
    decisions: &mut [Decision],
    now: DateTime<Utc>,
) {
    for decision in decisions.iter_mut().filter(|decision| !decision.keeps()) {
        let backup = catalog.backups.iter().find(|b| *b.id() == decision.id);
        let Some(backup) = backup else { continue };
        let reason = match folder.locked(&backup.object_key()).await {
            Some(Locked::Until(until)) if until > now => {
                format!(
                    "locked by the store until {}",
                    until.format("%Y-%m-%d %H:%M UTC")
                )
            }
            Some(Locked::Held) => "held by the store until its legal hold ends".to_owned(),
            _ => continue,
        };
        decision.reasons.push(reason);
    }
}

/// What a prune needs besides its plan.
pub struct Request<'a> {
    /// Where.
    pub folder: &'a Folder,
    /// What to keep.
    pub policy: &'a Policy,
    /// Of which cluster.
    pub scope: Scope,
    /// How long to wait for another run to end.
    pub wait: Duration,
    /// Our clock.
    pub now: fn() -> DateTime<Utc>,
    /// Stops the work, between two backups.
    pub interrupt: &'a CancellationToken,
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
}

/// Locks the folder, plans anew under the lock, and removes what the plan says.
///
/// Of each backup the manifest goes first and the data last, so that whatever interrupts it, no listed backup is ever
/// incomplete: what is left of one is an orphan, which a later prune sweeps.
///
/// # Errors
/// If another run is at work or the store fails.
pub async fn prune(request: &Request<'_>) -> Result<Plan, Error> {
    let lock_error = |source| Error::Lock { source };
    let folder = request.folder;
    let record = LockRecord {
        operation: "prune".to_owned(),
        holder: Holder::this_process(),
        started_at: (request.now)(),
        backup: None,
        upload: None,
    };
    let locking = folder.lock(record, rand::random(), request.now, request.wait);
    let lock = tokio::select! {
        lock = locking => lock.map_err(lock_error)?,
        () = request.interrupt.cancelled() => return Err(Error::Interrupted),
    };
    let result = remove_planned(request).await;
    let released = lock.release().await;
    let plan = result?;
    released.map_err(lock_error)?;
    Ok(plan)
}

async fn remove_planned(request: &Request<'_>) -> Result<Plan, Error> {
    let repository = |source| Error::Repository { source };
    let folder = request.folder;
    let plan = plan(folder, request.policy, request.scope, (request.now)()).await?;
    for id in plan.removals() {
        if request.interrupt.is_cancelled() {
            return Err(Error::Interrupted);
        }
        request.progress.event(Event::Backup(id.clone()));
        remove_backup(folder, id).await.map_err(repository)?;
    }
    for orphan in &plan.orphans {
        folder
            .remove(&orphan.object.key)
            .await
            .map_err(repository)?;
    }
    for file in &plan.temporary {
        folder.remove_temporary(file).map_err(repository)?;
    }
    Ok(plan)
}

async fn remove_backup(folder: &Folder, id: &BackupId) -> Result<(), repository::Error> {
    let manifest = format!("{id}/{MANIFEST}");
    let objects = folder.list_backup(id).await?;
    if objects.iter().any(|object| object.name() == PIN) {
        // Pinned since the plan was made.
        return Ok(());
    }
    folder.remove(&manifest).await?;
    for object in objects.iter().filter(|object| object.key != manifest) {
        folder.remove(&object.key).await?;
    }
    folder.remove_folder(id).await
}
