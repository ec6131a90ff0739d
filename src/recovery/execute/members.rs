//! The steps that change the list of members, the leader, the history and the alarms. Each looks first, so that it can be repeated.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Failure, Outcome, Recovery};
use crate::etcd::{self, Listed, Member};
use crate::id::MemberId;
use crate::recovery::learned::Learned;
use crate::recovery::plan::Step;

/// How long a call may take; a change of members has no limit of etcd's own.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long etcd may refuse a change of members: it does for 5 seconds after somebody connected (`HealthInterval`).
const REFUSALS: Duration = Duration::from_secs(30);
/// How long a defragmentation may take.
const DEFRAGMENTATION: Duration = Duration::from_mins(10);
/// How long to wait before asking again.
const PAUSE: Duration = Duration::from_millis(300);

impl Recovery<'_> {
    pub(super) async fn remove_member(&self, step: &Step) -> Result<Outcome, Failure> {
        let name = step.node.as_deref().unwrap_or_default();
        let id = self.plan.members.iter().find(|member| member.name == name);
        let id = id
            .and_then(|member| member.id)
            .ok_or_else(|| Failure::Unexpected {
                what: format!("the id of {name} is not known"),
            })?;
        let member = self.living().await?;
        let learned = Learned {
            removed: Some(id),
            ..Learned::default()
        };
        if !members(&member).await?.iter().any(|listed| listed.id == id) {
            return Ok(Outcome {
                learned,
                ..Outcome::already(format!("{id} is not listed any more"))
            });
        }
        retried(|| member.remove_member(id)).await?;
        Ok(Outcome {
            learned,
            ..Outcome::seen(format!("{id} is out of the list"))
        })
    }

    pub(super) async fn add_member(
        &self,
        step: &Step,
        is_learner: bool,
    ) -> Result<Outcome, Failure> {
        let name = step.node.as_deref().unwrap_or_default();
        let Some(planned) = self.plan.members.iter().find(|member| member.name == name) else {
            return Err(Failure::Unexpected {
                what: format!("the plan has no member {name}"),
            });
        };
        let member = self.living().await?;
        let learned = |id: MemberId| Learned {
            member_ids: [(name.to_owned(), id)].into(),
            ..Learned::default()
        };
        let listed = members(&member).await?;
        let there = listed.iter().find(|listed| {
            listed
                .peer_urls
                .iter()
                .any(|url| planned.peer_urls.contains(url))
                && Some(listed.id) != planned.id
        });
        if let Some(there) = there {
            return Ok(Outcome {
                learned: learned(there.id),
                ..Outcome::already(format!("{} is listed with this peer URL", there.id))
            });
        }
        let id = retried(|| member.add_member(&planned.peer_urls, is_learner)).await?;
        Ok(Outcome {
            learned: learned(id),
            ..Outcome::seen(format!("the new id is {id}"))
        })
    }

    pub(super) async fn promote(&self, step: &Step) -> Result<Outcome, Failure> {
        let name = step.node.as_deref().unwrap_or_default();
        let id = self.learned.member_ids.get(name).copied();
        let id = id.ok_or_else(|| Failure::Unexpected {
            what: format!("the new id of {name} is not known"),
        })?;
        let member = self.living().await?;
        let listed = members(&member).await?;
        if listed
            .iter()
            .any(|listed| listed.id == id && !listed.is_learner)
        {
            return Ok(Outcome::already(format!("{id} votes")));
        }
        retried(|| member.promote_member(id)).await?;
        Ok(Outcome::seen(format!("{id} votes")))
    }

    /// Moves the leadership to the member that is best fit, unless somebody else leads already.
    pub(super) async fn move_leader(&self, step: &Step) -> Result<Outcome, Failure> {
        let name = step.node.as_deref().unwrap_or_default();
        let id = self.plan.members.iter().find(|member| member.name == name);
        let id = id.and_then(|member| member.id);
        let statuses = self.statuses().await;
        let Some(leader) = statuses.iter().find(|status| status.is_leader()) else {
            return Ok(Outcome::already("nobody leads"));
        };
        if Some(leader.member_id) != id {
            return Ok(Outcome::already(format!("{} leads", leader.label())));
        }
        let others = statuses
            .iter()
            .filter(|status| !status.is_learner && !status.is_leader());
        let to = others.max_by_key(|status| status.applied_index);
        let to = to.ok_or_else(|| Failure::Unexpected {
            what: "there is nobody else to lead".to_owned(),
        })?;
        let etcd = |source| Failure::Etcd { source };
        let member = self
            .request
            .access
            .member(&leader.endpoint, PATIENCE)
            .await
            .map_err(etcd)?;
        member.move_leader(to.member_id).await.map_err(etcd)?;
        Ok(Outcome::seen(format!("{} leads", to.label())))
    }

    pub(super) async fn compact(&self) -> Result<Outcome, Failure> {
        let etcd = |source| Failure::Etcd { source };
        let member = self.living().await?;
        let revision = member.linearizable_revision().await.map_err(etcd)?;
        let patient = member.patient(DEFRAGMENTATION);
        patient.compact(revision).await.map_err(etcd)?;
        Ok(Outcome::seen(format!(
            "compacted up to revision {revision}"
        )))
    }

    pub(super) async fn defragment(&self, step: &Step) -> Result<Outcome, Failure> {
        let name = step.node.as_deref().unwrap_or_default();
        let etcd = |source| Failure::Etcd { source };
        let size = |statuses: &[etcd::MemberStatus]| {
            let found = statuses.iter().find(|status| status.name == name);
            found.map(|status| (status.endpoint.clone(), status.db_size_bytes))
        };
        let before = size(&self.statuses().await);
        let (endpoint, before) = before.ok_or_else(|| Failure::Unexpected {
            what: format!("{name} does not answer"),
        })?;
        let member = self
            .request
            .access
            .member(&endpoint, DEFRAGMENTATION)
            .await
            .map_err(etcd)?;
        member.defragment().await.map_err(etcd)?;
        let after = size(&self.statuses().await).map_or(before, |(_, after)| after);
        Ok(Outcome::seen(format!(
            "{before} bytes before, {after} after"
        )))
    }

    pub(super) async fn disarm(&self) -> Result<Outcome, Failure> {
        let member = self.living().await?;
        let disarmed = retried(|| member.disarm()).await?;
        let words: Vec<String> = disarmed
            .iter()
            .map(|(kind, id)| format!("{kind} of {id}"))
            .collect();
        Ok(match words.is_empty() {
            true => Outcome::already("no alarm stands"),
            false => Outcome::seen(format!("taken back: {}", words.join(", "))),
        })
    }

    /// The members as `--initial-cluster` of `name` must have them: exactly those that are listed, itself under its name.
    pub(super) async fn listed_for(&self, name: &str) -> Result<String, Failure> {
        let member = self.living().await?;
        let listed = members(&member).await?;
        let own = self.learned.member_ids.get(name);
        let pairs = listed.iter().flat_map(|listed| {
            let label = match Some(&listed.id) == own || listed.name.is_empty() {
                true => name.to_owned(),
                false => listed.name.clone(),
            };
            let urls = listed.peer_urls.iter();
            urls.map(move |url| format!("{label}={url}"))
        });
        Ok(pairs.collect::<Vec<_>>().join(","))
    }

    /// A member that is well, and not the one that it is about.
    async fn living(&self) -> Result<Member, Failure> {
        let target = self.plan.target.as_deref();
        let statuses = self.statuses().await;
        let fit = statuses.iter().filter(|status| {
            status.leader.is_some() && !status.is_learner && Some(status.name.as_str()) != target
        });
        let best = fit.max_by_key(|status| (status.is_leader(), status.applied_index));
        let best = best.ok_or_else(|| Failure::Unexpected {
            what: "no member answers that has a leader".to_owned(),
        })?;
        let member = self.request.access.member(&best.endpoint, PATIENCE).await;
        member.map_err(|source| Failure::Etcd { source })
    }
}

async fn members(member: &Member) -> Result<Vec<Listed>, Failure> {
    let listed = member.members().await;
    listed.map_err(|source| Failure::Etcd { source })
}

/// Asks again while etcd refuses for a reason that passes.
async fn retried<T, F: Future<Output = Result<T, etcd::Error>>>(
    call: impl Fn() -> F,
) -> Result<T, Failure> {
    let began = Instant::now();
    loop {
        match call().await {
            Ok(done) => return Ok(done),
            Err(source) if passes(&source) && began.elapsed() < REFUSALS => sleep(PAUSE).await,
            Err(source) => return Err(Failure::Etcd { source }),
        }
    }
}

/// Whether a refusal is one that passes by itself.
fn passes(error: &etcd::Error) -> bool {
    match error {
        etcd::Error::Call { message, .. } => is_passing(message),
        error => matches!(error, etcd::Error::TimedOut { .. }),
    }
}

fn is_passing(message: &str) -> bool {
    let passing = [
        "unhealthy cluster",
        "in sync with leader",
        "request timed out",
        "no leader",
        "leader changed",
        "too many requests",
    ];
    passing.iter().any(|text| message.contains(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_refuses_only_for_some_seconds_is_asked_again_and_nothing_else() {
        for message in [
            "etcdserver: unhealthy cluster",
            "etcdserver: can only promote a learner member which is in sync with leader",
            "etcdserver: request timed out",
        ] {
            assert!(is_passing(message), "{message}");
        }
        for message in [
            "etcdserver: re-configuration failed due to not enough started members",
            "etcdserver: member not found",
            "etcdserver: Peer URLs already exists",
            "etcdserver: too many learner members in cluster",
        ] {
            assert!(!is_passing(message), "{message}");
        }
    }
}
