//! Gets a backup's attachments, and holds them against the manifest.

use bytes::Bytes;

use super::{Error, opening};
use crate::attachments::{MOST_ARCHIVE_BYTES, count};
use crate::catalog::Backup;
use crate::codec::{self, Opening, Sha256, unseal};
use crate::manifest::{Attachments, Finding};
use crate::progress::told;
use crate::repository::{self, Folder};

/// The code of what is held against attachments: it says nothing of the snapshot beside them.
pub const ATTACHMENTS: &str = "attachments";

/// The archive of a backup's attachments, proven; or what is held against it.
///
/// # Errors
/// If the store fails, or there is nothing to open it with.
pub async fn read_attachments(
    folder: &Folder,
    backup: &Backup,
    attachments: &Attachments,
) -> Result<Result<Vec<u8>, Finding>, Error> {
    // First of all whether they are to be opened, and can be.
    let opening = opening::opening(folder, backup)?;
    let sealed = match read_sealed(folder, backup, attachments).await? {
        Ok(sealed) => sealed,
        Err(finding) => return Ok(Err(finding)),
    };
    let Opening::Age(identities) = opening else {
        let problem =
            "the manifest says that the backup is in the clear, which attachments never are";
        return Ok(Err(held_against(problem)));
    };
    let archive = match unseal(&identities, &sealed, MOST_ARCHIVE_BYTES) {
        Ok(archive) => archive,
        // The bytes are whole: they are for somebody else.
        Err(codec::Error::NoneOpens { path }) => return Err(opening::wrong_identity(backup, path)),
        Err(error) => return Ok(Err(held_against(&told(&error)))),
    };
    Ok(match count(&archive) {
        Ok(files) if files == attachments.files => Ok(archive),
        Ok(files) => Err(held_against(&format!(
            "{files} files are in them, the manifest says {}",
            attachments.files
        ))),
        Err(error) => Err(held_against(&told(&error))),
    })
}

/// What is held against the attachments; `opened` says whether they can be looked into.
pub(super) async fn judge(
    folder: &Folder,
    backup: &Backup,
    opened: bool,
) -> Result<Option<Finding>, Error> {
    let Some(attachments) = &backup.manifest.attachments else {
        return Ok(None);
    };
    Ok(match opened {
        true => read_attachments(folder, backup, attachments).await?.err(),
        false => read_sealed(folder, backup, attachments).await?.err(),
    })
}

/// The stored bytes, if they are what the manifest says.
async fn read_sealed(
    folder: &Folder,
    backup: &Backup,
    attachments: &Attachments,
) -> Result<Result<Bytes, Finding>, Error> {
    let said = attachments.stored_size_bytes;
    let key = format!("{}/{}", backup.id(), attachments.object);
    let wrong_size = |found| format!("{found} bytes are there, {said} were stored");
    let problem = match folder.read_up_to(&key, said.min(MOST_ARCHIVE_BYTES)).await {
        Ok(sealed) if sealed.len() as u64 != said => wrong_size(sealed.len() as u64),
        Ok(sealed) if Sha256::of(&sealed) == attachments.stored_sha256 => return Ok(Ok(sealed)),
        Ok(_) => "their SHA-256 is not what was stored: bytes were changed".to_owned(),
        Err(repository::Error::TooLarge { size_bytes, .. }) => wrong_size(size_bytes),
        Err(repository::Error::NotFound { object }) => format!("{object} is not there"),
        Err(source) => return Err(Error::Repository { source }),
    };
    Ok(Err(held_against(&problem)))
}

fn held_against(problem: &str) -> Finding {
    Finding::error(
        ATTACHMENTS,
        format!("the attachments are damaged: {problem}"),
    )
}
