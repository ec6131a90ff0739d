//! `etcdrx prune`

use etcdrx::config::Config;
use etcdrx::prune::{Plan, Request, Scope, plan, prune};
use etcdrx::repository::Mode;
use etcdrx::schedule::Job;
use serde_json::json;

use super::Outcome;
use super::args::PruneArgs;
use super::context::{Context, now, open_folder};
use super::failure::{Exit, Failure};
use super::print;
use super::tell::{End, Run};

pub(super) async fn run(context: &Context<'_>, args: &PruneArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    if args.dry_run {
        return prune_or_plan(context, args, &config).await;
    }
    let run = Run::begin(context, &config, Job::Prune)?;
    let outcome = prune_or_plan(context, args, &config).await;
    let end = match &outcome {
        Ok(exit) => End::worked(*exit, &[]),
        Err(failure) => End::failed(failure),
    };
    run.end(&end, |_| {}).await;
    outcome
}

async fn prune_or_plan(context: &Context<'_>, args: &PruneArgs, config: &Config) -> Outcome {
    let (_, folder) = open_folder(config, Mode::Existing)?;
    let scope = args.cluster_id.map_or(Scope::Newest, Scope::Cluster);
    let planned = plan(&folder, &config.retention, scope, now()).await?;
    if args.dry_run || planned.is_empty() {
        answer(context, &planned, "would be removed");
        return Ok(Exit::Done);
    }
    if !args.yes {
        confirm(context, &planned)?;
    }
    let done = prune(&request(context, args, config, &folder, scope)).await?;
    context.screen.clear();
    answer(context, &done, "removed");
    Ok(Exit::Done)
}

fn request<'a>(
    context: &'a Context<'_>,
    args: &PruneArgs,
    config: &'a Config,
    folder: &'a etcdrx::repository::Folder,
    scope: Scope,
) -> Request<'a> {
    Request {
        folder,
        policy: &config.retention,
        scope,
        wait: args.wait,
        now,
        interrupt: &context.interrupt,
        progress: context.screen,
    }
}

/// Asks on a terminal; refuses where nobody can answer.
fn confirm(context: &Context<'_>, planned: &Plan) -> Result<(), Failure> {
    let removals = planned.removals().count();
    if !context.screen.can_ask() {
        return Err(Failure::not_confirmed(
            &format!("{removals} backups would be removed, and nobody is here to confirm it"),
            "nothing was removed; `--dry-run` shows what would go, `--yes` removes it without asking",
        ));
    }
    context.screen.note(&text(planned, "would be removed"));
    match context.screen.ask(&format!("Remove {removals} backups?")) {
        true => Ok(()),
        false => Err(Failure::not_confirmed(
            "not confirmed: nothing was removed",
            "",
        )),
    }
}

fn answer(context: &Context<'_>, plan: &Plan, verb: &str) {
    if context.screen.json {
        let of = |keeps: bool| {
            let decisions = plan.decisions.iter().filter(move |d| d.keeps() == keeps);
            decisions.collect::<Vec<_>>()
        };
        let keep: Vec<_> = of(true)
            .iter()
            .map(|d| json!({"id": d.id, "reasons": d.reasons}))
            .collect();
        let remove: Vec<_> = of(false).iter().map(|d| d.id.clone()).collect();
        let orphans = plan.orphans.iter().map(|orphan| orphan.object.key.clone());
        let temporary = plan.temporary.iter().map(|file| file.key.clone());
        context.screen.answer_json(&json!({
            "keep": keep,
            "remove": remove,
            "orphans": orphans.chain(temporary).collect::<Vec<_>>(),
        }));
        return;
    }
    context.screen.answer(&text(plan, verb));
}

fn text(plan: &Plan, verb: &str) -> String {
    let mut lines: Vec<String> = plan
        .decisions
        .iter()
        .map(|decision| match decision.keeps() {
            true => format!("keep    {}  {}", decision.id, decision.reasons.join(", ")),
            false => format!("remove  {}  no rule keeps it", decision.id),
        })
        .collect();
    for orphan in &plan.orphans {
        let size = print::size(orphan.object.size_bytes);
        lines.push(format!(
            "sweep   {}  ({size}) belongs to no backup",
            orphan.object.key
        ));
    }
    for file in &plan.temporary {
        let size = print::size(file.size_bytes);
        lines.push(format!(
            "sweep   {}  ({size}) of an interrupted write",
            file.key
        ));
    }
    let removed = plan.removals().count();
    let kept = plan.decisions.len() - removed;
    let swept = plan.orphans.len() + plan.temporary.len();
    lines.push(format!("{kept} kept, {removed} {verb}, {swept} left-overs"));
    lines.join("\n")
}
