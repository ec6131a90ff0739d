//! Gets a snapshot file out of a repository, decoded and proven.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::catalog::Backup;
use crate::manifest::Finding;
use crate::partial::Partial;
use crate::progress::Progress;
use crate::repository::Folder;
use crate::verify::{self, read_and_judge};

/// Why there is no file.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The target is there, and fetching never overwrites.
    #[error("{} exists already", .path.display())]
    Exists { path: PathBuf },

    /// The file could not be written.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// The backup could not be read, or what came could not be passed on.
    #[error("cannot fetch the backup")]
    Read { source: verify::Error },

    /// The bytes are not what was stored.
    #[error("the backup is damaged: {}", first(.findings))]
    Damaged { findings: Vec<Finding> },
}

fn first(findings: &[Finding]) -> &str {
    findings.first().map_or("", |finding| &finding.message)
}

/// Writes the snapshot of `backup` to a new file at `path`, mode 0600.
///
/// The file appears only when it is whole and proven: it is written under a temporary name beside, synced, renamed.
///
/// # Errors
/// If the target exists, cannot be written, or the backup is damaged; nothing is left behind then.
pub async fn fetch_to_file(
    folder: &Folder,
    backup: &Backup,
    path: &Path,
    progress: &dyn Progress,
) -> Result<(), Error> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::Exists {
            path: path.to_owned(),
        });
    }
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => Error::Exists {
            path: path.to_owned(),
        },
        _ => Error::Write {
            path: path.to_owned(),
            source,
        },
    };
    let mut partial = Partial::create(path).map_err(failed)?;
    let mut file = partial.file().try_clone().map_err(failed)?;
    let sink = move |bytes: &[u8]| file.write_all(bytes);
    read_proven(folder, backup, progress, sink).await?;
    partial.publish().map_err(failed)
}

/// Writes the snapshot of `backup` to `output` as it is read: what the bytes are worth is known only at the end.
///
/// # Errors
/// If the output fails or the backup is damaged; the bytes are gone by then.
pub async fn fetch_to_stream(
    folder: &Folder,
    backup: &Backup,
    mut output: impl Write + Send + 'static,
    progress: &dyn Progress,
) -> Result<(), Error> {
    let sink = move |bytes: &[u8]| output.write_all(bytes).and_then(|()| output.flush());
    read_proven(folder, backup, progress, sink).await
}

async fn read_proven(
    folder: &Folder,
    backup: &Backup,
    progress: &dyn Progress,
    sink: impl FnMut(&[u8]) -> io::Result<()> + Send + 'static,
) -> Result<(), Error> {
    let findings = read_and_judge(folder, backup, progress, sink)
        .await
        .map_err(|source| Error::Read { source })?;
    match findings.is_empty() {
        true => Ok(()),
        false => Err(Error::Damaged { findings }),
    }
}
