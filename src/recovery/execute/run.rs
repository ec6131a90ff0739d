//! One recovery at work: its steps one after the other, those that are the same on several nodes at once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::{Error, Failure, Request};
use crate::host::Host;
use crate::id::Revision;
use crate::progress::{Event, StepEvent, StepState, told};
use crate::recovery::actions::Particulars;
use crate::recovery::choices::Choices;
use crate::recovery::journal::{self, Entry, Journal, Journals, Line};
use crate::recovery::learned::Learned;
use crate::recovery::plan::{Plan, Step};
use crate::recovery::playbook::Kind;
use crate::recovery::report::Recovered;

/// A recovery at work.
pub(super) struct Recovery<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) run: String,
    pub(super) token: String,
    pub(super) choices: Choices,
    pub(super) plan: Plan,
    pub(super) began_at: DateTime<Utc>,
    pub(super) journal: Journal,
    pub(super) lines: Vec<Line>,
    pub(super) learned: Learned,
    /// The steps that were done, by their numbers.
    pub(super) done: Vec<usize>,
    /// The steps that were begun, by their numbers.
    pub(super) begun: Vec<usize>,
    pub(super) is_resumed: bool,
    pub(super) hosts: BTreeMap<String, Host>,
}

/// What became of a step.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Whether there was nothing left to do.
    pub(super) already: bool,
    pub(super) evidence: Vec<String>,
    pub(super) learned: Learned,
}

impl Outcome {
    pub(super) fn seen(evidence: impl Into<String>) -> Self {
        Self {
            evidence: vec![evidence.into()],
            ..Self::default()
        }
    }

    pub(super) fn already(evidence: impl Into<String>) -> Self {
        Self {
            already: true,
            ..Self::seen(evidence)
        }
    }
}

impl<'a> Recovery<'a> {
    pub(super) fn of(
        request: &'a Request<'a>,
        journal: Journal,
        lines: &[Line],
    ) -> Result<Self, Error> {
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
    pub(super) async fn go(mut self, _locked: &Journals) -> Result<Recovered, Error> {
        let carried_out = self.carry_out_all().await;
        let elapsed = (self.request.now)() - self.began_at;
        let elapsed_ms = u64::try_from(elapsed.num_milliseconds()).unwrap_or(0);
        if let Err(error) = carried_out {
            let page = self.recovered(elapsed_ms).html(Some(&with_causes(&error)));
            // A page that cannot be kept must not hide why the recovery stopped.
            let _ = self.journal.keep("report.html", page.as_bytes());
            return Err(error);
        }
        self.note(Entry::Finished { elapsed_ms })?;
        let recovered = self.recovered(elapsed_ms);
        let json = serde_json::to_vec_pretty(&recovered);
        let json = json.expect("a report holds nothing that JSON cannot");
        let forms = [
            ("report.md", recovered.markdown().into_bytes()),
            ("report.html", recovered.html(None).into_bytes()),
            ("report.json", json),
        ];
        for (name, bytes) in forms {
            let kept = self.journal.keep(name, &bytes);
            kept.map_err(|source| Error::Journal { source })?;
        }
        Ok(recovered)
    }

    /// What it came to so far.
    fn recovered(&self, elapsed_ms: u64) -> Recovered {
        let directory = self.journal.directory();
        Recovered::of(
            &self.plan,
            &self.run,
            &self.learned,
            &self.lines,
            elapsed_ms,
            directory,
        )
    }

    async fn carry_out_all(&mut self) -> Result<(), Error> {
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
            // On the heap: with all kinds of steps in it, it is large.
            Box::pin(self.carry_out(group)).await?;
        }
        Ok(())
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
                .map(|step| async move { Box::pin(this.step(step)).await }),
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
            Kind::CheckAside => self.check_aside(step).await,
            Kind::CheckPlaced => self.check_placed(step).await,
            Kind::CleanUp => self.clean_up(step).await,
            Kind::StopSource
            | Kind::Stage
            | Kind::Stop
            | Kind::SetAside
            | Kind::Place
            | Kind::ForceNewCluster
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

    pub(super) fn note(&mut self, entry: Entry) -> Result<(), Error> {
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

    pub(super) fn particulars(&self) -> Particulars {
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

    pub(super) fn snapshot_path(&self) -> PathBuf {
        self.journal.directory().join("snapshot.db")
    }

    /// By how much the revision is raised, given that of the snapshot.
    pub(super) fn bump(&self, revision: Revision) -> i64 {
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

/// An error with all that caused it, in one line.
fn with_causes(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |at| at.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
