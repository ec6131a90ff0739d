//! Backups that are not what was written: each damage is found, said, remembered, and never used.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::scratch::{Etcdrx, Output};
use crate::setup::{FOLDER, Workplace, assert_ends, codes};
use crate::store_setup::listed;
use crate::store_specimen::{DATA, specimens, workplace};

const OLD: &str = "20260101T000000Z-000001";
const NEW: &str = "20260102T000000Z-000002";

#[tokio::test]
async fn one_flipped_bit_anywhere_is_found() {
    let data = &specimens().await[0].data;
    let places = [0, 4, data.len() / 3, data.len() / 2, data.len() - 1];

    for place in places {
        let findings = damage(|folder| {
            let mut bytes = fs::read(folder.join(DATA)).unwrap();
            bytes[place] ^= 0x10;
            fs::write(folder.join(DATA), bytes).unwrap();
        })
        .await;
        let codes = codes(&findings);
        assert_eq!(codes[0], "stored-sha256", "byte {place}: {findings}");
    }
}

#[tokio::test]
async fn a_truncated_object_is_found() {
    for rest in [0, 1, 1000] {
        let findings = damage(|folder| {
            let file = File::options().write(true).open(folder.join(DATA)).unwrap();
            file.set_len(rest).unwrap();
        })
        .await;
        assert_eq!(
            codes(&findings)[..2],
            ["stored-size", "stored-sha256"],
            "{findings}"
        );
    }
}

#[tokio::test]
async fn an_object_with_something_behind_it_is_found() {
    let findings = damage(|folder| {
        let mut bytes = fs::read(folder.join(DATA)).unwrap();
        bytes.extend_from_slice(b"more");
        fs::write(folder.join(DATA), bytes).unwrap();
    })
    .await;

    assert_eq!(
        codes(&findings)[..2],
        ["stored-size", "stored-sha256"],
        "{findings}"
    );
}

#[tokio::test]
async fn a_missing_object_is_found() {
    let findings = damage(|folder| fs::remove_file(folder.join(DATA)).unwrap()).await;

    assert_eq!(codes(&findings), ["object-missing"]);
    let message = findings["findings"][0]["message"].as_str().unwrap();
    assert!(
        message.contains(&format!("{NEW}/{DATA} is not there")),
        "{message}"
    );
}

/// Whole, sound, and that of another backup.
#[tokio::test]
async fn the_object_of_another_backup_is_found() {
    let findings = damage(|folder| {
        let other = folder.with_file_name(OLD);
        fs::copy(other.join(DATA), folder.join(DATA)).unwrap();
    })
    .await;

    let found = codes(&findings);
    for code in ["stored-sha256", "snapshot-sha256", "revision"] {
        assert!(found.contains(&code), "{findings}");
    }
}

/// Damages the newer of two backups, holds every verb against it, and gives what `verify` found.
async fn damage(harm: impl FnOnce(&Path)) -> Value {
    let [first, second] = specimens().await;
    let workplace = workplace();
    first.plant(&workplace, OLD);
    let folder = second.plant(&workplace, NEW);
    harm(&folder);
    let etcdrx = workplace.etcdrx();

    let verified = etcdrx.run(["verify", NEW, "--json"]);

    assert_eq!(verified.code, 6, "{verified:?}");
    let report = verified.json()["backups"][0].clone();
    assert_eq!((&report["id"], &report["ok"]), (&json!(NEW), &json!(false)));
    is_remembered(&etcdrx, &report);
    is_not_used(&workplace, &etcdrx);
    does_not_count_as_good(&etcdrx);
    report
}

fn is_remembered(etcdrx: &Etcdrx, report: &Value) {
    let shown = etcdrx.run(["show", NEW, "--json"]).success().json();
    assert_eq!(shown["verifications"][0]["ok"], false);
    assert_eq!(shown["verifications"][0]["findings"], report["findings"]);
    assert_eq!(shown["health"], "damaged");
    let shown = etcdrx.run(["show", NEW]).success().stdout;
    let code = codes(report)[0];
    assert!(shown.contains("DAMAGED") && shown.contains(code), "{shown}");
    let list = etcdrx.run(["list"]).success().stdout;
    let line = list.lines().find(|line| line.contains(NEW)).unwrap();
    assert!(line.contains("DAMAGED"), "{list}");
}

fn is_not_used(workplace: &Workplace, etcdrx: &Etcdrx) {
    let latest = etcdrx.run(["show", "latest", "--json"]).success().json();
    assert_eq!(latest["id"], OLD);
    let to_file = etcdrx.run(["fetch", NEW, "-o", "damaged.db"]);
    let to_pipe = etcdrx.run(["fetch", NEW, "-o", "-"]);
    for output in [to_file, to_pipe] {
        assert_ends(
            &output,
            6,
            &["the backup is damaged", "hint: use another backup"],
        );
    }
    let left: Vec<PathBuf> = fs::read_dir(workplace.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("damaged"))
        .collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// With a policy that keeps one, the older one is it; the damaged one is in nobody's place.
fn does_not_count_as_good(etcdrx: &Etcdrx) {
    let etcdrx = etcdrx
        .clone()
        .env("ETCDRX_RETENTION_KEEP_LAST", "1")
        .env("ETCDRX_RETENTION_MINIMUM", "1");
    let plan = etcdrx
        .run(["prune", "--dry-run", "--json"])
        .success()
        .json();
    let kept = plan["keep"].as_array().unwrap();
    let reasons = kept.iter().find(|kept| kept["id"] == OLD);
    assert_eq!(
        reasons.unwrap()["reasons"],
        json!(["keep_last", "newest good backup"]),
        "{plan}"
    );
    etcdrx.run(["prune", "--yes"]).success();
    assert!(listed(&etcdrx).contains(&OLD.to_owned()));
}

/// A manifest that cannot be read, in each of the ways, and what is said of it.
#[tokio::test]
async fn an_unreadable_manifest_is_told_and_its_data_is_never_touched() {
    let [first, second] = specimens().await;
    let with_format_2 = second.manifest_of(NEW, |manifest| {
        manifest["format"] = 2.into();
        manifest["etcdrx_version"] = "9.1.0".into();
    });
    let manifests = [
        ("garbage", "the manifest is not readable"),
        ("", "the manifest is not readable"),
        ("{\"format\": 1}", "the manifest is not readable"),
        (&with_format_2, "etcdrx 9.1.0 or newer reads it"),
        (&second.manifest_of(OLD, |_| {}), "is that of"),
    ];
    for (manifest, words) in manifests {
        let workplace = workplace();
        first.plant(&workplace, OLD);
        let folder = second.plant(&workplace, NEW);
        fs::write(folder.join("manifest.json"), manifest).unwrap();

        is_told_and_left_alone(&workplace, words);
    }
}

fn is_told_and_left_alone(workplace: &Workplace, words: &str) {
    let etcdrx = workplace
        .etcdrx()
        .env("ETCDRX_RETENTION_KEEP_LAST", "1")
        .env("ETCDRX_RETENTION_MINIMUM", "0");
    let before = workplace.stored();
    let told = |output: &Output, code: i32| {
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(all.contains(words) && all.contains(NEW), "{output:?}");
        assert_eq!(output.code, code, "{output:?}");
    };
    let list = etcdrx.run(["list"]);
    told(&list, 3);
    assert!(list.stdout.contains(OLD), "{list:?}");
    let json = etcdrx.run(["list", "--json"]).json();
    assert_eq!(codes(&json), ["manifest-unreadable"]);
    for command in ["show", "verify", "pin"] {
        told(&etcdrx.run([command, NEW]), 6);
    }
    told(&etcdrx.run(["fetch", NEW, "-o", "unreadable.db"]), 6);
    etcdrx.run(["prune", "--yes"]).success();
    assert_eq!(
        workplace.stored(),
        before,
        "prune touched what it cannot read"
    );
    told(&etcdrx.run(["verify", "--all"]), 3);
    let latest = etcdrx.run(["show", "--json"]).success().json();
    assert_eq!(latest["id"], OLD);
}

#[tokio::test]
async fn where_no_manifest_can_be_read_latest_says_so() {
    let workplace = workplace();
    let folder = specimens().await[0].plant(&workplace, NEW);
    fs::write(folder.join("manifest.json"), "garbage").unwrap();

    let output = workplace.etcdrx().run(["verify"]);

    assert_ends(
        &output,
        6,
        &[NEW, "cannot be used", "the manifest is not readable"],
    );
}

#[tokio::test]
async fn an_empty_folder_is_no_backup() {
    let workplace = workplace();
    fs::create_dir(workplace.repository().join(FOLDER).join(NEW)).unwrap();

    let etcdrx = workplace.etcdrx();

    assert_eq!(listed(&etcdrx), [""; 0]);
    let output = etcdrx.run(["verify"]);
    assert_ends(
        &output,
        1,
        &[
            "there is no backup in file://",
            "hint: `etcdrx backup` takes one",
        ],
    );
    etcdrx.run(["verify", "--all"]).success();
}
