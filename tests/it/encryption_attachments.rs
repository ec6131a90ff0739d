//! Side files that are stored with a backup: what comes back, what is refused, and what is said.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::stat::Mode;
use serde_json::{Value, json};

use crate::encryption_setup::{KeyPair, age_decrypts, age_key, encrypted};
use crate::scratch::{Cluster, Etcdrx, require};
use crate::setup::{FOLDER, Settings, Workplace, assert_ends, codes};
use crate::store_setup::{backup, id_of, sha256, small_cluster};

/// What a stranger must find nowhere.
const TOKEN: &str = "a-token-that-is-in-no-stored-byte";

/// A cluster, and side files as a control plane has them.
struct Kit {
    cluster: Cluster,
    workplace: Workplace,
    key: KeyPair,
}

impl Kit {
    async fn new() -> Kit {
        let cluster = small_cluster().await;
        let workplace = Workplace::of(&cluster);
        let key = age_key(&workplace, "id.txt");
        let kit = Kit {
            cluster,
            workplace,
            key,
        };
        fs::create_dir_all(kit.pki().join("etcd")).unwrap();
        fs::create_dir(kit.pki().join("empty")).unwrap();
        kit.write("pki/ca.key", "the key of an authority", 0o600);
        kit.write("pki/etcd/ca.crt", "a certificate", 0o644);
        kit.write("token", TOKEN, 0o640);
        symlink("etcd/ca.crt", kit.pki().join("current.crt")).unwrap();
        kit.attach(&["pki", "token"]);
        kit
    }

    fn pki(&self) -> PathBuf {
        self.workplace.path("pki")
    }

    fn write(&self, name: &str, content: &str, mode: u32) {
        let path = self.workplace.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn settings(&self, names: &[&str]) -> Settings {
        let paths = names.iter().map(|name| self.workplace.path(name));
        let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
        let settings = self.workplace.settings(&self.cluster);
        encrypted(settings, &[&self.key]).set("backup.attach", paths)
    }

    fn attach(&self, names: &[&str]) {
        self.workplace.configure(&self.settings(names));
    }

    /// The program with what opens the backups.
    fn opening(&self) -> Etcdrx {
        let etcdrx = self.workplace.etcdrx();
        etcdrx.env("ETCDRX_ENCRYPTION_IDENTITY_FILE", &self.key.identity)
    }

    /// The archive of a backup.
    fn object(&self, id: &str) -> PathBuf {
        let folder = self.workplace.repository().join(FOLDER).join(id);
        folder.join("attachments.tar.zst.age")
    }

    /// Fetches the attachments into a new directory.
    fn fetch(&self, id: &str, directory: &str) -> crate::scratch::Output {
        let target = self.workplace.path(directory);
        let words = ["fetch", id, "--attachments", "-o", target.to_str().unwrap()];
        self.opening().run(words)
    }
}

/// Where something that lay at `path` lies in a directory that was fetched.
fn below(directory: &Path, path: &Path) -> PathBuf {
    directory.join(path.strip_prefix("/").unwrap())
}

fn mode(path: &Path) -> u32 {
    path.symlink_metadata().unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn what_is_attached_comes_back_as_it_was_and_age_and_tar_open_it() {
    require!("age");
    let kit = Kit::new().await;
    let (etcdrx, opening) = (kit.workplace.etcdrx(), kit.opening());

    let checked = etcdrx.run(["check", "--json"]).success().json();
    let manifest = backup(&etcdrx);

    let passed = checked["passed"].to_string();
    assert!(passed.contains("files: 3"), "{passed}");
    let id = id_of(&manifest);
    let told = &manifest["attachments"];
    assert_eq!(
        (&told["files"], &manifest["findings"]),
        (&json!(3), &json!([]))
    );
    assert_eq!(told["stored_sha256"], sha256(&kit.object(&id)));
    let verified = opening.run(["verify", "--json"]).success().json();
    assert!(
        verified["backups"][0]["checks"]
            .to_string()
            .contains("attachments")
    );
    let shown = etcdrx.run(["show"]).success().stdout;
    assert!(shown.contains("(3 files, "), "{shown}");

    kit.fetch(&id, "fetched").success();
    let fetched = kit.workplace.path("fetched");
    let there = |name: &str| below(&fetched, &kit.workplace.path(name));
    assert_eq!(mode(&fetched), 0o700);
    assert_eq!(fs::read_to_string(there("token")).unwrap(), TOKEN);
    assert_eq!(
        (mode(&there("token")), mode(&there("pki/ca.key"))),
        (0o640, 0o600)
    );
    assert!(there("pki/empty").is_dir());
    let link = fs::read_link(there("pki/current.crt")).unwrap();
    assert_eq!(link, Path::new("etcd/ca.crt"));
    assert_eq!(
        fs::read_to_string(there("pki/current.crt")).unwrap(),
        "a certificate"
    );

    // A second time it overwrites nothing; and nobody needs us for it.
    assert_ends(&kit.fetch(&id, "fetched"), 4, &["exists already"]);
    let archive = zstd::decode_all(age_decrypts(&kit.key.identity, &kit.object(&id)).as_slice());
    let file = kit.workplace.path("by-hand.tar");
    fs::write(&file, archive.unwrap()).unwrap();
    let listed = Command::new("tar").arg("-tf").arg(&file).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert_eq!(listed.lines().count(), 7, "{listed}");
    assert!(listed.contains("pki/etcd/ca.crt"), "{listed}");
    let streamed = opening
        .run(["fetch", &id, "--attachments", "-o", "-"])
        .success();
    assert!(streamed.stdout.contains(TOKEN));
}

#[tokio::test]
async fn attachments_in_the_clear_are_refused_before_anything_is_stored() {
    require!("age");
    let kit = Kit::new().await;
    let attach = "backup.attach";
    let clear = kit.settings(&["token"]).without("encryption.recipients");
    let relative = kit.settings(&[]).set(attach, vec!["pki"]);
    let upwards = kit.settings(&[]).set(attach, vec!["/etc/../pki"]);
    let everything = kit.settings(&[]).set(attach, vec!["/"]);

    for (settings, words) in [
        (clear, "stored encrypted only"),
        (relative, "`pki` is no absolute path"),
        (upwards, "`/etc/../pki` is no absolute path"),
        (everything, "`/` is no absolute path"),
    ] {
        kit.workplace.configure(&settings);
        let refused = kit.workplace.etcdrx().run(["backup"]);
        assert_ends(&refused, 2, &["[backup] attach", words]);
    }
    assert!(!kit.workplace.repository().exists());
}

#[tokio::test]
async fn what_cannot_be_attached_is_said_and_the_backup_is_taken_all_the_same() {
    require!("age");
    let kit = Kit::new().await;
    let taken = |names: &[&str]| {
        kit.attach(names);
        let output = kit.workplace.etcdrx().run(["backup", "--json"]);
        (output.code, output.json())
    };
    symlink("/etc/hostname", kit.pki().join("elsewhere")).unwrap();
    symlink("nosuch", kit.pki().join("dangling")).unwrap();
    nix::unistd::mkfifo(&kit.pki().join("fifo"), Mode::S_IRWXU).unwrap();

    // None of these waits for a writer, and what leads out is told.
    let (code, manifest) = taken(&["pki"]);
    assert_eq!((code, &manifest["attachments"]["files"]), (0, &json!(2)));
    let mut found = codes(&manifest);
    found.sort_unstable();
    assert_eq!(
        found,
        ["attachment-link", "attachment-link", "attachment-unread"]
    );

    let (code, manifest) = taken(&["token", "nosuch"]);
    assert_eq!((code, &manifest["attachments"]["files"]), (3, &json!(1)));
    assert_eq!(codes(&manifest), ["attachment-unread"]);

    let (code, manifest) = taken(&["nosuch"]);
    assert_eq!((code, &manifest["attachments"]), (3, &Value::Null));
    assert_eq!(codes(&manifest), ["attachment-unread", "no-attachments"]);

    fs::write(kit.workplace.path("large"), vec![7; 17 << 20]).unwrap();
    let (code, manifest) = taken(&["token", "large"]);
    assert_eq!((code, &manifest["attachments"]), (3, &Value::Null));
    assert_eq!(codes(&manifest), ["no-attachments"]);
    let id = id_of(&manifest);
    assert_ends(&kit.fetch(&id, "none"), 2, &["has no attachments"]);
    kit.opening().run(["verify", "--all"]).success();
    let checked = kit.workplace.etcdrx().run(["check", "--json"]);
    assert_eq!(
        (checked.code, codes(&checked.json())),
        (3, vec!["no-attachments"])
    );
}

#[tokio::test]
async fn damaged_attachments_are_found_and_take_nothing_from_the_snapshot() {
    require!("age");
    let kit = Kit::new().await;
    let (first, second) = (
        id_of(&backup(&kit.workplace.etcdrx())),
        id_of(&backup(&kit.workplace.etcdrx())),
    );
    let object = kit.object(&first);
    let whole = fs::read(&object).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let damages = [
        (Some(flipped), "bytes were changed"),
        (Some(whole[..whole.len() - 1].to_vec()), "were stored"),
        (Some(fs::read(kit.object(&second)).unwrap()), "damaged"),
        (None, "is not there"),
    ];

    for (damage, words) in damages {
        match damage {
            Some(bytes) => fs::write(&object, bytes).unwrap(),
            None => fs::remove_file(&object).unwrap(),
        }
        for etcdrx in [kit.workplace.etcdrx(), kit.opening()] {
            let verified = etcdrx.run(["verify", &first, "--json"]);
            assert_eq!(verified.code, 6, "{verified:?}");
            let findings = verified.json()["backups"][0].clone();
            assert!(codes(&findings).contains(&"attachments"), "{findings}");
            assert!(findings.to_string().contains(words), "{findings}");
        }
        assert_ends(&kit.fetch(&first, "fetched"), 6, &["attachments", words]);
        assert!(!kit.workplace.path("fetched").exists());
    }
    // Who restores in a hurry gets the newest data all the same.
    let file = kit.workplace.path("snapshot.db");
    let words = ["fetch", &first, "-o", file.to_str().unwrap()];
    kit.opening().run(words).success();
    let listed = kit.workplace.backups();
    assert!(listed.iter().all(|backup| backup["health"] == "verified"));
    let shown = kit
        .workplace
        .etcdrx()
        .run(["show", &first])
        .success()
        .stdout;
    assert!(shown.contains("error [attachments]"), "{shown}");
}

#[tokio::test]
async fn without_an_identity_attachments_stay_closed() {
    require!("age");
    let kit = Kit::new().await;
    let id = id_of(&backup(&kit.workplace.etcdrx()));
    let target = kit.workplace.path("target");
    let words = [
        "fetch",
        &id,
        "--attachments",
        "-o",
        target.to_str().unwrap(),
    ];

    let refused = kit.workplace.etcdrx().run(words);

    assert_ends(&refused, 4, &["no identity is configured"]);
    assert!(!target.exists());
    kit.workplace.etcdrx().run(["verify"]).success();
    let other = age_key(&kit.workplace, "other.txt");
    let wrong = kit.workplace.etcdrx();
    let wrong = wrong.env("ETCDRX_ENCRYPTION_IDENTITY_FILE", &other.identity);
    assert_ends(&wrong.run(words), 4, &["none of the identities"]);
    assert!(!target.exists());
}

#[tokio::test]
async fn attachments_are_copied_with_their_backup_and_pruned_with_it() {
    require!("age");
    let kit = Kit::new().await;
    let far = kit.workplace.path("far");
    let near = format!("url = \"file://{}\"", kit.workplace.repository().display());
    let away = format!("url = \"file://{}\"", far.display());
    let settings = kit.settings(&["pki", "token"]);
    let only_near = settings.clone().repositories(&[("near", &near)]);
    kit.workplace.configure(&only_near);
    let id = id_of(&backup(&kit.workplace.etcdrx()));
    let both = settings.repositories(&[("near", &near), ("far", &away)]);
    kit.workplace.configure(&both);

    let etcdrx = kit.workplace.etcdrx();
    etcdrx
        .run(["copy", "--from", "near", "--to", "far"])
        .success();

    let copied = far.join(FOLDER).join(&id).join("attachments.tar.zst.age");
    assert_eq!(
        fs::read(&copied).unwrap(),
        fs::read(kit.object(&id)).unwrap()
    );
    // One that lost them is not passed off as whole.
    let second = id_of(&backup(&etcdrx));
    fs::remove_dir_all(far.join(FOLDER).join(&second)).unwrap();
    fs::remove_file(kit.object(&second)).unwrap();
    let refused = etcdrx.run(["copy", "--from", "near", "--to", "far"]);
    assert_ends(&refused, 6, &["its attachments are missing"]);

    let keep = kit.settings(&["token"]).set("retention.keep_last", 1);
    let keep = keep.set("retention.minimum", 0);
    kit.workplace.configure(&keep);
    etcdrx.run(["prune", "--yes"]).success();
    assert!(!kit.object(&id).parent().unwrap().exists());
}
