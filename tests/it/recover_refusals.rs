//! What `etcdrx recover` does not do, and what it says instead.

use crate::recover_setup::Scene;
use crate::scratch::{Output, tools};
use crate::setup::assert_ends;

/// A dry run that says why its plan would not be carried out.
fn assert_refused(output: &Output, why: &str) {
    assert_eq!(output.code, 4, "{}", output.stderr);
    let reasons = output.json()["refused"].to_string();
    assert!(reasons.contains(why), "{reasons}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_lives_is_neither_rebuilt_nor_weakened() {
    let scene = Scene::of(&tools::newest_etcd(), 3, false).await;
    let written = scene.write("k", 5).await;
    scene.etcdrx().run(["backup"]).success();

    // All is well.
    for scenario in ["majority", "total"] {
        let refused = scene.etcdrx().run(["recover", "--scenario", scenario]);
        assert_ends(&refused, 4, &["nothing was changed"]);
    }
    for words in [&["recover"][..], &["recover", "--scenario", "follower"]] {
        let nothing = scene.etcdrx().run(words).success();
        assert!(
            nothing.stdout.contains("nothing is wrong"),
            "{}",
            nothing.stdout
        );
    }

    // One is down: the others are needed.
    scene.lose(&[2], true).await;
    let refused = scene.dry_run(&[
        "--scenario",
        "follower",
        "--member",
        &scene.site.members[0].name,
    ]);
    assert_refused(&refused, "must be well");

    // A plan is approved by its digest, or by a person who is there.
    let follower = ["recover", "--scenario", "follower"];
    assert_ends(
        &scene.etcdrx().run(follower),
        4,
        &["nobody is here to approve", "--dry-run"],
    );
    let stale = ["--yes", "--plan", "0123456789abcdef"];
    let refused = scene.etcdrx().run(follower.iter().chain(&stale));
    assert_ends(&refused, 4, &["not the one that was approved"]);
    let unknown = scene.etcdrx().run(["recover", "--resume", "nosuch"]);
    assert_ends(&unknown, 2, &["no recovery `nosuch`"]);
    assert_eq!(scene.site.statuses().await.iter().flatten().count(), 2);

    scene.recover(&["--scenario", "follower"]);
    scene.assert_holds(&written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nothing_proves_is_refused_and_a_snapshot_is_taken() {
    let scene = Scene::of(&tools::newest_etcd(), 3, false).await;
    let written = scene.write("k", 20).await;
    let snapshot = scene.site.directory().join("snapshot.db");
    let backup = scene.etcdrx();
    backup.run(["backup"]).success();
    backup
        .run(["fetch", "latest", "-o", snapshot.to_str().unwrap()])
        .success();
    scene.write("later", 5).await;
    scene.lose(&[0, 1, 2], true).await;

    // Without its trailer.
    let bare = scene.site.directory().join("bare.db");
    let mut bytes = std::fs::read(&snapshot).unwrap();
    bytes.truncate(bytes.len() - 32);
    std::fs::write(&bare, bytes).unwrap();
    let refused = scene.dry_run(&["--scenario", "total", "--from", bare.to_str().unwrap()]);
    assert_refused(&refused, "no SHA-256 trailer");

    // With a byte changed: found before anything is touched.
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = scene.site.directory().join("damaged.db");
    std::fs::write(&damaged, bytes).unwrap();
    let from = ["--scenario", "total", "--from", damaged.to_str().unwrap()];
    let digest = scene.digest(&from);
    let approved = ["recover", "--yes", "--plan", &digest];
    let failed = scene.etcdrx().run(approved.iter().chain(&from));
    assert_ends(&failed, 6, &["is not sound", "--resume"]);

    let last = scene.recover(&["--scenario", "total", "--from", snapshot.to_str().unwrap()]);
    assert!(
        last["revision_after"].as_i64().unwrap() > 1_000_000,
        "{last}"
    );
    scene.assert_holds(&written).await;
}
