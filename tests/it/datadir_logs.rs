//! The logs of real members, read while they run, after they were killed, and raised for a new cluster.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{GetOptions, StatusResponse};
use etcdrx::datadir::membership::Membership;
use etcdrx::datadir::wal::{self, Ending};
use etcdrx::datadir::{EntryKind, EntryPlace, snap};

use crate::scratch::cluster::Member;
use crate::scratch::{Cluster, process, program, tools};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_says_what_its_member_says() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let cluster = Cluster::of(&release).members(3).snapshot_count(50);
        let cluster = cluster.start().await;
        cluster.put_many("key/", 10_000, 10).await;
        let mut said = Vec::new();
        for index in 0..3 {
            cluster.wait_until_caught_up(index).await;
            said.push(cluster.status(index).await.unwrap());
        }

        for (index, status) in said.iter().enumerate() {
            assert_says(&wal_dir(&cluster, index), status, &said);
        }
        let refused = wal::raise_commit(&wal_dir(&cluster, 0));
        assert!(
            matches!(refused, Err(wal::Error::InUse { .. })),
            "{refused:?}"
        );
        cluster.kill_all();
        for (index, status) in said.iter().enumerate() {
            let dir = wal_dir(&cluster, index);
            assert_says(&dir, status, &said);
            let facts = wal::read(&dir).unwrap();
            assert_eq!(facts.end.ending, Ending::Whole, "{:?}", facts.end);
            let commit = facts.hard_state.unwrap().commit;
            let last = facts.last.unwrap().index;
            assert!(commit <= last && commit + 50 > last, "{commit} {last}");
            assert_snap_is_remembered(&cluster, index);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_several_files_is_read_through() {
    for release in [&tools::etcd_versions()[0], &tools::newest_etcd()] {
        let cluster = Cluster::of(release).start().await;
        cluster.put_many("large/", 70, 1_000_000).await;
        let status = cluster.status(0).await.unwrap();
        cluster.kill_all();

        let dir = wal_dir(&cluster, 0);
        let facts = wal::read(&dir).unwrap();

        assert!(facts.files > 1, "{facts:?}");
        assert_says(&dir, &status, std::slice::from_ref(&status));
        let entries = wal::entries(&dir, 2).unwrap().map(Result::unwrap);
        let mut expected = 2;
        let mut large = 0;
        for entry in entries {
            assert_eq!(entry.index, expected);
            expected += 1;
            large += usize::from(entry.kind == EntryKind::Normal && entry.data.len() > 1_000_000);
        }
        assert_eq!(expected, facts.last.unwrap().index + 1);
        assert_eq!(large, 70);
        // Without the first file it begins in the middle.
        fs::remove_file(&wal::segments(&dir).unwrap()[0].path).unwrap();
        let rest = wal::read(&dir).unwrap();
        assert_eq!((rest.last, rest.end), (facts.last, facts.end));
        assert!(rest.first.unwrap().index > facts.first.unwrap().index);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_survivor_whose_commit_was_raised_starts_a_new_cluster_with_every_key() {
    let mut gained = 0;
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let mut cluster = Cluster::of(&release).members(3).start().await;
        cluster.put_many("key/", 500, 100).await;
        let acknowledged = killed_while_writing(&cluster).await;
        let furthest = (0..3).max_by_key(|index| last(&cluster, *index)).unwrap();
        let copy = cluster.directory().join("copy");
        copy_folder(cluster.members[furthest].data_dir(), &copy);
        let original = wal::read(&wal_dir(&cluster, furthest)).unwrap();

        let raised = wal::raise_commit(&copy.join("member/wal")).unwrap();

        println!("{acknowledged} acknowledged, {raised:?}");
        gained += raised.after.commit - raised.before.commit;
        let unchanged = wal::read(&wal_dir(&cluster, furthest)).unwrap();
        assert_eq!(unchanged, original);
        let flags = [
            format!("--data-dir={}", copy.display()),
            "--force-new-cluster".to_owned(),
        ];
        cluster.members[furthest].arguments().extend(flags);
        cluster.restart_member(furthest).await;
        let mut client = cluster.member_client(furthest).await;
        let members = client.member_list().await.unwrap();
        assert_eq!(members.members().len(), 1);
        let options = GetOptions::new().with_prefix().with_count_only();
        let keys = client.get("key/", Some(options)).await.unwrap();
        assert_eq!(keys.count(), 500);
        for number in 0..acknowledged {
            let answer = client.get(format!("serial/{number}"), None).await.unwrap();
            let value = answer.kvs().first().map(|kv| kv.value().to_vec());
            assert_eq!(value, Some(number.to_string().into_bytes()), "{number}");
        }
        client.put("after", "all", None).await.unwrap();
    }
    assert!(gained > 0, "no log lagged behind, so nothing was proven");
}

/// A byte of a length is all that is changed: etcd starts, and says nothing of what it left out.
#[tokio::test(flavor = "multi_thread")]
async fn records_behind_a_length_that_was_changed_are_seen_and_etcd_passes_over_them() {
    for release in tools::etcd_versions() {
        // The database stays behind: one that has applied what is cut off waits for it for ever.
        let lazy = [
            "--backend-batch-interval=1h",
            "--backend-batch-limit=1000000",
        ];
        let cluster = Cluster::of(&release).flag(lazy[0]).flag(lazy[1]);
        let mut cluster = cluster.start().await;
        cluster.put_many("key/", 3000, 100).await;
        cluster.kill_all();
        let dir = wal_dir(&cluster, 0);
        let whole = wal::read(&dir).unwrap();
        let mut bytes = fs::read(&whole.end.file).unwrap();
        let changed = frame_before(&bytes, usize::try_from(whole.end.offset).unwrap() / 2);
        bytes[changed + 4] = 1;
        fs::write(&whole.end.file, &bytes).unwrap();

        let facts = wal::read(&dir).unwrap();

        assert_eq!(facts.end.ending, Ending::Torn, "{:?}", facts.end);
        assert!(facts.end.records_follow && !whole.end.records_follow);
        let (left, all) = (facts.last.unwrap().index, whole.last.unwrap().index);
        assert!(left < all, "{left} of {all}");
        if release.minor() == 4 {
            println!("etcd 3.4 refuses a record that reaches beyond its file");
            continue;
        }
        cluster.restart_member(0).await;
        cluster.kill_all();
        let after = wal::read(&dir).unwrap();
        assert_eq!(after.end.ending, Ending::Whole, "{:?}", after.end);
        assert!(after.last.unwrap().index < all, "{:?}", after.last);
    }
}

/// Where the last frame begins that begins before `limit`.
fn frame_before(bytes: &[u8], limit: usize) -> usize {
    let (mut at, mut last) = (0, 0);
    while at < limit {
        last = at;
        let word = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
        let (record, padding) = wal::lengths(word);
        at += usize::try_from(8 + record + padding).unwrap();
    }
    last
}

/// Kills all members at once in the middle of serial writes, and tells how many were acknowledged.
async fn killed_while_writing(cluster: &Cluster) -> usize {
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut client = cluster.client().await;
    let writer = tokio::spawn({
        let acknowledged = acknowledged.clone();
        async move {
            for number in 0.. {
                let put = client.put(format!("serial/{number}"), number.to_string(), None);
                if put.await.is_err() {
                    return;
                }
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
        }
    });
    while acknowledged.load(Ordering::SeqCst) < 50 {
        tokio::task::yield_now().await;
    }
    cluster.kill_all();
    writer.await.unwrap();
    acknowledged.load(Ordering::SeqCst)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_etcd_starts_on_the_log_and_the_snapshot_file() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let mut cluster = Cluster::of(&release).members(3).start().await;
        cluster.put_many("key/", 300, 100).await;
        save_snapshot(&cluster, "saved.db");
        cluster.kill_all();
        let list = cluster.initial_cluster();
        let membership = Membership::parse(&list, "another").unwrap();
        for member in &cluster.members {
            fs::remove_dir_all(member.data_dir()).unwrap();
            let restored = cluster.etcdutl([
                "snapshot".to_owned(),
                "restore".to_owned(),
                "saved.db".to_owned(),
                format!("--name={}", member.name()),
                format!("--data-dir={}", member.data_dir().display()),
                format!("--initial-cluster={list}"),
                format!("--initial-advertise-peer-urls={}", member.peer_url()),
                "--initial-cluster-token=another".to_owned(),
            ]);
            restored.success();
            let (wal_dir, snap_dir) = (dir(member, "wal"), dir(member, "snap"));
            fs::remove_dir_all(&wal_dir).unwrap();
            fs::remove_file(&snap::list(&snap_dir).unwrap()[0]).unwrap();
            let local = membership.local(member.name(), member.peer_url()).unwrap();
            wal::create(&wal_dir, &membership, local.id, wal::Style::Classic).unwrap();
            snap::create(&snap_dir, &membership).unwrap();
        }

        cluster.start_all().await;

        let mut client = cluster.client().await;
        let options = GetOptions::new().with_prefix().with_count_only();
        let keys = client.get("key/", Some(options)).await.unwrap();
        assert_eq!(keys.count(), 300);
        let header = keys.header().unwrap();
        assert_eq!(header.cluster_id(), membership.cluster_id.0);
        let members = client.member_list().await.unwrap();
        let ids: BTreeSet<u64> = members
            .members()
            .iter()
            .map(etcd_client::Member::id)
            .collect();
        assert_eq!(ids.into_iter().collect::<Vec<_>>(), membership.ids());
        client.put("after", "all", None).await.unwrap();
    }
}

/// Lets etcdctl save a snapshot of the first member: it takes one endpoint only.
fn save_snapshot(cluster: &Cluster, name: &str) {
    let mut command = process::command(&cluster.release().etcdctl());
    command.args(["snapshot", "save", name]);
    command.env("ETCDCTL_API", "3");
    command.env("ETCDCTL_ENDPOINTS", cluster.members[0].client_url());
    command.current_dir(cluster.directory());
    program::run(command, Duration::from_secs(20)).success();
}

fn dir(member: &Member, name: &str) -> PathBuf {
    member.data_dir().join("member").join(name)
}

/// Holds a log against the status of its member and the ids of all.
fn assert_says(dir: &Path, status: &StatusResponse, all: &[StatusResponse]) {
    let facts = wal::read(dir).unwrap();
    let header = status.header().unwrap();
    let last = facts.last.unwrap();
    assert_eq!(last.term, status.raft_term(), "{facts:?}");
    // Some seconds after the start a leader writes down the version of its cluster.
    let said = status.raft_index();
    assert!((said..=said + 2).contains(&last.index), "{said} {facts:?}");
    assert_eq!(facts.node_id.unwrap().0, header.member_id());
    assert_eq!(facts.cluster_id.unwrap().0, header.cluster_id());
    assert_eq!(facts.gap, None);
    let ids: BTreeSet<u64> = all
        .iter()
        .map(|s| s.header().unwrap().member_id())
        .collect();
    let members = facts.members(None).unwrap();
    assert_eq!(members.voters, ids.into_iter().collect::<Vec<_>>());
}

/// The newest snapshot file is one that the log remembers, with the same members where it tells them.
fn assert_snap_is_remembered(cluster: &Cluster, index: usize) {
    let dir = cluster.members[index].data_dir().join("member/snap");
    let newest = snap::read(&snap::list(&dir).unwrap()[0]).unwrap().record();
    assert!(newest.index >= 50);
    let facts = wal::read(&wal_dir(cluster, index)).unwrap();
    let mut remembered = facts.snapshots.iter();
    let same = remembered
        .find(|record| record.index == newest.index)
        .unwrap();
    assert_eq!(same.term, newest.term);
    if cluster.release().minor() >= 5 {
        assert_eq!(same.conf_state, newest.conf_state);
    }
}

fn last(cluster: &Cluster, index: usize) -> Option<EntryPlace> {
    wal::read(&wal_dir(cluster, index)).unwrap().last
}

fn wal_dir(cluster: &Cluster, index: usize) -> PathBuf {
    cluster.members[index].data_dir().join("member/wal")
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}
