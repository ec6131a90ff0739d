//! A machine that a member runs on: how it is reached, and where what belongs to etcd lies there.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize, de};

/// A machine that a member runs on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Node {
    /// The member's name.
    pub name: String,
    /// How commands get there.
    pub reach: Reach,
    /// Where members reach it.
    pub peer_url: Option<String>,
    /// Where clients reach it.
    pub client_url: Option<String>,
    /// The member's data directory, as etcd's `--data-dir` names it.
    pub data_dir: Option<PathBuf>,
    /// The directory of its log, where etcd runs with `--wal-dir`.
    pub wal_dir: Option<PathBuf>,
    /// etcd's configuration file.
    pub config_file: Option<PathBuf>,
    /// The file of variables that the unit reads.
    pub environment_file: Option<PathBuf>,
    /// What starts and stops etcd there.
    pub service: Option<ServiceKind>,
    /// With `command`: starts etcd and returns at once; `{config}` stands for the configuration file.
    pub start: Vec<String>,
    /// With `command`: stops etcd and returns at once.
    pub stop: Vec<String>,
    /// With `command`: exits 0 where etcd runs, and 3 where it is stopped.
    pub status: Vec<String>,
    /// The program etcd itself; found by itself where nothing is said.
    pub etcd: Option<PathBuf>,
    /// The configuration that `ssh` reads instead of the user's own.
    pub ssh_config: Option<PathBuf>,
}

/// How commands get to a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Reach {
    /// It is this machine.
    Local,
    /// By the system's `ssh`.
    Ssh {
        /// `[user@]host`, as `ssh` takes it.
        destination: String,
        /// The port, if not the one of the user's own configuration.
        port: Option<u16>,
    },
    /// By a person who types what is printed.
    #[default]
    Manual,
}

/// What kind of service etcd is on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceKind {
    /// A unit of systemd, by its name.
    Systemd(String),
    /// A pod of the kubelet, by its manifest.
    StaticPod(PathBuf),
    /// Commands of the site's own.
    Command,
}

/// A service with all that is needed to start and stop it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Service {
    /// A unit of systemd.
    Systemd {
        /// Its name.
        unit: String,
    },
    /// A pod of the kubelet.
    StaticPod {
        /// Its manifest, where the kubelet looks for it.
        manifest: PathBuf,
    },
    /// Commands of the site's own.
    Command {
        /// Starts etcd.
        start: Vec<String>,
        /// Stops it.
        stop: Vec<String>,
        /// Says whether it runs.
        status: Vec<String>,
    },
}

/// Where the flags of a member stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Settings {
    /// etcd's configuration file; beside it etcd ignores flags and variables.
    ConfigFile {
        /// Where it lies.
        path: PathBuf,
    },
    /// A file of variables, `ETCD_NAME=...`.
    EnvironmentFile {
        /// Where it lies.
        path: PathBuf,
    },
    /// The unit's command line.
    Unit {
        /// The unit's name.
        unit: String,
    },
    /// The manifest of a static pod.
    Manifest {
        /// Where it lies.
        path: PathBuf,
    },
}

impl Node {
    /// The service with its commands; `None` where nothing is said about it.
    #[must_use]
    pub fn service(&self) -> Option<Service> {
        Some(match self.service.clone()? {
            ServiceKind::Systemd(unit) => Service::Systemd { unit },
            ServiceKind::StaticPod(manifest) => Service::StaticPod { manifest },
            ServiceKind::Command => {
                let config = self.config_file.as_ref();
                let config = config.map(|path| path.display().to_string());
                let filled = |words: &[String]| {
                    let config = config.as_deref().unwrap_or_default();
                    let words = words.iter().map(|word| word.replace("{config}", config));
                    words.collect()
                };
                Service::Command {
                    start: filled(&self.start),
                    stop: filled(&self.stop),
                    status: filled(&self.status),
                }
            }
        })
    }

    /// Where its flags stand: the configuration file beats everything else, as it does for etcd.
    #[must_use]
    pub fn settings(&self) -> Option<Settings> {
        if let Some(path) = self.config_file.clone() {
            return Some(Settings::ConfigFile { path });
        }
        if let Some(path) = self.environment_file.clone() {
            return Some(Settings::EnvironmentFile { path });
        }
        match self.service.clone()? {
            ServiceKind::Systemd(unit) => Some(Settings::Unit { unit }),
            ServiceKind::StaticPod(path) => Some(Settings::Manifest { path }),
            ServiceKind::Command => None,
        }
    }

    /// What is missing before a machine can do anything there; empty where nothing is.
    #[must_use]
    pub fn gaps(&self) -> Vec<&'static str> {
        let mut gaps = Vec::new();
        if self.data_dir.is_none() {
            gaps.push("data_dir");
        }
        match &self.service {
            None => gaps.push("service"),
            Some(ServiceKind::Command) => {
                let commands = [
                    ("start", &self.start),
                    ("stop", &self.stop),
                    ("status", &self.status),
                ];
                let missing = commands.iter().filter(|(_, words)| words.is_empty());
                gaps.extend(missing.map(|(name, _)| *name));
            }
            Some(_) => {}
        }
        gaps
    }
}

impl FromStr for Reach {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "local" => return Ok(Self::Local),
            "manual" => return Ok(Self::Manual),
            _ => {}
        }
        let bad = || format!("`{text}` is not local, manual or ssh://[user@]host[:port]");
        let url = url::Url::parse(text).map_err(|_| bad())?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.filter(|_| url.scheme() == "ssh" && url.path().len() < 2);
        let host = host.ok_or_else(bad)?.trim_matches(['[', ']']);
        // What ssh would take for an option is no host.
        if host.starts_with('-') || url.username().starts_with('-') || url.password().is_some() {
            return Err(bad());
        }
        Ok(Self::Ssh {
            destination: match url.username() {
                "" => host.to_owned(),
                user => format!("{user}@{host}"),
            },
            port: url.port(),
        })
    }
}

impl fmt::Display for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Manual => f.write_str("manual"),
            Self::Ssh { destination, port } => match port {
                Some(port) => write!(f, "ssh://{destination}:{port}"),
                None => write!(f, "ssh://{destination}"),
            },
        }
    }
}

impl FromStr for ServiceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not systemd:UNIT, static-pod:MANIFEST or command");
        match text.split_once(':') {
            None if text == "command" => Ok(Self::Command),
            Some(("systemd", unit)) if !unit.is_empty() && !unit.starts_with('-') => {
                Ok(Self::Systemd(unit.to_owned()))
            }
            Some(("static-pod", path)) if path.starts_with('/') => {
                Ok(Self::StaticPod(PathBuf::from(path)))
            }
            _ => Err(bad()),
        }
    }
}

impl FromStr for Settings {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let path = |path: &str| PathBuf::from(path);
        Ok(match text.split_once(':') {
            Some(("config-file", rest)) if !rest.is_empty() => {
                Self::ConfigFile { path: path(rest) }
            }
            Some(("environment-file", rest)) if !rest.is_empty() => {
                Self::EnvironmentFile { path: path(rest) }
            }
            Some(("manifest", rest)) if !rest.is_empty() => Self::Manifest { path: path(rest) },
            Some(("unit", rest)) if !rest.is_empty() && !rest.starts_with('-') => Self::Unit {
                unit: rest.to_owned(),
            },
            _ => {
                return Err(format!(
                    "`{text}` is not config-file:FILE, environment-file:FILE, unit:UNIT or manifest:FILE"
                ));
            }
        })
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConfigFile { path } => write!(f, "config-file:{}", path.display()),
            Self::EnvironmentFile { path } => write!(f, "environment-file:{}", path.display()),
            Self::Unit { unit } => write!(f, "unit:{unit}"),
            Self::Manifest { path } => write!(f, "manifest:{}", path.display()),
        }
    }
}

impl<'de> Deserialize<'de> for Reach {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for ServiceKind {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_to_a_node_reads_as_it_is_written() {
        for text in [
            "local",
            "manual",
            "ssh://root@10.0.0.1:2222",
            "ssh://etcd-1",
        ] {
            assert_eq!(text.parse::<Reach>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "ssh://",
            "ssh://-oProxyCommand=x",
            "http://h",
            "ssh://h/path",
            "ssh://u:p@h",
        ] {
            assert!(text.parse::<Reach>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_service_of_commands_knows_its_configuration_file() {
        let node = Node {
            config_file: Some("/etc/etcd.yml".into()),
            service: Some("command".parse().unwrap()),
            start: vec!["run".to_owned(), "{config}".to_owned()],
            ..Node::default()
        };
        let Some(Service::Command { start, .. }) = node.service() else {
            panic!("a service of commands");
        };
        assert_eq!(start, ["run", "/etc/etcd.yml"]);
        assert_eq!(node.gaps(), ["data_dir", "stop", "status"]);
        assert!("systemd:--now".parse::<ServiceKind>().is_err());
    }
}
