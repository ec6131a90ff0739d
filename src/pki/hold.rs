//! One run at a time in a directory.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use super::Error;

/// Locks the directory, if there is one.
pub(super) fn lock(root: &Path) -> Result<Option<File>, Error> {
    let failed = |source| Error::Read {
        path: root.to_owned(),
        source,
    };
    let directory = match File::open(root) {
        Ok(directory) => directory,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed(source)),
    };
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Err(Error::Busy {
            path: root.to_owned(),
        }),
        // A file system without locks: files that appear meanwhile are noticed all the same.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Makes the directory and locks it; that somebody else made it meanwhile is an error.
pub(super) fn create(root: &Path) -> Result<Option<File>, Error> {
    let parent = root.parent().unwrap_or(root);
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(parent)
        .and_then(|()| DirBuilder::new().mode(0o700).create(root));
    match made {
        Ok(()) => lock(root),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => lock(root),
        Err(source) => Err(Error::Write {
            path: root.to_owned(),
            source,
        }),
    }
}
