//! The actions of a node, and what they answer.
//!
//! Every action can be repeated: where its effect is there already it says so, and changes nothing.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::config::{Service, Settings};
use crate::datadir::inspect::Inspection;
use crate::datadir::wal::Raised;
use crate::id::{ClusterId, Digest, MemberId, Revision};
use crate::manifest::Finding;

use super::database::DatabaseFacts;

/// A member's directories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directories {
    /// The data directory, as etcd's `--data-dir` names it.
    pub data_dir: PathBuf,
    /// The directory of the log, if not below it.
    pub wal_dir: Option<PathBuf>,
}

/// The members of a cluster that begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewCluster {
    /// All members, as `--initial-cluster` takes them.
    pub initial_cluster: String,
    /// What makes the ids; never that of an earlier cluster.
    pub token: String,
    /// The member of this node.
    pub name: String,
}

/// What one node must do. `run` is the recovery that asks for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
pub enum Action {
    /// Reads the member's directory offline, and says whether etcd runs. Changes nothing.
    Inspect {
        /// The member's directories.
        directories: Directories,
        /// The service, where it is known.
        service: Option<Service>,
        /// Where the flags stand, where that is known.
        settings: Option<Settings>,
        /// Reads only the edges of the database.
        quick: bool,
    },
    /// Ends etcd and keeps it from being started by others (mask, manifest moved out), and waits until it is gone.
    Stop {
        /// The service.
        service: Service,
        /// The member's directories: their locks prove that it is gone.
        directories: Directories,
        /// Kills it where it does not end by itself.
        kill: bool,
        /// The recovery.
        run: String,
    },
    /// Starts etcd and returns at once: without a quorum it is not ready for a long time.
    Start {
        /// The service.
        service: Service,
        /// The recovery.
        run: String,
    },
    /// Takes a file from standard input: under a temporary name, digested, synced, renamed.
    Receive {
        /// Where it goes.
        path: PathBuf,
        /// What it must be.
        sha256: Digest,
    },
    /// Writes a file to standard output.
    Send {
        /// Where it lies.
        path: PathBuf,
    },
    /// Restores a snapshot beside the member's data, which is neither read nor touched; etcd may run meanwhile.
    Stage {
        /// The snapshot: with a trailer, which is checked.
        snapshot: PathBuf,
        /// Takes a database file that nothing proves whole.
        unproven: bool,
        /// Where the member's data will be.
        directories: Directories,
        /// The new cluster.
        cluster: NewCluster,
        /// By how much the revision is raised, everything before marked as compacted.
        bump_revision: Option<i64>,
        /// Leaves out alarms.
        clear_alarms: bool,
        /// The recovery.
        run: String,
    },
    /// Renames `member` (and the directory of the log) aside, to `member.etcdrx-RUN`. Refuses while etcd runs on it.
    SetAside {
        /// The member's directories.
        directories: Directories,
        /// The recovery.
        run: String,
    },
    /// Puts what was staged in its place, with the owner and mode that the data had. Refuses where there is a member already.
    Place {
        /// The member's directories.
        directories: Directories,
        /// The recovery.
        run: String,
    },
    /// Puts what was set aside back in its place, what is there now aside. Refuses while etcd runs on it.
    PutBack {
        /// The member's directories.
        directories: Directories,
        /// The recovery.
        run: String,
    },
    /// Removes what was staged and not placed.
    Unstage {
        /// The member's directories.
        directories: Directories,
        /// The recovery.
        run: String,
    },
    /// Writes `initial-cluster`, its state and token into the member's settings; comments stay, a copy is kept, and what
    /// was written is read back.
    Configure {
        /// Where the flags stand.
        settings: Settings,
        /// All members, as `--initial-cluster` takes them.
        initial_cluster: String,
        /// `new` or `existing`.
        state: String,
        /// The token; left as it is where nothing is said.
        token: Option<String>,
        /// The recovery.
        run: String,
    },
    /// Copies the directory of a member that does not run, commits every entry of the copy's log, runs etcd on the copy alone with
    /// `--force-new-cluster`, takes its snapshot, and removes the copy.
    Salvage {
        /// The member's directories; only read.
        directories: Directories,
        /// The program etcd, of the version that wrote the directory; looked for where nothing is said.
        etcd: Option<PathBuf>,
        /// Where the snapshot goes.
        output: PathBuf,
        /// The recovery.
        run: String,
    },
    /// Copies the database of a member that does not run, as it is: what stands only in the log is not in it.
    CopyDatabase {
        /// The member's directories; only read.
        directories: Directories,
        /// Where the copy goes.
        output: PathBuf,
        /// The recovery.
        run: String,
    },
    /// Makes a member that does not run the only one of its cluster, with its id, its data and its peer URLs: what is made is a copy, that
    /// takes the place of the directory, which is set aside. Every other member must be stopped, and its data set aside.
    ForceNewCluster {
        /// The member's directories; only read and renamed.
        directories: Directories,
        /// The program etcd, of the version that wrote the directory; looked for where nothing is said.
        etcd: Option<PathBuf>,
        /// The recovery.
        run: String,
    },
    /// Runs a command of the site's own.
    Command {
        /// The command and its arguments.
        command: Vec<String>,
        /// The recovery.
        run: String,
    },
}

/// Whether etcd runs on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Running {
    /// It runs.
    Running,
    /// It runs and does nothing: stopped by a signal, or waiting for a disk (process state T or D).
    Frozen,
    /// It does not run.
    Stopped,
    /// Nobody can say.
    Unknown,
}

/// What is known of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessFacts {
    /// Whether it runs.
    pub running: Running,
    /// Its process id.
    pub pid: Option<u32>,
    /// The code that it exited with last, where the service knows.
    pub exit_code: Option<i32>,
    /// Whether it, or what starts it, names `force-new-cluster`, and where.
    pub force_new_cluster: Vec<String>,
    /// The last lines of its log, where the service keeps one.
    pub log: Vec<String>,
    /// The program that runs or would run.
    pub etcd: Option<PathBuf>,
    /// Its version, such as 3.6.14.
    pub version: Option<String>,
}

/// What an inspection of a node found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspected {
    /// What the directory says; absent where there is none.
    pub directory: Option<Inspection<DatabaseFacts>>,
    /// What is known of the process.
    pub process: ProcessFacts,
    /// The flags that matter, by their names on the command line: name, data-dir, wal-dir, initial-cluster ...
    pub flags: std::collections::BTreeMap<String, String>,
    /// What is wrong or worth a look.
    pub findings: Vec<Finding>,
    /// Directories that recoveries set aside or left here.
    pub set_aside: Vec<PathBuf>,
}

/// What an action answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// To `inspect`.
    Inspected(Box<Inspected>),
    /// To everything that changes something.
    Done {
        /// Whether anything was changed now; otherwise it was there already.
        changed: bool,
        /// What was done, for the journal.
        evidence: Vec<String>,
    },
    /// To `stage`.
    Staged {
        /// The id that the member will have.
        member_id: MemberId,
        /// The id of the new cluster.
        cluster_id: ClusterId,
        /// The snapshot's newest revision.
        snapshot_revision: Revision,
        /// The revision that the member begins with.
        revision: Revision,
        /// Whether anything was changed now; otherwise it was staged already.
        changed: bool,
    },
    /// To `salvage` and `copy-database`.
    Salvaged {
        /// Where the snapshot lies on the node.
        snapshot: PathBuf,
        /// Its SHA-256, whole file.
        sha256: Digest,
        /// Its size.
        size_bytes: u64,
        /// Its newest revision.
        revision: Revision,
        /// What was appended to the copy's log.
        raised: Option<Raised>,
        /// How etcd was run on the copy, word by word.
        command: Vec<String>,
    },
}
