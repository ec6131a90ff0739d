//! `etcdrx show`

use etcdrx::catalog::Backup;
use serde_json::json;

use super::Outcome;
use super::args::ShowArgs;
use super::context::{Context, open_catalog};
use super::failure::Exit;
use super::print;

pub(super) async fn run(context: &Context<'_>, args: &ShowArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(&config).await?;
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
    let compacted = manifest.compact_revision.map_or_else(
        || "never compacted".to_owned(),
        |to| format!("compacted to {to}"),
    );
    let keys = manifest
        .keys
        .map_or_else(String::new, |keys| format!(", {keys} keys"));
    let storage = manifest
        .storage_version
        .as_ref()
        .map_or_else(String::new, |version| {
            format!(", storage version {version}")
        });
    let hash = manifest.hashkv.map_or_else(
        || "unknown".to_owned(),
        |hash| {
            format!(
                "{:08x} at revision {}, compacted to {}",
                hash.hash, hash.revision, hash.compact_revision
            )
        },
    );
    let quorum = if manifest.quorum {
        ""
    } else {
        ", WITHOUT QUORUM"
    };
    let mut lines = vec![
        format!(
            "backup     {}{}",
            manifest.id,
            if backup.pinned { " (pinned)" } else { "" }
        ),
        format!("cluster    {} ({})", manifest.cluster, manifest.cluster_id),
        format!(
            "member     {} ({}), {}{quorum}",
            manifest.member_name, manifest.endpoint, manifest.member_choice
        ),
        format!("etcd       {}{storage}", manifest.etcd_version),
        format!("revision   {}, {compacted}{keys}", manifest.revision),
        format!(
            "raft       index {}, term {}",
            manifest.raft_index, manifest.raft_term
        ),
        format!(
            "taken      {} to {}",
            print::time(manifest.started_at),
            print::time(manifest.completed_at)
        ),
        format!(
            "database   {} ({} bytes)",
            print::size(manifest.db_size_bytes),
            manifest.db_size_bytes
        ),
        format!(
            "           SHA-256 {} (with trailer)",
            manifest.snapshot_sha256
        ),
        format!(
            "stored     {} ({} bytes), {}",
            print::size(manifest.stored_size_bytes),
            manifest.stored_size_bytes,
            manifest.compression
        ),
        format!("           SHA-256 {}", manifest.stored_sha256),
        format!("hashkv     {hash}"),
        format!("health     {}", print::health(backup.health())),
    ];
    lines.extend(history(backup));
    if !manifest.findings.is_empty() {
        lines.push("findings when it was taken:".to_owned());
        lines.push(print::findings(&manifest.findings));
    }
    lines.join("\n")
}

/// Every verification, oldest first.
fn history(backup: &Backup) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(at), Some(how)) = (backup.manifest.verified_at, &backup.manifest.verified_how) {
        lines.push(format!("verified   {} {how}: ok", print::time(at)));
    }
    for record in &backup.verifications {
        let result = match record.ok {
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
