//! Clusters without a quorum: what is left, and in which order it is to be used.

use std::time::Duration;

use crate::diagnose_setup::{look, look_with, name_the_nodes, three, two_versions};
use crate::scratch::cluster::BACKUP_PASSWORD;
use crate::scratch::{Cluster, tools};
use crate::setup::Workplace;

fn kill_all_but(cluster: &Cluster, survivor: usize) {
    for (index, member) in cluster.members.iter().enumerate() {
        if index != survivor {
            member.kill();
        }
    }
}

#[tokio::test]
async fn a_survivor_that_runs_is_the_best_that_is_left() {
    for etcd in tools::etcd_versions() {
        let (cluster, workplace) = three(&etcd).await;
        workplace.etcdrx().run(["backup"]).success();
        cluster.put_many("later/", 200, 20).await;
        let survivor = cluster.follower().await;
        cluster.wait_until_caught_up(survivor).await;
        kill_all_but(&cluster, survivor);
        let name = cluster.members[survivor].name();

        let seen = look(&workplace);
        let words = workplace.etcdrx().run(["diagnose"]);

        seen.assert_is("majority-survivor-live", Some("majority"), 3);
        assert_eq!(seen.class(name), "NOLEADER");
        assert_eq!(seen.json["quorum"]["have"], 1);
        seen.assert_evidence(&["no read with quorum succeeds"]);
        let sources = seen.json["candidates"].as_array().unwrap();
        assert_eq!(sources[0]["source"]["member"], name);
        assert_eq!(sources[0]["lost_revisions"], 0);
        assert_eq!(sources[1]["source"]["kind"], "backup");
        assert_eq!(sources[1]["lost_revisions"], 2);
        let commands = seen.commands();
        assert!(
            commands[1].ends_with("--scenario majority --from live"),
            "{commands:?}"
        );
        assert!(
            words.stdout.contains("do not restart the survivor"),
            "{words:?}"
        );
        assert_eq!(words.code, 3);
    }
}

#[tokio::test]
async fn a_survivor_that_was_restarted_is_told_from_one_that_hangs() {
    for etcd in two_versions() {
        let (mut cluster, workplace) = three(&etcd).await;
        name_the_nodes(&workplace, &cluster);
        cluster.kill_all();
        cluster.members[1].start();
        let began = std::time::Instant::now();
        // Its peer port opens within a second.
        let seen = loop {
            let seen = look(&workplace);
            if seen.class("etcd-2") == "STARTING" || began.elapsed() > Duration::from_secs(20) {
                break seen;
            }
        };

        assert_eq!(seen.class("etcd-2"), "STARTING", "{:?}", seen.output);
        seen.assert_is("majority-unseen", Some("majority"), 3);
        assert_eq!(seen.json["quorum"]["voters"], 3);
        // The members are known from the peer port alone.
        assert_eq!(seen.class("etcd-1"), "DEAD");
        assert!(seen.commands()[0].starts_with("etcdrx node inspect"));
    }
}

#[tokio::test]
async fn when_nobody_answers_the_nodes_are_to_be_looked_at() {
    let (cluster, workplace) = three(&tools::newest_etcd()).await;
    workplace.etcdrx().run(["backup"]).success();
    cluster.kill_all();

    let seen = look(&workplace);

    seen.assert_is("majority-unseen", Some("majority"), 5);
    seen.assert_evidence(&["nobody tells who the members of the cluster are"]);
    seen.assert_evidence(&[cluster.members[0].client_url(), "connection refused"]);
    let commands = seen.commands();
    assert!(
        commands[0].starts_with("etcdrx node inspect"),
        "{commands:?}"
    );
    assert!(
        commands[1].contains("--scenario majority --from 20"),
        "{commands:?}"
    );
}

#[tokio::test]
async fn a_majority_that_hangs_is_found_out_in_time() {
    let (cluster, workplace) = three(&tools::newest_etcd()).await;
    let leader = cluster.leader().await;
    for (index, member) in cluster.members.iter().enumerate() {
        if index != leader {
            member.pause();
        }
    }
    // A leader whose followers are silent steps down after an election timeout.
    tokio::time::sleep(Duration::from_millis(1200)).await;

    let seen = look(&workplace);

    seen.assert_is("majority-restartable", Some("majority"), 3);
    assert_eq!(seen.class(cluster.members[leader].name()), "NOLEADER");
}

#[tokio::test]
async fn a_password_is_not_needed_to_see_that_there_is_no_quorum() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).members(3).auth().start().await;
        let workplace = Workplace::of(&cluster);
        name_the_nodes(&workplace, &cluster);
        let user = format!("backup:{BACKUP_PASSWORD}");
        let with_password = workplace.etcdrx().env("ETCDCTL_USER", user);
        let well = look_with(&with_password, &[]);
        let nameless = look(&workplace);
        let survivor = cluster.follower().await;
        kill_all_but(&cluster, survivor);
        let name = cluster.members[survivor].name();
        tokio::time::sleep(Duration::from_millis(1200)).await;

        let seen = look_with(&with_password, &[]);

        assert_eq!(well.json["quorum"]["reads"], true, "{:?}", well.output);
        assert_eq!(well.conditions(), ["partly-seen"], "{:?}", well.output);
        well.assert_evidence(&["nobody could look at the backups"]);
        assert_eq!(
            nameless.json["quorum"]["reads"], true,
            "{:?}",
            nameless.output
        );
        assert_eq!(seen.class(name), "NOLEADER", "{:?}", seen.output);
        seen.assert_is("majority-survivor-live", Some("majority"), 3);
    }
}
