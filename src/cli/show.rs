//! `etcdrx show`

use etcdrx::catalog::Backup;
use etcdrx::manifest::Manifest;
use serde_json::json;

use super::Outcome;
use super::args::ShowArgs;
use super::context::{Context, open_catalog};
use super::failure::Exit;
use super::print;

pub(super) async fn run(context: &Context<'_>, args: &ShowArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(context, &config).await?;
    let backup = catalog.find(&args.id, &folder)?;
    if context.screen.json {
        let mut json = print::backup_json(backup);
        json["verifications"] = json!(backup.verifications);
        context.screen.answer_json(&json);
    } else {
        context.screen.answer(&text(backup));
    }
    Ok(Exit::Done)
}

fn text(backup: &Backup) -> String {
    let manifest = &backup.manifest;
    let mut lines = origin(manifest, backup.pinned);
    lines.extend(data(manifest));
    lines.push(format!("health     {}", print::health(backup.health())));
    lines.extend(history(backup));
    if !manifest.findings.is_empty() {
        lines.push("findings when it was taken:".to_owned());
        lines.push(print::findings(&manifest.findings));
    }
    lines.join("\n")
}

/// Where and when it was taken.
fn origin(manifest: &Manifest, pinned: bool) -> Vec<String> {
    let pinned = if pinned { " (pinned)" } else { "" };
    let quorum = if manifest.quorum {
        ""
    } else {
        ", WITHOUT QUORUM"
    };
    let (name, endpoint) = (&manifest.member_name, &manifest.endpoint);
    let storage = match &manifest.storage_version {
        Some(version) => format!(", storage version {version}"),
        None => String::new(),
    };
    let (started, completed) = (manifest.started_at, manifest.completed_at);
    vec![
        format!("backup     {}{pinned}", manifest.id),
        format!("cluster    {} ({})", manifest.cluster, manifest.cluster_id),
        format!(
            "member     {name} ({endpoint}), {}{quorum}",
            manifest.member_choice
        ),
        format!("etcd       {}{storage}", manifest.etcd_version),
        format!(
            "taken      {} to {}",
            print::time(started),
            print::time(completed)
        ),
    ]
}

/// What it holds.
fn data(manifest: &Manifest) -> Vec<String> {
    let opened_by = manifest.recipients.iter();
    let opened_by = opened_by.map(|recipient| format!("           for {recipient}"));
    let compacted = match manifest.compact_revision {
        Some(to) => format!("compacted to {to}"),
        None => "never compacted".to_owned(),
    };
    let keys = match manifest.keys {
        Some(keys) => format!(", {keys} keys"),
        None => String::new(),
    };
    let hash = match manifest.hashkv {
        Some(hash) => format!("{:08x} at revision {}", hash.hash, hash.revision),
        None => "unknown".to_owned(),
    };
    let (database, stored) = (manifest.db_size_bytes, manifest.stored_size_bytes);
    let mut lines = vec![
        format!("revision   {}, {compacted}{keys}", manifest.revision),
        format!(
            "raft       index {}, term {}",
            manifest.raft_index, manifest.raft_term
        ),
        format!("hashkv     {hash}"),
        format!("database   {} ({database} bytes)", print::size(database)),
        format!(
            "           SHA-256 {} (with trailer)",
            manifest.snapshot_sha256
        ),
        format!(
            "stored     {} ({stored} bytes), {}",
            print::size(stored),
            print::stored_as(manifest)
        ),
        format!("           SHA-256 {}", manifest.stored_sha256),
    ];
    lines.extend(opened_by);
    let attached = manifest.attachments.iter().map(print::attached);
    lines.extend(attached.map(|attached| format!("attached   {attached}")));
    lines
}

/// Every verification, oldest first.
fn history(backup: &Backup) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(at), Some(how)) = (backup.manifest.verified_at, &backup.manifest.verified_how) {
        lines.push(format!("verified   {} {how}: ok", print::time(at)));
    }
    for record in &backup.verifications {
        let result = match record.ok {
            true if print::any_error(&record.findings) => {
                format!(
                    "the snapshot is ok, and\n{}",
                    print::findings(&record.findings)
                )
            }
            true => "ok".to_owned(),
            false => format!("DAMAGED\n{}", print::findings(&record.findings)),
        };
        lines.push(format!(
            "verified   {} {}: {result}",
            print::time(record.at),
            record.how
        ));
    }
    lines
}
