//! Looks at a cluster from all sides at once: client ports, peer ports, nodes, backups. Reads only, and is done within seconds.
//!
//! What went wrong while looking stands in the findings of the observation, by these codes: `tls` and `not-allowed` (etcd or we refuse
//! the other; no disaster), `lists-differ` (members list different members), `several-leaders` (two members read with quorum, and neither
//! lists the other), `leader-changed` (an election happened while we looked), `read-failed` (a member with a leader does not read),
//! `revisions-differ` (equal raft index, different revision), `hash-untried` (no hashes to compare), `node-unseen`, `backups-unseen`,
//! `backup-unusable`, `list-unknown` (nobody tells who the members are).

mod backups;
mod because;
mod classify;
mod gather;
mod hashes;
mod merge;
mod sight;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::oneshot;
use tokio::time::timeout;

pub use self::backups::Backups;
pub(super) use self::gather::authority;
use self::gather::{Stopped, gather};
use super::Observation;
use crate::config::Node;
use crate::etcd::Access;
use crate::manifest::Finding;
use crate::node::{Inspected, Running};

/// How long an observation takes at most, where nothing else is said.
pub const LIMIT: Duration = Duration::from_millis(4500);

/// How long an observation takes at most that a plan rests on: a node that is busy, or gets our program for the first time over a slow
/// line, is no lost node.
pub const PATIENT_LIMIT: Duration = Duration::from_secs(30);

/// How much sooner a look at one node ends, so that one that hangs does not take the others' answers with it.
pub const MARGIN: Duration = Duration::from_millis(300);

/// What a node answered, or why nobody could look; by the names of the configuration.
pub type Nodes = BTreeMap<String, Result<Inspected, String>>;

/// What is looked at.
pub struct Request<'a> {
    /// The way to the members, and the endpoints where the look begins.
    pub access: &'a Access,
    /// The nodes of the configuration: their URLs are asked, too.
    pub nodes: &'a [Node],
    /// What time it is.
    pub now: DateTime<Utc>,
    /// How long nodes, backups and hashes may take; [`LIMIT`] does. Members get four seconds of it at most.
    pub limit: Duration,
}

/// Looks once at everything, all at the same time.
///
/// `nodes` inspects the nodes of the configuration, `backups` loads the catalogs; both are given up at the limit.
/// No password is shown where etcd answers without one: a log-in takes a quorum.
pub async fn observe(
    request: &Request<'_>,
    nodes: impl Future<Output = Nodes>,
    backups: impl Future<Output = Backups>,
) -> Observation {
    let began = Instant::now();
    let (tell, told) = oneshot::channel();
    let nodes = async {
        let nodes = timeout(request.limit, nodes).await;
        // Nobody listens where the members were quicker.
        let _ = tell.send(
            nodes
                .as_ref()
                .map_or_else(|_| Stopped::new(), |nodes| stopped(request.nodes, nodes)),
        );
        nodes
    };
    let cluster = async {
        let stopped = async { told.await.unwrap_or_default() };
        let gathered = gather(request.access, request.nodes, stopped).await;
        let left = request.limit.saturating_sub(began.elapsed());
        let hashes = hashes::compare(request.access, &gathered, left).await;
        (gathered, hashes)
    };
    let (cluster, nodes, catalog) = tokio::join!(cluster, nodes, timeout(request.limit, backups),);
    let (gathered, compared) = cluster;
    let nodes = nodes.unwrap_or_else(|_| late(request));
    let picture = merge::merge(&gathered, request.nodes, &nodes);
    let (backups, mut findings) = match catalog {
        Ok(catalog) => backups::told(catalog),
        Err(_) => backups::told(Backups {
            catalogs: Vec::new(),
            unseen: vec![format!(
                "the repository did not answer within {}",
                humantime::format_duration(request.limit)
            )],
        }),
    };
    findings.splice(..0, compared.findings);
    findings.splice(..0, picture.findings);
    findings.extend(unseen(&nodes));
    Observation {
        at: request.now,
        members: picture.members,
        quorum: picture.quorum,
        clusters: picture.clusters,
        hashes: compared.hashes,
        alarms: picture.alarms,
        backups,
        findings,
    }
}

/// Where somebody looked, and no etcd runs.
fn stopped(nodes: &[Node], inspected: &Nodes) -> Stopped {
    let is_stopped = |node: &&Node| {
        let inspected = inspected
            .get(&node.name)
            .and_then(|node| node.as_ref().ok());
        inspected.is_some_and(|inspected| inspected.process.running == Running::Stopped)
    };
    let stopped = nodes.iter().filter(is_stopped);
    stopped
        .filter_map(|node| authority(node.peer_url.as_ref()?))
        .collect()
}

fn late(request: &Request<'_>) -> Nodes {
    let why = format!(
        "no answer within {}",
        humantime::format_duration(request.limit)
    );
    let nodes = request.nodes.iter();
    nodes
        .map(|node| (node.name.clone(), Err(why.clone())))
        .collect()
}

fn unseen(nodes: &Nodes) -> Vec<Finding> {
    let failed = nodes.iter().filter_map(|(name, inspected)| {
        let why = inspected.as_ref().err()?;
        let message = format!("nobody could look at the node of {name}: {why}");
        Some(Finding::warning("node-unseen", message))
    });
    failed.collect()
}
