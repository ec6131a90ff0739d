//! An etcd of our own, alone on a copy of a stopped member's directory whose log is committed to its end.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::yield_now;

use super::action::Directories;
use super::salvage::Error;
use crate::backend::{Store, contents};
use crate::datadir::build::ensure_space;
use crate::datadir::wal::{self, Raised, SEGMENT_BYTES};
use crate::id::MemberId;
use crate::progress::{Event, Progress};
use crate::sandbox::{Boot, Minor, Program, Sandbox, Search};

/// How long etcd may take to start on the copy: it reads all of the database and of the log.
const LIMIT: Duration = Duration::from_mins(10);
/// What etcd thinks its database may grow to: what stands in the log was taken already.
const QUOTA_BYTES: u64 = 64 << 30;
/// How much is copied before anything else gets its turn.
const PIECE_BYTES: u64 = 8 << 20;

/// Where the copy goes.
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    /// The data directory of the copy.
    pub(super) data_dir: &'a Path,
    /// The directory of its log, if not below that.
    pub(super) wal_dir: Option<&'a Path>,
    /// A directory of ours, for certificates and etcd's own words.
    pub(super) scratch: &'a Path,
}

impl Room<'_> {
    fn snap_dir(&self) -> PathBuf {
        self.data_dir.join("member/snap")
    }

    fn log(&self) -> PathBuf {
        let inside = || self.data_dir.join("member/wal");
        self.wal_dir.map_or_else(inside, Path::to_owned)
    }
}

/// It runs, and is the only member of its cluster.
pub(super) struct Alone {
    pub(super) sandbox: Sandbox,
    /// Who it is.
    pub(super) member_id: Option<MemberId>,
    /// What was appended to the copy's log.
    pub(super) raised: Raised,
    /// The index of the last entry that the log had.
    pub(super) last: u64,
}

/// Copies the directories of a member that does not run, commits the copy's log to its end, and runs etcd of the same version on it
/// with `--force-new-cluster`, until it serves. The original is only read, and locked until it is copied.
pub(super) async fn start(
    directories: &Directories,
    search: &Search<'_>,
    room: &Room<'_>,
    progress: &dyn Progress,
) -> Result<Alone, Error> {
    let etcd = |source| Error::Etcd { source };
    let original = Original::open(directories)?;
    let program = Program::find(search, original.minor).await.map_err(etcd)?;
    let space = ensure_space(&[room.data_dir], original.needed_bytes());
    space.map_err(|source| Error::Space { source })?;
    progress.event(Event::Stage("copying the member's directory".to_owned()));
    original.copy(room, progress).await?;
    let (member_id, last) = (original.member_id, original.last);
    // The copy is complete: an etcd that waits for the original may have it.
    drop(original);

    let raised = wal::raise_commit(&room.log());
    let raised = raised.map_err(|source| Error::Log { source })?;
    progress.event(Event::Stage(format!(
        "running etcd {} on the copy",
        program.version()
    )));
    let boot = Boot {
        program: &program,
        data_dir: room.data_dir,
        wal_dir: room.wal_dir,
        force_new_cluster: true,
        scratch: room.scratch,
        quota_bytes: QUOTA_BYTES,
        limit: LIMIT,
    };
    Ok(Alone {
        sandbox: Sandbox::start(&boot).await.map_err(etcd)?,
        member_id,
        raised,
        last,
    })
}

/// The directories of a member that does not run.
struct Original {
    /// Each file that etcd needs.
    files: Vec<PathBuf>,
    total_bytes: u64,
    database_bytes: u64,
    member_id: Option<MemberId>,
    /// The index of the last entry of the log.
    last: u64,
    /// The version of its cluster, where that is known.
    minor: Option<Minor>,
    /// The database, locked: an etcd that is started now waits for it.
    _lock: Option<File>,
}

impl Original {
    fn open(directories: &Directories) -> Result<Self, Error> {
        let (wal_dir, db) = (directories.log(), directories.database());
        let snap_dir = directories.member().join("snap");
        let log = |source| Error::Log { source };
        let lock = lock(&db)?;
        if wal::is_held(&wal_dir).map_err(log)? {
            return Err(Error::InUse { path: wal_dir });
        }
        let facts = wal::read(&wal_dir).map_err(log)?;
        facts.refuse_damage(&wal_dir).map_err(log)?;
        let mut files = files_of_snap(&snap_dir)?;
        for segment in wal::segments(&wal_dir).map_err(log)? {
            files.push(segment.path);
        }
        let mut total_bytes = 0;
        for path in &files {
            total_bytes += fs::metadata(path).map_err(read(path))?.len();
        }
        Ok(Self {
            files,
            total_bytes,
            database_bytes: db.metadata().map_or(0, |facts| facts.len()),
            member_id: facts.node_id,
            last: facts.last.map_or(0, |place| place.index),
            minor: match lock {
                Some(_) => minor(&db)?,
                None => None,
            },
            _lock: lock,
        })
    }

    /// The copy, two files that etcd allocates for its log, and the snapshot.
    fn needed_bytes(&self) -> u64 {
        self.total_bytes + SEGMENT_BYTES + self.database_bytes
    }

    async fn copy(&self, room: &Room<'_>, progress: &dyn Progress) -> Result<(), Error> {
        for dir in [room.snap_dir(), room.log()] {
            fs::create_dir_all(&dir).map_err(write(&dir))?;
        }
        let mut done = 0;
        for from in &self.files {
            let name = from.file_name().unwrap_or_default();
            let to = match from.extension().is_some_and(|kind| kind == "wal") {
                true => room.log().join(name),
                false => room.snap_dir().join(name),
            };
            let source = File::open(from).map_err(read(from))?;
            let mut target = File::create_new(&to).map_err(write(&to))?;
            loop {
                // The kernel copies, or lets both share their blocks where the file system can.
                let mut piece = (&source).take(PIECE_BYTES);
                let length = io::copy(&mut piece, &mut target).map_err(write(&to))?;
                if length == 0 {
                    break;
                }
                done += length;
                progress.event(Event::Bytes {
                    done,
                    total: Some(self.total_bytes),
                });
                yield_now().await;
            }
        }
        Ok(())
    }
}

/// Locks the database as bbolt does to read it, if there is one: without one etcd makes it from the log, if it can.
fn lock(db: &Path) -> Result<Option<File>, Error> {
    let file = match File::open(db) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(read(db)(error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: db.to_owned(),
        }),
        Err(TryLockError::Error(error)) => Err(read(db)(error)),
    }
}

/// The database, and the snapshot files with their databases; what else may lie there is left over.
fn files_of_snap(snap_dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(snap_dir).map_err(read(snap_dir))? {
        let path = entry.map_err(read(snap_dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == "db" || name.ends_with(".snap") || name.ends_with(".snap.db") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The version of the cluster, as its database has it; a cluster that has just begun has not agreed on one.
fn minor(db: &Path) -> Result<Option<Minor>, Error> {
    let unusable = |source| Error::Database {
        path: db.to_owned(),
        source,
    };
    let file = File::open(db).map_err(read(db))?;
    let store = Store::open(file).map_err(unusable)?;
    let storage = store.value("meta", "storageVersion").map_err(unusable)?;
    let storage = storage.map(|text| String::from_utf8_lossy(&text).into_owned());
    let cluster = contents(&store).map_err(unusable)?.cluster_version;
    let known = [storage, cluster].into_iter().flatten();
    let newest = known.filter_map(|text| text.parse::<Minor>().ok()).max();
    Ok(newest.filter(|minor| *minor >= Minor(3, 4)))
}

fn read(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Read { path, source }
}

fn write(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Write { path, source }
}
