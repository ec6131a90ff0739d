//! Where the data come from: the best that is left, or what the operator insists on.

use super::evidence::{directory_revisions, has_whole_directory};
use super::{Situation, Source};
use crate::datadir::EntryPlace;
use crate::id::Revision;
use crate::recovery::choices::From;
use crate::recovery::observation::{Backup, Class, Member, Observation};

/// A source, and what is lost with it.
pub(super) struct Picked {
    pub(super) source: Source,
    pub(super) lost_revisions: Option<i64>,
    pub(super) lost: String,
    pub(super) warnings: Vec<String>,
}

/// The member that gives the snapshot that is kept before a living cluster is changed; never the one that is to go.
pub(super) fn of_living(observation: &Observation, without: Option<&str>) -> Option<Source> {
    let fit = observation.members.iter().filter(|member| {
        let is_fit = matches!(member.class, Class::Ok | Class::NoLeader);
        is_fit && Some(member.name.as_str()) != without && member.endpoint.is_some()
    });
    // A follower first: the leader has enough to do.
    let leader = observation.quorum.leader;
    let member = fit.min_by_key(|member| member.id == leader)?;
    Some(Source::Live {
        member: member.name.clone(),
        endpoint: member.endpoint.clone().unwrap_or_default(),
        revision: None,
    })
}

/// Picks the source of a cluster that begins anew.
pub(super) fn pick(situation: &Situation<'_>) -> Result<Picked, Vec<String>> {
    let observation = situation.observation;
    let picked = match &situation.choices.from {
        None => live(observation)
            .or_else(|| salvage(observation))
            .or_else(|| database(observation))
            .or_else(|| backup(observation, "latest")),
        Some(From::Live) => live(observation),
        Some(From::Salvage) => salvage(observation),
        Some(From::Database) => database(observation),
        Some(From::Backup(id)) => backup(observation, id),
        Some(From::File(file)) => {
            if !file.has_trailer {
                return Err(vec![format!(
                    "nothing proves that {} is whole: it has no SHA-256 trailer",
                    file.path.display()
                )]);
            }
            Some(Source::File {
                path: file.path.clone(),
                revision: file.revision,
            })
        }
    };
    let source = picked.ok_or_else(|| vec![nothing(situation.choices.from.as_ref())])?;
    let (lost_revisions, lost) = lost(observation, &source);
    let mut warnings = Vec::new();
    if let Some(best) = better(observation, &source) {
        warnings.push(format!(
            "{} would lose less than {}",
            best.label(),
            source.label()
        ));
    }
    Ok(Picked {
        source,
        lost_revisions,
        lost,
        warnings,
    })
}

fn nothing(from: Option<&From>) -> String {
    match from {
        None => "there are no data anywhere: no member runs, no directory is whole, no database file opens, and there is no backup",
        Some(From::Live) => "no member runs that could give a snapshot",
        Some(From::Salvage) => "no node has a whole directory of a member that does not run",
        Some(From::Database) => "no node has a database file that opens",
        Some(From::Backup(_)) => "there is no such backup",
        Some(From::File(_)) => "there is no such file",
    }
    .to_owned()
}

/// The source that is taken if nobody decides, unless it is this one or none better.
fn better(observation: &Observation, than: &Source) -> Option<Source> {
    let best = live(observation).or_else(|| salvage(observation))?;
    let is_lesser = matches!(
        (&best, than),
        (Source::Live { .. }, Source::Salvage { .. })
            | (
                _,
                Source::Database { .. } | Source::Backup { .. } | Source::File { .. }
            )
    );
    is_lesser.then_some(best)
}

/// The survivor that has most.
fn live(observation: &Observation) -> Option<Source> {
    let survivors = observation
        .of_class(Class::NoLeader)
        .chain(observation.of_class(Class::Ok));
    let best = survivors
        .filter(|member| member.endpoint.is_some() && member.status.is_some())
        .max_by_key(|member| {
            let status = member.status.as_ref();
            status.map(|status| (status.applied_index, status.revision))
        })?;
    Some(Source::Live {
        member: best.name.clone(),
        endpoint: best.endpoint.clone()?,
        revision: best.status.as_ref().map(|status| status.revision),
    })
}

/// The whole directory that reaches furthest: by term, then by index.
fn salvage(observation: &Observation) -> Option<Source> {
    let whole = observation
        .members
        .iter()
        .filter(|member| has_whole_directory(member));
    let (member, last) = whole
        .filter_map(|member| Some((member, last_entry(member)?)))
        .max_by_key(|(_, last)| (last.term, last.index))?;
    Some(Source::Salvage {
        member: member.name.clone(),
        last_term: last.term,
        last_index: last.index,
    })
}

fn last_entry(member: &Member) -> Option<EntryPlace> {
    member.node.as_ref()?.directory.as_ref()?.log.as_ref()?.last
}

/// The database file that holds most, of those that open.
fn database(observation: &Observation) -> Option<Source> {
    let readable = observation.members.iter().filter_map(|member| {
        let directory = member.node.as_ref()?.directory.as_ref()?;
        Some((member, directory.database.as_ref()?.revision))
    });
    let (member, revision) = readable.max_by_key(|(_, revision)| *revision)?;
    Some(Source::Database {
        member: member.name.clone(),
        revision: Some(revision),
    })
}

fn backup(observation: &Observation, id: &str) -> Option<Source> {
    let found = match id {
        "latest" => observation.backups.first(),
        _ => observation
            .backups
            .iter()
            .find(|backup| backup.id.as_str().starts_with(id)),
    }?;
    Some(Source::Backup {
        id: found.id.clone(),
        revision: found.revision,
    })
}

/// What is lost, as far as anybody knows of anything newer.
fn lost(observation: &Observation, source: &Source) -> (Option<i64>, String) {
    let statuses = observation
        .members
        .iter()
        .filter_map(|member| member.status.as_ref());
    let known = statuses
        .map(|status| status.revision)
        .chain(directory_revisions(observation))
        .max();
    let missing = |revision: Revision| known.map(|known| (known.0 - revision.0).max(0));
    match source {
        Source::Live {
            member, revision, ..
        } => (
            revision.and_then(missing),
            format!(
                "nothing that {member} has applied; writes that only members have acknowledged that are gone, if there were any"
            ),
        ),
        Source::Salvage { .. } => (
            Some(0),
            "nothing that is in any log that could be read".to_owned(),
        ),
        Source::Database { revision, .. } => (
            None,
            format!(
                "what stands only in the log, up to the last tenths of a second before the end{}",
                revision.map_or_else(String::new, |revision| format!(
                    " (the file is at revision {revision})"
                ))
            ),
        ),
        Source::Backup { id, revision } => {
            let taken = observation.backups.iter().find(|backup| backup.id == *id);
            (missing(*revision), since(observation, taken))
        }
        Source::File { revision, .. } => (
            revision.and_then(missing),
            "everything that was written after the file was taken".to_owned(),
        ),
    }
}

fn since(observation: &Observation, taken: Option<&Backup>) -> String {
    let Some(taken) = taken else {
        return "everything that was written after the backup".to_owned();
    };
    let age = (observation.at - taken.started_at)
        .to_std()
        .unwrap_or_default();
    let age = std::time::Duration::from_secs(age.as_secs());
    format!(
        "everything that was written after revision {}, which was at {} ({} ago)",
        taken.revision,
        taken.started_at.format("%Y-%m-%dT%H:%M:%SZ"),
        humantime::format_duration(age)
    )
}
