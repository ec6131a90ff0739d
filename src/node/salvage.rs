//! Makes a snapshot of a member that does not run any more, with everything that it acknowledged.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::task::yield_now;

use super::action::{Answer, Directories};
use crate::backend::{self, Store, contents};
use crate::codec::PlainTotals;
use crate::datadir::build::{self, ensure_space};
use crate::datadir::wal::{self, Raised, SEGMENT_BYTES};
use crate::id::{Digest, Revision};
use crate::progress::{Event, Progress};
use crate::sandbox::{self, Boot, Minor, Program, Sandbox, Scratch, Search};

/// How long etcd may take to start on the copy: it reads all of the database and of the log.
const LIMIT: Duration = Duration::from_mins(10);
/// What etcd thinks its database may grow to: what stands in the log was taken already.
const QUOTA_BYTES: u64 = 64 << 30;
/// How much is copied before anything else gets its turn.
const PIECE_BYTES: u64 = 8 << 20;

/// Why there is no snapshot. The member's directory is as it was, whatever happened.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The member runs.
    #[error("a process holds {}: the member runs", .path.display())]
    InUse { path: PathBuf },

    /// The snapshot would take the place of something else.
    #[error("{} exists already", .path.display())]
    Exists { path: PathBuf },

    /// The log is damaged, or there is none.
    #[error("the log of the member cannot be used")]
    Log { source: wal::Error },

    /// The database is damaged.
    #[error("the database {} cannot be used", .path.display())]
    Database {
        path: PathBuf,
        source: backend::Error,
    },

    /// The member's directory could not be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// The copy could not be written.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// There is no room for the copy and the snapshot.
    #[error("there is no room for a copy of the member's directory")]
    Space { source: build::Error },

    /// etcd did not do its part.
    #[error("etcd makes no snapshot of the copy")]
    Etcd { source: sandbox::Error },

    /// Something of the log is not in the snapshot.
    #[error("the snapshot holds the log up to entry {reached}, and the log reaches to {last}")]
    Incomplete { reached: u64, last: u64 },
}

/// What is to be salvaged.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The directories of the member; only read.
    pub directories: &'a Directories,
    /// Where to look for an etcd of the version that wrote them.
    pub search: Search<'a>,
    /// Where the snapshot goes: a new file. The copy is made beside it, and removed again.
    pub output: &'a Path,
}

/// A snapshot of a member that does not run.
#[derive(Debug, Clone)]
pub struct Salvaged {
    /// Where it lies.
    pub snapshot: PathBuf,
    /// What it is: size, digest, newest revision.
    pub totals: PlainTotals,
    /// What was appended to the copy's log.
    pub raised: Raised,
    /// How etcd was run on the copy, word by word.
    pub command: Vec<String>,
}

impl Salvaged {
    /// The SHA-256 of the whole file.
    #[must_use]
    pub fn sha256(&self) -> Digest {
        self.totals.sha256
    }

    /// The newest revision in it.
    #[must_use]
    pub fn revision(&self) -> Revision {
        self.totals.facts.revision
    }
}

impl From<Salvaged> for Answer {
    fn from(salvaged: Salvaged) -> Self {
        Self::Salvaged {
            sha256: salvaged.sha256(),
            size_bytes: salvaged.totals.size_bytes(),
            revision: salvaged.revision(),
            snapshot: salvaged.snapshot,
            raised: Some(salvaged.raised),
            command: salvaged.command,
        }
    }
}

/// Makes a snapshot of a member that does not run: all of its log is in it, also what it had not yet written down as committed.
///
/// Right for the member only whose log reaches furthest (term, then index), and only where no quorum is left: then every write that
/// was acknowledged is in that log. The directory is copied, the copy's log is committed to its end, and an etcd of our own runs on
/// the copy alone with `--force-new-cluster`. The original is only read, and locked meanwhile, so that no etcd starts on it. Keys
/// whose lease has less than two seconds left may expire in the copy, as they would at the next start.
///
/// # Errors
/// If the member runs, its log or database is damaged, no etcd of its version is here, the disk is too small, or etcd refuses.
pub async fn salvage(request: &Request<'_>, progress: &dyn Progress) -> Result<Salvaged, Error> {
    if request.output.symlink_metadata().is_ok() {
        return Err(Error::Exists {
            path: request.output.to_owned(),
        });
    }
    let original = Original::open(request.directories)?;
    let program = Program::find(&request.search, original.minor).await;
    let program = program.map_err(|source| Error::Etcd { source })?;
    let beside = directory_of(request.output);
    ensure_space(&[beside], original.needed_bytes()).map_err(|source| Error::Space { source })?;
    let scratch = Scratch::create(beside).map_err(|source| Error::Etcd { source })?;
    progress.event(Event::Stage("copying the member's directory".to_owned()));
    let data_dir = scratch.path().join("data");
    original.copy(&data_dir, progress).await?;
    let last = original.last;
    // The copy is complete: an etcd that waits for the original may have it.
    drop(original);

    let raised = wal::raise_commit(&data_dir.join("member").join("wal"));
    let raised = raised.map_err(|source| Error::Log { source })?;
    progress.event(Event::Stage(format!(
        "running etcd {} on the copy",
        program.version()
    )));
    let boot = Boot {
        program: &program,
        data_dir: &data_dir,
        force_new_cluster: true,
        scratch: scratch.path(),
        quota_bytes: QUOTA_BYTES,
        limit: LIMIT,
    };
    let etcd = |source| Error::Etcd { source };
    let sandbox = Sandbox::start(&boot).await.map_err(etcd)?;
    let saved = sandbox.save(request.output, progress).await;
    let command = sandbox.command().to_vec();
    sandbox.stop().await;
    let totals = saved.map_err(etcd)?;
    ensure_complete(&totals, last).inspect_err(|_| {
        // Nobody must take it for what it is not.
        let _ = fs::remove_file(request.output);
    })?;
    Ok(Salvaged {
        snapshot: request.output.to_owned(),
        totals,
        raised,
        command,
    })
}

/// The index of the last entry applied stands in the database: it tells whether all of the log is.
fn ensure_complete(totals: &PlainTotals, last: u64) -> Result<(), Error> {
    let reached = totals.facts.consistent_index.unwrap_or(0);
    match reached >= last {
        true => Ok(()),
        false => Err(Error::Incomplete { reached, last }),
    }
}

/// The directories of a member that does not run.
struct Original {
    /// Each file that etcd needs, and its place in a data directory.
    files: Vec<(PathBuf, PathBuf)>,
    total_bytes: u64,
    database_bytes: u64,
    /// The index of the last entry of the log.
    last: u64,
    /// The version of its cluster, where that is known.
    minor: Option<Minor>,
    /// The database, locked: an etcd that is started now waits for it.
    _lock: Option<File>,
}

impl Original {
    fn open(directories: &Directories) -> Result<Self, Error> {
        let member = directories.data_dir.join("member");
        let wal_dir = directories.wal_dir.clone();
        let wal_dir = wal_dir.unwrap_or_else(|| member.join("wal"));
        let snap_dir = member.join("snap");
        let db = snap_dir.join("db");
        let log = |source| Error::Log { source };
        let lock = lock(&db)?;
        if wal::is_held(&wal_dir).map_err(log)? {
            return Err(Error::InUse { path: wal_dir });
        }
        let facts = wal::read(&wal_dir).map_err(log)?;
        facts.refuse_damage(&wal_dir).map_err(log)?;
        let mut files = files_of_snap(&snap_dir)?;
        for segment in wal::segments(&wal_dir).map_err(log)? {
            let name = segment.path.file_name().unwrap_or_default();
            files.push((segment.path.clone(), Path::new("member/wal").join(name)));
        }
        let mut total_bytes = 0;
        for (path, _) in &files {
            total_bytes += fs::metadata(path).map_err(read(path))?.len();
        }
        Ok(Self {
            files,
            total_bytes,
            database_bytes: db.metadata().map_or(0, |facts| facts.len()),
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

    async fn copy(&self, data_dir: &Path, progress: &dyn Progress) -> Result<(), Error> {
        for dir in ["member/snap", "member/wal"].map(|dir| data_dir.join(dir)) {
            fs::create_dir_all(&dir).map_err(write(&dir))?;
        }
        let mut done = 0;
        for (from, to) in &self.files {
            let to = data_dir.join(to);
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
fn files_of_snap(snap_dir: &Path) -> Result<Vec<(PathBuf, PathBuf)>, Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(snap_dir).map_err(read(snap_dir))? {
        let path = entry.map_err(read(snap_dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name == "db" || name.ends_with(".snap") || name.ends_with(".snap.db") {
            let place = Path::new("member/snap").join(&*name);
            files.push((path, place));
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

fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

fn read(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Read { path, source }
}

fn write(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Write { path, source }
}
