//! What an inspection holds against a directory.

use super::Options;
use super::report::Inspection;
use crate::datadir::wal::{Ending, Facts};
use crate::manifest::Finding;

/// The findings that take the whole picture.
pub(super) fn judge<D>(
    inspection: &Inspection<D>,
    log: Option<&Facts>,
    options: &Options,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if let Some(log) = log {
        damage(log, inspection.database_held, &mut findings);
        consistency(log, &mut findings);
        snapshot(inspection, log, &mut findings);
    }
    identity(inspection, options, &mut findings);
    if inspection.database_held == Some(true) {
        let message = "a process on this machine holds the database: the member runs";
        findings.push(Finding::warning("in-use", message));
    }
    access(inspection, &mut findings);
    findings
}

fn damage(log: &Facts, held: Option<bool>, findings: &mut Vec<Finding>) {
    let end = &log.end;
    let place = format!("byte {} of {}", end.offset, end.file.display());
    match end.ending {
        Ending::Damaged(damage) => {
            let unread = match end.unread_files {
                0 => String::new(),
                files => format!("; {files} later files were not read"),
            };
            let message = format!(
                "the write-ahead log is damaged at {place}: {damage}, and {} bytes behind it cannot be trusted{unread}",
                end.leftover_bytes
            );
            findings.push(Finding::error("wal-damaged", message));
        }
        // What a running member is writing right now looks the same.
        _ if held == Some(true) => {}
        Ending::Torn => {
            let message = format!(
                "the last record of the write-ahead log, at {place}, was never flushed whole: etcd will cut off {} bytes",
                end.leftover_bytes
            );
            findings.push(Finding::warning("wal-torn", message));
        }
        Ending::Whole if end.leftover_bytes > 0 => {
            let message = format!(
                "behind the end of the write-ahead log, at {place}, lie {} bytes that are not zero: records may have been lost",
                end.leftover_bytes
            );
            findings.push(Finding::warning("wal-leftover", message));
        }
        Ending::Whole => {}
    }
    if end.records_follow && held != Some(true) && !matches!(end.ending, Ending::Damaged(_)) {
        let message = format!(
            "whole records stand behind the end of the write-ahead log, at {place}: etcd will cut them off; none of them counts if the power failed while they were written, and all of them do if a byte was changed"
        );
        findings.push(Finding::warning("wal-records-follow", message));
    }
}

fn consistency(log: &Facts, findings: &mut Vec<Finding>) {
    if let Some(gap) = log.gap {
        let message = format!(
            "the write-ahead log has no entries from {} to {}",
            gap.first, gap.last
        );
        findings.push(Finding::error("wal-gap", message));
    }
    if log.node_id.is_none() || log.hard_state.is_none() {
        let message = "the write-ahead log names no member or has no raft state";
        findings.push(Finding::error("wal-incomplete", message));
    }
    let last = log.last.unwrap_or_default().index;
    let commit = log.hard_state.unwrap_or_default().commit;
    if commit > last {
        let message = format!(
            "the write-ahead log ends at entry {last}, and {commit} is committed: entries are lost"
        );
        findings.push(Finding::error("commit-beyond-log", message));
    }
}

/// etcd starts from a snapshot file only if the log remembers it.
fn snapshot<D>(inspection: &Inspection<D>, log: &Facts, findings: &mut Vec<Finding>) {
    let Some(snap) = &inspection.snap else { return };
    let last = log.last.unwrap_or_default();
    let name = snap.path.display();
    if snap.place.index > last.index {
        let message = format!(
            "{name} stands for entry {}, and the write-ahead log ends at {}: they do not belong together",
            snap.place.index, last.index
        );
        findings.push(Finding::error("snap-beyond-log", message));
        return;
    }
    let mut remembered = log.snapshots.iter();
    let known =
        remembered.any(|record| record.index == snap.place.index && record.term == snap.place.term);
    if !known {
        let message = format!("the write-ahead log does not know of {name}: etcd passes it over");
        findings.push(Finding::warning("snap-unknown", message));
    }
}

fn identity<D>(inspection: &Inspection<D>, options: &Options, findings: &mut Vec<Finding>) {
    if let (Some(found), Some(expected)) = (inspection.node_id, options.node_id)
        && found != expected
    {
        let message = format!("the directory is that of member {found}, not of {expected}");
        findings.push(Finding::error("foreign-member", message));
    }
    if let (Some(found), Some(expected)) = (inspection.cluster_id, options.cluster_id)
        && found != expected
    {
        let message = format!("the directory belongs to cluster {found}, not to {expected}");
        findings.push(Finding::error("foreign-cluster", message));
    }
    if let (Some(id), Some(voters), Some(learners)) =
        (inspection.node_id, &inspection.voters, &inspection.learners)
        && !voters.contains(&id)
        && !learners.contains(&id)
    {
        let message = format!("member {id} is no member of its cluster any more");
        findings.push(Finding::warning("removed-member", message));
    }
}

fn access<D>(inspection: &Inspection<D>, findings: &mut Vec<Finding>) {
    let open = |mode: &str| u32::from_str_radix(mode, 8).is_ok_and(|mode| mode & 0o077 != 0);
    if let Some(first) = inspection.files.first() {
        if open(&first.mode) {
            let message = format!(
                "{} has mode {}: others than its owner get in; etcd makes it 0700",
                first.path.display(),
                first.mode
            );
            findings.push(Finding::warning("open-directory", message));
        }
        let mut files = inspection.files.iter();
        if let Some(other) = files.find(|file| file.uid != first.uid) {
            let message = format!(
                "{} belongs to user {}, and {} to user {}: etcd may not be able to write it",
                first.path.display(),
                first.uid,
                other.path.display(),
                other.uid
            );
            findings.push(Finding::warning("mixed-owners", message));
        }
    }
}
