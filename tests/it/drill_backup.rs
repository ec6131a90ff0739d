//! `etcdrx drill backup`: backups booted in a real etcd.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use etcd_client::AlarmType;
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scratch::{Cluster, process, tools};
use crate::setup::{FOLDER, Workplace, assert_ends, codes};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_every_etcd_boots_and_is_what_it_says() {
    for release in tools::etcd_versions() {
        println!("etcd {}", release.version());
        let cluster = Cluster::of(&release).auth().tls().start().await;
        let workplace = Workplace::of(&cluster);
        let metrics = workplace.path("etcdrx.prom").display().to_string();
        workplace.configure(
            &workplace
                .settings(&cluster)
                .set("notify.metrics_file", metrics.clone()),
        );
        let revision = cluster.put_many("/k/", 300, 100).await;
        let mut client = cluster.client().await;
        client.compact(revision - 1, None).await.unwrap();
        client.delete("/k/00000001", None).await.unwrap();
        let etcdrx = workplace.etcdrx();
        etcdrx.run(["backup"]).success();
        drop(cluster);

        let etcd = release.etcd().display().to_string();
        let drilled = etcdrx
            .run(["drill", "backup", "--etcd", &etcd, "--dir", ".", "--json"])
            .success()
            .json();

        let checks = ["restore", "boot", "revision", "keys", "hashkv", "write"];
        assert_eq!(drilled["checks"], serde_json::json!(checks));
        assert_eq!(drilled["ok"], true, "{drilled:#}");
        let shown = etcdrx.run(["show", "--json"]).success().json();
        assert_eq!(shown["verified_how"], "drill");
        let metrics = fs::read_to_string(metrics).unwrap();
        assert!(
            metrics.contains("etcdrx_drill_last_exit_code{cluster=\"scratch\"} 0\n"),
            "{metrics}"
        );
        assert_nothing_is_left(&workplace.path("."));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_not_what_its_manifest_says_is_a_finding() {
    let release = tools::newest_etcd();
    let cluster = Cluster::of(&release).quota_bytes(64 << 20).start().await;
    let workplace = Workplace::of(&cluster);
    cluster.put_many("/k/", 200, 100).await;
    cluster.raise_alarm(0, AlarmType::Nospace).await;
    let etcdrx = workplace.etcdrx();
    etcdrx.run(["backup"]).success();
    let folder = workplace.repository().join(FOLDER);
    let id = workplace.backups()[0]["id"].as_str().unwrap().to_owned();
    let manifest = folder.join(&id).join("manifest.json");
    let mut json: Value = serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap();
    json["keys"] = 199.into();
    json["hashkv"]["hash"] = 1.into();
    fs::write(&manifest, json.to_string()).unwrap();
    let etcd = release.etcd().display().to_string();

    let drilled = etcdrx.run(["drill", "backup", "--etcd", &etcd, "--dir", ".", "--json"]);

    assert_eq!(drilled.code, 3, "{drilled:?}");
    let document = drilled.json();
    assert_eq!(codes(&document), ["keys", "hashkv"], "{document:#}");
    let notes = document["notes"].as_array().unwrap();
    assert!(
        notes.iter().any(|note| note["code"] == "alarm"),
        "{notes:?}"
    );
    let shown = etcdrx.run(["show", "--json"]).success().json();
    assert_eq!(shown["health"], "damaged");

    let object = folder.join(&id).join("snapshot.db.zst");
    let mut bytes = fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, bytes).unwrap();
    let damaged = etcdrx.run(["drill", "backup", "--etcd", &etcd, "--dir", "."]);
    assert_eq!(damaged.code, 3, "{damaged:?}");
    assert!(damaged.stdout.contains("BAD"), "{damaged:?}");
    assert_nothing_is_left(&workplace.path("."));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fitting_etcd_the_drill_says_which_one_to_get() {
    let versions = tools::etcd_versions();
    let (older, newer) = (&versions[versions.len() - 2], &versions[versions.len() - 1]);
    let cluster = Cluster::of(older).start().await;
    let workplace = Workplace::of(&cluster);
    cluster.put_many("/k/", 10, 10).await;
    let etcdrx = workplace.etcdrx();
    etcdrx.run(["backup"]).success();
    let run = |etcd: &Path| {
        let etcd = etcd.display().to_string();
        etcdrx.run(["drill", "backup", "--dir", ".", "--etcd", &etcd])
    };

    let next = run(&newer.etcd());
    assert_ends(&next, 0, &["booted with etcd", older.version()]);

    let oldest = run(&versions[0].etcd());
    let wanted = format!("the data are of etcd {}", older.version());
    assert_ends(&oldest, 1, &[&wanted, "github.com/etcd-io/etcd/releases"]);

    let other = run(Path::new("/bin/true"));
    assert_ends(&other, 2, &["is no etcd"]);
    let none = run(Path::new("/nowhere/etcd"));
    assert_ends(&none, 2, &["cannot run /nowhere/etcd"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_drill_leaves_nothing_and_a_killed_one_no_etcd() {
    let release = tools::newest_etcd();
    let cluster = Cluster::of(&release).start().await;
    let workplace = Workplace::of(&cluster);
    cluster.put_many("/k/", 3000, 1000).await;
    let etcdrx = workplace.etcdrx();
    etcdrx.run(["backup"]).success();
    let slow = workplace.path("etcd");
    // An etcd that stays for ever, once it has told its version.
    let real = release.etcd().display().to_string();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --version ] && exec {real} --version\necho $$ > {}\nexec sleep 600\n",
        workplace.path("pid").display()
    );
    fs::write(&slow, script).unwrap();
    fs::set_permissions(&slow, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();

    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let _ = fs::remove_file(workplace.path("pid"));
        let mut running = etcdrx.spawn(["drill", "backup", "--dir", ".", "--etcd", "./etcd"]);
        let deadline = Instant::now() + Duration::from_secs(20);
        while fs::read_to_string(workplace.path("pid"))
            .unwrap_or_default()
            .is_empty()
        {
            assert!(Instant::now() < deadline, "etcd never ran");
            std::thread::sleep(process::POLL);
        }
        let pid = fs::read_to_string(workplace.path("pid")).unwrap();
        running.signal(signal);
        let output = running.wait(Duration::from_secs(20));

        println!("{signal}: {output:?}");
        let etcd = Path::new("/proc").join(pid.trim());
        while etcd.exists() {
            assert!(Instant::now() < deadline, "etcd outlives the drill");
            std::thread::sleep(process::POLL);
        }
        if signal == Signal::SIGINT {
            assert_eq!(output.code, 130);
            assert_nothing_is_left(&workplace.path("."));
        }
    }
}

fn assert_nothing_is_left(directory: &Path) {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let left: Vec<String> = names.filter(|name| name.contains("scratch-")).collect();
    assert!(left.is_empty(), "{left:?}");
}
