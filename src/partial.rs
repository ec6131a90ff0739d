//! A file that shows under its name only when it is whole and on the disk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// A file under a temporary name beside its own, mode 0600; it is removed again unless it gets that name.
#[derive(Debug)]
pub struct Partial {
    temporary: NamedTempFile,
    path: PathBuf,
}

impl Partial {
    /// Begins the file that will be `path`.
    ///
    /// # Errors
    /// If the directory is not there or takes no file.
    pub fn create(path: &Path) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // What a killed process leaves shows by its name what it is.
        let prefix = format!("{name}.partial-");
        Ok(Self {
            temporary: NamedTempFile::with_prefix_in(prefix, directory_of(path))?,
            path: path.to_owned(),
        })
    }

    /// What is written to.
    pub fn file(&mut self) -> &mut File {
        self.temporary.as_file_mut()
    }

    /// Where it lies until then.
    #[must_use]
    pub fn temporary_path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives it its name, unless something else took that in the meantime.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] if something did; or if the disk refuses. Nothing is left then.
    pub fn publish(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.temporary.persist_noclobber(&self.path)?;
        sync_directory(&self.path)
    }

    /// Gives it its name, and takes the place of what has it.
    ///
    /// # Errors
    /// If the disk refuses; what was there is there then.
    pub fn replace(self) -> io::Result<()> {
        self.temporary.as_file().sync_all()?;
        self.temporary.persist(&self.path)?;
        sync_directory(&self.path)
    }
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

/// The directory that a file is in, also where its path names none.
#[must_use]
pub fn directory_of(path: &Path) -> &Path {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    parent.unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_shows_when_it_is_whole_and_takes_no_other_file_away_unless_it_is_to() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let begin = |text: &str| {
            let mut partial = Partial::create(&path).unwrap();
            partial.file().write_all(text.as_bytes()).unwrap();
            partial
        };
        let first = begin("first");
        assert!(!path.exists() && first.temporary_path().exists());
        drop(begin("given up"));

        first.publish().unwrap();

        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let refused = begin("second").publish().unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        begin("third").replace().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"third");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
