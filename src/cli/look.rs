//! A look at the whole cluster, with our clock.

use etcdrx::config::{Config, DEFAULT_ENDPOINT};
use etcdrx::etcd::Access;
use etcdrx::recovery::observe::{LIMIT, PATIENT_LIMIT};
use etcdrx::recovery::{Observation, look as library};

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

/// Looks, within the time that a person waits.
pub(super) async fn look(config: &Config, access: &Access) -> Observation {
    library::look(config, access, now(), LIMIT).await
}

/// Looks, and waits for an election that may be under way.
pub(super) async fn look_settled(config: &Config, access: &Access) -> Observation {
    library::look_settled(config, access, now, PATIENT_LIMIT).await
}
