//! A store that is not there, that is silent, or that goes away in the middle.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use etcdrx::config;
use etcdrx::repository::{Error, Mode, Repository};

use crate::scratch::{Direction, Etcdrx, Fault, Output, Proxy, Store, require};
use crate::setup::{Workplace, assert_ends, codes};
use crate::store_setup::{
    backup, id_of, keep_behind, keep_in, large_cluster, listed, small_cluster, uploads_in_minio,
    wait_until,
};

/// The commands that need the store, each in a way that gets that far.
const COMMANDS: [&[&str]; 7] = [
    &["backup"],
    &["list"],
    &["show"],
    &["verify"],
    &["prune", "--yes"],
    &["pin", "latest"],
    &["fetch", "latest", "-o", "dead.db"],
];

/// Runs all of them at once and says how long the last one took.
fn run_all(etcdrx: &Etcdrx) -> (Vec<Output>, Duration) {
    let etcdrx = etcdrx.clone().env("ETCDRX_RETENTION_KEEP_LAST", "1");
    let began = Instant::now();
    let outputs = thread::scope(|scope| {
        let runs = COMMANDS.map(|command| {
            let etcdrx = &etcdrx;
            scope.spawn(move || etcdrx.run(command))
        });
        runs.map(|run| run.join().unwrap())
    });
    (outputs.to_vec(), began.elapsed())
}

#[tokio::test]
async fn a_dead_store_is_reported_by_every_command_within_half_a_minute() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, small_cluster().await);
    let workplace = Workplace::new();
    let proxy = Proxy::to(store.address());
    let etcdrx = keep_behind(&workplace, &cluster, &store, &proxy.url("http"));
    backup(&etcdrx);

    proxy.inject(Fault::Refuse);
    let (outputs, elapsed) = run_all(&etcdrx);
    let checked = etcdrx.run(["check", "--json"]);
    proxy.heal();

    for output in outputs {
        println!("{output:?}");
        assert_ends(
            &output,
            5,
            &["error: cannot", "Connection refused", "hint: "],
        );
    }
    assert!(elapsed < Duration::from_secs(30), "took {elapsed:?}");
    assert_eq!(checked.code, 3, "{checked:?}");
    assert_eq!(codes(&checked.json()), ["repository"]);
    assert_eq!(listed(&etcdrx).len(), 1);
}

/// Both take a minute and a half, nearly all of it waiting: so they do it together.
#[tokio::test]
async fn a_store_that_falls_silent_is_reported_within_two_minutes_and_a_half() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    let (silent, stalling) = (Proxy::to(store.address()), Proxy::to(store.address()));
    let (here, there) = (Workplace::new(), Workplace::new());
    let patient = |etcdrx: Etcdrx| etcdrx.limit(Duration::from_secs(150));
    let at_silent = patient(keep_behind(&here, &cluster, &store, &silent.url("http")));
    let at_stalling = keep_behind(&there, &cluster, &store, &stalling.url("http"));
    let at_stalling = patient(at_stalling.env("ETCDRX_CLUSTER_NAME", "stalling"));
    backup(&at_silent);

    silent.inject(Fault::Silent);
    stalling.inject(Fault::StallAfter(Direction::ToServer, 1_000_000));
    let upload = at_stalling.spawn(["backup"]);
    let (outputs, _) = run_all(&at_silent);
    let uploaded = upload.wait(Duration::from_secs(150));
    silent.heal();
    stalling.heal();

    for output in outputs {
        assert_ends(&output, 5, &["error: cannot", "timed out", "hint: "]);
    }
    println!("{uploaded:?}");
    assert_ends(&uploaded, 5, &["cannot store the backup", "timed out"]);
    assert_eq!(listed(&at_silent).len(), 1);
    assert_eq!(listed(&at_stalling), [""; 0]);
    assert_eq!(uploads_in_minio(&store), [""; 0]);
}

#[tokio::test]
async fn a_store_that_goes_away_in_mid_upload_leaves_nothing_after_the_next_run() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    let workplace = Workplace::new();
    let proxy = Proxy::to(store.address());
    let etcdrx = keep_behind(&workplace, &cluster, &store, &proxy.url("http"));

    let before = proxy.passed_bytes(Direction::ToServer);
    let run = etcdrx.spawn(["backup"]);
    wait_until(|| proxy.passed_bytes(Direction::ToServer) - before > 5_500_000);
    proxy.inject(Fault::Refuse);
    let output = run.wait(Duration::from_mins(1));
    proxy.heal();

    println!("{output:?}");
    assert_ends(
        &output,
        5,
        &["cannot store the backup", "Connection refused"],
    );
    assert_eq!(listed(&etcdrx), [""; 0]);
    backup(&etcdrx);
    let verified = etcdrx.run(["verify", "--all", "--json"]).success().json();
    assert_eq!(codes(&verified), [""; 0]);
}

#[tokio::test]
async fn a_webdav_server_that_is_killed_in_mid_upload_is_reported() {
    require!("wsgidav");
    let (store, cluster) = (Store::webdav(), large_cluster().await);
    let workplace = Workplace::new();
    let proxy = Proxy::to(store.address());
    let etcdrx = keep_behind(&workplace, &cluster, &store, &proxy.url("http"));

    let run = etcdrx.spawn(["backup"]);
    wait_until(|| proxy.passed_bytes(Direction::ToServer) > 2_000_000);
    store.server.kill();
    let output = run.wait(Duration::from_mins(1));

    println!("{output:?}");
    assert_ends(&output, 5, &["cannot store the backup"]);
}

/// `WsgiDAV` answers HEAD with a page where nothing is found; the page comes when the next request is already under way.
#[tokio::test]
async fn what_a_webdav_server_says_too_much_is_not_taken_for_the_next_answer() {
    require!("wsgidav");
    let store = Store::webdav();
    let proxy = Proxy::to(store.address());
    proxy.inject(Fault::DelayBodies(Duration::from_millis(50)));
    let settings = config::Repository {
        url: store.url_at(&proxy.url("http")),
        allow_http: true,
        ..config::Repository::default()
    };
    let repository = Repository::open(&settings, Mode::Existing).unwrap();
    let folder = repository.folder(&"scratch".parse().unwrap(), Arc::default());

    let missing = folder.stat("missing").await;
    let listed = folder.list().await;

    assert!(
        matches!(missing, Err(Error::NotFound { .. })),
        "{missing:?}"
    );
    assert_eq!(listed.unwrap().len(), 0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_the_whole() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    let workplace = Workplace::new();
    let proxy = Proxy::to(store.address());
    let etcdrx = keep_behind(&workplace, &cluster, &store, &proxy.url("http"));
    let id = id_of(&backup(&etcdrx));

    // Each try gets a little further, and after six of them it is enough.
    proxy.inject(Fault::CloseAfter(Direction::ToClient, 1_000_000));
    let verified = etcdrx.run(["verify"]);
    let fetched = etcdrx.run(["fetch", &id, "-o", "cut.db"]);
    proxy.heal();

    for output in [verified, fetched] {
        println!("{output:?}");
        assert_ends(&output, 5, &["cannot read s3://"]);
    }
    assert!(!workplace.path("cut.db").exists());
    // That the store was out of reach says nothing about the backup.
    let shown = etcdrx.run(["show", &id, "--json"]).success().json();
    assert_eq!(shown["health"], "verified");
    assert_eq!(shown["verifications"], serde_json::json!([]));
}

#[tokio::test]
async fn an_answer_that_breaks_off_once_is_read_on_from_there() {
    require!("minio");
    let (store, cluster) = (Store::minio().await, large_cluster().await);
    let workplace = Workplace::new();
    let proxy = Proxy::to(store.address());
    backup(&keep_in(&workplace, &cluster, &store));
    let etcdrx = keep_behind(&workplace, &cluster, &store, &proxy.url("http"));

    proxy.inject(Fault::CloseAfter(Direction::ToClient, 5_000_000));
    let verified = etcdrx.run(["verify"]);

    verified.success();
    assert!(proxy.connections() > 2, "nothing broke off");
}
