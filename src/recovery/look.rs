//! A look at a whole cluster by its configuration: its members, its nodes, its backups, all at once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::actions;
use super::copies::look_for;
use super::judge::{Condition, judge};
use super::observation::Observation;
use super::observe::{self, Backups, MARGIN, Nodes, observe};
use crate::config::{Config, Node, Reach};
use crate::etcd::Access;
use crate::host::Host;
use crate::node::{Answer, Inspected};
use crate::progress::told;
use crate::verify::locked;

/// How long an election may take: three of etcd's largest usual election timeouts.
pub(super) const ELECTION: Duration = Duration::from_secs(15);
/// How long to rest between two looks.
const PAUSE: Duration = Duration::from_millis(100);

/// Looks once, within `limit`; members get four seconds of it at most, nodes and backups all of it.
pub async fn look(
    config: &Config,
    access: &Access,
    now: DateTime<Utc>,
    limit: Duration,
) -> Observation {
    let request = observe::Request {
        access,
        nodes: &config.nodes,
        now,
        limit,
    };
    let backups = async {
        let copies = look_for(config).await;
        let opened = copies.answered.into_iter().map(async |(folder, catalog)| {
            let locked = locked(&folder, &catalog).await;
            (catalog, locked)
        });
        Backups {
            catalogs: join_all(opened).await,
            unseen: copies.unseen,
        }
    };
    let hosts = BTreeMap::new();
    let nodes = inspect_all(&config.nodes, &hosts, limit.saturating_sub(MARGIN));
    // On the heap: everything is looked at at once.
    Box::pin(observe(&request, nodes, backups)).await
}

/// Looks, and again as long as enough members are alive to elect a leader and have none: a recovery that begins before the
/// election has ended would take one lost member for a lost majority. Gives up after three of the largest usual election timeouts.
pub async fn look_settled(
    config: &Config,
    access: &Access,
    now: fn() -> DateTime<Utc>,
    limit: Duration,
) -> Observation {
    let began = Instant::now();
    loop {
        let observation = look(config, access, now(), limit).await;
        let may_pass = matches!(
            judge(&observation).condition(),
            Condition::ElectionUnderWay | Condition::LeaderLost
        );
        let waits = may_pass && !observation.quorum.reads;
        if !waits || began.elapsed() > ELECTION {
            return observation;
        }
        sleep(PAUSE).await;
    }
}

/// Inspects every node that a program gets to, each within a time of its own; `open` has the ways there that are open already.
pub(super) async fn inspect_all(
    nodes: &[Node],
    open: &BTreeMap<String, Host>,
    limit: Duration,
) -> Nodes {
    let reachable = nodes
        .iter()
        .filter(|node| node.reach != Reach::Manual && node.data_dir.is_some());
    let looks = reachable.map(|node| async move {
        let inspected = match (open.get(&node.name), Host::of(node)) {
            (Some(host), _) => inspect(host, node, limit).await,
            (None, Ok(host)) => inspect(&host, node, limit).await,
            (None, Err(error)) => Err(told(&error)),
        };
        (node.name.clone(), inspected)
    });
    join_all(looks).await.into_iter().collect()
}

async fn inspect(host: &Host, node: &Node, limit: Duration) -> Result<Inspected, String> {
    match timeout(limit, host.perform(&actions::inspect(node))).await {
        Ok(Ok(Answer::Inspected(inspected))) => Ok(*inspected),
        Ok(Ok(other)) => Err(format!("it answered something else: {other:?}")),
        Ok(Err(error)) => Err(told(&error)),
        Err(_) => Err(format!(
            "no answer within {}",
            humantime::format_duration(limit)
        )),
    }
}
