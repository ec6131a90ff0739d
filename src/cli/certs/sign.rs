//! `etcdrx certs csr`, `sign` and `import`: keys that stay where they are, and authorities that are there already.

use std::path::PathBuf;

use clap::Args;
use etcdrx::certs::Host;
use etcdrx::certs::members::Member;
use etcdrx::pki;
use serde_json::json;

use super::super::Outcome;
use super::super::context::Context;
use super::super::failure::Exit;
use super::directory::{DirectoryArgs, document};
use super::generate::{KindArg, SingleArgs, answer, ensure_hosts};

/// `certs sign`
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The signing request, in PEM
    pub(crate) request: PathBuf,

    /// What the certificate is for
    #[arg(long)]
    pub(crate) kind: KindArg,

    /// The member's or client's name
    #[arg(long, value_name = "NAME")]
    pub(crate) name: String,

    /// Names and addresses instead of those that the request asks for
    #[arg(long, value_name = "HOST,...", value_delimiter = ',')]
    pub(crate) host: Vec<Host>,

    /// Where to write the certificate [default: beside the request, as .crt]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,
}

/// `certs import`
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The certificate of the authority of the client port
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: PathBuf,

    /// Its key
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_key: PathBuf,

    /// The certificate of the authority of the peer port [default: with --single-ca the same, else a new one is made by `gen`]
    #[arg(long, value_name = "FILE", requires = "peer_ca_key")]
    pub(crate) peer_ca: Option<PathBuf>,

    /// Its key
    #[arg(long, value_name = "FILE", requires = "peer_ca")]
    pub(crate) peer_ca_key: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,
}

pub(super) fn request(context: &Context<'_>, args: &SingleArgs) -> Outcome {
    let (directory, kind) = (&args.directory, args.checked_kind()?);
    let profiles = directory.profiles(context)?;
    let profile = |kind| profiles.of(kind);
    let setting = directory.setting(&profile);
    let made = pki::request(&setting, kind, &args.name, args.host.iter())?;
    match context.screen.json {
        true => context
            .screen
            .answer_json(&json!({"key": made.key, "request": made.request})),
        false => context.screen.answer(&format!(
            "wrote {}\nsign it where the authority is: etcdrx certs sign {} --kind {kind} --name {}\nthe key {} stays here",
            made.request.display(),
            made.request.file_name().unwrap_or_default().display(),
            args.name,
            made.key.display(),
        )),
    }
    Ok(Exit::Done)
}

pub(super) fn sign(context: &Context<'_>, args: &SignArgs) -> Outcome {
    let (directory, kind) = (&args.directory, args.kind.kind());
    Member::new(&args.name)?;
    let request = pki::read_request(&args.request)?;
    let hosts: Vec<Host> = match args.host.is_empty() {
        true => request.hosts.iter().cloned().collect(),
        false => args.host.clone(),
    };
    ensure_hosts(kind, !hosts.is_empty())?;
    let profiles = directory.profiles(context)?;
    let profile = |kind| profiles.of(kind);
    let setting = directory.setting(&profile);
    let output = args
        .output
        .clone()
        .unwrap_or_else(|| args.request.with_extension("crt"));
    let generated = pki::sign(
        &setting,
        kind,
        &args.name,
        (&hosts, &request.public_key),
        &output,
    )?;
    match context.screen.json {
        true => context.screen.answer_json(&document(&generated)),
        false => context.screen.answer(&format!(
            "wrote {}\nit belongs beside the key that the request was made for",
            output.display()
        )),
    }
    Ok(Exit::Done)
}

pub(super) fn import(context: &Context<'_>, args: &ImportArgs) -> Outcome {
    let directory = &args.directory;
    let profiles = directory.profiles(context)?;
    let profile = |kind| profiles.of(kind);
    let setting = directory.setting(&profile);
    let peer = args.peer_ca.as_deref().zip(args.peer_ca_key.as_deref());
    let generated = pki::import(&setting, (&args.ca, &args.ca_key), peer)?;
    answer(context, directory, &generated);
    Ok(Exit::Done)
}
