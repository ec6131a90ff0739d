//! Clusters with a quorum: what is the matter with one member, or with nobody.

use std::time::Duration;

use etcd_client::{AlarmType, MemberAddOptions};

use crate::diagnose_setup::{look, look_with, three, two_versions};
use crate::scratch::{Cluster, ports, tools};
use crate::setup::{Workplace, etcdrx};

#[tokio::test]
async fn a_cluster_is_healthy_when_everything_was_looked_at_and_is_well() {
    for etcd in tools::etcd_versions() {
        let (_cluster, workplace) = three(&etcd).await;
        let unseen = look(&workplace);
        workplace.etcdrx().run(["backup"]).success();

        let seen = look(&workplace);
        let words = workplace.etcdrx().run(["diagnose"]).success();

        // The repository is not there before the first backup.
        unseen.assert_is("partly-seen", None, 3);
        unseen.assert_evidence(&["nobody could look at the backups"]);
        seen.assert_is("healthy", None, 0);
        assert_eq!(seen.json["quorum"]["have"], 3);
        assert_eq!(seen.json["quorum"]["need"], 2);
        assert_eq!(seen.json["ways"].as_array().unwrap().len(), 0);
        assert_eq!(seen.class("etcd-2"), "OK");
        assert!(
            words.stdout.starts_with("the cluster is healthy"),
            "{words:?}"
        );
    }
}

#[tokio::test]
async fn members_are_found_through_one_endpoint() {
    let (cluster, _) = three(&tools::newest_etcd()).await;

    let seen = look_with(&etcdrx(), &["--endpoints", cluster.members[1].client_url()]);

    seen.assert_is("healthy", None, 0);
    assert_eq!(seen.json["members"].as_array().unwrap().len(), 3);
    assert_eq!(seen.json["hashes"], serde_json::Value::Null);
}

#[tokio::test]
async fn a_follower_that_was_killed_is_down_and_the_cluster_works() {
    for etcd in two_versions() {
        let (cluster, workplace) = three(&etcd).await;
        let follower = cluster.follower().await;
        let member = &cluster.members[follower];
        member.kill();

        let seen = look(&workplace);

        seen.assert_is("follower-down", Some("follower"), 3);
        assert_eq!(seen.json["confidence"], "likely");
        assert_eq!(seen.class(member.name()), "DEAD");
        assert_eq!(seen.json["quorum"]["have"], 2);
        assert_eq!(seen.json["quorum"]["reads"], true);
        seen.assert_evidence(&[member.client_url(), "connection refused"]);
        let command = format!(
            "etcdrx recover --scenario follower --member {}",
            member.name()
        );
        assert_eq!(seen.commands(), [command]);
    }
}

#[tokio::test]
async fn a_follower_that_was_stopped_by_a_signal_hangs() {
    for etcd in two_versions() {
        let (cluster, workplace) = three(&etcd).await;
        let follower = cluster.follower().await;
        let member = &cluster.members[follower];
        member.pause();

        let seen = look(&workplace);

        seen.assert_is("follower-hung", Some("follower"), 3);
        assert_eq!(seen.class(member.name()), "HUNG");
        seen.assert_evidence(&[member.client_url(), "accepts connections and says nothing"]);
    }
}

#[tokio::test]
async fn after_the_leader_was_killed_the_election_is_waited_for() {
    for etcd in two_versions() {
        let (cluster, workplace) = three(&etcd).await;
        let leader = cluster.leader().await;
        let member = &cluster.members[leader];
        member.kill();

        let seen = look(&workplace);

        // A slow machine begins to look after the election, of which then nothing is left to see.
        match seen.json["condition"].as_str() {
            Some("leader-lost") => seen.assert_is("leader-lost", Some("leader"), 3),
            _ => seen.assert_is("follower-down", Some("follower"), 3),
        }
        assert_eq!(seen.json["quorum"]["reads"], true);
        assert_eq!(seen.class(member.name()), "DEAD");
    }
}

#[tokio::test]
async fn two_dead_of_five_are_two_followers() {
    let etcd = tools::newest_etcd();
    let cluster = Cluster::of(&etcd).members(5).start().await;
    let workplace = Workplace::of(&cluster);
    for index in [3, 4] {
        cluster.members[index].kill();
    }
    cluster.leader().await;

    let seen = look(&workplace);

    assert_eq!(seen.json["quorum"]["need"], 3);
    assert_eq!(seen.json["quorum"]["have"], 3);
    let last = seen.json["conditions"].as_array().unwrap().iter();
    let down = last.filter(|one| one["condition"] == "follower-down");
    let down: Vec<_> = down.map(|one| one["members"].clone()).collect();
    assert_eq!(
        down,
        [serde_json::json!(["etcd-4", "etcd-5"])],
        "{:?}",
        seen.output
    );
    assert_eq!(seen.output.code, 3);
}

#[tokio::test]
async fn a_full_database_is_told_with_what_frees_it() {
    for etcd in two_versions() {
        let cluster = Cluster::of(&etcd)
            .members(3)
            .quota_bytes(4 * 1024 * 1024)
            .start()
            .await;
        cluster.raise_alarm(0, AlarmType::Nospace).await;

        let seen = look(&Workplace::of(&cluster));

        seen.assert_is("nospace", Some("nospace"), 3);
        assert_eq!(seen.json["alarms"][0]["kind"], "NOSPACE");
        assert_eq!(seen.commands(), ["etcdrx recover --scenario nospace"]);
    }
}

#[tokio::test]
async fn an_alarm_about_corruption_is_not_believed_to_name_the_right_member() {
    let (cluster, workplace) = three(&tools::newest_etcd()).await;
    cluster.raise_alarm(1, AlarmType::Corrupt).await;

    let seen = look(&workplace);

    seen.assert_is("corrupt-alarm", None, 3);
    assert_eq!(
        seen.json["conditions"][0]["members"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[tokio::test]
async fn a_learner_that_was_left_over_is_told() {
    for etcd in two_versions() {
        let mut cluster = Cluster::of(&etcd)
            .members(3)
            .flag("--strict-reconfig-check=false")
            .start()
            .await;
        let learner = cluster.add_learner().await;
        let name = cluster.members[learner].name().to_owned();

        let seen = look(&Workplace::of(&cluster));

        seen.assert_is("stray-learner", None, 3);
        assert_eq!(seen.class(&name), "LEARNER");
        assert_eq!(seen.json["quorum"]["voters"], 3);
        assert!(seen.commands()[0].starts_with("etcdctl member promote "));
    }
}

#[tokio::test]
async fn a_member_that_never_started_counts_for_the_quorum_and_is_told() {
    for etcd in two_versions() {
        let cluster = Cluster::of(&etcd)
            .members(3)
            .flag("--strict-reconfig-check=false")
            .start()
            .await;
        let url = format!("http://{}", ports::free_address());
        let mut client = cluster.client().await;
        let options = None::<MemberAddOptions>;
        client.member_add([url.clone()], options).await.unwrap();

        let seen = look(&Workplace::of(&cluster));

        seen.assert_is("unstarted-member", None, 3);
        assert_eq!(seen.json["quorum"]["voters"], 4);
        assert_eq!(seen.json["quorum"]["need"], 3);
        let unstarted = seen.member("");
        assert_eq!(unstarted["peer_urls"][0], url);
        assert_eq!(unstarted["started"], false);
        let id = unstarted["id"].as_str().unwrap();
        assert_eq!(seen.commands(), [format!("etcdctl member remove {id}")]);
    }
}

#[tokio::test]
async fn a_member_that_was_removed_and_hung_meanwhile_is_told_apart() {
    let (cluster, workplace) = three(&tools::newest_etcd()).await;
    let follower = cluster.follower().await;
    let status = cluster.status(follower).await.unwrap();
    let id = status.header().unwrap().member_id();
    let member = &cluster.members[follower];
    member.pause();
    let mut client = cluster.client().await;
    let removed = async {
        while client.member_remove(id).await.is_err() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), removed)
        .await
        .unwrap();

    let seen = look(&workplace);

    // Nobody lists it, and it says nothing: only its endpoint is left.
    seen.assert_is("partly-seen", None, 3);
    seen.assert_evidence(&[member.client_url(), "says nothing"]);
    assert_eq!(seen.json["quorum"]["voters"], 2);
}
