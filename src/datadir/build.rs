//! Data directories of new members, built aside and put in their places all at once.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use thiserror::Error;

use super::membership::{Member, Membership};
use super::wal::{SEGMENT_BYTES, Style};
use super::{snap, wal};

/// What a file system may keep in its root, and a data directory that is a mount point hence holds.
const LOST_AND_FOUND: &str = "lost+found";

/// Why a directory could not be built.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The directory holds something, and nothing is overwritten.
    #[error("{} is not empty: it holds {found}", .path.display())]
    NotEmpty { path: PathBuf, found: String },

    /// Another restore builds there at this moment.
    #[error("{} is being made by another restore", .path.display())]
    Busy { path: PathBuf },

    /// There is something else in its place.
    #[error("{} is there and is no directory", .path.display())]
    NotADirectory { path: PathBuf },

    /// The disk is too small.
    #[error("{} has {free_bytes} bytes free, and {needed_bytes} are needed", .path.display())]
    NoSpace {
        path: PathBuf,
        free_bytes: u64,
        needed_bytes: u64,
    },

    /// The disk refuses.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// The log could not be written.
    #[error("cannot write the log of the member")]
    Wal { source: wal::Error },

    /// The snapshot file could not be written.
    #[error("cannot write the snapshot file of the member")]
    Snap { source: snap::Error },
}

/// What stands before the run in the name of a member's data that a recovery set aside: nobody's to remove, and no member's.
pub const SET_ASIDE: &str = "member.etcdrx-";

/// What stands before the run in the name of what is not finished.
const UNFINISHED: &str = "etcdrx-unfinished-";

/// Directories that were not there; dropped, those of them that are still empty go again.
#[derive(Debug)]
pub struct Missing(Vec<PathBuf>);

impl Missing {
    /// Finds the directories above these that a restore will have to make.
    #[must_use]
    pub fn above(paths: &[&Path]) -> Self {
        let above = paths.iter().flat_map(|path| path.ancestors().skip(1));
        let missing = above.filter(|path| *path != Path::new("") && !path.exists());
        let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        // The inner ones first.
        missing.sort_by(|one, other| other.cmp(one));
        missing.dedup();
        Self(missing)
    }
}

impl Drop for Missing {
    fn drop(&mut self) {
        for path in &self.0 {
            // One that holds something stays.
            let _ = fs::remove_dir(path);
        }
    }
}

/// A member's directory, half built under another name; what is not published is removed again.
#[derive(Debug)]
pub struct Building {
    data_dir: PathBuf,
    /// `member`, under a name of its own.
    member_dir: PathBuf,
    /// Where the log goes if not below `member`: the place, and the name while it is built.
    wal_dir: Option<(PathBuf, PathBuf)>,
    /// Whether the data directory was not there before.
    made: bool,
    published: bool,
    /// `member`, locked: a lock that nobody holds tells the next restore that this one is dead.
    _lock: File,
}

impl Building {
    /// Begins the directory `data_dir`, which is not there or empty; `run` tells this attempt from any other.
    ///
    /// What a restore left that was killed is removed. What a recovery set aside may lie there, and stays.
    ///
    /// # Errors
    /// If there is something in the place, or the disk refuses.
    pub fn begin(data_dir: &Path, wal_dir: Option<&Path>, run: &str) -> Result<Self, Error> {
        remove_unfinished(data_dir, wal_dir)?;
        let made = ensure_empty(data_dir)?;
        if let Some(wal_dir) = wal_dir
            && !ensure_empty(wal_dir)?
        {
            // etcd takes a directory that is there for a log that is there.
            return Err(Error::NotEmpty {
                path: wal_dir.to_owned(),
                found: "nothing, but etcd takes it for a log".to_owned(),
            });
        }
        let member_dir = data_dir.join(format!("{UNFINISHED}{run}"));
        let lock = make_locked(&member_dir).inspect_err(|_| remove_made(&member_dir, made))?;
        let building = Self {
            wal_dir: wal_dir.map(|dir| (dir.to_owned(), beside(dir, run))),
            data_dir: data_dir.to_owned(),
            member_dir,
            made,
            published: false,
            _lock: lock,
        };
        make_directory(&building.member_dir.join("snap"))?;
        Ok(building)
    }

    /// Where the database is to be written.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.member_dir.join("snap").join("db")
    }

    /// Writes what belongs beside the database: the log and the snapshot file.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn complete(&self, membership: &Membership, member: &Member) -> Result<(), Error> {
        let wal_dir = match &self.wal_dir {
            Some((_, temporary)) => temporary.clone(),
            None => self.member_dir.join("wal"),
        };
        wal::create(&wal_dir, membership, member.id, Style::Classic)
            .map_err(|source| Error::Wal { source })?;
        let snap_dir = self.member_dir.join("snap");
        snap::create(&snap_dir, membership).map_err(|source| Error::Snap { source })?;
        sync_directory(&snap_dir)?;
        sync_directory(&self.member_dir)?;
        if !self.made {
            self.give_to_owner()?;
        }
        Ok(())
    }

    /// What was built belongs to whom the data directory belongs to, where we may give it away.
    fn give_to_owner(&self) -> Result<(), Error> {
        let owner = fs::metadata(&self.data_dir).map_err(failed(&self.data_dir))?;
        let ours = fs::metadata(&self.member_dir).map_err(failed(&self.member_dir))?;
        if (owner.uid(), owner.gid()) == (ours.uid(), ours.gid()) {
            return Ok(());
        }
        let wal_dir = self.wal_dir.iter().map(|(_, temporary)| temporary.clone());
        let mut left: Vec<PathBuf> = wal_dir.chain([self.member_dir.clone()]).collect();
        while let Some(path) = left.pop() {
            chown(&path, Some(owner.uid()), Some(owner.gid())).map_err(failed(&path))?;
            if path.is_dir() {
                for entry in fs::read_dir(&path).map_err(failed(&path))? {
                    left.push(entry.map_err(failed(&path))?.path());
                }
            }
        }
        Ok(())
    }

    /// Puts what was built in its place.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn publish(mut self) -> Result<(), Error> {
        if let Some((place, temporary)) = &self.wal_dir {
            fs::rename(temporary, place).map_err(failed(place))?;
            sync_directory(place.parent().unwrap_or(Path::new(".")))?;
        }
        let place = self.data_dir.join("member");
        fs::rename(&self.member_dir, &place).map_err(failed(&place))?;
        self.published = true;
        sync_directory(&self.data_dir)?;
        match self.data_dir.parent() {
            Some(parent) if parent != Path::new("") => sync_directory(parent),
            _ => Ok(()),
        }
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        if self.published {
            return;
        }
        if let Some((_, temporary)) = &self.wal_dir {
            let _ = fs::remove_dir_all(temporary);
        }
        remove_made(&self.member_dir, self.made);
    }
}

/// Removes what was begun, and with `made` the data directory around it.
fn remove_made(member_dir: &Path, made: bool) {
    // What cannot be removed now shows by its name what it is.
    let _ = fs::remove_dir_all(member_dir);
    if let (true, Some(data_dir)) = (made, member_dir.parent()) {
        let _ = fs::remove_dir(data_dir);
    }
}

/// Makes a directory and locks it; where the file system has no locks, it is nobody's.
fn make_locked(path: &Path) -> Result<File, Error> {
    make_directory(path)?;
    let lock = File::open(path).map_err(failed(path))?;
    let _ = lock.try_lock();
    Ok(lock)
}

/// Removes what a restore that was killed left in the data directory, and beside the directory for the log.
fn remove_unfinished(data_dir: &Path, wal_dir: Option<&Path>) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(data_dir) else {
        return Ok(());
    };
    for entry in entries {
        let name = entry.map_err(failed(data_dir))?.file_name();
        let name = name.to_string_lossy();
        let Some(run) = name.strip_prefix(UNFINISHED) else {
            continue;
        };
        let path = data_dir.join(&*name);
        let lock = File::open(&path).map_err(failed(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Busy {
                    path: data_dir.to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(Error::Write { path, source }),
        }
        if let Some(log) = wal_dir
            .map(|dir| beside(dir, run))
            .filter(|log| log.exists())
        {
            fs::remove_dir_all(&log).map_err(failed(&log))?;
        }
        fs::remove_dir_all(&path).map_err(failed(&path))?;
    }
    Ok(())
}

/// Refuses a disk on which databases of `database_bytes` and their logs do not all fit; directories that are not there
/// count for the disk of their parents.
///
/// # Errors
/// If it is too small.
pub fn ensure_space(data_dirs: &[&Path], database_bytes: u64) -> Result<(), Error> {
    let mut needed: Vec<(u64, PathBuf, u64)> = Vec::new();
    for data_dir in data_dirs {
        let existing = data_dir
            .ancestors()
            .find(|path| path.exists())
            .unwrap_or(Path::new("."));
        let existing = if existing == Path::new("") {
            Path::new(".")
        } else {
            existing
        };
        let device = fs::metadata(existing).map_err(failed(existing))?.dev();
        let bytes = database_bytes + SEGMENT_BYTES;
        match needed.iter_mut().find(|(other, ..)| *other == device) {
            Some((_, _, sum)) => *sum += bytes,
            None => needed.push((device, existing.to_owned(), bytes)),
        }
    }
    for (_, path, needed_bytes) in needed {
        let room = statvfs(&path).map_err(|errno| failed(&path)(errno.into()))?;
        let free_bytes = room.blocks_available().saturating_mul(room.fragment_size());
        if free_bytes < needed_bytes {
            return Err(Error::NoSpace {
                path,
                free_bytes,
                needed_bytes,
            });
        }
    }
    Ok(())
}

/// Whether the directory is not there; refuses one that holds something besides what was set aside.
fn ensure_empty(path: &Path) -> Result<bool, Error> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::NotADirectory {
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(failed(path)(error)),
    };
    for entry in entries {
        let name = entry.map_err(failed(path))?.file_name();
        let aside = name.to_string_lossy().starts_with(SET_ASIDE);
        if name != LOST_AND_FOUND && !aside {
            return Err(Error::NotEmpty {
                path: path.to_owned(),
                found: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(false)
}

/// A name beside `path` for what is not finished.
fn beside(path: &Path, run: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{UNFINISHED}{run}"));
    path.with_file_name(name)
}

fn make_directory(path: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    builder
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(failed(path))
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    let path = if path == Path::new("") {
        Path::new(".")
    } else {
        path
    };
    File::open(path)
        .and_then(|dir| dir.sync_all())
        .map_err(failed(path))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Write { path, source }
}
