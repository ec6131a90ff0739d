//! What a look at a node says about a step that may have been done by a process that died: the node is trusted, not the journal.

use std::path::PathBuf;

use crate::id::MemberId;
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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// The id that the member is to get, once it is known.
    pub(super) new_member: Option<MemberId>,
    /// Where the data of before lie once others have taken their place, of a member that keeps its id.
    pub(super) aside: Option<PathBuf>,
}

/// Whose data they are.
pub(super) fn data(inspected: &Inspected, expected: &Expected) -> Data {
    let Some(directory) = &inspected.directory else {
        return Data::None;
    };
    if directory.log.is_none() && directory.database_held.is_none() {
        return Data::None;
    }
    let is_new_member = expected.new_member.is_some() && directory.node_id == expected.new_member;
    let aside = expected.aside.as_ref();
    let is_replaced = aside.is_some_and(|aside| inspected.set_aside.contains(aside));
    match is_new_member || is_replaced {
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
        Kind::SendSnapshot | Kind::Stage | Kind::ForceNewCluster => data == Data::New,
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
