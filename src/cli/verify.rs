//! `etcdrx verify`

use etcdrx::catalog::Backup;
use etcdrx::config::Config;
use etcdrx::manifest::Finding;
use etcdrx::repository::Folder;
use etcdrx::schedule::Job;
use etcdrx::verify::{Depth, Report, record, strays, verify};
use serde_json::json;

use super::Outcome;
use super::args::VerifyArgs;
use super::context::{Context, now, open_catalog};
use super::failure::{Exit, Failure};
use super::print;
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

async fn verify_all(
    context: &Context<'_>,
    args: &VerifyArgs,
    config: &Config,
) -> Result<Verified, Failure> {
    let (folder, catalog) = open_catalog(config).await?;
    let backups: Vec<&Backup> = match args.all {
        true => catalog.backups.iter().collect(),
        // The newest, also where it is known to be damaged: passing over it would look like an all-clear.
        false if args.id == "latest" && !catalog.backups.is_empty() => vec![&catalog.backups[0]],
        false => vec![catalog.find(&args.id, &folder)?],
    };
    let depth = match args.deep {
        true => Depth::Deep,
        false => Depth::Full,
    };
    let mut reports = Vec::new();
    let mut unreached = None;
    for backup in backups {
        match verify_one(context, &folder, backup, depth).await {
            Ok(report) => reports.push((backup, report)),
            // The others are still looked at; what could not be read counts in the end.
            Err(failure) => {
                context
                    .screen
                    .warn(&format!("{}: {}", backup.id(), failure.one_line()));
                unreached.get_or_insert(failure);
            }
        }
    }
    let strays = if args.all {
        strays(&catalog)
    } else {
        Vec::new()
    };
    context.screen.clear();
    answer(context, &reports, &strays);
    let damaged = reports.iter().filter(|(_, report)| !report.is_ok()).count();
    let exit = match (damaged, unreached) {
        (0, Some(failure)) => return Err(failure),
        (0, None) if print::any_error(&strays) => Exit::Findings,
        (0, None) => Exit::Done,
        _ => Exit::Damaged,
    };
    Ok(Verified {
        exit,
        damaged: u32::try_from(damaged).unwrap_or(u32::MAX),
        findings: named(&reports, strays),
    })
}

fn named(reports: &[(&Backup, Report)], strays: Vec<Finding>) -> Vec<Finding> {
    let of_backups = reports.iter().flat_map(|(backup, report)| {
        let id = backup.id();
        report.findings.iter().map(move |finding| Finding {
            message: format!("{id}: {}", finding.message),
            ..finding.clone()
        })
    });
    of_backups.chain(strays).collect()
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

fn answer(context: &Context<'_>, reports: &[(&Backup, Report)], strays: &[Finding]) {
    let screen = context.screen;
    if screen.json {
        let backups: Vec<_> = reports
            .iter()
            .map(|(backup, report)| {
                json!({
                    "id": backup.id(),
                    "ok": report.is_ok(),
                    "checks": report.checks,
                    "findings": report.findings,
                })
            })
            .collect();
        screen.answer_json(&json!({"backups": backups, "findings": strays}));
        return;
    }
    let mut lines = Vec::new();
    for (backup, report) in reports {
        if report.is_ok() {
            lines.push(format!("{} ok: {}", backup.id(), report.checks.join(", ")));
            continue;
        }
        lines.push(format!("{} DAMAGED", backup.id()));
        lines.push(print::findings(&report.findings));
    }
    if !strays.is_empty() {
        lines.push(print::findings(strays));
    }
    if lines.is_empty() {
        lines.push("there is nothing to verify".to_owned());
    }
    screen.answer(&lines.join("\n"));
}
