//! `etcdrx encryption`

use clap::{Args, Subcommand};
use etcdrx::catalog::Backup;
use etcdrx::check::{Report, check_encryption};

use super::Outcome;
use super::args::RepositoryArgs;
use super::check;
use super::context::{Context, open_catalog};
use super::failure::Exit;
use super::print;

/// What can be done about encryption.
#[derive(Debug, Subcommand)]
pub(crate) enum EncryptionCommand {
    /// Prove that the identity opens what is encrypted now, and the backups that are there
    Check(EncryptionCheckArgs),
}

/// `encryption check`
#[derive(Debug, Args)]
pub(crate) struct EncryptionCheckArgs {
    /// Try every backup of the cluster, not only the newest
    #[arg(long)]
    pub(crate) all: bool,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

pub(super) async fn run(context: &Context<'_>, command: &EncryptionCommand) -> Outcome {
    let EncryptionCommand::Check(args) = command;
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(context, &config).await?;
    let most = match args.all {
        true => usize::MAX,
        false => 1,
    };
    let backups: Vec<&Backup> = catalog.backups.iter().take(most).collect();
    let mut report = Report::default();
    check_encryption(&folder, &backups, &mut report).await;
    check::answer(context, &report);
    Ok(match print::any_error(&report.findings) {
        true => Exit::Findings,
        false => Exit::Done,
    })
}
