//! `etcdrx certs rotate-ca`: a new authority while the cluster runs.

use clap::{Args, Subcommand};
use etcdrx::config::DEFAULT_ENDPOINT;
use etcdrx::etcd::{Access, member_urls};
use etcdrx::handshakes::PATIENCE;
use etcdrx::pki::{self, Aborted, Gate, Generated, Issuer, Rotation, Running, Setting};
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::args::{EtcdArgs, RepositoryArgs};
use super::super::context::Context;
use super::super::failure::{Exit, Failure};
use super::directory::{DirectoryArgs, Profiles, document, lines};

/// The steps of a rotation.
#[derive(Debug, Subcommand)]
pub(crate) enum RotateCommand {
    /// Say what will be done, by whom, and what must be true before each step
    Plan(RotateArgs),
    /// Make the next authority, and put it beside the old one into every bundle
    Begin(BeginArgs),
    /// Issue every certificate by the next authority; refused while a member does not trust it yet
    Reissue(RotateArgs),
    /// Trust the next authority alone; refused while a member shows a certificate of the old one
    Finish(RotateArgs),
    /// Say how far things are, by the files and by what every member trusts and shows while it runs
    Status(RotateArgs),
    /// Go back to the old authority
    Abort(RotateArgs),
}

/// What every step takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct RotateArgs {
    #[command(flatten)]
    pub(crate) directory: DirectoryArgs,

    /// Peer URLs of the members, separated by commas [default: those that the cluster lists]
    #[arg(
        long,
        value_name = "URL,...",
        value_delimiter = ',',
        requires = "endpoints"
    )]
    pub(crate) peer_endpoints: Vec<String>,

    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
}

/// `begin`
#[derive(Debug, Clone, Args)]
pub(crate) struct BeginArgs {
    /// Keep the key and make the certificate anew: for an authority that ends soon and is not compromised; no further step
    #[arg(long)]
    pub(crate) same_key: bool,

    /// Only the authority of the peer port; one that serves both ports is left to the clients, and members get their own
    #[arg(long, conflicts_with_all = ["same_key", "single_ca"])]
    pub(crate) peers_only: bool,

    #[command(flatten)]
    pub(crate) rotate: RotateArgs,
}

impl RotateCommand {
    fn args(&self) -> &RotateArgs {
        match self {
            Self::Begin(args) => &args.rotate,
            Self::Plan(args)
            | Self::Reissue(args)
            | Self::Finish(args)
            | Self::Status(args)
            | Self::Abort(args) => args,
        }
    }
}

pub(super) async fn run(context: &Context<'_>, command: &RotateCommand) -> Outcome {
    let args = command.args();
    let profiles = args.directory.profiles(context)?;
    let profile = |kind| Profiles::of(&profiles, kind);
    let setting = args.directory.setting(&profile);
    let done = match command {
        RotateCommand::Plan(_) => {
            pki::rotations(&setting)?;
            context.screen.answer(&plan(args));
            return Ok(Exit::Done);
        }
        RotateCommand::Status(_) => return status(context, args, &setting).await,
        RotateCommand::Begin(begin) if begin.same_key => (pki::extend(&setting)?, EXTENDED),
        RotateCommand::Begin(begin) if begin.peers_only => {
            (pki::begin_for_peers(&setting)?, BEGUN_FOR_PEERS)
        }
        RotateCommand::Begin(_) => (pki::begin(&setting)?, BEGUN),
        RotateCommand::Reissue(_) => {
            pass(context, args, &setting, Gate::Reissue).await?;
            (pki::reissue(&setting)?, REISSUED)
        }
        RotateCommand::Finish(_) => {
            pass(context, args, &setting, Gate::Finish).await?;
            (pki::finish(&setting)?, FINISHED)
        }
        RotateCommand::Abort(_) => abort(context, args, &setting).await?,
    };
    tell(context, args, &done.0, done.1);
    Ok(Exit::Done)
}

const BEGUN: &str = "next: copy every bundle to its member and ca.crt to every client, restart the members one by one, each when the \
    one before is healthy, and then: etcdrx certs rotate-ca reissue";
const BEGUN_FOR_PEERS: &str = "next: copy every bundle to its member, where --peer-trusted-ca-file must name its peer-ca.crt, restart the \
    members one by one, each when the one before is healthy, and then: etcdrx certs rotate-ca reissue";
const EXTENDED: &str = "next: copy every bundle to its member and ca.crt to every client; restart the members one by one at any time \
    before the old certificate ends; if it has ended, all of them, one right after the other. Certificates that the authority \
    issued stay valid until they end themselves: `etcdrx certs renew --due` before you copy";
const REISSUED: &str = "next: copy certificates and keys to members and clients (no restart), and when every client has its new one: \
    etcdrx certs rotate-ca finish";
const FINISHED: &str = "next: copy every bundle to its member and ca.crt to every client, and restart the members one by one; then \
    `etcdrx certs rotate-ca status` must show nothing of the old authority. Its key lies among what was replaced: destroy it";
const PUT_BACK: &str = "next: copy certificates and keys to members and clients (no restart), and then once more: etcdrx certs rotate-ca abort";
const ABORTED: &str = "the old authority is alone again; members that trust the next one, too, lose it at their next restart with the old bundle";

async fn abort(
    context: &Context<'_>,
    args: &RotateArgs,
    setting: &Setting<'_>,
) -> Result<(Generated, &'static str), Failure> {
    let rotations = pki::rotations(setting)?;
    if rotations.iter().all(|rotation| rotation.by_next.is_empty())
        && rotations.iter().any(|rotation| rotation.next.is_some())
    {
        pass(context, args, setting, Gate::Abort).await?;
    }
    Ok(match pki::abort(setting)? {
        Aborted::LeafsPutBack(generated) => (generated, PUT_BACK),
        Aborted::Ended(generated) => (generated, ABORTED),
    })
}

/// Refuses to go on while a member is not as far.
async fn pass(
    context: &Context<'_>,
    args: &RotateArgs,
    setting: &Setting<'_>,
    gate: Gate,
) -> Result<(), Failure> {
    let rotations = pki::rotations(setting)?;
    if rotations.iter().all(|rotation| rotation.next.is_none()) {
        return Err(pki::Error::NotBegun {
            root: setting.root.to_owned(),
        }
        .into());
    }
    let mut obstacles = Vec::new();
    for seen in look(context, args, &rotations).await? {
        let seen = seen?;
        if let Some(obstacle) = obstacle(&rotations, &seen, gate) {
            obstacles.push(format!("{}: {obstacle}", seen.endpoint));
        }
    }
    match obstacles.is_empty() {
        true => Ok(()),
        false => Err(Failure::not_yet(&obstacles)),
    }
}

/// What keeps the gate shut at a port, if it is one of an authority that is rotated.
fn obstacle(rotations: &[Rotation], port: &Running, gate: Gate) -> Option<String> {
    let is_rotated = pki::rotation_of(rotations, port.port).next.is_some();
    port.obstacle(gate).filter(|_| is_rotated)
}

/// What every port of the cluster trusts and shows; the ports are those that the cluster itself lists, so that none is forgotten.
async fn look(
    context: &Context<'_>,
    args: &RotateArgs,
    rotations: &[Rotation],
) -> Result<Vec<Result<Running, etcdrx::etcd::Error>>, Failure> {
    let config = context.configure_both(&args.etcd, &RepositoryArgs::default(), |layers| layers)?;
    if config.cluster.endpoints == [DEFAULT_ENDPOINT] {
        return Err(Failure::no_endpoints());
    }
    if !args.peer_endpoints.is_empty() {
        let (clients, peers) = (&config.cluster.endpoints, &args.peer_endpoints);
        return Ok(pki::running(rotations, clients, peers, PATIENCE).await);
    }
    let access = Access::open(&config.cluster)?;
    let members = member_urls(&access, PATIENCE).await?;
    let clients = members.iter().flat_map(|member| member.client_urls.clone());
    let peers = members.iter().flat_map(|member| member.peer_urls.clone());
    let (clients, peers) = (clients.collect::<Vec<_>>(), peers.collect::<Vec<_>>());
    Ok(pki::running(rotations, &clients, &peers, PATIENCE).await)
}

fn tell(context: &Context<'_>, args: &RotateArgs, generated: &Generated, next: &str) {
    if context.screen.json {
        let mut document = document(generated);
        document["next"] = next.into();
        context.screen.answer_json(&document);
        return;
    }
    let mut lines = lines(&args.directory.out, generated);
    lines.push(format!("\n{next}"));
    context.screen.answer(&lines.join("\n"));
}

async fn status(context: &Context<'_>, args: &RotateArgs, setting: &Setting<'_>) -> Outcome {
    let rotations = pki::rotations(setting)?;
    let seen = look(context, args, &rotations).await?;
    let silent = seen.iter().any(Result::is_err);
    let next = next_step(&rotations, &seen);
    if context.screen.json {
        let ports = seen.iter().map(|seen| describe_port(&rotations, seen));
        let ports: Vec<Value> = ports.collect();
        let authorities: Vec<Value> = rotations.iter().map(describe).collect();
        context
            .screen
            .answer_json(&json!({"authorities": authorities, "ports": ports, "next": next}));
    } else {
        let mut lines: Vec<String> = rotations.iter().map(line).collect();
        lines.push(String::new());
        lines.extend(seen.iter().map(|seen| port_line(&rotations, seen)));
        lines.push(String::new());
        lines.extend(next);
        context.screen.answer(&lines.join("\n"));
    }
    match silent {
        true => Ok(Exit::Unreachable),
        false => Ok(Exit::Done),
    }
}

/// What is to be done now, and where.
fn next_step(rotations: &[Rotation], seen: &[Result<Running, etcdrx::etcd::Error>]) -> Vec<String> {
    let ports = || seen.iter().flatten();
    if rotations.iter().all(|rotation| rotation.next.is_none()) {
        let is_strange = |issuer: &Issuer| matches!(issuer, Issuer::Other(_));
        let late = ports().filter(|port| port.trusts.iter().any(is_strange));
        return late
            .map(|port| format!("next: restart the member of {} with its new bundle in place: it still trusts another authority", port.endpoint))
            .collect();
    }
    let mut begun = rotations.iter().filter(|rotation| rotation.next.is_some());
    let (gate, step) = match begun.any(|rotation| !rotation.by_old.is_empty()) {
        true => (Gate::Reissue, "next: etcdrx certs rotate-ca reissue"),
        false => (Gate::Finish, "next: etcdrx certs rotate-ca finish"),
    };
    let obstacles = ports().filter_map(|port| {
        let obstacle = obstacle(rotations, port, gate)?;
        Some(format!("next: {}: {obstacle}", port.endpoint))
    });
    let obstacles: Vec<String> = obstacles.collect();
    match obstacles.is_empty() {
        true => vec![step.to_owned()],
        false => obstacles,
    }
}

fn describe(rotation: &Rotation) -> Value {
    json!({
        "kind": rotation.kind.name(),
        "old": rotation.old.subject.text,
        "next": rotation.next.as_ref().map(|next| next.subject.text.clone()),
        "by_old": rotation.by_old,
        "by_next": rotation.by_next,
    })
}

fn describe_port(rotations: &[Rotation], seen: &Result<Running, etcdrx::etcd::Error>) -> Value {
    match seen {
        Ok(seen) => json!({
            "endpoint": seen.endpoint,
            "trusts": seen.trusts.iter().map(|issuer| name(rotations, seen, issuer)).collect::<Vec<_>>(),
            "shows_certificate_of": name(rotations, seen, &seen.shows),
        }),
        Err(error) => json!({"error": error.to_string()}),
    }
}

/// The name of an authority, as it stands in certificates.
fn name(rotations: &[Rotation], seen: &Running, issuer: &Issuer) -> String {
    let rotation = pki::rotation_of(rotations, seen.port);
    let next = rotation.next.as_ref().unwrap_or(&rotation.old);
    match issuer {
        Issuer::Old => rotation.old.subject.text.clone(),
        Issuer::Next => next.subject.text.clone(),
        Issuer::Other(name) => name.clone(),
    }
}

fn line(rotation: &Rotation) -> String {
    let old = &rotation.old.subject.text;
    match &rotation.next {
        None => format!("{}: `{old}`; no rotation is under way", rotation.kind),
        Some(next) => format!(
            "{}: from `{old}` ({} certificates) to `{}` ({} certificates)",
            rotation.kind,
            rotation.by_old.len(),
            next.subject.text,
            rotation.by_next.len(),
        ),
    }
}

fn port_line(rotations: &[Rotation], seen: &Result<Running, etcdrx::etcd::Error>) -> String {
    let seen = match seen {
        Ok(seen) => seen,
        Err(error) => return format!("{error}"),
    };
    let quoted = |issuer: &Issuer| format!("`{}`", name(rotations, seen, issuer));
    let trusted: Vec<String> = seen.trusts.iter().map(quoted).collect();
    let trusted = match trusted.is_empty() {
        true => "nobody".to_owned(),
        false => trusted.join(" and "),
    };
    format!(
        "{}: trusts {trusted}; shows a certificate of {}",
        seen.endpoint,
        quoted(&seen.shows)
    )
}

fn plan(args: &RotateArgs) -> String {
    let out = args.directory.out.display();
    format!(
        "A new authority, without a failed write. Never exchange authority and certificates at once: the cluster would lose its \
quorum at the second restart. Take a backup first: etcdrx backup

1. etcdrx certs rotate-ca begin
   makes the next authority and puts it beside the old one into every bundle of {out}
   you: copy every bundle to its member, ca.crt to every client; restart the members one by one, the leader last
2. etcdrx certs rotate-ca reissue
   goes on only if every port trusts both authorities; issues every certificate anew
   you: copy certificates and keys to members and clients; no restart
3. etcdrx certs rotate-ca finish
   goes on only if every port shows a certificate of the next authority; leaves that alone in every bundle
   you: copy the bundles again; restart the members one by one; destroy the old key
   
At any time: etcdrx certs rotate-ca status tells how far things are; until step 3, etcdrx certs rotate-ca abort goes back."
    )
}
