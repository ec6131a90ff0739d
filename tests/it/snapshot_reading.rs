//! What `snapshot status`, `get` and `extract` print, held against etcd's own tools and the bytes that were put.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use etcd_client::GetOptions;
use serde_json::{Value, json};

use crate::restore_setup::{
    Keys, bytes_of, key_of, keys_at, save_snapshot, snapshot, snapshot_json, write_history,
};
use crate::scratch::{Cluster, EtcdRelease, process, program, tools};
use crate::setup::{Workplace, etcdrx};
use crate::snapshot_history::History;
use crate::upgrade_servers::wait_for_storage;

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_a_snapshot_leaves_it_as_it_is() {
    let workplace = Workplace::new();
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    cluster.put_many("key/", 30, 20).await;
    let path = workplace.path("snapshot.db");
    save_snapshot(&mut cluster.client().await, &path).await;
    let before = fs::read(&path).unwrap();
    let file = path.to_str().unwrap();
    let db = cluster.members[0].db();

    for arguments in [
        &["status", file][..],
        &["hashkv", file],
        &["extract", file],
        &["get", file, "key/00000000"],
    ] {
        snapshot(arguments);
    }
    // A member's own file, while the member holds its lock: an answer or a refusal, and no waiting for it.
    etcdrx()
        .limit(Duration::from_secs(20))
        .run(["snapshot", "status", db.to_str().unwrap()]);

    assert_eq!(fs::read(&path).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_says_what_the_tools_of_every_etcd_say() {
    for release in tools::etcd_versions() {
        let workplace = Workplace::new();
        let path = workplace.path("snapshot.db");
        let cluster = Cluster::of(&release).start().await;
        write_history(&cluster).await;
        let mut client = cluster.client().await;
        if release.minor() >= 6 {
            // It notes that some seconds after it began; before it, its database looks like one of 3.5.
            wait_for_storage(&cluster, &format!("3.{}.0", release.minor())).await;
        }
        save_snapshot(&mut client, &path).await;
        let revision = client.status().await.unwrap().header().unwrap().revision();
        let all = GetOptions::new().with_all_keys().with_count_only();
        let live_keys = client.get("", Some(all)).await.unwrap().count();

        let ours = snapshot_json(&["status", path.to_str().unwrap()]);

        assert_eq!(ours["revision"], revision);
        assert_eq!(ours["liveKeys"], live_keys);
        assert_eq!(ours["totalSize"], fs::metadata(&path).unwrap().len() - 32);
        for tool in tools::etcd_versions() {
            let theirs = tools_status(&tool, &path);
            let total = match tool.minor() {
                ..=5 => &ours["recordCount"],
                _ => &ours["liveKeys"],
            };
            println!("{} read by {}: {theirs}", release.version(), tool.version());
            assert_eq!(theirs["hash"], ours["hash"]);
            assert_eq!(theirs["revision"], ours["revision"]);
            assert_eq!(theirs["totalSize"], ours["totalSize"]);
            assert_eq!(theirs["totalKey"], *total);
            if tool.minor() >= 6 {
                assert_eq!(theirs["version"], ours["version"]);
            }
            if tool.version() == release.version() {
                assert_eq!(ours["totalKey"], *total);
            }
        }
    }
}

/// What another tool says of a copy: some write to what they read.
fn tools_status(tool: &EtcdRelease, path: &Path) -> Value {
    let copy = path.with_extension("copy");
    fs::copy(path, &copy).unwrap();
    let mut status = process::command(&tool.etcdutl());
    status.args(["snapshot", "status", "-w", "json"]).arg(copy);
    program::run(status, Duration::from_secs(30))
        .success()
        .json()
}

#[tokio::test(flavor = "multi_thread")]
async fn extracted_lines_put_back_by_hand_give_the_same_keys() {
    for release in tools::etcd_versions() {
        let workplace = Workplace::new();
        let path = workplace.path("snapshot.db");
        let cluster = Cluster::of(&release).start().await;
        let mut client = cluster.client().await;
        let mut history = History::new(client.clone());
        history.go_on(80).await;
        save_snapshot(&mut client, &path).await;
        let live = keys_at(&mut client, None).await;
        let lines = workplace.path("lines.json");
        snapshot(&[
            "extract",
            path.to_str().unwrap(),
            "-o",
            lines.to_str().unwrap(),
        ]);

        let fresh = Cluster::of(&release).start().await;
        let mut client = fresh.client().await;
        for line in fs::read_to_string(lines).unwrap().lines() {
            let (key, known) = key_of(&serde_json::from_str(line).unwrap());
            client.put(key, known.value, None).await.unwrap();
        }

        let values = |keys: Keys| {
            keys.into_iter()
                .map(|(key, known)| (key, known.value))
                .collect()
        };
        let back: BTreeMap<_, _> = values(keys_at(&mut client, None).await);
        assert_eq!(back, values(live));
    }
}

#[tokio::test]
async fn a_value_comes_back_byte_for_byte_and_a_kubernetes_object_is_recognised() {
    let workplace = Workplace::new();
    let path = workplace.path("snapshot.db");
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let mut client = cluster.client().await;
    let bytes: Vec<u8> = (0..=255).cycle().take(20_000).collect();
    let deployment = envelope("apps/v1", "Deployment", "shop", "web");
    let node = envelope("v1", "Node", "", "worker-1");
    let torn = &deployment[..deployment.len() - 3];
    for (key, value) in [
        ("bytes", bytes.as_slice()),
        ("/registry/deployments/shop/web", &deployment),
        ("/registry/minions/worker-1", &node),
        ("/registry/torn", torn),
        ("nothing", b""),
        ("line", b"one\n"),
    ] {
        client.put(key, value, None).await.unwrap();
    }
    save_snapshot(&mut client, &path).await;
    let path = path.to_str().unwrap();

    let get = |key: &str, flags: &[&str]| snapshot(&[&["get", path, key], flags].concat());

    assert_eq!(get("bytes", &["--raw"]).stdout_bytes, bytes);
    assert_eq!(get("nothing", &["--raw"]).stdout_bytes, b"");
    assert_eq!(get("line", &["--raw"]).stdout_bytes, b"one\n");
    assert_eq!(get("line", &[]).stdout_bytes, b"line\none\n\n");
    assert_eq!(get("line", &["--base64"]).stdout, "bGluZQ==\nb25lCg==\n");
    assert_eq!(get("line", &["--keys-only"]).stdout, "line\n");
    let name = "/registry/deployments/shop/web";
    let said = get(name, &[]).stdout;
    let length = deployment.len();
    let expected = format!(
        "{name}\napps/v1 Deployment shop/web, {length} bytes of protobuf (--raw writes them)\n"
    );
    assert_eq!(said, expected);
    assert_eq!(get(name, &["--raw"]).stdout_bytes, deployment);
    let json = get(name, &["--json"]).json();
    let expected =
        json!({"api_version": "apps/v1", "kind": "Deployment", "namespace": "shop", "name": "web"});
    assert_eq!(json["keys"][0]["kubernetes"], expected);
    assert_eq!(bytes_of(&json["keys"][0], "value"), deployment);
    let json = get("/registry/minions/worker-1", &["--json"]).json();
    assert_eq!(json["keys"][0]["kubernetes"]["name"], "worker-1");
    assert_eq!(json["keys"][0]["kubernetes"]["namespace"], "");
    assert_eq!(get("/registry/torn", &["--raw"]).stdout_bytes, torn);
    let missing = etcdrx().run(["snapshot", "get", path, "missing"]);
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.stderr.contains("`missing`"), "{missing:?}");
}

/// An object as the API server stores it: the magic bytes, then `Unknown{typeMeta, raw}`; the object begins with its metadata.
fn envelope(api_version: &str, kind: &str, namespace: &str, name: &str) -> Vec<u8> {
    let type_meta = [field(1, api_version.as_bytes()), field(2, kind.as_bytes())].concat();
    let metadata = [
        field(1, name.as_bytes()),
        field(2, b""),
        field(3, namespace.as_bytes()),
        field(5, b"0f7d"),
    ]
    .concat();
    let raw = [field(1, &metadata), field(2, b"\x08\x03")].concat();
    let unknown = [
        field(1, &type_meta),
        field(2, &raw),
        field(3, b""),
        field(4, b""),
    ]
    .concat();
    [b"k8s\0".as_slice(), &unknown].concat()
}

/// A field of bytes that is shorter than 128.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let head = [number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    [head.as_slice(), bytes].concat()
}
