//! `etcdrx recover`

mod approve;
mod choose;
mod text;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use etcdrx::config::Config;
use etcdrx::etcd::Access;
use etcdrx::id::ClusterName;
use etcdrx::recovery::Scenario;
use etcdrx::recovery::copies::{Copies, look_for};
use etcdrx::recovery::execute::{Request, recover, resume};
use etcdrx::recovery::judge::judge;
use etcdrx::recovery::plan::{Plan, Situation, plan};
use etcdrx::recovery::playbook::{Playbook, Way};
use etcdrx::recovery::report::Recovered;
use serde_json::json;

use super::Outcome;
use super::args::{EtcdArgs, RepositoryArgs};
use super::context::{Context, now, open_access, state_dir};
use super::failure::{Exit, Failure};
use super::hints::diagnosis_exit;
use super::look;

/// `recover`
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// What happened; if nothing is said, the cluster is looked at, and the scenario that fits is proposed
    #[arg(long, value_name = "follower|leader|majority|total|nospace")]
    pub(crate) scenario: Option<Scenario>,

    /// Print the plan, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,

    /// How the plan is printed
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub(crate) format: Format,

    /// Do not ask; needs the digest of the plan that was read
    #[arg(long, short, requires = "plan")]
    pub(crate) yes: bool,

    /// The digest of the plan that is approved, as --dry-run prints it
    #[arg(long, value_name = "DIGEST", requires = "yes")]
    pub(crate) plan: Option<String>,

    /// Go on with a recovery that was interrupted or failed
    #[arg(long, value_name = "RUN", conflicts_with_all = ["scenario", "dry_run", "from", "member", "fenced", "new_node", "playbook", "way", "in_place"])]
    pub(crate) resume: Option<String>,

    /// A playbook of the site's own: ours, with `confirm` and `command` steps added, and other words
    #[arg(long, value_name = "FILE")]
    pub(crate) playbook: Option<PathBuf>,

    /// Where the data come from, if not from the best that is left
    #[arg(long, value_name = "live|salvage|db|BACKUP|FILE")]
    pub(crate) from: Option<String>,

    /// The member that it is about, if it is not the only one that is not well
    #[arg(long, value_name = "NAME")]
    pub(crate) member: Option<String>,

    /// A member that neither runs nor will be started, though nobody can look: you answer for it
    #[arg(long, value_name = "NAME")]
    pub(crate) fenced: Vec<String>,

    /// A member at a new place, or a new member; its [[node]] says the rest
    #[arg(long, value_name = "NAME=URL")]
    pub(crate) new_node: Vec<String>,

    /// The way out, if not the best that there is
    #[arg(long, value_name = "WAY", value_parser = way)]
    pub(crate) way: Option<Way>,

    /// Keep the cluster's id and one member's own directory, and have the others join it: never the best, as --way in-place
    #[arg(long, num_args = 0, default_missing_value = "in-place", value_parser = way, conflicts_with = "way")]
    pub(crate) in_place: Option<Way>,

    /// Leave revisions as they are, though watchers will miss events
    #[arg(long)]
    pub(crate) keep_revisions: bool,

    /// Where journals, snapshots and reports are kept [default: /var/lib/etcdrx, or below the home directory]
    #[arg(long, value_name = "DIR", env = "ETCDRX_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) etcd: EtcdArgs,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

/// How a plan is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For a terminal
    Text,
    /// For a page or a ticket
    Markdown,
}

fn way(text: &str) -> Result<Way, String> {
    serde_json::from_value(json!(text)).map_err(|_| format!("`{text}` is no way out"))
}

/// What a recovery has at hand.
struct Setup {
    config: Config,
    cluster: ClusterName,
    access: Access,
    state_dir: PathBuf,
}

pub(super) async fn run(context: &Context<'_>, args: &RecoverArgs) -> Outcome {
    let setup = set_up(context, args)?;
    if let Some(run) = &args.resume {
        let backups = backups(context, &setup).await;
        let request = request(context, &setup, &backups);
        let recovered = resume(&request, run).await?;
        return Ok(report(context, &recovered));
    }
    let looked = context
        .or_stop(look::look_settled(&setup.config, &setup.access))
        .await?;
    let diagnosis = judge(&looked);
    let Some(choices) = choose::choices(context, args, &diagnosis)? else {
        return Ok(diagnosis_exit(&diagnosis));
    };
    let playbook = playbook(args, choices.scenario)?;
    let planned = plan(&Situation {
        observation: &looked,
        nodes: &setup.config.nodes,
        choices: &choices,
        playbook: &playbook,
    });
    if args.dry_run {
        return Ok(show(context, args, &planned));
    }
    if !planned.refused.is_empty() {
        if !context.screen.json {
            show(context, args, &planned);
        }
        return Err(Failure::plan_refused(&planned.refused));
    }
    approve::approve(context, args, &planned)?;
    let backups = backups(context, &setup).await;
    let request = request(context, &setup, &backups);
    let recovered = recover(&request, &choices, &planned).await?;
    Ok(report(context, &recovered))
}

fn set_up(context: &Context<'_>, args: &RecoverArgs) -> Result<Setup, Failure> {
    let config = context.configure_both(&args.etcd, &args.repository, |layers| layers)?;
    let config = look::with_node_endpoints(config);
    Ok(Setup {
        cluster: config.cluster.folder()?,
        access: open_access(&config)?,
        state_dir: args.state_dir.clone().unwrap_or_else(state_dir),
        config,
    })
}

/// The backups, wherever they can be read: without them a cluster can still be brought back from what its members have.
async fn backups(context: &Context<'_>, setup: &Setup) -> Copies {
    let copies = look_for(&setup.config).await;
    for why in &copies.unseen {
        let warning = format!("nobody could look at the backups: {why}");
        context.screen.warn(&warning);
    }
    copies
}

fn request<'a>(context: &'a Context<'_>, setup: &'a Setup, backups: &'a Copies) -> Request<'a> {
    Request {
        cluster: &setup.cluster,
        nodes: &setup.config.nodes,
        access: &setup.access,
        backups,
        state_dir: &setup.state_dir,
        operator: context.screen,
        progress: context.screen,
        now,
        interrupt: &context.interrupt,
    }
}

fn playbook(args: &RecoverArgs, scenario: Scenario) -> Result<Playbook, Failure> {
    let Some(path) = &args.playbook else {
        return Ok(Playbook::embedded(scenario));
    };
    let text =
        std::fs::read_to_string(path).map_err(|source| Failure::cannot_read(path, &source))?;
    Ok(Playbook::of_site(
        &text,
        &path.display().to_string(),
        scenario,
    )?)
}

/// Prints the plan; a refused one is told by the exit code, too.
fn show(context: &Context<'_>, args: &RecoverArgs, plan: &Plan) -> Exit {
    match (context.screen.json, args.format) {
        (true, _) => context.screen.answer_json(plan),
        (false, Format::Text) => context.screen.answer(&text::plain(plan)),
        (false, Format::Markdown) => context.screen.answer(&text::markdown(plan)),
    }
    match plan.refused.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

fn report(context: &Context<'_>, recovered: &Recovered) -> Exit {
    match context.screen.json {
        true => {
            let mut event = json!({"event": "recovered"});
            if let (Some(event), Ok(serde_json::Value::Object(fields))) =
                (event.as_object_mut(), serde_json::to_value(recovered))
            {
                event.extend(fields);
            }
            context.screen.answer_json_line(&event);
        }
        false => context.screen.answer(&text::report(recovered)),
    }
    match recovered.is_whole() {
        true => Exit::Done,
        false => Exit::Findings,
    }
}
