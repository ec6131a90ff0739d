//! Which member to take a snapshot from: a pure function of what the members said.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Error;
use super::status::MemberStatus;
use crate::id::ClusterId;

/// A member whose applied index is this far behind the others' raft index has something to catch up.
///
/// The probes are not simultaneous: on a busy cluster some hundred entries pass between them.
const LAG: u64 = 1000;

/// A member that may be asked, and why it stands where it stands.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The member.
    pub status: MemberStatus,
    /// Why it was chosen, in words that follow "chosen: ".
    pub because: String,
}

/// A member that must not be asked, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Through which endpoint it answered.
    pub endpoint: String,
    /// Why not.
    pub why: String,
}

/// The members in the order in which they should be asked.
#[derive(Debug, Clone)]
pub struct Choice {
    /// The cluster that they belong to.
    pub cluster_id: ClusterId,
    /// Best first; at least one.
    pub candidates: Vec<Candidate>,
    /// The others.
    pub refused: Vec<Refused>,
}

/// Orders the members that answered.
///
/// `wanted` is `auto`, `leader`, or a member's name, id or endpoint. Never a candidate: a learner (etcd 3.4 hangs when
/// asked), a member with a CORRUPT alarm, one of another cluster, one that lags.
///
/// # Errors
/// If the members are of several clusters and none prevails, or nobody is left.
pub fn choose(wanted: &str, members: &[MemberStatus]) -> Result<Choice, Error> {
    let cluster_id = match wanted_cluster(wanted, members) {
        Some(id) => id,
        None => prevailing_cluster(members)?,
    };
    let newest = members
        .iter()
        .filter(|member| member.cluster_id == cluster_id)
        .map(|member| member.raft_index)
        .max()
        .unwrap_or(0);
    let mut fit: Vec<&MemberStatus> = Vec::new();
    let mut refused = Vec::new();
    // Of a member with several endpoints the one that is asked for counts.
    let (asked_for, others): (Vec<_>, Vec<_>) =
        members.iter().partition(|member| is_wanted(member, wanted));
    for member in asked_for.into_iter().chain(others) {
        if fit.iter().any(|other| other.member_id == member.member_id) {
            continue;
        }
        match unfit(member, cluster_id, newest) {
            None => fit.push(member),
            Some(why) => refused.push(Refused {
                endpoint: member.endpoint.clone(),
                why,
            }),
        }
    }
    let candidates = match wanted {
        "auto" => automatic(fit),
        "leader" => fit
            .into_iter()
            .filter(|member| member.is_leader())
            .map(|member| candidate(member, "the leader, as asked for"))
            .collect(),
        name => named(name, &fit, members)?,
    };
    if candidates.is_empty() {
        return Err(Error::NoCandidate {
            reasons: reasons(wanted, &refused),
        });
    }
    Ok(Choice {
        cluster_id,
        candidates,
        refused,
    })
}

fn reasons(wanted: &str, refused: &[Refused]) -> Vec<String> {
    let mut reasons: Vec<String> = refused
        .iter()
        .map(|refused| format!("{}: {}", refused.endpoint, refused.why))
        .collect();
    if wanted == "leader" {
        reasons.push("no member that answers and is fit is the leader".to_owned());
    }
    reasons
}

fn is_wanted(member: &MemberStatus, wanted: &str) -> bool {
    let host = member.endpoint.split("://").nth(1);
    member.name == wanted
        || member.endpoint == wanted.trim_end_matches('/')
        || host == Some(wanted)
        || member.member_id.to_string() == wanted
}

/// The cluster of the member that is asked for, where that leaves no doubt.
fn wanted_cluster(wanted: &str, members: &[MemberStatus]) -> Option<ClusterId> {
    let mut wanted = members
        .iter()
        .filter(|member| is_wanted(member, wanted))
        .map(|member| member.cluster_id);
    let first = wanted.next()?;
    wanted.all(|other| other == first).then_some(first)
}

/// The cluster that most of the answering members belong to.
fn prevailing_cluster(members: &[MemberStatus]) -> Result<ClusterId, Error> {
    let mut counts: BTreeMap<ClusterId, usize> = BTreeMap::new();
    for member in members {
        *counts.entry(member.cluster_id).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(0);
    let mut prevailing = counts.iter().filter(|(_, count)| **count == most);
    match (prevailing.next(), prevailing.next()) {
        (Some((id, _)), None) => Ok(*id),
        _ => Err(Error::SeveralClusters {
            members: members
                .iter()
                .map(|member| format!("{}: cluster {}", member.endpoint, member.cluster_id))
                .collect(),
        }),
    }
}

fn unfit(member: &MemberStatus, cluster_id: ClusterId, newest: u64) -> Option<String> {
    if member.cluster_id != cluster_id {
        return Some(format!(
            "it belongs to another cluster ({})",
            member.cluster_id
        ));
    }
    if member.is_learner {
        return Some("it is a learner".to_owned());
    }
    if member.corrupt.contains(&member.member_id) {
        return Some("it has a CORRUPT alarm: its data differs from the others'".to_owned());
    }
    let behind = newest.saturating_sub(member.applied_index);
    (behind > LAG).then(|| format!("it lags {behind} raft entries behind"))
}

fn automatic(mut fit: Vec<&MemberStatus>) -> Vec<Candidate> {
    fit.sort_by_key(|member| (member.is_leader(), Reverse(member.applied_index)));
    let only = fit.len() == 1;
    let has_leader = fit.iter().any(|member| member.leader.is_some());
    fit.into_iter()
        .map(|member| {
            let because = match (only, member.is_leader(), has_leader) {
                (true, ..) => "the only member that is fit",
                (_, true, _) => "the leader: no follower could be used",
                (_, false, true) => "the healthy follower with the highest applied index",
                (_, false, false) => {
                    "the survivor with the highest applied index: there is no leader"
                }
            };
            candidate(member, because)
        })
        .collect()
}

fn named(
    wanted: &str,
    fit: &[&MemberStatus],
    all: &[MemberStatus],
) -> Result<Vec<Candidate>, Error> {
    if !all.iter().any(|member| is_wanted(member, wanted)) {
        let known: Vec<String> = all.iter().map(MemberStatus::label).collect();
        return Err(Error::NoSuchMember {
            wanted: wanted.to_owned(),
            known: known.join(", "),
        });
    }
    Ok(fit
        .iter()
        .filter(|member| is_wanted(member, wanted))
        .map(|member| candidate(member, "asked for"))
        .collect())
}

fn candidate(member: &MemberStatus, because: &str) -> Candidate {
    Candidate {
        status: member.clone(),
        because: because.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{MemberId, Revision};

    fn member(id: u64, applied_index: u64) -> MemberStatus {
        MemberStatus {
            endpoint: format!("http://10.0.0.{id}:2379"),
            member_id: MemberId(id),
            cluster_id: ClusterId(1),
            name: format!("etcd-{id}"),
            version: "3.6.14".to_owned(),
            storage_version: None,
            leader: Some(MemberId(1)),
            is_learner: false,
            raft_index: applied_index,
            applied_index,
            raft_term: 2,
            revision: Revision(5),
            db_size_bytes: 4096,
            corrupt: Vec::new(),
            nospace: Vec::new(),
        }
    }

    fn order(wanted: &str, members: &[MemberStatus]) -> Vec<u64> {
        let choice = choose(wanted, members).unwrap();
        choice
            .candidates
            .iter()
            .map(|candidate| candidate.status.member_id.0)
            .collect()
    }

    #[test]
    fn the_follower_with_the_highest_applied_index_comes_first_and_the_leader_last() {
        let members = [member(1, 110), member(2, 100), member(3, 105)];
        assert_eq!(order("auto", &members), [3, 2, 1]);
    }

    #[test]
    fn what_must_not_be_asked_is_refused_with_its_reason() {
        let mut members = [
            member(1, 5000),
            member(2, 5000),
            member(3, 3000),
            member(4, 5000),
            member(5, 5000),
        ];
        members[1].is_learner = true;
        members[3].corrupt = vec![MemberId(4)];
        members[4].cluster_id = ClusterId(9);
        let choice = choose("auto", &members).unwrap();
        assert_eq!(order("auto", &members), [1]);
        let why: Vec<&str> = choice.refused.iter().map(|r| r.why.as_str()).collect();
        assert_eq!(
            why,
            [
                "it is a learner",
                "it lags 2000 raft entries behind",
                "it has a CORRUPT alarm: its data differs from the others'",
                "it belongs to another cluster (9)",
            ]
        );
    }

    #[test]
    fn a_member_can_be_asked_for_by_role_name_id_or_endpoint() {
        let members = [member(1, 100), member(2, 100), member(11, 100)];
        assert_eq!(order("leader", &members), [1]);
        assert_eq!(order("etcd-2", &members), [2]);
        assert_eq!(order("b", &members), [11]);
        assert_eq!(order("10.0.0.2:2379", &members), [2]);
        assert_eq!(order("http://10.0.0.2:2379/", &members), [2]);
        assert!(matches!(
            choose("etcd-9", &members),
            Err(Error::NoSuchMember { .. })
        ));
    }

    #[test]
    fn a_learner_is_refused_even_when_asked_for() {
        let mut members = [member(1, 100), member(2, 100)];
        members[1].is_learner = true;
        let error = choose("etcd-2", &members).unwrap_err();
        assert!(error.to_string().contains("it is a learner"), "{error}");
    }

    #[test]
    fn two_clusters_of_equal_weight_are_refused_unless_a_member_is_named() {
        let mut members = [member(1, 100), member(2, 100)];
        members[1].cluster_id = ClusterId(2);
        assert!(matches!(
            choose("auto", &members),
            Err(Error::SeveralClusters { .. })
        ));
        let choice = choose("etcd-2", &members).unwrap();
        assert_eq!(choice.cluster_id, ClusterId(2));
    }

    #[test]
    fn one_member_behind_two_endpoints_is_one_candidate() {
        let mut members = [member(2, 100), member(2, 100)];
        members[1].endpoint = "http://lb:2379".to_owned();
        assert_eq!(order("auto", &members), [2]);
        let choice = choose("http://lb:2379", &members).unwrap();
        assert_eq!(choice.candidates[0].status.endpoint, "http://lb:2379");
    }
}
