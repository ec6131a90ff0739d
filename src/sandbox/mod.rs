//! An etcd of our own: on a throw-away directory, on loopback, for as long as we need it.
//!
//! It serves copies of real data, so nobody else may reach it. Its ports are on 127.0.0.1, and both ask for a certificate of an authority
//! that is made for this one start and lies in a directory of ours alone. Members of the cluster that the data came from cannot
//! reach it either: they know other URLs and show other certificates. That needs no rights, unlike a network namespace.

mod explain;
mod port;
mod process;
mod program;
mod save;
mod scratch;
mod server;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

pub use explain::Reason;
pub use port::free_port;
pub use program::{Minor, Program, Search};
pub use scratch::Scratch;
pub use server::{Boot, Sandbox};

use crate::{codec, etcd, pki};

/// Why there is no etcd to work with, or why it did not do its work.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The program that was named cannot be run.
    #[error("cannot run {}", .path.display())]
    Run { path: PathBuf, source: io::Error },

    /// It runs and is no etcd.
    #[error("{} is no etcd: it does not tell a version", .path.display())]
    NotEtcd { path: PathBuf },

    /// The program that was named is of another version.
    #[error("{} is etcd {found}, and the data are of etcd {wanted}", .path.display())]
    WrongVersion {
        path: PathBuf,
        found: String,
        wanted: Minor,
    },

    /// No program fits, of those that are there.
    #[error("there is no program etcd{} here:\n{}", of_version(.wanted.as_ref()), lines(.looked))]
    NoProgram {
        wanted: Option<Minor>,
        looked: Vec<String>,
    },

    /// Files of ours could not be written.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// The certificates of this start could not be made.
    #[error("cannot make certificates for an etcd of our own")]
    Certificates { source: pki::Error },

    /// Loopback has no port left.
    #[error("there is no free port on 127.0.0.1")]
    NoPort { source: io::Error },

    /// etcd gave up.
    #[error("etcd {version} ended ({status}): {reason}{}", indented(.log))]
    Ended {
        version: String,
        status: String,
        reason: Reason,
        log: Vec<String>,
    },

    /// etcd runs and does not answer.
    #[error("etcd {version} does not serve after {}: {trouble}{}", humantime::format_duration(*.after), indented(.log))]
    NotServing {
        version: String,
        after: Duration,
        trouble: String,
        log: Vec<String>,
    },

    /// etcd answers something else than was asked for.
    #[error("the etcd of our own does not do what it is asked for")]
    Etcd { source: etcd::Error },

    /// What it streamed is no whole snapshot.
    #[error("the snapshot of the etcd of our own is not whole")]
    Snapshot { source: codec::Error },
}

fn of_version(wanted: Option<&Minor>) -> String {
    wanted.map_or_else(String::new, |minor| format!(" {minor}"))
}

fn lines(items: &[String]) -> String {
    let lines: Vec<String> = items.iter().map(|item| format!("  {item}")).collect();
    lines.join("\n")
}

/// The last lines of a log below the sentence that they explain.
fn indented(log: &[String]) -> String {
    match log.is_empty() {
        true => String::new(),
        false => format!("\n{}", lines(log)),
    }
}
