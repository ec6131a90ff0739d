//! What was done, in a file: a service that starts again knows what it missed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::Job;
use crate::partial::Partial;

/// Why the records cannot be kept.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The file is there and cannot be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// The disk refuses.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// How something ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: DateTime<Utc>,
    /// The exit code of its command; none where a signal ended it, or it could not be run.
    pub exit_code: Option<i32>,
    /// Its last words.
    pub message: String,
}

impl Ended {
    /// Whether everything went well.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.exit_code == Some(0)
    }

    /// Whether it might go better soon: the store or etcd could not be reached, another run was at work, something failed. What was
    /// found to be wrong, damaged or misspelt stays so.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self.exit_code, None | Some(1 | 4 | 5))
    }
}

/// What is known of one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Up to when everything that was due is dealt with.
    pub handled: DateTime<Utc>,
    /// How it ended last.
    #[serde(default)]
    pub last: Option<Ended>,
    /// When it last went well.
    #[serde(default)]
    pub succeeded_at: Option<DateTime<Utc>>,
    /// How often in a row it did not go well in a way that may pass.
    #[serde(default)]
    pub failures: u32,
}

impl Record {
    fn up_to(now: DateTime<Utc>) -> Self {
        Self {
            handled: now,
            last: None,
            succeeded_at: None,
            failures: 0,
        }
    }
}

/// What is known of all jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Records(pub BTreeMap<Job, Record>);

impl Records {
    /// Reads them; none where there is no file yet, and none of a file that makes no sense.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn read(path: &Path) -> Result<Self, Error> {
        match fs::read(path) {
            // A schedule that begins anew is better than none.
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_default()),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(Error::Read {
                path: path.to_owned(),
                source,
            }),
        }
    }

    /// Writes them, whole or not at all.
    ///
    /// # Errors
    /// If the disk refuses: what was there is there then.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let failed = |source| Error::Write {
            path: path.to_owned(),
            source,
        };
        let text = serde_json::to_vec_pretty(self).map_err(|error| failed(error.into()))?;
        let mut partial = Partial::create(path).map_err(failed)?;
        partial.file().write_all(&text).map_err(failed)?;
        partial.replace().map_err(failed)
    }

    /// Makes them fit these jobs at this time: one that was never heard of is up to date, and nothing was dealt with in the future. A
    /// clock that was put back would silence a job otherwise.
    pub fn fit(&mut self, jobs: impl Iterator<Item = Job>, now: DateTime<Utc>) {
        for job in jobs {
            let record = self.0.entry(job).or_insert_with(|| Record::up_to(now));
            record.handled = record.handled.min(now);
        }
    }

    /// Passes over what is due: somebody else does it.
    pub fn pass(&mut self, job: Job, now: DateTime<Utc>) {
        if let Some(record) = self.0.get_mut(&job) {
            record.handled = now;
            record.failures = 0;
        }
    }

    /// Takes down how something ended.
    pub fn took(&mut self, job: Job, ended: Ended) {
        let up_to_now = Record::up_to(ended.ended_at);
        let record = self.0.entry(job).or_insert(up_to_now);
        // What came due while it ran is dealt with by it.
        record.handled = ended.ended_at;
        record.failures = match ended.may_pass() {
            true => record.failures + 1,
            false => 0,
        };
        if ended.is_success() {
            record.succeeded_at = Some(ended.ended_at);
        }
        record.last = Some(ended);
    }
}
