//! What a member's directory on a disk says, read without starting anything and without changing anything.

mod files;
mod judge;
mod report;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::{snap, wal};
use crate::id::{ClusterId, MemberId};
use crate::manifest::Finding;

pub use files::is_held;
pub use report::{FileFacts, Inspection, LogFacts, SnapFacts};

/// Why a directory could not be inspected at all; anything less is a finding.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// There is no such directory, or no right to look into it.
    #[error("cannot read data directory {}", .path.display())]
    DataDir { path: PathBuf, source: io::Error },
}

/// Where to look, and what to expect there.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The directory of the log, where etcd runs with `--wal-dir`.
    pub wal_dir: Option<PathBuf>,
    /// The member that the directory should be of.
    pub node_id: Option<MemberId>,
    /// The cluster that it should belong to.
    pub cluster_id: Option<ClusterId>,
}

/// Inspects `data_dir`, as etcd's `--data-dir` names it.
///
/// `read_database` is shown the path of the database and tells what it holds, or what is wrong with it. It is called only where the
/// database exists and no process holds it: bbolt's own tools wait for ever where one does.
///
/// # Errors
/// If the directory is not there or cannot be looked into.
pub fn inspect<D>(
    data_dir: &Path,
    options: &Options,
    read_database: impl FnOnce(&Path) -> Result<D, Finding>,
) -> Result<Inspection<D>, Error> {
    let failed = |source| Error::DataDir {
        path: data_dir.to_owned(),
        source,
    };
    std::fs::read_dir(data_dir).map_err(failed)?;
    let member = data_dir.join("member");
    let snap_dir = member.join("snap");
    let wal_dir = options.wal_dir.clone();
    let wal_dir = wal_dir.unwrap_or_else(|| member.join("wal"));
    let db = snap_dir.join("db");
    let mut findings = Vec::new();

    let log = read_log(&wal_dir, &mut findings);
    let snap = read_snap(&snap_dir, &mut findings);
    let held = held(&db, &mut findings);
    let database = match held {
        Some(false) => read_database(&db).map_err(|f| findings.push(f)).ok(),
        _ => None,
    };
    let files = files::list(&[data_dir, &member, &wal_dir, &snap_dir], &mut findings);
    let record = snap.as_ref().map(|(_, snap)| snap.record());
    let members = log.as_ref().and_then(|log| log.members(record.as_ref()));
    let mut inspection = Inspection {
        data_dir: data_dir.to_owned(),
        wal_dir,
        node_id: log.as_ref().and_then(|log| log.node_id),
        cluster_id: log.as_ref().and_then(|log| log.cluster_id),
        log: log.as_ref().map(LogFacts::of),
        snap: snap.map(|(path, snap)| SnapFacts::of(path, &snap)),
        voters: members.as_ref().map(|members| report::ids(&members.voters)),
        learners: members.map(|members| report::ids(&members.learners)),
        database_held: held,
        database,
        free_bytes: files::free_bytes(data_dir),
        files,
        findings,
    };
    let judged = judge::judge(&inspection, log.as_ref(), options);
    inspection.findings.extend(judged);
    Ok(inspection)
}

fn read_log(wal_dir: &Path, findings: &mut Vec<Finding>) -> Option<wal::Facts> {
    match wal::read(wal_dir) {
        Ok(facts) => Some(facts),
        Err(wal::Error::NoFile { path }) => {
            let message = format!(
                "{} holds no write-ahead log: etcd would start an empty member or a new cluster here",
                path.display()
            );
            findings.push(Finding::error("no-wal", message));
            None
        }
        Err(wal::Error::Read { path, source }) if source.kind() == io::ErrorKind::NotFound => {
            let message = format!(
                "there is no write-ahead log at {}: etcd would start an empty member or a new cluster here",
                path.display()
            );
            findings.push(Finding::error("no-wal", message));
            None
        }
        Err(error) => {
            findings.push(Finding::error("wal-unreadable", chain(&error)));
            None
        }
    }
}

/// The newest snapshot file that is whole, as etcd looks for it.
fn read_snap(snap_dir: &Path, findings: &mut Vec<Finding>) -> Option<(PathBuf, snap::Snap)> {
    // No directory means no database either, and that is said.
    for path in snap::list(snap_dir).unwrap_or_default() {
        match snap::read(&path) {
            Ok(snap) => return Some((path, snap)),
            Err(error) => findings.push(Finding::error("snap-damaged", chain(&error))),
        }
    }
    None
}

/// Whether a process holds the database; `None` where there is none, or nobody can say.
fn held(db: &Path, findings: &mut Vec<Finding>) -> Option<bool> {
    match is_held(db) {
        Ok(held) => Some(held),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = format!("there is no database at {}", db.display());
            findings.push(Finding::error("no-database", message));
            None
        }
        Err(error) => {
            let message = format!("cannot open {}: {error}", db.display());
            findings.push(Finding::error("database-unreadable", message));
            None
        }
    }
}

/// An error with what caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}
