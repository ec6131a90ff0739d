//! What is found on a node: the member's directory, its process, its flags.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use chrono::Utc;

use super::action::{Answer, Directories, Inspected, ProcessFacts, Running};
use super::aside::beside;
use super::certificates;
use super::database::DatabaseFacts;
use super::flags::{self, Read};
use super::process::{Process, held};
use super::service::{self, systemd};
use super::stage::STAGED;
use super::{journal, program};
use crate::config::{Service, Settings};
use crate::datadir::build::SET_ASIDE;
use crate::datadir::inspect::{self, Inspection, Options};
use crate::manifest::Finding;
use crate::progress::told;

/// How long etcd may take to say its version.
const VERSION_LIMIT: Duration = Duration::from_secs(5);

/// Reads what there is; what cannot be read is a finding.
pub(super) async fn inspect(
    directories: &Directories,
    service: Option<&Service>,
    settings: Option<&Settings>,
    quick: bool,
) -> Answer {
    let mut findings = Vec::new();
    let directory = directory(directories, quick, &mut findings);
    let read = match settings {
        Some(settings) => flags::read(settings).await.map_err(|error| {
            findings.push(Finding::warning("settings-unreadable", told(&error)));
        }),
        None => Err(()),
    };
    let read = read.ok();
    let process = process(directories, service, read.as_ref(), &mut findings).await;
    let told = read.as_ref().map(|read| flags::told(&read.flags));
    let told = told.unwrap_or_default();
    places(directories, &told, &mut findings);
    state_of_the_cluster(&told, &mut findings);
    certificates::ended(&told, Utc::now(), &mut findings);
    unfinished(directories, &mut findings);
    let inspected = Inspected {
        directory,
        process,
        flags: told,
        findings,
        set_aside: set_aside(directories),
    };
    Answer::Inspected(Box::new(inspected))
}

fn directory(
    directories: &Directories,
    quick: bool,
    findings: &mut Vec<Finding>,
) -> Option<Inspection<DatabaseFacts>> {
    let options = Options {
        wal_dir: directories.wal_dir.clone(),
        ..Options::default()
    };
    let read = |path: &Path| DatabaseFacts::read(path, quick);
    match inspect::inspect(&directories.data_dir, &options, read) {
        Ok(inspection) => Some(inspection),
        Err(error) => {
            findings.push(Finding::error("no-directory", told(&error)));
            None
        }
    }
}

async fn process(
    directories: &Directories,
    service: Option<&Service>,
    read: Option<&Read>,
    findings: &mut Vec<Finding>,
) -> ProcessFacts {
    let state = match service {
        Some(service) => service::state(service).await.map_err(|error| {
            findings.push(Finding::warning("service-unknown", told(&error)));
        }),
        None => Err(()),
    };
    let state = state.ok();
    let named = state.as_ref().and_then(|state| state.pid);
    let process = Process::on(directories).or_else(|| named.and_then(Process::of));
    let is_held = held(directories).ok().map(|path| path.is_some());
    let by_service = state
        .as_ref()
        .map_or(Running::Unknown, |state| state.running);
    let running = match (process.map(Process::state), is_held) {
        (Some(state), _) => state,
        (None, Some(true)) => Running::Running,
        // Nothing holds the files, and the service knows better whether something is about to.
        (None, Some(false)) if by_service == Running::Unknown => Running::Stopped,
        (None, _) => by_service,
    };
    let force_new_cluster = flags::forced(read, service, process).await;
    for place in &force_new_cluster {
        let message = format!(
            "force-new-cluster is on in {place}: the next start throws every other member out"
        );
        findings.push(Finding::error("force-new-cluster", message));
    }
    let etcd = etcd(service, process).await;
    let version = match &etcd {
        Some(etcd) => version(etcd).await,
        None => None,
    };
    ProcessFacts {
        running,
        pid: process.map(|process| process.pid),
        exit_code: state.and_then(|state| state.exit_code),
        force_new_cluster,
        log: match service {
            Some(service) => service::log(service).await,
            None => Vec::new(),
        },
        // The kernel's name for it is good only as long as it runs.
        etcd: etcd.map(|path| {
            let real = fs::canonicalize(&path).or_else(|_| fs::read_link(&path));
            real.unwrap_or(path)
        }),
        version,
    }
}

/// The program that runs, or that would be started.
async fn etcd(service: Option<&Service>, process: Option<Process>) -> Option<PathBuf> {
    if let Some(process) = process {
        return Some(process.program());
    }
    if let Some(Service::Systemd { unit }) = service
        && let Some(path) = systemd::program_of(unit).await
    {
        return Some(path);
    }
    in_path().await
}

/// The folder of the program that a shell would start.
pub(super) async fn folders() -> Vec<PathBuf> {
    let program = in_path().await;
    let folder = program.as_deref().and_then(Path::parent);
    folder.map(Path::to_owned).into_iter().collect()
}

async fn in_path() -> Option<PathBuf> {
    let found = program::command(&["sh", "-c", "command -v etcd"]);
    let found = program::run(found, VERSION_LIMIT).await.ok()?;
    let path = PathBuf::from(found.success().ok()?.trim());
    path.is_absolute().then_some(path)
}

/// What `etcd --version` says; `None` where that is no etcd.
pub(super) async fn version(etcd: &Path) -> Option<String> {
    let mut command = Command::new(etcd);
    command.arg("--version");
    let ended = program::run(command, VERSION_LIMIT).await.ok()?;
    let said = ended.success().ok()?;
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("etcd Version: "));
    line.map(|version| version.trim().to_owned())
}

/// etcd would start elsewhere than where the data lies.
fn places(directories: &Directories, told: &BTreeMap<String, String>, findings: &mut Vec<Finding>) {
    let same = |one: &Path, other: &Path| {
        let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        real(one) == real(other)
    };
    if told.is_empty() {
        return;
    }
    match told.get("data-dir").map(Path::new) {
        Some(path) if same(path, &directories.data_dir) => {}
        // Nobody knows here in which directory etcd is started.
        Some(path) if path.is_relative() && directories.data_dir.ends_with(path) => {}
        Some(path) => {
            let message = format!(
                "etcd's data directory is {} by its settings, and {} was looked at",
                path.display(),
                directories.data_dir.display()
            );
            findings.push(Finding::error("other-data-dir", message));
        }
        None => {
            let message =
                "the settings name no data-dir: etcd takes NAME.etcd in its working directory";
            findings.push(Finding::warning("no-data-dir", message));
        }
    }
    let wal_dir = told.get("wal-dir").map(Path::new);
    let as_told = match (wal_dir, directories.wal_dir.as_deref()) {
        (None, None) => true,
        (Some(one), Some(other)) => same(one, other),
        (Some(one), None) => same(one, &directories.log()),
        (None, Some(other)) => same(other, &directories.member().join("wal")),
    };
    if !as_told {
        let message = format!(
            "etcd's log is in {} by its settings, and {} was looked at",
            wal_dir.map_or("the data directory".to_owned(), |path| path
                .display()
                .to_string()),
            directories.log().display()
        );
        findings.push(Finding::error("other-wal-dir", message));
    }
}

/// A word that etcd does not know ends it at once.
fn state_of_the_cluster(told: &BTreeMap<String, String>, findings: &mut Vec<Finding>) {
    let state = told.get("initial-cluster-state").map(String::as_str);
    if let Some(other) = state.filter(|state| !["new", "existing"].contains(state)) {
        let message = format!("initial-cluster-state is `{other}`: etcd knows new and existing");
        findings.push(Finding::error("cluster-state", message));
    }
}

/// A recovery that was cut short on this node.
fn unfinished(directories: &Directories, findings: &mut Vec<Finding>) {
    let path = journal::journal_of(directories);
    let Ok(lines) = journal::lines(&path) else {
        return;
    };
    if let Some(last) = lines.last()
        && last.event == journal::Event::Intent
    {
        let message = format!(
            "`{}` of {} began and did not end, by {}",
            last.action.name(),
            last.time,
            path.display()
        );
        findings.push(Finding::warning("unfinished-action", message));
    }
}

/// What recoveries left here.
fn set_aside(directories: &Directories) -> Vec<PathBuf> {
    let named = |folder: Option<&Path>, prefixes: &[String]| -> Vec<PathBuf> {
        let entries = folder.and_then(|folder| fs::read_dir(folder).ok());
        let entries = entries.into_iter().flatten().flatten();
        let left = entries.filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            entry.path().is_dir() && prefixes.iter().any(|prefix| name.starts_with(prefix))
        });
        left.map(|entry| entry.path()).collect()
    };
    let prefixes = [SET_ASIDE, STAGED, "etcdrx-unfinished-"].map(str::to_owned);
    let mut left = named(Some(&directories.data_dir), &prefixes);
    if let Some(wal_dir) = &directories.wal_dir {
        let prefix = beside(wal_dir, "etcdrx-");
        let prefix = prefix.file_name().unwrap_or_default();
        let prefix = prefix.to_string_lossy().into_owned();
        left.extend(named(wal_dir.parent(), &[prefix]));
    }
    left.sort();
    left
}
