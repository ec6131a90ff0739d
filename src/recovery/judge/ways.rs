//! The ways out of a disaster, what each of them loses, and what to type; and what not to do meanwhile.

use super::{Case, Condition, Found, Way};
use crate::recovery::directory::label;
use crate::recovery::observation::Class;
use crate::recovery::rank::{Candidate, Source};
use crate::recovery::{Scenario, observation::Member};

/// The ways out of the worst condition, the best first.
pub(super) fn ways(case: &Case<'_>, conditions: &[Found]) -> Vec<Way> {
    let worst = &conditions[0];
    let Some(scenario) = worst.scenario() else {
        return conditions
            .iter()
            .flat_map(|found| small(case, found))
            .collect();
    };
    match scenario {
        Scenario::Follower | Scenario::Leader => worst
            .members
            .iter()
            .map(|member| replace(worst.condition, scenario, member))
            .collect(),
        Scenario::Nospace => small(case, worst),
        Scenario::Majority | Scenario::Total => {
            let mut ways: Vec<Way> = first_ask(case, worst).into_iter().collect();
            let usable = case.candidates.iter().filter(|one| one.is_usable());
            ways.extend(usable.map(|one| from(case, one, scenario)));
            ways.dedup_by(|one, other| one.command == other.command && one.how == other.how);
            ways
        }
    }
}

fn replace(condition: Condition, scenario: Scenario, member: &str) -> Way {
    let how = match condition {
        Condition::FollowerDown | Condition::LeaderLost => {
            "start it again on its own data; replace it only if it does not start"
        }
        Condition::FollowerHung => "kill its process for certain, then start it again",
        Condition::FollowerUnreachable => {
            "bring its machine or the network back; replace it only if it is gone for good"
        }
        _ => {
            "take it out of the cluster, set its data aside, add it anew, and let it fetch everything from the others"
        }
    };
    Way {
        how: how.to_owned(),
        lost: "nothing: the others have everything that was acknowledged".to_owned(),
        command: format!("etcdrx recover --scenario {scenario} --member {member}"),
    }
}

/// Where nobody has looked at the others' data, they may be whole, and then nothing is lost.
fn first_ask(case: &Case<'_>, worst: &Found) -> Option<Way> {
    let unseen: Vec<String> = case
        .of_classes(&[Class::Dead, Class::Unreachable, Class::Hung])
        .iter()
        .filter(|member| member.node.is_none())
        .map(|member| label(member))
        .collect();
    if worst.condition == Condition::MajorityRestartable || unseen.is_empty() {
        return None;
    }
    Some(Way {
        how: format!(
            "first look whether {} can be started on the data that they have, all of them together",
            unseen.join(", ")
        ),
        lost: "nothing".to_owned(),
        command: "etcdrx node inspect DATA_DIR   (on each of these nodes)".to_owned(),
    })
}

fn from(case: &Case<'_>, candidate: &Candidate, scenario: Scenario) -> Way {
    let command = |from: &str| format!("etcdrx recover --scenario {scenario}{from}");
    match &candidate.source {
        Source::Restart { members } => Way {
            how: format!(
                "start {} on their own data, all together",
                members.join(", ")
            ),
            lost: "nothing".to_owned(),
            command: command(""),
        },
        Source::Live { member } => Way {
            how: format!(
                "take the snapshot of {member}, which runs, and restore it on all members"
            ),
            lost: behind(candidate)
                .unwrap_or_else(|| "nothing that anybody who is left knows of".to_owned()),
            command: command(" --from live"),
        },
        Source::Salvage { member } => Way {
            how: format!(
                "salvage the directory of {member}, its log included, and restore it on all members"
            ),
            lost: salvage_loss(case, candidate),
            command: command(" --from salvage"),
        },
        Source::Database { member } => Way {
            how: format!("restore the database of {member} on all members, without its log"),
            lost: "what stands only in the log: a fraction of a second of writes, more under load"
                .to_owned(),
            command: command(" --from db"),
        },
        Source::Backup { id } => Way {
            how: format!("restore the backup {id} on all members{}", proof(candidate)),
            lost: backup_loss(candidate),
            command: command(&format!(" --from {id}")),
        },
    }
}

fn proof(candidate: &Candidate) -> &'static str {
    match candidate.verified_at {
        Some(_) => "",
        None => " (it was never verified: `etcdrx verify` first)",
    }
}

fn salvage_loss(case: &Case<'_>, candidate: &Candidate) -> String {
    if let Some(behind) = behind(candidate) {
        return behind;
    }
    let unseen = case.voters.iter().any(|member| member.node.is_none());
    match unseen {
        true => "nothing, if no member that was not looked at reaches further".to_owned(),
        false => "nothing that was acknowledged: no directory reaches further".to_owned(),
    }
}

/// How much further another one reaches.
fn behind(candidate: &Candidate) -> Option<String> {
    // The log of a directory may hold more than its database; of everything else the revision says all.
    let is_log = matches!(candidate.source, Source::Salvage { .. });
    match (candidate.lost_revisions, candidate.lost_entries) {
        (Some(0), _) if !is_log => None,
        (Some(revisions @ 1..), _) if !is_log => {
            Some(format!("{revisions} revisions that another one has"))
        }
        (_, Some(entries @ 1..)) => Some(format!(
            "{entries} raft entries that another one has, most of them writes"
        )),
        _ => None,
    }
}

fn backup_loss(candidate: &Candidate) -> String {
    let revision = candidate.revision.map_or(0, |revision| revision.0);
    let age = candidate.age_ms.unwrap_or_default();
    let age = std::time::Duration::from_secs(u64::try_from(age / 1000).unwrap_or(0));
    let mut text = format!(
        "everything written after revision {revision}: the last {}",
        humantime::format_duration(age)
    );
    if let Some(behind) = behind(candidate) {
        text = format!("{text} ({behind})");
    }
    text
}

/// What is done about a condition that needs no recovery, where that is one command.
fn small(case: &Case<'_>, found: &Found) -> Vec<Way> {
    let way = |how: &str, command: String| Way {
        how: how.to_owned(),
        lost: "nothing".to_owned(),
        command,
    };
    let ids = |found: &Found| -> Vec<String> {
        let members = case.observation.members.iter();
        let members = members.filter(|one: &&Member| found.members.contains(&label(one)));
        members
            .filter_map(|one| Some(one.id?.to_string()))
            .collect()
    };
    match found.condition {
        Condition::UnstartedMember => ids(found)
            .into_iter()
            .map(|id| {
                way(
                    "start it, or take it out of the list again while there is a quorum",
                    format!("etcdctl member remove {id}"),
                )
            })
            .collect(),
        Condition::StrayLearner => ids(found)
            .into_iter()
            .map(|id| {
                way(
                    "make it a voter, or remove it",
                    format!("etcdctl member promote {id}"),
                )
            })
            .collect(),
        Condition::Nospace => vec![Way {
            lost: "no current value; the history before now".to_owned(),
            ..way(
                "compact, then defragment one member after the other, the leader last, and only then take the alarm back",
                "etcdrx recover --scenario nospace".to_owned(),
            )
        }],
        Condition::NotADisasterCertificate => vec![way(
            "renew the certificates, put them in place, and restart etcd there",
            format!("etcdrx certs renew {}", found.members.join(" ")),
        )],
        Condition::ElectionUnderWay | Condition::MemberStarting => vec![way(
            "look again until it is over",
            "etcdrx diagnose --wait 30s".to_owned(),
        )],
        _ => Vec::new(),
    }
}
