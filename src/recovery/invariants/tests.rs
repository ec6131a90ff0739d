use std::path::PathBuf;

use super::*;
use crate::id::MemberId;
use crate::node::Running;
use crate::recovery::Observation;
use crate::recovery::observation::Class;
use crate::recovery::specimen::{CLUSTER, blank, inspected, member, now, three, turn};

/// Three members on nodes that were looked at, and what they should be after a restore.
fn restored() -> (Expectation, Observation) {
    let mut seen = three();
    for (at, member) in seen.members.iter_mut().enumerate() {
        let mut node = inspected(u64::try_from(at).unwrap() + 1, (3, 120), 100);
        node.process.running = Running::Running;
        let flags = [
            (
                "initial-cluster",
                "etcd-1=http://10.0.0.1:2380,etcd-3=http://10.0.0.3:2380, etcd-2=http://10.0.0.2:2380",
            ),
            ("initial-cluster-state", "existing"),
            ("initial-cluster-token", "t"),
        ];
        let flags = flags.map(|(name, value)| (name.to_owned(), value.to_owned()));
        node.flags = flags.into();
        node.set_aside = vec![PathBuf::from("/var/lib/etcd/member.etcdrx-r1")];
        member.node = Some(node);
    }
    let names = ["etcd-1", "etcd-2", "etcd-3"].map(str::to_owned).to_vec();
    let members = (1..=3).map(|number| {
        let member = member(number);
        PlannedMember {
            name: member.name,
            peer_urls: member.peer_urls,
            id: member.id,
        }
    });
    let expected = Expectation {
        members: members.collect(),
        old_cluster: Some(ClusterId(0xab)),
        begins_anew: true,
        revision_before: Some(Revision(90)),
        is_bumped: true,
        configured: names.clone(),
        token: Some("t".to_owned()),
        set_aside: names,
        run: "r1".to_owned(),
        ..Expectation::default()
    };
    (expected, seen)
}

fn judged(expected: &Expectation, seen: &Observation) -> Vec<Invariant> {
    let mut all = seen::invariants(expected, seen);
    all.extend(nodes::invariants(expected, seen));
    all.sort_by_key(|invariant| number(&invariant.code));
    all
}

/// The names of those that do not hold, and of those that nobody could look at.
fn bad(expected: &Expectation, seen: &Observation) -> (Vec<String>, Vec<String>) {
    let all = judged(expected, seen);
    let of = |ok: Option<bool>| {
        let found = all.iter().filter(|one| one.ok == ok);
        found.map(|one| one.code.clone()).collect()
    };
    (of(Some(false)), of(None))
}

fn nothing() -> Vec<String> {
    Vec::new()
}

#[test]
fn a_good_restore_holds_in_everything_and_says_what_was_seen() {
    let (expected, seen) = restored();

    let all = judged(&expected, &seen);

    let codes: Vec<&str> = all.iter().map(|one| one.code.as_str()).collect();
    assert_eq!(
        codes,
        [
            "I1", "I2", "I3", "I4", "I9", "I14", "I17", "I18", "I19", "I20"
        ]
    );
    assert!(all.iter().all(|one| one.ok == Some(true)), "{all:#?}");
    assert!(all.iter().all(|one| !one.evidence.is_empty()), "{all:#?}");
}

#[test]
fn nodes_that_nobody_looked_at_leave_their_invariants_open() {
    let (expected, mut seen) = restored();
    seen.members[1].node = None;

    let open = ["I17", "I18", "I19", "I20"].map(str::to_owned).to_vec();
    assert_eq!(bad(&expected, &seen), (nothing(), open));

    // What is wrong elsewhere is wrong all the same.
    seen.members[0].node = Some(blank());
    assert_eq!(bad(&expected, &seen).0, ["I19", "I20"]);
}

/// Fails unless the invariant does, after something was changed.
fn change(code: &str, change: fn(&mut Expectation, &mut Observation)) {
    let (mut expected, mut seen) = restored();
    change(&mut expected, &mut seen);
    let (failed, _) = bad(&expected, &seen);
    assert!(failed.contains(&code.to_owned()), "{code}: {failed:?}");
}

#[test]
fn every_change_of_the_cluster_is_seen_by_its_own_invariant() {
    change("I1", |_, seen| {
        seen.members.pop();
    });
    change("I1", |_, seen| {
        let mut learner = member(4);
        learner.class = Class::Learner;
        seen.members.push(learner);
    });
    change("I1", |_, seen| seen.members[0].started = false);
    change("I1", |_, seen| turn(seen, 2, Class::Dead));
    change("I1", |expected, _| {
        expected.members[0].peer_urls = vec!["http://10.9.9.9:2380".to_owned()];
    });
    change("I2", |_, seen| {
        seen.members[0].status.as_mut().unwrap().leader = Some(MemberId(2));
    });
    change("I2", |_, seen| {
        seen.members[0].status.as_mut().unwrap().raft_term = 4;
    });
    change("I3", |expected, _| expected.old_cluster = Some(CLUSTER));
    change("I3", |expected, _| expected.begins_anew = false);
    change("I3", |_, seen| {
        seen.members[2].peer.cluster_id = Some(ClusterId(0xee));
    });
    change("I4", |_, seen| {
        seen.clusters
            .insert(ClusterId(0xab), vec!["etcd-9".to_owned()]);
    });
    change("I9", |expected, _| {
        expected.revision_before = Some(Revision(101));
    });
    change("I14", |_, seen| {
        seen.alarms.push(Alarm {
            kind: "NOSPACE".to_owned(),
            member_id: MemberId(1),
        });
    });
}

#[test]
fn every_change_of_a_node_is_seen_by_its_own_invariant() {
    change("I17", |_, seen| {
        let node = seen.members[1].node.as_mut().unwrap();
        node.process.force_new_cluster = vec!["the unit etcd.service".to_owned()];
    });
    for (flag, value) in [
        ("initial-cluster", "etcd-1=http://10.0.0.1:2380"),
        ("initial-cluster-state", "new"),
        ("initial-cluster-token", "etcd-cluster-1"),
    ] {
        let (expected, mut seen) = restored();
        let node = seen.members[1].node.as_mut().unwrap();
        node.flags.insert(flag.to_owned(), value.to_owned());
        assert_eq!(bad(&expected, &seen).0, ["I18"], "{flag}");
    }
    change("I19", |_, seen| {
        seen.members[1].node = Some(inspected(77, (3, 120), 100));
    });
    change("I19", |_, seen| {
        let node = seen.members[1].node.as_mut().unwrap();
        node.set_aside
            .push(PathBuf::from("/var/lib/etcd/etcdrx-staged-r1"));
    });
    change("I20", |expected, _| expected.run = "r2".to_owned());
}

#[test]
fn a_regression_that_was_decided_on_is_told_and_no_failure() {
    let (mut expected, seen) = restored();
    expected.revision_before = Some(Revision(500));
    expected.is_bumped = false;

    assert_eq!(bad(&expected, &seen), (nothing(), vec!["I9".to_owned()]));
    let all = judged(&expected, &seen);
    let told = all.iter().find(|one| one.code == "I9").unwrap();
    assert!(
        told.evidence[0].contains("went back from 500 to 100"),
        "{told:?}"
    );
    assert_eq!(seen.at, now());
}
