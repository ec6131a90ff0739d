//! What must hold after a recovery, held against clusters in which it does, and in which it does not.

use std::fs;

use chrono::Utc;
use etcd_client::AlarmType;
use etcdrx::config;
use etcdrx::etcd::Access;
use etcdrx::id::{ClusterId, MemberId, Revision};
use etcdrx::recovery::invariants::{Expectation, Invariant, Request, check};
use etcdrx::recovery::observe::Nodes;
use etcdrx::recovery::plan::PlannedMember;

use crate::diagnose_setup::{rot, two_versions};
use crate::recover_setup::Scene;
use crate::scratch::{Cluster, tools};

/// What this cluster should be: what it is.
async fn expectation(cluster: &Cluster) -> Expectation {
    let mut members = Vec::new();
    let mut id = 0;
    for (index, member) in cluster.members.iter().enumerate() {
        let status = cluster.status(index).await.unwrap();
        let header = status.header().unwrap();
        id = header.cluster_id();
        members.push(PlannedMember {
            name: member.name().to_owned(),
            peer_urls: vec![member.peer_url().to_owned()],
            id: Some(MemberId(header.member_id())),
        });
    }
    Expectation {
        members,
        old_cluster: Some(ClusterId(id)),
        revision_before: Some(Revision(1)),
        ..Expectation::default()
    }
}

async fn checked(cluster: &Cluster, expected: &Expectation) -> Vec<Invariant> {
    let settings = config::Cluster {
        endpoints: cluster.endpoints(),
        ca: cluster.pki().map(crate::scratch::Pki::ca),
        cert: cluster.root_identity().map(|root| root.cert.clone()),
        key: cluster.root_identity().map(|root| root.key.clone()),
        ..config::Cluster::default()
    };
    crate::scratch::pki::install_crypto();
    let request = Request {
        access: &Access::open(&settings).unwrap(),
        nodes: &[],
        expected,
        now: Utc::now(),
    };
    check(&request, async { Nodes::new() }).await
}

/// The names of those of which this is so.
fn with(all: &[Invariant], ok: Option<bool>) -> Vec<&str> {
    let found = all.iter().filter(|one| one.ok == ok);
    found.map(|one| one.code.as_str()).collect()
}

const LIVE: [&str; 10] = [
    "I1", "I2", "I3", "I5", "I6", "I9", "I11", "I12", "I13", "I14",
];

#[tokio::test]
async fn everything_holds_in_a_cluster_that_is_well_and_nothing_is_left_behind() {
    for etcd in tools::etcd_versions() {
        let cluster = Cluster::of(&etcd).members(3).tls().auth().start().await;
        let expected = expectation(&cluster).await;

        let all = checked(&cluster, &expected).await;

        assert_eq!(with(&all, Some(true)), LIVE, "{all:#?}");
        assert_eq!(with(&all, None), ["I17", "I19"], "{all:#?}");
        let mut client = cluster.client().await;
        let left = client
            .get(
                "etcdrx/",
                Some(etcd_client::GetOptions::new().with_prefix()),
            )
            .await;
        assert_eq!(left.unwrap().kvs().len(), 0);
    }
}

#[tokio::test]
async fn an_old_id_a_learner_and_a_lost_member_are_each_found() {
    let etcd = tools::newest_etcd();
    let mut cluster = Cluster::of(&etcd)
        .members(3)
        .flag("--strict-reconfig-check=false")
        .start()
        .await;
    let mut expected = expectation(&cluster).await;
    expected.begins_anew = true;
    let same_id = checked(&cluster, &expected).await;
    expected.begins_anew = false;
    cluster.add_learner().await;
    let learner = checked(&cluster, &expected).await;
    let follower = cluster.follower().await;
    cluster.members[follower].kill();

    let lost = checked(&cluster, &expected).await;

    assert_eq!(with(&same_id, Some(false)), ["I3", "I4"], "{same_id:#?}");
    assert_eq!(with(&learner, Some(false)), ["I1"], "{learner:#?}");
    assert_eq!(with(&lost, Some(false)), ["I1"], "{lost:#?}");
    // Not through each member: then it is not proven.
    let open = with(&lost, None);
    assert!(open.contains(&"I5") && open.contains(&"I13"), "{lost:#?}");
}

#[tokio::test]
async fn a_cluster_that_takes_no_writes_fails_where_it_should() {
    let etcd = tools::newest_etcd();
    let cluster = Cluster::of(&etcd).members(3).start().await;
    let expected = expectation(&cluster).await;
    cluster.raise_alarm(0, AlarmType::Nospace).await;

    let all = checked(&cluster, &expected).await;

    assert_eq!(with(&all, Some(false)), ["I12", "I13", "I14"], "{all:#?}");
}

#[tokio::test]
async fn data_that_differ_are_found_where_everything_else_is_well() {
    for etcd in two_versions() {
        let mut cluster = Cluster::of(&etcd).members(3).start().await;
        let expected = expectation(&cluster).await;
        let mut client = cluster.client().await;
        let value = "the-value-that-will-rot";
        client.put("canary", value, None).await.unwrap();
        let follower = cluster.follower().await;
        cluster.wait_until_caught_up(follower).await;
        cluster.members[follower].stop();
        rot(&cluster.members[follower].db(), value.as_bytes());
        cluster.restart_member(follower).await;

        let all = checked(&cluster, &expected).await;

        assert_eq!(with(&all, Some(false)), ["I5"], "{all:#?}");
    }
}

/// Every invariant of a real recovery, nodes included, by its name.
fn held(recovered: &serde_json::Value) -> Vec<&str> {
    let all = recovered["invariants"].as_array().unwrap();
    let good = all.iter().filter(|one| one["ok"] == true);
    let held: Vec<&str> = good.map(|one| one["code"].as_str().unwrap()).collect();
    assert_eq!(held.len(), all.len(), "{recovered:#}");
    held
}

/// The report for a browser that a run left beside its journal.
fn page_of(scene: &Scene, run: &str) -> String {
    let clusters = fs::read_dir(scene.state().join("recoveries")).unwrap();
    let pages = clusters.map(|cluster| cluster.unwrap().path().join(run).join("report.html"));
    let page = pages.into_iter().find(|page| page.exists());
    fs::read_to_string(page.expect("a page of the run")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_holds_after_a_recovery_and_the_report_says_so() {
    let scene = Scene::of(&tools::newest_etcd(), 3, true).await;
    let written = scene.write("key/", 50).await;
    scene.lose(&[0], true).await;
    let name = scene.site.members[0].name.clone();
    let replaced = scene.recover(&["--scenario", "follower", "--member", &name]);
    scene.lose(&[1, 2], true).await;

    let rebuilt = scene.recover(&["--scenario", "majority"]);

    let common = [
        "I1", "I2", "I3", "I5", "I6", "I9", "I11", "I12", "I13", "I14", "I17", "I18", "I19",
    ];
    assert_eq!(held(&replaced), common);
    let mut all: Vec<&str> = common.to_vec();
    all.insert(3, "I4");
    all.push("I20");
    assert_eq!(held(&rebuilt), all);
    let page = page_of(&scene, rebuilt["run"].as_str().unwrap());
    assert!(page.contains("Recovery: majority"), "{page}");
    assert!(page.contains("member.etcdrx-"), "{page}");
    scene.assert_holds(&written).await;
}
