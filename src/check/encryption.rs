//! Proves that what was encrypted can be opened: by encrypting something, and by the backups that are there.

use super::Report;
use crate::catalog::Backup;
use crate::codec::round_trip;
use crate::keys;
use crate::progress::told;
use crate::repository::Folder;
use crate::verify::can_open;

/// Encrypts a random text for the recipients, opens it with the identity, and then opens the beginning of each of `backups`.
///
/// Nothing is written. What fails is in the report; each backup costs one small read.
pub async fn check_encryption(folder: &Folder, backups: &[&Backup], report: &mut Report) {
    let keys = folder.keys();
    match keys.recipients() {
        Some(recipients) => report.pass(format!(
            "new backups are encrypted for {}",
            recipients.words().join(", ")
        )),
        None => report.error(
            "no-recipients",
            "new backups are stored in the clear: there are no `recipients` in [encryption]",
        ),
    }
    match keys.identities() {
        Ok(identities) => {
            if let Some(recipients) = keys.recipients() {
                let path = identities.path().display();
                match round_trip(recipients, &identities) {
                    Ok(()) => report.pass(format!(
                        "what is encrypted now is opened with the identity in {path}"
                    )),
                    Err(error) => report.error(
                        "wrong-identity",
                        format!(
                            "what is encrypted now is not opened with {path}: {}",
                            told(&error)
                        ),
                    ),
                }
            }
        }
        Err(keys::Error::NoIdentity) => {
            report.error(
                "no-identity",
                "no `identity_file` in [encryption]: whether the backups can be opened cannot be tried here",
            );
            return;
        }
        Err(error) => {
            report.error("bad-identity", told(&error));
            return;
        }
    }
    if backups.is_empty() {
        report.warn("no-backup", "there is no backup yet that could be opened");
    }
    for backup in backups {
        check_backup(folder, backup, report).await;
    }
}

async fn check_backup(folder: &Folder, backup: &Backup, report: &mut Report) {
    let id = backup.id();
    if backup.manifest.encryption.is_none() {
        report.warn("in-the-clear", format!("{id} is stored in the clear"));
        return;
    }
    match can_open(folder, backup).await {
        Ok(kinds) => report.pass(format!("{id} opens; its recipients: {}", kinds.join(", "))),
        Err(error) => report.error("not-opened", told(&error)),
    }
}
