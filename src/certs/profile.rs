//! What a certificate of each kind holds: a file a kind in `certs/`, embedded, and to be replaced by a site's own.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use thiserror::Error;

use super::judge::Usage;
use super::key::KeyType;

/// Why a profile cannot be used.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// It is not TOML, or holds an unknown key.
    #[error("the profile `{kind}` cannot be read")]
    Unreadable {
        kind: Kind,
        source: Box<toml::de::Error>,
    },

    /// etcd would refuse such a certificate.
    #[error("the profile `{kind}` {problem}")]
    RefusedByEtcd { kind: Kind, problem: String },

    /// No length of time.
    #[error("`{text}` is no length of time such as 1y, 90d or 43800h")]
    NoDuration { text: String },
}

/// The kinds of certificates that etcd's world has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The authority of the client port.
    Ca,
    /// The authority of the peer port.
    PeerCa,
    /// What a member shows on its client port.
    Server,
    /// What a member shows to members.
    Peer,
    /// What a user of etcd shows.
    Client,
    /// What etcdrx shows.
    Backup,
    /// What a health check shows.
    Healthcheck,
    /// What `etcd grpc-proxy` shows.
    Proxy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Ca,
        Self::PeerCa,
        Self::Server,
        Self::Peer,
        Self::Client,
        Self::Backup,
        Self::Healthcheck,
        Self::Proxy,
    ];

    /// How it is called in files and commands.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::PeerCa => "peer-ca",
            Self::Server => "server",
            Self::Peer => "peer",
            Self::Client => "client",
            Self::Backup => "backup",
            Self::Healthcheck => "healthcheck",
            Self::Proxy => "proxy",
        }
    }

    /// Whether it signs others.
    #[must_use]
    pub fn is_authority(self) -> bool {
        matches!(self, Self::Ca | Self::PeerCa)
    }

    /// Whether a server shows it, so that it must hold the names that it is called by.
    #[must_use]
    pub fn is_of_a_member(self) -> bool {
        matches!(self, Self::Server | Self::Peer)
    }

    fn embedded(self) -> &'static str {
        match self {
            Self::Ca => include_str!("../../certs/ca.toml"),
            Self::PeerCa => include_str!("../../certs/peer-ca.toml"),
            Self::Server => include_str!("../../certs/server.toml"),
            Self::Peer => include_str!("../../certs/peer.toml"),
            Self::Client => include_str!("../../certs/client.toml"),
            Self::Backup => include_str!("../../certs/backup.toml"),
            Self::Healthcheck => include_str!("../../certs/healthcheck.toml"),
            Self::Proxy => include_str!("../../certs/proxy.toml"),
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Who signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Signer {
    /// Nobody else.
    Itself,
    /// The authority of the client port.
    Ca,
    /// The authority of the peer port.
    PeerCa,
}

/// What a certificate of one kind holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The kind, which is the file's name.
    #[serde(skip, default = "client")]
    pub kind: Kind,
    /// Who signs it.
    pub signed_by: Signer,
    /// The common name; `{name}` stands for the member's or client's name, `{unique}` for a date and four random digits.
    pub common_name: String,
    /// The organization in the subject; etcd ignores it.
    #[serde(default)]
    pub organization: Option<String>,
    /// The extended key usage.
    #[serde(default)]
    pub extended_key_usage: Vec<Usage>,
    /// Names and addresses besides the member's own.
    #[serde(default)]
    pub names: Vec<String>,
    /// The kind of key.
    #[serde(default)]
    pub key_type: KeyType,
    /// How long it is valid.
    #[serde(deserialize_with = "validity")]
    pub validity: Duration,
}

fn client() -> Kind {
    Kind::Client
}

fn validity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_validity(&text).map_err(serde::de::Error::custom)
}

/// Reads a length of time: `1y`, `90d`, `43800h`.
///
/// # Errors
/// If it is none, or none at all.
pub fn parse_validity(text: &str) -> Result<Duration, Error> {
    let duration = humantime::parse_duration(text).ok();
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| Error::NoDuration {
            text: text.to_owned(),
        })
}

impl Profile {
    /// The profile that etcdrx brings.
    #[must_use]
    pub fn embedded(kind: Kind) -> Self {
        Self::parse(kind, kind.embedded()).expect("a test reads every embedded profile")
    }

    /// The text of the profile that etcdrx brings, to start a site's own from.
    #[must_use]
    pub fn embedded_text(kind: Kind) -> &'static str {
        kind.embedded()
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// If it cannot be read, or if etcd would refuse what it makes.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, Error> {
        let profile: Self = toml::from_str(text).map_err(|source| Error::Unreadable {
            kind,
            source: Box::new(source),
        })?;
        let profile = Self { kind, ..profile };
        match profile.flaw() {
            Some(problem) => Err(Error::RefusedByEtcd { kind, problem }),
            None => Ok(profile),
        }
    }

    /// What etcd, or a client of it, would hold against such a certificate.
    fn flaw(&self) -> Option<String> {
        let has = |purpose| self.extended_key_usage.contains(&purpose);
        let missing =
            |purpose: &str, why: &str| Some(format!("lacks {purpose}, without which {why}"));
        if self.kind.is_authority() {
            if self.signed_by != Signer::Itself {
                return Some("must be signed by itself".to_owned());
            }
            if !self.extended_key_usage.is_empty() {
                return Some(
                    "has an extended key usage, which would restrict every certificate below it"
                        .to_owned(),
                );
            }
            return (!self.common_name.contains("{unique}")).then(|| {
                "needs `{unique}` in its common name: two authorities of one name cannot be told apart".to_owned()
            });
        }
        if self.signed_by == Signer::Itself {
            return Some("must be signed by an authority".to_owned());
        }
        if !has(Usage::Client) {
            return match self.kind.is_of_a_member() {
                true => missing(
                    "clientAuth",
                    "the HTTP gateway and the links between members break",
                ),
                false => missing("clientAuth", "etcd accepts no client"),
            };
        }
        match self.kind {
            Kind::Server | Kind::Peer if !has(Usage::Server) => {
                missing("serverAuth", "nobody accepts the server")
            }
            Kind::Proxy if !self.common_name.is_empty() => {
                Some("has a common name, which `etcd grpc-proxy` refuses".to_owned())
            }
            Kind::Server | Kind::Peer => None,
            _ if !self.names.is_empty() => Some(
                "holds names, which etcd compares with the client's address where it serves metrics over https"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_profile_can_be_used() {
        for kind in Kind::ALL {
            let profile = Profile::embedded(kind);
            assert_eq!(profile.kind, kind);
            assert!(profile.validity >= Duration::from_hours(360 * 24));
        }
    }

    fn refused(kind: Kind, from: &str, to: &str) -> String {
        let text = kind.embedded();
        assert!(text.contains(from), "{kind}: {from}");
        Profile::parse(kind, &text.replace(from, to))
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn no_profile_can_make_what_etcd_refuses() {
        let both = r#"["serverAuth", "clientAuth"]"#;
        let client = r#"["clientAuth"]"#;
        assert!(refused(Kind::Server, both, r#"["serverAuth"]"#).contains("lacks clientAuth"));
        assert!(refused(Kind::Peer, both, client).contains("lacks serverAuth"));
        assert!(refused(Kind::Client, client, r#"["serverAuth"]"#).contains("lacks clientAuth"));
        assert!(refused(Kind::Client, client, "[]").contains("lacks clientAuth"));
        let usage = "extended_key_usage = [\"serverAuth\"]\nsigned_by";
        assert!(refused(Kind::Ca, "signed_by", usage).contains("restrict"));
        assert!(refused(Kind::Ca, "-{unique}", "").contains("unique"));
        assert!(refused(Kind::Proxy, "\"\"", "\"proxy\"").contains("common name"));
        assert!(refused(Kind::Peer, "\"peer-ca\"", "\"itself\"").contains("authority"));
        assert!(
            refused(Kind::Client, "signed_by", "usages = []\nsigned_by").contains("cannot be read")
        );
        assert!(refused(Kind::Client, "\"1y\"", "\"soon\"").contains("cannot be read"));
    }

    #[test]
    fn validity_is_read_in_every_customary_form() {
        let hours = |text| parse_validity(text).unwrap().as_secs() / 3600;
        assert_eq!(hours("43800h"), 43800);
        assert_eq!(hours("90d"), 90 * 24);
        assert_eq!(hours("1y"), 8766);
        assert!(parse_validity("0s").is_err());
        assert!(parse_validity("1").is_err());
    }
}
