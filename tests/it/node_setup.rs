//! A node for one test: an etcd of one member that starts and stops by the commands of a site, and the actions as etcdrx sends them.

use std::env;
use std::ffi::OsString;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use etcd_client::Client;
use etcdrx::config::Service;
use etcdrx::node::{Action, Answer, Directories, NewCluster};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::restore_setup::save_snapshot;
use crate::scratch::tools::EtcdRelease;
use crate::scratch::{Output, ports};
use crate::setup::{Workplace, etcdrx};

/// The recovery that all tests belong to.
pub(crate) const RUN: &str = "20261121T103000Z-9f3a1c";

/// An etcd of one member below a folder, which is stopped when this is dropped.
pub(crate) struct Node {
    pub(crate) workplace: Workplace,
    pub(crate) directories: Directories,
    client_url: String,
    peer_url: String,
    /// What etcd logs.
    pub(crate) log: PathBuf,
    /// What etcdrx finds first.
    path: Option<OsString>,
}

impl Node {
    /// A node with its configuration and its commands; nothing runs yet.
    pub(crate) fn of(release: &EtcdRelease) -> Node {
        Node::with(release, None)
    }

    /// The same with a directory for the log.
    pub(crate) fn with_wal_dir(release: &EtcdRelease) -> Node {
        Node::with(release, Some("log"))
    }

    fn with(release: &EtcdRelease, wal_dir: Option<&str>) -> Node {
        let workplace = Workplace::new();
        let client_url = format!("http://{}", ports::free_address());
        let peer_url = format!("http://{}", ports::free_address());
        let directories = Directories {
            data_dir: workplace.path("data"),
            wal_dir: wal_dir.map(|name| workplace.path(name)),
        };
        let log = workplace.path("etcd.log");
        let node = Node {
            workplace,
            directories,
            client_url,
            peer_url,
            path: None,
            log,
        };
        node.write_config();
        node.write_commands(&release.etcd());
        node
    }

    fn write_config(&self) {
        let Node {
            client_url,
            peer_url,
            directories,
            ..
        } = self;
        let log = directories.wal_dir.as_ref();
        let log = log.map_or(String::new(), |path| {
            format!("wal-dir: {}\n", path.display())
        });
        let text = format!(
            "# The member of this node.\nname: m1\ndata-dir: {}\n{log}\
             listen-client-urls: {client_url}\nadvertise-client-urls: {client_url}\n\
             listen-peer-urls: {peer_url}\ninitial-advertise-peer-urls: {peer_url}\n\
             initial-cluster: m1={peer_url} # all members\ninitial-cluster-state: 'new'\n\
             heartbeat-interval: 50\nelection-timeout: 500\n",
            directories.data_dir.display()
        );
        fs::write(self.config(), text).unwrap();
    }

    /// What a site would write: a start that returns at once, a stop that asks, a status that looks.
    fn write_commands(&self, etcd: &Path) {
        let folder = self.workplace.path("").display().to_string();
        let etcd = etcd.display();
        let scripts = [
            (
                "start",
                format!(
                    "{etcd} --config-file \"$1\" >>{folder}/etcd.log 2>&1 </dev/null &\necho $! >{folder}/pid\n"
                ),
            ),
            (
                "stop",
                format!("kill \"$(cat {folder}/pid)\" 2>/dev/null\nexit 0\n"),
            ),
            (
                "status",
                // One that is dead and not reaped does not run.
                format!(
                    "grep -q '^State:.[RSDTt]' \"/proc/$(cat {folder}/pid)/status\" 2>/dev/null || exit 3\n"
                ),
            ),
        ];
        for (name, text) in scripts {
            let path = self.workplace.path(name);
            fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
    }

    /// Lets etcdrx find the programs of a folder before all others.
    pub(crate) fn put_first(&mut self, folder: &Path) {
        let mut path = folder.as_os_str().to_owned();
        path.push(":");
        path.push(env::var_os("PATH").unwrap());
        self.path = Some(path);
    }

    pub(crate) fn client_url(&self) -> &str {
        &self.client_url
    }

    pub(crate) fn peer_url(&self) -> &str {
        &self.peer_url
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.workplace.path("etcd.conf.yml")
    }

    /// The commands, as `[[node]]` gives them.
    pub(crate) fn service(&self) -> Service {
        let word = |name: &str| self.workplace.path(name).display().to_string();
        Service::Command {
            start: vec![word("start"), self.config().display().to_string()],
            stop: vec![word("stop")],
            status: vec![word("status")],
        }
    }

    pub(crate) fn start(&self) -> Action {
        Action::Start {
            service: self.service(),
            run: RUN.to_owned(),
        }
    }

    pub(crate) fn stop(&self, kill: bool) -> Action {
        Action::Stop {
            service: self.service(),
            directories: self.directories.clone(),
            kill,
            run: RUN.to_owned(),
        }
    }

    pub(crate) fn set_aside(&self) -> Action {
        Action::SetAside {
            directories: self.directories.clone(),
            run: RUN.to_owned(),
        }
    }

    pub(crate) fn place(&self) -> Action {
        Action::Place {
            directories: self.directories.clone(),
            run: RUN.to_owned(),
        }
    }

    pub(crate) fn put_back(&self) -> Action {
        Action::PutBack {
            directories: self.directories.clone(),
            run: RUN.to_owned(),
        }
    }

    pub(crate) fn unstage(&self) -> Action {
        Action::Unstage {
            directories: self.directories.clone(),
            run: RUN.to_owned(),
        }
    }

    pub(crate) fn stage(&self, snapshot: &Path) -> Action {
        Action::Stage {
            snapshot: snapshot.to_owned(),
            unproven: false,
            directories: self.directories.clone(),
            cluster: NewCluster {
                initial_cluster: format!("m1={}", self.peer_url),
                token: "a-new-token".to_owned(),
                name: "m1".to_owned(),
            },
            bump_revision: Some(1_000_000),
            clear_alarms: false,
            run: RUN.to_owned(),
        }
    }

    /// Does it as etcdrx does it on a node: by the words of the action.
    pub(crate) fn run(&self, action: &Action) -> Output {
        let json = ["--json".to_owned()];
        let etcdrx = match &self.path {
            Some(path) => etcdrx().env("PATH", path),
            None => etcdrx(),
        };
        etcdrx.run(json.into_iter().chain(action.words()))
    }

    /// The answer to an action that works.
    pub(crate) fn answer(&self, action: &Action) -> Answer {
        let output = self.run(action);
        serde_json::from_slice(&output.stdout_bytes)
            .unwrap_or_else(|error| panic!("no answer: {error}\n{output:?}"))
    }

    /// Whether an action that works changed anything.
    pub(crate) fn changed(&self, action: &Action) -> bool {
        match self.answer(action) {
            Answer::Done { changed, .. } | Answer::Staged { changed, .. } => changed,
            other => panic!("{other:?}"),
        }
    }

    /// A client, once etcd answers.
    pub(crate) async fn client(&self) -> Client {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Ok(mut client) = Client::connect([&self.client_url], None).await
                && client.get("health", None).await.is_ok()
            {
                return client;
            }
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            assert!(Instant::now() < deadline, "etcd does not answer\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Starts it, puts a key, and takes a snapshot.
    pub(crate) async fn begin(&self) -> PathBuf {
        assert!(self.changed(&self.start()));
        let mut client = self.client().await;
        client.put("key", "in the snapshot", None).await.unwrap();
        let path = self.workplace.path("snapshot.db");
        save_snapshot(&mut client, &path).await;
        client.put("key", "after it", None).await.unwrap();
        path
    }

    /// The value of the key.
    pub(crate) async fn value(&self) -> String {
        let mut client = self.client().await;
        let found = client.get("key", None).await.unwrap();
        found.kvs()[0].value_str().unwrap().to_owned()
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        let text = fs::read_to_string(self.workplace.path("pid")).ok()?;
        text.trim().parse().ok()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = self.pid().expect("it was started");
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// What was written down on the node: actions and how far they came.
    pub(crate) fn journal(&self) -> Vec<(String, String)> {
        let path = etcdrx::node::journal::journal_of(&self.directories);
        let lines = etcdrx::node::journal::lines(&path).unwrap();
        let told = lines.into_iter().map(|line| {
            let event = serde_json::to_value(&line.event).unwrap();
            let event = match event.as_object() {
                Some(object) => object.keys().next().unwrap().clone(),
                None => event.as_str().unwrap().to_owned(),
            };
            (line.action.name().to_owned(), event)
        });
        told.collect()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(pid) = self.pid() {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            // Nobody else's process that has the same id by now.
            let config = self.config().display().to_string();
            if String::from_utf8_lossy(&words).contains(&config) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}
