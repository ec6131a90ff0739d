//! What is known of a cluster before its upgrade.

use std::path::PathBuf;

use super::{Minor, Settings};
use crate::backend::AlarmKind;
use crate::certs::check::Subject;
use crate::datadir::wal::SecondApi;
use crate::id::MemberId;
use crate::manifest::Finding;

/// What is known of a cluster before its upgrade, from wherever it could be learnt.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// The members that answer.
    pub live: Vec<Live>,
    /// How members are started.
    pub settings: Vec<Settings>,
    /// What members' directories say.
    pub data: Vec<Data>,
    /// Snapshots that are to be restored with the new version.
    pub snapshots: Vec<Snapshot>,
    /// The certificates of members whose files lie here.
    pub certificates: Subject,
    /// Whether clients have to log in.
    pub auth: bool,
    /// What could not be looked at, and what was found while looking.
    pub findings: Vec<Finding>,
}

/// A member that answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Live {
    /// Its name and where it was asked.
    pub member: String,
    /// Its id.
    pub member_id: MemberId,
    /// The version that it runs, as it says it.
    pub version: String,
    /// The version of its database's schema, since 3.6.
    pub storage_version: Option<Minor>,
    /// Whether it knows a leader.
    pub has_leader: bool,
    /// Whether it has no vote.
    pub is_learner: bool,
    /// The alarms that it knows.
    pub alarms: Vec<AlarmKind>,
    /// The size of its database.
    pub db_size_bytes: u64,
}

/// What a member's directory says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Data {
    /// The directory.
    pub path: PathBuf,
    /// The member whose it is.
    pub member_id: Option<MemberId>,
    /// The requests of the second API that a start replays; `None` where the log could not be read.
    pub second_api: Option<SecondApi>,
    /// The snapshot file of raft that holds clients' keys of the second API.
    pub second_api_keys: Option<PathBuf>,
    /// The version of the database's schema, where the database could be read and has one.
    pub storage_version: Option<Minor>,
    /// The cluster's version, where the database could be read.
    pub cluster_version: Option<Minor>,
    /// How many members only learn, by the log.
    pub learners: usize,
    /// Members that the database takes for learners and the log for voters.
    pub stale_learners: Vec<MemberId>,
}

/// A snapshot that is to be restored with the new version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The file, or the backup's id.
    pub name: String,
    /// The version of its schema; `None` before 3.6.
    pub storage_version: Option<Minor>,
}

impl Facts {
    /// The version that the cluster runs: the oldest of the members that answer, else what the databases say.
    #[must_use]
    pub fn version(&self) -> Option<Minor> {
        let live = self.live.iter();
        let live = live.filter_map(|one| Minor::of_version(&one.version));
        let stored = self.data.iter();
        let stored = stored.filter_map(|one| one.cluster_version.or(one.storage_version));
        live.min().or_else(|| stored.min())
    }

    /// How many members only learn, as far as anybody says.
    pub(super) fn learners(&self) -> usize {
        let live = self.live.iter().filter(|one| one.is_learner).count();
        let stored = self.data.iter().map(|one| one.learners);
        stored.max().unwrap_or_default().max(live)
    }

    /// Whether nothing at all is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let files = self.settings.len() + self.data.len() + self.snapshots.len();
        files + self.live.len() == 0
    }
}
