//! Every disaster that a drill knows, on every etcd: the recovery brings the cluster back, and nothing is lost that had a copy.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::Utc;
use etcdrx::drill::engine::recover;
use etcdrx::drill::{Break, Exercise, Rehearsal, Setting, Site, rehearse};
use etcdrx::progress::Silent;
use etcdrx::recovery::Scenario;
use etcdrx::recovery::judge::Condition;
use etcdrx::recovery::playbook::Way;
use nix::sys::signal::Signal;
use tokio_util::sync::CancellationToken;

use crate::recover_setup::Scene;
use crate::scratch::process::POLL;
use crate::scratch::tools::{self, EtcdRelease, require_etcd};
use crate::setup::etcdrx;

/// What is broken, and the way out that is expected.
type Case = (Scenario, Break, Way);

/// What every version goes through.
const CASES: [Case; 8] = [
    (Scenario::Follower, Break::DiskLoss, Way::Replace),
    (Scenario::Follower, Break::Kill, Way::Restart),
    (Scenario::Leader, Break::Kill, Way::Restart),
    (Scenario::Leader, Break::DiskLoss, Way::Replace),
    (Scenario::Majority, Break::Kill, Way::Restart),
    (Scenario::Majority, Break::DiskLoss, Way::Live),
    (Scenario::Majority, Break::DeadSurvivor, Way::Salvage),
    (Scenario::Total, Break::DiskLoss, Way::Backup),
];

/// Rehearses on a fresh cluster, and asserts that nothing is held against it.
async fn drill(release: &EtcdRelease, members: usize, tls: bool, case: Case) -> Rehearsal {
    let (scenario, breakage, way) = case;
    let rehearsal = rehearsed(release, members, tls, (scenario, breakage)).await;
    assert_eq!(rehearsal.account.ways.last(), Some(&way), "{rehearsal:#?}");
    rehearsal
}

/// The same, whatever the way out is.
async fn rehearsed(
    release: &EtcdRelease,
    members: usize,
    tls: bool,
    (scenario, breakage): (Scenario, Break),
) -> Rehearsal {
    let scene = Scene::of(release, members, tls).await;
    let site = &scene.site;
    let exercise = Exercise {
        scenario,
        breakage,
        writers: 8,
        writes: 200,
        pick: 1,
        patience: Duration::from_secs(40),
    };
    let setting = Setting {
        now: Utc::now,
        progress: &Silent,
        interrupt: &CancellationToken::new(),
    };
    let engine = async |site: &Site, scenario| recover(site, scenario, &setting).await;
    let began = Instant::now();

    let rehearsal = rehearse(site, exercise, &engine, &setting).await.unwrap();

    println!(
        "{} {scenario} {breakage}: {:?} of {:?}\n{:#?}",
        release.version(),
        rehearsal.compared,
        began.elapsed(),
        rehearsal.account
    );
    assert!(
        rehearsal.is_ok(),
        "{} {scenario} {breakage}: {rehearsal:#?}",
        release.version()
    );
    assert!(rehearsal.compared.kept >= 90, "{rehearsal:#?}");
    rehearsal
}

async fn drill_all(release: &EtcdRelease) {
    for case in CASES {
        drill(release, 3, false, case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_4_comes_back_from_every_disaster_with_all_that_had_a_copy() {
    drill_all(&require_etcd!("3.4")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_5_comes_back_from_every_disaster_with_all_that_had_a_copy() {
    drill_all(&require_etcd!("3.5")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_6_comes_back_from_every_disaster_with_all_that_had_a_copy() {
    drill_all(&require_etcd!("3.6")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn etcd_3_7_comes_back_from_every_disaster_with_all_that_had_a_copy() {
    drill_all(&require_etcd!("3.7")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_and_five_members_change_nothing() {
    let release = tools::newest_etcd();
    let live = (Scenario::Majority, Break::DiskLoss, Way::Live);
    drill(&release, 3, true, live).await;
    drill(&release, 5, false, live).await;
    let replace = (Scenario::Follower, Break::DiskLoss, Way::Replace);
    drill(&release, 5, true, replace).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_and_hung_members_come_back() {
    let release = tools::newest_etcd();
    for case in [
        (Scenario::Follower, Break::CorruptLog, Way::Replace),
        (Scenario::Follower, Break::CorruptDatabase, Way::Replace),
        (Scenario::Follower, Break::Hang, Way::Restart),
        (Scenario::Majority, Break::Hang, Way::Restart),
        (Scenario::Majority, Break::CorruptLog, Way::Live),
        (Scenario::Majority, Break::RestartedSurvivor, Way::Salvage),
        (Scenario::Nospace, Break::Full, Way::Free),
    ] {
        drill(&release, 3, false, case).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_a_disk_changed_is_found_by_its_hash_and_its_member_replaced() {
    let case = (Scenario::Follower, Break::CorruptValue, Way::Replace);

    let rehearsal = drill(&tools::newest_etcd(), 3, false, case).await;

    let found = rehearsal.account.condition;
    assert_eq!(found, Some(Condition::SilentCorruption));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_whose_machine_was_put_back_is_replaced_when_it_does_not_start() {
    let case = (Scenario::Follower, Break::RolledBack, Way::Replace);

    let rehearsal = drill(&tools::newest_etcd(), 3, false, case).await;

    // The files look whole: only a start shows that they are not what the others count on.
    let found = rehearsal.account.condition;
    assert_eq!(found, Some(Condition::FollowerDown));
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_ended_are_named_and_renewed_and_nothing_is_recovered() {
    for (version, scenario, count) in [
        (require_etcd!("3.4"), Scenario::Follower, 1),
        (tools::newest_etcd(), Scenario::Majority, 2),
    ] {
        let ended = (scenario, Break::ExpiredCertificates);

        let rehearsal = rehearsed(&version, 3, true, ended).await;

        let account = &rehearsal.account;
        let found = Some(Condition::NotADisasterCertificate);
        assert_eq!(account.condition, found);
        assert_eq!(account.renewed.len(), count);
        assert_eq!(account.renewed, rehearsal.broken);
        assert_eq!(account.ways, []);
    }
}

#[test]
fn a_drill_tells_what_was_broken_and_how_long_it_took() {
    let parent = tempfile::tempdir().unwrap();
    let etcd = tools::newest_etcd().etcd().display().to_string();
    let words = ["drill", "recovery", "--writers", "4", "--etcd", &etcd];
    let etcdrx = etcdrx()
        .directory(parent.path())
        .limit(Duration::from_mins(2));
    let run = |more: &[&str]| {
        let all = ["--dir", "."].iter().chain(more);
        etcdrx.run(words.iter().chain(all))
    };

    let one = run(&["--scenario", "majority", "--json"]).success();

    let last = one.json_lines().pop().unwrap();
    assert_eq!(
        (&last["event"], &last["ok"]),
        (&"drilled".into(), &true.into())
    );
    assert_eq!(last["ways"], serde_json::json!(["live"]));
    assert_eq!(last["condition"], "majority-survivor-live");
    assert_eq!(last["lost"], serde_json::json!([]));
    let ms = |name: &str| last[name].as_u64().unwrap();
    assert!(
        ms("judged_after_ms") <= ms("recovered_after_ms"),
        "{last:#}"
    );
    assert!(
        ms("recovered_after_ms") <= ms("served_after_ms"),
        "{last:#}"
    );

    let runs = ["--runs", "1", "--seed", "5", "--scenario", "follower"];
    let table = run(&[&runs[..], &["--break", "kill", "--members", "3"]].concat()).success();

    let lines: Vec<&str> = table.stdout.lines().collect();
    assert!(lines[0].starts_with("SEED SCENARIO"), "{table:?}");
    assert!(
        lines[1].starts_with("5    follower 3       kill"),
        "{table:?}"
    );
    assert!(lines[1].ends_with(" ok"), "{table:?}");
    let wrong = run(&["--scenario", "total", "--break", "kill"]);
    assert_eq!(wrong.code, 2, "{wrong:?}");
    let plain = run(&["--scenario", "majority", "--break", "expired-certificates"]);
    assert_eq!(plain.code, 2, "{plain:?}");
    assert!(plain.stderr.contains("--tls"), "{plain:?}");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
}

#[test]
fn an_interrupted_drill_leaves_no_process_and_no_directory() {
    let parent = tempfile::tempdir().unwrap();
    let etcd = tools::newest_etcd().etcd().display().to_string();
    for stage in ["clients write", "recovering", "restarting and killing"] {
        let etcdrx = etcdrx().directory(parent.path());
        let scenario = ["drill", "recovery", "--scenario", "follower"];
        let more = ["--writers", "4", "--dir", ".", "--etcd", &etcd];
        let mut running = etcdrx.spawn(scenario.iter().chain(&more));
        let deadline = Instant::now() + Duration::from_mins(1);
        while !running.stderr().contains(stage) {
            assert!(Instant::now() < deadline, "{}", running.stderr());
            std::thread::sleep(POLL);
        }

        running.signal(Signal::SIGINT);
        let output = running.wait(Duration::from_secs(30));

        assert_eq!(output.code, 130, "{output:?}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "{stage}");
        // What watches a member looks once a second.
        let deadline = Instant::now() + Duration::from_secs(10);
        while processes_of(parent.path()) > 0 {
            assert!(Instant::now() < deadline, "{stage}");
            std::thread::sleep(POLL);
        }
    }
}

/// How many processes name the directory.
fn processes_of(directory: &Path) -> usize {
    let place = directory.display().to_string();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let ours = processes.filter(|process| {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&place)
    });
    ours.count()
}
