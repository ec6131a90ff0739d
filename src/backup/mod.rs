//! Takes a backup: from the right member, proven while it streams, committed last.

mod attach;
mod attempt;
mod place;
mod prove;
mod settle;
mod transfer;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

use self::attach::Attached;
use self::place::{Place, Places};
use self::settle::Streamed;
use crate::catalog::{self, Catalog};
use crate::codec::encryption::Recipients;
use crate::etcd::{self, Access, MemberStatus, choose, probe_all};
use crate::id::{BackupId, ClusterId, ClusterName, Digest, Revision};
use crate::keys::signature::SigningKey;
use crate::keys::{self, Keys};
use crate::manifest::{DATA, ENCRYPTED_DATA, Finding, Manifest};
use crate::progress::{Event, Progress, told};
use crate::repository::{self, Folder, Holder, LockError, LockRecord};
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

    /// One repository takes nothing while another one does: the backup goes on without it.
    #[error(
        "the repository took nothing for {} while another one did",
        humantime::format_duration(*.after)
    )]
    Silent { after: Duration },

    /// There are several repositories, and not one has the backup.
    #[error("no repository took the backup: {}", list(.failures))]
    Nowhere { failures: Vec<(String, Error)> },

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

fn list(failures: &[(String, Error)]) -> String {
    let told = |(label, error): &(String, Error)| format!("{label}: {}", told(error));
    failures.iter().map(told).collect::<Vec<_>>().join("; ")
}

/// Everything that a backup needs.
pub struct Request<'a> {
    /// The cluster's folder-name.
    pub cluster: &'a ClusterName,
    /// The way to its members.
    pub access: &'a Access,
    /// Where it goes: the cluster's folder in each repository.
    pub folders: &'a [Folder],
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

impl Request<'_> {
    /// Who can open it, if not everybody: the same in every repository.
    fn recipients(&self) -> Option<&Arc<Recipients>> {
        self.folders.first()?.keys().recipients()
    }

    /// The name of the data object.
    fn object(&self) -> &'static str {
        match self.recipients() {
            Some(_) => ENCRYPTED_DATA,
            None => DATA,
        }
    }
}

/// A backup that exists in one repository at the least.
#[derive(Debug)]
pub struct Taken {
    /// What became of it in each repository, in the order of the request's folders.
    ///
    /// The manifests differ in nothing but the times at which each copy was proven.
    pub places: Vec<Result<Manifest, Error>>,
}

impl Taken {
    /// The manifest in the first repository that has the backup.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        let mut manifests = self.places.iter().flatten();
        manifests.next().expect("it exists in one at the least")
    }
}

/// Takes one backup, from one stream into all repositories, and returns once it is committed and read back.
///
/// Nothing is listed before. Whatever fails or interrupts the work, the upload is aborted and the lock given back; what
/// a killed process leaves is swept by the next run. A backup that was taken in doubtful circumstances (no quorum,
/// members that disagree) is kept and says so in its findings.
///
/// Each repository has a lock, a read-back and a commit of its own: one that fails, or holds the others up for twice
/// `stall_timeout`, is left out, and what the others have stays.
///
/// # Errors
/// If there is no new backup in any of them.
pub async fn backup(request: &Request<'_>) -> Result<Taken, Error> {
    let keys = request.folders.first().map(Folder::keys);
    let signing = keys.map_or(Ok(None), Keys::signing);
    let signing = signing.map_err(|source| Error::Keys { source })?;
    let started_at = (request.now)();
    let mut run = Run {
        request,
        id: BackupId::new(started_at, rand::random()),
        started_at,
        places: Places::new(request),
        before: None,
        signing,
        attached: None,
        findings: Vec::new(),
    };
    run.lock().await;
    let result = run.proceed().await;
    run.places.end().await;
    result.and_then(|()| run.places.into_outcome())
}

/// One backup on its way.
struct Run<'a> {
    request: &'a Request<'a>,
    id: BackupId,
    started_at: DateTime<Utc>,
    places: Places<'a>,
    /// The newest backup of this cluster before this one, and its revision.
    before: Option<(BackupId, Revision)>,
    /// What signs the manifest, if anything does.
    signing: Option<SigningKey>,
    /// The side files that are stored with it.
    attached: Option<Attached>,
    findings: Vec<Finding>,
}

/// What may end the work before its commit.
#[derive(Clone, Copy)]
struct Limits<'a> {
    end: Instant,
    after: Duration,
    interrupt: &'a CancellationToken,
}

impl Limits<'_> {
    async fn bound<T>(self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::select! {
            result = timeout_at(self.end, work) => match result {
                Ok(result) => result,
                Err(_) => Err(Error::TimedOut { after: self.after }),
            },
            () = self.interrupt.cancelled() => Err(Error::Interrupted),
        }
    }
}

impl Run<'_> {
    async fn lock(&mut self) {
        let record = LockRecord {
            operation: "backup".to_owned(),
            holder: Holder::this_process(),
            started_at: self.started_at,
            backup: Some(self.id.clone()),
            upload: None,
        };
        let request = self.request;
        let locking = async |place: &mut Place<'_>| place.lock(&record, request).await;
        self.places.in_all(locking).await;
    }

    /// Everything behind the locks. Neither a signal nor the time limit cuts a commit in two: who says that nothing was
    /// committed must be right.
    async fn proceed(&mut self) -> Result<(), Error> {
        if self.request.interrupt.is_cancelled() {
            return Err(Error::Interrupted);
        }
        if !self.places.any_left() {
            return Ok(());
        }
        let after = self.request.settings.timeout;
        let limits = Limits {
            end: Instant::now() + after,
            after,
            interrupt: self.request.interrupt,
        };
        // Otherwise every repository has failed, and said why.
        if let Some(streamed) = limits.bound(self.work()).await? {
            self.settle(streamed, limits).await;
        }
        Ok(())
    }

    /// Streams one snapshot into all repositories; nothing shows there yet.
    async fn work(&mut self) -> Result<Option<Streamed>, Error> {
        self.notice_clocks_and_store();
        self.attach().await;
        self.stage("asking every member how it is");
        let members = self.members().await?;
        let choice = choose(&self.request.settings.member, &members)
            .map_err(|source| Error::Etcd { source })?;
        for refused in &choice.refused {
            let message = format!("{} is not used: {}", refused.endpoint, refused.why);
            self.find(Finding::warning("member-unfit", message));
        }
        self.same_cluster_as_before(choice.cluster_id).await;
        self.try_candidates(choice, members).await
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
    async fn same_cluster_as_before(&mut self, ours: ClusterId) {
        let load = async |place: &mut Place<'_>| {
            let catalog = Catalog::load(place.folder).await;
            catalog.map_err(|source| Error::Catalog { source })
        };
        for catalog in self.places.in_all(load).await {
            for finding in self.doubts(&catalog, ours) {
                self.find(finding);
            }
        }
    }

    /// What the earlier backups of a folder make doubtful.
    fn doubts(&mut self, catalog: &Catalog, ours: ClusterId) -> Vec<Finding> {
        if let Some(theirs) = catalog.alternates_with(ours) {
            // Somebody's mistake must not leave this cluster without backups.
            let message = format!(
                "the folder holds newer backups of another cluster ({theirs}) beside those of this one ({ours}): give each cluster a name of its own, and look before you restore `latest`"
            );
            return vec![Finding::error("folder-shared", message)];
        }
        let Some(newest) = catalog.backups.first() else {
            return Vec::new();
        };
        let mut findings = Vec::new();
        if newest.manifest.encryption.is_some() && self.request.recipients().is_none() {
            let message = "the last backup is encrypted, and this one is not: no recipients are configured here";
            findings.push(Finding::error("no-longer-encrypted", message));
        }
        let before = newest.manifest.cluster_id;
        if before == ours {
            let newest = (newest.id().clone(), newest.manifest.revision);
            let known = self.before.take().into_iter();
            self.before = known.chain([newest]).max_by_key(|(_, revision)| *revision);
        } else {
            let message = format!(
                "the cluster's id was {before} and is {ours}: it was restored or made anew, or this is another cluster's folder"
            );
            findings.push(Finding::warning("cluster-id-changed", message));
        }
        if newest.id().started_at() > self.started_at {
            let message = format!(
                "the newest backup {} lies in this clock's future: clocks disagree, and `latest` is not the newest",
                newest.id()
            );
            findings.push(Finding::error("clock-behind", message));
        }
        findings
    }

    /// Holds the snapshot's revision against that of the backup before: a cluster's revision never falls.
    fn not_older_than_before(&mut self, revision: Revision) {
        if let Some((id, before)) = self.before.clone()
            && revision < before
        {
            let message = format!(
                "the revision is {revision}, and was {before} in the backup {id}: this cluster was put back to an earlier state, and whoever watches it may miss changes"
            );
            self.find(Finding::warning("revision-backwards", message));
        }
    }

    /// Tells what taking the locks taught about clocks and about the stores.
    fn notice_clocks_and_store(&mut self) {
        for finding in self.places.noticed() {
            self.find(finding);
        }
    }

    fn stage(&self, text: &str) {
        self.request.progress.event(Event::Stage(text.to_owned()));
    }

    /// Keeps a finding for the manifest and tells it at once; two repositories may give the same one.
    fn find(&mut self, finding: Finding) {
        if self.findings.contains(&finding) {
            return;
        }
        let message = finding.message.clone();
        self.request.progress.event(Event::Warning(message));
        self.findings.push(finding);
    }
}
