//! The server's half of a handshake, read to its end and left unanswered.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::recorder::Recorder;

/// As much as one TLS record holds (RFC 8446, 5.1).
const CHUNK_BYTES: usize = 16 * 1024;

/// Says hello, reads all that the server says to it, closes, and tells the version of TLS.
///
/// It is read to its end because a socket that is closed with bytes unread resets the connection, which etcd logs; an end
/// in the middle of a handshake it does not.
pub(super) async fn server_flight(
    tcp: &mut TcpStream,
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    recorder: &Recorder,
) -> io::Result<ProtocolVersion> {
    let mut tls = ClientConnection::new(config, name).map_err(broken)?;
    send(&mut tls, tcp).await?;
    let mut bytes = vec![0; CHUNK_BYTES];
    let mut asked_again = false;
    loop {
        let length = tcp.read(&mut bytes).await?;
        if length == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut unread = &bytes[..length];
        while !unread.is_empty() {
            // After the word that the connection ends rustls takes in nothing more.
            if tls.read_tls(&mut unread)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
            tls.process_new_packets().map_err(broken)?;
            if let Some(version) = complete(&tls, recorder) {
                tcp.shutdown().await?;
                return Ok(version);
            }
        }
        // A server that wants another group asks for a second hello (RFC 8446, 4.1.4).
        let retry = tls.handshake_kind() == Some(HandshakeKind::FullWithHelloRetryRequest);
        if retry && !asked_again {
            asked_again = true;
            send(&mut tls, tcp).await?;
        }
    }
}

/// The version, once the server has said all that it says to a hello.
fn complete(tls: &ClientConnection, recorder: &Recorder) -> Option<ProtocolVersion> {
    let version = tls.protocol_version().filter(|_| recorder.has_chain())?;
    // In TLS 1.2 the chain is recorded when the flight ends; in 1.3 one message follows it.
    let is_complete = version == ProtocolVersion::TLSv1_2 || !tls.is_handshaking();
    is_complete.then_some(version)
}

async fn send(tls: &mut ClientConnection, tcp: &mut TcpStream) -> io::Result<()> {
    let mut hello = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut hello)?;
    }
    tcp.write_all(&hello).await
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::super::recorder::anonymous;
    use super::*;

    /// What comes of a server that says `flight` to every hello.
    async fn after(flight: &[u8]) -> io::Error {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut tcp = TcpStream::connect(server.local_addr().unwrap())
            .await
            .unwrap();
        let (mut accepted, _) = server.accept().await.unwrap();
        accepted.write_all(flight).await.unwrap();
        accepted.shutdown().await.unwrap();
        let recorder = Recorder::new();
        let config = anonymous(&recorder, b"h2", rustls::ALL_VERSIONS);
        let name = ServerName::try_from("localhost").unwrap();
        let read = server_flight(&mut tcp, config, name, &recorder);
        let limit = Duration::from_secs(10);
        timeout(limit, read).await.unwrap().unwrap_err()
    }

    #[tokio::test]
    async fn a_server_that_says_nonsense_is_left_at_once() {
        let warning = b"\x15\x03\x03\x00\x02\x01\x00";
        after(b"").await;
        after(warning).await;
        after(&warning.repeat(5_000)).await;
        after(b"SSH-2.0-OpenSSH_9.6\r\n").await;
        after(b"\x16\x03\x03\x00\x05\x02\x00\x00\x01\x00").await;
    }
}
