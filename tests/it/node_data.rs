//! A member's data on its node: staged while etcd runs, set aside, placed, put back. Nothing is ever removed but what was staged.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use etcdrx::node::{Action, Answer};
use nix::sys::signal::Signal;

use crate::node_setup::{Node, RUN};
use crate::restore_refusals::content;
use crate::scratch::tools;
use crate::setup::assert_ends;

#[tokio::test]
async fn a_snapshot_is_staged_while_etcd_runs_and_served_after_it_was_placed() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let node = Node::of(&release);
        let snapshot = node.begin().await;
        let stage = node.stage(&snapshot);

        let staged = node.answer(&stage);
        assert_eq!(node.value().await, "after it", "etcd runs on");
        assert!(!node.changed(&stage), "staged already");
        for action in [
            node.stop(false),
            node.set_aside(),
            node.place(),
            node.start(),
        ] {
            assert!(node.changed(&action), "{action:?}");
            assert!(!node.changed(&action), "a second time: {action:?}");
        }

        assert_eq!(node.value().await, "in the snapshot");
        let mut client = node.client().await;
        let status = client.status().await.unwrap();
        let header = status.header().unwrap();
        let Answer::Staged {
            member_id,
            cluster_id,
            revision,
            ..
        } = staged
        else {
            panic!("{staged:?}");
        };
        let ids = (header.member_id(), header.cluster_id());
        assert_eq!(ids, (member_id.0, cluster_id.0));
        assert!(header.revision() >= revision.0 && revision.0 > 1_000_000);
        let aside = node
            .directories
            .data_dir
            .join(format!("member.etcdrx-{RUN}"));
        assert!(aside.join("snap/db").exists());
        assert!(!node.changed(&stage), "and so it is after all that");
    }
}

/// The log elsewhere, the data of another user: both as it was before.
#[tokio::test]
async fn log_owner_and_mode_are_kept() {
    let node = Node::with_wal_dir(&tools::newest_etcd());
    let snapshot = node.begin().await;
    assert!(node.changed(&node.stop(false)));
    let (data, log) = (&node.directories.data_dir, node.directories.log());
    let is_root = give(data, 12345).and_then(|()| give(&log, 12345)).is_ok();

    for action in [node.stage(&snapshot), node.set_aside(), node.place()] {
        assert!(node.changed(&action), "{action:?}");
    }

    let owner = fs::metadata(data).unwrap().uid();
    let member = data.join("member");
    for path in [content(&member), content(&log), vec![member, log.clone()]].concat() {
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.uid(), owner, "{}", path.display());
        if metadata.is_dir() {
            assert_eq!(metadata.permissions().mode() & 0o777, 0o700);
        }
    }
    assert_eq!(owner == 12345, is_root);
    let aside = node.workplace.path(&format!("log.etcdrx-{RUN}"));
    assert!(!content(&aside).is_empty() && content(&log).len() == 1);
    assert!(node.changed(&node.start()));
    assert_eq!(node.value().await, "in the snapshot");
}

#[tokio::test]
async fn what_was_set_aside_is_put_back_and_what_took_its_place_stays_too() {
    for node in [
        Node::of(&tools::newest_etcd()),
        Node::with_wal_dir(&tools::newest_etcd()),
    ] {
        let snapshot = node.begin().await;
        node.changed(&node.stage(&snapshot));
        node.changed(&node.stop(false));
        let before = digests(&node.directories.data_dir.join("member"));
        for action in [node.set_aside(), node.place(), node.put_back()] {
            assert!(node.changed(&action), "{action:?}");
        }

        assert!(!node.changed(&node.put_back()), "it is back already");
        assert_eq!(digests(&node.directories.data_dir.join("member")), before);
        let replaced = format!("member.etcdrx-{RUN}.replaced");
        assert!(node.directories.data_dir.join(replaced).exists());
        assert!(node.changed(&node.start()));
        assert_eq!(node.value().await, "after it");
    }
}

#[tokio::test]
async fn nothing_is_touched_while_etcd_runs_on_it() {
    let node = Node::of(&tools::newest_etcd());
    let snapshot = node.begin().await;
    let copy = Action::CopyDatabase {
        directories: node.directories.clone(),
        output: node.workplace.path("copy.db"),
        run: RUN.to_owned(),
    };
    node.changed(&node.stage(&snapshot));
    for action in [
        node.set_aside(),
        node.place(),
        node.put_back(),
        copy.clone(),
    ] {
        let output = node.run(&action);
        assert_ends(&output, 4, &["is in use: etcd runs on it", "process"]);
    }
    assert_eq!(node.value().await, "after it");
    // Killed, it holds nothing any more.
    node.signal(Signal::SIGKILL);
    assert!(node.changed(&node.stop(false)) || node.pid().is_some());
    for _ in 0..2 {
        let Answer::Salvaged {
            snapshot, sha256, ..
        } = node.answer(&copy)
        else {
            panic!("no copy");
        };
        assert_eq!(etcdrx::node::digest(&snapshot).unwrap(), sha256);
    }
}

#[tokio::test]
async fn what_stands_in_the_way_is_refused_and_nothing_half_is_left() {
    let node = Node::of(&tools::newest_etcd());
    let snapshot = node.begin().await;
    assert_ends(&node.run(&node.place()), 4, &["has nothing staged"]);
    assert!(node.changed(&node.stage(&snapshot)));
    assert_ends(&node.run(&node.place()), 4, &["is in use"]);
    node.changed(&node.stop(false));

    assert_ends(&node.run(&node.place()), 4, &["member is there already"]);
    assert!(node.changed(&node.unstage()) && !node.changed(&node.unstage()));
    let damaged = node.workplace.path("damaged.db");
    let mut bytes = fs::read(&snapshot).unwrap();
    bytes[5000] ^= 1;
    fs::write(&damaged, bytes).unwrap();
    assert_ends(&node.run(&node.stage(&damaged)), 6, &["bytes were changed"]);
    let names = fs::read_dir(&node.directories.data_dir).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["member"]);

    let journal = node.journal();
    let of = |name: &str| -> Vec<&str> {
        let lines = journal.iter().filter(|(action, _)| action == name);
        lines.map(|(_, event)| event.as_str()).collect()
    };
    assert_eq!(of("stage"), ["intent", "done", "intent", "failed"]);
    assert_eq!(of("place").len(), 6);
    // The name of a run stands in the names of files.
    let evil = Action::SetAside {
        directories: node.directories.clone(),
        run: "../x".to_owned(),
    };
    assert_ends(&node.run(&evil), 2, &["cannot name a run"]);
}

/// A crash between the two renames: what is left is taken up where it stopped.
#[tokio::test]
async fn a_place_that_was_cut_short_is_finished_by_the_next() {
    let node = Node::with_wal_dir(&tools::newest_etcd());
    let snapshot = node.begin().await;
    node.changed(&node.stop(false));
    node.changed(&node.stage(&snapshot));
    let (log, staged) = (
        node.directories.log(),
        node.workplace.path(&format!("log.etcdrx-staged-{RUN}")),
    );
    // Half of it was set aside, then half of the other placed.
    fs::rename(&log, node.workplace.path(&format!("log.etcdrx-{RUN}"))).unwrap();
    assert!(node.changed(&node.set_aside()));
    fs::rename(&staged, &log).unwrap();

    assert!(node.changed(&node.place()));

    assert!(!node.changed(&node.place()));
    node.changed(&node.start());
    assert_eq!(node.value().await, "in the snapshot");
}

fn give(path: &Path, user: u32) -> std::io::Result<()> {
    for path in content(path).iter().chain([&path.to_owned()]) {
        chown(path, Some(user), Some(user))?;
    }
    Ok(())
}

fn digests(folder: &Path) -> Vec<(std::path::PathBuf, u32)> {
    let files = content(folder).into_iter().filter(|path| path.is_file());
    files
        .map(|path| {
            let crc = crc32c::crc32c(&fs::read(&path).unwrap());
            (path, crc)
        })
        .collect()
}
