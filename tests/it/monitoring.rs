//! The rules and the dashboard of docs/monitoring, held against promtool, Grafana's schema, and what the program really writes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::schedule_service::{page, scheduled, service, until_all_is_done, was_at_work};
use crate::scratch::program::Output;
use crate::scratch::{Cluster, ports, process, program, tools};
use crate::setup::assert_ends;

const LIMIT: Duration = Duration::from_mins(1);
const JOBS: [&str; 5] = ["backup", "verify", "prune", "drill", "certificates"];

fn docs(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(path)
}

fn run(tool: &Path, words: &[&str]) -> Output {
    let mut command = process::command(tool);
    command.args(words);
    program::run(command, LIMIT)
}

/// Every name in a text that begins as our metrics do.
fn names(text: &str) -> BTreeSet<String> {
    let words =
        text.split(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_' && sign != ':');
    let ours = words.filter(|word| word.starts_with("etcdrx_"));
    ours.map(str::to_owned).collect()
}

/// What is written: the first word of every line that is no comment.
fn written(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect()
}

/// What the tables of the guide say is written.
fn documented() -> BTreeSet<String> {
    let pages = ["guide.md", "schedule.md"].map(|page| fs::read_to_string(docs(page)).unwrap());
    let rows = pages.iter().flat_map(|page| page.lines());
    let rows = rows.filter(|line| line.starts_with("| `etcdrx_"));
    rows.flat_map(|row| names(row.split(" | ").next().unwrap()))
        .collect()
}

#[test]
fn promtool_takes_the_rules_and_they_fire_when_they_should() {
    let promtool = tools::require!("promtool");
    let rules = docs("monitoring/etcdrx.rules.yml");
    let tests = docs("monitoring/etcdrx.rules.test.yml");

    let checked = run(&promtool, &["check", "rules", rules.to_str().unwrap()]);
    let tested = run(&promtool, &["test", "rules", tests.to_str().unwrap()]);

    assert_ends(&checked, 0, &[]);
    assert_ends(&tested, 0, &[]);
    let rules: Value = serde_saphyr::from_str(&fs::read_to_string(rules).unwrap()).unwrap();
    let tests: Value = serde_saphyr::from_str(&fs::read_to_string(tests).unwrap()).unwrap();
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let cases = tests["tests"].as_array().unwrap().iter();
    let cases: Vec<&Value> = cases
        .flat_map(|test| test["alert_rule_test"].as_array().unwrap())
        .collect();
    for alert in rules.filter_map(|rule| rule["alert"].as_str()) {
        let fires = |one: &&&Value| one["alertname"] == alert && one["exp_alerts"].is_array();
        let silent = |one: &&&Value| one["alertname"] == alert && one["exp_alerts"].is_null();
        assert!(
            cases.iter().any(|one| fires(&one)),
            "{alert} never fires in a test"
        );
        assert!(
            cases.iter().any(|one| silent(&one)),
            "{alert} is never silent in a test"
        );
    }
}

#[test]
fn the_dashboard_is_one_by_the_types_that_grafana_publishes() {
    let schema = tools::require!("grafana-schema");
    let path = docs("monitoring/etcdrx.dashboard.json");

    let checked = run(&schema, &[path.to_str().unwrap()]);

    assert_ends(&checked, 0, &[]);
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut taken = BTreeSet::new();
    for panel in panels {
        let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        for x in place("x")..place("x") + place("w") {
            for y in place("y")..place("y") + place("h") {
                assert!(
                    x < 24 && taken.insert((x, y)),
                    "{} overlaps",
                    panel["title"]
                );
            }
        }
    }
}

#[test]
fn every_query_of_the_dashboard_is_one_for_prometheus() {
    let promtool = tools::require!("promtool");
    let text = fs::read_to_string(docs("monitoring/etcdrx.dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let rules: Vec<Value> = targets
        .enumerate()
        .map(|(number, target)| serde_json::json!({"record": format!("panel:{number}"), "expr": target["expr"]}))
        .collect();
    assert!(rules.len() > 12);
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    // YAML is a superset of JSON.
    let group = serde_json::json!({"groups": [{"name": "panels", "rules": rules}]});
    fs::write(file.path(), group.to_string()).unwrap();

    let checked = run(
        &promtool,
        &["check", "rules", file.path().to_str().unwrap()],
    );

    assert_ends(&checked, 0, &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_the_rules_and_the_dashboard_is_written_and_every_one_that_is_written_is_documented()
 {
    let cluster = Cluster::of(&tools::newest_etcd()).tls().start().await;
    cluster.put_many("key/", 20, 100).await;
    let listen = ports::free_address().to_string();
    let workplace = scheduled(&cluster, &listen);
    was_at_work(&workplace, "state", &JOBS);

    let mut running = service(&workplace, "state");
    running.wait_for("at work", LIMIT);
    until_all_is_done(&listen, &JOBS).await;
    let metrics = page(&listen, "/metrics").await;
    running.signal(Signal::SIGTERM);
    running.wait(LIMIT);
    let pki = cluster.pki().unwrap().directory();
    let file = workplace.path("expiry.prom");
    let words = ["certs", "expiry", "--prometheus"];
    let expiry = workplace
        .etcdrx()
        .run(words.map(Path::new).into_iter().chain([&*file, pki]));

    assert!([0, 3].contains(&expiry.code), "{expiry:?}");
    let expiry = fs::read_to_string(file).unwrap();
    let written: BTreeSet<String> = written(&metrics)
        .union(&written(&expiry))
        .cloned()
        .collect();
    assert_eq!(written, documented(), "written, and documented");
    for path in [
        "etcdrx.rules.yml",
        "etcdrx.rules.test.yml",
        "etcdrx.dashboard.json",
    ] {
        let text = fs::read_to_string(docs("monitoring").join(path)).unwrap();
        let unknown: Vec<String> = names(&text).difference(&written).cloned().collect();
        assert!(
            unknown.is_empty(),
            "{path} names what nobody writes: {unknown:?}"
        );
    }
    assert_all_is_well(&metrics);
    let promtool = tools::require!("promtool");
    assert_takes(&promtool, &metrics);
    assert_takes(&promtool, &expiry);
}

/// Panics unless a page tells of a sound cluster, a backup and certificates that last.
fn assert_all_is_well(page: &str) {
    let value = |name: &str| -> i64 {
        let name = format!("{name}{{");
        let line = page.lines().find(|line| line.starts_with(&name)).unwrap();
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("etcdrx_repository_reachable"), 1);
    assert_eq!(value("etcdrx_backup_members_agree"), 1);
    assert_eq!(value("etcdrx_backup_quorum"), 1);
    assert_eq!(value("etcdrx_backup_revision_backwards"), 0);
    let end = value("etcdrx_certificates_next_expiry_timestamp_seconds");
    let now = Utc::now();
    let years = [now, now + TimeDelta::days(800)].map(|at| at.timestamp());
    assert!(end > years[0] && end < years[1], "{end}");
}

/// Panics unless promtool takes a page without a word.
fn assert_takes(promtool: &Path, page: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), page).unwrap();
    let mut check = process::command(Path::new("/bin/sh"));
    let (promtool, file) = (promtool.display(), file.path().display());
    let line = format!("'{promtool}' check metrics < '{file}'");
    check.arg("-c").arg(line);
    let checked = program::run(check, LIMIT);
    assert_ends(&checked, 0, &[]);
    assert_eq!(checked.stderr.trim(), "");
}
