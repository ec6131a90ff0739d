//! What is printed for other schedulers, held against their own programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::scratch::{process, program, tools};
use crate::setup::{Workplace, assert_ends};

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

    let analyze = Path::new("/usr/bin/systemd-analyze");
    if !analyze.exists() {
        tools::skip("schedule_units::systemd_takes_the_unit", "systemd-analyze");
        return;
    }
    let mut verify = process::command(analyze);
    verify.arg("verify").arg("--man=no").arg(&unit);
    let verified = program::run(verify, Duration::from_secs(30));
    assert_ends(&verified, 0, &[]);
    assert_eq!(verified.stderr.trim(), "");
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
        .find(|line| line.ends_with(" --quiet backup"))
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
