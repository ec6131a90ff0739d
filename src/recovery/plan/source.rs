//! Where the data come from: the best that is left, or what the operator insists on.

use super::{Situation, Source};
use crate::id::{BackupId, Revision};
use crate::recovery::choices::{From, SnapshotFile};
use crate::recovery::directory::{cut, label};
use crate::recovery::observation::{Class, Observation};
use crate::recovery::rank::{Candidate, Source as Ranked, highest_revision};

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

/// Picks the source of a cluster that begins anew, from what is ranked.
pub(super) fn pick(situation: &Situation<'_>, ranked: &[Candidate]) -> Result<Picked, Vec<String>> {
    let observation = situation.observation;
    let from = situation.choices.from.as_ref();
    let (source, lost_revisions) = match from {
        Some(From::File(file)) => of_file(file, ranked)?,
        _ => choose(observation, from, ranked).ok_or_else(|| nothing(from, ranked))?,
    };
    let mut warnings = of_cut_log(observation, &source);
    let best = choose(observation, None, ranked).map(|(best, _)| best);
    if let Some(best) = best.filter(|best| place(best) < place(&source)) {
        warnings.push(format!(
            "{} would lose less than {}",
            best.label(),
            source.label()
        ));
    }
    Ok(Picked {
        lost: lost(observation, &source),
        source,
        lost_revisions,
        warnings,
    })
}

/// What may be missing at the end of the log that is salvaged.
fn of_cut_log(observation: &Observation, source: &Source) -> Vec<String> {
    let Source::Salvage { member, .. } = source else {
        return Vec::new();
    };
    let mut members = observation.members.iter();
    let salvaged = members.find(|one| label(one) == *member);
    salvaged.and_then(cut).into_iter().collect()
}

/// Picks the member that goes on in place: what it has on its own disk, and nothing else.
pub(super) fn pick_own(
    situation: &Situation<'_>,
    ranked: &[Candidate],
) -> Result<Picked, Vec<String>> {
    let from = situation.choices.from.as_ref();
    if !matches!(from, None | Some(From::Live | From::Salvage)) {
        return Err(vec![
            "in place is a member's own directory: --from live or salvage, or nothing; --way backup takes other data".to_owned(),
        ]);
    }
    let own = ranked
        .iter()
        .filter(|one| matches!(one.source, Ranked::Live { .. } | Ranked::Salvage { .. }));
    let own: Vec<Candidate> = own.cloned().collect();
    if !own.iter().any(Candidate::is_usable) {
        let mut reasons = nothing(Some(&From::Salvage), &own);
        reasons.insert(0, nothing(Some(&From::Live), &[]).remove(0));
        return Err(reasons);
    }
    pick(situation, &own)
}

/// The order in which sources are taken where nobody decides.
fn place(source: &Source) -> u8 {
    match source {
        Source::Live { .. } => 0,
        Source::Salvage { .. } => 1,
        Source::Database { .. } => 2,
        Source::Backup { .. } => 3,
        Source::File { .. } => 4,
    }
}

/// The best of those that the operator allows, and how many revisions are lost with it.
fn choose(
    observation: &Observation,
    from: Option<&From>,
    ranked: &[Candidate],
) -> Option<(Source, Option<i64>)> {
    if from == Some(&From::Database) {
        return database(ranked);
    }
    let mut usable = ranked.iter().filter(|one| one.is_usable());
    usable.find_map(|one| {
        let source = source(observation, one)?;
        let is_allowed = match (from, &source) {
            (None, _)
            | (Some(From::Live), Source::Live { .. })
            | (Some(From::Salvage), Source::Salvage { .. }) => true,
            (Some(From::Backup(id)), Source::Backup { id: of, .. }) => {
                id == "latest" || of.as_str().starts_with(id)
            }
            _ => false,
        };
        // What stands only in a log comes on top of the revision of its database.
        let reaches_furthest = one.lost_entries == Some(0);
        let lost = match source {
            Source::Salvage { .. } if reaches_furthest => Some(0),
            _ => one.lost_revisions,
        };
        is_allowed.then_some((source, lost))
    })
}

/// The database that holds most of those that open, whatever is to be thought of the log beside it.
fn database(ranked: &[Candidate]) -> Option<(Source, Option<i64>)> {
    let databases = ranked.iter().filter_map(|one| match &one.source {
        Ranked::Salvage { member } | Ranked::Database { member } => Some((member, one.revision?)),
        _ => None,
    });
    let (member, revision) = databases.max_by_key(|(_, revision)| *revision)?;
    let source = Source::Database {
        member: member.clone(),
        revision: Some(revision),
    };
    // Nobody knows what stands only in the log.
    Some((source, None))
}

/// What a plan says of a candidate; nothing of one that no cluster begins anew from.
fn source(observation: &Observation, candidate: &Candidate) -> Option<Source> {
    Some(match &candidate.source {
        Ranked::Restart { .. } => return None,
        Ranked::Live { member } => {
            let mut members = observation.members.iter();
            let found = members.find(|one| label(one) == *member)?;
            Source::Live {
                member: member.clone(),
                endpoint: found.endpoint.clone()?,
                revision: candidate.revision,
            }
        }
        Ranked::Salvage { member } => Source::Salvage {
            member: member.clone(),
            last_term: candidate.term?,
            last_index: candidate.index?,
        },
        Ranked::Database { member } => Source::Database {
            member: member.clone(),
            revision: candidate.revision,
        },
        Ranked::Backup { id } => Source::Backup {
            id: id.clone(),
            revision: candidate.revision?,
        },
    })
}

fn of_file(
    file: &SnapshotFile,
    ranked: &[Candidate],
) -> Result<(Source, Option<i64>), Vec<String>> {
    if !file.has_trailer {
        return Err(vec![format!(
            "nothing proves that {} is whole: it has no SHA-256 trailer",
            file.path.display()
        )]);
    }
    let lost = highest_revision(ranked).zip(file.revision);
    let source = Source::File {
        path: file.path.clone(),
        revision: file.revision,
    };
    Ok((
        source,
        lost.map(|(highest, own)| (highest.0 - own.0).max(0)),
    ))
}

/// There is no such source; what there is and cannot be used is told with the reason.
fn nothing(from: Option<&From>, ranked: &[Candidate]) -> Vec<String> {
    let none = match from {
        None => {
            "there are no data anywhere: no member runs, no directory is whole, no database file opens, and there is no backup"
        }
        Some(From::Live) => "no member runs that could give a snapshot",
        Some(From::Salvage) => "no node has a whole directory of a member that does not run",
        Some(From::Database) => "no node has a database file that opens",
        Some(From::Backup(_)) => "there is no such backup",
        Some(From::File(_)) => "there is no such file",
    };
    let unusable = ranked.iter().filter_map(|one| {
        let (Ranked::Live { member } | Ranked::Salvage { member } | Ranked::Database { member }) =
            &one.source
        else {
            return None;
        };
        Some(format!("{member} is of no use: {}", one.unusable.as_ref()?))
    });
    [none.to_owned()].into_iter().chain(unusable).collect()
}

/// What is lost, in words.
fn lost(observation: &Observation, source: &Source) -> String {
    match source {
        Source::Live { member, .. } => format!(
            "nothing that {member} has applied; writes that only members have acknowledged that are gone, if there were any"
        ),
        Source::Salvage { .. } => "nothing that is in any log that could be read".to_owned(),
        Source::Database { revision, .. } => format!(
            "what stands only in the log, up to the last tenths of a second before the end{}",
            revision.map_or_else(String::new, |revision| format!(
                " (the file is at revision {revision})"
            ))
        ),
        Source::Backup { id, revision } => since(observation, id, *revision),
        Source::File { .. } => "everything that was written after the file was taken".to_owned(),
    }
}

fn since(observation: &Observation, id: &BackupId, revision: Revision) -> String {
    let Some(taken) = observation.backups.iter().find(|backup| backup.id == *id) else {
        return "everything that was written after the backup".to_owned();
    };
    let age = (observation.at - taken.started_at)
        .to_std()
        .unwrap_or_default();
    let age = std::time::Duration::from_secs(age.as_secs());
    format!(
        "everything that was written after revision {revision}, which was at {} ({} ago)",
        taken.started_at.format("%Y-%m-%dT%H:%M:%SZ"),
        humantime::format_duration(age)
    )
}
