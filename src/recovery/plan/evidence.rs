//! What the evidence comes to, as far as a plan asks.

use crate::id::{ClusterId, Revision};
use crate::manifest::Severity;
use crate::node::{Inspected, Running};
use crate::recovery::observation::{Class, Member, Observation};

/// What etcd logs when it will never come up on its directory again: the member was removed, or forgot what it acknowledged.
const HOPELESS: [&str; 4] = [
    "permanently removed",
    "tocommit(",
    "crc mismatch",
    "data inconsistency with peers",
];

/// Whether a member's directory is its own, sound, and worth starting.
#[must_use]
pub fn has_whole_directory(member: &Member) -> bool {
    let Some(node) = &member.node else {
        return false;
    };
    let Some(directory) = &node.directory else {
        return false;
    };
    let mut findings = directory.findings.iter().chain(&node.findings);
    let is_damaged = findings.any(|finding| finding.severity == Severity::Error);
    let is_its_own = match (member.id, directory.node_id) {
        (Some(listed), Some(found)) => listed == found,
        (_, found) => found.is_some(),
    };
    directory.log.is_some() && is_its_own && !is_damaged && !is_hopeless(node)
}

fn is_hopeless(node: &Inspected) -> bool {
    let mut log = node.process.log.iter();
    log.any(|line| HOPELESS.iter().any(|text| line.contains(text)))
}

/// Whether a look at the node proved that etcd does not run there.
#[must_use]
pub fn is_stopped(member: &Member) -> bool {
    let node = member.node.as_ref();
    node.is_some_and(|node| node.process.running == Running::Stopped)
}

/// Whether somebody could look at the node.
pub(super) fn was_seen(member: &Member) -> bool {
    member.node.is_some()
}

/// The cluster before the recovery: the one that answers, or else the one of the directories.
pub(super) fn cluster_id(observation: &Observation) -> Option<ClusterId> {
    let answering = observation.clusters.iter();
    let answering = answering.max_by_key(|(_, members)| members.len());
    let directories = || {
        let nodes = observation
            .members
            .iter()
            .filter_map(|member| member.node.as_ref());
        let mut directories = nodes.filter_map(|node| node.directory.as_ref());
        directories.find_map(|directory| directory.cluster_id)
    };
    answering.map(|(id, _)| *id).or_else(directories)
}

/// The revisions of all databases that could be read on the nodes.
pub(super) fn directory_revisions(
    observation: &Observation,
) -> impl Iterator<Item = Revision> + '_ {
    let nodes = observation
        .members
        .iter()
        .filter_map(|member| member.node.as_ref());
    let directories = nodes.filter_map(|node| node.directory.as_ref());
    directories.filter_map(|directory| Some(directory.database.as_ref()?.revision))
}

/// Whether a member votes and is well.
pub(super) fn is_well(member: &Member) -> bool {
    member.listed && member.class == Class::Ok
}

/// Whether it is listed and votes, as far as anybody knows.
pub(super) fn is_voter(member: &Member) -> bool {
    member.listed && member.class != Class::Learner
}
