//! What the evidence comes to, as far as a plan asks.

use crate::id::{ClusterId, Revision};
use crate::node::Running;
use crate::recovery::directory::{self, Data};
use crate::recovery::judge::last_words::{self, Meaning};
use crate::recovery::observation::{Class, Member, Observation};

/// Whether a member's directory is its own, sound, and worth starting.
#[must_use]
pub fn has_whole_directory(member: &Member) -> bool {
    directory::data(member) == Data::Intact && !gave_up(member)
}

/// Whether etcd itself said, when it ended, that it will not come up on its data again: that tells more than the files do.
pub(super) fn gave_up(member: &Member) -> bool {
    let log = member.node.as_ref().map(|node| node.process.log.as_slice());
    let last_words = log.and_then(last_words::read).map(|(meaning, _)| meaning);
    matches!(
        last_words,
        Some(Meaning::Removed | Meaning::Damaged | Meaning::Blank)
    )
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
    member.class == Class::Ok
}
