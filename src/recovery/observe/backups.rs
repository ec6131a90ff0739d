//! The backups of the repository, as a recovery sees them.

use std::collections::BTreeMap;

use super::super::observation::Backup;
use crate::catalog::Catalog;
use crate::id::BackupId;
use crate::manifest::Finding;
use crate::retention::Health;

/// The backups of a cluster, and why some of them cannot be opened here.
pub type Backups = (Catalog, BTreeMap<BackupId, String>);

/// The backups that can be used, newest first, and what is wrong with the others.
pub(super) fn told(backups: Option<Result<Backups, String>>) -> (Vec<Backup>, Vec<Finding>) {
    let (catalog, locked) = match backups {
        None => return (Vec::new(), Vec::new()),
        Some(Err(why)) => {
            let message = format!("nobody could look at the backups: {why}");
            return (
                Vec::new(),
                vec![Finding::warning("backups-unseen", message)],
            );
        }
        Some(Ok(backups)) => backups,
    };
    let unreadable = catalog.unreadable.iter().map(|unreadable| {
        let message = format!("the manifest of {} cannot be read", unreadable.id);
        Finding::warning("backup-unusable", message)
    });
    let (damaged, usable): (Vec<_>, Vec<_>) = catalog
        .backups
        .iter()
        .partition(|backup| backup.health() == Health::Damaged);
    let damaged = damaged.into_iter().map(|backup| {
        let message = format!("the backup {} is damaged", backup.id());
        Finding::warning("backup-unusable", message)
    });
    let findings = unreadable.chain(damaged).collect();
    let usable = usable.into_iter();
    let usable = usable.map(|backup| seen(backup, locked.get(backup.id()).cloned()));
    (usable.collect(), findings)
}

fn seen(backup: &crate::catalog::Backup, locked: Option<String>) -> Backup {
    let manifest = &backup.manifest;
    Backup {
        id: manifest.id.clone(),
        cluster_id: manifest.cluster_id,
        revision: manifest.revision,
        raft_index: manifest.raft_index,
        started_at: manifest.started_at,
        verified_at: backup.verified().map(|(at, _)| at),
        snapshot_sha256: manifest.snapshot_sha256,
        etcd_version: manifest.etcd_version.clone(),
        db_size_bytes: manifest.db_size_bytes,
        locked,
    }
}
