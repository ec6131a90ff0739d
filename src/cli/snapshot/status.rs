//! `etcdrx snapshot status`

use clap::Args;
use etcdrx::backend::{Contents, Status, contents};
use etcdrx::manifest::Finding;
use etcdrx::source::Guard;
use serde_json::{Map, Value, json};

use super::super::Outcome;
use super::super::args::RepositoryArgs;
use super::super::context::Context;
use super::super::failure::{Exit, Failure};
use super::super::print;
use super::{is_file, open_file, survey};

/// `snapshot status`
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Snapshot file, a member's db file, backup id, or `latest`
    pub(crate) source: String,

    /// Do not hold the bytes against the SHA-256 at the end of a snapshot file
    #[arg(long)]
    pub(crate) skip_hash_check: bool,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

pub(super) async fn run(context: &Context<'_>, args: &StatusArgs) -> Outcome {
    let (status, contents, guard) = read(context, args).await?;
    let findings = findings(&contents);
    match context.screen.json {
        true => context
            .screen
            .answer_json(&json(&status, &contents, guard, &findings)),
        false => context
            .screen
            .answer(&text(&status, &contents, guard, &findings)),
    }
    Ok(Exit::Done)
}

async fn read(
    context: &Context<'_>,
    args: &StatusArgs,
) -> Result<(Status, Contents, &'static str), Failure> {
    if !is_file(&args.source) {
        let surveyed = survey(context, &args.source, &args.repository).await?;
        return Ok((
            surveyed.status,
            surveyed.contents,
            "the backup's digests match",
        ));
    }
    let source = open_file(context, &args.source)?;
    let status = source.status(!args.skip_hash_check)?;
    let contents = contents(&source.store()?).map_err(|error| source.told(error))?;
    let guard = match (source.guard(), args.skip_hash_check) {
        (Guard::Trailer(_), true) => "not checked",
        (Guard::Trailer(_), false) => "the SHA-256 trailer matches",
        (Guard::Manifest | Guard::Nothing, _) => "none: this is a database file, not a snapshot",
    };
    Ok((status, contents, guard))
}

/// What a restore of it would meet.
fn findings(contents: &Contents) -> Vec<Finding> {
    let alarms = contents.alarms.iter().map(|alarm| {
        let message = format!(
            "an alarm of member {} ({:?}) is in it and survives a restore: `restore --clear-alarms` leaves it out",
            alarm.member_id, alarm.kind
        );
        Finding::warning("alarm", message)
    });
    let mut findings: Vec<Finding> = alarms.collect();
    if contents.compaction_unfinished {
        let message = "a compaction was under way: etcd ends it when it starts";
        findings.push(Finding::warning("compaction-unfinished", message));
    }
    if contents.downgrade_enabled {
        let message = "a downgrade was under way, and survives a restore";
        findings.push(Finding::warning("downgrade", message));
    }
    findings
}

/// What etcdutl of the release that wrote the database calls the total: its meaning changed with 3.6.
fn total_key(status: &Status) -> u64 {
    match status.version {
        Some(_) => status.live_keys,
        None => status.record_count,
    }
}

fn json(status: &Status, contents: &Contents, guard: &str, findings: &[Finding]) -> Value {
    let buckets: Map<String, Value> = status
        .buckets
        .iter()
        .map(|bucket| (bucket.name.clone(), json!(bucket.keys)))
        .collect();
    json!({
        "hash": status.hash,
        "revision": status.revision,
        "totalKey": total_key(status),
        "totalSize": status.total_size_bytes,
        "version": status.version.as_deref().unwrap_or_default(),
        "liveKeys": status.live_keys,
        "recordCount": status.record_count,
        "compactRevision": status.compact_revision,
        "usedPages": status.shape.used_pages,
        "freePages": status.shape.free_pages,
        "buckets": buckets,
        "contents": contents,
        "guard": guard,
        "findings": findings,
    })
}

fn text(status: &Status, contents: &Contents, guard: &str, findings: &[Finding]) -> String {
    let compacted = match status.compact_revision {
        Some(revision) => format!("compacted to {revision}"),
        None => "never compacted".to_owned(),
    };
    let pages = status.shape.used_pages + status.shape.free_pages;
    let size = status.total_size_bytes;
    let version = status.version.as_deref();
    let mut lines = vec![
        format!("hash       {:08x}", status.hash),
        format!("revision   {}, {compacted}", status.revision),
        format!(
            "keys       {} alive, {} records in all buckets",
            status.live_keys, status.record_count
        ),
        format!(
            "size       {} ({size} bytes), {} of {pages} pages in use",
            print::size(size),
            status.shape.used_pages
        ),
        format!(
            "version    {}",
            version.unwrap_or("none: written by etcd 3.5 or older")
        ),
        format!("guard      {guard}"),
    ];
    lines.extend(cluster(contents));
    lines.push("buckets".to_owned());
    lines.extend(
        status
            .buckets
            .iter()
            .map(|bucket| format!("  {:16} {}", bucket.name, bucket.keys)),
    );
    if !findings.is_empty() {
        lines.push(print::findings(findings));
    }
    lines.join("\n")
}

fn cluster(contents: &Contents) -> Vec<String> {
    let mut lines = Vec::new();
    for member in &contents.members {
        let learner = if member.is_learner { ", learner" } else { "" };
        let urls = member.peer_urls.join(", ");
        lines.push(format!(
            "member     {} {} ({urls}){learner}",
            member.id, member.name
        ));
    }
    let auth = match contents.auth_enabled {
        true => "on",
        false => "off",
    };
    lines.push(format!(
        "auth       {auth}, {} users, {} roles",
        contents.users.len(),
        contents.roles.len()
    ));
    lines.push(format!("leases     {}", contents.leases));
    lines
}
