//! etcd stopped, proven gone, and started again: by a site's commands, by systemd, by a kubelet.

use std::fs;
use std::time::{Duration, Instant};

use etcdrx::config::{Service, Settings};
use etcdrx::node::{Action, Answer, Inspected, Running};
use nix::sys::signal::Signal;

use crate::node_setup::{Node, RUN};
use crate::scratch::tools;
use crate::setup::assert_ends;

fn inspect(node: &Node) -> Inspected {
    let action = Action::Inspect {
        directories: node.directories.clone(),
        service: Some(node.service()),
        settings: Some(Settings::ConfigFile {
            path: node.config(),
        }),
        quick: false,
    };
    match node.answer(&action) {
        Answer::Inspected(inspected) => *inspected,
        other => panic!("{other:?}"),
    }
}

fn codes(inspected: &Inspected) -> Vec<&str> {
    let findings = inspected.findings.iter();
    findings.map(|finding| finding.code.as_str()).collect()
}

#[tokio::test]
async fn a_node_says_what_runs_there_and_what_stands_in_its_settings() {
    let release = tools::newest_etcd();
    let node = Node::of(&release);
    node.begin().await;

    let running = inspect(&node);
    node.signal(Signal::SIGSTOP);
    let frozen = inspect(&node);
    node.signal(Signal::SIGKILL);
    node.run(&node.stop(true)).success();
    let config = fs::read_to_string(node.config()).unwrap();
    let changed = config.replace("state: 'new'", "state: exisiting\nforce-new-cluster: true");
    fs::write(node.config(), changed).unwrap();
    fs::create_dir(node.directories.data_dir.join("member.etcdrx-earlier")).unwrap();
    let stopped = inspect(&node);

    assert_eq!(running.process.running, Running::Running);
    assert_eq!(running.process.pid, node.pid().map(i32::cast_unsigned));
    let version = running.process.version.as_deref().unwrap();
    assert!(version.starts_with(release.version()), "{version}");
    assert_eq!(
        running.process.etcd.as_deref(),
        Some(&*release.etcd().canonicalize().unwrap())
    );
    assert_eq!(running.flags["name"], "m1");
    assert_eq!(codes(&running), Vec::<&str>::new());
    assert_eq!(frozen.process.running, Running::Frozen);
    assert_eq!(stopped.process.running, Running::Stopped);
    assert_eq!(codes(&stopped), ["force-new-cluster", "cluster-state"]);
    let place = &stopped.process.force_new_cluster[0];
    assert!(
        place.contains("line 10 of") && place.contains("etcd.conf.yml"),
        "{place}"
    );
    assert_eq!(stopped.set_aside.len(), 1);
    assert!(stopped.directory.unwrap().database.is_some());
}

#[test]
fn settings_that_name_other_directories_than_the_configuration_are_told() {
    let node = Node::of(&tools::newest_etcd());
    let config = fs::read_to_string(node.config()).unwrap();
    let own = node.directories.data_dir.display().to_string();
    let with = |data_dir: &str, more: &str| {
        let changed = config.replace(&format!("data-dir: {own}"), data_dir);
        fs::write(node.config(), changed + more).unwrap();
        let inspected = inspect(&node);
        let findings = inspected.findings.iter();
        let codes: Vec<String> = findings.map(|finding| finding.code.clone()).collect();
        codes
            .into_iter()
            .filter(|code| code.ends_with("-dir"))
            .collect::<Vec<_>>()
    };
    let relative = node.directories.data_dir.file_name().unwrap();
    let relative = format!("data-dir: {}", relative.display());
    let same = format!("data-dir: {own}/");

    assert_eq!(with(&same, ""), [""; 0]);
    assert_eq!(with(&relative, ""), [""; 0]);
    assert_eq!(
        with("data-dir: /var/lib/etcd/m1.etcd", ""),
        ["other-data-dir"]
    );
    assert_eq!(with("", ""), ["no-data-dir"]);
    assert_eq!(with(&same, "wal-dir: /fast/wal\n"), ["other-wal-dir"]);
}

#[tokio::test]
async fn a_frozen_etcd_is_killed_only_where_that_is_asked_for() {
    let node = Node::of(&tools::newest_etcd());
    node.begin().await;
    node.signal(Signal::SIGSTOP);

    let refused = node.run(&node.stop(false));
    assert_ends(&refused, 4, &["still runs", "frozen", "--kill"]);
    let begin = Instant::now();
    let Answer::Done { changed, evidence } = node.answer(&node.stop(true)) else {
        panic!("no answer");
    };

    assert!(changed && begin.elapsed() < Duration::from_secs(8));
    let killed = format!("process {} was killed", node.pid().unwrap());
    assert!(evidence.contains(&killed), "{evidence:?}");
    assert!(node.changed(&node.start()));
    assert_eq!(node.value().await, "after it");
}

#[tokio::test]
async fn two_at_once_do_not_get_in_each_others_way() {
    let node = Node::of(&tools::newest_etcd());
    node.begin().await;
    assert!(!node.changed(&node.unstage()));
    let journal = etcdrx::node::journal::journal_of(&node.directories);
    let file = fs::File::open(&journal).unwrap();
    file.lock().unwrap();

    let refused = node.run(&node.set_aside());

    assert_ends(&refused, 4, &["another etcdrx works on this member"]);
    // A line that was cut short by a power failure spoils neither what is before nor what comes after.
    file.unlock().unwrap();
    let text = fs::read_to_string(&journal).unwrap();
    fs::write(&journal, format!("{text}{{\"time\":\"2026-")).unwrap();
    assert!(node.changed(&node.stop(false)));
    let journal = node.journal();
    assert_eq!(
        journal.last().unwrap(),
        &("stop".to_owned(), "done".to_owned())
    );
}

#[tokio::test]
async fn commands_that_fail_or_are_not_there_are_quoted() {
    let node = Node::of(&tools::newest_etcd());
    let service = |word: &str| Service::Command {
        start: vec![word.to_owned()],
        stop: vec![word.to_owned()],
        status: vec!["/bin/sh".to_owned(), "-c".to_owned(), "exit 3".to_owned()],
    };
    let start = |word: &str| Action::Start {
        service: service(word),
        run: RUN.to_owned(),
    };
    let missing = node.run(&start("/no/such/start"));
    assert_ends(&missing, 1, &["cannot run /no/such/start"]);
    let failing = node.run(&start("false"));
    assert_ends(&failing, 1, &["`false` ended with code 1"]);
    let command = Action::Command {
        command: ["sh", "-c", "echo --it works"].map(str::to_owned).to_vec(),
        run: RUN.to_owned(),
    };
    let Answer::Done { evidence, .. } = node.answer(&command) else {
        panic!("no answer");
    };
    assert_eq!(evidence.last().unwrap(), "--it works");
}
