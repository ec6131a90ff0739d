//! What to do, and what not to, in the order in which it matters.

use super::{Case, Condition, Found};
use crate::certs::explain::fixes;

/// What is advised for each condition that needs it.
const ADVICE: &[(Condition, &[&str])] = &[
    (
        Condition::MajoritySurvivorLive,
        &[
            "do not restart the survivor: after a restart it gives no snapshot until there is a quorum",
            "take a backup of it now: `etcdrx backup`",
            "never use --force-new-cluster: it loses acknowledged writes",
        ],
    ),
    (
        Condition::MajoritySalvage,
        &[
            "do not delete any data directory, and start no member on an empty one",
            "never use --force-new-cluster on an original: it loses acknowledged writes",
        ],
    ),
    (
        Condition::MajorityDbOnly,
        &[
            "do not delete any data directory, and start no member on an empty one",
            "never use --force-new-cluster on an original: it loses acknowledged writes",
        ],
    ),
    (
        Condition::MajorityUnseen,
        &[
            "do not delete any data directory, and start no member on an empty one",
            "never use --force-new-cluster on an original: it loses acknowledged writes",
        ],
    ),
    (
        Condition::MajorityRestartable,
        &[
            "start them together: one alone is never ready, and `systemctl start` waits for it (use --no-block)",
            "take a backup of a survivor that runs before anything else: `etcdrx backup`",
        ],
    ),
    (
        Condition::Total,
        &["verify the backup before it is needed: `etcdrx verify --deep`"],
    ),
    (
        Condition::NotADisasterNetwork,
        &[
            "try another machine, a member's own if you can: `etcdrx diagnose` there",
            "routes, VPN, firewalls, name servers and the endpoints themselves come before etcd",
            "do not restore anything: members that cannot be seen from here may be alive",
        ],
    ),
    (
        Condition::NotADisasterTls,
        &[
            "do not restart or restore anything for this: the data are not the matter",
            "`etcdrx certs show` tells what the files hold, `etcdrx certs explain --log FILE` what etcd's log says",
        ],
    ),
    (
        Condition::NotADisasterCertificate,
        &[
            "renew its certificates where they are issued (`etcdrx certs renew NAME`), put them in place on its node, and restart etcd there",
            "do not restore or replace anything for this: the data are not the matter",
            "do not restart the others before: they go on over connections that are open, and take up new ones only with certificates that are valid",
        ],
    ),
    (
        Condition::NotAllowed,
        &[
            "give a user with the role root: a client certificate with CN=root, or `user` and ETCDCTL_PASSWORD",
        ],
    ),
    (
        Condition::ElectionUnderWay,
        &[
            "if they stay without a leader they do not reach each other: look at the network between them, their peer certificates and their clocks; their logs have the reason",
        ],
    ),
    (
        Condition::SilentCorruption,
        &[
            "no member repairs this by itself, and etcd's own checks may miss it",
            "take a backup of a member of the majority before anything else",
        ],
    ),
    (
        Condition::CorruptAlarm,
        &[
            "do not believe the member that the alarm names: compare the hashes, replace the odd one, and disarm the alarm then",
        ],
    ),
    (
        Condition::FollowerHung,
        &[
            "make sure that it is dead before it is replaced; clients that still reach it may read stale data with serializable reads",
        ],
    ),
    (
        Condition::FollowerUnreachable,
        &["it may be alive: replace it only when its machine is known to be off (--fenced)"],
    ),
    (
        Condition::SplitClusters,
        &[
            "stop: nothing is restored before a person has decided which cluster is the right one",
            "keep the data of both; compare their revisions and what clients last wrote",
        ],
    ),
    (
        Condition::ForeignMember,
        &["stop it, set its data aside, and add it anew; the others are not harmed by it"],
    ),
    (
        Condition::RemovedMemberRunning,
        &["stop it, and set its data aside: it never joins again with them"],
    ),
    (
        Condition::ForceNewClusterLeft,
        &[
            "take --force-new-cluster out before the next start: that start would throw the other members out and lose what they acknowledged",
        ],
    ),
    (
        Condition::MemberIsolated,
        &[
            "look at the network between it and the others, and at the certificates of its peer port; its log has the reason",
        ],
    ),
    (
        Condition::KnownDataBugVersion,
        &["upgrade to the newest 3.5 at least, and compare hashes after every crash"],
    ),
    (
        Condition::Nospace,
        &[
            "if compacting frees nothing, raise --quota-backend-bytes on all members, or delete keys",
        ],
    ),
];

/// What to do, and what not to; where TLS is the matter, with what its error means.
pub(super) fn advice(case: &Case<'_>, conditions: &[Found]) -> Vec<String> {
    let mut advice: Vec<String> = Vec::new();
    for found in conditions {
        for text in of_condition(found.condition) {
            let text = text.to_owned();
            if !advice.contains(&text) {
                advice.push(text);
            }
        }
    }
    for tls in case.messages("tls") {
        for fix in fixes(&tls) {
            if !advice.contains(&fix) {
                advice.push(fix);
            }
        }
    }
    advice
}

fn of_condition(condition: Condition) -> impl Iterator<Item = &'static str> {
    let entries = ADVICE.iter().filter(move |(of, _)| *of == condition);
    entries.flat_map(|(_, texts)| texts.iter().copied())
}
