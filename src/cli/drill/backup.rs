//! `etcdrx drill backup`

use std::time::Duration;

use clap::Args;
use etcdrx::catalog::Backup;
use etcdrx::config::Config;
use etcdrx::drill::backup::{Drilled, Request, drill_backup};
use etcdrx::manifest::Finding;
use etcdrx::sandbox::Search;
use etcdrx::schedule::Job;
use etcdrx::verify::record;
use serde_json::json;

use super::super::Outcome;
use super::super::args::RepositoryArgs;
use super::super::context::{Context, now, open_catalog};
use super::super::failure::{Exit, Failure};
use super::super::print;
use super::super::tell::{End, Run};
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
    let run = Run::begin(context, &config, Job::Drill)?;
    let drilled = context.or_stop(drill(context, args, &config)).await;
    let drilled = drilled.and_then(|drilled| drilled);
    let end = match &drilled {
        Ok((exit, findings)) => End::worked(*exit, findings),
        Err(failure) => End::failed(failure),
    };
    run.end(&end, |_| {}).await;
    drilled.map(|(exit, _)| exit)
}

async fn drill(
    context: &Context<'_>,
    args: &BackupArgs,
    config: &Config,
) -> Result<(Exit, Vec<Finding>), Failure> {
    let (folder, catalog) = open_catalog(context, config).await?;
    let backup = catalog.find_to_prove(&args.id, &folder)?;
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
    let exit = match drilled.report.is_ok() {
        true => Exit::Done,
        false => Exit::Findings,
    };
    Ok((exit, drilled.report.findings))
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
