//! A member's data set aside, and put back: renamed, never copied, never removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::action::{Answer, Directories};
use super::{Error, done, process, sync_parent, writing};
use crate::datadir::build::SET_ASIDE;

impl Directories {
    /// Where a run sets `member` aside.
    #[must_use]
    pub fn member_aside(&self, run: &str) -> PathBuf {
        self.data_dir.join(format!("{SET_ASIDE}{run}"))
    }

    /// Where this run sets the member's data aside: each place, and the name that what is there gets.
    pub(super) fn aside(&self, run: &str) -> Vec<(PathBuf, PathBuf)> {
        let member = self.member_aside(run);
        let log = self.wal_dir.as_deref();
        let log = log.map(|path| (path.to_owned(), beside(path, &format!("etcdrx-{run}"))));
        // The log first: without it etcd does not take the rest for a member's data.
        log.into_iter().chain([(self.member(), member)]).collect()
    }
}

/// `path` with a dot and `suffix` behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(suffix);
    path.with_file_name(name)
}

/// Refuses while a process holds any file of the member.
pub(super) fn ensure_unheld(directories: &Directories) -> Result<(), Error> {
    let read = |source| Error::Read {
        path: directories.data_dir.clone(),
        source,
    };
    match process::held(directories).map_err(read)? {
        None => Ok(()),
        Some(path) => Err(Error::InUse {
            path,
            pid: process::Process::on(directories).map(|process| process.pid),
        }),
    }
}

/// Renames the member's data, so that etcd finds none.
pub(super) fn set_aside(directories: &Directories, run: &str) -> Result<Answer, Error> {
    ensure_unheld(directories)?;
    let places = directories.aside(run);
    // All is looked at before anything is touched: a half is worse than nothing.
    for (place, aside) in &places {
        if exists(place) && exists(aside) {
            return Err(Error::Occupied {
                path: aside.clone(),
            });
        }
        ensure_movable(place)?;
    }
    let mut evidence = Vec::new();
    let mut changed = false;
    for (place, aside) in &places {
        if exists(place) {
            rename(place, aside)?;
            changed = true;
            evidence.push(moved(place, aside));
        } else if exists(aside) {
            evidence.push(format!("{} lies aside already", aside.display()));
        } else {
            evidence.push(format!("there is no {}", place.display()));
        }
    }
    Ok(done(changed, evidence))
}

/// Puts back what this run set aside; what took its place is set aside in turn.
pub(super) fn put_back(directories: &Directories, run: &str) -> Result<Answer, Error> {
    ensure_unheld(directories)?;
    let places = directories.aside(run);
    let any = places.iter().any(|(_, aside)| exists(aside));
    if !any && !exists(&directories.member()) {
        return Err(Error::NothingAside {
            path: directories.data_dir.clone(),
            run: run.to_owned(),
        });
    }
    for (place, aside) in &places {
        let replaced = beside(aside, "replaced");
        if exists(aside) && exists(place) && exists(&replaced) {
            return Err(Error::Occupied { path: replaced });
        }
    }
    let mut evidence = Vec::new();
    for (place, aside) in places.iter().filter(|(_, aside)| exists(aside)) {
        if exists(place) {
            let replaced = beside(aside, "replaced");
            rename(place, &replaced)?;
            evidence.push(moved(place, &replaced));
        }
        rename(aside, place)?;
        evidence.push(moved(aside, place));
    }
    if !any {
        evidence.push(format!("nothing lies aside of the run {run}"));
    }
    Ok(done(any, evidence))
}

/// Whether there is anything of this name, a dangling link included.
pub(super) fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Refuses what cannot be renamed because a file system begins there.
pub(super) fn ensure_movable(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let parent = path.parent().and_then(|parent| fs::metadata(parent).ok());
    match parent.is_some_and(|parent| parent.dev() != metadata.dev()) {
        true => Err(Error::MountPoint {
            path: path.to_owned(),
        }),
        false => Ok(()),
    }
}

/// Renames within a file system, and brings that to the disk.
pub(super) fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|source| match source.kind() {
        io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices => Error::MountPoint {
            path: from.to_owned(),
        },
        _ => writing(to)(source),
    })?;
    sync_parent(from)?;
    sync_parent(to)
}

pub(super) fn moved(from: &Path, to: &Path) -> String {
    format!("{} is now {}", from.display(), to.display())
}
