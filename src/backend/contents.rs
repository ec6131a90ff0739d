//! The small buckets: members, alarms, leases, users and roles, and what the database says of its cluster.

use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};

use super::Error;
use super::record::RecordKey;
use super::store::Store;
use crate::bolt::{Bytes, Order, Walk};
use crate::id::MemberId;
use crate::protobuf::{Fields, Value};

/// A member as the database knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredMember {
    /// Its id.
    pub id: MemberId,
    /// Its name; empty before it first started.
    pub name: String,
    /// Where the other members reach it.
    pub peer_urls: Vec<String>,
    /// Where clients reach it.
    pub client_urls: Vec<String>,
    /// Whether it has no vote.
    pub is_learner: bool,
}

/// What an alarm is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum AlarmKind {
    /// The quota is used up: the cluster takes no writes.
    NoSpace,
    /// The member's data differs from the others'.
    Corrupt,
    /// None that this release knows.
    Unknown,
}

/// An alarm that was raised and not disarmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// The member that raised it.
    pub member_id: MemberId,
    /// What it is about.
    pub kind: AlarmKind,
}

/// A lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Its id.
    pub id: i64,
    /// What it was granted, in seconds. A restore gives all of it again.
    pub ttl_seconds: i64,
}

/// What stands in the small buckets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The members.
    pub members: Vec<StoredMember>,
    /// The ids of members that were removed.
    pub removed_members: u64,
    /// The alarms.
    pub alarms: Vec<Alarm>,
    /// How many leases there are.
    pub leases: u64,
    /// The users' names.
    pub users: Vec<String>,
    /// The roles' names.
    pub roles: Vec<String>,
    /// Whether clients have to say who they are.
    pub auth_enabled: bool,
    /// The cluster version.
    pub cluster_version: Option<String>,
    /// Whether a downgrade was under way.
    pub downgrade_enabled: bool,
    /// The index of the last raft entry applied.
    pub consistent_index: Option<u64>,
    /// The term of that entry; written since etcd 3.5.
    pub term: Option<u64>,
    /// Whether a compaction was begun and not ended: etcd ends it when it starts.
    pub compaction_unfinished: bool,
}

/// Reads the small buckets.
///
/// # Errors
/// If one is damaged, or holds what etcd does not write there.
pub fn contents<B: Bytes>(store: &Store<B>) -> Result<Contents, Error> {
    let names = |bucket: &str| -> Result<Vec<String>, Error> {
        let entries = store.entries(bucket)?;
        Ok(entries
            .iter()
            .map(|(name, _)| String::from_utf8_lossy(name).into_owned())
            .collect())
    };
    let number = |name: &str| -> Result<Option<u64>, Error> {
        let value = store.value("meta", name)?;
        Ok(value.and_then(|bytes| Some(u64::from_be_bytes(bytes.try_into().ok()?))))
    };
    let compaction = |name: &str| -> Result<Option<i64>, Error> {
        let value = store.value("meta", name)?;
        Ok(value.and_then(|bytes| Some(RecordKey::read(&bytes)?.main)))
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let downgrade = store.value("cluster", "downgrade")?;
    Ok(Contents {
        members: members(store)?,
        removed_members: store.entries("members_removed")?.len() as u64,
        alarms: alarms(store)?,
        leases: count_leases(store)?,
        users: names("authUsers")?,
        roles: names("authRoles")?,
        auth_enabled: store
            .value("auth", "authEnabled")?
            .is_some_and(|value| value == [1]),
        cluster_version: store.value("cluster", "clusterVersion")?.map(text),
        downgrade_enabled: downgrade.is_some_and(|json| {
            serde_json::from_slice::<Downgrade>(&json).is_ok_and(|downgrade| downgrade.enabled)
        }),
        consistent_index: number("consistent_index")?,
        term: number("term")?,
        compaction_unfinished: compaction("scheduledCompactRev")?
            > compaction("finishedCompactRev")?,
    })
}

/// `cluster/downgrade`, as far as it matters.
#[derive(Deserialize)]
struct Downgrade {
    #[serde(default)]
    enabled: bool,
}

/// A member's JSON (`server/etcdserver/api/membership/member.go`).
#[derive(Deserialize)]
struct MemberJson {
    id: u64,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "peerURLs")]
    peer_urls: Option<Vec<String>>,
    #[serde(default, rename = "clientURLs")]
    client_urls: Option<Vec<String>>,
    #[serde(default, rename = "isLearner")]
    is_learner: bool,
}

fn members<B: Bytes>(store: &Store<B>) -> Result<Vec<StoredMember>, Error> {
    let entries = store.entries("members")?.into_iter();
    let read = entries.map(|(_, json)| {
        let member: MemberJson = serde_json::from_slice(&json).map_err(|_| Error::BadEntry {
            bucket: "members",
            problem: "a member that is not readable",
        })?;
        Ok(StoredMember {
            id: MemberId(member.id),
            name: member.name,
            peer_urls: member.peer_urls.unwrap_or_default(),
            client_urls: member.client_urls.unwrap_or_default(),
            is_learner: member.is_learner,
        })
    });
    read.collect()
}

fn alarms<B: Bytes>(store: &Store<B>) -> Result<Vec<Alarm>, Error> {
    let entries = store.entries("alarm")?.into_iter();
    let read = entries.map(|(bytes, _)| {
        let mut alarm = Alarm {
            member_id: MemberId(0),
            kind: AlarmKind::Unknown,
        };
        for field in Fields::of(&bytes) {
            match field {
                Ok((1, Value::Number(id))) => alarm.member_id = MemberId(id),
                Ok((2, Value::Number(1))) => alarm.kind = AlarmKind::NoSpace,
                Ok((2, Value::Number(2))) => alarm.kind = AlarmKind::Corrupt,
                Ok(_) => {}
                Err(_) => {
                    return Err(Error::BadEntry {
                        bucket: "alarm",
                        problem: "an alarm that is not readable",
                    });
                }
            }
        }
        Ok(alarm)
    });
    read.collect()
}

/// Leases can be many: they are counted as they go by.
fn count_leases<B: Bytes>(store: &Store<B>) -> Result<u64, Error> {
    let mut count = 0;
    if let Some(bucket) = store.bucket("lease") {
        let mut walk = Walk::new(store.database());
        walk.leaves(bucket, &[], Order::Ascending, &mut |_, leaf| {
            count += leaf.count() as u64;
            ControlFlow::Continue(())
        })?;
    }
    Ok(count)
}

impl Lease {
    /// Reads an entry of the bucket `lease`.
    #[must_use]
    pub fn read(value: &[u8]) -> Option<Self> {
        let mut lease = Self {
            id: 0,
            ttl_seconds: 0,
        };
        for field in Fields::of(value) {
            match field.ok()? {
                (1, Value::Number(id)) => lease.id = id.cast_signed(),
                (2, Value::Number(ttl)) => lease.ttl_seconds = ttl.cast_signed(),
                _ => {}
            }
        }
        Some(lease)
    }
}
