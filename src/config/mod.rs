//! What an operator says about one cluster: `etcdrx.toml`, the environment and the flags, in one value.

mod discover;
mod etcd_flags;
mod etcd_keys;
mod keys;
mod layers;
mod member_urls;
mod node;
mod pod;
mod repositories;
mod sense;
mod unit;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};
use thiserror::Error;

use crate::id::{self, ClusterName};
use crate::retention::Policy;

pub use discover::Discovered;
pub use etcd_flags::EtcdFlags;
pub use etcd_keys::etcd_keys;
pub use keys::{KEYS, Key, Kind};
pub use layers::Layers;
pub use member_urls::MemberUrls;
pub use node::{Node, Reach, Service, ServiceKind, Settings};
pub use repositories::{Repositories, Repository};
pub use unit::ReadText;

/// Why there is no usable configuration.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The file is not TOML, or a value has the wrong type; the source points at the place.
    #[error("{origin} is not a valid configuration")]
    Invalid {
        origin: String,
        source: Box<toml::de::Error>,
    },

    /// A key that does not exist: most often a typing error that would silently change nothing.
    #[error("{origin}, line {line}: there is no key `{key}`{}", suggestion(.nearest.as_deref()))]
    UnknownKey {
        origin: String,
        line: usize,
        key: String,
        nearest: Option<String>,
    },

    /// An environment variable that begins like one of ours and is none.
    #[error("the environment variable {name} sets no key of etcdrx.toml{}", suggestion(.nearest.as_deref()))]
    UnknownVariable {
        name: String,
        nearest: Option<String>,
    },

    /// A variable or flag whose text does not fit its key.
    #[error("{origin}: `{value}` is not {expected}")]
    BadValue {
        origin: String,
        value: String,
        expected: &'static str,
    },

    /// A configuration of etcd, or a manifest of its pod, that does not say what it should.
    #[error("{origin} does not tell how etcd is reached: {problem}")]
    NotEtcd { origin: String, problem: String },

    /// The cluster's name cannot be a folder.
    #[error("[cluster] name")]
    ClusterName { source: id::Error },

    /// A variable for a key of which there are several.
    #[error("the environment variable {name} could mean any of several repositories")]
    SeveralRepositories { name: String },

    /// A repository that is not configured.
    #[error("no repository is called `{wanted}`; there are: {known}")]
    NoRepository { wanted: String, known: String },

    /// A value that has the right type and makes no sense.
    #[error("[{table}] {key}: {problem}")]
    Senseless {
        table: &'static str,
        key: &'static str,
        problem: String,
    },
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |key| format!("; did you mean `{key}`?"))
}

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps `text`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: never print it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Where etcd is looked for if nobody says where it is, as etcdctl does.
pub const DEFAULT_ENDPOINT: &str = "127.0.0.1:2379";

/// A whole configuration.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Config {
    /// Which cluster, and how to reach it.
    pub cluster: Cluster,
    /// Where its backups live.
    #[serde(rename = "repository")]
    pub repositories: Repositories,
    /// How a backup is taken.
    pub backup: Backup,
    /// Which backups stay.
    pub retention: Policy,
    /// What is done by itself, and when.
    pub schedule: Schedule,
    /// Whom to tell.
    pub notify: Notify,
    /// Who may read the backups.
    pub encryption: Encryption,
    /// `[[node]]`
    #[serde(rename = "node")]
    pub nodes: Vec<Node>,
}

impl Config {
    /// The repository that is read where nobody names another: the first.
    #[must_use]
    pub fn repository(&self) -> &Repository {
        self.repositories.first()
    }

    /// Which backups stay in `repository`: its own policy, or else the one for all.
    #[must_use]
    pub fn retention_of<'a>(&'a self, repository: &'a Repository) -> &'a Policy {
        repository.retention.as_ref().unwrap_or(&self.retention)
    }
}

/// Which cluster, and how to reach it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Cluster {
    /// The folder of the cluster in the repository; `default` where nothing is said.
    pub name: String,
    /// Client URLs, in any order.
    pub endpoints: Vec<String>,
    /// The authority that signed the members' server certificates, as a PEM file.
    pub ca: Option<PathBuf>,
    /// Our client certificate, as a PEM file.
    pub cert: Option<PathBuf>,
    /// Its private key, as a PEM file.
    pub key: Option<PathBuf>,
    /// The user to log in as, where the cluster asks for a password.
    pub user: Option<String>,
    /// A file that holds the password and nothing else.
    pub password_file: Option<PathBuf>,
    /// The password from the environment; a file cannot hold it.
    #[serde(skip)]
    pub password: Option<Secret>,
}

impl Cluster {
    /// The folder of the cluster in the repository.
    ///
    /// # Errors
    /// If the configured name cannot be one.
    pub fn folder(&self) -> Result<ClusterName, Error> {
        let name = if self.name.is_empty() {
            "default"
        } else {
            &self.name
        };
        name.parse().map_err(|source| Error::ClusterName { source })
    }
}

/// How a backup is taken.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct Backup {
    /// `auto`, `leader`, or a member's name or endpoint.
    pub member: String,
    /// How hard to compress.
    pub compression_level: CompressionLevel,
    /// How many threads compress: 1 is best where etcd runs on the same machine.
    pub compression_threads: u32,
    /// How long the whole backup may take.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How long the stream may give nothing.
    #[serde(deserialize_with = "duration")]
    pub stall_timeout: Duration,
    /// Side files and directories that are stored encrypted with every backup.
    pub attach: Vec<PathBuf>,
}

impl Default for Backup {
    fn default() -> Self {
        Self {
            member: "auto".to_owned(),
            compression_level: CompressionLevel::Auto,
            compression_threads: 1,
            timeout: Duration::from_mins(15),
            stall_timeout: Duration::from_secs(30),
            attach: Vec::new(),
        }
    }
}

/// How hard to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionLevel {
    /// As much as keeps up with the stream.
    Auto,
    /// A level of zstd, 1 to 19.
    Fixed(i32),
}

impl<'de> Deserialize<'de> for CompressionLevel {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Raw {
            Number(i32),
            Text(String),
        }
        let number = match Raw::deserialize(deserializer)? {
            Raw::Number(number) => Some(number),
            Raw::Text(text) if text == "auto" => return Ok(Self::Auto),
            Raw::Text(text) => text.parse().ok(),
        };
        number
            .filter(|level| (1..=19).contains(level))
            .map(Self::Fixed)
            .ok_or_else(|| de::Error::custom("expected \"auto\" or a zstd level from 1 to 19"))
    }
}

/// Whom to tell how a run went.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Notify {
    /// Pinged at `/start`, at success and at `/fail`, as healthchecks.io defines them.
    pub heartbeat_url: Option<Secret>,
    /// Takes a JSON document after every run that did not end well.
    pub webhook_url: Option<Secret>,
    /// A file in the Prometheus text format, for the textfile collector.
    pub metrics_file: Option<PathBuf>,
}

/// What is done by itself, and when: cron expressions, read when a schedule is made of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Schedule {
    /// When a backup is taken.
    pub backup: Option<String>,
    /// When the newest backup is read and proven again.
    pub verify: Option<String>,
    /// When the retention policy is applied.
    pub prune: Option<String>,
    /// When the newest backup is booted.
    pub drill: Option<String>,
    /// When certificates are checked.
    pub certificates: Option<String>,
    /// The time zone of all of them, as the IANA calls it; UTC where nothing is said.
    pub timezone: Option<String>,
    /// How much later than said something may begin: for each a part of this, drawn once.
    #[serde(deserialize_with = "optional_duration")]
    pub jitter: Option<Duration>,
    /// Where metrics, health and status are served.
    pub listen: Option<String>,
}

/// Who may read the backups.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Encryption {
    /// age recipients; a list without any is a mistake, and none is no encryption.
    pub recipients: Option<Vec<String>>,
    /// The identity that opens them.
    pub identity_file: Option<PathBuf>,
    /// What signs the manifests of new backups: a private key of Ed25519.
    pub signing_key_file: Option<PathBuf>,
    /// What checks their signatures: its public key.
    pub verifying_key_file: Option<PathBuf>,
}

fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    let duration = humantime::parse_duration(&text)
        .map_err(|_| de::Error::custom(format!("`{text}` is not a duration such as \"15m\"")))?;
    if duration.is_zero() {
        return Err(de::Error::custom("a duration of zero leaves no time"));
    }
    Ok(duration)
}
