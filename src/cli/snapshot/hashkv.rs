//! `etcdrx snapshot hashkv`

use std::path::Path;

use clap::Args;
use etcdrx::backend::hashkv;
use etcdrx::id::Revision;
use etcdrx::source;

use super::super::Outcome;
use super::super::args::RepositoryArgs;
use super::super::context::Context;
use super::super::failure::Exit;
use super::{is_file, open_file, survey};

/// `snapshot hashkv`
#[derive(Debug, Args)]
pub(crate) struct HashkvArgs {
    /// Snapshot file, a member's db file, backup id, or `latest`
    pub(crate) source: String,

    /// Hash the store as it was at this revision [default: the newest]
    #[arg(long, value_name = "REVISION")]
    pub(crate) rev: Option<i64>,

    /// Hash as a server does that is compacted to this revision [default: as the database is]
    #[arg(long, value_name = "REVISION", allow_negative_numbers = true)]
    pub(crate) compact_rev: Option<i64>,

    #[command(flatten)]
    pub(crate) repository: RepositoryArgs,
}

pub(super) async fn run(context: &Context<'_>, args: &HashkvArgs) -> Outcome {
    let revision = args.rev.filter(|revision| *revision != 0).map(Revision);
    let compact_revision = args.compact_rev.map(Revision);
    let hash = if is_file(&args.source) {
        let source = open_file(context, &args.source)?;
        source.check_trailer()?;
        let store = source.store()?;
        hashkv(&store, revision, compact_revision).map_err(|error| source.told(error))?
    } else {
        let surveyed = survey(context, &args.source, &args.repository).await?;
        let hash = surveyed.hashkv(revision, compact_revision);
        hash.map_err(|error| source::Error::of(Path::new(&args.source), error))?
    };
    match context.screen.json {
        true => context.screen.answer_json(&serde_json::json!({
            "hash": hash.hash,
            "hashRevision": hash.revision,
            "compactRevision": hash.compact_revision,
        })),
        false => context.screen.answer(&format!(
            "{:08x} ({}) at revision {}, compacted to {}",
            hash.hash, hash.hash, hash.revision, hash.compact_revision
        )),
    }
    Ok(Exit::Done)
}
