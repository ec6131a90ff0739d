//! Gets the files out of the archive again.

use std::fs;
use std::io;
use std::path::Path;

use super::Error;
use crate::partial::directory_of;

/// How many regular files are in the archive; reads all of it.
///
/// # Errors
/// If it is no whole archive.
pub fn count(archive: &[u8]) -> Result<u64, Error> {
    let count = || {
        let mut files = 0;
        for entry in tar::Archive::new(archive).entries()? {
            let mut entry = entry?;
            io::copy(&mut entry, &mut io::sink())?;
            files += u64::from(entry.header().entry_type().is_file());
        }
        Ok(files)
    };
    count().map_err(|source| Error::Archive { source })
}

/// Unpacks the archive into a new directory, mode 0700, which appears only when everything is in it.
///
/// Modes, times and links are as they were; root gives every file its owner back, anybody else owns them all. Nothing is written outside the
/// directory.
///
/// # Errors
/// If the directory exists, or takes not all of it; nothing is left behind then.
pub fn unpack(archive: &[u8], directory: &Path, as_root: bool) -> Result<(), Error> {
    let exists = || Error::Exists {
        path: directory.to_owned(),
    };
    if directory.symlink_metadata().is_ok() {
        return Err(exists());
    }
    let failed = |source| Error::Write {
        path: directory.to_owned(),
        source,
    };
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    // What a killed process leaves shows by its name what it is.
    let temporary = tempfile::Builder::new()
        .prefix(&format!("{name}.partial-"))
        .tempdir_in(directory_of(directory))
        .map_err(failed)?;
    let mut files = tar::Archive::new(archive);
    files.set_preserve_permissions(true);
    files.set_preserve_mtime(true);
    files.set_preserve_ownerships(as_root);
    files.unpack(temporary.path()).map_err(failed)?;
    match fs::rename(temporary.path(), directory) {
        Ok(()) => {
            let _ = temporary.keep();
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Err(exists()),
        Err(error) => Err(failed(error)),
    }
}
