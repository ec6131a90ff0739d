//! Which way out is taken, and with which members.

use super::{Plan, PlannedMember, Situation, Source, source};
use crate::node::Running;
use crate::recovery::directory::{cut, is_whole, restartable, voters};
use crate::recovery::observation::{Class, Member, Observation};
use crate::recovery::playbook::Way;
use crate::recovery::rank::{Candidate, Source as Ranked, rank};
use crate::recovery::scenario::Scenario;

/// Above this a member comes back as a learner: until it has everything, a voter would hold the others up.
const LARGE_DATABASE_BYTES: u64 = 1 << 30;

/// Chooses the way and the members; the steps follow from them.
pub(super) fn choose(situation: &Situation<'_>) -> Result<Plan, Vec<String>> {
    match situation.choices.scenario {
        Scenario::Follower | Scenario::Leader => one_member(situation),
        Scenario::Majority => majority(situation),
        Scenario::Total => total(situation),
        Scenario::Nospace => Ok(space(situation)),
    }
}

fn with_way(situation: &Situation<'_>, way: Way, plan: Plan) -> Plan {
    let way = situation.choices.way.unwrap_or(way);
    let described = situation.playbook.ways.get(&way);
    let Some(described) = described else {
        let known: Vec<String> = situation.playbook.ways.keys().map(Way::to_string).collect();
        let refusal = format!(
            "there is no way `{way}` out of {}: there are {}",
            situation.choices.scenario,
            known.join(", ")
        );
        return Plan::refused(situation, vec![refusal]);
    };
    Plan {
        way: Some(way),
        about: described.about.clone(),
        ..plan
    }
}

/// A member is started, replaced, or added.
fn one_member(situation: &Situation<'_>) -> Result<Plan, Vec<String>> {
    let observation = situation.observation;
    if let Some(new) = newcomer(situation) {
        let mut members = listed_members(observation);
        let target = Some(new.name.clone());
        members.push(new);
        let plan = Plan {
            target,
            members,
            source: source::of_living(observation, None),
            lost: "nothing".to_owned(),
            lost_revisions: Some(0),
            ..Plan::empty(situation)
        };
        return Ok(with_way(situation, Way::Grow, plan));
    }
    let target = target(situation)?;
    let mut members = listed_members(observation);
    for member in members
        .iter_mut()
        .filter(|member| member.name == target.name)
    {
        let new = situation
            .choices
            .new_nodes
            .iter()
            .find(|new| new.name == target.name);
        if let Some(new) = new {
            member.peer_urls = vec![new.peer_url.clone()];
        }
    }
    let way = way_of_one(situation, target);
    let taken = situation.choices.way.unwrap_or(way);
    let mut plan = Plan {
        target: Some(target.name.clone()),
        members,
        source: source::of_living(observation, Some(&target.name)),
        lost: "nothing: the other members have everything".to_owned(),
        lost_revisions: Some(0),
        ..Plan::empty(situation)
    };
    if taken == Way::Restart {
        plan.source = None;
    }
    Ok(with_way(situation, way, plan))
}

/// A node that is to join: one that is named as new, or the only one of the configuration that nobody lists, while all who are
/// listed are well. A replacement that ended between taking out and adding looks so.
fn newcomer(situation: &Situation<'_>) -> Option<PlannedMember> {
    let observation = situation.observation;
    let is_listed = |name: &str| observation.member(name).is_some_and(|member| member.listed);
    if situation.choices.member.is_some() {
        return None;
    }
    let planned = |name: &str, url: &str| PlannedMember {
        name: name.to_owned(),
        peer_urls: vec![url.to_owned()],
        id: None,
    };
    if let [new] = situation.choices.new_nodes.as_slice() {
        return (!is_listed(&new.name)).then(|| planned(&new.name, &new.peer_url));
    }
    let all_well = voters(observation)
        .into_iter()
        .all(|member| member.class == Class::Ok);
    let missing = situation.nodes.iter().filter(|node| !is_listed(&node.name));
    match (all_well, missing.collect::<Vec<_>>().as_slice()) {
        (true, [node]) => Some(planned(&node.name, node.peer_url.as_deref()?)),
        _ => None,
    }
}

fn way_of_one(situation: &Situation<'_>, target: &Member) -> Way {
    let is_asked_for_though_well = target.class == Class::Ok;
    let moves = situation
        .choices
        .new_nodes
        .iter()
        .any(|new| new.name == target.name);
    if is_whole(target) && cut(target).is_none() && !is_asked_for_though_well && !moves {
        return Way::Restart;
    }
    let observation = situation.observation;
    let voters = voters(observation);
    let others = voters.iter().filter(|member| member.name != target.name);
    let statuses = observation
        .members
        .iter()
        .filter_map(|member| member.status.as_ref());
    let largest = statuses.map(|status| status.db_size_bytes).max();
    match others.count() <= 1 || largest.is_some_and(|bytes| bytes > LARGE_DATABASE_BYTES) {
        true => Way::Relearn,
        false => Way::Replace,
    }
}

/// The member that is named, or the only one that is not well.
fn target<'a>(situation: &Situation<'a>) -> Result<&'a Member, Vec<String>> {
    let observation = situation.observation;
    if let Some(name) = &situation.choices.member {
        let mut members = observation.members.iter();
        let found = members.find(|member| {
            member.name == *name || member.id.is_some_and(|id| id.to_string() == *name)
        });
        return found
            .filter(|member| member.listed)
            .ok_or_else(|| vec![format!("the cluster lists no member `{name}`")]);
    }
    let ill = voters(observation)
        .into_iter()
        .filter(|member| member.class != Class::Ok);
    match ill.collect::<Vec<_>>().as_slice() {
        [one] => Ok(one),
        [] => Err(vec![
            "every member is well: there is nothing to do; --member names one that is to be replaced all the same".to_owned(),
        ]),
        several => {
            let names: Vec<&str> = several.iter().map(|member| member.name.as_str()).collect();
            Err(vec![format!(
                "{} members are not well ({}): --member says which one comes first",
                several.len(),
                names.join(", ")
            )])
        }
    }
}

fn listed_members(observation: &Observation) -> Vec<PlannedMember> {
    let any_listed = observation.members.iter().any(|member| member.listed);
    let members = observation.members.iter();
    members
        .filter(|member| member.listed || (!any_listed && member.class != Class::Foreign))
        .map(|member| PlannedMember {
            name: member.name.clone(),
            peer_urls: member.peer_urls.clone(),
            id: member.id,
        })
        .collect()
}

fn majority(situation: &Situation<'_>) -> Result<Plan, Vec<String>> {
    let ranked = rank(situation.observation);
    if situation.choices.way == Some(Way::InPlace) {
        return in_place(situation, &ranked);
    }
    let restart = ranked
        .iter()
        .any(|one| matches!(one.source, Ranked::Restart { .. }));
    if restart && situation.choices.from.is_none() {
        let started = to_be_started(situation.observation);
        let warnings: Vec<String> = started.filter_map(cut).collect();
        let (lost, lost_revisions) = match warnings.is_empty() {
            true => ("nothing: enough members have their data", Some(0)),
            false => ("nothing, unless the end of a log was lost", None),
        };
        let plan = Plan {
            members: listed_members(situation.observation),
            lost: lost.to_owned(),
            lost_revisions,
            warnings,
            ..Plan::empty(situation)
        };
        return Ok(with_way(situation, Way::Restart, plan));
    }
    anew(situation, &ranked)
}

/// The members that a restart of the majority starts.
pub(super) fn to_be_started(observation: &Observation) -> impl Iterator<Item = &Member> {
    restartable(observation).into_iter().filter(|member| {
        let running = member.node.as_ref().map(|node| node.process.running);
        let down = matches!(
            running,
            Some(Running::Stopped | Running::Frozen | Running::Unknown)
        );
        down
    })
}

fn total(situation: &Situation<'_>) -> Result<Plan, Vec<String>> {
    let observation = situation.observation;
    let living = observation
        .members
        .iter()
        .filter(|member| matches!(member.class, Class::Ok | Class::NoLeader | Class::Starting));
    let with_data = observation.members.iter().filter(|member| is_whole(member));
    let mut names: Vec<&str> = living
        .chain(with_data)
        .map(|member| member.name.as_str())
        .collect();
    names.sort_unstable();
    names.dedup();
    if !names.is_empty() {
        return Err(vec![format!(
            "not all is lost: {} still {} data, that are newer than any backup; --scenario majority uses them (with --from BACKUP it leaves them)",
            names.join(", "),
            if names.len() == 1 { "has" } else { "have" }
        )]);
    }
    anew(situation, &rank(observation))
}

/// All members begin anew, with new ids.
fn anew(situation: &Situation<'_>, ranked: &[Candidate]) -> Result<Plan, Vec<String>> {
    let picked = source::pick(situation, ranked)?;
    let way = match &picked.source {
        Source::Live { .. } => Way::Live,
        Source::Salvage { .. } => Way::Salvage,
        Source::Database { .. } => Way::Database,
        Source::Backup { .. } | Source::File { .. } => Way::Backup,
    };
    let plan = Plan {
        source: Some(picked.source),
        lost_revisions: picked.lost_revisions,
        lost: picked.lost,
        warnings: picked.warnings,
        members: members_anew(situation),
        ..Plan::empty(situation)
    };
    Ok(with_way(situation, way, plan))
}

/// One member goes on with its own data and the id of the cluster, and all others join it anew.
fn in_place(situation: &Situation<'_>, ranked: &[Candidate]) -> Result<Plan, Vec<String>> {
    let picked = source::pick_own(situation, ranked)?;
    let source = picked.source.member().unwrap_or_default();
    let seen = situation.observation.member(source);
    let mut members = members_anew(situation);
    for member in members.iter_mut().filter(|member| member.name == source) {
        member.id = seen.and_then(|member| member.id);
    }
    let mut warnings = picked.warnings;
    if ranked
        .iter()
        .any(|one| matches!(one.source, Ranked::Restart { .. }))
    {
        warnings.push(
            "enough members have their data to be started together: `--way restart` loses nothing, and nobody has to leave".to_owned(),
        );
    }
    let plan = Plan {
        lost_revisions: picked.lost_revisions,
        lost: picked.lost,
        warnings,
        members,
        source: Some(picked.source),
        ..Plan::empty(situation)
    };
    Ok(with_way(situation, Way::InPlace, plan))
}

/// The nodes of the configuration, without those that nobody can reach and that are fenced.
fn members_anew(situation: &Situation<'_>) -> Vec<PlannedMember> {
    let choices = situation.choices;
    let mut members = Vec::new();
    for node in situation.nodes {
        let seen = situation.observation.member(&node.name);
        let is_out_of_reach =
            seen.is_some_and(|member| member.node.is_none() && member.node_error.is_some());
        if is_out_of_reach && choices.is_fenced(&node.name) {
            continue;
        }
        let new = choices.new_nodes.iter().find(|new| new.name == node.name);
        let listed = seen
            .map(|member| member.peer_urls.clone())
            .unwrap_or_default();
        let peer_urls = match (new, &node.peer_url) {
            (Some(new), _) => vec![new.peer_url.clone()],
            (None, _) if !listed.is_empty() => listed,
            (None, Some(url)) => vec![url.clone()],
            (None, None) => Vec::new(),
        };
        members.push(PlannedMember {
            name: node.name.clone(),
            peer_urls,
            id: None,
        });
    }
    members
}

fn space(situation: &Situation<'_>) -> Plan {
    let plan = Plan {
        members: listed_members(situation.observation),
        source: source::of_living(situation.observation, None),
        lost: "no current value; the history before now".to_owned(),
        lost_revisions: Some(0),
        ..Plan::empty(situation)
    };
    with_way(situation, Way::Free, plan)
}
