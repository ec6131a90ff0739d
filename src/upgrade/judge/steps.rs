//! The way from one version to another: one minor at a time, and backwards only where etcd was told.

use super::Upgrade;
use crate::manifest::Finding;
use crate::upgrade::{Facts, Minor};

/// Judges the distance.
pub(super) fn judge(facts: &Facts, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    let Upgrade { from, to, .. } = upgrade;
    let Some(from) = from else {
        let message = "which version the cluster runs could not be learnt: the distance to the new one is not judged, and what both know \
                       or both lack is told all the same";
        findings.push(Finding::note("version-unknown", message));
        return;
    };
    mixed(facts, findings);
    if to < from {
        findings.push(downgrade(facts, from, to));
    } else if to == from {
        let message =
            format!("the cluster runs etcd {from} already; only what that version refuses is told");
        findings.push(Finding::note("same-version", message));
    } else if to > from.next() {
        findings.push(skip(from, to));
    }
}

/// Members of several versions: an upgrade that is not over.
fn mixed(facts: &Facts, findings: &mut Vec<Finding>) {
    let minors = facts
        .live
        .iter()
        .filter_map(|one| Minor::of_version(&one.version));
    let (oldest, newest) = (minors.clone().min(), minors.max());
    if oldest == newest {
        return;
    }
    let members = facts
        .live
        .iter()
        .map(|one| format!("{} runs {}", one.member, one.version));
    let members: Vec<String> = members.collect();
    let message = format!(
        "the members run different versions ({}): finish that upgrade before the next one begins",
        members.join(", ")
    );
    findings.push(Finding::warning("mixed-versions", message));
}

fn skip(from: Minor, to: Minor) -> Finding {
    let mut way = vec![from.to_string()];
    let mut next = from;
    while next < to {
        next = next.next();
        way.push(next.to_string());
    }
    let happens = match from {
        // Seen with 3.6.14 and 3.7.1 beside two members of 3.4.23.
        Minor::OLDEST => format!(
            "the first member of {to} makes the members of {from} that still run panic (`panic: not implemented`), and the quorum is lost"
        ),
        _ => format!(
            "etcd is made and tested for members of neighbouring versions side by side, not for {from} beside {to}"
        ),
    };
    let message = format!(
        "from etcd {from} to {to} is more than one minor version: {happens}; go {}, all members each time, and check before each step",
        way.join(" -> ")
    );
    Finding::error("skips-a-version", message)
}

fn downgrade(facts: &Facts, from: Minor, to: Minor) -> Finding {
    let stored: Vec<_> = facts.live.iter().map(|one| one.storage_version).collect();
    let is_ready = |version: &Option<Minor>| version.is_some_and(|version| version <= to);
    if to.next() == from && !stored.is_empty() && stored.iter().all(is_ready) {
        let message = format!(
            "the downgrade to etcd {to} is enabled, and every member that answers has written its database for it: replace the program member by member"
        );
        return Finding::note("downgrade-enabled", message);
    }
    let happens = match (from, to) {
        (_, Minor(6)) => {
            format!("etcd {to} exits 1 on their data (`version \"{from}.0\" is not supported`)")
        }
        // 3.4 does not look at what 3.6 writes.
        (Minor(6 | 7), Minor(4)) => {
            format!("etcd {to} may start on their data without a word, which proves nothing")
        }
        _ => format!(
            "etcd {to} exits 1 on their data (`invalid downgrade; server version is lower than determined cluster version`)"
        ),
    };
    let way = match from {
        Minor(6..) => {
            let next = Minor(from.0 - 1);
            format!(
                "while all members of {from} run: `etcdctl downgrade enable {next}`, wait until `etcdctl endpoint status -w json` shows storageVersion {next}.0 for each, then replace the program member by member, one minor version at a time (`etcdutl migrate` is no downgrade)"
            )
        }
        _ => format!(
            "etcd {from} has no downgrade: take a snapshot, restore it with the tools of {to}, and start {to} on that"
        ),
    };
    let message =
        format!("the members run etcd {from}, which is newer than {to}: {happens}; {way}");
    Finding::error("downgrade", message)
}
