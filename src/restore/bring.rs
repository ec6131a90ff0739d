//! The snapshot's way into the first data directory, proven as it goes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use super::{Error, Origin};
use crate::codec::{Sha256, TRAILER_BYTES};
use crate::id::Digest;
use crate::progress::{Event, Progress};
use crate::verify::{self, read_and_judge};

/// How much is copied at a time.
const PIECE_BYTES: usize = 1 << 20;
/// How many pieces wait for their digest, at most.
const PIECES: usize = 4;
/// Every database is a whole number of these, and the trailer comes behind.
const SECTOR_BYTES: u64 = 512;

impl Origin<'_> {
    /// How large the database will be.
    pub(super) fn database_bytes(&self) -> Result<u64, Error> {
        match self {
            Self::File { path, .. } => {
                let metadata = fs::metadata(path).map_err(|source| Error::Read {
                    path: path.to_path_buf(),
                    source,
                })?;
                Ok(metadata.len())
            }
            Self::Backup { backup, .. } => Ok(backup.manifest.db_size_bytes),
        }
    }

    /// Writes the snapshot to `path` and proves it.
    pub(super) async fn bring(&self, path: &Path, progress: &dyn Progress) -> Result<(), Error> {
        let failed = |source| Error::Write {
            path: path.to_owned(),
            source,
        };
        let mut options = File::options();
        let options = options.read(true).write(true).create_new(true).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        match self {
            Self::File {
                path: from,
                unproven,
            } => copy_proven(from, *unproven, &mut file, path, progress),
            Self::Backup { folder, backup } => {
                let read =
                    read_and_judge(folder, backup, progress, move |bytes| file.write_all(bytes));
                let findings = read.await.map_err(|error| match error {
                    verify::Error::Output { source } => failed(source),
                    source @ verify::Error::Repository { .. } => Error::Backup { source },
                })?;
                match findings.is_empty() {
                    true => Ok(()),
                    false => Err(Error::Damaged { findings }),
                }
            }
        }
    }
}

/// Copies a snapshot file; another thread digests the same bytes at the same time.
fn copy_proven(
    from: &Path,
    unproven: bool,
    to: &mut File,
    to_path: &Path,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let read = |source| Error::Read {
        path: from.to_owned(),
        source,
    };
    let mut source = File::open(from).map_err(read)?;
    let metadata = source.metadata().map_err(read)?;
    if metadata.is_dir() {
        return Err(read(io::ErrorKind::IsADirectory.into()));
    }
    let size_bytes = metadata.len();
    let trailer_bytes = TRAILER_BYTES as u64;
    let has_trailer = size_bytes % SECTOR_BYTES == trailer_bytes;
    if !has_trailer && !unproven {
        return Err(Error::NoTrailer {
            path: from.to_owned(),
        });
    }
    let content_bytes = size_bytes - if has_trailer { trailer_bytes } else { 0 };
    let found = thread::scope(|scope| {
        let (pieces, to_digest) = mpsc::sync_channel::<Vec<u8>>(PIECES);
        let (used, spare) = mpsc::channel();
        let digester = scope.spawn(move || digest(&to_digest, &used));
        let mut done = 0;
        while done < content_bytes {
            let mut piece: Vec<u8> = spare.try_recv().unwrap_or_default();
            let left = usize::try_from(content_bytes - done).unwrap_or(PIECE_BYTES);
            piece.resize(left.min(PIECE_BYTES), 0);
            source.read_exact(&mut piece).map_err(read)?;
            to.write_all(&piece).map_err(|source| Error::Write {
                path: to_path.to_owned(),
                source,
            })?;
            done += piece.len() as u64;
            if !unproven {
                pieces
                    .send(piece)
                    .expect("the digester lives until the channel is dropped");
            }
            progress.event(Event::Bytes {
                done,
                total: Some(content_bytes),
            });
        }
        drop(pieces);
        Ok(digester.join().expect("digesting does not panic"))
    })?;
    if unproven {
        return Ok(());
    }
    let mut trailer = [0; TRAILER_BYTES];
    source.read_exact(&mut trailer).map_err(read)?;
    match found == Digest(trailer) {
        true => Ok(()),
        false => Err(Error::TrailerMismatch {
            path: from.to_owned(),
            found,
            trailer: Digest(trailer),
        }),
    }
}

fn digest(pieces: &mpsc::Receiver<Vec<u8>>, used: &mpsc::Sender<Vec<u8>>) -> Digest {
    let mut sha256 = Sha256::default();
    for piece in pieces {
        sha256.update(&piece);
        // Nobody may want it any more.
        let _ = used.send(piece);
    }
    sha256.finish()
}
