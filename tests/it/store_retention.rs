//! Retention on a real repository: what goes, what stays, and what is none of its business.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use chrono::{TimeDelta, Utc};
use etcdrx::id::BackupId;
use serde_json::{Value, json};

use crate::scratch::Etcdrx;
use crate::setup::{FOLDER, Workplace, assert_ends};
use crate::store_setup::listed;
use crate::store_specimen::{DATA, specimens, workplace};

const HOUR: Duration = Duration::from_hours(1);

/// The id of a backup taken so many hours ago, within the hour that ended then.
fn hours_ago(hours: i64) -> String {
    BackupId::new(
        Utc::now() - TimeDelta::hours(hours),
        u32::try_from(hours).unwrap(),
    )
    .to_string()
}

/// The program with a policy, such as `[("keep_last", 2)]`, and no minimum unless it says one.
fn with_policy(workplace: &Workplace, policy: &[(&str, u32)]) -> Etcdrx {
    let policy = [&[("minimum", 0)], policy].concat();
    let name = |rule: &str| format!("ETCDRX_RETENTION_{}", rule.to_uppercase());
    let variables = policy
        .iter()
        .map(|(rule, count)| (name(rule), count.to_string()));
    workplace.etcdrx().envs(variables)
}

async fn plant(workplace: &Workplace, hours: &[i64]) -> Vec<String> {
    let [specimen, _] = specimens().await;
    let ids: Vec<String> = hours.iter().map(|hours| hours_ago(*hours)).collect();
    for id in &ids {
        specimen.plant(workplace, id);
    }
    ids
}

fn reasons<'a>(plan: &'a Value, id: &str) -> Vec<&'a str> {
    let kept = plan["keep"].as_array().unwrap();
    let decision = kept.iter().find(|decision| decision["id"] == id);
    let reasons = decision.map(|decision| decision["reasons"].as_array().unwrap());
    reasons
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

#[tokio::test]
async fn what_the_dry_run_announces_is_what_goes() {
    let workplace = workplace();
    let ids = plant(&workplace, &[1, 2, 3, 24 * 40, 24 * 41, 24 * 400]).await;
    let etcdrx = with_policy(&workplace, &[("keep_last", 2), ("keep_yearly", 5)]);
    let before = workplace.stored();

    let announced = etcdrx
        .run(["prune", "--dry-run", "--json"])
        .success()
        .json();
    let in_words = etcdrx.run(["prune", "--dry-run"]).success().stdout;
    let unconfirmed = etcdrx.run(["prune"]);

    assert_ends(
        &unconfirmed,
        4,
        &["nobody is here to confirm", "nothing was removed", "--yes"],
    );
    assert_eq!(workplace.stored(), before, "nothing was to be removed yet");
    assert!(in_words.contains("no rule keeps it"), "{in_words}");
    let done = etcdrx.run(["prune", "--yes", "--json"]).success().json();
    assert_eq!(done, announced);
    let kept: Vec<&str> = done["keep"]
        .as_array()
        .unwrap()
        .iter()
        .map(|k| k["id"].as_str().unwrap())
        .collect();
    assert_eq!(listed(&etcdrx), kept);
    assert!(reasons(&done, &ids[0]).contains(&"keep_last"), "{done}");
    assert!(reasons(&done, &ids[5]).contains(&"keep_yearly"), "{done}");
    assert_eq!(reasons(&done, &ids[2]), [""; 0]);
    workplace.assert_holds_only_whole_backups(kept.len());
}

#[tokio::test]
async fn pinned_ones_and_a_minimum_of_verified_ones_stay() {
    let workplace = workplace();
    let ids = plant(&workplace, &[1, 2, 3, 4, 5]).await;
    let etcdrx = with_policy(&workplace, &[("keep_last", 1), ("minimum", 2)]);
    etcdrx.run(["pin", &ids[4]]).success();

    let done = etcdrx.run(["prune", "--yes", "--json"]).success().json();

    assert_eq!(reasons(&done, &ids[4]), ["pinned"]);
    assert_eq!(listed(&etcdrx), [ids[0].as_str(), &ids[4]]);
    etcdrx.run(["unpin", &ids[4]]).success();
    let done = etcdrx.run(["prune", "--yes", "--json"]).success().json();
    assert_eq!(reasons(&done, &ids[4]), ["minimum of verified backups"]);
    assert_eq!(listed(&etcdrx).len(), 2);
}

#[tokio::test]
async fn without_a_policy_nothing_is_pruned() {
    let workplace = workplace();
    plant(&workplace, &[1, 2]).await;

    let output = workplace.etcdrx().run(["prune", "--yes"]);

    assert_ends(
        &output,
        2,
        &[
            "no retention is configured",
            "nothing was removed",
            "keep_last",
        ],
    );
    assert_eq!(listed(&workplace.etcdrx()).len(), 2);
}

#[tokio::test]
async fn each_cluster_id_is_pruned_by_itself() {
    let workplace = workplace();
    let [specimen, _] = specimens().await;
    let (before, after) = ([hours_ago(30), hours_ago(29)], [hours_ago(2), hours_ago(1)]);
    for id in &before {
        specimen.plant_changed(&workplace, id, |manifest| {
            manifest["cluster_id"] = "abc".into();
        });
    }
    for id in &after {
        specimen.plant(&workplace, id);
    }
    let etcdrx = with_policy(&workplace, &[("keep_last", 1)]);

    let newest = etcdrx.run(["prune", "--yes", "--json"]).success().json();
    let asked = etcdrx
        .run(["prune", "--yes", "--json", "--cluster-id", "abc"])
        .success()
        .json();

    assert_eq!(newest["remove"], json!([after[0]]));
    assert_eq!(
        reasons(&newest, &before[0]),
        ["of another cluster id (abc)"]
    );
    assert_eq!(asked["remove"], json!([before[0]]));
    assert_eq!(listed(&etcdrx), [after[1].as_str(), &before[1]]);
}

#[tokio::test]
async fn old_orphans_are_swept_and_young_ones_and_foreign_files_stay() {
    let workplace = workplace();
    plant(&workplace, &[1]).await;
    let folder = workplace.repository().join(FOLDER);
    let [old, young, cut] = [hours_ago(48), hours_ago(2), hours_ago(49)];
    write_aged(&folder.join(&old).join(DATA), 25 * HOUR);
    write_aged(&folder.join(&young).join(DATA), 23 * HOUR);
    write_aged(&folder.join(&cut).join(format!("{DATA}#1")), 25 * HOUR);
    write_aged(&folder.join(&young).join(format!("{DATA}#1")), HOUR);
    write_aged(&folder.join("README"), 100 * HOUR);
    write_aged(&folder.join("notes/important.txt"), 100 * HOUR);
    let etcdrx = with_policy(&workplace, &[("keep_last", 1)]);

    let verified = etcdrx.run(["verify", "--all"]).success().stdout;
    let done = etcdrx.run(["prune", "--yes", "--json"]).success().json();

    for id in [&old, &young] {
        let said = verified
            .lines()
            .any(|line| line.contains("[orphan]") && line.contains(id));
        assert!(said, "{verified}");
    }
    let orphans = json!([format!("{old}/{DATA}"), format!("{cut}/{DATA}#1")]);
    assert_eq!(done["orphans"], orphans);
    assert!(!folder.join(&old).exists() && !folder.join(&cut).exists());
    for name in [DATA.to_owned(), format!("{DATA}#1")] {
        assert!(folder.join(&young).join(name).exists());
    }
    assert!(folder.join("README").exists() && folder.join("notes/important.txt").exists());
}

fn write_aged(path: &Path, age: Duration) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = File::create(path).unwrap();
    file.set_modified(SystemTime::now() - age).unwrap();
}

/// What lies behind the manifest goes last: an interrupted prune leaves orphans, never half a listed backup.
#[tokio::test]
async fn a_backup_that_was_verified_and_pinned_goes_with_all_that_lies_beside_it() {
    let workplace = workplace();
    let ids = plant(&workplace, &[1, 2]).await;
    let etcdrx = with_policy(&workplace, &[("keep_last", 1)]);
    etcdrx.run(["verify", "--all"]).success();
    etcdrx.run(["pin", &ids[1]]).success();
    etcdrx.run(["unpin", &ids[1]]).success();

    etcdrx.run(["prune", "--yes"]).success();

    assert!(!workplace.repository().join(FOLDER).join(&ids[1]).exists());
    assert_eq!(listed(&etcdrx), ids[..1]);
}

#[tokio::test]
async fn a_backup_dated_in_the_future_takes_nobodys_place() {
    let workplace = workplace();
    let ids = plant(&workplace, &[1, 2]).await;
    let future = BackupId::new(Utc::now() + TimeDelta::days(400), 7).to_string();
    specimens().await[0].plant(&workplace, &future);
    let etcdrx = with_policy(&workplace, &[("keep_last", 1)]);

    let done = etcdrx.run(["prune", "--yes", "--json"]).success().json();

    assert!(
        reasons(&done, &future).contains(&"dated in the future"),
        "{done}"
    );
    assert!(listed(&etcdrx).contains(&ids[0]), "{done}");
}
