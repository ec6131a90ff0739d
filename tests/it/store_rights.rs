//! A store that is there and says no: no bucket, no rights, the wrong key, the wrong door.

use crate::scratch::{Cluster, Etcdrx, Output, Store, require};
use crate::setup::{Settings, Workplace, assert_ends};
use crate::store_setup::{backup, keep_in, listed, settings_for, small_cluster};

#[tokio::test]
async fn what_minio_refuses_is_told_in_words() {
    require!("minio");
    let bench = Bench::of(Store::minio().await).await;
    let id = backup(&bench.owner())["id"].as_str().unwrap().to_owned();

    assert_checks_badly(&bench.a_missing_bucket(), "no such bucket");
    bench.a_wrong_key();
    bench.read_only_credentials(&id);
    bench.plain_http_that_is_not_allowed();
    assert_eq!(listed(&bench.owner()), [id]);
}

#[tokio::test]
async fn what_seaweedfs_refuses_is_told_in_words() {
    require!("seaweedfs");
    let bench = Bench::of(Store::seaweedfs().await).await;
    let id = backup(&bench.owner())["id"].as_str().unwrap().to_owned();

    // It makes a missing bucket for whoever writes to it, which `check` does first.
    bench.a_missing_bucket();
    bench.a_wrong_key();
    bench.read_only_credentials(&id);
    assert_eq!(listed(&bench.owner()), [id]);
}

#[tokio::test]
async fn what_azure_refuses_is_told_in_words() {
    require!("azurite");
    let bench = Bench::of(Store::azurite().await).await;

    assert_checks_badly(&bench.a_missing_bucket(), "no such bucket");
    bench.a_wrong_key();
}

#[tokio::test]
async fn what_webdav_refuses_is_told_in_words() {
    require!("wsgidav");
    let bench = Bench::of(Store::webdav_with_password()).await;
    let nobody = bench.owner();
    let stranger = nobody.clone().env("WEBDAV_USERNAME", "stranger");
    let stranger = stranger.env("WEBDAV_PASSWORD", "guess");

    for etcdrx in [nobody, stranger] {
        for command in ["backup", "list", "prune"] {
            let output = keep_one(&etcdrx).run([command]);
            assert_ends(
                &output,
                1,
                &["does not allow us", "401", "hint: check the credentials"],
            );
        }
    }
}

#[tokio::test]
async fn a_store_with_an_unknown_ca_is_not_trusted() {
    require!("minio");
    let bench = Bench::of(Store::minio_tls().await).await;
    let etcdrx = bench.with(&bench.settings().without("repository.ca"));

    let output = etcdrx.run(["backup"]);

    assert_ends(&output, 5, &["certificate"]);
    assert_eq!(listed(&bench.owner()), [""; 0]);
}

#[tokio::test]
async fn a_server_that_is_no_object_store_is_told_in_words() {
    require!("minio");
    let bench = Bench::of(Store::minio().await).await;
    let etcd = bench.cluster.endpoints().remove(0);
    let etcdrx = bench.with(&bench.settings().set("repository.endpoint", etcd));

    let output = etcdrx.run(["backup"]);

    assert_ne!(output.code, 0);
}

struct Bench {
    store: Store,
    cluster: Cluster,
    workplace: Workplace,
}

impl Bench {
    async fn of(store: Store) -> Bench {
        Bench {
            store,
            cluster: small_cluster().await,
            workplace: Workplace::new(),
        }
    }

    /// Somebody who may do everything.
    fn owner(&self) -> Etcdrx {
        keep_in(&self.workplace, &self.cluster, &self.store)
    }

    fn settings(&self) -> Settings {
        let (endpoint, url) = (self.store.endpoint(), self.store.url());
        settings_for(&self.workplace, &self.cluster, &self.store, endpoint, url)
    }

    /// The owner with other settings.
    fn with(&self, settings: &Settings) -> Etcdrx {
        let etcdrx = self.owner();
        self.workplace.configure(settings);
        etcdrx
    }

    fn a_missing_bucket(&self) -> Etcdrx {
        let url = self.store.url().replace("backups", "elsewhere");
        let etcdrx = self.with(&self.settings().set("repository.url", url));

        for command in ["backup", "list", "prune", "verify"] {
            let output = keep_one(&etcdrx).run([command]);
            assert_ends(
                &output,
                1,
                &["no such bucket", "create it, or correct the URL"],
            );
        }
        etcdrx
    }

    fn a_wrong_key(&self) {
        let stranger = self.store.wrong_credentials().unwrap();
        let etcdrx = self.owner().envs(stranger.iter().cloned());

        for command in ["backup", "list", "prune", "verify"] {
            let output = keep_one(&etcdrx).run([command]);
            let words = ["does not allow us", "hint: check the credentials"];
            assert_ends(&output, 1, &words);
        }
        assert_checks_badly(&etcdrx, "does not allow us");
    }

    fn read_only_credentials(&self, id: &str) {
        let reader = self.store.read_only_credentials().unwrap();
        let etcdrx = keep_one(&self.owner().envs(reader.iter().cloned()));

        for arguments in [vec!["backup"], vec!["pin", id]] {
            let output = etcdrx.run(arguments);
            assert_ends(
                &output,
                1,
                &["does not allow us to", "read, write, list, delete"],
            );
        }
        assert_checks_badly(&etcdrx, "does not allow us");
        // Who may read can look, and can get data out.
        assert_eq!(listed(&etcdrx), [id]);
        let verified = etcdrx.run(["verify"]).success();
        assert!(
            verified.stderr.contains("the result is not recorded"),
            "{verified:?}"
        );
        etcdrx.run(["fetch", id, "-o", "reader.db"]).success();
    }

    fn plain_http_that_is_not_allowed(&self) {
        let etcdrx = self.with(&self.settings().without("repository.allow_http"));
        for command in ["backup", "list"] {
            let output = etcdrx.run([command]);
            assert_ends(&output, 2, &["plain http://", "allow_http"]);
        }
    }
}

/// With a policy, so that `prune` gets as far as the store.
fn keep_one(etcdrx: &Etcdrx) -> Etcdrx {
    etcdrx.clone().env("ETCDRX_RETENTION_KEEP_LAST", "1")
}

fn assert_checks_badly(etcdrx: &Etcdrx, words: &str) {
    let output: Output = etcdrx.run(["check", "--json"]);
    assert_eq!(output.code, 3, "{output:?}");
    let findings = output.json()["findings"].clone();
    let repository = &findings.as_array().unwrap()[0];
    assert_eq!(repository["code"], "repository");
    assert!(
        repository["message"].as_str().unwrap().contains(words),
        "{findings}"
    );
}
