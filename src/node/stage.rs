//! A restored member, made beside the data while etcd still runs on it, and put in its place later.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use chrono::{DateTime, Utc};

use super::action::{Action, Answer, Directories, NewCluster};
use super::aside::{beside, ensure_movable, ensure_unheld, exists, moved, rename};
use super::journal::{self, Event, journal_of};
use super::own::{make, own_like};
use super::{Error, done, writing};
use crate::datadir::edit::Edits;
use crate::datadir::membership::Membership;
use crate::datadir::wal;
use crate::id::{ClusterId, MemberId};
use crate::progress::Progress;
use crate::restore::{Bump, Origin, Request, Target, restore};

/// What stands before the run in the name of a directory that holds a member to come.
pub(super) const STAGED: &str = "etcdrx-staged-";

/// Where a member waits to be put in its place.
pub(super) struct Staged {
    /// A data directory of its own, below the member's.
    pub(super) data_dir: PathBuf,
    /// The directory of its log, beside that of the member, if that is elsewhere.
    pub(super) wal_dir: Option<PathBuf>,
}

impl Staged {
    pub(super) fn of(directories: &Directories, run: &str) -> Self {
        let name = format!("{STAGED}{run}");
        let wal_dir = directories.wal_dir.as_deref();
        Self {
            wal_dir: wal_dir.map(|path| beside(path, &name)),
            data_dir: directories.data_dir.join(name),
        }
    }

    pub(super) fn member(&self) -> PathBuf {
        self.data_dir.join("member")
    }

    /// Removes it; says what was there.
    pub(super) fn remove(&self) -> Result<Vec<String>, Error> {
        let mut evidence = Vec::new();
        for path in self.wal_dir.iter().chain([&self.data_dir]) {
            if exists(path) {
                fs::remove_dir_all(path).map_err(writing(path))?;
                evidence.push(format!("{} was removed", path.display()));
            }
        }
        Ok(evidence)
    }
}

/// What to stage, taken from [`Action::Stage`].
pub(super) struct Order<'a> {
    pub(super) snapshot: &'a Path,
    pub(super) unproven: bool,
    pub(super) directories: &'a Directories,
    pub(super) cluster: &'a NewCluster,
    pub(super) bump_revision: Option<i64>,
    pub(super) clear_alarms: bool,
    pub(super) run: &'a str,
}

/// Restores a member beside the data; `action` is what the journal knows the order by.
pub(super) async fn stage(
    action: &Action,
    order: &Order<'_>,
    progress: &dyn Progress,
) -> Result<Answer, Error> {
    let directories = order.directories;
    let staged = Staged::of(directories, order.run);
    // Better now, while etcd runs, than when it is down.
    ensure_movable(&directories.member())?;
    if let Some(wal_dir) = &directories.wal_dir {
        ensure_movable(wal_dir)?;
    }
    if let Some(answer) = staged_before(action, order, &staged)? {
        return Ok(answer);
    }
    staged.remove()?;
    // A lost disk took it along; made by the restore, it would belong to whoever runs this.
    make(&directories.data_dir)?;
    let cluster = order.cluster;
    let membership = Membership::parse(&cluster.initial_cluster, &cluster.token);
    let membership = membership.map_err(|source| Error::Membership { source })?;
    let member = membership.member(&cluster.name);
    let member = member.map_err(|source| Error::Membership { source })?;
    let request = Request {
        membership: &membership,
        targets: vec![Target {
            member: member.clone(),
            data_dir: staged.data_dir.clone(),
            wal_dir: staged.wal_dir.clone(),
        }],
        edits: Edits {
            clear_alarms: order.clear_alarms,
            ..Edits::default()
        },
        bump: order.bump_revision.map(Bump::By),
        run: order.run.to_owned(),
    };
    let origin = Origin::File {
        path: order.snapshot,
        unproven: order.unproven,
    };
    let restored = restore(&request, &origin, progress).await;
    let restored = restored.map_err(|source| Error::Restore { source })?;
    own(directories, &staged, order.run).await?;
    Ok(Answer::Staged {
        member_id: member.id,
        cluster_id: membership.cluster_id,
        snapshot_revision: restored.edited.snapshot_revision,
        revision: restored.edited.revision,
        changed: true,
    })
}

/// Puts what was staged in its place.
pub(super) async fn place(directories: &Directories, run: &str) -> Result<Answer, Error> {
    let staged = Staged::of(directories, run);
    let ids = last_staged(directories, run)?;
    let member = directories.member();
    if !exists(&staged.member()) {
        return match exists(&member) && ids.is_some() && ids == ids_in(&directories.log()) {
            true => {
                // What placed it may have been killed before it took this away.
                let _ = fs::remove_dir(&staged.data_dir);
                let told = format!("{} is in its place", member.display());
                Ok(done(false, vec![told]))
            }
            false => Err(Error::NothingStaged {
                path: directories.data_dir.clone(),
                run: run.to_owned(),
            }),
        };
    }
    put_in_place(directories, &staged, run, ids).await
}

/// Puts what waits in `staged` in its place; `ids` are those of its log.
pub(super) async fn put_in_place(
    directories: &Directories,
    staged: &Staged,
    run: &str,
    ids: Option<(MemberId, ClusterId)>,
) -> Result<Answer, Error> {
    ensure_unheld(directories)?;
    let member = directories.member();
    if exists(&member) {
        return Err(Error::Occupied { path: member });
    }
    if !exists(&staged.member()) {
        return Err(Error::NothingStaged {
            path: directories.data_dir.clone(),
            run: run.to_owned(),
        });
    }
    let mut evidence = own(directories, staged, run).await?;
    if let (Some(wal_dir), Some(staged_log)) = (&directories.wal_dir, &staged.wal_dir) {
        if exists(staged_log) {
            if exists(wal_dir) {
                return Err(Error::Occupied {
                    path: wal_dir.clone(),
                });
            }
            rename(staged_log, wal_dir)?;
            evidence.push(moved(staged_log, wal_dir));
        } else if ids.is_none() || ids != ids_in(wal_dir) {
            // Without its log the rest would be a cluster of its own, or nothing at all.
            return Err(Error::NothingStaged {
                path: wal_dir.clone(),
                run: run.to_owned(),
            });
        }
    }
    rename(&staged.member(), &member)?;
    evidence.push(moved(&staged.member(), &member));
    // Empty by now.
    let _ = fs::remove_dir(&staged.data_dir);
    Ok(done(true, evidence))
}

/// Removes what was staged and not placed.
pub(super) fn unstage(directories: &Directories, run: &str) -> Result<Answer, Error> {
    let removed = Staged::of(directories, run).remove()?;
    Ok(match removed.is_empty() {
        true => done(false, vec![format!("nothing is staged of the run {run}")]),
        false => done(true, removed),
    })
}

/// Gives what is staged to whom the member's data belongs, or its data directory where it has none.
async fn own(directories: &Directories, staged: &Staged, run: &str) -> Result<Vec<String>, Error> {
    let places = [directories.member(), directories.member_aside(run)];
    let like = places.into_iter().find(|path| path.is_dir());
    let like = like.unwrap_or_else(|| directories.data_dir.clone());
    let mut evidence = own_like(&like, &staged.data_dir).await?;
    evidence.extend(own_like(&like, &staged.member()).await?);
    if let Some(log) = staged.wal_dir.as_deref().filter(|log| log.exists()) {
        evidence.extend(own_like(&like, log).await?);
    }
    Ok(evidence)
}

/// What the journal says of this very order, if it was carried out and what came of it is still there.
fn staged_before(
    action: &Action,
    order: &Order<'_>,
    staged: &Staged,
) -> Result<Option<Answer>, Error> {
    let directories = order.directories;
    let last = last_stage(directories, order.run)?;
    let Some((_, time, answer)) = last.filter(|(before, ..)| before == action) else {
        return Ok(None);
    };
    let written = fs::metadata(order.snapshot).and_then(|file| file.modified());
    let is_newer = written.is_ok_and(|written| written > SystemTime::from(time));
    let Answer::Staged {
        member_id,
        cluster_id,
        snapshot_revision,
        revision,
        ..
    } = answer
    else {
        return Ok(None);
    };
    let ids = Some((member_id, cluster_id));
    let log = match &staged.wal_dir {
        Some(wal_dir) => wal_dir.clone(),
        None => staged.member().join("wal"),
    };
    let is_staged = exists(&staged.member()) && ids_in(&log) == ids;
    let is_placed = exists(&directories.member()) && ids_in(&directories.log()) == ids;
    if is_newer || !(is_staged || is_placed) {
        return Ok(None);
    }
    Ok(Some(Answer::Staged {
        member_id,
        cluster_id,
        snapshot_revision,
        revision,
        changed: false,
    }))
}

/// The last order of this run that was carried out, when, and its answer.
fn last_stage(
    directories: &Directories,
    run: &str,
) -> Result<Option<(Action, DateTime<Utc>, Answer)>, Error> {
    let path = journal_of(directories);
    let lines = journal::lines(&path).map_err(|source| Error::Journal { path, source })?;
    let mut stages = lines.into_iter().rev().filter_map(|line| match line.event {
        Event::Done(answer @ Answer::Staged { .. }) if line.run.as_deref() == Some(run) => {
            Some((line.action, line.time, answer))
        }
        _ => None,
    });
    Ok(stages.next())
}

/// The ids of the member that this run staged last.
fn last_staged(
    directories: &Directories,
    run: &str,
) -> Result<Option<(MemberId, ClusterId)>, Error> {
    Ok(match last_stage(directories, run)? {
        Some((
            _,
            _,
            Answer::Staged {
                member_id,
                cluster_id,
                ..
            },
        )) => Some((member_id, cluster_id)),
        _ => None,
    })
}

/// Whose log it is.
pub(super) fn ids_in(log: &Path) -> Option<(MemberId, ClusterId)> {
    let facts = wal::read(log).ok()?;
    facts.node_id.zip(facts.cluster_id)
}
