//! A deep verification: every page and record of a stored backup, and their hash as the members computed it.

use std::fs;

use serde_json::{Value, json};

use crate::scratch::{Cluster, EtcdRelease, require_etcd, tools::newest_etcd};
use crate::setup::{FOLDER, Workplace, assert_ends, codes};

async fn holds_on(release: &EtcdRelease) {
    let cluster = Cluster::of(release).members(3).start().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();
    let revision = cluster.put_many("/k/", 400, 300).await;
    let mut client = cluster.client().await;
    client.compact(revision - 2, None).await.unwrap();
    // Records before and after the compaction, of the same keys; and a deletion at it.
    cluster.put_many("/k/", 100, 300).await;
    client.delete("/k/00000001", None).await.unwrap();

    let backup = etcdrx.run(["backup", "--json"]).success().json();
    let verified = etcdrx.run(["verify", "--deep", "--json"]).success().json();
    let stated = etcdrx
        .run(["snapshot", "status", "latest", "--json"])
        .success()
        .json();
    let hashed = etcdrx
        .run(["snapshot", "hashkv", "latest", "--json"])
        .success()
        .json();

    let checks = verified["backups"][0]["checks"].as_array().unwrap();
    assert!(checks.contains(&json!("hashkv")), "{checks:?}");
    assert_eq!(backup["keys"], 399);
    assert_eq!(stated["liveKeys"], 399);
    assert_eq!(hashed["hash"], backup["hashkv"]["hash"]);
    assert!(codes(&backup).is_empty(), "{backup:#}");
    let shown = etcdrx.run(["show", "--json"]).success().json();
    assert_eq!(shown["verified_how"], "deep");
}

#[tokio::test]
async fn a_backup_of_etcd_3_4_is_verified_to_the_last_record() {
    holds_on(&require_etcd!("3.4")).await;
}

#[tokio::test]
async fn a_backup_of_etcd_3_5_is_verified_to_the_last_record() {
    holds_on(&require_etcd!("3.5")).await;
}

#[tokio::test]
async fn a_backup_of_etcd_3_6_is_verified_to_the_last_record() {
    holds_on(&require_etcd!("3.6")).await;
}

#[tokio::test]
async fn a_backup_of_etcd_3_7_is_verified_to_the_last_record() {
    holds_on(&require_etcd!("3.7")).await;
}

/// All digests are right, and the data is not what the members had: only its hash can tell.
#[tokio::test]
async fn data_that_the_members_did_not_have_is_found() {
    let cluster = Cluster::of(&newest_etcd()).members(1).start().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();
    cluster.put_many("/k/", 100, 100).await;
    let backup = etcdrx.run(["backup", "--json"]).success().json();
    let id = backup["id"].as_str().unwrap();
    let path = workplace
        .repository()
        .join(FOLDER)
        .join(id)
        .join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    manifest["hashkv"]["hash"] = json!(1);
    manifest["keys"] = json!(99);
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();

    etcdrx.run(["verify"]).success();
    let output = etcdrx.run(["verify", "--deep"]);

    assert_ends(&output, 6, &[]);
    assert!(output.stdout.contains("[hashkv]"), "{output:?}");
    assert!(output.stdout.contains("[keys]"), "{output:?}");
}
