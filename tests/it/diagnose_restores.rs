//! Restores that went wrong without a word of etcd's: all members healthy, and not the same data.

use std::fs;

use crate::diagnose_setup::{look, three};
use crate::restore_setup::{restore_all, save_snapshot};
use crate::scratch::{Cluster, tools};
use crate::setup::Workplace;

/// The token that scratch clusters have, first and last: what a second restore with a fixed token comes to.
const SAME_TOKEN: [&str; 2] = ["--initial-cluster-token", "scratch"];

/// A cluster that serves through every member, and is not one. Who differs shows once something was written.
async fn assert_told(cluster: Cluster, odd: &str) {
    let workplace = Workplace::of(&cluster);
    let at_once = look(&workplace);
    cluster.put_many("after/", 5, 20).await;
    for index in 0..3 {
        cluster.wait_until_caught_up(index).await;
    }
    let seen = look(&workplace);

    for member in &cluster.members {
        assert_eq!(seen.class(member.name()), "OK", "{:?}", seen.output);
    }
    assert_eq!(at_once.json["condition"], "silent-corruption");
    assert_eq!(seen.json["quorum"]["reads"], true);
    seen.assert_is("silent-corruption", Some("follower"), 3);
    let command = seen.commands()[0];
    let names_it = command.ends_with(&format!("--member {odd}"));
    assert!(names_it, "{:?}", seen.output);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_that_were_restored_differently_are_told_though_etcd_calls_them_healthy() {
    let etcd = tools::newest_etcd();
    let (mut source, _) = three(&etcd).await;
    let directory = tempfile::tempdir().unwrap();
    let [early, late] = ["early.db", "late.db"].map(|name| directory.path().join(name));
    let path = |file: &std::path::Path| file.to_str().unwrap().to_owned();
    save_snapshot(&mut source.client().await, &early).await;
    source.put_many("later/", 20, 20).await;
    for index in 0..3 {
        source.wait_until_caught_up(index).await;
    }
    save_snapshot(&mut source.client().await, &late).await;

    // One was left blank, and told that the cluster is new.
    let blank = Cluster::of(&etcd).members(3).start_on(|cluster| {
        restore_all(cluster, &path(&late), &SAME_TOKEN);
        fs::remove_dir_all(cluster.members[2].data_dir()).unwrap();
    });
    assert_told(blank.await, "etcd-3").await;

    // One got other bytes.
    let mixed = Cluster::of(&etcd).members(3).start_on(|cluster| {
        restore_all(cluster, &path(&late), &SAME_TOKEN);
        let data = cluster.members[2].data_dir().to_owned();
        let aside = data.with_extension("late");
        fs::rename(&data, &aside).unwrap();
        for member in &cluster.members[..2] {
            let away = member.data_dir().with_extension("away");
            fs::rename(member.data_dir(), away).unwrap();
        }
        restore_all(cluster, &path(&early), &SAME_TOKEN);
        for member in &cluster.members[..2] {
            fs::remove_dir_all(member.data_dir()).unwrap();
            let away = member.data_dir().with_extension("away");
            fs::rename(away, member.data_dir()).unwrap();
        }
    });
    assert_told(mixed.await, "etcd-3").await;

    // One kept its old data, and the others were restored as a cluster of the same token at the same places.
    source.kill_all();
    let members: Vec<_> = source.members[..2].iter().collect();
    for member in &members {
        fs::remove_dir_all(member.data_dir()).unwrap();
    }
    let old = source.members[2].data_dir().to_owned();
    fs::rename(&old, old.with_extension("old")).unwrap();
    restore_all(&source, &path(&early), &SAME_TOKEN);
    fs::remove_dir_all(&old).unwrap();
    fs::rename(old.with_extension("old"), &old).unwrap();
    source.start_all().await;
    let seen = look(&Workplace::of(&source));
    assert_eq!(seen.json["quorum"]["reads"], true);
    assert!(
        seen.conditions().contains(&"silent-corruption"),
        "{:?}",
        seen.output
    );
}
