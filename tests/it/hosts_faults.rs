//! Hosts that are recovered over ssh while something else goes wrong: the program is killed, a connection dies, an sshd is down.

use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::hosts_setup::{Hosts, LIMIT, member};
use crate::recover_setup::names;
use crate::scratch::{require, tools};
use crate::setup::assert_ends;

/// After how many lines of its report the program is killed, each time.
const KILLS: [usize; 4] = [3, 9, 4, 8];

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_over_ssh_that_is_killed_is_resumed() {
    require!("sshd");
    let hosts = Hosts::of(&tools::newest_etcd()).await;
    let written = hosts.write("before", 40).await;
    hosts.lose(1, true);
    hosts.lose(2, true);
    let mut words = hosts.approved(&["--scenario", "majority"]);

    for lines in KILLS {
        let mut process = hosts.etcdrx().spawn(&words);
        let deadline = Instant::now() + LIMIT;
        while process.stdout().lines().count() < lines {
            assert!(process.is_running(), "{}", process.stderr());
            assert!(Instant::now() < deadline, "{}", process.stderr());
            std::thread::sleep(Duration::from_millis(1));
        }
        process.signal(Signal::SIGKILL);
        process.wait(LIMIT);
        words = resuming(&hosts);
    }
    hosts.etcdrx().run(&words).success();

    hosts.assert_hold(&[0, 1, 2], &written).await;
    let run = words.last().unwrap();
    let aside = format!("member.etcdrx-{run}");
    assert_eq!(names(&hosts.path(0, "data")), ["member", aside.as_str()]);
    assert_eq!(names(&hosts.path(1, "data")), ["member"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_dies_under_a_snapshot_is_told_and_the_recovery_goes_on() {
    require!("sshd");
    let hosts = Hosts::of(&tools::newest_etcd()).await;
    let written = hosts.write("before", 20).await;
    hosts.write_large(96).await;
    hosts.lose(1, true);
    hosts.lose(2, false);

    let words = hosts.approved(&["--scenario", "majority", "--from", "live"]);
    let process = hosts.etcdrx().spawn(&words);
    let deadline = Instant::now() + LIMIT;
    while !holds_half_a_file(&hosts.path(2, "data")) {
        assert!(Instant::now() < deadline, "{}", process.stderr());
        std::thread::sleep(Duration::from_micros(500));
    }
    for pid in hosts.sessions(2) {
        kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
    }
    let failed = process.wait(LIMIT);
    let resumed = hosts.etcdrx().run(resuming(&hosts)).success();

    assert_ends(&failed, 5, &[&member(2), "by ssh", "--resume"]);
    assert!(resumed.stdout.contains("recovered"), "{resumed:?}");
    hosts.assert_hold(&[0, 1, 2], &written).await;
    assert!(!holds_half_a_file(&hosts.path(2, "data")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_sshd_is_named_and_nothing_is_done_to_the_others() {
    require!("sshd");
    let mut hosts = Hosts::of(&tools::newest_etcd()).await;
    let written = hosts.write("before", 20).await;
    let lost = hosts.follower().await;
    hosts.stop_sshd(lost);

    // Its member serves on: that is no disaster, and no health that anybody could vouch for.
    let unseen = |seen: &serde_json::Value| seen["conditions"][0]["because"].clone();
    let alone = |seen: &serde_json::Value| unseen(seen).as_array().is_some_and(|it| it.len() == 1);
    let (seen, _) = hosts.diagnose_until(alone);
    hosts.lose(lost, true);
    let refused = hosts.dry_run(&["--scenario", "follower"]);
    hosts.restart_sshd(lost);
    hosts.recover(&["--scenario", "follower"]);

    assert_eq!(seen["condition"], "partly-seen", "{seen:#}");
    assert!(unseen(&seen)[0].as_str().unwrap().contains(&member(lost)));
    assert_eq!(refused.code, 4, "{refused:?}");
    let why = refused.json()["refused"].to_string();
    assert!(
        why.contains(&format!("the node of {} cannot be reached", member(lost)))
            && why.contains("Connection refused"),
        "{why}"
    );
    hosts.assert_hold(&[0, 1, 2], &written).await;
}

/// What goes on with the only run that there is.
fn resuming(hosts: &Hosts) -> Vec<String> {
    let directory = hosts.state().join("recoveries/site");
    let runs = names(&directory).into_iter().filter(|name| name != "lock");
    let runs: Vec<String> = runs.collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    ["--json", "recover", "--resume", &runs[0]]
        .map(str::to_owned)
        .to_vec()
}

/// Whether a file is on its way into a directory.
fn holds_half_a_file(directory: &Path) -> bool {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    let mut names = entries.map(|entry| entry.unwrap().file_name());
    names.any(|name| name.to_string_lossy().contains("etcdrx-unfinished"))
}
