//! What a look at a node says about a step that may have been done by a process that died: the node is trusted, not the journal.

use crate::id::{ClusterId, MemberId};
use crate::node::{Inspected, Running};
use crate::recovery::playbook::Kind;

/// Whose data lie on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    /// Those of before.
    Old,
    /// None.
    None,
    /// Those of after.
    New,
}

/// How a node would look after the recovery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// The cluster that begins anew, where one does and its id is known.
    pub(super) new_cluster: Option<ClusterId>,
    /// The id of the member before, where it is to get another one.
    pub(super) old_member: Option<MemberId>,
}

/// Whose data they are.
pub(super) fn data(inspected: &Inspected, expected: Expected) -> Data {
    let Some(directory) = &inspected.directory else {
        return Data::None;
    };
    if directory.log.is_none() && directory.database_held.is_none() {
        return Data::None;
    }
    let is_new_cluster =
        expected.new_cluster.is_some() && directory.cluster_id == expected.new_cluster;
    let is_new_member = expected.new_cluster.is_none()
        && expected.old_member.is_some()
        && directory.node_id.is_some()
        && directory.node_id != expected.old_member;
    match is_new_cluster || is_new_member {
        true => Data::New,
        false => Data::Old,
    }
}

/// Whether a step on a node has had its effect, or a later one has taken it up.
pub(super) fn is_settled(kind: Kind, data: Data, running: Running) -> bool {
    let runs = matches!(running, Running::Running | Running::Frozen);
    match kind {
        // What runs on the new data is not to be stopped again. Where no data are, it may have been cut short before it made a place
        // for them.
        Kind::Stop | Kind::StopSource => data == Data::New || (data == Data::Old && !runs),
        // Placing looks by itself, and takes away what a kill in the middle of it has left.
        Kind::SendSnapshot | Kind::Stage => data == Data::New,
        Kind::SetAside => data != Data::Old,
        Kind::Start => runs,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_runs_on_the_new_data_is_stopped_or_set_aside_again() {
        for kind in [Kind::Stop, Kind::SetAside, Kind::Stage, Kind::Start] {
            assert!(is_settled(kind, Data::New, Running::Running), "{kind}");
        }
    }

    #[test]
    fn a_node_with_the_old_data_goes_through_every_step() {
        for kind in [Kind::Stop, Kind::SetAside, Kind::Stage, Kind::Place] {
            assert!(!is_settled(kind, Data::Old, Running::Running), "{kind}");
        }
        assert!(!is_settled(Kind::Stop, Data::None, Running::Stopped));
        assert!(is_settled(Kind::SetAside, Data::None, Running::Stopped));
        assert!(!is_settled(Kind::Place, Data::None, Running::Stopped));
        assert!(!is_settled(Kind::Start, Data::New, Running::Stopped));
    }
}
