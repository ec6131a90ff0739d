//! What is the matter with the cluster as a whole: who belongs to it, alarms, data that differ.

use std::collections::BTreeMap;

use super::{Case, Condition, Found};
use crate::manifest::HashKv;
use crate::recovery::observation::{Class, Member, MemberHash};

pub(super) fn conditions(case: &Case<'_>) -> Vec<Found> {
    let found = [split(case), corruption(case)];
    let mut found: Vec<Found> = found.into_iter().flatten().collect();
    let is_split = found
        .iter()
        .any(|found| found.condition == Condition::SplitClusters);
    if !is_split {
        found.extend(each(case, Condition::ForeignMember, |member| {
            member.class == Class::Foreign
        }));
    }
    found.extend(alarm(case, "NOSPACE", Condition::Nospace));
    found.extend(alarm(case, "CORRUPT", Condition::CorruptAlarm));
    found.extend(each(case, Condition::UnstartedMember, |member| {
        member.listed && !member.started
    }));
    found.extend(each(case, Condition::StrayLearner, |member| {
        member.class == Class::Learner
    }));
    found.extend(each(case, Condition::KnownDataBugVersion, |member| {
        let status = member.status.as_ref();
        status.is_some_and(|status| ["3.5.0", "3.5.1", "3.5.2"].contains(&status.version.as_str()))
    }));
    found
}

/// One finding for all members of which `is_so` holds.
fn each(case: &Case<'_>, condition: Condition, is_so: impl Fn(&Member) -> bool) -> Option<Found> {
    let members: Vec<&Member> = case
        .observation
        .members
        .iter()
        .filter(|member| is_so(member))
        .collect();
    (!members.is_empty()).then(|| Found::certain(condition).about(&members))
}

/// Two clusters of which as many members answer, or one that was split by force.
fn split(case: &Case<'_>) -> Option<Found> {
    let forced: Vec<String> = case.messages("several-leaders").collect();
    if !forced.is_empty() {
        return Some(Found::certain(Condition::SplitClusters).because(forced));
    }
    let mut sizes: Vec<usize> = case.observation.clusters.values().map(Vec::len).collect();
    sizes.sort_unstable();
    let [.., second, first] = sizes[..] else {
        return None;
    };
    let listed = case
        .observation
        .clusters
        .iter()
        .map(|(id, members)| format!("{} say that they are cluster {id}", members.join(", ")));
    (first == second).then(|| Found::unclear(Condition::SplitClusters).because(listed))
}

fn alarm(case: &Case<'_>, kind: &str, condition: Condition) -> Option<Found> {
    let alarms = case.observation.alarms.iter();
    let raised: Vec<String> = alarms
        .filter(|alarm| alarm.kind == kind)
        .map(|alarm| format!("alarm {kind} for member {}", alarm.member_id))
        .collect();
    (!raised.is_empty()).then(|| Found::certain(condition).because(raised))
}

/// Members whose data differ; the odd ones are known where the others are more than half of the voters.
fn corruption(case: &Case<'_>) -> Option<Found> {
    let groups = groups(&case.observation.hashes);
    let strange: Vec<String> = case.messages("revisions-differ").collect();
    if groups.len() < 2 {
        let found = Found::certain(Condition::SilentCorruption).because(strange.clone());
        return (!strange.is_empty()).then_some(found);
    }
    let words = groups.iter().map(|group| {
        let names: Vec<&str> = group.iter().map(|hash| hash.member.as_str()).collect();
        let HashKv { revision, hash, .. } = group[0].hashkv;
        format!(
            "HashKV at revision {revision} is {hash:08x} on {}",
            names.join(", ")
        )
    });
    let mut found = Found::certain(Condition::SilentCorruption)
        .because(words)
        .because(strange);
    if groups[0].len() * 2 > case.observation.quorum.voters {
        let odd = groups[1..].iter().flatten();
        found.members = odd.map(|hash| hash.member.clone()).collect();
    }
    Some(found)
}

/// The members by their hashes, the largest group first, as far as they can be compared: the same compaction, and not at it.
fn groups(hashes: &[MemberHash]) -> Vec<Vec<&MemberHash>> {
    let comparable = hashes
        .iter()
        .filter(|hash| hash.hashkv.revision > hash.hashkv.compact_revision);
    let mut by_compaction: BTreeMap<_, BTreeMap<u32, Vec<&MemberHash>>> = BTreeMap::new();
    for hash in comparable {
        let place = (hash.hashkv.revision, hash.hashkv.compact_revision);
        let same = by_compaction.entry(place).or_default();
        same.entry(hash.hashkv.hash).or_default().push(hash);
    }
    let largest = by_compaction
        .into_values()
        .max_by_key(|same| (same.len() > 1, same.values().map(Vec::len).sum::<usize>()));
    let mut groups: Vec<Vec<&MemberHash>> = largest.unwrap_or_default().into_values().collect();
    groups.sort_by_key(|group| std::cmp::Reverse(group.len()));
    groups
}
