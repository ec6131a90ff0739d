//! `etcdrx verify`

use etcdrx::catalog::{Backup, Catalog};
use etcdrx::config::{self, Config};
use etcdrx::id::BackupId;
use etcdrx::manifest::Finding;
use etcdrx::repository::{Folder, Mode};
use etcdrx::schedule::Job;
use etcdrx::verify::{Depth, Report, record, strays, verify};
use serde_json::json;

use super::Outcome;
use super::args::VerifyArgs;
use super::context::{Context, now};
use super::failure::{Exit, Failure};
use super::print;
use super::several::Each;
use super::tell::{End, Run};

pub(super) async fn run(context: &Context<'_>, args: &VerifyArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let run = Run::begin(context, &config, Job::Verify)?;
    let result = verify_all(context, args, &config).await;
    let end = match &result {
        Ok(verified) => End::worked(verified.exit, &verified.findings),
        Err(failure) => End::failed(failure),
    };
    run.end(&end, |metrics| {
        if let Ok(verified) = &result {
            metrics.set("etcdrx_verify_damaged", f64::from(verified.damaged));
        }
    })
    .await;
    result.map(|verified| verified.exit)
}

/// How a verification of one or more backups went.
struct Verified {
    exit: Exit,
    damaged: u32,
    /// What was held against the backups and their folder, each with the backup's id.
    findings: Vec<Finding>,
}

/// Verifies what is asked for in every repository: each has a copy of its own.
async fn verify_all(
    context: &Context<'_>,
    args: &VerifyArgs,
    config: &Config,
) -> Result<Verified, Failure> {
    let several = config.repositories.all().len() > 1;
    let work = async |settings: &config::Repository, folder: &Folder| {
        let verified = verify_in(context, args, folder).await?;
        let name = settings.name.as_deref().unwrap_or_default();
        if several && !context.screen.json {
            context.screen.answer(&format!("{name}:"));
        }
        if !context.screen.json {
            context.screen.answer(&text(&verified));
        }
        Ok(verified)
    };
    let Each { done, mut failed } = Each::of(context, config, Mode::Existing, work).await?;
    context.screen.clear();
    if context.screen.json && !done.is_empty() {
        answer_json(context, &done, several);
    }
    // A backup that was asked for by its id need not be everywhere.
    if !args.all && args.id != "latest" && !done.is_empty() {
        failed.retain(|(_, failure)| failure.exit != Exit::Usage);
    }
    let (mut exit, mut damaged, mut findings) = (Exit::Done, 0, Vec::new());
    let mut unreached = failed;
    let count = done.len();
    for (name, verified) in done {
        damaged += verified.damaged;
        findings.extend(named(&verified));
        if exit == Exit::Done {
            exit = verified.exit;
        }
        if let Some(failure) = verified.unreached {
            unreached.push((name, failure));
        }
    }
    match damaged {
        0 if !several && !unreached.is_empty() => Err(unreached.remove(0).1),
        0 => {
            Each::<()>::ended(unreached, count, "verifying")?;
            Ok(Verified {
                exit,
                damaged,
                findings,
            })
        }
        _ => Ok(Verified {
            exit: Exit::Damaged,
            damaged,
            findings,
        }),
    }
}

/// What was found in one repository.
struct Found {
    reports: Vec<(BackupId, Report)>,
    strays: Vec<Finding>,
    damaged: u32,
    exit: Exit,
    /// Why one of the backups could not be read.
    unreached: Option<Failure>,
}

async fn verify_in(
    context: &Context<'_>,
    args: &VerifyArgs,
    folder: &Folder,
) -> Result<Found, Failure> {
    let catalog = Catalog::load(folder).await?;
    let backups: Vec<&Backup> = match args.all {
        true => catalog.backups.iter().collect(),
        false => vec![catalog.find_to_prove(&args.id, folder)?],
    };
    let depth = match args.deep {
        true => Depth::Deep,
        false => Depth::Full,
    };
    let mut reports = Vec::new();
    let mut unreached = None;
    for backup in backups {
        match verify_one(context, folder, backup, depth).await {
            Ok(report) => reports.push((backup.id().clone(), report)),
            // The others are still looked at; what could not be read counts in the end.
            Err(failure) => {
                context
                    .screen
                    .warn(&format!("{}: {}", backup.id(), failure.one_line()));
                unreached.get_or_insert(failure);
            }
        }
    }
    context.screen.clear();
    let strays = match args.all {
        true => strays(&catalog),
        false => Vec::new(),
    };
    let damaged = reports.iter().filter(|(_, report)| !report.is_ok()).count();
    let exit = match damaged {
        0 if print::any_error(&strays) => Exit::Findings,
        0 => Exit::Done,
        _ => Exit::Damaged,
    };
    Ok(Found {
        reports,
        strays,
        damaged: u32::try_from(damaged).unwrap_or(u32::MAX),
        exit,
        unreached,
    })
}

/// What was held against the backups and their folder, each with the backup's id.
fn named(found: &Found) -> Vec<Finding> {
    let of_backups = found.reports.iter().flat_map(|(id, report)| {
        let findings = report.findings.iter().cloned();
        findings.map(move |finding| finding.about(id))
    });
    of_backups.chain(found.strays.iter().cloned()).collect()
}

async fn verify_one(
    context: &Context<'_>,
    folder: &Folder,
    backup: &Backup,
    depth: Depth,
) -> Result<Report, Failure> {
    let report = verify(folder, backup, depth, context.screen).await?;
    if let Err(error) = record(folder, backup, &report, depth.word(), now()).await {
        // A repository that can only be read is still worth verifying.
        context
            .screen
            .warn(&format!("the result is not recorded: {error}"));
    }
    Ok(report)
}

fn answer_json(context: &Context<'_>, done: &[(String, Found)], several: bool) {
    let mut backups = Vec::new();
    let mut strays = Vec::new();
    for (name, found) in done {
        for (id, report) in &found.reports {
            let mut json = json!({
                "id": id,
                "ok": report.is_ok(),
                "checks": report.checks,
                "findings": report.findings,
            });
            if several {
                json["repository"] = json!(name);
            }
            backups.push(json);
        }
        strays.extend(&found.strays);
    }
    context
        .screen
        .answer_json(&json!({"backups": backups, "findings": strays}));
}

fn text(found: &Found) -> String {
    let mut lines = Vec::new();
    for (id, report) in &found.reports {
        if report.is_ok() {
            lines.push(format!("{id} ok: {}", report.checks.join(", ")));
            if !report.findings.is_empty() {
                lines.push(print::findings(&report.findings));
            }
            continue;
        }
        lines.push(match report.is_snapshot_ok() {
            true => format!("{id}: the snapshot is ok, its attachments are DAMAGED"),
            false => format!("{id} DAMAGED"),
        });
        lines.push(print::findings(&report.findings));
    }
    if !found.strays.is_empty() {
        lines.push(print::findings(&found.strays));
    }
    if lines.is_empty() {
        lines.push("there is nothing to verify".to_owned());
    }
    lines.join("\n")
}
