//! A real etcd cluster on loopback: started in a second or two, broken at will, gone when dropped.

mod access;
mod builder;
mod load;
mod member;
mod membership;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use etcd_client::StatusResponse;
use tempfile::TempDir;

use super::pki::{Identity, Pki};
use super::tools::EtcdRelease;

pub(crate) use builder::ClusterBuilder;
pub(crate) use member::Member;

/// The password of the user `root` in a cluster with auth.
pub(crate) const ROOT_PASSWORD: &str = "scratch-root";

/// The password of the user `backup`, who has the role `root`, in a cluster with auth.
pub(crate) const BACKUP_PASSWORD: &str = "scratch-backup";

/// How long a cluster may take until all its members answer and agree on a leader.
const READY_LIMIT: Duration = Duration::from_secs(30);

const POLL: Duration = Duration::from_millis(20);

/// A running cluster; member `i` is called `etcd-<i + 1>`.
pub(crate) struct Cluster {
    /// The members in the order of their names: to be killed, paused, stopped, started.
    pub(crate) members: Vec<Member>,
    release: EtcdRelease,
    flags: Vec<String>,
    security: Option<Security>,
    has_auth: bool,
    // Last, so that it is removed after the servers are gone.
    directory: TempDir,
}

/// The certificates of a cluster with TLS.
struct Security {
    pki: Pki,
    root: Identity,
}

impl Cluster {
    /// Describes a cluster of one member, without TLS and auth, to be changed and then started.
    pub(crate) fn of(release: &EtcdRelease) -> ClusterBuilder {
        ClusterBuilder::new(release.clone())
    }

    /// The etcd that it runs.
    pub(crate) fn release(&self) -> &EtcdRelease {
        &self.release
    }

    /// Where data directories, logs and certificates lie.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// The certificates, in a cluster with TLS.
    pub(crate) fn pki(&self) -> Option<&Pki> {
        self.security.as_ref().map(|security| &security.pki)
    }

    /// The client certificate of the user `root`, in a cluster with TLS.
    pub(crate) fn root_identity(&self) -> Option<&Identity> {
        self.security.as_ref().map(|security| &security.root)
    }

    /// The client URLs of all members, running or not.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members
            .iter()
            .map(|member| member.client_url().to_owned())
            .collect()
    }

    /// The value of `--initial-cluster`: all members with their peer URLs.
    pub(crate) fn initial_cluster(&self) -> String {
        let members = self.members.iter();
        let pairs = members.map(|member| format!("{}={}", member.name(), member.peer_url()));
        pairs.collect::<Vec<_>>().join(",")
    }

    /// Waits until every running member answers, writes included, and knows a leader.
    ///
    /// # Panics
    ///
    /// With the member's log, when one dies or takes too long.
    pub(crate) async fn wait_until_healthy(&self) {
        let deadline = Instant::now() + READY_LIMIT;
        for index in 0..self.members.len() {
            if self.members[index].answers() {
                self.wait_for_member(index, deadline).await;
            }
        }
    }

    /// Waits until one running member says that it leads, and gives its index.
    ///
    /// # Panics
    ///
    /// When nobody leads in time: the quorum is lost, or the survivors cannot talk.
    pub(crate) async fn leader(&self) -> usize {
        let deadline = Instant::now() + READY_LIMIT;
        while Instant::now() < deadline {
            for index in 0..self.members.len() {
                if self.members[index].answers() && self.leads(index).await {
                    return index;
                }
            }
            tokio::time::sleep(POLL).await;
        }
        panic!(
            "no member leads after {READY_LIMIT:?}\n{}",
            self.last_words()
        );
    }

    /// A running member that follows the leader.
    pub(crate) async fn follower(&self) -> usize {
        let leader = self.leader().await;
        let mut others = (0..self.members.len()).filter(|index| *index != leader);
        let follower = others.find(|index| {
            let member = &self.members[*index];
            member.answers() && !member.is_learner()
        });
        follower.expect("the cluster has a running follower")
    }

    /// What a member says of itself; `None` when it does not answer within a second.
    pub(crate) async fn status(&self, index: usize) -> Option<StatusResponse> {
        let limit = Duration::from_secs(1);
        let status = async {
            let mut client = self.try_member_client(index).await.ok()?;
            client.status().await.ok()
        };
        tokio::time::timeout(limit, status).await.ok().flatten()
    }

    /// Starts a member that was killed or stopped, on its data and with its flags, and waits until it is healthy.
    pub(crate) async fn restart_member(&mut self, index: usize) {
        self.members[index].start();
        self.wait_for_member(index, Instant::now() + READY_LIMIT)
            .await;
    }

    /// Kills all members at once, as a power cut would.
    pub(crate) fn kill_all(&self) {
        // No member may act on the end of another.
        self.members.iter().for_each(Member::send_kill);
        self.members.iter().for_each(Member::kill);
    }

    /// Starts all members that do not run, and waits until the cluster is healthy.
    pub(crate) async fn start_all(&mut self) {
        for member in &mut self.members {
            if !member.is_running() {
                member.start();
            }
        }
        self.wait_until_healthy().await;
    }

    async fn wait_for_member(&self, index: usize, deadline: Instant) {
        let member = &self.members[index];
        // A read that came before the leader hangs for seconds: asked anew, it is answered at once.
        let mut patience = Duration::from_millis(250);
        while !self.is_healthy(index, patience).await {
            member.assert_running();
            assert!(
                Instant::now() < deadline,
                "{} is not healthy after {READY_LIMIT:?}\n{}",
                member.name(),
                member.last_words()
            );
            tokio::time::sleep(POLL).await;
            patience = (patience * 5 / 4).min(Duration::from_secs(5));
        }
    }

    /// Knows a leader and answers a linearizable read; a learner refuses those.
    async fn is_healthy(&self, index: usize, patience: Duration) -> bool {
        let Some(status) = self.status(index).await else {
            return false;
        };
        if status.leader() == 0 || self.members[index].is_learner() {
            return status.leader() != 0;
        }
        let read = async {
            let mut client = self.try_member_client(index).await?;
            client.get("scratch-health", None).await
        };
        let read = tokio::time::timeout(patience, read).await;
        matches!(read, Ok(Ok(_)))
    }

    async fn leads(&self, index: usize) -> bool {
        let status = self.status(index).await;
        status.is_some_and(|status| {
            let id = status
                .header()
                .map_or(0, etcd_client::ResponseHeader::member_id);
            id != 0 && status.leader() == id
        })
    }

    fn last_words(&self) -> String {
        let logs: Vec<String> = self.members.iter().map(Member::last_words).collect();
        logs.join("\n")
    }

    fn certificate_directory(directory: &Path) -> PathBuf {
        directory.join("pki")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_all();
    }
}
