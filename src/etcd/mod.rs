//! The only room that speaks to a live etcd.

mod access;
mod administer;
mod choose;
mod credentials;
mod diagnosis;
mod hashkv;
mod keys;
mod leases;
mod listed;
mod member_urls;
pub mod probe;
mod snapshot;
mod status;
mod view;
mod wire;
mod write;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

pub use access::{Access, Member};
pub use choose::{Candidate, Choice, Refused, choose};
pub use credentials::{Identity, OurCertificate};
pub use diagnosis::Diagnosis;
pub use hashkv::{MemberHash, disagreements};
pub use leases::Lease;
pub use listed::Listed;
pub use member_urls::member_urls;
pub use snapshot::Snapshot;
pub use status::{MemberStatus, probe_all};
pub use view::{Patience, Reads, View, view};
pub use write::{BATCH_KEYS, Live, Put};

/// Why etcd could not be asked, or what it answered instead.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// An endpoint is a URL with a host and a port.
    #[error("`{endpoint}` is not an endpoint: {problem}")]
    BadEndpoint {
        endpoint: String,
        problem: &'static str,
    },

    /// A file of certificates, a key or a password could not be read.
    #[error("cannot read {what} {}", .path.display())]
    ReadFile {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },

    /// A file could be read and does not hold what it should.
    #[error("{what} {}: {problem}", .path.display())]
    BadFile {
        what: &'static str,
        path: PathBuf,
        problem: String,
    },

    /// A user without a password.
    #[error("there is no password for the user {user}")]
    NoPassword { user: String },

    /// No usable answer from the endpoint, and what a handshake of our own found out about it.
    #[error("{endpoint}: {diagnosis}")]
    Unreachable {
        endpoint: String,
        diagnosis: Diagnosis,
    },

    /// Not one endpoint answers.
    #[error("none of the cluster's endpoints answers:\n{}", lines(.reasons))]
    NoneReachable { reasons: Vec<String>, by_tls: bool },

    /// etcd knows the user and not the password, or neither.
    #[error("{endpoint} refuses the user {user}: wrong name or password")]
    WrongPassword { endpoint: String, user: String },

    /// The call needs the root role.
    #[error("{endpoint} does not allow {call} to {who}")]
    NotAllowed {
        endpoint: String,
        call: &'static str,
        who: String,
    },

    /// etcd answered with an error.
    #[error("{endpoint}: {call} failed: {message}")]
    Call {
        endpoint: String,
        call: &'static str,
        message: String,
    },

    /// etcd did not answer in time.
    #[error("{endpoint}: no answer to {call} within {}", humantime::format_duration(*.after))]
    TimedOut {
        endpoint: String,
        call: &'static str,
        after: Duration,
    },

    /// The endpoints belong to more than one cluster, and none has more members among them than the others.
    #[error("the endpoints belong to different clusters:\n{}", lines(.members))]
    SeveralClusters { members: Vec<String> },

    /// No member may be asked for a snapshot.
    #[error("no member is fit to be backed up from:\n{}", lines(.reasons))]
    NoCandidate { reasons: Vec<String> },

    /// The member that was asked for is not there.
    #[error("there is no member `{wanted}` among those that answer: {known}")]
    NoSuchMember { wanted: String, known: String },

    /// The stream of a snapshot broke off.
    #[error("{endpoint}: the snapshot broke off after {received} bytes: {message}")]
    Broken {
        endpoint: String,
        received: u64,
        message: String,
    },

    /// The stream of a snapshot gave nothing for too long.
    #[error("{endpoint}: the snapshot stalled after {received} bytes: nothing came for {}", humantime::format_duration(*.after))]
    Stalled {
        endpoint: String,
        received: u64,
        after: Duration,
    },
}

impl Error {
    /// Whether etcd answers, and does not let us.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::WrongPassword { .. } | Self::NotAllowed { .. })
    }

    /// Whether certificates or the use of TLS keep us from a member, and not the network or the server.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Unreachable { diagnosis, .. } => diagnosis.is_tls(),
            Self::NoneReachable { by_tls, .. } => *by_tls,
            _ => false,
        }
    }

    /// Says that no endpoint gave an answer.
    ///
    /// Where one gave the answer that we may not ask, that is the error: it says more than those that are dead.
    #[must_use]
    pub fn none_answers(mut errors: Vec<Self>) -> Self {
        if let Some(index) = errors.iter().position(Self::is_refusal) {
            return errors.swap_remove(index);
        }
        Self::NoneReachable {
            by_tls: errors.iter().any(Self::is_tls),
            reasons: errors.iter().map(ToString::to_string).collect(),
        }
    }
}

fn lines(items: &[String]) -> String {
    let lines: Vec<String> = items.iter().map(|item| format!("  {item}")).collect();
    lines.join("\n")
}
