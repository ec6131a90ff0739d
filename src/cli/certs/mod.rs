//! `etcdrx certs`: certificates for etcd, made, checked and explained.

mod check;
mod expiry;
mod show;

use std::fs;
use std::path::Path;

use clap::Subcommand;
use etcdrx::certs::Certificate;
use etcdrx::certs::check::read_file;

use super::Outcome;
use super::context::Context;
use super::failure::Failure;

/// The commands below `certs`.
#[derive(Debug, Subcommand)]
pub(crate) enum CertsCommand {
    /// Find what etcd will refuse in certificates, keys, authorities and flags
    Check(Box<check::CheckArgs>),
    /// What certificates say: names, usages, dates, keys, fingerprints
    Show(show::ShowArgs),
    /// When certificates end
    Expiry(expiry::ExpiryArgs),
}

pub(super) async fn run(context: &Context<'_>, command: &CertsCommand) -> Outcome {
    match command {
        CertsCommand::Check(args) => check::run(context, args).await,
        CertsCommand::Show(args) => show::run(context, args).await,
        CertsCommand::Expiry(args) => expiry::run(context, args).await,
    }
}

/// The text of a file that was named on the command line.
fn text(path: &Path) -> Result<String, Failure> {
    let bytes = fs::read(path).map_err(|source| Failure::cannot_read(path, &source))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The certificates of a file that was named on the command line, or found there.
fn chain(path: &Path) -> Result<Vec<Certificate>, Failure> {
    fs::metadata(path).map_err(|source| Failure::cannot_read(path, &source))?;
    Ok(read_file(path).chain())
}
