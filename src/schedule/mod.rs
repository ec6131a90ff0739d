//! What is done by itself: backups, proofs, retention, drills and looks at certificates, each by a cron expression.
//!
//! What is due is worked out purely, from the expressions, what was done before, and the time. What is missed while nothing ran, or
//! while the machine slept, is made up for once.

pub mod agenda;
pub mod calendar;
pub mod lead;
pub mod pages;
mod plain;
pub mod records;
pub mod service;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use calendar::{Calendar, expression};
pub use plain::Plain;
pub use records::{Ended, Records};

/// Something that is done by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Job {
    /// Takes a backup.
    Backup,
    /// Reads the newest backup, and proves it again.
    Verify,
    /// Applies the retention policy.
    Prune,
    /// Boots the newest backup.
    Drill,
    /// Looks at the certificates.
    Certificates,
}

impl Job {
    /// All of them, in the order in which they are done where several are due.
    pub const ALL: [Self; 5] = [
        Self::Backup,
        Self::Verify,
        Self::Prune,
        Self::Drill,
        Self::Certificates,
    ];

    /// Its key in `[schedule]`, and its label in metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Prune => "prune",
            Self::Drill => "drill",
            Self::Certificates => "certificates",
        }
    }

    /// The command that does it, as it is typed, without its flags.
    #[must_use]
    pub fn command(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Verify => "verify",
            Self::Prune => "prune",
            Self::Drill => "drill backup",
            Self::Certificates => "certs check",
        }
    }
}

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
