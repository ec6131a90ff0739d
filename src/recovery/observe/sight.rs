//! Which of the clusters that answer is ours, and whose list of its members counts.

use std::collections::{BTreeMap, BTreeSet};

use super::Nodes;
use super::gather::Gathered;
use crate::etcd::{Listed, MemberStatus, Reads, View};
use crate::id::{ClusterId, MemberId};
use crate::manifest::Finding;

/// The cluster that most of the ports belong to; of two alike the one that reads, then the one that was asked first.
///
/// Where the ports tell nothing, or as much of one as of another, the first of the configuration counts: the observation lists all.
pub(super) fn our_cluster(gathered: &Gathered) -> Option<ClusterId> {
    let mut clusters: Vec<(ClusterId, usize, bool)> = Vec::new();
    let mut count =
        |id: ClusterId, reads: bool| match clusters.iter_mut().find(|(known, ..)| *known == id) {
            Some((_, ports, known)) => {
                *ports += 1;
                *known |= reads;
            }
            None => clusters.push((id, 1, reads)),
        };
    for view in &gathered.views {
        if let Ok(status) = &view.status {
            count(status.cluster_id, view.reads == Reads::Yes);
        }
    }
    for peer in &gathered.peers {
        if let Some(id) = peer.peer.cluster_id {
            count(id, false);
        }
    }
    // The last of several equal ones is taken: the first of the configuration is put there.
    let best = clusters.iter().rev();
    let best = best.max_by_key(|(_, ports, reads)| (*ports, *reads));
    best.map(|(id, ..)| *id)
}

/// The members as the one lists them who knows best, and those that only others list.
#[derive(Default)]
pub(super) struct Lists {
    pub(super) listed: Vec<Listed>,
    pub(super) others: Vec<Listed>,
    pub(super) findings: Vec<Finding>,
}

impl Lists {
    /// From the members of our cluster that answer; else from the databases on the nodes.
    pub(super) fn of(gathered: &Gathered, nodes: &Nodes, ours: Option<ClusterId>) -> Self {
        let mut answers: Vec<(&str, Rank, &[Listed])> = Vec::new();
        for view in &gathered.views {
            if view.members.is_empty() {
                continue;
            }
            if let Ok(status) = &view.status
                && Some(status.cluster_id) == ours
            {
                let rank = (view.reads == Reads::Yes, status.applied_index);
                answers.push((&view.endpoint, rank, &view.members));
            }
        }
        for peer in &gathered.peers {
            if peer.peer.cluster_id == ours && !peer.members.is_empty() {
                answers.push((&peer.url, (false, 0), &peer.members));
            }
        }
        let from_nodes = from_nodes(nodes);
        let best = answers.iter().rev().max_by_key(|(_, rank, _)| *rank);
        let mut lists = Self {
            listed: best.map_or(from_nodes, |(_, _, members)| members.to_vec()),
            ..Self::default()
        };
        for (place, _, members) in &answers {
            lists.compare(place, members);
        }
        if lists.listed.is_empty() {
            let message = "nobody tells who the members of the cluster are: the nodes and endpoints of the configuration are taken for all of them";
            let finding = Finding::warning("list-unknown", message);
            lists.findings.push(finding);
        }
        lists
            .findings
            .extend(several_leaders(&gathered.views, ours));
        lists
    }

    fn compare(&mut self, place: &str, members: &[Listed]) {
        let ids = |members: &[Listed]| members.iter().map(|m| m.id).collect::<BTreeSet<_>>();
        let (known, theirs) = (ids(&self.listed), ids(members));
        if known == theirs {
            return;
        }
        for member in members.iter().filter(|member| !known.contains(&member.id)) {
            if !self.others.iter().any(|other| other.id == member.id) {
                self.others.push(member.clone());
            }
        }
        let text = |ids: &BTreeSet<MemberId>| {
            let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
            ids.join(", ")
        };
        let message = format!(
            "{place} lists other members than the one that knows best: {} instead of {}",
            text(&theirs),
            text(&known)
        );
        self.findings.push(Finding::error("lists-differ", message));
    }
}

/// Who reads with quorum, and has applied most, knows the members best.
type Rank = (bool, u64);

/// The members that the database with the highest index lists, where a node has one that nobody holds.
fn from_nodes(nodes: &Nodes) -> Vec<Listed> {
    let databases = nodes.values().flatten().filter_map(|inspected| {
        let contents = &inspected.directory.as_ref()?.database.as_ref()?.contents;
        Some((contents.consistent_index, contents))
    });
    let best = databases.max_by_key(|(index, _)| *index);
    let members = best.map(|(_, contents)| &contents.members);
    members
        .into_iter()
        .flatten()
        .map(|member| Listed {
            id: member.id,
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            client_urls: member.client_urls.clone(),
            is_learner: member.is_learner,
        })
        .collect()
}

/// Two members of one cluster that both read with quorum, and neither of which lists the other: the cluster was split by force.
fn several_leaders(views: &[View], ours: Option<ClusterId>) -> Option<Finding> {
    let readers = views.iter().filter_map(|view| {
        let status = view.status.as_ref().ok()?;
        let reads = view.reads == Reads::Yes && Some(status.cluster_id) == ours;
        reads.then_some((status, &view.members))
    });
    let readers: Vec<(&MemberStatus, &Vec<Listed>)> = readers.collect();
    let lists = |list: &[Listed], id| list.is_empty() || list.iter().any(|one| one.id == id);
    for (at, (one, ones)) in readers.iter().enumerate() {
        for (other, others) in &readers[at..] {
            if !lists(ones, other.member_id) && !lists(others, one.member_id) {
                let message = format!(
                    "{} and {} name the same cluster, and each reads and writes without the other: they were split by --force-new-cluster",
                    one.endpoint, other.endpoint
                );
                return Some(Finding::error("several-leaders", message));
            }
        }
    }
    None
}

/// The members by the clusters that they say they belong to.
pub(super) fn clusters<'a>(
    members: impl Iterator<Item = (ClusterId, &'a str)>,
) -> BTreeMap<ClusterId, Vec<String>> {
    let mut clusters: BTreeMap<ClusterId, Vec<String>> = BTreeMap::new();
    for (id, name) in members {
        clusters.entry(id).or_default().push(name.to_owned());
    }
    clusters
}
