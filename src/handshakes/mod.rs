//! Examines the running ports of a cluster: what they show, whom they let in, and whether the members reach each other.

mod links;
mod port;

use std::path::PathBuf;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use crate::certs::Certificate;
use crate::etcd::probe::{self, Gateway, Links, Port, Reception, Seen};
use crate::etcd::{self, Identity};
use crate::manifest::Finding;
use crate::progress::{Event, Progress};

/// How long a port may take for each step of a handshake, if nothing else is said.
///
/// Without a quorum since its start etcd says nothing at all; this tells it from a slow one.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be examined, and what it is held against.
#[derive(Debug)]
pub struct Request {
    /// The ports for clients.
    pub clients: Listeners,
    /// The ports for the other members.
    pub peers: Listeners,
    /// The time, by which certificates are judged.
    pub now: DateTime<Utc>,
    /// How long a port may take for each step of a handshake: [`PATIENCE`] does.
    pub patience: Duration,
}

/// Ports of one kind, and the files that belong to them; whatever is missing is not compared.
#[derive(Debug, Default)]
pub struct Listeners {
    /// URLs, or hosts with ports.
    pub endpoints: Vec<String>,
    /// The file of trusted authorities, and what stands in it.
    pub authorities: Option<(PathBuf, Vec<Certificate>)>,
    /// The certificate to knock with.
    pub identity: Option<Identity>,
    /// The certificates that the members should show, each with its file.
    pub on_disk: Vec<(PathBuf, Certificate)>,
}

/// What was found out about one port.
#[derive(Debug)]
pub struct View {
    /// As it was asked for.
    pub endpoint: String,
    /// Of which kind it is.
    pub port: Port,
    /// What it shows.
    pub seen: Result<Seen, etcd::Error>,
    /// What became of our certificate; `None` if it was not shown.
    pub reception: Option<Result<Reception, etcd::Error>>,
    /// The member's connections to the others; `None` if it was not asked.
    pub links: Option<Result<Links, etcd::Error>>,
    /// Its HTTP/JSON gateway; `None` if it was not asked.
    pub gateway: Option<Result<Gateway, etcd::Error>>,
}

/// Looks at every port and knocks at it, and tells what is wrong with the certificates of the cluster as it runs.
///
/// Nothing is changed. In the log of a current etcd only a refused certificate and a dead gateway leave lines
/// ([`probe::look`] says what older ones note).
pub async fn examine(request: &Request, progress: &dyn Progress) -> Vec<Finding> {
    judge(request, &view(request, progress).await)
}

/// Looks at every port, all at the same time, without judging; in the order of the request, clients first.
pub async fn view(request: &Request, progress: &dyn Progress) -> Vec<View> {
    let ports = |listeners: &Listeners| listeners.endpoints.len();
    let count = ports(&request.clients) + ports(&request.peers);
    progress.event(Event::Stage(format!("looking at {count} ports")));
    let sides = [
        (Port::Client, &request.clients),
        (Port::Peer, &request.peers),
    ];
    let views = sides.iter().flat_map(|(port, listeners)| {
        let endpoints = listeners.endpoints.iter();
        endpoints.map(|endpoint| view_port(endpoint, *port, listeners, request.patience))
    });
    join_all(views).await
}

/// Holds what was seen against the files of the request, and against each other.
#[must_use]
pub fn judge(request: &Request, views: &[View]) -> Vec<Finding> {
    let listeners = |port| match port {
        Port::Client => &request.clients,
        Port::Peer => &request.peers,
    };
    let mut findings: Vec<Finding> = views
        .iter()
        .flat_map(|view| port::judge(view, listeners(view.port), request.now))
        .collect();
    let told = views.iter().filter_map(|view| match &view.links {
        Some(Ok(links)) => Some((view.endpoint.as_str(), links)),
        _ => None,
    });
    findings.extend(links::judge(&told.collect::<Vec<_>>()));
    findings
}

async fn view_port(endpoint: &str, port: Port, listeners: &Listeners, patience: Duration) -> View {
    let identity = listeners.identity.as_ref();
    let mut view = View {
        endpoint: endpoint.to_owned(),
        port,
        seen: probe::look(endpoint, port, patience).await,
        reception: None,
        links: None,
        gateway: None,
    };
    let Ok(seen) = &view.seen else {
        return view;
    };
    if let Some(identity) = identity {
        view.reception = Some(probe::knock(endpoint, port, identity, patience).await);
    }
    let is_let_in = match &view.reception {
        Some(reception) => matches!(reception, Ok(Reception::Accepted)),
        None => !seen.asks_for_certificate(),
    };
    if is_let_in && port == Port::Client {
        view.links = Some(probe::peers(endpoint, identity, patience).await);
        view.gateway = Some(probe::gateway(endpoint, identity, patience).await);
    }
    view
}
