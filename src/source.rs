//! Where data is read from: a snapshot file, a member's database, or a backup brought here.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;

use thiserror::Error;

use crate::backend::{self, Status, Store};
use crate::catalog::Backup;
use crate::codec::{Sha256, TRAILER_BYTES, has_trailer};
use crate::datadir::inspect::is_held;
use crate::id::Digest;
use crate::manifest::Finding;
use crate::progress::Progress;
use crate::repository::Folder;
use crate::verify::{self, read_and_judge};

/// Why a source could not be read.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The file could not be opened or read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// A directory is no file.
    #[error("{} is a directory", .path.display())]
    Directory { path: PathBuf },

    /// The bytes are not what etcd streamed.
    #[error("{}: its SHA-256 is {found}, its trailer says {trailer}: bytes were changed", .path.display())]
    TrailerMismatch {
        path: PathBuf,
        found: Digest,
        trailer: Digest,
    },

    /// The bytes are no sound database.
    #[error("{} is damaged, or no etcd database", .path.display())]
    Database {
        path: PathBuf,
        source: backend::Error,
    },

    /// What was asked for is not in the database.
    #[error("{} does not hold that", .path.display())]
    NotThere {
        path: PathBuf,
        source: backend::Error,
    },

    /// There is no room for the backup's database.
    #[error("cannot bring the backup into {}", .directory.display())]
    Spool {
        directory: PathBuf,
        source: io::Error,
    },

    /// The backup could not be read.
    #[error("cannot read the backup")]
    Backup { source: verify::Error },

    /// The backup is not what was stored.
    #[error("the backup is damaged: {}", .findings.first().map_or("", |finding| &finding.message))]
    DamagedBackup { findings: Vec<Finding> },
}

impl Error {
    /// An error of the database that is called `path`.
    #[must_use]
    pub fn of(path: &Path, source: backend::Error) -> Self {
        let path = path.to_owned();
        match source {
            backend::Error::Future { .. } | backend::Error::Compacted { .. } => {
                Self::NotThere { path, source }
            }
            _ => Self::Database { path, source },
        }
    }
}

/// What guards the bytes of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guard {
    /// The SHA-256 that etcd appended to its stream, to be checked with [`Source::check_trailer`].
    Trailer(Digest),
    /// The backup's digests, checked on the way here.
    Manifest,
    /// Nothing: it is a database file, not a snapshot.
    Nothing,
}

/// A database that can be read at any place.
#[derive(Debug)]
pub struct Source {
    path: PathBuf,
    file: File,
    guard: Guard,
}

impl Source {
    /// Opens a snapshot file, or a member's database file.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let read = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(read)?;
        let metadata = file.metadata().map_err(read)?;
        if metadata.is_dir() {
            return Err(Error::Directory {
                path: path.to_owned(),
            });
        }
        let trailer_bytes = TRAILER_BYTES as u64;
        let guard = match has_trailer(metadata.len()) {
            true => {
                let mut trailer = [0; TRAILER_BYTES];
                file.read_exact_at(&mut trailer, metadata.len() - trailer_bytes)
                    .map_err(read)?;
                Guard::Trailer(Digest(trailer))
            }
            false => Guard::Nothing,
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            guard,
        })
    }

    /// Brings a backup's database into a file in `directory` that has no name: nothing is left of it, whatever happens.
    ///
    /// # Errors
    /// If there is no room, the store fails, or the backup is damaged.
    pub async fn bring(
        folder: &Folder,
        backup: &Backup,
        directory: &Path,
        progress: &dyn Progress,
    ) -> Result<Self, Error> {
        let spool = |source| Error::Spool {
            directory: directory.to_owned(),
            source,
        };
        let file = tempfile::tempfile_in(directory).map_err(spool)?;
        let mut sink = file.try_clone().map_err(spool)?;
        let findings = read_and_judge(folder, backup, progress, move |bytes| sink.write_all(bytes))
            .await
            .map_err(|error| match error {
                verify::Error::Output { source } => spool(source),
                source => Error::Backup { source },
            })?;
        if !findings.is_empty() {
            return Err(Error::DamagedBackup { findings });
        }
        Ok(Self {
            path: PathBuf::from(backup.id().as_str()),
            file,
            guard: Guard::Manifest,
        })
    }

    /// What guards its bytes.
    #[must_use]
    pub fn guard(&self) -> Guard {
        self.guard
    }

    /// Whether a process holds it for writing, as etcd does with its database: what is read then may be torn.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        is_held(&self.path).unwrap_or(false)
    }

    /// Holds the bytes against the trailer, where there is one.
    ///
    /// # Errors
    /// If they differ, or cannot be read.
    pub fn check_trailer(&self) -> Result<(), Error> {
        let Guard::Trailer(trailer) = self.guard else {
            return Ok(());
        };
        let found = self.sha256_of_database().map_err(|source| Error::Read {
            path: self.path.clone(),
            source,
        })?;
        match found == trailer {
            true => Ok(()),
            false => Err(Error::TrailerMismatch {
                path: self.path.clone(),
                found,
                trailer,
            }),
        }
    }

    fn sha256_of_database(&self) -> io::Result<Digest> {
        let mut sha256 = Sha256::default();
        let end = self.file.metadata()?.len() - TRAILER_BYTES as u64;
        sha256.update_from(&self.file, 0..end)?;
        Ok(sha256.finish())
    }

    /// Opens the database.
    ///
    /// # Errors
    /// If it is none, or is damaged at the root.
    pub fn store(&self) -> Result<Store<File>, Error> {
        let file = self.file.try_clone().map_err(|source| Error::Read {
            path: self.path.clone(),
            source,
        })?;
        Store::open(file).map_err(|source| self.told(source))
    }

    /// An error of the database, with the file's name.
    #[must_use]
    pub fn told(&self, source: backend::Error) -> Error {
        Error::of(&self.path, source)
    }

    /// Reads everything: the trailer unless told not to, and every page and record, at the same time.
    ///
    /// # Errors
    /// If bytes were changed, or the database is not sound.
    pub fn status(&self, check_trailer: bool) -> Result<Status, Error> {
        thread::scope(|scope| {
            let trailer = scope.spawn(|| match check_trailer {
                true => self.check_trailer(),
                false => Ok(()),
            });
            let status = self
                .store()
                .and_then(|store| backend::status(&store).map_err(|source| self.told(source)));
            // The trailer's word comes first: it says that bytes were changed, the other only which.
            trailer.join().expect("hashing does not panic")?;
            status
        })
    }
}
