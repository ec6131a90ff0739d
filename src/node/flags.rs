//! The flags of a member on its node, and whether `force-new-cluster` stands anywhere.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::process::Process;
use super::service::{static_pod, systemd};
use super::{Error, aside::exists};
use crate::config::{EtcdFlags, Service, Settings};

/// The flag that makes a cluster of one member of any member's data.
pub(super) const FORCE: &str = "force-new-cluster";
/// The same as a variable.
const FORCE_VARIABLE: &str = "ETCD_FORCE_NEW_CLUSTER";

/// The flags that tell who a member is and where it lies.
const TOLD: &[&str] = &[
    "name",
    "data-dir",
    "wal-dir",
    "initial-cluster",
    "initial-cluster-state",
    "initial-cluster-token",
    "initial-advertise-peer-urls",
    "listen-peer-urls",
    "listen-client-urls",
    "advertise-client-urls",
    "cert-file",
    "key-file",
    "trusted-ca-file",
    "client-cert-auth",
    "peer-cert-file",
    "peer-key-file",
    "peer-trusted-ca-file",
    "peer-client-cert-auth",
    "quota-backend-bytes",
    "snapshot-count",
    "strict-reconfig-check",
    "config-file",
    FORCE,
];

/// Settings as they stand on the node.
pub(super) struct Read {
    /// Where they were found: the file, or the unit.
    pub(super) origin: String,
    pub(super) text: String,
    pub(super) flags: EtcdFlags,
}

/// Reads settings; a unit that names a configuration file says what stands in that, as etcd then looks at nothing else.
pub(super) async fn read(settings: &Settings) -> Result<Read, Error> {
    if let Settings::Unit { unit } = settings {
        let text = systemd::text(unit).await?;
        let flags = EtcdFlags::from_unit_and_files(&text, |path| fs::read_to_string(path).ok());
        return match flags.get("config-file") {
            Some(path) => read_file(Path::new(path), EtcdFlags::from_config),
            None => Ok(Read {
                origin: unit.clone(),
                text,
                flags,
            }),
        };
    }
    match settings {
        Settings::ConfigFile { path } => read_file(path, EtcdFlags::from_config),
        Settings::EnvironmentFile { path } => {
            read_file(path, |text, _| Ok(EtcdFlags::from_environment(text)))
        }
        Settings::Manifest { path } => read_file(&manifest_now(path), EtcdFlags::from_manifest),
        Settings::Unit { .. } => unreachable!("a unit was read before"),
    }
}

/// The flags that matter.
pub(super) fn told(flags: &EtcdFlags) -> BTreeMap<String, String> {
    let told = TOLD
        .iter()
        .filter_map(|name| Some(((*name).to_owned(), flags.get(name)?.to_owned())));
    told.collect()
}

/// Where the manifest lies now: in its place, or where a run put it.
pub(super) fn manifest_now(path: &Path) -> PathBuf {
    if exists(path) {
        return path.to_owned();
    }
    let any = static_pod::away(path, "");
    let prefix = any.parent().and_then(Path::file_name);
    let prefix = prefix.unwrap_or_default().to_string_lossy().into_owned();
    let beside = path.parent().and_then(Path::parent);
    let folders = beside.and_then(|folder| fs::read_dir(folder).ok());
    let folders = folders.into_iter().flatten().flatten();
    let mut away: Vec<PathBuf> = folders
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path().join(path.file_name().unwrap_or_default()))
        .filter(|path| exists(path))
        .collect();
    // With several nobody can say which one counts.
    match (away.pop(), away.is_empty()) {
        (Some(only), true) => only,
        _ => path.to_owned(),
    }
}

/// Every place that names `force-new-cluster` and turns it on.
pub(super) async fn forced(
    read: Option<&Read>,
    service: Option<&Service>,
    process: Option<Process>,
) -> Vec<String> {
    let mut places = Vec::new();
    if let Some(read) = read.filter(|read| read.flags.is_on(FORCE)) {
        places.push(place_in(&read.origin, &read.text));
    }
    match service {
        Some(Service::Systemd { unit }) => {
            let text = systemd::text(unit).await.unwrap_or_default();
            let is_new = read.is_none_or(|read| read.text != text);
            if is_new && EtcdFlags::from_unit(&text).is_on(FORCE) {
                places.push(place_in(unit, &text));
            }
        }
        Some(Service::StaticPod { manifest }) => {
            let now = manifest_now(manifest);
            let found = read_file(&now, EtcdFlags::from_manifest).ok();
            let found = found.filter(|found| read.is_none_or(|read| read.origin != found.origin));
            let found = found.filter(|found| found.flags.is_on(FORCE));
            places.extend(found.map(|found| place_in(&found.origin, &found.text)));
        }
        Some(Service::Command { start, .. }) if of_words(start) => {
            places.push(format!("the command `{}`", start.join(" ")));
        }
        _ => {}
    }
    if let Some(process) = process {
        if of_words(&process.words()) {
            places.push(format!("the command line of process {}", process.pid));
        }
        let variables = process.variables().join("\n");
        if EtcdFlags::from_environment(&variables).is_on(FORCE) {
            places.push(format!("the environment of process {}", process.pid));
        }
    }
    places
}

fn of_words(words: &[String]) -> bool {
    EtcdFlags::from_words(words.iter().map(String::as_str)).is_on(FORCE)
}

/// The line of a text that names the flag.
pub(super) fn place_in(origin: &str, text: &str) -> String {
    let names = |line: &&str| {
        !line.trim_start().starts_with('#')
            && (line.contains(FORCE) || line.contains(FORCE_VARIABLE))
    };
    let line = text.lines().zip(1..).find(|(line, _)| names(line));
    match line {
        Some((line, number)) => format!("line {number} of {origin}: {}", line.trim()),
        None => origin.to_owned(),
    }
}

fn read_file(
    path: &Path,
    parse: impl FnOnce(&str, &str) -> Result<EtcdFlags, crate::config::Error>,
) -> Result<Read, Error> {
    let text = fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_owned(),
        source,
    })?;
    let origin = path.display().to_string();
    let flags = parse(&text, &origin).map_err(|source| Error::Settings { source })?;
    Ok(Read {
        origin,
        text,
        flags,
    })
}
