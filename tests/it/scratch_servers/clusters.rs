//! Scratch clusters of each etcd that is here.

use std::time::Duration;

use etcd_client::{AlarmType, Client, ConnectOptions, GetOptions};
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::scratch::cluster::{BACKUP_PASSWORD, ROOT_PASSWORD};
use crate::scratch::pki::Identity;
use crate::scratch::{Cluster, EtcdRelease, require_etcd, tools};

#[tokio::test]
async fn a_cluster_of_etcd_3_4_survives_its_leader() {
    survives_its_leader(&require_etcd!("3.4")).await;
}

#[tokio::test]
async fn a_cluster_of_etcd_3_5_survives_its_leader() {
    survives_its_leader(&require_etcd!("3.5")).await;
}

#[tokio::test]
async fn a_cluster_of_etcd_3_6_survives_its_leader() {
    survives_its_leader(&require_etcd!("3.6")).await;
}

#[tokio::test]
async fn a_cluster_of_etcd_3_7_survives_its_leader() {
    survives_its_leader(&require_etcd!("3.7")).await;
}

/// Three members with TLS and auth: a write outlives the leader, who comes back.
async fn survives_its_leader(etcd: &EtcdRelease) {
    let mut cluster = Cluster::of(etcd).members(3).tls().auth().start().await;
    let mut client = cluster.client().await;
    client.put("before", "1", None).await.unwrap();
    let first = cluster.leader().await;

    cluster.members[first].kill();
    let second = cluster.leader().await;
    let mut client = cluster.member_client(second).await;
    client.put("after", "2", None).await.unwrap();
    cluster.restart_member(first).await;
    cluster.wait_until_caught_up(first).await;

    assert_ne!(first, second);
    let mut client = cluster.member_client(first).await;
    for (key, value) in [("before", "1"), ("after", "2")] {
        let answer = client.get(key, None).await.unwrap();
        assert_eq!(answer.kvs()[0].value_str().unwrap(), value);
    }
    let status = client.status().await.unwrap();
    assert!(status.version().starts_with(etcd.version()));
}

#[tokio::test]
async fn etcds_own_tools_see_what_was_written() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).auth().start().await;

        let revision = cluster.put_many("key/", 1000, 100).await;
        let saved = cluster
            .etcdctl(["snapshot", "save", "snapshot.db"])
            .success();
        let status = cluster.etcdutl(["snapshot", "status", "snapshot.db", "-w", "json"]);

        assert!(saved.stdout.contains("snapshot.db"), "{saved:?}");
        let status = status.success().json();
        assert_eq!(status["revision"], revision);
        assert!(status["totalKey"].as_i64().unwrap() >= 1000);
    }
}

#[tokio::test]
async fn users_log_in_with_passwords_where_there_is_no_tls() {
    let cluster = Cluster::of(&tools::newest_etcd()).auth().start().await;
    let url = cluster.members[0].client_url();

    for (user, password) in [("root", ROOT_PASSWORD), ("backup", BACKUP_PASSWORD)] {
        let options = ConnectOptions::new().with_user(user, password);
        let mut client = Client::connect([url], Some(options)).await.unwrap();
        client.put("key", user, None).await.unwrap();
    }
    let mut nobody = Client::connect([url], None).await.unwrap();

    let refused = nobody.put("key", "value", None).await.unwrap_err();
    assert!(
        refused.to_string().contains("user name is empty"),
        "{refused}"
    );
}

#[tokio::test]
async fn bad_certificates_are_refused() {
    let mut cluster = Cluster::of(&tools::newest_etcd())
        .tls()
        .auth()
        .start()
        .await;
    let pki = cluster.pki().unwrap();
    let good = pki.client("backup");
    let bad = [
        pki.expired_client("root"),
        pki.foreign_client("root"),
        pki.client_for_servers_only("root"),
    ];
    let expired = pki.expired_server("etcd-1");

    assert!(reaches(&cluster, &good).await);
    for identity in &bad {
        assert!(
            !reaches(&cluster, identity).await,
            "{identity:?} was let in"
        );
    }

    // etcd reads a server certificate at every handshake, and this one clients refuse.
    let flags = cluster.members[0].arguments();
    flags.push(format!("--cert-file={}", expired.cert.display()));
    flags.push(format!("--key-file={}", expired.key.display()));
    cluster.members[0].kill();
    cluster.members[0].start();
    assert!(!reaches(&cluster, &good).await);
}

async fn reaches(cluster: &Cluster, identity: &Identity) -> bool {
    let options = cluster
        .options_with(identity)
        .with_timeout(Duration::from_secs(2));
    let Ok(mut client) = Client::connect(cluster.endpoints(), Some(options)).await else {
        return false;
    };
    client.put("key", "value", None).await.is_ok()
}

#[tokio::test]
async fn a_learner_catches_up_and_is_promoted() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).flag("--strict-reconfig-check=false");
        let mut cluster = cluster.start().await;
        cluster.put_many("key/", 500, 1000).await;

        let learner = cluster.add_learner().await;
        let before = cluster.status(learner).await.unwrap();
        cluster.promote(learner).await;
        let after = cluster.status(learner).await.unwrap();

        assert!(before.is_learner());
        assert!(!after.is_learner());
        cluster.move_leader(learner).await;
    }
}

#[tokio::test]
async fn a_paused_member_does_not_answer_until_it_is_resumed() {
    let cluster = Cluster::of(&tools::newest_etcd()).members(3).start().await;
    let leader = cluster.leader().await;

    cluster.members[leader].pause();
    let next = cluster.leader().await;
    let frozen = cluster.status(leader).await;
    cluster.members[leader].resume();
    cluster.wait_until_healthy().await;

    assert_ne!(leader, next);
    assert!(frozen.is_none());
    assert!(cluster.status(leader).await.is_some());
    // A paused member is killed like any other.
    cluster.members[leader].pause();
    cluster.kill_all();
    assert!(!cluster.members[leader].is_running());
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_power_cut() {
    let mut cluster = Cluster::of(&tools::newest_etcd()).members(3).start().await;
    cluster.put_many("key/", 300, 100).await;

    cluster.kill_all();
    cluster.start_all().await;

    let options = GetOptions::new().with_prefix().with_count_only();
    let counted = cluster
        .client()
        .await
        .get("key/", Some(options))
        .await
        .unwrap();
    assert_eq!(counted.count(), 300);
}

#[tokio::test]
async fn a_full_database_raises_an_alarm() {
    let etcd = tools::newest_etcd();
    let cluster = Cluster::of(&etcd)
        .quota_bytes(16 * 1024 * 1024)
        .start()
        .await;

    cluster.fill_up().await;
    cluster.raise_alarm(0, AlarmType::Corrupt).await;

    let alarms = cluster.etcdctl(["alarm", "list"]).success().stdout;
    assert!(
        alarms.contains("NOSPACE") && alarms.contains("CORRUPT"),
        "{alarms}"
    );
}

#[tokio::test]
async fn nothing_is_left_of_a_dropped_cluster() {
    let parent = tempfile::tempdir().unwrap();
    let cluster = Cluster::of(&tools::newest_etcd())
        .below(parent.path())
        .start()
        .await;
    let pid = Pid::from_raw(i32::try_from(cluster.members[0].pid().unwrap()).unwrap());
    assert!(cluster.directory().starts_with(parent.path()));
    assert!(kill(pid, None).is_ok());

    drop(cluster);

    assert!(kill(pid, None).is_err(), "etcd still runs");
    assert_eq!(parent.path().read_dir().unwrap().count(), 0);
}
