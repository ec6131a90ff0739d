//! Why a plan is not carried out, whatever its steps are.

use super::{Plan, Situation, Source};
use crate::config::Reach;
use crate::node::Running;
use crate::recovery::directory::voters;
use crate::recovery::observation::{Class, Member};
use crate::recovery::playbook::Way;
use crate::recovery::scenario::Scenario;
use crate::sandbox::Minor;

/// Everything that speaks against it, in words that say what would help.
pub(super) fn refusals(situation: &Situation<'_>, plan: &Plan) -> Vec<String> {
    let mut refusals = Vec::new();
    let Some(way) = plan.way else {
        return refusals;
    };
    match plan.scenario {
        Scenario::Majority | Scenario::Total => {
            refusals.extend(quorum_lives(situation));
            let all = situation.observation.members.iter();
            refusals.extend(all.flat_map(renew_first));
            if way != Way::Restart {
                refusals.extend(unfenced(situation));
                refusals.extend(nodes_for_all(situation, plan));
                refusals.extend(source_stays(situation, plan));
                refusals.extend(forced_by_settings(situation, plan));
            }
        }
        Scenario::Follower | Scenario::Leader => {
            refusals.extend(no_quorum(situation));
            refusals.extend(quorum_is_needed(situation, plan, way));
            refusals.extend(unfinished_changes(situation, plan, way));
            refusals.extend(node_for_target(situation, plan));
            let target = plan.target.as_deref();
            let target = target.and_then(|name| situation.observation.member(name));
            refusals.extend(target.into_iter().flat_map(renew_first));
        }
        Scenario::Nospace => refusals.extend(no_quorum(situation)),
    }
    refusals.extend(locked_backup(situation, plan));
    refusals.extend(several_clusters(situation));
    if plan.scenario != Scenario::Nospace {
        refusals.extend(elsewhere(situation, plan));
    }
    refusals
}

/// A cluster that lives is never rebuilt.
fn quorum_lives(situation: &Situation<'_>) -> Option<String> {
    let quorum = &situation.observation.quorum;
    quorum.reads.then(|| {
        format!(
            "the cluster has a quorum ({} of {} voters are well, and a linearizable read succeeds): a rebuild would destroy what lives; --scenario follower mends single members",
            quorum.have, quorum.voters
        )
    })
}

/// With a certificate that has ended a member is taken in by nobody, whatever its data are.
fn renew_first(member: &Member) -> Vec<String> {
    let ended = member.ended_certificates().into_iter();
    let ended = ended.map(|why| {
        format!(
            "{why}; no recovery helps before it is renewed (`etcdrx certs renew {}`), put in place, and etcd restarted there: that may be all that is needed",
            member.name
        )
    });
    ended.collect()
}

fn no_quorum(situation: &Situation<'_>) -> Option<String> {
    let quorum = &situation.observation.quorum;
    (!quorum.reads).then(|| {
        format!(
            "no linearizable read succeeds: {} of {} voters are well, and {} are needed; if that does not pass within seconds it is --scenario majority",
            quorum.have, quorum.voters, quorum.need
        )
    })
}

/// A member of which nobody knows whether it runs may come back with the old data, or still serve clients.
fn unfenced(situation: &Situation<'_>) -> Vec<String> {
    let observation = situation.observation;
    let doubtful = voters(observation).into_iter().filter(|member| {
        let node = situation.node(&member.name);
        let by_hand = node.is_some_and(|node| node.reach == Reach::Manual);
        let can_be_stopped = member.node.is_some() || by_hand;
        !can_be_stopped && !situation.choices.is_fenced(&member.name)
    });
    doubtful
        .map(|member| {
            let why = member.node_error.clone().unwrap_or_else(|| {
                format!("there is no [[node]] `{}` in the configuration", member.name)
            });
            format!(
                "nobody knows whether {} runs, and it must not when a new cluster begins ({why}): make its node reachable, or switch it off and say --fenced {}",
                member.name, member.name
            )
        })
        .collect()
}

fn nodes_for_all(situation: &Situation<'_>, plan: &Plan) -> Vec<String> {
    if plan.members.is_empty() {
        return vec![
            "no node is configured: each [[node]] of etcdrx.toml says where a member's data lie and how it is started"
                .to_owned(),
        ];
    }
    let mut refusals = Vec::new();
    for member in &plan.members {
        if member.peer_urls.is_empty() {
            refusals.push(format!(
                "nobody knows the peer URL of {}: say `peer_url` in its [[node]]",
                member.name
            ));
        }
        refusals.extend(gaps(situation, &member.name, true));
    }
    refusals
}

/// Who goes on in place keeps its node, its place and its id.
fn source_stays(situation: &Situation<'_>, plan: &Plan) -> Option<String> {
    let source = plan.in_place()?;
    let member = plan.members.iter().find(|member| member.name == source);
    let moves = &situation.choices.new_nodes;
    if member.is_none() {
        return Some(format!(
            "{source} is to go on in place, and nobody reaches its node: say its [[node]]"
        ));
    }
    if moves.iter().any(|new| new.name == source) {
        return Some(format!("{source} is to go on in place, and cannot move"));
    }
    let has_id = member.is_some_and(|member| member.id.is_some());
    (!has_id).then(|| format!("{source} is to go on in place, and nobody knows its id"))
}

/// The flag in settings would throw everybody else out at each start.
fn forced_by_settings(situation: &Situation<'_>, plan: &Plan) -> Vec<String> {
    let members = situation.observation.members.iter();
    let members = members.filter(|_| plan.in_place().is_some());
    let places = members.flat_map(|member| {
        let node = member.node.iter();
        let places = node.flat_map(|node| &node.process.force_new_cluster);
        places.map(move |place| (&member.name, place))
    });
    places
        .map(|(name, place)| {
            format!("force-new-cluster stands on {name}, and must not when others join: {place}")
        })
        .collect()
}

/// What the configuration does not say of a node; more where its settings are rewritten.
fn gaps(situation: &Situation<'_>, name: &str, rewrites: bool) -> Option<String> {
    let Some(node) = situation.node(name) else {
        return Some(format!(
            "there is no [[node]] `{name}` in the configuration: nobody knows where its data lie and how it is started"
        ));
    };
    let mut gaps = node.gaps();
    if rewrites && node.settings().is_none() {
        gaps.push("config_file or environment_file");
    }
    (!gaps.is_empty()).then(|| format!("the [[node]] `{name}` does not say {}", gaps.join(" and ")))
}

fn node_for_target(situation: &Situation<'_>, plan: &Plan) -> Option<String> {
    let target = plan.target.as_deref()?;
    let member = situation.observation.member(target);
    if let Some(missing) = gaps(situation, target, plan.way != Some(Way::Restart)) {
        return Some(missing);
    }
    let by_hand = situation
        .node(target)
        .is_some_and(|node| node.reach == Reach::Manual);
    let error = member.and_then(|member| member.node_error.as_ref())?;
    (!by_hand).then(|| format!("the node of {target} cannot be reached: {error}"))
}

/// Taking a member out must leave a quorum of the rest.
fn quorum_is_needed(situation: &Situation<'_>, plan: &Plan, way: Way) -> Option<String> {
    if !matches!(way, Way::Replace | Way::Relearn) {
        return None;
    }
    let target = plan.target.as_deref()?;
    let rest = voters(situation.observation).into_iter();
    let rest: Vec<&Member> = rest.filter(|member| member.name != target).collect();
    let well = rest
        .iter()
        .filter(|member| member.class == Class::Ok)
        .count();
    let need = rest.len() / 2 + 1;
    (well < need).then(|| {
        format!(
            "without {target} there are {} voters, {need} of them must be well, and {well} are: mend another one first",
            rest.len()
        )
    })
}

/// A change of members that somebody began must be ended first.
fn unfinished_changes(situation: &Situation<'_>, plan: &Plan, way: Way) -> Vec<String> {
    if way == Way::Restart {
        return Vec::new();
    }
    let observation = situation.observation;
    let others = observation
        .members
        .iter()
        .filter(|member| member.listed && Some(member.name.as_str()) != plan.target.as_deref());
    others
        .filter(|member| !member.started || member.class == Class::Learner)
        .map(|member| {
            let what = match member.started {
                true => "is a learner that was not promoted",
                false => "was added and never started",
            };
            let id = member.id.map(|id| id.to_string()).unwrap_or_default();
            format!(
                "the member {id} ({}) {what}: promote or start it, or take it out (`etcdctl member remove {id}`), before another one is changed",
                member.peer_urls.join(", ")
            )
        })
        .collect()
}

/// What cannot be opened is found out before anything is stopped.
fn locked_backup(situation: &Situation<'_>, plan: &Plan) -> Option<String> {
    let Some(Source::Backup { id, .. }) = &plan.source else {
        return None;
    };
    let mut backups = situation.observation.backups.iter();
    let why = backups.find(|backup| backup.id == *id)?.locked.as_ref()?;
    Some(format!(
        "{why}: look at `identity_file` and `verifying_key_file` in [encryption], or take other data with --from"
    ))
}

fn several_clusters(situation: &Situation<'_>) -> Option<String> {
    let clusters = &situation.observation.clusters;
    let refuse = clusters.len() > 1;
    refuse.then(|| {
        let answer: Vec<String> = clusters
            .iter()
            .map(|(id, members)| format!("{id} ({})", members.join(", ")))
            .collect();
        format!(
            "different clusters answer: {}; stop the one that is not meant, and look again",
            answer.join("; ")
        )
    })
}

/// What was looked at is not what etcd uses: a restore would go to the one place, and etcd begin empty at the other.
fn elsewhere(situation: &Situation<'_>, plan: &Plan) -> Vec<String> {
    let is_meant = |member: &&Member| match &plan.target {
        Some(target) => member.name == *target,
        None => plan.members.iter().any(|one| one.name == member.name),
    };
    let members = situation.observation.members.iter().filter(is_meant);
    let found = members.flat_map(|member| {
        let findings = member.node.iter().flat_map(|node| &node.findings);
        findings.map(|finding| (member.name.as_str(), finding))
    });
    found
        .filter(|(_, finding)| ["other-data-dir", "other-wal-dir"].contains(&finding.code.as_str()))
        .map(|(name, finding)| {
            format!(
                "{name}: {}: say in its [[node]] the `data_dir` and `wal_dir` that etcd uses",
                finding.message
            )
        })
        .collect()
}

/// The nodes whose etcd is older than the one that the backup was taken of: it ends at its start, or starts by accident.
fn older_programs(situation: &Situation<'_>, plan: &Plan) -> Option<String> {
    let Some(Source::Backup { id, .. }) = &plan.source else {
        return None;
    };
    let mut backups = situation.observation.backups.iter();
    let taken_of = &backups.find(|backup| backup.id == *id)?.etcd_version;
    let written: Minor = taken_of.parse().ok()?;
    let members = situation.observation.members.iter();
    let older: Vec<String> = members
        .filter_map(|member| {
            let found = member.node.as_ref()?.process.version.as_ref()?;
            let is_older = found.parse::<Minor>().ok()? < written;
            is_older.then(|| format!("{found} on {}", member.name))
        })
        .collect();
    (!older.is_empty()).then(|| {
        format!(
            "the backup was taken of etcd {taken_of}, and the program there seems to be {}: an older one ends at its start, or starts by accident; install {written} first",
            older.join(", ")
        )
    })
}

/// What is not refused, and should be known.
pub(super) fn cautions(situation: &Situation<'_>, plan: &Plan) -> Vec<String> {
    let fenced = situation.choices.fenced.iter();
    let mut cautions: Vec<String> = fenced
        .filter(|name| {
            let node = situation.observation.member(name).and_then(|member| member.node.as_ref());
            node.is_none_or(|node| node.process.running != Running::Stopped)
        })
        .map(|name| {
            format!("you say that {name} does not run and will not be started: if it does, clients that reach it read old data")
        })
        .collect();
    if plan.begins_anew() && situation.choices.keep_revisions {
        cautions.push(
            "revisions are not raised: watchers that saw later ones miss what changes, without a word".to_owned(),
        );
    }
    if let Some(source) = plan.in_place() {
        cautions.push(format!(
            "without --in-place all members begin anew at once, in a second or two; so {source} serves alone until the others have joined, one after the other"
        ));
        cautions.push(format!(
            "revisions are not raised: if a member that is gone told clients of later ones than {source} has, watchers miss what changes, without a word"
        ));
    }
    cautions.extend(older_programs(situation, plan));
    cautions
}
