//! Proves that the setup works, without a backup: endpoints, rights, and the repository.

mod attachments;
mod encryption;

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};

use crate::backup::PROBE;
use crate::etcd::{self, Access, MemberStatus, choose, probe_all};
use crate::manifest::Finding;
use crate::repository::{self, Folder};

pub use attachments::check_attachments;
pub use encryption::check_encryption;

/// How long a member may take for a call that it should answer at once.
const PATIENCE: Duration = Duration::from_secs(5);
/// A certificate that expires sooner is a finding.
const EXPIRY: TimeDelta = TimeDelta::days(14);
/// Clocks that differ by more are a finding.
const SKEW: TimeDelta = TimeDelta::seconds(30);

/// What was tried, and what was held against the setup.
#[derive(Debug, Default)]
pub struct Report {
    /// What worked, in words.
    pub passed: Vec<String>,
    /// What did not.
    pub findings: Vec<Finding>,
}

impl Report {
    fn pass(&mut self, what: impl Into<String>) {
        self.passed.push(what.into());
    }

    fn error(&mut self, code: &str, message: impl Into<String>) {
        self.findings.push(Finding::error(code, message));
    }

    fn warn(&mut self, code: &str, message: impl Into<String>) {
        self.findings.push(Finding::warning(code, message));
    }
}

/// Looks at every member, and tries the first bytes of a snapshot from the one that a backup would choose.
pub async fn check_cluster(access: &Access, wanted: &str, now: DateTime<Utc>, report: &mut Report) {
    check_our_certificate(access, now, report);
    let mut members = Vec::new();
    for (endpoint, probe) in access
        .endpoints()
        .iter()
        .zip(probe_all(access, PROBE).await)
    {
        match probe {
            Ok(status) => {
                report.pass(describe(endpoint, &status));
                check_member(&status, report);
                members.push(status);
            }
            Err(error) if error.is_refusal() => report.error("not-allowed", error.to_string()),
            Err(error) => report.error("endpoint-unreachable", error.to_string()),
        }
    }
    if members.is_empty() {
        return;
    }
    match choose(wanted, &members) {
        Ok(choice) => {
            for refused in &choice.refused {
                let message = format!(
                    "{} cannot be backed up from: {}",
                    refused.endpoint, refused.why
                );
                report.warn("member-unfit", message);
            }
            let status = &choice.candidates[0].status;
            match try_snapshot(access, &status.endpoint).await {
                Ok(()) => report.pass(format!(
                    "{} ({}) would be backed up from, and gives a snapshot",
                    status.label(),
                    status.endpoint
                )),
                Err(error) => report.error("snapshot", error.to_string()),
            }
        }
        Err(error) => report.error("no-candidate", error.to_string()),
    }
}

fn describe(endpoint: &str, status: &MemberStatus) -> String {
    let role = match (status.is_leader(), status.is_learner) {
        (true, _) => "leader",
        (false, true) => "learner",
        (false, false) => "follower",
    };
    format!(
        "{endpoint} answers: {} ({role}), etcd {}, revision {}, {} bytes",
        status.label(),
        status.version,
        status.revision,
        status.db_size_bytes
    )
}

fn check_member(status: &MemberStatus, report: &mut Report) {
    if status.leader.is_none() {
        report.error(
            "no-leader",
            format!(
                "{} knows no leader: the cluster has no quorum",
                status.endpoint
            ),
        );
    }
    if !status.corrupt.is_empty() {
        report.error(
            "alarm-corrupt",
            format!("{} reports a CORRUPT alarm", status.endpoint),
        );
    }
    if !status.nospace.is_empty() {
        report.warn(
            "alarm-nospace",
            format!(
                "{} reports a NOSPACE alarm: the cluster takes no writes",
                status.endpoint
            ),
        );
    }
}

fn check_our_certificate(access: &Access, now: DateTime<Utc>, report: &mut Report) {
    let Some(ours) = access.our_certificate() else {
        return;
    };
    if let Some(flaw) = ours.flaw(now) {
        report.error("client-certificate", flaw);
    } else if ours.not_after - now < EXPIRY {
        report.warn(
            "client-certificate-expires",
            format!(
                "{} expires at {}",
                ours.path.display(),
                ours.not_after.to_rfc3339_opts(SecondsFormat::Secs, true)
            ),
        );
    } else {
        report.pass(format!(
            "{} is valid until {}",
            ours.path.display(),
            ours.not_after.date_naive()
        ));
    }
}

/// A linearizable read, and the first bytes of a snapshot: what a backup's rights must allow.
async fn try_snapshot(access: &Access, endpoint: &str) -> Result<(), etcd::Error> {
    let member = access.member(endpoint, PATIENCE).await?;
    member.linearizable_revision().await?;
    let mut snapshot = member.snapshot(PATIENCE).await?;
    snapshot.next().await.map(drop)
}

/// Writes, reads, lists and removes a probe.
///
/// # Errors
/// The first step that the store refuses.
pub async fn check_repository(
    folder: &Folder,
    now: fn() -> DateTime<Utc>,
    report: &mut Report,
) -> Result<(), repository::Error> {
    let key = format!("locks/check-{:08x}", rand::random::<u32>());
    let before = now();
    let guaranteed = folder.create(&key, "etcdrx check\n").await?;
    let result = try_probe(folder, &key, guaranteed, before, report).await;
    folder.remove(&key).await?;
    result?;
    report.pass(format!(
        "{}: an object was written, read, listed and removed",
        folder.repository().url()
    ));
    report_protection(folder, report).await;
    Ok(())
}

/// Says what the bucket does with what is removed: it decides what a prune frees, and when.
async fn report_protection(folder: &Folder, report: &mut Report) {
    let protection = folder.protection().await;
    let url = folder.repository().url();
    if protection.versions {
        report.pass(format!(
            "{url}: the bucket keeps old versions: what prune removes is hidden, and frees space once a lifecycle rule of the bucket removes old versions"
        ));
    }
    if let Some(rule) = protection.locks {
        report.pass(format!(
            "{url}: the bucket locks every new object ({rule}): prune keeps a backup until its lock has ended"
        ));
    }
}

async fn try_probe(
    folder: &Folder,
    key: &str,
    guaranteed: bool,
    before: DateTime<Utc>,
    report: &mut Report,
) -> Result<(), repository::Error> {
    let second = match guaranteed {
        true => folder.create(key, "etcdrx check\n").await.map(drop),
        false => Ok(()),
    };
    match second {
        Err(repository::Error::Exists { .. }) => report.pass("the store puts only if absent"),
        Ok(()) => report.warn(
            "no-put-if-absent",
            "the store cannot create an object only if absent: locks and random ids keep writers apart",
        ),
        Err(error) => return Err(error),
    }
    if folder.read(key).await?.as_ref() != b"etcdrx check\n" {
        report.error(
            "read-back",
            "the store gives back other bytes than were written",
        );
    }
    let listed = folder
        .list()
        .await?
        .into_iter()
        .find(|object| object.key == key);
    match listed {
        None => report.error("listing", "the store does not list what was just written"),
        Some(object) => {
            let ahead = object.modified - before;
            if ahead.abs() > SKEW {
                report.warn(
                    "clock-skew",
                    format!(
                        "the store's clock differs from this machine's by {} seconds",
                        ahead.num_seconds()
                    ),
                );
            }
        }
    }
    Ok(())
}
