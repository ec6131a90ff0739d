//! The facts behind a judgement, in words, each with its source.

use super::{Case, Condition, Found};
use crate::certs::explain::{Severity, explain};
use crate::manifest;
use crate::recovery::directory::label;
use crate::recovery::observation::{Class, Member};

/// The findings that say that something was not looked at.
const UNSEEN: [&str; 6] = [
    "hash-untried",
    "node-unseen",
    "backups-unseen",
    "list-unknown",
    "read-failed",
    "lists-differ",
];

/// The one sentence: the worst condition, whom it is about, and whether the cluster works.
pub(super) fn verdict(case: &Case<'_>, conditions: &[Found]) -> String {
    let worst = &conditions[0];
    let mut words = worst.condition.words().to_owned();
    if worst.condition.is_about_a_member() && !worst.members.is_empty() {
        words = format!("{} {words}", worst.members.join(", "));
        if worst.members.len() > 1 {
            words = format!("each of {words}");
        }
    }
    let odd = worst.condition == Condition::SilentCorruption && !worst.members.is_empty();
    if odd {
        words = format!(
            "{words}: {} differs from the others",
            worst.members.join(", ")
        );
    }
    match quorum(case) {
        Some(quorum) if worst.condition != Condition::SplitClusters => format!("{words}; {quorum}"),
        _ => words,
    }
}

fn quorum(case: &Case<'_>) -> Option<String> {
    let quorum = &case.observation.quorum;
    if quorum.voters == 0 {
        return None;
    }
    let voters = format!(
        "{} of {} voters are up, and {} are needed",
        quorum.have, quorum.voters, quorum.need
    );
    Some(match quorum.reads {
        true => format!("reads and writes find a quorum ({voters})"),
        false => voters,
    })
}

/// What was seen of each member that is not simply well, why, and what went wrong while looking.
pub(super) fn evidence(case: &Case<'_>, conditions: &[Found]) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for member in &case.observation.members {
        let name = label(member);
        lines.extend(member.because.iter().map(|why| match why.contains(&name) {
            true => why.clone(),
            false => format!("{name}: {why}"),
        }));
        lines.extend(tls_in_log(member));
    }
    let reasons = conditions.iter().flat_map(|found| &found.because);
    for reason in reasons {
        if !lines.contains(reason) {
            lines.push(reason.clone());
        }
    }
    let findings = case.observation.findings.iter();
    for finding in findings {
        let is_told = lines.iter().any(|line| line.contains(&finding.message));
        if !is_told {
            lines.push(finding.message.clone());
        }
    }
    lines.push(read(case));
    lines
}

fn read(case: &Case<'_>) -> String {
    let quorum = &case.observation.quorum;
    match (quorum.reads, quorum.leader) {
        (true, Some(leader)) => {
            let members = &case.observation.members;
            let name = members.iter().find(|one| one.id == Some(leader)).map(label);
            let name = name.unwrap_or_else(|| leader.to_string());
            format!("a read with quorum succeeds; {name} is the leader")
        }
        (true, None) => "a read with quorum succeeds".to_owned(),
        (false, _) => "no read with quorum succeeds through any member".to_owned(),
    }
}

/// What the log of a member says of its certificates: its peers refuse it, or it them, and from outside it only looks alone.
fn tls_in_log(member: &Member) -> Vec<String> {
    let Some(node) = member.node.as_ref().filter(|_| member.class != Class::Ok) else {
        return Vec::new();
    };
    let explanations = explain(&node.process.log.join("\n")).into_iter();
    explanations
        .filter(|one| one.severity == Severity::Error)
        .map(|one| format!("{}'s log: {}: {}", label(member), one.means, one.cause))
        .collect()
}

/// What could not be looked at: without it nothing is called healthy.
pub(super) fn unseen(case: &Case<'_>) -> Vec<String> {
    let mut unseen: Vec<String> = Vec::new();
    for finding in &case.observation.findings {
        if UNSEEN.contains(&finding.code.as_str()) {
            unseen.push(finding.message.clone());
        }
    }
    for member in &case.observation.members {
        let is_seen = matches!(member.class, Class::Ok | Class::Learner | Class::Foreign);
        if !is_seen {
            let why = member.because.first().cloned().unwrap_or_default();
            unseen.push(format!("nobody knows who is at {}: {why}", label(member)));
        }
        unseen.extend(node_findings(member));
    }
    if case.observation.quorum.voters > 1 && case.observation.hashes.is_empty() {
        let message = "the members' data could not be compared";
        if !unseen.iter().any(|line| line.contains(message)) {
            unseen.push(message.to_owned());
        }
    }
    unseen
}

/// What an inspection holds against the node of a member that is well.
fn node_findings(member: &Member) -> Vec<String> {
    let findings = member.node.iter().flat_map(|node| &node.findings);
    findings
        .filter(|finding| finding.severity == manifest::Severity::Error)
        .map(|finding| format!("{}: {}", label(member), finding.message))
        .collect()
}
