//! A recovery that is killed again and again comes to the same end as one that is not.

use std::path::Path;
use std::time::{Duration, Instant};

use etcdrx::recovery::journal;
use nix::sys::signal::Signal;

use crate::recover_setup::{LIMIT, Scene, names};
use crate::scratch::tools;

/// Recovers, killed after each next event of its own, until one process comes to the end; gives how many were killed.
fn recover_and_kill(scene: &Scene, arguments: &[&str]) -> usize {
    let digest = scene.digest(arguments);
    let first = ["--json", "recover", "--yes", "--plan", &digest];
    let mut words: Vec<String> = first
        .iter()
        .chain(arguments)
        .map(|word| (*word).to_owned())
        .collect();
    for kills in 0.. {
        let mut process = scene.etcdrx().spawn(&words);
        let deadline = Instant::now() + LIMIT;
        loop {
            let events = process
                .stdout()
                .lines()
                .filter(|line| line.ends_with('}'))
                .count();
            if events > kills && process.is_running() {
                break;
            }
            if !process.is_running() {
                process.wait(LIMIT).success();
                return kills;
            }
            assert!(Instant::now() < deadline, "{}", process.stderr());
            std::thread::sleep(Duration::from_micros(200));
        }
        process.signal(Signal::SIGKILL);
        process.wait(LIMIT);
        let run = only_run(&scene.state());
        words = ["--json", "recover", "--resume", &run]
            .map(str::to_owned)
            .to_vec();
    }
    unreachable!("the loop ends")
}

/// The one run that there is: whatever was killed, nothing began a second one.
fn only_run(state: &Path) -> String {
    let directory = state.join("recoveries/drill");
    let runs: Vec<String> = names(&directory)
        .into_iter()
        .filter(|name| name != "lock")
        .collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs[0].clone()
}

/// What must hold of the nodes however often the recovery was killed: the old data aside once, nothing half done beside.
fn assert_clean(scene: &Scene, aside: usize) {
    let run = only_run(&scene.state());
    let mut found = 0;
    for member in &scene.site.members {
        for name in names(&member.data_dir()) {
            if name == format!("member.etcdrx-{run}") {
                found += 1;
            } else {
                assert_eq!(name, "member", "in {}", member.data_dir().display());
            }
        }
    }
    assert_eq!(found, aside);
    let lines = journal::read(
        &scene
            .state()
            .join("recoveries/drill")
            .join(&run)
            .join("journal.jsonl"),
    )
    .unwrap();
    assert!(matches!(
        lines.last().unwrap().entry,
        journal::Entry::Finished { .. }
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_from_a_survivor_that_is_killed_after_every_event_ends_as_if_it_had_not_been() {
    let scene = Scene::of(&tools::newest_etcd(), 3, false).await;
    let written = scene.write("k", 60).await;
    scene.lose(&[1, 2], true).await;

    let kills = recover_and_kill(&scene, &["--scenario", "majority"]);

    assert!(kills > 20, "only {kills} kills");
    scene.assert_holds(&written).await;
    assert_clean(&scene, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_is_killed_after_every_event_ends_as_if_it_had_not_been() {
    let scene = Scene::of(&tools::newest_etcd(), 3, false).await;
    let written = scene.write("k", 60).await;
    scene.etcdrx().run(["backup"]).success();
    scene.lose(&[2], true).await;

    let kills = recover_and_kill(&scene, &["--scenario", "follower"]);

    assert!(kills > 8, "only {kills} kills");
    scene.assert_holds(&written).await;
    assert_clean(&scene, 0);
    let again = scene.etcdrx().run(["--json", "recover"]).success();
    assert!(again.stdout.contains("nothing"), "{}", again.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_salvage_that_is_killed_after_every_event_loses_nothing() {
    let scene = Scene::of(&tools::newest_etcd(), 3, false).await;
    let written = scene.write("k", 60).await;
    scene.lose(&[0, 1], true).await;
    scene.lose(&[2], false).await;

    let kills = recover_and_kill(&scene, &["--scenario", "majority"]);

    assert!(kills > 20, "only {kills} kills");
    scene.assert_holds(&written).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_goes_on_in_place_ends_as_if_it_had_not_been_killed() {
    let scene = Scene::of(&tools::newest_etcd(), 3, false).await;
    let written = scene.write("k", 60).await;
    scene.lose(&[0, 1], true).await;

    let kills = recover_and_kill(&scene, &["--scenario", "majority", "--in-place"]);

    assert!(kills > 20, "only {kills} kills");
    scene.assert_holds(&written).await;
    assert_clean(&scene, 1);
}
