//! `etcdrx list`

use std::cmp::Reverse;

use etcdrx::catalog::{Backup, Catalog, Signature};
use etcdrx::config;
use etcdrx::manifest::{Finding, Severity};
use etcdrx::repository::{Folder, Mode};
use etcdrx::retention::Health;
use etcdrx::verify::strays;
use serde_json::{Value, json};

use super::Outcome;
use super::args::ListArgs;
use super::context::Context;
use super::failure::Exit;
use super::print;
use super::several::Each;

pub(super) async fn run(context: &Context<'_>, args: &ListArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let load = async |_: &config::Repository, folder: &Folder| {
        let catalog = Catalog::load(folder).await?;
        Ok((folder.clone(), catalog))
    };
    let Each { done, failed } = Each::of(context, &config, Mode::Existing, load).await?;
    let screen = context.screen;
    let several = config.repositories.all().len() > 1;
    let copies = copies(&done);
    let findings: Vec<Finding> = done
        .iter()
        .flat_map(|(name, (_, catalog))| named(strays(catalog), name))
        .collect();
    if done.is_empty() {
        // The failure says it all.
    } else if screen.json {
        let backups: Vec<_> = copies.iter().map(|copy| copy.to_json(several)).collect();
        screen.answer_json(&json!({"backups": backups, "findings": findings}));
    } else if !copies.is_empty() {
        screen.answer(&table(&copies, several));
    } else if let [(_, (folder, _))] = done.as_slice() {
        screen.answer(&format!("no backups in {folder:?}"));
    } else if several {
        screen.answer("no backups in any of the repositories");
    }
    screen.findings(&findings);
    for finding in findings.iter().filter(|f| f.severity == Severity::Warning) {
        screen.warn(&finding.message);
    }
    Each::<()>::ended(failed, done.len(), "listing the backups")?;
    let all_readable = done
        .iter()
        .all(|(_, (_, catalog))| catalog.unreadable.is_empty());
    Ok(match all_readable {
        true => Exit::Done,
        false => Exit::Findings,
    })
}

/// A backup, and the names of the repositories that have it.
struct Copies<'a> {
    /// It is the same in all of them; what was learnt of it later is that of the first.
    backup: &'a Backup,
    places: Vec<(&'a str, Health)>,
}

/// Every backup once, newest first, wherever it lies.
fn copies(catalogs: &[(String, (Folder, Catalog))]) -> Vec<Copies<'_>> {
    let mut all: Vec<Copies<'_>> = Vec::new();
    for (name, (_, catalog)) in catalogs {
        for backup in &catalog.backups {
            let place = (name.as_str(), backup.health());
            match all.iter_mut().find(|copy| copy.backup.id() == backup.id()) {
                Some(copy) => copy.places.push(place),
                None => all.push(Copies {
                    backup,
                    places: vec![place],
                }),
            }
        }
    }
    let time = |copy: &Copies<'_>| (copy.backup.manifest.started_at, copy.backup.id().clone());
    all.sort_by_key(|copy| Reverse(time(copy)));
    all
}

impl Copies<'_> {
    fn to_json(&self, several: bool) -> Value {
        let mut json = print::backup_json(self.backup);
        if several {
            let places = self.places.iter();
            json["repositories"] = places
                .map(|(name, health)| {
                    json!({"name": name, "health": print::health(*health).to_lowercase()})
                })
                .collect();
        }
        json
    }

    fn whereabouts(&self) -> String {
        let places = self.places.iter().map(|(name, health)| match health {
            Health::Damaged => format!("{name} (DAMAGED)"),
            _ => (*name).to_owned(),
        });
        places.collect::<Vec<_>>().join(", ")
    }
}

/// Findings that say of which repository they are, where it has a name.
fn named(findings: Vec<Finding>, name: &str) -> Vec<Finding> {
    let name = |finding: Finding| match name {
        "" => finding,
        name => finding.about(name),
    };
    findings.into_iter().map(name).collect()
}

fn table(copies: &[Copies<'_>], several: bool) -> String {
    let older = copies.iter().skip(1).map(|copy| Some(copy.backup));
    let rows: Vec<Vec<String>> = copies
        .iter()
        .zip(older.chain([None]))
        .map(|(copy, older)| {
            let mut row = row(copy.backup, older);
            if several {
                row.insert(row.len() - 1, copy.whereabouts());
            }
            row
        })
        .collect();
    let mut heading = vec![
        "ID", "REVISION", "KEYS", "SIZE", "STORED", "MEMBER", "HEALTH", "NOTES",
    ];
    if several {
        heading.insert(heading.len() - 1, "WHERE");
    }
    print::table(&heading, &rows)
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
