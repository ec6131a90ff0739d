//! Makes one picture of what ports, lists and nodes say: every member once.

use std::collections::BTreeMap;

use super::super::observation::{Alarm, Class, Member, Quorum, Status};
use super::Nodes;
use super::because::because;
use super::classify::{Client, Facts, Port, classify, is_foreign};
use super::gather::{Gathered, PeerView, authority};
use super::sight::{Lists, clusters, our_cluster};
use crate::config::Node;
use crate::etcd::{Error, Listed, MemberStatus, Reads, View};
use crate::id::{ClusterId, MemberId};
use crate::manifest::Finding;

/// What the ports, lists and nodes come to.
pub(super) struct Picture {
    pub(super) members: Vec<Member>,
    pub(super) clusters: BTreeMap<ClusterId, Vec<String>>,
    pub(super) quorum: Quorum,
    pub(super) alarms: Vec<Alarm>,
    pub(super) findings: Vec<Finding>,
}

/// Pure: the same answers make the same picture.
pub(super) fn merge(gathered: &Gathered, nodes: &[Node], inspected: &Nodes) -> Picture {
    let ours = our_cluster(gathered);
    let lists = Lists::of(gathered, inspected, ours);
    let sources = Sources {
        gathered,
        inspected,
        ours,
    };
    let mut drafts = drafts(&lists, nodes);
    drafts.extend(sources.strangers(&drafts));
    let mut members: Vec<Member> = drafts.iter().map(|draft| sources.complete(draft)).collect();
    members.sort_by(|a, b| (&a.name, &a.endpoint).cmp(&(&b.name, &b.endpoint)));
    let mut findings = lists.findings;
    findings.extend(sources.findings());
    Picture {
        clusters: clusters(members.iter().filter_map(|member| {
            let status = member.status.as_ref().map(|status| status.cluster_id);
            let label = [&member.name, member.endpoint.as_ref()?];
            let label = label.into_iter().find(|label| !label.is_empty())?;
            Some((status.or(member.peer.cluster_id)?, label.as_str()))
        })),
        quorum: sources.quorum(&lists.listed, &members),
        alarms: sources.alarms(),
        members,
        findings,
    }
}

/// A member before it is looked at.
#[derive(Default)]
struct Draft {
    name: String,
    id: Option<MemberId>,
    peer_urls: Vec<String>,
    client_urls: Vec<String>,
    listed: bool,
    started: bool,
    /// The node of the configuration.
    node: Option<String>,
}

/// The members of the list, then those that only others list, then the nodes that nobody lists.
fn drafts(lists: &Lists, nodes: &[Node]) -> Vec<Draft> {
    let listed = lists.listed.iter().map(|member| (member, true));
    let others = lists.others.iter().map(|member| (member, false));
    let mut drafts: Vec<Draft> = listed
        .chain(others)
        .map(|(member, listed)| Draft::of(member, listed))
        .collect();
    for node in nodes {
        let found = drafts.iter_mut().find(|draft| draft.is_at(node));
        if let Some(draft) = found {
            draft.take(node);
            continue;
        }
        let mut draft = Draft {
            name: node.name.clone(),
            // Where nobody lists anybody, the configuration says who the members are.
            started: true,
            ..Draft::default()
        };
        draft.take(node);
        drafts.push(draft);
    }
    drafts
}

impl Draft {
    fn of(member: &Listed, listed: bool) -> Self {
        Self {
            name: member.name.clone(),
            id: Some(member.id),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
            listed,
            started: !member.name.is_empty(),
            node: None,
        }
    }

    /// Whether it runs on this node: by its peer URL, or else its name.
    fn is_at(&self, node: &Node) -> bool {
        let has = |urls: &[String], url: Option<&String>| {
            url.is_some_and(|url| urls.iter().any(|known| same(known, url)))
        };
        self.node.is_none()
            && (has(&self.peer_urls, node.peer_url.as_ref())
                || !self.name.is_empty() && self.name == node.name)
    }

    fn take(&mut self, node: &Node) {
        self.node = Some(node.name.clone());
        if self.name.is_empty() {
            self.name.clone_from(&node.name);
        }
        let add = |urls: &mut Vec<String>, url: Option<&String>| {
            if let Some(url) = url.filter(|url| !urls.iter().any(|known| same(known, url))) {
                urls.push(url.clone());
            }
        };
        add(&mut self.peer_urls, node.peer_url.as_ref());
        add(&mut self.client_urls, node.client_url.as_ref());
    }
}

fn same(one: &str, other: &str) -> bool {
    authority(one).is_some_and(|one| authority(other) == Some(one))
}

/// What the members are completed from.
struct Sources<'a> {
    gathered: &'a Gathered,
    inspected: &'a Nodes,
    ours: Option<ClusterId>,
}

impl<'a> Sources<'a> {
    /// Endpoints that belong to nobody whom we know, each once.
    fn strangers(&self, drafts: &[Draft]) -> Vec<Draft> {
        let mut strangers: Vec<Draft> = Vec::new();
        for view in &self.gathered.views {
            let id = self.member_id(view);
            let is_known = |draft: &Draft| {
                draft.id.is_some() && draft.id == id
                    || draft
                        .client_urls
                        .iter()
                        .any(|url| same(url, &view.endpoint))
            };
            if drafts.iter().chain(&strangers).any(is_known) {
                continue;
            }
            let own = view.members.iter().find(|member| Some(member.id) == id);
            strangers.push(Draft {
                name: own.map(|own| own.name.clone()).unwrap_or_default(),
                id,
                client_urls: vec![view.endpoint.clone()],
                started: true,
                ..Draft::default()
            });
        }
        strangers
    }

    /// The id of a member of our cluster.
    fn member_id(&self, view: &View) -> Option<MemberId> {
        let status = view.status.as_ref().ok()?;
        (Some(status.cluster_id) == self.ours).then_some(status.member_id)
    }

    fn complete(&self, draft: &Draft) -> Member {
        let view = self.view(draft);
        let peer = self.peer(draft);
        let node = draft
            .node
            .as_ref()
            .and_then(|name| self.inspected.get(name));
        let inspected = node.and_then(|node| node.as_ref().ok());
        let status = view.and_then(|view| view.status.as_ref().ok());
        let found = status.map(|status| status.cluster_id);
        let found = found.or(peer.and_then(|peer| peer.peer.cluster_id));
        let facts = Facts {
            client: view.map_or(Client::Mute(Port::Untried), Client::of),
            peer: peer.map_or(Port::Untried, |peer| peer.port),
            process: inspected.map(|inspected| inspected.process.running),
            is_foreign: is_foreign(found, self.ours),
        };
        let class = classify(facts);
        Member {
            name: draft.name.clone(),
            id: draft.id,
            peer_urls: draft.peer_urls.clone(),
            client_urls: draft.client_urls.clone(),
            endpoint: view.map(|view| view.endpoint.clone()),
            listed: draft.listed,
            started: draft.started,
            class,
            because: because(view, peer, inspected, found.filter(|_| facts.is_foreign)),
            status: status.map(told),
            peer: peer.map(|peer| peer.peer.clone()).unwrap_or_default(),
            node: inspected.cloned(),
            node_error: node.and_then(|node| node.as_ref().err()).cloned(),
        }
    }

    /// What the member's client port said: by its id, or else what answers at its URLs and is of another cluster, or does not answer.
    fn view(&self, draft: &Draft) -> Option<&'a View> {
        let views = &self.gathered.views;
        let by_id = |view: &&View| draft.id.is_some() && self.member_id(view) == draft.id;
        let mut there = views.iter().filter(|view| {
            let is_there = draft
                .client_urls
                .iter()
                .any(|url| same(url, &view.endpoint));
            is_there && (draft.id.is_none() || self.member_id(view).is_none())
        });
        let answered = |view: &&&View| view.status.is_ok();
        let by_url = || {
            let there: Vec<&View> = there.by_ref().collect();
            there.iter().find(answered).or(there.first()).copied()
        };
        views.iter().find(by_id).or_else(by_url)
    }

    fn peer(&self, draft: &Draft) -> Option<&'a PeerView> {
        let at = |peer: &&PeerView| draft.peer_urls.iter().any(|url| same(url, &peer.url));
        let mut there = self.gathered.peers.iter().filter(at);
        let first = there.next()?;
        Some(match first.port {
            Port::Answers => first,
            _ => there
                .find(|peer| peer.port == Port::Answers)
                .unwrap_or(first),
        })
    }

    fn quorum(&self, listed: &[Listed], members: &[Member]) -> Quorum {
        let learner = |id| {
            listed
                .iter()
                .any(|one| Some(one.id) == id && one.is_learner)
        };
        let is_voter = |member: &&Member| {
            (member.listed || listed.is_empty() && member.class != Class::Foreign)
                && !learner(member.id)
        };
        let voters: Vec<&Member> = members.iter().filter(is_voter).collect();
        let can_vote = [Class::Ok, Class::NoLeader, Class::Starting];
        let ours = self.gathered.views.iter().filter_map(|view| {
            let status = view.status.as_ref().ok()?;
            (Some(status.cluster_id) == self.ours).then_some((view, status))
        });
        let newest = ours
            .clone()
            .filter(|(_, status)| status.leader.is_some())
            .max_by_key(|(view, status)| (view.reads == Reads::Yes, status.raft_term));
        Quorum {
            need: match voters.len() {
                0 => 0,
                count => count / 2 + 1,
            },
            have: voters
                .iter()
                .filter(|member| can_vote.contains(&member.class))
                .count(),
            voters: voters.len(),
            reads: ours.clone().any(|(view, _)| view.reads == Reads::Yes)
                || self.nameless().any(|view| view.reads == Reads::Yes),
            leader: newest.and_then(|(_, status)| status.leader),
        }
    }

    fn nameless(&self) -> impl Iterator<Item = &View> {
        let views = self.gathered.views.iter();
        views.filter(|view| view.status.is_err())
    }

    fn alarms(&self) -> Vec<Alarm> {
        let mut alarms: Vec<Alarm> = Vec::new();
        for status in self.gathered.views.iter().flat_map(|view| &view.status) {
            if Some(status.cluster_id) != self.ours {
                continue;
            }
            let kinds = [("NOSPACE", &status.nospace), ("CORRUPT", &status.corrupt)];
            for (kind, member_id) in kinds
                .iter()
                .flat_map(|(kind, ids)| ids.iter().map(move |id| (*kind, *id)))
            {
                let alarm = Alarm {
                    kind: kind.to_owned(),
                    member_id,
                };
                if !alarms.contains(&alarm) {
                    alarms.push(alarm);
                }
            }
        }
        alarms
    }

    fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for view in &self.gathered.views {
            match (&view.status, &view.reads) {
                (Err(error @ Error::Unreachable { diagnosis, .. }), _) if diagnosis.is_tls() => {
                    findings.push(Finding::error("tls", error.to_string()));
                }
                (Err(error), Reads::Yes | Reads::No(_)) => {
                    findings.push(Finding::error("not-allowed", error.to_string()));
                }
                (Ok(status), Reads::No(why)) if status.leader.is_some() => {
                    let message = format!("there is a leader, and a read does not succeed: {why}");
                    findings.push(Finding::warning("read-failed", message));
                }
                (Ok(status), Reads::Yes) if status.leader != view.first_leader => {
                    let name = |leader: Option<MemberId>| {
                        leader.map_or("no leader".to_owned(), |leader| leader.to_string())
                    };
                    let message = format!(
                        "an election happened while we looked: {} first named {}, and then {}",
                        view.endpoint,
                        name(view.first_leader),
                        name(status.leader)
                    );
                    findings.push(Finding::note("leader-changed", message));
                }
                _ => {}
            }
        }
        findings
    }
}

fn told(status: &MemberStatus) -> Status {
    Status {
        member_id: status.member_id,
        cluster_id: status.cluster_id,
        version: status.version.clone(),
        leader: status.leader,
        raft_term: status.raft_term,
        raft_index: status.raft_index,
        applied_index: status.applied_index,
        revision: status.revision,
        db_size_bytes: status.db_size_bytes,
    }
}
