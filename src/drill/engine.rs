//! The recovery that a rehearsal puts to the test: the very one that `recover` carries out, approved by itself.

use std::time::{Duration, Instant};

use serde::Serialize;
use thiserror::Error;

use super::rehearsal::{Setting, unless_interrupted};
use super::renewal;
use super::site::{self, Site};
use crate::config;
use crate::id::Revision;
use crate::manifest::Finding;
use crate::recovery::choices::Choices;
use crate::recovery::copies::look_for;
use crate::recovery::execute::{self, Operator};
use crate::recovery::judge::{Condition, Diagnosis, judge};
use crate::recovery::look::look_settled;
use crate::recovery::observation::Class;
use crate::recovery::observe::PATIENT_LIMIT;
use crate::recovery::plan::{Plan, Situation, plan};
use crate::recovery::playbook::{Playbook, Way};
use crate::recovery::report::Recovered;
use crate::recovery::{Observation, Scenario};

/// Why the recovery of a scratch cluster stopped.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// Somebody stopped it before it began.
    #[error("interrupted")]
    Interrupted,

    /// What is seen speaks for something else, or against the plan.
    #[error("{verdict}; refused: {}", .reasons.join("; "))]
    Refused {
        verdict: String,
        reasons: Vec<String>,
    },

    /// Not to be expected of a name that is ours.
    #[error("the scratch cluster has no name")]
    Name { source: config::Error },

    /// The certificates that ended could not be renewed, or a member not be restarted.
    #[error("cannot renew the certificates that ended")]
    Renew { source: site::Error },

    /// A step failed.
    #[error("it did not come to its end")]
    Execute { source: execute::Error },
}

/// What a recovery tells of itself.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Account {
    /// How long it took until the cluster was judged.
    #[serde(skip)]
    pub judged_in: Duration,
    /// What the judgement came to.
    pub condition: Option<Condition>,
    /// The same, in a sentence.
    pub verdict: String,
    /// The ways out that were taken, one after the other; most often it is one.
    pub ways: Vec<Way>,
    /// The members whose certificates were renewed, and who were restarted, where that was all that was needed.
    pub renewed: Vec<String>,
    /// The newest revision that came with it, where the cluster began anew.
    pub snapshot_revision: Option<Revision>,
    /// What its own last look held against the cluster.
    #[serde(skip)]
    pub findings: Vec<Finding>,
}

impl Account {
    fn of(diagnosis: &Diagnosis) -> Self {
        Self {
            condition: Some(diagnosis.condition()),
            verdict: diagnosis.verdict.clone(),
            ..Self::default()
        }
    }
}

/// Says yes to what a playbook asks; does nothing by hand.
struct Approving;

impl Operator for Approving {
    fn confirm(&self, _: &str) -> bool {
        true
    }

    fn by_hand(&self, _: &str, _: &str) -> bool {
        false
    }
}

/// Looks at the scratch cluster, judges it, plans, and carries the plan out. Its journal lies with the cluster's files.
///
/// It goes on as a person would: a member that does not start on data that look whole is replaced, and so is one that a restarted
/// majority still lacks.
///
/// # Errors
/// If the plan is refused, a step fails, or somebody stops it.
pub async fn recover(
    site: &Site,
    scenario: Scenario,
    setting: &Setting<'_>,
) -> Result<Account, Error> {
    let began = Instant::now();
    let observation = look(site, setting).await?;
    let diagnosis = judge(&observation);
    let judged_in = began.elapsed();
    if diagnosis.condition() == Condition::NotADisasterCertificate {
        let renewed = renew(site, scenario, &diagnosis, &observation, setting).await?;
        return Ok(Account {
            judged_in,
            ..renewed
        });
    }
    let choices = Choices {
        member: other_data(&diagnosis),
        ..Choices::of(scenario)
    };
    let mut plan = plan_for(site, &observation, &choices)?;
    let mut recovered = carry_out(site, &choices, &plan, setting).await;
    let mut ways: Vec<Way> = plan.way.into_iter().collect();
    // More rounds than members would go round in circles.
    for _ in &site.members {
        let Some(choices) = next_round(site, &plan, recovered.as_ref(), setting).await? else {
            break;
        };
        plan = plan_for(site, &look(site, setting).await?, &choices)?;
        ways.extend(plan.way);
        recovered = carry_out(site, &choices, &plan, setting).await;
    }
    let recovered = recovered?;
    Ok(Account {
        judged_in,
        ways,
        snapshot_revision: recovered.snapshot_revision,
        findings: broken_promises(&recovered),
        ..Account::of(&diagnosis)
    })
}

/// Does what the diagnosis advises; a recovery must have been refused.
async fn renew(
    site: &Site,
    scenario: Scenario,
    diagnosis: &Diagnosis,
    observation: &Observation,
    setting: &Setting<'_>,
) -> Result<Account, Error> {
    let mut account = Account::of(diagnosis);
    let named = diagnosis.conditions.iter();
    let named = named.filter(|found| found.condition == Condition::NotADisasterCertificate);
    account.renewed = named.flat_map(|found| found.members.clone()).collect();
    if plan_for(site, observation, &Choices::of(scenario)).is_ok() {
        let message = "a recovery was planned where certificates have ended: it must be refused";
        account
            .findings
            .push(Finding::error("not-refused", message));
    }
    let is_named = |index: &usize| account.renewed.contains(&site.members[*index].name);
    let members = (0..site.members.len()).filter(is_named).collect();
    let renewed = renewal::renew(site, &members, (setting.now)()).await;
    renewed.map_err(|source| Error::Renew { source })?;
    Ok(account)
}

/// What a person would do next: replace the member that does not start; and after a restart of the majority mend whoever is
/// still missing.
async fn next_round(
    site: &Site,
    plan: &Plan,
    recovered: Result<&Recovered, &Error>,
    setting: &Setting<'_>,
) -> Result<Option<Choices>, Error> {
    if plan.way != Some(Way::Restart) || setting.interrupt.is_cancelled() {
        return Ok(None);
    }
    Ok(match (&plan.target, recovered) {
        (Some(target), Err(_)) => Some(Choices {
            member: Some(target.clone()),
            way: Some(Way::Replace),
            ..Choices::of(plan.scenario)
        }),
        (None, Ok(_)) => {
            let observation = look(site, setting).await?;
            let mut ill = observation.members.iter();
            let ill = ill.find(|member| member.listed && member.class != Class::Ok);
            ill.map(|member| Choices {
                member: Some(member.name.clone()),
                ..Choices::of(Scenario::Follower)
            })
        }
        _ => None,
    })
}

async fn look(site: &Site, setting: &Setting<'_>) -> Result<Observation, Error> {
    let look = look_settled(site.config(), site.access(), setting.now, PATIENT_LIMIT);
    let look = unless_interrupted(setting.interrupt, look).await;
    look.ok_or(Error::Interrupted)
}

/// The plan, if nothing speaks against it.
fn plan_for(site: &Site, observation: &Observation, choices: &Choices) -> Result<Plan, Error> {
    let plan = plan(&Situation {
        observation,
        nodes: &site.config().nodes,
        choices,
        playbook: &Playbook::embedded(choices.scenario),
    });
    match plan.refused.is_empty() {
        true => Ok(plan),
        false => Err(Error::Refused {
            verdict: judge(observation).verdict,
            reasons: plan.refused,
        }),
    }
}

async fn carry_out(
    site: &Site,
    choices: &Choices,
    plan: &Plan,
    setting: &Setting<'_>,
) -> Result<Recovered, Error> {
    let config = site.config();
    let cluster = config.cluster.folder();
    let cluster = cluster.map_err(|source| Error::Name { source })?;
    let backups = look_for(config).await;
    let request = execute::Request {
        cluster: &cluster,
        nodes: &config.nodes,
        access: site.access(),
        backups: &backups,
        state_dir: &site.directory().join("state"),
        operator: &Approving,
        progress: setting.progress,
        now: setting.now,
        interrupt: setting.interrupt,
    };
    let recovered = execute::recover(&request, choices, plan).await;
    recovered.map_err(|source| Error::Execute { source })
}

/// The member whose data differ from the others': it runs and looks well, so that it has to be named.
fn other_data(diagnosis: &Diagnosis) -> Option<String> {
    let mut found = diagnosis.conditions.iter();
    let odd = found.find(|found| found.condition == Condition::SilentCorruption)?;
    odd.members.first().cloned()
}

fn broken_promises(recovered: &Recovered) -> Vec<Finding> {
    let broken = recovered.invariants.iter();
    let broken = broken.filter(|invariant| invariant.ok == Some(false));
    broken
        .map(|invariant| {
            let seen = invariant.evidence.join("; ");
            let message = format!("{} {}: {seen}", invariant.code, invariant.title);
            Finding::error("invariant", message)
        })
        .collect()
}
