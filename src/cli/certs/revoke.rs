//! `etcdrx certs revoke` and `crl`

use std::path::PathBuf;

use clap::Args;
use etcdrx::pki;
use serde_json::json;

use super::super::Outcome;
use super::super::context::Context;
use super::super::failure::Exit;
use super::directory::DirectoryArgs;

/// `certs revoke`
#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// The certificates that are not to be accepted any more
    #[arg(required = true, value_name = "FILE")]
    pub(crate) certificate: Vec<PathBuf>,

    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,
}

/// `certs crl`
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,
}

pub(super) fn revoke(context: &Context<'_>, args: &RevokeArgs) -> Outcome {
    run(context, &args.directory, &args.certificate)
}

pub(super) fn list(context: &Context<'_>, args: &ListArgs) -> Outcome {
    run(context, &args.directory, &[])
}

fn run(context: &Context<'_>, directory: &DirectoryArgs, files: &[PathBuf]) -> Outcome {
    let profiles = directory.profiles(context)?;
    let profile = |kind| profiles.of(kind);
    let revoked = pki::revoke(&directory.setting(&profile), files)?;
    if context.screen.json {
        context.screen.answer_json(&json!({
            "path": revoked.path,
            "serials": revoked.serials,
            "added": revoked.added,
        }));
        return Ok(Exit::Done);
    }
    context.screen.answer(&format!(
        "{} holds {} serial numbers, {} of them new\n\
         etcd reads it at every new connection if it was started with --client-crl-file, which no configuration file can say; \
         connections that are open stay open until the member is restarted",
        revoked.path.display(),
        revoked.serials.len(),
        revoked.added,
    ));
    Ok(Exit::Done)
}
