//! Scratch clusters that begin with a backup: what was in it outlives every disaster, too.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use etcd_client::{AlarmType, PutOptions};
use etcdrx::catalog::Catalog;
use etcdrx::config::Layers;
use etcdrx::drill::{Plan, Seed, Site};
use etcdrx::progress::Silent;
use etcdrx::repository::{Mode, Repository};
use etcdrx::sandbox::Program;
use serde_json::Value;

use crate::scratch::pki::install_crypto;
use crate::scratch::{Cluster, Output, tools};
use crate::setup::{Workplace, assert_ends};

/// Rehearses below `scratch`, with a backup.
fn drill(workplace: &Workplace, words: &[&str]) -> Output {
    let etcd = tools::newest_etcd().etcd().display().to_string();
    fs::create_dir_all(workplace.path("scratch")).unwrap();
    let usual = ["drill", "recovery", "--writers", "4", "--dir", "scratch"];
    let etcdrx = workplace.etcdrx().limit(Duration::from_mins(2));
    etcdrx.run(usual.iter().chain(&["--etcd", &etcd]).chain(words))
}

fn rehearsed(workplace: &Workplace, words: &[&str]) -> Value {
    let words = [words, &["--json"]].concat();
    let lines = drill(workplace, &words).success().json_lines();
    let last = lines.into_iter().last().unwrap();
    assert_eq!(last["ok"], true, "{last:#}");
    let left = fs::read_dir(workplace.path("scratch")).unwrap();
    assert_eq!(left.count(), 0);
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_a_backup_are_there_after_a_recovery() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = Workplace::of(&cluster);
    cluster.put_many("/k/", 3000, 100).await;
    // What writes nothing and what ends: an alarm and a lease.
    let mut client = cluster.client().await;
    let lease = client.lease_grant(5, None).await.unwrap().id();
    let hanging = PutOptions::new().with_lease(lease);
    client.put("/leased", "1", Some(hanging)).await.unwrap();
    cluster.raise_alarm(0, AlarmType::Nospace).await;
    workplace.etcdrx().run(["backup"]).success();
    let backup = workplace.backups()[0].clone();
    drop(cluster);

    let id = backup["id"].as_str().unwrap();
    let text = drill(&workplace, &["--from", id, "--scenario", "majority"]).success();
    let seen = rehearsed(&workplace, &["--from", "latest", "--scenario", "follower"]);

    let told = format!("backup     {id}: 3000 keys kept; 1 hang on leases");
    assert!(text.stdout.contains(&told), "{text:?}");
    let from = &seen["from"];
    assert_eq!(from["backup"], backup["id"]);
    assert_eq!(from["revision"], backup["revision"]);
    assert_eq!((&from["kept"], &from["leased"]), (&3000.into(), &1.into()));
    assert_eq!(from["lost"], serde_json::json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_in_a_backup_are_in_the_drill_too_and_keep_it_from_nothing() {
    let release = tools::newest_etcd();
    let cluster = Cluster::of(&release).auth().tls().start().await;
    let workplace = Workplace::of(&cluster);
    cluster.put_many("/k/", 500, 100).await;
    workplace.etcdrx().run(["backup"]).success();
    drop(cluster);

    let seen = rehearsed(&workplace, &["--scenario", "nospace", "--from", "latest"]);

    assert_eq!(seen["from"]["kept"], 500);
    assert_eq!(seen["condition"], "nospace");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_a_backup_that_changed_is_found() {
    install_crypto();
    let release = tools::newest_etcd();
    let cluster = Cluster::of(&release).start().await;
    let workplace = Workplace::of(&cluster);
    cluster.put_many("/k/", 250, 10).await;
    workplace.etcdrx().run(["backup"]).success();
    let settings = fs::read_to_string(workplace.path("etcdrx.toml")).unwrap();
    let layers = Layers::default().file(&settings, "etcdrx.toml").unwrap();
    let config = layers.finish().unwrap();
    let repository = Repository::open(config.repository(), Mode::Existing).unwrap();
    let folder = repository.folder(&config.cluster.folder().unwrap(), Arc::default());
    let catalog = Catalog::load(&folder).await.unwrap();
    let parent = tempfile::tempdir().unwrap();
    let seed = Seed::fetch(&folder, &catalog.backups[0], parent.path(), &Silent);
    let seed = Arc::new(seed.await.unwrap());
    let program = Program::open(&release.etcd()).await.unwrap();
    let plan = Plan {
        program: &program,
        members: 1,
        tls: false,
        seed: Some(&seed),
        directory: parent.path(),
        now: Utc::now(),
    };
    let site = Site::start(&plan).await.unwrap();
    let patience = Duration::from_secs(10);
    let access = site.access();
    let member = access.member(&site.members[0].client_url, patience).await;
    let member = member.unwrap();

    let before = seed.hold_to(&member).await.unwrap();
    member.put("/k/00000007", "something else").await.unwrap();
    let after = seed.hold_to(&member).await.unwrap();

    assert_eq!((before.kept, before.lost.len()), (250, 0));
    assert_eq!(
        (after.kept, after.lost),
        (249, vec!["/k/00000007".to_owned()])
    );
    // Real data: nobody without a certificate of ours reads them.
    assert!(site.members[0].client_url.starts_with("https://"));
}

#[test]
fn a_drill_with_a_backup_that_is_not_there_begins_nothing() {
    let workplace = Workplace::new();
    let from = ["--scenario", "follower", "--from"];
    let none = drill(&workplace, &[&from[..], &["latest"]].concat());
    workplace.configure(&workplace.bare_settings());
    fs::create_dir(workplace.repository()).unwrap();
    let empty = drill(&workplace, &[&from[..], &["latest"]].concat());
    let wrong = drill(
        &workplace,
        &[&from[..], &["20200101T000000Z-000000"]].concat(),
    );
    let alone = drill(
        &workplace,
        &["--scenario", "follower", "--cluster", "scratch"],
    );

    assert_ends(&none, 2, &["--repository"]);
    assert_ends(&empty, 1, &["`etcdrx backup` takes one"]);
    assert_ends(&wrong, 2, &["20200101T000000Z-000000", "`etcdrx list`"]);
    assert_ends(&alone, 2, &["there is no --from"]);
    assert_eq!(fs::read_dir(workplace.path("scratch")).unwrap().count(), 0);
}
