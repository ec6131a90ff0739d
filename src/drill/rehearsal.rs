//! One rehearsal: a scratch cluster that is written to is broken, brought back, and held to everything that it acknowledged.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::breakage::Break;
use super::prove::prove;
use super::site::{self, Site};
use super::writers::{Compared, Writers, Written};
use crate::id::Revision;
use crate::manifest::Finding;
use crate::progress::{Event, Progress};
use crate::recovery::Scenario;
use crate::repository::{self, Mode, Repository};
use crate::{backup, config, etcd};

/// How long the writes before the break may take.
const WRITE_LIMIT: Duration = Duration::from_mins(2);

/// Why a rehearsal came to no result; that the cluster was not brought back is a result.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The scratch cluster does not do what it should before anything is broken.
    #[error("the scratch cluster does not work")]
    Site { source: site::Error },

    /// Hardly anything was acknowledged.
    #[error(
        "{writers} clients did not get {writes} writes acknowledged within {}",
        humantime::format_duration(WRITE_LIMIT)
    )]
    NoWrites { writers: usize, writes: usize },

    /// The scratch cluster has no repository.
    #[error("cannot open the repository of the scratch cluster")]
    Repository { source: repository::Error },

    /// Not to be expected of a name that is ours.
    #[error("the scratch cluster has no name")]
    Name { source: config::Error },

    /// The scratch cluster could not be backed up.
    #[error("cannot back the scratch cluster up")]
    Backup { source: backup::Error },
}

/// What is to be rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exercise {
    /// The scenario that the recovery is for.
    pub scenario: Scenario,
    /// What happens to the members that are hit.
    pub breakage: Break,
    /// How many clients write meanwhile.
    pub writers: usize,
    /// How many writes are acknowledged before anything breaks; half of them are in a backup.
    pub writes: usize,
    /// Chooses the members that are hit, among those that the scenario allows.
    pub pick: usize,
    /// How long members may take to serve again, once somebody said that they do.
    pub patience: Duration,
}

/// How a rehearsal went.
#[derive(Debug, Clone)]
pub struct Rehearsal {
    /// What was rehearsed.
    pub exercise: Exercise,
    /// The members that were hit.
    pub broken: Vec<String>,
    /// How many writes were acknowledged, and how many got no answer.
    pub acknowledged: usize,
    /// How many writes failed or got no answer.
    pub ambiguous: usize,
    /// What became of them.
    pub compared: Compared,
    /// The newest revision that had to survive, where later writes cannot: that of the backup.
    pub until: Option<Revision>,
    /// How long the recovery took by its own account, until it came back.
    pub recovered_in: Duration,
    /// How long it took from the break until every member served.
    pub served_after: Duration,
    /// The longest time in which no write was acknowledged, until every member served.
    pub longest_gap: Duration,
    /// What is held against the cluster that was brought back.
    pub findings: Vec<Finding>,
}

impl Rehearsal {
    /// Whether the cluster is as it was, and nothing was lost that had to survive.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.findings.is_empty() && self.compared.is_sound()
    }
}

/// Rehearses on a fresh scratch cluster; `recover` is what is put to the test.
///
/// # Errors
/// If it came to no result. That `recover` fails, or leaves a cluster that lost something, is one.
pub async fn rehearse<E: Display>(
    site: &Site,
    exercise: Exercise,
    recover: &impl AsyncFn(&Site, Scenario) -> Result<(), E>,
    now: fn() -> DateTime<Utc>,
    progress: &dyn Progress,
) -> Result<Rehearsal, Error> {
    progress.event(Event::Stage(format!("{} clients write", exercise.writers)));
    let writers = Writers::start(site.access(), exercise.writers, "before");
    write(&writers, exercise).await?;
    let backed_up = back_up(site, now, progress).await?;
    write(&writers, exercise).await?;
    let mut rehearsal = Rehearsal {
        exercise,
        broken: Vec::new(),
        acknowledged: 0,
        ambiguous: 0,
        compared: Compared::default(),
        until: (exercise.scenario == Scenario::Total).then_some(backed_up),
        recovered_in: Duration::ZERO,
        served_after: Duration::ZERO,
        longest_gap: Duration::ZERO,
        findings: Vec::new(),
    };
    let written = rehearsal.break_and_recover(site, writers, recover, progress);
    let mut written = written.await?;
    rehearsal.acknowledged = written.acknowledged.len();
    rehearsal.ambiguous = written.ambiguous.len();
    rehearsal.longest_gap = written.longest_gap;
    // A cluster that does not serve cannot be held to anything.
    if rehearsal.findings.is_empty() {
        let text = "restarting and killing each member once";
        progress.event(Event::Stage(text.to_owned()));
        rehearsal.hold_to(site, &mut written).await;
    }
    Ok(rehearsal)
}

impl Rehearsal {
    /// Breaks the cluster, has it recovered, and waits until all members serve; gives what was written until then.
    async fn break_and_recover<E: Display>(
        &mut self,
        site: &Site,
        writers: Writers,
        recover: &impl AsyncFn(&Site, Scenario) -> Result<(), E>,
        progress: &dyn Progress,
    ) -> Result<Written, Error> {
        let Exercise {
            scenario, breakage, ..
        } = self.exercise;
        let of_site = |source| Error::Site { source };
        let victims = victims(site, self.exercise).await?;
        let names = victims
            .iter()
            .map(|victim| site.members[*victim].name.clone());
        self.broken = names.collect();
        let broken = self.broken.join(", ");
        progress.event(Event::Stage(format!("breaking {broken}: {breakage}")));
        let began = Instant::now();
        breakage.inflict(site, &victims).await.map_err(of_site)?;
        // With a quorum clients go on, and may not notice; without one there is nothing to acknowledge.
        let goes_on = matches!(scenario, Scenario::Follower | Scenario::Leader);
        let (writers, mut written) = match goes_on {
            true => (Some(writers), Written::default()),
            false => (None, writers.stop().await),
        };
        progress.event(Event::Stage(format!("recovering: {scenario}")));
        let recovering = Instant::now();
        if let Err(error) = recover(site, scenario).await {
            let message = format!("the recovery failed: {error}");
            self.findings.push(Finding::error("recovery", message));
        }
        self.recovered_in = recovering.elapsed();
        if let Err(error) = site.until_all_serve(self.exercise.patience).await {
            let finding = Finding::error("not-serving", error.to_string());
            self.findings.push(finding);
        }
        self.served_after = began.elapsed();
        if let Some(writers) = writers {
            written.extend(writers.stop().await);
        }
        Ok(written)
    }

    /// Holds the cluster to all that was written, after each member was restarted and killed once.
    async fn hold_to(&mut self, site: &Site, written: &mut Written) {
        self.findings
            .extend(prove(site, written, self.exercise.patience).await);
        match compare(site, written, self.until).await {
            Ok(compared) => self.compared = compared,
            Err(error) => {
                let finding = Finding::error("not-serving", error.to_string());
                self.findings.push(finding);
            }
        }
    }
}

async fn write(writers: &Writers, exercise: Exercise) -> Result<(), Error> {
    match writers.wait_for(exercise.writes / 2, WRITE_LIMIT).await {
        true => Ok(()),
        false => Err(Error::NoWrites {
            writers: exercise.writers,
            writes: exercise.writes,
        }),
    }
}

/// Takes a backup as a site would, and gives the newest revision in it.
async fn back_up(
    site: &Site,
    now: fn() -> DateTime<Utc>,
    progress: &dyn Progress,
) -> Result<Revision, Error> {
    let config = site.config();
    let cluster = config.cluster.folder();
    let cluster = cluster.map_err(|source| Error::Name { source })?;
    let repository = Repository::open(&config.repository, Mode::Create);
    let repository = repository.map_err(|source| Error::Repository { source })?;
    let (folder, never) = (repository.folder(&cluster), CancellationToken::new());
    let request = backup::Request {
        cluster: &cluster,
        access: site.access(),
        folder: &folder,
        settings: &config.backup,
        read_back: true,
        wait: Duration::ZERO,
        now,
        interrupt: &never,
        progress,
    };
    let manifest = backup::backup(&request).await;
    let manifest = manifest.map_err(|source| Error::Backup { source })?;
    Ok(manifest.revision)
}

/// The members that the scenario hits.
async fn victims(site: &Site, exercise: Exercise) -> Result<BTreeSet<usize>, Error> {
    let leader = site.leader().await;
    let leader = leader.map_err(|source| Error::Site { source })?;
    let count = site.members.len();
    let from =
        |first: usize, how_many: usize| (0..how_many).map(move |next| (first + next) % count);
    Ok(match exercise.scenario {
        Scenario::Leader => [leader].into(),
        // Any but the leader.
        Scenario::Follower => from(leader + 1 + exercise.pick % (count - 1).max(1), 1).collect(),
        // So many that the others are no quorum.
        Scenario::Majority => from(exercise.pick, count - count.div_ceil(2) + 1).collect(),
        Scenario::Total | Scenario::Nospace => (0..count).collect(),
    })
}

/// Reads everything through the first member that answers.
async fn compare(
    site: &Site,
    written: &Written,
    until: Option<Revision>,
) -> Result<Compared, etcd::Error> {
    let endpoint = &site.members[0].client_url;
    let member = site
        .access()
        .member(endpoint, Duration::from_secs(30))
        .await?;
    written.compare(&member, until).await
}
