//! What one node must do, by hand or sent from elsewhere: look, stop, set aside, place, configure, start.

pub mod action;
mod alone;
mod aside;
mod certificates;
mod configure;
mod database;
mod flags;
mod forced;
mod inspect;
pub mod journal;
mod own;
mod process;
pub(crate) mod program;
pub mod salvage;
mod service;
mod stage;
mod stop;
mod transfer;
mod words;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::backend;
use crate::datadir::membership;
use crate::id::Digest;
use crate::progress::Progress;
use crate::sandbox::Search;
use crate::{codec, config, restore};

use self::configure::Wanted;
use self::journal::Journal;
use self::stage::Order;

pub use action::{Action, Answer, Directories, Inspected, NewCluster, ProcessFacts, Running};
pub use certificates::CERTIFICATE_ENDED;
pub use database::DatabaseFacts;
pub use program::Error as ProgramError;
pub use transfer::digest;

/// How long a site's own command may take.
const COMMAND_LIMIT: Duration = Duration::from_mins(10);

/// Why an action was not carried out.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The name of a run stands in the names of files.
    #[error(
        "`{run}` cannot name a run: use 1 to 64 letters, digits, `.`, `-` or `_`, beginning with a letter or digit"
    )]
    BadRun { run: String },

    /// Something cannot be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// Something cannot be written or renamed.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// What is done must be written down first.
    #[error("cannot write the journal {}", .path.display())]
    Journal { path: PathBuf, source: io::Error },

    /// Another action is at work on the member.
    #[error("another etcdrx works on this member: it holds {}", .path.display())]
    Busy { path: PathBuf },

    /// etcd runs on the data.
    #[error("{}{} is in use: etcd runs on it", .path.display(), by(*.pid))]
    InUse { path: PathBuf, pid: Option<u32> },

    /// etcd does not end.
    #[error("etcd{} still runs after {} s{}", by(*.pid), .waited.as_secs(), frozen(*.state))]
    StillRuns {
        pid: Option<u32>,
        state: Running,
        waited: Duration,
    },

    /// A process cannot be killed.
    #[error("cannot kill process {pid}")]
    Kill { pid: u32, source: io::Error },

    /// systemd does not know the unit.
    #[error("systemd knows no unit {unit}")]
    NoUnit { unit: String },

    /// The manifest is neither with the kubelet nor where this run puts it.
    #[error("there is no manifest {}, nor did this run take it away", .path.display())]
    NoManifest { path: PathBuf },

    /// A program that is not ours failed.
    #[error("a command on this node failed")]
    Program {
        #[from]
        source: ProgramError,
    },

    /// There is something else in the place.
    #[error("{} is there already", .path.display())]
    Occupied { path: PathBuf },

    /// There is nothing to put in place.
    #[error("the run {run} has nothing staged for {}", .path.display())]
    NothingStaged { path: PathBuf, run: String },

    /// There is nothing to put back.
    #[error("the run {run} set nothing aside in {}", .path.display())]
    NothingAside { path: PathBuf, run: String },

    /// The root of a file system cannot be renamed.
    #[error("{} is a file system of its own, and cannot be renamed", .path.display())]
    MountPoint { path: PathBuf },

    /// The members are not such that etcd would start with them.
    #[error("the members of the new cluster")]
    Membership { source: membership::Error },

    /// The snapshot could not be restored.
    #[error("cannot stage the snapshot")]
    Restore { source: restore::Error },

    /// What came is not what was announced.
    #[error("{}: what came has the SHA-256 {found}, and should have {expected}", .path.display())]
    Digest {
        path: PathBuf,
        found: Digest,
        expected: Digest,
    },

    /// The file that was sent broke off.
    #[error("cannot read what is sent")]
    Input { source: io::Error },

    /// The copied database is not one.
    #[error("{} is no sound etcd database", .path.display())]
    Database {
        path: PathBuf,
        source: backend::Error,
    },

    /// The settings are no settings of etcd.
    #[error("cannot read the member's settings")]
    Settings { source: config::Error },

    /// Not a word that etcd knows.
    #[error("`{state}` is no state of a cluster: new or existing")]
    BadState { state: String },

    /// A value that no settings file could hold safely.
    #[error(
        "`{value}` cannot be written as {flag}: it holds spaces, quotes or signs that settings files read otherwise"
    )]
    BadValue { flag: &'static str, value: String },

    /// The settings are written in a way that is not edited here.
    #[error("{} is written in a way that etcdrx does not edit; it must say: {wanted}", .path.display())]
    CannotEdit { path: PathBuf, wanted: String },

    /// What was written says something else.
    #[error("{} does not say what was written into it", .path.display())]
    NotReadBack { path: PathBuf },

    /// Nothing could be salvaged.
    #[error("cannot take the data out of the member's directory")]
    Salvage { source: salvage::Error },

    /// The member could not be made the only one.
    #[error("cannot make the member the only one of its cluster")]
    Forced { source: salvage::Error },

    /// etcd lists somebody else, or another place.
    #[error("the member is not the only one of its cluster, as it was: etcd lists {shown}")]
    NotAlone { shown: String },

    /// What lies where the snapshot goes is none.
    #[error("{} exists already, and is no snapshot", .path.display())]
    NoSnapshot { path: PathBuf, source: codec::Error },
}

fn by(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

fn frozen(state: Running) -> &'static str {
    match state {
        Running::Frozen => ": it is frozen, stopped by a signal or waiting for a disk",
        _ => "",
    }
}

/// What an action has around it.
pub struct Surroundings<'a> {
    /// Where a file comes from.
    pub input: &'a mut (dyn Read + Send),
    /// Where a file goes.
    pub output: &'a mut (dyn Write + Send),
    /// Who is told how far it is.
    pub progress: &'a dyn Progress,
    /// The journal of actions that name no data directory; that of the others lies beside theirs.
    pub journal: Option<PathBuf>,
}

/// Does what `action` says, here.
///
/// An action whose effect is there already says so and changes nothing, so that each can be repeated. What it is about to do is in the
/// member's journal before it is done, and what became of it afterwards; while it works no other works on the
/// same member.
///
/// # Errors
/// If it is refused or fails; what was changed until then stays, and the same action again goes on from there.
pub async fn perform(
    action: &Action,
    surroundings: &mut Surroundings<'_>,
) -> Result<Answer, Error> {
    if let Some(run) = action.run() {
        check_run(run)?;
    }
    let beside = action.directories().map(journal::journal_of);
    let path = beside.or_else(|| surroundings.journal.clone());
    let mut journal = match path.filter(|_| action.changes()) {
        // A file that comes is nobody's yet, and may take long: one that broke off must not keep the next one out.
        Some(path) if matches!(action, Action::Receive { .. }) => Some(Journal::open(&path)?),
        Some(path) => Some(Journal::lock(&path).await?),
        None => None,
    };
    if let Some(journal) = &mut journal {
        journal.intent(action)?;
    }
    let outcome = act(action, surroundings).await;
    if let Some(journal) = &mut journal {
        journal.outcome(action, &outcome)?;
    }
    outcome
}

async fn act(action: &Action, surroundings: &mut Surroundings<'_>) -> Result<Answer, Error> {
    let progress = surroundings.progress;
    match action {
        Action::Inspect {
            directories,
            service,
            settings,
            quick,
        } => Ok(inspect::inspect(directories, service.as_ref(), settings.as_ref(), *quick).await),
        Action::Stop {
            service,
            directories,
            kill,
            run,
        } => stop::stop(service, directories, *kill, run, progress).await,
        Action::Start { service, run } => stop::start(service, run).await,
        Action::Receive { path, sha256 } => {
            transfer::receive(path, *sha256, surroundings.input, progress)
        }
        Action::Send { path } => transfer::send(path, surroundings.output),
        Action::Configure {
            settings,
            initial_cluster,
            state,
            token,
            run,
        } => {
            let wanted = Wanted {
                initial_cluster,
                state,
                token: token.as_deref(),
            };
            configure::configure(settings, &wanted, run).await
        }
        Action::Command { command, .. } => of_the_site(command).await,
        _ => on_data(action, progress).await,
    }
}

async fn on_data(action: &Action, progress: &dyn Progress) -> Result<Answer, Error> {
    match action {
        Action::Stage {
            snapshot,
            unproven,
            directories,
            cluster,
            bump_revision,
            clear_alarms,
            run,
        } => {
            let order = Order {
                snapshot,
                unproven: *unproven,
                directories,
                cluster,
                bump_revision: *bump_revision,
                clear_alarms: *clear_alarms,
                run,
            };
            stage::stage(action, &order, progress).await
        }
        Action::SetAside { directories, run } => aside::set_aside(directories, run),
        Action::Place { directories, run } => stage::place(directories, run).await,
        Action::PutBack { directories, run } => aside::put_back(directories, run),
        Action::Unstage { directories, run } => stage::unstage(directories, run),
        Action::CopyDatabase {
            directories,
            output,
            ..
        } => transfer::copy_database(directories, output, progress),
        Action::ForceNewCluster {
            directories,
            etcd,
            run,
        } => forced::force(directories, etcd.as_deref(), run, progress).await,
        Action::Salvage {
            directories,
            etcd,
            output,
            ..
        } => salvaged(directories, etcd.as_deref(), output, progress).await,
        other => unreachable!("{} is not about data", other.name()),
    }
}

/// Salvages, unless it was done before: the snapshot appears only when it is whole.
async fn salvaged(
    directories: &Directories,
    etcd: Option<&Path>,
    output: &Path,
    progress: &dyn Progress,
) -> Result<Answer, Error> {
    if output.exists() {
        return transfer::salvaged_before(output);
    }
    let folders = inspect::folders().await;
    let request = salvage::Request {
        directories,
        search: Search {
            program: etcd,
            folders: &folders,
        },
        output,
    };
    let salvaged = salvage::salvage(&request, progress).await;
    let salvaged = salvaged.map_err(|source| Error::Salvage { source })?;
    Ok(salvaged.into())
}

async fn of_the_site(words: &[String]) -> Result<Answer, Error> {
    let line: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = program::run(program::command(&line), COMMAND_LIMIT).await?;
    let said = ended.success()?;
    let mut evidence = vec![format!("`{}` was run", words.join(" "))];
    evidence.extend(said.lines().map(str::to_owned));
    Ok(done(true, evidence))
}

/// Refuses a name that is none for a file.
fn check_run(run: &str) -> Result<(), Error> {
    // What names a cluster's folder names a file, too.
    let fits = run.parse::<crate::id::ClusterName>().is_ok();
    match fits {
        true => Ok(()),
        false => Err(Error::BadRun {
            run: run.to_owned(),
        }),
    }
}

fn done(changed: bool, evidence: Vec<String>) -> Answer {
    Answer::Done { changed, evidence }
}

fn writing(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    |source| Error::Write { path, source }
}

/// Brings the names in the directory around `path` to the disk.
fn sync_parent(path: &Path) -> Result<(), Error> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    let parent = parent.unwrap_or(Path::new("."));
    let synced = File::open(parent).and_then(|folder| folder.sync_all());
    synced.map_err(writing(parent))
}
