//! A look at a whole cluster by its configuration: its members, its nodes, its backups, all at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use tokio::time::{sleep, timeout};

use super::actions;
use super::judge::{Condition, judge};
use super::observation::Observation;
use super::observe::{self, MARGIN, Nodes, observe};
use crate::catalog::Catalog;
use crate::config::{self, Config, Node, Reach};
use crate::etcd::Access;
use crate::host::Host;
use crate::keys::Keys;
use crate::node::{Answer, Inspected};
use crate::progress::told;
use crate::repository::{Error as RepositoryError, Folder, Mode, Repository};
use crate::verify::locked;

/// How long an election may take: three of etcd's largest usual election timeouts.
pub(super) const ELECTION: Duration = Duration::from_secs(15);
/// How long a repository may take to answer where there is another one.
const MOMENT: Duration = Duration::from_secs(2);
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
        match backups(config).await? {
            Ok((folder, catalog)) => {
                let locked = locked(&folder, &catalog).await;
                Some(Ok((catalog, locked)))
            }
            Err(why) => Some(Err(why)),
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

/// The backups of the cluster in the first repository that answers; `None` where there is none to look at.
///
/// The order of the configuration decides, so that two looks see the same backups. All but the last have a moment each.
pub async fn backups(config: &Config) -> Option<Result<(Folder, Catalog), String>> {
    let all = config.repositories.all();
    let mut failures = Vec::new();
    for (index, settings) in all.iter().enumerate() {
        let load = backups_in(config, settings);
        let loaded = match index + 1 < all.len() {
            true => timeout(MOMENT, load).await.unwrap_or_else(|_| {
                Some(Err(format!(
                    "no answer within {}",
                    humantime::format_duration(MOMENT)
                )))
            }),
            false => load.await,
        };
        let why = match loaded {
            Some(Err(why)) if all.len() > 1 => why,
            other => return other,
        };
        let name = settings.name.as_deref().unwrap_or_default();
        tracing::warn!(why, "nobody could look at the backups in {name}");
        failures.push(format!("{name}: {why}"));
    }
    Some(Err(failures.join("; ")))
}

async fn backups_in(
    config: &Config,
    settings: &config::Repository,
) -> Option<Result<(Folder, Catalog), String>> {
    let load = async {
        let name = config.cluster.folder().map_err(|error| told(&error))?;
        let repository = match Repository::open(settings, Mode::Existing) {
            Err(RepositoryError::NotConfigured) => return Ok(None),
            repository => repository.map_err(|error| told(&error))?,
        };
        let keys = Keys::open(&config.encryption).map_err(|error| told(&error))?;
        let folder = repository.folder(&name, Arc::new(keys));
        let catalog = Catalog::load(&folder).await.map_err(|error| told(&error))?;
        Ok(Some((folder, catalog)))
    };
    load.await.transpose()
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
