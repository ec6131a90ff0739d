//! What a recovery did, line by line on the disk: intent before effect, outcome with evidence after.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::choices::Choices;
use super::learned::Learned;
use super::plan::Plan;
use super::playbook::Kind;
use crate::id::ClusterName;

/// The journal's name in the directory of its run.
const JOURNAL: &str = "journal.jsonl";

/// Why a journal cannot be kept or read.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The disk refuses.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// It could not be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// Another recovery of the same cluster is at work.
    #[error("another recovery of {cluster} is at work on this machine ({})", .path.display())]
    Busy { cluster: String, path: PathBuf },

    /// There is no such run.
    #[error("there is no recovery `{run}` of {cluster} in {}{}", .directory.display(), others(.known))]
    NoSuchRun {
        run: String,
        cluster: String,
        directory: PathBuf,
        known: Vec<String>,
    },

    /// It does not begin with a plan.
    #[error("{} does not begin with a plan: the run changed nothing", .path.display())]
    NoPlan { path: PathBuf },

    /// A line of it is none of ours.
    #[error("{}, line {line}, cannot be understood", .path.display())]
    Garbled {
        path: PathBuf,
        line: usize,
        source: serde_json::Error,
    },
}

fn others(runs: &[String]) -> String {
    match runs {
        [] => String::new(),
        runs => format!("; there are {}", runs.join(", ")),
    }
}

/// A line of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    #[serde(flatten)]
    pub entry: Entry,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Entry {
    /// A plan was approved.
    Begun {
        /// The run.
        run: String,
        /// The token of a cluster that begins anew.
        token: String,
        /// What the operator decided.
        choices: Box<Choices>,
        /// The plan.
        plan: Box<Plan>,
    },
    /// Another process goes on with it.
    Resumed,
    /// A step is about to have its effect.
    Intent {
        /// Its number.
        n: usize,
        /// Its node.
        node: Option<String>,
    },
    /// A step had its effect, or it was there already.
    Done {
        /// Its number.
        n: usize,
        /// Its node.
        node: Option<String>,
        /// Whether the effect was there already.
        already: bool,
        /// How long it took.
        elapsed_ms: u64,
        /// What was seen.
        evidence: Vec<String>,
        /// What later steps need to know.
        learned: Box<Learned>,
    },
    /// A step failed.
    Failed {
        /// Its number.
        n: usize,
        /// Its node.
        node: Option<String>,
        /// Why.
        error: String,
    },
    /// All steps are done.
    Finished {
        /// How long all of it took, from its first beginning.
        elapsed_ms: u64,
    },
}

/// The nodes where a plan set something aside: not those where there was nothing.
pub(super) fn set_aside<'a>(plan: &'a Plan, lines: &'a [Line]) -> impl Iterator<Item = &'a str> {
    let is_setting_aside = |number: usize| {
        let step = plan.steps.iter().find(|step| step.n == number);
        step.is_some_and(|step| matches!(step.action, Kind::SetAside | Kind::ForceNewCluster))
    };
    lines.iter().filter_map(move |line| match &line.entry {
        Entry::Done {
            n,
            node: Some(node),
            already: false,
            ..
        } if is_setting_aside(*n) => Some(node.as_str()),
        _ => None,
    })
}

/// The journals of one cluster's recoveries, locked: one recovery at a time.
#[derive(Debug)]
pub struct Journals {
    directory: PathBuf,
    cluster: String,
    _lock: File,
}

impl Journals {
    /// Opens the journals of a cluster below `state_dir`, and locks them.
    ///
    /// # Errors
    /// If another recovery holds them, or the disk refuses.
    pub fn open(state_dir: &Path, cluster: &ClusterName) -> Result<Self, Error> {
        let directory = state_dir.join("recoveries").join(cluster.as_str());
        make_directory(&directory)?;
        let path = directory.join("lock");
        let write = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        let options = options.create(true).truncate(false).write(true).mode(0o600);
        let lock = options.open(&path).map_err(write)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                directory,
                cluster: cluster.as_str().to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(Error::Busy {
                cluster: cluster.as_str().to_owned(),
                path,
            }),
            Err(TryLockError::Error(source)) => Err(write(source)),
        }
    }

    /// The directory of a run.
    #[must_use]
    pub fn of_run(&self, run: &str) -> PathBuf {
        self.directory.join(run)
    }

    /// Begins the journal of a new run.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn begin(&self, run: &str) -> Result<Journal, Error> {
        let directory = self.of_run(run);
        make_directory(&directory)?;
        Journal::open(&directory)
    }

    /// Reads what a run did, to go on with it.
    ///
    /// # Errors
    /// If there is no such run, or its journal cannot be read.
    pub fn resume(&self, run: &str) -> Result<(Journal, Vec<Line>), Error> {
        let directory = self.of_run(run);
        if run.contains('/') || !directory.join(JOURNAL).exists() {
            return Err(Error::NoSuchRun {
                run: run.to_owned(),
                cluster: self.cluster.clone(),
                directory: self.directory.clone(),
                known: self.unfinished(),
            });
        }
        let lines = read(&directory.join(JOURNAL))?;
        Ok((Journal::open(&directory)?, lines))
    }

    /// The runs that were begun and not finished, the newest last.
    #[must_use]
    pub fn unfinished(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        let mut runs: Vec<(DateTime<Utc>, String)> = entries
            .filter_map(|entry| {
                let lines = read(&entry.path().join(JOURNAL)).ok()?;
                let last = lines.last()?;
                let is_open = !matches!(last.entry, Entry::Finished { .. });
                let name = entry.file_name().to_string_lossy().into_owned();
                is_open.then_some((lines.first()?.at, name))
            })
            .collect();
        runs.sort();
        runs.into_iter().map(|(_, run)| run).collect()
    }
}

/// The journal of one run, open for more lines.
#[derive(Debug)]
pub struct Journal {
    directory: PathBuf,
    path: PathBuf,
    file: File,
}

impl Journal {
    fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join(JOURNAL);
        let write = |source| Error::Write {
            path: path.clone(),
            source,
        };
        let mut options = OpenOptions::new();
        let options = options.create(true).append(true).read(true).mode(0o600);
        let mut file = options.open(&path).map_err(write)?;
        // A line that a kill cut in two is ended, and not gone on with.
        let length = file.metadata().map_err(write)?.len();
        let bytes = fs::read(&path).map_err(write)?;
        if length > 0 && !bytes.ends_with(b"\n") {
            file.write_all(b"\n").map_err(write)?;
        }
        Ok(Self {
            directory: directory.to_owned(),
            path,
            file,
        })
    }

    /// Where the run keeps what belongs to it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Keeps a file beside the journal.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.directory.join(name);
        fs::write(&path, bytes).map_err(|source| Error::Write { path, source })
    }

    /// Adds a line, on the disk when this returns.
    ///
    /// # Errors
    /// If the disk refuses: then nothing may be done.
    pub fn add(&mut self, line: &Line) -> Result<(), Error> {
        let mut text = serde_json::to_string(line).expect("a line holds nothing that JSON cannot");
        text.push('\n');
        let written = self.file.write_all(text.as_bytes());
        written
            .and_then(|()| self.file.sync_data())
            .map_err(|source| Error::Write {
                path: self.path.clone(),
                source,
            })
    }
}

/// Reads the lines of a journal; a last one that a kill cut short does not count.
///
/// # Errors
/// If it cannot be read, or another line is garbled.
pub fn read(path: &Path) -> Result<Vec<Line>, Error> {
    let failed = |source| Error::Read {
        path: path.to_owned(),
        source,
    };
    let file = BufReader::new(File::open(path).map_err(failed)?);
    let texts: Vec<String> = file.lines().collect::<Result<_, _>>().map_err(failed)?;
    let mut lines = Vec::new();
    let last = texts.len();
    for (index, text) in texts.iter().enumerate() {
        match serde_json::from_str(text) {
            Ok(line) => lines.push(line),
            // Only what was being written when the process died can be cut; a later run has ended that line.
            Err(error) if error.is_eof() || index + 1 == last => {}
            Err(source) => {
                return Err(Error::Garbled {
                    path: path.to_owned(),
                    line: index + 1,
                    source,
                });
            }
        }
    }
    Ok(lines)
}

fn make_directory(path: &Path) -> Result<(), Error> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: usize) -> Line {
        Line {
            at: DateTime::UNIX_EPOCH,
            entry: Entry::Intent { n, node: None },
        }
    }

    #[test]
    fn a_line_that_was_cut_short_is_left_out_and_the_next_stands_alone() {
        let directory = tempfile::tempdir().unwrap();
        let cluster: ClusterName = "prod".parse().unwrap();
        let journals = Journals::open(directory.path(), &cluster).unwrap();
        let mut journal = journals.begin("r1").unwrap();
        journal.add(&line(1)).unwrap();
        let path = journal.path.clone();
        fs::write(
            &path,
            [&fs::read(&path).unwrap(), b"{\"at\":\"2026".as_slice()].concat(),
        )
        .unwrap();

        let (mut journal, lines) = journals.resume("r1").unwrap();
        assert_eq!(lines, [line(1)]);
        journal.add(&line(2)).unwrap();
        assert_eq!(read(&path).unwrap(), [line(1), line(2)]);
        assert_eq!(journals.unfinished(), ["r1"]);
        let missing = journals.resume("r2").unwrap_err();
        assert!(missing.to_string().contains("there are r1"), "{missing}");
    }

    #[test]
    fn one_recovery_of_a_cluster_is_at_work_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let cluster: ClusterName = "prod".parse().unwrap();
        let held = Journals::open(directory.path(), &cluster).unwrap();
        let second = Journals::open(directory.path(), &cluster);
        assert!(matches!(second, Err(Error::Busy { .. })));
        drop(held);
        Journals::open(directory.path(), &cluster).unwrap();
    }
}
