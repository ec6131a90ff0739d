//! How a playbook is written: YAML, in which most steps are but a word.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Error, Kind, Playbook, PlaybookStep, PlaybookWay, Way, Words};
use crate::recovery::scenario::Scenario;

/// The words of every step.
const STEPS: &str = include_str!("../../../playbooks/steps.yaml");

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlaybook {
    scenario: Scenario,
    ways: BTreeMap<Way, RawWay>,
    #[serde(default)]
    parts: BTreeMap<String, Vec<RawStep>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawWay {
    about: String,
    steps: Vec<RawStep>,
    /// A part that follows, for one joining member after the other.
    #[serde(default, rename = "one-by-one")]
    one_by_one: Option<String>,
    /// A part that follows after that.
    then: Option<String>,
}

#[derive(Deserialize, Clone)]
#[serde(untagged)]
enum RawStep {
    Bare(Kind),
    Worded(Box<RawWorded>),
}

#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
struct RawWorded {
    step: Kind,
    title: Option<String>,
    why: Option<String>,
    risk: Option<String>,
    undo: Option<String>,
    #[serde(default)]
    nodes: Vec<String>,
    #[serde(default)]
    run: Vec<String>,
}

/// Reads a playbook; `origin` is its name, for messages.
pub(super) fn parse(yaml: &str, origin: &str) -> Result<Playbook, Error> {
    let invalid = |problem: String| Error::Invalid {
        origin: origin.to_owned(),
        problem,
    };
    let words: BTreeMap<Kind, Words> =
        serde_saphyr::from_str(STEPS).map_err(|error| invalid(error.to_string()))?;
    let raw: RawPlaybook =
        serde_saphyr::from_str(yaml).map_err(|error| invalid(error.to_string()))?;
    let mut ways = BTreeMap::new();
    for (way, found) in raw.ways {
        let part = |name: Option<String>| match name.map(|name| raw.parts.get(&name)) {
            None => Ok(&[][..]),
            Some(Some(part)) => Ok(part.as_slice()),
            Some(None) => Err(invalid(format!(
                "way `{way}` goes on with a part that is not there"
            ))),
        };
        let one_by_one = part(found.one_by_one)?.iter().map(|step| (step, true));
        let then = part(found.then)?.iter().map(|step| (step, false));
        let steps = found.steps.iter().map(|step| (step, false));
        let steps = steps.chain(one_by_one).chain(then);
        let way_out = PlaybookWay {
            about: found.about,
            steps: steps
                .map(|(step, one_by_one)| step.clone().worded(&words, one_by_one))
                .collect(),
        };
        ways.insert(way, way_out);
    }
    Ok(Playbook {
        scenario: raw.scenario,
        ways,
    })
}

impl RawStep {
    /// The step with its own words, and ours where it has none.
    fn worded(self, words: &BTreeMap<Kind, Words>, one_by_one: bool) -> PlaybookStep {
        let raw = match self {
            Self::Worded(raw) => *raw,
            Self::Bare(step) => RawWorded {
                step,
                title: None,
                why: None,
                risk: None,
                undo: None,
                nodes: Vec::new(),
                run: Vec::new(),
            },
        };
        let ours = words.get(&raw.step).cloned();
        let ours = ours.expect("every kind of step has words, as a test holds");
        PlaybookStep {
            kind: raw.step,
            words: Words {
                title: raw.title.unwrap_or(ours.title),
                why: raw.why.unwrap_or(ours.why),
                risk: raw.risk.unwrap_or(ours.risk),
                undo: raw.undo.unwrap_or(ours.undo),
            },
            nodes: raw.nodes,
            run: raw.run,
            one_by_one,
        }
    }
}
