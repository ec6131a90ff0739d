//! `etcdrx certs init`, `gen` and `issue`: certificates with keys made here.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use etcdrx::certs::Host;
use etcdrx::certs::members::Member;
use etcdrx::certs::profile::Kind;
use etcdrx::pki::{self, Generated, MemberSettings};

use super::super::Outcome;
use super::super::context::Context;
use super::super::failure::{Exit, Failure};
use super::directory::{DirectoryArgs, document, lines};
use super::members::{MemberArgs, members};

/// The clients that every cluster has use for.
const CLIENTS: &str = "root,backup,healthcheck";

/// `certs init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,
}

/// `certs gen`
#[derive(Debug, Args)]
pub(crate) struct GenerateArgs {
    /// Names of clients, which are etcd's users; `backup`, `healthcheck` and `proxy` have profiles of their own
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = CLIENTS)]
    pub(crate) client: Vec<String>,

    /// Where a member's bundle will lie on its node: for the settings that are printed [default: the layout's custom]
    #[arg(long, value_name = "DIR")]
    pub(crate) target_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,

    #[command(flatten)]
    pub(crate) members: MemberArgs,
}

/// `certs issue` and `certs csr`: one certificate
#[derive(Debug, Args)]
pub(crate) struct SingleArgs {
    /// What it is for
    pub(crate) kind: KindArg,

    /// The member's or client's name
    pub(crate) name: String,

    /// The names and addresses that a member answers to
    #[arg(long, value_name = "HOST,...", value_delimiter = ',')]
    pub(crate) host: Vec<Host>,

    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,
}

impl SingleArgs {
    /// What the certificate is for, once name and hosts go with it.
    pub(super) fn checked_kind(&self) -> Result<Kind, Failure> {
        let kind = self.kind.kind();
        // Its files are called so.
        Member::new(&self.name)?;
        ensure_hosts(kind, !self.host.is_empty())?;
        Ok(kind)
    }
}

/// What a certificate is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KindArg {
    /// A member's client port
    Server,
    /// A member's peer port, and its links to others
    Peer,
    /// A user of etcd
    Client,
    /// etcdrx itself, as the user root
    Backup,
    /// Health checks
    Healthcheck,
    /// `etcd grpc-proxy`
    Proxy,
}

impl KindArg {
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Server => Kind::Server,
            Self::Peer => Kind::Peer,
            Self::Client => Kind::Client,
            Self::Backup => Kind::Backup,
            Self::Healthcheck => Kind::Healthcheck,
            Self::Proxy => Kind::Proxy,
        }
    }
}

pub(super) fn init(context: &Context<'_>, args: &InitArgs) -> Outcome {
    let directory = &args.directory;
    let profiles = directory.profiles(context)?;
    let profile = |kind| profiles.of(kind);
    let generated = pki::generate(&directory.setting(&profile), &[], &[])?;
    answer(context, directory, &generated);
    Ok(Exit::Done)
}

pub(super) fn issue(context: &Context<'_>, args: &SingleArgs) -> Outcome {
    let (directory, kind) = (&args.directory, args.checked_kind()?);
    let profiles = directory.profiles(context)?;
    let profile = |kind| profiles.of(kind);
    let setting = directory.setting(&profile);
    let generated = pki::issue(&setting, kind, &args.name, args.host.iter())?;
    answer(context, directory, &generated);
    Ok(Exit::Done)
}

/// Members answer to names, and clients have none.
pub(super) fn ensure_hosts(kind: Kind, any: bool) -> Result<(), Failure> {
    match (kind.is_of_a_member(), any) {
        (true, false) => Err(Failure::no_hosts()),
        (false, true) => Err(Failure::client_with_hosts()),
        _ => Ok(()),
    }
}

pub(super) async fn generate(context: &Context<'_>, args: &GenerateArgs) -> Outcome {
    let directory = &args.directory;
    let members = members(context, &args.members).await?;
    for client in &args.client {
        Member::new(client)?;
    }
    let profiles = directory.profiles(context)?;
    let profile = |kind| profiles.of(kind);
    let setting = directory.setting(&profile);
    let generated = pki::generate(&setting, &members, &args.client)?;
    let shared_name = Some(profiles.of(Kind::Peer).common_name).filter(|name| !name.contains('{'));
    let target = args
        .target_dir
        .as_deref()
        .unwrap_or(setting.layout.on_node());
    let settings = pki::settings(setting.layout, target, shared_name.as_deref());
    if context.screen.json {
        let mut document = document(&generated);
        document["flags"] = settings.flags.into();
        document["yaml"] = settings.yaml.into();
        context.screen.answer_json(&document);
    } else {
        let mut lines = lines(&directory.out, &generated);
        lines.extend(told(&directory.out, target, &settings));
        context.screen.answer(&lines.join("\n"));
    }
    if setting.single_authority && shared_name.is_none() {
        context.screen.warn(
            "one authority signs for clients and members, and members have names of their own: every client's certificate \
             can speak to members as a member, unless a firewall keeps clients off the peer port",
        );
    }
    Ok(Exit::Done)
}

pub(super) fn answer(context: &Context<'_>, directory: &DirectoryArgs, generated: &Generated) {
    match context.screen.json {
        true => context.screen.answer_json(&document(generated)),
        false => context
            .screen
            .answer(&lines(&directory.out, generated).join("\n")),
    }
}

/// What etcd is to be told on every member.
fn told(out: &Path, target: &Path, settings: &MemberSettings) -> Vec<String> {
    let mut lines = vec![format!(
        "\non each member, with {}/MEMBER in {} and readable by etcd's user only, etcd takes the flags\n",
        out.display(),
        target.display()
    )];
    lines.extend(settings.flags.iter().map(|flag| format!("  {flag}")));
    lines.push("\nor in its configuration file\n".to_owned());
    lines.extend(settings.yaml.lines().map(|line| format!("  {line}")));
    lines
}
