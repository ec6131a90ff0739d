//! A node behind a real ssh: what is done there is what would be done here, and every way in which it fails has its own words.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use etcdrx::config;
use etcdrx::host::{Error, Host};
use etcdrx::node::{Action, Answer, Directories, digest};
use etcdrx::progress::Silent;

use crate::host_setup::Remote;
use crate::node_setup::{Node, RUN};
use crate::scratch::{require, tools};

fn set_aside(data_dir: &Path) -> Action {
    Action::SetAside {
        directories: Directories {
            data_dir: data_dir.to_owned(),
            wal_dir: None,
        },
        run: RUN.to_owned(),
    }
}

async fn changed(host: &Host, action: &Action) -> bool {
    match host.perform(action).await {
        Ok(Answer::Done { changed, .. } | Answer::Staged { changed, .. }) => changed,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_member_is_restored_over_one_connection() {
    require!("sshd");
    let remote = Remote::start();
    let node = Node::of(&tools::newest_etcd());
    let host = remote.host(&node.directories.data_dir);
    let snapshot = node.begin().await;
    let sha256 = digest(&snapshot).unwrap();
    let there = remote.workplace.path("a file's name $(x).db");

    for expected in [true, false] {
        let sent = host.send_file(&snapshot, &there, sha256, &Silent).await;
        assert!(
            matches!(sent, Ok(Answer::Done { changed, .. }) if changed == expected),
            "{sent:?}"
        );
    }
    let actions = [
        node.stage(&there),
        node.stop(false),
        node.set_aside(),
        node.place(),
        node.start(),
    ];
    for action in &actions {
        assert!(changed(&host, action).await, "{action:?}");
        assert!(!changed(&host, action).await, "a second time: {action:?}");
    }
    let back = remote.workplace.path("back.db");
    host.fetch_file(&there, &back, sha256).await.unwrap();

    assert_eq!(node.value().await, "in the snapshot");
    assert_eq!(digest(&back).unwrap(), sha256);
    assert_eq!(remote.connections(), 1);
    let installed = remote.installed();
    assert_eq!(installed.len(), 1, "{installed:?}");
    let program = digest(Path::new(env!("CARGO_BIN_EXE_etcdrx"))).unwrap();
    assert_eq!(digest(&installed[0]).unwrap(), program);
    let journal = node.journal();
    assert!(
        journal.contains(&("start".to_owned(), "done".to_owned())),
        "{journal:?}"
    );
}

#[tokio::test]
async fn what_is_refused_there_is_told_here() {
    require!("sshd");
    let remote = Remote::start();
    let data = remote.workplace.path("data");
    fs::create_dir_all(data.join("member")).unwrap();
    fs::create_dir(data.join(format!("member.etcdrx-{RUN}"))).unwrap();

    let refused = remote.host(&data).perform(&set_aside(&data)).await;

    let Err(Error::Remote {
        code,
        message,
        hints,
        ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(code, 4);
    assert!(message.ends_with("is there already"), "{message}");
    assert!(hints[0].contains("nothing is overwritten"), "{hints:?}");
    let (absent, here) = (
        remote.workplace.path("absent"),
        remote.workplace.path("here"),
    );
    let host = remote.host(&data);
    let fetched = host.fetch_file(&absent, &here, etcdrx::id::Digest([0; 32]));
    assert!(matches!(fetched.await, Err(Error::Remote { code: 1, .. })));
    assert!(!here.exists());
}

#[tokio::test]
async fn every_way_not_to_get_there_has_its_own_name() {
    require!("sshd");
    let remote = Remote::start();
    let data = remote.workplace.path("data");
    let action = set_aside(&data);

    remote.trust("stranger.pub");
    let unknown = remote.host(&data).perform(&action).await;
    remote.trust("host.pub");
    remote.identify("stranger");
    let denied = remote.host(&data).perform(&action).await;
    remote.identify("user");
    remote.stand_in(
        "uname",
        "case $1 in -s) echo Linux;; *) echo riscv64;; esac",
    );
    let other = remote.host(&data).perform(&action).await;
    fs::remove_file(remote.workplace.path("bin/uname")).unwrap();
    remote.stand_in("sha256sum", "exit 1");
    let changed = remote.host(&data).perform(&action).await;
    fs::remove_file(remote.workplace.path("bin/sha256sum")).unwrap();
    let connected = remote.host(&data);
    let fine = connected.perform(&action).await;
    remote.vanish();
    let gone = remote.host(&data).perform(&action).await;

    assert!(matches!(unknown, Err(Error::HostKey { .. })), "{unknown:?}");
    assert!(matches!(denied, Err(Error::Denied { .. })), "{denied:?}");
    assert!(
        matches!(&other, Err(Error::OtherMachine { theirs, .. }) if theirs == "Linux riscv64"),
        "{other:?}"
    );
    assert!(matches!(changed, Err(Error::Install { .. })), "{changed:?}");
    assert!(
        matches!(fine, Ok(Answer::Done { changed: false, .. })),
        "{fine:?}"
    );
    assert!(matches!(gone, Err(Error::Unreachable { .. })), "{gone:?}");
    assert_eq!(remote.installed().len(), 1, "nothing half is left");
}

/// Who logs in as another user works by sudo, or hears that it refuses.
#[tokio::test]
async fn who_is_not_root_works_by_sudo() {
    require!("sshd");
    let remote = Remote::start();
    let data = remote.workplace.path("data");
    let log = remote.workplace.path("sudo.log");
    remote.stand_in("id", "case $1 in -u) echo 1000;; *) echo operator;; esac");
    remote.stand_in("sudo", "echo 'sudo: a password is required' >&2; exit 1");
    let refused = remote.host(&data).perform(&set_aside(&data)).await;
    let script = format!(
        "printf '%s\\n' \"$*\" >>{}; shift; test \"$1\" = -- && shift; exec \"$@\"",
        log.display()
    );
    remote.stand_in("sudo", &script);
    let works = remote.host(&data).perform(&set_aside(&data)).await;

    assert!(
        matches!(&refused, Err(Error::Sudo { user, .. }) if user == "operator"),
        "{refused:?}"
    );
    assert!(works.is_ok(), "{works:?}");
    let asked = fs::read_to_string(log).unwrap();
    assert!(
        asked.contains("-n -- /") && asked.contains("node set-aside"),
        "{asked}"
    );
}

#[tokio::test]
async fn a_transfer_that_breaks_off_leaves_nothing_half() {
    require!("sshd");
    let remote = Remote::start();
    let host = remote.host(&remote.workplace.path("data"));
    let large = remote.workplace.path("large");
    let mut file = File::create(&large).unwrap();
    for number in 0..2_000_u32 {
        let piece: Vec<u8> = number.to_le_bytes().repeat(16 << 10);
        file.write_all(&piece).unwrap();
    }
    let sha256 = digest(&large).unwrap();
    let (there, back) = (
        remote.workplace.path("there"),
        remote.workplace.path("back"),
    );
    // The connection and the program first, so that what is cut is the file.
    let _ = host
        .perform(&set_aside(&remote.workplace.path("data")))
        .await;

    for milliseconds in [40, 120] {
        let limit = Duration::from_millis(milliseconds);
        let sent = host.send_file(&large, &there, sha256, &Silent);
        assert!(tokio::time::timeout(limit, sent).await.is_err(), "too fast");
        assert!(!there.exists());
    }
    host.send_file(&large, &there, sha256, &Silent)
        .await
        .unwrap();
    let fetched = host.fetch_file(&there, &back, sha256);
    assert!(
        tokio::time::timeout(Duration::from_millis(40), fetched)
            .await
            .is_err()
    );
    assert!(!back.exists());
    host.fetch_file(&there, &back, sha256).await.unwrap();

    assert_eq!(digest(&back).unwrap(), sha256);
    let other = remote.workplace.path("other");
    let wrong = host.send_file(&large, &other, etcdrx::id::Digest([1; 32]), &Silent);
    assert!(matches!(wrong.await, Err(Error::Remote { code: 6, .. })));
    let left = fs::read_dir(remote.workplace.path("")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !left
            .iter()
            .any(|name| name.to_string_lossy().starts_with('.')),
        "{left:?}"
    );
}

#[tokio::test]
async fn a_person_gets_the_line_to_type_and_this_machine_needs_none() {
    let node = Node::of(&tools::newest_etcd());
    let snapshot = node.begin().await;
    let host = |reach: &str| {
        let config = config::Node {
            name: "m1".to_owned(),
            reach: reach.parse().unwrap(),
            data_dir: Some(node.directories.data_dir.clone()),
            ..config::Node::default()
        };
        Host::of(&config).unwrap()
    };
    let by_hand = host("manual").perform(&node.stop(false)).await.unwrap_err();
    let here = host("local");
    for action in [
        node.stop(false),
        node.stage(&snapshot),
        node.set_aside(),
        node.place(),
        node.start(),
    ] {
        assert!(changed(&here, &action).await, "{action:?}");
        assert!(!changed(&here, &action).await, "{action:?}");
    }

    assert_eq!(node.value().await, "in the snapshot");
    let Error::ByHand { command, .. } = by_hand else {
        panic!("{by_hand:?}");
    };
    let line = host("ssh://root@10.0.0.1").command_line(&node.stop(false));
    assert_eq!(command, line);
    assert!(
        command.starts_with("etcdrx node stop --run 2026") && command.contains(" --data-dir /")
    );
    let start = here.command_line(&node.start());
    assert!(
        start.contains("--journal") && start.contains("data.etcdrx-journal.jsonl"),
        "{start}"
    );
}
