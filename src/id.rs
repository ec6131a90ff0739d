//! The names that things go by: backups, clusters, members, revisions, digests.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// How the time in a backup id is written: UTC, to the second.
const TIME_FORMAT: &str = "%Y%m%dT%H%M%SZ";

/// Why a text is not the name that it was taken for.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// A backup id has a fixed shape.
    #[error("`{text}` is not a backup id (they look like 20261121T103000Z-9f3a1c)")]
    NotABackupId { text: String },

    /// etcd writes cluster and member ids as hexadecimal numbers.
    #[error("`{text}` is not an id as etcd prints them (hexadecimal, at most 16 digits)")]
    NotAnId { text: String },

    /// A SHA-256 digest is 64 hexadecimal digits.
    #[error("`{text}` is not a SHA-256 digest (64 hexadecimal digits)")]
    NotADigest { text: String },

    /// The name of a cluster is a folder in every kind of object store.
    #[error(
        "`{text}` cannot name a cluster: use 1 to 64 letters, digits, `.`, `-` or `_`, beginning with a letter or digit"
    )]
    NotAClusterName { text: String },
}

/// The identity of one backup: its UTC start and a random tail, so that ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackupId(String);

impl BackupId {
    /// Names a backup that starts at `started`; only the lower 24 bits of `tail` count.
    #[must_use]
    pub fn new(started: DateTime<Utc>, tail: u32) -> Self {
        Self(format!(
            "{}-{:06x}",
            started.format(TIME_FORMAT),
            tail & 0x00ff_ffff
        ))
    }

    /// When the backup started, to the second.
    #[must_use]
    pub fn started_at(&self) -> DateTime<Utc> {
        parse_backup_time(&self.0).expect("an id is only made from text with a valid time")
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn parse_backup_time(text: &str) -> Option<DateTime<Utc>> {
    let time = text.get(..16)?;
    let parsed = NaiveDateTime::parse_from_str(time, TIME_FORMAT).ok()?;
    Some(parsed.and_utc())
}

impl FromStr for BackupId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let tail = text.get(16..).and_then(|rest| rest.strip_prefix('-'));
        let tail_is_hex = tail.is_some_and(|tail| {
            tail.len() == 6 && tail.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        });
        match parse_backup_time(text) {
            Some(_) if tail_is_hex => Ok(Self(text.to_owned())),
            _ => Err(Error::NotABackupId {
                text: text.to_owned(),
            }),
        }
    }
}

impl fmt::Display for BackupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The name of a cluster, which is its folder in the repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterName(String);

impl ClusterName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let all_plain = text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'));
        if starts_well && all_plain && text.len() <= 64 {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::NotAClusterName {
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Declares a 64-bit id that etcd prints as unpadded lower hexadecimal.
macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{:x}", self.0))
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                u64::from_str_radix(text, 16)
                    .map(Self)
                    .map_err(|_| Error::NotAnId { text: text.to_owned() })
            }
        }
    };
}

hex_id! {
    /// The id of a cluster, as etcd computes it from its first members and its token.
    ClusterId
}
hex_id! {
    /// The id of a member of a cluster.
    MemberId
}

/// A revision of the key-value store: every change of the cluster gets the next one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Revision(pub i64);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A SHA-256 digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Error::NotADigest {
            text: text.to_owned(),
        })?;
        Ok(Self(bytes))
    }
}

/// Lets a name travel through JSON as the text that it prints.
macro_rules! serde_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

serde_as_text!(BackupId, ClusterName, ClusterId, MemberId, Digest);

#[cfg(test)]
mod tests {
    use chrono::TimeZone;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_backup_id_shows_its_start_in_utc() {
        let start = Utc.with_ymd_and_hms(2026, 11, 21, 10, 30, 0).unwrap();
        let id = BackupId::new(start, 0xff9f_3a1c);
        assert_eq!(id.as_str(), "20261121T103000Z-9f3a1c");
        assert_eq!(id.started_at(), start);
    }

    #[test]
    fn text_of_another_shape_is_not_a_backup_id() {
        for text in [
            "",
            "latest",
            "20261121T103000Z",
            "20261121T103000Z-9F3A1C",
            "20261321T103000Z-9f3a1c",
            "20261121T103000Z-9f3a1c0",
            "20261121T103000Zé9f3a1c",
        ] {
            assert!(text.parse::<BackupId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_cluster_name_cannot_leave_its_folder() {
        for text in ["", ".", "..", "a/b", ".hidden", "a b", "é", &"x".repeat(65)] {
            assert!(text.parse::<ClusterName>().is_err(), "{text}");
        }
        assert!("prod-1.eu_west".parse::<ClusterName>().is_ok());
    }

    proptest! {
        #[test]
        fn backup_ids_survive_printing(seconds in 0_i64..4_000_000_000, tail: u32) {
            let id = BackupId::new(Utc.timestamp_opt(seconds, 0).unwrap(), tail);
            prop_assert_eq!(id.as_str().parse::<BackupId>().unwrap(), id.clone());
            prop_assert_eq!(id.started_at().timestamp(), seconds);
        }

        #[test]
        fn etcd_ids_survive_printing(id: u64) {
            prop_assert_eq!(MemberId(id).to_string().parse::<MemberId>().unwrap(), MemberId(id));
        }
    }
}
