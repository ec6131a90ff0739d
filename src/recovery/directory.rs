//! What the data that lie on a member's node are good for: pure, from an inspection.

use super::judge::last_words::{self, Meaning};
use super::observation::{Class, Member, Observation};
use crate::datadir::inspect::Inspection;
use crate::node::DatabaseFacts;

/// The findings of an inspection after which etcd does not start on the directory, or starts without what it acknowledged.
const FATAL: [&str; 9] = [
    "no-wal",
    "wal-unreadable",
    "wal-damaged",
    "wal-gap",
    "wal-incomplete",
    "commit-beyond-log",
    "snap-beyond-log",
    "database-unreadable",
    "database-damaged",
];

/// What lies on a member's node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Nobody looked.
    Unseen,
    /// Nothing that a member could start from.
    Blank,
    /// Another member's, or that of this one before it was removed: etcd must not start on them.
    Stale(String),
    /// All that it acknowledged.
    Intact,
    /// Sound as far as its log reaches for etcd, and records stand behind that: they were acknowledged if a byte was changed, and were
    /// not if the power failed while they were written.
    Cut(String),
    /// Something is missing or damaged.
    Damaged(Vec<String>),
}

/// What lies on the node of `member`.
///
/// A directory without a log is blank where it has no database either; one whose database alone is missing is damaged: etcd can make it
/// again from the log only if that begins at the first entry.
#[must_use]
pub fn data(member: &Member) -> Data {
    let Some(node) = &member.node else {
        return Data::Unseen;
    };
    let Some(directory) = &node.directory else {
        return Data::Blank;
    };
    let found = |code: &str| directory.findings.iter().any(|found| found.code == code);
    if found("no-wal") && found("no-database") {
        return Data::Blank;
    }
    if let (Some(of), Some(expected)) = (directory.node_id, member.id)
        && of != expected
    {
        return Data::Stale(format!(
            "its directory is that of member {of}, and the list has {expected} at its URL"
        ));
    }
    let problems: Vec<String> = directory
        .findings
        .iter()
        .filter(|found| {
            FATAL.contains(&found.code.as_str()) || needs_database(directory, &found.code)
        })
        .map(|found| found.message.clone())
        .collect();
    let mut findings = directory.findings.iter();
    let cut = findings.find(|found| found.code == "wal-records-follow");
    match (problems.is_empty(), cut) {
        (true, None) => Data::Intact,
        (true, Some(cut)) => Data::Cut(cut.message.clone()),
        (false, _) => Data::Damaged(problems),
    }
}

fn needs_database(directory: &Inspection<DatabaseFacts>, code: &str) -> bool {
    code == "no-database" && directory.snap.is_some()
}

/// Whether etcd itself said, when it ended, that it will not come up on its data again: that tells more than the files do.
fn gave_up(member: &Member) -> bool {
    let log = member.node.as_ref().map(|node| node.process.log.as_slice());
    let last_words = log.and_then(last_words::read).map(|(meaning, _)| meaning);
    matches!(
        last_words,
        Some(Meaning::Removed | Meaning::Damaged | Meaning::Blank)
    )
}

/// Whether a member's directory is its own, sound, and worth starting where nothing better is left.
#[must_use]
pub fn is_whole(member: &Member) -> bool {
    matches!(data(member), Data::Intact | Data::Cut(_)) && !gave_up(member)
}

/// The voters of the cluster: those whom the list names, or everybody known where there is none.
#[must_use]
pub fn voters(observation: &Observation) -> Vec<&Member> {
    let any_listed = observation.members.iter().any(|member| member.listed);
    let members = observation.members.iter();
    members
        .filter(|member| match any_listed {
            true => member.listed,
            false => member.class != Class::Foreign,
        })
        .filter(|member| member.class != Class::Learner)
        .collect()
}

/// The voters that can be brought up as they are: alive, only frozen, or stopped on data of their own that are intact.
///
/// Who may have lost the end of its log is among them only where the others are no quorum.
#[must_use]
pub fn restartable(observation: &Observation) -> Vec<&Member> {
    let can_start = |member: &&Member| match member.class {
        Class::Ok | Class::NoLeader => true,
        // What runs has its data, unless a look at the node says otherwise: a blank one never counts.
        Class::Hung => !matches!(
            data(member),
            Data::Blank | Data::Stale(_) | Data::Damaged(_)
        ),
        // It may be one that ends again and again.
        Class::Starting => member.node.is_none() || is_whole(member),
        Class::Dead => is_whole(member),
        Class::Unreachable | Class::Learner | Class::Foreign | Class::Refused => false,
    };
    let all: Vec<&Member> = voters(observation).into_iter().filter(can_start).collect();
    let complete = all.iter().filter(|member| cut(member).is_none());
    let complete: Vec<&Member> = complete.copied().collect();
    match complete.len() >= observation.quorum.need {
        true => complete,
        false => all,
    }
}

/// Why a member that does not run may have lost the end of its log.
#[must_use]
pub fn cut(member: &Member) -> Option<String> {
    match data(member) {
        Data::Cut(why) => Some(format!("{}: {why}", label(member))),
        _ => None,
    }
}

/// How a member is called: its name, or else where it is.
#[must_use]
pub fn label(member: &Member) -> String {
    if !member.name.is_empty() {
        return member.name.clone();
    }
    let place = member.endpoint.as_ref().or(member.peer_urls.first());
    match (place, member.id) {
        (Some(place), _) => place.clone(),
        (None, Some(id)) => id.to_string(),
        (None, None) => "a member without a name".to_owned(),
    }
}
