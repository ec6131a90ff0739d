//! What is known of a cluster at one moment: every probe's answer, before anybody judges it.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::id::{BackupId, ClusterId, Digest, MemberId, Revision};
use crate::manifest::{Finding, HashKv};
use crate::node::{CERTIFICATE_ENDED, Inspected};

/// What is known of a cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// When the probes began.
    pub at: DateTime<Utc>,
    /// Every member that anybody lists, and every node and endpoint of the configuration: one for each, in the order of their names.
    pub members: Vec<Member>,
    /// Whether a linearizable read succeeds, and through which member.
    pub quorum: Quorum,
    /// The clusters that answer, with the members that say so.
    pub clusters: BTreeMap<ClusterId, Vec<String>>,
    /// The hashes of the members that answer, all at one revision.
    pub hashes: Vec<MemberHash>,
    /// The alarms, as the members' status tells them.
    pub alarms: Vec<Alarm>,
    /// The backups of the repository, newest first.
    pub backups: Vec<Backup>,
    /// What went wrong while looking, or is worth a look.
    pub findings: Vec<Finding>,
}

/// A member, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name; empty where it never started and no node of the configuration has its peer URL.
    pub name: String,
    /// Its id in the list of members.
    pub id: Option<MemberId>,
    /// Where members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Where it was asked.
    pub endpoint: Option<String>,
    /// Whether the cluster lists it.
    pub listed: bool,
    /// Whether the list has its name: without, it was added and never started.
    pub started: bool,
    /// What the probes make of it.
    pub class: Class,
    /// Why, in words, with the texts of errors.
    pub because: Vec<String>,
    /// What it says of itself.
    pub status: Option<Status>,
    /// What its peer port says.
    pub peer: Peer,
    /// What was found on its node; absent where nobody could look.
    pub node: Option<Inspected>,
    /// Why nobody could look, if somebody tried.
    pub node_error: Option<String>,
}

/// What a member looks like from outside, and from its node where that can be seen (`recovery.md`: classes from probes).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Class {
    /// Answers and has a leader.
    Ok,
    /// Answers and knows no leader: a survivor, whose snapshot can be taken as long as it is not restarted.
    NoLeader,
    /// Its peer port answers, and its client port does not: started without a quorum, or about to be ready.
    Starting,
    /// Takes connections and says nothing.
    Hung,
    /// Nothing listens.
    Dead,
    /// No way there: it may be alive.
    Unreachable,
    /// Answers and has no vote.
    Learner,
    /// Belongs to another cluster.
    Foreign,
    /// It refuses us, or we it: TLS or a password, no disaster.
    Refused,
}

/// What a member says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Its id.
    pub member_id: MemberId,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// The version of etcd.
    pub version: String,
    /// Whom it takes for the leader.
    pub leader: Option<MemberId>,
    /// Its raft term.
    pub raft_term: u64,
    /// The last raft entry that it knows of.
    pub raft_index: u64,
    /// The last raft entry that it applied.
    pub applied_index: u64,
    /// Its newest revision.
    pub revision: Revision,
    /// The size of its database, free pages included.
    pub db_size_bytes: u64,
}

/// What a peer port says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Whether it answered `/members`; `None` where it was not asked.
    pub answers: Option<bool>,
    /// Its `X-Etcd-Cluster-ID`.
    pub cluster_id: Option<ClusterId>,
    /// Why it did not.
    pub error: Option<String>,
}

/// Whether there is a quorum.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quorum {
    /// How many voters the cluster has.
    pub voters: usize,
    /// How many of them a quorum needs.
    pub need: usize,
    /// How many of them are well.
    pub have: usize,
    /// Whether a linearizable read succeeded: the proof.
    pub reads: bool,
    /// The leader, where there is one.
    pub leader: Option<MemberId>,
}

/// The hash of one member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberHash {
    /// The member's name.
    pub member: String,
    /// Its id.
    pub member_id: MemberId,
    /// What it answered.
    pub hashkv: HashKv,
}

/// An alarm, as members tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// `NOSPACE` or `CORRUPT`.
    pub kind: String,
    /// For whom it was raised; a CORRUPT alarm often names a healthy member, or 0.
    pub member_id: MemberId,
}

/// A backup of the repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Which one.
    pub id: BackupId,
    /// The cluster that it was taken of.
    pub cluster_id: ClusterId,
    /// Its newest revision.
    pub revision: Revision,
    /// The last raft entry in it.
    pub raft_index: u64,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was last found to be sound.
    pub verified_at: Option<DateTime<Utc>>,
    /// The SHA-256 of the snapshot.
    pub snapshot_sha256: Digest,
    /// The version that wrote it.
    pub etcd_version: String,
    /// The size of its database.
    pub db_size_bytes: u64,
    /// Why it cannot be opened here, if it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub locked: Option<String>,
}

impl Member {
    /// Which of its certificates have ended, where somebody looked on its node: nobody takes it in with them.
    #[must_use]
    pub fn ended_certificates(&self) -> Vec<String> {
        let findings = self.node.iter().flat_map(|node| &node.findings);
        let ended = findings.filter(|finding| finding.code == CERTIFICATE_ENDED);
        ended
            .map(|finding| format!("{}: {}", self.name, finding.message))
            .collect()
    }
}

impl Observation {
    /// The member of this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        self.members.iter().find(|member| member.name == name)
    }

    /// The cluster that most members say they belong to; where none answers, that of a directory.
    #[must_use]
    pub fn cluster_id(&self) -> Option<ClusterId> {
        let most = self.clusters.iter().max_by_key(|(_, who)| who.len());
        let from_disk = || {
            self.members.iter().find_map(|member| {
                let node = member.node.as_ref()?;
                node.directory.as_ref()?.cluster_id
            })
        };
        most.map(|(id, _)| *id).or_else(from_disk)
    }

    /// The revisions of all databases that could be read on the nodes.
    pub fn directory_revisions(&self) -> impl Iterator<Item = Revision> + '_ {
        let nodes = self
            .members
            .iter()
            .filter_map(|member| member.node.as_ref());
        let directories = nodes.filter_map(|node| node.directory.as_ref());
        directories.filter_map(|directory| Some(directory.database.as_ref()?.revision))
    }

    /// The members of one class.
    pub fn of_class(&self, class: Class) -> impl Iterator<Item = &Member> {
        self.members
            .iter()
            .filter(move |member| member.class == class)
    }
}
