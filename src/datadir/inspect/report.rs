//! The answer of an inspection.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::datadir::raft::{EntryPlace, HardState};
use crate::datadir::snap::Snap;
use crate::datadir::wal::{Damage, Ending, Facts, Gap};
use crate::id::{ClusterId, MemberId};
use crate::manifest::Finding;

/// What a member's directory says; `D` is what its database says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection<D> {
    /// The directory.
    pub data_dir: PathBuf,
    /// The directory of its log.
    pub wal_dir: PathBuf,
    /// The member whose directory it is, by its log.
    pub node_id: Option<MemberId>,
    /// The cluster of that member.
    pub cluster_id: Option<ClusterId>,
    /// The log, where there is one.
    pub log: Option<LogFacts>,
    /// The newest snapshot file that is whole.
    pub snap: Option<SnapFacts>,
    /// The voting members after the last entry of the log, committed or not, where they are known.
    pub voters: Option<Vec<MemberId>>,
    /// The members that only learn, likewise.
    pub learners: Option<Vec<MemberId>>,
    /// Whether a process holds the database; absent where there is none.
    pub database_held: Option<bool>,
    /// What the database says, unless a process holds it.
    pub database: Option<D>,
    /// The free space of the file system, as far as this user may take it.
    pub free_bytes: Option<u64>,
    /// The directories and what is in them.
    pub files: Vec<FileFacts>,
    /// What is wrong or worth a look.
    pub findings: Vec<Finding>,
}

/// What a log comes to, as far as its checksums hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFacts {
    /// How many files it has.
    pub files: usize,
    /// The first entry that is still there.
    pub first: Option<EntryPlace>,
    /// What it reaches to: of several copies the one with the highest is the best.
    pub last: Option<EntryPlace>,
    /// The last hard state.
    pub hard_state: Option<HardState>,
    /// The newest snapshot that it remembers.
    pub snapshot: Option<EntryPlace>,
    /// How it ends.
    pub ending: String,
    /// What is wrong at its end, if it is damaged.
    pub damage: Option<Damage>,
    /// The file in which it ends.
    pub end_file: PathBuf,
    /// Where in that file.
    pub end_offset_bytes: u64,
    /// How much lies behind that is not zero.
    pub leftover_bytes: u64,
    /// The entries that are missing in the middle.
    pub missing: Option<Gap>,
}

impl LogFacts {
    pub(super) fn of(facts: &Facts) -> Self {
        let (ending, damage) = match facts.end.ending {
            Ending::Whole => ("whole", None),
            Ending::Torn => ("torn", None),
            Ending::Damaged(damage) => ("damaged", Some(damage)),
        };
        let newest = facts.snapshots.iter().max_by_key(|record| record.index);
        Self {
            files: facts.files,
            first: facts.first,
            last: facts.last,
            hard_state: facts.hard_state,
            snapshot: newest.map(|record| EntryPlace {
                term: record.term,
                index: record.index,
            }),
            ending: ending.to_owned(),
            damage,
            end_file: facts.end.file.clone(),
            end_offset_bytes: facts.end.offset,
            leftover_bytes: facts.end.leftover_bytes,
            missing: facts.gap,
        }
    }
}

/// What a snapshot file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapFacts {
    /// Where it lies.
    pub path: PathBuf,
    /// The last entry that it stands for.
    pub place: EntryPlace,
    /// The voting members there.
    pub voters: Vec<MemberId>,
}

impl SnapFacts {
    pub(super) fn of(path: PathBuf, snap: &Snap) -> Self {
        Self {
            path,
            place: snap.place,
            voters: ids(&snap.conf_state.voters),
        }
    }
}

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Where it lies.
    pub path: PathBuf,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Its length.
    pub size_bytes: u64,
    /// What it takes of the disk.
    pub allocated_bytes: u64,
    /// Its mode, as `chmod` takes it: `0700`.
    pub mode: String,
    /// The user who owns it.
    pub uid: u32,
    /// The group that owns it.
    pub gid: u32,
}

pub(super) fn ids(ids: &[u64]) -> Vec<MemberId> {
    ids.iter().copied().map(MemberId).collect()
}
