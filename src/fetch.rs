//! Gets a snapshot file out of a repository, decoded and proven.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::attachments;
use crate::catalog::Backup;
use crate::id::BackupId;
use crate::manifest::Finding;
use crate::partial::Partial;
use crate::progress::Progress;
use crate::repository::Folder;
use crate::verify::{self, read_and_judge, read_attachments};

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

    /// There is nothing to fetch.
    #[error("{id} has no attachments")]
    NoAttachments { id: BackupId },

    /// The attachments could not be unpacked.
    #[error("cannot fetch the attachments")]
    Attachments { source: attachments::Error },

    /// The bytes are not what was stored.
    #[error("the backup is damaged: {}", first(.findings))]
    Damaged { findings: Vec<Finding> },
}

fn first(findings: &[Finding]) -> &str {
    findings.first().map_or("", |finding| &finding.message)
}

/// Looks before anything is read: nothing is overwritten in the end either.
fn refuse_existing(path: &Path) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(_) => Err(Error::Exists {
            path: path.to_owned(),
        }),
        Err(_) => Ok(()),
    }
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
    refuse_existing(path)?;
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

/// Unpacks the attachments of `backup` into a new directory, mode 0700, and gives how many files they are.
///
/// The directory appears only when all of it is there, proven before anything is unpacked. Root gives the files their owners back.
///
/// # Errors
/// If there are none, the directory exists or cannot be written, or they are damaged; nothing is left behind then.
pub async fn fetch_attachments(
    folder: &Folder,
    backup: &Backup,
    directory: &Path,
    as_root: bool,
) -> Result<u64, Error> {
    refuse_existing(directory)?;
    let (files, archive) = read_archive(folder, backup).await?;
    let unpacked = attachments::unpack(&archive, directory, as_root);
    unpacked.map_err(|source| Error::Attachments { source })?;
    Ok(files)
}

/// Writes the attachments of `backup` to `output` as a tar archive, once they are proven.
///
/// # Errors
/// If there are none, they are damaged, or the output fails.
pub async fn attachments_to_stream(
    folder: &Folder,
    backup: &Backup,
    mut output: impl Write,
) -> Result<(), Error> {
    let (_, archive) = read_archive(folder, backup).await?;
    let written = output.write_all(&archive).and_then(|()| output.flush());
    let written = written.map_err(|source| verify::Error::Output { source });
    written.map_err(|source| Error::Read { source })
}

async fn read_archive(folder: &Folder, backup: &Backup) -> Result<(u64, Vec<u8>), Error> {
    let Some(attachments) = &backup.manifest.attachments else {
        let id = backup.id().clone();
        return Err(Error::NoAttachments { id });
    };
    let read = read_attachments(folder, backup, attachments).await;
    match read.map_err(|source| Error::Read { source })? {
        Ok(archive) => Ok((attachments.files, archive)),
        Err(finding) => Err(Error::Damaged {
            findings: vec![finding],
        }),
    }
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
