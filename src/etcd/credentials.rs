//! Who we are to etcd: certificates, keys and passwords, read and checked before any connection.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};

use super::Error;
use crate::certs::Certificate;
use crate::config::{Cluster, Secret};

/// What the authority's, the certificate's and the key's file are called in messages.
const CA: &str = "the CA file";
const CERT: &str = "the client certificate";
const KEY: &str = "the client key";

/// TLS material as PEM for etcd-client, and the same as a rustls configuration for handshakes of our own.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) ca_pem: Option<Vec<u8>>,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) rustls: Arc<ClientConfig>,
    pub(super) ours: Option<OurCertificate>,
}

/// What our client certificate says, for explaining why etcd refuses it.
#[derive(Debug, Clone)]
pub struct OurCertificate {
    /// Where it lies.
    pub path: PathBuf,
    /// Its subject.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// From when it is valid.
    pub not_before: DateTime<Utc>,
    /// Until when it is valid.
    pub not_after: DateTime<Utc>,
    /// Whether it may be used by a client: with an extended key usage, that one must be in it.
    pub for_clients: bool,
}

impl OurCertificate {
    /// The reason why any etcd must refuse it at `now`, if there is one.
    #[must_use]
    pub fn flaw(&self, now: DateTime<Utc>) -> Option<String> {
        let path = self.path.display();
        if now > self.not_after {
            return Some(format!("{path} expired at {}", utc(self.not_after)));
        }
        if now < self.not_before {
            return Some(format!(
                "{path} is not valid before {}: is this clock right?",
                utc(self.not_before)
            ));
        }
        (!self.for_clients).then(|| {
            format!("{path} is not a client certificate: its extended key usage lacks clientAuth")
        })
    }
}

/// A time as it is written everywhere.
pub(super) fn utc(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

impl Tls {
    /// Reads the files that the configuration names.
    pub(super) fn read(cluster: &Cluster) -> Result<Self, Error> {
        let ca_pem = cluster.ca.as_deref().map(|p| read(CA, p)).transpose()?;
        let identity = match (&cluster.cert, &cluster.key) {
            (Some(cert), Some(key)) => Some(Identity::read(cert, key)?),
            _ => None,
        };
        let roots = match (&ca_pem, &cluster.ca) {
            (Some(pem), Some(path)) => trusted(pem, path)?,
            _ => system_roots(),
        };
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut rustls = match &identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain.clone(), identity.key.clone_key())
                .map_err(|error| bad(KEY, &identity.key_path, error.to_string()))?,
            None => builder.with_no_client_auth(),
        };
        rustls.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self {
            ca_pem,
            rustls: Arc::new(rustls),
            ours: identity.as_ref().map(|i| i.ours.clone()),
            identity: identity.map(Arc::new),
        })
    }
}

/// A certificate to show, with the intermediates behind it, and its key.
pub struct Identity {
    pub(super) cert_pem: Vec<u8>,
    pub(super) key_pem: Vec<u8>,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    key_path: PathBuf,
    pub(super) ours: OurCertificate,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.ours.path.display())
    }
}

impl Identity {
    /// Reads the two PEM files; whether the certificate is of any use to etcd is not looked at.
    ///
    /// # Errors
    /// If a file cannot be read, or is no certificate or key, or they do not belong together.
    pub fn read(cert_path: &Path, key_path: &Path) -> Result<Self, Error> {
        let cert_pem = read(CERT, cert_path)?;
        let key_pem = read(KEY, key_path)?;
        let chain = certificates(CERT, &cert_pem, cert_path)?;
        let key = PrivateKeyDer::from_pem_slice(&key_pem)
            .map_err(|_| bad(KEY, key_path, "it holds no private key in PEM"))?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider).map_err(|error| {
            let problem = match error {
                rustls::Error::InconsistentKeys(_) => {
                    format!("it is not the key of {}", cert_path.display())
                }
                other => other.to_string(),
            };
            bad(KEY, key_path, problem)
        })?;
        Ok(Self {
            ours: describe(&chain[0], cert_path)?,
            cert_pem,
            key_pem,
            chain,
            key,
            key_path: key_path.to_owned(),
        })
    }

    /// What the certificate says.
    #[must_use]
    pub fn certificate(&self) -> &OurCertificate {
        &self.ours
    }

    pub(super) fn unusable(&self, error: &rustls::Error) -> Error {
        bad(KEY, &self.key_path, error.to_string())
    }
}

fn bad(what: &'static str, path: &Path, problem: impl Into<String>) -> Error {
    Error::BadFile {
        what,
        path: path.to_owned(),
        problem: problem.into(),
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|source| Error::ReadFile {
        what,
        path: path.to_owned(),
        source,
    })
}

fn certificates(
    what: &'static str,
    pem: &[u8],
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| bad(what, path, format!("it is not valid PEM: {error:?}")))?;
    if found.is_empty() {
        return Err(bad(what, path, "it holds no certificate in PEM"));
    }
    Ok(found)
}

fn trusted(pem: &[u8], path: &Path) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CA, pem, path)? {
        roots.add(certificate).map_err(|error| {
            bad(
                CA,
                path,
                format!("a certificate in it is unusable: {error}"),
            )
        })?;
    }
    Ok(roots)
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}

fn describe(certificate: &CertificateDer<'_>, path: &Path) -> Result<OurCertificate, Error> {
    let read = Certificate::from_der(certificate)
        .map_err(|error| bad(CERT, path, format!("it cannot be parsed: {error}")))?;
    // A certificate without the extension is good for everything (RFC 5280, 4.2.1.12).
    let usage = read.extended_key_usage.as_ref();
    Ok(OurCertificate {
        path: path.to_owned(),
        subject: read.subject.text,
        issuer: read.issuer.text,
        not_before: read.not_before,
        not_after: read.not_after,
        for_clients: usage.is_none_or(|usage| usage.client_auth || usage.any),
    })
}

/// A user with the password from the environment or from its file.
pub(super) fn user(cluster: &Cluster) -> Result<Option<(String, Secret)>, Error> {
    let Some(user) = cluster.user.clone() else {
        return Ok(None);
    };
    if let Some(password) = &cluster.password {
        return Ok(Some((user, password.clone())));
    }
    let Some(path) = &cluster.password_file else {
        return Err(Error::NoPassword { user });
    };
    let text = String::from_utf8_lossy(&read("the password file", path)?).into_owned();
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(bad("the password file", path, "it is empty"));
    }
    Ok(Some((user, Secret::new(password))))
}
