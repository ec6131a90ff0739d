//! What every member says of itself, asked one by one and all at once.

use std::collections::BTreeMap;
use std::time::Duration;

use etcd_client::{Client, ResponseHeader, StatusResponse};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::Error;
use super::access::{Access, call_error};
use crate::id::{ClusterId, MemberId, Revision};

const STATUS: &str = "a status request";

/// One member, as it answered.
#[derive(Debug, Clone)]
pub struct MemberStatus {
    /// Through which endpoint.
    pub endpoint: String,
    /// Its id.
    pub member_id: MemberId,
    /// Its cluster.
    pub cluster_id: ClusterId,
    /// Its name; empty where the member list could not be read or the member never started.
    pub name: String,
    /// The version of etcd.
    pub version: String,
    /// The version of its database's schema; `None` before etcd 3.6.
    pub storage_version: Option<String>,
    /// Whom it takes for the leader; `None` if it knows none.
    pub leader: Option<MemberId>,
    /// Whether it has no vote.
    pub is_learner: bool,
    /// The index of the last raft entry that it knows of.
    pub raft_index: u64,
    /// The index of the last raft entry that it applied.
    pub applied_index: u64,
    /// Its raft term.
    pub raft_term: u64,
    /// Its newest revision.
    pub revision: Revision,
    /// The size of its database, free pages included.
    pub db_size_bytes: u64,
    /// The members for which it knows a CORRUPT alarm.
    pub corrupt: Vec<MemberId>,
    /// The members for which it knows a NOSPACE alarm.
    pub nospace: Vec<MemberId>,
}

impl MemberStatus {
    /// Whether it is the leader.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader == Some(self.member_id)
    }

    /// The member as people know it: its name, or else its id.
    #[must_use]
    pub fn label(&self) -> String {
        match self.name.is_empty() {
            true => self.member_id.to_string(),
            false => self.name.clone(),
        }
    }
}

/// Asks every endpoint by itself, in parallel, and waits `patience` for each answer; they come in the endpoints' order.
///
/// An endpoint that does not answer is examined by a handshake of our own, which takes as long again at most.
pub async fn probe_all(access: &Access, patience: Duration) -> Vec<Result<MemberStatus, Error>> {
    let probes = access
        .endpoints()
        .iter()
        .map(|endpoint| probe(access, endpoint, patience));
    let (mut answers, names): (Vec<_>, Vec<_>) = join_all(probes).await.into_iter().unzip();
    // A learner, and a member that has just started, may not know its own name: the others do.
    let names: Names = names.into_iter().flatten().collect();
    for status in answers.iter_mut().flatten() {
        status.name = names.get(&status.member_id).cloned().unwrap_or_default();
    }
    answers
}

/// The members' names, as far as one of them tells.
type Names = BTreeMap<MemberId, String>;

async fn probe(
    access: &Access,
    endpoint: &str,
    patience: Duration,
) -> (Result<MemberStatus, Error>, Names) {
    let failure = match ask_as_far_as_needed(access, endpoint, patience).await {
        Ok((status, names)) => return (Ok(status), names),
        Err(error) => error,
    };
    let failure = access.explain(endpoint, failure, patience).await;
    (Err(failure), Names::new())
}

/// Asks without a password, which takes no quorum, and with it where etcd refuses that: 3.4 does not, 3.5.33 does.
async fn ask_as_far_as_needed(
    access: &Access,
    endpoint: &str,
    patience: Duration,
) -> Result<(MemberStatus, Names), Error> {
    let client = access.anonymous(endpoint).await?;
    match ask(client, access, endpoint, patience).await {
        Err(Error::NotAllowed { .. }) if access.has_user() => {
            let client = access.logged_in(endpoint, patience).await?;
            ask(client, access, endpoint, patience).await
        }
        answer => answer,
    }
}

async fn ask(
    mut client: Client,
    access: &Access,
    endpoint: &str,
    patience: Duration,
) -> Result<(MemberStatus, Names), Error> {
    let status = timeout(patience, client.status()).await;
    let status = status.map_err(|_| Error::TimedOut {
        endpoint: endpoint.to_owned(),
        call: STATUS,
        after: patience,
    })?;
    let status = status.map_err(|error| call_error(endpoint, STATUS, &error, &access.who()))?;
    // Only for the names; a member without a leader may not know.
    let members = timeout(patience, client.member_list()).await;
    let names = members
        .iter()
        .flatten()
        .flat_map(etcd_client::MemberListResponse::members)
        .filter(|member| !member.name().is_empty())
        .map(|member| (MemberId(member.id()), member.name().to_owned()))
        .collect();
    Ok((describe(&status, endpoint), names))
}

pub(super) fn describe(status: &StatusResponse, endpoint: &str) -> MemberStatus {
    let header = status.header();
    MemberStatus {
        endpoint: endpoint.to_owned(),
        member_id: MemberId(header.map_or(0, ResponseHeader::member_id)),
        cluster_id: ClusterId(header.map_or(0, ResponseHeader::cluster_id)),
        name: String::new(),
        version: status.version().to_owned(),
        storage_version: Some(status.storage_version().to_owned()).filter(|text| !text.is_empty()),
        leader: Some(status.leader()).filter(|id| *id != 0).map(MemberId),
        is_learner: status.is_learner(),
        raft_index: status.raft_index(),
        applied_index: status.raft_applied_index(),
        raft_term: status.raft_term(),
        revision: Revision(header.map_or(0, ResponseHeader::revision)),
        db_size_bytes: u64::try_from(status.db_size()).unwrap_or(0),
        corrupt: alarmed(status.errors(), "CORRUPT"),
        nospace: alarmed(status.errors(), "NOSPACE"),
    }
}

/// Reads alarms where no quorum is needed: a status lists them as text, `memberID:123 alarm:CORRUPT`.
fn alarmed(errors: &[String], alarm: &str) -> Vec<MemberId> {
    errors
        .iter()
        .filter(|text| text.contains(&format!("alarm:{alarm}")))
        .filter_map(|text| {
            let id = text.split("memberID:").nth(1)?;
            let digits: String = id.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().ok().map(MemberId)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alarms_are_read_from_the_words_of_a_status() {
        let errors = [
            "memberID:10276657743932975437 alarm:NOSPACE ".to_owned(),
            "memberID:7 alarm:CORRUPT ".to_owned(),
            "etcdserver: no leader".to_owned(),
        ];
        assert_eq!(alarmed(&errors, "CORRUPT"), [MemberId(7)]);
        assert_eq!(
            alarmed(&errors, "NOSPACE"),
            [MemberId(10_276_657_743_932_975_437)]
        );
    }
}
