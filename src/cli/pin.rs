//! `etcdrx pin` and `etcdrx unpin`

use serde_json::json;

use super::Outcome;
use super::args::PinArgs;
use super::context::{Context, now, open_catalog};
use super::failure::Exit;

pub(super) async fn pin(context: &Context<'_>, args: &PinArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(context, &config).await?;
    let id = catalog.find(&args.id, &folder)?.id();
    etcdrx::pin::pin(&folder, id, now()).await?;
    match context.screen.json {
        true => context
            .screen
            .answer_json(&json!({"id": id, "pinned": true})),
        false => context
            .screen
            .answer(&format!("{id} is pinned: no prune removes it")),
    }
    Ok(Exit::Done)
}

pub(super) async fn unpin(context: &Context<'_>, args: &PinArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(context, &config).await?;
    let id = catalog.find(&args.id, &folder)?.id();
    etcdrx::pin::unpin(&folder, id).await?;
    match context.screen.json {
        true => context
            .screen
            .answer_json(&json!({"id": id, "pinned": false})),
        false => context.screen.answer(&format!("{id} is no longer pinned")),
    }
    Ok(Exit::Done)
}
