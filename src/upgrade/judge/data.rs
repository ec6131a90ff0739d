//! What lies on the disks: requests and keys of the second API, and schemas that a version cannot read.

use super::Upgrade;
use crate::datadir::wal::SecondApi;
use crate::manifest::Finding;
use crate::upgrade::{Data, Facts, Minor};

/// The first version that takes no keys of the second API.
const WITHOUT_KEYS: Minor = Minor(6);
/// The first version that cannot even read a request of it.
const WITHOUT_REQUESTS: Minor = Minor(7);

/// Judges directories and snapshots, and says which directories nobody saw.
pub(super) fn judge(facts: &Facts, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    for data in &facts.data {
        second_api(data, upgrade, findings);
        schema(
            &data.path.display().to_string(),
            data.storage_version,
            upgrade,
            findings,
        );
        stale_learners(data, upgrade, findings);
    }
    for snapshot in &facts.snapshots {
        schema(&snapshot.name, snapshot.storage_version, upgrade, findings);
    }
    unseen(facts, upgrade, findings);
}

fn second_api(data: &Data, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    let path = data.path.display();
    if let Some(file) = data
        .second_api_keys
        .as_ref()
        .filter(|_| upgrade.crosses(WITHOUT_KEYS))
    {
        let message = format!(
            "{}: clients' keys of the second API stand in it, and etcd 3.6 exits 1 (`detected disallowed custom content in v2store for stage --v2-deprecation=write-only`); copy what is needed to the third API, remove all keys of the second one, let etcd take another raft snapshot (--snapshot-count=10 and 40 writes), and check again",
            file.display()
        );
        findings.push(Finding::error("second-api-keys", message));
    }
    let Some(found) = &data.second_api else {
        return;
    };
    if upgrade.to >= WITHOUT_REQUESTS && found.count > 0 {
        findings.push(unreadable(&path.to_string(), found, upgrade));
    } else if let Some((index, words)) = found
        .of_client
        .as_ref()
        .filter(|_| upgrade.crosses(WITHOUT_KEYS))
    {
        let message = format!(
            "{path}: entry {index} of the log is a client's request of the second API ({words}), and etcd {} exits 2 at every start (`detected disallowed v2 WAL for stage --v2-deprecation=write-only`); turn the second API off (enable-v2), let etcd take a raft snapshot (--snapshot-count=10 and 40 writes), and check again",
            upgrade.to
        );
        findings.push(Finding::error("second-api-requests", message));
    } else if found.count > 0 && upgrade.to == WITHOUT_KEYS {
        let message = format!(
            "{path}: the log holds {} entries that etcd 3.7 cannot read; 3.6 can, and must take a raft snapshot behind them (after 10000 entries, unless snapshot-count says otherwise) before 3.7 starts here",
            found.count
        );
        findings.push(Finding::note("second-api-entries", message));
    }
}

fn unreadable(path: &str, found: &SecondApi, upgrade: Upgrade) -> Finding {
    let way = match upgrade.from {
        Some(from) if from < WITHOUT_KEYS => "go to 3.6 first, and there".to_owned(),
        _ => "on 3.6".to_owned(),
    };
    let message = format!(
        "{path}: the log holds {} entries of the second API behind the last raft snapshot (up to index {}), and etcd {} exits 2 at every start (`panic: unmarshal should never fail`); {way} start the member with --snapshot-count=10, write 40 keys, and check again (or take a snapshot and restore it with {})",
        found.count,
        found.last.unwrap_or_default(),
        upgrade.to,
        upgrade.to
    );
    Finding::error("second-api-entries", message)
}

fn schema(what: &str, version: Option<Minor>, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    let Some(version) = version.filter(|version| *version > upgrade.to) else {
        return;
    };
    let happens = match upgrade.to {
        Minor(6) => format!("exits 1 on it (`version \"{version}.0\" is not supported`)"),
        _ => "either refuses it or starts without a word, which proves nothing".to_owned(),
    };
    let message = format!(
        "{what}: etcd {version} wrote it, and etcd {} {happens}; use etcd {version} for it, or a snapshot that was taken with {}",
        upgrade.to, upgrade.to
    );
    findings.push(Finding::error("schema-too-new", message));
}

/// A member that 3.5.19 or earlier promoted may still stand as a learner in the database (repaired at start by 3.5.33 and 3.6.14).
fn stale_learners(data: &Data, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    if data.stale_learners.is_empty() || !upgrade.crosses(WITHOUT_KEYS) {
        return;
    }
    let ids: Vec<String> = data
        .stale_learners
        .iter()
        .map(ToString::to_string)
        .collect();
    let message = format!(
        "{}: the database takes {} for learners and the log for voters; early releases of 3.6 exit with `too many learner members` on that: upgrade to the newest 3.5 and start each member once before 3.6",
        data.path.display(),
        ids.join(", ")
    );
    findings.push(Finding::warning("stale-learner", message));
}

/// Members that answer and whose log nobody read.
fn unseen(facts: &Facts, upgrade: Upgrade, findings: &mut Vec<Finding>) {
    let (first, words) = match upgrade.to {
        to if to >= WITHOUT_REQUESTS => (
            WITHOUT_REQUESTS,
            "entries of the second API there would end etcd 3.7 at every start, if 3.5 ran within the last 10000 entries",
        ),
        _ => (
            WITHOUT_KEYS,
            "requests and keys of the second API there would keep etcd 3.6 from starting, if a client ever used it",
        ),
    };
    if !upgrade.crosses(first) {
        return;
    }
    for member in &facts.live {
        let is_seen =
            |data: &&Data| data.member_id == Some(member.member_id) && data.second_api.is_some();
        if facts.data.iter().find(is_seen).is_some() {
            continue;
        }
        let message = format!(
            "{}: its log was not read, and {words}; run this check on its machine with --data-dir, while it runs",
            member.member
        );
        findings.push(match first {
            WITHOUT_REQUESTS => Finding::warning("log-not-seen", message),
            _ => Finding::note("log-not-seen", message),
        });
    }
}
