//! Sizes, modes, owners, free space, and whether a process holds a file.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;

use super::report::FileFacts;
use crate::manifest::Finding;

/// Whether a process holds the lock that bbolt takes on a database, without waiting for it.
///
/// The file is opened for reading only; a lock that is free is taken for an instant, shared, and nothing is changed. Only this
/// machine's processes are seen.
///
/// # Errors
/// If the file cannot be opened or the file system has no locks.
pub fn is_held(db: &Path) -> io::Result<bool> {
    let file = File::open(db)?;
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// What this user may still write to the file system of `path`.
pub(super) fn free_bytes(path: &Path) -> Option<u64> {
    let space = statvfs(path).ok()?;
    let (blocks, block) = (space.blocks_available(), space.fragment_size());
    Some(blocks.saturating_mul(block))
}

/// The directories that exist, each followed by the files in it.
pub(super) fn list(dirs: &[&Path], findings: &mut Vec<Finding>) -> Vec<FileFacts> {
    let mut files = Vec::new();
    for dir in dirs {
        let listed = one(dir).and_then(|dir_facts| {
            files.push(dir_facts);
            let mut paths: Vec<PathBuf> = fs::read_dir(dir)?
                .map(|file| file.map(|file| file.path()))
                .collect::<Result<_, _>>()?;
            paths.sort();
            for path in paths {
                // A file may go while a member runs.
                let facts = one(&path).ok();
                files.extend(facts.filter(|facts| !facts.is_dir));
            }
            Ok(())
        });
        match listed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let message = format!("cannot read {}: {error}", dir.display());
                findings.push(Finding::error("unreadable", message));
            }
            _ => {}
        }
    }
    files
}

fn one(path: &Path) -> io::Result<FileFacts> {
    let metadata = fs::metadata(path)?;
    Ok(FileFacts {
        path: path.to_owned(),
        is_dir: metadata.is_dir(),
        size_bytes: metadata.len(),
        allocated_bytes: metadata.blocks().saturating_mul(512),
        mode: format!("{:04o}", metadata.mode() & 0o7777),
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}
