//! From a live cluster into a repository and back into a live cluster, with every etcd that is here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use etcd_client::{Client, CompactionOptions, ConnectOptions, GetOptions};
use serde_json::Value;

use crate::scratch::cluster::ROOT_PASSWORD;
use crate::scratch::{Cluster, EtcdRelease, Server, ports, process, program, require_etcd};
use crate::setup::Workplace;

#[tokio::test]
async fn etcd_3_4_goes_into_a_repository_and_comes_back() {
    goes_in_and_comes_back(&require_etcd!("3.4")).await;
}

#[tokio::test]
async fn etcd_3_5_goes_into_a_repository_and_comes_back() {
    goes_in_and_comes_back(&require_etcd!("3.5")).await;
}

#[tokio::test]
async fn etcd_3_6_goes_into_a_repository_and_comes_back() {
    goes_in_and_comes_back(&require_etcd!("3.6")).await;
}

#[tokio::test]
async fn etcd_3_7_goes_into_a_repository_and_comes_back() {
    goes_in_and_comes_back(&require_etcd!("3.7")).await;
}

/// Three members with mutual TLS and auth, where the certificate's name is the user.
async fn goes_in_and_comes_back(etcd: &EtcdRelease) {
    let cluster = Cluster::of(etcd).members(3).tls().auth().start().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();

    let compacted = write_and_compact(&cluster).await;
    let manifest = etcdrx.run(["backup", "--json"]).success().json();

    tells_what_the_cluster_says(&cluster, &manifest, compacted).await;
    list_and_show_agree(&workplace, &manifest);
    any_member_can_be_asked_for(&cluster, &workplace).await;
    let id = manifest["id"].as_str().unwrap();
    let verified = etcdrx.run(["verify", id, "--json"]).success().json();
    assert_eq!(verified["backups"][0]["ok"], true, "{verified}");
    etcdrx.run(["fetch", id, "-o", "snapshot.db"]).success();
    let snapshot = workplace.path("snapshot.db");
    etcds_own_tools_agree(&cluster, &snapshot, &manifest);
    boots_and_holds_the_keys(etcd, &snapshot, &manifest).await;
}

/// Writes, overwrites, deletes and compacts, then writes some more; gives the compacted revision.
async fn write_and_compact(cluster: &Cluster) -> i64 {
    cluster.put_many("key/", 500, 200).await;
    let compacted = cluster.put_many("key/", 300, 400).await;
    let mut client = cluster.client().await;
    client.delete("key/00000007", None).await.unwrap();
    let physically = CompactionOptions::new().with_physical();
    client.compact(compacted, Some(physically)).await.unwrap();
    cluster.put_many("later/", 100, 100).await;
    for index in 0..cluster.members.len() {
        cluster.wait_until_caught_up(index).await;
    }
    compacted
}

async fn tells_what_the_cluster_says(cluster: &Cluster, manifest: &Value, compacted: i64) {
    let index = index_of(cluster, &manifest["member_name"]);
    let mut client = cluster.member_client(index).await;
    let status = client.status().await.unwrap();
    let header = status.header().unwrap();
    let all = GetOptions::new().with_all_keys().with_count_only();
    let keys = client.get("", Some(all)).await.unwrap().count();
    let revision = manifest["revision"].as_i64().unwrap();
    let hash = client.hash_kv(revision).await.unwrap();

    let follower = "the healthy follower with the highest applied index";
    assert_eq!(manifest["member_choice"], follower);
    assert_eq!(manifest["endpoint"], cluster.members[index].client_url());
    assert_eq!(manifest["member_id"], hex(header.member_id()));
    assert_eq!(manifest["cluster_id"], hex(header.cluster_id()));
    assert_eq!(manifest["etcd_version"], status.version());
    assert_eq!(revision, header.revision());
    assert_eq!(manifest["linearizable_revision"], revision);
    assert_eq!(manifest["compact_revision"], compacted);
    assert_eq!(manifest["quorum"], true);
    assert_eq!(manifest["keys"], keys);
    assert_eq!(keys, 599);
    assert_eq!(manifest["hashkv"]["hash"], hash.hash());
    assert_eq!(manifest["hashkv"]["revision"], revision);
    assert_eq!(manifest["hashkv"]["compact_revision"], compacted);
    assert_eq!(manifest["raft_term"], status.raft_term());
    let raft_index = manifest["raft_index"].as_u64().unwrap();
    assert!(raft_index > 0 && raft_index <= status.raft_applied_index());
    assert_eq!(manifest["findings"], serde_json::json!([]));
}

fn list_and_show_agree(workplace: &Workplace, manifest: &Value) {
    let etcdrx = workplace.etcdrx();
    let shown = etcdrx.run(["show", "--json"]).success().json();
    let in_words = etcdrx.run(["show"]).success().stdout;
    let listed = etcdrx.run(["list"]).success().stdout;
    let backups = workplace.backups();
    assert_eq!(backups.len(), 1);
    for key in manifest.as_object().unwrap().keys() {
        assert_eq!(backups[0][key], manifest[key], "list: {key}");
        assert_eq!(shown[key], manifest[key], "show: {key}");
    }
    let id = manifest["id"].as_str().unwrap();
    let revision = manifest["revision"].to_string();
    for text in [&in_words, &listed] {
        assert!(text.contains(id) && text.contains(&revision), "{text}");
        assert!(text.contains("verified"), "{text}");
    }
}

/// The leader, a name, an id and an endpoint; an unknown name is a mistake of whoever typed it.
async fn any_member_can_be_asked_for(cluster: &Cluster, workplace: &Workplace) {
    let leader = &cluster.members[cluster.leader().await];
    let status = cluster.status(1).await.unwrap();
    let id = hex(status.header().unwrap().member_id());
    let endpoint = cluster.members[2].client_url();

    let asked = [
        ("leader", leader.name()),
        ("etcd-2", "etcd-2"),
        (&id, "etcd-2"),
        (endpoint, "etcd-3"),
    ];
    for (wanted, name) in asked {
        let arguments = ["backup", "--json", "--member", wanted];
        let manifest = workplace.etcdrx().run(arguments).success().json();
        assert_eq!(manifest["member_name"], name, "asked for {wanted}");
        assert!(
            manifest["member_choice"]
                .as_str()
                .unwrap()
                .contains("asked for")
        );
    }
    let unknown = workplace.etcdrx().run(["backup", "--member", "etcd-9"]);

    assert_eq!(unknown.code, 2, "{unknown:?}");
    for word in ["`etcd-9`", "etcd-1", "etcd-2", "etcd-3"] {
        assert!(unknown.stderr.contains(word), "{unknown:?}");
    }
    workplace.assert_holds_only_whole_backups(5);
}

fn etcds_own_tools_agree(cluster: &Cluster, snapshot: &Path, manifest: &Value) {
    let path = snapshot.to_str().unwrap();
    let status = cluster.etcdutl(["snapshot", "status", path, "-w", "json"]);
    let status = status.success().json();
    let size = fs::metadata(snapshot).unwrap().len();
    let mut sha256sum = process::command(&process::find_program("sha256sum").unwrap());
    sha256sum.arg(snapshot);
    let digest = program::run(sha256sum, Duration::from_secs(10)).success();

    assert_eq!(status["revision"], manifest["revision"]);
    assert_eq!(status["totalSize"], manifest["db_size_bytes"]);
    assert_eq!(manifest["db_size_bytes"], size - 32);
    let digest = digest.stdout.split(' ').next().unwrap().to_owned();
    assert_eq!(manifest["snapshot_sha256"], digest);
}

/// Restores the file with etcd's own tool, starts an etcd on it, and counts.
async fn boots_and_holds_the_keys(etcd: &EtcdRelease, snapshot: &Path, manifest: &Value) {
    let restored = Restored::from(etcd, snapshot);
    let with_password = ConnectOptions::new().with_user("root", ROOT_PASSWORD);
    let mut client = restored.client(with_password).await;
    let all = GetOptions::new().with_all_keys().with_count_only();
    let counted = client.get("", Some(all)).await.unwrap();
    let changed = client.get("key/00000003", None).await.unwrap();
    let deleted = client.get("key/00000007", None).await.unwrap();

    assert_eq!(manifest["keys"], counted.count());
    assert_eq!(changed.kvs()[0].value().len(), 400);
    assert_eq!(changed.kvs()[0].version(), 2);
    assert_eq!(deleted.kvs().len(), 0);
}

/// An etcd that runs on a restored snapshot.
struct Restored {
    server: Server,
    url: String,
    // Last, so that it is removed after the server is gone.
    _directory: tempfile::TempDir,
}

impl Restored {
    fn from(etcd: &EtcdRelease, snapshot: &Path) -> Restored {
        let directory = tempfile::tempdir().unwrap();
        let data: PathBuf = directory.path().join("data");
        let (client, peer) = (ports::free_address(), ports::free_address());
        let (url, peer_url) = (format!("http://{client}"), format!("http://{peer}"));
        let common = [
            "--name=restored".to_owned(),
            format!("--data-dir={}", data.display()),
            format!("--initial-cluster=restored={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
        ];
        let mut restore = process::command(&etcd.etcdutl());
        restore.args(["snapshot", "restore"]).arg(snapshot);
        restore.args(&common).current_dir(directory.path());
        program::run(restore, Duration::from_secs(30)).success();

        let mut run = process::command(&etcd.etcd());
        run.args(&common).args([
            format!("--listen-client-urls={url}"),
            format!("--advertise-client-urls={url}"),
            format!("--listen-peer-urls={peer_url}"),
        ]);
        let log = directory.path().join("log");
        let server = Server::start("restored", run, &log);
        server.wait_for_port(client, Duration::from_secs(20));
        Restored {
            server,
            url,
            _directory: directory,
        }
    }

    /// A client, once the member leads.
    async fn client(&self, options: ConnectOptions) -> Client {
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        loop {
            match Client::connect([&self.url], Some(options.clone())).await {
                Ok(client) => return client,
                Err(error) => {
                    self.server.assert_running();
                    assert!(std::time::Instant::now() < deadline, "no log-in: {error}");
                    tokio::time::sleep(process::POLL).await;
                }
            }
        }
    }
}

fn index_of(cluster: &Cluster, name: &Value) -> usize {
    let found = cluster
        .members
        .iter()
        .position(|member| member.name() == name);
    found.unwrap_or_else(|| panic!("{name} is no member"))
}

fn hex(id: u64) -> String {
    format!("{id:x}")
}
