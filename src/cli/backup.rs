//! `etcdrx backup`

use etcdrx::backup::{Request, backup};
use etcdrx::config::{Config, Layers};
use etcdrx::id::ClusterName;
use etcdrx::manifest::Manifest;
use etcdrx::notify::{Heartbeat, Metrics};
use etcdrx::progress::told;
use etcdrx::prune;
use etcdrx::schedule::Job;
use toml::Value;

use super::Outcome;
use super::args::BackupArgs;
use super::context::{Context, now, open_access};
use super::failure::{Exit, Failure};
use super::print;
use super::tell::{End, Run};
use super::whereabouts::Whereabouts;

pub(super) async fn run(context: &Context<'_>, args: &BackupArgs) -> Outcome {
    let config =
        context.configure_both(&args.etcd, &args.repository, |layers| flags(layers, args))?;
    let cluster = config.cluster.folder()?;
    let heartbeat = open_heartbeat(context, &config);
    let run = Run::begin(context, &config, Job::Backup)?;
    let (result, ()) = tokio::join!(
        take(context, args, &config, &cluster),
        announce(context, heartbeat.as_ref())
    );
    tell_heartbeat(context, heartbeat.as_ref(), &result).await;
    run.end(&end(&result), |metrics| {
        if let Ok(taken) = &result {
            measure(taken, metrics);
        }
    })
    .await;
    let taken = result?;
    // The backup exists, and that was said first.
    taken.failure.map_or(Ok(taken.exit), Err)
}

fn end(result: &Result<Taken, Failure>) -> End<'_> {
    match result {
        Ok(taken) => match &taken.failure {
            Some(failure) => End::failed(failure),
            None => End::worked(taken.exit, &taken.manifest.findings),
        },
        Err(failure) => End::failed(failure),
    }
}

fn flags(layers: Layers, args: &BackupArgs) -> Layers {
    let text = |value: &Option<String>| value.clone().map(Value::String);
    layers
        .flag("backup", "member", text(&args.member))
        .flag("backup", "timeout", text(&args.timeout))
        .flag("backup", "compression_level", text(&args.compression_level))
}

/// A backup that was taken, and how well everything went.
struct Taken {
    manifest: Manifest,
    exit: Exit,
    /// The names of the repositories that have it now.
    present: Vec<String>,
    /// What failed though the backup exists: a repository that has it not, or the prune after it.
    failure: Option<Failure>,
}

async fn take(
    context: &Context<'_>,
    args: &BackupArgs,
    config: &Config,
    cluster: &ClusterName,
) -> Result<Taken, Failure> {
    let screen = context.screen;
    let access = open_access(config)?;
    let mut whereabouts = Whereabouts::open(context, config)?;
    let request = Request {
        cluster,
        access: &access,
        folders: &whereabouts.folders(),
        settings: &config.backup,
        read_back: !args.no_read_back,
        wait: args.wait,
        now,
        interrupt: &context.interrupt,
        progress: screen,
    };
    let taken = backup(&request).await?;
    let manifest = taken.manifest().clone();
    whereabouts.learn(taken.places);
    answer(context, &manifest, &whereabouts);
    let mut taken = Taken {
        exit: Exit::Done,
        present: whereabouts.present(),
        failure: whereabouts.failure(&manifest.id),
        manifest,
    };
    if print::any_error(&taken.manifest.findings) {
        screen.findings(&taken.manifest.findings);
        screen.note(match args.prune {
            true => "the backup is kept and marked with this; nothing was pruned",
            false => "the backup is kept and marked with this",
        });
        taken.exit = Exit::Findings;
    } else if args.prune
        && let Err(failure) = prune_after(context, args, config, &whereabouts).await
    {
        taken.failure.get_or_insert(failure);
    }
    if let Some(failure) = &taken.failure {
        taken.exit = failure.exit;
    }
    Ok(taken)
}

/// Prunes where the new backup is; one repository that fails does not keep the others from it.
async fn prune_after(
    context: &Context<'_>,
    args: &BackupArgs,
    config: &Config,
    whereabouts: &Whereabouts<'_>,
) -> Result<(), Failure> {
    let mut result = Ok(());
    for (settings, folder) in whereabouts.committed() {
        let request = prune::Request {
            folder,
            policy: config.retention_of(settings),
            scope: prune::Scope::Newest,
            wait: args.wait,
            now,
            interrupt: &context.interrupt,
            progress: &etcdrx::progress::Silent,
        };
        match prune::prune(&request).await {
            Ok(plan) => {
                let removed = plan.removals().count();
                let whose = whereabouts.prefix(folder);
                context
                    .screen
                    .note(&format!("{whose}pruned: {removed} backups removed"));
            }
            Err(error) => result = result.and(Err(error.into())),
        }
    }
    result
}

fn answer(context: &Context<'_>, manifest: &Manifest, whereabouts: &Whereabouts<'_>) {
    let screen = context.screen;
    if screen.json {
        let mut json = print::manifest_json(manifest, false);
        if whereabouts.are_several() {
            json["repositories"] = whereabouts.to_json();
        }
        screen.answer_json(&json);
        return;
    }
    let proof = match manifest.verified_at {
        Some(_) => "stored, read back and proven",
        None => "stored; not read back",
    };
    let elapsed = manifest.completed_at - manifest.started_at;
    #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let seconds = elapsed.num_milliseconds() as f64 / 1000.0;
    screen.answer(&format!(
        "backup {} of {}: {proof}\n  \
         member    {} ({}), {}\n  \
         revision  {}{}\n  \
         size      {} in {} ({}), {seconds:.1} s\n{}{}",
        manifest.id,
        manifest.cluster,
        if manifest.member_name.is_empty() {
            manifest.member_id.to_string()
        } else {
            manifest.member_name.clone()
        },
        manifest.endpoint,
        manifest.member_choice,
        manifest.revision,
        manifest
            .keys
            .map_or_else(String::new, |keys| format!(", {keys} keys")),
        print::size(manifest.db_size_bytes),
        print::size(manifest.stored_size_bytes),
        print::stored_as(manifest),
        manifest
            .attachments
            .as_ref()
            .map_or_else(String::new, |attached| format!(
                "  attached  {}\n",
                print::attached(attached)
            )),
        whereabouts.lines(manifest),
    ));
}

fn open_heartbeat(context: &Context<'_>, config: &Config) -> Option<Heartbeat> {
    let url = config.notify.heartbeat_url.as_ref()?;
    match Heartbeat::open(url.reveal()) {
        Ok(heartbeat) => Some(heartbeat),
        Err(error) => {
            context.screen.warn(&format!("no heartbeat: {error}"));
            None
        }
    }
}

/// Says that the run begins, beside the run itself.
async fn announce(context: &Context<'_>, heartbeat: Option<&Heartbeat>) {
    if let Some(heartbeat) = heartbeat
        && let Err(error) = heartbeat.start().await
    {
        context.screen.warn(&format!("{error}; the backup goes on"));
    }
}

async fn tell_heartbeat(
    context: &Context<'_>,
    heartbeat: Option<&Heartbeat>,
    result: &Result<Taken, Failure>,
) {
    let Some(heartbeat) = heartbeat else { return };
    let pinged = match result {
        Ok(taken) if taken.exit == Exit::Done => {
            let manifest = &taken.manifest;
            let message = format!("{} revision {}", manifest.id, manifest.revision);
            heartbeat.success(&message).await
        }
        Ok(taken) => {
            let why = match &taken.failure {
                Some(failure) => failure.one_line(),
                None => print::findings(&taken.manifest.findings),
            };
            heartbeat.fail(&why).await
        }
        Err(failure) => heartbeat.fail(&failure.one_line()).await,
    };
    if let Err(error) = pinged {
        context.screen.warn(&told(&error));
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus knows only floats")]
fn measure(taken: &Taken, metrics: &mut Metrics) {
    let manifest = &taken.manifest;
    let yes = |is: bool| f64::from(u8::from(is));
    let has = |code| manifest.findings.iter().any(|found| found.code == code);
    let measured = [
        // Also of one with findings: it was committed.
        (
            "last_success_timestamp_seconds",
            manifest.completed_at.timestamp() as f64,
        ),
        ("revision", manifest.revision.0 as f64),
        ("revision_backwards", yes(has("revision-backwards"))),
        ("db_size_bytes", manifest.db_size_bytes as f64),
        ("stored_size_bytes", manifest.stored_size_bytes as f64),
        ("verified", yes(manifest.verified_at.is_some())),
        ("findings", manifest.findings.len() as f64),
        ("quorum", yes(manifest.quorum)),
        ("members_agree", yes(!has("members-disagree"))),
    ];
    for (name, value) in measured {
        metrics.set(&format!("etcdrx_backup_{name}"), value);
    }
    for name in &taken.present {
        metrics.set_stored(name, manifest.completed_at.timestamp() as f64);
    }
    if let Some(keys) = manifest.keys {
        metrics.set("etcdrx_backup_keys", keys as f64);
    }
}
