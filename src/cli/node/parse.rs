//! From words to an action: the way back of `Action::words`.

use std::path::PathBuf;

use clap::Args;
use etcdrx::config::{Service, ServiceKind};
use etcdrx::node::{Action, Directories, NewCluster};

use super::{NodeCommand, OnDataArgs, StageArgs};

/// The recovery that asks for it.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Names the recovery: it stands in the names of what is set aside, and in the journal
    #[arg(long, value_name = "RUN")]
    pub(crate) run: String,
}

/// The member's directories.
#[derive(Debug, Args)]
pub(crate) struct DirectoryArgs {
    /// The member's data directory, as etcd's --data-dir names it
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,

    /// The directory of its log, where etcd runs with --wal-dir
    #[arg(long, value_name = "DIR")]
    pub(crate) wal_dir: Option<PathBuf>,
}

/// What starts and stops etcd.
#[derive(Debug, Args)]
pub(crate) struct ServiceArgs<const REQUIRED: bool> {
    /// What starts and stops etcd: systemd:UNIT, static-pod:MANIFEST or command
    #[arg(long, value_name = "SERVICE", required = REQUIRED)]
    pub(crate) service: Option<ServiceKind>,

    /// With `command`: what starts etcd and returns at once; once for each word
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) start: Vec<String>,

    /// With `command`: what stops etcd and returns at once; once for each word
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) stop: Vec<String>,

    /// With `command`: what exits 0 where etcd runs, and 3 where it is stopped; once for each word
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) status: Vec<String>,
}

/// The journal of an action that names no data directory.
#[derive(Debug, Args)]
pub(crate) struct JournalArgs {
    /// Write what is done into this journal; of a member: DATA_DIR.etcdrx-journal.jsonl
    #[arg(long, value_name = "FILE")]
    pub(crate) journal: Option<PathBuf>,
}

impl<const REQUIRED: bool> ServiceArgs<REQUIRED> {
    /// The service; an error says what is missing.
    fn service(&self) -> Result<Option<Service>, String> {
        Ok(match self.service.clone() {
            None => None,
            Some(ServiceKind::Systemd(unit)) => Some(Service::Systemd { unit }),
            Some(ServiceKind::StaticPod(manifest)) => Some(Service::StaticPod { manifest }),
            Some(ServiceKind::Command) => {
                let words = [&self.start, &self.stop, &self.status];
                if words.iter().any(|words| words.is_empty()) {
                    return Err(
                        "a service of commands takes --start, --stop and --status, once for each word"
                            .to_owned(),
                    );
                }
                Some(Service::Command {
                    start: self.start.clone(),
                    stop: self.stop.clone(),
                    status: self.status.clone(),
                })
            }
        })
    }

    fn known(&self) -> Result<Service, String> {
        self.service()?
            .ok_or_else(|| "--service says what starts and stops etcd".to_owned())
    }
}

impl From<&DirectoryArgs> for Directories {
    fn from(args: &DirectoryArgs) -> Self {
        Self {
            data_dir: args.data_dir.clone(),
            wal_dir: args.wal_dir.clone(),
        }
    }
}

impl NodeCommand {
    /// Where the journal lies, if the action itself does not tell.
    pub(super) fn journal(&self) -> Option<PathBuf> {
        match self {
            Self::Start(args) => args.journal.journal.clone(),
            Self::Receive(args) => args.journal.journal.clone(),
            Self::Configure(args) => args.journal.journal.clone(),
            Self::Command(args) => args.journal.journal.clone(),
            _ => None,
        }
    }
}

impl TryFrom<&NodeCommand> for Action {
    type Error = String;

    fn try_from(command: &NodeCommand) -> Result<Self, String> {
        Ok(match command {
            NodeCommand::Inspect(args) => Self::Inspect {
                directories: Directories {
                    data_dir: args.data_dir.clone(),
                    wal_dir: args.wal_dir.clone(),
                },
                service: args.service.service()?,
                settings: args.settings.clone(),
                quick: args.quick,
            },
            NodeCommand::Stop(args) => Self::Stop {
                service: args.service.known()?,
                directories: (&args.directories).into(),
                kill: args.kill,
                run: args.run.run.clone(),
            },
            NodeCommand::Start(args) => Self::Start {
                service: args.service.known()?,
                run: args.run.run.clone(),
            },
            NodeCommand::Receive(args) => Self::Receive {
                path: args.path.clone(),
                sha256: args.sha256,
            },
            NodeCommand::Send(args) => Self::Send {
                path: args.path.clone(),
            },
            NodeCommand::Configure(args) => Self::Configure {
                settings: args.settings.clone(),
                initial_cluster: args.initial_cluster.clone(),
                state: args.initial_cluster_state.clone(),
                token: args.initial_cluster_token.clone(),
                run: args.run.run.clone(),
            },
            NodeCommand::Command(args) => Self::Command {
                command: args.command.clone(),
                run: args.run.run.clone(),
            },
            other => on_data(other),
        })
    }
}

fn on_data(command: &NodeCommand) -> Action {
    let both = |args: &OnDataArgs| (Directories::from(&args.directories), args.run.run.clone());
    match command {
        NodeCommand::SetAside(args) => {
            let (directories, run) = both(args);
            Action::SetAside { directories, run }
        }
        NodeCommand::Place(args) => {
            let (directories, run) = both(args);
            Action::Place { directories, run }
        }
        NodeCommand::PutBack(args) => {
            let (directories, run) = both(args);
            Action::PutBack { directories, run }
        }
        NodeCommand::Unstage(args) => {
            let (directories, run) = both(args);
            Action::Unstage { directories, run }
        }
        NodeCommand::Stage(args) => stage(args),
        NodeCommand::Salvage(args) => {
            let (directories, run) = both(&args.on);
            Action::Salvage {
                directories,
                etcd: args.etcd.clone(),
                output: args.output.clone(),
                run,
            }
        }
        NodeCommand::CopyDatabase(args) => {
            let (directories, run) = both(&args.on);
            Action::CopyDatabase {
                directories,
                output: args.output.clone(),
                run,
            }
        }
        NodeCommand::ForceNewCluster(args) => {
            let (directories, run) = both(&args.on);
            Action::ForceNewCluster {
                directories,
                etcd: args.etcd.clone(),
                run,
            }
        }
        other => unreachable!("{other:?} is not about data"),
    }
}

fn stage(args: &StageArgs) -> Action {
    Action::Stage {
        snapshot: args.snapshot.clone(),
        unproven: args.skip_hash_check,
        directories: (&args.directories).into(),
        cluster: NewCluster {
            initial_cluster: args.initial_cluster.clone(),
            token: args.initial_cluster_token.clone(),
            name: args.name.clone(),
        },
        bump_revision: args.bump_revision,
        clear_alarms: args.clear_alarms,
        run: args.run.run.clone(),
    }
}
