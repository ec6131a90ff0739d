//! Where the members of a cluster are learnt from: what is typed, etcd's own configuration, ours, or the cluster itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use etcdrx::certs::Host;
use etcdrx::certs::members::{Error, Member, ensure_apart, parse_members};
use etcdrx::config::{Config, DEFAULT_ENDPOINT, MemberUrls};
use etcdrx::etcd::{Access, member_urls};

use super::super::args::{EtcdArgs, RepositoryArgs};
use super::super::context::Context;
use super::super::failure::Failure;

const PATIENCE: Duration = Duration::from_secs(5);

/// The members, as flags say it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Members")]
pub(crate) struct MemberArgs {
    /// The members: NAME=HOST, ...; a name may stand there several times [default: the nodes of etcdrx.toml, else a live cluster]
    #[arg(long, value_name = "NAME=HOST,...", conflicts_with = "from_config")]
    pub(crate) cluster: Option<String>,

    /// Read them from the configuration file of one member's etcd
    #[arg(long, value_name = "FILE")]
    pub(crate) from_config: Option<PathBuf>,

    /// Another name or address that clients use, such as a load balancer's: HOST for every member, or NAME=HOST for one
    #[arg(long, value_name = "[NAME=]HOST,...", value_delimiter = ',')]
    pub(crate) san: Vec<String>,

    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,
}

/// Learns who the members are.
pub(super) async fn members(
    context: &Context<'_>,
    args: &MemberArgs,
) -> Result<Vec<Member>, Failure> {
    let mut members = match (&args.cluster, &args.from_config) {
        (Some(cluster), _) => parse_members(cluster)?,
        (None, Some(path)) => {
            let text =
                fs::read_to_string(path).map_err(|error| Failure::cannot_read(path, &error))?;
            let origin = path.display().to_string();
            of_urls(&MemberUrls::from_etcd_config(&text, &origin)?)?
        }
        (None, None) => configured(context, args).await?,
    };
    for name in &args.san {
        add_name(&mut members, name)?;
    }
    ensure_apart(&members)?;
    Ok(members)
}

async fn configured(context: &Context<'_>, args: &MemberArgs) -> Result<Vec<Member>, Failure> {
    let config: Config =
        context.configure_both(&args.etcd, &RepositoryArgs::default(), |layers| layers)?;
    if !config.nodes.is_empty() {
        let nodes = config.nodes.iter().map(|node| MemberUrls {
            name: node.name.clone(),
            client_urls: node.client_url.iter().cloned().collect(),
            peer_urls: node.peer_url.iter().cloned().collect(),
        });
        return of_urls(&nodes.collect::<Vec<_>>());
    }
    // Nobody said where a cluster is: that etcd's default port is silent would tell nothing.
    if config.cluster.endpoints == [DEFAULT_ENDPOINT] {
        return Err(Error::NoMembers.into());
    }
    let access = Access::open(&config.cluster)?;
    of_urls(&member_urls(&access, PATIENCE).await?)
}

/// Members by their URLs. Where only one kind is known, its hosts are taken for both.
fn of_urls(urls: &[MemberUrls]) -> Result<Vec<Member>, Failure> {
    let hosts = |urls: &[String]| -> Result<BTreeSet<Host>, Error> {
        urls.iter().map(|url| url.parse()).collect()
    };
    let members = urls.iter().map(|urls| {
        let mut member = Member::new(&urls.name)?;
        member.client_hosts = hosts(&urls.client_urls)?;
        member.peer_hosts = hosts(&urls.peer_urls)?;
        // A member's machine is called by all its names, and calls from all its addresses.
        let all = &member.client_hosts | &member.peer_hosts;
        for host in all {
            member.add(host);
        }
        Ok(member)
    });
    members.collect::<Result<_, Error>>().map_err(Failure::from)
}

/// Adds `HOST` to what every member's clients use, or `NAME=HOST` to one member.
fn add_name(members: &mut [Member], name: &str) -> Result<(), Failure> {
    let Some((member, host)) = name.split_once('=') else {
        let host: Host = name.parse()?;
        for member in members {
            member.client_hosts.insert(host.clone());
        }
        return Ok(());
    };
    let host: Host = host.parse()?;
    let known = members.iter_mut().find(|known| known.name == member);
    let known = known.ok_or_else(|| Error::NotAMember {
        text: name.to_owned(),
    })?;
    known.add(host);
    Ok(())
}
