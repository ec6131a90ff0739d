//! A running object store: what etcdrx must be told to keep its backups there.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::front::Front;
use super::process::Server;

/// The bucket, or container, that every store has from the start.
pub(crate) const BUCKET: &str = "backups";

/// How long a store may take until it answers.
pub(super) const READY_LIMIT: Duration = Duration::from_mins(1);

/// Environment variables, as names and values.
pub(crate) type Variables = Vec<(String, String)>;

/// An object store on loopback; it dies with this value, and its data with it.
#[derive(Debug)]
pub(crate) struct Store {
    /// The server: to be paused, killed, stopped.
    pub(crate) server: Server,
    pub(super) address: SocketAddr,
    pub(super) url: String,
    pub(super) endpoint: Endpoint,
    pub(super) credentials: Variables,
    pub(super) read_only: Option<Variables>,
    pub(super) stranger: Option<Variables>,
    pub(super) user: Option<(String, String)>,
    pub(super) ca: Option<PathBuf>,
    pub(super) litter: Vec<PathBuf>,
    pub(super) front: Option<Front>,
    // Last, so that it is removed after the server is gone.
    pub(super) directory: TempDir,
}

/// How the program is told where the store is.
#[derive(Clone, Debug)]
pub(super) enum Endpoint {
    /// In the repository's URL itself.
    InUrl,
    /// In these variables (`AWS_` ...), with this path behind host and port.
    InVariables {
        scheme: &'static str,
        path: &'static str,
        endpoint: &'static str,
        allow_http: &'static str,
    },
}

impl Store {
    /// `repository.url`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// `repository.endpoint`; `None` for stores whose URL holds it.
    pub(crate) fn endpoint(&self) -> Option<String> {
        let scheme = match &self.endpoint {
            Endpoint::InUrl => return None,
            Endpoint::InVariables { scheme, .. } => scheme,
        };
        Some(self.endpoint_at(&format!("{scheme}://{}", self.address)))
    }

    /// The endpoint, were the store reached by way of a proxy at `origin` (`http://127.0.0.1:1234`).
    pub(crate) fn endpoint_at(&self, origin: &str) -> String {
        match &self.endpoint {
            Endpoint::InUrl => origin.to_owned(),
            Endpoint::InVariables { path, .. } => format!("{origin}{path}"),
        }
    }

    /// The URL, were the store reached by way of a proxy; the same unless the URL holds the endpoint.
    pub(crate) fn url_at(&self, origin: &str) -> String {
        let own = format!("http://{}", self.address);
        self.url.replacen(&own, origin, 1)
    }

    /// Where the server listens, for a proxy to sit before.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// `repository.ca`: who signed the server's certificate, where it has one.
    pub(crate) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The variables with the secrets, of somebody who may do everything.
    pub(crate) fn credentials(&self) -> &Variables {
        &self.credentials
    }

    /// The variables of somebody who may list and read and nothing else, where the store knows such people.
    pub(crate) fn read_only_credentials(&self) -> Option<&Variables> {
        self.read_only.as_ref()
    }

    /// The variables of somebody whom the store does not know, where it asks at all.
    pub(crate) fn wrong_credentials(&self) -> Option<&Variables> {
        self.stranger.as_ref()
    }

    /// Name and password, where the store asks for those.
    pub(crate) fn user(&self) -> Option<(&str, &str)> {
        let (name, password) = self.user.as_ref()?;
        Some((name, password))
    }

    /// Everything in variables: the secrets and, as `object_store` reads it, the endpoint.
    pub(crate) fn environment(&self) -> Variables {
        match self.endpoint() {
            Some(endpoint) => self.environment_with(&endpoint),
            None => self.credentials.clone(),
        }
    }

    /// As [`environment`](Self::environment), by way of a proxy at `origin`.
    pub(crate) fn environment_at(&self, origin: &str) -> Variables {
        match self.endpoint {
            Endpoint::InUrl => self.credentials.clone(),
            Endpoint::InVariables { .. } => self.environment_with(&self.endpoint_at(origin)),
        }
    }

    /// The `[repository]` table of an etcdrx.toml for this store; the secrets stay in the environment.
    pub(crate) fn toml(&self) -> String {
        let mut toml = format!("[repository]\nurl = {:?}\n", self.url);
        if let Some(endpoint) = self.endpoint() {
            let _ = writeln!(toml, "endpoint = {endpoint:?}");
            if endpoint.starts_with("http:") {
                toml.push_str("allow_http = true\n");
            }
        }
        if let Some(ca) = &self.ca {
            let _ = writeln!(toml, "ca = {:?}", ca.display().to_string());
        }
        toml
    }

    /// Where the server keeps its data.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    fn environment_with(&self, endpoint: &str) -> Variables {
        let mut variables = self.credentials.clone();
        if let Endpoint::InVariables {
            endpoint: name,
            allow_http,
            ..
        } = self.endpoint
        {
            variables.push((name.to_owned(), endpoint.to_owned()));
            if endpoint.starts_with("http:") {
                variables.push((allow_http.to_owned(), "true".to_owned()));
            }
        }
        variables
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.server.kill();
        for path in &self.litter {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Makes variables of pairs.
pub(super) fn variables(pairs: &[(&str, &str)]) -> Variables {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

/// A temporary folder for a store's data.
pub(super) fn directory(store: &str) -> TempDir {
    TempDir::with_prefix(format!("etcdrx-{store}-"))
        .unwrap_or_else(|error| panic!("cannot create a temporary folder: {error}"))
}
