//! The steps of a scenario with the words that guide an operator: files, embedded and overridable.

mod written;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::scenario::Scenario;
use written::parse;

const EMBEDDED: &[(Scenario, &str)] = &[
    (
        Scenario::Follower,
        include_str!("../../../playbooks/follower.yaml"),
    ),
    (
        Scenario::Leader,
        include_str!("../../../playbooks/leader.yaml"),
    ),
    (
        Scenario::Majority,
        include_str!("../../../playbooks/majority.yaml"),
    ),
    (
        Scenario::Total,
        include_str!("../../../playbooks/total.yaml"),
    ),
    (
        Scenario::Nospace,
        include_str!("../../../playbooks/nospace.yaml"),
    ),
];

/// Why a playbook cannot be used.
#[expect(missing_docs, reason = "the messages name the fields")]
#[derive(Debug, Error)]
pub enum Error {
    /// It is not YAML, or not a playbook.
    #[error("{origin} is no playbook: {problem}")]
    Invalid { origin: String, problem: String },

    /// It is for something else.
    #[error("{origin} is a playbook for {found}, and {wanted} is to be recovered from")]
    OtherScenario {
        origin: String,
        found: Scenario,
        wanted: Scenario,
    },

    /// Its typed steps are not those that the program knows to be safe in this order.
    #[error(
        "{origin}, way `{way}`: a playbook may add `confirm` and `command` steps and change words, and its other steps must be {expected}"
    )]
    OtherSteps {
        origin: String,
        way: Way,
        expected: String,
    },

    /// A step of a site that says too little.
    #[error("{origin}, way `{way}`: a `{kind}` step needs `{field}`")]
    Incomplete {
        origin: String,
        way: Way,
        kind: Kind,
        field: &'static str,
    },
}

/// The ways out of a scenario.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the playbooks say what they are")]
pub enum Way {
    Restart,
    Replace,
    Relearn,
    Grow,
    Live,
    Salvage,
    Database,
    Backup,
    InPlace,
    Free,
}

/// What a step does; the executor has one function for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "playbooks/steps.yaml says what they do")]
pub enum Kind {
    TakeSnapshot,
    StopSource,
    Salvage,
    CopyDatabase,
    FetchBackup,
    ProveSnapshot,
    SendSnapshot,
    Stage,
    Stop,
    SetAside,
    Place,
    Configure,
    CheckPlaced,
    CheckAside,
    ForceNewCluster,
    Start,
    WaitLeader,
    WaitHealthy,
    WaitMember,
    RemoveMember,
    AddMember,
    AddLearner,
    Promote,
    MoveLeader,
    CleanUp,
    Compact,
    Defragment,
    Disarm,
    CheckInvariants,
    Confirm,
    Command,
}

macro_rules! displays_as_serialized {
    ($($name:ident),+) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                let text = serde_json::to_value(self).map_err(|_| std::fmt::Error)?;
                f.write_str(text.as_str().unwrap_or_default())
            }
        }
    )+};
}

displays_as_serialized!(Way, Kind);

impl Kind {
    /// Whether it belongs to the site, and may stand anywhere.
    fn is_of_the_site(self) -> bool {
        matches!(self, Self::Confirm | Self::Command)
    }

    /// Whether it is hard to go back from.
    #[must_use]
    pub fn is_destructive(self) -> bool {
        matches!(
            self,
            Self::Stop
                | Self::StopSource
                | Self::SetAside
                | Self::Place
                | Self::ForceNewCluster
                | Self::RemoveMember
                | Self::AddMember
                | Self::AddLearner
                | Self::Promote
                | Self::Compact
                | Self::Disarm
        )
    }
}

/// What a step says to the operator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// What it does.
    pub title: String,
    /// Why.
    pub why: String,
    /// What can go wrong.
    pub risk: String,
    /// How to go back.
    pub undo: String,
}

/// A step of a playbook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybookStep {
    /// What it does.
    pub kind: Kind,
    /// What it says.
    pub words: Words,
    /// The nodes that a `command` runs on; all where none is named.
    pub nodes: Vec<String>,
    /// The command and its arguments.
    pub run: Vec<String>,
    /// Whether it and those beside it are done for one joining member after the other.
    pub one_by_one: bool,
}

/// A way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybookWay {
    /// What it is, in a sentence or two.
    pub about: String,
    /// Its steps in order.
    pub steps: Vec<PlaybookStep>,
}

/// The ways out of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playbook {
    /// What it is for.
    pub scenario: Scenario,
    /// The ways out.
    pub ways: BTreeMap<Way, PlaybookWay>,
}

impl Playbook {
    /// The playbook that comes with the program.
    #[must_use]
    pub fn embedded(scenario: Scenario) -> Self {
        let origin = format!("the playbook {scenario}");
        parse(text(scenario), &origin)
            .expect("the embedded playbooks are well formed, as a test holds")
    }

    /// Reads a site's own playbook for `scenario`.
    ///
    /// # Errors
    /// If it is none, is for something else, or its steps are not those of ours in the same order, besides `confirm` and `command`.
    pub fn of_site(yaml: &str, origin: &str, scenario: Scenario) -> Result<Self, Error> {
        let playbook = parse(yaml, origin)?;
        if playbook.scenario != scenario {
            return Err(Error::OtherScenario {
                origin: origin.to_owned(),
                found: playbook.scenario,
                wanted: scenario,
            });
        }
        let ours = Self::embedded(scenario);
        for (way, theirs) in &playbook.ways {
            theirs.hold_against(ours.ways.get(way), *way, origin)?;
        }
        Ok(playbook)
    }

    /// The text of the playbook that comes with the program: a site copies and changes it.
    #[must_use]
    pub fn source(scenario: Scenario) -> &'static str {
        text(scenario)
    }
}

impl PlaybookWay {
    fn hold_against(&self, ours: Option<&Self>, way: Way, origin: &str) -> Result<(), Error> {
        let typed = |way: &Self| -> Vec<(Kind, bool)> {
            let steps = way.steps.iter().map(|step| (step.kind, step.one_by_one));
            steps.filter(|(kind, _)| !kind.is_of_the_site()).collect()
        };
        let expected = ours.map(typed).unwrap_or_default();
        if typed(self) != expected || expected.is_empty() {
            let expected: Vec<String> = expected.iter().map(|(kind, _)| kind.to_string()).collect();
            return Err(Error::OtherSteps {
                origin: origin.to_owned(),
                way,
                expected: match expected.is_empty() {
                    true => "none: this scenario has no such way".to_owned(),
                    false => expected.join(", "),
                },
            });
        }
        for step in &self.steps {
            let missing = match step.kind {
                Kind::Command if step.run.is_empty() => Some("run"),
                _ => None,
            };
            if let Some(field) = missing {
                return Err(Error::Incomplete {
                    origin: origin.to_owned(),
                    way,
                    kind: step.kind,
                    field,
                });
            }
        }
        Ok(())
    }
}

fn text(scenario: Scenario) -> &'static str {
    let found = EMBEDDED.iter().find(|(of, _)| *of == scenario);
    found.expect("every scenario has a playbook").1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_playbook_is_well_formed_and_its_steps_have_words() {
        for scenario in Scenario::ALL {
            let playbook = Playbook::embedded(scenario);
            assert_eq!(playbook.scenario, scenario);
            assert!(!playbook.ways.is_empty());
            for way in playbook.ways.values() {
                assert_eq!(way.steps.last().unwrap().kind, Kind::CheckInvariants);
            }
        }
    }

    #[test]
    fn a_site_may_add_its_own_steps_and_words_and_nothing_else() {
        let ours = Playbook::source(Scenario::Total);
        let theirs = ours.replace(
            "      - stop\n",
            "      - step: command\n        title: Stop the API servers\n        run: [systemctl, stop, kubelet]\n      - step: stop\n        why: We say so.\n",
        );
        let playbook = Playbook::of_site(&theirs, "site.yaml", Scenario::Total).unwrap();
        let steps = &playbook.ways[&Way::Backup].steps;
        assert!(steps.iter().any(|step| step.kind == Kind::Command));
        assert!(steps.iter().any(|step| step.words.why == "We say so."));

        let without = ours.replace("      - check-placed\n", "");
        let error = Playbook::of_site(&without, "site.yaml", Scenario::Total).unwrap_err();
        assert!(error.to_string().contains("check-placed"), "{error}");
        let other = Playbook::of_site(ours, "site.yaml", Scenario::Leader).unwrap_err();
        assert!(matches!(other, Error::OtherScenario { .. }));
        let empty = ours.replace("      - stop\n", "      - {step: command}\n      - stop\n");
        let error = Playbook::of_site(&empty, "site.yaml", Scenario::Total).unwrap_err();
        assert!(error.to_string().contains("`run`"), "{error}");
        assert!(Playbook::of_site("scenario: total\nways: 3\n", "x", Scenario::Total).is_err());
    }
}
