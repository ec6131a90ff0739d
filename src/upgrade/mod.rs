//! Finds, before anybody upgrades, what would keep an etcd version from starting on a cluster, or would silently switch protection off.

mod facts;
mod judge;
mod look;
mod minor;
pub mod settings;
pub mod table;

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::config;

pub use facts::{Data, Facts, Live, Snapshot};
pub use judge::judge;
pub use look::{ask, look_at_data, look_at_node, look_at_settings, look_at_snapshot};
pub use minor::Minor;
pub use settings::Settings;

/// Why a cluster could not be looked at.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// No rules are known for that version.
    #[error("`{version}` is no version of etcd whose rules are known: 3.4, 3.5, 3.6 and 3.7 are")]
    UnknownVersion { version: String },

    /// What says how a member is started cannot be read.
    #[error("cannot read {}", .path.display())]
    Read { path: PathBuf, source: io::Error },

    /// It is neither a configuration file of etcd nor a unit, a file of variables or a manifest.
    #[error("{} does not say how a member is started", .path.display())]
    Settings {
        path: PathBuf,
        source: Box<config::Error>,
    },

    /// A unit that the configuration names lies where systemd looks for none.
    #[error(
        "there is no unit {unit} below /etc/systemd, /run/systemd, /usr/lib/systemd or /lib/systemd"
    )]
    NoUnit { unit: String },
}
