//! What a TLS port of etcd shows, and whom it lets in: found out by handshakes of our own.
//!
//! Whatever chain a server shows is recorded and accepted, for rustls judges by other rules than the Go that etcd is
//! built with. So nothing that must be kept from a stranger is ever sent here: no password, no key of the store.

mod drift;
mod flight;
mod health;
mod http;
mod links;
mod members;
mod recorder;

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{AlertDescription, Error as TlsError, ProtocolVersion, SupportedProtocolVersion};
use tokio::time::timeout;

use self::flight::server_flight;
use self::recorder::{Recorder, connector};
use super::Error;
use super::access::normalize;
use super::credentials::Identity;
use super::diagnosis::{Diagnosis, closed, suspect};
use super::wire::{Address, HTTP2_HELLO, first_bytes, is_closed, tls_error};
use crate::certs::Certificate;
use crate::certs::certificate::Name;

pub use self::drift::{Drift, compare};
pub use self::health::{Health, health};
pub use self::http::{Gateway, gateway};
pub use self::links::{Link, Links, peers};
pub use self::members::{PeerMembers, peer_members};

/// Which of etcd's listeners an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Port {
    /// For clients: `--listen-client-urls`.
    Client,
    /// For the other members: `--listen-peer-urls`.
    Peer,
}

impl Port {
    /// The flag of etcd that names the authorities which this port trusts.
    #[must_use]
    pub fn trust_flag(self) -> &'static str {
        match self {
            Self::Client => "--trusted-ca-file",
            Self::Peer => "--peer-trusted-ca-file",
        }
    }

    /// The protocol that its clients speak (RFC 7301).
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Client => b"h2",
            Self::Peer => b"http/1.1",
        }
    }

    /// What its clients say first; etcd answers nobody who says nothing.
    fn hello(self, host: &str) -> Vec<u8> {
        match self {
            Self::Client => HTTP2_HELLO.to_owned(),
            Self::Peer => format!("GET /version HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(),
        }
    }
}

/// The versions of TLS that etcd knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

/// What a server shows to everybody who says hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The certificates as they were sent, the server's own first. There is at least one.
    pub served: Vec<Certificate>,
    /// The subjects of the authorities that the running process trusts, read when it started; `None` if it asks for no
    /// certificate, and so lets everybody in.
    ///
    /// An empty list is a pool without certificates, or etcd's system's roots where no file is named.
    pub trusted: Option<Vec<Name>>,
    /// The versions of TLS that it speaks, the newest first.
    pub tls_versions: Vec<TlsVersion>,
}

impl Seen {
    /// Whether it wants a certificate of its clients.
    #[must_use]
    pub fn asks_for_certificate(&self) -> bool {
        self.trusted.is_some()
    }
}

/// Looks at what `endpoint` shows, without a certificate; without a scheme it is `https`.
///
/// Only the server's half of each handshake is read, and none of ours after the hello is sent: etcd notes nothing in its
/// log (measured on 3.5.33, 3.6.14 and 3.7.1, in TLS 1.2 and 1.3). Before 3.5.24 and 3.6.6, 3.4 included, it notes
/// `rejected connection` with the error `EOF` for each of the two handshakes; and a server that does not speak TLS 1.2
/// notes that it was asked to. Takes up to four times `patience`.
///
/// # Errors
/// [`Error::BadEndpoint`], or [`Error::Unreachable`] with what stands in the way; [`Diagnosis::Hung`] is an etcd that has
/// not seen a quorum since its start.
pub async fn look(endpoint: &str, port: Port, patience: Duration) -> Result<Seen, Error> {
    let endpoint = normalize(endpoint, true)?;
    seen(&endpoint, port, patience)
        .await
        .map_err(|diagnosis| unreachable(&endpoint, diagnosis))
}

/// What became of a certificate that was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reception {
    /// The server talks to whoever shows it.
    Accepted,
    /// The server refuses it in TLS: its chain, its dates, its usages or its name.
    Refused {
        /// The TLS alert, as rustls calls it, such as `UnknownCA`. Before Go 1.21 every reason is `BadCertificate`.
        alert: String,
        /// The most likely cause.
        likely: String,
    },
    /// The handshake is done, and the server closes without a word: on a peer port the name check against our address,
    /// on both a revocation list, or one that cannot be read.
    ClosedAfterHandshake,
}

/// Shows a certificate to `endpoint`, says the first words of its protocol, and waits for an answer.
///
/// In TLS 1.3 a refusal comes only after the handshake, with the first read. It leaves a line in etcd's log. Takes
/// up to five times `patience`.
///
/// # Errors
/// [`Error::BadEndpoint`], [`Error::BadFile`] for a key that cannot be used, or [`Error::Unreachable`] with what stands
/// in the way before any certificate is looked at.
pub async fn knock(
    endpoint: &str,
    port: Port,
    identity: &Identity,
    patience: Duration,
) -> Result<Reception, Error> {
    let endpoint = normalize(endpoint, true)?;
    let connector = connector(&Recorder::new(), port.alpn(), Some(identity))?;
    let failed = |diagnosis| unreachable(&endpoint, diagnosis);
    let address = Address::of(&endpoint).map_err(failed)?;
    let name = address.server_name().map_err(failed)?;
    let tcp = address.connect(patience).await.map_err(failed)?;
    let refused = |alert: AlertDescription| Reception::Refused {
        alert: format!("{alert:?}"),
        likely: suspect(Some(alert), &identity.ours, port.trust_flag()),
    };
    let mut stream = match timeout(patience, connector.connect(name, tcp)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => match tls_error(&error) {
            Some(TlsError::AlertReceived(alert)) if is_about_us(*alert) => {
                return Ok(refused(*alert));
            }
            _ => return Err(failed(obstacle(&error, &address, patience).await)),
        },
        Err(_) => return Err(failed(Diagnosis::Hung)),
    };
    let hello = port.hello(&address.host);
    match first_bytes(&mut stream, &hello, patience).await {
        Some(Ok(bytes)) if !bytes.is_empty() => Ok(Reception::Accepted),
        Some(Ok(_)) => Ok(Reception::ClosedAfterHandshake),
        Some(Err(error)) => match tls_error(&error) {
            Some(TlsError::AlertReceived(alert)) => Ok(refused(*alert)),
            _ if is_closed(&error) => Ok(Reception::ClosedAfterHandshake),
            _ => Err(failed(obstacle(&error, &address, patience).await)),
        },
        None => Err(failed(Diagnosis::Hung)),
    }
}

async fn seen(endpoint: &str, port: Port, patience: Duration) -> Result<Seen, Diagnosis> {
    let address = Address::of(endpoint)?;
    let recorder = Recorder::new();
    let versions = &[&rustls::version::TLS13, &rustls::version::TLS12];
    let version = shown(&address, port, &recorder, versions, patience).await?;
    let mut tls_versions = vec![TlsVersion::Tls12];
    if version == ProtocolVersion::TLSv1_3 {
        let older = &[&rustls::version::TLS12];
        tls_versions = match shown(&address, port, &Recorder::new(), older, patience).await {
            Ok(_) => vec![TlsVersion::Tls13, TlsVersion::Tls12],
            Err(Diagnosis::TheyRefuse { .. }) => vec![TlsVersion::Tls13],
            Err(other) => return Err(other),
        };
    }
    let (chain, trusted) = recorder.take();
    let served = chain.iter().map(|der| Certificate::from_der(der));
    Ok(Seen {
        served: served.collect::<Result<_, _>>().map_err(|error| {
            Diagnosis::WeRefuse(format!("what it shows as a certificate is none: {error}"))
        })?,
        trusted: trusted.map(|names| names.iter().map(|der| Name::from_der(der)).collect()),
        tls_versions,
    })
}

/// Reads the server's flight in one of `versions`, and says in which.
async fn shown(
    address: &Address,
    port: Port,
    recorder: &Arc<Recorder>,
    versions: &[&'static SupportedProtocolVersion],
    patience: Duration,
) -> Result<ProtocolVersion, Diagnosis> {
    let name = address.server_name()?;
    let mut tcp = address.connect(patience).await?;
    let config = recorder::anonymous(recorder, port.alpn(), versions);
    match timeout(patience, server_flight(&mut tcp, config, name, recorder)).await {
        Ok(Ok(version)) => Ok(version),
        Ok(Err(error)) => Err(obstacle(&error, address, patience).await),
        Err(_) => Err(Diagnosis::Hung),
    }
}

fn unreachable(endpoint: &str, diagnosis: Diagnosis) -> Error {
    Error::Unreachable {
        endpoint: endpoint.to_owned(),
        diagnosis,
    }
}

/// Why a handshake came to nothing before any certificate of ours was looked at.
async fn obstacle(error: &io::Error, address: &Address, patience: Duration) -> Diagnosis {
    match tls_error(error) {
        Some(TlsError::InvalidMessage(_)) => Diagnosis::NotTls,
        Some(TlsError::AlertReceived(alert)) => Diagnosis::TheyRefuse {
            alert: Some(format!("alert {alert:?}")),
            likely: unable(*alert).to_owned(),
        },
        Some(other) => Diagnosis::WeRefuse(other.to_string()),
        None if is_closed(error) => closed(address, patience).await,
        None => Diagnosis::NoWay(error.to_string()),
    }
}

/// Whether an alert inside a handshake can be about the client's certificate; TLS 1.2 sends all of them there.
fn is_about_us(alert: AlertDescription) -> bool {
    use AlertDescription::{
        HandshakeFailure, InternalError, NoApplicationProtocol, ProtocolVersion,
    };
    !matches!(
        alert,
        HandshakeFailure | InternalError | NoApplicationProtocol | ProtocolVersion
    )
}

/// Why a server cannot do a handshake with anybody.
fn unable(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::InternalError => {
            "it cannot use its own certificate: certificate and key on its disk are gone, or do not belong together, or the key is one that Go refuses; etcd's log has the reason"
        }
        AlertDescription::HandshakeFailure => {
            "it has no cipher suite or signature in common with us: compare --cipher-suites with the type of its key"
        }
        AlertDescription::ProtocolVersion => {
            "it has no TLS version in common with us: see --tls-min-version and --tls-max-version"
        }
        AlertDescription::NoApplicationProtocol => {
            "it does not speak the protocol of this kind of port: is this a client's endpoint, or a peer's?"
        }
        _ => "it does no handshake with anybody; etcd's log has the reason",
    }
}
