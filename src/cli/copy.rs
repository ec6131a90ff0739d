//! `etcdrx copy`

use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use etcdrx::copy::{Report, Request, Wanted, copy};
use etcdrx::repository::{Folder, Mode, Repository};
use serde_json::json;

use super::Outcome;
use super::args::RepositoryArgs;
use super::context::{Context, now};
use super::failure::{Exit, Failure};
use super::print;

/// `copy`
#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// Backup id, a unique beginning of one, or `latest` [default: all that are missing and would be kept]
    #[arg(value_name = "ID")]
    id: Option<String>,

    /// Name of the repository to read
    #[arg(long, value_name = "NAME")]
    from: String,

    /// Name of the repository to write
    #[arg(long, value_name = "NAME")]
    to: String,

    /// How long to wait for another run to end, instead of refusing
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "0s")]
    wait: Duration,

    /// Name of the cluster: its folder in the repositories
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

pub(super) async fn run(context: &Context<'_>, args: &CopyArgs) -> Outcome {
    if args.from == args.to {
        return Err(Failure::bad_words(
            "--from and --to name the same repository".to_owned(),
        ));
    }
    let config = context.configure(&RepositoryArgs {
        repository: None,
        cluster: args.cluster.clone(),
    })?;
    let cluster = config.cluster.folder()?;
    let (from, to) = (
        config.repositories.named(&args.from)?,
        config.repositories.named(&args.to)?,
    );
    // What is stored is copied as it is: no key is needed.
    let open = |settings, mode| {
        let repository = Repository::open(settings, mode)?;
        Ok::<_, Failure>(repository.folder(&cluster, Arc::default()))
    };
    let request = Request {
        from: &open(from, Mode::Existing)?,
        to: &open(to, Mode::Create)?,
        policy: config.retention_of(to),
        wait: args.wait,
        now,
        interrupt: &context.interrupt,
        progress: context.screen,
    };
    let wanted = args.id.as_deref().map_or(Wanted::Missing, Wanted::One);
    let copying = copy(&request, wanted);
    let report = copying.await?;
    context.screen.clear();
    answer(context, &report, request.to);
    ended(report)
}

fn answer(context: &Context<'_>, report: &Report, to: &Folder) {
    let label = to.repository().label();
    if context.screen.json {
        let copied: Vec<_> = report.copied.iter().map(|manifest| &manifest.id).collect();
        let failed: Vec<_> = report.failed.iter().map(|(id, _)| id).collect();
        context.screen.answer_json(&json!({
            "copied": copied,
            "present": report.present,
            "passed_over": report.passed_over,
            "failed": failed,
        }));
        return;
    }
    let mut lines = Vec::new();
    for manifest in &report.copied {
        let size = print::size(manifest.stored_size_bytes);
        lines.push(format!(
            "copied  {}  revision {} ({size}), read back",
            manifest.id, manifest.revision
        ));
    }
    for id in &report.passed_over {
        lines.push(format!(
            "passed  {id}  the retention of {label} would remove it again"
        ));
    }
    for (id, _) in &report.failed {
        lines.push(format!("FAILED  {id}"));
    }
    lines.push(format!(
        "{} copied to {label}, {} there already, {} passed over, {} failed",
        report.copied.len(),
        report.present.len(),
        report.passed_over.len(),
        report.failed.len()
    ));
    context.screen.answer(&lines.join("\n"));
}

/// One that failed decides how the command ends; what is damaged weighs most.
fn ended(report: Report) -> Outcome {
    let failures = report.failed.into_iter();
    let mut failures: Vec<Failure> = failures.map(|(_, error)| error.into()).collect();
    failures.sort_by_key(|failure| failure.exit != Exit::Damaged);
    let mut failures = failures.into_iter();
    let Some(mut first) = failures.next() else {
        return Ok(Exit::Done);
    };
    first.causes.extend(failures.map(|other| other.one_line()));
    Err(first)
}
