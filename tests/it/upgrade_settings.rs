//! Settings that a new version refuses or does not hear: the check says so first, and then the real server does.

use std::fs;
use std::path::Path;
use std::time::Duration;

use etcdrx::upgrade::Settings;
use serde_json::Value;

use crate::scratch::{Cluster, EtcdRelease, Output, ports, process, program, require_etcd};
use crate::setup::{Workplace, codes};

/// A file that says how a member is started, the version that is to come, the finding, and what that version says.
const REFUSED: &[(&str, &str, &str, &str, &str)] = &[
    (
        "unit",
        "--experimental-initial-corrupt-check=true",
        "3.7",
        "flag-unknown",
        "flag provided but not defined: -experimental-initial-corrupt-check",
    ),
    (
        "unit",
        "--enable-v2=true",
        "3.6",
        "flag-unknown",
        "flag provided but not defined: -enable-v2",
    ),
    (
        "unit",
        "--proxy=off",
        "3.6",
        "flag-unknown",
        "flag provided but not defined: -proxy",
    ),
    (
        "unit",
        "--discovery=https://discovery.example",
        "3.7",
        "flag-unknown",
        "flag provided but not defined: -discovery",
    ),
    (
        "unit",
        "--log-package-levels=raft=DEBUG",
        "3.5",
        "flag-unknown",
        "flag provided but not defined: -log-package-levels",
    ),
    (
        "unit",
        "--v2-deprecation=not-yet",
        "3.6",
        "value-refused",
        "invalid value \"not-yet\"",
    ),
    (
        "unit",
        "--feature-gates=NoSuchGate=true",
        "3.7",
        "feature-gate-unknown",
        "unrecognized feature gate: NoSuchGate",
    ),
    (
        "config",
        "logger: capnslog",
        "3.5",
        "value-refused",
        "--logger=capnslog is removed in v3.5",
    ),
    (
        "config",
        "feature-gates: FastLeaseKeepAlive=true",
        "3.6",
        "feature-gate-unknown",
        "unrecognized feature gate: FastLeaseKeepAlive",
    ),
    (
        "config",
        "feature-gates: InitialCorruptCheck=true\nexperimental-initial-corrupt-check: true",
        "3.6",
        "both-forms",
        "cannot specify both flags",
    ),
    (
        "unit",
        "--corrupt-check-time=1h --experimental-corrupt-check-time=1h",
        "3.6",
        "both-forms",
        "at the same time",
    ),
    (
        "variables",
        "ETCD_DISCOVERY_FALLBACK=proxy",
        "3.6",
        "value-refused",
        "v2 proxy is deprecated",
    ),
    (
        "variables",
        "ETCD_V2_DEPRECATION=not-yet",
        "3.6",
        "value-refused",
        "not-yet",
    ),
];

#[test]
fn what_ends_the_new_version_at_its_start_is_found_before() {
    let workplace = Workplace::new();
    for (form, given, to, code, says) in REFUSED {
        let release = require_etcd!(*to);
        let file = workplace.path("member");
        let file = file.display();
        let text = match *form {
            "unit" => format!("[Service]\nExecStart=/usr/bin/etcd --name m1 {given}\n"),
            "config" => format!("name: m1\ndata-dir: /dev/null/x\n{given}\n"),
            _ => format!("ETCD_NAME=m1\n{given}\n"),
        };
        fs::write(workplace.path("member"), text).unwrap();

        let checked = check(&workplace, to, &["--etcd-config", &file.to_string()]);
        let started = match *form {
            "config" => etcd(&release, &["--config-file", &file.to_string()], None),
            "variables" => etcd(&release, &["--data-dir=/dev/null/x"], given.split_once('=')),
            _ => {
                let words = given.split(' ').chain(["--data-dir=/dev/null/x"]);
                etcd(&release, &words.collect::<Vec<_>>(), None)
            }
        };

        assert_eq!(checked.code, 3, "{given}: {checked:?}");
        assert!(
            checked
                .stdout
                .contains(&format!("error [{code}] {file}, line ")),
            "{checked:?}"
        );
        let heard = started.stdout.clone() + &started.stderr.replace("\\\"", "\"");
        assert!(
            started.code != 0 && heard.contains(says),
            "{given}: {started:?}"
        );
        assert!(
            !heard.contains("failed to list data directory"),
            "{given}: {started:?}"
        );
    }
}

#[tokio::test]
async fn a_protection_that_the_new_version_does_not_hear_is_found_and_what_is_advised_is_heard() {
    let release = require_etcd!("3.7");
    let workplace = Workplace::new();
    let file = workplace.path("etcd.yml").display().to_string();
    let old =
        "experimental-initial-corrupt-check: true\nexperimental-compact-hash-check-enabled: true\n";
    let new = "feature-gates: InitialCorruptCheck=true,CompactHashCheck=true\n";

    fs::write(&file, configuration(&workplace, "old", old)).unwrap();
    let found = check(&workplace, "3.7", &["--etcd-config", &file, "--json"]);
    let without = gates(&release, &file).await;
    fs::write(&file, configuration(&workplace, "new", new)).unwrap();
    let clean = check(&workplace, "3.7", &["--etcd-config", &file, "--json"]);
    let with = gates(&release, &file).await;

    assert_eq!(found.code, 3, "{found:?}");
    let report = found.json();
    assert_eq!(codes(&report)[..2], ["protection-lost", "protection-lost"]);
    let message = report["findings"][1]["message"].as_str().unwrap();
    for words in [
        "etcd.yml, line 8",
        "etcd 3.7 ignores `experimental-initial-corrupt-check` without a word",
        "`feature-gates: InitialCorruptCheck=true`",
    ] {
        let all = report["findings"].to_string();
        assert!(all.contains(words), "{words}: {message}");
    }
    assert_eq!(
        without,
        [
            ("CompactHashCheck".to_owned(), false),
            ("InitialCorruptCheck".to_owned(), false)
        ]
    );
    assert_eq!(clean.code, 0, "{clean:?}");
    assert_eq!(codes(&clean.json()), ["not-asked", "version-unknown"]);
    assert_eq!(
        with,
        [
            ("CompactHashCheck".to_owned(), true),
            ("InitialCorruptCheck".to_owned(), true)
        ]
    );
}

#[tokio::test]
async fn a_variable_that_the_new_version_does_not_know_is_ignored_with_a_warning() {
    let release = require_etcd!("3.7");
    let workplace = Workplace::new();
    let file = workplace.path("etcd.env").display().to_string();
    let variable = ("ETCD_EXPERIMENTAL_CORRUPT_CHECK_TIME", "1h");
    fs::write(
        &file,
        format!(
            "# how m1 is started\nexport {}=\"{}\"\n",
            variable.0, variable.1
        ),
    )
    .unwrap();

    let found = check(&workplace, "3.7", &["--etcd-config", &file]);
    let started = etcd(&release, &["--data-dir=/dev/null/x"], Some(variable));

    assert_eq!(found.code, 3, "{found:?}");
    for words in [
        "error [protection-lost]",
        "etcd.env, line 2",
        "ETCD_CORRUPT_CHECK_TIME",
    ] {
        assert!(found.stdout.contains(words), "{words}: {found:?}");
    }
    assert!(
        started.stderr.contains("unrecognized environment variable"),
        "{started:?}"
    );
    assert!(
        started.stderr.contains("failed to list data directory"),
        "{started:?}"
    );
}

#[test]
fn a_unit_leads_to_its_drop_ins_its_variables_and_its_configuration_file() {
    let workplace = Workplace::new();
    let unit = workplace.path("etcd.service");
    let path = |name: &str| workplace.path(name).display().to_string();
    let variables = format!(
        "EnvironmentFile={}\nEnvironmentFile=-/nowhere/at/all\n",
        path("etcd.env")
    );
    fs::write(
        &unit,
        format!("[Service]\n{variables}ExecStart=/usr/bin/etcd --name m1\n"),
    )
    .unwrap();
    fs::write(path("etcd.env"), "ETCD_NAME=other\nETCD_ENABLE_V2=true\n").unwrap();

    let plain = Settings::read(&unit).unwrap();
    fs::create_dir(workplace.path("etcd.service.d")).unwrap();
    let start = format!(
        "ExecStart=\nExecStart=/usr/bin/etcd --debug \\\n  --config-file={}\n",
        path("etcd.yml")
    );
    fs::write(
        workplace.path("etcd.service.d/10-start.conf"),
        format!("[Service]\n{start}"),
    )
    .unwrap();
    fs::write(path("etcd.yml"), "name: m2\n").unwrap();
    let with_file = Settings::read(&unit).unwrap();

    assert_eq!(plain.member, "m1");
    let variable = plain.find("enable-v2").unwrap();
    assert_eq!(
        variable.place.to_string(),
        format!("{}, line 2", path("etcd.env"))
    );
    // Beside a configuration file etcd looks at no variable, and ends at a flag that it does not know.
    assert_eq!(with_file.member, "m2");
    assert!(with_file.find("enable-v2").is_none());
    let flag = with_file.find("debug").unwrap();
    assert!(
        flag.place.to_string().ends_with("10-start.conf, line 3"),
        "{}",
        flag.place
    );
}

#[test]
fn what_cannot_be_checked_is_a_matter_of_usage() {
    let workplace = Workplace::new();
    fs::write(workplace.path("list.yml"), "- a\n").unwrap();

    let version = check(&workplace, "3.9", &[]);
    let nowhere = check(&workplace, "3.7", &["--etcd-config", "/nowhere/at/all"]);
    let list = check(&workplace, "3.7", &["--etcd-config", "list.yml"]);
    let alone = workplace
        .etcdrx()
        .run(["check", "--etcd-config", "list.yml"]);

    for (output, words) in [
        (&version, "3.4, 3.5, 3.6 and 3.7 are"),
        (&nowhere, "cannot read /nowhere/at/all"),
        (&list, "list.yml does not say how a member is started"),
        (&alone, "--upgrade-to"),
    ] {
        assert_eq!(output.code, 2, "{output:?}");
        assert!(output.stderr.contains(words), "{words}: {output:?}");
    }
}

#[tokio::test]
async fn a_revocation_list_in_pem_is_found_before_it_refuses_everybody() {
    let release = require_etcd!("3.5");
    let cluster = Cluster::of(&release).tls().start().await;
    let workplace = Workplace::of(&cluster);
    let list = workplace.path("list.pem");
    fs::write(
        &list,
        "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
    )
    .unwrap();
    let unit = workplace.path("etcd.service");
    let pki = cluster.pki().unwrap();
    let start = format!(
        "/usr/bin/etcd --trusted-ca-file={} --client-crl-file={}",
        pki.ca().display(),
        list.display()
    );
    fs::write(
        &unit,
        format!("[Service]\nExecStart={start} --client-cert-auth\n"),
    )
    .unwrap();

    let found = check(
        &workplace,
        "3.6",
        &["--etcd-config", &unit.display().to_string()],
    );

    assert_eq!(found.code, 3, "{found:?}");
    assert!(found.stdout.contains("error [v15-pem]"), "{found:?}");
}

#[test]
fn the_report_has_the_fields_that_programs_read() {
    let workplace = Workplace::new();
    fs::write(workplace.path("etcd.yml"), "name: m1\n").unwrap();
    let report = check(&workplace, "3.6", &["--etcd-config", "etcd.yml", "--json"])
        .success()
        .json();
    assert_eq!(report["from"], Value::Null);
    assert_eq!(
        (report["to"].as_str(), report["settings"].as_u64()),
        (Some("3.6"), Some(1))
    );
    for count in ["members", "data_directories", "snapshots"] {
        assert_eq!(report[count].as_u64(), Some(0), "{count}");
    }
}

fn check(workplace: &Workplace, to: &str, more: &[&str]) -> Output {
    let arguments = ["check", "--upgrade-to", to].into_iter();
    workplace
        .etcdrx()
        .run(arguments.chain(more.iter().copied()))
}

fn etcd(release: &EtcdRelease, arguments: &[&str], variable: Option<(&str, &str)>) -> Output {
    let mut command = process::command(&release.etcd());
    command
        .args(arguments)
        .current_dir(Path::new("/"))
        .envs(variable);
    program::run(command, Duration::from_secs(20))
}

/// Six lines, and what is to be tried.
fn configuration(workplace: &Workplace, name: &str, more: &str) -> String {
    let (client, peer) = (ports::free_address(), ports::free_address());
    format!(
        "name: m1\ndata-dir: {}\nlisten-client-urls: http://{client}\nadvertise-client-urls: http://{client}\n\
         listen-peer-urls: http://{peer}\ninitial-advertise-peer-urls: http://{peer}\ninitial-cluster: m1=http://{peer}\n{more}",
        workplace.path(name).display()
    )
}

/// The checks of data that a server has on, as its metrics tell.
async fn gates(release: &EtcdRelease, config: &str) -> Vec<(String, bool)> {
    let text = fs::read_to_string(config).unwrap();
    let url = text
        .lines()
        .find_map(|line| line.strip_prefix("advertise-client-urls: "));
    let url = format!("{}/metrics", url.unwrap());
    let mut command = process::command(&release.etcd());
    command.args(["--config-file", config]);
    let log = Path::new(config).with_extension("log");
    let server = process::Server::start("etcd", command, &log);
    for _ in 0..200 {
        server.assert_running();
        if let Ok(answer) = reqwest::get(&url).await {
            let metrics = answer.text().await.unwrap();
            let lines = metrics.lines().filter_map(|line| {
                let rest = line.strip_prefix("etcd_server_feature_enabled{name=\"")?;
                let (name, rest) = rest.split_once('"')?;
                Some((name.to_owned(), rest.ends_with('1')))
            });
            let checks = ["CompactHashCheck", "InitialCorruptCheck"];
            return lines
                .filter(|(name, _)| checks.contains(&name.as_str()))
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no metrics\n{}", server.last_words());
}
