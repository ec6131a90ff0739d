//! Looks at a cluster before its upgrade: asks the members that answer, and reads files. Changes nothing.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::facts::{Data, Facts, Live, Snapshot};
use super::{Error, Minor, Settings};
use crate::backend::{self, AlarmKind, Store, contents};
use crate::backup::PROBE;
use crate::certs::check::read_member;
use crate::config::{Node, Reach, Settings as Place};
use crate::datadir::inspect::is_held;
use crate::datadir::{snap, wal};
use crate::etcd::{Access, MemberStatus, probe_all};
use crate::id::MemberId;
use crate::manifest::Finding;
use crate::source::{self, Source};

/// Where systemd looks for units, the first one first.
const UNITS: [&str; 4] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// How often the log of a member that may run is read.
const ATTEMPTS: usize = 3;
/// How long it is given to write what it is about to.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks every endpoint; one that does not answer is a finding.
pub async fn ask(access: &Access, facts: &mut Facts) {
    for answer in probe_all(access, PROBE).await {
        match answer {
            Ok(status) => facts.live.push(live(&status)),
            Err(error) => {
                let message = format!(
                    "{error}; a member that is down costs the quorum as soon as another one is stopped"
                );
                let code = if error.is_refusal() {
                    "not-allowed"
                } else {
                    "endpoint-unreachable"
                };
                facts.findings.push(Finding::error(code, message));
            }
        }
    }
}

fn live(status: &MemberStatus) -> Live {
    let version = status.storage_version.as_deref();
    let alarms = [
        (!status.corrupt.is_empty()).then_some(AlarmKind::Corrupt),
        (!status.nospace.is_empty()).then_some(AlarmKind::NoSpace),
    ];
    Live {
        member: format!("{} ({})", status.label(), status.endpoint),
        member_id: status.member_id,
        version: status.version.clone(),
        storage_version: version.and_then(Minor::of_version),
        has_leader: status.leader.is_some(),
        is_learner: status.is_learner,
        alarms: alarms.into_iter().flatten().collect(),
        db_size_bytes: status.db_size_bytes,
    }
}

/// Reads what says how a member is started; its directory and its certificates too, where they lie here.
///
/// # Errors
/// If the file, or one that it names, cannot be read.
pub fn look_at_settings(path: &Path, facts: &mut Facts) -> Result<(), Error> {
    let settings = Settings::read(path)?;
    if let Some(directory) = settings.get("data-dir").map(PathBuf::from)
        && directory.join("member").is_dir()
    {
        let wal_dir = settings.get("wal-dir").map(PathBuf::from);
        look_at_data(&directory, wal_dir.as_deref(), facts);
    }
    look_at_certificates(&settings, facts);
    facts.settings.push(settings);
    Ok(())
}

/// Reads what the configuration says of a node, if it is this machine.
///
/// # Errors
/// If a file that it names cannot be read.
pub fn look_at_node(node: &Node, facts: &mut Facts) -> Result<(), Error> {
    if node.reach != Reach::Local {
        return Ok(());
    }
    match node.settings() {
        Some(
            Place::ConfigFile { path } | Place::EnvironmentFile { path } | Place::Manifest { path },
        ) => {
            look_at_settings(&path, facts)?;
        }
        Some(Place::Unit { unit }) => look_at_settings(&path_of_unit(&unit)?, facts)?,
        None => {}
    }
    if let Some(directory) = &node.data_dir {
        look_at_data(directory, node.wal_dir.as_deref(), facts);
    }
    Ok(())
}

fn path_of_unit(unit: &str) -> Result<PathBuf, Error> {
    let named = match unit.contains('.') {
        true => unit.to_owned(),
        false => format!("{unit}.service"),
    };
    let paths = UNITS.iter().map(|folder| Path::new(folder).join(&named));
    let found = paths.into_iter().find(|path| path.is_file());
    found.ok_or(Error::NoUnit { unit: named })
}

/// Reads the schema's version of a snapshot file or of a member's database.
///
/// # Errors
/// If it cannot be read, or is no database.
pub fn look_at_snapshot(path: &Path, facts: &mut Facts) -> Result<(), source::Error> {
    let source = Source::open(path)?;
    let version = source.store()?.value("meta", "storageVersion");
    let version = version.map_err(|error| source.told(error))?;
    let version = version.map(|text| String::from_utf8_lossy(&text).into_owned());
    facts.snapshots.push(Snapshot {
        name: path.display().to_string(),
        storage_version: version.as_deref().and_then(Minor::of_version),
    });
    Ok(())
}

/// Reads a member's data directory, as etcd's `--data-dir` names it: the log also while the member runs, the database only if it does
/// not.
pub fn look_at_data(directory: &Path, wal_dir: Option<&Path>, facts: &mut Facts) {
    if facts.data.iter().any(|data| data.path == directory) {
        return;
    }
    let member = directory.join("member");
    let wal_dir = wal_dir.map_or_else(|| member.join("wal"), Path::to_owned);
    let mut data = Data {
        path: directory.to_owned(),
        ..Data::default()
    };
    let voters = match log_of_any(&wal_dir, &member.join("snap"), &mut data) {
        Ok(voters) => voters,
        Err(error) => {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            let message = format!(
                "{error}{}: nothing is known of it (--etcd-config tells where a log lies that has a directory of its own)",
                source.unwrap_or_default()
            );
            facts
                .findings
                .push(Finding::error("log-unreadable", message));
            Vec::new()
        }
    };
    let db = member.join("snap").join("db");
    match is_held(&db) {
        // What a running member writes may be torn.
        Ok(true) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Ok(false) | Err(_) => {
            if let Err(error) = database(&db, &voters, &mut data, &mut facts.auth) {
                let message = format!("{}: {error}: nothing is known of it", db.display());
                facts
                    .findings
                    .push(Finding::error("database-unreadable", message));
            }
        }
    }
    facts.data.push(data);
}

/// Reads the log, and again where it changed meanwhile: a member that runs removes files, and a record that it is about to write looks
/// damaged.
fn log_of_any(
    wal_dir: &Path,
    snap_dir: &Path,
    data: &mut Data,
) -> Result<Vec<MemberId>, wal::Error> {
    let mut attempts = 1;
    loop {
        match log(wal_dir, snap_dir, data) {
            Err(wal::Error::Read { .. } | wal::Error::Damaged { .. }) if attempts < ATTEMPTS => {
                attempts += 1;
                thread::sleep(PAUSE);
            }
            answer => return answer,
        }
    }
}

/// Reads the log from the raft snapshot on which the member would start; gives the voters that it knows.
fn log(wal_dir: &Path, snap_dir: &Path, data: &mut Data) -> Result<Vec<MemberId>, wal::Error> {
    let facts = wal::read(wal_dir)?;
    data.member_id = facts.node_id;
    let commit = facts.hard_state.map_or(0, |state| state.commit);
    let indexes = facts.snapshots.iter().map(|snapshot| snapshot.index);
    let remembered: Vec<u64> = indexes.filter(|index| *index <= commit).collect();
    // etcd starts on the newest file that is whole and that the log remembers.
    let files = snap::list(snap_dir).unwrap_or_default().into_iter();
    let mut files = files.filter_map(|path| Some((snap::read(&path).ok()?, path)));
    let newest = files.find(|(snap, _)| remembered.contains(&snap.place.index));
    let start = match &newest {
        Some((snap, _)) => snap.place.index,
        None => remembered.iter().copied().max().unwrap_or_default(),
    };
    data.second_api = Some(wal::second_api(wal_dir, start)?);
    let record = newest.as_ref().map(|(snap, _)| snap.record());
    let members = facts.members(record.as_ref()).unwrap_or_default();
    data.learners = members.learners.len();
    let of_clients = newest.filter(|(snap, _)| snap.holds_second_api_keys());
    data.second_api_keys = of_clients.map(|(_, path)| path);
    Ok(members.voters.into_iter().map(MemberId).collect())
}

fn database(
    path: &Path,
    voters: &[MemberId],
    data: &mut Data,
    auth: &mut bool,
) -> Result<(), backend::Error> {
    let Ok(file) = File::open(path) else {
        return Ok(());
    };
    let store = Store::open(file)?;
    let contents = contents(&store)?;
    let version = store.value("meta", "storageVersion")?;
    let version = version.map(|text| String::from_utf8_lossy(&text).into_owned());
    data.storage_version = version.as_deref().and_then(Minor::of_version);
    data.cluster_version = contents
        .cluster_version
        .as_deref()
        .and_then(Minor::of_version);
    let learners = contents.members.iter().filter(|member| member.is_learner);
    let stale = learners
        .map(|member| member.id)
        .filter(|id| voters.contains(id));
    data.stale_learners = stale.collect();
    *auth |= contents.auth_enabled;
    Ok(())
}

fn look_at_certificates(settings: &Settings, facts: &mut Facts) {
    const FILES: [&str; 4] = [
        "cert-file",
        "trusted-ca-file",
        "peer-cert-file",
        "peer-trusted-ca-file",
    ];
    let named = FILES.iter().filter_map(|flag| settings.get(flag));
    let named: Vec<&str> = named.collect();
    if let Some(path) = named.iter().find(|path| !Path::new(path).is_file()) {
        let message = format!(
            "{}: {path} does not lie here, so its certificates are not judged; `etcdrx certs check` does that on its machine",
            settings.member
        );
        facts
            .findings
            .push(Finding::note("certificates-not-seen", message));
        return;
    }
    let mut member = read_member(settings.flags.clone());
    member.name.clone_from(&settings.member);
    facts.certificates.members.push(member);
}
