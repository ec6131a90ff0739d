//! What the tests of snapshots and of restores share: a history worth keeping, what the live server says of it, and a
//! cluster on what etcdrx restored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use etcd_client::{
    Client, CompactionOptions, Compare, CompareOp, DeleteOptions, GetOptions, LeaseGrantOptions,
    Permission, PutOptions, Txn, TxnOp,
};
use serde_json::Value;

use crate::scratch::{Cluster, EtcdRelease, Output};
use crate::setup::etcdrx;

/// Keys with all that etcd knows of them.
pub(crate) type Keys = BTreeMap<Vec<u8>, Known>;

/// What etcd knows of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) created: i64,
    pub(crate) modified: i64,
    pub(crate) version: i64,
    pub(crate) lease: i64,
    pub(crate) value: Vec<u8>,
}

/// What a live server says of all that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Truth {
    pub(crate) revision: i64,
    pub(crate) compact_revision: i64,
    pub(crate) hash: u32,
    pub(crate) keys: Keys,
    /// Lease ids, with the seconds that were granted.
    pub(crate) leases: BTreeMap<i64, i64>,
    pub(crate) users: BTreeMap<String, Vec<String>>,
    pub(crate) roles: BTreeMap<String, String>,
}

impl Truth {
    /// Asks one member; its hash is that at `revision`, or at its newest.
    pub(crate) async fn of(client: &mut Client, revision: Option<i64>) -> Truth {
        let hash = client.hash_kv(revision.unwrap_or(0)).await.unwrap();
        let newest = hash.header().unwrap().revision();
        let mut truth = Truth {
            revision: revision.unwrap_or(newest),
            compact_revision: hash.compact_version(),
            hash: hash.hash(),
            keys: keys_at(client, revision).await,
            leases: BTreeMap::new(),
            users: BTreeMap::new(),
            roles: BTreeMap::new(),
        };
        for lease in client.leases().await.unwrap().leases() {
            let left = client.lease_time_to_live(lease.id(), None).await.unwrap();
            truth.leases.insert(lease.id(), left.granted_ttl());
        }
        for user in client.user_list().await.unwrap().users() {
            let roles = client.user_get(user.clone()).await.unwrap();
            truth.users.insert(user.clone(), roles.roles().to_vec());
        }
        for role in client.role_list().await.unwrap().roles() {
            let permissions = client.role_get(role.clone()).await.unwrap().permissions();
            truth.roles.insert(role.clone(), format!("{permissions:?}"));
        }
        truth
    }
}

/// Every key as the member that is asked knows it, now or at an earlier revision.
pub(crate) async fn keys_at(client: &mut Client, revision: Option<i64>) -> Keys {
    let all = GetOptions::new().with_all_keys().with_serializable();
    let all = all.with_revision(revision.unwrap_or(0));
    let mut answer = client.get("", Some(all)).await.unwrap();
    let pairs = answer.take_kvs().into_iter();
    let known = pairs.map(|pair| {
        let known = Known {
            created: pair.create_revision(),
            modified: pair.mod_revision(),
            version: pair.version(),
            lease: pair.lease(),
            value: pair.value().to_vec(),
        };
        (pair.key().to_vec(), known)
    });
    known.collect()
}

/// Every key as `etcdrx snapshot extract` reads it from a file.
pub(crate) fn keys_in(snapshot: &Path, more: &[&str]) -> Keys {
    let path = snapshot.to_str().unwrap();
    let extract = ["snapshot", "extract", path];
    let output = etcdrx().run(extract.iter().chain(more));
    let lines = output.success().json_lines();
    lines.iter().map(key_of).collect()
}

/// A key of etcdrx's JSON, with its value.
pub(crate) fn key_of(json: &Value) -> (Vec<u8>, Known) {
    let number = |name: &str| json[name].as_i64().unwrap();
    let known = Known {
        created: number("create_revision"),
        modified: number("mod_revision"),
        version: number("version"),
        lease: json["lease"]
            .as_str()
            .map_or(0, |id| i64::from_str_radix(id, 16).unwrap()),
        value: bytes_of(json, "value"),
    };
    (bytes_of(json, "key"), known)
}

/// Text, or what stands in its place in base64.
pub(crate) fn bytes_of(json: &Value, name: &str) -> Vec<u8> {
    if let Some(text) = json[name].as_str() {
        return text.as_bytes().to_vec();
    }
    let encoded = json[format!("{name}_base64")].as_str();
    let encoded = encoded.unwrap_or_else(|| panic!("no {name} in {json}"));
    BASE64_STANDARD.decode(encoded).unwrap()
}

/// Runs `etcdrx snapshot`.
pub(crate) fn snapshot(arguments: &[&str]) -> Output {
    etcdrx().run(["snapshot"].iter().chain(arguments)).success()
}

/// As [`snapshot`], with --json.
pub(crate) fn snapshot_json(arguments: &[&str]) -> Value {
    let json = ["--json"];
    snapshot(&[arguments, &json].concat()).json()
}

/// Writes hundreds of keys in every way there is, compacts in the midst, and writes some more.
pub(crate) async fn write_history(cluster: &Cluster) {
    cluster.put_many("many/", 300, 120).await;
    let mut client = cluster.client().await;
    for (lease, seconds) in [
        (0x1001, 3600),
        (0x1002, 7200),
        (0x1003, 9000),
        (0x1004, 600),
    ] {
        let options = LeaseGrantOptions::new().with_id(lease);
        client.lease_grant(seconds, Some(options)).await.unwrap();
    }
    for number in 0..20 {
        let lease = 0x1001 + number % 3;
        let options = PutOptions::new().with_lease(lease);
        let key = format!("leased/{number:02}");
        client.put(key, "held", Some(options)).await.unwrap();
    }
    users_and_roles(&mut client).await;
    // What is no text: keys and values are bytes.
    client
        .put(b"\xff\x00\xfebytes".to_vec(), vec![0, 255, 10, 13], None)
        .await
        .unwrap();
    client.put("empty", "", None).await.unwrap();
    cluster.put_many("many/", 150, 90).await;
    client.delete("many/00000007", None).await.unwrap();
    let range = DeleteOptions::new().with_range("many/00000060");
    client.delete("many/00000050", Some(range)).await.unwrap();
    let put = client.put("again", "first", None).await.unwrap();
    client.delete("again", None).await.unwrap();
    client.lease_revoke(0x1003).await.unwrap();
    let compacted = put.header().unwrap().revision();
    let physically = CompactionOptions::new().with_physical();
    client.compact(compacted, Some(physically)).await.unwrap();
    client.put("again", "second", None).await.unwrap();
    nested_transactions(&mut client).await;
    cluster.put_many("later/", 100, 60).await;
    client.delete("many/00000100", None).await.unwrap();
}

async fn users_and_roles(client: &mut Client) {
    client.role_add("reader").await.unwrap();
    let permission = Permission::read("many/").with_prefix();
    client
        .role_grant_permission("reader", permission)
        .await
        .unwrap();
    client.role_add("nobody").await.unwrap();
    for user in ["anna", "otto"] {
        client
            .user_add(user, format!("secret of {user}"), None)
            .await
            .unwrap();
    }
    client.user_grant_role("anna", "reader").await.unwrap();
}

/// Each takes one revision, with several records in it.
async fn nested_transactions(client: &mut Client) {
    for round in 0..8 {
        let key = |name: &str| format!("nested/{name}");
        let innermost = Txn::new()
            .when([Compare::version(key("c"), CompareOp::Greater, 0)])
            .and_then([TxnOp::delete(key("c"), None)])
            .or_else([TxnOp::put(key("c"), format!("c{round}"), None)]);
        let inner = Txn::new().and_then([
            TxnOp::put(key("b"), format!("b{round}"), None),
            TxnOp::txn(innermost),
            TxnOp::get(key("b"), None),
        ]);
        let leased = PutOptions::new().with_lease(0x1002);
        let outer = Txn::new().and_then([
            TxnOp::put(key("a"), format!("a{round}"), Some(leased)),
            TxnOp::txn(inner),
            TxnOp::put(key(&format!("d{round}")), "d", None),
        ]);
        client.txn(outer).await.unwrap();
    }
}

/// Writes what a member streams to a file: a snapshot.
pub(crate) async fn save_snapshot(client: &mut Client, path: &Path) {
    let mut stream = client.snapshot().await.unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = stream.message().await.unwrap() {
        bytes.extend_from_slice(piece.blob());
    }
    fs::write(path, bytes).unwrap();
}

/// Waits until a member has applied what made this revision.
pub(crate) async fn wait_until_at(cluster: &Cluster, index: usize, revision: i64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = cluster.status(index).await;
        let found = status.and_then(|status| Some(status.header()?.revision()));
        if found >= Some(revision) {
            return;
        }
        assert!(Instant::now() < deadline, "{found:?} is not {revision} yet");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A snapshot file with what its server said while it was taken.
pub(crate) struct Source {
    pub(crate) truth: Truth,
    /// The keys as they were soon after the compaction, and when.
    pub(crate) earlier: (i64, Keys),
    pub(crate) snapshot: PathBuf,
    _directory: tempfile::TempDir,
}

impl Source {
    /// Starts a member of `release`, gives it a history and takes its snapshot.
    pub(crate) async fn of(release: &EtcdRelease) -> Source {
        let cluster = Cluster::of(release).start().await;
        write_history(&cluster).await;
        Source::from(&cluster).await
    }

    /// Takes the snapshot of a cluster's first member.
    pub(crate) async fn from(cluster: &Cluster) -> Source {
        let mut client = cluster.member_client(0).await;
        let directory = tempfile::tempdir().unwrap();
        let snapshot = directory.path().join("snapshot.db");
        save_snapshot(&mut client, &snapshot).await;
        let truth = Truth::of(&mut client, None).await;
        let earlier = (truth.compact_revision + 3).min(truth.revision);
        Source {
            earlier: (earlier, keys_at(&mut client, Some(earlier)).await),
            truth,
            snapshot,
            _directory: directory,
        }
    }

    /// The path as an argument.
    pub(crate) fn path(&self) -> &str {
        self.snapshot.to_str().unwrap()
    }
}

/// Restores all members of a cluster that is about to start; `more` are further flags.
pub(crate) fn restore_all(cluster: &Cluster, source: &str, more: &[&str]) -> Output {
    let members = cluster.initial_cluster();
    let directory = cluster.directory().to_str().unwrap();
    let flags = [
        "restore",
        source,
        "--json",
        "--initial-cluster",
        &members,
        "--all-members",
        directory,
    ];
    etcdrx().run(flags.iter().chain(more)).success()
}

/// Restores the one member of a cluster that is about to start.
pub(crate) fn restore_one(cluster: &Cluster, source: &str, more: &[&str]) -> Output {
    let members = cluster.initial_cluster();
    let member = &cluster.members[0];
    let flags = [
        "restore",
        source,
        "--json",
        "--name",
        member.name(),
        "--initial-cluster",
        &members,
        "--data-dir",
        member.data_dir().to_str().unwrap(),
    ];
    etcdrx().run(flags.iter().chain(more)).success()
}
