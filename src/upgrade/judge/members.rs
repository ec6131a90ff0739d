//! The members that answer: what must be well before one of them is stopped.

use super::Upgrade;
use crate::backend::AlarmKind;
use crate::manifest::Finding;
use crate::upgrade::{Facts, Live, Minor};

/// etcd's own quota where nothing is said.
const DEFAULT_QUOTA: u64 = 2 << 30;

/// Judges the members, and how many of them only learn.
pub(super) fn judge(facts: &Facts, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    for member in &facts.live {
        health(member, findings);
        quota(member, facts, findings);
    }
    learners(facts, upgrade, findings);
    let needs_login = facts.auth && upgrade.crosses(Minor(5));
    if needs_login {
        let message = "with auth on, etcd 3.5 answers not even a status request without a login (`etcdserver: user name is empty`): give monitoring and scripts a user or a certificate first";
        findings.push(Finding::note("status-needs-login", message));
    }
}

fn health(member: &Live, findings: &mut Vec<Finding>) {
    let name = &member.member;
    if !member.has_leader {
        let message = format!(
            "{name} knows no leader: a member that is restarted now does not come back before there is a quorum; recover first"
        );
        findings.push(Finding::error("no-leader", message));
    }
    if member.alarms.contains(&AlarmKind::Corrupt) {
        let message = format!(
            "{name} reports a CORRUPT alarm: an upgrade carries the difference along; find the damaged member (`etcdrx diagnose`) and replace it first"
        );
        findings.push(Finding::error("alarm-corrupt", message));
    }
    if member.alarms.contains(&AlarmKind::NoSpace) {
        let message = format!(
            "{name} reports a NOSPACE alarm: the cluster takes no writes before and after the upgrade; compact, defragment and disarm it first"
        );
        findings.push(Finding::warning("alarm-nospace", message));
    }
}

fn quota(member: &Live, facts: &Facts, findings: &mut Vec<Finding>) {
    let quotas = facts.settings.iter().filter_map(|settings| {
        let quota = settings.get("quota-backend-bytes")?.parse().ok()?;
        Some(if quota == 0 { DEFAULT_QUOTA } else { quota })
    });
    let Some(quota) = quotas.min() else {
        return;
    };
    if member.db_size_bytes / 9 >= quota / 10 {
        let message = format!(
            "{}: the database has {} of the {quota} bytes of its quota; defragment it before the upgrade, which writes to it",
            member.member, member.db_size_bytes
        );
        findings.push(Finding::warning("near-quota", message));
    }
}

/// 3.6 and later count the learners at every start (3.6.14, 3.7.1).
fn learners(facts: &Facts, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    let learners = facts.learners();
    if upgrade.to < Minor(6) {
        return;
    }
    let allowed = |text: Option<&str>| text.and_then(|text| text.parse().ok()).unwrap_or(1);
    let limits = facts
        .settings
        .iter()
        .map(|one| (one.member.clone(), allowed(one.get("max-learners"))));
    let mut limits: Vec<(String, usize)> = limits.collect();
    if limits.is_empty() {
        limits.push(("a member without --max-learners".to_owned(), 1));
    }
    for (member, limit) in limits {
        if learners > limit {
            let message = format!(
                "{member}: the cluster has {learners} learners, and etcd {} exits 1 where more than {limit} are allowed (`membership: too many learner members in cluster`); promote or remove them, or set max-learners: {learners}",
                upgrade.to
            );
            findings.push(Finding::error("too-many-learners", message));
        }
    }
}
