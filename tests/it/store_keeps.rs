//! Buckets that keep what is removed: old versions, and Object Lock.

use serde_json::json;

use crate::scratch::{Cluster, Etcdrx, Store, require};
use crate::setup::{FOLDER, Workplace};
use crate::store_setup::{id_of, large_cluster, listed, settings_for, small_cluster};

/// The program, which keeps nothing but the newest backup, in this bucket.
fn keep_one_in(workplace: &Workplace, cluster: &Cluster, store: &Store, bucket: &str) -> Etcdrx {
    let url = format!("s3://{bucket}/clusters");
    let settings = settings_for(workplace, cluster, store, store.endpoint(), &url)
        .set("retention.keep_last", 1)
        .set("retention.minimum", 0);
    workplace.configure(&settings);
    let credentials = store.credentials().iter().cloned();
    workplace.etcdrx().envs(credentials)
}

fn two_backups(etcdrx: &Etcdrx) -> [String; 2] {
    [0, 1].map(|_| id_of(&etcdrx.run(["backup", "--json"]).success().json()))
}

#[tokio::test]
async fn what_a_bucket_locks_is_backed_up_to_and_pruned_only_when_the_lock_has_ended() {
    require!("minio");
    // Several parts each: the lock is written again when it learns of the upload.
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    for mode in ["COMPLIANCE", "GOVERNANCE"] {
        let bucket = mode.to_lowercase();
        store.create_locked_bucket(&bucket, mode).await;
        let workplace = Workplace::new();
        let etcdrx = keep_one_in(&workplace, &cluster, &store, &bucket);

        let checked = etcdrx.run(["check"]).success().stdout;
        let ids = two_backups(&etcdrx);
        let pruned = etcdrx.run(["prune", "--yes", "--json"]).success().json();
        let said = etcdrx.run(["prune", "--dry-run"]).success().stdout;

        assert!(
            checked.contains("the bucket keeps old versions"),
            "{checked}"
        );
        assert!(
            checked.contains(&format!("locks every new object ({mode}, 1 day)")),
            "{checked}"
        );
        assert_eq!(pruned["remove"], json!([]), "{pruned}");
        assert_eq!(listed(&etcdrx).len(), 2);
        assert!(
            said.contains(&format!("keep    {}  locked by the store until 20", ids[0])),
            "{said}"
        );
        etcdrx.run(["verify", "--all"]).success();
    }
}

#[tokio::test]
async fn what_is_pruned_from_a_bucket_with_versions_is_said_to_be_hidden() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, small_cluster().await);
    store.create_versioned_bucket("versioned").await;
    let workplace = Workplace::new();
    let etcdrx = keep_one_in(&workplace, &cluster, &store, "versioned");
    let ids = two_backups(&etcdrx);

    let planned = etcdrx
        .run(["prune", "--dry-run", "--json"])
        .success()
        .json();
    let pruned = etcdrx.run(["prune", "--yes"]).success().stdout;

    assert_eq!(planned["versions_stay"], true);
    assert!(pruned.contains("1 kept, 1 removed"), "{pruned}");
    assert!(pruned.contains("what is removed is hidden"), "{pruned}");
    assert_eq!(listed(&etcdrx), [ids[1].clone()]);
    // The proof that this is the truth.
    let data = format!("clusters/{FOLDER}/{}/snapshot.db.zst", ids[0]);
    assert!(store.kept_in("versioned").await.contains(&data));
    // A checksum is what Amazon's own S3 asks for where objects are locked.
    let checksum = etcdrx.env("AWS_CHECKSUM_ALGORITHM", "sha256");
    checksum.run(["backup"]).success();
    checksum.run(["verify", "--all"]).success();
}

#[tokio::test]
async fn what_is_held_stays_until_its_hold_ends() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, small_cluster().await);
    store.create_bucket_with_holds("held").await;
    let workplace = Workplace::new();
    let etcdrx = keep_one_in(&workplace, &cluster, &store, "held");
    let ids = two_backups(&etcdrx);
    let data = format!("clusters/{FOLDER}/{}/snapshot.db.zst", ids[0]);

    store.hold("held", &data, true).await;
    let held = etcdrx.run(["prune", "--yes"]).success().stdout;
    store.hold("held", &data, false).await;
    let free = etcdrx.run(["prune", "--yes"]).success().stdout;

    let kept = format!(
        "keep    {}  held by the store until its legal hold ends",
        ids[0]
    );
    assert!(held.contains(&kept), "{held}");
    assert!(free.contains("1 kept, 1 removed"), "{free}");
    assert_eq!(listed(&etcdrx), [ids[1].clone()]);
}
