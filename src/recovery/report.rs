//! What a recovery came to: for the terminal, for a ticket, for a browser, for machines.

mod page;

use std::fmt::Write;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::invariants::Invariant;
use super::journal::{Entry, Line, set_aside};
use super::learned::Learned;
use super::plan::{Plan, PlannedMember, Source};
use super::playbook::Kind;
use super::scenario::Scenario;
use crate::id::{ClusterId, Revision};

/// What a recovery came to.
#[derive(Debug, Clone, Serialize)]
pub struct Recovered {
    /// What had happened.
    pub scenario: Scenario,
    /// The run.
    pub run: String,
    /// From the approval to the last check.
    pub elapsed_ms: u64,
    /// The cluster before.
    pub cluster_id_before: Option<ClusterId>,
    /// The cluster now.
    pub cluster_id: Option<ClusterId>,
    /// Its members.
    pub members: Vec<PlannedMember>,
    /// The highest revision before, as far as anybody knew.
    pub revision_before: Option<Revision>,
    /// The revision that it began with after, where it began anew.
    pub revision_after: Option<Revision>,
    /// The newest revision of the snapshot that it began anew with: everything up to it is there.
    pub snapshot_revision: Option<Revision>,
    /// How many revisions were lost, as far as anybody knows.
    pub lost_revisions: Option<i64>,
    /// What was lost, in words.
    pub lost: String,
    /// Where the data came from.
    pub source: Option<String>,
    /// What must hold now, and whether it does.
    pub invariants: Vec<Invariant>,
    /// What was done, and when.
    pub timeline: Vec<Moment>,
    /// Where old data lie.
    pub set_aside: Vec<String>,
    /// What is left to do for people.
    pub next: Vec<String>,
    /// Where journal, snapshot and report lie.
    pub directory: PathBuf,
}

/// A step that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// What it was.
    pub title: String,
    /// How long it took.
    pub elapsed_ms: u64,
    /// What was seen.
    pub evidence: Vec<String>,
}

impl Recovered {
    pub(super) fn of(
        plan: &Plan,
        run: &str,
        learned: &Learned,
        lines: &[Line],
        elapsed_ms: u64,
        directory: &Path,
    ) -> Self {
        let set_aside = set_aside(plan, lines)
            .map(|node| format!("{node}: member.etcdrx-{run} in its data directory"));
        Self {
            scenario: plan.scenario,
            run: run.to_owned(),
            elapsed_ms,
            cluster_id_before: plan.cluster_id,
            cluster_id: learned.cluster_id.or(plan.cluster_id),
            members: learned.members(&plan.members),
            revision_before: plan.highest_revision,
            revision_after: learned.revision_after,
            snapshot_revision: learned
                .snapshot
                .as_ref()
                .filter(|_| plan.begins_anew())
                .map(|snapshot| snapshot.revision),
            lost_revisions: plan.lost_revisions,
            lost: plan.lost.clone(),
            source: plan.source.as_ref().map(Source::label),
            invariants: learned.invariants.clone(),
            timeline: timeline(plan, lines),
            set_aside: set_aside.collect(),
            next: next(plan, run),
            directory: directory.to_owned(),
        }
    }

    /// Whether everything holds that could be checked.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.invariants
            .iter()
            .all(|invariant| invariant.ok != Some(false))
    }

    /// The report as a page.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# Recovery {}: {}\n\n", self.run, self.scenario);
        let seconds = std::time::Duration::from_millis(self.elapsed_ms).as_secs_f64();
        let shown = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
        let _ = writeln!(text, "- **Took**: {seconds:.1} s");
        let _ = writeln!(
            text,
            "- **Cluster**: {} before, {} now",
            shown(self.cluster_id_before.map(|id| id.to_string())),
            shown(self.cluster_id.map(|id| id.to_string()))
        );
        if let Some(source) = &self.source {
            let _ = writeln!(text, "- **Data from**: {source}");
        }
        let _ = writeln!(text, "- **Lost**: {}", self.lost);
        if let (Some(before), Some(after)) = (self.revision_before, self.revision_after) {
            let _ = writeln!(text, "- **Revision**: {before} before, {after} after");
        }
        for member in &self.members {
            let id = shown(member.id.map(|id| id.to_string()));
            let _ = writeln!(
                text,
                "- **Member**: {} {id} {}",
                member.name,
                member.peer_urls.join(", ")
            );
        }
        for place in &self.set_aside {
            let _ = writeln!(text, "- **Set aside**: {place}");
        }
        text.push_str("\n## What was done\n\n");
        for moment in &self.timeline {
            let at = moment.at.format("%H:%M:%S%.3f");
            let _ = writeln!(text, "- {at} {} ({} ms)", moment.title, moment.elapsed_ms);
            for evidence in &moment.evidence {
                let _ = writeln!(text, "  - {evidence}");
            }
        }
        text.push_str("\n## What must hold, and does it\n\n");
        for invariant in &self.invariants {
            let mark = match invariant.ok {
                Some(true) => "yes",
                Some(false) => "**NO**",
                None => "not checked",
            };
            let _ = writeln!(
                text,
                "- {} {}: {mark}. {}",
                invariant.code,
                invariant.title,
                invariant.evidence.join("; ")
            );
        }
        text.push_str("\n## What is left to do\n\n");
        for next in &self.next {
            let _ = writeln!(text, "- {next}");
        }
        text
    }
}

fn timeline(plan: &Plan, lines: &[Line]) -> Vec<Moment> {
    let done = lines.iter().filter_map(|line| match &line.entry {
        Entry::Done {
            n,
            elapsed_ms,
            evidence,
            ..
        } => Some((line.at, n, elapsed_ms, evidence)),
        _ => None,
    });
    done.filter_map(|(at, n, elapsed_ms, evidence)| {
        let step = plan.steps.iter().find(|step| step.n == *n)?;
        Some(Moment {
            at,
            title: step.title.clone(),
            elapsed_ms: *elapsed_ms,
            evidence: evidence.clone(),
        })
    })
    .collect()
}

/// What people and their clients have to do afterwards.
fn next(plan: &Plan, run: &str) -> Vec<String> {
    let mut next = Vec::new();
    if plan.begins_anew() {
        next.push(
            "clients that held watches list anew; restart those that do not do so by themselves"
                .to_owned(),
        );
        next.push(
            "Kubernetes: restart kube-apiserver first, then kube-controller-manager, kube-scheduler and the kubelets; if `kubernetes` in the namespace default lists API servers that are gone, their keys below /registry/masterleases expire within a minute"
                .to_owned(),
        );
    }
    next.push("take a backup now: `etcdrx backup`".to_owned());
    if plan.steps.iter().any(|step| step.action == Kind::SetAside) {
        next.push(format!(
            "when all is well for some days, remove the old data: member.etcdrx-{run} in the data directories above"
        ));
    }
    next
}
