//! Situations, and the plans that they lead to.

mod one_member;
mod rebuild;

use std::collections::BTreeMap;

use chrono::DateTime;

use super::{Plan, Situation, Source, plan};
use crate::config::{Node, Reach, ServiceKind};
use crate::datadir::EntryPlace;
use crate::datadir::inspect::{Inspection, LogFacts};
use crate::id::{ClusterId, Digest, MemberId, Revision};
use crate::node::{Inspected, ProcessFacts, Running};
use crate::recovery::choices::{Choices, From, NewNode, SnapshotFile};
use crate::recovery::observation::{Backup, Class, Member, Observation, Peer, Quorum, Status};
use crate::recovery::playbook::{Kind, Playbook, Way};
use crate::recovery::scenario::Scenario;

/// What lies on a node.
#[derive(Clone, Copy, PartialEq)]
enum Lies {
    Unseen,
    Nothing,
    /// A whole directory, whose log reaches to this term and index.
    Log(u64, u64),
}

fn log(term: u64, index: u64) -> LogFacts {
    LogFacts {
        files: 1,
        first: None,
        last: Some(EntryPlace { term, index }),
        hard_state: None,
        snapshot: None,
        ending: "whole".to_owned(),
        damage: None,
        end_file: "0.wal".into(),
        end_offset_bytes: 0,
        leftover_bytes: 0,
        missing: None,
    }
}

fn inspected(lies: Lies, id: MemberId, running: Running) -> Option<Inspected> {
    let directory = match lies {
        Lies::Unseen => return None,
        Lies::Nothing => None,
        Lies::Log(term, index) => Some(Inspection {
            data_dir: "/d".into(),
            wal_dir: "/d/member/wal".into(),
            node_id: Some(id),
            cluster_id: Some(ClusterId(7)),
            log: Some(log(term, index)),
            snap: None,
            voters: None,
            learners: None,
            database_held: Some(false),
            database: None,
            free_bytes: None,
            files: Vec::new(),
            findings: Vec::new(),
        }),
    };
    Some(Inspected {
        directory,
        process: ProcessFacts {
            running,
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
    })
}

fn member(number: u64, class: Class, lies: Lies) -> Member {
    let id = MemberId(number);
    let answers = matches!(class, Class::Ok | Class::NoLeader);
    let running = match class {
        Class::Dead => Running::Stopped,
        Class::Hung => Running::Frozen,
        _ => Running::Running,
    };
    Member {
        name: format!("etcd-{number}"),
        id: Some(id),
        peer_urls: vec![format!("http://10.0.0.{number}:2380")],
        client_urls: Vec::new(),
        endpoint: Some(format!("http://10.0.0.{number}:2379")),
        listed: true,
        started: true,
        class,
        because: Vec::new(),
        status: answers.then(|| Status {
            member_id: id,
            cluster_id: ClusterId(7),
            version: "3.6.14".to_owned(),
            leader: (class == Class::Ok).then_some(MemberId(1)),
            raft_term: 2,
            raft_index: 100,
            applied_index: 100,
            revision: Revision(90),
            db_size_bytes: 4096,
        }),
        peer: Peer::default(),
        node: inspected(lies, id, running),
        node_error: (lies == Lies::Unseen).then(|| "no route to host".to_owned()),
    }
}

fn observation(members: Vec<Member>) -> Observation {
    let well = members
        .iter()
        .filter(|member| member.class == Class::Ok)
        .count();
    let need = members.len() / 2 + 1;
    let answering = members.iter().filter(|member| member.status.is_some());
    let names: Vec<String> = answering.map(|member| member.name.clone()).collect();
    Observation {
        at: DateTime::UNIX_EPOCH,
        quorum: Quorum {
            voters: members.len(),
            need,
            have: well,
            reads: well >= need,
            leader: (well >= need).then_some(MemberId(1)),
        },
        clusters: match names.is_empty() {
            true => BTreeMap::new(),
            false => [(ClusterId(7), names)].into(),
        },
        members,
        hashes: Vec::new(),
        alarms: Vec::new(),
        backups: vec![backup(80)],
        findings: Vec::new(),
    }
}

fn backup(revision: i64) -> Backup {
    Backup {
        id: "19691231T230000Z-9f3a1c".parse().unwrap(),
        cluster_id: ClusterId(7),
        revision: Revision(revision),
        raft_index: 85,
        started_at: DateTime::UNIX_EPOCH - chrono::Duration::hours(1),
        verified_at: None,
        snapshot_sha256: Digest([0; 32]),
        etcd_version: "3.6.14".to_owned(),
        db_size_bytes: 4096,
    }
}

fn nodes(count: u64) -> Vec<Node> {
    let node = |number| Node {
        name: format!("etcd-{number}"),
        reach: Reach::Local,
        peer_url: Some(format!("http://10.0.0.{number}:2380")),
        data_dir: Some("/var/lib/etcd".into()),
        service: Some(ServiceKind::Systemd("etcd.service".to_owned())),
        config_file: Some("/etc/etcd.yml".into()),
        ..Node::default()
    };
    (1..=count).map(node).collect()
}

fn planned(observation: &Observation, choices: &Choices) -> Plan {
    let nodes = nodes(observation.members.len() as u64 + 1);
    let nodes = &nodes[..observation.members.len() + choices.new_nodes.len()];
    plan(&Situation {
        observation,
        nodes,
        choices,
        playbook: &Playbook::embedded(choices.scenario),
    })
}

fn refused(plan: &Plan) -> String {
    plan.refused.join("\n")
}
