//! A stand-in for Google Cloud Storage, whose XML API is that of S3 but for the names of a few headers.
//!
//! fake-gcs-server will not do: `object_store` writes through the XML API, and it knows the JSON one only (fsouza/fake-gcs-server#331).

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::administration::http_client;
use super::front::Front;
use super::http1::{Head, UNAVAILABLE};
use super::s3::sign;
use super::store::{BUCKET, Endpoint, Store, Variables, variables};
use super::tools;

/// The headers that mean the same to both.
const SHARED: [&str; 5] = [
    "content-type",
    "range",
    "if-match",
    "if-none-match",
    "if-modified-since",
];

impl Store {
    /// Google Cloud Storage before a MinIO or, where that is not here, a SeaweedFS.
    pub(crate) async fn gcs() -> Store {
        let mut store = match tools::tool("minio") {
            Some(_) => Store::minio().await,
            None => Store::seaweedfs().await,
        };
        let gateway = Arc::new(Gateway {
            origin: store.endpoint().expect("an S3 store has an endpoint"),
            client: http_client(None),
        });
        let front = Front::open(move |client| {
            let gateway = Arc::clone(&gateway);
            async move { gateway.answer(client).await }
        });
        store.address = front.address();
        store.url = format!("gs://{BUCKET}/clusters");
        store.endpoint = Endpoint::InVariables {
            scheme: "http",
            path: "",
            endpoint: "GOOGLE_BASE_URL",
            allow_http: "GOOGLE_ALLOW_HTTP",
        };
        let base_url = format!("http://{}", front.address());
        store.credentials = service_account(store.directory(), &base_url);
        store.read_only = None;
        store.stranger = None;
        store.front = Some(front);
        store
    }
}

/// A key file as Google gives them, with the two words that keep `object_store` from asking Google for a token.
fn service_account(folder: &Path, base_url: &str) -> Variables {
    let path = folder.join("service-account.json");
    let account = json!({
        "type": "service_account",
        "project_id": "scratch",
        "private_key": "",
        "private_key_id": "",
        "client_email": "scratch@example.com",
        "gcs_base_url": base_url,
        "disable_oauth": true,
    });
    fs::write(&path, account.to_string())
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    variables(&[("GOOGLE_SERVICE_ACCOUNT", &path.display().to_string())])
}

/// Turns each request into one of S3 and signs it; the answers need no change.
struct Gateway {
    origin: String,
    client: reqwest::Client,
}

impl Gateway {
    async fn answer(&self, mut client: TcpStream) -> io::Result<()> {
        let Some(mut head) = Head::read(&mut client).await? else {
            return Ok(());
        };
        head.read_body(&mut client).await?;
        let request = self.translate(&head);
        let answer = match self.client.execute(request).await {
            Ok(answer) => render(answer, head.method == "HEAD").await,
            Err(_) => UNAVAILABLE.to_vec(),
        };
        client.write_all(&answer).await?;
        client.shutdown().await
    }

    fn translate(&self, head: &Head) -> reqwest::Request {
        let (path, query) = head.target.split_once('?').unwrap_or((&head.target, ""));
        // Google's clients escape every sign of a name; S3 signs what is escaped, and few signs need it.
        let path = String::from_utf8_lossy(&unescaped(path)).into_owned();
        let url = format!("{}{path}?{query}", self.origin);
        let mut headers: Vec<(&str, String)> = Vec::new();
        for name in SHARED {
            headers.extend(head.header(name).map(|value| (name, value.to_owned())));
        }
        if head.header("x-goog-if-generation-match") == Some("0") {
            headers.push(("if-none-match", "*".to_owned()));
        }
        if let Some(source) = head.header("x-goog-copy-source") {
            headers.push(("x-amz-copy-source", source.to_owned()));
        }
        sign(
            &head.method,
            url.trim_end_matches('?'),
            "s3",
            &headers,
            head.body.clone(),
        )
    }
}

async fn render(answer: reqwest::Response, is_head: bool) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {}\r\n", answer.status());
    for (name, value) in answer.headers() {
        let is_own = ["connection", "transfer-encoding", "content-length"].contains(&name.as_str());
        if is_head || !is_own {
            let value = value.to_str().unwrap_or_default();
            let _ = write!(head, "{name}: {value}\r\n");
        }
    }
    let body = answer.bytes().await.unwrap_or_default();
    if !is_head {
        let _ = write!(head, "content-length: {}\r\n", body.len());
    }
    head.push_str("connection: close\r\n\r\n");
    [head.into_bytes(), body.to_vec()].concat()
}

/// Undoes the `%2F` of a URL; what is no such escape stays as it is.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        bytes.extend_from_slice(before.as_bytes());
        let digits = after.get(..2).unwrap_or_default();
        let byte = u8::from_str_radix(digits, 16);
        bytes.push(byte.clone().unwrap_or(b'%'));
        rest = if byte.is_ok() { &after[2..] } else { after };
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
