//! A directory of our own that is gone when we are done, also with what earlier runs left that were killed.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::Error;

/// What all their names begin with.
const PREFIX: &str = "etcdrx-scratch-";

/// What the names begin with of those that a person wants to look at.
const KEPT: &str = "etcdrx-kept-";

/// A directory without a lock is dead once it is so old: whoever makes one locks it at once.
const DEAD_AFTER: Duration = Duration::from_mins(1);

/// A directory, mode 0700, that is removed with all that is in it when this is dropped.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    /// Tells others that we are alive; the kernel gives the lock back whatever happens to us.
    _lock: File,
    kept: bool,
}

impl Scratch {
    /// Makes one in `parent`, and removes those there whose owners are dead.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn create(parent: &Path) -> Result<Self, Error> {
        remove_dead(parent);
        let path = parent.join(format!("{PREFIX}{:08x}", rand::random::<u32>()));
        let failed = |source| Error::Write {
            path: path.clone(),
            source,
        };
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(failed)?;
        let lock = File::open(&path).map_err(failed)?;
        lock.try_lock().map_err(|error| failed(error.into()))?;
        Ok(Self {
            path,
            _lock: lock,
            kept: false,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves it for a person to look at, under a name that no later run takes for a dead one's.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep(mut self) -> Result<PathBuf, Error> {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        let kept = self.path.with_file_name(name.replacen(PREFIX, KEPT, 1));
        fs::rename(&self.path, &kept).map_err(|source| Error::Write {
            path: kept.clone(),
            source,
        })?;
        self.kept = true;
        Ok(kept)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // What cannot be removed now, the next run removes.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Whatever cannot be looked at or removed stays: it is in nobody's way.
fn remove_dead(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(PREFIX) && is_dead(&path) {
            let _ = fs::remove_dir_all(&path);
        }
    }
}

fn is_dead(path: &Path) -> bool {
    let modified = path.symlink_metadata().and_then(|facts| facts.modified());
    let age = modified.ok().and_then(|modified| modified.elapsed().ok());
    let is_old = age.is_some_and(|age| age > DEAD_AFTER);
    is_old && File::open(path).is_ok_and(|file| file.try_lock().is_ok())
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_a_killed_run_left_is_removed_and_what_a_living_one_has_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let [dead, young, other] = ["etcdrx-scratch-dead", "etcdrx-scratch-young", "other"]
            .map(|name| parent.path().join(name));
        for path in [&dead, &young, &other] {
            fs::create_dir(path).unwrap();
        }
        let alive = Scratch::create(parent.path()).unwrap();
        let long_ago = SystemTime::now() - 2 * DEAD_AFTER;
        for path in [&dead, &other, &alive.path] {
            File::open(path).unwrap().set_modified(long_ago).unwrap();
        }

        let next = Scratch::create(parent.path()).unwrap();

        assert!(!dead.exists());
        assert!(young.exists() && other.exists() && alive.path.exists());
        let path = next.path.clone();
        drop(next);
        assert!(!path.exists());
    }
}
