//! The `.snap` file beside the database: where raft's log begins, and who the members were there.
//!
//! etcd up to 3.5 reads the members from the store of its second API in it, 3.6 reads the file, and 3.7 only writes it.

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::json;
use super::membership::{Member, Membership};
use super::raft::{ConfState, EntryPlace, SnapshotRecord, each};
use super::wal::FIRST_TERM;
use crate::protobuf::{Garbled, Writer};

/// The longest file that is believed.
const LONGEST_FILE: u64 = 512 << 20;

/// Why a snapshot file could not be written or read.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The file or its directory could not be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// The file or its directory could not be written.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// The file is none, or was cut.
    #[error("{} is not a snapshot file of raft", .path.display())]
    Garbled { path: PathBuf },

    /// The data are not what was written.
    #[error("{} does not match its checksum", .path.display())]
    Checksum { path: PathBuf },

    /// The file is longer than any that etcd writes.
    #[error("{} is longer than 512 MiB", .path.display())]
    TooLong { path: PathBuf },
}

/// What a snapshot file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snap {
    /// The last entry that it stands for.
    pub place: EntryPlace,
    /// The members there.
    pub conf_state: ConfState,
    /// The store of etcd's second API, as JSON.
    pub store: Vec<u8>,
}

impl Snap {
    /// The same as the log would remember it.
    #[must_use]
    pub fn record(&self) -> SnapshotRecord {
        SnapshotRecord {
            index: self.place.index,
            term: self.place.term,
            conf_state: Some(self.conf_state.clone()),
        }
    }

    /// Whether clients' keys of the second API stand in it: 3.6 does not start on those.
    #[must_use]
    pub fn holds_second_api_keys(&self) -> bool {
        let store: serde_json::Value = serde_json::from_slice(&self.store).unwrap_or_default();
        let keys = store.pointer("/Root/Children/1/Children");
        let keys = keys.and_then(serde_json::Value::as_object);
        keys.is_some_and(|keys| !keys.is_empty())
    }

    fn encode(&self) -> Vec<u8> {
        let metadata = Writer::default().bytes(1, &self.conf_state.encode());
        let metadata = metadata.number(2, self.place.index);
        let metadata = metadata.number(3, self.place.term).finish();
        let snapshot = Writer::default().bytes(1, &self.store);
        let data = snapshot.bytes(2, &metadata).finish();
        let crc = u64::from(crc32c::crc32c(&data));
        Writer::default().number(1, crc).bytes(2, &data).finish()
    }
}

/// Creates the snapshot file of a cluster that begins, in `dir`, which exists; flushes it, and gives its path.
///
/// # Errors
/// If it exists, or the disk refuses.
pub fn create(dir: &Path, membership: &Membership) -> Result<PathBuf, Error> {
    let index = membership.members.len() as u64;
    let snap = Snap {
        place: EntryPlace {
            term: FIRST_TERM,
            index,
        },
        conf_state: ConfState {
            voters: membership.ids(),
            ..ConfState::default()
        },
        store: store(&membership.members).into_bytes(),
    };
    let path = dir.join(format!("{FIRST_TERM:016x}-{index:016x}.snap"));
    let mut options = File::options();
    let created = options.write(true).create_new(true).mode(0o644).open(&path);
    let written = created.and_then(|mut file| {
        // As etcd leaves it, whatever umask is set here.
        file.set_permissions(Permissions::from_mode(0o644))?;
        file.write_all(&snap.encode())?;
        file.sync_all()?;
        File::open(dir)?.sync_all()
    });
    match written {
        Ok(()) => Ok(path),
        Err(source) => Err(Error::Write { path, source }),
    }
}

/// Reads a snapshot file whole.
///
/// # Errors
/// If it is damaged or none, or the disk refuses.
pub fn read(path: &Path) -> Result<Snap, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    let mut file = file.take(LONGEST_FILE + 1);
    file.read_to_end(&mut bytes).map_err(failed)?;
    let path = || path.to_owned();
    if bytes.len() as u64 > LONGEST_FILE {
        return Err(Error::TooLong { path: path() });
    }
    let (crc, data) = decode_outer(&bytes).map_err(|Garbled| Error::Garbled { path: path() })?;
    if crc != u64::from(crc32c::crc32c(data)) {
        return Err(Error::Checksum { path: path() });
    }
    decode_inner(data).map_err(|Garbled| Error::Garbled { path: path() })
}

/// Lists the snapshot files in `dir`, the newest first, as etcd looks through them.
///
/// # Errors
/// If the directory cannot be read.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::Read {
        path: dir.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for file in fs::read_dir(dir).map_err(failed)? {
        let path = file.map_err(failed)?.path();
        if path.extension().is_some_and(|kind| kind == "snap") {
            found.push(path);
        }
    }
    found.sort();
    found.reverse();
    Ok(found)
}

/// The checksum and what it is over; etcd takes neither an empty snapshot nor a checksum of 0.
fn decode_outer(bytes: &[u8]) -> Result<(u64, &[u8]), Garbled> {
    let (mut crc, mut data) = (0, [].as_slice());
    each(bytes, |field, value| {
        match field {
            1 => crc = value.number()?,
            2 => data = value.bytes()?,
            _ => {}
        }
        Ok(())
    })?;
    match crc == 0 || data.is_empty() {
        true => Err(Garbled),
        false => Ok((crc, data)),
    }
}

fn decode_inner(data: &[u8]) -> Result<Snap, Garbled> {
    let (mut store, mut metadata) = ([].as_slice(), [].as_slice());
    each(data, |field, value| {
        match field {
            1 => store = value.bytes()?,
            2 => metadata = value.bytes()?,
            _ => {}
        }
        Ok(())
    })?;
    let mut snap = Snap {
        place: EntryPlace::default(),
        conf_state: ConfState::default(),
        store: store.to_vec(),
    };
    each(metadata, |field, value| {
        match field {
            1 => snap.conf_state = ConfState::decode(value.bytes()?)?,
            2 => snap.place.index = value.number()?,
            3 => snap.place.term = value.number()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(snap)
}

/// The store of etcd's second API with nothing but the members, as etcd writes it; statistics and old events may be left out.
fn store(members: &[Member]) -> String {
    let mut nodes = BTreeMap::new();
    for (index, member) in (1..).zip(members) {
        let path = format!("/0/members/{}", member.id);
        let attributes = Node {
            path: format!("{path}/raftAttributes"),
            index,
            value: member.raft_attributes(),
            children: None,
        };
        let children = BTreeMap::from([("raftAttributes".to_owned(), attributes.to_json())]);
        let node = Node::directory(path, index, children);
        nodes.insert(member.id.to_string(), node.to_json());
    }
    let members_node = Node::directory("/0/members".to_owned(), 1, nodes).to_json();
    let cluster = BTreeMap::from([("members".to_owned(), members_node)]);
    let cluster = Node::directory("/0".to_owned(), 0, cluster).to_json();
    let keys = Node::directory("/1".to_owned(), 0, BTreeMap::new()).to_json();
    let children = BTreeMap::from([("0".to_owned(), cluster), ("1".to_owned(), keys)]);
    let root = Node::directory("/".to_owned(), 0, children).to_json();
    let index = members.len();
    format!("{{\"Root\":{root},\"CurrentIndex\":{index},\"CurrentVersion\":2}}")
}

/// A key or directory of that store.
struct Node {
    path: String,
    index: u64,
    value: String,
    /// The children of a directory by their names, as JSON.
    children: Option<BTreeMap<String, String>>,
}

impl Node {
    fn directory(path: String, index: u64, children: BTreeMap<String, String>) -> Self {
        Self {
            path,
            index,
            value: String::new(),
            children: Some(children),
        }
    }

    fn to_json(&self) -> String {
        let children = self.children.as_ref().map(|children| {
            let children = children.iter();
            let pairs = children.map(|(name, node)| format!("{}:{node}", json::string(name)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
        });
        format!(
            "{{\"Path\":{},\"CreatedIndex\":{index},\"ModifiedIndex\":{index},\
             \"ExpireTime\":\"0001-01-01T00:00:00Z\",\"Value\":{},\"Children\":{}}}",
            json::string(&self.path),
            json::string(&self.value),
            children.as_deref().unwrap_or("null"),
            index = self.index,
        )
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn membership() -> Membership {
        Membership::parse("a=http://a:1,b=http://b:1,c=http://c:1", "t").unwrap()
    }

    fn snap(voters: Vec<u64>, place: EntryPlace, store: Vec<u8>) -> Snap {
        Snap {
            place,
            conf_state: ConfState {
                voters,
                ..ConfState::default()
            },
            store,
        }
    }

    #[test]
    fn a_new_snapshot_file_reads_back_and_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = create(dir.path(), &membership()).unwrap();

        assert!(matches!(
            create(dir.path(), &membership()),
            Err(Error::Write { .. })
        ));
        assert_eq!(
            path.file_name().unwrap(),
            "0000000000000001-0000000000000003.snap"
        );
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(list(dir.path()).unwrap(), std::slice::from_ref(&path));
        let snap = read(&path).unwrap();
        assert_eq!(snap.place, EntryPlace { term: 1, index: 3 });
        assert_eq!(snap.conf_state.voters, membership().ids());
        let store: serde_json::Value = serde_json::from_slice(&snap.store).unwrap();
        let members = store["Root"]["Children"]["0"]["Children"]["members"]["Children"].as_object();
        assert_eq!(members.unwrap().len(), 3);
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = create(dir.path(), &membership()).unwrap();
        let whole = fs::read(&path).unwrap();
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(read(&path).is_err(), "cut at {end}");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::write(&path, &bytes).unwrap();
            assert!(read(&path).is_err(), "flipped in {at}");
        }
    }

    proptest! {
        #[test]
        fn snapshot_files_survive_the_round_trip(
            voters: Vec<u64>,
            term: u64,
            index: u64,
            store: Vec<u8>,
        ) {
            let snap = snap(voters, EntryPlace { term, index }, store);
            let bytes = snap.encode();
            let (_, data) = decode_outer(&bytes).unwrap();
            prop_assert_eq!(decode_inner(data).unwrap(), snap);
        }

        #[test]
        fn any_bytes_are_a_snapshot_or_refused(bytes: Vec<u8>) {
            let _ = decode_outer(&bytes);
            let _ = decode_inner(&bytes);
        }
    }
}
