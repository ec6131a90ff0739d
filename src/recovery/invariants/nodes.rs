//! What must hold of the nodes, as their inspections tell: pure.

use std::collections::BTreeSet;
use std::path::Path;

use super::seen::found;
use super::{Expectation, Found, Invariant};
use crate::node::Inspected;
use crate::recovery::observation::{Member, Observation};
use crate::recovery::observe::authority;

/// What etcd must not find in its way, and what a finding of an inspection calls that.
const OFF: [&str; 5] = [
    "open-directory",
    "mixed-owners",
    "foreign-member",
    "foreign-cluster",
    "removed-member",
];

/// What the names of directories hold that a recovery did not clear away.
const LEFT_OVER: [&str; 2] = ["etcdrx-staged-", "etcdrx-unfinished-"];

pub(super) fn invariants(expected: &Expectation, seen: &Observation) -> Vec<Invariant> {
    let members = &expected.members;
    let everybody: Vec<&str> = members.iter().map(|one| one.name.as_str()).collect();
    let look = |judge: Judge| each(expected, seen, &everybody, judge);
    let look_at = |names: &[String], judge: Judge| {
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        each(expected, seen, &names, judge)
    };
    let mut all = vec![
        look(forced).named("I17", "--force-new-cluster stands nowhere"),
        look(directory).named(
            "I19",
            "every directory is its member's own, and nothing is left over in it",
        ),
    ];
    if !expected.configured.is_empty() {
        all.push(look_at(&expected.configured, settings).named(
            "I18",
            "the settings that were written name all members, and join them",
        ));
    }
    if !expected.set_aside.is_empty() {
        all.push(
            look_at(&expected.set_aside, aside).named("I20", "what was set aside is still there"),
        );
    }
    all
}

/// What is held against one node.
type Judge = fn(&Expectation, &Member, &Inspected, &mut Found);

/// Judges the nodes of these members; one that nobody looked at leaves it open.
fn each(expected: &Expectation, seen: &Observation, names: &[&str], judge: Judge) -> Found {
    let mut all = Found::default();
    let members = expected.members.iter();
    for planned in members.filter(|one| names.contains(&one.name.as_str())) {
        let member = found(planned, seen);
        match member.and_then(|member| Some((member, member.node.as_ref()?))) {
            Some((member, inspected)) => judge(expected, member, inspected, &mut all),
            None => all
                .unseen
                .push(format!("nobody looked at the node of {}", planned.name)),
        }
    }
    all.well(format!("on {}", names.join(", ")))
}

fn forced(_: &Expectation, member: &Member, inspected: &Inspected, found: &mut Found) {
    let name = &member.name;
    for place in &inspected.process.force_new_cluster {
        found.problem(format!("{name}: {place}"));
    }
    let flag = inspected.flags.get("force-new-cluster");
    if flag.is_some_and(|value| value != "false") && inspected.process.force_new_cluster.is_empty()
    {
        found.problem(format!("{name}: its settings say it"));
    }
}

fn directory(_: &Expectation, member: &Member, inspected: &Inspected, found: &mut Found) {
    let name = &member.name;
    let Some(directory) = &inspected.directory else {
        found.problem(format!("{name}: there is no data directory"));
        return;
    };
    if let (Some(of), Some(id)) = (directory.node_id, member.id)
        && of != id
    {
        found.problem(format!(
            "{name}: the log is that of member {of}, and the list has {id}"
        ));
    }
    let off = directory.findings.iter();
    for finding in off.filter(|finding| OFF.contains(&finding.code.as_str())) {
        found.problem(format!("{name}: {}", finding.message));
    }
    let is_left = |path: &&std::path::PathBuf| {
        let path = path.to_string_lossy();
        LEFT_OVER.iter().any(|word| path.contains(word))
    };
    for path in inspected.set_aside.iter().filter(is_left) {
        found.problem(format!("{name}: {} is left over", path.display()));
    }
}

fn settings(expected: &Expectation, member: &Member, inspected: &Inspected, found: &mut Found) {
    let name = &member.name;
    let flag = |flag: &str| inspected.flags.get(flag).map(String::as_str);
    let Some(initial) = flag("initial-cluster") else {
        found
            .unseen
            .push(format!("{name}: its settings could not be read"));
        return;
    };
    let entry = |(name, url): (&str, &str)| Some((name.to_owned(), authority(url)?));
    let is: BTreeSet<(String, String)> = initial
        .split(',')
        .filter_map(|pair| entry(pair.trim().split_once('=')?))
        .collect();
    let should: BTreeSet<(String, String)> = expected
        .members
        .iter()
        .flat_map(|one| {
            one.peer_urls
                .iter()
                .map(|url| (one.name.as_str(), url.as_str()))
        })
        .filter_map(entry)
        .collect();
    if is != should {
        found.problem(format!("{name}: initial-cluster is {initial}"));
    }
    if flag("initial-cluster-state") != Some("existing") {
        let state = flag("initial-cluster-state").unwrap_or("not set");
        found.problem(format!(
            "{name}: initial-cluster-state is {state}, and must be existing"
        ));
    }
    if expected.token.is_some() && flag("initial-cluster-token") != expected.token.as_deref() {
        found.problem(format!(
            "{name}: initial-cluster-token is not the one of this recovery"
        ));
    }
}

fn aside(expected: &Expectation, member: &Member, inspected: &Inspected, found: &mut Found) {
    let name = &member.name;
    let run = format!("etcdrx-{}", expected.run);
    let is_of_run = |path: &&std::path::PathBuf| {
        let file = Path::file_name(path).unwrap_or_default();
        file.to_string_lossy().ends_with(&run)
    };
    if !inspected.set_aside.iter().any(|path| is_of_run(&path)) {
        found.problem(format!("{name}: no directory ends in .{run}"));
    }
}
