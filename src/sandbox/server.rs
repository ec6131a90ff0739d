//! Starts an etcd on a throw-away directory, and waits until it serves.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use chrono::Utc;
use tokio::time::sleep;

use super::Error;
use super::explain::{Reason, last_words, reason};
use super::port::free_port;
use super::process::{POLL, Process};
use super::program::{Minor, Program};
use crate::certs::Host;
use crate::certs::layout::Layout;
use crate::certs::members::Member as Named;
use crate::certs::profile::Kind;
use crate::config::Cluster;
use crate::etcd::{self, Access, Member};
use crate::pki;

/// The member's name; it counts only where there is no log yet.
const NAME: &str = "etcdrx";

/// Whose certificate we show: auth can only be on where this user has every right.
const USER: &str = "root";

/// How long it may take to answer once it serves: a snapshot of a large database begins with a copy of its pages.
const PATIENCE: Duration = Duration::from_mins(1);

/// How long an attempt to reach it takes, at first and at most: while it starts it takes connections and says nothing.
const LEAST_PATIENCE: Duration = Duration::from_millis(200);
const MOST_PATIENCE: Duration = Duration::from_secs(5);

/// How long it may take to stop before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// How often other ports are tried: between our finding one and its using it, anybody may take it.
const PORTS: usize = 5;

/// What is to be started.
#[derive(Debug, Clone, Copy)]
pub struct Boot<'a> {
    /// The program, of the version that the data are of.
    pub program: &'a Program,
    /// The data directory: a copy, or made for this. What etcd writes into it is not synced to the disk from 3.5 on.
    pub data_dir: &'a Path,
    /// The directory of the log, if not below that.
    pub wal_dir: Option<&'a Path>,
    /// Makes it the only member of its cluster.
    pub force_new_cluster: bool,
    /// A directory of ours, for certificates and the log.
    pub scratch: &'a Path,
    /// How large the database may become.
    pub quota_bytes: u64,
    /// How long it may take to serve.
    pub limit: Duration,
}

/// A running etcd. Dropped, it is killed; where the system has `setpriv` of util-linux, it also dies when we do.
pub struct Sandbox {
    process: Process,
    access: Access,
    member: Member,
    peer_url: String,
    command: Vec<String>,
}

impl Sandbox {
    /// Starts an etcd, and returns once it has a leader and answers a linearizable read: all of its log is applied then.
    ///
    /// We are its user `root` by a certificate, which lets us in whether auth is on or not, without a password.
    ///
    /// # Errors
    /// If etcd ends, with what its log says; if it does not serve in time; or if the disk refuses.
    pub async fn start(boot: &Boot<'_>) -> Result<Self, Error> {
        let pki = boot.scratch.join("pki");
        make_certificates(&pki)?;
        let mut attempts = 1;
        loop {
            match Starting::spawn(boot, &pki)?
                .until_it_serves(boot.limit)
                .await
            {
                Err(Error::Ended {
                    reason: Reason::PortTaken,
                    ..
                }) if attempts < PORTS => attempts += 1,
                outcome => return outcome,
            }
        }
    }

    /// How clients reach it, by a certificate of the user `root`.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Our connection to it.
    #[must_use]
    pub fn member(&self) -> &Member {
        &self.member
    }

    /// Where members would reach it, were there any.
    #[must_use]
    pub fn peer_url(&self) -> &str {
        &self.peer_url
    }

    /// How it was started, word by word.
    #[must_use]
    pub fn command(&self) -> &[String] {
        &self.command
    }

    /// Stops it, and lets it write what it has in memory; kills it if that takes too long.
    pub async fn stop(mut self) {
        self.process.stop(STOP_LIMIT).await;
    }
}

/// An etcd that was started and does not serve yet.
struct Starting {
    process: Process,
    access: Access,
    endpoint: String,
    peer_url: String,
    command: Vec<String>,
    version: String,
    log: PathBuf,
}

impl Starting {
    fn spawn(boot: &Boot<'_>, pki: &Path) -> Result<Self, Error> {
        let program = boot.program;
        let address = || {
            let port = free_port().map_err(|source| Error::NoPort { source })?;
            Ok(format!("https://127.0.0.1:{port}"))
        };
        let (endpoint, peer_url) = (address()?, address()?);
        let arguments = arguments(boot, pki, &endpoint, &peer_url);
        let log = boot.scratch.join("etcd.log");
        let mut command = program.command();
        command.args(&arguments);
        log_to(&mut command, &log).map_err(|source| Error::Write {
            path: log.clone(),
            source,
        })?;
        let process = Process::start(command).map_err(|source| Error::Run {
            path: program.path().to_owned(),
            source,
        })?;
        let words = [program.path().display().to_string()];
        Ok(Self {
            process,
            access: access(&endpoint, pki)?,
            endpoint,
            peer_url,
            command: words.into_iter().chain(arguments).collect(),
            version: program.version().to_owned(),
            log,
        })
    }

    async fn until_it_serves(mut self, limit: Duration) -> Result<Sandbox, Error> {
        let deadline = Instant::now() + limit;
        let mut patience = LEAST_PATIENCE;
        loop {
            if let Some(status) = self.process.ended() {
                return Err(self.ended(status));
            }
            match self.read(patience).await {
                Ok(member) => {
                    return Ok(Sandbox {
                        process: self.process,
                        access: self.access,
                        member: member.patient(PATIENCE),
                        peer_url: self.peer_url,
                        command: self.command,
                    });
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(Error::NotServing {
                        version: self.version,
                        after: limit,
                        trouble: error.to_string(),
                        log: last_words(&read_log(&self.log)),
                    });
                }
                Err(_) => sleep(POLL).await,
            }
            patience = (patience * 5 / 4).min(MOST_PATIENCE);
        }
    }

    /// Reads linearizably, which takes a leader that has applied all that is committed.
    async fn read(&self, patience: Duration) -> Result<Member, etcd::Error> {
        let member = self.access.member(&self.endpoint, patience).await?;
        member.linearizable_revision().await?;
        Ok(member)
    }

    fn ended(&self, status: ExitStatus) -> Error {
        let log = read_log(&self.log);
        Error::Ended {
            version: self.version.clone(),
            status: status.to_string(),
            reason: reason(&log),
            log: last_words(&log),
        }
    }
}

/// What etcd is told. There is no configuration file and no environment: this is all.
fn arguments(boot: &Boot<'_>, pki: &Path, client_url: &str, peer_url: &str) -> Vec<String> {
    let minor = boot.program.minor();
    let mut arguments = vec![
        format!("--name={NAME}"),
        format!("--data-dir={}", boot.data_dir.display()),
        format!("--listen-client-urls={client_url}"),
        format!("--advertise-client-urls={client_url}"),
        format!("--listen-peer-urls={peer_url}"),
        format!("--initial-advertise-peer-urls={peer_url}"),
        format!("--initial-cluster={NAME}={peer_url}"),
        format!("--quota-backend-bytes={}", boot.quota_bytes),
        // It elects itself in a fifth of a second, not in two.
        "--heartbeat-interval=10".to_owned(),
        "--election-timeout=100".to_owned(),
    ];
    if minor < Minor(3, 5) {
        arguments.push("--logger=zap".to_owned());
    } else {
        arguments.push("--unsafe-no-fsync".to_owned());
    }
    arguments.extend(
        boot.wal_dir
            .map(|path| format!("--wal-dir={}", path.display())),
    );
    if boot.force_new_cluster {
        arguments.push("--force-new-cluster".to_owned());
    }
    arguments.extend(pki::settings(Layout::Etcdrx, &pki.join(NAME), None).flags);
    arguments
}

fn log_to(command: &mut Command, log: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    // One start, one log: what an attempt before it logged explains nothing.
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(log)?;
    command.stdout(file.try_clone()?).stderr(file);
    Ok(())
}

fn read_log(log: &Path) -> String {
    String::from_utf8_lossy(&fs::read(log).unwrap_or_default()).into_owned()
}

/// Makes both authorities, the member's certificates, and ours.
fn make_certificates(directory: &Path) -> Result<(), Error> {
    let mut member = Named::new(NAME).expect("a file can have the name");
    member.add(Host::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    // They are for an etcd that goes by the same clock, and are gone with it.
    let setting = pki::Setting::of(directory, Utc::now());
    let generated = pki::generate(&setting, &[member], &[USER.to_owned()]);
    generated
        .map(drop)
        .map_err(|source| Error::Certificates { source })
}

fn access(endpoint: &str, pki: &Path) -> Result<Access, Error> {
    let client = Layout::Etcdrx.of_client(USER);
    let cluster = Cluster {
        endpoints: vec![endpoint.to_owned()],
        ca: Some(pki.join(Layout::Etcdrx.authority(Kind::Ca).certificate)),
        cert: Some(pki.join(client.certificate)),
        key: Some(pki.join(client.key)),
        ..Cluster::default()
    };
    Access::open(&cluster).map_err(|source| Error::Etcd { source })
}
