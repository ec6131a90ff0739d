//! The requests that set a store up: they make buckets and keys before etcdrx is let near.

use std::path::Path;
use std::time::{Duration, Instant};

use object_store::client::{HttpRequest, HttpRequestBody};

use super::pki::install_crypto;
use super::process::{self, Server};
use super::store::READY_LIMIT;

/// A client that trusts `ca` alone, if it is said.
pub(super) fn http_client(ca: Option<&Path>) -> reqwest::Client {
    install_crypto();
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(10));
    if let Some(ca) = ca {
        let pem = std::fs::read(ca).unwrap_or_else(|error| panic!("{}: {error}", ca.display()));
        let certificate = reqwest::Certificate::from_pem(&pem).expect("the CA is a certificate");
        builder = builder.tls_certs_only([certificate]);
    }
    builder.build().expect("an HTTP client can be made")
}

/// A request that `object_store` can sign.
pub(super) fn unsigned(method: &str, url: &str, body: Vec<u8>) -> HttpRequest {
    let mut request = HttpRequest::new(HttpRequestBody::from(body));
    *request.method_mut() = method.parse().expect("the method is one of HTTP");
    *request.uri_mut() = url.parse().expect("the store's URL is one");
    request
}

/// The signed request as the client sends it.
pub(super) fn sendable(request: &HttpRequest) -> reqwest::Request {
    let url = request.uri().to_string();
    let url = url.parse().expect("the store's URL is one");
    let mut sent = reqwest::Request::new(request.method().clone(), url);
    sent.headers_mut().clone_from(request.headers());
    let body = request.body().as_bytes().cloned().unwrap_or_default();
    *sent.body_mut() = Some(body.into());
    sent
}

/// Sends a request again and again until the store answers it well, and gives the answer.
///
/// # Panics
///
/// With the end of the server's log, when it dies or takes too long.
pub(super) async fn until_accepted(
    server: &Server,
    send: impl AsyncFn() -> reqwest::Result<reqwest::Response>,
) -> String {
    let deadline = Instant::now() + READY_LIMIT;
    loop {
        let trouble = match send().await {
            Ok(answer) => {
                let status = answer.status();
                let text = answer.text().await.unwrap_or_default();
                if status.is_success() {
                    return text;
                }
                format!("{status}: {text}")
            }
            Err(error) => format!("{error:?}"),
        };
        server.assert_running();
        assert!(
            Instant::now() < deadline,
            "{} does not do its work after {READY_LIMIT:?}: {trouble}\n{}",
            server.name(),
            server.last_words()
        );
        tokio::time::sleep(process::POLL).await;
    }
}
