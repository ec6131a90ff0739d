//! What was read, held against what the manifest says.

use crate::backend::Surveyed;
use crate::codec::{self, Decoded, Deep, PlainTotals, StoredTotals};
use crate::manifest::{Finding, HashKv, Manifest};
use crate::progress::told;

/// Holds what was read against the manifest.
pub(super) fn judge(manifest: &Manifest, decoded: &Decoded) -> Vec<Finding> {
    let mut findings = judge_stored(manifest, decoded.stored);
    match &decoded.plain {
        Ok(plain) => findings.extend(judge_plain(manifest, plain)),
        Err(error) => findings.push(Finding::error(code(error), told(error))),
    }
    findings
}

/// Holds the stored bytes alone against the manifest.
pub(super) fn judge_stored(manifest: &Manifest, stored: StoredTotals) -> Vec<Finding> {
    let mut findings = Vec::new();
    if stored.size_bytes != manifest.stored_size_bytes {
        findings.push(Finding::error(
            "stored-size",
            format!(
                "the stored object has {} bytes, {} were stored",
                stored.size_bytes, manifest.stored_size_bytes
            ),
        ));
    }
    if stored.sha256 != manifest.stored_sha256 {
        findings.push(Finding::error(
            "stored-sha256",
            format!(
                "the stored object's SHA-256 is {}, {} was stored: its bytes were changed",
                stored.sha256, manifest.stored_sha256
            ),
        ));
    }
    findings
}

fn judge_plain(manifest: &Manifest, plain: &PlainTotals) -> Vec<Finding> {
    let mut findings = Vec::new();
    if plain.sha256 != manifest.snapshot_sha256 {
        findings.push(Finding::error(
            "snapshot-sha256",
            format!(
                "the snapshot's SHA-256 is {}, the manifest says {}",
                plain.sha256, manifest.snapshot_sha256
            ),
        ));
    }
    if plain.facts.revision != manifest.revision {
        findings.push(Finding::error(
            "revision",
            format!(
                "the snapshot is of revision {}, the manifest says {}",
                plain.facts.revision, manifest.revision
            ),
        ));
    }
    findings
}

fn code(error: &codec::Error) -> &'static str {
    match error {
        codec::Error::WrongSize { .. } => "snapshot-size",
        codec::Error::TrailerMismatch { .. } => "trailer",
        codec::Error::Database { .. } => "database",
        codec::Error::Decompress { .. } | codec::Error::Compress { .. } => "compression",
        codec::Error::Decrypt { .. }
        | codec::Error::Encrypt { .. }
        | codec::Error::NoneOpens { .. } => "encryption",
        codec::Error::Output { .. } | codec::Error::Abandoned => "unread",
    }
}

/// Holds all that the database holds against the manifest.
pub(super) fn judge_deep(manifest: &Manifest, deep: &Deep) -> Vec<Finding> {
    let surveyed = match deep {
        Ok(surveyed) => surveyed,
        Err(error) => return vec![Finding::error("database", told(error))],
    };
    let mut findings = Vec::new();
    let found = surveyed.keys;
    if let Some(keys) = manifest.keys.filter(|keys| *keys != found) {
        let message = format!("the snapshot holds {found} keys, the manifest says {keys}");
        findings.push(Finding::error("keys", message));
    }
    findings.extend(manifest.hashkv.and_then(|said| judge_hash(surveyed, said)));
    findings
}

/// Holds the hash of the records against the manifest's, computed with the compaction that stands there.
fn judge_hash(surveyed: &Surveyed, said: HashKv) -> Option<Finding> {
    // Nothing can be compared where the member hashed records that its compaction took from the snapshot.
    if !surveyed.can_hash_as(said.compact_revision) {
        return None;
    }
    let found = surveyed
        .hashkv(Some(said.revision), Some(said.compact_revision))
        .ok()?;
    if found.hash == said.hash {
        return None;
    }
    let message = format!(
        "the records of the snapshot up to revision {} have the hash {:08x}, the manifest says {:08x}: they are not the same data",
        said.revision, found.hash, said.hash
    );
    Some(Finding::error("hashkv", message))
}
