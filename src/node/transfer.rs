//! Files that come and go, whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use super::action::{Answer, Directories};
use super::aside::{ensure_unheld, exists};
use super::{Error, done, own, sync_parent, writing};
use crate::backend::Store;
use crate::codec::{Plain, Sha256};
use crate::id::Digest;
use crate::partial::directory_of;
use crate::progress::{Event, Progress};

/// How much is passed on at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Takes a file from `input`; it shows under its name when it is whole, proven and on the disk.
pub(super) fn receive(
    path: &Path,
    sha256: Digest,
    input: &mut dyn Read,
    progress: &dyn Progress,
) -> Result<Answer, Error> {
    if exists(path) {
        return match digest(path)? == sha256 {
            true => Ok(done(false, vec![format!("{} is there", path.display())])),
            false => Err(Error::Occupied {
                path: path.to_owned(),
            }),
        };
    }
    let size_bytes = write_whole(path, input, progress, |found| match found == sha256 {
        true => Ok(()),
        false => Err(Error::Digest {
            path: path.to_owned(),
            found,
            expected: sha256,
        }),
    })?;
    let name = path.display();
    Ok(done(
        true,
        vec![format!(
            "{name} has {size_bytes} bytes and the SHA-256 {sha256}"
        )],
    ))
}

/// Writes a file to `output`.
pub(super) fn send(path: &Path, output: &mut dyn Write) -> Result<Answer, Error> {
    let read = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(read)?;
    let sent = io::copy(&mut file, output).and_then(|bytes| output.flush().map(|()| bytes));
    let bytes = sent.map_err(read)?;
    Ok(done(false, vec![format!("{bytes} bytes were sent")]))
}

/// Copies the database of a member that does not run.
pub(super) fn copy_database(
    directories: &Directories,
    output: &Path,
    progress: &dyn Progress,
) -> Result<Answer, Error> {
    ensure_unheld(directories)?;
    let db = directories.database();
    let read = |source| Error::Read {
        path: db.clone(),
        source,
    };
    let mut file = File::open(&db).map_err(read)?;
    if exists(output) {
        // What a run before has copied is as good.
        if digest(output)? != digest(&db)? {
            return Err(Error::Occupied {
                path: output.to_owned(),
            });
        }
    } else {
        write_whole(output, &mut file, progress, |_| Ok(()))?;
    }
    let database = |source| Error::Database {
        path: output.to_owned(),
        source,
    };
    let copy = File::open(output).map_err(read)?;
    let size_bytes = copy.metadata().map_err(read)?.len();
    let store = Store::open(copy).map_err(database)?;
    Ok(Answer::Salvaged {
        sha256: digest(output)?,
        snapshot: output.to_owned(),
        size_bytes,
        revision: store.revision().map_err(database)?,
        raised: None,
        command: Vec::new(),
    })
}

/// What a salvage that was done before answers: its snapshot appeared only when it was whole, and is proven again.
pub(super) fn salvaged_before(output: &Path) -> Result<Answer, Error> {
    let read = |source| Error::Read {
        path: output.to_owned(),
        source,
    };
    let mut plain = Plain::default();
    let mut file = File::open(output).map_err(read)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match file.read(&mut piece).map_err(read)? {
            0 => break,
            count => plain.feed(&piece[..count]),
        }
    }
    let size_bytes = plain.size_bytes();
    let totals = plain.finish().map_err(|source| Error::NoSnapshot {
        path: output.to_owned(),
        source,
    })?;
    Ok(Answer::Salvaged {
        snapshot: output.to_owned(),
        sha256: totals.sha256,
        size_bytes,
        revision: totals.facts.revision,
        raised: None,
        command: Vec::new(),
    })
}

/// The SHA-256 of a file.
///
/// # Errors
/// If it cannot be read.
pub fn digest(path: &Path) -> Result<Digest, Error> {
    Sha256::of_file(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })
}

/// Writes what comes under another name, shows its digest to `judge`, and gives it its own name.
fn write_whole(
    path: &Path,
    input: &mut dyn Read,
    progress: &dyn Progress,
    judge: impl FnOnce(Digest) -> Result<(), Error>,
) -> Result<u64, Error> {
    let folder = directory_of(path);
    // A disk that was lost took the data directory with it.
    own::make(folder)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A kubelet reads no file that begins with a dot.
    let prefix = format!(".{name}.etcdrx-unfinished-");
    remove_unfinished(folder, &prefix);
    let temporary = tempfile::Builder::new().prefix(&prefix).tempfile_in(folder);
    let mut temporary = temporary.map_err(writing(path))?;
    // A lock that nobody holds tells the next attempt that this one is dead.
    let _ = temporary.as_file().try_lock();
    let (size_bytes, found) = write_digested(temporary.as_file_mut(), path, input, progress)?;
    judge(found)?;
    let kept = temporary.persist_noclobber(path);
    kept.map_err(|error| writing(path)(error.error))?;
    sync_parent(path)?;
    Ok(size_bytes)
}

/// Removes what earlier attempts left that were killed; what cannot be removed shows by its name what it is.
fn remove_unfinished(folder: &Path, prefix: &str) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        let is_one = entry.file_name().to_string_lossy().starts_with(prefix);
        let file = is_one.then(|| File::open(entry.path()).ok()).flatten();
        if file.is_some_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn write_digested(
    file: &mut File,
    path: &Path,
    input: &mut dyn Read,
    progress: &dyn Progress,
) -> Result<(u64, Digest), Error> {
    let mut sha256 = Sha256::default();
    let mut piece = vec![0; PIECE_BYTES];
    let mut done = 0;
    loop {
        let length = match input.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(Error::Input { source }),
        };
        sha256.update(&piece[..length]);
        file.write_all(&piece[..length]).map_err(writing(path))?;
        done += length as u64;
        progress.event(Event::Bytes { done, total: None });
    }
    file.sync_all().map_err(writing(path))?;
    Ok((done, sha256.finish()))
}
