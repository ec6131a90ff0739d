//! How files of certificates come to their place: whole or not at all, and never over another without a copy of that.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::Error;
use crate::certs::key::PrivateKey;

/// A key is its owner's alone.
const KEY_MODE: u32 = 0o600;
/// A certificate is public.
const CERTIFICATE_MODE: u32 = 0o644;

/// One file to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NewFile {
    /// Relative to the directory.
    path: PathBuf,
    bytes: Vec<u8>,
    mode: u32,
    /// Whether another file may be in its place.
    pub(super) replaces: bool,
}

impl NewFile {
    /// A private key.
    pub(super) fn key(path: &Path, key: &PrivateKey, replaces: bool) -> Self {
        Self {
            path: path.to_owned(),
            bytes: key.to_pem().into(),
            mode: KEY_MODE,
            replaces,
        }
    }

    /// A certificate, or what else is for everybody.
    pub(super) fn public(path: &Path, bytes: impl Into<Vec<u8>>, replaces: bool) -> Self {
        Self {
            path: path.to_owned(),
            bytes: bytes.into(),
            mode: CERTIFICATE_MODE,
            replaces,
        }
    }
}

/// Writes files below `root`, in their order; those that they replace are kept below `replaced`.
///
/// Each appears whole, on disk, or not at all. All are written under other names before the first appears, so that a full
/// disk changes nothing, and a key and its certificate appear at once. A file that must be new and is there already stops it.
pub(super) fn place(root: &Path, files: &[NewFile], replaced: &Path) -> Result<(), Error> {
    let mut staged = Vec::new();
    for file in files {
        let path = root.join(&file.path);
        let temporary = stage(&path, file).map_err(|source| failed(&path, source))?;
        staged.push((path, file, temporary));
    }
    for (path, file, _) in staged
        .iter()
        .filter(|(path, file, _)| file.replaces && path.exists())
    {
        let copy = root.join(replaced).join(&file.path);
        keep(path, &copy).map_err(|source| failed(path, source))?;
    }
    let mut directories = BTreeSet::new();
    for (path, file, temporary) in staged {
        let placed = match file.replaces {
            true => temporary.persist(&path),
            false => temporary.persist_noclobber(&path),
        };
        placed.map_err(|error| failed(&path, error.error))?;
        directories.insert(directory_of(&path).to_owned());
    }
    for directory in directories {
        let synced = File::open(&directory).and_then(|opened| opened.sync_all());
        synced.map_err(|source| failed(&directory, source))?;
    }
    Ok(())
}

fn failed(path: &Path, source: io::Error) -> Error {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::AlreadyExists => Error::AppearedMeanwhile { path },
        _ => Error::Write { path, source },
    }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

/// Copies a file that is to be replaced, by another name for the same bytes where the file system can.
fn keep(path: &Path, copy: &Path) -> io::Result<()> {
    make_directory(directory_of(copy))?;
    fs::hard_link(path, copy).or_else(|_| fs::copy(path, copy).map(drop))
}

/// Writes a file under another name beside its place.
fn stage(path: &Path, file: &NewFile) -> io::Result<TempPath> {
    make_directory(directory_of(path))?;
    let mut temporary = NamedTempFile::new_in(directory_of(path))?;
    temporary.write_all(&file.bytes)?;
    let permissions = Permissions::from_mode(file.mode);
    temporary.as_file().set_permissions(permissions)?;
    temporary.as_file().sync_all()?;
    Ok(temporary.into_temp_path())
}

/// Makes a directory that only its owner can enter.
fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}
