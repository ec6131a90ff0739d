//! The first file of the log of a restored member.

use std::fs::{DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use super::Error;
use super::frame::{ENTRY, FrameWriter, METADATA, SNAPSHOT, STATE};
use super::segments::{file_name, segments};
use crate::datadir::membership::Membership;
use crate::datadir::raft::add_node;
use crate::datadir::raft::{ConfState, Entry, EntryKind, HardState, Metadata, SnapshotRecord};
use crate::id::MemberId;

/// The size to which etcd allocates a file of the log before it writes to it.
pub const SEGMENT_BYTES: u64 = 64_000_000;

/// The term in which a restored cluster begins.
pub(in crate::datadir) const FIRST_TERM: u64 = 1;

/// Whose bytes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Those of etcd 3.5 and 3.6, which every etcd from 3.4 to 3.7 reads: zero values are written.
    Classic,
}

/// Creates the log of the member `local` of a cluster that begins: one entry for each member, all committed, and a snapshot after them.
///
/// The directory (0700) and the file in it (0600, allocated to [`SEGMENT_BYTES`]) are made and flushed to the disk; the caller
/// publishes the directory by renaming a parent.
///
/// # Errors
/// If the directory holds a log, or the disk refuses.
pub fn create(
    dir: &Path,
    membership: &Membership,
    local: MemberId,
    style: Style,
) -> Result<PathBuf, Error> {
    let failed = |path: &Path, source| Error::Write {
        path: path.to_owned(),
        source,
    };
    let mut builder = DirBuilder::new();
    let created = builder.recursive(true).mode(0o700).create(dir);
    created.map_err(|source| failed(dir, source))?;
    if !segments(dir)?.is_empty() {
        return Err(Error::NotEmpty {
            path: dir.to_owned(),
        });
    }
    let path = dir.join(file_name(0, 0));
    let written = write_file(&path, &contents(membership, local, style));
    written.map_err(|source| failed(&path, source))?;
    let synced = File::open(dir).and_then(|dir| dir.sync_all());
    synced.map_err(|source| failed(dir, source))?;
    Ok(path)
}

fn write_file(path: &Path, contents: &[u8]) -> io::Result<()> {
    let mut options = File::options();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    allocate(&file)?;
    file.write_all(contents)?;
    file.sync_all()
}

/// Takes the space now, so that a full disk is noticed now; where a file system cannot, the length alone is set.
fn allocate(file: &File) -> io::Result<()> {
    let length = i64::try_from(SEGMENT_BYTES).expect("the size of a file of the log fits");
    match fallocate(file, FallocateFlags::empty(), 0, length) {
        Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINTR) => file.set_len(SEGMENT_BYTES),
        allocated => Ok(allocated?),
    }
}

fn contents(membership: &Membership, local: MemberId, style: Style) -> Vec<u8> {
    // There is one style so far: who adds another decides here what differs.
    let Style::Classic = style;
    let metadata = Metadata {
        node_id: local.0,
        cluster_id: membership.cluster_id.0,
    };
    let ids = membership.ids();
    let commit = ids.len() as u64;
    let state = HardState {
        term: FIRST_TERM,
        vote: ids.first().copied().unwrap_or_default(),
        commit,
    };
    let mut frames = FrameWriter::default();
    frames.checksum();
    frames.record(METADATA, &metadata.encode());
    frames.record(SNAPSHOT, &SnapshotRecord::default().encode());
    for (index, member) in (1..).zip(&membership.members) {
        let entry = Entry {
            index,
            term: FIRST_TERM,
            kind: EntryKind::ConfChange,
            data: add_node(member.id.0, member.to_json().as_bytes()),
        };
        frames.record(ENTRY, &entry.encode());
    }
    frames.record(STATE, &state.encode());
    let conf_state = ConfState {
        voters: ids,
        ..ConfState::default()
    };
    let snapshot = SnapshotRecord {
        index: commit,
        term: FIRST_TERM,
        conf_state: Some(conf_state),
    };
    frames.record(SNAPSHOT, &snapshot.encode());
    frames.finish()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::{Ending, read};
    use super::*;

    #[test]
    fn a_new_log_reads_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("member").join("wal");
        let membership = Membership::parse("a=http://a:1,b=http://b:1,c=http://c:1", "t").unwrap();
        let local = membership.member("b").unwrap().id;

        let path = create(&dir, &membership, local, Style::Classic).unwrap();
        let again = create(&dir, &membership, local, Style::Classic);

        assert!(matches!(again, Err(Error::NotEmpty { .. })));
        let file = path.metadata().unwrap();
        assert_eq!(
            (file.len(), file.permissions().mode() & 0o777),
            (64_000_000, 0o600)
        );
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        let facts = read(&dir).unwrap();
        assert_eq!(facts.node_id, Some(local));
        assert_eq!(facts.cluster_id, Some(membership.cluster_id));
        assert_eq!(facts.last.map(|last| (last.term, last.index)), Some((1, 3)));
        assert_eq!(facts.hard_state.map(|state| state.commit), Some(3));
        assert_eq!(facts.end.ending, Ending::Whole);
        let newest = facts.snapshots.last().unwrap();
        assert_eq!(newest.conf_state.as_ref().unwrap().voters, membership.ids());
    }
}
