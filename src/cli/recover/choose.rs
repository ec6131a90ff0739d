//! What the operator decided, from flags; and the scenario, from the evidence, where nothing is said.

use std::fs::{self, File};
use std::path::Path;

use etcdrx::backend::{Store, revision_of};
use etcdrx::codec::has_trailer;
use etcdrx::recovery::Scenario;
use etcdrx::recovery::choices::{Choices, From, NewNode, SnapshotFile};
use etcdrx::recovery::judge::{Condition, Diagnosis};

use super::RecoverArgs;
use crate::cli::context::Context;
use crate::cli::diagnose;
use crate::cli::failure::Failure;

/// The operator's choices; none where nothing is wrong and nothing was asked for.
pub(super) fn choices(
    context: &Context<'_>,
    args: &RecoverArgs,
    diagnosis: &Diagnosis,
) -> Result<Option<Choices>, Failure> {
    let names_somebody = args.member.is_some() || !args.new_node.is_empty();
    let mends_one = matches!(
        args.scenario,
        None | Some(Scenario::Follower | Scenario::Leader)
    );
    let is_well = diagnosis.is_healthy() || diagnosis.condition() == Condition::PartlySeen;
    if is_well && mends_one && !names_somebody {
        let verdict = match diagnosis.is_healthy() {
            true => "nothing is wrong: there is nothing to recover from",
            false => diagnosis.verdict.as_str(),
        };
        context.screen.answer(verdict);
        return Ok(None);
    }
    if args.scenario.is_none() && !context.screen.json {
        context.screen.note(&diagnose::text(diagnosis));
    }
    let scenario = args.scenario.or(diagnosis.scenario);
    let scenario = scenario.ok_or_else(|| Failure::no_scenario(&diagnosis.verdict))?;
    let new_nodes = args.new_node.iter().map(|text| new_node(text));
    Ok(Some(Choices {
        from: args.from.as_deref().map(from).transpose()?,
        member: args.member.clone(),
        fenced: args.fenced.clone(),
        new_nodes: new_nodes.collect::<Result<_, _>>()?,
        way: args.way.or(args.in_place),
        keep_revisions: args.keep_revisions,
        ..Choices::of(scenario)
    }))
}

fn new_node(text: &str) -> Result<NewNode, Failure> {
    match text.split_once('=') {
        Some((name, url)) if !name.is_empty() && url.contains("://") => Ok(NewNode {
            name: name.to_owned(),
            peer_url: url.to_owned(),
        }),
        _ => Err(Failure::bad_new_node(text)),
    }
}

fn from(text: &str) -> Result<From, Failure> {
    let path = Path::new(text);
    Ok(match text {
        "live" => From::Live,
        "salvage" => From::Salvage,
        "db" => From::Database,
        _ if text.contains('/') || path.exists() => From::File(file(path)?),
        id => From::Backup(id.to_owned()),
    })
}

fn file(path: &Path) -> Result<SnapshotFile, Failure> {
    let metadata = fs::metadata(path).map_err(|source| Failure::cannot_read(path, &source))?;
    let opened = File::open(path).map_err(|source| Failure::cannot_read(path, &source))?;
    let revision = Store::open(opened).and_then(|store| revision_of(&store, None));
    Ok(SnapshotFile {
        path: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
        has_trailer: has_trailer(metadata.len()),
        revision: revision.ok(),
        size_bytes: metadata.len(),
    })
}
