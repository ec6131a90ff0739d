//! `etcdrx drill backup`

use std::time::{Duration, Instant};

use clap::Args;
use etcdrx::catalog::Backup;
use etcdrx::config::Config;
use etcdrx::drill::backup::{Drilled, Request, drill_backup};
use etcdrx::notify::Metrics;
use etcdrx::progress::told;
use etcdrx::sandbox::Search;
use etcdrx::verify::record;
use serde_json::json;

use super::super::Outcome;
use super::super::args::RepositoryArgs;
use super::super::context::{Context, now, open_catalog};
use super::super::failure::{Exit, Failure};
use super::super::print;
use super::{ScratchArgs, program_folders};

/// `drill backup`
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Backup id, a unique beginning of one, or `latest`
    #[arg(value_name = "ID", default_value = "latest")]
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) scratch: ScratchArgs,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

pub(super) async fn run(context: &Context<'_>, args: &BackupArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let began = Instant::now();
    let outcome = context.or_interrupt(drill(context, args, &config)).await;
    tell_metrics(context, &config, &outcome, began.elapsed());
    outcome
}

async fn drill(context: &Context<'_>, args: &BackupArgs, config: &Config) -> Outcome {
    let (folder, catalog) = open_catalog(context, config).await?;
    let backup = match args.id.as_str() {
        // The newest, also where it is known to be damaged: passing over it would look like an all-clear.
        "latest" if !catalog.backups.is_empty() => &catalog.backups[0],
        id => catalog.find(id, &folder)?,
    };
    let request = Request {
        folder: &folder,
        backup,
        search: Search {
            program: args.scratch.etcd.as_deref(),
            folders: &program_folders(),
        },
        directory: &args.scratch.directory(),
    };
    let drilled = drill_backup(&request, context.screen).await?;
    if let Err(error) = record(&folder, backup, &drilled.report, "drill", now()).await {
        // A repository that can only be read is still worth a drill.
        let warning = format!("the result is not recorded: {error}");
        context.screen.warn(&warning);
    }
    context.screen.clear();
    answer(context, backup, &drilled);
    Ok(match drilled.report.is_ok() {
        true => Exit::Done,
        false => Exit::Findings,
    })
}

fn answer(context: &Context<'_>, backup: &Backup, drilled: &Drilled) {
    let screen = context.screen;
    let (report, manifest) = (&drilled.report, &backup.manifest);
    let in_ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if screen.json {
        screen.answer_json(&json!({
            "event": "drilled",
            "id": backup.id(),
            "ok": report.is_ok(),
            "checks": report.checks,
            "findings": report.findings,
            "notes": drilled.notes,
            "revision": manifest.revision,
            "keys": manifest.keys,
            "etcd_version": drilled.etcd_version,
            "etcd": drilled.program,
            "restored_ms": in_ms(drilled.restored_in),
            "served_ms": drilled.served_in.map(in_ms),
        }));
        return;
    }
    for note in &drilled.notes {
        screen.note(&format!("note: {}", note.message));
    }
    if !report.is_ok() {
        let findings = print::findings(&report.findings);
        screen.answer(&format!("{} BAD\n{findings}", backup.id()));
        return;
    }
    let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());
    screen.answer(&format!(
        "{} ok: {}\nrestored in {}, and etcd {} served it after {}",
        backup.id(),
        report.checks.join(", "),
        seconds(drilled.restored_in),
        drilled.etcd_version,
        seconds(drilled.served_in.unwrap_or_default()),
    ));
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
fn tell_metrics(
    context: &Context<'_>,
    config: &Config,
    outcome: &Result<Exit, Failure>,
    took: Duration,
) {
    let (Some(path), Ok(cluster)) = (&config.notify.metrics_file, config.cluster.folder()) else {
        return;
    };
    let exit = match outcome {
        Ok(exit) => *exit,
        Err(failure) => failure.exit,
    };
    let now = now().timestamp() as f64;
    let mut metrics = Metrics::read(path, &cluster);
    metrics.set("etcdrx_drill_last_run_timestamp_seconds", now);
    metrics.set("etcdrx_drill_last_exit_code", f64::from(exit as u8));
    metrics.set("etcdrx_drill_last_duration_seconds", took.as_secs_f64());
    if exit == Exit::Done {
        metrics.set("etcdrx_drill_last_success_timestamp_seconds", now);
    }
    if let Err(error) = metrics.write(path, &cluster) {
        context.screen.warn(&told(&error));
    }
}
