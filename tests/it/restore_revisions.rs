//! Restores that change revisions: raised for watchers, taken back to an earlier one, cut down to a prefix.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use etcd_client::{
    GetOptions, LeaseGrantOptions, LeaseTimeToLiveOptions, PutOptions, WatchOptions,
};
use etcdrx::backend::Store;
use serde_json::Value;

use crate::restore_setup::{
    Keys, Source, Truth, keys_at, restore_all, restore_one, save_snapshot, wait_until_at,
};
use crate::scratch::{Cluster, EtcdRelease, process, program, tools};
use crate::setup::{Workplace, assert_ends, codes, etcdrx};
use crate::snapshot_history::History;

const RAISED: [&str; 3] = ["--bump-revision", "1000", "--mark-compacted"];

#[tokio::test(flavor = "multi_thread")]
async fn a_raised_revision_is_noticed_by_watchers_and_is_what_etcdutl_makes() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let source = Source::of(&release).await;
        let newest = source.truth.revision;
        let raised = newest + 1000;
        let restore = |cluster: &mut Cluster| {
            let said = restore_all(cluster, source.path(), &RAISED).json();
            assert_eq!(said["revision"], raised);
            assert_eq!(said["bumped_by"], 1000);
            assert_eq!(said["snapshot_revision"], newest);
            assert_etcdutl_agrees(&release, cluster, source.path());
        };
        let mut cluster = Cluster::of(&release).members(3).start_on(restore).await;

        for index in 0..3 {
            let mut client = cluster.member_client(index).await;
            assert_eq!(keys_at(&mut client, None).await, source.truth.keys);
            assert_eq!(told_compacted(&cluster, index, newest).await, raised);
            let old = GetOptions::new().with_revision(newest);
            let refused = client.get("many/00000001", Some(old)).await.unwrap_err();
            assert!(refused.to_string().contains("compacted"), "{refused}");
        }
        let mut client = cluster.client().await;
        let put = client.put("after", "the restore", None).await.unwrap();
        assert_eq!(put.header().unwrap().revision(), raised + 1);
        assert_members_agree(&cluster, raised + 1).await;
        cluster.kill_all();
        cluster.start_all().await;
        let mut client = cluster.client().await;
        let put = client.put("after", "the start", None).await.unwrap();
        assert_eq!(put.header().unwrap().revision(), raised + 2);
        assert_members_agree(&cluster, raised + 2).await;
    }
}

/// Watches from an old revision and gives the compaction that the server tells.
async fn told_compacted(cluster: &Cluster, index: usize, from: i64) -> i64 {
    let mut client = cluster.member_client(index).await;
    let options = WatchOptions::new().with_prefix().with_start_revision(from);
    let mut stream = client.watch("many/", Some(options)).await.unwrap();
    let told = async {
        loop {
            let message = stream.message().await.unwrap().unwrap();
            if message.canceled() {
                return message.compact_revision();
            }
            assert!(
                message.events().is_empty(),
                "events from before the restore"
            );
        }
    };
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, told)
        .await
        .expect("the watcher is told")
}

/// All members have the same hash at a revision.
async fn assert_members_agree(cluster: &Cluster, revision: i64) {
    let mut hashes = BTreeSet::new();
    for index in 0..cluster.members.len() {
        wait_until_at(cluster, index, revision).await;
        let mut client = cluster.member_client(index).await;
        hashes.insert(client.hash_kv(revision).await.unwrap().hash());
    }
    assert_eq!(hashes.len(), 1);
}

/// The buckets `key` and `meta` are those that etcd's own tool makes; 3.4.23 has no such flags, so 3.5 speaks for it.
fn assert_etcdutl_agrees(release: &EtcdRelease, cluster: &Cluster, snapshot: &str) {
    let with_flags = match release.minor() {
        4 => tools::etcd("3.5"),
        _ => Some(release.clone()),
    };
    let Some(tool) = with_flags else {
        return tools::skip("a_raised_revision_is_what_etcdutl_makes", "etcd-3.5");
    };
    let theirs = cluster.directory().join("theirs");
    let member = &cluster.members[0];
    let mut restore = process::command(&tool.etcdutl());
    restore.args(["snapshot", "restore", snapshot]).args(RAISED);
    restore.args([
        format!("--name={}", member.name()),
        format!("--initial-cluster={}", cluster.initial_cluster()),
        format!("--initial-advertise-peer-urls={}", member.peer_url()),
        format!("--data-dir={}", theirs.display()),
    ]);
    program::run(restore, Duration::from_secs(30)).success();
    let theirs = theirs.join("member/snap/db");
    assert_eq!(entries(&member.db(), "key"), entries(&theirs, "key"));
    assert_eq!(entries(&member.db(), "meta"), entries(&theirs, "meta"));
}

fn entries(path: &Path, bucket: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let store = Store::open(File::open(path).unwrap()).unwrap();
    store.entries(bucket).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_raised_automatically_is_a_million_higher_at_the_least() {
    for release in tools::etcd_versions() {
        let source = Source::of(&release).await;
        let flags = [
            "--bump-revision",
            "auto",
            "--mark-compacted",
            "--defragment",
        ];
        let mut raised = 0;
        let restore = |cluster: &mut Cluster| {
            let said = restore_one(cluster, source.path(), &flags).json();
            assert!(said["bumped_by"].as_i64() >= Some(1_000_000), "{said}");
            raised = said["revision"].as_i64().unwrap();
        };
        let cluster = Cluster::of(&release).start_on(restore).await;

        let mut client = cluster.client().await;
        let put = client.put("after", "the restore", None).await.unwrap();
        assert!(raised >= source.truth.revision + 1_000_000);
        assert_eq!(put.header().unwrap().revision(), raised + 1);
        assert_eq!(told_compacted(&cluster, 0, 5).await, raised);
    }
}

/// A lease that is there early, with two keys, and revoked later.
const REVOKED: i64 = 0x7777;

/// What a live server said at some revision.
struct Then {
    revision: i64,
    keys: Keys,
    /// None at the compaction itself: old servers refuse to answer, and new ones answer from a cache.
    hash: Option<u32>,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_of_an_earlier_revision_is_the_one_that_was_live_then() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let workplace = Workplace::new();
        let path = workplace.path("snapshot.db");
        let source = path.to_str().unwrap();
        let cluster = Cluster::of(&release).start().await;
        let mut client = cluster.client().await;
        let mut history = History::new(client.clone());
        history.go_on(50).await;
        history.compact().await;
        history.go_on(30).await;
        let options = LeaseGrantOptions::new().with_id(REVOKED);
        client.lease_grant(900, Some(options)).await.unwrap();
        for key in ["leased/1", "leased/2"] {
            let options = PutOptions::new().with_lease(REVOKED);
            client.put(key, "held", Some(options)).await.unwrap();
        }
        let leased = client.status().await.unwrap().header().unwrap().revision();
        client.lease_revoke(REVOKED).await.unwrap();
        history.go_on(30).await;
        save_snapshot(&mut client, &path).await;
        let (first, last) = (history.compacted, history.revision);
        let mut thens = Vec::new();
        for revision in [first, first + 1, leased, last - 1, last] {
            let mut then = Then {
                revision,
                keys: keys_at(&mut client, Some(revision)).await,
                hash: None,
            };
            if revision > first {
                then.hash = Some(client.hash_kv(revision).await.unwrap().hash());
            }
            thens.push(then);
        }
        drop(cluster);

        for (number, then) in thens.iter().enumerate() {
            let revision = then.revision.to_string();
            let mut flags = vec!["--to-revision", &revision];
            if number % 2 == 1 {
                flags.push("--defragment");
            }
            back_to(&release, source, then, &flags, then.revision).await;
        }
        let leased = &thens[2];
        let revision = leased.revision.to_string();
        let flags = [&["--to-revision", &revision], RAISED.as_slice()].concat();
        back_to(&release, source, leased, &flags, leased.revision + 1000).await;
        let early = (first - 1).to_string();
        let refused = etcdrx().run(["restore", source, "--to-revision", &early]);
        assert_ends(&refused, 2, &[&early, &first.to_string(), "compacted"]);
    }
}

/// Restores with these flags and holds what boots against what was live then; the new cluster is at `revision`.
async fn back_to(release: &EtcdRelease, source: &str, then: &Then, flags: &[&str], revision: i64) {
    println!("{flags:?}");
    let mut said = Value::Null;
    let restore = |cluster: &mut Cluster| said = restore_one(cluster, source, flags).json();
    let cluster = Cluster::of(release).start_on(restore).await;
    assert_eq!(said["revision"], revision);

    let mut client = cluster.client().await;
    let found = Truth::of(&mut client, None).await;
    assert_eq!(found.keys, then.keys);
    let raised = revision > then.revision;
    if let (Some(hash), false) = (then.hash, raised) {
        assert_eq!((found.revision, found.hash), (revision, hash));
    }
    for (key, known) in found.keys.iter().filter(|(_, known)| known.lease != 0) {
        let lease = known.lease;
        assert!(found.leases.contains_key(&lease), "{key:?} without {lease}");
    }
    let leased = then.keys.contains_key(b"leased/1".as_slice());
    assert_eq!(found.leases.get(&REVOKED), leased.then_some(&60));
    if leased {
        assert!(codes(&said).contains(&"leases-returned"), "{said}");
        let options = LeaseTimeToLiveOptions::new().with_keys();
        let lease = client
            .lease_time_to_live(REVOKED, Some(options))
            .await
            .unwrap();
        let keys: BTreeSet<&[u8]> = lease.keys().iter().map(Vec::as_slice).collect();
        assert_eq!(keys, [b"leased/1".as_slice(), b"leased/2"].into());
        client.lease_revoke(REVOKED).await.unwrap();
        let gone = client.get("leased/1", None).await.unwrap();
        assert_eq!(gone.kvs().len(), 0);
        return;
    }
    let put = client.put("after", "the restore", None).await.unwrap();
    assert_eq!(put.header().unwrap().revision(), revision + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_restored_and_nothing_else() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let source = Source::of(&release).await;
        let (earlier, keys) = &source.earlier;
        let earlier_text = earlier.to_string();
        let newest = source.truth.revision;
        let cases: [(&str, &[&str], &Keys, i64); 3] = [
            ("many/", &[], &source.truth.keys, newest),
            ("leased/", &["--to-revision", &earlier_text], keys, *earlier),
            ("no such key", &[], &source.truth.keys, newest),
        ];
        for (prefix, more, keys, base) in cases {
            let flags = [&["--prefix", prefix], more, &RAISED].concat();
            let members = if prefix == "many/" { 3 } else { 1 };
            let restore = |cluster: &mut Cluster| {
                let said = restore_all(cluster, source.path(), &flags).json();
                assert_eq!(said["revision"], base + 1000);
            };
            let cluster = Cluster::of(&release)
                .members(members)
                .start_on(restore)
                .await;

            let mut client = cluster.client().await;
            let found = keys_at(&mut client, None).await;
            let wanted = keys
                .iter()
                .filter(|(key, _)| key.starts_with(prefix.as_bytes()));
            let wanted: Keys = wanted
                .map(|(key, known)| (key.clone(), known.clone()))
                .collect();
            assert_eq!(found, wanted, "{prefix}");
            assert_eq!(wanted.is_empty(), prefix == "no such key");
            let put = client.put("after", "the restore", None).await.unwrap();
            assert_eq!(put.header().unwrap().revision(), base + 1001);
            assert_members_agree(&cluster, base + 1001).await;
        }
    }
}
