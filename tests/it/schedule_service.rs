//! The service that stays: real jobs on a real cluster, one after the other, and one service of several.

use std::fs;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::scratch::program::Running;
use crate::scratch::{Cluster, ports, tools};
use crate::setup::{FOLDER, Workplace, assert_ends};

const LIMIT: Duration = Duration::from_mins(1);

/// What is due in most of these tests.
const JOBS: [&str; 4] = ["backup", "verify", "prune", "drill"];

/// A workplace whose schedule is due once a day, at a time that is not now.
pub(crate) fn scheduled(cluster: &Cluster, listen: &str) -> Workplace {
    let workplace = Workplace::new();
    let later = (Utc::now() + TimeDelta::hours(12))
        .format("%M %H * * *")
        .to_string();
    let settings = workplace
        .settings(cluster)
        .set("schedule.listen", listen)
        .set("retention.keep_last", 5);
    let jobs = ["backup", "verify", "prune", "drill", "certificates"];
    let settings = jobs.iter().fold(settings, |settings, job| {
        settings.set(&format!("schedule.{job}"), later.as_str())
    });
    workplace.configure(&settings);
    workplace
}

/// What a service that ended a while ago left: everything was done two days ago.
pub(crate) fn was_at_work(workplace: &Workplace, state: &str, jobs: &[&str]) {
    let handled = Utc::now() - TimeDelta::days(2);
    let records: serde_json::Map<String, Value> = jobs
        .iter()
        .map(|job| ((*job).to_owned(), json!({ "handled": handled })))
        .collect();
    fs::create_dir_all(workplace.path(state)).unwrap();
    let file = workplace.path(&format!("{state}/schedule-{FOLDER}.json"));
    fs::write(file, serde_json::to_vec(&records).unwrap()).unwrap();
}

pub(crate) fn service(workplace: &Workplace, state: &str) -> Running {
    let etcd = tools::newest_etcd().etcd();
    let state = workplace.path(state);
    let path = format!("{}:/usr/bin:/bin", etcd.parent().unwrap().display());
    let etcdrx = workplace.etcdrx().env("PATH", path);
    etcdrx.spawn(["schedule", "run", "--state-dir", state.to_str().unwrap()])
}

pub(crate) async fn page(listen: &str, path: &str) -> String {
    let url = format!("http://{listen}{path}");
    reqwest::get(url).await.unwrap().text().await.unwrap()
}

pub(crate) async fn until_all_is_done(listen: &str, jobs: &[&str]) -> Value {
    let deadline = Instant::now() + LIMIT;
    loop {
        let status: Value = serde_json::from_str(&page(listen, "/status").await).unwrap();
        if jobs
            .iter()
            .all(|job| status["jobs"][job]["last"].is_object())
        {
            return status;
        }
        assert!(Instant::now() < deadline, "{status:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_done_once_in_its_order_and_told_on_every_page() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    cluster.put_many("key/", 50, 100).await;
    let listen = ports::free_address().to_string();
    let workplace = scheduled(&cluster, &listen);
    was_at_work(&workplace, "state", &JOBS);

    let mut running = service(&workplace, "state");
    running.wait_for("drill: done", LIMIT);
    let status = until_all_is_done(&listen, &["backup", "verify", "prune", "drill"]).await;
    let metrics = page(&listen, "/metrics").await;
    assert_eq!(page(&listen, "/healthz").await, "ok\n");
    assert_eq!(page(&listen, "/readyz").await, "ok\n");
    running.signal(Signal::SIGTERM);
    let ended = running.wait(LIMIT);

    assert_ends(&ended, 0, &["at work"]);
    let order: Vec<usize> = ["backup", "verify", "prune", "drill"]
        .map(|job| ended.stderr.find(&format!("{job}: done")).unwrap())
        .into();
    assert!(order.is_sorted(), "{}", ended.stderr);
    assert!(
        !ended.stderr.contains("certificates: begins"),
        "{}",
        ended.stderr
    );
    for job in ["backup", "verify", "prune", "drill"] {
        assert_eq!(status["jobs"][job]["last"]["exit_code"], 0, "{status:#}");
        let line =
            format!("etcdrx_schedule_last_exit_code{{cluster=\"{FOLDER}\",job=\"{job}\"}} 0");
        assert!(metrics.contains(&line), "{metrics}");
    }
    assert!(metrics.contains("etcdrx_backup_revision{"), "{metrics}");
    assert_eq!(workplace.backups().len(), 1);

    let mut again = service(&workplace, "state");
    again.wait_for("at work", LIMIT);
    tokio::time::sleep(Duration::from_secs(1)).await;
    again.signal(Signal::SIGTERM);
    let again = again.wait(LIMIT);
    assert_ends(&again, 0, &["at work"]);
    assert!(!again.stderr.contains("begins"), "{}", again.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_services_one_works_and_the_other_takes_over() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let addresses = [0, 1].map(|_| ports::free_address().to_string());
    let [first, second] = [0, 1].map(|index: usize| scheduled(&cluster, &addresses[index]));

    let mut leader = service(&first, "state");
    leader.wait_for("at work", LIMIT);
    was_at_work(&second, "state", &JOBS);
    let mut other = service(&second, "state");
    other.wait_for("standing by", LIMIT);
    let shown = page(&addresses[1], "/metrics").await;
    let active = format!("etcdrx_schedule_active{{cluster=\"{FOLDER}\"}} 0");
    assert!(shown.contains(&active), "{shown}");
    leader.signal(Signal::SIGKILL);
    leader.wait(LIMIT);
    other.wait_for("at work", LIMIT);
    other.signal(Signal::SIGTERM);

    let ended = other.wait(LIMIT);
    assert_ends(&ended, 0, &["at work"]);
    assert!(
        !ended.stderr.contains("begins"),
        "what the leader should do was done twice: {}",
        ended.stderr
    );
    assert!(!second.repository().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_survived_and_a_configuration_is_read_again() {
    let mut cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let listen = ports::free_address().to_string();
    let workplace = scheduled(&cluster, &listen);
    was_at_work(&workplace, "state", &JOBS);
    cluster.kill_all();

    let mut running = service(&workplace, "state");
    running.wait_for("etcd cannot be asked", LIMIT);
    running.wait_for("backup: failed with exit code 5", LIMIT);
    let status = until_all_is_done(&listen, &["backup"]).await;
    assert_eq!(status["jobs"]["backup"]["failures"], 1, "{status:#}");
    assert_eq!(status["standing"], "alone");
    cluster.restart_member(0).await;

    let config = fs::read_to_string(workplace.path("etcdrx.toml")).unwrap();
    fs::write(
        workplace.path("etcdrx.toml"),
        config.replace("[schedule]", "[schedule]\njitter = \"none\""),
    )
    .unwrap();
    running.signal(Signal::SIGHUP);
    running.wait_for("the schedule stays as it was", LIMIT);
    fs::write(workplace.path("etcdrx.toml"), config).unwrap();
    running.signal(Signal::SIGHUP);
    running.wait_for("the configuration was read again", LIMIT);
    running.signal(Signal::SIGTERM);

    assert_ends(&running.wait(LIMIT), 0, &["at work"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_refused_before_anything_is_done() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let listen = ports::free_address().to_string();
    let workplace = scheduled(&cluster, &listen);
    let mut running = service(&workplace, "state");
    running.wait_for("at work", LIMIT);

    assert_ends(
        &service(&workplace, "state").wait(LIMIT),
        4,
        &["another service keeps"],
    );
    assert_ends(
        &service(&workplace, "other").wait(LIMIT),
        1,
        &["cannot listen on", &listen],
    );
    for (key, value, words) in [
        ("schedule.prune", "0 4 * * *", "no retention is configured"),
        ("schedule.backup", "whenever", "no cron expression"),
        ("schedule.timezone", "Mars/Base", "no time zone"),
    ] {
        workplace.configure(
            &workplace
                .settings(&cluster)
                .set("schedule.backup", "0 * * * *")
                .set(key, value),
        );
        assert_ends(&service(&workplace, "third").wait(LIMIT), 2, &[words]);
    }
    running.signal(Signal::SIGINT);
    running.wait(LIMIT);
}
