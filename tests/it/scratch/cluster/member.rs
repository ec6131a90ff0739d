//! One member of a scratch cluster.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::scratch::ports;
use crate::scratch::process::{self, Server};
use crate::scratch::tools::EtcdRelease;

/// A member: where it lies, how it is started, and its process while it has one.
#[derive(Debug)]
pub(crate) struct Member {
    name: String,
    scheme: &'static str,
    client_address: SocketAddr,
    peer_address: SocketAddr,
    client_url: String,
    peer_url: String,
    data_dir: PathBuf,
    log: PathBuf,
    program: PathBuf,
    arguments: Vec<String>,
    is_learner: bool,
    server: Option<Server>,
}

impl Member {
    pub(super) fn new(
        name: String,
        scheme: &'static str,
        release: &EtcdRelease,
        directory: &Path,
        flags: Vec<String>,
    ) -> Member {
        let client_address = ports::free_address();
        let peer_address = ports::free_address();
        let client_url = format!("{scheme}://{client_address}");
        let peer_url = format!("{scheme}://{peer_address}");
        let data_dir = directory.join(&name);
        let mut arguments = vec![
            format!("--name={name}"),
            format!("--data-dir={}", data_dir.display()),
            format!("--listen-client-urls={client_url}"),
            format!("--advertise-client-urls={client_url}"),
            format!("--listen-peer-urls={peer_url}"),
            format!("--initial-advertise-peer-urls={peer_url}"),
        ];
        arguments.extend(flags);
        Member {
            log: directory.join(format!("{name}.log")),
            program: release.etcd(),
            is_learner: false,
            server: None,
            name,
            scheme,
            client_address,
            peer_address,
            client_url,
            peer_url,
            data_dir,
            arguments,
        }
    }

    /// Starts it for the first time.
    pub(super) fn bootstrap(&mut self, initial_cluster: &str, state: &str) {
        let flags = [
            format!("--initial-cluster={initial_cluster}"),
            format!("--initial-cluster-state={state}"),
        ];
        self.arguments.extend(flags);
        self.start();
    }

    /// Waits until it no longer asks its peers whether they know it.
    ///
    /// New members that start at the same moment listen, but do not answer each other yet, and so wait for two seconds.
    pub(super) async fn wait_until_raft_runs(&self) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline && !self.log().contains("became follower at term") {
            self.assert_running();
            tokio::time::sleep(process::POLL).await;
        }
    }

    pub(super) fn mark_learner(&mut self, is_learner: bool) {
        self.is_learner = is_learner;
    }

    /// `etcd-1` for the first.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where clients reach it.
    pub(crate) fn client_url(&self) -> &str {
        &self.client_url
    }

    /// Where its peers reach it.
    pub(crate) fn peer_url(&self) -> &str {
        &self.peer_url
    }

    /// As [`client_url`](Self::client_url), for a proxy to sit before.
    pub(crate) fn client_address(&self) -> SocketAddr {
        self.client_address
    }

    /// As [`peer_url`](Self::peer_url), for a proxy to sit before.
    pub(crate) fn peer_address(&self) -> SocketAddr {
        self.peer_address
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Its `--data-dir`.
    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Its database file, as `recover` and `snapshot status` read it.
    pub(crate) fn db(&self) -> PathBuf {
        self.data_dir.join("member").join("snap").join("db")
    }

    /// The flags that it is started with; a test may change them between two starts.
    pub(crate) fn arguments(&mut self) -> &mut Vec<String> {
        &mut self.arguments
    }

    /// Runs another program from the next start on: an upgrade, say.
    pub(crate) fn replace_program(&mut self, program: &Path) {
        program.clone_into(&mut self.program);
    }

    /// Says whether it was added as a learner and not promoted through the cluster.
    pub(crate) fn is_learner(&self) -> bool {
        self.is_learner
    }

    /// Starts it, on the data that it has, without waiting for it to be healthy.
    ///
    /// # Panics
    ///
    /// When it still runs.
    pub(crate) fn start(&mut self) {
        assert!(!self.is_running(), "{} runs already", self.name);
        let mut command = process::command(&self.program);
        command.args(&self.arguments);
        self.server = Some(Server::start(&self.name, command, &self.log));
    }

    /// Says whether its process is there; a paused one is.
    pub(crate) fn is_running(&self) -> bool {
        self.server.as_ref().is_some_and(Server::is_running)
    }

    /// Says whether it runs and is not paused.
    pub(crate) fn answers(&self) -> bool {
        let server = self.server.as_ref();
        server.is_some_and(|server| server.is_running() && !server.is_paused())
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&self) {
        self.server.iter().for_each(Server::kill);
    }

    /// Stops it as systemd would, and waits for its end; a leader hands over first.
    pub(crate) fn stop(&self) {
        self.server.iter().for_each(|server| {
            server.stop();
        });
    }

    /// Freezes it: connections stay open and nothing answers.
    pub(crate) fn pause(&self) {
        self.server.iter().for_each(Server::pause);
    }

    /// Lets it go on after a pause.
    pub(crate) fn resume(&self) {
        self.server.iter().for_each(Server::resume);
    }

    /// Waits for it to end by itself, as a removed member does.
    pub(crate) fn wait_for_end(&self, limit: Duration) -> Option<ExitStatus> {
        self.server.as_ref()?.wait(limit)
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let server = self.server.as_ref();
        server.filter(|server| server.is_running()).map(Server::pid)
    }

    /// What it logged, over all its starts.
    pub(crate) fn log(&self) -> String {
        self.server.as_ref().map(Server::log).unwrap_or_default()
    }

    /// Kills it without waiting for its end.
    pub(super) fn send_kill(&self) {
        let servers = self.server.iter();
        servers.for_each(|server| server.signal(Signal::SIGKILL));
    }

    pub(super) fn assert_running(&self) {
        self.server.iter().for_each(Server::assert_running);
    }

    pub(super) fn last_words(&self) -> String {
        let server = self.server.as_ref();
        server.map_or_else(|| format!("{} never ran", self.name), Server::last_words)
    }
}
