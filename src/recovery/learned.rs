//! What the steps of a recovery learn for those after them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::invariants::Invariant;
use super::plan::PlannedMember;
use crate::id::{ClusterId, Digest, MemberId, Revision};

/// What the steps of a recovery learn for those after them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Learned {
    /// The snapshot on this machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Snapshot>,
    /// By how much the revision is raised; 0 where it is left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bump: Option<i64>,
    /// The revision that the restored members begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision_after: Option<Revision>,
    /// The new cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<ClusterId>,
    /// The new ids of the members.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub member_ids: BTreeMap<String, MemberId>,
    /// The id that was taken out of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<MemberId>,
    /// What must hold, and whether it does.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub invariants: Vec<Invariant>,
}

/// A snapshot on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Where it lies.
    pub path: PathBuf,
    /// SHA-256 of the whole file.
    pub sha256: Digest,
    /// Its size.
    pub size_bytes: u64,
    /// Its newest revision.
    pub revision: Revision,
    /// Whether it has no trailer: a bare database.
    pub bare: bool,
}

impl Learned {
    /// The members of a plan, with the ids that they have by now.
    #[must_use]
    pub fn members(&self, planned: &[PlannedMember]) -> Vec<PlannedMember> {
        let members = planned.iter().map(|member| PlannedMember {
            id: self.member_ids.get(&member.name).copied().or(member.id),
            ..member.clone()
        });
        members.collect()
    }

    /// Takes in what another step learned; what is newer counts.
    pub fn take_in(&mut self, newer: Self) {
        self.snapshot = newer.snapshot.or(self.snapshot.take());
        self.bump = newer.bump.or(self.bump);
        self.revision_after = newer.revision_after.or(self.revision_after);
        self.cluster_id = newer.cluster_id.or(self.cluster_id);
        self.member_ids.extend(newer.member_ids);
        self.removed = newer.removed.or(self.removed);
        if !newer.invariants.is_empty() {
            self.invariants = newer.invariants;
        }
    }
}
