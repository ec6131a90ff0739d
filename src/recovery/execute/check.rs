//! The last step: what must hold now, and whether it does.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{Failure, Outcome, Recovery};
use crate::recovery::invariants::{Expectation, Request, check};
use crate::recovery::journal::set_aside;
use crate::recovery::learned::Learned;
use crate::recovery::look::inspect_all;
use crate::recovery::plan::Step;
use crate::recovery::playbook::Kind;

/// How long a cluster that has just come back may take until all members keep up, on a busy machine: what does not hold is looked at
/// again until then.
const SETTLE: Duration = Duration::from_secs(30);
/// How long a look at a node may take.
const LOOK: Duration = Duration::from_mins(1);

impl Recovery<'_> {
    /// Looks at what must hold; what does not is told and fails nothing: the cluster is back.
    pub(super) async fn check_invariants(&self) -> Result<Outcome, Failure> {
        let expected = self.expectation();
        let began = Instant::now();
        let invariants = loop {
            let request = Request {
                access: self.request.access,
                nodes: self.request.nodes,
                expected: &expected,
                now: (self.request.now)(),
            };
            let inspections = inspect_all(self.request.nodes, &self.hosts, LOOK);
            let invariants = check(&request, inspections).await;
            let all_hold = invariants.iter().all(|one| one.ok != Some(false));
            if all_hold || began.elapsed() > SETTLE {
                break invariants;
            }
            self.pause().await?;
        };
        let told = invariants.iter().map(|one| {
            let word = match one.ok {
                Some(true) => "holds",
                Some(false) => "DOES NOT HOLD",
                None => "was not checked",
            };
            let evidence = one.evidence.join("; ");
            format!("{} {word}: {}: {evidence}", one.code, one.title)
        });
        Ok(Outcome {
            evidence: told.collect(),
            learned: Learned {
                invariants: invariants.clone(),
                ..Learned::default()
            },
            ..Outcome::default()
        })
    }

    /// The nodes whose settings were written when all members were listed: who joined before others knows of fewer.
    fn configured_for_all(&self) -> Vec<String> {
        let steps = &self.plan.steps;
        let is_joining = |step: &Step| matches!(step.action, Kind::AddMember | Kind::AddLearner);
        let complete = steps.iter().rposition(is_joining).unwrap_or(0);
        let configured = steps[complete..]
            .iter()
            .filter(|step| step.action == Kind::Configure);
        let nodes: BTreeSet<String> = configured.filter_map(|step| step.node.clone()).collect();
        nodes.into_iter().collect()
    }

    fn expectation(&self) -> Expectation {
        let begins_anew = self.plan.begins_anew();
        Expectation {
            members: self.learned.members(&self.plan.members),
            old_cluster: self.plan.cluster_id,
            begins_anew,
            revision_before: self.plan.highest_revision,
            is_bumped: self.learned.bump.is_some_and(|bump| bump > 0),
            alarms: Vec::new(),
            configured: self.configured_for_all(),
            token: begins_anew.then(|| self.token.clone()),
            set_aside: set_aside(&self.plan, &self.lines)
                .map(str::to_owned)
                .collect(),
            run: self.run.clone(),
        }
    }
}
