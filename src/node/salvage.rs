//! Makes a snapshot of a member that does not run any more, with everything that it acknowledged.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::action::{Answer, Directories};
use super::alone::{self, Alone, Room};
use crate::backend;
use crate::codec::PlainTotals;
use crate::datadir::build;
use crate::datadir::wal::{self, Raised};
use crate::id::{Digest, Revision};
use crate::partial::directory_of;
use crate::progress::Progress;
use crate::sandbox::{self, Scratch, Search};

/// Why etcd does not come up on a copy, or what it has is not all. The member's directory is as it was, whatever happened.
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
    #[error("etcd does not do its part on a copy of the member's directory")]
    Etcd { source: sandbox::Error },

    /// Something of the log did not come into the database.
    #[error("the database holds the log up to entry {reached}, and the log reaches to {last}")]
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
    let etcd = |source| Error::Etcd { source };
    let scratch = Scratch::create(directory_of(request.output)).map_err(etcd)?;
    let room = Room {
        data_dir: &scratch.path().join("data"),
        wal_dir: None,
        scratch: scratch.path(),
    };
    let Alone {
        sandbox,
        raised,
        last,
        ..
    } = alone::start(request.directories, &request.search, &room, progress).await?;
    let saved = sandbox.save(request.output, progress).await;
    let command = sandbox.command().to_vec();
    sandbox.stop().await;
    let totals = saved.map_err(etcd)?;
    ensure_complete(totals.facts.consistent_index, last).inspect_err(|_| {
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
pub(super) fn ensure_complete(applied: Option<u64>, last: u64) -> Result<(), Error> {
    let reached = applied.unwrap_or(0);
    match reached >= last {
        true => Ok(()),
        false => Err(Error::Incomplete { reached, last }),
    }
}
