//! What must lie on a node before any member of a cluster that begins anew is started: pure.

use std::fmt;

use crate::id::{ClusterId, MemberId, Revision};
use crate::node::Inspected;

/// The member that was staged for a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Placed {
    pub(super) cluster: Option<ClusterId>,
    pub(super) member: Option<MemberId>,
    pub(super) revision: Option<Revision>,
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let member = shown(self.member.as_ref());
        let cluster = shown(self.cluster.as_ref());
        write!(f, "member {member} of cluster {cluster}")
    }
}

impl Placed {
    /// What else lies there. etcd starts a blank member beside restored ones, and one that was restored from other bytes, and calls
    /// all of them healthy.
    pub(super) fn problems(self, inspected: &Inspected) -> Vec<String> {
        let mut problems = Vec::new();
        let Some(directory) = &inspected.directory else {
            return vec!["there is no data directory".to_owned()];
        };
        if directory.cluster_id != self.cluster || directory.cluster_id.is_none() {
            let cluster = shown(directory.cluster_id.as_ref());
            problems.push(format!("its log is of cluster {cluster}"));
        }
        if directory.node_id != self.member || self.member.is_none() {
            let member = shown(directory.node_id.as_ref());
            problems.push(format!("its log is of member {member}"));
        }
        let database = directory.database.as_ref();
        let revision = database.map(|database| database.revision);
        // A member that was started before this process looked holds its database locked.
        if directory.database_held != Some(true) && revision != self.revision {
            let revision = shown(revision.as_ref());
            problems.push(format!("its database is at revision {revision}"));
        }
        for place in &inspected.process.force_new_cluster {
            problems.push(format!("force-new-cluster stands in {place}"));
        }
        problems
    }
}

fn shown(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "unknown".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::specimen::{CLUSTER, blank, inspected};

    fn problems(found: &Inspected) -> String {
        let placed = Placed {
            cluster: Some(CLUSTER),
            member: Some(MemberId(2)),
            revision: Some(Revision(100)),
        };
        placed.problems(found).join("; ")
    }

    #[test]
    fn nothing_is_started_beside_a_blank_a_foreign_or_a_differently_restored_member() {
        let right = inspected(2, (1, 5), 100);
        let mut without_log = right.clone();
        let directory = without_log.directory.as_mut().unwrap();
        (directory.node_id, directory.cluster_id) = (None, None);
        let mut of_old_cluster = right.clone();
        of_old_cluster.directory.as_mut().unwrap().cluster_id = Some(ClusterId(0xab));
        let mut forced = right.clone();
        forced.process.force_new_cluster = vec!["the unit etcd.service".to_owned()];

        assert_eq!(problems(&right), "");
        for (found, words) in [
            (blank(), "no data directory"),
            (
                without_log,
                "of cluster unknown; its log is of member unknown",
            ),
            (of_old_cluster, "of cluster ab"),
            (inspected(3, (1, 5), 100), "of member 3"),
            (inspected(2, (1, 5), 99), "at revision 99"),
            (forced, "force-new-cluster stands in the unit etcd.service"),
        ] {
            let problems = problems(&found);
            assert!(problems.contains(words), "{words}: {problems}");
        }
    }

    #[test]
    fn a_member_that_runs_already_is_known_by_its_log() {
        let mut running = inspected(2, (1, 5), 0);
        let directory = running.directory.as_mut().unwrap();
        directory.database_held = Some(true);
        directory.database = None;

        assert_eq!(problems(&running), "");
    }
}
