//! Which member is asked for a snapshot, and which never.

use std::fs;
use std::time::{Duration, Instant};

use etcd_client::AlarmType;
use futures_util::{StreamExt, stream};

use crate::scratch::{Cluster, tools};
use crate::setup::{Workplace, assert_ends, codes};

#[tokio::test]
async fn a_learner_is_never_asked() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).flag("--strict-reconfig-check=false");
        let mut cluster = cluster.start().await;
        let learner = cluster.add_learner().await;
        let learner = cluster.members[learner].client_url().to_owned();
        let workplace = Workplace::of(&cluster);

        let started = Instant::now();
        let only_learner = ["backup", "--endpoints", &learner];
        let refused = workplace.etcdrx().run(only_learner);
        let took = started.elapsed();
        let by_name = workplace.etcdrx().run(["backup", "--member", "etcd-2"]);
        let among_others = workplace.etcdrx().run(["backup", "--json"]);

        // etcd 3.4 would hang for ever.
        assert!(took < Duration::from_secs(10), "{took:?}");
        let reason = format!("{learner}: it is a learner");
        assert_ends(
            &refused,
            4,
            &["no member is fit to be backed up from", &reason],
        );
        assert_ends(&by_name, 4, &[&reason]);
        let manifest = among_others.success().json();
        assert_eq!(manifest["member_name"], "etcd-1");
        assert_eq!(codes(&manifest), ["member-unfit"]);
        workplace.assert_holds_only_whole_backups(1);
    }
}

/// A learner lets nobody log in, so that it cannot even be asked what it is.
#[tokio::test]
async fn a_learner_that_wants_a_password_is_never_asked() {
    let cluster = Cluster::of(&tools::newest_etcd());
    let mut cluster = cluster.flag("--strict-reconfig-check=false").start().await;
    let learner = cluster.add_learner().await;
    let learner = cluster.members[learner].client_url().to_owned();
    let mut client = cluster.member_client(0).await;
    client.user_add("root", "secret", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx().env("ETCDCTL_USER", "root:secret");

    let started = Instant::now();
    let only_learner = etcdrx.run(["backup", "--endpoints", &learner]);
    let took = started.elapsed();
    let among_others = etcdrx.run(["backup", "--json"]);

    assert!(took < Duration::from_secs(10), "{took:?}");
    println!("{only_learner:?} {among_others:?}");
    assert_ends(&only_learner, 5, &[&learner, "learner"]);
    let manifest = among_others.success().json();
    assert_eq!(manifest["member_name"], "etcd-1");
    assert_eq!(codes(&manifest), ["member-unreachable"]);
}

#[tokio::test]
async fn a_member_with_a_corrupt_alarm_is_never_asked() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).members(3).start().await;
        let follower = cluster.follower().await;
        let workplace = Workplace::of(&cluster);
        let corrupt = &cluster.members[follower];

        cluster.raise_alarm(follower, AlarmType::Corrupt).await;
        let others = workplace.etcdrx().run(["backup", "--json"]);
        let by_name = workplace
            .etcdrx()
            .run(["backup", "--member", corrupt.name()]);

        let manifest = others.success().json();
        assert_ne!(manifest["member_name"], corrupt.name());
        assert_eq!(codes(&manifest), ["member-unfit"]);
        assert_eq!(manifest["quorum"], true);
        let reason = format!("{}: it has a CORRUPT alarm", corrupt.client_url());
        assert_ends(&by_name, 4, &[&reason]);
    }
}

#[tokio::test]
async fn a_full_cluster_is_backed_up_all_the_same() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).quota_bytes(8 << 20).start().await;
        cluster.fill_up().await;
        let workplace = Workplace::of(&cluster);

        let manifest = workplace.etcdrx().run(["backup", "--json"]);

        let manifest = manifest.success().json();
        assert!(manifest["keys"].as_u64().unwrap() > 0, "{manifest}");
    }
}

/// A follower that lost its peers still answers its clients, with old data.
#[tokio::test]
async fn a_member_that_lags_is_never_asked() {
    let etcd = tools::newest_etcd();
    let mut cluster = Cluster::of(&etcd).members(3).tls().start().await;
    let lagging = cluster.follower().await;
    let url = cluster.members[lagging].client_url().to_owned();
    cut_off_from_its_peers(&mut cluster, lagging);
    write_one_by_one(&cluster, 1200).await;
    let workplace = Workplace::of(&cluster);

    let others = workplace.etcdrx().run(["backup", "--json"]);
    let by_name = workplace.etcdrx().run(["backup", "--member", &url]);
    let alone = workplace.etcdrx().run(["backup", "--endpoints", &url]);

    let manifest = others.success().json();
    assert_ne!(manifest["endpoint"], url);
    assert_eq!(manifest["keys"], 1200);
    assert_eq!(manifest["quorum"], true);
    assert_eq!(codes(&manifest), ["member-unfit"]);
    assert_ends(&by_name, 4, &[&url, "raft entries behind"]);
    // Nobody else is there to say that it lags: what it holds is kept, and marked.
    println!("{alone:?} {by_name:?}");
    assert_ends(&alone, 3, &["the cluster has no quorum"]);
    workplace.assert_holds_only_whole_backups(2);
}

#[tokio::test]
async fn endpoints_of_two_clusters_are_not_mixed() {
    let etcd = tools::newest_etcd();
    let ours = Cluster::of(&etcd).members(3).start().await;
    let theirs = Cluster::of(&etcd).start().await;
    let workplace = Workplace::of(&ours);
    let (first, stranger) = (ours.members[0].client_url(), theirs.members[0].client_url());
    let one_each = format!("{first},{stranger}");
    let mostly_ours = format!("{},{stranger}", ours.endpoints().join(","));

    let undecided = workplace.etcdrx().run(["backup", "--endpoints", &one_each]);
    let decided = workplace
        .etcdrx()
        .run(["backup", "--json", "--endpoints", &mostly_ours]);
    let asked_for = workplace.etcdrx().run([
        "backup",
        "--json",
        "--endpoints",
        &one_each,
        "--member",
        first,
    ]);

    let different = "the endpoints belong to different clusters";
    let (first, stranger) = (format!("{first}: cluster"), format!("{stranger}: cluster"));
    assert_ends(
        &undecided,
        4,
        &[different, &first, &stranger, "hint: remove"],
    );
    let decided = decided.success().json();
    assert_eq!(codes(&decided), ["member-unfit"]);
    let said = decided["findings"][0]["message"].as_str().unwrap();
    assert!(said.contains("it belongs to another cluster"), "{said}");
    let asked_for = asked_for.success().json();
    assert_eq!(asked_for["cluster_id"], decided["cluster_id"]);
}

/// Gives a member certificates that no peer takes, and makes the peers connect anew.
fn cut_off_from_its_peers(cluster: &mut Cluster, index: usize) {
    let pki = cluster.pki().unwrap();
    let stranger = pki.foreign_client("etcd-peer");
    let peer = pki.directory().join(cluster.members[index].name());
    // etcd reads them at every handshake.
    fs::copy(stranger.cert, peer.join("peer.crt")).unwrap();
    fs::copy(stranger.key, peer.join("peer.key")).unwrap();
    for (other, member) in cluster.members.iter_mut().enumerate() {
        if other != index {
            member.kill();
            member.start();
        }
    }
}

/// A raft entry for each key.
async fn write_one_by_one(cluster: &Cluster, count: usize) {
    let leader = cluster.leader().await;
    let client = cluster.member_client(leader).await;
    let puts = (0..count).map(|number| {
        let mut client = client.clone();
        async move { client.put(format!("entry/{number}"), "", None).await }
    });
    let written: Vec<_> = stream::iter(puts).buffer_unordered(32).collect().await;
    for put in written {
        put.unwrap();
    }
}
