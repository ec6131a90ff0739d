//! The snapshot's way into the first data directory, proven as it goes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};

use tokio::task::yield_now;

use super::{Error, Origin};
use crate::codec::{Sha256, TRAILER_BYTES, has_trailer};
use crate::id::Digest;
use crate::progress::{Event, Progress};
use crate::verify::{self, read_and_judge};

/// How much is copied before it is digested.
const COPY_BYTES: u64 = 8 << 20;
/// How much is written before it is brought to the disk.
const FLUSH_BYTES: u64 = 32 << 20;

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
        let file = options.open(path).map_err(failed)?;
        let (mut target, flusher) = Target::of(file).map_err(failed)?;
        match self {
            Self::File {
                path: from,
                unproven,
            } => copy_proven(from, *unproven, target, path, progress).await?,
            Self::Backup { folder, backup } => {
                let sink = move |bytes: &[u8]| target.write_all(bytes);
                let read = read_and_judge(folder, backup, progress, sink);
                let findings = read.await.map_err(|error| match error {
                    verify::Error::Output { source } => failed(source),
                    source => Error::Backup { source },
                })?;
                if !findings.is_empty() {
                    return Err(Error::Damaged { findings });
                }
            }
        }
        let flushed = flusher.join().expect("flushing does not panic");
        flushed.map_err(failed)
    }
}

/// The file that is written; another thread brings what it has so far to the disk, so that little is left for the end.
struct Target {
    file: File,
    unflushed_bytes: u64,
    flush: mpsc::SyncSender<()>,
}

impl Target {
    /// The thread ends when the target is dropped, and says whether all went well until then.
    fn of(file: File) -> io::Result<(Self, JoinHandle<io::Result<()>>)> {
        let (flush, asked) = mpsc::sync_channel(1);
        let same = file.try_clone()?;
        let flusher = thread::spawn(move || asked.iter().try_for_each(|()| same.sync_data()));
        let target = Self {
            file,
            unflushed_bytes: 0,
            flush,
        };
        Ok((target, flusher))
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.has_taken(bytes.len() as u64);
        Ok(())
    }

    fn has_taken(&mut self, bytes: u64) {
        self.unflushed_bytes += bytes;
        if self.unflushed_bytes >= FLUSH_BYTES {
            self.unflushed_bytes = 0;
            // One that is still at it takes these as well, or the next time.
            let _ = self.flush.try_send(());
        }
    }
}

/// Copies a snapshot file; another thread digests what was written, as it comes. Can be given up between two pieces.
async fn copy_proven(
    from: &Path,
    unproven: bool,
    mut to: Target,
    to_path: &Path,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let read = |source| Error::Read {
        path: from.to_owned(),
        source,
    };
    let write = |source| Error::Write {
        path: to_path.to_owned(),
        source,
    };
    let mut source = File::open(from).map_err(read)?;
    let metadata = source.metadata().map_err(read)?;
    if metadata.is_dir() {
        return Err(read(io::ErrorKind::IsADirectory.into()));
    }
    let size_bytes = metadata.len();
    let trailer_bytes = TRAILER_BYTES as u64;
    let has_trailer = has_trailer(size_bytes);
    if !has_trailer && !unproven {
        return Err(Error::NoTrailer {
            path: from.to_owned(),
        });
    }
    let content_bytes = size_bytes - if has_trailer { trailer_bytes } else { 0 };
    let (copied, to_digest) = mpsc::channel();
    let digested = to_path.to_owned();
    let digester = thread::spawn(move || digest(&digested, &to_digest));
    let mut done = 0;
    while done < content_bytes {
        let piece = COPY_BYTES.min(content_bytes - done);
        // The kernel copies, where it can.
        let length = io::copy(&mut (&source).take(piece), &mut to.file).map_err(write)?;
        if length < piece {
            return Err(read(io::ErrorKind::UnexpectedEof.into()));
        }
        done += length;
        to.has_taken(length);
        // A digester that could not read says so at the end.
        let _ = copied.send(if unproven { 0 } else { done });
        progress.event(Event::Bytes {
            done,
            total: Some(content_bytes),
        });
        yield_now().await;
    }
    drop(copied);
    let found = digester.join().expect("digesting does not panic");
    let found = found.map_err(write)?;
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

/// Digests what was written, as far as it is told that the copy has come.
fn digest(path: &Path, copied: &mpsc::Receiver<u64>) -> io::Result<Digest> {
    let file = File::open(path)?;
    let mut sha256 = Sha256::default();
    let mut at = 0;
    for end in copied {
        sha256.update_from(&file, at..end)?;
        at = end;
    }
    Ok(sha256.finish())
}
