//! What the members say of the revision that was backed up, held against what they streamed.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::codec::Encoded;
use crate::etcd::{self, Access, Member, MemberHash, MemberStatus, disagreements};
use crate::id::Revision;
use crate::manifest::{Finding, HashKv};
use crate::progress::told;

/// A hash is computed over the whole store: a large one takes a while.
const HASHING: Duration = Duration::from_mins(1);
/// How long a member may take to show that it answers at all.
const ANSWERING: Duration = Duration::from_secs(5);
/// How long another member may take to reach the revision.
const CATCHING_UP: Duration = Duration::from_secs(3);

/// What was learnt.
pub(super) struct Proof {
    pub(super) hashkv: Option<HashKv>,
    pub(super) findings: Vec<Finding>,
}

/// Asks the member that was backed up and all others of its cluster for their hash at the snapshot's revision, and holds
/// it against the hash of what was streamed.
pub(super) async fn prove(
    access: &Access,
    status: &MemberStatus,
    members: &[MemberStatus],
    snapshot: &Encoded,
) -> Proof {
    let revision = snapshot.plain.facts.revision;
    let others = members.iter().filter(|other| {
        other.cluster_id == status.cluster_id
            && other.member_id != status.member_id
            && !other.is_learner
    });
    let hashes = others.map(|other| async {
        let hashkv = hash(access, &other.endpoint, revision).await?;
        Ok::<_, etcd::Error>(MemberHash {
            member: other.label(),
            hashkv,
        })
    });
    let (ours, others) = tokio::join!(hash(access, &status.endpoint, revision), join_all(hashes));
    let mut findings = Vec::new();
    let ours = match ours {
        Ok(ours) => Some(ours),
        Err(error) => {
            let message = format!("the member's own hash of its data could not be had: {error}");
            findings.push(Finding::warning("no-hashkv", message));
            None
        }
    };
    let others: Vec<MemberHash> = others.into_iter().flatten().collect();
    if let Some(ours) = &ours {
        findings.extend(disagreements(ours, &others).into_iter().map(|other| {
            let message = format!(
                "{} holds other data than {} at revision {revision}: hash {:08x} against {:08x}; one of them is corrupt",
                other.member,
                status.label(),
                other.hashkv.hash,
                ours.hash
            );
            Finding::error("members-disagree", message)
        }));
    }
    let hashkv = match &snapshot.deep {
        Ok(surveyed) => {
            let comparable = ours.filter(|ours| surveyed.can_hash_as(ours.compact_revision));
            let compacted = comparable.map(|ours| ours.compact_revision);
            let streamed = surveyed.hashkv(Some(revision), compacted).ok();
            findings.extend(differs(streamed.as_ref(), comparable.as_ref(), status));
            streamed
        }
        Err(error) => {
            let message = format!(
                "{} streamed a database that is not sound: {}; it is kept as it came",
                status.label(),
                told(error)
            );
            findings.push(Finding::error("database", message));
            ours
        }
    };
    Proof { hashkv, findings }
}

/// What was streamed, held against what the same member says that it serves.
fn differs(
    streamed: Option<&HashKv>,
    ours: Option<&HashKv>,
    status: &MemberStatus,
) -> Option<Finding> {
    let (streamed, ours) = (streamed?, ours?);
    if streamed.hash == ours.hash {
        return None;
    }
    let message = format!(
        "the snapshot's records have the hash {:08x} at revision {}, {} itself says {:08x}: it streamed other data than it serves",
        streamed.hash,
        streamed.revision,
        status.label(),
        ours.hash
    );
    Some(Finding::error("snapshot-differs", message))
}

async fn hash(access: &Access, endpoint: &str, revision: Revision) -> Result<HashKv, etcd::Error> {
    let member = access.member(endpoint, ANSWERING).await?;
    // A member that hangs by now is not waited for as long as a hash may take.
    member.local_revision().await?;
    hash_when_there(&member.patient(HASHING), revision).await
}

/// Asks again while the member has not reached the revision yet.
async fn hash_when_there(member: &Member, revision: Revision) -> Result<HashKv, etcd::Error> {
    let give_up = Instant::now() + CATCHING_UP;
    loop {
        match member.hashkv(revision).await {
            Err(error) if Instant::now() < give_up && error.to_string().contains("future") => {
                sleep(Duration::from_millis(100)).await;
            }
            answer => return answer,
        }
    }
}
