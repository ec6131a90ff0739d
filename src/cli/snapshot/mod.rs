//! `etcdrx snapshot`: what a database holds, natively.

mod apply;
mod diff;
mod hashkv;
mod keys;
mod status;

use std::env;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use etcdrx::backend::{Select, Surveyed};
use etcdrx::source::{self, Source};
use etcdrx::verify::read_deep;

use super::Outcome;
use super::args::RepositoryArgs;
use super::context::{Context, open_catalog};
use super::failure::Failure;

/// The commands below `snapshot`.
#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Hash, revision, keys and size, as etcdutl prints them, and what else it holds
    Status(status::StatusArgs),
    /// The hash by which members are compared, equal to what a live server answers
    Hashkv(hashkv::HashkvArgs),
    /// The keys at any revision that it still holds
    Keys(keys::KeysArgs),
    /// One key with its value, or all of a prefix
    Get(keys::GetArgs),
    /// What was added, changed and deleted between two snapshots or revisions
    Diff(diff::DiffArgs),
    /// Keys and values as JSON Lines, to look at or to put back
    Extract(keys::ExtractArgs),
    /// Put extracted keys back into a live cluster, where nobody changed them in between
    Apply(apply::ApplyArgs),
}

pub(super) async fn run(context: &Context<'_>, command: &SnapshotCommand) -> Outcome {
    match command {
        SnapshotCommand::Status(args) => status::run(context, args).await,
        SnapshotCommand::Hashkv(args) => hashkv::run(context, args).await,
        SnapshotCommand::Keys(args) => keys::list(context, args).await,
        SnapshotCommand::Get(args) => keys::get(context, args).await,
        SnapshotCommand::Diff(args) => diff::run(context, args).await,
        SnapshotCommand::Extract(args) => keys::extract(context, args).await,
        SnapshotCommand::Apply(args) => apply::run(context, args).await,
    }
}

/// Where backups come from, and where their databases are put while they are read.
#[derive(Debug, Clone, Args)]
pub(crate) struct SourceArgs {
    /// Where a backup's database is put while it is read [default: $TMPDIR, then /tmp]
    #[arg(long, value_name = "DIR")]
    pub(crate) temp_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// Whether `wanted` names a file; what looks like a path is one, so that a missing file is said to be missing.
pub(super) fn is_file(wanted: &str) -> bool {
    wanted.contains('/') || Path::new(wanted).exists()
}

/// Opens a file. Its trailer is not checked here.
fn open_file(context: &Context<'_>, wanted: &str) -> Result<Source, Failure> {
    let source = Source::open(Path::new(wanted))?;
    if source.is_in_use() {
        context.screen.warn(&format!(
            "a process holds {wanted}: what is read from a live database may be torn; a snapshot is not"
        ));
    }
    Ok(source)
}

/// Opens `wanted`, to be read at any place: a file where there is one, else a backup, whose database is brought here.
pub(super) async fn open(
    context: &Context<'_>,
    wanted: &str,
    args: &SourceArgs,
) -> Result<Source, Failure> {
    if is_file(wanted) {
        let source = open_file(context, wanted)?;
        source.check_trailer()?;
        return Ok(source);
    }
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(context, &config).await?;
    let backup = catalog.find(wanted, &folder)?;
    let directory = args.temp_dir.clone().unwrap_or_else(env::temp_dir);
    let source = Source::bring(&folder, backup, &directory, context.screen).await?;
    context.screen.clear();
    Ok(source)
}

/// Reads all of a backup as it streams by: nothing is put on the disk.
pub(super) async fn survey(
    context: &Context<'_>,
    wanted: &str,
    repository: &RepositoryArgs,
) -> Result<Surveyed, Failure> {
    let config = context.configure(repository)?;
    let (folder, catalog) = open_catalog(context, &config).await?;
    let backup = catalog.find(wanted, &folder)?;
    let (findings, surveyed) = read_deep(&folder, backup, context.screen).await?;
    context.screen.clear();
    surveyed
        .filter(|_| findings.is_empty())
        .ok_or_else(|| source::Error::DamagedBackup { findings }.into())
}

/// Which keys, as flags say it.
#[derive(Debug, Clone, Args)]
pub(crate) struct SelectArgs {
    /// Only keys that begin so
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["from_key", "to_key"])]
    pub(crate) prefix: Option<String>,

    /// Only keys from this one on
    #[arg(long, value_name = "KEY")]
    pub(crate) from_key: Option<String>,

    /// Only keys before this one
    #[arg(long, value_name = "KEY")]
    pub(crate) to_key: Option<String>,
}

impl SelectArgs {
    pub(super) fn select(&self) -> Select {
        let bytes = |text: &Option<String>| text.clone().map(String::into_bytes);
        match (
            bytes(&self.prefix),
            bytes(&self.from_key),
            bytes(&self.to_key),
        ) {
            (Some(prefix), ..) => Select::Prefix(prefix),
            (None, None, None) => Select::All,
            (None, from, to) => Select::Range(from.unwrap_or_default(), to),
        }
    }
}
