//! Manifests that are signed, and what happens to those that are not, or were changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::recover_setup::Scene;
use crate::scratch::{Cluster, Etcdrx, require, tools};
use crate::setup::{FOLDER, Settings, Workplace, assert_ends, codes};
use crate::store_setup::{backup, id_of, small_cluster};

/// A place where backups are signed and signatures asked for.
struct Bench {
    cluster: Cluster,
    workplace: Workplace,
}

impl Bench {
    async fn new() -> Bench {
        let cluster = small_cluster().await;
        let workplace = Workplace::of(&cluster);
        key_pair(&workplace, "ours");
        let bench = Bench { cluster, workplace };
        bench.workplace.configure(&bench.signing("ours"));
        bench
    }

    fn signing(&self, name: &str) -> Settings {
        let path = |name: &str| self.workplace.path(name).display().to_string();
        self.workplace
            .settings(&self.cluster)
            .set("encryption.signing_key_file", path(&format!("{name}.key")))
            .set("encryption.verifying_key_file", path("ours.pub"))
    }

    fn etcdrx(&self) -> Etcdrx {
        self.workplace.etcdrx()
    }

    fn object(&self, id: &str, name: &str) -> PathBuf {
        let folder = self.workplace.repository().join(FOLDER);
        folder.join(id).join(name)
    }

    /// Panics unless nothing of the backup is given out, with this exit code, and nothing is left of the try.
    fn assert_refused(&self, id: &str, code: i32, words: &str) {
        let target = self.workplace.path("target");
        let path = target.to_str().unwrap();
        let member = [
            "--name",
            "m1",
            "--initial-cluster",
            "m1=http://127.0.0.1:2380",
        ];
        let restore = [&["restore", id, "--data-dir", path][..], &member].concat();
        for arguments in [
            &["fetch", id, "-o", path][..],
            &restore,
            &["snapshot", "status", id],
        ] {
            assert_ends(&self.etcdrx().run(arguments), code, &[words]);
            assert!(!target.exists());
        }
        let verified = self.etcdrx().run(["verify", id, "--json"]);
        assert_eq!(verified.code, 6, "{verified:?}");
        let report = verified.json()["backups"][0].clone();
        assert!(codes(&report).contains(&"signature"), "{report}");
    }
}

fn openssl(arguments: &[&str], directory: &Path) {
    let mut openssl = Command::new("openssl");
    let done = openssl.args(arguments).current_dir(directory).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// `NAME.key` and `NAME.pub`, as people make them.
fn key_pair(workplace: &Workplace, name: &str) {
    let directory = workplace.path("");
    let (key, public) = (format!("{name}.key"), format!("{name}.pub"));
    openssl(
        &["genpkey", "-algorithm", "ed25519", "-out", &key],
        &directory,
    );
    openssl(
        &["pkey", "-in", &key, "-pubout", "-out", &public],
        &directory,
    );
}

#[tokio::test]
async fn a_signed_manifest_is_taken_and_openssl_agrees() {
    require!("openssl");
    let bench = Bench::new().await;

    let id = id_of(&backup(&bench.etcdrx()));

    let verified = bench.etcdrx().run(["verify", "--json"]).success().json();
    let checks = verified["backups"][0]["checks"].to_string();
    assert!(checks.contains("signature"), "{checks}");
    let shown = bench.etcdrx().run(["show", "--json"]).success().json();
    assert_eq!(shown["signature"], "good");
    let text = |path: PathBuf| path.display().to_string();
    let manifest = text(bench.object(&id, "manifest.json"));
    let signature = text(bench.object(&id, "manifest.sig"));
    let question = [
        "pkeyutl", "-verify", "-pubin", "-inkey", "ours.pub", "-rawin",
    ];
    let about = ["-in", &manifest, "-sigfile", &signature];
    openssl(&[&question[..], &about].concat(), &bench.workplace.path(""));
}

#[tokio::test]
async fn what_is_not_signed_by_the_right_key_is_refused_and_a_changed_manifest_is_damaged() {
    require!("openssl");
    let bench = Bench::new().await;
    let (first, second) = (
        id_of(&backup(&bench.etcdrx())),
        id_of(&backup(&bench.etcdrx())),
    );
    let (manifest, signature) = (
        bench.object(&first, "manifest.json"),
        bench.object(&first, "manifest.sig"),
    );
    let (json, signed) = (fs::read(&manifest).unwrap(), fs::read(&signature).unwrap());

    // A field that nothing else would miss.
    let mut told: Value = serde_json::from_slice(&json).unwrap();
    told["member_name"] = "somebody-else".into();
    fs::write(&manifest, told.to_string()).unwrap();
    bench.assert_refused(&first, 6, "does not hold");
    fs::write(&manifest, &json).unwrap();

    // That of another backup, and one that is no signature.
    fs::copy(bench.object(&second, "manifest.sig"), &signature).unwrap();
    bench.assert_refused(&first, 6, "does not hold");
    fs::write(&signature, b"").unwrap();
    bench.assert_refused(&first, 6, "does not hold");

    fs::remove_file(&signature).unwrap();
    bench.assert_refused(&first, 4, "is not signed");

    // Nothing of this counts as damage of the data.
    fs::write(&signature, &signed).unwrap();
    bench.etcdrx().run(["verify", &first]).success();
    let shown = bench
        .etcdrx()
        .run(["show", &first, "--json"])
        .success()
        .json();
    assert_eq!(shown["health"], "verified");

    // Somebody else's key.
    key_pair(&bench.workplace, "other");
    bench.workplace.configure(&bench.signing("other"));
    let third = id_of(&backup(&bench.etcdrx()));
    bench.assert_refused(&third, 6, "does not hold");
}

#[tokio::test]
async fn a_key_that_is_none_is_no_reason_to_go_without_a_signature() {
    require!("openssl");
    let bench = Bench::new().await;
    let rsa = ["genpkey", "-algorithm", "RSA", "-out", "rsa.key"];
    openssl(&rsa, &bench.workplace.path(""));

    for (name, words) in [
        ("rsa", "no private key of Ed25519"),
        ("nosuch", "cannot read"),
    ] {
        bench.workplace.configure(&bench.signing(name));
        let refused = bench.etcdrx().run(["backup"]);
        assert_ends(&refused, 2, &["signing_key_file", words]);
    }
    let settings = bench.signing("ours");
    let key = bench.workplace.path("ours.key").display().to_string();
    let settings = settings.set("encryption.verifying_key_file", key);
    bench.workplace.configure(&settings);
    let refused = bench.etcdrx().run(["list"]);

    assert_ends(
        &refused,
        2,
        &["verifying_key_file", "no public key of Ed25519"],
    );
    assert_eq!(bench.workplace.stored().len(), 0);
}

#[tokio::test]
async fn prune_removes_the_signature_with_its_backup() {
    require!("openssl");
    let bench = Bench::new().await;
    let settings = bench.signing("ours").set("retention.keep_last", 1);
    bench
        .workplace
        .configure(&settings.set("retention.minimum", 1));
    backup(&bench.etcdrx());
    backup(&bench.etcdrx());

    bench.etcdrx().run(["prune", "--yes"]).success();

    let stored = bench.workplace.stored();
    let signatures = stored.iter().filter(|name| name.ends_with("/manifest.sig"));
    assert_eq!((signatures.count(), stored.len()), (1, 3), "{stored:?}");
}

/// A plan that rests on a backup that would be refused at its first step helps nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_from_a_backup_without_our_signature_is_refused_as_a_plan() {
    require!("openssl");
    let scene = Scene::of(&tools::newest_etcd(), 1, false).await;
    let workplace = Workplace::new();
    key_pair(&workplace, "ours");
    scene.write("k", 5).await;
    scene.etcdrx().run(["backup"]).success();
    scene.lose(&[0], true).await;
    let words = ["recover", "--scenario", "total", "--from", "latest"];

    let refused = scene
        .etcdrx()
        .env(
            "ETCDRX_ENCRYPTION_VERIFYING_KEY_FILE",
            workplace.path("ours.pub"),
        )
        .run(words.iter().chain(&["--dry-run", "--json"]));

    assert_eq!(refused.code, 4, "{refused:?}");
    let reasons = refused.json()["refused"].to_string();
    assert!(reasons.contains("signature"), "{reasons}");
}
