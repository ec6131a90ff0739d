//! How the library says how far it is.

use std::error::Error;

use serde::Serialize;

use crate::id::BackupId;

/// Something that happened on the way, worth a line or a bar to a person who waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A stage of the work began.
    Stage(String),
    /// Something that deserves attention, though the work goes on.
    Warning(String),
    /// Bytes went by; `total` is an estimate where it is known at all.
    Bytes {
        /// So far.
        done: u64,
        /// All that are expected.
        total: Option<u64>,
    },
    /// A backup was dealt with, in a loop over many.
    Backup(BackupId),
    /// A step of a recovery began or ended.
    Step(StepEvent),
}

/// A step of a recovery that began or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StepEvent {
    /// Its number, from 1.
    pub n: usize,
    /// How many there are.
    pub of: usize,
    /// What it does.
    pub title: String,
    /// The member on whose node it happens.
    pub node: Option<String>,
    /// How it is.
    pub state: StepState,
    /// What was seen.
    pub evidence: Vec<String>,
    /// How long it took.
    pub elapsed_ms: u64,
}

/// How a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
    /// It began.
    Started,
    /// It had its effect.
    Done,
    /// The effect was there already.
    Already,
    /// It failed.
    Failed,
}

/// An error with all its causes, on one line.
#[must_use]
pub fn told(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Takes the events of one command.
pub trait Progress: Send + Sync {
    /// Shows, counts or drops `event`; must be quick.
    fn event(&self, event: Event);
}

/// Drops every event.
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _event: Event) {}
}
