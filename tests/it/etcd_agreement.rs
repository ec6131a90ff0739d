//! Whether a backup is fresh, and whether the members agree on what is in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use etcd_client::ResponseHeader;

use crate::scratch::{Cluster, EtcdRelease, process, program, tools};
use crate::setup::{Workplace, assert_ends, codes};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_holds_every_write_that_was_acknowledged_before_it_began() {
    let cluster = Cluster::of(&tools::newest_etcd()).members(3).start().await;
    let workplace = Workplace::of(&cluster);
    let acknowledged = Arc::new(AtomicI64::new(0));
    let enough = Arc::new(AtomicBool::new(false));
    let mut client = cluster.client().await;
    let writer = tokio::spawn({
        let (acknowledged, enough) = (acknowledged.clone(), enough.clone());
        async move {
            while !enough.load(Ordering::Relaxed) {
                let put = client.put("counter", "value", None).await.unwrap();
                let revision = put.header().map_or(0, ResponseHeader::revision);
                acknowledged.store(revision, Ordering::SeqCst);
            }
        }
    });

    for _ in 0..4 {
        let before = acknowledged.load(Ordering::SeqCst);
        let manifest = workplace.etcdrx().run(["backup", "--json"]);

        let manifest = manifest.success().json();
        let revision = manifest["revision"].as_i64().unwrap();
        assert!(revision >= before, "{revision} and {before}");
        assert!(manifest["linearizable_revision"].as_i64().unwrap() >= before);
        assert_eq!(codes(&manifest), [""; 0]);
        assert!(manifest["hashkv"]["hash"].is_u64(), "{manifest}");
    }
    enough.store(true, Ordering::Relaxed);
    writer.await.unwrap();
}

/// The members of one cluster, restored from two snapshots by mistake: same ids, same revision, other data.
#[tokio::test]
async fn members_that_disagree_are_a_finding_of_a_backup_that_is_kept() {
    let etcd = tools::newest_etcd();
    let folder = tempfile::tempdir().unwrap();
    let one = snapshot_with(&etcd, folder.path(), "one").await;
    let other = snapshot_with(&etcd, folder.path(), "other").await;
    let mut cluster = Cluster::of(&etcd).members(3).start().await;
    cluster.kill_all();
    let initial_cluster = cluster.initial_cluster();
    for (member, snapshot) in cluster.members.iter().zip([&one, &one, &other]) {
        std::fs::remove_dir_all(member.data_dir()).unwrap();
        let mut restore = process::command(&etcd.etcdutl());
        restore.args(["snapshot", "restore"]).arg(snapshot).args([
            format!("--name={}", member.name()),
            format!("--data-dir={}", member.data_dir().display()),
            format!("--initial-cluster={initial_cluster}"),
            format!("--initial-advertise-peer-urls={}", member.peer_url()),
        ]);
        program::run(restore, Duration::from_secs(20)).success();
    }
    cluster.start_all().await;
    let workplace = Workplace::of(&cluster);

    let taken = workplace
        .etcdrx()
        .run(["backup", "--json", "--member", "etcd-1"]);
    let in_words = workplace.etcdrx().run(["backup", "--member", "etcd-3"]);
    let listed = workplace.etcdrx().run(["list"]).success();

    assert_eq!(taken.code, 3, "{taken:?}");
    let manifest = taken.json();
    assert_eq!(codes(&manifest), ["members-disagree"]);
    assert_eq!(manifest["findings"][0]["severity"], "error");
    assert_ends(
        &in_words,
        3,
        &[
            "etcd-1 holds other data than etcd-3 at revision",
            "etcd-2 holds other data than etcd-3 at revision",
            "finding: [members-disagree]",
            "the backup is kept and marked with this",
        ],
    );
    assert!(listed.stdout.contains("members disagreed"), "{listed:?}");
    workplace.assert_holds_only_whole_backups(2);
}

/// A snapshot of one key with this value.
async fn snapshot_with(etcd: &EtcdRelease, folder: &Path, value: &str) -> PathBuf {
    let cluster = Cluster::of(etcd).start().await;
    let mut client = cluster.client().await;
    client.put("key", value, None).await.unwrap();
    let path = folder.join(value);
    let saved = cluster.etcdctl(["snapshot", "save", path.to_str().unwrap()]);
    saved.success();
    path
}
