//! Boots a backup in an etcd of our own, and holds what that serves against the manifest.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use thiserror::Error;

use super::writers::PREFIX;
use crate::catalog::Backup;
use crate::datadir::edit::Edits;
use crate::datadir::membership::{self, Membership};
use crate::etcd::{self, Member};
use crate::manifest::{Finding, HashKv, Manifest};
use crate::progress::{Event, Progress};
use crate::repository::Folder;
use crate::restore::{self, Origin, Target, restore};
use crate::sandbox::{self, Boot, Minor, Program, Reason, Sandbox, Scratch, Search};
use crate::verify::Report;

/// How long etcd may take to start.
const LIMIT: Duration = Duration::from_mins(10);
/// What etcd thinks its database may grow to; it is not the drill that a quota should stop.
const QUOTA_BYTES: u64 = 64 << 30;

/// Why a drill came to no result, which says nothing about the backup.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// There is no etcd, or the machine does not let it run.
    #[error("cannot boot the backup")]
    Sandbox { source: sandbox::Error },

    /// The backup could not be brought here.
    #[error("cannot restore the backup")]
    Restore { source: restore::Error },

    /// Not to be expected of one member.
    #[error("cannot name the member that is booted")]
    Membership { source: membership::Error },

    /// The etcd of our own stopped answering.
    #[error("the etcd that was booted does not answer")]
    Etcd { source: etcd::Error },
}

/// What is to be booted, and where.
pub struct Request<'a> {
    /// The folder of the backup's cluster.
    pub folder: &'a Folder,
    /// The backup.
    pub backup: &'a Backup,
    /// Where to look for an etcd.
    pub search: Search<'a>,
    /// A directory with room for the database; nothing is left in it.
    pub directory: &'a Path,
}

/// How a drill went.
#[derive(Debug, Clone)]
pub struct Drilled {
    /// What was looked at, and what is held against the backup.
    pub report: Report,
    /// What else is worth knowing: of the backup's content, or of the etcd that was taken.
    pub notes: Vec<Finding>,
    /// The etcd that it was booted with.
    pub etcd_version: String,
    /// Where that lies.
    pub program: PathBuf,
    /// How long the restore took.
    pub restored_in: Duration,
    /// How long etcd took until it served; absent where it did not.
    pub served_in: Option<Duration>,
}

/// Restores a backup into a scratch directory, boots it, and compares revision, number of keys and hash with the manifest; then writes
/// and reads.
///
/// A backup that is bad is no error but a report with findings. Nothing is left, also when this is dropped in the middle. Where an
/// alarm is in the backup, etcd takes no writes, and none is tried.
///
/// # Errors
/// If there is no etcd of the backup's version or the next, or the machine, the repository or the disk fails.
pub async fn drill_backup(
    request: &Request<'_>,
    progress: &dyn Progress,
) -> Result<Drilled, Error> {
    let manifest = &request.backup.manifest;
    let of_sandbox = |source| Error::Sandbox { source };
    let program = fitting(&request.search, &manifest.etcd_version).await;
    let program = program.map_err(of_sandbox)?;
    let scratch = Scratch::create(request.directory).map_err(of_sandbox)?;
    let mut drilled = Drilled {
        report: Report {
            checks: vec!["restore"],
            findings: Vec::new(),
        },
        notes: other_version(&program, &manifest.etcd_version)
            .into_iter()
            .collect(),
        etcd_version: program.version().to_owned(),
        program: program.path().to_owned(),
        restored_in: Duration::ZERO,
        served_in: None,
    };
    progress.event(Event::Stage(format!("restoring {}", request.backup.id())));
    let data_dir = scratch.path().join("data");
    let began = Instant::now();
    if !bring(request, &data_dir, &mut drilled, progress).await? {
        return Ok(drilled);
    }
    drilled.restored_in = began.elapsed();
    progress.event(Event::Stage(format!("booting etcd {}", program.version())));
    let boot = Boot {
        program: &program,
        data_dir: &data_dir,
        wal_dir: None,
        force_new_cluster: false,
        scratch: scratch.path(),
        quota_bytes: QUOTA_BYTES,
        limit: LIMIT,
    };
    drilled.report.checks.push("boot");
    let began = Instant::now();
    let sandbox = match Sandbox::start(&boot).await {
        Ok(sandbox) => sandbox,
        Err(error) => {
            drilled.report.findings.push(unbootable(error)?);
            return Ok(drilled);
        }
    };
    drilled.served_in = Some(began.elapsed());
    let alarmed = drilled.notes.iter().any(|note| note.code == "alarm");
    let mut examined = examine(sandbox.member(), manifest, &mut drilled.report).await;
    if examined.is_ok() && !alarmed {
        examined = write_and_read(sandbox.member(), &mut drilled.report).await;
    }
    sandbox.stop().await;
    examined.map_err(|source| Error::Etcd { source })?;
    Ok(drilled)
}

/// An etcd of the version that a backup is of; or of the next one, which reads the data of the one before it.
///
/// # Errors
/// If neither is here.
pub async fn fitting(search: &Search<'_>, etcd_version: &str) -> Result<Program, sandbox::Error> {
    let wanted: Option<Minor> = etcd_version.parse().ok();
    match (Program::find(search, wanted).await, wanted) {
        (Err(error), Some(Minor(major, minor))) => {
            let next = Program::find(search, Some(Minor(major, minor.saturating_add(1)))).await;
            // What is missing is the version that the backup is of.
            next.map_err(|_| error)
        }
        (found, _) => found,
    }
}

/// A note, where the program is not of the version that a backup is of.
#[must_use]
pub fn other_version(program: &Program, etcd_version: &str) -> Option<Finding> {
    let same = etcd_version.parse() == Ok(program.minor());
    let message = format!(
        "booted with etcd {}, since no etcd of the backup's version {etcd_version} is here",
        program.version()
    );
    (!same).then(|| Finding::note("other-version", message))
}

/// Restores the backup to `data_dir`, and says whether it could be; if not, that is a finding.
async fn bring(
    request: &Request<'_>,
    data_dir: &Path,
    drilled: &mut Drilled,
    progress: &dyn Progress,
) -> Result<bool, Error> {
    let token = format!("etcdrx-{:016x}", rand::random::<u64>());
    // Nobody ever calls there: a cluster of one.
    let membership = Membership::parse("etcdrx=http://127.0.0.1:2380", &token)
        .map_err(|source| Error::Membership { source })?;
    let member = membership.member("etcdrx").cloned();
    let restoring = restore::Request {
        membership: &membership,
        targets: vec![Target {
            member: member.map_err(|source| Error::Membership { source })?,
            data_dir: data_dir.to_owned(),
            wal_dir: None,
        }],
        edits: Edits::default(),
        bump: None,
        run: "drill".to_owned(),
    };
    let origin = Origin::Backup {
        folder: request.folder,
        backup: request.backup,
    };
    match restore(&restoring, &origin, progress).await {
        Ok(restored) => {
            drilled.notes.extend(restored.findings);
            Ok(true)
        }
        Err(restore::Error::Damaged { findings }) => {
            drilled.report.findings = findings;
            Ok(false)
        }
        Err(restore::Error::Database { source }) => {
            let finding = Finding::error("database", source.to_string());
            drilled.report.findings.push(finding);
            Ok(false)
        }
        Err(source) => Err(Error::Restore { source }),
    }
}

/// That etcd refuses the data is a finding; that this machine does not let it run is an error.
fn unbootable(error: sandbox::Error) -> Result<Finding, Error> {
    match &error {
        sandbox::Error::Ended {
            reason:
                Reason::DamagedLog
                | Reason::DamagedDatabase
                | Reason::Mixed
                | Reason::WrongVersion
                | Reason::Unknown,
            ..
        } => Ok(Finding::error("boot", error.to_string())),
        _ => Err(Error::Sandbox { source: error }),
    }
}

/// Holds what etcd serves against the manifest, as far as that tells.
async fn examine(
    member: &Member,
    manifest: &Manifest,
    report: &mut Report,
) -> Result<(), etcd::Error> {
    let mut compare = |code: &'static str, what: &str, found: String, expected: String| {
        report.checks.push(code);
        if found != expected {
            let message = format!("{what} is {found} in etcd, and {expected} in the manifest");
            report.findings.push(Finding::error(code, message));
        }
    };
    let (keys, revision) = member.count_keys().await?;
    let (found, expected) = (revision.to_string(), manifest.revision.to_string());
    compare("revision", "the revision", found, expected);
    if let Some(expected) = manifest.keys {
        let (found, expected) = (keys.to_string(), expected.to_string());
        compare("keys", "the number of keys", found, expected);
    }
    // At the compaction itself 3.5.5 and later answer from a cache that was computed under the one before.
    let hashed = manifest.hashkv;
    let hashed = hashed.filter(|known| known.compact_revision < known.revision);
    if let Some(expected) = hashed.filter(|known| known.revision <= revision) {
        let found = member.hashkv(expected.revision).await?;
        let told = |hash: HashKv| {
            let compacted = hash.compact_revision;
            format!("{} (compacted to {compacted})", hash.hash)
        };
        compare("hashkv", "the hash", told(found), told(expected));
    }
    Ok(())
}

/// Puts a key, and reads it back: it must have the next revision.
async fn write_and_read(member: &Member, report: &mut Report) -> Result<(), etcd::Error> {
    report.checks.push("write");
    let (_, newest) = member.count_keys().await?;
    let value = format!("{:016x}", rand::random::<u64>());
    let key = format!("{PREFIX}written-by-a-drill");
    let mut wrong = |message: String| report.findings.push(Finding::error("write", message));
    let revision = match member.put(&key, &value).await {
        Ok(revision) => revision,
        Err(etcd::Error::Call { message, .. }) => {
            wrong(format!("etcd takes no write: {message}"));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let read = member.read_keys(&[key.as_bytes()]).await?;
    let mut read = read.into_iter().flatten();
    let is_back =
        read.any(|live| live.value == value.as_bytes() && live.mod_revision == revision.0);
    if !is_back || revision.0 != newest.0.saturating_add(1) {
        wrong(format!(
            "a key that was written after revision {newest} got revision {revision}, or does not read back"
        ));
    }
    Ok(())
}
