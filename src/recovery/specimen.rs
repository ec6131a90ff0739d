//! Observations made up for tests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, TimeDelta, Utc};

use super::observation::{Backup, Class, Member, MemberHash, Observation, Peer, Quorum, Status};
use crate::backend::Contents;
use crate::datadir::EntryPlace;
use crate::datadir::inspect::{Inspection, LogFacts};
use crate::id::{BackupId, ClusterId, Digest, MemberId, Revision};
use crate::manifest::{Finding, HashKv};
use crate::node::{CERTIFICATE_ENDED, DatabaseFacts, Inspected, ProcessFacts, Running};

pub(super) const CLUSTER: ClusterId = ClusterId(0xc1);

pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000, 0).unwrap()
}

/// A cluster of three that is well, `etcd-1` leading.
pub(super) fn three() -> Observation {
    let members: Vec<Member> = (1..=3).map(member).collect();
    let mut observation = Observation {
        at: now(),
        members,
        quorum: Quorum::default(),
        clusters: BTreeMap::new(),
        hashes: (1..=3).map(|number| hash(number, 7)).collect(),
        alarms: Vec::new(),
        backups: Vec::new(),
        findings: Vec::new(),
    };
    count(&mut observation);
    observation
}

/// Makes the quorum and the clusters fit the members.
pub(super) fn count(observation: &mut Observation) {
    let voters: Vec<&Member> = super::directory::voters(observation);
    let up = [Class::Ok, Class::NoLeader, Class::Starting];
    let have = voters.iter().filter(|one| up.contains(&one.class)).count();
    let well = voters.iter().filter(|one| one.class == Class::Ok).count();
    let need = voters.len() / 2 + 1;
    observation.quorum = Quorum {
        voters: voters.len(),
        need,
        have,
        reads: well >= need,
        leader: (well >= need).then_some(MemberId(1)),
    };
    observation.clusters.clear();
    for member in &observation.members {
        if let Some(status) = &member.status {
            let members = observation.clusters.entry(status.cluster_id).or_default();
            members.push(member.name.clone());
        }
    }
}

/// `etcd-<number>`, well, at revision 100.
pub(super) fn member(number: u64) -> Member {
    Member {
        name: format!("etcd-{number}"),
        id: Some(MemberId(number)),
        peer_urls: vec![format!("http://10.0.0.{number}:2380")],
        client_urls: vec![format!("http://10.0.0.{number}:2379")],
        endpoint: Some(format!("http://10.0.0.{number}:2379")),
        listed: true,
        started: true,
        class: Class::Ok,
        because: Vec::new(),
        status: Some(Status {
            member_id: MemberId(number),
            cluster_id: CLUSTER,
            version: "3.6.14".to_owned(),
            leader: Some(MemberId(1)),
            raft_term: 3,
            raft_index: 120,
            applied_index: 120,
            revision: Revision(100),
            db_size_bytes: 4096,
        }),
        peer: Peer::default(),
        node: None,
        node_error: None,
    }
}

/// Makes a member of the observation one of another class; who does not answer has no status.
pub(super) fn turn(observation: &mut Observation, number: usize, class: Class) {
    let member = &mut observation.members[number - 1];
    member.class = class;
    member.because = vec![format!("it is {class:?}")];
    match class {
        Class::Ok | Class::Learner | Class::Foreign => {}
        Class::NoLeader => {
            if let Some(status) = &mut member.status {
                status.leader = None;
            }
        }
        _ => member.status = None,
    }
    count(observation);
}

/// What lies on a node whose member does not run: a log up to `(term, index)`, and a database at `revision`.
pub(super) fn inspected(number: u64, last: (u64, u64), revision: i64) -> Inspected {
    let (term, index) = last;
    Inspected {
        directory: Some(Inspection {
            data_dir: PathBuf::from("/var/lib/etcd"),
            wal_dir: PathBuf::from("/var/lib/etcd/member/wal"),
            node_id: Some(MemberId(number)),
            cluster_id: Some(CLUSTER),
            log: Some(LogFacts {
                files: 1,
                first: None,
                last: Some(EntryPlace { term, index }),
                hard_state: None,
                snapshot: None,
                ending: "whole".to_owned(),
                damage: None,
                end_file: PathBuf::new(),
                end_offset_bytes: 0,
                leftover_bytes: 0,
                missing: None,
            }),
            snap: None,
            voters: None,
            learners: None,
            database_held: Some(false),
            database: Some(database(revision, index)),
            free_bytes: None,
            files: Vec::new(),
            findings: Vec::new(),
        }),
        process: ProcessFacts {
            running: Running::Stopped,
            pid: None,
            exit_code: None,
            force_new_cluster: Vec::new(),
            log: Vec::new(),
            etcd: None,
            version: None,
        },
        flags: BTreeMap::new(),
        findings: Vec::new(),
        set_aside: Vec::new(),
    }
}

fn database(revision: i64, index: u64) -> DatabaseFacts {
    DatabaseFacts {
        size_bytes: 4096,
        revision: Revision(revision),
        compact_revision: None,
        storage_version: None,
        checked: true,
        live_keys: Some(1),
        contents: Contents {
            members: Vec::new(),
            removed_members: 0,
            alarms: Vec::new(),
            leases: 0,
            users: Vec::new(),
            roles: Vec::new(),
            auth_enabled: false,
            cluster_version: None,
            downgrade_enabled: false,
            consistent_index: Some(index),
            term: Some(3),
            compaction_unfinished: false,
        },
    }
}

/// The same with nothing on the disk.
pub(super) fn blank() -> Inspected {
    Inspected {
        directory: None,
        ..inspected(0, (0, 0), 0)
    }
}

/// The same with an inspection that holds `code` against the directory.
pub(super) fn damaged(mut inspected: Inspected, code: &str) -> Inspected {
    let directory = inspected.directory.as_mut().unwrap();
    let finding = Finding::error(code, format!("{code}, it says"));
    directory.findings.push(finding);
    inspected
}

/// What lies on the node of a member whose certificate has ended.
pub(super) fn ended(mut inspected: Inspected) -> Inspected {
    let finding = Finding::error(CERTIFICATE_ENDED, "/pki/peer.crt ended");
    inspected.findings.push(finding);
    inspected
}

pub(super) fn hash(number: u64, hash: u32) -> MemberHash {
    MemberHash {
        member: format!("etcd-{number}"),
        member_id: MemberId(number),
        hashkv: HashKv {
            revision: Revision(100),
            compact_revision: Revision(-1),
            hash,
        },
    }
}

/// A backup of some minutes ago.
pub(super) fn backup(minutes: i64, revision: i64, is_verified: bool) -> Backup {
    let started_at = now() - TimeDelta::minutes(minutes);
    Backup {
        id: BackupId::new(started_at, 1),
        cluster_id: CLUSTER,
        revision: Revision(revision),
        raft_index: u64::try_from(revision).unwrap() + 20,
        locked: None,
        started_at,
        verified_at: is_verified.then_some(started_at),
        snapshot_sha256: Digest([0; 32]),
        etcd_version: "3.6.14".to_owned(),
        db_size_bytes: 4096,
    }
}
