//! From the steps of a playbook to those of a plan: one for each node, with the words and commands that belong to it.

use std::path::PathBuf;

use super::way::to_be_started;
use super::{Plan, Situation, Source, Step, refuse};
use crate::config::{Node, Reach, Settings};
use crate::host::Host;
use crate::node::Running;
use crate::recovery::actions::{self, Particulars};
use crate::recovery::observation::{Class, Member, Observation};
use crate::recovery::playbook::{Kind, PlaybookStep, Way};

/// What stands in a plan for what is drawn when it begins.
const RUN: &str = "RUN";
const TOKEN: &str = "TOKEN";

/// Fills in the steps and the warnings.
pub(super) fn expand(situation: &Situation<'_>, plan: &mut Plan) {
    let Some(way) = plan.way.and_then(|way| situation.playbook.ways.get(&way)) else {
        return;
    };
    for part in way.steps.chunk_by(|a, b| a.one_by_one == b.one_by_one) {
        if !part[0].one_by_one {
            add(situation, plan, part, None);
            continue;
        }
        for name in joining(plan) {
            add(situation, plan, part, Some(&name));
        }
    }
    for (index, step) in plan.steps.iter_mut().enumerate() {
        step.n = index + 1;
    }
    plan.warnings.extend(refuse::cautions(situation, plan));
}

/// Adds steps, each for all nodes that it is about; or for the one that joins.
fn add(situation: &Situation<'_>, plan: &mut Plan, steps: &[PlaybookStep], joins: Option<&str>) {
    for step in steps {
        if !is_needed(situation, plan, step.kind) {
            continue;
        }
        let names = match joins {
            Some(name) if step.nodes.is_empty() => Some(vec![name.to_owned()]),
            _ => nodes(situation, plan, step),
        };
        match names {
            None => plan.steps.push(one(situation, plan, step, None)),
            Some(names) => {
                for name in names {
                    plan.steps.push(one(situation, plan, step, Some(name)));
                }
            }
        }
    }
}

/// All members but the one that goes on in place.
fn joining(plan: &Plan) -> Vec<String> {
    let stays = plan.in_place();
    let members = plan.members.iter().map(|member| &member.name);
    let joining = members.filter(|name| Some(name.as_str()) != stays);
    joining.cloned().collect()
}

/// Steps that only some situations need.
fn is_needed(situation: &Situation<'_>, plan: &Plan, kind: Kind) -> bool {
    let observation = situation.observation;
    let target = plan
        .target
        .as_deref()
        .and_then(|name| observation.member(name));
    let running = target
        .and_then(|member| member.node.as_ref())
        .map(|node| node.process.running);
    match kind {
        Kind::MoveLeader => target
            .is_some_and(|member| member.id.is_some() && member.id == observation.quorum.leader),
        Kind::Disarm => !observation.alarms.is_empty(),
        Kind::TakeSnapshot => matches!(plan.source, Some(Source::Live { .. })),
        Kind::Stop if plan.way == Some(Way::Restart) => running != Some(Running::Stopped),
        _ => true,
    }
}

/// The nodes that a step happens on; `None` where it is a matter of the cluster, or of this machine.
fn nodes(situation: &Situation<'_>, plan: &Plan, step: &PlaybookStep) -> Option<Vec<String>> {
    let members = || plan.members.iter().map(|member| member.name.clone());
    let target = || plan.target.clone().into_iter().collect();
    let observation = situation.observation;
    Some(match step.kind {
        Kind::Command if !step.nodes.is_empty() => step.nodes.clone(),
        Kind::StopSource | Kind::Salvage | Kind::CopyDatabase => {
            source_member(plan).into_iter().collect()
        }
        Kind::SendSnapshot | Kind::CleanUp => members()
            .filter(|name| {
                situation
                    .node(name)
                    .is_some_and(|node| node.reach != Reach::Local)
            })
            .collect(),
        Kind::ForceNewCluster => plan.in_place().map(str::to_owned).into_iter().collect(),
        Kind::Start | Kind::WaitMember if plan.in_place().is_some() => {
            plan.in_place().map(str::to_owned).into_iter().collect()
        }
        Kind::SetAside | Kind::CheckAside if plan.in_place().is_some() => joining(plan),
        // Whoever changes a static pod's manifest restarts it.
        Kind::Configure if plan.in_place().is_some() => members()
            .filter(|name| {
                let settings = situation.node(name).and_then(Node::settings);
                !matches!(settings, Some(Settings::Manifest { .. }))
            })
            .collect(),
        // Whoever runs is not touched: it may be the one that has most.
        Kind::Stop if plan.way == Some(Way::Restart) && plan.target.is_none() => {
            to_be_started(observation)
                .filter(|member| is_frozen(member))
                .map(|member| member.name.clone())
                .collect()
        }
        Kind::Stop if plan.target.is_none() => to_be_stopped(situation, plan),
        Kind::Start if plan.way == Some(Way::Restart) && plan.target.is_none() => {
            to_be_started(observation)
                .map(|member| member.name.clone())
                .collect()
        }
        Kind::Stop | Kind::Start | Kind::SetAside | Kind::Configure if plan.target.is_some() => {
            target()
        }
        Kind::RemoveMember
        | Kind::AddMember
        | Kind::AddLearner
        | Kind::Promote
        | Kind::WaitMember
        | Kind::MoveLeader => target(),
        Kind::Command
        | Kind::Stage
        | Kind::SetAside
        | Kind::Place
        | Kind::Configure
        | Kind::CheckPlaced
        | Kind::Start => members().collect(),
        Kind::Defragment => followers_first(observation),
        _ => return None,
    })
}

/// Every node of the old cluster that can be reached, also those that are not in the new one.
fn to_be_stopped(situation: &Situation<'_>, plan: &Plan) -> Vec<String> {
    let is_member = |name: &str| plan.members.iter().any(|member| member.name == name);
    let names = situation.nodes.iter().map(|node| node.name.clone());
    names
        .filter(|name| {
            let seen = situation.observation.member(name);
            is_member(name) || seen.is_some_and(|member| member.node.is_some())
        })
        .collect()
}

fn is_frozen(member: &Member) -> bool {
    let node = member.node.as_ref();
    node.is_some_and(|node| node.process.running == Running::Frozen)
}

fn followers_first(observation: &Observation) -> Vec<String> {
    let leader = observation.quorum.leader;
    let well = observation
        .members
        .iter()
        .filter(|member| matches!(member.class, Class::Ok | Class::Learner));
    let mut members: Vec<_> = well.collect();
    members.sort_by_key(|member| member.id == leader);
    members.iter().map(|member| member.name.clone()).collect()
}

/// The member whose files are the source; one that runs gives a snapshot, and nobody touches its files.
fn source_member(plan: &Plan) -> Option<String> {
    let source = plan.source.as_ref();
    let source = source.filter(|source| !matches!(source, Source::Live { .. }));
    source.and_then(Source::member).map(str::to_owned)
}

fn one(situation: &Situation<'_>, plan: &Plan, step: &PlaybookStep, node: Option<String>) -> Step {
    let source = plan.source.as_ref().map(Source::label).unwrap_or_default();
    let fill = |text: &str| {
        text.replace("{node}", node.as_deref().unwrap_or("the cluster"))
            .replace("{source}", &source)
            .replace("{run}", RUN)
    };
    Step {
        n: 0,
        title: fill(&step.words.title),
        why: fill(&step.words.why),
        risk: fill(&step.words.risk),
        undo: fill(&step.words.undo),
        action: step.kind,
        commands: commands(situation, plan, step, node.as_deref()),
        run: step.run.clone(),
        destructive: step.kind.is_destructive(),
        node,
    }
}

/// What a person would type.
fn commands(
    situation: &Situation<'_>,
    plan: &Plan,
    step: &PlaybookStep,
    node: Option<&str>,
) -> Vec<String> {
    let on_node = node.and_then(|name| situation.node(name)).and_then(|node| {
        let joins = Some(node.name.as_str()).filter(|_| step.one_by_one);
        let particulars = Particulars {
            initial_cluster: joins.map_or_else(
                || plan.initial_cluster(),
                |name| plan.initial_cluster_with(name),
            ),
            ..placeholders(plan, step, situation.choices.keep_revisions)
        };
        let host = Host::of(node).ok()?;
        let action = actions::of_step(step.kind, node, &particulars)?;
        Some(host.command_line(&action))
    });
    on_node.map_or_else(
        || of_cluster(situation, plan, step.kind, node),
        |line| vec![line],
    )
}

fn placeholders(plan: &Plan, step: &PlaybookStep, keep_revisions: bool) -> Particulars {
    Particulars {
        run: RUN.to_owned(),
        token: TOKEN.to_owned(),
        bump: (!keep_revisions).then_some(crate::restore::Bump::LEAST),
        initial_cluster: plan.initial_cluster(),
        begins_anew: plan.members.iter().all(|member| member.id.is_none()),
        snapshot: PathBuf::from("snapshot.db"),
        unproven: false,
        command: step.run.clone(),
    }
}

/// What a person would type for the cluster as a whole.
fn of_cluster(
    situation: &Situation<'_>,
    plan: &Plan,
    kind: Kind,
    node: Option<&str>,
) -> Vec<String> {
    let observation = situation.observation;
    let member = node.and_then(|name| observation.member(name));
    let id = member.and_then(|member| member.id).map(|id| id.to_string());
    let id = id.unwrap_or_else(|| "ID".to_owned());
    let planned = plan
        .members
        .iter()
        .find(|member| Some(member.name.as_str()) == node);
    let urls = planned
        .map(|member| member.peer_urls.join(","))
        .unwrap_or_default();
    let name = node.unwrap_or_default();
    let line = match kind {
        Kind::TakeSnapshot => match &plan.source {
            Some(Source::Live { endpoint, .. }) => {
                format!("etcdctl --endpoints {endpoint} snapshot save snapshot.db")
            }
            _ => return Vec::new(),
        },
        Kind::FetchBackup => match &plan.source {
            Some(Source::Backup { id, .. }) => format!("etcdrx fetch {id} -o snapshot.db"),
            Some(Source::File { path, .. }) => format!("cp {} snapshot.db", path.display()),
            _ => return Vec::new(),
        },
        Kind::ProveSnapshot => "etcdrx snapshot status snapshot.db".to_owned(),
        Kind::WaitLeader | Kind::WaitHealthy | Kind::WaitMember | Kind::CheckInvariants => {
            "etcdrx diagnose".to_owned()
        }
        Kind::RemoveMember => format!("etcdctl member remove {id}"),
        Kind::AddMember => format!("etcdctl member add {name} --peer-urls={urls}"),
        Kind::AddLearner => format!("etcdctl member add {name} --peer-urls={urls} --learner"),
        Kind::Promote => "etcdctl member promote ID".to_owned(),
        Kind::MoveLeader => "etcdctl move-leader ID".to_owned(),
        Kind::Compact => "etcdctl compact REVISION".to_owned(),
        Kind::Defragment => {
            let endpoint = member
                .and_then(|member| member.endpoint.clone())
                .unwrap_or_default();
            format!("etcdctl --endpoints {endpoint} defrag")
        }
        Kind::Disarm => "etcdctl alarm disarm".to_owned(),
        Kind::SendSnapshot => format!("scp snapshot.db {name}:"),
        _ => return Vec::new(),
    };
    vec![line]
}
