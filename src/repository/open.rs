//! From a URL and settings to a repository.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, ObjectStoreScheme, RetryConfig,
};
use url::Url;

use super::bucket::Bucket;
use super::folder::Folder;
use super::webdav::{self, WebDav};
use super::{Error, classify, credentials};
use crate::config;
use crate::id::ClusterName;
use crate::keys::Keys;

/// Whether the directory of a `file://` repository may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It must be there.
    Existing,
    /// Its last component is made if its parent is there: a forgotten mount is never filled from below.
    Create,
}

/// How large objects get into the store.
#[derive(Clone)]
pub(super) enum Large {
    /// By multipart uploads with an id that survives us, so that a later run can abort them.
    Multipart(Arc<dyn MultipartStore>),
    /// By a temporary file below this directory, then a rename.
    Local(PathBuf),
    /// By one streaming request.
    WebDav(WebDav),
}

/// A place for the backups of clusters.
#[derive(Clone)]
pub struct Repository {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) large: Large,
    /// What else can be asked of the store, where it speaks S3.
    pub(super) bucket: Option<Arc<Bucket>>,
    root: Path,
    name: Option<String>,
    url: String,
}

impl Repository {
    /// Reads the settings; asks nothing of the store yet.
    ///
    /// # Errors
    /// If the settings make no repository, or a `file://` directory is not there and may not be made.
    pub fn open(settings: &config::Repository, mode: Mode) -> Result<Self, Error> {
        if settings.url.is_empty() {
            return Err(Error::NotConfigured);
        }
        let settings = &with_credentials(settings)?;
        let bad = |problem: String| Error::BadUrl {
            url: settings.url.clone(),
            problem,
        };
        let url = Url::parse(&settings.url).map_err(|_| {
            bad("expected file:///path, s3://bucket/prefix, gs://, az:// or https://".to_owned())
        })?;
        let (scheme, root) =
            ObjectStoreScheme::parse(&url).map_err(|error| bad(error.to_string()))?;
        let mut bucket = None;
        let (store, large): (Arc<dyn ObjectStore>, Large) = match scheme {
            ObjectStoreScheme::Local => return local(&url, settings, mode),
            ObjectStoreScheme::AmazonS3 => {
                let (store, region) = s3(settings)?;
                let store = Arc::new(store);
                let client = http(settings)?.build().map_err(unusable)?;
                bucket = Some(Arc::new(Bucket::new(store.clone(), region, client)));
                (store.clone(), Large::Multipart(store))
            }
            ObjectStoreScheme::GoogleCloudStorage => multipart(gcs(settings)?),
            ObjectStoreScheme::MicrosoftAzure => multipart(azure(settings)?),
            ObjectStoreScheme::Http => {
                let webdav = WebDav::open(&url, settings)?;
                let options = client(settings)?
                    .with_default_headers(webdav.login().clone())
                    .with_pool_max_idle_per_host(webdav::KEPT_CONNECTIONS);
                let store = HttpBuilder::new()
                    .with_url(webdav.base())
                    .with_client_options(options)
                    .with_retry(patience());
                let store = store.build().map_err(unusable)?;
                (Arc::new(store), Large::WebDav(webdav))
            }
            _ => return Err(bad("this kind of URL is not supported".to_owned())),
        };
        Ok(Self {
            store,
            large,
            bucket,
            root,
            name: settings.name.clone(),
            url: without_password(&url),
        })
    }

    /// The folder of one cluster, with the keys to what lies in it.
    #[must_use]
    pub fn folder(&self, cluster: &ClusterName, keys: Arc<Keys>) -> Folder {
        let path = self.root.clone().join(cluster.as_str());
        Folder::new(self.clone(), path, keys)
    }

    /// What people call it: its name, or its URL without any password.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.url)
    }

    /// The URL, without any password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The settings with what the file of credentials says, if there is one.
fn with_credentials(settings: &config::Repository) -> Result<config::Repository, Error> {
    let mut settings = settings.clone();
    if let Some(path) = &settings.credentials_file {
        settings.options = credentials::read(path)?;
    }
    Ok(settings)
}

fn without_password(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // Refused only for URLs that cannot have one.
        let _ = url.set_password(Some("***"));
    }
    url.to_string()
}

fn multipart<S: ObjectStore + MultipartStore>(store: S) -> (Arc<dyn ObjectStore>, Large) {
    let store = Arc::new(store);
    (store.clone(), Large::Multipart(store))
}

fn local(url: &Url, settings: &config::Repository, mode: Mode) -> Result<Repository, Error> {
    let path = url.to_file_path().map_err(|()| Error::BadUrl {
        url: url.to_string(),
        problem: "expected file:///absolute/path".to_owned(),
    })?;
    if !path.is_dir() {
        if path.exists() {
            return Err(Error::BadUrl {
                url: url.to_string(),
                problem: "a file is in the place of the directory".to_owned(),
            });
        }
        if mode == Mode::Existing {
            return Err(Error::NoDirectory { path });
        }
        DirBuilder::new()
            .mode(0o700)
            .create(&path)
            // Another run may make it at the same time.
            .or_else(|source| if path.is_dir() { Ok(()) } else { Err(source) })
            .map_err(|source| Error::CreateDirectory {
                path: path.clone(),
                source,
            })?;
    }
    let store = LocalFileSystem::new_with_prefix(&path)
        .map_err(|source| classify("open", url.as_str(), source))?
        .with_automatic_cleanup(true)
        .with_fsync(true);
    Ok(Repository {
        store: Arc::new(store),
        large: Large::Local(path),
        bucket: None,
        root: Path::default(),
        name: settings.name.clone(),
        url: url.to_string(),
    })
}

/// A dead store is reported within two minutes, a stalled one within half a minute a try.
fn patience() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(200),
            max_backoff: Duration::from_secs(5),
            base: 2.0,
        },
        max_retries: 5,
        retry_timeout: Duration::from_secs(90),
    }
}

fn client(settings: &config::Repository) -> Result<ClientOptions, Error> {
    let mut options = ClientOptions::new()
        .with_allow_http(settings.allow_http)
        .with_connect_timeout(Duration::from_secs(5))
        .with_timeout_disabled()
        .with_read_timeout(Duration::from_secs(30));
    for certificate in certificates(settings)? {
        options = options.with_root_certificate(certificate);
    }
    Ok(options)
}

/// The beginnings of a client for what `object_store` does not do.
pub(super) fn http(settings: &config::Repository) -> Result<reqwest::ClientBuilder, Error> {
    let mut builder = reqwest::Client::builder().connect_timeout(Duration::from_secs(5));
    if let Some(pem) = ca_pem(settings)? {
        for certificate in reqwest::Certificate::from_pem_bundle(&pem).map_err(unusable)? {
            builder = builder.add_root_certificate(certificate);
        }
    }
    Ok(builder)
}

/// The authorities that the configuration adds to the system's.
fn certificates(settings: &config::Repository) -> Result<Vec<Certificate>, Error> {
    let Some(pem) = ca_pem(settings)? else {
        return Ok(Vec::new());
    };
    Certificate::from_pem_bundle(&pem).map_err(unusable)
}

/// The configured CA file, as it is.
fn ca_pem(settings: &config::Repository) -> Result<Option<Vec<u8>>, Error> {
    let Some(path) = &settings.ca else {
        return Ok(None);
    };
    std::fs::read(path)
        .map(Some)
        .map_err(|source| Error::ReadCa {
            path: path.clone(),
            source,
        })
}

pub(super) fn unusable(error: impl std::fmt::Display) -> Error {
    Error::BadSetting {
        problem: error.to_string(),
    }
}

/// The settings from the environment that a kind of store knows.
fn known<K: FromStr>(settings: &config::Repository) -> impl Iterator<Item = (K, String)> {
    settings
        .options
        .iter()
        // Nothing in an environment may turn the check of certificates off.
        .filter(|(name, _)| !name.ends_with("allow_invalid_certificates"))
        .filter_map(|(name, value)| Some((name.parse().ok()?, value.reveal().to_owned())))
}

/// The store, and the region that requests to it are signed for.
fn s3(settings: &config::Repository) -> Result<(object_store::aws::AmazonS3, String), Error> {
    let mut builder = AmazonS3Builder::new().with_client_options(client(settings)?);
    for (key, value) in known::<AmazonS3ConfigKey>(settings) {
        builder = builder.with_config(key, value);
    }
    builder = builder.with_url(&settings.url).with_retry(patience());
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(region) = &settings.region {
        builder = builder.with_region(region);
    }
    if let Some(path_style) = settings.path_style {
        builder = builder.with_virtual_hosted_style_request(!path_style);
    }
    let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
    let region = region.unwrap_or_else(|| "us-east-1".to_owned());
    Ok((builder.build().map_err(unusable)?, region))
}

fn gcs(settings: &config::Repository) -> Result<object_store::gcp::GoogleCloudStorage, Error> {
    let mut builder = GoogleCloudStorageBuilder::new().with_client_options(client(settings)?);
    for (key, value) in known::<GoogleConfigKey>(settings) {
        builder = builder.with_config(key, value);
    }
    builder = builder.with_url(&settings.url).with_retry(patience());
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_base_url(endpoint);
    }
    builder.build().map_err(unusable)
}

fn azure(settings: &config::Repository) -> Result<object_store::azure::MicrosoftAzure, Error> {
    let mut builder = MicrosoftAzureBuilder::new().with_client_options(client(settings)?);
    for (key, value) in known::<AzureConfigKey>(settings) {
        builder = builder.with_config(key, value);
    }
    builder = builder.with_url(&settings.url).with_retry(patience());
    if let Some(endpoint) = &settings.endpoint {
        builder = builder.with_endpoint(endpoint.clone());
    }
    builder.build().map_err(unusable)
}
