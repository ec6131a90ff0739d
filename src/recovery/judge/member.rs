//! What is the matter with single members, while the others have a quorum; and what is wrong with nodes in any case.

use super::last_words::{self, Meaning};
use super::{Case, Condition, Confidence, Found};
use crate::recovery::directory::{Data, data, label};
use crate::recovery::observation::{Class, Member};

/// One entry for each condition, with all the members that it is about.
pub(super) fn conditions(case: &Case<'_>) -> Vec<Found> {
    let any_listed = case.observation.members.iter().any(|one| one.listed);
    let mut all: Vec<Found> = Vec::new();
    for member in &case.observation.members {
        let found = match member.listed || !any_listed {
            true if !member.started || member.class == Class::Learner => None,
            true => voter(case, member),
            false => stranger(case, member),
        };
        let Some(found) = found else { continue };
        match all.iter_mut().find(|one| one.condition == found.condition) {
            Some(known) => {
                known.members.extend(found.members);
                known.because.extend(found.because);
                known.confidence = known.confidence.max(found.confidence);
            }
            None => all.push(found),
        }
    }
    all.extend(lost_leader(case));
    all
}

/// What is wrong with nodes, quorum or not.
pub(super) fn everywhere(case: &Case<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for member in &case.observation.members {
        let Some(node) = &member.node else { continue };
        let flag = node.flags.get("force-new-cluster");
        let is_set = flag.is_some_and(|value| value != "false");
        let mut places = node.process.force_new_cluster.clone();
        if is_set && places.is_empty() {
            places.push("its settings".to_owned());
        }
        if !places.is_empty() {
            let places = places.into_iter();
            let why = places.map(|place| format!("{}: {place}", label(member)));
            let one = Found::certain(Condition::ForceNewClusterLeft);
            found.push(one.about(&[member]).because(why));
        }
    }
    found
}

fn voter(case: &Case<'_>, member: &Member) -> Option<Found> {
    let found = match member.class {
        Class::Ok | Class::Learner | Class::Foreign => return None,
        // One that does not run is down first of all.
        class if class != Class::Dead && !member.ended_certificates().is_empty() => {
            Found::certain(Condition::NotADisasterCertificate).because(member.ended_certificates())
        }
        Class::NoLeader => Found::certain(Condition::MemberIsolated),
        Class::Starting => starting(member),
        Class::Hung => Found::certain(Condition::FollowerHung),
        Class::Unreachable => Found::likely(Condition::FollowerUnreachable),
        Class::Refused if refused_by_tls(case, member) => {
            Found::certain(Condition::NotADisasterTls)
        }
        Class::Refused => Found::certain(Condition::NotAllowed),
        Class::Dead => dead(member),
    };
    Some(found.about(&[member]))
}

fn starting(member: &Member) -> Found {
    match words(member) {
        Some((Meaning::Foreign, line)) => {
            Found::certain(Condition::ForeignMember).because([said(member, line)])
        }
        Some((_, line)) => Found::likely(Condition::MemberStarting).because([said(member, line)]),
        None => Found::unclear(Condition::MemberStarting),
    }
}

/// It does not run: what lies on its disk, and what it said last, decide whether it can be started or must be replaced.
fn dead(member: &Member) -> Found {
    let words = words(member);
    let line = words.map(|(_, line)| said(member, line));
    let found = match (data(member), words.map(|(meaning, _)| meaning)) {
        (Data::Stale(why), _) => Found::certain(Condition::FollowerDataLost).because([why]),
        (Data::Blank, _) => Found::certain(Condition::FollowerDataLost)
            .because([format!("{}: there are no data on its node", label(member))]),
        (_, Some(Meaning::Removed | Meaning::Blank | Meaning::Foreign)) => {
            Found::certain(Condition::FollowerDataLost)
        }
        (Data::Damaged(problems), _) => {
            Found::certain(Condition::FollowerCorrupt).because(problems)
        }
        (Data::Cut(why), _) => Found::likely(Condition::FollowerCorrupt).because([why]),
        (_, Some(Meaning::Damaged)) => Found::certain(Condition::FollowerCorrupt),
        (Data::Intact, _) => Found::certain(Condition::FollowerDown),
        (Data::Unseen, _) => Found::likely(Condition::FollowerDown).because([format!(
            "nobody has looked at the data of {}",
            label(member)
        )]),
    };
    found.because(line)
}

/// The cluster has a list, and this one is not on it.
fn stranger(case: &Case<'_>, member: &Member) -> Option<Found> {
    let ours = case.observation.cluster_id();
    let status = member.status.as_ref().map(|status| status.cluster_id);
    let says = status.or(member.peer.cluster_id);
    let was_removed = matches!(words(member), Some((Meaning::Removed, _)));
    if member.class == Class::Foreign {
        return None;
    }
    let found = if says.is_some() && says == ours || was_removed {
        Found::certain(Condition::RemovedMemberRunning)
    } else if member.name.is_empty() {
        // An endpoint behind which nobody is known: it says nothing about the cluster.
        return None;
    } else {
        Found::likely(Condition::MissingMember)
    };
    let line = words(member).map(|(_, line)| said(member, line));
    Some(found.about(&[member]).because(line))
}

/// An election was seen, and the one who led before is gone.
fn lost_leader(case: &Case<'_>) -> Option<Found> {
    let gone = case.of_classes(&[Class::Dead, Class::Hung, Class::Unreachable]);
    let led = |member: &&&Member| {
        let first = member.id.map(|id| format!("first named {id},"));
        let mut changes = case.messages("leader-changed");
        first.is_some_and(|first| changes.any(|change| change.contains(&first)))
    };
    let leader = gone.iter().find(led)?;
    let found = Found::certain(Condition::LeaderLost).about(&[leader]);
    Some(Found {
        confidence: Confidence::Likely,
        ..found.because(case.messages("leader-changed"))
    })
}

fn refused_by_tls(case: &Case<'_>, member: &Member) -> bool {
    let endpoint = member.endpoint.as_deref().unwrap_or_default();
    case.messages("tls").any(|tls| tls.starts_with(endpoint))
}

fn words(member: &Member) -> Option<(Meaning, &str)> {
    last_words::read(&member.node.as_ref()?.process.log)
}

fn said(member: &Member, line: &str) -> String {
    let line: String = line.trim().chars().take(300).collect();
    format!("{}'s log: {line}", label(member))
}
