//! Large objects over WebDAV: one streaming request, which `object_store` does not have for it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use object_store::path::Path;
use reqwest::header::HeaderMap;
use reqwest::{Body, Client, Method, RequestBuilder, Response, StatusCode};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use url::{Position, Url};

use super::Error;
use super::open::{http, unusable};
use crate::config::{self, Secret};

/// How many connections are kept for further requests: none.
///
/// `WsgiDAV` 4.3 sends a page after its answer to HEAD where nothing is found, which HTTP forbids (RFC 9110, 9.3.2), and may leave a
/// part of an object that it refuses unread. On a connection that is used again, either would be taken for the next answer
/// or the next request.
pub(super) const KEPT_CONNECTIONS: usize = 0;

/// How long a request without a body may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the server may take nothing of an object, or think about it once it has everything.
const STALL: Duration = Duration::from_mins(1);

const MAKE: &str = "make the folder of";
const WRITE: &str = "write";
const REMOVE: &str = "remove";

/// A WebDAV server.
#[derive(Clone)]
pub(super) struct WebDav {
    client: Client,
    base: String,
    login: HeaderMap,
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
    pub(super) fn open(url: &Url, settings: &config::Repository) -> Result<Self, Error> {
        let client = http(settings)?
            .pool_max_idle_per_host(KEPT_CONNECTIONS)
            .build()
            .map_err(unusable)?;
        let login = login(&client, url, settings)?;
        Ok(Self {
            client,
            base: nameless(url)[..Position::BeforePath].to_owned(),
            login,
        })
    }

    /// Scheme, host and port: a path in it would not do, as servers list paths from their root.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// The headers that let us in.
    pub(super) fn login(&self) -> &HeaderMap {
        &self.login
    }

    fn url(&self, path: &Path) -> String {
        format!("{}/{path}", self.base)
    }

    fn request(&self, method: Method, url: &str) -> RequestBuilder {
        self.client.request(method, url).headers(self.login.clone())
    }

    /// Makes the folders above `path` that are not there.
    ///
    /// To be called before something is put there: a server that refuses an object for want of its folder does not
    /// always read it to its end, and then takes the rest for the next request.
    pub(super) async fn make_folders(&self, path: &Path) -> Result<(), Error> {
        let url = self.url(path);
        let slashes = url[self.base.len() + 1..].match_indices('/');
        let folders: Vec<&str> = slashes
            .map(|(at, _)| &url[..=self.base.len() + at])
            .collect();
        let mut missing = Vec::new();
        for folder in folders.into_iter().rev() {
            match self.make_folder(folder).await? {
                // RFC 4918, 9.3.1: a folder above is missing.
                StatusCode::CONFLICT => missing.push(folder),
                status => {
                    is_there(folder, status)?;
                    break;
                }
            }
        }
        for folder in missing.into_iter().rev() {
            is_there(folder, self.make_folder(folder).await?)?;
        }
        Ok(())
    }

    /// Removes the folder at `path` with all that is in it; one that is not there is fine.
    pub(super) async fn remove_folder(&self, path: &Path) -> Result<(), Error> {
        let url = format!("{}/", self.url(path));
        let removal = self.request(Method::DELETE, &url).timeout(PATIENCE);
        let answer = removal.send().await;
        match answer
            .map_err(|error| failed(REMOVE, &url, error))?
            .status()
        {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            status => Err(answered(REMOVE, &url, status)),
        }
    }

    async fn make_folder(&self, folder: &str) -> Result<StatusCode, Error> {
        let method = Method::from_bytes(b"MKCOL").expect("MKCOL is a token (RFC 4918, 9.3)");
        let request = self.request(method, folder).timeout(PATIENCE);
        let made = request.send().await;
        Ok(made.map_err(|error| failed(MAKE, folder, error))?.status())
    }

    /// Begins to send the object at `path`, in a folder that is made for it.
    pub(super) async fn send(&self, path: &Path) -> Result<Sending, Error> {
        self.make_folders(path).await?;
        let url = self.url(path);
        let (pieces, queue) = mpsc::channel::<Piece>(4);
        let body = Body::wrap_stream(stream::unfold(queue, |mut queue| async move {
            queue.recv().await.map(|piece| (piece, queue))
        }));
        let request = self.request(Method::PUT, &url).body(body);
        Ok(Sending {
            webdav: self.clone(),
            url,
            pieces: Some(pieces),
            answer: Some(tokio::spawn(request.send())),
        })
    }
}

/// Name and password, from the environment or from the URL, as the header that they make.
fn login(client: &Client, url: &Url, settings: &config::Repository) -> Result<HeaderMap, Error> {
    let option = |name: &str| settings.options.get(name).map(Secret::reveal);
    // reqwest turns what stands in the URL into the header, and takes it out of the URL.
    let mut request = client.get(url.clone());
    if let Some(name) = option("webdav_username") {
        let password = option("webdav_password");
        request = client.get(nameless(url)).basic_auth(name, password);
    }
    let request = request.build().map_err(unusable)?;
    Ok(request.headers().clone())
}

/// The URL without name and password.
fn nameless(url: &Url) -> Url {
    let mut url = url.clone();
    let stripped = url.set_username("").and(url.set_password(None));
    stripped.expect("an http URL has a host, and can do without a name");
    url
}

/// A folder that was made, or was there already (405, RFC 4918, 9.3.1).
fn is_there(folder: &str, status: StatusCode) -> Result<(), Error> {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => Ok(()),
        status if status.is_success() => Ok(()),
        status => Err(answered(MAKE, folder, status)),
    }
}

/// There was no answer.
fn failed(
    action: &'static str,
    url: &str,
    error: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    Error::Unreachable {
        action,
        object: url.to_owned(),
        source: object_store::Error::Generic {
            store: "WebDAV",
            source: Box::new(error),
        },
    }
}

/// The answer was not what we hoped for.
fn answered(action: &'static str, url: &str, status: StatusCode) -> Error {
    let object = url.to_owned();
    let source = object_store::Error::Generic {
        store: "WebDAV",
        source: format!("the server answered {status}").into(),
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Error::Denied {
            action,
            object,
            source,
        },
        StatusCode::INSUFFICIENT_STORAGE => Error::Full {
            action,
            object,
            source,
        },
        status if status.is_server_error() => Error::Unreachable {
            action,
            object,
            source,
        },
        status => Error::WebDav {
            action,
            object,
            answer: status.to_string(),
        },
    }
}

impl Sending {
    pub(super) async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let sent = match &self.pieces {
            Some(pieces) => match timeout(STALL, pieces.send(Ok(bytes))).await {
                Ok(sent) => sent.is_ok(),
                Err(stalled) => return Err(failed(WRITE, &self.url, stalled)),
            },
            None => false,
        };
        if sent {
            return Ok(());
        }
        // The server answered before it had everything: its answer tells why.
        self.pieces = None;
        match self.answer().await {
            Err(error) => Err(error),
            Ok(()) => Err(Error::WebDav {
                action: WRITE,
                object: self.url.clone(),
                answer: "success, before it had everything".to_owned(),
            }),
        }
    }

    pub(super) async fn finish(&mut self) -> Result<(), Error> {
        self.pieces = None;
        self.answer().await
    }

    pub(super) async fn abort(&mut self) {
        if let Some(pieces) = self.pieces.take() {
            // An error in the body breaks the request off instead of ending it in good order.
            let broken = pieces.send(Err(std::io::ErrorKind::Interrupted.into()));
            let _ = timeout(PATIENCE, broken).await;
        }
        if let Some(answer) = self.answer.take() {
            answer.abort();
            let _ = answer.await;
        }
        // Some servers keep what they had.
        let removal = self.webdav.request(Method::DELETE, &self.url);
        let _ = removal.timeout(PATIENCE).send().await;
    }

    async fn answer(&mut self) -> Result<(), Error> {
        let Some(mut answer) = self.answer.take() else {
            return Ok(());
        };
        let Ok(answer) = timeout(STALL, &mut answer).await else {
            answer.abort();
            let silent = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return Err(failed(WRITE, &self.url, silent));
        };
        let answer = answer.expect("sending does not panic");
        let response = answer.map_err(|error| failed(WRITE, &self.url, error))?;
        match response.status() {
            status if status.is_success() => Ok(()),
            status => Err(answered(WRITE, &self.url, status)),
        }
    }
}
