//! Backups that only their recipients can read, against age's own program and a real etcd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::encryption_setup::{
    KeyPair, age_decrypts, age_encrypts, age_key, encrypted, opened_with, ssh_key,
};
use crate::recover_setup::Scene;
use crate::scratch::{Cluster, Store, require, tools};
use crate::setup::{FOLDER, Workplace, assert_ends, codes};
use crate::store_setup::{backup, id_of, listed, settings_for, sha256, small_cluster};

/// What a stranger must find nowhere.
const SECRET: &str = "a-secret-that-is-in-no-stored-byte";

/// A cluster with a secret in it that compression cannot hide.
async fn cluster_with_a_secret() -> Cluster {
    let cluster = small_cluster().await;
    cluster.put_many(SECRET, 1, 100).await;
    cluster
}

/// Everything that lies in the folder of the cluster.
fn all_stored(workplace: &Workplace) -> Vec<u8> {
    let folder = workplace.repository().join(FOLDER);
    let files = workplace.stored().into_iter();
    let files = files.filter(|name| !name.ends_with('/'));
    files
        .flat_map(|name| fs::read(folder.join(name)).unwrap())
        .collect()
}

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

fn object_of(workplace: &Workplace, id: &str) -> PathBuf {
    let folder = workplace.repository().join(FOLDER);
    folder.join(id).join("snapshot.db.zst.age")
}

#[tokio::test]
async fn what_is_stored_is_opened_by_each_recipient_with_age_and_zstd_and_etcdutl() {
    require!("age");
    let cluster = cluster_with_a_secret().await;
    let workplace = Workplace::of(&cluster);
    let ours = age_key(&workplace, "id.txt");
    let Some(theirs) = ssh_key(&workplace, "id_ed25519", "") else {
        return tools::skip("encryption_backups", "ssh-keygen");
    };
    workplace.configure(&encrypted(workplace.settings(&cluster), &[&ours, &theirs]));
    let etcdrx = workplace.etcdrx();

    let manifest = backup(&etcdrx);

    assert_eq!(manifest["encryption"], "age");
    assert_eq!(manifest["verified_how"], "read-back");
    let ssh: Vec<&str> = theirs.recipient.split(' ').take(2).collect();
    assert_eq!(
        manifest["recipients"],
        json!([ours.recipient, ssh.join(" ")])
    );
    let stored = all_stored(&workplace);
    assert!(!holds(&stored, SECRET.as_bytes()));
    assert!(
        !holds(&stored, &[0x28, 0xb5, 0x2f, 0xfd]),
        "zstd in the clear"
    );
    let object = object_of(&workplace, &id_of(&manifest));
    for identity in [&ours.identity, &theirs.identity] {
        let plain = zstd::decode_all(age_decrypts(identity, &object).as_slice()).unwrap();
        let file = workplace.path("by-hand.db");
        fs::write(&file, &plain).unwrap();
        assert_eq!(sha256(&file), manifest["snapshot_sha256"]);
        assert!(holds(&plain, SECRET.as_bytes()));
    }
    restores_with_etcdutl(&workplace.path("by-hand.db"), &workplace.path("by-hand"));

    // And etcdrx, with either.
    for (number, key) in [&ours, &theirs].into_iter().enumerate() {
        let file = workplace.path(&format!("fetched-{number}.db"));
        let with = etcdrx_with(&workplace, &key.identity);
        with.run(["verify", "--deep"]).success();
        with.run(["fetch", "latest", "-o", file.to_str().unwrap()])
            .success();
        assert_eq!(sha256(&file), manifest["snapshot_sha256"]);
    }
}

fn etcdrx_with(workplace: &Workplace, identity: &Path) -> crate::scratch::Etcdrx {
    let etcdrx = workplace.etcdrx();
    etcdrx.env("ETCDRX_ENCRYPTION_IDENTITY_FILE", identity)
}

fn restores_with_etcdutl(snapshot: &Path, data_dir: &Path) {
    let mut etcdutl = Command::new(tools::newest_etcd().etcdutl());
    let etcdutl = etcdutl.args(["snapshot", "restore"]).arg(snapshot);
    let restored = etcdutl.arg("--data-dir").arg(data_dir).output().unwrap();
    assert!(restored.status.success(), "{restored:?}");
    assert!(data_dir.join("member/snap/db").is_file());
}

#[tokio::test]
async fn what_age_encrypted_for_several_is_opened_by_each_of_them() {
    require!("age");
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let keys = ["a.txt", "b.txt", "c.txt"].map(|name| age_key(&workplace, name));
    let settings = encrypted(workplace.settings(&cluster), &[&keys[0]]);
    workplace.configure(&settings);
    let manifest = backup(&workplace.etcdrx());

    // The same compressed bytes, encrypted by somebody else's program.
    let object = object_of(&workplace, &id_of(&manifest));
    let compressed = workplace.path("compressed");
    fs::write(&compressed, age_decrypts(&keys[0].identity, &object)).unwrap();
    let recipients: Vec<&str> = keys.iter().map(|key| key.recipient.as_str()).collect();
    fs::write(&object, age_encrypts(&recipients, &compressed)).unwrap();
    let path = object.with_file_name("manifest.json");
    let mut told: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    told["stored_size_bytes"] = fs::metadata(&object).unwrap().len().into();
    told["stored_sha256"] = sha256(&object).into();
    fs::write(&path, told.to_string()).unwrap();

    for key in &keys {
        etcdrx_with(&workplace, &key.identity)
            .run(["verify", "--deep"])
            .success();
    }
}

/// A cluster with an encrypted backup, what opens it, and something that does not.
async fn with_an_encrypted_backup() -> (Cluster, Workplace, String, KeyPair, KeyPair) {
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let ours = age_key(&workplace, "id.txt");
    let other = age_key(&workplace, "other.txt");
    workplace.configure(&encrypted(workplace.settings(&cluster), &[&ours]));
    let id = id_of(&backup(&workplace.etcdrx()));
    (cluster, workplace, id, ours, other)
}

#[tokio::test]
async fn without_an_identity_nothing_is_opened_and_what_was_not_checked_is_said() {
    require!("age");
    let (_cluster, workplace, id, ours, _) = with_an_encrypted_backup().await;
    let etcdrx = workplace.etcdrx();
    let target = workplace.path("target");
    let path = target.to_str().unwrap();
    let etcd = tools::newest_etcd().etcd();
    let mut restore = vec!["restore", &id, "--data-dir", path, "--name", "m1"];
    restore.extend(["--initial-cluster", "m1=http://127.0.0.1:2380"]);

    let verified = etcdrx.run(["verify"]).success();
    let shown = etcdrx.run(["show", "--json"]).success().json();

    let said = &verified.stdout;
    assert!(
        said.contains("ok: object, stored-size, stored-sha256\n"),
        "{said}"
    );
    assert!(
        said.contains("trailer, revision could not be checked"),
        "{said}"
    );
    assert_eq!(shown["health"], "verified");
    assert_eq!(shown["verified_how"], "stored");
    for words in [
        &["verify", "--deep"][..],
        &["fetch", &id, "-o", path],
        &restore,
        &["snapshot", "status", &id],
        &["drill", "backup", "--etcd", etcd.to_str().unwrap()],
    ] {
        let refused = etcdrx.run(words);
        let words = [
            "no identity is configured",
            "`identity_file`",
            &ours.recipient,
        ];
        assert_ends(&refused, 4, &words);
        assert!(!target.exists());
    }
}

#[tokio::test]
async fn a_wrong_identity_is_named_and_is_no_damage() {
    require!("age");
    let (_cluster, workplace, id, ours, other) = with_an_encrypted_backup().await;
    let wrong = etcdrx_with(&workplace, &other.identity);
    let target = workplace.path("target");

    let fetched = wrong.run(["fetch", &id, "-o", target.to_str().unwrap()]);
    let verified = wrong.run(["verify"]);
    let shown = wrong.run(["show", "--json"]).success().json();

    let words = ["none of the identities in", "other.txt", &ours.recipient];
    assert_ends(&fetched, 4, &words);
    assert_ends(&verified, 4, &words);
    assert_eq!(shown["health"], "verified");
    assert!(!target.exists());
}

#[tokio::test]
async fn an_identity_file_that_is_none_is_told_with_the_reason() {
    require!("age");
    let (_cluster, workplace, _, ours, _) = with_an_encrypted_backup().await;
    let verified = |identity: &Path| etcdrx_with(&workplace, identity).run(["verify"]);
    let public = workplace.path("recipient.txt");
    fs::write(&public, &ours.recipient).unwrap();

    let missing = verified(&workplace.path("nosuch"));
    assert_ends(&missing, 2, &["cannot read the identity file", "nosuch"]);
    assert_ends(&verified(&public), 2, &["line 1 is a recipient"]);
    if let Some(locked) = ssh_key(&workplace, "locked", "a passphrase") {
        let words = ["locked with a passphrase", "ssh-keygen -p"];
        assert_ends(&verified(&locked.identity), 2, &words);
    }
}

#[tokio::test]
async fn what_was_to_be_encrypted_and_cannot_be_is_not_stored_at_all() {
    require!("age");
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let key = age_key(&workplace, "id.txt");
    let secret = fs::read_to_string(&key.identity).unwrap();
    let secret = secret.lines().last().unwrap();
    let misspelt = key.recipient.replace("age1", "age1q");
    // Nobody listens there: who says what is wrong with a recipient has asked nobody.
    let settings = workplace
        .settings(&cluster)
        .set("cluster.endpoints", vec!["http://127.0.0.1:1"]);

    for (recipients, word) in [
        (vec![], "no recipient is named"),
        (vec![String::new()], "is no recipient"),
        (vec![key.recipient.clone(), misspelt.clone()], &misspelt),
        (vec!["ops@example.com".to_owned()], "ops@example.com"),
        (vec![secret.to_owned()], "private key"),
    ] {
        let settings = settings.clone().set("encryption.recipients", recipients);
        workplace.configure(&settings);
        let refused = workplace.etcdrx().run(["backup"]);
        assert_ends(&refused, 2, &["[encryption] recipients", word]);
        assert!(!refused.stderr.contains(secret), "{refused:?}");
    }

    assert!(!workplace.repository().exists());
}

#[tokio::test]
async fn a_backup_in_the_clear_after_an_encrypted_one_is_an_error_that_is_told() {
    require!("age");
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let key = age_key(&workplace, "id.txt");
    workplace.configure(&encrypted(workplace.settings(&cluster), &[&key]));
    backup(&workplace.etcdrx());
    workplace.configure(&workplace.settings(&cluster));

    let second = workplace.etcdrx().run(["backup", "--json"]);

    assert_eq!(second.code, 3, "{second:?}");
    assert_eq!(codes(&second.json()), ["no-longer-encrypted"]);
}

#[tokio::test]
async fn a_flipped_bit_anywhere_and_the_object_of_another_backup_are_found_with_and_without_identity()
 {
    require!("age");
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let key = age_key(&workplace, "id.txt");
    workplace.configure(&encrypted(workplace.settings(&cluster), &[&key]));
    let etcdrx = workplace.etcdrx();
    let (first, second) = (id_of(&backup(&etcdrx)), id_of(&backup(&etcdrx)));
    let opening = etcdrx_with(&workplace, &key.identity);
    let object = object_of(&workplace, &first);
    let whole = fs::read(&object).unwrap();
    let target = workplace.path("target");

    // The version, the stanza, the MAC, the nonce, the content, the end.
    for at in [3, 30, 150, 190, whole.len() / 2, whole.len() - 1] {
        let mut damaged = whole.clone();
        damaged[at] ^= 1;
        fs::write(&object, damaged).unwrap();
        for etcdrx in [&etcdrx, &opening] {
            assert_ends(&etcdrx.run(["verify", &first]), 6, &[]);
        }
        let fetched = opening.run(["fetch", &first, "-o", target.to_str().unwrap()]);
        assert_ends(&fetched, 6, &["damaged"]);
        assert!(!target.exists());
    }

    fs::copy(object_of(&workplace, &second), &object).unwrap();
    for etcdrx in [&etcdrx, &opening] {
        let swapped = etcdrx.run(["verify", &first, "--json"]);
        assert_eq!(swapped.code, 6, "{swapped:?}");
        let findings = swapped.json()["backups"][0].clone();
        assert!(codes(&findings).contains(&"stored-sha256"), "{findings}");
    }
}

#[tokio::test]
async fn a_check_opens_todays_backups_or_says_that_it_cannot() {
    require!("age");
    let cluster = small_cluster().await;
    let workplace = Workplace::of(&cluster);
    let (old, new) = (
        age_key(&workplace, "old.txt"),
        age_key(&workplace, "new.txt"),
    );
    let check = |settings, words: &[&str]| {
        workplace.configure(&settings);
        let output = workplace
            .etcdrx()
            .run([&["encryption", "check", "--json"], words].concat());
        let findings: Vec<String> = codes(&output.json())
            .iter()
            .map(|&code| code.to_owned())
            .collect();
        (output.code, findings)
    };
    let clear = workplace.settings(&cluster);
    let for_old = encrypted(clear.clone(), &[&old]);
    let for_new = encrypted(clear.clone(), &[&new]);

    workplace.configure(&for_old);
    backup(&workplace.etcdrx());
    assert_eq!(check(opened_with(for_old.clone(), &old), &[]), (0, vec![]));
    assert_eq!(
        check(for_old.clone(), &[]),
        (3, vec!["no-identity".to_owned()])
    );
    assert_eq!(
        check(opened_with(for_old, &new), &[]),
        (
            3,
            vec!["wrong-identity".to_owned(), "not-opened".to_owned()]
        )
    );
    // The recipients have changed, and with them who opens what.
    workplace.configure(&for_new);
    backup(&workplace.etcdrx());
    assert_eq!(check(opened_with(for_new.clone(), &new), &[]), (0, vec![]));
    assert_eq!(
        check(opened_with(for_new, &new), &["--all"]),
        (3, vec!["not-opened".to_owned()])
    );
    assert_eq!(
        check(opened_with(clear, &new), &[]),
        (3, vec!["no-recipients".to_owned()])
    );
}

#[tokio::test]
async fn minio_keeps_encrypted_backups_and_a_restore_opens_them() {
    require!("age");
    require!("minio");
    let (store, cluster) = (Store::minio().await, cluster_with_a_secret().await);
    let workplace = Workplace::new();
    let key = age_key(&workplace, "id.txt");
    let settings = settings_for(&workplace, &cluster, &store, store.endpoint(), store.url());
    let settings = opened_with(encrypted(settings, &[&key]), &key)
        .set("retention.keep_last", 1)
        .set("retention.minimum", 1);
    workplace.configure(&settings);
    let etcdrx = workplace.etcdrx().envs(store.credentials().iter().cloned());
    let data_dir = workplace.path("restored");

    let first = id_of(&backup(&etcdrx));
    let second = id_of(&backup(&etcdrx));
    etcdrx.run(["verify", "--all", "--deep"]).success();
    let restore = [
        "restore",
        &first,
        "--data-dir",
        data_dir.to_str().unwrap(),
        "--name",
        "m1",
    ];
    let cluster = ["--initial-cluster", "m1=http://127.0.0.1:2380"];
    etcdrx.run(restore.iter().chain(&cluster)).success();
    etcdrx.run(["prune", "--yes"]).success();

    let database = fs::read(data_dir.join("member/snap/db")).unwrap();
    assert!(holds(&database, SECRET.as_bytes()));
    let left = listed(&etcdrx);
    assert!(
        left.len() == 1 && [first, second].contains(&left[0]),
        "{left:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_from_a_backup_that_cannot_be_opened_is_refused_as_a_plan() {
    require!("age");
    let scene = Scene::of(&tools::newest_etcd(), 1, false).await;
    let workplace = Workplace::new();
    let (ours, other) = (
        age_key(&workplace, "id.txt"),
        age_key(&workplace, "other.txt"),
    );
    scene.write("k", 5).await;
    let recipient = ("ETCDRX_ENCRYPTION_RECIPIENTS", &ours.recipient);
    scene.etcdrx().envs([recipient]).run(["backup"]).success();
    scene.lose(&[0], true).await;
    let words = [
        "recover",
        "--scenario",
        "total",
        "--from",
        "latest",
        "--dry-run",
        "--json",
    ];

    let without = scene.etcdrx().run(words);
    let wrong = scene
        .etcdrx()
        .env("ETCDRX_ENCRYPTION_IDENTITY_FILE", &other.identity)
        .run(words);
    let right = scene
        .etcdrx()
        .env("ETCDRX_ENCRYPTION_IDENTITY_FILE", &ours.identity)
        .run(words);

    for refused in [without, wrong] {
        assert_eq!(refused.code, 4, "{refused:?}");
        let reasons = refused.json()["refused"].to_string();
        assert!(reasons.contains("identity_file"), "{reasons}");
    }
    assert_eq!(right.json()["refused"], json!([]), "{right:?}");
}
