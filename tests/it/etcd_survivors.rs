//! Clusters without a quorum: the best survivor is backed up, and the backup says so.

use std::time::{Duration, Instant};

use crate::scratch::cluster::ROOT_PASSWORD;
use crate::scratch::{Cluster, tools};
use crate::setup::{Workplace, assert_ends, codes};

#[tokio::test]
async fn what_a_survivor_holds_is_kept_and_marked() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).members(3).tls().auth().start().await;
        let written = cluster.put_many("key/", 300, 100).await;
        let survivor = cluster.follower().await;
        cluster.wait_until_caught_up(survivor).await;
        let workplace = Workplace::of(&cluster);
        kill_all_but(&cluster, survivor);

        let taken = workplace.etcdrx().run(["backup", "--json"]);

        assert_eq!(taken.code, 3, "{taken:?}");
        let manifest = taken.json();
        assert_eq!(manifest["member_name"], cluster.members[survivor].name());
        assert_eq!(manifest["quorum"], false);
        assert_eq!(manifest["linearizable_revision"], serde_json::Value::Null);
        assert_eq!(manifest["revision"], written);
        assert_eq!(manifest["keys"], 300);
        assert!(manifest["hashkv"]["hash"].is_u64(), "{manifest}");
        assert!(codes(&manifest).contains(&"no-quorum"), "{manifest}");
    }
}

#[tokio::test]
async fn every_verb_says_that_there_was_no_quorum() {
    let etcd = tools::newest_etcd();
    let cluster = Cluster::of(&etcd).members(3).start().await;
    let workplace = Workplace::of(&cluster);
    kill_all_but(&cluster, 0);

    let taken = workplace.etcdrx().run(["backup", "--prune"]);
    let listed = workplace.etcdrx().run(["list"]).success();
    let shown = workplace.etcdrx().run(["show"]).success();

    assert_ends(
        &taken,
        3,
        &[
            "warning: the cluster has no quorum: this is what the best survivor holds",
            "finding: [no-quorum] the cluster has no quorum",
            "the backup is kept and marked with this; nothing was pruned",
        ],
    );
    assert!(listed.stdout.contains("no quorum"), "{listed:?}");
    assert!(shown.stdout.contains("WITHOUT QUORUM"), "{shown:?}");
    workplace.assert_holds_only_whole_backups(1);
}

#[tokio::test]
async fn a_password_needs_a_quorum_and_the_message_says_so() {
    let cluster = Cluster::of(&tools::newest_etcd())
        .members(3)
        .auth()
        .start()
        .await;
    let workplace = Workplace::of(&cluster);
    kill_all_but(&cluster, 0);

    let started = Instant::now();
    let as_root = format!("root:{ROOT_PASSWORD}");
    let refused = workplace
        .etcdrx()
        .env("ETCDCTL_USER", as_root)
        .run(["backup"]);

    assert!(started.elapsed() < Duration::from_secs(20), "{refused:?}");
    println!("{refused:?}");
    assert_ends(&refused, 5, &["the log-in (a password takes a quorum)"]);
    workplace.assert_holds_only_whole_backups(0);
}

fn kill_all_but(cluster: &Cluster, survivor: usize) {
    for (index, member) in cluster.members.iter().enumerate() {
        if index != survivor {
            member.kill();
        }
    }
}
