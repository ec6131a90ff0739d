//! What the steps of a recovery ask of a node.

use std::path::{Path, PathBuf};

use super::playbook::Kind;
use crate::config::{Node, Reach};
use crate::node::{Action, Directories, NewCluster};

/// What is decided when a plan begins; in a plan that is only shown, the words in capitals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Particulars {
    /// The recovery.
    pub(super) run: String,
    /// The new cluster's token.
    pub(super) token: String,
    /// By how much the revision is raised.
    pub(super) bump: Option<i64>,
    /// The members, as `--initial-cluster` takes them.
    pub(super) initial_cluster: String,
    /// Whether the cluster begins anew.
    pub(super) begins_anew: bool,
    /// Where the snapshot lies on this machine.
    pub(super) snapshot: PathBuf,
    /// Takes a database that nothing proves.
    pub(super) unproven: bool,
    /// The command of a site's step.
    pub(super) command: Vec<String>,
}

/// The member's directories on a node.
pub(super) fn directories(node: &Node) -> Directories {
    Directories {
        data_dir: node.data_dir.clone().unwrap_or_default(),
        wal_dir: node.wal_dir.clone(),
    }
}

/// Where the snapshot lies on a node: in the data directory, which has the room; on this machine where it is.
pub(super) fn snapshot_on(node: &Node, ours: &Path, run: &str) -> PathBuf {
    match node.reach {
        Reach::Local => ours.to_owned(),
        _ => directories(node).data_dir.join(format!("etcdrx-{run}.db")),
    }
}

/// Where a node leaves what it took out of its own directory.
pub(super) fn salvaged_on(node: &Node, run: &str) -> PathBuf {
    directories(node)
        .data_dir
        .join(format!("etcdrx-salvaged-{run}.db"))
}

/// A look at a node, as quick as one that a person waits for must be.
pub(super) fn inspect(node: &Node) -> Action {
    Action::Inspect {
        directories: directories(node),
        service: node.service(),
        settings: node.settings(),
        quick: true,
    }
}

/// The action of a step on a node; none where the step is no matter of a node.
pub(super) fn of_step(kind: Kind, node: &Node, particulars: &Particulars) -> Option<Action> {
    let run = particulars.run.clone();
    let directories = directories(node);
    Some(match kind {
        Kind::Stop | Kind::StopSource => Action::Stop {
            service: node.service()?,
            directories,
            kill: true,
            run,
        },
        Kind::Start => Action::Start {
            service: node.service()?,
            run,
        },
        Kind::SetAside => Action::SetAside { directories, run },
        Kind::Place => Action::Place { directories, run },
        Kind::Stage => Action::Stage {
            snapshot: snapshot_on(node, &particulars.snapshot, &run),
            unproven: particulars.unproven,
            directories,
            cluster: NewCluster {
                initial_cluster: particulars.initial_cluster.clone(),
                token: particulars.token.clone(),
                name: node.name.clone(),
            },
            bump_revision: particulars.bump,
            clear_alarms: true,
            run,
        },
        Kind::Salvage => Action::Salvage {
            output: salvaged_on(node, &run),
            directories,
            etcd: node.etcd.clone(),
            run,
        },
        Kind::CopyDatabase => Action::CopyDatabase {
            output: salvaged_on(node, &run),
            directories,
            run,
        },
        Kind::Configure => Action::Configure {
            settings: node.settings()?,
            initial_cluster: particulars.initial_cluster.clone(),
            state: "existing".to_owned(),
            token: particulars.begins_anew.then(|| particulars.token.clone()),
            run,
        },
        Kind::ForceNewCluster => Action::ForceNewCluster {
            directories,
            etcd: node.etcd.clone(),
            run,
        },
        Kind::CheckPlaced | Kind::CheckAside => inspect(node),
        Kind::Command => Action::Command {
            command: particulars.command.clone(),
            run,
        },
        _ => return None,
    })
}
