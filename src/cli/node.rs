//! `etcdrx node`: what one node must do, by hand or sent by etcdrx.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use etcdrx::backend::{self, Contents, Store, contents};
use etcdrx::datadir::inspect::{Inspection, LogFacts, Options, inspect};
use etcdrx::id::{ClusterId, MemberId, Revision};
use etcdrx::manifest::Finding;
use etcdrx::progress::told;
use serde::Serialize;

use super::Outcome;
use super::context::Context;
use super::failure::Exit;
use super::print;

/// The commands below `node`.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeCommand {
    /// Read a member's directory offline: who it is, how far it is, and whether it is whole; changes nothing
    Inspect(InspectArgs),
}

/// `node inspect`
#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The member's data directory, as etcd's --data-dir names it
    pub(crate) data_dir: PathBuf,

    /// The directory of its log, where etcd runs with --wal-dir
    #[arg(long, value_name = "DIR")]
    pub(crate) wal_dir: Option<PathBuf>,

    /// The member that it should be of
    #[arg(long, value_name = "HEX")]
    pub(crate) member_id: Option<MemberId>,

    /// The cluster that it should belong to
    #[arg(long, value_name = "HEX")]
    pub(crate) cluster_id: Option<ClusterId>,

    /// Do not read the whole database, only what stands at its edges
    #[arg(long)]
    pub(crate) quick: bool,
}

pub(super) fn run(context: &Context<'_>, command: &NodeCommand) -> Outcome {
    let NodeCommand::Inspect(args) = command;
    let options = Options {
        wal_dir: args.wal_dir.clone(),
        node_id: args.member_id,
        cluster_id: args.cluster_id,
    };
    let read = |path: &Path| read_database(path, args.quick);
    let inspection = inspect(&args.data_dir, &options, read)?;
    match context.screen.json {
        true => context.screen.answer_json(&inspection),
        false => context.screen.answer(&text(&inspection)),
    }
    match print::any_error(&inspection.findings) {
        true => Ok(Exit::Findings),
        false => Ok(Exit::Done),
    }
}

/// What the database of a member says.
#[derive(Serialize)]
struct DatabaseFacts {
    size_bytes: u64,
    revision: Revision,
    compact_revision: Option<Revision>,
    storage_version: Option<String>,
    /// Whether every page and record was looked at.
    checked: bool,
    live_keys: Option<u64>,
    contents: Contents,
}

fn read_database(path: &Path, quick: bool) -> Result<DatabaseFacts, Finding> {
    let file = File::open(path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        Finding::error("database-unreadable", message)
    })?;
    facts(file, quick).map_err(|error| {
        let message = format!("{}: {}", path.display(), told(&error));
        Finding::error("database-damaged", message)
    })
}

fn facts(file: File, quick: bool) -> Result<DatabaseFacts, backend::Error> {
    let store = Store::open(file)?;
    let status = match quick {
        true => None,
        false => Some(backend::status(&store)?),
    };
    let storage_version = store.value("meta", "storageVersion")?;
    Ok(DatabaseFacts {
        size_bytes: store.database().size_bytes(),
        revision: store.revision()?,
        compact_revision: store.compact_revision()?,
        storage_version: storage_version.map(|text| String::from_utf8_lossy(&text).into_owned()),
        checked: !quick,
        live_keys: status.map(|status| status.live_keys),
        contents: contents(&store)?,
    })
}

fn text(inspection: &Inspection<DatabaseFacts>) -> String {
    let id = |id: Option<String>| id.unwrap_or_else(|| "unknown".to_owned());
    let mut lines = vec![
        format!("directory  {}", inspection.data_dir.display()),
        format!(
            "member     {} of cluster {}",
            id(inspection.node_id.map(|id| id.to_string())),
            id(inspection.cluster_id.map(|id| id.to_string()))
        ),
    ];
    lines.extend(inspection.log.as_ref().map(log));
    if let Some(voters) = &inspection.voters {
        let voters: Vec<String> = voters.iter().map(ToString::to_string).collect();
        lines.push(format!("voters     {}", voters.join(", ")));
    }
    match (&inspection.database, inspection.database_held) {
        (Some(database), _) => lines.extend(of_database(database)),
        (None, Some(true)) => {
            lines.push(
                "database   held by a process: etcd runs on it, and it is not read".to_owned(),
            );
        }
        (None, _) => lines.push("database   not readable".to_owned()),
    }
    if let Some(free_bytes) = inspection.free_bytes {
        lines.push(format!("free       {}", print::size(free_bytes)));
    }
    if !inspection.findings.is_empty() {
        lines.push(print::findings(&inspection.findings));
    }
    lines.join("\n")
}

fn log(log: &LogFacts) -> String {
    let last = match log.last {
        Some(last) => format!("reaches to index {} of term {}", last.index, last.term),
        None => "holds no entry".to_owned(),
    };
    let commit = match log.hard_state {
        Some(state) => format!(", committed to {}", state.commit),
        None => String::new(),
    };
    format!(
        "log        {last}{commit}; {} files, {}",
        log.files, log.ending
    )
}

fn of_database(database: &DatabaseFacts) -> Vec<String> {
    let index = match database.contents.consistent_index {
        Some(index) => format!(", applied to index {index}"),
        None => String::new(),
    };
    let compacted = match database.compact_revision {
        Some(revision) => format!(", compacted to {revision}"),
        None => String::new(),
    };
    let checked = match database.live_keys {
        Some(keys) => format!("every page and record is sound, {keys} keys"),
        None => "not checked".to_owned(),
    };
    let version = database.storage_version.as_deref().unwrap_or("before 3.6");
    let mut lines = vec![
        format!(
            "database   revision {}{compacted}{index}; {}",
            database.revision,
            print::size(database.size_bytes)
        ),
        format!("           {checked}; storage version {version}"),
    ];
    for member in &database.contents.members {
        let urls = member.peer_urls.join(", ");
        lines.push(format!(
            "           knows {} {} ({urls})",
            member.id, member.name
        ));
    }
    lines
}
