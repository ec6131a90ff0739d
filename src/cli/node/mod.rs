//! `etcdrx node`: what one node must do, by hand or sent by etcdrx.

mod parse;
mod show;
#[cfg(test)]
mod tests;

use std::io;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use etcdrx::config::Settings;
use etcdrx::datadir::inspect::{Options, inspect};
use etcdrx::id::{ClusterId, Digest, MemberId};
use etcdrx::node::{Action, Answer, DatabaseFacts, Surroundings, perform};

use super::Outcome;
use super::context::Context;
use super::failure::{Exit, Failure};
use super::print;

use self::parse::{DirectoryArgs, JournalArgs, RunArgs, ServiceArgs};

/// The commands below `node`.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Read a member's directory offline: who it is, how far it is, and whether it is whole; changes nothing
    Inspect(InspectArgs),
    /// Stop etcd, keep it from being started, and wait until it is gone
    Stop(StopArgs),
    /// Let etcd be started again, and start it, without waiting until it is ready
    Start(StartArgs),
    /// Take a file from standard input; it shows under its name when it is whole
    Receive(ReceiveArgs),
    /// Write a file to standard output
    Send(SendArgs),
    /// Restore a snapshot beside the member's data, while etcd may still run
    Stage(Box<StageArgs>),
    /// Rename the member's data, so that etcd finds none; nothing is removed
    SetAside(OnDataArgs),
    /// Put what was staged in its place
    Place(OnDataArgs),
    /// Put what was set aside back in its place
    PutBack(OnDataArgs),
    /// Remove what was staged and not placed
    Unstage(OnDataArgs),
    /// Write the members of the cluster into etcd's settings; a copy is kept
    Configure(ConfigureArgs),
    /// Save what a stopped member knows as a snapshot, its log included
    Salvage(SalvageArgs),
    /// Copy the database of a stopped member; what stands only in its log is not in it
    CopyDatabase(CopyDatabaseArgs),
    /// Make a stopped member the only one of its cluster; every other one must be stopped, and its data set aside
    ForceNewCluster(ForceNewClusterArgs),
    /// Run a command of the site's own
    Command(CommandArgs),
}

/// `node inspect`
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The member's data directory, as etcd's --data-dir names it
    pub(crate) data_dir: PathBuf,

    /// The directory of its log, where etcd runs with --wal-dir
    #[arg(long, value_name = "DIR")]
    pub(crate) wal_dir: Option<PathBuf>,

    /// The member that it should be of
    #[arg(long, value_name = "HEX")]
    pub(crate) member_id: Option<MemberId>,

    /// The cluster that it should belong to
    #[arg(long, value_name = "HEX")]
    pub(crate) cluster_id: Option<ClusterId>,

    /// Do not read the whole database, only what stands at its edges
    #[arg(long)]
    pub(crate) quick: bool,

    /// Also look at the process, its flags, and what recoveries left here
    #[arg(long, conflicts_with_all = ["member_id", "cluster_id"])]
    pub(crate) with_process: bool,

    #[command(flatten)]
    pub(crate) service: ServiceArgs<false>,

    /// Where etcd's flags stand: config-file:FILE, environment-file:FILE, unit:UNIT or manifest:FILE
    #[arg(long, value_name = "WHERE", requires = "with_process")]
    pub(crate) settings: Option<Settings>,
}

/// `node stop`
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) service: ServiceArgs<true>,

    #[command(flatten)]
    pub(crate) directories: DirectoryArgs,

    /// Kill it where it does not end by itself
    #[arg(long)]
    pub(crate) kill: bool,
}

/// `node start`
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) service: ServiceArgs<true>,

    #[command(flatten)]
    pub(crate) journal: JournalArgs,
}

/// `node receive`
#[derive(Debug, Args)]
pub(crate) struct ReceiveArgs {
    /// Where the file goes
    #[arg(long, value_name = "FILE")]
    pub(crate) path: PathBuf,

    /// The SHA-256 that it must have
    #[arg(long, value_name = "HEX")]
    pub(crate) sha256: Digest,

    #[command(flatten)]
    pub(crate) journal: JournalArgs,
}

/// `node send`
#[derive(Debug, Args)]
pub(crate) struct SendArgs {
    /// Where the file lies
    #[arg(long, value_name = "FILE")]
    pub(crate) path: PathBuf,
}

/// `node stage`
#[derive(Debug, Args)]
pub(crate) struct StageArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) directories: DirectoryArgs,

    /// The snapshot file
    #[arg(long, value_name = "FILE")]
    pub(crate) snapshot: PathBuf,

    /// Take a file that nothing proves whole, such as a member's db
    #[arg(long)]
    pub(crate) skip_hash_check: bool,

    /// The name of the member on this node
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// The members of the new cluster with their peer URLs
    #[arg(long, value_name = "NAME=URL,...")]
    pub(crate) initial_cluster: String,

    /// Makes the ids of cluster and members: the same on every node, and never that of an earlier cluster
    #[arg(long, value_name = "TOKEN")]
    pub(crate) initial_cluster_token: String,

    /// Raise the revision by so much, and mark everything before as compacted
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub(crate) bump_revision: Option<i64>,

    /// Leave out alarms, which would make the new cluster read-only
    #[arg(long)]
    pub(crate) clear_alarms: bool,
}

/// `node set-aside`, `place`, `put-back` and `unstage`; and what others begin with
#[derive(Debug, Args)]
pub(crate) struct OnDataArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) directories: DirectoryArgs,
}

/// `node configure`
#[derive(Debug, Args)]
pub(crate) struct ConfigureArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// Where etcd's flags stand: config-file:FILE, environment-file:FILE, unit:UNIT or manifest:FILE
    #[arg(long, value_name = "WHERE")]
    pub(crate) settings: Settings,

    /// All members with their peer URLs
    #[arg(long, value_name = "NAME=URL,...")]
    pub(crate) initial_cluster: String,

    /// new for a cluster that begins, existing for one that is there
    #[arg(long, value_name = "STATE")]
    pub(crate) initial_cluster_state: String,

    /// The token [default: what stands there]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) initial_cluster_token: Option<String>,

    #[command(flatten)]
    pub(crate) journal: JournalArgs,
}

/// `node salvage`
#[derive(Debug, Args)]
pub(crate) struct SalvageArgs {
    #[command(flatten)]
    pub(crate) on: OnDataArgs,

    /// The program etcd, of the version that wrote the directory [default: looked for]
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd: Option<PathBuf>,

    /// Where the snapshot goes
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// `node copy-database`
#[derive(Debug, Args)]
pub(crate) struct CopyDatabaseArgs {
    #[command(flatten)]
    pub(crate) on: OnDataArgs,

    /// Where the copy goes
    #[arg(long, value_name = "FILE")]
    pub(crate) output: PathBuf,
}

/// `node force-new-cluster`
#[derive(Debug, Args)]
pub(crate) struct ForceNewClusterArgs {
    #[command(flatten)]
    pub(crate) on: OnDataArgs,

    /// The program etcd, of the version that wrote the directory [default: looked for]
    #[arg(long, value_name = "FILE")]
    pub(crate) etcd: Option<PathBuf>,
}

/// `node command`
#[derive(Debug, Args)]
pub(crate) struct CommandArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,

    #[command(flatten)]
    pub(crate) journal: JournalArgs,

    /// The command and its arguments, after `--`
    #[arg(last = true, required = true, value_name = "WORD")]
    pub(crate) command: Vec<String>,
}

pub(super) async fn run(context: &Context<'_>, command: &NodeCommand) -> Outcome {
    if let NodeCommand::Inspect(args) = command
        && !args.with_process
    {
        return inspect_directory(context, args);
    }
    let action = Action::try_from(command).map_err(Failure::bad_words)?;
    let answer = perform(
        &action,
        &mut Surroundings {
            input: &mut io::stdin(),
            output: &mut io::stdout(),
            progress: context.screen,
            journal: command.journal(),
        },
    )
    .await?;
    if matches!(action, Action::Send { .. }) {
        // The file was the answer.
        return Ok(Exit::Done);
    }
    match context.screen.json {
        true => context.screen.answer_json(&answer),
        false => context.screen.answer(&show::answer(&answer)),
    }
    match &answer {
        Answer::Inspected(inspected)
            if print::any_error(&inspected.findings)
                || inspected
                    .directory
                    .as_ref()
                    .is_some_and(|directory| print::any_error(&directory.findings)) =>
        {
            Ok(Exit::Findings)
        }
        _ => Ok(Exit::Done),
    }
}

/// The directory alone, held against what the operator expects.
fn inspect_directory(context: &Context<'_>, args: &InspectArgs) -> Outcome {
    let options = Options {
        wal_dir: args.wal_dir.clone(),
        node_id: args.member_id,
        cluster_id: args.cluster_id,
    };
    let inspection = inspect(&args.data_dir, &options, |path| {
        DatabaseFacts::read(path, args.quick)
    })?;
    match context.screen.json {
        true => context.screen.answer_json(&inspection),
        false => context.screen.answer(&show::directory(&inspection)),
    }
    match print::any_error(&inspection.findings) {
        true => Ok(Exit::Findings),
        false => Ok(Exit::Done),
    }
}
