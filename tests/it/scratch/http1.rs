//! The little of HTTP/1.1 that the proxies need: one request a connection, with a body of known length.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const HEAD_LIMIT: usize = 256 * 1024;

/// How long a client may be silent in the middle of a body.
const BODY_LIMIT: Duration = Duration::from_secs(10);

/// The answer of a server that is there and cannot.
pub(super) const UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// A request up to its body.
#[derive(Debug)]
pub(super) struct Head {
    /// `PUT`, `GET`, ...
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Names and values, in their order.
    pub(super) headers: Vec<(String, String)>,
    /// The beginning of the body, that came with the head.
    pub(super) body: Vec<u8>,
}

impl Head {
    /// Reads up to the empty line; `None` from a client that has nothing to ask.
    pub(super) async fn read(client: &mut TcpStream) -> io::Result<Option<Head>> {
        let mut bytes = Vec::new();
        loop {
            let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let body = bytes.split_off(end + 4);
                return Ok(Some(Head::parse(&String::from_utf8_lossy(&bytes), body)));
            }
            if bytes.len() > HEAD_LIMIT || client.read_buf(&mut bytes).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads the rest of the body.
    pub(super) async fn read_body(&mut self, client: &mut TcpStream) -> io::Result<()> {
        let length = self.header("content-length");
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        while self.body.len() < length {
            let read = client.read_buf(&mut self.body);
            if tokio::time::timeout(BODY_LIMIT, read).await?? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(())
    }

    /// The value of a header, whose name is written in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The head for the server, which is asked to close the connection after its answer.
    pub(super) fn for_one_request(&self) -> String {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("connection") {
                let _ = write!(text, "{name}: {value}\r\n");
            }
        }
        text.push_str("Connection: close\r\n\r\n");
        text
    }

    fn parse(text: &str, body: Vec<u8>) -> Head {
        let mut lines = text.split("\r\n");
        let mut words = lines.next().unwrap_or_default().split(' ');
        let mut word = || words.next().unwrap_or_default().to_owned();
        let headers = lines.filter_map(|line| line.split_once(':'));
        Head {
            method: word(),
            target: word(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            body,
        }
    }
}
