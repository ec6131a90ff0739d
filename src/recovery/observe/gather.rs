//! Asks every port that anybody names, each by itself, and those that turn up on the way.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
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

/// How long a list of members must stay as it is, where only a peer port tells it: a member that starts reads its members one by one out
/// of its log, while its peer port answers already.
const UNCHANGED: Duration = Duration::from_millis(300);

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
    Stopped(Stopped),
}

/// The nodes on which somebody looked and no etcd runs, by host and port of their peer URLs.
pub(super) type Stopped = BTreeSet<String>;

type Asking<'a> = Pin<Box<dyn Future<Output = Answer> + 'a>>;

/// The questions that are under way.
struct Questions<'a> {
    access: &'a Access,
    hopeless: &'a CancellationToken,
    asked: BTreeSet<String>,
    pending: FuturesUnordered<Asking<'a>>,
}

/// Asks the endpoints, the URLs of the nodes, and every member that one of them lists.
///
/// Once `stopped` tells of so many nodes that a quorum cannot be, nobody waits for one; otherwise it is not waited for.
pub(super) async fn gather(
    access: &Access,
    nodes: &[Node],
    stopped: impl Future<Output = Stopped>,
) -> Gathered {
    let hopeless = CancellationToken::new();
    let mut questions = Questions {
        access,
        hopeless: &hopeless,
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
    let stopped = async { Answer::Stopped(stopped.await) };
    questions.pending.push(Box::pin(stopped));
    let mut heard = Heard::default();
    loop {
        questions.hear(&mut heard).await;
        let nobody_tells = heard.views.iter().all(|(_, view)| view.status.is_err());
        if !(nobody_tells && questions.ask_again(&mut heard).await) {
            break;
        }
    }
    let Heard {
        mut views,
        mut peers,
        ..
    } = heard;
    views.sort_by_key(|(order, _)| *order);
    peers.sort_by_key(|(order, _)| *order);
    Gathered {
        views: views.into_iter().map(|(_, view)| view).collect(),
        peers: peers.into_iter().map(|(_, peer)| peer).collect(),
    }
}

/// What was answered so far, in the order of the answers.
#[derive(Default)]
struct Heard {
    views: Vec<(usize, View)>,
    peers: Vec<(usize, PeerView)>,
    stopped: Stopped,
}

impl Questions<'_> {
    /// Hears the answers to all that was asked, and asks those of whom it hears.
    async fn hear(&mut self, heard: &mut Heard) {
        while heard.views.len() + heard.peers.len() < self.asked.len() {
            let answer = self.pending.next().await;
            match answer.expect("every question is answered") {
                Answer::Client(order, view) => {
                    self.learn(&view.members);
                    heard.views.push((order, *view));
                }
                Answer::Peer(order, peer) => {
                    self.learn(&peer.members);
                    heard.peers.push((order, peer));
                }
                Answer::Stopped(nodes) => heard.stopped = nodes,
            }
            let lists = heard.peers.iter();
            let lists = lists.map(|(_, peer)| peer.members.as_slice());
            if is_hopeless(lists, &heard.stopped) {
                self.hopeless.cancel();
            }
        }
    }

    /// Asks the peer ports that told members once more, a moment later, and says whether a list changed.
    async fn ask_again(&mut self, heard: &mut Heard) -> bool {
        let mut changed = false;
        let told = heard.peers.iter_mut().map(|(_, peer)| peer);
        let told: Vec<_> = told.filter(|peer| !peer.members.is_empty()).collect();
        if told.is_empty() {
            return false;
        }
        sleep(UNCHANGED).await;
        let asks = told
            .iter()
            .map(|peer| peer_members(&peer.url, self.access.identity(), PEER));
        let answers = join_all(asks).await;
        for (peer, answer) in told.into_iter().zip(answers) {
            if let Ok(answer) = answer
                && answer.members.len() > peer.members.len()
            {
                changed = true;
                self.learn(&answer.members);
                peer.members = answer.members;
            }
        }
        changed
    }

    fn client(&mut self, endpoint: &str) {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let Some(order) = self.first_time(&endpoint) else {
            return;
        };
        let (access, hopeless) = (self.access, self.hopeless);
        self.pending.push(Box::pin(async move {
            let view = view(access, &endpoint, CLIENT, hopeless).await;
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

    fn learn(&mut self, members: &[Listed]) {
        for member in members {
            self.learn_one(member);
        }
    }

    fn learn_one(&mut self, member: &Listed) {
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

/// Whether etcd is known not to run on so many voters of each list that none of them has a quorum; without a list nobody knows.
fn is_hopeless<'a>(lists: impl Iterator<Item = &'a [Listed]>, stopped: &Stopped) -> bool {
    let mut lists = lists.filter(|list| !list.is_empty()).peekable();
    let runs = |member: &&Listed| {
        let mut places = member.peer_urls.iter().filter_map(|url| authority(url));
        !places.any(|place| stopped.contains(&place))
    };
    lists.peek().is_some()
        && lists.all(|list| {
            let voters = list.iter().filter(|member| !member.is_learner);
            let (voters, may_run) = (voters.clone().count(), voters.filter(runs).count());
            may_run < voters / 2 + 1
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MemberId;

    fn listed(number: u64, is_learner: bool) -> Listed {
        Listed {
            id: MemberId(number),
            name: format!("m{number}"),
            peer_urls: vec![format!("https://10.0.0.{number}:2380")],
            client_urls: Vec::new(),
            is_learner,
        }
    }

    fn stopped(numbers: &[u64]) -> Stopped {
        let place = |number| format!("10.0.0.{number}:2380");
        numbers.iter().map(place).collect()
    }

    #[test]
    fn a_quorum_is_given_up_only_where_too_few_voters_may_run() {
        let three: Vec<Listed> = (1..=3).map(|number| listed(number, false)).collect();
        let with_a_learner = [&three[..], &[listed(4, true)]].concat();
        for (lists, stopped, hopeless) in [
            (vec![&three[..]], stopped(&[]), false),
            (vec![&three[..]], stopped(&[3]), false),
            (vec![&three[..]], stopped(&[2, 3]), true),
            (vec![&three[..]], stopped(&[3, 4]), false),
            (vec![&with_a_learner[..]], stopped(&[3, 4]), false),
            (vec![&with_a_learner[..]], stopped(&[2, 3]), true),
            // Who was taken out lists others.
            (vec![&three[..], &three[..1]], stopped(&[2, 3]), false),
            (vec![&[]], stopped(&[1, 2, 3]), false),
        ] {
            assert_eq!(is_hopeless(lists.into_iter(), &stopped), hopeless);
        }
    }
}
