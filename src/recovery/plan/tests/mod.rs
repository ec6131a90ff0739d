//! Situations, and the plans that they lead to.

mod in_place;
mod one_member;
mod rebuild;
mod traps;

use super::{Plan, Situation, Source, plan};
use crate::config::{Node, Reach, ServiceKind};
use crate::id::Revision;
use crate::node::Running;
use crate::recovery::choices::{Choices, From, NewNode, SnapshotFile};
use crate::recovery::observation::{Class, Member, Observation};
use crate::recovery::playbook::{Kind, Playbook, Way};
use crate::recovery::scenario::Scenario;
use crate::recovery::specimen;

/// What lies on a node.
#[derive(Clone, Copy, PartialEq)]
enum Lies {
    Unseen,
    Nothing,
    /// A whole directory, whose log reaches to this term and index.
    Log(u64, u64),
}

fn member(number: u64, class: Class, lies: Lies) -> Member {
    let member = specimen::member(number);
    let answers = matches!(class, Class::Ok | Class::NoLeader);
    let status = member.status.clone().filter(|_| answers);
    let mut node = match lies {
        Lies::Unseen => None,
        Lies::Nothing => Some(specimen::blank()),
        Lies::Log(term, index) => Some(specimen::inspected(number, (term, index), 90)),
    };
    if let Some(node) = &mut node {
        node.process.running = match class {
            Class::Dead => Running::Stopped,
            Class::Hung => Running::Frozen,
            _ => Running::Running,
        };
    }
    Member {
        class,
        status,
        node,
        node_error: (lies == Lies::Unseen).then(|| "no route to host".to_owned()),
        ..member
    }
}

/// Its log may have lost its end.
fn with_a_cut_log(member: Member) -> Member {
    let node = member.node.clone().unwrap();
    Member {
        node: Some(specimen::damaged(node, "wal-records-follow")),
        ..member
    }
}

/// With a backup of an hour ago, at revision 80.
fn observation(members: Vec<Member>) -> Observation {
    let mut observation = Observation {
        members,
        backups: vec![specimen::backup(60, 80, false)],
        ..specimen::three()
    };
    specimen::count(&mut observation);
    observation
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
