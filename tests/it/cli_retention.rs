//! `prune`, `pin` and `unpin` on a repository with several backups.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use crate::scratch::{Cluster, tools};
use crate::setup::{Workplace, assert_ends};

#[tokio::test]
async fn prune_says_why_and_removes_only_when_told() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = keeping_two(&cluster);
    let ids = take_backups(&workplace);
    let [oldest, second, third, newest] = ids.each_ref().map(String::as_str);
    let etcdrx = workplace.etcdrx();

    let planned = etcdrx.run(["prune", "--dry-run"]).success();
    let as_json = etcdrx
        .run(["prune", "--dry-run", "--json"])
        .success()
        .json();
    let unconfirmed = etcdrx.run(["prune"]);

    for words in [
        &format!("keep    {newest}  keep_last, newest good backup"),
        &format!("remove  {second}  no rule keeps it"),
        "2 kept, 2 would be removed, 0 left-overs",
    ] {
        assert!(planned.stdout.contains(words), "{words}: {planned:?}");
    }
    assert_eq!(ids_in(&as_json["keep"]), [newest, third]);
    assert_eq!(as_json["remove"], serde_json::json!([second, oldest]));
    let reasons = as_json["keep"][1]["reasons"].to_string();
    assert!(reasons.contains("keep_last"), "{reasons}");
    assert_ends(
        &unconfirmed,
        4,
        &[
            "2 backups would be removed, and nobody is here to confirm it",
            "--yes",
        ],
    );
    workplace.assert_holds_only_whole_backups(4);

    etcdrx.run(["pin", oldest]).success();
    let pruned = etcdrx.run(["prune", "--yes"]).success();
    let listed = etcdrx.run(["list"]).success().stdout;
    let left = listed_ids(&workplace);

    assert!(pruned.stdout.contains("3 kept, 1 removed"), "{pruned:?}");
    assert_eq!(left, [newest, third, oldest]);
    let pinned = listed.lines().find(|line| line.contains("pinned"));
    assert!(pinned.unwrap().contains(oldest), "{listed}");
    let shown = etcdrx.run(["show", oldest]).success().stdout;
    assert!(shown.contains(&format!("{oldest} (pinned)")), "{shown}");

    etcdrx.run(["unpin", oldest]).success();
    etcdrx.run(["prune", "--yes"]).success();
    let nothing_to_do = etcdrx.run(["prune"]).success();

    assert!(
        nothing_to_do.stdout.contains("2 kept, 0"),
        "{nothing_to_do:?}"
    );
    workplace.assert_holds_only_whole_backups(2);
}

#[tokio::test]
async fn a_backup_can_prune_after_itself() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = keeping_two(&cluster);
    let [_, second] = take_backups(&workplace);

    until_the_next_second();
    let taken = workplace.etcdrx().run(["backup", "--prune"]).success();

    assert!(
        taken.stderr.contains("pruned: 1 backups removed"),
        "{taken:?}"
    );
    let left = listed_ids(&workplace);
    assert_eq!(left.len(), 2);
    assert_eq!(left[1], second);
}

#[tokio::test]
async fn without_a_policy_nothing_is_pruned() {
    let cluster = Cluster::of(&tools::newest_etcd()).start().await;
    let workplace = Workplace::of(&cluster);
    take_backups::<1>(&workplace);

    let refused = workplace.etcdrx().run(["prune", "--yes"]);
    let after_a_backup = workplace.etcdrx().run(["backup", "--prune"]);
    let unknown = workplace.etcdrx().run(["pin", "2020"]);

    let words = ["no retention is configured", "hint: nothing was removed"];
    assert_ends(&refused, 2, &words);
    assert_ends(&after_a_backup, 2, &words);
    // The backup itself was taken, and that is said.
    assert!(
        after_a_backup.stdout.contains("read back"),
        "{after_a_backup:?}"
    );
    assert_ends(&unknown, 2, &["no backup's id begins with `2020`", "hint:"]);
    workplace.assert_holds_only_whole_backups(2);
}

fn keeping_two(cluster: &Cluster) -> Workplace {
    let workplace = Workplace::new();
    let settings = workplace.settings(cluster);
    let settings = settings
        .set("retention.keep_last", 2)
        .set("retention.minimum", 1);
    workplace.configure(&settings);
    workplace
}

/// Takes backups in different seconds, so that their ids are in order; oldest first.
fn take_backups<const COUNT: usize>(workplace: &Workplace) -> [String; COUNT] {
    [(); COUNT].map(|()| {
        until_the_next_second();
        let manifest = workplace.etcdrx().run(["backup", "--json"]);
        let manifest = manifest.success().json();
        manifest["id"].as_str().unwrap().to_owned()
    })
}

fn until_the_next_second() {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let into_this_one = Duration::from_nanos(now.unwrap().subsec_nanos().into());
    std::thread::sleep(Duration::from_secs(1).saturating_sub(into_this_one));
}

fn listed_ids(workplace: &Workplace) -> Vec<String> {
    ids_in(&Value::Array(workplace.backups()))
}

fn ids_in(backups: &Value) -> Vec<String> {
    let backups = backups.as_array().unwrap().iter();
    let ids = backups.map(|backup| backup["id"].as_str().unwrap().to_owned());
    ids.collect()
}
