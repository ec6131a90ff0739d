//! `etcdrx drill`: rehearsals.

mod backup;
mod recovery;
mod rehearsed;

use std::env;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use self::backup::BackupArgs;
use self::recovery::RecoveryArgs;
use super::Outcome;
use super::context::Context;

/// The commands below `drill`.
#[derive(Debug, Subcommand)]
pub(crate) enum DrillCommand {
    /// Boot a backup in an etcd of our own, and hold what it serves against the manifest
    Backup(BackupArgs),
    /// Break a scratch cluster while clients write, bring it back, and hold it to everything that it acknowledged
    Recovery(RecoveryArgs),
}

/// Where the work is done, and with what.
#[derive(Debug, Args)]
#[command(next_help_heading = "Scratch")]
pub(crate) struct ScratchArgs {
    /// The program etcd [default: the one of the right version in PATH, or where it is installed by custom]
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd: Option<PathBuf>,

    /// Directory with room for the data; nothing is left in it [default: that of the system for temporary files]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

impl ScratchArgs {
    fn directory(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(env::temp_dir)
    }
}

/// The folders in which programs are looked for.
fn program_folders() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).collect()
}

pub(super) async fn run(context: &Context<'_>, command: &DrillCommand) -> Outcome {
    match command {
        DrillCommand::Backup(args) => backup::run(context, args).await,
        DrillCommand::Recovery(args) => recovery::run(context, args).await,
    }
}
