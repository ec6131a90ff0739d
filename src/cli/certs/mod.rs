//! `etcdrx certs`: what certificates say and what etcd says about them.

mod explain;

use clap::Subcommand;

use super::Outcome;
use super::context::Context;

/// The commands below `certs`.
#[derive(Debug, Subcommand)]
pub(crate) enum CertsCommand {
    /// From an error text of etcd's log, or of a client's, to the cause and what to do
    ///
    /// The side that refuses a certificate has the reason in its log, the other side has only an alert. So read etcd's
    /// log first.
    Explain(explain::ExplainArgs),
}

pub(super) fn run(context: &Context<'_>, command: &CertsCommand) -> Outcome {
    match command {
        CertsCommand::Explain(args) => explain::run(context, args),
    }
}
