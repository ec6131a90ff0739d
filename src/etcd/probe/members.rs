//! What a peer port tells everybody who may connect to it: the cluster's id and its members.

use std::time::Duration;

use serde::Deserialize;

use super::http::{exchange, odd};
use crate::etcd::credentials::Identity;
use crate::etcd::{Error, Listed};
use crate::id::{ClusterId, MemberId};

const MEMBERS: &str = "GET /members";
const CLUSTER: &str = "X-Etcd-Cluster-ID";

/// What a peer port tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerMembers {
    /// The cluster that the member belongs to.
    pub cluster_id: Option<ClusterId>,
    /// The members as it lists them.
    pub members: Vec<Listed>,
}

/// Asks a peer URL for its members; it answers without a quorum, also where the client port does not (3.4 to 3.7).
///
/// Nobody has to log in. With TLS the port may want a certificate of the peers' authority: then [`Error::Call`] says that it
/// listens and does not let us in, while [`Error::Unreachable`] is for a port that says nothing at all. Takes up to three
/// times `patience`.
///
/// # Errors
/// If it cannot be reached, does not let us in, or is no peer port.
pub async fn peer_members(
    peer_url: &str,
    identity: Option<&Identity>,
    patience: Duration,
) -> Result<PeerMembers, Error> {
    let answer = exchange(peer_url, MEMBERS, "", identity, patience).await?;
    let members: Vec<Entry> = match answer.status {
        200 => serde_json::from_slice(&answer.body).map_err(|_| odd(peer_url, MEMBERS, 200))?,
        status => return Err(odd(peer_url, MEMBERS, status)),
    };
    Ok(PeerMembers {
        cluster_id: answer.header(CLUSTER).and_then(|id| id.parse().ok()),
        members: members.into_iter().map(Listed::from).collect(),
    })
}

/// As etcd writes a member in JSON (`membership.Member`); ids are numbers.
#[derive(Deserialize)]
struct Entry {
    id: u64,
    #[serde(rename = "peerURLs", default)]
    peer_urls: Vec<String>,
    #[serde(rename = "isLearner", default)]
    is_learner: bool,
    #[serde(default)]
    name: String,
    #[serde(rename = "clientURLs", default)]
    client_urls: Vec<String>,
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        Self {
            id: MemberId(entry.id),
            name: entry.name,
            peer_urls: entry.peer_urls,
            client_urls: entry.client_urls,
            is_learner: entry.is_learner,
        }
    }
}
