//! SIGKILL at random moments, many times: what is listed is whole, and the next run works at once and cleans up.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::scratch::{Etcdrx, FlakyHttp, Store, require};
use crate::setup::{FOLDER, Workplace, codes};
use crate::store_setup::{
    backup, keep_behind, keep_in, large_cluster, listed, medium_cluster, uploads_in_minio,
    wait_until,
};
use crate::store_specimen::{specimens, workplace};

/// A recipient whose identity was thrown away.
const NOBODY: &str = "age1ghvr40jvyn9zyg2w8mlqtz7dy8zcgkl70kfpce5c6x9vz2pnk4ksg525dj";

/// Random moments, from a seed that is printed and can be given again as `ETCDRX_TEST_SEED`.
struct Moments(StdRng);

impl Moments {
    fn new() -> Moments {
        let given = std::env::var("ETCDRX_TEST_SEED").ok();
        let seed = given.and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(rand::random);
        println!("ETCDRX_TEST_SEED={seed}");
        Moments(StdRng::seed_from_u64(seed))
    }

    /// Starts the program and kills it after some part of `usual`, or a little later.
    fn kill(&mut self, etcdrx: &Etcdrx, arguments: &[&str], usual: Duration) {
        let after = usual.mul_f64(self.0.random_range(0.0..1.1));
        println!("killed after {after:?}");
        let mut run = etcdrx.spawn(arguments);
        thread::sleep(after);
        run.signal(Signal::SIGKILL);
    }
}

/// What a whole run takes here and now.
fn usual(run: impl FnOnce()) -> Duration {
    let began = Instant::now();
    run();
    began.elapsed()
}

#[tokio::test]
async fn a_backup_into_a_directory_that_is_killed_25_times() {
    let cluster = medium_cluster().await;
    let workplace = Workplace::of(&cluster);
    let etcdrx = workplace.etcdrx();
    let mut moments = Moments::new();
    let usual = usual(|| drop(backup(&etcdrx)));

    for round in 1..=25 {
        moments.kill(&etcdrx, &["backup"], usual);

        assert_listed_is_whole(&etcdrx);
        if round % 5 == 0 {
            backup(&etcdrx);
            keep_one(&etcdrx).run(["prune", "--yes"]).success();
            assert_eq!(listed(&etcdrx).len(), 1);
            assert_no_leftovers(&workplace.repository().join(FOLDER));
        }
    }
}

#[tokio::test]
async fn a_backup_into_minio_that_is_killed_10_times() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    let workplace = Workplace::new();
    let etcdrx = keep_in(&workplace, &cluster, &store);

    kill_and_clean_up(&etcdrx, &store, 10);
}

#[tokio::test]
async fn an_encrypted_backup_into_minio_that_is_killed_5_times() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    let workplace = Workplace::new();
    let etcdrx = keep_in(&workplace, &cluster, &store);
    let etcdrx = etcdrx.env("ETCDRX_ENCRYPTION_RECIPIENTS", NOBODY);

    kill_and_clean_up(&etcdrx, &store, 5);
}

/// Kills backups into a bucket at random moments: after every fifth, the next run and a prune leave nothing but what is listed.
fn kill_and_clean_up(etcdrx: &Etcdrx, store: &Store, times: usize) {
    let mut moments = Moments::new();
    let usual = usual(|| drop(backup(etcdrx)));
    for round in 1..=times {
        moments.kill(etcdrx, &["backup"], usual);

        assert_listed_is_whole(etcdrx);
        if round % 5 == 0 {
            backup(etcdrx);
            keep_one(etcdrx).run(["prune", "--yes"]).success();
            assert_eq!(listed(etcdrx).len(), 1);
            let verified = etcdrx.run(["verify", "--all", "--json"]).success().json();
            assert!(codes(&verified).iter().all(|code| *code == "not-decrypted"));
            assert_eq!(uploads_in_minio(store), [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_backup_into_webdav_that_is_killed_5_times() {
    require!("wsgidav");
    let (store, cluster) = (Store::webdav(), medium_cluster().await);
    let workplace = Workplace::new();
    let etcdrx = keep_in(&workplace, &cluster, &store);
    let mut moments = Moments::new();
    let usual = usual(|| drop(backup(&etcdrx)));

    for _ in 1..=5 {
        moments.kill(&etcdrx, &["backup"], usual);

        assert_listed_is_whole(&etcdrx);
    }
    backup(&etcdrx);
    let verified = etcdrx.run(["verify", "--all", "--json"]).success().json();
    assert_eq!(codes(&verified), [""; 0]);
}

/// The moment that no lock can tell of: the store has begun an upload, and its id is not written down yet.
#[tokio::test]
async fn an_upload_that_was_begun_and_never_noted_is_aborted_by_the_next_run() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    let workplace = Workplace::new();
    let flaky = FlakyHttp::to(store.address());
    let etcdrx = keep_behind(&workplace, &cluster, &store, &flaky.url());
    let begun = AtomicBool::new(false);
    flaky.fail_when(move |asked| {
        let before = begun.load(Ordering::Relaxed);
        begun.store(
            before || asked.target.contains("?uploads"),
            Ordering::Relaxed,
        );
        before
    });

    let mut run = etcdrx.spawn(["backup"]);
    wait_until(|| flaky.failed() > 0);
    run.signal(Signal::SIGKILL);
    drop(run);
    flaky.heal();

    assert_eq!(uploads_in_minio(&store).len(), 1);
    backup(&etcdrx);
    assert_eq!(uploads_in_minio(&store), [""; 0]);
}

#[tokio::test]
async fn a_prune_that_is_killed_15_times() {
    let [specimen, _] = specimens().await;
    let workplace = workplace();
    let etcdrx = keep_one(&workplace.etcdrx());
    let newest = "20260101T000000Z-000000";
    specimen.plant(&workplace, newest);
    let plant_twelve = || {
        for number in 1..=12 {
            specimen.plant(&workplace, &format!("20200101T0000{number:02}Z-000000"));
        }
    };
    let mut moments = Moments::new();
    plant_twelve();
    let usual = usual(|| drop(etcdrx.run(["prune", "--yes"]).success()));

    for _ in 1..=15 {
        plant_twelve();
        moments.kill(&etcdrx, &["prune", "--yes"], usual);

        assert_listed_is_whole(&etcdrx);
        // Something is to be removed in any case: where there is nothing, nobody asks for the lock.
        specimen.plant(&workplace, "20200101T000000Z-000000");
        etcdrx.run(["prune", "--yes"]).success();
        assert_eq!(listed(&etcdrx), [newest]);
        // The data of the backup that it was at is an orphan now, which goes in a day; the lock goes at once.
        let left = workplace.stored();
        let is_lock = |name: &&String| name.starts_with("locks/") && !name.contains('#');
        assert_eq!(left.iter().find(is_lock), None);
    }
}

fn keep_one(etcdrx: &Etcdrx) -> Etcdrx {
    etcdrx
        .clone()
        .env("ETCDRX_RETENTION_KEEP_LAST", "1")
        .env("ETCDRX_RETENTION_MINIMUM", "0")
}

fn assert_listed_is_whole(etcdrx: &Etcdrx) {
    let count = listed(etcdrx).len();
    let verified = etcdrx.run(["verify", "--all", "--json"]).success().json();
    let reports = verified["backups"].as_array().unwrap();
    assert_eq!(reports.len(), count);
    assert!(
        reports.iter().all(|report| report["ok"] == true),
        "{verified}"
    );
}

/// Panics unless each backup's folder holds data, manifest and verifications, and nothing else is there.
fn assert_no_leftovers(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let names: Vec<String> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| !name.starts_with("verification-"))
            .collect();
        // Who was killed while writing a lock is known to nobody: that file goes when it is two minutes old.
        if path.ends_with("locks") && names.iter().all(|name| name.contains('#')) {
            continue;
        }
        assert_eq!(names.len(), 2, "{} holds {names:?}", path.display());
    }
}
