//! `etcdrx restore`

use std::path::{Path, PathBuf};

use clap::Args;
use etcdrx::backend::{Store, revision_of};
use etcdrx::catalog::Catalog;
use etcdrx::datadir::edit::{Edits, Release};
use etcdrx::datadir::membership::Membership;
use etcdrx::id::Revision;
use etcdrx::restore::{Bump, Origin, Request, Restored, Target, restore};
use serde_json::json;

use super::Outcome;
use super::args::RepositoryArgs;
use super::context::{Context, open_catalog};
use super::failure::{Exit, Failure};

/// `restore`
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags")]
pub(crate) struct RestoreArgs {
    /// Snapshot file, backup id, or `latest`; with --skip-hash-check also a member's db file
    pub(crate) source: String,

    /// Name of the member whose directory is made
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub(crate) name: String,

    /// The members of the new cluster with their peer URLs
    #[arg(
        long,
        value_name = "NAME=URL,...",
        default_value = "default=http://localhost:2380"
    )]
    pub(crate) initial_cluster: String,

    /// The member's peer URLs [default: those in --initial-cluster]
    #[arg(long, value_name = "URL,...")]
    pub(crate) initial_advertise_peer_urls: Option<String>,

    /// Makes the ids of cluster and members [default: random; the same token and URLs make a cluster that members of the
    /// old one join without a word]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) initial_cluster_token: Option<String>,

    /// Directory to make; it is not there, or empty [default: NAME.etcd]
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,

    /// Directory for the log [default: in the data directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) wal_dir: Option<PathBuf>,

    /// Make the directories of all members at once: DIR/NAME for each
    #[arg(long, value_name = "DIR", conflicts_with_all = ["name", "data_dir", "wal_dir", "initial_advertise_peer_urls"])]
    pub(crate) all_members: Option<PathBuf>,

    /// Raise the revision by so much, or safely beyond every revision known; needs --mark-compacted
    #[arg(long, value_name = "N|auto", requires = "mark_compacted", value_parser = BumpArg::parse)]
    pub(crate) bump_revision: Option<BumpArg>,

    /// Mark everything before the raised revision as compacted, so that watchers notice; needs --bump-revision
    #[arg(long, requires = "bump_revision")]
    pub(crate) mark_compacted: bool,

    /// The store as it was at this revision
    #[arg(long, value_name = "REVISION", value_parser = clap::value_parser!(i64).range(1..))]
    pub(crate) to_revision: Option<i64>,

    /// Only keys that begin so; needs --bump-revision
    #[arg(long, value_name = "PREFIX", requires = "bump_revision")]
    pub(crate) prefix: Option<String>,

    /// Leave out alarms, which would make the new cluster read-only
    #[arg(long)]
    pub(crate) clear_alarms: bool,

    /// Make it fit for an older release of etcd
    #[arg(long, value_name = "VERSION", value_parser = release)]
    pub(crate) for_version: Option<Release>,

    /// Write the database anew, without free pages
    #[arg(long)]
    pub(crate) defragment: bool,

    /// Take a file that nothing proves whole, such as a member's db
    #[arg(long)]
    pub(crate) skip_hash_check: bool,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// What can be said after `--bump-revision`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum BumpArg {
    By(i64),
    Auto,
}

impl BumpArg {
    fn parse(text: &str) -> Result<Self, String> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::Auto),
            Ok(by) if by > 0 => Ok(Self::By(by)),
            _ => Err("expected a number greater than 0, or auto".to_owned()),
        }
    }
}

fn release(text: &str) -> Result<Release, String> {
    Release::read(text).ok_or_else(|| "expected 3.4, 3.5, 3.6 or 3.7".to_owned())
}

pub(super) async fn run(context: &Context<'_>, args: &RestoreArgs) -> Outcome {
    let token = args
        .initial_cluster_token
        .clone()
        .unwrap_or_else(|| format!("etcdrx-{:016x}", rand::random::<u64>()));
    let membership = Membership::parse(&args.initial_cluster, &token)?;
    let request = Request {
        targets: targets(args, &membership)?,
        membership: &membership,
        edits: edits(args),
        bump: None,
        run: format!("{:06x}", rand::random::<u32>() >> 8),
    };
    let path = Path::new(&args.source);
    if path.exists() || args.source.contains('/') {
        let origin = Origin::File {
            path,
            unproven: args.skip_hash_check,
        };
        return restore_from(context, args, request, &origin, file_revision(path), &token).await;
    }
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(context, &config).await?;
    let backup = catalog.find(&args.source, &folder)?;
    let origin = Origin::Backup {
        folder: &folder,
        backup,
    };
    let highest = highest_known(&catalog);
    restore_from(context, args, request, &origin, highest, &token).await
}

async fn restore_from(
    context: &Context<'_>,
    args: &RestoreArgs,
    mut request: Request<'_>,
    origin: &Origin<'_>,
    highest: Option<Revision>,
    token: &str,
) -> Outcome {
    let beyond = Bump::Beyond(highest.unwrap_or_default());
    request.bump = args.bump_revision.map(|bump| match bump {
        BumpArg::By(by) => Bump::By(by),
        BumpArg::Auto => beyond,
    });
    let restored = restore(&request, origin, context.screen).await?;
    context.screen.clear();
    if request.bump.is_none() {
        context.screen.warn(&format!(
            "revisions start again at {}: watchers and caches that have seen later ones miss what changes, without a word. \
             `--bump-revision auto --mark-compacted` would raise it by {}",
            restored.edited.revision,
            beyond.from(restored.edited.revision)
        ));
    }
    for finding in &restored.findings {
        context.screen.warn(&finding.message);
    }
    answer(context, &request, &restored, token);
    Ok(Exit::Done)
}

/// The highest revision that any backup of the cluster has seen.
fn highest_known(catalog: &Catalog) -> Option<Revision> {
    catalog
        .backups
        .iter()
        .map(|backup| backup.manifest.revision)
        .max()
}

/// The newest revision in a file, whatever the file is worth.
fn file_revision(path: &Path) -> Option<Revision> {
    let store = Store::open(std::fs::File::open(path).ok()?).ok()?;
    revision_of(&store, None).ok()
}

fn targets(args: &RestoreArgs, membership: &Membership) -> Result<Vec<Target>, Failure> {
    if let Some(directory) = &args.all_members {
        let members = membership.members.iter();
        return Ok(members
            .map(|member| Target {
                data_dir: directory.join(&member.name),
                member: member.clone(),
                wal_dir: None,
            })
            .collect());
    }
    let member = match &args.initial_advertise_peer_urls {
        Some(urls) => membership.local(&args.name, urls)?,
        None => membership.member(&args.name)?,
    };
    let data_dir = args.data_dir.clone();
    Ok(vec![Target {
        member: member.clone(),
        data_dir: data_dir.unwrap_or_else(|| PathBuf::from(format!("{}.etcd", args.name))),
        wal_dir: args.wal_dir.clone(),
    }])
}

fn edits(args: &RestoreArgs) -> Edits {
    Edits {
        to_revision: args.to_revision.map(Revision),
        prefix: args.prefix.clone().map(String::into_bytes),
        bump_revision: None,
        clear_alarms: args.clear_alarms,
        for_release: args.for_version,
        defragment: args.defragment,
    }
}

fn answer(context: &Context<'_>, request: &Request<'_>, restored: &Restored, token: &str) {
    let membership = request.membership;
    if context.screen.json {
        let members: Vec<_> = request
            .targets
            .iter()
            .map(|target| {
                json!({
                    "id": target.member.id,
                    "name": target.member.name,
                    "peer_urls": target.member.peer_urls,
                    "data_dir": target.data_dir,
                    "wal_dir": target.wal_dir,
                })
            })
            .collect();
        context.screen.answer_json(&json!({
            "cluster_id": membership.cluster_id,
            "token": token,
            "members": members,
            "snapshot_revision": restored.edited.snapshot_revision,
            "revision": restored.edited.revision,
            "bumped_by": restored.bumped_by,
            "findings": restored.findings,
        }));
        return;
    }
    let raised = match restored.bumped_by {
        Some(by) => format!(", raised by {by}"),
        None => String::new(),
    };
    let mut lines = vec![
        format!(
            "cluster    {} (token {token}), {} members",
            membership.cluster_id,
            membership.members.len()
        ),
        format!(
            "revision   {}{raised}; the snapshot's newest is {}",
            restored.edited.revision, restored.edited.snapshot_revision
        ),
    ];
    for target in &request.targets {
        let name = &target.member.name;
        let place = target.data_dir.display();
        lines.push(format!("member     {} {name} in {place}", target.member.id));
    }
    lines.push(match request.targets.len() == membership.members.len() {
        true => "next       start every member on its directory, all at once".to_owned(),
        false => format!(
            "next       make the other directories from the same source, with --initial-cluster-token {token}; then start all members at once"
        ),
    });
    context.screen.answer(&lines.join("\n"));
}
