//! The running ports of a cluster, held against the files: the half of `certs check` that connects.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use clap::Args;
use etcdrx::certs::Certificate;
use etcdrx::certs::check::{File, Subject, read_file};
use etcdrx::config::Config;
use etcdrx::etcd::Identity;
use etcdrx::handshakes::{Listeners, PATIENCE, Request, judge, view};
use etcdrx::manifest::Finding;

use crate::cli::args::{EtcdArgs, RepositoryArgs};
use crate::cli::context::{Context, now};
use crate::cli::failure::Failure;

/// The ports, and what to show to them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Running members")]
pub(crate) struct PortArgs {
    /// Peer URLs, whose ports are looked at, too
    #[arg(long, value_name = "URL,...", value_delimiter = ',')]
    peer_endpoints: Vec<String>,

    /// CA that signed the members' peer certificates
    #[arg(long, value_name = "FILE")]
    peer_cacert: Option<PathBuf>,

    /// A peer certificate to knock with; what counts then is this machine's address, too
    #[arg(long = "knock-cert", value_name = "FILE", requires = "peer_key")]
    peer_identity: Option<PathBuf>,

    /// Its key
    #[arg(long = "knock-key", value_name = "FILE")]
    peer_key: Option<PathBuf>,

    #[command(flatten)]
    etcd: EtcdArgs,
}

impl PortArgs {
    /// How many ports there are to connect to.
    pub(super) fn count(&self) -> usize {
        self.etcd.endpoints.as_ref().map_or(0, Vec::len) + self.peer_endpoints.len()
    }

    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        self.count() > 0
    }
}

/// What the ports showed.
pub(super) struct Looked {
    /// What is wrong with it.
    pub(super) findings: Vec<Finding>,
    /// When each certificate ends that a port showed, or that was shown to it.
    pub(super) ends: Vec<DateTime<Utc>>,
}

/// The configuration with what the flags say.
pub(super) fn configure(context: &Context<'_>, args: &PortArgs) -> Result<Config, Failure> {
    context.configure_both(&args.etcd, &RepositoryArgs::default(), |layers| layers)
}

/// Looks at every port that was named.
pub(super) async fn look(
    context: &Context<'_>,
    args: &PortArgs,
    config: &Config,
    subject: &Subject,
) -> Result<Looked, Failure> {
    let cluster = &config.cluster;
    let servers = subject.members.iter().flat_map(|member| &member.server);
    let peers = subject.members.iter().flat_map(|member| &member.peer);
    let request = Request {
        clients: Listeners {
            endpoints: match args.etcd.endpoints {
                Some(_) => cluster.endpoints.clone(),
                None => Vec::new(),
            },
            authorities: cluster.ca.as_deref().map(authorities).transpose()?,
            identity: identity(cluster.cert.as_deref(), cluster.key.as_deref())?,
            on_disk: servers.filter_map(|pair| on_disk(&pair.cert)).collect(),
        },
        peers: Listeners {
            endpoints: args.peer_endpoints.clone(),
            authorities: args.peer_cacert.as_deref().map(authorities).transpose()?,
            identity: identity(args.peer_identity.as_deref(), args.peer_key.as_deref())?,
            on_disk: peers.filter_map(|pair| on_disk(&pair.cert)).collect(),
        },
        now: now(),
        patience: PATIENCE,
    };
    let views = view(&request, context.screen).await;
    context.screen.clear();
    let seen = views.iter().filter_map(|view| view.seen.as_ref().ok());
    let served = seen.filter_map(|seen| seen.served.first());
    let own = cluster.cert.as_deref().map(super::chain).transpose()?;
    let ends = served.chain(own.iter().flatten());
    Ok(Looked {
        ends: ends.map(|certificate| certificate.not_after).collect(),
        findings: judge(&request, &views),
    })
}

fn authorities(path: &Path) -> Result<(PathBuf, Vec<Certificate>), Failure> {
    Ok((path.to_owned(), super::chain(path)?))
}

fn identity(cert: Option<&Path>, key: Option<&Path>) -> Result<Option<Identity>, Failure> {
    let Some((cert, key)) = cert.zip(key) else {
        return Ok(None);
    };
    Ok(Some(Identity::read(cert, key)?))
}

fn on_disk(file: &File) -> Option<(PathBuf, Certificate)> {
    let leaf = read_file(&file.path).chain().into_iter().next()?;
    Some((file.path.clone(), leaf))
}
