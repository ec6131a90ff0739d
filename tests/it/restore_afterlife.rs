//! How restored clusters live on: they grow and shrink, take raft snapshots, and end what the old cluster had begun.

use std::fs::{self, File};

use aws_lc_rs::digest::{SHA256, digest};
use etcd_client::{Client, CompactionOptions};
use etcdrx::bolt::Patch;

use crate::restore_setup::{
    Source, Truth, keys_at, restore_all, restore_one, save_snapshot, wait_until_at, write_history,
};
use crate::scratch::{Cluster, EtcdRelease, tools};
use crate::setup::{Workplace, codes, etcdrx};

/// A cluster of three with a learner, from which a member was removed: the snapshot knows them all.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_many_comes_back_as_one_that_grows_again() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let source = a_busy_cluster(&release).await;
        let restore = |cluster: &mut Cluster| drop(restore_one(cluster, source.path(), &[]));
        let mut cluster = Cluster::of(&release)
            .flag("--strict-reconfig-check=false")
            .start_on(restore)
            .await;
        let mut client = cluster.client().await;
        let members = client.member_list().await.unwrap();
        assert_eq!(members.members().len(), 1);
        assert!(!members.members()[0].is_learner());

        let second = cluster.add_member().await;
        let third = cluster.add_learner().await;
        cluster.promote(third).await;

        cluster.put_many("grown/", 30, 30).await;
        let truth = Truth::of(&mut cluster.member_client(0).await, None).await;
        assert_eq!(truth.leases, source.truth.leases);
        for index in [second, third] {
            wait_until_at(&cluster, index, truth.revision).await;
            let mut client = cluster.member_client(index).await;
            assert_eq!(Truth::of(&mut client, None).await, truth);
        }
        cluster.kill_all();
        cluster.start_all().await;
        for index in 0..3 {
            wait_until_at(&cluster, index, truth.revision).await;
            let mut client = cluster.member_client(index).await;
            assert_eq!(Truth::of(&mut client, None).await, truth);
        }
        // The restored member itself can go.
        let status = cluster.status(0).await.unwrap();
        let id = status.header().unwrap().member_id();
        let mut client = cluster.member_client(second).await;
        client.member_remove(id).await.unwrap();
        cluster.members[0].kill();
        cluster.leader().await;
        let mut client = cluster.client().await;
        let members = client.member_list().await.unwrap();
        assert_eq!(members.members().len(), 2);
        client.put("after", "its end", None).await.unwrap();
    }
}

async fn a_busy_cluster(release: &EtcdRelease) -> Source {
    let mut cluster = Cluster::of(release)
        .members(3)
        .flag("--strict-reconfig-check=false")
        .start()
        .await;
    write_history(&cluster).await;
    let status = cluster.status(2).await.unwrap();
    let mut client = cluster.member_client(0).await;
    let id = status.header().unwrap().member_id();
    client.member_remove(id).await.unwrap();
    cluster.members[2].kill();
    cluster.leader().await;
    cluster.add_learner().await;
    Source::from(&cluster).await
}

/// With raft's own snapshots every 50 entries: logs are cut, and who was away is sent a database.
#[tokio::test(flavor = "multi_thread")]
async fn members_that_were_away_for_long_catch_up_after_a_restore() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let source = Source::of(&release).await;
        let restore = |cluster: &mut Cluster| drop(restore_all(cluster, source.path(), &[]));
        let mut builder = Cluster::of(&release).members(3).snapshot_count(50);
        if release.minor() >= 6 {
            // How many entries a log keeps for those who lag behind; older ones keep 5000, whatever is said.
            builder = builder.flag("--snapshot-catchup-entries=20");
        }
        let mut cluster = builder.start_on(restore).await;
        let away = cluster.follower().await;
        cluster.members[away].kill();
        cluster.leader().await;
        let mut client = cluster.client().await;
        for number in 0..300 {
            let key = format!("while/away/{}", number % 50);
            client.put(key, vec![b'x'; 100], None).await.unwrap();
        }
        let leader = cluster.leader().await;

        cluster.restart_member(away).await;

        let truth = Truth::of(&mut cluster.member_client(leader).await, None).await;
        assert_eq!(truth.revision, source.truth.revision + 300);
        for _ in 0..2 {
            for index in 0..3 {
                wait_until_at(&cluster, index, truth.revision).await;
                let mut client = cluster.member_client(index).await;
                assert_eq!(Truth::of(&mut client, None).await, truth);
            }
            cluster.kill_all();
            cluster.start_all().await;
        }
    }
}

/// A snapshot taken in the midst of a compaction: the new cluster ends it, and hashes as we do.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_that_was_under_way_is_ended() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let workplace = Workplace::new();
        let source = Source::of(&release).await;
        let path = workplace.path("midst.db");
        fs::copy(&source.snapshot, &path).unwrap();
        let to = source.truth.revision - 2;
        schedule(&path, to);
        let path = path.to_str().unwrap();
        let status = etcdrx().run(["snapshot", "status", path, "--json"]);
        assert_eq!(codes(&status.success().json()), ["compaction-unfinished"]);
        let hash = etcdrx().run(["snapshot", "hashkv", path, "--json"]);
        let hash = hash.success().json();
        assert_eq!(hash["compactRevision"], to);

        for flags in [&[][..], &["--defragment"]] {
            let restore = |cluster: &mut Cluster| drop(restore_all(cluster, path, flags));
            let cluster = Cluster::of(&release).members(3).start_on(restore).await;
            for index in 0..3 {
                let mut client = cluster.member_client(index).await;
                let found = Truth::of(&mut client, None).await;
                assert_eq!(found.keys, source.truth.keys);
                assert_eq!(found.compact_revision, to);
                assert_eq!(hash["hash"], found.hash);
            }
        }
    }
}

/// Notes in a snapshot file that a compaction to `revision` has begun.
fn schedule(path: &std::path::Path, revision: i64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut patch = Patch::open(file).unwrap();
    let value = [&revision.to_be_bytes(), b"_".as_slice(), &[0; 8]].concat();
    patch.set(b"meta", b"scheduledCompactRev", &value).unwrap();
    patch.commit().unwrap();
    let mut bytes = fs::read(path).unwrap();
    let trailer = digest(&SHA256, &bytes);
    bytes.extend_from_slice(trailer.as_ref());
    fs::write(path, bytes).unwrap();
}

/// Before 3.5.16 a compaction erases even the newest record, if it is a deletion: the revision is known from meta alone.
#[tokio::test(flavor = "multi_thread")]
async fn the_revision_of_a_store_whose_newest_record_was_compacted_away_is_known() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let workplace = Workplace::new();
        let path = workplace.path("snapshot.db");
        let cluster = Cluster::of(&release).start().await;
        let mut client = cluster.client().await;
        let newest = erase_the_newest(&mut client).await;
        save_snapshot(&mut client, &path).await;
        let hash = client.hash_kv(0).await.unwrap().hash();
        let keys = keys_at(&mut client, None).await;
        let path = path.to_str().unwrap();

        let backups = Workplace::of(&cluster);
        let manifest = backups.etcdrx().run(["backup", "--json"]).success().json();
        assert_eq!(manifest["revision"], newest);
        backups.etcdrx().run(["verify", "latest"]).success();
        let listed = etcdrx().run(["snapshot", "keys", path, "--json"]).success();
        assert_eq!(listed.json()["revision"], newest);
        let ours = etcdrx()
            .run(["snapshot", "hashkv", path, "--json"])
            .success();
        assert_eq!(ours.json()["hash"], hash);
        assert_eq!(ours.json()["hashRevision"], newest);
        let now = newest.to_string();
        let raised = ["--bump-revision", "1000", "--mark-compacted"];
        let partly = [raised.as_slice(), &["--prefix", "sta"]].concat();
        let cases: [(&[&str], i64); 5] = [
            (&[], 0),
            (&["--defragment"], 0),
            (&["--to-revision", &now], 0),
            (&raised, 1000),
            (&partly, 1000),
        ];
        for (flags, more) in cases {
            let restore = |cluster: &mut Cluster| {
                let said = restore_one(cluster, path, flags).json();
                assert_eq!(said["revision"], newest + more, "{flags:?}");
            };
            let cluster = Cluster::of(&release).start_on(restore).await;
            let mut client = cluster.client().await;
            assert_eq!(keys_at(&mut client, None).await, keys);
            let put = client.put("after", "the restore", None).await.unwrap();
            assert_eq!(
                put.header().unwrap().revision(),
                newest + more + 1,
                "{flags:?}"
            );
        }
    }
}

/// Deletes far more often than a bump raises, in the end once more, and compacts to there.
async fn erase_the_newest(client: &mut Client) -> i64 {
    client.put("stays", "here", None).await.unwrap();
    for _ in 0..600 {
        client.put("goes", "away", None).await.unwrap();
        client.delete("goes", None).await.unwrap();
    }
    let newest = client.status().await.unwrap().header().unwrap().revision();
    let physically = CompactionOptions::new().with_physical();
    client.compact(newest, Some(physically)).await.unwrap();
    newest
}
