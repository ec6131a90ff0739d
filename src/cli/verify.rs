//! `etcdrx verify`

use etcdrx::catalog::Backup;
use etcdrx::config::Config;
use etcdrx::manifest::Finding;
use etcdrx::notify::Metrics;
use etcdrx::progress::told;
use etcdrx::repository::Folder;
use etcdrx::verify::{Depth, Report, record, strays, verify};
use serde_json::json;

use super::Outcome;
use super::args::VerifyArgs;
use super::context::{Context, now, open_catalog};
use super::failure::{Exit, Failure};
use super::print;

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
    Ok(Verified { exit, damaged })
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
            if !report.findings.is_empty() {
                lines.push(print::findings(&report.findings));
            }
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
