//! Carries a plan out, step by step: intent into the journal, effect, outcome into the journal. A killed run is resumed by another
//! process, which trusts what it sees over what was written.

mod check;
mod file;
mod members;
mod nodes;
mod settled;
mod snapshot;
mod wait;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use super::actions::Particulars;
use super::choices::Choices;
use super::journal::{self, Entry, Journal, Journals, Line};
use super::learned::Learned;
use super::plan::{Plan, Step};
use super::playbook::Kind;
use super::report::Recovered;
use crate::catalog::Catalog;
use crate::config::Node;
use crate::etcd::{self, Access};
use crate::host::{self, Host};
use crate::id::{ClusterName, Revision};
use crate::progress::{Event, Progress, StepEvent, StepState, told};
use crate::repository::Folder;
use crate::{codec, fetch};

/// Why a recovery stopped.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// The plan speaks against itself.
    #[error("this is not done:\n{}", lines(.reasons))]
    Refused { reasons: Vec<String> },

    /// The journal cannot be kept.
    #[error("cannot keep the journal")]
    Journal { source: journal::Error },

    /// A step failed.
    #[error("step {n} of {of} failed: {title}")]
    Step {
        n: usize,
        of: usize,
        title: String,
        run: String,
        source: Box<Failure>,
    },

    /// Somebody stopped it, between two steps.
    #[error("interrupted before step {n} of {of}")]
    Interrupted { n: usize, of: usize, run: String },
}

/// Why a step failed.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Failure {
    /// etcd did not do what was asked.
    #[error("etcd did not do it")]
    Etcd { source: etcd::Error },

    /// A node did not do what was asked.
    #[error("{node} did not do it")]
    Node {
        node: String,
        source: Box<host::Error>,
    },

    /// The snapshot could not be written here.
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },

    /// The backup could not be brought here.
    #[error("cannot bring the backup here")]
    Fetch { source: fetch::Error },

    /// The snapshot is not what etcd streams.
    #[error("the snapshot is not sound")]
    Damaged { source: codec::Error },

    /// The snapshot's database is not sound.
    #[error("the snapshot's database is not sound")]
    Unsound { source: crate::backend::Error },

    /// Nothing came of waiting.
    #[error("{what} did not come within {}:\n{}", humantime::format_duration(*.after), lines(.seen))]
    NotInTime {
        what: String,
        after: std::time::Duration,
        seen: Vec<String>,
    },

    /// What is found is not what the plan rests on.
    #[error("{what}")]
    Unexpected { what: String },

    /// Somebody stopped it while it waited.
    #[error("interrupted while waiting")]
    Interrupted,

    /// A person said no, or nobody was there.
    #[error("{what}")]
    Declined { what: String },
}

fn lines(items: &[String]) -> String {
    let lines: Vec<String> = items.iter().map(|item| format!("  {item}")).collect();
    lines.join("\n")
}

/// The person at the terminal, or the lack of one.
pub trait Operator: Send + Sync {
    /// Asks for a word; `false` ends the recovery.
    fn confirm(&self, question: &str) -> bool;

    /// Asks a person to type `command` on `node`, and to say when it is done; `false` ends the recovery.
    fn by_hand(&self, node: &str, command: &str) -> bool;
}

/// Everything that a recovery acts with.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The cluster's name.
    pub cluster: &'a ClusterName,
    /// The nodes of the configuration.
    pub nodes: &'a [Node],
    /// The way to the members.
    pub access: &'a Access,
    /// The backups, where they can be read.
    pub backups: Option<(&'a Folder, &'a Catalog)>,
    /// Where journals and snapshots are kept.
    pub state_dir: &'a Path,
    /// Whom to ask.
    pub operator: &'a dyn Operator,
    /// Hears how far it is.
    pub progress: &'a dyn Progress,
    /// Our clock.
    pub now: fn() -> DateTime<Utc>,
    /// Stops it between two steps.
    pub interrupt: &'a CancellationToken,
}

/// Carries out a plan that was approved.
///
/// # Errors
/// If it is refused, a step fails, or it is interrupted: the journal says how far it came, and [`resume`] goes on.
pub async fn recover(
    request: &Request<'_>,
    choices: &Choices,
    plan: &Plan,
) -> Result<Recovered, Error> {
    if !plan.refused.is_empty() {
        return Err(Error::Refused {
            reasons: plan.refused.clone(),
        });
    }
    let journals = open(request)?;
    let run = format!(
        "{}-{:06x}",
        (request.now)().format("%Y%m%dT%H%M%SZ"),
        rand::random::<u32>() >> 8
    );
    let token = format!("etcdrx-{:016x}", rand::random::<u64>());
    let mut journal = journals
        .begin(&run)
        .map_err(|source| Error::Journal { source })?;
    let begun = Line {
        at: (request.now)(),
        entry: Entry::Begun {
            run,
            token,
            choices: Box::new(choices.clone()),
            plan: Box::new(plan.clone()),
        },
    };
    journal
        .add(&begun)
        .map_err(|source| Error::Journal { source })?;
    Recovery::of(request, journal, &[begun])?
        .go(&journals)
        .await
}

/// Goes on with a run that was interrupted, killed, or failed.
///
/// # Errors
/// As [`recover`].
pub async fn resume(request: &Request<'_>, run: &str) -> Result<Recovered, Error> {
    let journals = open(request)?;
    let (journal, lines) = journals
        .resume(run)
        .map_err(|source| Error::Journal { source })?;
    let mut recovery = Recovery::of(request, journal, &lines)?;
    recovery.is_resumed = true;
    recovery.note(Entry::Resumed)?;
    recovery.go(&journals).await
}

fn open(request: &Request<'_>) -> Result<Journals, Error> {
    Journals::open(request.state_dir, request.cluster).map_err(|source| Error::Journal { source })
}

/// A recovery at work.
struct Recovery<'a> {
    request: &'a Request<'a>,
    run: String,
    token: String,
    choices: Choices,
    plan: Plan,
    began_at: DateTime<Utc>,
    journal: Journal,
    lines: Vec<Line>,
    learned: Learned,
    /// The steps that were done, by their numbers.
    done: Vec<usize>,
    /// The steps that were begun, by their numbers.
    begun: Vec<usize>,
    is_resumed: bool,
    hosts: BTreeMap<String, Host>,
}

/// What became of a step.
#[derive(Debug, Default)]
struct Outcome {
    /// Whether there was nothing left to do.
    already: bool,
    evidence: Vec<String>,
    learned: Learned,
}

impl Outcome {
    fn seen(evidence: impl Into<String>) -> Self {
        Self {
            evidence: vec![evidence.into()],
            ..Self::default()
        }
    }

    fn already(evidence: impl Into<String>) -> Self {
        Self {
            already: true,
            ..Self::seen(evidence)
        }
    }
}

impl<'a> Recovery<'a> {
    fn of(request: &'a Request<'a>, journal: Journal, lines: &[Line]) -> Result<Self, Error> {
        let no_plan = || Error::Journal {
            source: journal::Error::NoPlan {
                path: journal.directory().to_owned(),
            },
        };
        let Some(Line {
            at,
            entry:
                Entry::Begun {
                    run,
                    token,
                    choices,
                    plan,
                },
        }) = lines.first()
        else {
            return Err(no_plan());
        };
        let mut recovery = Self {
            request,
            run: run.clone(),
            token: token.clone(),
            choices: (**choices).clone(),
            plan: (**plan).clone(),
            began_at: *at,
            journal,
            lines: lines.to_vec(),
            learned: Learned::default(),
            done: Vec::new(),
            begun: Vec::new(),
            is_resumed: false,
            hosts: BTreeMap::new(),
        };
        for line in lines {
            match &line.entry {
                Entry::Intent { n, .. } => recovery.begun.push(*n),
                Entry::Done { n, learned, .. } => {
                    recovery.done.push(*n);
                    recovery.learned.take_in((**learned).clone());
                }
                _ => {}
            }
        }
        Ok(recovery)
    }

    /// Carries out what is left, and tells what came of it.
    async fn go(mut self, _locked: &Journals) -> Result<Recovered, Error> {
        let steps = self.plan.steps.clone();
        for group in steps.chunk_by(belong_together) {
            let first = &group[0];
            if self.request.interrupt.is_cancelled() {
                return Err(Error::Interrupted {
                    n: first.n,
                    of: steps.len(),
                    run: self.run.clone(),
                });
            }
            self.carry_out(group).await?;
        }
        let elapsed = (self.request.now)() - self.began_at;
        let elapsed_ms = u64::try_from(elapsed.num_milliseconds()).unwrap_or(0);
        self.note(Entry::Finished { elapsed_ms })?;
        let directory = self.journal.directory();
        let recovered = Recovered::of(
            &self.plan,
            &self.run,
            &self.learned,
            &self.lines,
            elapsed_ms,
            directory,
        );
        self.journal
            .keep("report.md", recovered.markdown().as_bytes())
            .and_then(|()| {
                let json = serde_json::to_vec_pretty(&recovered);
                let json = json.expect("a report holds nothing that JSON cannot");
                self.journal.keep("report.json", &json)
            })
            .map_err(|source| Error::Journal { source })?;
        Ok(recovered)
    }

    /// Carries out one step, or the same step on several nodes at once.
    async fn carry_out(&mut self, group: &[Step]) -> Result<(), Error> {
        for step in group {
            self.note(Entry::Intent {
                n: step.n,
                node: step.node.clone(),
            })?;
            self.tell(step, StepState::Started, &[], 0);
        }
        self.connect(group);
        let began = Instant::now();
        let this = &*self;
        let outcomes = join_all(
            group
                .iter()
                .map(|step| async move { this.step(step).await }),
        )
        .await;
        let elapsed_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut failure = None;
        for (step, outcome) in group.iter().zip(outcomes) {
            match outcome {
                Ok(outcome) => self.succeeded(step, outcome, elapsed_ms)?,
                Err(error) => {
                    self.note(Entry::Failed {
                        n: step.n,
                        node: step.node.clone(),
                        error: told(&error),
                    })?;
                    self.tell(step, StepState::Failed, &[told(&error)], elapsed_ms);
                    failure.get_or_insert((step, error));
                }
            }
        }
        match failure {
            None => Ok(()),
            Some((step, error)) => Err(Error::Step {
                n: step.n,
                of: self.plan.steps.len(),
                title: step.title.clone(),
                run: self.run.clone(),
                source: Box::new(error),
            }),
        }
    }

    fn succeeded(&mut self, step: &Step, outcome: Outcome, elapsed_ms: u64) -> Result<(), Error> {
        let state = match outcome.already {
            true => StepState::Already,
            false => StepState::Done,
        };
        self.tell(step, state, &outcome.evidence, elapsed_ms);
        self.learned.take_in(outcome.learned.clone());
        self.done.push(step.n);
        self.note(Entry::Done {
            n: step.n,
            node: step.node.clone(),
            already: outcome.already,
            elapsed_ms,
            evidence: outcome.evidence,
            learned: Box::new(outcome.learned),
        })
    }

    /// One step: each kind has one function.
    async fn step(&self, step: &Step) -> Result<Outcome, Failure> {
        match step.action {
            Kind::TakeSnapshot => self.take_snapshot().await,
            Kind::Salvage | Kind::CopyDatabase => self.salvage(step).await,
            Kind::FetchBackup => self.fetch_backup().await,
            Kind::ProveSnapshot => self.prove_snapshot(),
            Kind::SendSnapshot => self.send_snapshot(step).await,
            Kind::CheckPlaced => self.check_placed(step).await,
            Kind::CleanUp => self.clean_up(step).await,
            Kind::StopSource
            | Kind::Stage
            | Kind::Stop
            | Kind::SetAside
            | Kind::Place
            | Kind::Configure
            | Kind::Start
            | Kind::Command => self.on_node(step).await,
            Kind::WaitLeader => self.wait_leader().await,
            Kind::WaitHealthy => self.wait_healthy().await,
            Kind::WaitMember => self.wait_member(step).await,
            Kind::RemoveMember => self.remove_member(step).await,
            Kind::AddMember => self.add_member(step, false).await,
            Kind::AddLearner => self.add_member(step, true).await,
            Kind::Promote => self.promote(step).await,
            Kind::MoveLeader => self.move_leader(step).await,
            Kind::Compact => self.compact().await,
            Kind::Defragment => self.defragment(step).await,
            Kind::Disarm => self.disarm().await,
            Kind::CheckInvariants => self.check_invariants().await,
            Kind::Confirm => self.confirm(step),
        }
    }

    fn confirm(&self, step: &Step) -> Result<Outcome, Failure> {
        if self.done.contains(&step.n) {
            return Ok(Outcome::already("confirmed before"));
        }
        match self.request.operator.confirm(&step.title) {
            true => Ok(Outcome::seen("confirmed")),
            false => Err(Failure::Declined {
                what: "nobody confirmed it".to_owned(),
            }),
        }
    }

    /// Opens the ways to the nodes of these steps.
    fn connect(&mut self, group: &[Step]) {
        for name in group.iter().filter_map(|step| step.node.as_ref()) {
            let node = self.request.nodes.iter().find(|node| node.name == *name);
            if let (Some(node), false) = (node, self.hosts.contains_key(name))
                && let Ok(host) = Host::of(node)
            {
                self.hosts.insert(name.clone(), host);
            }
        }
    }

    fn note(&mut self, entry: Entry) -> Result<(), Error> {
        let line = Line {
            at: (self.request.now)(),
            entry,
        };
        self.journal
            .add(&line)
            .map_err(|source| Error::Journal { source })?;
        self.lines.push(line);
        Ok(())
    }

    fn tell(&self, step: &Step, state: StepState, evidence: &[String], elapsed_ms: u64) {
        self.request.progress.event(Event::Step(StepEvent {
            n: step.n,
            of: self.plan.steps.len(),
            title: step.title.clone(),
            node: step.node.clone(),
            state,
            evidence: evidence.to_vec(),
            elapsed_ms,
        }));
    }

    fn particulars(&self) -> Particulars {
        let snapshot = self.learned.snapshot.as_ref();
        Particulars {
            run: self.run.clone(),
            token: self.token.clone(),
            bump: self.learned.bump.filter(|bump| *bump > 0),
            initial_cluster: self.plan.initial_cluster(),
            begins_anew: self.plan.begins_anew(),
            snapshot: self.snapshot_path(),
            unproven: snapshot.is_some_and(|snapshot| snapshot.bare),
            command: Vec::new(),
        }
    }

    fn snapshot_path(&self) -> PathBuf {
        self.journal.directory().join("snapshot.db")
    }

    /// By how much the revision is raised, given that of the snapshot.
    fn bump(&self, revision: Revision) -> i64 {
        if self.choices.keep_revisions {
            return 0;
        }
        let highest = self.plan.highest_revision.unwrap_or_default().max(revision);
        crate::restore::Bump::Beyond(highest).from(revision)
    }
}

/// Whether two steps are the same one on different nodes, which may be done at the same time.
fn belong_together(one: &Step, other: &Step) -> bool {
    let at_once = !matches!(one.action, Kind::Defragment | Kind::Command | Kind::Confirm);
    at_once && one.node.is_some() && one.action == other.action
}
