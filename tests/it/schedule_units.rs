//! What is printed for other schedulers, held against their own programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use etcdrx::config;
use etcdrx::schedule::{Calendar, Job, Plain};
use serde_json::Value;

use crate::scratch::{process, program, tools};
use crate::setup::{Workplace, assert_ends, etcdrx};

fn workplace() -> Workplace {
    let workplace = Workplace::new();
    let settings = workplace.bare_settings();
    let settings = settings.set("schedule.backup", "*/30 * * * *");
    let settings = settings.set("schedule.prune", "20 3 * * *");
    let settings = settings.set("notify.metrics_file", "/var/lib/node_exporter/etcdrx.prom");
    workplace.configure(&settings.set("schedule.timezone", "Europe/Berlin"));
    workplace
}

#[test]
fn systemd_takes_the_unit_and_it_is_installed_once() {
    let workplace = workplace();
    let place = workplace.path("units");
    fs::create_dir(&place).unwrap();
    let install = [
        "schedule",
        "install",
        "systemd",
        "--unit-dir",
        place.to_str().unwrap(),
    ];

    let first = workplace.etcdrx().run(install);
    let second = workplace.etcdrx().run(install);
    let printed = workplace
        .etcdrx()
        .run(["schedule", "print", "systemd"])
        .success();

    assert_ends(&first, 0, &["systemctl enable --now etcdrx.service"]);
    assert!(
        first.stdout.ends_with("etcdrx.service was written\n"),
        "{first:?}"
    );
    assert!(second.success().stdout.ends_with("is there already\n"));
    let unit = place.join("etcdrx.service");
    assert_eq!(
        fs::metadata(&unit).unwrap().permissions().mode() & 0o777,
        0o644
    );
    let text = fs::read_to_string(&unit).unwrap();
    assert_eq!(text.trim_end(), printed.stdout.trim_end());
    for left in ["@program@", "@config@", "@writable@"] {
        assert!(!text.contains(left), "{text}");
    }
    assert!(
        text.contains("ReadWritePaths=-/var/lib/node_exporter\n"),
        "{text}"
    );
    let repository = format!("ReadWritePaths=-{}", workplace.repository().display());
    assert!(text.contains(&repository), "{text}");
    let missing =
        workplace
            .etcdrx()
            .run(["schedule", "install", "systemd", "--unit-dir", "/no/such"]);
    assert_ends(&missing, 1, &["/no/such/etcdrx.service"]);

    assert_systemd_takes(&place);
}

#[test]
fn a_crontab_and_a_deployment_say_the_same() {
    let workplace = workplace();

    let crontab = workplace
        .etcdrx()
        .run(["schedule", "print", "cron"])
        .success()
        .stdout;
    let manifests = workplace.etcdrx().run([
        "schedule",
        "print",
        "kubernetes",
        "--image",
        "registry/etcdrx:1",
    ]);

    assert!(crontab.contains("CRON_TZ=Europe/Berlin\n"), "{crontab}");
    let backup = crontab
        .lines()
        .find(|line| line.ends_with(" --quiet backup --wait 5m"))
        .unwrap();
    assert!(backup.starts_with("*/30 * * * * root /"), "{backup}");
    assert!(
        crontab.contains("--quiet prune --yes --wait 5m"),
        "{crontab}"
    );
    assert!(!crontab.contains("verify"), "{crontab}");
    let manifests = manifests.success().stdout;
    assert!(
        manifests.contains("image: registry/etcdrx:1"),
        "{manifests}"
    );
    assert!(!manifests.contains("@image@"), "{manifests}");
    let documents: Vec<serde_json::Value> = manifests
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .collect();
    let kinds: Vec<&str> = documents
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["Namespace", "Deployment"]);

    let nothing = Workplace::new();
    nothing.configure(&nothing.bare_settings());
    let refused = nothing.etcdrx().run(["schedule", "print", "cron"]);
    assert_ends(&refused, 2, &["nothing is scheduled"]);
}

fn with_four_jobs() -> Workplace {
    let workplace = workplace();
    let settings = workplace
        .bare_settings()
        .set(
            "cluster.endpoints",
            vec!["https://a:2379", "https://b:2379"],
        )
        .set("schedule.backup", "*/30 * * * *")
        .set("schedule.verify", "10 3 * * *")
        .set("schedule.drill", "0 4 13 * FRI")
        .set("schedule.certificates", "0 6 * * 1-5")
        .set("schedule.jitter", "2m")
        .set("schedule.timezone", "Europe/Berlin");
    workplace.configure(&settings);
    workplace
}

#[test]
fn systemd_takes_the_timers_and_they_say_what_is_configured() {
    let workplace = with_four_jobs();
    let place = workplace.path("units");
    fs::create_dir(&place).unwrap();
    let place = place.to_str().unwrap();

    let printed = workplace
        .etcdrx()
        .run(["schedule", "print", "systemd", "--timers"]);
    let install = [
        "schedule",
        "install",
        "systemd",
        "--timers",
        "--unit-dir",
        place,
    ];
    let installed = workplace.etcdrx().run(install);
    let again = workplace.etcdrx().run(install).success();

    assert_ends(
        &installed,
        0,
        &["enable --now etcdrx-backup.timer etcdrx-verify.timer"],
    );
    assert_eq!(again.stdout.matches("is there already").count(), 8);
    let read = |name: &str| fs::read_to_string(Path::new(place).join(name)).unwrap();
    let printed = printed.success().stdout;
    for job in ["backup", "verify", "drill", "certificates"] {
        for kind in ["service", "timer"] {
            let unit = read(&format!("etcdrx-{job}.{kind}"));
            assert!(printed.contains(unit.trim_end()), "{unit} not in {printed}");
            assert!(!unit.contains(" @") && !unit.contains("\n@"), "{unit}");
        }
    }
    let timer = read("etcdrx-drill.timer");
    for line in [
        "OnCalendar=*-*-13 04:00:00 Europe/Berlin",
        "OnCalendar=Fri *-*-* 04:00:00 Europe/Berlin",
        "Persistent=true",
        "RandomizedDelaySec=120",
    ] {
        assert!(timer.contains(&format!("{line}\n")), "{timer}");
    }
    let backup = read("etcdrx-backup.service");
    assert!(
        backup.contains("--no-progress backup --wait 5m\n"),
        "{backup}"
    );
    assert!(backup.contains("ProtectSystem=strict\n"), "{backup}");
    let certificates = read("etcdrx-certificates.service");
    let words = "certs check --endpoints https://a:2379,https://b:2379\n";
    assert!(certificates.contains(words), "{certificates}");

    assert_systemd_takes(Path::new(place));
}

/// Panics unless `systemd-analyze verify` takes every unit in a folder without a word.
fn assert_systemd_takes(folder: &Path) {
    let analyze = Path::new("/usr/bin/systemd-analyze");
    if !analyze.exists() {
        tools::skip("schedule_units::systemd_takes_units", "systemd-analyze");
        return;
    }
    let units = fs::read_dir(folder).unwrap();
    let mut verify = process::command(analyze);
    verify.arg("verify").arg("--man=no");
    verify.args(units.map(|unit| unit.unwrap().path()));
    let verified = program::run(verify, Duration::from_secs(30));
    assert_ends(&verified, 0, &[]);
    assert_eq!(verified.stderr.trim(), "");
}

#[test]
fn what_other_schedulers_cannot_say_is_refused_by_its_words() {
    let workplace = workplace();
    let with = |backup: &str| {
        let settings = workplace.bare_settings();
        workplace.configure(&settings.set("schedule.backup", backup));
    };
    let print = |words: [&str; 2]| {
        let words = ["schedule", "print"].into_iter().chain(words);
        workplace.etcdrx().run(words)
    };

    with("0 3 L * *");
    let last_day = print(["systemd", "--timers"]);
    with("0 3 */2 * 5");
    let two_days = print(["kubernetes", "--cronjobs"]);
    let both = print(["systemd", "--timers"]);
    let wrong = print(["cron", "--timers"]);

    assert_ends(
        &last_day,
        2,
        &["`0 3 L * *` in [schedule] backup cannot be said to systemd"],
    );
    assert_ends(
        &two_days,
        2,
        &["`0 3 */2 * 5`", "Kubernetes", "hint: say it with numbers"],
    );
    assert_eq!(both.success().stdout.matches("OnCalendar=").count(), 2);
    assert_ends(&wrong, 2, &["--timers goes with systemd"]);
}

/// The times that `systemd-analyze calendar` gives for one expression.
fn elapses(expression: &str, from: &str) -> Vec<DateTime<Utc>> {
    let mut analyze = process::command(Path::new("/usr/bin/systemd-analyze"));
    analyze.arg("calendar").arg("--iterations=12");
    analyze.arg(format!("--base-time={from}")).arg(expression);
    let output = program::run(analyze, Duration::from_secs(30)).success();
    let times = output.stdout.lines().filter_map(|line| {
        let (name, time) = line.split_once(": ")?;
        let is_time = ["Next elapse", "Iter. #", "(in UTC)"]
            .iter()
            .any(|word| name.contains(word));
        let time = time.trim().strip_suffix(" UTC").filter(|_| is_time)?;
        let (_, time) = time.split_once(' ')?;
        Some(format!("{}Z", time.replace(' ', "T")).parse().unwrap())
    });
    times.collect()
}

#[test]
fn systemd_understands_every_expression_as_we_do() {
    if !Path::new("/usr/bin/systemd-analyze").exists() {
        tools::skip("schedule_units::systemd_understands", "systemd-analyze");
        return;
    }
    for zone in ["UTC", "Europe/Berlin"] {
        for cron in [
            "*/30 * * * *",
            "*/7 * * * *",
            "10 3 * * *",
            "30 3 * * 0",
            "0 6 * * mon-fri",
            "0 4 13 * FRI",
            "15 8-18/3 1,15,31 * *",
            "0 0 */10 * *",
            "0 0 29 2 *",
            "59 23 * FEB-APR,DEC 6,7",
        ] {
            let schedule = config::Schedule {
                backup: Some(cron.to_owned()),
                timezone: Some(zone.to_owned()),
                ..config::Schedule::default()
            };
            let from = "2026-11-22 10:00:00 UTC";
            let mut at: DateTime<Utc> = "2026-11-22T10:00:00Z".parse().unwrap();
            let calendar = Calendar::of(&schedule, at, || 0.0).unwrap();
            let mut ours = Vec::new();
            while ours.len() < 12 {
                at = calendar.next(Job::Backup, at).unwrap();
                ours.push(at);
            }
            let lines = Plain::read(cron).unwrap().on_calendar(zone);
            let mut theirs: Vec<_> = lines.iter().flat_map(|line| elapses(line, from)).collect();
            theirs.sort();
            theirs.dedup();
            theirs.truncate(12);
            assert_eq!(theirs, ours, "{cron} {zone}: {lines:?}");
        }
    }
}

/// What `schedule print kubernetes` prints for the configuration of docs/kubernetes.
fn manifests(flags: &[&str]) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubernetes");
    let words = ["--config", "etcdrx.toml", "schedule", "print", "kubernetes"];
    let image = ["--image", "registry.example.com/etcdrx:0.1.0"];
    let words = words.iter().chain(&image).chain(flags);
    etcdrx().directory(&folder).run(words).success().stdout
}

#[test]
fn the_manifests_of_the_documentation_are_the_printed_ones_and_fit_the_schemas_of_kubernetes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/kubernetes");
    for (name, flags) in [
        ("deployment.yaml", &[][..]),
        ("cronjobs.yaml", &["--cronjobs"]),
    ] {
        let printed = manifests(flags);
        if std::env::var_os("ETCDRX_UPDATE").is_some() {
            fs::write(folder.join(name), &printed).unwrap();
        }
        let documented = fs::read_to_string(folder.join(name)).unwrap();
        assert_eq!(documented, printed, "{name}: ETCDRX_UPDATE=1 writes it");
    }
    let jobs = fs::read_to_string(folder.join("cronjobs.yaml")).unwrap();
    let jobs: Vec<Value> = jobs
        .split("\n---\n")
        .map(|document| serde_saphyr::from_str(document).unwrap())
        .filter(|one: &Value| one["kind"] == "CronJob")
        .collect();
    assert_eq!(jobs.len(), 4);
    for job in &jobs {
        assert_eq!(job["spec"]["concurrencyPolicy"], "Forbid");
        assert_eq!(job["spec"]["timeZone"], "Europe/Berlin");
        let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
        assert_eq!(
            pod["volumes"][1]["hostPath"]["path"],
            "/etc/kubernetes/pki/etcd"
        );
    }

    let validate = tools::require!("kubernetes-validate");
    let mut strict = process::command(&validate);
    strict.args(["--strict", "-k", "1.27", "-k", "1.37"]);
    strict.args(["deployment.yaml", "cronjobs.yaml", "secrets.yaml"].map(|name| folder.join(name)));
    let validated = program::run(strict, Duration::from_mins(1));
    assert_ends(&validated, 0, &[]);
    // Every document against both versions.
    assert_eq!(
        validated.stdout.matches(" passed for resource ").count(),
        2 * (2 + 5 + 2),
        "{validated:?}"
    );
}
