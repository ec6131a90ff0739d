//! Everything that a cluster could be brought back from, the best first: pure.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::directory::{Data, data, is_whole, label, restartable, voters};
use super::observation::{Backup, Class, Member, Observation};
use crate::id::{BackupId, ClusterId, Revision};

/// Where the data come from, in the order in which they are preferred.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// The members' own directories: they are started again, and nothing is lost.
    Restart {
        /// Who can be started.
        members: Vec<String>,
    },
    /// The snapshot of a member that runs.
    Live {
        /// Its name.
        member: String,
    },
    /// The directory of a member that does not run, log and all.
    Salvage {
        /// Its name.
        member: String,
    },
    /// The database of a member whose log is of no use.
    Database {
        /// Its name.
        member: String,
    },
    /// A backup of the repository.
    Backup {
        /// Which one.
        id: BackupId,
    },
}

/// Something that a cluster could be brought back from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Where the data come from.
    pub source: Source,
    /// Its newest revision; of a directory that of its database, and what stands only in its log comes on top.
    pub revision: Option<Revision>,
    /// The term of its last raft entry.
    pub term: Option<u64>,
    /// The index of its last raft entry.
    pub index: Option<u64>,
    /// When a backup was taken; the rest is of now.
    pub taken_at: Option<DateTime<Utc>>,
    /// When a backup was last found to be sound.
    pub verified_at: Option<DateTime<Utc>>,
    /// How many raft entries the one that reaches furthest has more. Every write is an entry, and so are a few other things.
    pub lost_entries: Option<u64>,
    /// How many revisions the one with the highest has more, as far as revisions are known.
    pub lost_revisions: Option<i64>,
    /// How much older a backup is than the observation, in milliseconds.
    pub age_ms: Option<i64>,
    /// Why it cannot be used as it is.
    pub unusable: Option<String>,
}

impl Candidate {
    /// Whether it can be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.unusable.is_none()
    }

    /// Whether it is a backup of another cluster, whose revisions and entries cannot be compared with ours.
    fn is_of_another_cluster(&self) -> bool {
        matches!(self.source, Source::Backup { .. }) && self.index.is_none()
    }
}

/// All candidates, the best first: restart, live survivors, salvage, databases, backups; within each the one that knows most.
///
/// What cannot be used stands behind, with the reason. Blank members never count: they would bring back nothing.
#[must_use]
pub fn rank(observation: &Observation) -> Vec<Candidate> {
    let cluster = observation.cluster_id();
    let mut candidates: Vec<Candidate> = restart(observation).into_iter().collect();
    candidates.extend(
        voters(observation)
            .iter()
            .filter_map(|member| of_member(member)),
    );
    let backups = observation.backups.iter();
    candidates.extend(backups.map(|backup| of_backup(backup, cluster, observation.at)));
    let furthest = candidates.iter().filter_map(|one| one.index).max();
    let highest = highest_revision(&candidates);
    for candidate in &mut candidates {
        if matches!(candidate.source, Source::Restart { .. }) || candidate.is_of_another_cluster() {
            continue;
        }
        let lost = furthest.zip(candidate.index);
        candidate.lost_entries = lost.map(|(best, own)| best.saturating_sub(own));
        let lost = highest.zip(candidate.revision);
        candidate.lost_revisions = lost.map(|(best, own)| best.0.saturating_sub(own.0));
    }
    candidates.sort_by_key(order);
    candidates
}

/// The highest revision of all that is left of this cluster.
pub(super) fn highest_revision(candidates: &[Candidate]) -> Option<Revision> {
    let known = candidates.iter().filter(|one| !one.is_of_another_cluster());
    known.filter_map(|one| one.revision).max()
}

type Order = (bool, u8, bool, std::cmp::Reverse<(u64, u64, i64)>);

fn order(candidate: &Candidate) -> Order {
    let kind = match candidate.source {
        Source::Restart { .. } => 0,
        Source::Live { .. } => 1,
        Source::Salvage { .. } => 2,
        Source::Database { .. } => 3,
        Source::Backup { .. } => 4,
    };
    let reach = match (&candidate.source, candidate.taken_at) {
        // Of backups the newest, whatever its revision: after a restore revisions begin again lower.
        (Source::Backup { .. }, Some(at)) => (0, 0, at.timestamp_millis()),
        (Source::Live { .. }, _) => (
            0,
            candidate.index.unwrap_or(0),
            candidate.revision.map_or(0, |revision| revision.0),
        ),
        _ => (
            candidate.term.unwrap_or(0),
            candidate.index.unwrap_or(0),
            candidate.revision.map_or(0, |revision| revision.0),
        ),
    };
    let unproven = kind == 4 && candidate.verified_at.is_none();
    (
        !candidate.is_usable(),
        kind,
        unproven,
        std::cmp::Reverse(reach),
    )
}

fn blank(source: Source) -> Candidate {
    Candidate {
        source,
        revision: None,
        term: None,
        index: None,
        taken_at: None,
        verified_at: None,
        lost_entries: None,
        lost_revisions: None,
        age_ms: None,
        unusable: None,
    }
}

fn restart(observation: &Observation) -> Option<Candidate> {
    let members: Vec<String> = restartable(observation)
        .iter()
        .map(|member| label(member))
        .collect();
    let need = observation.quorum.need;
    (need > 0 && members.len() >= need).then(|| Candidate {
        lost_entries: Some(0),
        lost_revisions: Some(0),
        ..blank(Source::Restart { members })
    })
}

fn of_member(member: &Member) -> Option<Candidate> {
    match member.class {
        Class::Ok | Class::NoLeader => return Some(live(member)),
        Class::Starting | Class::Hung | Class::Dead => {}
        Class::Unreachable | Class::Learner | Class::Foreign | Class::Refused => return None,
    }
    let name = label(member);
    let directory = member.node.as_ref()?.directory.as_ref()?;
    let database = directory.database.as_ref();
    let contents = database.map(|database| &database.contents);
    let last = directory.log.as_ref().and_then(|log| log.last);
    // Where a process holds it, that is stopped first, as everything is before a restore.
    let mut candidate = blank(Source::Salvage {
        member: name.clone(),
    });
    candidate.revision = database.map(|database| database.revision);
    match data(member) {
        Data::Intact | Data::Cut(_) if is_whole(member) => {
            candidate.term = last.map(|last| last.term);
            candidate.index = last.map(|last| last.index);
        }
        // With a log on which etcd will not come up, or did not.
        found @ (Data::Intact | Data::Cut(_) | Data::Damaged(_)) => {
            candidate.source = Source::Database { member: name };
            candidate.term = contents.and_then(|contents| contents.term);
            candidate.index = contents.and_then(|contents| contents.consistent_index);
            if let (Data::Damaged(problems), None) = (found, database) {
                candidate.unusable = Some(problems.join("; "));
            }
        }
        Data::Stale(why) => {
            candidate.term = last.map(|last| last.term);
            candidate.index = last.map(|last| last.index);
            candidate.unusable = Some(why);
        }
        Data::Blank | Data::Unseen => return None,
    }
    Some(candidate)
}

fn live(member: &Member) -> Candidate {
    let status = member.status.as_ref();
    Candidate {
        revision: status.map(|status| status.revision),
        term: status.map(|status| status.raft_term),
        // A snapshot holds what was applied.
        index: status.map(|status| status.applied_index),
        unusable: status.is_none().then(|| {
            "it answers nobody whom it does not know: a snapshot takes a client certificate with CN=root, or a token from before"
                .to_owned()
        }),
        ..blank(Source::Live {
            member: label(member),
        })
    }
}

fn of_backup(backup: &Backup, cluster: Option<ClusterId>, now: DateTime<Utc>) -> Candidate {
    let same = cluster.is_none_or(|cluster| cluster == backup.cluster_id);
    Candidate {
        revision: Some(backup.revision),
        // Another cluster counts its entries anew.
        index: same.then_some(backup.raft_index),
        taken_at: Some(backup.started_at),
        verified_at: backup.verified_at,
        age_ms: Some((now - backup.started_at).num_milliseconds()),
        ..blank(Source::Backup {
            id: backup.id.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
