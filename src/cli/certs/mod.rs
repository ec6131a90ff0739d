//! `etcdrx certs`: certificates that etcd cannot refuse: made, checked, explained, replaced.

mod check;
mod directory;
mod expiry;
mod explain;
mod generate;
mod members;
mod ports;
mod renew;
mod revoke;
mod rotate;
mod show;
mod sign;

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
    /// Make the authorities alone
    Init(generate::InitArgs),
    /// Make the authorities and the certificates of every member and client; what is there and right stays as it is
    Gen(generate::GenerateArgs),
    /// Make one certificate
    Issue(generate::SingleArgs),
    /// Make a key that stays here, and the signing request for it
    Csr(generate::SingleArgs),
    /// Sign a request: its public key and its names are taken, what it may be used for is the profile's to say
    Sign(sign::SignArgs),
    /// Take an authority that is there already
    Import(sign::ImportArgs),
    /// Replace certificates before they end, with the same names; etcd needs no restart
    Renew(renew::RenewArgs),
    /// Replace an authority while the cluster runs, step by step, without a failed write
    RotateCa {
        /// The step
        #[command(subcommand)]
        command: rotate::RotateCommand,
    },
    /// Shut clients out before their certificates end
    Revoke(revoke::RevokeArgs),
    /// Sign the revocation list anew
    Crl(revoke::ListArgs),
    /// Find what etcd will refuse in certificates, keys, authorities and flags
    Check(Box<check::CheckArgs>),
    /// From an error text of etcd's log, or of a client's, to the cause and what to do
    ///
    /// The side that refuses a certificate has the reason in its log, the other side has only an alert. So read etcd's
    /// log first.
    Explain(explain::ExplainArgs),
    /// What certificates say: names, usages, dates, keys, fingerprints
    Show(show::ShowArgs),
    /// When certificates end
    Expiry(expiry::ExpiryArgs),
}

pub(super) async fn run(context: &Context<'_>, command: &CertsCommand) -> Outcome {
    match command {
        CertsCommand::Init(args) => generate::init(context, args),
        CertsCommand::Gen(args) => generate::generate(context, args).await,
        CertsCommand::Issue(args) => generate::issue(context, args),
        CertsCommand::Csr(args) => sign::request(context, args),
        CertsCommand::Sign(args) => sign::sign(context, args),
        CertsCommand::Import(args) => sign::import(context, args),
        CertsCommand::Renew(args) => renew::run(context, args).await,
        CertsCommand::RotateCa { command } => rotate::run(context, command).await,
        CertsCommand::Revoke(args) => revoke::revoke(context, args),
        CertsCommand::Crl(args) => revoke::list(context, args),
        CertsCommand::Check(args) => check::run(context, args).await,
        CertsCommand::Explain(args) => explain::run(context, args),
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
