//! Carries a plan out, step by step: intent into the journal, effect, outcome into the journal. A killed run is resumed by another
//! process, which trusts what it sees over what was written.

mod check;
mod file;
mod members;
mod nodes;
mod placed;
mod run;
mod settled;
mod snapshot;
mod wait;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use self::run::{Outcome, Recovery};
use super::choices::Choices;
use super::copies::Copies;
use super::journal::{self, Entry, Journals, Line};
use super::plan::Plan;
use super::report::Recovered;
use crate::config::Node;
use crate::etcd::{self, Access};
use crate::id::ClusterName;
use crate::progress::Progress;
use crate::{codec, fetch, host};

/// Why a recovery stopped.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The plan speaks against itself.
    #[error("this is not done:\n{}", lines(.reasons))]
    Refused { reasons: Vec<String> },

    /// The journal cannot be kept.
    #[error("cannot keep the journal")]
    Journal { source: journal::Error },

    /// A step failed.
    #[error("step {n} of {of} failed: {title}")]
    Step {
        n: usize,
        of: usize,
        title: String,
        run: String,
        source: Box<Failure>,
    },

    /// Somebody stopped it, between two steps.
    #[error("interrupted before step {n} of {of}")]
    Interrupted { n: usize, of: usize, run: String },
}

/// Why a step failed.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Failure {
    /// etcd did not do what was asked.
    #[error("etcd did not do it")]
    Etcd { source: etcd::Error },

    /// A node did not do what was asked.
    #[error("{node} did not do it")]
    Node {
        node: String,
        source: Box<host::Error>,
    },

    /// The snapshot could not be written here.
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },

    /// The backup could not be brought here.
    #[error("cannot bring the backup here")]
    Fetch { source: fetch::Error },

    /// The snapshot is not what etcd streams.
    #[error("the snapshot is not sound")]
    Damaged { source: codec::Error },

    /// The snapshot's database is not sound.
    #[error("the snapshot's database is not sound")]
    Unsound { source: crate::backend::Error },

    /// Nothing came of waiting.
    #[error("{what} did not come within {}:\n{}", humantime::format_duration(*.after), lines(.seen))]
    NotInTime {
        what: String,
        after: std::time::Duration,
        seen: Vec<String>,
    },

    /// What is found is not what the plan rests on.
    #[error("{what}")]
    Unexpected { what: String },

    /// Somebody stopped it while it waited.
    #[error("interrupted while waiting")]
    Interrupted,

    /// A person said no, or nobody was there.
    #[error("{what}")]
    Declined { what: String },
}

fn lines(items: &[String]) -> String {
    let lines: Vec<String> = items.iter().map(|item| format!("  {item}")).collect();
    lines.join("\n")
}

/// The person at the terminal, or the lack of one.
pub trait Operator: Send + Sync {
    /// Asks for a word; `false` ends the recovery.
    fn confirm(&self, question: &str) -> bool;

    /// Asks a person to type `command` on `node`, and to say when it is done; `false` ends the recovery.
    fn by_hand(&self, node: &str, command: &str) -> bool;
}

/// Everything that a recovery acts with.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The cluster's name.
    pub cluster: &'a ClusterName,
    /// The nodes of the configuration.
    pub nodes: &'a [Node],
    /// The way to the members.
    pub access: &'a Access,
    /// The backups, wherever they can be read.
    pub backups: &'a Copies,
    /// Where journals and snapshots are kept.
    pub state_dir: &'a Path,
    /// Whom to ask.
    pub operator: &'a dyn Operator,
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
    /// Our clock.
    pub now: fn() -> DateTime<Utc>,
    /// Stops it between two steps.
    pub interrupt: &'a CancellationToken,
}

/// Carries out a plan that was approved.
///
/// # Errors
/// If it is refused, a step fails, or it is interrupted: the journal says how far it came, and [`resume`] goes on.
pub async fn recover(
    request: &Request<'_>,
    choices: &Choices,
    plan: &Plan,
) -> Result<Recovered, Error> {
    if !plan.refused.is_empty() {
        return Err(Error::Refused {
            reasons: plan.refused.clone(),
        });
    }
    let journals = open(request)?;
    let run = format!(
        "{}-{:06x}",
        (request.now)().format("%Y%m%dT%H%M%SZ"),
        rand::random::<u32>() >> 8
    );
    let token = format!("etcdrx-{:016x}", rand::random::<u64>());
    let mut journal = journals
        .begin(&run)
        .map_err(|source| Error::Journal { source })?;
    let begun = Line {
        at: (request.now)(),
        entry: Entry::Begun {
            run,
            token,
            choices: Box::new(choices.clone()),
            plan: Box::new(plan.clone()),
        },
    };
    journal
        .add(&begun)
        .map_err(|source| Error::Journal { source })?;
    Box::pin(Recovery::of(request, journal, &[begun])?.go(&journals)).await
}

/// Goes on with a run that was interrupted, killed, or failed.
///
/// # Errors
/// As [`recover`].
pub async fn resume(request: &Request<'_>, run: &str) -> Result<Recovered, Error> {
    let journals = open(request)?;
    let (journal, lines) = journals
        .resume(run)
        .map_err(|source| Error::Journal { source })?;
    let mut recovery = Recovery::of(request, journal, &lines)?;
    recovery.is_resumed = true;
    recovery.note(Entry::Resumed)?;
    Box::pin(recovery.go(&journals)).await
}

fn open(request: &Request<'_>) -> Result<Journals, Error> {
    Journals::open(request.state_dir, request.cluster).map_err(|source| Error::Journal { source })
}
