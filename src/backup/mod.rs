//! Takes a backup: from the right member, proven while it streams, committed last.

mod attempt;
mod prove;
mod transfer;

use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::catalog::{self, Catalog};
use crate::etcd::{self, Access, MemberStatus, choose, probe_all};
use crate::id::{BackupId, ClusterId, ClusterName, Digest, Revision};
use crate::keys::{self, signature::SigningKey};
use crate::manifest::{Finding, Manifest};
use crate::progress::{Event, Progress, told};
use crate::repository::{self, Folder, Holder, Lock, LockError, LockRecord, Upload};
use crate::{codec, config};

/// How long each endpoint may take to say how it is.
pub const PROBE: Duration = Duration::from_secs(3);

/// Why there is no new backup.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// etcd could not give a snapshot.
    #[error("cannot get a snapshot")]
    Etcd { source: etcd::Error },

    /// The repository could not take it.
    #[error("cannot store the backup")]
    Repository { source: repository::Error },

    /// Another run is at work.
    #[error("cannot begin")]
    Lock { source: LockError },

    /// The catalog could not be read.
    #[error("cannot look at the earlier backups")]
    Catalog { source: catalog::Error },

    /// What came is not a snapshot.
    #[error("{endpoint} sent a damaged snapshot")]
    Damaged {
        endpoint: String,
        source: codec::Error,
    },

    /// The snapshot is older than what the cluster had acknowledged before it was asked for.
    #[error(
        "{endpoint} sent a snapshot of revision {snapshot}, and revision {linearizable} was there before it was asked"
    )]
    Stale {
        endpoint: String,
        snapshot: Revision,
        linearizable: Revision,
    },

    /// Several members were tried, and each failed in its own way.
    #[error("no member gave a usable snapshot; the last one failed so:")]
    AllFailed { source: Box<Error> },

    /// What the store gives back is not what was stored.
    #[error(
        "the stored object is not what was sent: {found_bytes} bytes with SHA-256 {found} came back, {sent_bytes} with {sent} were sent"
    )]
    ReadBack {
        sent: Digest,
        sent_bytes: u64,
        found: Digest,
        found_bytes: u64,
    },

    /// The manifest that the store gives back is another.
    #[error("the manifest of {id} reads back differently from how it was written")]
    ManifestReadBack { id: BackupId },

    /// The backup was to be signed, and cannot be.
    #[error("cannot sign the backup")]
    Keys { source: keys::Error },

    /// The time for the whole backup is up.
    #[error("the backup was not done within {}", humantime::format_duration(*.after))]
    TimedOut { after: Duration },

    /// Somebody stopped it.
    #[error("interrupted: nothing was committed")]
    Interrupted,
}

/// Everything that a backup needs.
pub struct Request<'a> {
    /// The cluster's folder-name.
    pub cluster: &'a ClusterName,
    /// The way to its members.
    pub access: &'a Access,
    /// Where it goes.
    pub folder: &'a Folder,
    /// How it is taken.
    pub settings: &'a config::Backup,
    /// Whether the stored object is read back whole before the manifest is written.
    pub read_back: bool,
    /// How long to wait for another run to end.
    pub wait: Duration,
    /// Our clock.
    pub now: fn() -> DateTime<Utc>,
    /// Stops the work.
    pub interrupt: &'a CancellationToken,
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
}

/// Takes one backup and returns its manifest, once it is committed and read back.
///
/// Nothing is listed before. Whatever fails or interrupts the work, the upload is aborted and the lock given back; what
/// a killed process leaves is swept by the next run. A backup that was taken in doubtful circumstances (no quorum,
/// members that disagree) is kept and says so in its findings.
///
/// # Errors
/// If there is no new backup.
pub async fn backup(request: &Request<'_>) -> Result<Manifest, Error> {
    let signing = request.folder.keys().signing();
    let signing = signing.map_err(|source| Error::Keys { source })?;
    let started_at = (request.now)();
    let id = BackupId::new(started_at, rand::random());
    let record = LockRecord {
        operation: "backup".to_owned(),
        holder: Holder::this_process(),
        started_at,
        backup: Some(id.clone()),
        upload: None,
    };
    let locking = request
        .folder
        .lock(record, rand::random(), request.now, request.wait);
    let lock = tokio::select! {
        lock = locking => lock.map_err(|source| Error::Lock { source })?,
        () = request.interrupt.cancelled() => return Err(Error::Interrupted),
    };
    let mut run = Run {
        request,
        id,
        started_at,
        lock,
        signing,
        upload: None,
        findings: Vec::new(),
    };
    let result = match run.bounded().await {
        // Neither a signal nor the time limit cuts this in two: who says that nothing was committed must be right.
        Ok(manifest) => run.commit(&manifest).await.map(|()| manifest),
        Err(error) => Err(error),
    };
    run.end(result).await
}

/// One backup on its way.
struct Run<'a> {
    request: &'a Request<'a>,
    id: BackupId,
    started_at: DateTime<Utc>,
    lock: Lock,
    /// What signs the manifest, if anything does.
    signing: Option<SigningKey>,
    /// What is to be aborted if the run fails; empty again once the manifest may have been written.
    upload: Option<Upload>,
    findings: Vec<Finding>,
}

impl Run<'_> {
    async fn bounded(&mut self) -> Result<Manifest, Error> {
        let after = self.request.settings.timeout;
        let interrupt = self.request.interrupt;
        tokio::select! {
            result = timeout(after, self.work()) => match result {
                Ok(result) => result,
                Err(_) => Err(Error::TimedOut { after }),
            },
            () = interrupt.cancelled() => Err(Error::Interrupted),
        }
    }

    /// Cleans up, whatever happened.
    async fn end(mut self, result: Result<Manifest, Error>) -> Result<Manifest, Error> {
        if let Some(upload) = self.upload.take()
            && let Err(error) = upload.abort().await
        {
            tracing::warn!(
                error = told(&error),
                "cannot abort the upload; a later run sweeps it"
            );
        }
        let released = self.lock.release().await;
        if let Err(error) = released {
            tracing::warn!(
                error = told(&error),
                "cannot release the lock; it expires in two minutes"
            );
        }
        result
    }

    async fn work(&mut self) -> Result<Manifest, Error> {
        self.notice_clocks_and_store();
        self.stage("asking every member how it is");
        let members = self.members().await?;
        let choice = choose(&self.request.settings.member, &members)
            .map_err(|source| Error::Etcd { source })?;
        for refused in &choice.refused {
            let message = format!("{} is not used: {}", refused.endpoint, refused.why);
            self.find(Finding::warning("member-unfit", message));
        }
        self.same_cluster_as_before(choice.cluster_id).await?;
        self.try_candidates(choice, &members).await
    }

    /// Asks every endpoint; those that do not answer are findings as long as one does.
    async fn members(&mut self) -> Result<Vec<MemberStatus>, Error> {
        let mut members = Vec::new();
        let mut errors = Vec::new();
        for probe in probe_all(self.request.access, PROBE).await {
            match probe {
                Ok(status) => members.push(status),
                Err(error) => errors.push(error),
            }
        }
        if members.is_empty() {
            let source = etcd::Error::none_answers(errors);
            return Err(Error::Etcd { source });
        }
        for error in errors {
            self.find(Finding::warning("member-unreachable", error.to_string()));
        }
        Ok(members)
    }

    /// Holds the cluster's id against the backups that are there.
    async fn same_cluster_as_before(&mut self, ours: ClusterId) -> Result<(), Error> {
        let catalog = Catalog::load(self.request.folder)
            .await
            .map_err(|source| Error::Catalog { source })?;
        if let Some(theirs) = catalog.alternates_with(ours) {
            // Somebody's mistake must not leave this cluster without backups.
            let message = format!(
                "the folder holds newer backups of another cluster ({theirs}) beside those of this one ({ours}): give each cluster a name of its own, and look before you restore `latest`"
            );
            self.find(Finding::error("folder-shared", message));
            return Ok(());
        }
        let Some(newest) = catalog.backups.first() else {
            return Ok(());
        };
        let is_encrypted = self.request.folder.keys().recipients().is_some();
        if newest.manifest.encryption.is_some() && !is_encrypted {
            let message = "the last backup is encrypted, and this one is not: no recipients are configured here";
            self.find(Finding::error("no-longer-encrypted", message));
        }
        let before = newest.manifest.cluster_id;
        if before != ours {
            let message = format!(
                "the cluster's id was {before} and is {ours}: it was restored or made anew, or this is another cluster's folder"
            );
            self.find(Finding::warning("cluster-id-changed", message));
        }
        if newest.id().started_at() > self.started_at {
            let message = format!(
                "the newest backup {} lies in this clock's future: clocks disagree, and `latest` is not the newest",
                newest.id()
            );
            self.find(Finding::error("clock-behind", message));
        }
        Ok(())
    }

    /// Tells what taking the lock taught about clocks and about the store.
    fn notice_clocks_and_store(&mut self) {
        let ahead = self.lock.store_clock_ahead.num_seconds();
        if ahead.abs() > 30 {
            let way = if ahead > 0 { "ahead of" } else { "behind" };
            let message = format!(
                "the store's clock is {} seconds {way} this machine's: backup times may be wrong",
                ahead.abs()
            );
            self.find(Finding::warning("clock-skew", message));
        }
        if !self.lock.puts_if_absent {
            let message = "the store cannot create an object only if absent; locks and random ids keep writers apart";
            self.find(Finding::warning("no-put-if-absent", message));
        }
    }

    fn stage(&self, text: &str) {
        self.request.progress.event(Event::Stage(text.to_owned()));
    }

    /// Keeps a finding for the manifest and tells it at once.
    fn find(&mut self, finding: Finding) {
        let message = finding.message.clone();
        self.request.progress.event(Event::Warning(message));
        self.findings.push(finding);
    }
}
