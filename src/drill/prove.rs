//! What a cluster that was brought back must stand: to be looked at, restarted and hurt.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::script::Script;
use super::site::{Error, Site};
use super::writers::{Writers, Written};
use crate::etcd::{self, MemberHash, disagreements};
use crate::id::Revision;
use crate::manifest::Finding;

/// How many clients write while members are restarted and killed.
const WRITERS: usize = 4;
/// How many writes show that the cluster goes on.
const WRITES: usize = 20;
/// A key that is written before hashes are compared; none of the writers' keys begins so.
const TOUCHED: &str = "etcdrx-drill-touched";
/// How long one question may take.
const QUESTION: Duration = Duration::from_secs(10);

/// Holds a cluster to what its members must be: one cluster with the same data in all, each of them able to restart, and none of them
/// needed. What is written meanwhile is added to `written`; `patience` is how long it may take to serve again, each time.
pub(super) async fn prove(site: &Site, written: &mut Written, patience: Duration) -> Vec<Finding> {
    let mut findings = members(site).await;
    findings.extend(left_over(site));
    if let Err(error) = same_data(site, &mut findings).await {
        findings.push(Finding::error("not-serving", error.to_string()));
    }
    let writers = Writers::start(site.access(), WRITERS, "after");
    if let Err(error) = restart_each(site, patience).await {
        findings.push(Finding::error("restart", error.to_string()));
    } else if let Err(finding) = kill_each(site, &writers, patience).await {
        findings.push(finding);
    }
    let after = writers.stop().await;
    written.extend(after);
    if findings.is_empty()
        && let Err(error) = same_data(site, &mut findings).await
    {
        findings.push(Finding::error("not-serving", error.to_string()));
    }
    findings
}

/// All of them voters of one cluster, with one leader and without alarms.
async fn members(site: &Site) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut wrong = |message: String| findings.push(Finding::error("members", message));
    let statuses = site.statuses().await;
    let answers: Vec<_> = statuses.iter().flatten().collect();
    for (member, status) in site.members.iter().zip(&statuses) {
        match status {
            None => wrong(format!("{} does not answer", member.name)),
            Some(status) if status.is_learner => wrong(format!("{} has no vote", member.name)),
            Some(status) if status.name != member.name => {
                wrong(format!("{} calls itself `{}`", member.name, status.name));
            }
            Some(_) => {}
        }
    }
    if let Some(first) = answers.first() {
        if answers
            .iter()
            .any(|other| other.cluster_id != first.cluster_id)
        {
            wrong("the members belong to different clusters".to_owned());
        }
        if answers.iter().any(|other| other.leader != first.leader) {
            wrong("the members know different leaders".to_owned());
        }
        if !first.corrupt.is_empty() || !first.nospace.is_empty() {
            wrong("there are alarms".to_owned());
        }
    }
    findings
}

/// `force-new-cluster` must stand nowhere: the next start with it would throw the other members out.
fn left_over(site: &Site) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, member) in site.members.iter().enumerate() {
        let config = fs::read_to_string(member.config_file()).unwrap_or_default();
        let line = site.command_line(index);
        for (place, text) in [("its configuration", config), ("its command line", line)] {
            if text.contains("force-new-cluster") {
                let message = format!("{}: force-new-cluster stands in {place}", member.name);
                findings.push(Finding::error("force-new-cluster", message));
            }
        }
    }
    findings
}

/// Every member's hash of the same revision.
async fn same_data(site: &Site, findings: &mut Vec<Finding>) -> Result<(), etcd::Error> {
    let mut members = Vec::new();
    for member in &site.members {
        let member = site.access().member(&member.client_url, QUESTION).await?;
        members.push(member);
    }
    // etcd 3.4 hashes nothing at a compaction, and a cluster that began anew is compacted up to its newest revision.
    if let Some(member) = members.first() {
        member.put(TOUCHED, "by a drill").await?;
    }
    let mut revision = None;
    for member in &members {
        // After it this member has everything up to the others' revisions, too.
        let read = member.linearizable_revision().await?;
        revision = Some(revision.map_or(read, |revision: Revision| revision.min(read)));
    }
    let Some(revision) = revision else {
        return Ok(());
    };
    let mut hashes = Vec::new();
    for (named, member) in site.members.iter().zip(&members) {
        hashes.push(MemberHash {
            member: named.name.clone(),
            hashkv: member.hashkv(revision).await?,
        });
    }
    if let Some(first) = hashes.first() {
        for other in disagreements(&first.hashkv, &hashes) {
            let message = format!(
                "{} and {} hold different data at revision {revision}",
                first.member, other.member
            );
            findings.push(Finding::error("hashkv", message));
        }
    }
    Ok(())
}

/// Restarts the members one by one, as an update of the machines would.
async fn restart_each(site: &Site, patience: Duration) -> Result<(), Error> {
    for index in 0..site.members.len() {
        site.run(index, Script::Stop)?;
        site.until_it_is_gone(index).await;
        site.run(index, Script::Start)?;
        site.until_all_serve(patience).await?;
    }
    Ok(())
}

/// Kills each member once: the others must go on. A member that only looks as if it had a vote shows here.
async fn kill_each(site: &Site, writers: &Writers, patience: Duration) -> Result<(), Finding> {
    let broken = |error: Error| Finding::error("restart", error.to_string());
    for (index, member) in site.members.iter().enumerate() {
        site.signal(index, Signal::SIGKILL);
        site.until_it_is_gone(index).await;
        let goes_on = writers.wait_for(WRITES, patience).await;
        site.run(index, Script::Start).map_err(broken)?;
        site.until_all_serve(patience).await.map_err(broken)?;
        if !goes_on {
            let message = format!("without {} the cluster takes no writes", member.name);
            return Err(Finding::error("redundancy", message));
        }
    }
    Ok(())
}
