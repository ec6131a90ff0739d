//! One writer at a time: who comes second refuses or waits, and the dead keep nobody out.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use chrono::Utc;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::scratch::program::Running;
use crate::scratch::{Direction, Etcdrx, Fault, Output, Proxy, Store, require};
use crate::setup::{FOLDER, Workplace, assert_ends};
use crate::store_setup::{backup, keep_in, large_cluster, listed, small_cluster, wait_until};
use crate::store_specimen::{DATA, specimens, workplace};

const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test]
async fn while_a_backup_runs_others_refuse_or_wait() {
    let cluster = large_cluster().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = keep_one(&workplace.etcdrx());
    let proxy = Proxy::to(cluster.members[0].client_address());
    // Two, so that there is something to prune.
    backup(&etcdrx);
    backup(&etcdrx);
    let (slow, pid) = start_slow_backup(&etcdrx, &proxy, &workplace);

    let second = etcdrx.run(["backup"]);
    let prune = etcdrx.run(["prune", "--yes"]);
    let impatient = etcdrx.run(["backup", "--wait", "1s"]);
    let patient = etcdrx.spawn(["backup", "--wait", "50s"]);
    let mut given_up = etcdrx.spawn(["prune", "--yes", "--wait", "50s"]);
    wait_until(|| knocks(&workplace, "prune"));
    given_up.signal(Signal::SIGINT);
    let given_up = given_up.wait(Duration::from_secs(10));
    proxy.heal();

    let who = format!("(process {pid} on ");
    for output in [second, impatient, prune] {
        let words = [
            "another run is at work",
            "backup since 20",
            &who,
            "--wait 10m",
        ];
        assert_ends(&output, 4, &words);
    }
    assert_ends(&given_up, 130, &["interrupted"]);
    slow.wait(LIMIT).success();
    patient.wait(LIMIT).success();
    workplace.assert_holds_only_whole_backups(4);
}

/// Says whether a run of this kind has a lock in place at this moment.
fn knocks(workplace: &Workplace, operation: &str) -> bool {
    let locks = fs::read_dir(workplace.repository().join(FOLDER).join("locks"));
    let texts = locks.into_iter().flatten().flatten();
    let mut texts = texts.map(|lock| fs::read_to_string(lock.path()).unwrap_or_default());
    texts.any(|text| text.contains(&format!("\"{operation}\"")))
}

/// Starts a backup whose stream stands still, and waits until it holds the lock; gives its process id too.
fn start_slow_backup(etcdrx: &Etcdrx, proxy: &Proxy, workplace: &Workplace) -> (Running, String) {
    proxy.inject(Fault::StallAfter(Direction::ToClient, 3_000_000));
    let slow = etcdrx.spawn(["backup", "--endpoints", &proxy.url("http")]);
    wait_until(|| proxy.passed_bytes(Direction::ToClient) > 2_900_000);
    let locks = workplace.repository().join(FOLDER).join("locks");
    let lock = fs::read_dir(locks).unwrap().next().unwrap().unwrap();
    let lock: serde_json::Value = serde_json::from_slice(&fs::read(lock.path()).unwrap()).unwrap();
    let pid = lock["holder"]["pid"].to_string();
    (slow, pid)
}

#[tokio::test]
async fn of_five_at_once_on_a_directory_each_succeeds_or_refuses() {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();

    let outputs = five_at_once(&etcdrx, &["backup"]);

    let succeeded = succeeded_or_refused(&outputs);
    workplace.assert_holds_only_whole_backups(succeeded);
    // Nothing that they left keeps the next one out.
    backup(&etcdrx);
}

#[tokio::test]
async fn of_five_at_once_on_minio_each_succeeds_or_refuses() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, small_cluster().await);
    let workplace = Workplace::new();
    let etcdrx = keep_in(&workplace, &cluster, &store);

    let outputs = five_at_once(&etcdrx, &["backup"]);

    assert_eq!(listed(&etcdrx).len(), succeeded_or_refused(&outputs));
    backup(&etcdrx);
}

#[tokio::test]
async fn five_at_once_that_wait_succeed_one_after_the_other() {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);

    let outputs = five_at_once(&workplace.etcdrx(), &["backup", "--wait", "50s"]);

    for output in outputs {
        output.success();
    }
    workplace.assert_holds_only_whole_backups(5);
}

fn five_at_once(etcdrx: &Etcdrx, arguments: &[&str]) -> Vec<Output> {
    let runs: Vec<Running> = (0..5).map(|_| etcdrx.spawn(arguments)).collect();
    runs.into_iter().map(|run| run.wait(LIMIT)).collect()
}

fn succeeded_or_refused(outputs: &[Output]) -> usize {
    for output in outputs {
        if output.code != 0 {
            assert_ends(output, 4, &["another run is at work"]);
        }
    }
    let succeeded = outputs.iter().filter(|output| output.code == 0).count();
    assert!(
        succeeded > 0,
        "all refused, and nobody took a backup: {outputs:#?}"
    );
    println!("{succeeded} of 5");
    succeeded
}

/// Another machine's lock, and the data that its run has stored so far.
struct Foreign {
    lock: PathBuf,
    data: PathBuf,
}

impl Foreign {
    const BACKUP: &str = "20260301T000000Z-0000aa";

    fn plant(folder: &Path) -> Foreign {
        let foreign = Foreign {
            lock: folder.join("locks/20260301T000000Z-0000bb.json"),
            data: folder.join(Self::BACKUP).join(DATA),
        };
        let record = json!({
            "operation": "backup",
            "holder": {"host": "etcd-9.example", "machine": "another one", "pid": 4711, "began": 17},
            "started_at": "2026-03-01T00:00:00Z",
            "backup": Self::BACKUP,
        });
        for (path, text) in [
            (&foreign.lock, record.to_string()),
            (&foreign.data, "half".to_owned()),
        ] {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        foreign
    }
}

fn set_age(path: &Path, age: Duration) {
    let file = File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

#[tokio::test]
async fn another_machines_lock_is_honoured_for_two_minutes_and_then_swept_with_all_that_its_run_left()
 {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();
    let foreign = Foreign::plant(&workplace.repository().join(FOLDER));

    set_age(&foreign.lock, Duration::from_secs(100));
    let refused = etcdrx.run(["backup"]);
    assert_ends(
        &refused,
        4,
        &[
            "backup since 2026-03-01 00:00:00 UTC (process 4711 on etcd-9.example)",
            "two minutes",
        ],
    );
    assert!(foreign.lock.exists() && foreign.data.exists());

    set_age(&foreign.lock, Duration::from_secs(130));
    etcdrx.run(["backup"]).success();
    workplace.assert_holds_only_whole_backups(1);
}

/// A run that died after its manifest was written has left a backup, not left-overs.
#[tokio::test]
async fn what_a_dead_run_has_committed_stays() {
    let workplace = workplace();
    let folder = workplace.repository().join(FOLDER);
    let foreign = Foreign::plant(&folder);
    specimens().await[0].plant(&workplace, Foreign::BACKUP);
    specimens().await[0].plant(&workplace, "20260101T000000Z-000000");
    set_age(&foreign.lock, Duration::from_secs(130));

    keep_one(&workplace.etcdrx())
        .run(["prune", "--yes"])
        .success();

    assert!(!foreign.lock.exists());
    workplace
        .etcdrx()
        .run(["verify", Foreign::BACKUP])
        .success();
    assert_eq!(listed(&workplace.etcdrx()), [Foreign::BACKUP]);
}

#[tokio::test]
async fn what_is_no_lock_keeps_nobody_out_and_goes_when_it_is_old() {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let locks = workplace.repository().join(FOLDER).join("locks");
    fs::create_dir_all(&locks).unwrap();
    let (young, old, cut) = (
        locks.join("young"),
        locks.join("old"),
        locks.join("x.json#1"),
    );
    for path in [&young, &old, &cut] {
        fs::write(path, "garbage").unwrap();
    }
    set_age(&old, Duration::from_secs(130));
    set_age(&cut, Duration::from_secs(130));

    backup(&workplace.etcdrx());

    assert!(young.exists());
    assert!(!old.exists() && !cut.exists());
}

/// The clock of the store counts, not ours: on a directory both are the same, so its own lock tells the time.
#[tokio::test]
async fn a_lock_from_the_future_is_honoured() {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let foreign = Foreign::plant(&workplace.repository().join(FOLDER));
    let file = File::options().write(true).open(&foreign.lock).unwrap();
    file.set_modified((Utc::now() + chrono::TimeDelta::days(1)).into())
        .unwrap();

    let refused = workplace.etcdrx().run(["backup"]);

    assert_ends(&refused, 4, &["etcd-9.example"]);
}

fn keep_one(etcdrx: &Etcdrx) -> Etcdrx {
    etcdrx
        .clone()
        .env("ETCDRX_RETENTION_KEEP_LAST", "1")
        .env("ETCDRX_RETENTION_MINIMUM", "0")
}
