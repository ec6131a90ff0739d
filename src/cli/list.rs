//! `etcdrx list`

use etcdrx::catalog::{Backup, Catalog, Signature};
use etcdrx::manifest::Severity;
use etcdrx::verify::strays;
use serde_json::json;

use super::Outcome;
use super::args::ListArgs;
use super::context::{Context, open_catalog};
use super::failure::Exit;
use super::print;

pub(super) async fn run(context: &Context<'_>, args: &ListArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(&config).await?;
    let screen = context.screen;
    let findings = strays(&catalog);
    if screen.json {
        let backups: Vec<_> = catalog.backups.iter().map(print::backup_json).collect();
        screen.answer_json(&json!({"backups": backups, "findings": findings}));
    } else if catalog.backups.is_empty() {
        screen.answer(&format!("no backups in {folder:?}"));
    } else {
        screen.answer(&table(&catalog));
    }
    screen.findings(&findings);
    for finding in findings.iter().filter(|f| f.severity == Severity::Warning) {
        screen.warn(&finding.message);
    }
    Ok(match catalog.unreadable.is_empty() {
        true => Exit::Done,
        false => Exit::Findings,
    })
}

fn table(catalog: &Catalog) -> String {
    let older = catalog.backups.iter().skip(1).map(Some).chain([None]);
    let rows: Vec<Vec<String>> = catalog
        .backups
        .iter()
        .zip(older)
        .map(|(backup, older)| row(backup, older))
        .collect();
    print::table(
        &[
            "ID", "REVISION", "KEYS", "SIZE", "STORED", "MEMBER", "HEALTH", "NOTES",
        ],
        &rows,
    )
}

fn row(backup: &Backup, older: Option<&Backup>) -> Vec<String> {
    let manifest = &backup.manifest;
    vec![
        manifest.id.to_string(),
        manifest.revision.to_string(),
        manifest
            .keys
            .map_or_else(|| "-".to_owned(), |keys| keys.to_string()),
        print::size(manifest.db_size_bytes),
        print::size(manifest.stored_size_bytes),
        manifest.member_name.clone(),
        print::health(backup.health()).to_owned(),
        notes(backup, older).join(", "),
    ]
}

/// What a person should know of a backup, beside the one before it.
fn notes(backup: &Backup, older: Option<&Backup>) -> Vec<&'static str> {
    let manifest = &backup.manifest;
    let mut notes = Vec::new();
    if backup.pinned {
        notes.push("pinned");
    }
    if manifest.encryption.is_some() {
        notes.push("encrypted");
    }
    match backup.signature {
        Signature::Missing => notes.push("NOT SIGNED"),
        Signature::Wrong => notes.push("WRONG SIGNATURE"),
        Signature::Unasked | Signature::Good => {}
    }
    if !manifest.quorum {
        notes.push("no quorum");
    }
    if manifest
        .findings
        .iter()
        .any(|finding| finding.code == "members-disagree")
    {
        notes.push("members disagreed");
    }
    if let Some(older) = older.map(|older| &older.manifest) {
        if older.cluster_id != manifest.cluster_id {
            notes.push("new cluster id");
        }
        if older.revision > manifest.revision {
            notes.push("revision went backwards");
        }
    }
    notes
}
