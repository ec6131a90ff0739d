//! Every verb against every kind of store: what goes in comes out, byte for byte.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use chrono::Utc;

use crate::scratch::{Etcdrx, Store, require};
use crate::setup::{Workplace, codes};
use crate::store_setup::{
    backup, id_of, keep_in, large_cluster, listed, settings_for, sha256, small_cluster, wait_until,
};

#[tokio::test]
async fn a_directory_keeps_backups() {
    let cluster = large_cluster().await;
    let workplace = Workplace::of(&cluster);

    goes_round(&workplace, &workplace.etcdrx(), PutIfAbsent::Guaranteed);
}

#[tokio::test]
async fn minio_keeps_backups() {
    require!("minio");
    goes_round_in(&Store::minio().await, PutIfAbsent::Guaranteed).await;
}

#[tokio::test]
async fn minio_with_a_ca_of_its_own_keeps_backups() {
    require!("minio");
    goes_round_in(&Store::minio_tls().await, PutIfAbsent::Guaranteed).await;
}

#[tokio::test]
async fn seaweedfs_keeps_backups() {
    require!("seaweedfs");
    goes_round_in(&Store::seaweedfs().await, PutIfAbsent::Guaranteed).await;
}

#[tokio::test]
async fn google_cloud_storage_keeps_backups() {
    require!("minio");
    goes_round_in(&Store::gcs().await, PutIfAbsent::Guaranteed).await;
}

#[tokio::test]
async fn azure_keeps_backups() {
    require!("azurite");
    goes_round_in(&Store::azurite().await, PutIfAbsent::Guaranteed).await;
}

#[tokio::test]
async fn webdav_keeps_backups_and_its_weakness_is_said() {
    require!("wsgidav");
    let store = Store::webdav();

    goes_round_in(&store, PutIfAbsent::Missing).await;

    // It would keep the folders of pruned backups for ever: one is left, and that of the locks.
    let folder = store.directory().join("data/backups/scratch");
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2);
}

#[tokio::test]
async fn webdav_with_a_password_keeps_backups() {
    require!("wsgidav");
    let store = Store::webdav_with_password();
    let cluster = large_cluster().await;
    let workplace = Workplace::of(&cluster);
    let (name, password) = store.user().unwrap();
    let etcdrx = keep_in(&workplace, &cluster, &store)
        .env("WEBDAV_USERNAME", name)
        .env("WEBDAV_PASSWORD", password);

    goes_round(&workplace, &etcdrx, PutIfAbsent::Missing);
    let stranger = workplace.etcdrx().run(["list"]);

    assert_eq!(stranger.code, 1, "{stranger:?}");
    assert!(stranger.stderr.contains("does not allow"), "{stranger:?}");
}

/// Whether a store can be asked to create an object only if there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PutIfAbsent {
    Guaranteed,
    Missing,
}

async fn goes_round_in(store: &Store, put: PutIfAbsent) {
    let cluster = large_cluster().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = keep_in(&workplace, &cluster, store);
    goes_round(&workplace, &etcdrx, put);
}

fn goes_round(workplace: &Workplace, etcdrx: &Etcdrx, put: PutIfAbsent) {
    checks(etcdrx, put);
    let manifest = backup(etcdrx);
    assert!(manifest["db_size_bytes"].as_u64().unwrap() > 20_000_000);
    assert!(manifest["stored_size_bytes"].as_u64().unwrap() > 10 << 20);
    assert_eq!(manifest["verified_how"], "read-back");
    let said = codes(&manifest).contains(&"no-put-if-absent");
    assert_eq!(said, put == PutIfAbsent::Missing, "{manifest}");

    // Of two backups of one second, retention does not know which one is the newer.
    let first = id_of(&manifest);
    wait_until(|| !first.starts_with(&Utc::now().format("%Y%m%dT%H%M%SZ").to_string()));
    let second = id_of(&backup(etcdrx));
    assert_eq!(listed(etcdrx), [second.clone(), first.clone()]);
    verifies_all(etcdrx, 2);
    let file = workplace.path("snapshot.db");
    let path = file.to_str().unwrap();
    etcdrx.run(["fetch", &first, "-o", path]).success();
    assert_eq!(sha256(&file), manifest["snapshot_sha256"]);

    prunes_what_is_not_pinned(etcdrx, &first, &second);
}

fn checks(etcdrx: &Etcdrx, put: PutIfAbsent) {
    let checked = etcdrx.run(["check", "--json"]).success().json();
    let said = codes(&checked).contains(&"no-put-if-absent");
    assert_eq!(said, put == PutIfAbsent::Missing, "{checked}");
    let others = codes(&checked).len() - usize::from(said);
    assert_eq!(others, 0, "{checked}");
}

fn verifies_all(etcdrx: &Etcdrx, count: usize) {
    let verified = etcdrx.run(["verify", "--all", "--json"]).success().json();
    let reports = verified["backups"].as_array().unwrap();
    assert_eq!(reports.len(), count);
    assert!(
        reports.iter().all(|report| report["ok"] == true),
        "{verified}"
    );
    assert_eq!(codes(&verified), [""; 0], "nothing is left over");
}

fn prunes_what_is_not_pinned(etcdrx: &Etcdrx, first: &str, second: &str) {
    let etcdrx = etcdrx
        .clone()
        .env("ETCDRX_RETENTION_KEEP_LAST", "1")
        .env("ETCDRX_RETENTION_MINIMUM", "0");
    etcdrx.run(["pin", first]).success();
    etcdrx.run(["prune", "--yes"]).success();
    assert_eq!(listed(&etcdrx), [second, first]);

    etcdrx.run(["unpin", first]).success();
    let pruned = etcdrx.run(["prune", "--yes", "--json"]).success().json();
    assert_eq!(pruned["remove"], serde_json::json!([first]));
    assert_eq!(listed(&etcdrx), [second]);
    verifies_all(&etcdrx, 1);
}

#[tokio::test]
async fn a_small_backup_takes_no_parts_and_comes_back_too() {
    require!("minio");
    let store = Store::minio().await;
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = keep_in(&workplace, &cluster, &store);

    let manifest = backup(&etcdrx);
    let fetched = etcdrx.run(["fetch", "latest", "-o", "snapshot.db"]);

    fetched.success();
    assert!(manifest["stored_size_bytes"].as_u64().unwrap() < 1 << 20);
    let snapshot = workplace.path("snapshot.db");
    assert_eq!(sha256(&snapshot), manifest["snapshot_sha256"]);
}

#[tokio::test]
async fn what_a_directory_holds_is_for_its_owner_alone() {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();

    backup(&etcdrx);
    etcdrx.run(["verify"]).success();
    etcdrx.run(["pin", "latest"]).success();
    etcdrx
        .run(["fetch", "latest", "-o", "snapshot.db"])
        .success();

    // The tests run with the usual umask, which lets everybody read.
    assert_private(&workplace.repository());
    assert_private(&workplace.path("snapshot.db"));
}

fn assert_private(path: &Path) {
    let metadata = fs::metadata(path).unwrap();
    let expected = if metadata.is_dir() { 0o700 } else { 0o600 };
    let mode = metadata.permissions().mode() & 0o777;
    assert_eq!(mode, expected, "{} has mode {mode:o}", path.display());
    if metadata.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            assert_private(&entry.unwrap().path());
        }
    }
}

/// The variables that `object_store` knows, which a Kubernetes secret often holds.
#[tokio::test]
async fn the_environment_alone_leads_to_a_store() {
    require!("minio");
    let store = Store::minio().await;
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let settings = workplace
        .settings(&cluster)
        .set("repository.url", store.url());
    workplace.configure(&settings);

    let by_environment = workplace.etcdrx().envs(store.environment());

    backup(&by_environment);
    assert_eq!(listed(&by_environment).len(), 1);
    // What the file says of the same store leads to the same place.
    let file = settings_for(&workplace, &cluster, &store, store.endpoint(), store.url());
    workplace.configure(&file);
    let by_file = workplace.etcdrx().envs(store.credentials().iter().cloned());
    assert_eq!(listed(&by_file), listed(&by_environment));
}
