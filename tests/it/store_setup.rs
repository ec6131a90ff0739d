//! What the store tests begin with: a cluster of one member, and a configuration that leads to a store.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use serde_json::Value;

use crate::scratch::{Cluster, Etcdrx, Store, tools};
use crate::setup::{Settings, Workplace};

/// A cluster with a handful of keys, whose backups are a few KiB.
pub(crate) async fn small_cluster() -> Cluster {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    cluster.put_many("key/", 100, 100).await;
    cluster
}

/// A cluster with 24 MB of values, which are stored as 12 MB: more than two parts of a multipart upload.
pub(crate) async fn large_cluster() -> Cluster {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    cluster.put_many("large/", 240, 100_000).await;
    cluster
}

/// A cluster with 6 MB of values.
pub(crate) async fn medium_cluster() -> Cluster {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    cluster.put_many("medium/", 60, 100_000).await;
    cluster
}

/// The program, configured for `store` as its owner's handbook would say it.
pub(crate) fn keep_in(workplace: &Workplace, cluster: &Cluster, store: &Store) -> Etcdrx {
    keep_in_as(workplace, cluster, store, store.endpoint(), store.url())
}

/// The program, which reaches `store` by way of a proxy at `origin` (`http://127.0.0.1:1234`).
pub(crate) fn keep_behind(
    workplace: &Workplace,
    cluster: &Cluster,
    store: &Store,
    origin: &str,
) -> Etcdrx {
    let endpoint = store.endpoint().map(|_| store.endpoint_at(origin));
    keep_in_as(workplace, cluster, store, endpoint, &store.url_at(origin))
}

fn keep_in_as(
    workplace: &Workplace,
    cluster: &Cluster,
    store: &Store,
    endpoint: Option<String>,
    url: &str,
) -> Etcdrx {
    workplace.configure(&settings_for(workplace, cluster, store, endpoint, url));
    let credentials = store.credentials().iter().cloned();
    workplace.etcdrx().envs(credentials)
}

/// The `etcdrx.toml` for a store that is reached in this way.
pub(crate) fn settings_for(
    workplace: &Workplace,
    cluster: &Cluster,
    store: &Store,
    endpoint: Option<String>,
    url: &str,
) -> Settings {
    let mut settings = workplace.settings(cluster).set("repository.url", url);
    if let Some(endpoint) = endpoint {
        let plain = endpoint.starts_with("http:");
        settings = settings
            .set("repository.endpoint", endpoint)
            .set("repository.allow_http", plain);
    } else {
        settings = settings.set("repository.allow_http", true);
    }
    match store.ca() {
        Some(ca) => settings.set("repository.ca", ca.display().to_string()),
        None => settings,
    }
}

/// Takes a backup and gives what `backup --json` says.
pub(crate) fn backup(etcdrx: &Etcdrx) -> Value {
    etcdrx.run(["backup", "--json"]).success().json()
}

/// The ids of the listed backups, newest first.
pub(crate) fn listed(etcdrx: &Etcdrx) -> Vec<String> {
    let answer = etcdrx.run(["list", "--json"]).success().json();
    let backups = answer["backups"].as_array().expect("`backups` is a list");
    backups.iter().map(id_of).collect()
}

/// The id in a backup's JSON.
pub(crate) fn id_of(backup: &Value) -> String {
    backup["id"]
        .as_str()
        .expect("every backup has an id")
        .to_owned()
}

/// SHA-256 of a file, as `sha256sum` prints it.
pub(crate) fn sha256(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    hex::encode(digest::digest(&digest::SHA256, &bytes))
}

/// The multipart uploads that MinIO knows of: it keeps each as a folder two levels below `multipart`.
pub(crate) fn uploads_in_minio(store: &Store) -> Vec<String> {
    let folders = |path| fs::read_dir(path).into_iter().flatten().flatten();
    folders(store.directory().join("data/.minio.sys/multipart"))
        .flat_map(|object| folders(object.path()))
        .map(|upload| upload.path().display().to_string())
        .collect()
}

/// Waits for what another process does.
pub(crate) fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came to that");
        thread::sleep(Duration::from_millis(2));
    }
}
