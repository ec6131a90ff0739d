//! Gets a backup's attachments, and holds them against the manifest.

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
        Err(codec::Error::NoneOpens { path }) => {
            return Err(Error::WrongIdentity {
                id: backup.id().clone(),
                path,
                recipients: opening::recipients(backup),
            });
        }
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
) -> Result<Result<Vec<u8>, Finding>, Error> {
    let repository = |source| Error::Repository { source };
    let said = attachments.stored_size_bytes;
    let key = format!("{}/{}", backup.id(), attachments.object);
    let mut stored = match folder.open(&key).await {
        Err(repository::Error::NotFound { object }) => {
            return Ok(Err(held_against(&format!("{object} is not there"))));
        }
        stored => stored.map_err(repository)?,
    };
    let found = stored.size_bytes;
    if found != said || found > MOST_ARCHIVE_BYTES {
        let problem = format!("{found} bytes are there, {said} were stored");
        return Ok(Err(held_against(&problem)));
    }
    let (mut sealed, mut sha256) = (Vec::new(), Sha256::default());
    while let Some(bytes) = stored.next().await.map_err(repository)? {
        sha256.update(&bytes);
        sealed.extend_from_slice(&bytes);
    }
    Ok(match sha256.finish() == attachments.stored_sha256 {
        true => Ok(sealed),
        false => Err(held_against(
            "their SHA-256 is not what was stored: bytes were changed",
        )),
    })
}

fn held_against(problem: &str) -> Finding {
    Finding::error(
        ATTACHMENTS,
        format!("the attachments are damaged: {problem}"),
    )
}
