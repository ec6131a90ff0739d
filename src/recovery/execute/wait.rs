//! The steps that wait for etcd.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::{Failure, Outcome, Recovery};
use crate::config::Node;
use crate::etcd::{self, MemberStatus, probe_all};
use crate::node::Running;
use crate::recovery::look::ELECTION;
use crate::recovery::plan::{PlannedMember, Step};
use crate::recovery::playbook::Kind;

/// How long each endpoint may take to say how it is.
const PROBE: Duration = Duration::from_secs(3);
/// How long members may take to come up: replaying a log and a publish retry of 7 seconds are in it.
const START: Duration = Duration::from_mins(3);
/// How long a member may take to catch up.
const CATCH_UP: Duration = Duration::from_mins(30);
/// How far behind the leader a member may be that has caught up.
const LAG: u64 = 10;
/// How often to look.
const PAUSE: Duration = Duration::from_millis(50);
/// How often to look whether the process still runs.
const LOOK: Duration = Duration::from_secs(2);

impl Recovery<'_> {
    /// What every member says, wherever members may be reached. Of a cluster that begins anew, nobody else is asked or heard: who was
    /// fenced keeps every answer waiting, or tells of the cluster that was.
    pub(super) async fn statuses(&self) -> Vec<MemberStatus> {
        let anew = self.plan.begins_anew() || self.plan.in_place().is_some();
        let is_planned = |name: &str| self.plan.members.iter().any(|member| member.name == name);
        let (asked, others): (Vec<_>, Vec<_>) = (self.request.nodes.iter())
            .filter(|node| node.client_url.is_some())
            .partition(|node| !anew || is_planned(&node.name));
        let urls = |nodes: Vec<&Node>| -> Vec<String> {
            let urls = nodes.into_iter().filter_map(|node| node.client_url.clone());
            urls.collect()
        };
        let (mut endpoints, others) = (urls(asked), urls(others));
        let configured = self.request.access.endpoints().iter();
        endpoints.extend(configured.filter(|url| !others.contains(url)).cloned());
        endpoints.sort();
        endpoints.dedup();
        let Ok(access) = self.request.access.to(&endpoints) else {
            return Vec::new();
        };
        let mut statuses: Vec<MemberStatus> = probe_all(&access, PROBE)
            .await
            .into_iter()
            .flatten()
            .filter(|status| {
                !anew
                    || self
                        .learned
                        .cluster_id
                        .is_none_or(|id| status.cluster_id == id)
            })
            .collect();
        statuses.sort_by_key(|status| status.member_id);
        statuses.dedup_by_key(|status| status.member_id);
        statuses
    }

    pub(super) async fn wait_leader(&self) -> Result<Outcome, Failure> {
        let began = Instant::now();
        loop {
            for status in self
                .statuses()
                .await
                .iter()
                .filter(|status| status.leader.is_some())
            {
                if self.reads(status).await {
                    let leader = status.leader.map(|id| id.to_string()).unwrap_or_default();
                    return Ok(Outcome::seen(format!("{leader} leads")));
                }
            }
            if began.elapsed() > ELECTION {
                return Err(Failure::NotInTime {
                    what: "a leader".to_owned(),
                    after: ELECTION,
                    seen: vec![
                        "nobody was elected: this is no lost leader, but a lost majority"
                            .to_owned(),
                    ],
                });
            }
            self.pause().await?;
        }
    }

    /// Waits for every planned member.
    pub(super) async fn wait_healthy(&self) -> Result<Outcome, Failure> {
        let began = Instant::now();
        let mut looked = Instant::now();
        loop {
            let statuses = self.statuses().await;
            let missing = self.missing(&statuses).await;
            if missing.is_empty() {
                let revision = statuses
                    .iter()
                    .map(|status| status.revision)
                    .max()
                    .unwrap_or_default();
                return Ok(Outcome::seen(format!(
                    "{} members serve, at revision {revision}",
                    statuses.len()
                )));
            }
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                self.still_run().await?;
            }
            if began.elapsed() > START {
                return Err(Failure::NotInTime {
                    what: "every member".to_owned(),
                    after: START,
                    seen: missing,
                });
            }
            self.pause().await?;
        }
    }

    /// What is not as it should be, member by member.
    async fn missing(&self, statuses: &[MemberStatus]) -> Vec<String> {
        let mut missing = Vec::new();
        let newest = statuses
            .iter()
            .map(|status| status.applied_index)
            .max()
            .unwrap_or(0);
        for member in self.expected_up() {
            let name = member.name;
            let found = statuses.iter().find(|status| match member.id {
                Some(id) => status.member_id == id,
                None => status.name == name,
            });
            let problem = match found {
                None => Some("does not answer".to_owned()),
                Some(status) if status.leader.is_none() => Some("knows no leader".to_owned()),
                Some(status) if status.applied_index + LAG < newest => {
                    Some(format!("is at entry {} of {newest}", status.applied_index))
                }
                Some(status) if !self.reads(status).await => {
                    Some("answers no linearizable read".to_owned())
                }
                Some(_) => None,
            };
            missing.extend(problem.map(|problem| format!("{name} {problem}")));
        }
        missing
    }

    /// The members that are to be up: all of a cluster that begins anew; of one that goes on, as many as were started.
    fn expected_up(&self) -> Vec<PlannedMember> {
        let mut members = self.learned.members(&self.plan.members);
        members.retain(|member| {
            let mut started = self.plan.nodes_of(Kind::Start);
            self.plan.begins_anew() || started.any(|node| node == member.name)
        });
        members
    }

    /// Fails as soon as the service of a member that was started has ended: waiting would not help.
    async fn still_run(&self) -> Result<(), Failure> {
        for member in self.expected_up() {
            self.still_runs(&member.name).await?;
        }
        Ok(())
    }

    async fn still_runs(&self, name: &str) -> Result<(), Failure> {
        let Ok((node, host)) = self.node_named(name) else {
            return Ok(());
        };
        if node.reach == crate::config::Reach::Manual {
            return Ok(());
        }
        let inspected = self.inspect(node, host).await?;
        let process = inspected.process;
        if process.running != Running::Stopped {
            return Ok(());
        }
        let code = process.exit_code.map(|code| format!(" with code {code}"));
        let mut what = format!("etcd on {name} ended{}", code.unwrap_or_default());
        for line in process.log.iter().rev().take(5).rev() {
            what.push_str("\n  ");
            what.push_str(line);
        }
        Err(Failure::Unexpected { what })
    }

    /// Waits until one member has what the leader has, bit by bit.
    pub(super) async fn wait_member(&self, step: &Step) -> Result<Outcome, Failure> {
        let name = step.node.as_deref().unwrap_or_default();
        let members = self.learned.members(&self.plan.members);
        let member = members.into_iter().find(|member| member.name == name);
        let id = member.and_then(|member| member.id);
        let began = Instant::now();
        let mut looked = Instant::now();
        loop {
            let statuses = self.statuses().await;
            let leader = statuses.iter().find(|status| status.is_leader());
            let ours = statuses.iter().find(|status| Some(status.member_id) == id);
            let mut seen = "does not answer".to_owned();
            if let (Some(leader), Some(ours)) = (leader, ours) {
                seen = format!(
                    "is at entry {} of {}",
                    ours.applied_index, leader.applied_index
                );
                let is_level = ours.applied_index + LAG >= leader.applied_index;
                if is_level && ours.leader.is_some() {
                    match self.same_hash(leader, ours).await? {
                        Some(evidence) => return Ok(Outcome::seen(evidence)),
                        None => "answers no read yet".clone_into(&mut seen),
                    }
                }
            }
            if looked.elapsed() > LOOK {
                looked = Instant::now();
                self.still_runs(name).await?;
            }
            if began.elapsed() > CATCH_UP {
                return Err(Failure::NotInTime {
                    what: format!("{name}, as far as the leader,"),
                    after: CATCH_UP,
                    seen: vec![format!("{name} {seen}")],
                });
            }
            self.pause().await?;
        }
    }

    /// Compares two members' hashes at one revision; nothing where one of them does not answer yet.
    async fn same_hash(
        &self,
        leader: &MemberStatus,
        ours: &MemberStatus,
    ) -> Result<Option<String>, Failure> {
        if ours.is_learner {
            // A learner answers neither reads nor hashes; it is asked again once it votes.
            return Ok(Some(format!(
                "applied up to entry {}, as a learner",
                ours.applied_index
            )));
        }
        if !self.reads(ours).await {
            return Ok(None);
        }
        let revision = ours.revision.min(leader.revision);
        let mut hashes = Vec::new();
        for status in [leader, ours] {
            let member = self.request.access.member(&status.endpoint, PROBE).await;
            let hash = match member {
                Ok(member) => member.patient(START).hashkv(revision).await,
                Err(error) => Err(error),
            };
            match hash {
                Ok(hash) => hashes.push(hash),
                // etcd 3.4 tells no hash at the compaction itself, and an idle cluster never gets beyond it.
                Err(etcd::Error::Call { message, .. })
                    if message.contains("compacted") && ours.revision == leader.revision =>
                {
                    return Ok(Some(format!(
                        "applied up to entry {}, at the leader's revision {revision}, where everything is compacted and no hash is told",
                        ours.applied_index
                    )));
                }
                // Compacted meanwhile, or not there yet: the next look asks anew.
                Err(_) => return Ok(None),
            }
        }
        let [one, other] = hashes.as_slice() else {
            return Ok(None);
        };
        if one.compact_revision != other.compact_revision {
            return Ok(None);
        }
        match one.hash == other.hash {
            true => Ok(Some(format!(
                "applied up to entry {}, and the same hash at revision {revision}",
                ours.applied_index
            ))),
            false => Err(Failure::Unexpected {
                what: format!(
                    "{} holds other data than the leader at revision {revision}: replace it",
                    ours.label()
                ),
            }),
        }
    }

    /// Rests until the next look, unless somebody stops it.
    pub(super) async fn pause(&self) -> Result<(), Failure> {
        tokio::select! {
            () = sleep(PAUSE) => Ok(()),
            () = self.request.interrupt.cancelled() => Err(Failure::Interrupted),
        }
    }

    async fn reads(&self, status: &MemberStatus) -> bool {
        match self.request.access.member(&status.endpoint, PROBE).await {
            Ok(member) => member.linearizable_revision().await.is_ok(),
            Err(_) => false,
        }
    }
}
