//! The steps that happen on a node.

use super::placed::Placed;
use super::settled::{Data, Expected, data, is_settled};
use super::{Failure, Outcome, Recovery};
use crate::config::Node;
use crate::host::{self, Host};
use crate::id::{ClusterId, MemberId, Revision};
use crate::node::{Action, Answer, Inspected, Running};
use crate::recovery::actions;
use crate::recovery::learned::Learned;
use crate::recovery::plan::Step;
use crate::recovery::playbook::{Kind, Way};

impl Recovery<'_> {
    /// Asks the node for what the step is; by hand where nobody but a person gets there.
    pub(super) async fn on_node(&self, step: &Step) -> Result<Outcome, Failure> {
        let (node, host) = self.node_of(step)?;
        if let Some(settled) = self.settled(step, node, host).await? {
            return Ok(settled);
        }
        let mut particulars = self.particulars();
        particulars.command = step.run.clone();
        if step.action == Kind::Configure && !particulars.begins_anew {
            particulars.initial_cluster = self.listed_for(&node.name).await?;
        }
        let action = actions::of_step(step.action, node, &particulars);
        let action = action.ok_or_else(|| Failure::Unexpected {
            what: format!(
                "the [[node]] {} does not say enough for this step",
                node.name
            ),
        })?;
        match self.perform(node, host, &action).await? {
            Answer::Done { changed, evidence } => Ok(Outcome {
                already: !changed,
                evidence,
                learned: Learned::default(),
            }),
            Answer::Staged {
                member_id,
                cluster_id,
                revision,
                changed,
                ..
            } => self.staged(node, (cluster_id, member_id, revision), changed),
            other => Err(unexpected(&node.name, &other)),
        }
    }

    /// Holds what was staged against what was planned: one that differs would be a cluster of its own.
    fn staged(
        &self,
        node: &Node,
        found: (ClusterId, MemberId, Revision),
        changed: bool,
    ) -> Result<Outcome, Failure> {
        let (cluster_id, member_id, revision) = found;
        let planned = self.learned.member_ids.get(&node.name);
        if Some(&member_id) != planned || Some(cluster_id) != self.learned.cluster_id {
            return Err(Failure::Unexpected {
                what: format!(
                    "{} staged member {member_id} of cluster {cluster_id}, and another one was planned",
                    node.name
                ),
            });
        }
        Ok(Outcome {
            already: !changed,
            evidence: vec![format!(
                "member {member_id} of cluster {cluster_id}, revision {revision}"
            )],
            learned: Learned {
                revision_after: Some(revision),
                ..Learned::default()
            },
        })
    }

    /// What a look at the node says of a step that another process may have done.
    async fn settled(
        &self,
        step: &Step,
        node: &Node,
        host: &Host,
    ) -> Result<Option<Outcome>, Failure> {
        if !self.is_resumed || !self.begun.contains(&step.n) {
            return Ok(None);
        }
        let was_done = self.done.contains(&step.n);
        if host.is_manual() {
            // Nobody but a person can look: the word that was given counts, and what nobody said to be done is asked for again.
            return Ok(was_done.then(|| Outcome::already("a person said before that it is done")));
        }
        match step.action {
            Kind::Command if was_done => return Ok(Some(Outcome::already("done before"))),
            // The member runs on the same data before and after: only the journal knows that it was stopped.
            Kind::Stop if was_done && self.plan.way == Some(Way::Restart) => {
                return Ok(Some(Outcome::already("stopped before")));
            }
            Kind::Command | Kind::Configure => return Ok(None),
            _ => {}
        }
        let inspected = self.inspect(node, host).await?;
        let data = data(&inspected, &self.expected(node));
        let settled = is_settled(step.action, data, inspected.process.running);
        Ok(settled.then(|| {
            Outcome::already(
                format!(
                    "the node shows it: {data:?} data, {:?}",
                    inspected.process.running
                )
                .to_lowercase(),
            )
        }))
    }

    fn expected(&self, node: &Node) -> Expected {
        let stays = self.plan.in_place() == Some(node.name.as_str());
        Expected {
            new_member: self.learned.member_ids.get(&node.name).copied(),
            aside: stays.then(|| actions::directories(node).member_aside(&self.run)),
        }
    }

    /// Looks whether nothing of before is left where a member is to join: under its old data it would be thrown out, or not be blank.
    pub(super) async fn check_aside(&self, step: &Step) -> Result<Outcome, Failure> {
        let (node, host) = self.node_of(step)?;
        let inspected = match self.perform(node, host, &actions::inspect(node)).await? {
            Answer::Inspected(inspected) => inspected,
            // A person looked.
            Answer::Done { evidence, .. } => return Ok(Outcome::seen(evidence.join("; "))),
            other => return Err(unexpected(&node.name, &other)),
        };
        let runs = inspected.process.running != Running::Stopped;
        match data(&inspected, &self.expected(node)) {
            Data::New => Ok(Outcome::already("it has joined anew")),
            Data::None if !runs => Ok(Outcome::seen("no data lie there, and etcd does not run")),
            Data::None => Err(Failure::Unexpected {
                what: format!("etcd runs on {}, or nobody can say: it must not", node.name),
            }),
            Data::Old => Err(Failure::Unexpected {
                what: format!("{} still has data of before", node.name),
            }),
        }
    }

    /// Looks at the node.
    pub(super) async fn inspect(&self, node: &Node, host: &Host) -> Result<Inspected, Failure> {
        match self.perform(node, host, &actions::inspect(node)).await? {
            Answer::Inspected(inspected) => Ok(*inspected),
            other => Err(unexpected(&node.name, &other)),
        }
    }

    /// Has an action carried out, by a person if need be.
    pub(super) async fn perform(
        &self,
        node: &Node,
        host: &Host,
        action: &Action,
    ) -> Result<Answer, Failure> {
        let failed = |source| Failure::Node {
            node: node.name.clone(),
            source: Box::new(source),
        };
        match host.perform(action).await {
            Err(host::Error::ByHand { command, .. }) => {
                let evidence = self.by_hand(&node.name, &command)?;
                Ok(Answer::Done {
                    changed: true,
                    evidence: vec![evidence],
                })
            }
            other => other.map_err(failed),
        }
    }

    /// Has a person type a line, and gives what is to be told of that.
    pub(super) fn by_hand(&self, node: &str, command: &str) -> Result<String, Failure> {
        match self.request.operator.by_hand(node, command) {
            true => Ok(format!("a person typed: {command}")),
            false => Err(Failure::Declined {
                what: format!("it was not done by hand: {command}"),
            }),
        }
    }

    pub(super) fn node_of(&self, step: &Step) -> Result<(&Node, &Host), Failure> {
        let name = step.node.as_deref().unwrap_or_default();
        self.node_named(name)
    }

    pub(super) fn node_named(&self, name: &str) -> Result<(&Node, &Host), Failure> {
        let node = self.request.nodes.iter().find(|node| node.name == name);
        let found = node.zip(self.hosts.get(name));
        found.ok_or_else(|| Failure::Unexpected {
            what: format!("there is no [[node]] {name} in the configuration any more"),
        })
    }

    /// Looks whether what was placed is what was planned: one blank or foreign member is worse than none.
    pub(super) async fn check_placed(&self, step: &Step) -> Result<Outcome, Failure> {
        let (node, host) = self.node_of(step)?;
        let placed = Placed {
            cluster: self.learned.cluster_id,
            member: self.learned.member_ids.get(&node.name).copied(),
            revision: self.learned.revision_after,
        };
        if host.is_manual() {
            let look = host.command_line(&actions::inspect(node));
            // A comment, so that the line can be typed as it is.
            let look = format!("{look}  # it must be {placed}");
            return Ok(Outcome::seen(self.by_hand(&node.name, &look)?));
        }
        let inspected = self.inspect(node, host).await?;
        let problems = placed.problems(&inspected);
        match problems.is_empty() {
            true => Ok(Outcome::seen(placed.to_string())),
            false => Err(Failure::Unexpected {
                what: format!("{} is not as planned: {}", node.name, problems.join("; ")),
            }),
        }
    }
}

pub(super) fn unexpected(node: &str, answer: &Answer) -> Failure {
    Failure::Unexpected {
        what: format!("{node} answered something else than was asked: {answer:?}"),
    }
}
