//! What happened to a cluster, from an observation: pure, the decision tree as code over data.

mod advice;
mod cluster;
mod condition;
mod evidence;
pub(in crate::recovery) mod last_words;
mod lookalike;
mod majority;
mod member;
mod ways;

use serde::{Deserialize, Serialize};

use super::Scenario;
use super::directory::{label, voters};
use super::observation::{Alarm, Class, Member, Observation, Quorum};
use super::rank::{Candidate, rank};

pub use condition::{Condition, Confidence};

/// What is the matter with a cluster, and what can be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The one sentence for a person who reads no further.
    pub verdict: String,
    /// What a recovery would be for; `None` where none is needed, or nobody should begin one yet.
    pub scenario: Option<Scenario>,
    /// How sure the worst condition is.
    pub confidence: Confidence,
    /// Everything that is the matter, the worst first; at least one.
    pub conditions: Vec<Found>,
    /// The facts, each with its source.
    pub evidence: Vec<String>,
    /// The ways out, the best first.
    pub ways: Vec<Way>,
    /// What to do, and what not to, in the order in which to do it.
    pub advice: Vec<String>,
    /// Whether there is a quorum.
    pub quorum: Quorum,
    /// The alarms.
    pub alarms: Vec<Alarm>,
    /// Everybody, as they were seen.
    pub members: Vec<Member>,
    /// Everything that the cluster could be brought back from, the best first.
    pub candidates: Vec<Candidate>,
}

/// One thing that is the matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What.
    pub condition: Condition,
    /// Which members it is about; none where it is about the cluster.
    pub members: Vec<String>,
    /// How sure that is.
    pub confidence: Confidence,
    /// Why, where the members' own reasons do not say it.
    pub because: Vec<String>,
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What is done.
    pub how: String,
    /// What will be lost.
    pub lost: String,
    /// What to type.
    pub command: String,
}

impl Diagnosis {
    /// The worst of the conditions.
    #[must_use]
    pub fn condition(&self) -> Condition {
        let worst = self.conditions.first();
        worst.map_or(Condition::Healthy, |found| found.condition)
    }

    /// Whether everything was looked at and is well.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.condition() == Condition::Healthy
    }

    /// Whether anything of the cluster was reached: a member's port, or a node.
    #[must_use]
    pub fn reached_anything(&self) -> bool {
        self.members.iter().any(|member| {
            let asked = matches!(
                member.class,
                Class::Ok
                    | Class::NoLeader
                    | Class::Starting
                    | Class::Learner
                    | Class::Foreign
                    | Class::Hung
            );
            asked || member.node.is_some()
        }) || self.condition() == Condition::NotAllowed
    }
}

/// Judges an observation.
#[must_use]
pub fn judge(observation: &Observation) -> Diagnosis {
    let case = Case::of(observation);
    let mut conditions = case.conditions();
    conditions.sort_by_key(|found| (found.condition, found.confidence));
    let worst = &conditions[0];
    Diagnosis {
        verdict: evidence::verdict(&case, &conditions),
        scenario: worst.scenario(),
        confidence: worst.confidence,
        evidence: evidence::evidence(&case, &conditions),
        ways: ways::ways(&case, &conditions),
        advice: advice::advice(&case, &conditions),
        quorum: observation.quorum.clone(),
        alarms: observation.alarms.clone(),
        members: observation.members.clone(),
        candidates: case.candidates,
        conditions,
    }
}

/// An observation with what is computed from it more than once.
struct Case<'a> {
    observation: &'a Observation,
    voters: Vec<&'a Member>,
    candidates: Vec<Candidate>,
}

impl<'a> Case<'a> {
    fn of(observation: &'a Observation) -> Self {
        Self {
            observation,
            voters: voters(observation),
            candidates: rank(observation),
        }
    }

    fn conditions(&self) -> Vec<Found> {
        let mut found = cluster::conditions(self);
        let is_split = found
            .iter()
            .any(|found| found.condition == Condition::SplitClusters);
        if self.observation.quorum.reads {
            found.extend(member::conditions(self));
        } else if !is_split {
            found.extend(lookalike::condition(self).or_else(|| Some(majority::condition(self))));
        }
        found.extend(member::everywhere(self));
        if found.is_empty() {
            found.push(self.well());
        }
        found
    }

    /// Nothing was found: the cluster is healthy only if everything was looked at.
    fn well(&self) -> Found {
        let unseen = evidence::unseen(self);
        let condition = match unseen.is_empty() {
            true => Condition::Healthy,
            false => Condition::PartlySeen,
        };
        Found {
            because: unseen,
            ..Found::certain(condition)
        }
    }

    /// The voters of these classes.
    fn of_classes(&self, classes: &[Class]) -> Vec<&'a Member> {
        let voters = self.voters.iter().copied();
        voters
            .filter(|member| classes.contains(&member.class))
            .collect()
    }

    fn messages(&self, code: &str) -> impl Iterator<Item = String> {
        let findings = self.observation.findings.iter();
        findings
            .filter(move |finding| finding.code == code)
            .map(|finding| finding.message.clone())
    }
}

impl Found {
    /// What a recovery from it is for; `None` as well where it is not known whom to replace.
    #[must_use]
    pub fn scenario(&self) -> Option<Scenario> {
        match self.condition {
            Condition::SilentCorruption if self.members.is_empty() => None,
            condition => condition.scenario(),
        }
    }

    fn certain(condition: Condition) -> Self {
        Self {
            condition,
            members: Vec::new(),
            confidence: Confidence::Certain,
            because: Vec::new(),
        }
    }

    fn likely(condition: Condition) -> Self {
        Self {
            confidence: Confidence::Likely,
            ..Self::certain(condition)
        }
    }

    fn unclear(condition: Condition) -> Self {
        Self {
            confidence: Confidence::Unclear,
            ..Self::certain(condition)
        }
    }

    fn about(mut self, members: &[&Member]) -> Self {
        self.members = members.iter().map(|member| label(member)).collect();
        self
    }

    fn because(mut self, why: impl IntoIterator<Item = String>) -> Self {
        self.because.extend(why);
        self
    }
}

#[cfg(test)]
mod tests;
