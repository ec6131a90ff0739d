//! `etcdrx backup`

use etcdrx::backup::{Request, backup};
use etcdrx::config::{Config, Layers};
use etcdrx::id::ClusterName;
use etcdrx::manifest::Manifest;
use etcdrx::notify::{Heartbeat, Metrics};
use etcdrx::progress::told;
use etcdrx::prune;
use etcdrx::repository::Mode;
use etcdrx::schedule::Job;
use toml::Value;

use super::Outcome;
use super::args::BackupArgs;
use super::context::{Context, now, open_access, open_folder};
use super::failure::{Exit, Failure};
use super::print;
use super::tell::{End, Run};

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
            measure(&taken.manifest, metrics);
        }
    })
    .await;
    let taken = result?;
    // The backup exists, and that was said first.
    taken.prune.map_or(Ok(taken.exit), Err)
}

fn end(result: &Result<Taken, Failure>) -> End<'_> {
    match result {
        Ok(taken) => match &taken.prune {
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
    /// Why the prune after it failed.
    prune: Option<Failure>,
}

async fn take(
    context: &Context<'_>,
    args: &BackupArgs,
    config: &Config,
    cluster: &ClusterName,
) -> Result<Taken, Failure> {
    let screen = context.screen;
    let access = open_access(config)?;
    let (_, folder) = open_folder(config, Mode::Create)?;
    let request = Request {
        cluster,
        access: &access,
        folder: &folder,
        settings: &config.backup,
        read_back: !args.no_read_back,
        wait: args.wait,
        now,
        interrupt: &context.interrupt,
        progress: screen,
    };
    let manifest = backup(&request).await?;
    answer(context, &manifest, &folder);
    if print::any_error(&manifest.findings) {
        screen.findings(&manifest.findings);
        screen.note(match args.prune {
            true => "the backup is kept and marked with this; nothing was pruned",
            false => "the backup is kept and marked with this",
        });
        return Ok(Taken {
            manifest,
            exit: Exit::Findings,
            prune: None,
        });
    }
    let mut taken = Taken {
        manifest,
        exit: Exit::Done,
        prune: None,
    };
    if args.prune
        && let Err(failure) = prune_after(context, args, config, &folder).await
    {
        taken.exit = failure.exit;
        taken.prune = Some(failure);
    }
    Ok(taken)
}

async fn prune_after(
    context: &Context<'_>,
    args: &BackupArgs,
    config: &Config,
    folder: &etcdrx::repository::Folder,
) -> Result<(), Failure> {
    let plan = prune::prune(&prune::Request {
        folder,
        policy: &config.retention,
        scope: prune::Scope::Newest,
        wait: args.wait,
        now,
        interrupt: &context.interrupt,
        progress: &etcdrx::progress::Silent,
    })
    .await?;
    let removed = plan.removals().count();
    context
        .screen
        .note(&format!("pruned: {removed} backups removed"));
    Ok(())
}

fn answer(context: &Context<'_>, manifest: &Manifest, folder: &etcdrx::repository::Folder) {
    let screen = context.screen;
    if screen.json {
        screen.answer_json(&print::manifest_json(manifest, false));
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
         size      {} in {} (zstd), {seconds:.1} s\n  \
         where     {}/{}/{}",
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
        folder.repository().url().trim_end_matches('/'),
        manifest.cluster,
        manifest.id,
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
            let why = match &taken.prune {
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
fn measure(manifest: &Manifest, metrics: &mut Metrics) {
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
    if let Some(keys) = manifest.keys {
        metrics.set("etcdrx_backup_keys", keys as f64);
    }
}
