//! The process of etcd as the kernel shows it, and the locks by which it holds its files.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::action::{Directories, Running};
use crate::datadir::inspect::is_held;

/// A process, told from a later one of the same id by when it began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) pid: u32,
    began: u64,
}

impl Process {
    /// The process of this id, if there is one.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let (_, began) = stat(pid)?;
        Some(Self { pid, began })
    }

    /// The process that holds the member's database or log. Other users' processes are seen by root only.
    pub(super) fn on(directories: &Directories) -> Option<Self> {
        let files: BTreeSet<(u64, u64)> = locked_files(directories)
            .iter()
            .filter_map(|path| fs::metadata(path).ok())
            .map(|file| (file.dev(), file.ino()))
            .collect();
        let pids = fs::read_dir("/proc").ok()?.flatten();
        let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        pids.into_iter()
            .find(|pid| holds(*pid, &files))
            .and_then(Self::of)
    }

    /// What it does; `Stopped` once it is gone, or a zombie.
    pub(super) fn state(self) -> Running {
        match stat(self.pid) {
            Some((_, began)) if began != self.began => Running::Stopped,
            Some(('T' | 't' | 'D', _)) => Running::Frozen,
            Some(('Z' | 'X', _)) | None => Running::Stopped,
            Some(_) => Running::Running,
        }
    }

    /// Ends it as nothing else does; one that is gone is no error.
    pub(super) fn kill(self) -> io::Result<()> {
        let pid = i32::try_from(self.pid).map_err(io::Error::other)?;
        if self.state() == Running::Stopped {
            return Ok(());
        }
        match kill(Pid::from_raw(pid), Signal::SIGKILL) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The words that it was started with.
    pub(super) fn words(self) -> Vec<String> {
        self.list("cmdline")
    }

    /// Its environment, where we may see it.
    pub(super) fn variables(self) -> Vec<String> {
        self.list("environ")
    }

    /// The program that it runs, which can be run once more by this name even from within a container.
    pub(super) fn program(self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/exe", self.pid))
    }

    fn list(self, name: &str) -> Vec<String> {
        let bytes = fs::read(format!("/proc/{}/{name}", self.pid)).unwrap_or_default();
        let words = bytes
            .split(|byte| *byte == 0)
            .filter(|word| !word.is_empty());
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    }
}

/// The first of the member's files that some process holds; `None` where none is held.
///
/// etcd locks its database as bbolt does (`flock`), and the files of its log by locks of open files (`F_OFD_SETLK`).
pub(super) fn held(directories: &Directories) -> io::Result<Option<PathBuf>> {
    let db = directories.database();
    match is_held(&db) {
        Ok(true) => return Ok(Some(db)),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    for path in locked_files(directories) {
        if path != db && is_log_held(&path)? {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

impl Directories {
    /// The directory that holds database and log, and that is what is set aside and placed.
    #[must_use]
    pub fn member(&self) -> PathBuf {
        self.data_dir.join("member")
    }

    /// The member's database.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.member().join("snap").join("db")
    }

    /// The directory of the log, wherever it is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        let own = self.wal_dir.clone();
        own.unwrap_or_else(|| self.member().join("wal"))
    }
}

/// The database and the files of the log, those that are there.
fn locked_files(directories: &Directories) -> Vec<PathBuf> {
    let logs = fs::read_dir(directories.log()).into_iter().flatten();
    let logs = logs.flatten().map(|entry| entry.path());
    let logs = logs.filter(|path| path.extension().is_some_and(|kind| kind == "wal"));
    logs.chain([directories.database()]).collect()
}

fn is_log_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let short = |constant| i16::try_from(constant).expect("the constants of locks are small");
    let mut whole_file = libc::flock {
        l_type: short(libc::F_WRLCK),
        l_whence: short(libc::SEEK_SET),
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut whole_file))?;
    Ok(whole_file.l_type != short(libc::F_UNLCK))
}

/// Whether a process has one of these files open and locked.
fn holds(pid: u32, files: &BTreeSet<(u64, u64)>) -> bool {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd"))
        .into_iter()
        .flatten();
    descriptors.flatten().any(|descriptor| {
        let is_ours = fs::metadata(descriptor.path())
            .is_ok_and(|file| files.contains(&(file.dev(), file.ino())));
        let number = descriptor.file_name();
        let info = format!("/proc/{pid}/fdinfo/{}", number.to_string_lossy());
        is_ours && fs::read_to_string(info).is_ok_and(|info| info.contains("lock:"))
    })
}

/// The state of a process, and when it began, in the kernel's ticks.
fn stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything.
    let mut fields = text.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}
