//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use etcdrx::id::ClusterId;

use super::certs::CertsCommand;
use super::copy::CopyArgs;
use super::diagnose::DiagnoseArgs;
use super::drill::DrillCommand;
use super::encryption::EncryptionCommand;
use super::node::NodeCommand;
use super::recover::RecoverArgs;
use super::restore::RestoreArgs;
use super::schedule::ScheduleCommand;
use super::snapshot::SnapshotCommand;
use super::upgrade::UpgradeArgs;

/// Backups of etcd that prove themselves
#[derive(Debug, Parser)]
#[command(
    name = "etcdrx",
    version,
    disable_help_subcommand = true,
    propagate_version = false,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 done, 1 failed, 2 usage, 3 findings, 4 refused, 5 unreachable, 6 damaged, 130 interrupted."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Configuration file [default: ./etcdrx.toml, then /etc/etcdrx/etcdrx.toml]
    #[arg(long, global = true, value_name = "FILE", env = "ETCDRX_CONFIG")]
    pub(crate) config: Option<PathBuf>,

    /// Print one JSON document on stdout; errors as JSON on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// Say more on stderr; twice for everything
    #[arg(long, short, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,

    /// Say nothing on stderr but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,

    /// Draw no progress bar
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,

    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: Color,
}

/// When to use colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The cluster's members.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "etcd")]
pub(crate) struct EtcdArgs {
    /// Client URLs of the members, separated by commas
    #[arg(long, value_name = "URL,...", value_delimiter = ',')]
    pub(crate) endpoints: Option<Vec<String>>,

    /// CA that signed the members' server certificates
    #[arg(long, value_name = "FILE")]
    pub(crate) cacert: Option<String>,

    /// Client certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) cert: Option<String>,

    /// Key of the client certificate
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<String>,

    /// User to log in as; the password comes from `ETCDCTL_PASSWORD` or `password_file`
    #[arg(long, value_name = "NAME")]
    pub(crate) user: Option<String>,
}

/// The repository and the folder in it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Repository")]
pub(crate) struct RepositoryArgs {
    // Not a doc comment: these are no links.
    #[arg(
        long,
        value_name = "URL|NAME",
        help = "Where the backups live: file:///path, s3://bucket/prefix, gs://, az://, https:// (WebDAV); or the name of one of several"
    )]
    pub(crate) repository: Option<String>,

    /// Name of the cluster: its folder in the repository
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write a commented etcdrx.toml
    Init(InitArgs),
    /// Prove that the setup works: endpoints, TLS, clocks, rights, repository
    Check(CheckArgs),
    /// Take a backup and commit it to the repository
    Backup(BackupArgs),
    /// The backups of this cluster, newest first
    List(ListArgs),
    /// One backup: manifest and verification history
    Show(ShowArgs),
    /// Prove that backups are readable and are what etcd wrote
    Verify(VerifyArgs),
    /// Apply the retention policy
    Prune(PruneArgs),
    /// Exempt a backup from retention
    Pin(PinArgs),
    /// End the exemption of a backup
    Unpin(PinArgs),
    /// Bring backups from one repository into another that lacks them
    Copy(CopyArgs),
    /// Write a backup's snapshot file, decoded and verified
    Fetch(FetchArgs),
    /// Make data directories that etcd boots from a backup or a snapshot file
    Restore(RestoreArgs),
    /// What is wrong with this cluster, why, and what to do; reads only
    Diagnose(DiagnoseArgs),
    /// Bring a cluster back: looks, plans, explains, asks, acts; can be killed and resumed
    Recover(Box<RecoverArgs>),
    /// Rehearse: boot a backup and prove it, or break and recover a scratch cluster
    Drill {
        /// What to do
        #[command(subcommand)]
        command: DrillCommand,
    },
    /// What one node must do, by hand or sent by etcdrx
    Node {
        /// What to do
        #[command(subcommand)]
        command: NodeCommand,
    },
    /// What a snapshot, a member's database or a backup holds
    Snapshot {
        /// What to do
        #[command(subcommand)]
        command: SnapshotCommand,
    },
    /// Certificates: make, check, explain, renew
    Certs {
        /// What to do
        #[command(subcommand)]
        command: CertsCommand,
    },
    /// Encryption of backups: prove that they can be opened
    Encryption {
        /// What to do
        #[command(subcommand)]
        command: EncryptionCommand,
    },
    /// Do all of this by itself: stay and keep a schedule, or print units for another scheduler
    Schedule {
        /// What to do
        #[command(subcommand)]
        command: ScheduleCommand,
    },
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the manual page, or write those of every command
    Man {
        /// Write a page for each command into this directory, which must be there
        #[arg(long, value_name = "DIR")]
        output_dir: Option<PathBuf>,
    },
    /// Print the version
    Version,
}

/// `init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// Where to write the configuration
    #[arg(long, short, value_name = "FILE", default_value = "etcdrx.toml")]
    pub(crate) output: PathBuf,

    /// Take endpoints, certificates and nodes from etcd's own configuration file
    #[arg(long, value_name = "FILE", conflicts_with = "from_kubeadm")]
    pub(crate) from_etcd_config: Option<PathBuf>,

    /// Take endpoints, certificates and nodes from the manifest of kubeadm's etcd pod
    #[arg(
        long,
        value_name = "MANIFEST",
        num_args = 0..=1,
        default_missing_value = "/etc/kubernetes/manifests/etcd.yaml"
    )]
    pub(crate) from_kubeadm: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// `check`
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) upgrade: UpgradeArgs,

    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// `backup`
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Member to back up from: auto, leader, or a member's name, id or endpoint
    #[arg(long, value_name = "MEMBER")]
    pub(crate) member: Option<String>,

    /// How long the whole backup may take, such as 15m
    #[arg(long, value_name = "DURATION")]
    pub(crate) timeout: Option<String>,

    /// `auto`, or a zstd level from 1 to 19
    #[arg(long, value_name = "LEVEL")]
    pub(crate) compression_level: Option<String>,

    /// Do not read the stored object back: the backup then counts as unverified
    #[arg(long)]
    pub(crate) no_read_back: bool,

    /// Apply the retention policy after a backup without findings
    #[arg(long)]
    pub(crate) prune: bool,

    /// How long to wait for another run to end, instead of refusing
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    pub(crate) wait: Duration,

    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// `list`
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// `show`
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// Backup id, a unique beginning of one, or `latest`
    #[arg(value_name = "ID", default_value = "latest")]
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// Backup id, a unique beginning of one, or `latest`
    #[arg(value_name = "ID", default_value = "latest")]
    pub(crate) id: String,

    /// Verify every backup of the cluster
    #[arg(long, conflicts_with = "id")]
    pub(crate) all: bool,

    /// Look at every page and record too, and hold their hash against the member's
    #[arg(long)]
    pub(crate) deep: bool,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// `prune`
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Say what would be kept and removed, and why; remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// Prune the backups of this cluster id instead of the newest backup's
    #[arg(long, value_name = "HEX")]
    pub(crate) cluster_id: Option<ClusterId>,

    /// How long to wait for another run to end, instead of refusing
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    pub(crate) wait: Duration,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// `pin` and `unpin`
#[derive(Debug, Args)]
pub(crate) struct PinArgs {
    /// Backup id, a unique beginning of one, or `latest`
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// `fetch`
#[derive(Debug, Args)]
pub(crate) struct FetchArgs {
    /// Backup id, a unique beginning of one, or `latest`
    #[arg(value_name = "ID")]
    pub(crate) id: String,

    /// File to write; `-` for stdout, where the bytes are proven only at the end
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: PathBuf,

    /// Fetch the attachments instead: --output names a new directory, or `-` for a tar archive on stdout
    #[arg(long)]
    pub(crate) attachments: bool,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}
