use super::*;
use crate::id::{ClusterId, MemberId};
use crate::manifest::Finding;
use crate::node::{Inspected, Running};
use crate::recovery::specimen::{
    backup, blank, count, damaged, ended, hash, inspected, member, three, turn,
};

fn codes(diagnosis: &Diagnosis) -> Vec<String> {
    let conditions = diagnosis.conditions.iter();
    conditions.map(|found| found.condition.code()).collect()
}

/// The worst condition, the scenario, and how sure it is.
fn judged(seen: &Observation) -> (String, Option<Scenario>, Confidence) {
    let diagnosis = judge(seen);
    (
        diagnosis.condition().code(),
        diagnosis.scenario,
        diagnosis.confidence,
    )
}

fn worst(seen: &Observation) -> String {
    judge(seen).condition().code()
}

/// Three members of these classes.
fn of(classes: [Class; 3]) -> Observation {
    let mut seen = three();
    for (at, class) in classes.into_iter().enumerate() {
        if class != Class::Ok {
            turn(&mut seen, at + 1, class);
        }
    }
    seen
}

use Class::{Dead, Hung, NoLeader, Ok as Well, Refused, Starting, Unreachable};
use Confidence::{Certain, Likely, Unclear};

#[test]
fn nothing_is_called_healthy_that_was_not_looked_at() {
    let mut seen = three();
    assert_eq!(worst(&seen), "healthy");
    assert!(judge(&seen).is_healthy());

    seen.findings
        .push(Finding::warning("backups-unseen", "no way there"));
    let diagnosis = judge(&seen);
    assert_eq!(codes(&diagnosis), ["partly-seen"]);
    assert!(diagnosis.evidence.contains(&"no way there".to_owned()));

    let mut seen = three();
    seen.hashes.clear();
    assert_eq!(worst(&seen), "partly-seen");
    seen.members.truncate(1);
    count(&mut seen);
    assert_eq!(worst(&seen), "healthy");
}

#[test]
fn one_member_less_is_judged_by_what_lies_on_its_node() {
    let follower = Some(Scenario::Follower);
    let mut seen = of([Well, Well, Dead]);
    let mut expect = |node: Option<Inspected>, code: &str, confidence| {
        seen.members[2].node = node;
        assert_eq!(judged(&seen), (code.to_owned(), follower, confidence));
    };
    let whole = || inspected(3, (3, 110), 90);
    expect(None, "follower-down", Likely);
    expect(Some(whole()), "follower-down", Certain);
    expect(Some(blank()), "follower-data-lost", Certain);
    expect(
        Some(inspected(99, (3, 110), 90)),
        "follower-data-lost",
        Certain,
    );
    for code in ["wal-damaged", "database-damaged", "commit-beyond-log"] {
        expect(Some(damaged(whole(), code)), "follower-corrupt", Certain);
    }
    // A log of raft alone rebuilds its database.
    expect(
        Some(damaged(whole(), "no-database")),
        "follower-down",
        Certain,
    );
    let said = |line: &str| {
        let mut node = whole();
        node.process.log = vec![line.to_owned()];
        Some(node)
    };
    expect(
        said("panic: tocommit(9) is out of range [lastIndex(3)]"),
        "follower-corrupt",
        Certain,
    );
    expect(
        said("the member has been permanently removed from the cluster"),
        "follower-data-lost",
        Certain,
    );
    expect(
        said("bind: address already in use"),
        "follower-down",
        Certain,
    );
}

#[test]
fn other_ways_of_not_being_well_have_names_of_their_own() {
    let follower = Some(Scenario::Follower);
    let cases = [
        (Hung, "follower-hung", follower, Certain),
        (Unreachable, "follower-unreachable", follower, Likely),
        (NoLeader, "member-isolated", None, Certain),
        (Starting, "member-starting", None, Unclear),
        (Refused, "not-allowed", None, Certain),
    ];
    for (class, code, scenario, confidence) in cases {
        let seen = of([Well, Well, class]);
        assert_eq!(judged(&seen), (code.to_owned(), scenario, confidence));
    }
    let mut seen = of([Well, Well, Refused]);
    let tls = "http://10.0.0.3:2379: it speaks TLS: use https:// for this endpoint";
    seen.findings.push(Finding::error("tls", tls));
    assert_eq!(worst(&seen), "not-a-disaster-tls");
    // One who is down comes before one who only refuses us.
    let mut seen = of([Well, Dead, Refused]);
    seen.quorum.reads = true;
    assert_eq!(codes(&judge(&seen)), ["follower-down", "not-allowed"]);
}

#[test]
fn without_a_quorum_what_is_left_decides() {
    let majority = Some(Scenario::Majority);
    let seen = of([NoLeader, Dead, Dead]);
    assert_eq!(
        judged(&seen),
        ("majority-survivor-live".to_owned(), majority, Likely)
    );
    let mut seen = of([NoLeader, Dead, Dead]);
    seen.members[1].node = Some(blank());
    seen.members[2].node = Some(blank());
    assert_eq!(
        judged(&seen),
        ("majority-survivor-live".to_owned(), majority, Certain)
    );
    seen.members[2].node = Some(inspected(3, (3, 110), 90));
    assert_eq!(worst(&seen), "majority-restartable");

    let mut seen = of([Dead, Dead, Dead]);
    assert_eq!(
        judged(&seen),
        ("majority-unseen".to_owned(), majority, Likely)
    );
    for number in 0..3 {
        seen.members[number].node = Some(blank());
    }
    assert_eq!(
        judged(&seen),
        ("total".to_owned(), Some(Scenario::Total), Certain)
    );
    let whole = inspected(1, (3, 110), 90);
    seen.members[0].node = Some(damaged(whole.clone(), "wal-damaged"));
    assert_eq!(worst(&seen), "majority-db-only");
    seen.members[0].node = Some(whole);
    assert_eq!(
        judged(&seen),
        ("majority-salvage".to_owned(), majority, Certain)
    );
}

#[test]
fn who_cannot_be_reached_may_be_alive() {
    let seen = of([Unreachable, Unreachable, Unreachable]);
    assert_eq!(
        judged(&seen),
        ("not-a-disaster-network".to_owned(), None, Unclear)
    );
    assert!(!judge(&seen).reached_anything());
    let mut seen = of([Dead, Dead, Unreachable]);
    seen.members[0].node = Some(blank());
    seen.members[1].node = Some(blank());
    assert_eq!(
        judged(&seen),
        (
            "majority-unseen".to_owned(),
            Some(Scenario::Majority),
            Unclear
        )
    );
}

#[test]
fn tls_is_suspected_before_a_disaster_unless_enough_are_gone_for_certain() {
    let seen = of([Refused, Refused, Refused]);
    assert_eq!(
        judged(&seen),
        ("not-a-disaster-tls".to_owned(), None, Certain)
    );
    let seen = of([Refused, Refused, Dead]);
    assert_eq!(
        judged(&seen),
        ("not-a-disaster-tls".to_owned(), None, Likely)
    );
    assert_eq!(worst(&of([Refused, Dead, Dead])), "majority-unseen");
}

#[test]
fn a_certificate_that_ended_is_named_where_it_is_the_reason() {
    let with = |classes, members: &[u8]| {
        let mut seen = of(classes);
        for at in members.iter().copied() {
            let whole = inspected(u64::from(at) + 1, (3, 110), 90);
            seen.members[usize::from(at)].node = Some(ended(whole));
        }
        judge(&seen)
    };
    let certificate = ["not-a-disaster-certificate"];
    let one = with([Well, Well, Starting], &[2]);
    assert_eq!(
        (codes(&one), one.scenario),
        (certificate.map(str::to_owned).to_vec(), None)
    );
    assert!(
        one.verdict.starts_with("etcd-3 has a certificate"),
        "{}",
        one.verdict
    );
    assert_eq!(one.ways[0].command, "etcdrx certs renew etcd-3");
    let two = with([NoLeader, Starting, Starting], &[1, 2]);
    assert_eq!(
        (codes(&two), two.scenario),
        (certificate.map(str::to_owned).to_vec(), None)
    );
    // The others are a quorum without it.
    let other = with([NoLeader, NoLeader, Starting], &[2]);
    assert_eq!(codes(&other), ["election-under-way"]);
    // So many are gone that a certificate is the smaller matter.
    let lost = with([Starting, Dead, Dead], &[0]);
    assert_eq!(codes(&lost), ["majority-salvage"]);
    assert_eq!(codes(&with([Well, Well, Dead], &[2])), ["follower-down"]);
}

#[test]
fn enough_who_are_alive_can_have_a_leader() {
    let seen = of([NoLeader, NoLeader, NoLeader]);
    assert_eq!(
        judged(&seen),
        ("election-under-way".to_owned(), None, Unclear)
    );
    assert_eq!(worst(&of([Starting, Starting, Dead])), "election-under-way");
    // Two who are alive still name the third.
    let mut seen = of([Dead, NoLeader, NoLeader]);
    seen.members[1].status.as_mut().unwrap().leader = Some(MemberId(1));
    assert_eq!(
        judged(&seen),
        ("leader-lost".to_owned(), Some(Scenario::Leader), Likely)
    );
    // An election that was over before the look ended.
    let mut seen = of([Well, Well, Dead]);
    let change = "an election happened while we looked: x first named 3, and then 1";
    seen.findings.push(Finding::note("leader-changed", change));
    assert_eq!(worst(&seen), "leader-lost");
}

#[test]
fn the_odd_one_out_is_the_one_that_differs_from_more_than_half() {
    let mut seen = three();
    seen.hashes[2] = hash(3, 8);
    let diagnosis = judge(&seen);
    assert_eq!(codes(&diagnosis), ["silent-corruption"]);
    assert_eq!(diagnosis.scenario, Some(Scenario::Follower));
    assert_eq!(diagnosis.conditions[0].members, ["etcd-3"]);

    // Three opinions: a person decides.
    seen.hashes[1] = hash(2, 9);
    let diagnosis = judge(&seen);
    assert_eq!(codes(&diagnosis), ["silent-corruption"]);
    assert_eq!(diagnosis.scenario, None);
    assert_eq!(diagnosis.ways, []);

    // Not comparable: another compaction, or the compacted revision itself.
    let mut seen = three();
    seen.hashes[2] = hash(3, 8);
    seen.hashes[2].hashkv.compact_revision = crate::id::Revision(50);
    assert_eq!(worst(&seen), "healthy");
}

#[test]
fn several_things_can_be_the_matter_and_the_worst_comes_first() {
    let mut seen = of([Well, Well, Dead]);
    seen.alarms.push(Alarm {
        kind: "NOSPACE".to_owned(),
        member_id: MemberId(1),
    });
    let mut learner = member(4);
    learner.class = Class::Learner;
    seen.members.push(learner);
    let mut unstarted = member(5);
    unstarted.started = false;
    unstarted.class = Class::Dead;
    unstarted.status = None;
    seen.members.push(unstarted);
    let mut stranger = member(6);
    stranger.class = Class::Foreign;
    stranger.listed = false;
    stranger.status.as_mut().unwrap().cluster_id = ClusterId(0xf0);
    seen.members.push(stranger);
    let node = Inspected {
        flags: [("force-new-cluster".to_owned(), "true".to_owned())].into(),
        ..inspected(1, (3, 120), 100)
    };
    seen.members[0].node = Some(node);
    seen.members[0].node.as_mut().unwrap().process.running = Running::Running;
    seen.members[1].status.as_mut().unwrap().version = "3.5.1".to_owned();
    count(&mut seen);
    seen.quorum.reads = true;

    assert_eq!(
        codes(&judge(&seen)),
        [
            "follower-down",
            "foreign-member",
            "nospace",
            "force-new-cluster-left",
            "unstarted-member",
            "stray-learner",
            "known-data-bug-version",
        ]
    );
}

#[test]
fn clusters_of_one_size_are_not_told_apart() {
    let mut seen = of([Well, Well, Dead]);
    let status = seen.members[1].status.as_mut().unwrap();
    status.cluster_id = ClusterId(0xf0);
    seen.members[1].class = Class::Foreign;
    count(&mut seen);

    let diagnosis = judge(&seen);

    assert_eq!(diagnosis.condition(), Condition::SplitClusters);
    assert_eq!(diagnosis.scenario, None);
}

#[test]
fn a_node_that_the_cluster_does_not_list_was_removed_or_is_missing() {
    let mut seen = three();
    let mut removed = member(4);
    removed.listed = false;
    seen.members.push(removed);
    assert_eq!(codes(&judge(&seen)), ["removed-member-running"]);

    let last = seen.members.last_mut().unwrap();
    last.class = Class::Dead;
    last.status = None;
    let diagnosis = judge(&seen);
    assert_eq!(codes(&diagnosis), ["missing-member"]);
    assert_eq!(diagnosis.scenario, Some(Scenario::Follower));
}

#[test]
fn every_way_says_what_it_loses_and_what_to_type() {
    let mut seen = of([NoLeader, Dead, Dead]);
    seen.members[1].node = Some(blank());
    seen.backups = vec![backup(5, 60, true)];

    let ways = judge(&seen).ways;

    let commands: Vec<&str> = ways.iter().map(|way| way.command.as_str()).collect();
    assert_eq!(
        commands,
        [
            "etcdrx node inspect DATA_DIR   (on each of these nodes)",
            "etcdrx recover --scenario majority --from live",
            "etcdrx recover --scenario majority --from 20270115T075500Z-000001",
        ]
    );
    assert!(ways[0].how.contains("etcd-3"), "{ways:?}");
    assert_eq!(
        ways[2].lost,
        "everything written after revision 60: the last 5m (40 revisions that another one has)"
    );
}
