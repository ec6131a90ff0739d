//! The last step: what must hold now, and whether it does.

use futures_util::future::join_all;

use super::{Failure, Outcome, Recovery};
use crate::config::Reach;
use crate::host::{self, Host};
use crate::node::{Answer, Inspected};
use crate::progress::told;
use crate::recovery::actions;
use crate::recovery::invariants::{Expectation, Request, check};
use crate::recovery::journal::Entry;
use crate::recovery::learned::Learned;
use crate::recovery::observe::Nodes;
use crate::recovery::plan::PlannedMember;
use crate::recovery::playbook::Kind;

impl Recovery<'_> {
    /// Looks at what must hold; what does not is told and fails nothing: the cluster is back.
    pub(super) async fn check_invariants(&self) -> Result<Outcome, Failure> {
        let expected = self.expectation();
        let request = Request {
            access: self.request.access,
            nodes: self.request.nodes,
            expected: &expected,
            now: (self.request.now)(),
        };
        let invariants = check(&request, self.inspections()).await;
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

    fn expectation(&self) -> Expectation {
        let members = self.plan.members.iter().map(|member| PlannedMember {
            id: self
                .learned
                .member_ids
                .get(&member.name)
                .copied()
                .or(member.id),
            ..member.clone()
        });
        let begins_anew = self.plan.begins_anew();
        let nodes = |kind| self.plan.nodes_of(kind).map(str::to_owned).collect();
        Expectation {
            members: members.collect(),
            old_cluster: self.plan.cluster_id,
            begins_anew,
            revision_before: self.plan.highest_revision,
            is_bumped: self.learned.bump.is_some_and(|bump| bump > 0),
            alarms: Vec::new(),
            configured: nodes(Kind::Configure),
            token: begins_anew.then(|| self.token.clone()),
            set_aside: self.set_aside(),
            run: self.run.clone(),
        }
    }

    /// The nodes where there was something to set aside.
    fn set_aside(&self) -> Vec<String> {
        let moved = self.lines.iter().filter_map(|line| match &line.entry {
            Entry::Done {
                n,
                node: Some(node),
                already: false,
                ..
            } => Some((*n, node)),
            _ => None,
        });
        let is_aside = |n: usize, node: &str| {
            let mut steps = self.plan.steps.iter();
            steps.any(|step| {
                step.n == n && step.action == Kind::SetAside && step.node.as_deref() == Some(node)
            })
        };
        moved
            .filter(|(n, node)| is_aside(*n, node))
            .map(|(_, node)| node.clone())
            .collect()
    }

    /// A look at every node that a program gets to.
    async fn inspections(&self) -> Nodes {
        let nodes = self.request.nodes.iter();
        let nodes = nodes.filter(|node| node.reach != Reach::Manual && node.data_dir.is_some());
        let looks = nodes.map(|node| async move {
            let answer = match self.hosts.get(&node.name) {
                Some(host) => host.perform(&actions::inspect(node, true)).await,
                // A node that had no step in the plan.
                None => match Host::of(node) {
                    Ok(host) => host.perform(&actions::inspect(node, true)).await,
                    Err(error) => Err(error),
                },
            };
            (node.name.clone(), inspected(answer))
        });
        join_all(looks).await.into_iter().collect()
    }
}

fn inspected(answer: Result<Answer, host::Error>) -> Result<Inspected, String> {
    match answer {
        Ok(Answer::Inspected(inspected)) => Ok(*inspected),
        Ok(other) => Err(format!("it answered something else: {other:?}")),
        Err(error) => Err(told(&error)),
    }
}
