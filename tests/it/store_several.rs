//! Several repositories: a backup goes to all of them, one that fails is told, and `copy` catches up.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::json;

use crate::scratch::{Cluster, Direction, Etcdrx, Fault, Proxy, Store, require};
use crate::setup::{FOLDER, Workplace, assert_ends};
use crate::store_setup::{id_of, large_cluster, small_cluster, uploads_in_minio, wait_until};

/// Long enough for a store that works, in a test that waits for one that does not.
const STALL: &str = "1s";

fn directory(path: &Path) -> String {
    format!("url = {:?}\n", format!("file://{}", path.display()))
}

/// What stands in the table of a MinIO that is reached at `origin`; its credentials lie in a file of their own.
fn bucket(workplace: &Workplace, store: &Store, origin: &str) -> String {
    let file = workplace.path("far.credentials");
    let lines: Vec<String> = store
        .credentials()
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    fs::write(&file, lines.concat()).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    format!(
        "url = {:?}\nendpoint = {:?}\nallow_http = true\ncredentials_file = {:?}\n",
        store.url(),
        store.endpoint_at(origin),
        file.display().to_string()
    )
}

/// A repository `near` in a directory, and another, `far`.
fn near_and(far: &str, workplace: &Workplace, cluster: &Cluster) -> Etcdrx {
    let near = directory(&workplace.repository());
    let metrics = workplace.path("etcdrx.prom").display().to_string();
    let settings = workplace
        .settings(cluster)
        .set("backup.stall_timeout", STALL)
        .set("notify.metrics_file", metrics)
        .repositories(&[("near", &near), ("far", far)]);
    workplace.configure(&settings);
    // Credentials for nothing: those of a file are meant.
    workplace.etcdrx().envs([
        ("AWS_ACCESS_KEY_ID", "nobody"),
        ("AWS_SECRET_ACCESS_KEY", "x"),
    ])
}

fn listed_in(etcdrx: &Etcdrx, name: &str) -> Vec<String> {
    let answer = etcdrx.run(["list", "--repository", name, "--json"]);
    let answer = answer.success().json();
    let backups = answer["backups"].as_array().unwrap();
    backups.iter().map(id_of).collect()
}

fn copy(etcdrx: &Etcdrx) -> serde_json::Value {
    let copied = etcdrx.run(["copy", "--from", "near", "--to", "far", "--json"]);
    copied.success().json()
}

#[tokio::test]
async fn a_backup_goes_into_every_repository_in_one_stream() {
    let cluster = small_cluster().await;
    let workplace = Workplace::new();
    let far = workplace.path("elsewhere");
    let etcdrx = near_and(&directory(&far), &workplace, &cluster);

    let answer = etcdrx.run(["backup", "--json"]).success().json();

    let id = id_of(&answer);
    let places = answer["repositories"].as_array().unwrap();
    let named: Vec<_> = places.iter().map(|p| (&p["name"], &p["ok"])).collect();
    assert_eq!(
        named,
        [
            (&json!("near"), &json!(true)),
            (&json!("far"), &json!(true))
        ]
    );
    let data = |root: &Path| fs::read(root.join(FOLDER).join(&id).join("snapshot.db.zst")).unwrap();
    assert_eq!(data(&workplace.repository()), data(&far));
    for name in ["near", "far"] {
        assert_eq!(listed_in(&etcdrx, name), std::slice::from_ref(&id));
        etcdrx.run(["verify", "--repository", name]).success();
    }
    let metrics = fs::read_to_string(workplace.path("etcdrx.prom")).unwrap();
    assert_eq!(
        metrics
            .matches("repository_last_success_timestamp_seconds{")
            .count(),
        2
    );
    assert_eq!(
        fs::read_dir(far.join(FOLDER).join("locks")).map_or(0, Iterator::count),
        0
    );
}

#[tokio::test]
async fn one_that_is_not_there_keeps_no_other_from_its_backup_and_copy_catches_up() {
    let cluster = small_cluster().await;
    let workplace = Workplace::new();
    let far = workplace.path("mount/elsewhere");
    let etcdrx = near_and(&directory(&far), &workplace, &cluster);

    let partial = etcdrx.run(["backup", "--json"]);

    let words = [
        "is in near and not in far",
        "etcdrx copy --from near --to far",
    ];
    let error = partial.error_json();
    assert_eq!(partial.code, 1, "{partial:?}");
    assert!(
        error["error"]["message"]
            .as_str()
            .unwrap()
            .contains(words[0])
    );
    assert!(
        error["error"]["hints"][0]
            .as_str()
            .unwrap()
            .contains(words[1])
    );
    let answer = partial.json();
    assert_eq!(answer["repositories"][1]["ok"], false);
    assert_eq!(answer["repositories"][1]["error"]["code"], "unreachable");
    let said = etcdrx.run(["backup"]);
    assert_ends(&said, 1, &words);
    assert!(said.stdout.contains("NOT IN    far"), "{said:?}");
    let metrics = fs::read_to_string(workplace.path("etcdrx.prom")).unwrap();
    assert!(metrics.contains("etcdrx_backup_last_exit_code{cluster=\"scratch\"} 1\n"));
    assert!(!metrics.contains("repository=\"far\""), "{metrics}");

    fs::create_dir(workplace.path("mount")).unwrap();
    etcdrx.run(["pin", &id_of(&answer)]).success();
    let copied = copy(&etcdrx);
    let again = copy(&etcdrx);

    assert_eq!(copied["copied"].as_array().unwrap().len(), 2, "{copied}");
    assert_eq!(again["copied"], json!([]));
    assert_eq!(again["present"].as_array().unwrap().len(), 2);
    assert_eq!(listed_in(&etcdrx, "far"), listed_in(&etcdrx, "near"));
    let manifest =
        |root: &Path| fs::read(root.join(FOLDER).join(id_of(&answer)).join("manifest.json"));
    assert_eq!(
        manifest(&far).unwrap(),
        manifest(&workplace.repository()).unwrap()
    );
    let shown = etcdrx.run(["show", &id_of(&answer), "--repository", "far", "--json"]);
    let shown = shown.success().json();
    assert_eq!(
        (&shown["pinned"], &shown["health"]),
        (&json!(true), &json!("verified"))
    );
    etcdrx
        .run(["verify", "--all", "--repository", "far"])
        .success();
}

#[tokio::test]
async fn one_that_falls_silent_in_the_middle_is_given_up_and_copy_catches_up() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    // More than what may be on its way into a store that takes nothing.
    cluster.put_many("larger/", 240, 100_000).await;
    let workplace = Workplace::new();
    let proxy = Proxy::to(store.address());
    let far = bucket(&workplace, &store, &proxy.url("http"));
    let etcdrx = near_and(&far, &workplace, &cluster);

    proxy.inject(Fault::StallAfter(Direction::ToServer, 2_000_000));
    let began = Instant::now();
    let partial = etcdrx.run(["backup"]);
    proxy.heal();

    assert_ends(
        &partial,
        1,
        &["took nothing for 2s while another one did", "not in far"],
    );
    assert!(began.elapsed() < Duration::from_secs(20), "{partial:?}");
    workplace_holds(&etcdrx, "near", 1);
    workplace_holds(&etcdrx, "far", 0);
    assert_eq!(copy(&etcdrx)["copied"].as_array().unwrap().len(), 1);
    etcdrx.run(["verify", "--repository", "far"]).success();
    assert_eq!(uploads_in_minio(&store), [""; 0]);
}

fn workplace_holds(etcdrx: &Etcdrx, name: &str, count: usize) {
    assert_eq!(listed_in(etcdrx, name).len(), count, "{name}");
}

#[tokio::test]
async fn where_all_are_down_the_error_names_each() {
    let cluster = small_cluster().await;
    let workplace = Workplace::new();
    let far = workplace.path("mount/elsewhere");
    let etcdrx = near_and(&directory(&far), &workplace, &cluster);
    fs::write(workplace.repository(), "a file").unwrap();

    let failed = etcdrx.run(["backup"]);

    assert_eq!(failed.code, 2, "{failed:?}");
    assert!(
        failed.stderr.contains("a file is in the place"),
        "{failed:?}"
    );
    assert!(failed.stderr.contains("mount"), "{failed:?}");
    assert_eq!(failed.stdout, "");
}

#[tokio::test]
async fn a_signal_while_one_is_slow_takes_nothing_from_the_one_that_has_the_backup() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    let workplace = Workplace::new();
    let proxy = Proxy::to(store.address());
    let far = bucket(&workplace, &store, &proxy.url("http"));
    let etcdrx = near_and(&far, &workplace, &cluster);

    // The stream goes through, and the read-back does not.
    proxy.inject(Fault::StallAfter(Direction::ToClient, 1_000_000));
    let mut running = etcdrx.spawn(["backup"]);
    wait_until(|| {
        workplace
            .stored()
            .iter()
            .any(|file| file.ends_with("manifest.json"))
    });
    running.signal(Signal::SIGINT);
    proxy.heal();
    proxy.cut();
    let partial = running.wait(Duration::from_mins(1));

    assert_ends(&partial, 1, &["is in near and not in far", "interrupted"]);
    workplace_holds(&etcdrx, "near", 1);
    workplace_holds(&etcdrx, "far", 0);
    assert_eq!(uploads_in_minio(&store), [""; 0]);
}

#[tokio::test]
async fn a_copy_that_is_interrupted_leaves_nothing_and_is_made_by_the_next() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    let workplace = Workplace::new();
    let proxy = Proxy::to(store.address());
    let far = bucket(&workplace, &store, &proxy.url("http"));
    let etcdrx = near_and(&far, &workplace, &cluster);
    etcdrx.run(["backup", "--repository", "near"]).success();

    proxy.inject(Fault::StallAfter(Direction::ToServer, 6_000_000));
    let mut running = etcdrx.spawn(["copy", "--from", "near", "--to", "far"]);
    wait_until(|| !uploads_in_minio(&store).is_empty());
    running.signal(Signal::SIGINT);
    proxy.heal();
    proxy.cut();
    let interrupted = running.wait(Duration::from_mins(1));

    assert_ends(&interrupted, 130, &["interrupted"]);
    workplace_holds(&etcdrx, "far", 0);
    assert_eq!(uploads_in_minio(&store), [""; 0]);
    assert_eq!(copy(&etcdrx)["copied"].as_array().unwrap().len(), 1);
    etcdrx.run(["verify", "--repository", "far"]).success();
}

#[tokio::test]
async fn two_buckets_of_two_stores_each_get_the_backup_with_their_own_credentials() {
    require!("minio");
    let cluster = large_cluster().await;
    let (one, other) = (Store::minio().await, Store::minio().await);
    let (here, there) = (Workplace::new(), Workplace::new());
    let table = |workplace: &Workplace, store: &Store| {
        bucket(workplace, store, &format!("http://{}", store.address()))
    };
    let settings = here.settings(&cluster);
    let (near, far) = (table(&here, &one), table(&there, &other));
    here.configure(&settings.repositories(&[("near", &near), ("far", &far)]));
    let etcdrx = here.etcdrx();

    etcdrx.run(["backup"]).success();
    let verified = etcdrx.run(["verify", "--all", "--json"]).success().json();

    assert_eq!(verified["backups"].as_array().map(Vec::len), Some(2));
    for name in ["near", "far"] {
        workplace_holds(&etcdrx, name, 1);
    }
}

#[tokio::test]
async fn copy_refuses_what_is_damaged_and_brings_the_others() {
    let cluster = small_cluster().await;
    let workplace = Workplace::new();
    let far = workplace.path("mount/elsewhere");
    let etcdrx = near_and(&directory(&far), &workplace, &cluster);
    let ids = [0, 1, 2].map(|_| id_of(&etcdrx.run(["backup", "--json"]).json()));
    let data = |id: &str| {
        workplace
            .repository()
            .join(FOLDER)
            .join(id)
            .join("snapshot.db.zst")
    };
    let mut bytes = fs::read(data(&ids[0])).unwrap();
    bytes[100] ^= 1;
    fs::write(data(&ids[0]), bytes).unwrap();
    fs::write(data(&ids[1]), "short").unwrap();
    fs::create_dir(workplace.path("mount")).unwrap();

    let copied = etcdrx.run(["copy", "--from", "near", "--to", "far"]);

    assert_ends(&copied, 6, &[&ids[0], &ids[1], "is damaged in near"]);
    assert_eq!(listed_in(&etcdrx, "far"), [ids[2].clone()]);
    let left = fs::read_dir(far.join(FOLDER)).unwrap().count();
    assert_eq!(left, 1, "something is left of what was refused");
}

#[tokio::test]
async fn what_goes_over_all_repositories_says_where_each_backup_lies_and_keeps_to_the_retention_of_each()
 {
    let cluster = small_cluster().await;
    let workplace = Workplace::new();
    let far = workplace.path("elsewhere");
    let policy = "[retention]\nkeep_last = 1\nminimum = 0\n";
    let etcdrx = near_and(&(directory(&far) + policy), &workplace, &cluster);
    let etcdrx = etcdrx.env("ETCDRX_RETENTION_KEEP_LAST", "2");
    let ids = [0, 1].map(|_| id_of(&etcdrx.run(["backup", "--json"]).success().json()));

    let pruned = etcdrx.run(["prune", "--yes", "--json"]).success().json();
    let listed = etcdrx.run(["list", "--json"]).success().json();
    let shown = etcdrx.run(["list"]).success().stdout;
    let verified = etcdrx.run(["verify", "--all", "--json"]).success().json();
    let checked = etcdrx.run(["check"]).success().stdout;

    let removed = |at: usize| pruned["repositories"][at]["remove"].clone();
    assert_eq!((removed(0), removed(1)), (json!([]), json!([ids[0]])));
    let places = |at: usize| {
        listed["backups"][at]["repositories"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!((places(0), places(1)), (2, 1), "{listed}");
    assert!(
        shown.contains("WHERE") && shown.contains("near, far"),
        "{shown}"
    );
    assert_eq!(verified["backups"].as_array().unwrap().len(), 3);
    assert_eq!(
        checked.matches("written, read, listed and removed").count(),
        2
    );
    let first = etcdrx.run(["show", "--json"]).success();
    assert!(first.json()["id"] == json!(ids[1]), "{first:?}");
    assert!(etcdrx.run(["show"]).stderr.contains("looking into near"));

    fs::rename(&far, workplace.path("gone")).unwrap();
    for command in [&["list"][..], &["verify", "--all"], &["prune", "--yes"]] {
        let failed = etcdrx.run(command);
        assert_ends(&failed, 1, &["failed in far", "does not exist"]);
        assert_ne!(failed.stdout, "", "near had its turn");
    }
    fs::rename(workplace.repository(), workplace.path("gone too")).unwrap();
    let failed = etcdrx.run(["fetch", "latest", "-o", "x.db"]);
    assert_ends(
        &failed,
        5,
        &["`--repository` with the name of another may do: far"],
    );
}

#[tokio::test]
async fn copy_passes_over_what_the_retention_there_would_remove_again() {
    let cluster = small_cluster().await;
    let workplace = Workplace::new();
    let far = workplace.path("mount/elsewhere");
    let policy = "[retention]\nkeep_last = 1\nminimum = 0\n";
    let etcdrx = near_and(&(directory(&far) + policy), &workplace, &cluster);
    let ids = [0, 1].map(|_| id_of(&etcdrx.run(["backup", "--json"]).json()));
    fs::create_dir(workplace.path("mount")).unwrap();

    let copied = copy(&etcdrx);
    let asked_for = etcdrx.run(["copy", &ids[0], "--from", "near", "--to", "far"]);

    assert_eq!(copied["copied"], json!([ids[1]]));
    assert_eq!(copied["passed_over"], json!([ids[0]]));
    asked_for.success();
    workplace_holds(&etcdrx, "far", 2);
}
