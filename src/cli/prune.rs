//! `etcdrx prune`

use etcdrx::config::{self, Config};
use etcdrx::prune::{Plan, Request, Scope, plan, prune};
use etcdrx::repository::{Folder, Mode};
use etcdrx::retention::Policy;
use etcdrx::schedule::Job;
use serde_json::{Value, json};

use super::Outcome;
use super::args::PruneArgs;
use super::context::{Context, now};
use super::failure::{Exit, Failure};
use super::print;
use super::several::Each;
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
    let several = config.repositories.all().len() > 1;
    let work = async |settings: &config::Repository, folder: &Folder| {
        let pruned = prune_one(context, args, config.retention_of(settings), folder).await?;
        if several && !context.screen.json {
            let name = folder.repository().label();
            context
                .screen
                .answer(&format!("{name}:\n{}", pruned.text()));
        }
        Ok(pruned)
    };
    let Each { done, failed } = Each::of(context, config, Mode::Existing, work).await?;
    context.screen.clear();
    match (several, done.as_slice()) {
        (false, [(_, pruned)]) if context.screen.json => {
            context.screen.answer_json(&pruned.to_json());
        }
        (false, [(_, pruned)]) => context.screen.answer(&pruned.text()),
        (true, all) if context.screen.json && !all.is_empty() => {
            let json = all.iter().map(|(name, pruned)| {
                let mut json = pruned.to_json();
                json["name"] = json!(name);
                json
            });
            let all: Vec<_> = json.collect();
            context.screen.answer_json(&json!({"repositories": all}));
        }
        _ => {}
    }
    Each::<()>::ended(failed, done.len(), "pruning")?;
    Ok(Exit::Done)
}

/// What was done, or would be done.
struct Pruned {
    plan: Plan,
    verb: &'static str,
}

async fn prune_one(
    context: &Context<'_>,
    args: &PruneArgs,
    policy: &Policy,
    folder: &Folder,
) -> Result<Pruned, Failure> {
    let scope = args.cluster_id.map_or(Scope::Newest, Scope::Cluster);
    let planned = plan(folder, policy, scope, now()).await?;
    if args.dry_run || planned.is_empty() {
        return Ok(Pruned {
            plan: planned,
            verb: "would be removed",
        });
    }
    if !args.yes {
        confirm(context, &planned)?;
    }
    let done = prune(&request(context, args, policy, folder, scope)).await?;
    Ok(Pruned {
        plan: done,
        verb: "removed",
    })
}

fn request<'a>(
    context: &'a Context<'_>,
    args: &PruneArgs,
    policy: &'a Policy,
    folder: &'a Folder,
    scope: Scope,
) -> Request<'a> {
    Request {
        folder,
        policy,
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

impl Pruned {
    fn text(&self) -> String {
        text(&self.plan, self.verb)
    }

    fn to_json(&self) -> Value {
        let plan = &self.plan;
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
        json!({
            "keep": keep,
            "remove": remove,
            "orphans": orphans.chain(temporary).collect::<Vec<_>>(),
            "versions_stay": plan.versions_stay,
        })
    }
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
    if plan.versions_stay && removed + swept > 0 {
        lines.push(
            "the bucket keeps old versions: what is removed is hidden, and its space is free only when a lifecycle rule of the bucket removes old versions".to_owned(),
        );
    }
    lines.join("\n")
}
