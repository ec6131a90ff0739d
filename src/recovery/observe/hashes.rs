//! Whether the members hold the same data: their hashes at one revision.

use std::time::Duration;

use futures_util::future::join_all;

use super::super::observation::MemberHash;
use super::gather::Gathered;
use crate::etcd::{Access, Error, Member, MemberStatus};
use crate::id::Revision;
use crate::manifest::{Finding, HashKv};

/// A hash takes a scan of the whole store: less time than this proves nothing.
const LEAST: Duration = Duration::from_millis(500);

/// The hashes, and what stood in their way.
#[derive(Default)]
pub(super) struct Compared {
    pub(super) hashes: Vec<MemberHash>,
    pub(super) findings: Vec<Finding>,
}

/// Asks all voters that answer for their hash at the lowest of their revisions.
///
/// Learners compute none. One voter alone has nobody to be compared with, and is not asked.
pub(super) async fn compare(access: &Access, gathered: &Gathered, left: Duration) -> Compared {
    let ours = super::sight::our_cluster(gathered);
    let mut voters: Vec<(&MemberStatus, &Member)> = Vec::new();
    for view in &gathered.views {
        if let (Ok(status), Some(member)) = (&view.status, &view.connection)
            && Some(status.cluster_id) == ours
            && !status.is_learner
            && !voters
                .iter()
                .any(|(known, _)| known.member_id == status.member_id)
        {
            voters.push((status, member));
        }
    }
    let lowest = voters.iter().map(|(status, _)| status.revision).min();
    let Some(revision) = lowest.filter(|_| voters.len() > 1) else {
        return Compared::default();
    };
    let mut compared = Compared::default();
    compared.findings.extend(strange_revisions(&voters).await);
    if left < LEAST {
        compared.untried("there was no time left");
        return compared;
    }
    let asked = voters.iter().map(|(status, member)| async move {
        (status, hash(access, member, revision, left).await)
    });
    for (status, answer) in join_all(asked).await {
        match answer {
            Ok(hashkv) => compared.hashes.push(MemberHash {
                member: name(gathered, status),
                member_id: status.member_id,
                hashkv,
            }),
            Err(error) => compared.untried(&error.to_string()),
        }
    }
    if !compared.tells() {
        compared.untried(
            "they differ at a revision that is compacted, where versions of etcd hash differently",
        );
    }
    compared
}

async fn hash(
    access: &Access,
    member: &Member,
    revision: Revision,
    left: Duration,
) -> Result<HashKv, Error> {
    match member.clone().patient(left).hashkv(revision).await {
        // A status is shown to everybody by some versions; a hash is not.
        Err(Error::NotAllowed { .. }) if access.has_user() => {
            let member = access.member(member.endpoint(), left).await?;
            member.hashkv(revision).await
        }
        answer => answer,
    }
}

/// Members that applied the same entries, and have different revisions: one of them began with other data.
async fn strange_revisions(voters: &[(&MemberStatus, &Member)]) -> Option<Finding> {
    let before: Vec<&MemberStatus> = voters.iter().map(|(status, _)| *status).collect();
    differing(&before)?;
    // Index and revision of one answer are not of one moment while writes run.
    let again = join_all(voters.iter().map(|(_, member)| member.status())).await;
    let again: Vec<MemberStatus> = again.into_iter().flatten().collect();
    let (one, other) = differing(&again.iter().collect::<Vec<_>>())?;
    let message = format!(
        "{} and {} both applied raft entry {}, and are at revision {} and {}: their data are not the same",
        one.endpoint, other.endpoint, one.applied_index, one.revision, other.revision
    );
    Some(Finding::error("revisions-differ", message))
}

fn differing<'a>(all: &[&'a MemberStatus]) -> Option<(&'a MemberStatus, &'a MemberStatus)> {
    all.iter().enumerate().find_map(|(at, one)| {
        let differs = |other: &&&MemberStatus| {
            other.applied_index == one.applied_index && other.revision != one.revision
        };
        all[at..].iter().find(differs).map(|other| (*one, *other))
    })
}

fn name(gathered: &Gathered, status: &MemberStatus) -> String {
    let lists = gathered.views.iter().flat_map(|view| &view.members);
    let named = lists.filter(|member| member.id == status.member_id && !member.name.is_empty());
    named
        .map(|member| member.name.clone())
        .next()
        .unwrap_or_else(|| status.member_id.to_string())
}

impl Compared {
    /// Equal hashes prove the same everywhere; different ones only behind the compaction.
    fn tells(&self) -> bool {
        let mut hashes = self.hashes.iter().map(|hash| &hash.hashkv);
        let behind = |hash: &HashKv| hash.revision > hash.compact_revision;
        let is_equal = hashes
            .clone()
            .all(|hash| hash.hash == self.hashes[0].hashkv.hash);
        is_equal || hashes.all(behind)
    }

    fn untried(&mut self, why: &str) {
        let message = format!("the members' data could not be compared: {why}");
        self.findings
            .push(Finding::warning("hash-untried", message));
    }
}
