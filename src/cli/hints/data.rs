//! The part of the table that is about snapshots, databases and data directories.

use etcdrx::datadir::{build, edit, inspect, membership};
use etcdrx::{backend, restore, source};

use super::super::failure::Exit;
use super::verify_exit;

pub(super) fn source_exit(error: &source::Error) -> (Exit, &'static str) {
    match error {
        source::Error::Read { .. } => (
            Exit::Usage,
            "a source is a snapshot file, a member's db file, a backup id, or `latest`",
        ),
        source::Error::Directory { .. } => (
            Exit::Usage,
            "a member's database is member/snap/db in its data directory",
        ),
        source::Error::TrailerMismatch { .. } => (
            Exit::Damaged,
            "use another snapshot; this one was changed, or cut and filled up, after etcd streamed it",
        ),
        source::Error::Database { .. } => (
            Exit::Damaged,
            "use another snapshot; `etcdrx list` shows which backups were verified",
        ),
        source::Error::NotThere { .. } => (
            Exit::Usage,
            "`etcdrx snapshot status` tells which revisions it holds",
        ),
        source::Error::Spool { .. } => (
            Exit::Failed,
            "a backup's database is put there while it is read; --temp-dir names a directory with more room",
        ),
        source::Error::Backup { source } => verify_exit(source),
        source::Error::DamagedBackup { .. } => (
            Exit::Damaged,
            "use another backup; `etcdrx list` shows which were verified",
        ),
    }
}

pub(super) fn membership_exit(_: &membership::Error) -> (Exit, &'static str) {
    (
        Exit::Usage,
        "nothing was written; --initial-cluster looks like m1=https://10.0.0.10:2380,m2=https://10.0.0.11:2380",
    )
}

pub(super) fn restore_exit(error: &restore::Error) -> (Exit, &'static str) {
    match error {
        restore::Error::Read { .. } => (
            Exit::Usage,
            "a source is a snapshot file, a backup id, or `latest`",
        ),
        restore::Error::NoTrailer { .. } => (
            Exit::Refused,
            "a copied database may lack what only the log has, and may be torn: take a snapshot, or insist with --skip-hash-check",
        ),
        restore::Error::TrailerMismatch { .. } => (
            Exit::Damaged,
            "nothing was restored; use another snapshot: this one was changed after etcd streamed it",
        ),
        restore::Error::Backup { source } => verify_exit(source),
        restore::Error::Damaged { .. } => (
            Exit::Damaged,
            "nothing was restored; `etcdrx list` shows which backups were verified",
        ),
        restore::Error::Database { source }
        | restore::Error::Edit {
            source: edit::Error::Read { source },
        } => database_exit(source),
        restore::Error::Write { .. } => (
            Exit::Failed,
            "nothing was restored, and nothing is left behind; is the disk full?",
        ),
        restore::Error::Edit { source } => edit_exit(source),
        restore::Error::Build { source } => build_exit(source),
    }
}

pub(super) fn database_exit(error: &backend::Error) -> (Exit, &'static str) {
    match error {
        backend::Error::Future { .. } | backend::Error::Compacted { .. } => (
            Exit::Usage,
            "nothing was restored; `etcdrx snapshot status` tells which revisions it holds",
        ),
        _ => (
            Exit::Damaged,
            "nothing was restored; use another snapshot or backup",
        ),
    }
}

fn edit_exit(error: &edit::Error) -> (Exit, &'static str) {
    match error {
        edit::Error::BumpTooFar { .. } => (
            Exit::Usage,
            "nothing was restored; --bump-revision auto takes a value that is safe",
        ),
        edit::Error::Read { source } => database_exit(source),
        edit::Error::Write { .. } | edit::Error::Replace { .. } => (
            Exit::Failed,
            "nothing was restored, and nothing is left behind; is the disk full?",
        ),
        edit::Error::NotNext { .. } => (Exit::Damaged, "nothing was restored"),
    }
}

fn build_exit(error: &build::Error) -> (Exit, &'static str) {
    match error {
        build::Error::NotEmpty { .. } | build::Error::NotADirectory { .. } => (
            Exit::Refused,
            "nothing was restored, nothing overwritten: name another directory, or move this one away",
        ),
        build::Error::Busy { .. } => (
            Exit::Refused,
            "nothing was restored; wait for the other one to end",
        ),
        build::Error::NoSpace { .. } => (
            Exit::Failed,
            "nothing was restored; free some space, or restore one member at a time",
        ),
        build::Error::Write { .. } | build::Error::Wal { .. } | build::Error::Snap { .. } => (
            Exit::Failed,
            "nothing was restored, and nothing is left behind",
        ),
    }
}

pub(super) fn inspect_exit(_: &inspect::Error) -> (Exit, &'static str) {
    (
        Exit::Usage,
        "a data directory is what etcd's --data-dir names; it holds `member`. Only its owner and root may look into it",
    )
}
