//! A cluster as a site has one, broken and brought back by the program itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chrono::Utc;
use etcdrx::drill::{Plan, Site};
use etcdrx::sandbox::Program;
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::scratch::pki::install_crypto;
use crate::scratch::tools::EtcdRelease;
use crate::scratch::{Etcdrx, Output};
use crate::setup::etcdrx;

/// How long a recovery may take in a test.
pub(crate) const LIMIT: Duration = Duration::from_mins(3);

/// A site, and where its recoveries are kept.
pub(crate) struct Scene {
    pub(crate) site: Site,
    // Last: removed after the members are gone.
    directory: TempDir,
}

impl Scene {
    /// Starts `members` members of `release`.
    pub(crate) async fn of(release: &EtcdRelease, members: usize, tls: bool) -> Scene {
        install_crypto();
        let directory = TempDir::with_prefix("etcdrx-scene-").unwrap();
        let program = Program::open(&release.etcd()).await.unwrap();
        let plan = Plan {
            program: &program,
            members,
            tls,
            seed: None,
            directory: directory.path(),
            now: Utc::now(),
        };
        let site = Site::start(&plan).await.unwrap();
        Scene { site, directory }
    }

    /// Where recoveries are kept.
    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The program, led by the site's own configuration.
    pub(crate) fn etcdrx(&self) -> Etcdrx {
        let config = self.site.directory().join("etcdrx.toml");
        etcdrx()
            .env("ETCDRX_CONFIG", config)
            .env("ETCDRX_STATE_DIR", self.state())
            .limit(LIMIT)
    }

    /// Writes keys, each acknowledged, and gives them with their values.
    pub(crate) async fn write(&self, prefix: &str, count: usize) -> BTreeMap<String, String> {
        let endpoints: Vec<_> = self
            .site
            .members
            .iter()
            .map(|m| m.client_url.clone())
            .collect();
        let mut written = BTreeMap::new();
        let member = self.client(&endpoints).await;
        for number in 0..count {
            let (key, value) = (format!("{prefix}{number:04}"), format!("value {number}"));
            let put = etcdrx::etcd::Put {
                key: key.as_bytes(),
                value: value.as_bytes(),
                seen_mod_revision: 0,
            };
            assert!(member.put_if_unchanged(&[put]).await.unwrap());
            written.insert(key, value);
        }
        self.until_level().await;
        written
    }

    /// Waits until every member has what was acknowledged: a quorum without the one that is left may have been enough.
    async fn until_level(&self) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let revisions: Vec<_> = self.site.statuses().await;
            let revisions: Vec<_> = revisions.iter().flatten().map(|one| one.revision).collect();
            if revisions.iter().all(|one| *one == revisions[0]) {
                return;
            }
            assert!(Instant::now() < deadline, "{revisions:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn client(&self, endpoints: &[String]) -> etcdrx::etcd::Member {
        for endpoint in endpoints {
            let member = self
                .site
                .access()
                .member(endpoint, Duration::from_secs(5))
                .await;
            if let Ok(member) = member
                && member.linearizable_revision().await.is_ok()
            {
                return member;
            }
        }
        panic!("no member serves");
    }

    /// Asserts that each member by itself serves all of `written`.
    pub(crate) async fn assert_holds(&self, written: &BTreeMap<String, String>) {
        self.site
            .until_all_serve(Duration::from_mins(1))
            .await
            .unwrap();
        for member in &self.site.members {
            let live = self.client(std::slice::from_ref(&member.client_url)).await;
            let keys: Vec<&[u8]> = written.keys().map(String::as_bytes).collect();
            for (keys, expected) in keys
                .chunks(50)
                .zip(written.values().collect::<Vec<_>>().chunks(50))
            {
                let found = live.read_keys(keys).await.unwrap();
                for ((key, found), expected) in keys.iter().zip(found).zip(expected) {
                    let found = found.map(|found| String::from_utf8(found.value).unwrap());
                    let key = String::from_utf8_lossy(key);
                    assert_eq!(
                        found.as_ref(),
                        Some(*expected),
                        "{key} through {}",
                        member.name
                    );
                }
            }
        }
    }

    /// Kills members, and takes their data where `with_data`.
    pub(crate) async fn lose(&self, members: &[usize], with_data: bool) {
        for index in members {
            self.site.signal(*index, Signal::SIGKILL);
        }
        for index in members {
            assert!(self.site.until_it_is_gone(*index).await);
            if with_data {
                std::fs::remove_dir_all(self.site.members[*index].data_dir()).unwrap();
            }
        }
    }

    /// The plan of a dry run.
    pub(crate) fn plan(&self, arguments: &[&str]) -> Value {
        let output = self.dry_run(arguments);
        output.json()
    }

    /// A dry run.
    pub(crate) fn dry_run(&self, arguments: &[&str]) -> Output {
        let words = ["--json", "recover", "--dry-run"].iter().chain(arguments);
        self.etcdrx().run(words)
    }

    /// Recovers with what a dry run approved, and gives the last event.
    pub(crate) fn recover(&self, arguments: &[&str]) -> Value {
        let digest = self.digest(arguments);
        let words = ["--json", "recover", "--yes", "--plan", &digest];
        let output = self.etcdrx().run(words.iter().chain(arguments)).success();
        let last = output.json_lines().pop().unwrap();
        assert_eq!(last["event"], "recovered", "{last}");
        last
    }

    /// The digest of the plan that these arguments make.
    pub(crate) fn digest(&self, arguments: &[&str]) -> String {
        let plan = self.plan(arguments);
        assert_eq!(plan["refused"], serde_json::json!([]), "{plan:#}");
        plan["digest"].as_str().unwrap().to_owned()
    }
}

/// The names in a directory.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
