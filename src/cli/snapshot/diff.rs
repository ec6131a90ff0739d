//! `etcdrx snapshot diff`

use std::collections::BTreeMap;

use clap::Args;
use etcdrx::backend::{Change, State, changes, revision_of, state_at};
use etcdrx::id::Revision;
use etcdrx::source::Source;
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::context::Context;
use super::super::failure::{Exit, Failure};
use super::keys::key_json;
use super::{SelectArgs, SourceArgs, open};

/// `snapshot diff`
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// Snapshot file, a member's db file, backup id, or `latest`: the earlier one
    pub(crate) before: String,

    /// The later one [default: the same one, at --to-rev]
    #[arg(required_unless_present_any = ["from_rev", "to_rev"])]
    pub(crate) after: Option<String>,

    /// The earlier one as it was at this revision [default: its newest]
    #[arg(long, value_name = "REVISION")]
    pub(crate) from_rev: Option<i64>,

    /// The later one as it was at this revision [default: its newest]
    #[arg(long, value_name = "REVISION")]
    pub(crate) to_rev: Option<i64>,

    #[command(flatten)]
    pub(crate) select: SelectArgs,

    #[command(flatten)]
    pub(crate) from: SourceArgs,
}

struct Side {
    revision: Revision,
    states: BTreeMap<Vec<u8>, State>,
}

pub(super) async fn run(context: &Context<'_>, args: &DiffArgs) -> Outcome {
    let first = open(context, &args.before, &args.from).await?;
    let before = side(&first, args.from_rev, args)?;
    let after = match &args.after {
        None => side(&first, args.to_rev, args)?,
        Some(after) => {
            let second = open(context, after, &args.from).await?;
            side(&second, args.to_rev, args)?
        }
    };
    let changes = changes(&before.states, &after.states);
    match context.screen.json {
        true => context.screen.answer_json(&json!({
            "from_revision": before.revision,
            "to_revision": after.revision,
            "changes": changes.iter().map(|(key, change)| json(key, change)).collect::<Vec<_>>(),
        })),
        false => context.screen.answer(&text(&before, &after, &changes)),
    }
    Ok(Exit::Done)
}

fn side(source: &Source, rev: Option<i64>, args: &DiffArgs) -> Result<Side, Failure> {
    let store = source.store()?;
    let revision = revision_of(&store, rev.map(Revision)).map_err(|error| source.told(error))?;
    let states =
        state_at(&store, revision, &args.select.select()).map_err(|error| source.told(error))?;
    Ok(Side { revision, states })
}

fn json(key: &[u8], change: &Change) -> Value {
    let of = |state: &State| Value::Object(key_json(key, state));
    match change {
        Change::Added(after) => json!({"change": "added", "after": of(after)}),
        Change::Changed { before, after } => {
            json!({"change": "changed", "before": of(before), "after": of(after)})
        }
        Change::Deleted(before) => json!({"change": "deleted", "before": of(before)}),
    }
}

fn text(before: &Side, after: &Side, changes: &[(Vec<u8>, Change)]) -> String {
    let mut lines = Vec::new();
    let mut counts = [0_usize; 3];
    for (key, change) in changes {
        let key = String::from_utf8_lossy(key);
        let (kind, line) = match change {
            Change::Added(state) => (0, format!("+ {key} at {}", state.mod_revision)),
            Change::Changed { before, after } => (
                1,
                format!(
                    "~ {key} at {}, before at {}{}",
                    after.mod_revision,
                    before.mod_revision,
                    same_value(before, after)
                ),
            ),
            Change::Deleted(state) => (2, format!("- {key}, before at {}", state.mod_revision)),
        };
        counts[kind] += 1;
        lines.push(line);
    }
    let [added, changed, deleted] = counts;
    lines.push(format!(
        "revision {} to {}: {added} added, {changed} changed, {deleted} deleted",
        before.revision, after.revision
    ));
    lines.join("\n")
}

fn same_value(before: &State, after: &State) -> &'static str {
    let of = |state: &State| (state.value_bytes, state.value_crc);
    match of(before) == of(after) {
        true => " (the same value)",
        false => "",
    }
}
