//! A recovery from whichever repository has the newest backup whole.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use toml::{Table, Value};

use crate::recover_setup::Scene;
use crate::scratch::tools;
use crate::store_setup::id_of;

/// Replaces the repository of a scene by several: the name of each, and what else stands in its table.
fn set_repositories(scene: &Scene, all: &[(&str, String)]) {
    let path = scene.site.directory().join("etcdrx.toml");
    let mut config: Table = fs::read_to_string(&path).unwrap().parse().unwrap();
    let tables = all.iter().map(|(name, rest)| {
        let table: Table = format!("name = \"{name}\"\n{rest}").parse().unwrap();
        Value::Table(table)
    });
    config.insert("repository".to_owned(), Value::Array(tables.collect()));
    fs::write(&path, config.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_backup_counts_wherever_it_lies_and_is_fetched_from_where_it_is_whole() {
    let scene = Scene::of(&tools::newest_etcd(), 1, false).await;
    let folder = |name: &str| scene.site.directory().join(name);
    let url = |name: &str| format!("url = \"file://{}\"", folder(name).display());
    let key = folder("key");
    fs::write(&key, "AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY=b\n").unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let down = format!(
        "url = \"s3://bucket/etcd\"\nendpoint = \"http://127.0.0.1:1\"\nallow_http = true\ncredentials_file = \"{}\"",
        key.display()
    );
    set_repositories(&scene, &[("near", url("near"))]);
    scene.write("first", 5).await;
    scene.etcdrx().run(["backup"]).success();
    set_repositories(&scene, &[("far", url("far"))]);
    let written = scene.write("second", 5).await;
    let newest = scene.etcdrx().run(["backup", "--json"]).success().json();
    let newest = id_of(&newest);
    let all = [("near", url("near")), ("down", down), ("far", url("far"))];
    set_repositories(&scene, &all);
    // The copy that comes first in the configuration is damaged, and nobody knows that yet.
    let copy = ["copy", &newest, "--from", "far", "--to", "near"];
    scene.etcdrx().run(copy).success();
    let clusters = fs::read_dir(folder("near")).unwrap();
    let cluster = clusters.map(|entry| entry.unwrap().path()).next().unwrap();
    let object = cluster.join(&newest).join("snapshot.db.zst");
    let mut bytes = fs::read(&object).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&object, bytes).unwrap();
    scene.lose(&[0], true).await;

    let planned = scene.plan(&["--scenario", "total"]);
    let diagnosed = scene.etcdrx().run(["diagnose", "--json"]);
    scene.recover(&["--scenario", "total"]);

    assert!(
        planned["source"].to_string().contains(&newest),
        "{planned:#}"
    );
    let said = diagnosed.json().to_string();
    assert!(
        said.contains("nobody could look at the backups: down: "),
        "{said}"
    );
    scene.assert_holds(&written).await;
}
