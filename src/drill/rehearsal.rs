//! One rehearsal: a scratch cluster that is written to is broken, brought back, and held to everything that it acknowledged.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::breakage::Break;
use super::engine::Account;
use super::prove::prove;
use super::seed::Held;
use super::site::{self, Site};
use super::writers::{Compared, Writers, Written};
use crate::id::Revision;
use crate::manifest::Finding;
use crate::progress::{Event, Progress, told};
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

    /// Somebody stopped it.
    #[error("interrupted")]
    Interrupted,
}

/// What a rehearsal has around it.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// Our clock.
    pub now: fn() -> DateTime<Utc>,
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
    /// Ends it.
    pub interrupt: &'a CancellationToken,
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
    /// How many writes were acknowledged until every member served again.
    pub acknowledged: usize,
    /// How many writes failed or got no answer.
    pub ambiguous: usize,
    /// What became of all writes, also of those that came later.
    pub compared: Compared,
    /// What became of the keys of the backup that the cluster began with.
    pub seeded: Option<Held>,
    /// The newest revision that had to survive, where later writes cannot: what was written after it had no copy left.
    pub until: Option<Revision>,
    /// What the recovery tells of itself; nothing where it failed.
    pub account: Account,
    /// How long it took from the break until the cluster was judged.
    pub judged_after: Duration,
    /// How long it took from the break until the recovery came back.
    pub recovered_after: Duration,
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
        let is_kept = |held: &Held| held.lost.is_empty();
        self.findings.is_empty()
            && self.compared.is_sound()
            && self.seeded.as_ref().is_none_or(is_kept)
    }

    fn of(exercise: Exercise) -> Self {
        Self {
            exercise,
            broken: Vec::new(),
            acknowledged: 0,
            ambiguous: 0,
            compared: Compared::default(),
            seeded: None,
            until: None,
            account: Account::default(),
            judged_after: Duration::ZERO,
            recovered_after: Duration::ZERO,
            served_after: Duration::ZERO,
            longest_gap: Duration::ZERO,
            findings: Vec::new(),
        }
    }
}

/// Rehearses on a fresh scratch cluster; `recover` is what is put to the test.
///
/// # Errors
/// If it came to no result. That `recover` fails, or leaves a cluster that lost something, is one.
pub async fn rehearse<E: StdError>(
    site: &Site,
    exercise: Exercise,
    recover: &impl AsyncFn(&Site, Scenario) -> Result<Account, E>,
    setting: &Setting<'_>,
) -> Result<Rehearsal, Error> {
    let stage = |text: String| setting.progress.event(Event::Stage(text));
    let interrupt = setting.interrupt;
    let mut rehearsal = Rehearsal::of(exercise);
    stage(format!("{} clients write", exercise.writers));
    let writers = Writers::start(site.access(), exercise.writers, "before");
    let prepared = unless_interrupted(interrupt, rehearsal.prepare(site, &writers, setting));
    let (victims, backed_up) = prepared.await.ok_or(Error::Interrupted)??;
    stage(format!(
        "breaking {}: {}",
        rehearsal.broken.join(", "),
        exercise.breakage
    ));
    let kept = kept_for_certain(site, &victims, exercise, backed_up).await;
    let inflicted = exercise.breakage.inflict(site, &victims).await;
    inflicted.map_err(|source| Error::Site { source })?;
    let broken_at = Instant::now();
    stage(format!("recovering: {}", exercise.scenario));
    let recovering = Box::pin(rehearsal.recover(site, writers, recover, broken_at));
    let mut written = recovering.await;
    if interrupt.is_cancelled() {
        return Err(Error::Interrupted);
    }
    rehearsal.until = kept.map(|kept| {
        let told = rehearsal.account.snapshot_revision;
        told.map_or(kept, |told| told.max(kept))
    });
    rehearsal.acknowledged = written.acknowledged.len();
    rehearsal.ambiguous = written.ambiguous.len();
    rehearsal.longest_gap = written.longest_gap;
    // A cluster that does not serve cannot be held to anything.
    if rehearsal.findings.is_empty() {
        stage("restarting and killing each member once".to_owned());
        let held = unless_interrupted(interrupt, rehearsal.hold_to(site, &mut written));
        held.await.ok_or(Error::Interrupted)?;
    }
    Ok(rehearsal)
}

/// Does the work, unless somebody stops it: then it is dropped, which leaves nothing behind.
pub(super) async fn unless_interrupted<T>(
    interrupt: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        done = work => Some(done),
        () = interrupt.cancelled() => None,
    }
}

impl Rehearsal {
    /// Writes, backs up, writes on, and chooses the members that will be hit.
    async fn prepare(
        &mut self,
        site: &Site,
        writers: &Writers,
        setting: &Setting<'_>,
    ) -> Result<(BTreeSet<usize>, Revision), Error> {
        let exercise = self.exercise;
        write(writers, exercise).await?;
        let backed_up = back_up(site, setting).await?;
        let victims = victims(site, exercise).await?;
        let prepared = exercise.breakage.prepare(site, &victims).await;
        prepared.map_err(|source| Error::Site { source })?;
        write(writers, exercise).await?;
        let names = victims
            .iter()
            .map(|victim| site.members[*victim].name.clone());
        self.broken = names.collect();
        Ok((victims, backed_up))
    }

    /// Has the cluster recovered, and waits until all members serve; gives what was written until then.
    async fn recover<E: StdError>(
        &mut self,
        site: &Site,
        writers: Writers,
        recover: &impl AsyncFn(&Site, Scenario) -> Result<Account, E>,
        broken_at: Instant,
    ) -> Written {
        let scenario = self.exercise.scenario;
        let begun_after = broken_at.elapsed();
        // With a quorum clients go on, and may not notice; without one there is nothing to acknowledge.
        let goes_on = matches!(scenario, Scenario::Follower | Scenario::Leader);
        let (recovered, writers, mut written) = if goes_on {
            let recovered = Box::pin(recover(site, scenario)).await;
            (recovered, Some(writers), Written::default())
        } else {
            let (recovered, written) =
                tokio::join!(Box::pin(recover(site, scenario)), writers.stop());
            (recovered, None, written)
        };
        self.recovered_after = broken_at.elapsed();
        match recovered {
            Ok(account) => {
                self.judged_after = begun_after + account.judged_in;
                self.findings.extend(account.findings.iter().cloned());
                self.account = account;
            }
            Err(error) => {
                let message = format!("the recovery failed: {}", told(&error));
                self.findings.push(Finding::error("recovery", message));
            }
        }
        if self.findings.is_empty()
            && let Err(error) = site.until_all_serve(self.exercise.patience).await
        {
            let finding = Finding::error("not-serving", error.to_string());
            self.findings.push(finding);
        }
        self.served_after = broken_at.elapsed();
        match writers {
            Some(writers) => written.extend(writers.stop().await),
            // Nobody wrote, and nobody could have.
            None => written.longest_gap = written.longest_gap.max(self.served_after),
        }
        written
    }

    /// Holds the cluster to all that was written, after each member was restarted and killed once.
    async fn hold_to(&mut self, site: &Site, written: &mut Written) {
        // What is written from now on has other revisions, and all of it must stay.
        let gone = self.until.zip(written.newest());
        let gone = gone.map(|(until, newest)| until.0 + 1..=newest.0);
        self.findings
            .extend(prove(site, written, self.exercise.patience).await);
        match compare(site, written, gone).await {
            Ok((compared, seeded)) => (self.compared, self.seeded) = (compared, seeded),
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
async fn back_up(site: &Site, setting: &Setting<'_>) -> Result<Revision, Error> {
    let config = site.config();
    let cluster = config.cluster.folder();
    let cluster = cluster.map_err(|source| Error::Name { source })?;
    let repository = Repository::open(config.repository(), Mode::Create);
    let repository = repository.map_err(|source| Error::Repository { source })?;
    let folders = [repository.folder(&cluster, Arc::default())];
    let request = backup::Request {
        cluster: &cluster,
        access: site.access(),
        folders: &folders,
        settings: &config.backup,
        read_back: true,
        wait: Duration::ZERO,
        now: setting.now,
        interrupt: setting.interrupt,
        progress: setting.progress,
    };
    let taken = backup::backup(&request).await;
    let taken = taken.map_err(|source| Error::Backup { source })?;
    Ok(taken.manifest().revision)
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

/// The newest revision that must survive whatever the recovery says, where not everything must: that of the backup where nothing
/// else is left, and what the survivors have applied where only they have data. A write that only others had has no copy left.
async fn kept_for_certain(
    site: &Site,
    victims: &BTreeSet<usize>,
    exercise: Exercise,
    backed_up: Revision,
) -> Option<Revision> {
    match exercise.scenario {
        Scenario::Total => return Some(backed_up),
        Scenario::Majority if exercise.breakage.takes_data() => {}
        _ => return None,
    }
    let statuses = site.statuses().await.into_iter().enumerate();
    let survivors = statuses.filter(|(index, _)| !victims.contains(index));
    let applied = survivors.filter_map(|(_, status)| Some(status?.revision));
    Some(applied.max().unwrap_or(backed_up))
}

/// Reads everything through the first member, and what it began with, too.
async fn compare(
    site: &Site,
    written: &Written,
    gone: Option<RangeInclusive<i64>>,
) -> Result<(Compared, Option<Held>), etcd::Error> {
    let endpoint = &site.members[0].client_url;
    let member = site
        .access()
        .member(endpoint, Duration::from_secs(30))
        .await?;
    let compared = written.compare(&member, gone, site.began_at()).await?;
    let seeded = match site.seed() {
        Some(seed) => Some(seed.hold_to(&member).await?),
        None => None,
    };
    Ok((compared, seeded))
}
