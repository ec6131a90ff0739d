//! Why an endpoint gives no answer: found out by a connection and a TLS handshake of our own.
//!
//! gRPC libraries report most TLS failures as a broken pipe. In TLS 1.3 a server refuses a client certificate only
//! after the handshake has succeeded for the client (RFC 8446, 4.4.2.4 and 6), so the reason comes with the first
//! read, which must be made to learn it.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::credentials::{self, OurCertificate, Tls};
use super::wire::{Address, HTTP2_HELLO, first_bytes, is_closed, tls_error};

/// What stands between us and an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Diagnosis {
    /// Nothing: the server talks to us.
    Open,
    /// The host has no address.
    NoAddress(String),
    /// Nobody listens there.
    ConnectionRefused,
    /// The network cannot bring us there.
    NoWay(String),
    /// No packet comes back.
    NoAnswer,
    /// The connection stands, and the server says nothing: paused, overloaded, or started without a quorum.
    Hung,
    /// The connection is closed at once, with TLS and without.
    Closed,
    /// We use TLS and the server does not.
    NotTls,
    /// The server uses TLS and we do not.
    NeedsTls,
    /// We refuse the server's certificate.
    WeRefuse(String),
    /// The server refuses us: its alert, if it sent one, and what the cause most likely is.
    TheyRefuse {
        /// The TLS alert, in words.
        alert: Option<String>,
        /// The most likely cause.
        likely: String,
    },
}

impl Diagnosis {
    /// Whether certificates or the use of TLS are the matter, and not the network or the server.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        match self {
            Self::NotTls | Self::NeedsTls | Self::WeRefuse(_) | Self::TheyRefuse { .. } => true,
            Self::Open
            | Self::NoAddress(_)
            | Self::ConnectionRefused
            | Self::NoWay(_)
            | Self::NoAnswer
            | Self::Hung
            | Self::Closed => false,
        }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("it answers"),
            Self::NoAddress(why) => write!(f, "the host name has no address ({why})"),
            Self::ConnectionRefused => f.write_str("connection refused: nothing listens there"),
            Self::NoWay(why) => write!(f, "cannot connect: {why}"),
            Self::NoAnswer => f.write_str("no answer to a connection: host down or packets dropped"),
            Self::Hung => f.write_str(
                "it accepts connections and says nothing: the process hangs, or it started without a quorum",
            ),
            Self::Closed => f.write_str(
                "it closes every connection at once: a proxy with no etcd behind it, or an etcd that is stopping",
            ),
            Self::NotTls => f.write_str("it does not speak TLS: use http:// for this endpoint"),
            Self::NeedsTls => f.write_str("it speaks TLS: use https:// for this endpoint"),
            Self::WeRefuse(why) => write!(f, "we refuse its certificate: {why}"),
            Self::TheyRefuse { alert, likely } => {
                let alert = alert.as_deref().unwrap_or("it closes the connection");
                write!(f, "it refuses us ({alert}): {likely}")
            }
        }
    }
}

/// Examines `endpoint`, waiting `patience` for the connection and as long again for the first bytes.
///
/// Where the server closes at once, it is asked once more in the other way, with TLS or without.
pub(super) async fn diagnose(endpoint: &str, tls: Option<&Tls>, patience: Duration) -> Diagnosis {
    let address = match Address::of(endpoint) {
        Ok(address) => address,
        Err(diagnosis) => return diagnosis,
    };
    let tls = tls.filter(|_| endpoint.starts_with("https://"));
    let first = match (address.connect(patience).await, tls) {
        (Err(diagnosis), _) => return diagnosis,
        (Ok(tcp), Some(tls)) => handshake(tcp, &address, tls, patience).await,
        (Ok(tcp), None) => plain(tcp, &address, patience).await,
    };
    if first != Diagnosis::Closed {
        return first;
    }
    if tls.is_some() {
        return closed(&address, patience).await;
    }
    let Ok(tcp) = address.connect(patience).await else {
        return first;
    };
    match speaks_tls(tcp, &address, patience).await {
        true => Diagnosis::NeedsTls,
        false => first,
    }
}

/// Says of a server that closes when it is spoken to in TLS whether it answers without it.
pub(super) async fn closed(address: &Address, patience: Duration) -> Diagnosis {
    let Ok(tcp) = address.connect(patience).await else {
        return Diagnosis::Closed;
    };
    match plain(tcp, address, patience).await {
        Diagnosis::Open => Diagnosis::NotTls,
        _ => Diagnosis::Closed,
    }
}

async fn plain(mut tcp: TcpStream, address: &Address, patience: Duration) -> Diagnosis {
    let host = &address.host;
    let request = format!("GET /version HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    match first_bytes(&mut tcp, request.as_bytes(), patience).await {
        // A TLS alert record, or the words of Go's HTTPS server to a plain request.
        Some(Ok(bytes))
            if bytes.starts_with(&[0x15, 0x03])
                || String::from_utf8_lossy(&bytes).contains("HTTPS") =>
        {
            Diagnosis::NeedsTls
        }
        Some(Ok(bytes)) if !bytes.is_empty() => Diagnosis::Open,
        Some(Ok(_)) => Diagnosis::Closed,
        Some(Err(error)) if is_closed(&error) => Diagnosis::Closed,
        Some(Err(error)) => Diagnosis::NoWay(error.to_string()),
        None => Diagnosis::Hung,
    }
}

/// Whether the server answers a TLS hello with TLS; whom it trusts and who it is matter not.
async fn speaks_tls(tcp: TcpStream, address: &Address, patience: Duration) -> bool {
    let trusts_nobody = ClientConfig::builder()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    let Ok(name) = address.server_name() else {
        return false;
    };
    let connector = TlsConnector::from(Arc::new(trusts_nobody));
    match timeout(patience, connector.connect(name, tcp)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => tls_error(&error).is_some_and(|error| {
            matches!(
                error,
                TlsError::InvalidCertificate(_) | TlsError::AlertReceived(_)
            )
        }),
        Err(_) => false,
    }
}

async fn handshake(tcp: TcpStream, address: &Address, tls: &Tls, patience: Duration) -> Diagnosis {
    let name = match address.server_name() {
        Ok(name) => name,
        Err(diagnosis) => return diagnosis,
    };
    let host = &address.host;
    let connector = TlsConnector::from(tls.rustls.clone());
    let mut stream = match timeout(patience, connector.connect(name, tcp)).await {
        Ok(Ok(stream)) => stream,
        // Before the handshake is done nothing of ours can be refused without an alert.
        Ok(Err(error)) if is_closed(&error) => return Diagnosis::Closed,
        Ok(Err(error)) => return refused(&error, host, tls.ours.as_ref()),
        Err(_) => return Diagnosis::Hung,
    };
    match first_bytes(&mut stream, HTTP2_HELLO, patience).await {
        Some(Ok(bytes)) if !bytes.is_empty() => Diagnosis::Open,
        Some(Ok(_)) => they_refuse(None, tls.ours.as_ref()),
        Some(Err(error)) => refused(&error, host, tls.ours.as_ref()),
        None => Diagnosis::Hung,
    }
}

fn refused(error: &io::Error, host: &str, ours: Option<&OurCertificate>) -> Diagnosis {
    match tls_error(error) {
        Some(TlsError::InvalidCertificate(why)) => Diagnosis::WeRefuse(unacceptable(why, host)),
        Some(TlsError::AlertReceived(alert)) => they_refuse(Some(*alert), ours),
        Some(TlsError::InvalidMessage(_)) => Diagnosis::NotTls,
        Some(other) => Diagnosis::WeRefuse(other.to_string()),
        None => they_refuse(None, ours),
    }
}

/// Why we refuse a server's certificate, in an operator's words.
fn unacceptable(why: &CertificateError, host: &str) -> String {
    match why {
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it expired at {}", when(*not_after))
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}: is this clock right?", when(*not_before))
        }
        CertificateError::UnknownIssuer => {
            "it is signed by an authority that is not in our CA file (wrong `ca`, or the CA was replaced)".to_owned()
        }
        CertificateError::BadSignature => {
            "its signature does not fit our CA of the same name: the CA was made anew".to_owned()
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not a server certificate: its extended key usage lacks serverAuth".to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            format!("it is not valid for `{host}`: connect by a name or address that it holds ({why})")
        }
        other => other.to_string(),
    }
}

fn when(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    credentials::utc(DateTime::from_timestamp(seconds, 0).unwrap_or_default())
}

fn they_refuse(alert: Option<AlertDescription>, ours: Option<&OurCertificate>) -> Diagnosis {
    Diagnosis::TheyRefuse {
        alert: alert.map(|alert| format!("alert {alert:?}")),
        likely: likely(alert, ours),
    }
}

fn likely(alert: Option<AlertDescription>, ours: Option<&OurCertificate>) -> String {
    match ours {
        Some(ours) => suspect(alert, ours, "--trusted-ca-file"),
        None => {
            "it wants a client certificate, and none is configured (`cert` and `key`)".to_owned()
        }
    }
}

/// What etcd most likely holds against our certificate, whose authority would stand in the file of the flag `trust`.
pub(super) fn suspect(
    alert: Option<AlertDescription>,
    ours: &OurCertificate,
    trust: &str,
) -> String {
    if let Some(flaw) = ours.flaw(Utc::now()) {
        return flaw;
    }
    let path = ours.path.display();
    let issuer = &ours.issuer;
    match alert {
        Some(AlertDescription::UnknownCA) => format!(
            "{path} is signed by `{issuer}`, which is not in etcd's {trust} (as it was when etcd started)"
        ),
        Some(AlertDescription::ProtocolVersion) => {
            "it has no TLS version in common with us (etcd 3.5.0 to 3.5.7 know only TLS 1.2)"
                .to_owned()
        }
        Some(AlertDescription::CertificateExpired) => format!(
            "it takes {path} for expired, and we do not: compare the clocks, and look at the CA's own dates"
        ),
        // Before Go 1.21 every reason has this one name; EOF without an alert is a revocation list or a name check.
        _ => format!(
            "it does not accept {path} (subject `{}`, signed by `{issuer}`): is that authority in etcd's {trust}? etcd's log has the reason",
            ours.subject
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use chrono::Duration as Days;

    use super::*;

    fn ours(valid_days: i64) -> OurCertificate {
        OurCertificate {
            path: PathBuf::from("backup.crt"),
            subject: "CN=root".to_owned(),
            issuer: "CN=ca".to_owned(),
            not_before: Utc::now() - Days::days(10),
            not_after: Utc::now() + Days::days(valid_days),
            for_clients: true,
        }
    }

    #[test]
    fn a_flaw_of_our_own_certificate_is_told_before_any_guess() {
        let text = likely(Some(AlertDescription::BadCertificate), Some(&ours(-1)));
        assert!(text.contains("backup.crt expired at"), "{text}");
        let text = likely(Some(AlertDescription::UnknownCA), Some(&ours(1)));
        assert!(text.contains("`CN=ca`"), "{text}");
        let text = likely(None, None);
        assert!(text.contains("none is configured"), "{text}");
    }
}
