//! `etcdrx fetch`

use std::io;
use std::path::Path;

use etcdrx::fetch::{fetch_to_file, fetch_to_stream};
use serde_json::json;

use super::Outcome;
use super::args::FetchArgs;
use super::context::{Context, open_catalog};
use super::failure::Exit;
use super::print;

pub(super) async fn run(context: &Context<'_>, args: &FetchArgs) -> Outcome {
    let config = context.configure(&args.repository)?;
    let (folder, catalog) = open_catalog(context, &config).await?;
    let backup = catalog.find(&args.id, &folder)?;
    let screen = context.screen;
    if args.output == Path::new("-") {
        fetch_to_stream(&folder, backup, io::stdout(), screen).await?;
        return Ok(Exit::Done);
    }
    fetch_to_file(&folder, backup, &args.output, screen).await?;
    screen.clear();
    let manifest = &backup.manifest;
    match screen.json {
        true => screen.answer_json(&json!({
            "id": manifest.id,
            "file": args.output,
            "revision": manifest.revision,
            "snapshot_sha256": manifest.snapshot_sha256,
        })),
        false => screen.answer(&format!(
            "{} of revision {} is in {} ({}), whole and proven",
            manifest.id,
            manifest.revision,
            args.output.display(),
            print::size(manifest.db_size_bytes),
        )),
    }
    Ok(Exit::Done)
}
