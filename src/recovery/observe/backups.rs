//! The backups of the repository, as a recovery sees them.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};

use super::super::observation::Backup;
use crate::catalog::Catalog;
use crate::id::BackupId;
use crate::manifest::Finding;
use crate::retention::Health;

/// The backups of a cluster, wherever somebody could look at them.
#[derive(Default)]
pub struct Backups {
    /// Those of each repository that answered, and why some of them cannot be opened here.
    pub catalogs: Vec<(Catalog, BTreeMap<BackupId, String>)>,
    /// Why other repositories gave no answer.
    pub unseen: Vec<String>,
}

/// The backups that can be used, newest first, and what is wrong with the others.
///
/// Of several copies of one the first counts that can be opened.
pub(super) fn told(backups: Backups) -> (Vec<Backup>, Vec<Finding>) {
    let unseen = backups.unseen.into_iter();
    let mut findings: Vec<Finding> = unseen
        .map(|why| {
            let message = format!("nobody could look at the backups: {why}");
            Finding::warning("backups-unseen", message)
        })
        .collect();
    let mut usable: BTreeMap<(DateTime<Utc>, BackupId), Backup> = BTreeMap::new();
    for (catalog, locked) in &backups.catalogs {
        findings.extend(unusable(catalog));
        let whole = catalog.backups.iter();
        let whole = whole.filter(|backup| backup.health() != Health::Damaged);
        for copy in whole.map(|backup| seen(backup, locked.get(backup.id()).cloned())) {
            let known = usable.entry((copy.started_at, copy.id.clone()));
            let known = known.or_insert_with(|| copy.clone());
            if known.locked.is_some() && copy.locked.is_none() {
                *known = copy;
            }
        }
    }
    (usable.into_values().rev().collect(), findings)
}

fn unusable(catalog: &Catalog) -> impl Iterator<Item = Finding> {
    let unreadable = catalog.unreadable.iter();
    let unreadable =
        unreadable.map(|unreadable| format!("the manifest of {} cannot be read", unreadable.id));
    let damaged = catalog.backups.iter();
    let damaged = damaged.filter(|backup| backup.health() == Health::Damaged);
    let damaged = damaged.map(|backup| format!("the backup {} is damaged", backup.id()));
    let messages = unreadable.chain(damaged);
    messages.map(|message| Finding::warning("backup-unusable", message))
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
