//! The quorum is lost: what is left to bring the cluster back from.

use super::{Case, Condition, Found};
use crate::recovery::directory::{Data, data, label};
use crate::recovery::observation::{Class, Member};
use crate::recovery::rank::{Candidate, Source};

/// The best that is left, and how sure that is: who was not looked at may have something better.
pub(super) fn condition(case: &Case<'_>) -> Found {
    let has = |is_it: fn(&Source) -> bool| {
        let mut usable = case.candidates.iter().filter(|one| one.is_usable());
        usable.any(|one| is_it(&one.source))
    };
    let unseen = unseen(case);
    let unreachable = case.of_classes(&[Class::Unreachable]);
    let live = case.of_classes(&[Class::NoLeader]);
    let condition = if has(|source| matches!(source, Source::Restart { .. })) {
        let unproven = case
            .of_classes(&[Class::Hung])
            .iter()
            .any(|member| data(member) == Data::Unseen);
        let found = match unproven {
            true => Found::likely(Condition::MajorityRestartable),
            false => Found::certain(Condition::MajorityRestartable),
        };
        return found.because(restartable(case));
    } else if !live.is_empty() {
        Condition::MajoritySurvivorLive
    } else if has(|source| matches!(source, Source::Salvage { .. })) {
        Condition::MajoritySalvage
    } else if !unseen.is_empty() {
        Condition::MajorityUnseen
    } else if has(|source| matches!(source, Source::Database { .. })) {
        Condition::MajorityDbOnly
    } else {
        Condition::Total
    };
    let found = match (unreachable.is_empty(), unseen.is_empty()) {
        (true, true) => Found::certain(condition),
        (false, _) if live.is_empty() => Found::unclear(condition),
        _ => Found::likely(condition),
    };
    let unseen = unseen.iter().map(|member| match member.class {
        Class::Unreachable => format!(
            "{} cannot be reached from here, and may be alive",
            label(member)
        ),
        _ => format!("nobody has looked at the data of {}", label(member)),
    });
    found.about(&live).because(unseen).because(reach(case))
}

/// The voters whose data might be whole, for all that is known.
fn unseen<'a>(case: &Case<'a>) -> Vec<&'a Member> {
    let voters = case.voters.iter().copied();
    voters
        .filter(|member| match member.class {
            Class::Unreachable | Class::Refused => true,
            Class::Dead | Class::Hung | Class::Starting => data(member) == Data::Unseen,
            Class::Ok | Class::NoLeader | Class::Learner | Class::Foreign => false,
        })
        .collect()
}

fn restartable(case: &Case<'_>) -> Vec<String> {
    let restart = case.candidates.iter().find_map(|one| match &one.source {
        Source::Restart { members } => Some(members),
        _ => None,
    });
    let members = restart.map(|members| members.join(", "));
    members
        .map(|members| format!("{members} are alive, or have intact data of their own"))
        .into_iter()
        .collect()
}

/// How far each directory reaches, and what is of no use, and why.
fn reach(case: &Case<'_>) -> Vec<String> {
    let line = |one: &Candidate| {
        let (Source::Salvage { member } | Source::Database { member }) = &one.source else {
            return None;
        };
        let (term, index) = (one.term?, one.index?);
        Some(format!(
            "the data of {member} reach to raft entry {index} of term {term}"
        ))
    };
    let unusable = case.candidates.iter().filter_map(|one| {
        let (Source::Live { member } | Source::Salvage { member } | Source::Database { member }) =
            &one.source
        else {
            return None;
        };
        Some(format!("{member}: {}", one.unusable.as_ref()?))
    });
    let reached = case.candidates.iter().filter_map(line);
    reached.chain(unusable).collect()
}
