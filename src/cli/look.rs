//! A look at the whole cluster: its members, its nodes, its backups, all at once.

use etcdrx::config::{Config, Node, Reach};
use etcdrx::etcd::Access;
use etcdrx::host::Host;
use etcdrx::node::{Answer, Inspected};
use etcdrx::progress::told;
use etcdrx::recovery::observe::{self, LIMIT, Nodes, observe};
use etcdrx::recovery::{Observation, inspection};
use futures_util::future::join_all;

use super::context::{Context, now, open_catalog};

/// Looks, within the time that a person waits.
pub(super) async fn look(_context: &Context<'_>, config: &Config, access: &Access) -> Observation {
    let request = observe::Request {
        access,
        nodes: &config.nodes,
        now: now(),
        limit: LIMIT,
    };
    let backups = async {
        if config.repository.url.is_empty() {
            return None;
        }
        let opened = open_catalog(config).await;
        Some(opened.map(|(_, catalog)| catalog).map_err(|failure| failure.one_line()))
    };
    observe(&request, inspect_all(&config.nodes), backups).await
}

/// Inspects every node that a program gets to.
async fn inspect_all(nodes: &[Node]) -> Nodes {
    let reachable = nodes.iter().filter(|node| node.reach != Reach::Manual && node.data_dir.is_some());
    let looks = reachable.map(|node| async move { (node.name.clone(), inspect(node).await) });
    join_all(looks).await.into_iter().collect()
}

async fn inspect(node: &Node) -> Result<Inspected, String> {
    let host = Host::of(node).map_err(|error| told(&error))?;
    match host.perform(&inspection(node)).await {
        Ok(Answer::Inspected(inspected)) => Ok(*inspected),
        Ok(other) => Err(format!("it answered something else: {other:?}")),
        Err(error) => Err(told(&error)),
    }
}
