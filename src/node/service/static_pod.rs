//! etcd as a static pod: the kubelet runs what lies in its directory of manifests, and ends what is gone from there.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::State;
use crate::node::action::Running;
use crate::node::aside::{exists, moved, rename};
use crate::node::{Error, writing};

/// Where a kubelet keeps the logs of containers.
pub(in crate::node) const LOGS: &str = "/var/log/pods";
/// What stands before the run in the name of a directory of manifests that no kubelet watches.
const AWAY: &str = ".etcdrx-";
/// How many lines of the log are told, and from how much of its end.
const LOG_LINES: usize = 20;

/// How the pod is, as far as its manifest tells.
pub(super) fn state(manifest: &Path) -> State {
    State {
        running: Running::Unknown,
        pid: None,
        exit_code: None,
        is_held_off: !exists(manifest),
    }
}

/// Where a run keeps the manifest while etcd is not to run: beside the kubelet's directory, as it reads every file in that.
pub(in crate::node) fn away(manifest: &Path, run: &str) -> PathBuf {
    let watched = manifest.parent().unwrap_or(Path::new("/"));
    let mut name = watched.file_name().unwrap_or_default().to_owned();
    name.push(format!("{AWAY}{run}"));
    let folder = watched.with_file_name(name);
    folder.join(manifest.file_name().unwrap_or_default())
}

/// Takes the manifest out of the kubelet's directory.
pub(super) fn take_away(manifest: &Path, run: &str) -> Result<Vec<String>, Error> {
    let away = away(manifest, run);
    match (exists(manifest), exists(&away)) {
        (true, true) => return Err(Error::Occupied { path: away }),
        (false, true) => return Ok(vec![format!("{} lies there already", away.display())]),
        (false, false) => {
            return Err(Error::NoManifest {
                path: manifest.to_owned(),
            });
        }
        (true, false) => {}
    }
    let folder = away.parent().unwrap_or(Path::new("/"));
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(writing(folder))?;
    rename(manifest, &away)?;
    Ok(vec![moved(manifest, &away)])
}

/// Gives the manifest back to the kubelet.
pub(super) fn bring_back(manifest: &Path, run: &str) -> Result<Vec<String>, Error> {
    let away = away(manifest, run);
    if exists(manifest) {
        return Ok(Vec::new());
    }
    if !exists(&away) {
        return Err(Error::NoManifest {
            path: manifest.to_owned(),
        });
    }
    rename(&away, manifest)?;
    // Empty by now, unless copies lie in it.
    let _ = away.parent().map(fs::remove_dir);
    Ok(vec![moved(&away, manifest)])
}

/// The end of the newest log of a container of etcd below `logs`.
pub(super) fn log(logs: &Path) -> Vec<String> {
    let pods = children(logs).into_iter().filter(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("kube-system_etcd-")
    });
    let files = pods.flat_map(|pod| children(&pod.join("etcd")));
    let changed = |path: &PathBuf| {
        let changed = fs::metadata(path).and_then(|file| file.modified());
        changed.unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let newest = files.max_by_key(changed);
    let bytes = newest.and_then(|path| fs::read(path).ok());
    let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES)..];
    last.iter().map(|line| (*line).to_owned()).collect()
}

fn children(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path()).collect()
}
