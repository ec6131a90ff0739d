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

#[test]
fn a_follower_whose_data_are_whole_is_only_started() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Log(2, 90)),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Follower));
    assert_eq!(plan.way, Some(Way::Restart), "{:?}", plan.refused);
    assert_eq!(plan.target.as_deref(), Some("etcd-3"));
    let kinds: Vec<Kind> = plan.steps.iter().map(|step| step.action).collect();
    assert_eq!(
        kinds,
        [Kind::Start, Kind::WaitMember, Kind::CheckInvariants]
    );
    assert!(plan.steps.iter().all(|step| !step.destructive));
}

#[test]
fn a_follower_without_data_is_taken_out_before_it_comes_back() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Follower));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Replace), String::new())
    );
    let at = |kind| {
        plan.steps
            .iter()
            .position(|step| step.action == kind)
            .unwrap()
    };
    assert!(at(Kind::TakeSnapshot) < at(Kind::RemoveMember));
    assert!(at(Kind::RemoveMember) < at(Kind::AddMember));
    assert!(at(Kind::SetAside) < at(Kind::Start));
    assert!(!plan.begins_anew());
}

#[test]
fn nobody_is_taken_out_whom_the_quorum_needs() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
        member(3, Class::Ok, Lies::Log(2, 100)),
        member(4, Class::Dead, Lies::Nothing),
        member(5, Class::Dead, Lies::Nothing),
    ]);
    let mut choices = Choices::of(Scenario::Follower);
    let several = planned(&seen, &choices);
    assert!(
        refused(&several).contains("etcd-4, etcd-5"),
        "{}",
        refused(&several)
    );
    choices.member = Some("etcd-4".to_owned());
    assert_eq!(refused(&planned(&seen, &choices)), "");
    choices.member = Some("etcd-1".to_owned());
    let needed = planned(&seen, &choices);
    assert!(
        refused(&needed).contains("3 of them must be well, and 2 are"),
        "{}",
        refused(&needed)
    );
}

#[test]
fn a_new_member_joins_as_a_learner() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
    ]);
    let choices = Choices {
        new_nodes: vec![NewNode {
            name: "etcd-3".to_owned(),
            peer_url: "http://10.0.0.3:2380".to_owned(),
        }],
        ..Choices::of(Scenario::Follower)
    };
    let plan = planned(&seen, &choices);
    assert_eq!((plan.way, refused(&plan)), (Some(Way::Grow), String::new()));
    assert_eq!(
        plan.nodes_of(Kind::AddLearner).collect::<Vec<_>>(),
        ["etcd-3"]
    );
}

#[test]
fn a_cluster_with_a_quorum_is_never_rebuilt() {
    let seen = observation(vec![
        member(1, Class::Ok, Lies::Log(2, 100)),
        member(2, Class::Ok, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let choices = Choices {
        from: Some(From::Backup("latest".to_owned())),
        ..Choices::of(Scenario::Majority)
    };
    assert!(refused(&planned(&seen, &choices)).contains("has a quorum"));
    let total = planned(&seen, &Choices::of(Scenario::Total));
    assert!(
        refused(&total).contains("not all is lost: etcd-1, etcd-2"),
        "{}",
        refused(&total)
    );
}

#[test]
fn what_can_be_started_is_started_before_anything_is_rebuilt() {
    let seen = observation(vec![
        member(1, Class::NoLeader, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Log(2, 100)),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Majority));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Restart), String::new())
    );
    assert_eq!(plan.nodes_of(Kind::Start).collect::<Vec<_>>(), ["etcd-2"]);
    // Nobody hangs, and a survivor is not to be stopped.
    assert_eq!(plan.nodes_of(Kind::Stop).count(), 0);
    assert_eq!(plan.lost_revisions, Some(0));
}

#[test]
fn a_survivor_gives_its_snapshot_before_anything_is_stopped() {
    let seen = observation(vec![
        member(1, Class::NoLeader, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Nothing),
        member(3, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Majority));
    assert_eq!((plan.way, refused(&plan)), (Some(Way::Live), String::new()));
    assert_eq!(plan.steps[0].action, Kind::TakeSnapshot);
    let at = |kind| {
        plan.steps
            .iter()
            .position(|step| step.action == kind)
            .unwrap()
    };
    let last = |kind| {
        plan.steps
            .iter()
            .rposition(|step| step.action == kind)
            .unwrap()
    };
    assert!(last(Kind::Stage) < at(Kind::Stop));
    assert!(last(Kind::CheckPlaced) < at(Kind::Start));
    assert_eq!(plan.nodes_of(Kind::Stop).count(), 3);
}

#[test]
fn of_several_directories_the_one_that_reaches_furthest_is_salvaged_by_term_first() {
    let seen = observation(vec![
        member(1, Class::Dead, Lies::Log(2, 900)),
        member(2, Class::Dead, Lies::Log(3, 100)),
        member(3, Class::Dead, Lies::Nothing),
        member(4, Class::Dead, Lies::Nothing),
        member(5, Class::Dead, Lies::Nothing),
    ]);
    let plan = planned(&seen, &Choices::of(Scenario::Majority));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Salvage), String::new())
    );
    assert!(matches!(&plan.source, Some(Source::Salvage { member, .. }) if member == "etcd-2"));
}

#[test]
fn a_member_that_nobody_can_see_must_be_fenced() {
    let seen = observation(vec![
        member(1, Class::NoLeader, Lies::Log(2, 100)),
        member(2, Class::Dead, Lies::Nothing),
        member(3, Class::Unreachable, Lies::Unseen),
    ]);
    let mut choices = Choices::of(Scenario::Majority);
    let doubtful = planned(&seen, &choices);
    assert!(
        refused(&doubtful).contains("--fenced etcd-3"),
        "{}",
        refused(&doubtful)
    );
    choices.fenced.push("etcd-3".to_owned());
    let fenced = planned(&seen, &choices);
    assert_eq!(refused(&fenced), "");
    let names: Vec<&str> = fenced
        .members
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    assert_eq!(
        names,
        ["etcd-1", "etcd-2"],
        "who cannot be reached is no member of the new cluster"
    );
    assert_ne!(doubtful.digest, fenced.digest);
}

#[test]
fn with_nothing_left_the_newest_backup_is_restored_and_the_loss_is_told() {
    let seen = observation(
        (1..=3)
            .map(|number| member(number, Class::Dead, Lies::Nothing))
            .collect(),
    );
    let plan = planned(&seen, &Choices::of(Scenario::Total));
    assert_eq!(
        (plan.way, refused(&plan)),
        (Some(Way::Backup), String::new())
    );
    assert!(
        plan.lost.contains("after revision 80") && plan.lost.contains("1h ago"),
        "{}",
        plan.lost
    );
}

#[test]
fn a_file_that_nothing_proves_whole_is_refused() {
    let seen = observation(
        (1..=3)
            .map(|number| member(number, Class::Dead, Lies::Nothing))
            .collect(),
    );
    let file = |has_trailer| Choices {
        from: Some(From::File(SnapshotFile {
            path: "/tmp/x.db".into(),
            has_trailer,
            revision: Some(Revision(5)),
            size_bytes: 4096,
        })),
        ..Choices::of(Scenario::Total)
    };
    assert!(refused(&planned(&seen, &file(false))).contains("no SHA-256 trailer"));
    assert_eq!(refused(&planned(&seen, &file(true))), "");
}

#[test]
fn the_same_evidence_and_choices_give_the_same_digest_and_others_another() {
    let members = || {
        (1..=3)
            .map(|number| member(number, Class::Dead, Lies::Nothing))
            .collect()
    };
    let choices = Choices::of(Scenario::Total);
    let one = planned(&observation(members()), &choices);
    let mut later = observation(members());
    later.at += chrono::Duration::seconds(3);
    let again = planned(&later, &choices);
    assert_eq!(one.digest, again.digest);
    let mut other = observation(members());
    other.backups[0].revision = Revision(81);
    assert_ne!(one.digest, planned(&other, &choices).digest);
}

#[test]
fn a_second_run_finds_nothing_to_do() {
    let seen = observation(
        (1..=3)
            .map(|number| member(number, Class::Ok, Lies::Log(2, 100)))
            .collect(),
    );
    let plan = planned(&seen, &Choices::of(Scenario::Follower));
    assert!(
        plan.steps.is_empty() && refused(&plan).contains("nothing to do"),
        "{}",
        refused(&plan)
    );
}
