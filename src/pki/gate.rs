//! What stands between two steps of a rotation: what the members trust and show while they run, which no file tells.

use std::fmt;
use std::time::Duration;

use futures_util::future::join_all;

use super::rotate::Rotation;
use crate::certs::certificate::Name;
use crate::certs::profile::Kind;
use crate::etcd;
use crate::etcd::probe::{Port, Seen, look};

/// Which of two authorities.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Issuer {
    /// The one whose key signs now.
    Old,
    /// The one that is to follow it.
    Next,
    /// Neither.
    Other(String),
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Old => f.write_str("the old authority"),
            Self::Next => f.write_str("the next authority"),
            Self::Other(name) => write!(f, "`{name}`"),
        }
    }
}

/// What one port trusts and shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// The port, as it was asked for.
    pub endpoint: String,
    /// Of which kind it is.
    pub port: Port,
    /// The authorities that the process trusts.
    pub trusts: Vec<Issuer>,
    /// Who issued the certificate that it shows.
    pub shows: Issuer,
}

/// The steps that wait for the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Before the next authority signs: everybody trusts both.
    Reissue,
    /// Before the old one is given up: everybody trusts and shows the next.
    Finish,
    /// Before the next one is given up: everybody shows the old.
    Abort,
}

impl Running {
    /// What keeps the gate shut, as far as this port is concerned.
    #[must_use]
    pub fn obstacle(&self, gate: Gate) -> Option<String> {
        let restart = "restart this member after its new bundle is in place";
        match gate {
            Gate::Reissue if !self.trusts.contains(&Issuer::Next) => Some(format!(
                "it does not trust the next authority yet: {restart}"
            )),
            Gate::Reissue if !self.trusts.contains(&Issuer::Old) => Some(
                "it does not trust the old authority any more, whose certificates are still in use"
                    .to_owned(),
            ),
            Gate::Finish if !self.trusts.contains(&Issuer::Next) => {
                Some(format!("it does not trust the next authority: {restart}"))
            }
            Gate::Finish if self.shows != Issuer::Next => Some(format!(
                "it shows a certificate of {}: put its new certificate and key in place; no restart is needed",
                self.shows
            )),
            Gate::Abort if self.shows != Issuer::Old => Some(format!(
                "it shows a certificate of {}: put the certificate and key of the old authority in place",
                self.shows
            )),
            _ => None,
        }
    }
}

/// Looks at every port, all at the same time; client ports first.
pub async fn running(
    rotations: &[Rotation],
    clients: &[String],
    peers: &[String],
    patience: Duration,
) -> Vec<Result<Running, etcd::Error>> {
    let clients = clients.iter().map(|endpoint| (endpoint, Port::Client));
    let peers = peers.iter().map(|endpoint| (endpoint, Port::Peer));
    let looks = clients.chain(peers).map(async |(endpoint, port)| {
        let seen = look(endpoint, port, patience).await?;
        Ok(describe(
            rotation_of(rotations, port),
            endpoint,
            port,
            &seen,
        ))
    });
    join_all(looks).await
}

/// The authority of a port: with one authority, that one.
#[must_use]
pub fn rotation_of(rotations: &[Rotation], port: Port) -> &Rotation {
    let kind = match port {
        Port::Client => Kind::Ca,
        Port::Peer => Kind::PeerCa,
    };
    let own = rotations.iter().find(|rotation| rotation.kind == kind);
    own.unwrap_or(&rotations[0])
}

fn describe(rotation: &Rotation, endpoint: &str, port: Port, seen: &Seen) -> Running {
    let trusted = seen.trusted.as_deref().unwrap_or_default();
    let next = rotation.next.as_ref().map(|next| &next.subject.der);
    let issuer = |name: &Name| match () {
        () if name.der == rotation.old.subject.der => Issuer::Old,
        () if next == Some(&name.der) => Issuer::Next,
        () => Issuer::Other(name.text.clone()),
    };
    Running {
        endpoint: endpoint.to_owned(),
        port,
        trusts: trusted.iter().map(issuer).collect(),
        shows: issuer(&seen.served[0].issuer),
    }
}
