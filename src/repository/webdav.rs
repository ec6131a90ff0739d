//! Large objects over WebDAV: one streaming request, which `object_store` does not have for it.

use std::error::Error as _;

use bytes::Bytes;
use futures_util::stream;
use object_store::path::Path;
use reqwest::{Body, Certificate, Client, Method, Response, StatusCode};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;

use super::Error;
use super::open::ca_pem;
use crate::config;

/// A WebDAV server.
#[derive(Clone)]
pub(super) struct WebDav {
    client: Client,
    base: String,
}

type Piece = Result<Bytes, std::io::Error>;

/// An object on its way to the server, piece by piece.
pub(super) struct Sending {
    webdav: WebDav,
    url: String,
    pieces: Option<Sender<Piece>>,
    answer: Option<JoinHandle<reqwest::Result<Response>>>,
}

impl WebDav {
    pub(super) fn open(base: &str, settings: &config::Repository) -> Result<Self, Error> {
        let unusable = |error: reqwest::Error| Error::BadSetting {
            problem: error.to_string(),
        };
        let mut builder = Client::builder().connect_timeout(std::time::Duration::from_secs(5));
        if let Some(pem) = ca_pem(settings)? {
            for certificate in Certificate::from_pem_bundle(&pem).map_err(unusable)? {
                builder = builder.add_root_certificate(certificate);
            }
        }
        Ok(Self {
            client: builder.build().map_err(unusable)?,
            base: base.to_owned(),
        })
    }

    fn url(&self, path: &Path) -> String {
        format!("{}/{path}", self.base.trim_end_matches('/'))
    }

    /// Begins to send the object at `path`, in a collection that is made for it.
    pub(super) async fn send(&self, path: &Path) -> Result<Sending, Error> {
        let url = self.url(path);
        let parent = url
            .rsplit_once('/')
            .map_or(url.as_str(), |(parent, _)| parent);
        let method = Method::from_bytes(b"MKCOL").expect("MKCOL is a token (RFC 4918, 9.3)");
        let made = self.client.request(method, parent).send().await;
        let status = made.map_err(|error| failed("make the folder of", &url, &error))?;
        // A folder that is there already answers 405 (RFC 4918, 9.3.1).
        let status = status.status();
        if !status.is_success() && status != StatusCode::METHOD_NOT_ALLOWED {
            return Err(answered("make the folder of", &url, &status));
        }
        let (pieces, queue) = mpsc::channel::<Piece>(4);
        let body = Body::wrap_stream(stream::unfold(queue, |mut queue| async move {
            queue.recv().await.map(|piece| (piece, queue))
        }));
        let request = self.client.put(&url).body(body);
        Ok(Sending {
            webdav: self.clone(),
            url,
            pieces: Some(pieces),
            answer: Some(tokio::spawn(request.send())),
        })
    }
}

fn failed(action: &'static str, url: &str, error: &reqwest::Error) -> Error {
    // reqwest's own message names the URL and not the reason, which is the last of its causes.
    let mut reason = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        reason = cause.to_string();
        next = cause.source();
    }
    answered(action, url, &reason)
}

fn answered(action: &'static str, url: &str, answer: &(impl ToString + ?Sized)) -> Error {
    Error::WebDav {
        action,
        object: url.to_owned(),
        answer: answer.to_string(),
    }
}

impl Sending {
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let sent = match &self.pieces {
            Some(pieces) => pieces.send(Ok(bytes)).await.is_ok(),
            None => false,
        };
        if sent {
            return Ok(());
        }
        // The server answered before it had everything: its answer tells why.
        self.pieces = None;
        match self.answer().await {
            Err(error) => Err(error),
            Ok(()) => Err(answered("write", &self.url, "success before the end")),
        }
    }

    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        self.pieces = None;
        self.answer().await
    }

    pub(super) async fn abort(&mut self) {
        if let Some(pieces) = self.pieces.take() {
            // An error in the body breaks the request off instead of ending it in good order.
            let _ = pieces
                .send(Err(std::io::ErrorKind::Interrupted.into()))
                .await;
        }
        let _ = self.answer().await;
        // Some servers keep what they had.
        let _ = self.webdav.client.delete(&self.url).send().await;
    }

    async fn answer(&mut self) -> Result<(), Error> {
        let Some(answer) = self.answer.take() else {
            return Ok(());
        };
        let answer = answer.await.expect("sending does not panic");
        let response = answer.map_err(|error| failed("write", &self.url, &error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(answered("write", &self.url, &status)),
        }
    }
}
