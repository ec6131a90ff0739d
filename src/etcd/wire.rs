//! One connection to an endpoint, below gRPC: where it goes, what is said first, and what its end means.

use std::io::{self, ErrorKind};
use std::time::Duration;

use rustls::Error as TlsError;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::Url;

use super::diagnosis::Diagnosis;

/// The first bytes of an HTTP/2 client: the preface and empty settings (RFC 9113, 3.4).
pub(super) const HTTP2_HELLO: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

/// Where an endpoint is.
pub(super) struct Address {
    pub(super) host: String,
    port: u16,
}

impl Address {
    /// Takes host and port out of a URL.
    pub(super) fn of(endpoint: &str) -> Result<Self, Diagnosis> {
        let parsed = || {
            let url = Url::parse(endpoint).ok()?;
            let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
            let port = url.port_or_known_default()?;
            Some(Self { host, port })
        };
        parsed().ok_or_else(|| Diagnosis::NoAddress(format!("`{endpoint}` names no host")))
    }

    /// The host as a TLS client names it.
    pub(super) fn server_name(&self) -> Result<ServerName<'static>, Diagnosis> {
        let name = ServerName::try_from(self.host.clone());
        name.map_err(|_| Diagnosis::NoAddress(format!("`{}` is no host name", self.host)))
    }

    /// Connects, waiting `patience` for the name server and as long again for the host.
    pub(super) async fn connect(&self, patience: Duration) -> Result<TcpStream, Diagnosis> {
        let lookup = lookup_host((self.host.as_str(), self.port));
        let addresses: Vec<_> = match timeout(patience, lookup).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => return Err(Diagnosis::NoAddress(error.to_string())),
            Err(_) => {
                return Err(Diagnosis::NoAddress(
                    "the name server does not answer".to_owned(),
                ));
            }
        };
        match timeout(patience, TcpStream::connect(addresses.as_slice())).await {
            Ok(Ok(tcp)) => Ok(tcp),
            Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => {
                Err(Diagnosis::ConnectionRefused)
            }
            Ok(Err(error)) => Err(Diagnosis::NoWay(error.to_string())),
            Err(_) => Err(Diagnosis::NoAnswer),
        }
    }
}

/// Writes `hello` and reads what comes back: `None` if nothing does, no bytes if the other side closes.
pub(super) async fn first_bytes<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    hello: &[u8],
    patience: Duration,
) -> Option<io::Result<Vec<u8>>> {
    let exchange = async {
        // A refusal may already be on its way while we write: what counts is what can be read.
        let written = stream.write_all(hello).await.and(stream.flush().await);
        let mut bytes = vec![0; 512];
        match (stream.read(&mut bytes).await, written) {
            (Ok(0), Err(error)) | (Err(error), _) => Err(error),
            (Ok(length), _) => {
                bytes.truncate(length);
                Ok(bytes)
            }
        }
    };
    timeout(patience, exchange).await.ok()
}

/// Whether the other side closed the connection, politely or not.
pub(super) fn is_closed(error: &io::Error) -> bool {
    use ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | ConnectionReset | BrokenPipe)
}

/// What TLS has against it, where it is not the connection.
pub(super) fn tls_error(error: &io::Error) -> Option<&TlsError> {
    error.get_ref()?.downcast_ref()
}
