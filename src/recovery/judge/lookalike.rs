//! What looks like the loss of the quorum and need not be one: our own network, TLS, an election.

use super::{Case, Condition, Found};
use crate::recovery::observation::{Class, Member};

/// Who can vote.
const ALIVE: [Class; 3] = [Class::Ok, Class::NoLeader, Class::Starting];

/// No read succeeds: whether that is known to be the cluster's fault.
pub(super) fn condition(case: &Case<'_>) -> Option<Found> {
    let alive = case.of_classes(&ALIVE);
    let refused = case.of_classes(&[Class::Refused]);
    let unreachable = case.of_classes(&[Class::Unreachable]);
    let gone = case.of_classes(&[Class::Dead, Class::Hung]);
    let need = case.observation.quorum.need;
    let could_vote = alive.len() + refused.len();
    if case.voters.is_empty() || unreachable.len() == case.voters.len() {
        return Some(network(&unreachable));
    }
    if alive.is_empty() && !refused.is_empty() {
        // So many are gone for certain that it does not matter what the others hide.
        let is_lost = case.voters.len() - gone.len() < need;
        return (!is_lost).then(|| tls(case, &refused));
    }
    let mut ended = [alive, refused].concat();
    ended.retain(|member| !member.ended_certificates().is_empty());
    if could_vote >= need && could_vote - ended.len() < need {
        return Some(certificates(&ended));
    }
    (could_vote >= need).then(|| election(case, &gone))
}

/// So many of them that the others are no quorum.
fn certificates(ended: &[&Member]) -> Found {
    let why = ended.iter().flat_map(|member| member.ended_certificates());
    Found::certain(Condition::NotADisasterCertificate)
        .because(why)
        .about(ended)
}

fn network(unreachable: &[&Member]) -> Found {
    Found::unclear(Condition::NotADisasterNetwork).about(unreachable)
}

fn tls(case: &Case<'_>, refused: &[&Member]) -> Found {
    let found = match refused.len() == case.voters.len() {
        true => Found::certain(Condition::NotADisasterTls),
        false => Found::likely(Condition::NotADisasterTls),
    };
    found.about(refused).because(case.messages("tls"))
}

/// Enough of them are alive, and have had three election timeouts while we looked (of a second each, etcd's default).
fn election(case: &Case<'_>, gone: &[&Member]) -> Found {
    let named = |member: &&&Member| {
        let leaders = case.observation.members.iter();
        let mut leaders = leaders.filter_map(|one| one.status.as_ref()?.leader);
        member.id.is_some() && leaders.any(|leader| Some(leader) == member.id)
    };
    match gone.iter().find(named) {
        Some(leader) => Found::likely(Condition::LeaderLost)
            .about(&[leader])
            .because(["the others still take it for their leader".to_owned()]),
        None => Found::unclear(Condition::ElectionUnderWay).because(case.messages("read-failed")),
    }
}
