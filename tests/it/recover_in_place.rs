//! A cluster that is brought back in place: its id stays, one member keeps its directory, and the others join it.

use std::fs;
use std::time::Duration;

use etcdrx::datadir::wal;
use etcdrx::drill::{Writers, Written};
use etcdrx::id::Revision;
use etcdrx::recovery::Scenario;
use etcdrx::recovery::playbook::Playbook;
use serde_json::Value;
use tokio::time::sleep;

use crate::recover_setup::{Scene, names};
use crate::scratch::tools;
use crate::setup::assert_ends;

const IN_PLACE: [&str; 3] = ["--scenario", "majority", "--in-place"];

/// The ids of the members, by their names.
fn ids(members: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let members = members.as_array().unwrap().iter();
    members
        .map(|one| (text(&one["name"]), text(&one["id"])))
        .collect()
}

async fn ids_now(scene: &Scene) -> Vec<(String, String)> {
    let statuses = scene.site.statuses().await;
    let statuses = statuses.into_iter().flatten();
    statuses
        .map(|status| (status.name.clone(), status.member_id.to_string()))
        .collect()
}

/// Kills all members while sixteen clients write, and takes the data of all but the one whose log reaches furthest.
async fn lose_all_but_one(scene: &Scene) -> (usize, Written) {
    let writers = Writers::start(scene.site.access(), 16, "in-place");
    let limit = Duration::from_secs(20);
    assert!(writers.wait_for(200, limit).await, "hardly any writes");
    scene.lose(&[0, 1, 2], false).await;
    let written = writers.stop().await;
    let members = &scene.site.members;
    let last = |index: &usize| {
        wal::read(&members[*index].data_dir().join("member/wal"))
            .unwrap()
            .last
    };
    let furthest = (0..3).max_by_key(last).unwrap();
    for index in (0..3).filter(|index| *index != furthest) {
        fs::remove_dir_all(members[index].data_dir()).unwrap();
    }
    (furthest, written)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_the_cluster_keeps_its_id_and_the_others_get_new_ones() {
    for release in [tools::etcd_versions().remove(0), tools::newest_etcd()] {
        let scene = Scene::of(&release, 3, true).await;
        let before = ids_now(&scene).await;
        let (kept, written) = lose_all_but_one(&scene).await;

        let last = scene.recover(&IN_PLACE);

        assert_eq!(last["cluster_id"], last["cluster_id_before"]);
        let kept = &scene.site.members[kept];
        for ((name, id), (_, old)) in ids(&last["members"]).iter().zip(&before) {
            assert_eq!(id == old, *name == kept.name, "{name}: {old}, now {id}");
        }
        let all = last["invariants"].as_array().unwrap();
        assert!(all.iter().all(|one| one["ok"] == true), "{last:#}");
        for member in &scene.site.members {
            let access = scene.site.access();
            let live = access.member(&member.client_url, Duration::from_secs(5));
            let compared = written
                .compare(&live.await.unwrap(), None, Revision(0))
                .await
                .unwrap();
            assert!(compared.is_sound(), "{compared:?}");
            assert_eq!(compared.kept, written.acknowledged.len());
        }
        let run = last["run"].as_str().unwrap();
        let left = names(&kept.data_dir());
        assert!(left.contains(&format!("member.etcdrx-{run}")), "{left:?}");
        println!(
            "etcd {}: {} acknowledged, none lost, {} ms",
            release.version(),
            written.acknowledged.len(),
            last["elapsed_ms"]
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_refused_where_a_quorum_lives_or_there_is_no_directory() {
    let scene = Scene::of(&tools::newest_etcd(), 3, false).await;
    let refused = |arguments: &[&str]| {
        let output = scene.dry_run(arguments);
        assert_eq!(output.code, 4, "{}", output.stderr);
        output.json()["refused"].to_string()
    };
    assert!(refused(&IN_PLACE).contains("has a quorum"));
    scene.etcdrx().run(["backup"]).success();
    scene.lose(&[0, 1, 2], true).await;
    assert!(refused(&IN_PLACE).contains("no node has a whole directory"));
    let backup = [&IN_PLACE[..], &["--from", "latest"]].concat();
    assert!(refused(&backup).contains("a member's own directory"));
}

/// Somebody puts data back on a node right after they were set aside.
#[tokio::test(flavor = "multi_thread")]
async fn where_data_of_before_are_left_nobody_is_made_the_only_member() {
    let scene = Scene::of(&tools::newest_etcd(), 3, false).await;
    scene.write("k", 5).await;
    // A database is written every tenth of a second; one that was killed before that knows of no members.
    sleep(Duration::from_secs(1)).await;
    scene.lose(&[0, 2], true).await;
    scene.lose(&[1], false).await;
    let member = |index: usize| scene.site.members[index].data_dir().join("member");
    let copy = format!(
        "      - step: command\n        nodes: [{}]\n        run: [cp, -r, {}, {}]\n      - check-aside\n",
        scene.site.members[0].name,
        member(1).display(),
        member(0).display()
    );
    let playbook = Playbook::source(Scenario::Majority).replace("      - check-aside\n", &copy);
    let path = scene.site.directory().join("site.yaml");
    fs::write(&path, playbook).unwrap();
    let arguments = [&IN_PLACE[..], &["--playbook", path.to_str().unwrap()]].concat();
    let digest = scene.digest(&arguments);

    let approved = ["recover", "--yes", "--plan", &digest];
    let failed = scene.etcdrx().run(approved.iter().chain(&arguments));

    assert_ends(&failed, 1, &["still has data of before"]);
    let left = names(&scene.site.members[1].data_dir());
    let is_forced = |name: &String| name.starts_with("member.") || name.contains("staged");
    assert!(!left.iter().any(is_forced), "{left:?}");
}
