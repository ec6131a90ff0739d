//! A member that is made the only one of its cluster: with its id, its peer URL, and everything that it had, and never half.

use std::fs;
use std::path::Path;
use std::time::Duration;

use etcdrx::drill::Written;
use etcdrx::etcd::{Listed, Member};
use etcdrx::id::Revision;
use etcdrx::node::{Action, Directories};
use nix::sys::signal::Signal;

use crate::node_setup::RUN;
use crate::recover_setup::names;
use crate::salvage::{
    access, directories, fingerprints, furthest, killed_while_written_to,
    with_a_log_elsewhere_and_a_learner,
};
use crate::scratch::{Cluster, Output, tools};
use crate::setup::{assert_ends, etcdrx};

fn force(cluster: &Cluster, directories: &Directories) -> Vec<String> {
    let action = Action::ForceNewCluster {
        directories: directories.clone(),
        etcd: Some(cluster.release().etcd()),
        run: RUN.to_owned(),
    };
    ["--json".to_owned()]
        .into_iter()
        .chain(action.words())
        .collect()
}

fn changed(output: Output) -> bool {
    let answer = output.success().json();
    answer["changed"].as_bool().unwrap()
}

/// Starts the member as it always was, and connects to it.
async fn alone(cluster: &mut Cluster, index: usize) -> Member {
    cluster.members[index].start();
    let url = cluster.members[index].client_url().to_owned();
    let access = access(cluster);
    for _ in 0..200 {
        if let Ok(member) = access.member(&url, Duration::from_secs(2)).await
            && member.linearizable_revision().await.is_ok()
        {
            return member;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it does not serve alone\n{}", cluster.members[index].log());
}

async fn assert_holds(member: &Member, written: &Written) {
    let compared = member_compared(member, written).await;
    assert_eq!(compared, written.acknowledged.len());
}

async fn member_compared(member: &Member, written: &Written) -> usize {
    let compared = written.compare(member, None, Revision(0)).await.unwrap();
    assert!(compared.is_sound(), "{compared:?}");
    compared.kept
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_its_id_its_peer_url_and_everything_that_was_acknowledged() {
    for release in tools::etcd_versions() {
        let mut cluster = Cluster::of(&release).members(3).start().await;
        let written = killed_while_written_to(&cluster).await;
        let index = furthest(&cluster);
        let directories = directories(&cluster, index);
        let before = etcdrx::datadir::wal::read(&directories.log()).unwrap();
        let original = fingerprints(&directories);
        let words = force(&cluster, &directories);

        assert!(changed(etcdrx().run(&words)));
        assert!(!changed(etcdrx().run(&words)), "a second time");

        let aside = directories.member_aside(RUN);
        let kept = fingerprints(&Directories {
            data_dir: aside.clone(),
            wal_dir: None,
        });
        for (path, digest) in &original {
            let within = path.strip_prefix(directories.member()).unwrap();
            assert_eq!(kept.get(&aside.join(within)), Some(digest), "{within:?}");
        }
        let member = alone(&mut cluster, index).await;
        let status = member.status().await.unwrap();
        assert_eq!(Some(status.member_id), before.node_id);
        assert_eq!(Some(status.cluster_id), before.cluster_id);
        let is = &cluster.members[index];
        let listed = member.members().await.unwrap();
        let expected = Listed {
            id: status.member_id,
            name: is.name().to_owned(),
            peer_urls: vec![is.peer_url().to_owned()],
            client_urls: vec![is.client_url().to_owned()],
            is_learner: false,
        };
        assert_eq!(listed, [expected], "etcd {}", release.version());
        assert_holds(&member, &written).await;
        assert!(!changed(etcdrx().run(&words)), "while it runs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_often_it_is_killed_it_comes_to_the_same_end() {
    let release = tools::newest_etcd();
    let elsewhere = tempfile::tempdir().unwrap();
    let wal_dir = elsewhere.path().join("wal");
    let mut cluster = with_a_log_elsewhere_and_a_learner(&release, &wal_dir).await;
    let written = killed_while_written_to(&cluster).await;
    let directories = Directories {
        wal_dir: Some(wal_dir.clone()),
        ..directories(&cluster, 0)
    };
    let words = force(&cluster, &directories);

    let mut kills = 0;
    for pause in (0..).step_by(30) {
        let mut process = etcdrx().spawn(&words);
        std::thread::sleep(Duration::from_millis(pause));
        if !process.is_running() {
            process.wait(Duration::from_secs(20)).success();
            break;
        }
        process.signal(Signal::SIGKILL);
        process.wait(Duration::from_secs(20));
        kills += 1;
    }

    assert!(kills > 5, "only {kills} kills");
    let member = alone(&mut cluster, 0).await;
    assert_eq!(member.members().await.unwrap().len(), 1, "the learner left");
    assert_holds(&member, &written).await;
    let aside = format!("member.etcdrx-{RUN}");
    assert_eq!(names(&directories.data_dir), ["member".to_owned(), aside]);
    let aside = format!("wal.etcdrx-{RUN}");
    assert_eq!(names(elsewhere.path()), ["wal".to_owned(), aside]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_or_is_damaged_stays_as_it_is() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    cluster.put_many("key/", 500, 100).await;
    let directories = directories(&cluster, 0);
    let words = force(&cluster, &directories);

    assert_ends(&etcdrx().run(&words), 4, &["in use"]);
    cluster.kill_all();
    damage(&directories.log());
    let before = fingerprints(&directories);

    assert_ends(&etcdrx().run(&words), 6, &["log of the member"]);

    assert_eq!(fingerprints(&directories), before);
}

fn damage(wal_dir: &Path) {
    let end = etcdrx::datadir::wal::read(wal_dir).unwrap().end;
    let mut bytes = fs::read(&end.file).unwrap();
    bytes[usize::try_from(end.offset / 2).unwrap()] ^= 0x10;
    fs::write(&end.file, bytes).unwrap();
}
