//! `etcdrx certs`: certificates that etcd cannot refuse.

mod directory;
mod generate;
mod members;
mod renew;
mod revoke;
mod rotate;
mod sign;

use clap::Subcommand;

use super::Outcome;
use super::context::Context;

/// The commands below `certs`.
#[derive(Debug, Subcommand)]
pub(crate) enum CertsCommand {
    /// Make the authorities alone
    Init(generate::InitArgs),
    /// Make the authorities and the certificates of every member and client; what is there and right stays as it is
    Gen(generate::GenerateArgs),
    /// Make one certificate
    Issue(generate::IssueArgs),
    /// Make a key that stays here, and the signing request for it
    Csr(sign::RequestArgs),
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
}

pub(super) async fn run(context: &Context<'_>, command: &CertsCommand) -> Outcome {
    match command {
        CertsCommand::Init(args) => generate::init(context, args),
        CertsCommand::Gen(args) => generate::generate(context, args).await,
        CertsCommand::Issue(args) => generate::issue(context, args),
        CertsCommand::Csr(args) => sign::request(context, args),
        CertsCommand::Sign(args) => sign::sign(context, args),
        CertsCommand::Import(args) => sign::import(context, args),
        CertsCommand::Renew(args) => renew::run(context, args),
        CertsCommand::RotateCa { command } => rotate::run(context, command).await,
        CertsCommand::Revoke(args) => revoke::revoke(context, args),
        CertsCommand::Crl(args) => revoke::list(context, args),
    }
}
