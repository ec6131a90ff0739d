//! What must hold of the cluster, as one look sees it: pure.

use std::collections::BTreeSet;

use super::{Expectation, Found, Invariant};
use crate::recovery::directory::label;
use crate::recovery::observation::{Class, Member, Observation, Status};
use crate::recovery::observe::authority;
use crate::recovery::plan::PlannedMember;

pub(super) fn invariants(expected: &Expectation, seen: &Observation) -> Vec<Invariant> {
    let mut all = vec![
        membership(expected, seen).named(
            "I1",
            "the members are those that they should be, and all vote",
        ),
        one_leader(expected, seen).named("I2", "all members know the same leader of the same term"),
        one_cluster(expected, seen).named(
            "I3",
            match expected.begins_anew {
                true => "all are of one cluster, and it is a new one",
                false => "all are of one cluster, the one of before",
            },
        ),
        revision(expected, seen).named("I9", "no client ever saw a higher revision"),
        alarms(expected, seen).named("I14", "no alarm is raised"),
    ];
    if expected.begins_anew {
        all.push(no_old_member(expected, seen).named("I4", "nobody answers as the old cluster"));
    }
    all
}

/// The member as it was seen.
pub(super) fn found<'a>(planned: &PlannedMember, seen: &'a Observation) -> Option<&'a Member> {
    let mut members = seen.members.iter();
    members.find(|member| member.name == planned.name && member.listed)
}

/// What the expected members say of themselves.
fn statuses<'a>(
    expected: &'a Expectation,
    seen: &'a Observation,
) -> impl Iterator<Item = (&'a Member, &'a Status)> {
    let members = expected.members.iter();
    members.filter_map(|planned| {
        let member = found(planned, seen)?;
        Some((member, member.status.as_ref()?))
    })
}

fn membership(expected: &Expectation, seen: &Observation) -> Found {
    let mut membership = Found::default();
    for planned in &expected.members {
        match found(planned, seen) {
            None => membership.problem(format!("{} is not listed", planned.name)),
            Some(member) => {
                let problem = off(planned, member);
                membership.problems.extend(problem);
            }
        }
    }
    for member in seen.members.iter().filter(|member| member.listed) {
        let is_expected = expected.members.iter().any(|one| one.name == member.name);
        if !is_expected {
            let started = if member.started {
                ""
            } else {
                ", and never started"
            };
            membership.problem(format!("{} is listed{started}", label(member)));
        }
    }
    let differing = seen.findings.iter();
    let differing =
        differing.filter(|one| ["lists-differ", "several-leaders"].contains(&one.code.as_str()));
    membership
        .problems
        .extend(differing.map(|one| one.message.clone()));
    membership.well(format!(
        "{} members, all of them voters",
        expected.members.len()
    ))
}

/// How a listed member is not what it should be.
fn off(planned: &PlannedMember, member: &Member) -> Option<String> {
    let name = &planned.name;
    let places = |urls: &[String]| {
        urls.iter()
            .filter_map(|url| authority(url))
            .collect::<BTreeSet<_>>()
    };
    let (should, is) = (places(&planned.peer_urls), places(&member.peer_urls));
    if !member.started {
        return Some(format!("{name} is listed and never started"));
    }
    if member.class != Class::Ok {
        let why = member.because.first().cloned().unwrap_or_default();
        return Some(format!("{name} does not serve as a voter: {why}"));
    }
    // Nodes of the configuration lend their URLs to the members that run there.
    (!should.is_subset(&is)).then(|| {
        format!(
            "{name} is listed at {}, and should be at {}",
            member.peer_urls.join(", "),
            planned.peer_urls.join(", ")
        )
    })
}

fn one_leader(expected: &Expectation, seen: &Observation) -> Found {
    let said: Vec<_> = statuses(expected, seen).collect();
    if said.is_empty() {
        return Found::unseen("no member answers");
    }
    let mut found = Found::default();
    let views: BTreeSet<_> = said
        .iter()
        .map(|(_, status)| (status.leader, status.raft_term))
        .collect();
    if views.len() > 1 || said.iter().any(|(_, status)| status.leader.is_none()) {
        for (member, status) in &said {
            let leader = status
                .leader
                .map_or("nobody".to_owned(), |id| id.to_string());
            let name = label(member);
            found.problem(format!(
                "{name} knows {leader} of term {}",
                status.raft_term
            ));
        }
    }
    let leader = said.first().and_then(|(_, status)| status.leader);
    let term = said.first().map_or(0, |(_, status)| status.raft_term);
    let leader = leader.map(|id| id.to_string()).unwrap_or_default();
    found.well(format!("{leader} leads in term {term}"))
}

fn one_cluster(expected: &Expectation, seen: &Observation) -> Found {
    let mut ids = BTreeSet::new();
    for planned in &expected.members {
        if let Some(member) = found(planned, seen) {
            ids.extend(member.status.as_ref().map(|status| status.cluster_id));
            ids.extend(member.peer.cluster_id);
        }
    }
    let Some(id) = ids.first() else {
        return Found::unseen("no member says to which cluster it belongs");
    };
    let mut found = Found::default();
    let listed = ids
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if ids.len() > 1 {
        found.problem(format!("they say that they are of the clusters {listed}"));
    }
    match (expected.old_cluster, expected.begins_anew) {
        (None, _) => found.unseen.push(format!(
            "it is cluster {id}, and nobody knows which it was before"
        )),
        (Some(old), true) if ids.contains(&old) => found.problem(format!(
            "it has the id of the old cluster, {old}: an old member could join it, with other data"
        )),
        (Some(old), false) if ids.iter().any(|id| *id != old) => {
            found.problem(format!("it is cluster {listed}, and was {old}"));
        }
        _ => {}
    }
    found.well(format!("cluster {id}"))
}

fn no_old_member(expected: &Expectation, seen: &Observation) -> Found {
    let Some(old) = expected.old_cluster else {
        return Found::unseen("nobody knows which cluster it was before");
    };
    let mut found = Found::default();
    if let Some(members) = seen.clusters.get(&old) {
        let members = members.join(", ");
        found.problem(format!("{members} still belongs to cluster {old}: stop it"));
    }
    found.well(format!("nobody of cluster {old} answers"))
}

fn revision(expected: &Expectation, seen: &Observation) -> Found {
    let lowest = statuses(expected, seen)
        .map(|(_, status)| status.revision)
        .min();
    let (Some(before), Some(now)) = (expected.revision_before, lowest) else {
        return Found::unseen("the revision before, or the one now, is not known");
    };
    let mut found = Found::default();
    if now < before {
        let text = format!(
            "revisions went back from {before} to {now}: watchers miss events until they are restarted"
        );
        match expected.is_bumped || !expected.begins_anew {
            true => found.problem(text),
            // Somebody decided so.
            false => found.unseen.push(text),
        }
    }
    found.well(format!("revision {now} now, at most {before} before"))
}

fn alarms(expected: &Expectation, seen: &Observation) -> Found {
    if statuses(expected, seen).next().is_none() {
        return Found::unseen("no member answers");
    }
    let mut found = Found::default();
    let new = seen
        .alarms
        .iter()
        .filter(|alarm| !expected.alarms.contains(alarm));
    for alarm in new {
        found.problem(format!("{} for member {}", alarm.kind, alarm.member_id));
    }
    found.well("none")
}
