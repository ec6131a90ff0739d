//! Upgrades of real servers: where the check finds nothing they work, and where it finds something they do not.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::scratch::process::exit_code;
use crate::scratch::{Cluster, EtcdRelease, Output, require_etcd, tools};
use crate::setup::{Workplace, codes, etcdrx};

/// How long a server that cannot run may take to end.
const LIMIT: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_found_a_cluster_goes_from_3_4_to_3_7_member_by_member() {
    let first = require_etcd!("3.4");
    let cluster = Cluster::of(&first).members(3).snapshot_count(10);
    let mut cluster = cluster.start().await;
    for to in ["3.5", "3.6", "3.7"] {
        let release = require_etcd!(to);
        // Enough entries for a raft snapshot on every member, behind what the last start wrote.
        write(&cluster, 30).await;
        for index in 0..3 {
            cluster.wait_until_caught_up(index).await;
        }

        let checked = check(&cluster, to);

        assert_eq!(checked.code, 0, "{to}: {checked:?}");
        assert_eq!(checked.json()["data_directories"], 3);
        for index in 0..3 {
            cluster.members[index].stop();
            cluster.members[index].replace_program(&release.etcd());
            cluster.restart_member(index).await;
        }
        cluster.wait_until_healthy().await;
    }
    let status = cluster.status(0).await.unwrap();
    assert!(status.version().starts_with("3.7."), "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_that_3_7_cannot_read_are_found_and_the_way_out_works() {
    let (old, middle, new) = (
        require_etcd!("3.5"),
        require_etcd!("3.6"),
        require_etcd!("3.7"),
    );
    let mut cluster = Cluster::of(&old).start().await;
    write(&cluster, 5).await;
    let early = check(&cluster, "3.6");
    upgrade(&mut cluster, &middle).await;
    write(&cluster, 5).await;

    // The log is read while 3.6 runs.
    let found = check(&cluster, "3.7");
    let died = fails_on(&mut cluster, &new);
    cluster.members[0].replace_program(&middle.etcd());
    let count = "--snapshot-count=10".to_owned();
    cluster.members[0].arguments().push(count);
    cluster.restart_member(0).await;
    write(&cluster, 40).await;
    let clean = check(&cluster, "3.7");
    upgrade(&mut cluster, &new).await;

    assert_eq!(early.code, 0, "{early:?}");
    assert!(
        codes(&early.json()).contains(&"second-api-entries"),
        "{early:?}"
    );
    assert_eq!(found.code, 3, "{found:?}");
    assert_eq!(errors(&found.json()), ["second-api-entries"]);
    assert_eq!(died.0, 2, "{}", died.1);
    assert!(
        died.1.contains("panic: unmarshal should never fail"),
        "{}",
        died.1
    );
    assert_eq!(
        (clean.code, errors(&clean.json()).len()),
        (0, 0),
        "{clean:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_the_second_api_are_found_in_the_log_and_in_the_snapshot() {
    let (old, new) = (require_etcd!("3.5"), require_etcd!("3.6"));
    let cluster = Cluster::of(&old).flag("--enable-v2=true");
    let mut cluster = cluster.snapshot_count(100).start().await;
    let url = format!("{}/v2/keys/foo", cluster.endpoints()[0]);
    let client = reqwest::Client::new();
    let form = "application/x-www-form-urlencoded";
    let put = client
        .put(&url)
        .header("Content-Type", form)
        .body("value=bar");
    put.send().await.unwrap().error_for_status().unwrap();

    let in_log = check(&cluster, "3.6");
    let enable = "--enable-v2=true".to_owned();
    cluster.members[0]
        .arguments()
        .retain(|flag| *flag != enable);
    let died_of_log = fails_on(&mut cluster, &new);
    cluster.members[0].replace_program(&old.etcd());
    cluster.members[0].arguments().push(enable.clone());
    cluster.restart_member(0).await;
    write(&cluster, 120).await;
    let in_snapshot = check(&cluster, "3.6");
    cluster.members[0]
        .arguments()
        .retain(|flag| *flag != enable);
    let died_of_snapshot = fails_on(&mut cluster, &new);
    cluster.members[0].replace_program(&old.etcd());
    cluster.members[0].arguments().push(enable.clone());
    cluster.restart_member(0).await;
    client
        .delete(&url)
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    write(&cluster, 220).await;
    let clean = check(&cluster, "3.6");
    cluster.members[0]
        .arguments()
        .retain(|flag| *flag != enable);
    upgrade(&mut cluster, &new).await;

    assert_eq!(errors(&in_log.json()), ["second-api-requests"]);
    assert_eq!(died_of_log.0, 2, "{}", died_of_log.1);
    assert!(died_of_log.1.contains("detected disallowed v2 WAL"));
    assert_eq!(errors(&in_snapshot.json()), ["second-api-keys"]);
    assert_eq!(died_of_snapshot.0, 1, "{}", died_of_snapshot.1);
    assert!(
        died_of_snapshot
            .1
            .contains("detected disallowed custom content in v2store")
    );
    assert_eq!(clean.code, 0, "{clean:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_two_versions_ahead_takes_the_others_down_and_the_check_said_so() {
    let (old, new) = (require_etcd!("3.4"), require_etcd!("3.6"));
    let mut cluster = Cluster::of(&old)
        .members(3)
        .snapshot_count(10)
        .start()
        .await;
    write(&cluster, 30).await;

    let found = check(&cluster, "3.6");
    // Followers of the old version get what the new leader proposes.
    let leader = cluster.leader().await;
    cluster.members[leader].stop();
    cluster.members[leader].replace_program(&new.etcd());
    cluster.members[leader].start();
    let others: Vec<usize> = (0..3).filter(|index| *index != leader).collect();
    let ends = others
        .iter()
        .map(|index| cluster.members[*index].wait_for_end(LIMIT));
    let ends: Vec<_> = ends.collect();

    assert_eq!(found.code, 3, "{found:?}");
    assert_eq!(errors(&found.json()), ["skips-a-version"]);
    assert!(found.stdout.contains("3.4 -> 3.5 -> 3.6"), "{found:?}");
    for (index, end) in others.iter().zip(ends) {
        assert_eq!(
            end.map(exit_code),
            Some(2),
            "{}",
            cluster.members[*index].log()
        );
        let log = cluster.members[*index].log();
        assert!(log.contains("panic: not implemented"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_back_is_refused_until_the_downgrade_is_enabled() {
    let (old, new) = (require_etcd!("3.5"), require_etcd!("3.6"));
    let mut cluster = Cluster::of(&new).start().await;
    write(&cluster, 5).await;
    wait_for_storage(&cluster, "3.6.0").await;

    let found = check(&cluster, "3.5");
    let died = fails_on(&mut cluster, &old);
    cluster.members[0].replace_program(&new.etcd());
    cluster.restart_member(0).await;
    cluster.etcdctl(["downgrade", "enable", "3.5"]).success();
    wait_for_storage(&cluster, "3.5.0").await;
    let ready = check(&cluster, "3.5");
    upgrade(&mut cluster, &old).await;

    assert_eq!(errors(&found.json()), ["downgrade"]);
    assert!(
        found.stdout.contains("etcdctl downgrade enable 3.5"),
        "{found:?}"
    );
    assert_eq!(died.0, 1, "{}", died.1);
    assert!(
        died.1
            .contains("invalid downgrade; server version is lower"),
        "{}",
        died.1
    );
    assert_eq!(ready.code, 0, "{ready:?}");
    assert!(
        codes(&ready.json()).contains(&"downgrade-enabled"),
        "{ready:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_3_7_is_refused_for_3_6_as_a_directory_and_as_a_snapshot() {
    let (old, new) = (require_etcd!("3.6"), require_etcd!("3.7"));
    let mut cluster = Cluster::of(&new).start().await;
    wait_for_storage(&cluster, "3.7.0").await;
    cluster.members[0].stop();

    // Files alone tell the version.
    let directory = etcdrx().run([
        "check",
        "--upgrade-to",
        "3.6",
        "--json",
        "--data-dir",
        &data_dir(&cluster),
    ]);
    let db = cluster.members[0].db().display().to_string();
    let snapshot = etcdrx().run(["check", "--upgrade-to", "3.6", "--json", "--source", &db]);
    let died = fails_on(&mut cluster, &old);

    assert_eq!(directory.json()["from"], "3.7");
    assert_eq!(errors(&directory.json()), ["downgrade", "schema-too-new"]);
    assert_eq!(
        (snapshot.code, errors(&snapshot.json())),
        (3, vec!["schema-too-new".to_owned()])
    );
    assert_eq!(died.0, 1, "{}", died.1);
    assert!(died.1.contains("is not supported"), "{}", died.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn learners_beyond_the_limit_are_found_before_they_end_the_new_version() {
    let (old, new) = (require_etcd!("3.6"), require_etcd!("3.7"));
    let mut cluster = Cluster::of(&old).flag("--max-learners=2").start().await;
    cluster.add_learner().await;
    cluster.add_learner().await;
    write(&cluster, 3).await;

    let found = check(&cluster, "3.7");
    cluster.members[0]
        .arguments()
        .retain(|flag| flag != "--max-learners=2");
    let died = fails_on(&mut cluster, &new);

    let report = found.json();
    assert_eq!(
        (found.code, errors(&report)),
        (3, vec!["too-many-learners".to_owned()])
    );
    assert_eq!(died.0, 1, "{}", died.1);
    assert!(
        died.1.contains("too many learner members in cluster"),
        "{}",
        died.1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_this_machine_and_backups_are_looked_at() {
    let release = require_etcd!("3.7");
    let cluster = Cluster::of(&release).start().await;
    wait_for_storage(&cluster, "3.7.0").await;
    let workplace = Workplace::of(&cluster);
    workplace.etcdrx().run(["backup"]).success();
    let file = workplace.path("etcdrx.toml");
    let variables = workplace.path("etcd.env");
    fs::write(&variables, "ETCD_ENABLE_V2=true\n").unwrap();
    let nodes = format!(
        "\n[[node]]\nname = \"etcd-1\"\nreach = \"local\"\nenvironment_file = \"{}\"\ndata_dir = \"{}\"\n\n[[node]]\nname = \"etcd-2\"\nreach = \"ssh://etcd-2\"\n",
        variables.display(),
        data_dir(&cluster)
    );
    fs::write(&file, fs::read_to_string(&file).unwrap() + &nodes).unwrap();

    let same = workplace.etcdrx().run([
        "check",
        "--upgrade-to",
        "3.7",
        "--source",
        "latest",
        "--json",
    ]);
    let back = workplace.etcdrx().run([
        "check",
        "--upgrade-to",
        "3.6",
        "--source",
        "latest",
        "--json",
    ]);

    let report = same.json();
    for count in ["members", "settings", "data_directories", "snapshots"] {
        assert_eq!(report[count], 1, "{count}: {same:?}");
    }
    assert_eq!(same.code, 0, "{same:?}");
    assert_eq!(
        codes(&report),
        ["setting-unknown", "node-not-seen", "same-version"]
    );
    assert_eq!(errors(&back.json()), ["downgrade", "schema-too-new"]);
    assert!(back.stdout.contains("backup 2"), "{back:?}");
}

#[tokio::test]
async fn members_that_do_not_answer_are_told_apart_from_findings() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    cluster.members[0].kill();
    let endpoint = cluster.endpoints()[0].clone();

    let alone = etcdrx().run(["check", "--upgrade-to", "3.7", "--endpoints", &endpoint]);

    assert_eq!(alone.code, 5, "{alone:?}");
    assert!(
        alone.stdout.contains("error [endpoint-unreachable]"),
        "{alone:?}"
    );
}

/// The check of a cluster, with the directories of its members.
fn check(cluster: &Cluster, to: &str) -> Output {
    let workplace = Workplace::of(cluster);
    let mut arguments = vec!["check".to_owned(), "--json".to_owned()];
    arguments.extend(["--upgrade-to".to_owned(), to.to_owned()]);
    for member in &cluster.members {
        let path = member.data_dir().display().to_string();
        arguments.extend(["--data-dir".to_owned(), path]);
    }
    workplace.etcdrx().run(arguments)
}

fn data_dir(cluster: &Cluster) -> String {
    cluster.members[0].data_dir().display().to_string()
}

/// The codes of what must be changed.
fn errors(report: &Value) -> Vec<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let errors = findings.filter(|one| one["severity"] == "error");
    errors
        .map(|one| one["code"].as_str().unwrap().to_owned())
        .collect()
}

/// Writes keys one by one, each an entry of its own.
async fn write(cluster: &Cluster, count: usize) {
    let mut client = cluster.member_client(0).await;
    for number in 0..count {
        client
            .put(format!("key/{number}"), "value", None)
            .await
            .unwrap();
    }
}

/// Stops a cluster of one member, and starts it with another program.
async fn upgrade(cluster: &mut Cluster, release: &EtcdRelease) {
    cluster.members[0].stop();
    cluster.members[0].replace_program(&release.etcd());
    cluster.restart_member(0).await;
}

/// The same where it must fail: the exit code, and what was logged since.
fn fails_on(cluster: &mut Cluster, release: &EtcdRelease) -> (i32, String) {
    let member = &mut cluster.members[0];
    member.stop();
    let before = member.log().len();
    member.replace_program(&release.etcd());
    member.start();
    let end = member.wait_for_end(LIMIT).map_or(-1, exit_code);
    (end, member.log()[before..].to_owned())
}

pub(crate) async fn wait_for_storage(cluster: &Cluster, version: &str) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let status = cluster.status(0).await.unwrap();
        if status.storage_version() == version {
            return;
        }
        assert!(Instant::now() < deadline, "{version}: {status:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
