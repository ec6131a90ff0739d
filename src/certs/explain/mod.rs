//! From an error text of etcd's log, or of a client's, to its cause and what to do.
//!
//! The knowledge is data: `certs/explain.toml` at the root. Here are the reader of lines, the search in that table, and
//! the count over a whole log.

mod extract;
mod line;
mod log;
mod place;
mod table;

use std::fmt;

use serde::{Deserialize, Serialize};

use self::line::Line;
use self::table::{Mode, TABLE};

pub use log::{Report, read_log};

/// Where a text stands: that tells which side speaks, and about whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// etcd's log, about a connection to its client port.
    ClientPort,
    /// etcd's log, about a connection to its peer port.
    PeerPort,
    /// etcd's log, about a member to which it connects.
    Dialer,
    /// etcd's log, about its own JSON gateway, which connects to the client port as a client does.
    Gateway,
    /// etcd's log or stderr, at its start.
    Start,
    /// etcd's log, about anything else.
    Server,
    /// The output or the log of a client.
    Client,
}

impl Place {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ClientPort,
        Self::PeerPort,
        Self::Dialer,
        Self::Gateway,
        Self::Start,
        Self::Server,
        Self::Client,
    ];
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientPort => "etcd's log, about its client port",
            Self::PeerPort => "etcd's log, about its peer port",
            Self::Dialer => "etcd's log, about a member to which it connects",
            Self::Gateway => "etcd's log, about its own JSON gateway",
            Self::Start => "etcd's log, at its start",
            Self::Server => "etcd's log",
            Self::Client => "what a client says",
        })
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Most likely harmless.
    Note,
    /// To be looked at soon.
    Warning,
    /// Somebody cannot connect, or anybody can.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        })
    }
}

/// What a text means, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The name by which scripts know it.
    pub id: &'static str,
    /// Where such a text stands; empty where that does not matter and is not known.
    #[serde(rename = "where")]
    pub places: Vec<Place>,
    /// How bad it is.
    pub severity: Severity,
    /// What it means, in a few words.
    pub means: String,
    /// Why it is so.
    pub cause: String,
    /// What to do.
    pub fix: String,
    /// Whose log, which host, which file or flag to look at.
    pub look: String,
    /// Which etcd says it so, where that matters.
    pub versions: Option<&'static str>,
    /// How many lines say it.
    pub count: u64,
    /// The other side: a host without its port, or a member's id where no line tells its host.
    pub remote: Option<String>,
    /// The addresses and names in the certificate that was refused, where the log tells them.
    pub names: Vec<String>,
    /// The time of the first such line, as the log writes it.
    pub first: Option<String>,
    /// The time of the last such line.
    pub last: Option<String>,
    /// One of the lines, cut where it is very long.
    pub lines: Vec<String>,
}

/// What to do about a text that a client says, such as etcdrx itself of a member that it does not get to.
#[must_use]
pub fn fixes(text: &str) -> Vec<String> {
    let explained = explain(text).into_iter();
    let of_clients = |places: &[Place]| places.is_empty() || places.contains(&Place::Client);
    let of_clients = explained.filter(|one| of_clients(&one.places));
    of_clients.map(|one| one.fix).collect()
}

/// Explains a text as somebody typed or pasted it: an error, a line of a log, or several lines.
///
/// Where the text does not tell in whose log it stood there is one explanation for each side that may have said it.
/// Nothing comes back where no line is known.
#[must_use]
pub fn explain(text: &str) -> Vec<Explanation> {
    let mut explanations: Vec<Explanation> = Vec::new();
    for raw in text.lines() {
        let line = Line::parse(raw);
        for reading in TABLE.readings(&line, &[], Mode::Asked) {
            let explanation = reading.explain(&line, raw);
            match explanations
                .iter_mut()
                .find(|known| known.id == explanation.id)
            {
                Some(known) => known.count += 1,
                None => explanations.push(explanation),
            }
        }
    }
    explanations
}
