//! How a cluster is reached, and one member once it is.

use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Error as ClientError, GetOptions, Identity, TlsOptions,
};
use tokio::time::timeout;
use url::Url;

use super::Error;
use super::credentials::Identity as OurIdentity;
use super::credentials::{self, OurCertificate, Tls};
use super::diagnosis::{self, Diagnosis};
use crate::config::{Cluster, Secret};
use crate::id::Revision;

/// gRPC status codes (`google.golang.org/grpc/codes`), as far as they matter here.
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;

/// Everything that is needed to reach the members of one cluster.
#[derive(Clone)]
pub struct Access {
    endpoints: Vec<String>,
    tls: Option<Tls>,
    user: Option<(String, Secret)>,
}

impl Access {
    /// Reads and checks endpoints, certificates and password; connects to nothing.
    ///
    /// An endpoint without a scheme is `https` where TLS files are configured, `http` otherwise.
    ///
    /// # Errors
    /// If an endpoint is none, or a file cannot be read or used.
    pub fn open(cluster: &Cluster) -> Result<Self, Error> {
        let secure = cluster.ca.is_some() || cluster.cert.is_some();
        let endpoints = cluster
            .endpoints
            .iter()
            .map(|endpoint| normalize(endpoint, secure))
            .collect::<Result<Vec<_>, _>>()?;
        let needs_tls = secure || endpoints.iter().any(|e| e.starts_with("https://"));
        Ok(Self {
            endpoints,
            tls: needs_tls.then(|| Tls::read(cluster)).transpose()?,
            user: credentials::user(cluster)?,
        })
    }

    /// The endpoints as URLs, in the configured order.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The same way to other endpoints.
    ///
    /// # Errors
    /// If one of them is no endpoint.
    pub fn to(&self, endpoints: &[String]) -> Result<Self, Error> {
        let endpoints = endpoints.iter();
        let endpoints = endpoints.map(|endpoint| normalize(endpoint, self.tls.is_some()));
        Ok(Self {
            endpoints: endpoints.collect::<Result<Vec<_>, _>>()?,
            ..self.clone()
        })
    }

    /// What our client certificate says, if there is one.
    #[must_use]
    pub fn our_certificate(&self) -> Option<&OurCertificate> {
        self.tls.as_ref()?.ours.as_ref()
    }

    /// The certificate and the key that we show, if there are any.
    #[must_use]
    pub fn identity(&self) -> Option<&OurIdentity> {
        self.tls.as_ref()?.identity.as_deref()
    }

    /// Connects without a password, which is possible without quorum.
    pub(super) async fn anonymous(&self, endpoint: &str) -> Result<Client, Error> {
        self.connect(endpoint, None).await
    }

    /// Connects with the password, if there is one.
    pub(super) async fn logged_in(
        &self,
        endpoint: &str,
        patience: Duration,
    ) -> Result<Client, Error> {
        let connect = self.connect(endpoint, self.user.as_ref());
        timeout(patience, connect).await.unwrap_or_else(|_| {
            Err(Error::TimedOut {
                endpoint: endpoint.to_owned(),
                call: "the log-in (a password takes a quorum)",
                after: patience,
            })
        })
    }

    /// Whether there is a password.
    #[must_use]
    pub fn has_user(&self) -> bool {
        self.user.is_some()
    }

    /// Connects to one member, with everything that we have to show.
    ///
    /// # Errors
    /// If it cannot be reached, or refuses us.
    pub async fn member(&self, endpoint: &str, patience: Duration) -> Result<Member, Error> {
        let client = self.logged_in(endpoint, patience).await?;
        Ok(Member {
            client,
            endpoint: endpoint.to_owned(),
            who: self.who(),
            patience,
        })
    }

    /// Who we are to etcd, in words.
    pub(super) fn who(&self) -> String {
        match (&self.user, self.our_certificate()) {
            (Some((user, _)), _) => format!("the user {user}"),
            (None, Some(ours)) => format!("the certificate of {}", ours.subject),
            (None, None) => "anybody without a name".to_owned(),
        }
    }

    async fn connect(
        &self,
        endpoint: &str,
        user: Option<&(String, Secret)>,
    ) -> Result<Client, Error> {
        let mut options = ConnectOptions::new().with_connect_timeout(Duration::from_secs(3));
        if let (Some(tls), true) = (&self.tls, endpoint.starts_with("https://")) {
            options = options.with_tls(tls.options());
        }
        let Some((name, password)) = user else {
            return connect(endpoint, options).await;
        };
        let with_user = options.clone().with_user(name, password.reveal());
        match Client::connect([endpoint], Some(with_user)).await {
            // A password is not needed after all: etcdctl would stop here, a backup should not.
            Err(error) if message(&error).contains("authentication is not enabled") => {
                connect(endpoint, options).await
            }
            Err(error) if message(&error).contains("authentication failed") => {
                Err(Error::WrongPassword {
                    endpoint: endpoint.to_owned(),
                    user: name.clone(),
                })
            }
            other => other.map_err(|error| call_error(endpoint, "the log-in", &error, &self.who())),
        }
    }

    /// The better explanation of a failed call: what a handshake of our own finds in the way, or else `failure`, etcd's own words.
    pub(super) async fn explain(
        &self,
        endpoint: &str,
        failure: Error,
        patience: Duration,
    ) -> Error {
        match self.diagnose(endpoint, patience).await {
            Diagnosis::Open => failure,
            diagnosis => Error::Unreachable {
                endpoint: endpoint.to_owned(),
                diagnosis,
            },
        }
    }

    /// What stands between us and an endpoint, by a connection of our own.
    pub(super) async fn diagnose(&self, endpoint: &str, patience: Duration) -> Diagnosis {
        diagnosis::diagnose(endpoint, self.tls.as_ref(), patience).await
    }
}

impl Tls {
    fn options(&self) -> TlsOptions {
        let mut options = TlsOptions::new();
        options = match &self.ca_pem {
            Some(pem) => options.ca_certificate(Certificate::from_pem(pem)),
            None => options.with_native_roots(),
        };
        if let Some(ours) = &self.identity {
            options = options.identity(Identity::from_pem(&ours.cert_pem, &ours.key_pem));
        }
        options
    }
}

async fn connect(endpoint: &str, options: ConnectOptions) -> Result<Client, Error> {
    Client::connect([endpoint], Some(options))
        .await
        .map_err(|error| call_error(endpoint, "the connection", &error, "us"))
}

pub(super) fn normalize(endpoint: &str, secure: bool) -> Result<String, Error> {
    let bad = |problem| Error::BadEndpoint {
        endpoint: endpoint.to_owned(),
        problem,
    };
    let url = match endpoint.contains("://") {
        true => endpoint.to_owned(),
        false if secure => format!("https://{endpoint}"),
        false => format!("http://{endpoint}"),
    };
    let parsed = Url::parse(&url).map_err(|_| bad("expected something like https://host:2379"))?;
    if !matches!(parsed.scheme(), "http" | "https") {
        return Err(bad("the scheme must be http or https"));
    }
    if parsed.host_str().is_none_or(str::is_empty) {
        return Err(bad("it names no host"));
    }
    Ok(url.trim_end_matches('/').to_owned())
}

/// What etcd itself said, without the wrapping of gRPC.
pub(super) fn message(error: &ClientError) -> String {
    match error {
        ClientError::GRpcStatus(status) => status.message().to_owned(),
        other => other.to_string(),
    }
}

/// Turns an answer of etcd into an error of ours.
pub(super) fn call_error(
    endpoint: &str,
    call: &'static str,
    error: &ClientError,
    who: &str,
) -> Error {
    let text = message(error);
    let code = match error {
        ClientError::GRpcStatus(status) => status.code() as i32,
        _ => 0,
    };
    let refused = matches!(code, PERMISSION_DENIED | UNAUTHENTICATED)
        || text.contains("user name is empty")
        || text.contains("permission denied");
    if refused {
        return Error::NotAllowed {
            endpoint: endpoint.to_owned(),
            call,
            who: who.to_owned(),
        };
    }
    Error::Call {
        endpoint: endpoint.to_owned(),
        call,
        message: text,
    }
}

/// One member that we are connected to and logged in at.
#[derive(Clone)]
pub struct Member {
    pub(super) client: Client,
    pub(super) endpoint: String,
    pub(super) who: String,
    pub(super) patience: Duration,
}

impl Member {
    /// The endpoint through which it is reached.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The same member with another patience.
    #[must_use]
    pub fn patient(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The newest revision that this member knows, without asking the others.
    ///
    /// # Errors
    /// If it does not answer, or we may not read.
    pub async fn local_revision(&self) -> Result<Revision, Error> {
        let options = GetOptions::new().with_count_only().with_serializable();
        self.revision_of("a read", options).await
    }

    /// The revision of a linearizable read through this member: what was written before the call is in it.
    ///
    /// # Errors
    /// If there is no quorum, or we may not read.
    pub async fn linearizable_revision(&self) -> Result<Revision, Error> {
        let options = GetOptions::new().with_count_only();
        self.revision_of("a linearizable read", options).await
    }

    async fn revision_of(
        &self,
        call: &'static str,
        options: GetOptions,
    ) -> Result<Revision, Error> {
        let mut client = self.client.clone();
        let read = client.get("etcdrx", Some(options));
        let response = self.answered(call, read).await?;
        Ok(Revision(
            response
                .header()
                .map_or(0, etcd_client::ResponseHeader::revision),
        ))
    }

    /// Waits for an answer no longer than this member deserves.
    pub(super) async fn answered<T>(
        &self,
        call: &'static str,
        answer: impl Future<Output = Result<T, ClientError>>,
    ) -> Result<T, Error> {
        match timeout(self.patience, answer).await {
            Ok(answer) => {
                answer.map_err(|error| call_error(&self.endpoint, call, &error, &self.who))
            }
            Err(_) => Err(Error::TimedOut {
                endpoint: self.endpoint.clone(),
                call,
                after: self.patience,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_without_a_scheme_follows_the_tls_files() {
        assert_eq!(normalize("h:2379", true).unwrap(), "https://h:2379");
        assert_eq!(normalize("h:2379", false).unwrap(), "http://h:2379");
        assert_eq!(
            normalize("https://h:2379/", false).unwrap(),
            "https://h:2379"
        );
        assert!(normalize("ftp://h:21", false).is_err());
        assert!(normalize("http://", false).is_err());
    }
}
