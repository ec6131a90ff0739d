//! Snapshots on this machine: written whole, and proven.

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::Failure;
use crate::backend::{self, Store};
use crate::codec::{Plain, Sha256};
use crate::id::{Digest, Revision};
use crate::recovery::learned::Snapshot;

/// How much is read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Reads a snapshot whole, and says what it is; `bare` is one without a trailer.
pub(super) fn proven(path: &Path, bare: bool) -> Result<Snapshot, Failure> {
    let failed = |source| Failure::Write {
        path: path.to_owned(),
        source,
    };
    let size_bytes = fs::metadata(path).map_err(failed)?.len();
    let (sha256, revision): (Digest, Revision) = if bare {
        let unsound = |source| Failure::Unsound { source };
        let store = Store::open(File::open(path).map_err(failed)?).map_err(unsound)?;
        backend::status(&store).map_err(unsound)?;
        let revision = store.revision().map_err(unsound)?;
        (digest_of(path).map_err(failed)?, revision)
    } else {
        let mut plain = Plain::deep();
        read_whole(path, |bytes| plain.feed(bytes)).map_err(failed)?;
        let (totals, deep) = plain
            .finish_deep()
            .map_err(|source| Failure::Damaged { source })?;
        deep.transpose()
            .map_err(|source| Failure::Unsound { source })?;
        (totals.sha256, totals.facts.revision)
    };
    Ok(Snapshot {
        path: path.to_owned(),
        sha256,
        size_bytes,
        revision,
        proven: true,
        bare,
    })
}

/// The SHA-256 of a file.
pub(super) fn digest_of(path: &Path) -> std::io::Result<Digest> {
    let mut sha256 = Sha256::default();
    read_whole(path, |bytes| sha256.update(bytes))?;
    Ok(sha256.finish())
}

fn read_whole(path: &Path, mut take: impl FnMut(&[u8])) -> std::io::Result<()> {
    let mut file = File::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(()),
            count => take(&piece[..count]),
        }
    }
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Failure::Write {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// A file under a temporary name, until it is whole.
pub(super) struct Partial {
    file: File,
    temporary: std::path::PathBuf,
    path: std::path::PathBuf,
}

impl Partial {
    /// Begins it, beside its place.
    pub(super) fn create(path: &Path) -> Result<Self, Failure> {
        let temporary = path.with_extension("part");
        let failed = |source| Failure::Write {
            path: temporary.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        let options = options.create(true).write(true).truncate(true).mode(0o600);
        let file = options.open(&temporary).map_err(failed)?;
        Ok(Self {
            file,
            path: path.to_owned(),
            temporary,
        })
    }

    /// What is written to.
    pub(super) fn writer(&self) -> &File {
        &self.file
    }

    pub(super) fn failed(&self, source: std::io::Error) -> Failure {
        Failure::Write {
            path: self.temporary.clone(),
            source,
        }
    }

    /// Gives it its name, once it is on the disk.
    pub(super) fn publish(self) -> Result<(), Failure> {
        let published = self
            .file
            .sync_all()
            .and_then(|()| fs::rename(&self.temporary, &self.path));
        published.map_err(|source| self.failed(source))
    }
}
