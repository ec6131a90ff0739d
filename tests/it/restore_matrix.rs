//! Snapshots of every etcd, restored by etcdrx for every etcd that may follow it, by both of its writers.

use std::collections::BTreeSet;
use std::time::Instant;

use crate::restore_setup::{
    Source, Truth, keys_at, keys_in, restore_all, restore_one, save_snapshot, wait_until_at,
};
use crate::scratch::{Cluster, EtcdRelease, require_etcd};

/// A way through the matrix: what is restored for whom, and how.
#[derive(Clone, Copy, Debug)]
struct Cell<'a> {
    from: &'a str,
    to: &'a str,
    for_version: Option<&'a str>,
    members: usize,
    defragment: bool,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_3_4_is_restored_for_3_4_and_3_5() {
    let source = require_etcd!("3.4");
    run(&source, &[("3.4", None), ("3.5", None)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_3_5_is_restored_for_3_5_and_3_6() {
    let source = require_etcd!("3.5");
    run(&source, &[("3.5", None), ("3.6", None)]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_3_6_is_restored_for_3_6_and_3_7_and_3_5() {
    let source = require_etcd!("3.6");
    let targets = [("3.6", None), ("3.7", None), ("3.5", Some("3.5"))];
    run(&source, &targets).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_3_7_is_restored_for_3_7_and_3_6_and_3_5() {
    let source = require_etcd!("3.7");
    let targets = [("3.7", None), ("3.6", Some("3.6")), ("3.5", Some("3.5"))];
    run(&source, &targets).await;
}

/// 3.5 does not look at the storage version, and so needs no help.
#[tokio::test(flavor = "multi_thread")]
async fn a_3_5_starts_on_snapshots_of_3_6_and_3_7_as_they_are() {
    for source in [require_etcd!("3.6"), require_etcd!("3.7")] {
        let taken = Source::of(&source).await;
        let cell = Cell {
            from: source.version(),
            to: "3.5",
            for_version: None,
            members: 1,
            defragment: false,
        };
        println!("{}", line(cell, &taken, &require_etcd!("3.5")).await);
    }
}

/// Takes one snapshot and restores it for each target with 1 and 3 members by both writers; the newest also with 5.
async fn run(source: &EtcdRelease, targets: &[(&str, Option<&str>)]) {
    let begin = Instant::now();
    let taken = Source::of(source).await;
    let mut lines = Vec::new();
    for (to, for_version) in targets {
        let target = require_etcd!(*to);
        let sizes: &[usize] = match (source.version(), *to) {
            ("3.7", "3.7") => &[1, 3, 5],
            _ => &[1, 3],
        };
        for (members, defragment) in sizes
            .iter()
            .flat_map(|size| [(*size, false), (*size, true)])
        {
            if members == 5 && defragment {
                continue;
            }
            let cell = Cell {
                from: source.version(),
                to,
                for_version: *for_version,
                members,
                defragment,
            };
            lines.push(line(cell, &taken, &target).await);
        }
    }
    println!(
        "{} keys, revision {}, compacted to {}, hash {:08x}\n{}\n{} ways in {:.0?}",
        taken.truth.keys.len(),
        taken.truth.revision,
        taken.truth.compact_revision,
        taken.truth.hash,
        lines.join("\n"),
        lines.len(),
        begin.elapsed()
    );
}

/// Goes one way and gives its line of the table.
async fn line(cell: Cell<'_>, source: &Source, target: &EtcdRelease) -> String {
    let begin = Instant::now();
    goes(cell, source, target).await;
    format!(
        "{} -> {} {:18} {} members {:12} {:5.1} s  ok",
        cell.from,
        cell.to,
        cell.for_version
            .map(|version| format!("--for-version {version}"))
            .unwrap_or_default(),
        cell.members,
        if cell.defragment {
            "--defragment"
        } else {
            "patched"
        },
        begin.elapsed().as_secs_f64()
    )
}

async fn goes(cell: Cell<'_>, source: &Source, target: &EtcdRelease) {
    println!("{cell:?}");
    let mut flags = Vec::new();
    if cell.defragment {
        flags.push("--defragment");
    }
    if let Some(version) = cell.for_version {
        flags.extend(["--for-version", version]);
    }
    let builder = Cluster::of(target).members(cell.members);
    let mut cluster = builder
        .start_on(|cluster| {
            let restored = match cell.members {
                1 => restore_one(cluster, source.path(), &flags),
                _ => restore_all(cluster, source.path(), &flags),
            };
            assert_eq!(restored.json()["revision"], source.truth.revision);
        })
        .await;

    for index in 0..cell.members {
        holds_the_truth(&cluster, index, source).await;
    }
    let mut client = cluster.client().await;
    let put = client
        .put("written/after", "the restore", None)
        .await
        .unwrap();
    assert_eq!(put.header().unwrap().revision(), source.truth.revision + 1);
    cluster.put_many("written/", 20, 50).await;
    let deleted = client.delete("many/00000001", None).await.unwrap();
    wait_until_at(&cluster, 0, deleted.header().unwrap().revision()).await;
    let written = Truth::of(&mut cluster.member_client(0).await, None).await;
    for index in 0..cell.members {
        wait_until_at(&cluster, index, written.revision).await;
        assert_eq!(
            Truth::of(&mut cluster.member_client(index).await, None).await,
            written
        );
    }

    cluster.kill_all();
    cluster.start_all().await;

    for index in 0..cell.members {
        wait_until_at(&cluster, index, written.revision).await;
        let mut client = cluster.member_client(index).await;
        assert_eq!(Truth::of(&mut client, None).await, written);
        let fresh = cluster.directory().join(format!("fresh-{index}.db"));
        save_snapshot(&mut client, &fresh).await;
        assert_eq!(keys_in(&fresh, &[]), written.keys);
    }
    let mut client = cluster.client().await;
    client.put("written/at/last", "again", None).await.unwrap();
}

/// A member answers as the source did: the hash, every key, leases, users and roles, and what was before.
async fn holds_the_truth(cluster: &Cluster, index: usize, source: &Source) {
    let mut client = cluster.member_client(index).await;
    let found = Truth::of(&mut client, None).await;
    assert_eq!(found.keys, source.truth.keys, "keys");
    assert_eq!(found, source.truth);
    let (earlier, keys) = &source.earlier;
    assert_eq!(keys_at(&mut client, Some(*earlier)).await, *keys);
    let members = client.member_list().await.unwrap();
    let members = members.members().iter();
    let found: BTreeSet<_> = members
        .map(|member| (member.name(), member.peer_urls()))
        .collect();
    let expected = cluster.members.iter();
    let urls: Vec<_> = expected
        .map(|member| (member.name(), [member.peer_url().to_owned()]))
        .collect();
    assert_eq!(
        found,
        urls.iter()
            .map(|(name, urls)| (*name, urls.as_slice()))
            .collect()
    );
}
