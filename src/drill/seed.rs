//! The backup that a scratch cluster begins with, and what of it must be there in the end.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::site::{SiteMember, initial_cluster};
use crate::backend::{self, Select, State, Store, state_at};
use crate::catalog::Backup;
use crate::datadir::edit::Edits;
use crate::datadir::membership::{self, Membership};
use crate::etcd::{self, BATCH_KEYS, Member};
use crate::fetch::{self, fetch_to_file};
use crate::id::{BackupId, Revision};
use crate::progress::{Progress, Silent};
use crate::repository::Folder;
use crate::restore::{self, Origin, Target, restore};
use crate::sandbox::{self, Scratch};

/// What the keys begin with that drills and recoveries write themselves, perhaps also into the cluster of the backup.
const OURS: [&str; 2] = ["etcdrx-drill", "etcdrx/check"];
/// How many bytes of values are asked for at once.
const BATCH_BYTES: usize = 1 << 20;

/// Why no cluster begins with the backup.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// There is no place for its file.
    #[error("cannot make a directory for the backup")]
    Scratch { source: sandbox::Error },

    /// It could not be brought here, or is damaged.
    #[error("cannot fetch {backup}")]
    Fetch {
        backup: BackupId,
        source: fetch::Error,
    },

    /// The file that was brought here is gone.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// It is what was stored, and no sound database.
    #[error("{backup} is no sound etcd database")]
    Database {
        backup: BackupId,
        source: backend::Error,
    },

    /// Not to be expected of names that are ours.
    #[error("cannot name the members of the scratch cluster")]
    Membership { source: membership::Error },

    /// The members' directories could not be made.
    #[error("cannot make the members' directories from {backup}")]
    Restore {
        backup: BackupId,
        source: restore::Error,
    },
}

/// A backup that was brought here. Dropped, its file is removed.
#[derive(Debug)]
pub struct Seed {
    backup: BackupId,
    etcd_version: String,
    revision: Revision,
    database_bytes: u64,
    keys: BTreeMap<Vec<u8>, State>,
    store: Store<File>,
    scratch: Scratch,
}

/// What became of a backup's keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Those that are there, with the same value and revision.
    pub kept: usize,
    /// Those that hang on a lease, which may have ended meanwhile: nobody is held to them.
    pub leased: usize,
    /// Those that are not there, or are not what they were.
    pub lost: Vec<String>,
}

impl Seed {
    /// Brings a backup into a directory of its own in `directory`, and reads which keys are in it.
    ///
    /// # Errors
    /// If there is no room, the repository fails, or the backup is damaged; nothing is left behind then.
    pub async fn fetch(
        folder: &Folder,
        backup: &Backup,
        directory: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let id = backup.id();
        let scratch = Scratch::create(directory).map_err(|source| Error::Scratch { source })?;
        let path = scratch.path().join("snapshot.db");
        let fetched = fetch_to_file(folder, backup, &path, progress).await;
        fetched.map_err(|source| Error::Fetch {
            backup: id.clone(),
            source,
        })?;
        let file = File::open(&path).map_err(|source| Error::Read { path, source })?;
        let read = || {
            let store = Store::open(file)?;
            let revision = store.revision()?;
            Ok((state_at(&store, revision, &Select::All)?, store, revision))
        };
        let (keys, store, revision) = read().map_err(|source| Error::Database {
            backup: id.clone(),
            source,
        })?;
        Ok(Self {
            backup: id.clone(),
            etcd_version: backup.manifest.etcd_version.clone(),
            revision,
            database_bytes: backup.manifest.db_size_bytes,
            keys,
            store,
            scratch,
        })
    }

    /// The backup's id.
    #[must_use]
    pub fn backup(&self) -> &BackupId {
        &self.backup
    }

    /// The etcd that it was taken from.
    #[must_use]
    pub fn etcd_version(&self) -> &str {
        &self.etcd_version
    }

    /// The newest revision in it: whatever is written to the cluster has a later one.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// How large its database is.
    #[must_use]
    pub fn database_bytes(&self) -> u64 {
        self.database_bytes
    }

    /// Makes the members' data directories. Users, leases and history are as they were; alarms, which would refuse all writes, are not.
    pub(super) async fn plant(&self, members: &[SiteMember], token: &str) -> Result<(), Error> {
        let named = |source| Error::Membership { source };
        let membership = Membership::parse(&initial_cluster(members), token).map_err(named)?;
        let mut targets = Vec::new();
        for member in members {
            targets.push(Target {
                member: membership.member(&member.name).map_err(named)?.clone(),
                data_dir: member.data_dir(),
                wal_dir: None,
            });
        }
        let request = restore::Request {
            membership: &membership,
            targets,
            edits: Edits {
                clear_alarms: true,
                ..Edits::default()
            },
            bump: None,
            run: "drill".to_owned(),
        };
        let origin = Origin::File {
            path: &self.scratch.path().join("snapshot.db"),
            unproven: false,
        };
        let restored = restore(&request, &origin, &Silent).await;
        restored.map(drop).map_err(|source| Error::Restore {
            backup: self.backup.clone(),
            source,
        })
    }

    /// Holds what a cluster has against the backup: every key that hangs on no lease must be there, as it was.
    ///
    /// # Errors
    /// If the cluster cannot be read.
    pub async fn hold_to(&self, member: &Member) -> Result<Held, etcd::Error> {
        let mut held = Held::default();
        let mut batch = Vec::new();
        let mut batch_bytes = 0;
        for (key, state) in &self.keys {
            if OURS.iter().any(|ours| key.starts_with(ours.as_bytes())) {
                continue;
            }
            if state.lease != 0 {
                held.leased += 1;
                continue;
            }
            batch.push((key.as_slice(), state));
            batch_bytes += key.len() + state.value_bytes;
            if batch.len() == BATCH_KEYS || batch_bytes > BATCH_BYTES {
                self.compare(&batch, member, &mut held).await?;
                batch.clear();
                batch_bytes = 0;
            }
        }
        self.compare(&batch, member, &mut held).await?;
        Ok(held)
    }

    async fn compare(
        &self,
        batch: &[(&[u8], &State)],
        member: &Member,
        held: &mut Held,
    ) -> Result<(), etcd::Error> {
        let keys: Vec<&[u8]> = batch.iter().map(|(key, _)| *key).collect();
        if keys.is_empty() {
            return Ok(());
        }
        for ((key, state), live) in batch.iter().zip(member.read_keys(&keys).await?) {
            let value = self.store.value_at(state.place).ok();
            let same = live.is_some_and(|live| {
                live.mod_revision == state.mod_revision && Some(live.value) == value
            });
            match same {
                true => held.kept += 1,
                false => held.lost.push(String::from_utf8_lossy(key).into_owned()),
            }
        }
        Ok(())
    }
}
