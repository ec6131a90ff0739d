//! Keys that were extracted go back into a living cluster, and what others did in the meantime is left alone.

use std::fs;

use crate::scratch::{Cluster, Etcdrx, tools::newest_etcd};
use crate::setup::{Workplace, assert_ends};

async fn value(cluster: &Cluster, key: &str) -> Option<Vec<u8>> {
    let answer = cluster.client().await.get(key, None).await.unwrap();
    answer.kvs().first().map(|kv| kv.value().to_vec())
}

#[tokio::test]
async fn extracted_keys_go_back_and_only_where_that_is_said() {
    let cluster = Cluster::of(&newest_etcd()).members(1).start().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();
    let mut client = cluster.client().await;
    cluster.put_many("/shop/", 250, 100).await;
    client
        .put("/shop/binary", vec![0, 159, 146, 150], None)
        .await
        .unwrap();
    client.put("/other", "untouched", None).await.unwrap();
    etcdrx.run(["backup"]).success();
    let file = workplace.path("shop.jsonl");
    let path = file.to_str().unwrap();
    etcdrx
        .run([
            "snapshot", "extract", "latest", "--prefix", "/shop/", "-o", path,
        ])
        .success();
    assert_eq!(fs::read_to_string(&file).unwrap().lines().count(), 251);

    // What an accident would do: most of it is gone, one key was changed.
    let before = value(&cluster, "/shop/00000007").await;
    let gone = etcd_client::DeleteOptions::new().with_range("/shop/00000200");
    client.delete("/shop/", Some(gone)).await.unwrap();
    client.delete("/shop/binary", None).await.unwrap();
    client
        .put("/shop/00000201", "somebody else's", None)
        .await
        .unwrap();

    nothing_is_put_without_a_yes(&cluster, &etcdrx, path).await;
    let applied = etcdrx.run(["snapshot", "apply", path, "--yes", "--json"]);
    assert_eq!(applied.code, 3, "a key was left alone: {applied:?}");
    let answer = applied.json();
    assert_eq!(answer["put"], 201);
    assert_eq!(answer["same"], 49);
    assert_eq!(answer["overwrite"], 1);
    assert_eq!(value(&cluster, "/shop/00000007").await, before);
    assert_eq!(
        value(&cluster, "/shop/binary").await,
        Some(vec![0, 159, 146, 150])
    );
    let others = value(&cluster, "/shop/00000201").await.unwrap();
    assert_eq!(others, b"somebody else's");

    etcdrx
        .run(["snapshot", "apply", path, "--yes", "--overwrite"])
        .success();
    assert_ne!(
        value(&cluster, "/shop/00000201").await.unwrap(),
        b"somebody else's"
    );
    let again = etcdrx
        .run(["snapshot", "apply", path, "--yes", "--json"])
        .success()
        .json();
    assert_eq!((&again["put"], &again["same"]), (&0.into(), &251.into()));
    assert_eq!(value(&cluster, "/other").await.unwrap(), b"untouched");
}

async fn nothing_is_put_without_a_yes(cluster: &Cluster, etcdrx: &Etcdrx, path: &str) {
    let dry = etcdrx.run(["snapshot", "apply", path]).success();
    assert!(dry.stdout.contains("201 would be created"), "{dry:?}");
    let other = "! /shop/00000201 has another value now";
    assert!(dry.stdout.contains(other), "{dry:?}");
    assert_eq!(value(cluster, "/shop/00000007").await, None);
}

#[tokio::test]
async fn keys_of_a_lease_are_left_out_and_bad_lines_are_named() {
    let cluster = Cluster::of(&newest_etcd()).members(1).start().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();
    let file = workplace.path("keys.jsonl");
    let path = file.to_str().unwrap();
    fs::write(
        &file,
        "{\"key\":\"/leased\",\"value\":\"x\",\"lease\":\"1f\"}\n",
    )
    .unwrap();

    let output = etcdrx.run(["snapshot", "apply", path, "--yes"]).success();
    assert!(
        output.stdout.contains("1 keys hung on a lease"),
        "{output:?}"
    );
    assert_eq!(value(&cluster, "/leased").await, None);
    etcdrx
        .run(["snapshot", "apply", path, "--yes", "--leased"])
        .success();
    assert_eq!(value(&cluster, "/leased").await.unwrap(), b"x");

    fs::write(
        &file,
        "{\"key\":\"/a\",\"value\":\"x\"}\n{\"key\":\"/b\"}\n",
    )
    .unwrap();
    let output = etcdrx.run(["snapshot", "apply", path, "--yes"]);
    assert_ends(
        &output,
        2,
        &["line 2", "no key with a value", "nothing was put"],
    );
    assert_eq!(value(&cluster, "/a").await, None);
}
