//! Makes data directories that etcd boots from a snapshot, in one pass and natively.

mod bring;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::backend::{self, Contents, Store, contents};
use crate::catalog::Backup;
use crate::datadir::build::{self, Building, Missing, ensure_space};
use crate::datadir::edit::{self, Edited, Edits, Release};
use crate::datadir::membership::{Member, Membership};
use crate::id::{Digest, Revision};
use crate::manifest::Finding;
use crate::progress::{Event, Progress};
use crate::repository::Folder;
use crate::verify;

/// Why nothing was restored.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The snapshot file could not be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// There is nothing that proves the file whole.
    #[error("{} has no SHA-256 trailer: it is a database file, not a snapshot", .path.display())]
    NoTrailer { path: PathBuf },

    /// The bytes are not what etcd streamed.
    #[error("{}: its SHA-256 is {found}, its trailer says {trailer}: bytes were changed", .path.display())]
    TrailerMismatch {
        path: PathBuf,
        found: Digest,
        trailer: Digest,
    },

    /// The backup could not be read.
    #[error("cannot read the backup")]
    Backup { source: verify::Error },

    /// The backup is not what was stored.
    #[error("the backup is damaged: {}", .findings.first().map_or("", |finding| &finding.message))]
    Damaged { findings: Vec<Finding> },

    /// The bytes are no sound database.
    #[error("what was read is no sound etcd database")]
    Database { source: backend::Error },

    /// The database could not be copied.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// The database could not be made that of the new members.
    #[error("cannot make the database of the new members")]
    Edit { source: edit::Error },

    /// The directory could not be built.
    #[error("cannot build the data directory")]
    Build { source: build::Error },
}

/// Where the snapshot comes from.
pub enum Origin<'a> {
    /// A file: a snapshot, or with `unproven` a member's database.
    File {
        /// Where it is.
        path: &'a Path,
        /// Takes bytes that nothing proves, and does not look at a trailer.
        unproven: bool,
    },
    /// A backup of a repository.
    Backup {
        /// Its cluster's folder.
        folder: &'a Folder,
        /// Which one.
        backup: &'a Backup,
    },
}

/// One directory to make.
#[derive(Debug, Clone)]
pub struct Target {
    /// The member that it is for.
    pub member: Member,
    /// The data directory: not there, or empty.
    pub data_dir: PathBuf,
    /// Where the log goes, if not below it.
    pub wal_dir: Option<PathBuf>,
}

/// How far the revision is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bump {
    /// By so much.
    By(i64),
    /// Safely beyond the highest revision that is known to have been seen.
    Beyond(Revision),
}

impl Bump {
    /// The least that an automatic bump raises by.
    pub const LEAST: i64 = 1_000_000;

    /// By how much a store at `revision` is raised: what is missing to the highest revision known and a fifth more, and
    /// a million at the least.
    #[must_use]
    pub fn from(self, revision: Revision) -> i64 {
        match self {
            Self::By(by) => by,
            Self::Beyond(highest) => {
                let missing = highest.0.saturating_sub(revision.0).max(0);
                missing.saturating_add(missing / 5).max(Self::LEAST)
            }
        }
    }
}

/// What to restore, and into what.
pub struct Request<'a> {
    /// The members of the new cluster.
    pub membership: &'a Membership,
    /// The directories to make, of one or more of them.
    pub targets: Vec<Target>,
    /// What is to be different in the database; its bump is set from `bump`.
    pub edits: Edits,
    /// Raises the revision.
    pub bump: Option<Bump>,
    /// Tells this attempt from any other, in the names of what is not finished.
    pub run: String,
}

/// What was restored.
#[derive(Debug)]
pub struct Restored {
    /// The revisions, before and after.
    pub edited: Edited,
    /// By how much the revision was raised.
    pub bumped_by: Option<i64>,
    /// What the operator should know.
    pub findings: Vec<Finding>,
}

/// Makes every directory that was asked for; none shows before all bytes are proven and everything is on the disk.
///
/// # Errors
/// If the snapshot is not whole, a target is not empty, or the disk refuses: nothing is left behind then.
pub async fn restore(
    request: &Request<'_>,
    origin: &Origin<'_>,
    progress: &dyn Progress,
) -> Result<Restored, Error> {
    let directories: Vec<&Path> = request
        .targets
        .iter()
        .map(|target| target.data_dir.as_path())
        .collect();
    ensure_space(&directories, origin.database_bytes()?).map_err(build)?;
    // Dropped after the buildings: their directories are empty by then, or hold what was published.
    let _missing = Missing::above(&directories);
    let begin = |target: &Target| {
        Building::begin(&target.data_dir, target.wal_dir.as_deref(), &request.run)
    };
    let buildings: Result<Vec<Building>, _> = request.targets.iter().map(begin).collect();
    let buildings = buildings.map_err(build)?;
    let Some((first, others)) = buildings.split_first() else {
        return Ok(Restored::nothing());
    };
    let database = first.database();
    origin.bring(&database, progress).await?;
    let mut restored = edit_database(
        request,
        &database,
        matches!(origin, Origin::File { unproven: true, .. }),
    )?;
    progress.event(Event::Stage("writing the members' logs".to_owned()));
    sync(&database)?;
    for other in others {
        let path = other.database();
        let written = |source| Error::Write {
            path: path.clone(),
            source,
        };
        fs::copy(&database, &path).map_err(written)?;
        sync(&path)?;
    }
    for (building, target) in buildings.iter().zip(&request.targets) {
        building
            .complete(request.membership, &target.member)
            .map_err(build)?;
    }
    for building in buildings {
        building.publish().map_err(build)?;
    }
    restored.findings.sort_by_key(|finding| finding.severity);
    Ok(restored)
}

fn build(source: build::Error) -> Error {
    Error::Build { source }
}

fn sync(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|file| file.sync_all());
    synced.map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

/// Makes the database that of the new members, and says what is in it that they will meet.
fn edit_database(request: &Request<'_>, path: &Path, unproven: bool) -> Result<Restored, Error> {
    let database = |source| Error::Database { source };
    let file = File::open(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let store = Store::open(file).map_err(database)?;
    if unproven {
        // Nothing else has looked at these bytes.
        backend::status(&store).map_err(database)?;
    }
    let held = contents(&store).map_err(database)?;
    let storage_version = store.value("meta", "storageVersion").map_err(database)?;
    let base = backend::revision_of(&store, request.edits.to_revision).map_err(database)?;
    drop(store);
    let bumped_by = request.bump.map(|bump| bump.from(base));
    let edits = Edits {
        bump_revision: bumped_by,
        ..request.edits.clone()
    };
    let edited =
        edit::edit(path, request.membership, &edits).map_err(|source| Error::Edit { source })?;
    let mut findings = findings(&held, &edits, storage_version.as_deref());
    if edited.returned_leases > 0 {
        let message = format!(
            "{} leases that were gone later are granted again for {} seconds: what hangs on them goes away unless its owner renews it",
            edited.returned_leases,
            edit::RETURNED_LEASE_SECONDS
        );
        findings.push(Finding::warning("leases-returned", message));
    }
    Ok(Restored {
        edited,
        bumped_by,
        findings,
    })
}

/// What is in the snapshot that survives the restore and surprises.
fn findings(held: &Contents, edits: &Edits, storage_version: Option<&[u8]>) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !edits.clear_alarms {
        findings.extend(held.alarms.iter().map(|alarm| {
            let message = format!(
                "an alarm of member {} ({:?}) is in the snapshot, and the new cluster obeys it: --clear-alarms leaves it out, or disarm it afterwards",
                alarm.member_id, alarm.kind
            );
            Finding::warning("alarm", message)
        }));
    }
    if held.auth_enabled {
        let message = "authentication is on in the snapshot: the new cluster asks for the passwords and certificates of that time";
        findings.push(Finding::warning("auth", message));
    }
    if held.downgrade_enabled && edits.for_release.is_none() {
        let message = "a downgrade was under way in the snapshot: cancel it in the new cluster, or say --for-version";
        findings.push(Finding::warning("downgrade", message));
    }
    let written = storage_version.and_then(|text| Release::read(&String::from_utf8_lossy(text)));
    if (written, edits.for_release) == (None, Some(Release::V3_7)) {
        let message = "the snapshot is of etcd 3.5 or older, and etcd forbids the step to 3.7: start it with 3.6 first";
        findings.push(Finding::warning("version", message));
    }
    findings
}

impl Restored {
    fn nothing() -> Self {
        Self {
            edited: Edited {
                snapshot_revision: Revision(0),
                revision: Revision(0),
                returned_leases: 0,
            },
            bumped_by: None,
            findings: Vec::new(),
        }
    }
}
