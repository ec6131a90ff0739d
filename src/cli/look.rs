//! A look at the whole cluster: its members, its nodes, its backups, all at once.

use std::time::Duration;

use etcdrx::catalog::Catalog;
use etcdrx::config::{Config, DEFAULT_ENDPOINT, Node, Reach};
use etcdrx::etcd::Access;
use etcdrx::host::Host;
use etcdrx::node::{Answer, Inspected};
use etcdrx::progress::told;
use etcdrx::recovery::observe::{self, MARGIN, Nodes, observe};
use etcdrx::recovery::{Observation, inspection};
use etcdrx::repository::{Error as RepositoryError, Folder, Mode, Repository};
use futures_util::future::join_all;
use tokio::time::timeout;

use super::context::now;

/// The nodes' URLs are endpoints enough: etcdctl's default is none of the cluster's where they are known.
pub(super) fn with_node_endpoints(mut config: Config) -> Config {
    let is_default = config.cluster.endpoints == [DEFAULT_ENDPOINT];
    let nodes = config.nodes.iter();
    let urls: Vec<String> = nodes.filter_map(|node| node.client_url.clone()).collect();
    if is_default && !urls.is_empty() {
        config.cluster.endpoints = urls;
    }
    config
}

/// Looks, within `limit`.
pub(super) async fn look(config: &Config, access: &Access, limit: Duration) -> Observation {
    let request = observe::Request {
        access,
        nodes: &config.nodes,
        now: now(),
        limit,
    };
    let backups = async {
        backups(config)
            .await
            .map(|opened| opened.map(|(_, catalog)| catalog))
    };
    observe(
        &request,
        inspect_all(&config.nodes, limit.saturating_sub(MARGIN)),
        backups,
    )
    .await
}

/// The backups of the cluster; `None` where there is no repository to look at.
pub(super) async fn backups(config: &Config) -> Option<Result<(Folder, Catalog), String>> {
    let load = async {
        let name = config.cluster.folder().map_err(|error| told(&error))?;
        let repository = match Repository::open(&config.repository, Mode::Existing) {
            Err(RepositoryError::NotConfigured) => return Ok(None),
            repository => repository.map_err(|error| told(&error))?,
        };
        let folder = repository.folder(&name);
        let catalog = Catalog::load(&folder).await.map_err(|error| told(&error))?;
        Ok(Some((folder, catalog)))
    };
    load.await.transpose()
}

/// Inspects every node that a program gets to, each within a time of its own.
async fn inspect_all(nodes: &[Node], limit: Duration) -> Nodes {
    let reachable = nodes
        .iter()
        .filter(|node| node.reach != Reach::Manual && node.data_dir.is_some());
    let looks =
        reachable.map(|node| async move { (node.name.clone(), inspect(node, limit).await) });
    join_all(looks).await.into_iter().collect()
}

async fn inspect(node: &Node, limit: Duration) -> Result<Inspected, String> {
    let host = Host::of(node).map_err(|error| told(&error))?;
    match timeout(limit, host.perform(&inspection(node))).await {
        Ok(Ok(Answer::Inspected(inspected))) => Ok(*inspected),
        Ok(Ok(other)) => Err(format!("it answered something else: {other:?}")),
        Ok(Err(error)) => Err(told(&error)),
        Err(_) => Err(format!(
            "no answer within {}",
            humantime::format_duration(limit)
        )),
    }
}
