//! The few HTTP requests that tell how certificates work inside a cluster, over the same handshake.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::recorder::{Recorder, connector};
use super::unreachable;
use crate::etcd::Error;
use crate::etcd::access::normalize;
use crate::etcd::credentials::Identity;
use crate::etcd::diagnosis::Diagnosis;
use crate::etcd::wire::Address;

const STATUS: &str = "POST /v3/maintenance/status";

/// More than any member's metrics take; what sends more is no etcd.
const MOST_BYTES: u64 = 16 * 1024 * 1024;

/// The status of gRPC for a server that is not reached (`google.golang.org/grpc/codes`).
const UNAVAILABLE: i64 = 14;

/// What etcd says to a certificate with a common name at its gateway, with auth on.
const NAME_REFUSED: &str = "CommonName of client";

/// How the HTTP/JSON gateway of a member does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gateway {
    /// It reached its own server, whatever that said.
    Answers,
    /// It cannot reach its own server, for this reason.
    Dead {
        /// What etcd says.
        message: String,
    },
    /// Auth is on, and our certificate has a common name: etcd turns it away before the gateway does anything.
    ///
    /// Only a client certificate without a common name shows how the gateway does.
    RefusesNames,
    /// There is none on this port: `--enable-grpc-gateway=false`, or `--listen-client-http-urls` is elsewhere.
    Off,
}

/// Asks a member for its status by way of its own HTTP/JSON gateway.
///
/// Where clients need a certificate, the gateway dials its own server with the *server's* certificate, which must so be
/// good for clients, too. etcd 3.4 to 3.6 dial when they start, 3.7 at the first request, which is then the first to
/// leave a line in the log. A connection that stands survives a bad certificate: an answer proves nothing about the
/// next start.
///
/// With auth on, a client certificate that has a common name gets no further than the gateway's door (`CommonName of client
/// sending a request against gateway will be ignored`, status 400): [`Gateway::RefusesNames`].
///
/// # Errors
/// If the member cannot be reached, or says something that is not HTTP.
pub async fn gateway(
    client_url: &str,
    identity: Option<&Identity>,
    patience: Duration,
) -> Result<Gateway, Error> {
    let answer = exchange(client_url, STATUS, "{}", identity, patience).await?;
    if answer.status == 404 {
        return Ok(Gateway::Off);
    }
    if answer.status == 400 && String::from_utf8_lossy(&answer.body).starts_with(NAME_REFUSED) {
        return Ok(Gateway::RefusesNames);
    }
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let text = ["message", "error"].map(|key| body[key].as_str());
    if body["code"].as_i64() == Some(UNAVAILABLE) {
        let message = text.into_iter().flatten().next().unwrap_or_default();
        return Ok(Gateway::Dead {
            message: message.to_owned(),
        });
    }
    match body {
        Value::Object(_) => Ok(Gateway::Answers),
        _ => Err(odd(
            client_url,
            "POST /v3/maintenance/status",
            answer.status,
        )),
    }
}

/// An answer, whole.
pub(super) struct Answer {
    pub(super) status: u16,
    head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// The value of a header field; case does not matter (RFC 9110, 5.1).
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (field, value) = line.split_once(':')?;
            field.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// An answer that no etcd gives.
pub(super) fn odd(endpoint: &str, call: &'static str, status: u16) -> Error {
    failed(
        endpoint,
        call,
        format!("unexpected answer, status {status}"),
    )
}

/// Makes one request, in plaintext where the URL says so.
///
/// In HTTP/1.0, because that has no chunks to be put together: the body goes on until the connection ends.
pub(super) async fn exchange(
    endpoint: &str,
    what: &'static str,
    body: &str,
    identity: Option<&Identity>,
    patience: Duration,
) -> Result<Answer, Error> {
    let endpoint = normalize(endpoint, true)?;
    let unreached = |diagnosis| unreachable(&endpoint, diagnosis);
    let address = Address::of(&endpoint).map_err(unreached)?;
    let tcp = address.connect(patience).await.map_err(unreached)?;
    let request = format!(
        "{what} HTTP/1.0\r\nHost: {}\r\nContent-Length: {}\r\n\r\n{body}",
        address.host,
        body.len()
    );
    let talk = async {
        if endpoint.starts_with("http://") {
            return ask(tcp, &request).await;
        }
        let name = address.server_name().map_err(io_other)?;
        let connector = connector(&Recorder::new(), b"http/1.1", identity).map_err(io_other)?;
        ask(connector.connect(name, tcp).await?, &request).await
    };
    match timeout(patience, talk).await {
        Ok(Ok(bytes)) => {
            answer(&bytes).ok_or_else(|| failed(&endpoint, what, "it does not answer in HTTP"))
        }
        Ok(Err(error)) => Err(failed(&endpoint, what, error.to_string())),
        Err(_) => Err(unreached(Diagnosis::Hung)),
    }
}

fn failed(endpoint: &str, call: &'static str, message: impl Into<String>) -> Error {
    Error::Call {
        endpoint: endpoint.to_owned(),
        call,
        message: message.into(),
    }
}

fn io_other(error: impl std::fmt::Display) -> io::Error {
    io::Error::other(error.to_string())
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: &str,
) -> io::Result<Vec<u8>> {
    let written = stream.write_all(request.as_bytes()).await;
    written.and(stream.flush().await)?;
    let mut bytes = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

/// Status and body of an answer in HTTP/1 (RFC 9112, 4).
fn answer(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]);
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some(Answer {
        status: status.parse().ok()?,
        body: bytes[end + 4..].to_owned(),
        head: head.into_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_and_anything_else_is_none() {
        let good =
            answer(b"HTTP/1.0 503 Service Unavailable\r\nA: b\r\n\r\n{\"code\":14}").unwrap();
        assert_eq!(good.status, 503);
        assert_eq!(good.header("a"), Some("b"));
        assert_eq!(good.header("b"), None);
        assert_eq!(good.body, b"{\"code\":14}");
        for bad in [
            "",
            "HTTP/1.0 200 OK\r\n",
            "\r\n\r\n",
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 x\r\n\r\n",
        ] {
            assert!(answer(bad.as_bytes()).is_none(), "{bad:?}");
        }
    }
}
