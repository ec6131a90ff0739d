//! A scratch cluster as a site has one: members as processes of their own, each with scripts that start and stop it, and an
//! `etcdrx.toml` that says where everything is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use nix::sys::signal::Signal;
use thiserror::Error;
use tokio::time::sleep;

use super::files::{EtcdConfig, etcdrx_config, make_certificates, write};
use super::script::{self, Running, Script, absolute};
use super::seed::{self, Seed};
use crate::certs::members::Error as NameError;
use crate::config::{self, Config, Layers};
use crate::etcd::{self, Access, MemberStatus, probe_all};
use crate::id::Revision;
use crate::pki;
use crate::sandbox::{self, Program, Scratch, free_port};

/// How long a cluster may take until all its members serve.
pub const READY_LIMIT: Duration = Duration::from_mins(1);

/// How long members may take to serve what a backup holds, which may be large.
const SEEDED_LIMIT: Duration = Duration::from_mins(10);

/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(50);

const GONE_POLL: Duration = Duration::from_millis(5);

/// Why there is no scratch cluster, or it does not do what it should.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// No directory, no port, no program.
    #[error("cannot build a scratch cluster")]
    Sandbox { source: sandbox::Error },

    /// A file of it could not be read, written or removed.
    #[error("cannot write {}", .path.display())]
    Write { path: PathBuf, source: io::Error },

    /// Its certificates could not be made.
    #[error("cannot make the certificates of the scratch cluster")]
    Certificates { source: pki::Error },

    /// Not to be expected of names that are ours.
    #[error("cannot name the members of the scratch cluster")]
    Names { source: NameError },

    /// It cannot begin with the backup that it was to begin with.
    #[error("the scratch cluster cannot begin with the backup")]
    Seed { source: Box<seed::Error> },

    /// Not to be expected of a file that is ours.
    #[error("the configuration of the scratch cluster is none")]
    Config { source: config::Error },

    /// Not to be expected of endpoints and files that are ours.
    #[error("the scratch cluster cannot be reached")]
    Access { source: etcd::Error },

    /// A script of it failed.
    #[error("`{command}` failed: {problem}")]
    Script { command: String, problem: String },

    /// A member does not serve.
    #[error("{name} does not serve after {}: {trouble}; its log is {}", humantime::format_duration(*.after), .log.display())]
    NotServing {
        name: String,
        after: Duration,
        trouble: String,
        log: PathBuf,
    },

    /// Nobody leads.
    #[error("the scratch cluster has no leader after {}", humantime::format_duration(*.after))]
    NoLeader { after: Duration },
}

/// What a scratch cluster is to be like.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The program that all members run.
    pub program: &'a Program,
    /// How many members there are.
    pub members: usize,
    /// Whether both ports speak TLS and ask for certificates. With a seed they do in any case: nobody else may read real data, and
    /// where users are in it, our certificate is that of `root`.
    pub tls: bool,
    /// What it begins with, if not with nothing.
    pub seed: Option<&'a Arc<Seed>>,
    /// Below which directory it lies.
    pub directory: &'a Path,
    /// The time, for the certificates.
    pub now: DateTime<Utc>,
}

/// A scratch cluster. Dropped, its members are killed and all its files removed; they also die when we are killed.
pub struct Site {
    /// The members, in the order of their names.
    pub members: Vec<SiteMember>,
    config: Config,
    access: Access,
    seed: Option<Arc<Seed>>,
    began: DateTime<Utc>,
    // In this order: the members die before their files go.
    running: Running,
    scratch: Scratch,
}

/// A member of it.
#[derive(Debug, Clone)]
pub struct SiteMember {
    /// Its name.
    pub name: String,
    /// Where clients reach it.
    pub client_url: String,
    /// Where members reach it.
    pub peer_url: String,
    /// What belongs to it: `data`, `etcd.yml`, `log`, `start`, `stop`, `status`.
    pub directory: PathBuf,
}

impl SiteMember {
    /// Its data directory.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.directory.join("etcd.yml")
    }

    /// What it logged, over all its starts.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.directory.join("log")
    }
}

impl Site {
    /// Builds it and starts every member for the first time; returns once all serve.
    ///
    /// # Errors
    /// If the disk refuses or a member does not serve.
    pub async fn start(plan: &Plan<'_>) -> Result<Self, Error> {
        let token = format!("drill-{:016x}", rand::random::<u64>());
        let site = Self::build(plan, &token)?;
        if let Some(seed) = plan.seed {
            let planted = seed.plant(&site.members, &token).await;
            planted.map_err(|source| Error::Seed {
                source: Box::new(source),
            })?;
        }
        for index in 0..site.members.len() {
            site.run(index, Script::Start)?;
        }
        let limit = plan.seed.map_or(READY_LIMIT, |_| SEEDED_LIMIT);
        site.until_all_serve(limit).await?;
        Ok(site)
    }

    fn build(plan: &Plan<'_>, token: &str) -> Result<Self, Error> {
        let of_sandbox = |source| Error::Sandbox { source };
        let scratch = Scratch::create(plan.directory).map_err(of_sandbox)?;
        // Members and engine run elsewhere: what is written down must be true there, too.
        let root = scratch
            .path()
            .canonicalize()
            .map_err(|source| Error::Write {
                path: scratch.path().to_owned(),
                source,
            })?;
        let tls = plan.tls || plan.seed.is_some();
        let members = name_members(plan.members, tls, &root)?;
        let pki = tls.then(|| root.join("pki"));
        if let Some(pki) = &pki {
            make_certificates(pki, &members, plan.now)?;
        }
        let program = absolute(plan.program.path());
        let config = EtcdConfig {
            members: &members,
            token,
            pki: pki.as_deref(),
            program: plan.program,
            seed_bytes: plan.seed.map_or(0, |seed| seed.database_bytes()),
        };
        for member in &members {
            let etcd = config.of(member);
            write(&member.config_file(), &etcd, 0o600)?;
            for script in Script::ALL {
                let text = script.text(&member.directory, &program);
                write(&member.directory.join(script.name()), &text, 0o700)?;
            }
        }
        let toml = etcdrx_config(&root, &members, pki.as_deref(), &program);
        write(&root.join("etcdrx.toml"), &toml, 0o600)?;
        let layers = Layers::default().file(&toml, "etcdrx.toml");
        let config = layers.and_then(Layers::finish);
        let config = config.map_err(|source| Error::Config { source })?;
        let access = Access::open(&config.cluster).map_err(|source| Error::Access { source })?;
        let directories = members.iter().map(|member| member.directory.clone());
        Ok(Self {
            running: Running(directories.collect()),
            members,
            config,
            access,
            seed: plan.seed.cloned(),
            began: plan.now,
            scratch,
        })
    }

    /// What its `etcdrx.toml` says.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// How clients reach its members.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// When it was built: no certificate of it is older.
    pub(super) fn began(&self) -> DateTime<Utc> {
        self.began
    }

    /// The backup that it began with.
    #[must_use]
    pub fn seed(&self) -> Option<&Seed> {
        self.seed.as_deref()
    }

    /// The newest revision that was there before anybody wrote.
    #[must_use]
    pub fn began_at(&self) -> Revision {
        self.seed().map(Seed::revision).unwrap_or_default()
    }

    /// Its directory, where its `etcdrx.toml` lies.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.scratch.path()
    }

    /// Runs a member's script as a site would.
    ///
    /// # Errors
    /// If it cannot be run or says that it failed.
    pub fn run(&self, index: usize, script: Script) -> Result<bool, Error> {
        let member = &self.members[index];
        script::run(script, &member.directory, &member.config_file())
    }

    /// Whether a member's process is there; a frozen one is.
    #[must_use]
    pub fn is_there(&self, index: usize) -> bool {
        script::pid(&self.members[index].directory).is_some()
    }

    /// How a member that runs was started.
    #[must_use]
    pub fn command_line(&self, index: usize) -> String {
        let pid = script::pid(&self.members[index].directory);
        let line = pid.and_then(|pid| fs::read(format!("/proc/{pid}/cmdline")).ok());
        String::from_utf8_lossy(&line.unwrap_or_default()).replace('\0', " ")
    }

    /// Sends a signal to a member's process, if it is there.
    pub fn signal(&self, index: usize, signal: Signal) {
        script::signal(&self.members[index].directory, signal);
    }

    /// Waits until a member's process is gone, and says whether that came about in time.
    pub async fn until_it_is_gone(&self, index: usize) -> bool {
        let deadline = Instant::now() + READY_LIMIT;
        while self.is_there(index) && Instant::now() < deadline {
            sleep(GONE_POLL).await;
        }
        !self.is_there(index)
    }

    /// Waits until a member answers linearizable reads.
    ///
    /// # Errors
    /// If it does not in time.
    pub async fn until_it_serves(&self, index: usize, limit: Duration) -> Result<(), Error> {
        let member = &self.members[index];
        let deadline = Instant::now() + limit;
        loop {
            let read = async {
                let member = self.access.member(&member.client_url, PATIENCE).await?;
                member.linearizable_revision().await
            };
            match read.await {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    return Err(Error::NotServing {
                        name: member.name.clone(),
                        after: limit,
                        trouble: error.to_string(),
                        log: member.log(),
                    });
                }
                Err(_) => sleep(POLL).await,
            }
        }
    }

    /// Waits until every member answers linearizable reads.
    ///
    /// # Errors
    /// If one does not in time.
    pub async fn until_all_serve(&self, limit: Duration) -> Result<(), Error> {
        let waits = (0..self.members.len()).map(|index| self.until_it_serves(index, limit));
        join_all(waits).await.into_iter().collect()
    }

    /// What every member says of itself, in the order of the members; `None` for those that do not answer.
    pub async fn statuses(&self) -> Vec<Option<MemberStatus>> {
        let answers = probe_all(&self.access, PATIENCE).await;
        answers.into_iter().map(Result::ok).collect()
    }

    /// Waits until a member leads, and says which.
    ///
    /// # Errors
    /// If none does in time.
    pub async fn leader(&self) -> Result<usize, Error> {
        let deadline = Instant::now() + READY_LIMIT;
        while Instant::now() < deadline {
            let statuses = self.statuses().await;
            let leads = |status: &Option<MemberStatus>| {
                status.as_ref().is_some_and(MemberStatus::is_leader)
            };
            if let Some(leader) = statuses.iter().position(leads) {
                return Ok(leader);
            }
            sleep(POLL).await;
        }
        Err(Error::NoLeader { after: READY_LIMIT })
    }

    /// Stops the members and leaves all files, for a person to look at; gives the directory.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn keep(self) -> Result<PathBuf, Error> {
        drop(self.running);
        let kept = self.scratch.keep();
        kept.map_err(|source| Error::Sandbox { source })
    }
}

/// The members as etcd's `initial-cluster` names them.
pub(super) fn initial_cluster(members: &[SiteMember]) -> String {
    let pairs = members
        .iter()
        .map(|member| format!("{}={}", member.name, member.peer_url));
    pairs.collect::<Vec<_>>().join(",")
}

/// So many members, with ports that are free.
fn name_members(count: usize, tls: bool, root: &Path) -> Result<Vec<SiteMember>, Error> {
    let scheme = if tls { "https" } else { "http" };
    let url = || match free_port() {
        Ok(port) => Ok(format!("{scheme}://127.0.0.1:{port}")),
        Err(source) => Err(Error::Sandbox {
            source: sandbox::Error::NoPort { source },
        }),
    };
    let named = (1..=count).map(|number| {
        let name = format!("m{number}");
        Ok(SiteMember {
            client_url: url()?,
            peer_url: url()?,
            directory: root.join(&name),
            name,
        })
    });
    named.collect()
}
