//! From what was seen and what the operator decided to the steps of a recovery: a value, that is shown, approved and carried out.

mod expand;
mod refuse;
mod source;
mod way;

use serde::{Deserialize, Serialize};

use super::choices::Choices;
use super::observation::Observation;
use super::playbook::{Kind, Playbook, Way};
use super::scenario::Scenario;
use crate::codec::Sha256;
use crate::config::Node;
use crate::id::{BackupId, ClusterId, Digest, MemberId, Revision};

/// Everything that a plan is made of.
#[derive(Clone, Copy)]
pub struct Situation<'a> {
    /// What was seen.
    pub observation: &'a Observation,
    /// The nodes of the configuration.
    pub nodes: &'a [Node],
    /// What the operator decided.
    pub choices: &'a Choices,
    /// The steps of the scenario, and their words.
    pub playbook: &'a Playbook,
}

impl Situation<'_> {
    /// The node of a member.
    pub(super) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name == name)
    }
}

/// Where the data come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Source {
    /// A member that runs.
    Live {
        /// Which.
        member: String,
        /// Where it is reached.
        endpoint: String,
        /// Its newest revision, where a quorum cannot move it.
        revision: Option<Revision>,
    },
    /// The directory of a member that does not run.
    Salvage {
        /// Which.
        member: String,
        /// The term of its last entry.
        last_term: u64,
        /// The index of its last entry.
        last_index: u64,
    },
    /// A database file.
    Database {
        /// Whose.
        member: String,
        /// Its newest revision, where it could be read.
        revision: Option<Revision>,
    },
    /// A backup.
    Backup {
        /// Which.
        id: BackupId,
        /// Its newest revision.
        revision: Revision,
    },
    /// A file.
    File {
        /// Where it lies.
        path: std::path::PathBuf,
        /// Its newest revision.
        revision: Option<Revision>,
    },
}

impl Source {
    /// It, in words.
    #[must_use]
    pub fn label(&self) -> String {
        match self {
            Self::Live { member, .. } => format!("the running member {member}"),
            Self::Salvage { member, .. } => format!("the directory of {member}"),
            Self::Database { member, .. } => format!("the database file of {member}"),
            Self::Backup { id, .. } => format!("the backup {id}"),
            Self::File { path, .. } => format!("the file {}", path.display()),
        }
    }

    /// The member whose data they are, where they are one's.
    #[must_use]
    pub fn member(&self) -> Option<&str> {
        match self {
            Self::Live { member, .. }
            | Self::Salvage { member, .. }
            | Self::Database { member, .. } => Some(member),
            Self::Backup { .. } | Self::File { .. } => None,
        }
    }
}

/// A member of the cluster as it will be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedMember {
    /// Its name.
    pub name: String,
    /// Where members will reach it.
    pub peer_urls: Vec<String>,
    /// The id that it has now, if it is listed and keeps it.
    pub id: Option<MemberId>,
}

/// The steps of a recovery, and what they rest on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What happened.
    pub scenario: Scenario,
    /// The way out.
    pub way: Option<Way>,
    /// What it is, in a sentence or two.
    pub about: String,
    /// Where the data come from, where the cluster begins anew; and what is saved first, where it goes on.
    pub source: Option<Source>,
    /// How many revisions will be lost, as far as that is known.
    pub lost_revisions: Option<i64>,
    /// What will be lost, in words.
    pub lost: String,
    /// The cluster before.
    pub cluster_id: Option<ClusterId>,
    /// The member that it is about, where it is about one.
    pub target: Option<String>,
    /// The members after it.
    pub members: Vec<PlannedMember>,
    /// The highest revision that anybody may have seen.
    pub highest_revision: Option<Revision>,
    /// Why it is not carried out; empty where it may be.
    pub refused: Vec<String>,
    /// What the operator should know.
    pub warnings: Vec<String>,
    /// The steps.
    pub steps: Vec<Step>,
    /// What approves it: the same evidence and choices give the same digest.
    pub digest: String,
}

/// A step of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Its number, from 1.
    pub n: usize,
    /// What it does.
    pub title: String,
    /// Why.
    pub why: String,
    /// What can go wrong.
    pub risk: String,
    /// The member on whose node it happens; none where the cluster as a whole is meant, or this machine.
    pub node: Option<String>,
    /// What kind it is.
    pub action: Kind,
    /// What a person would type to do the same. `RUN` and `TOKEN` are drawn when the plan begins.
    pub commands: Vec<String>,
    /// The command of a site's own, word by word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub run: Vec<String>,
    /// Whether it is hard to go back from.
    pub destructive: bool,
    /// How to go back.
    pub undo: String,
}

impl Plan {
    /// Whether the cluster begins anew, with new ids.
    #[must_use]
    pub fn begins_anew(&self) -> bool {
        self.steps.iter().any(|step| step.action == Kind::Stage)
    }

    /// The member that goes on in place, while all others leave; none where nobody does.
    #[must_use]
    pub fn in_place(&self) -> Option<&str> {
        let source = self
            .source
            .as_ref()
            .filter(|_| self.way == Some(Way::InPlace));
        source.and_then(Source::member)
    }

    /// The cluster's members as `--initial-cluster` takes them.
    #[must_use]
    pub fn initial_cluster(&self) -> String {
        initial_cluster(self.members.iter())
    }

    /// The same when `name` joins the member that goes on in place: those that join later are not there yet.
    fn initial_cluster_with(&self, name: &str) -> String {
        let place = self.members.iter().position(|member| member.name == name);
        let members = self.members.iter().enumerate().filter(|(at, member)| {
            Some(*at) <= place || Some(member.name.as_str()) == self.in_place()
        });
        initial_cluster(members.map(|(_, member)| member))
    }

    /// The nodes of the steps of one kind, in their order.
    pub fn nodes_of(&self, kind: Kind) -> impl Iterator<Item = &str> {
        let steps = self.steps.iter().filter(move |step| step.action == kind);
        steps.filter_map(|step| step.node.as_deref())
    }
}

fn initial_cluster<'a>(members: impl Iterator<Item = &'a PlannedMember>) -> String {
    let members = members.flat_map(|member| {
        let urls = member.peer_urls.iter();
        urls.map(move |url| format!("{}={url}", member.name))
    });
    members.collect::<Vec<_>>().join(",")
}

/// Makes the plan. It is pure: the same situation gives the same plan, with the same digest.
#[must_use]
pub fn plan(situation: &Situation<'_>) -> Plan {
    let mut plan = match way::choose(situation) {
        Ok(plan) => plan,
        Err(refusals) => Plan::refused(situation, refusals),
    };
    plan.refused.extend(refuse::refusals(situation, &plan));
    if plan.way.is_some() {
        expand::expand(situation, &mut plan);
    }
    plan.digest = digest(&plan);
    plan
}

impl Plan {
    fn empty(situation: &Situation<'_>) -> Self {
        let observation = situation.observation;
        let listed = observation.members.iter().filter(|member| member.listed);
        let statuses = listed.filter_map(|member| member.status.as_ref());
        let seen = statuses.map(|status| status.revision);
        let backups = observation.backups.iter().map(|backup| backup.revision);
        Self {
            scenario: situation.choices.scenario,
            way: None,
            about: String::new(),
            source: None,
            lost_revisions: None,
            lost: String::new(),
            cluster_id: observation.cluster_id(),
            target: None,
            members: Vec::new(),
            highest_revision: seen
                .chain(backups)
                .chain(observation.directory_revisions())
                .max(),
            refused: Vec::new(),
            warnings: Vec::new(),
            steps: Vec::new(),
            digest: String::new(),
        }
    }

    fn refused(situation: &Situation<'_>, refused: Vec<String>) -> Self {
        Self {
            refused,
            ..Self::empty(situation)
        }
    }
}

/// What approves a plan: everything that is carried out, and not what moves while a cluster lives.
fn digest(plan: &Plan) -> String {
    let steady = Plan {
        highest_revision: None,
        // It tells how long ago a backup was taken.
        lost: String::new(),
        warnings: Vec::new(),
        digest: String::new(),
        ..plan.clone()
    };
    let json = serde_json::to_vec(&steady).expect("a plan holds nothing that JSON cannot");
    let Digest(bytes) = Sha256::of(&json);
    hex::encode(&bytes[..8])
}

#[cfg(test)]
mod tests;
