//! Asks every port that anybody names, each by itself, and those that turn up on the way.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use url::Url;

use super::super::observation::Peer;
use super::classify::Port;
use crate::config::Node;
use crate::etcd::probe::peer_members;
use crate::etcd::{Access, Diagnosis, Error, Listed, Patience, View, view};

/// What a client port is given: with the handshake after it, less than four seconds for one that hangs.
const CLIENT: Patience = Patience {
    answer: Duration::from_secs(2),
    quorum: Duration::from_secs(3),
};

/// What each step at a peer port is given.
const PEER: Duration = Duration::from_millis(1500);

/// Everything that the ports said.
#[derive(Default)]
pub(super) struct Gathered {
    /// The client ports, those of the configuration first.
    pub(super) views: Vec<View>,
    /// The peer ports.
    pub(super) peers: Vec<PeerView>,
}

/// What a peer port said.
pub(super) struct PeerView {
    pub(super) url: String,
    pub(super) port: Port,
    pub(super) peer: Peer,
    pub(super) members: Vec<Listed>,
}

enum Answer {
    Client(usize, Box<View>),
    Peer(usize, PeerView),
}

type Asking<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// The questions that are under way.
struct Questions<'a> {
    access: &'a Access,
    asked: BTreeSet<String>,
    pending: FuturesUnordered<Asking<'a>>,
}

/// Asks the endpoints, the URLs of the nodes, and every member that one of them lists.
pub(super) async fn gather(access: &Access, nodes: &[Node]) -> Gathered {
    let mut questions = Questions {
        access,
        asked: BTreeSet::new(),
        pending: FuturesUnordered::new(),
    };
    let known = nodes.iter().filter_map(|node| node.client_url.as_ref());
    for endpoint in access.endpoints().iter().chain(known) {
        questions.client(endpoint);
    }
    for url in nodes.iter().filter_map(|node| node.peer_url.as_ref()) {
        questions.peer(url);
    }
    let (mut views, mut peers) = (Vec::new(), Vec::new());
    while let Some(answer) = questions.pending.next().await {
        let listed = match &answer {
            Answer::Client(_, view) => &view.members,
            Answer::Peer(_, peer) => &peer.members,
        };
        for member in listed {
            questions.learned(member);
        }
        match answer {
            Answer::Client(order, view) => views.push((order, *view)),
            Answer::Peer(order, peer) => peers.push((order, peer)),
        }
    }
    views.sort_by_key(|(order, _)| *order);
    peers.sort_by_key(|(order, _)| *order);
    Gathered {
        views: views.into_iter().map(|(_, view)| view).collect(),
        peers: peers.into_iter().map(|(_, peer)| peer).collect(),
    }
}

impl Questions<'_> {
    fn client(&mut self, endpoint: &str) {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let Some(order) = self.first_time(&endpoint) else {
            return;
        };
        let access = self.access;
        self.pending.push(Box::pin(async move {
            let view = view(access, &endpoint, CLIENT).await;
            Answer::Client(order, Box::new(view))
        }));
    }

    fn peer(&mut self, url: &str) {
        let url = url.trim_end_matches('/').to_owned();
        let Some(order) = self.first_time(&url) else {
            return;
        };
        let access = self.access;
        self.pending.push(Box::pin(async move {
            let answer = peer_members(&url, access.identity(), PEER).await;
            Answer::Peer(order, PeerView::of(url, answer))
        }));
    }

    fn learned(&mut self, member: &Listed) {
        for url in &member.peer_urls {
            self.peer(url);
        }
        let is_elsewhere = member.peer_urls.iter().any(|url| !is_loopback(url));
        for url in &member.client_urls {
            // etcd advertises http://localhost:2379 where nobody says otherwise: here that is another machine.
            if !(is_elsewhere && is_loopback(url)) {
                self.client(url);
            }
        }
    }

    fn first_time(&mut self, url: &str) -> Option<usize> {
        let order = self.asked.len();
        self.asked.insert(url.to_owned()).then_some(order)
    }
}

impl PeerView {
    fn of(url: String, answer: Result<crate::etcd::probe::PeerMembers, Error>) -> Self {
        match answer {
            Ok(answer) => Self {
                url,
                port: Port::Answers,
                peer: Peer {
                    answers: Some(true),
                    cluster_id: answer.cluster_id,
                    error: None,
                },
                members: answer.members,
            },
            Err(error) => {
                let port = peer_port(&error);
                Self {
                    url,
                    port,
                    peer: Peer {
                        answers: Some(port == Port::Listens),
                        cluster_id: None,
                        error: Some(error.to_string()),
                    },
                    members: Vec::new(),
                }
            }
        }
    }
}

/// What the failure of a question to a peer port says about the port.
fn peer_port(error: &Error) -> Port {
    match error {
        // It said something, and be it that our certificate is none of its authority.
        Error::Call { .. } => Port::Listens,
        Error::Unreachable { diagnosis, .. } => match diagnosis {
            Diagnosis::ConnectionRefused => Port::Refused,
            Diagnosis::Hung => Port::Hung,
            diagnosis if diagnosis.is_tls() => Port::Listens,
            _ => Port::NoWay,
        },
        _ => Port::NoWay,
    }
}

/// Host and port of a URL, to recognise it by.
pub(in crate::recovery) fn authority(url: &str) -> Option<String> {
    let url = match url.contains("://") {
        true => url.to_owned(),
        false => format!("http://{url}"),
    };
    let url = Url::parse(&url).ok()?;
    let host = url.host_str()?.to_lowercase();
    Some(format!("{host}:{}", url.port_or_known_default()?))
}

fn is_loopback(url: &str) -> bool {
    let Some(authority) = authority(url) else {
        return false;
    };
    ["localhost:", "127.", "[::1]:"]
        .iter()
        .any(|beginning| authority.starts_with(beginning))
}
