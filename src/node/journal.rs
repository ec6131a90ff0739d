//! What was done to a member on this node: lines of JSON beside its data directory, never changed and never removed.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use super::Error;
use super::action::{Action, Answer, Directories};
use crate::progress::told;

/// What stands behind the name of the data directory.
const SUFFIX: &str = ".etcdrx-journal.jsonl";

/// How long another action may take to end: one whose connection broke off notices that soon.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often it is looked at.
const POLL: Duration = Duration::from_millis(50);

/// One line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was written.
    pub time: DateTime<Utc>,
    /// The recovery, where the action belongs to one.
    pub run: Option<String>,
    /// What is or was to be done.
    pub action: Action,
    /// How far it is.
    pub event: Event,
}

/// How far an action is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// It is about to begin; where nothing follows, it was cut short.
    Intent,
    /// It was done, or was so already.
    Done(Answer),
    /// It was given up.
    Failed(String),
}

/// A journal that is written to.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

/// Where the journal of a member lies.
#[must_use]
pub fn journal_of(directories: &Directories) -> PathBuf {
    let data_dir = &directories.data_dir;
    // `a/b/` and `a/b` are one directory.
    let mut name: OsString = data_dir.components().collect::<PathBuf>().into();
    name.push(SUFFIX);
    PathBuf::from(name)
}

/// The lines of a journal, in their order; what was cut short in the middle of a line is left out.
///
/// # Errors
/// If the file is there and cannot be read.
pub fn lines(path: &Path) -> io::Result<Vec<Line>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text?,
    };
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    Ok(lines.collect())
}

impl Journal {
    /// As [`open`](Self::open), as the only one; waits a moment for another that is about to end.
    pub(super) async fn lock(path: &Path) -> Result<Self, Error> {
        let journal = Self::open(path)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match journal.file.try_lock() {
                Ok(()) => return Ok(journal),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(POLL).await,
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::Busy {
                        path: path.to_owned(),
                    });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(Error::Journal {
                        path: path.to_owned(),
                        source,
                    });
                }
            }
        }
    }

    /// Opens it at its end, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Journal {
            path: path.to_owned(),
            source,
        };
        let mut options = File::options();
        let options = options.read(true).append(true).create(true).mode(0o600);
        let mut file = options.open(path).map_err(failed)?;
        // A line that was cut short must not swallow the next one.
        let mut last = [b'\n'];
        let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
        if length > 0 {
            file.seek(SeekFrom::End(-1)).map_err(failed)?;
            file.read_exact(&mut last).map_err(failed)?;
        }
        if last != [b'\n'] {
            file.write_all(b"\n").map_err(failed)?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Writes what is about to be done, before anything of it is done.
    pub(super) fn intent(&mut self, action: &Action) -> Result<(), Error> {
        self.write(action, Event::Intent)
    }

    /// Writes what became of it.
    pub(super) fn outcome(
        &mut self,
        action: &Action,
        outcome: &Result<Answer, Error>,
    ) -> Result<(), Error> {
        let event = match outcome {
            Ok(answer) => Event::Done(answer.clone()),
            Err(error) => Event::Failed(told(error)),
        };
        self.write(action, event)
    }

    fn write(&mut self, action: &Action, event: Event) -> Result<(), Error> {
        let line = Line {
            time: Utc::now().trunc_subsecs(3),
            run: action.run().map(str::to_owned),
            action: action.clone(),
            event,
        };
        let mut text = serde_json::to_string(&line).expect("a line holds nothing that JSON cannot");
        text.push('\n');
        let written = self.file.write_all(text.as_bytes());
        let written = written.and_then(|()| self.file.sync_all());
        written.map_err(|source| Error::Journal {
            path: self.path.clone(),
            source,
        })
    }
}
