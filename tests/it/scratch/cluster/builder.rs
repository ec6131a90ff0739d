//! What a cluster is to be like, and its start.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::member::Member;
use super::{BACKUP_PASSWORD, Cluster, ROOT_PASSWORD, Security};
use crate::scratch::pki::Pki;
use crate::scratch::tools::EtcdRelease;

/// A cluster to be started.
#[derive(Clone, Debug)]
pub(crate) struct ClusterBuilder {
    release: EtcdRelease,
    members: usize,
    has_tls: bool,
    has_auth: bool,
    has_fsync: bool,
    flags: Vec<String>,
    parent: PathBuf,
}

impl ClusterBuilder {
    pub(super) fn new(release: EtcdRelease) -> ClusterBuilder {
        ClusterBuilder {
            release,
            members: 1,
            has_tls: false,
            has_auth: false,
            has_fsync: false,
            flags: Vec::new(),
            parent: std::env::temp_dir(),
        }
    }

    /// How many voting members it has.
    pub(crate) fn members(mut self, count: usize) -> ClusterBuilder {
        self.members = count;
        self
    }

    /// TLS everywhere, with client certificates, and a CA of its own for peers.
    pub(crate) fn tls(mut self) -> ClusterBuilder {
        self.has_tls = true;
        self
    }

    /// Auth on, with the users `root` and `backup`, who both have the role `root`.
    ///
    /// With TLS they log in with the certificates of their names, without it with passwords.
    pub(crate) fn auth(mut self) -> ClusterBuilder {
        self.has_auth = true;
        // The cheapest hash: a password is checked in a millisecond instead of a tenth of a second.
        self.flag("--bcrypt-cost=4")
    }

    /// Lets etcd wait for the disk, as it does in earnest; for measurements.
    ///
    /// Otherwise it does not from 3.5 on: what it wrote outlives its being killed, though not the machine's.
    pub(crate) fn fsync(mut self) -> ClusterBuilder {
        self.has_fsync = true;
        self
    }

    /// Adds a flag of etcd, as `--name=value`, to each member.
    pub(crate) fn flag(mut self, flag: &str) -> ClusterBuilder {
        self.flags.push(flag.to_owned());
        self
    }

    /// After how many entries raft takes a snapshot of its own.
    pub(crate) fn snapshot_count(self, entries: u64) -> ClusterBuilder {
        self.flag(&format!("--snapshot-count={entries}"))
    }

    /// How large a database may grow before the NOSPACE alarm.
    pub(crate) fn quota_bytes(self, bytes: u64) -> ClusterBuilder {
        self.flag(&format!("--quota-backend-bytes={bytes}"))
    }

    /// Below which folder its own temporary one is made; that of the system if nothing is said.
    pub(crate) fn below(mut self, parent: &Path) -> ClusterBuilder {
        parent.clone_into(&mut self.parent);
        self
    }

    /// Starts the members and waits until all of them are healthy.
    ///
    /// # Panics
    ///
    /// With the log of the member that dies or never gets well.
    pub(crate) async fn start(self) -> Cluster {
        self.start_after(|_| ()).await
    }

    /// As [`start`](Self::start), after `change` had its way with the files; the members know their ports by then.
    ///
    /// # Panics
    ///
    /// With the log of the member that dies or never gets well.
    pub(crate) async fn start_after(self, change: impl FnOnce(&mut Cluster)) -> Cluster {
        let has_auth = self.has_auth;
        let mut cluster = self.prepare();
        change(&mut cluster);
        cluster.bootstrap().await;
        if has_auth {
            cluster.enable_auth().await;
        }
        cluster
    }

    /// As [`start`](Self::start), on the data directories that `restore` makes; the members know their ports by then.
    ///
    /// With auth, the data must be that of such a cluster.
    ///
    /// # Panics
    ///
    /// With the log of the member that dies or never gets well.
    pub(crate) async fn start_on(self, restore: impl FnOnce(&mut Cluster)) -> Cluster {
        let has_auth = self.has_auth;
        let mut cluster = self.prepare();
        cluster.has_auth = has_auth;
        restore(&mut cluster);
        cluster.bootstrap().await;
        cluster
    }

    /// The cluster with its members, none of which runs.
    fn prepare(mut self) -> Cluster {
        if !self.has_fsync && self.release.minor() >= 5 {
            self.flags.insert(0, "--unsafe-no-fsync".to_owned());
        }
        let directory = TempDir::with_prefix_in("etcdrx-cluster-", &self.parent)
            .unwrap_or_else(|error| panic!("no folder below {}: {error}", self.parent.display()));
        let security = self.has_tls.then(|| {
            let pki = Pki::create(&Cluster::certificate_directory(directory.path()));
            let root = pki.client("root");
            pki.client("backup");
            Security { pki, root }
        });
        let mut cluster = Cluster {
            members: Vec::new(),
            release: self.release,
            flags: self.flags,
            security,
            has_auth: false,
            directory,
        };
        for _ in 0..self.members {
            let member = cluster.new_member();
            cluster.members.push(member);
        }
        cluster
    }
}

impl Cluster {
    async fn bootstrap(&mut self) {
        let initial_cluster = self.initial_cluster();
        for member in &mut self.members {
            member.bootstrap(&initial_cluster, "new");
            member.wait_until_raft_runs().await;
        }
        self.wait_until_healthy().await;
    }

    /// Prepares the next member: its name, ports, folder and certificates.
    pub(super) fn new_member(&self) -> Member {
        let name = format!("etcd-{}", self.members.len() + 1);
        let mut flags = vec![
            "--heartbeat-interval=50".to_owned(),
            "--election-timeout=500".to_owned(),
            "--initial-cluster-token=scratch".to_owned(),
        ];
        if self.release.minor() < 5 {
            flags.push("--logger=zap".to_owned());
        }
        let mut scheme = "http";
        if let Some(security) = &self.security {
            scheme = "https";
            let identity = security.pki.member(&name);
            let path = |path: &Path| path.display().to_string();
            flags.extend([
                "--client-cert-auth".to_owned(),
                format!("--trusted-ca-file={}", path(&security.pki.ca())),
                format!("--cert-file={}", path(&identity.server.cert)),
                format!("--key-file={}", path(&identity.server.key)),
                "--peer-client-cert-auth".to_owned(),
                format!("--peer-trusted-ca-file={}", path(&security.pki.peer_ca())),
                format!("--peer-cert-file={}", path(&identity.peer.cert)),
                format!("--peer-key-file={}", path(&identity.peer.key)),
            ]);
        }
        // The last one of a flag counts: what the test says beats what stands here.
        flags.extend(self.flags.iter().cloned());
        Member::new(name, scheme, &self.release, self.directory.path(), flags)
    }

    async fn enable_auth(&mut self) {
        let mut client = self.client().await;
        for (user, password) in [("root", ROOT_PASSWORD), ("backup", BACKUP_PASSWORD)] {
            let added = client.user_add(user, password, None).await;
            added.unwrap_or_else(|error| panic!("cannot add user {user}: {error}"));
            let granted = client.user_grant_role(user, "root").await;
            granted.unwrap_or_else(|error| panic!("cannot grant {user} the role root: {error}"));
        }
        let enabled = client.auth_enable().await;
        enabled.unwrap_or_else(|error| panic!("cannot enable auth: {error}"));
        self.has_auth = true;
        self.wait_until_healthy().await;
    }
}
