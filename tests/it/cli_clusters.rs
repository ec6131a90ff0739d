//! Two clusters in one folder: one that followed the other, and two that live side by side.

use std::fs;

use crate::datadir_logs::copy_folder;
use crate::scratch::{Cluster, tools};
use crate::setup::{Workplace, assert_ends, codes};

#[tokio::test]
async fn a_revision_that_falls_in_the_same_cluster_is_found_once() {
    let mut cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = Workplace::of(&cluster);
    cluster.put_many("key/", 10, 10).await;
    cluster.members[0].stop();
    let data = cluster.members[0].data_dir().to_owned();
    let earlier = workplace.path("earlier");
    copy_folder(&data, &earlier);
    cluster.restart_member(0).await;
    cluster.put_many("later/", 10, 10).await;
    let before = workplace.etcdrx().run(["backup"]).success();

    // Somebody puts the member back to where it was.
    cluster.members[0].stop();
    fs::remove_dir_all(&data).unwrap();
    copy_folder(&earlier, &data);
    cluster.restart_member(0).await;
    let fallen = workplace.etcdrx().run(["backup"]);
    let shown = workplace.etcdrx().run(["show", "--json"]).success().json();
    workplace.etcdrx().run(["backup"]).success();
    let next = workplace.etcdrx().run(["show", "--json"]).success().json();

    assert!(!before.stderr.contains("earlier state"), "{before:?}");
    assert_ends(&fallen, 0, &["was put back to an earlier state"]);
    assert_eq!(codes(&shown), ["revision-backwards"]);
    assert_eq!(codes(&next), [""; 0]);
}

#[tokio::test]
async fn a_restored_cluster_goes_on_in_the_folder_and_latest_follows_it() {
    let etcd = tools::newest_etcd();
    let before = Cluster::of(&etcd).start().await;
    before.put_many("key/", 1000, 10).await;
    // As after a restore: other ids, and revisions that begin again lower.
    let after = Cluster::of(&etcd).start().await;
    let workplace = Workplace::of(&before);
    let old = workplace
        .etcdrx()
        .run(["backup", "--json"])
        .success()
        .json();

    workplace.configure(&workplace.settings(&after));
    let new = workplace.etcdrx().run(["backup"]);
    let latest = workplace.etcdrx().run(["show", "latest", "--json"]);
    let listed = workplace.etcdrx().run(["list"]).success().stdout;
    let next = workplace
        .etcdrx()
        .run(["backup", "--json"])
        .success()
        .json();
    let pruned = workplace
        .etcdrx()
        .env("ETCDRX_RETENTION_KEEP_LAST", "1")
        .env("ETCDRX_RETENTION_MINIMUM", "0")
        .run(["prune", "--yes", "--json"])
        .success()
        .json();

    let latest = latest.success().json();
    let old_id = old["cluster_id"].as_str().unwrap();
    let new_id = latest["cluster_id"].as_str().unwrap();
    let told = format!("the cluster's id was {old_id} and is {new_id}");
    assert_ends(&new, 0, &["warning: ", &told]);
    assert_ne!(old_id, new_id);
    assert!(latest["revision"].as_i64() < old["revision"].as_i64());
    assert_eq!(codes(&latest), ["cluster-id-changed"]);
    let notes = listed.lines().nth(1).unwrap();
    assert!(notes.contains("revision went backwards"), "{listed}");
    assert!(notes.contains("new cluster id"), "{listed}");
    // It is said once, when it happens.
    assert_eq!(codes(&next), [""; 0]);
    // The backups of the cluster that was are nobody's to remove.
    let kept = pruned["keep"].to_string();
    assert!(kept.contains(old["id"].as_str().unwrap()), "{pruned}");
    assert!(kept.contains("of another cluster id"), "{pruned}");
    assert_eq!(pruned["remove"].as_array().unwrap().len(), 1, "{pruned}");
}

/// A mistake elsewhere must not leave a cluster without backups.
#[tokio::test]
async fn two_living_clusters_in_one_folder_are_told_and_backed_up() {
    let etcd = tools::newest_etcd();
    let ours = Cluster::of(&etcd).start().await;
    let theirs = Cluster::of(&etcd).start().await;
    let workplace = Workplace::of(&ours);
    workplace.etcdrx().run(["backup"]).success();
    workplace.configure(&workplace.settings(&theirs));
    workplace.etcdrx().run(["backup"]).success();

    workplace.configure(&workplace.settings(&ours));
    let shared = workplace.etcdrx().run(["backup"]);
    let kept = workplace.etcdrx().run(["show", "--json"]).success().json();
    let elsewhere = workplace.etcdrx().run(["backup", "--cluster", "other"]);

    assert_ends(
        &shared,
        3,
        &[
            "finding: [folder-shared] the folder holds newer backups of another cluster",
            "give each cluster a name of its own",
            "the backup is kept and marked with this",
        ],
    );
    assert_eq!(codes(&kept)[0], "folder-shared");
    elsewhere.success();
    workplace.assert_holds_only_whole_backups(3);
}
