//! One writer at a time in a cluster's folder.
//!
//! Every writer puts an object of its own under `locks/` and then looks for others: it works only if it sees none. Of
//! several that begin at once all but the first by name step back, and that one waits for them to do so, lest they all
//! refuse and no backup is taken. Nothing depends on the store being able to put only if absent. A writer renews its
//! lock as long as it lives. One that was not renewed for two minutes *by the store's own clock*, or whose process is
//! gone from this very machine, is dead; what its run left is swept, and its lock removed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::folder::{Folder, Object};
use super::holder::Holder;
use super::upload::Upload;
use super::{Error, briefly};
use crate::id::BackupId;
use crate::progress::told;

/// What is appended to the name of a dead run's lock while its left-overs are swept.
const DEAD: &str = ".dead";
/// How often a lock is renewed.
const RENEWAL: Duration = Duration::from_secs(20);
/// How long the removal of what is most likely not there may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a writer that came later by name may take to step back, if it is not at work yet.
const YIELD: Duration = Duration::from_secs(5);
/// A lock that was not renewed for so long belongs to a dead run.
const LIFE: TimeDelta = TimeDelta::seconds(120);

/// Why the lock was not had.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another run works in this folder.
    #[error(
        "another run is at work in this cluster's folder: {} since {} (process {} on {})",
        .by.operation, .by.started_at.format("%Y-%m-%d %H:%M:%S UTC"), .by.holder.pid, .by.holder.host
    )]
    Held { by: Box<LockRecord> },

    /// Somebody took this run for dead and removed its lock.
    #[error(
        "this run's lock was removed by another run, which took it for dead: nothing was committed"
    )]
    Lost,

    /// The store failed.
    #[error("cannot lock the cluster's folder")]
    Store { source: Error },
}

/// A multipart upload that a run began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRecord {
    /// The key of the object.
    pub key: String,
    /// The store's id of the upload.
    pub id: String,
}

/// What a lock says of its run: enough to tell whether it lives, and to clean up after it if not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockRecord {
    /// What the run does: `backup`, `prune`.
    pub operation: String,
    /// Who does it.
    pub holder: Holder,
    /// When it began, by its own clock.
    pub started_at: DateTime<Utc>,
    /// The backup that it is taking.
    #[serde(default)]
    pub backup: Option<BackupId>,
    /// The upload that it has begun.
    #[serde(default)]
    pub upload: Option<UploadRecord>,
}

/// A lock that is held.
#[derive(Debug)]
pub struct Lock {
    pub(super) folder: Folder,
    key: String,
    record: Arc<Mutex<LockRecord>>,
    renewal: JoinHandle<()>,
    /// How far the store's clock is ahead of ours.
    pub store_clock_ahead: TimeDelta,
    /// Whether the store itself keeps two writers from creating one object.
    pub puts_if_absent: bool,
}

impl std::fmt::Debug for Folder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown(""))
    }
}

impl Folder {
    /// Locks the folder for `record`'s run, waiting up to `wait` for another one to end.
    ///
    /// `now` is our clock's time, and `tail` makes the lock's name unique.
    ///
    /// # Errors
    /// [`LockError::Held`] if another run does not end in time.
    pub async fn lock(
        &self,
        record: LockRecord,
        tail: u32,
        now: fn() -> DateTime<Utc>,
        wait: Duration,
    ) -> Result<Lock, LockError> {
        let give_up = Instant::now() + wait;
        let key = format!("locks/{}.json", BackupId::new(record.started_at, tail));
        loop {
            match self.try_lock(&key, &record, now).await {
                Err(LockError::Held { .. }) if Instant::now() < give_up => {
                    // Not all at the same time again.
                    let pause = 500 + u64::from(rand::random::<u8>()) * 2;
                    sleep(Duration::from_millis(pause)).await;
                }
                result => return result,
            }
        }
    }

    async fn try_lock(
        &self,
        key: &str,
        record: &LockRecord,
        now: fn() -> DateTime<Utc>,
    ) -> Result<Lock, LockError> {
        let store = |source| LockError::Store { source };
        self.first_other(key, &record.holder, None)
            .await
            .map_err(store)?;
        let before = now();
        let guaranteed = match self.create(key, json(record)).await {
            Ok(guaranteed) => guaranteed,
            // Nobody else takes this name: the answer to a first try was lost, and this is that to the second.
            Err(Error::Exists { .. }) => true,
            Err(error) => {
                // It may have been written all the same, and would keep others out.
                let _ = timeout(PATIENCE, self.remove(key)).await;
                return Err(store(error));
            }
        };
        match self.confirm_alone(key, record, guaranteed).await {
            Ok((ours, puts_if_absent)) => {
                let record = Arc::new(Mutex::new(record.clone()));
                Ok(Lock {
                    folder: self.clone(),
                    key: key.to_owned(),
                    renewal: tokio::spawn(renew(self.clone(), key.to_owned(), record.clone())),
                    record,
                    store_clock_ahead: ours.modified - before,
                    puts_if_absent,
                })
            }
            Err(error) => {
                self.remove(key).await.map_err(store)?;
                Err(error)
            }
        }
    }

    /// With our lock in place, looks for others, and whether a second creation is refused.
    async fn confirm_alone(
        &self,
        key: &str,
        record: &LockRecord,
        guaranteed: bool,
    ) -> Result<(Object, bool), LockError> {
        let store = |source| LockError::Store { source };
        let puts_if_absent = guaranteed
            && match self.create_once(key, json(record).into()).await {
                Err(Error::Exists { .. }) => true,
                Ok(_) => false,
                Err(error) => return Err(store(error)),
            };
        let ours = self.stat(key).await.map_err(store)?;
        self.wait_for_others(key, &record.holder, ours.modified)
            .await?;
        self.sweep_old_locks(ours.modified).map_err(store)?;
        Ok((ours, puts_if_absent))
    }

    /// Refuses if another run is at work, or began at the same time and is to go first.
    async fn wait_for_others(
        &self,
        ours: &str,
        us: &Holder,
        store_now: DateTime<Utc>,
    ) -> Result<(), LockError> {
        let give_up = Instant::now() + YIELD;
        loop {
            let other = self.first_other(ours, us, Some(store_now)).await;
            match other.map_err(|source| LockError::Store { source })? {
                None => return Ok(()),
                // It sees our lock and steps back, unless it did not find ours when it looked.
                Some((key, _)) if *key > *ours && Instant::now() < give_up => {
                    sleep(Duration::from_millis(100)).await;
                }
                Some((_, by)) => return Err(LockError::Held { by: Box::new(by) }),
            }
        }
    }

    /// The first lock by name of another run that is alive; sweeps after the dead that it meets before.
    ///
    /// `store_now` is the store's time, known once our own lock is written; until then only processes that are
    /// certainly gone count as dead, and what may be expired is left for the second look.
    async fn first_other(
        &self,
        ours: &str,
        us: &Holder,
        store_now: Option<DateTime<Utc>>,
    ) -> Result<Option<(String, LockRecord)>, Error> {
        for object in self.list_below(Some("locks")).await? {
            if object.key == ours {
                continue;
            }
            let bytes = match self.read(&object.key).await {
                Ok(bytes) => bytes,
                Err(Error::NotFound { .. }) => continue,
                Err(error) => return Err(error),
            };
            let expired = store_now.is_some_and(|now| now - object.modified > LIFE);
            let record: Option<LockRecord> = serde_json::from_slice(&bytes).ok();
            let gone = record.as_ref().is_some_and(|r| r.holder.is_gone(us));
            let dead = expired || gone || object.key.ends_with(DEAD);
            match (dead, record) {
                (true, record) => match self.bury(&object.key, record).await {
                    // Where nothing may be deleted, the dead stay where they are, and count for nothing.
                    Ok(()) | Err(Error::Denied { .. }) => {}
                    Err(error) => return Err(error),
                },
                (false, Some(by)) if store_now.is_some() => return Ok(Some((object.key, by))),
                // Before our own lock is written nobody can tell; what cannot be read expires like any other.
                (false, _) => {}
            }
        }
        Ok(None)
    }

    /// Removes what is left of runs that were killed while they wrote their locks.
    fn sweep_old_locks(&self, store_now: DateTime<Utc>) -> Result<(), Error> {
        for file in self.temporary_files()? {
            if file.key.starts_with("locks/") && store_now - file.modified > LIFE {
                self.remove_temporary(&file)?;
            }
        }
        Ok(())
    }

    /// Removes a dead run's lock, then what the run left.
    ///
    /// In this order, with a mark that survives us in between: a run that only seemed dead looks for its lock again
    /// after it wrote its manifest, and so either it learns of this, or the sweep sees the manifest.
    async fn bury(&self, key: &str, record: Option<LockRecord>) -> Result<(), Error> {
        let Some(record) = record else {
            return self.remove(key).await;
        };
        tracing::warn!(run = key, "sweeping after a run that died");
        let mark = format!("{}{DEAD}", key.trim_end_matches(DEAD));
        if mark != key {
            self.put(&mark, json(&record)).await?;
            self.remove(key).await?;
            self.tidy(&format!("{key}#"))?;
        }
        self.sweep_after(&record).await?;
        self.remove(&mark).await
    }
}

fn json(record: &LockRecord) -> Vec<u8> {
    serde_json::to_vec_pretty(record).expect("a lock record holds nothing that JSON cannot")
}

async fn renew(folder: Folder, key: String, record: Arc<Mutex<LockRecord>>) {
    loop {
        sleep(RENEWAL).await;
        let bytes = json(
            &record
                .lock()
                .expect("nobody panics with the record in hand"),
        );
        // A lock that is gone was taken from us: it is not to come back to life.
        let renewed = match folder.stat(&key).await {
            Ok(_) => folder.put(&key, bytes).await,
            Err(Error::NotFound { .. }) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = renewed {
            tracing::warn!(error = told(&error), "cannot renew the lock");
        }
    }
}

impl Lock {
    /// Notes the upload that a later run has to abort if this one dies; once there is something to abort, and once only.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn note(&self, upload: &Upload) -> Result<(), LockError> {
        let Some(id) = upload.id() else {
            return Ok(());
        };
        let bytes = {
            let mut record = self
                .record
                .lock()
                .expect("nobody panics with the record in hand");
            if record.upload.as_ref().is_some_and(|noted| noted.id == id) {
                return Ok(());
            }
            record.upload = Some(UploadRecord {
                key: upload.key().to_owned(),
                id: id.to_owned(),
            });
            json(&record)
        };
        let put = self.folder.put(&self.key, bytes).await;
        put.map_err(|source| LockError::Store { source })
    }

    /// Makes sure that the lock is still ours: to be called right before a commit, and right after it.
    ///
    /// # Errors
    /// [`LockError::Lost`] if another run removed it.
    pub async fn confirm(&self) -> Result<(), LockError> {
        match self.folder.stat(&self.key).await {
            Ok(_) => Ok(()),
            Err(Error::NotFound { .. }) => Err(LockError::Lost),
            Err(source) => Err(LockError::Store { source }),
        }
    }

    /// Leaves the lock where it is, in a store that does not answer: it expires, and a later run sweeps.
    pub fn abandon(self) {
        self.renewal.abort();
    }

    /// Gives the lock back, once nothing is left of a backup that was not committed.
    ///
    /// # Errors
    /// If the store fails; the lock expires by itself then, and tells a later run what to sweep.
    pub async fn release(self) -> Result<(), LockError> {
        self.renewal.abort();
        // A renewal that was under way must not write the lock anew after its removal.
        let _ = self.renewal.await;
        let record = self
            .record
            .lock()
            .expect("nobody panics with the record in hand")
            .clone();
        let swept = async {
            self.folder.sweep_after(&record).await?;
            self.folder.remove(&self.key).await
        };
        let released = briefly("remove", &self.folder.shown(&self.key), swept).await;
        released.map_err(|source| LockError::Store { source })
    }

    /// Gives the lock back, as [`Lock::release`] does, where nothing depends on it any more: a failure is in the log.
    pub async fn let_go(self) {
        if let Err(error) = self.release().await {
            tracing::warn!(
                error = told(&error),
                "cannot release the lock; it expires in two minutes"
            );
        }
    }
}
