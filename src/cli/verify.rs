//! `etcdrx verify`

use etcdrx::catalog::{Backup, Catalog};
use etcdrx::config::{self, Config};
use etcdrx::id::BackupId;
use etcdrx::manifest::Finding;
use etcdrx::notify::Metrics;
use etcdrx::progress::told;
use etcdrx::repository::{Folder, Mode};
use etcdrx::verify::{Depth, Report, record, strays, verify};
use serde_json::json;

use super::Outcome;
use super::args::VerifyArgs;
use super::context::{Context, now};
use super::failure::{Exit, Failure};
use super::print;
use super::several::Each;

pub(super) async fn run(context: &Context<'_>, args: &VerifyArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let result = verify_all(context, args, &config).await;
    tell_metrics(context, &config, &result);
    result.map(|verified| verified.exit)
}

/// How a verification of one or more backups went.
struct Verified {
    exit: Exit,
    damaged: usize,
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
    let (mut exit, mut damaged) = (Exit::Done, 0);
    let mut unreached = failed;
    let count = done.len();
    for (name, verified) in done {
        damaged += verified.damaged;
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
            Ok(Verified { exit, damaged })
        }
        _ => Ok(Verified {
            exit: Exit::Damaged,
            damaged,
        }),
    }
}

/// What was found in one repository.
struct Found {
    reports: Vec<(BackupId, Report)>,
    strays: Vec<Finding>,
    damaged: usize,
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
        // The newest, also where it is known to be damaged: passing over it would look like an all-clear.
        false if args.id == "latest" && !catalog.backups.is_empty() => vec![&catalog.backups[0]],
        false => vec![catalog.find(&args.id, folder)?],
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
        damaged,
        exit,
        unreached,
    })
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
        lines.push(format!("{id} DAMAGED"));
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

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
fn tell_metrics(context: &Context<'_>, config: &Config, result: &Result<Verified, Failure>) {
    let (Some(path), Ok(cluster)) = (&config.notify.metrics_file, config.cluster.folder()) else {
        return;
    };
    let mut metrics = Metrics::read(path, &cluster);
    let exit = match result {
        Ok(verified) => verified.exit,
        Err(failure) => failure.exit,
    };
    metrics.set(
        "etcdrx_verify_last_run_timestamp_seconds",
        now().timestamp() as f64,
    );
    metrics.set("etcdrx_verify_last_exit_code", f64::from(exit as u8));
    if let Ok(verified) = result {
        metrics.set("etcdrx_verify_damaged", verified.damaged as f64);
    }
    if let Err(error) = metrics.write(path, &cluster) {
        context.screen.warn(&told(&error));
    }
}
