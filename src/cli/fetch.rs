//! `etcdrx fetch`

use std::io;
use std::path::Path;

use etcdrx::catalog::Backup;
use etcdrx::fetch::{attachments_to_stream, fetch_attachments, fetch_to_file, fetch_to_stream};
use etcdrx::repository::Folder;
use nix::unistd::geteuid;
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
    match args.attachments {
        true => attachments(context, &folder, backup, &args.output).await,
        false => snapshot(context, &folder, backup, &args.output).await,
    }
}

async fn snapshot(
    context: &Context<'_>,
    folder: &Folder,
    backup: &Backup,
    output: &Path,
) -> Outcome {
    let screen = context.screen;
    if output == Path::new("-") {
        fetch_to_stream(folder, backup, io::stdout(), screen).await?;
        return Ok(Exit::Done);
    }
    fetch_to_file(folder, backup, output, screen).await?;
    screen.clear();
    let manifest = &backup.manifest;
    match screen.json {
        true => screen.answer_json(&json!({
            "id": manifest.id,
            "file": output,
            "revision": manifest.revision,
            "snapshot_sha256": manifest.snapshot_sha256,
        })),
        false => screen.answer(&format!(
            "{} of revision {} is in {} ({}), whole and proven",
            manifest.id,
            manifest.revision,
            output.display(),
            print::size(manifest.db_size_bytes),
        )),
    }
    Ok(Exit::Done)
}

async fn attachments(
    context: &Context<'_>,
    folder: &Folder,
    backup: &Backup,
    output: &Path,
) -> Outcome {
    let screen = context.screen;
    if output == Path::new("-") {
        attachments_to_stream(folder, backup, io::stdout()).await?;
        return Ok(Exit::Done);
    }
    let files = fetch_attachments(folder, backup, output, geteuid().is_root()).await?;
    let id = backup.id();
    match screen.json {
        true => screen.answer_json(&json!({"id": id, "directory": output, "files": files})),
        false => screen.answer(&format!(
            "what is attached to {id} is in {}, each file under its whole path (files: {files})",
            output.display(),
        )),
    }
    Ok(Exit::Done)
}
